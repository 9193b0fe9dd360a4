//! The endpoint: what the kernel hands out, messages and events (RFC 6458 §6.1).

use super::association::{Association, State};
use super::endpoint::KernelEndpoint;
use super::reason;
use super::sockets::Token;
use crate::sctp::canonical;
use lksctp::{
    AssocChange, AssocChangeState, AssocId as KernelId, Notification, PeerAddrChange, PeerAddrChangeState,
    RcvInfo, RecvMsg,
};
use proto::{AssocId, Channel, DownReason, Input};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tracing::{debug, warn};

/// Messages and events to take from one socket before others have their turn.
const BATCH: usize = 32;

impl KernelEndpoint {
    /// Takes what has arrived at a socket, a batch of it; whether there may be more.
    pub(super) fn receive(&mut self, token: Token) -> bool {
        for _ in 0..BATCH {
            // It may have been closed, or its only association may not be read any more.
            let Some(socket) = self.sockets.get(token) else { return false };
            match socket.receive(&mut self.buffer) {
                Ok(RecvMsg::Notification(notification)) => self.notified(token, notification),
                Ok(RecvMsg::Data { len, info: Some(info), eor }) => {
                    if !self.take_piece(token, len, &info, eor) {
                        return false;
                    }
                }
                Ok(RecvMsg::Data { len: 0, info: None, .. }) => {
                    self.ended(token);
                    return false;
                }
                Ok(RecvMsg::Data { info: None, .. }) => self.counters.failed_calls += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.counters.failed_calls += 1;
                    debug!(%error, "receive");
                    return false;
                }
            }
        }
        true
    }

    /// A message or a piece of one; whether to go on reading the socket.
    fn take_piece(&mut self, token: Token, length: usize, info: &RcvInfo, last: bool) -> bool {
        let Some(assoc) = self.names.get(&info.assoc_id.0).copied().flatten() else { return true };
        let Some(association) = self.associations.get_mut(&assoc) else { return true };
        let piece = self.buffer.get(..length).unwrap_or_default();
        let is_part = !last || association.inbound.has_pieces();
        self.counters.pieces += u64::from(is_part);
        match association.inbound.piece(piece, last) {
            Ok(Some(bytes)) => {
                self.counters.received += 1;
                let message = Input::Message {
                    assoc,
                    stream: info.sid,
                    ppid: info.ppid.0,
                    unordered: info.flags.unordered(),
                    bytes,
                };
                association.inbound.message(length, message, &mut self.inputs);
            }
            Ok(None) => {}
            Err(_) => {
                let limit = self.config.max_message_size;
                self.violate(assoc, &format!("message of more than {limit} bytes"));
                return true;
            }
        }
        let held = !association.inbound.reading && !association.is_over;
        self.recharge(assoc);
        if held {
            self.stop_reading(assoc);
        }
        !held || token == Token::SHARED
    }

    /// The rest of a message will not come.
    fn forget_pieces(&mut self, assoc: AssocId) {
        if let Some(association) = self.associations.get_mut(&assoc) {
            association.inbound.forget_pieces();
            self.recharge(assoc);
        }
    }

    /// A socket has come to its end, and with it what it carries.
    fn ended(&mut self, token: Token) {
        let gone: Vec<AssocId> = self
            .associations
            .iter()
            .filter(|(_, association)| association.socket == token)
            .map(|(id, _)| *id)
            .collect();
        for assoc in gone {
            self.remove(assoc, DownReason::Unreachable);
        }
        if token == Token::SHARED {
            warn!("the SCTP socket was closed");
            self.sockets.watch_readable(token, false);
        } else {
            self.sockets.close(token);
        }
    }

    fn notified(&mut self, token: Token, notification: Notification) {
        self.counters.notifications += 1;
        match notification {
            Notification::AssocChange(change) => self.changed(token, &change),
            Notification::PeerAddrChange(change) => self.path_changed(&change),
            Notification::Shutdown(event) => self.peer_shuts_down(event.assoc_id),
            Notification::SendFailed(event) => {
                self.counters.send_failed += 1;
                if let Some(assoc) = self.name(event.assoc_id) {
                    let why = "the system gave it back";
                    self.inputs.push_back(Input::SendFailed { assoc, bytes: event.payload.into(), why });
                }
            }
            Notification::RemoteError(_) => self.counters.errors += 1,
            Notification::PartialDelivery(event) => {
                if let Some(assoc) = self.name(event.assoc_id) {
                    self.forget_pieces(assoc);
                }
            }
            _ => {}
        }
    }

    /// Our name for an association that is not given up.
    fn name(&self, kernel: KernelId) -> Option<AssocId> {
        self.names.get(&kernel.0).copied().flatten()
    }

    fn association(&mut self, kernel: KernelId) -> Option<&mut Association> {
        let assoc = self.name(kernel)?;
        self.associations.get_mut(&assoc)
    }

    fn changed(&mut self, token: Token, change: &AssocChange) {
        let kernel = change.assoc_id;
        match change.state {
            AssocChangeState::CommUp => match self.names.get(&kernel.0) {
                Some(Some(assoc)) => self.established(*assoc, change.outbound_streams),
                Some(None) => {}
                None => self.accept(token, kernel, change.outbound_streams),
            },
            AssocChangeState::Restart => self.restarted(kernel, change.outbound_streams),
            AssocChangeState::CommLost => {
                let tells = self.config.timing.max_retransmissions >= 2;
                let is_silent = self.association(kernel).is_some_and(|it| !it.dead_paths.is_empty());
                self.down(kernel, reason::lost(change, is_silent || !tells));
            }
            AssocChangeState::ShutdownComplete => self.down(kernel, DownReason::Shutdown),
            AssocChangeState::CantStartAssoc => self.down(kernel, reason::not_established(change)),
            AssocChangeState::Unknown(_) => {}
        }
    }

    fn accept(&mut self, token: Token, kernel: KernelId, streams: u16) {
        if self.associations.len() >= self.config.limits.associations {
            self.counters.refused_full += 1;
            return self.give_up(token, kernel, "too many associations");
        }
        self.accepted += 1;
        let assoc = AssocId::accepted(self.channel, self.accepted);
        self.names.insert(kernel.0, Some(assoc));
        self.associations.insert(assoc, Association::new(kernel, self.channel, &self.config));
        self.established(assoc, streams);
    }

    /// Up, once: a collision of two handshakes may tell it twice.
    fn established(&mut self, assoc: AssocId, streams: u16) {
        let others = self.associations.len() - 1;
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if association.state != State::Connecting {
            return;
        }
        association.state = State::Up;
        association.streams = streams;
        let kernel = association.kernel;
        let mut local = Vec::new();
        if let Some(socket) = self.sockets.get(association.socket) {
            // If it has ended meanwhile, that is what comes next.
            if let Ok(remote) = socket.peer_addresses(kernel) {
                association.remote = remote.into_iter().map(canonical).collect();
            }
            local = socket.local_addresses(kernel).unwrap_or_default();
            if association.channel != Channel::Session
                && is_own(&association.remote, &local, self.local.port())
            {
                let token = association.socket;
                self.give_up(token, kernel, "own address");
                return self.remove(assoc, DownReason::ConnectFailed("own address".into()));
            }
            local = seen_by(&association.remote, local);
            let interval = self.config.heartbeat_interval(others);
            if interval > self.config.timing.heartbeat_interval {
                let _ = socket.set_heartbeat(kernel, interval);
            }
        }
        let (channel, remote) = (association.channel, association.remote.clone());
        let counter =
            if assoc.is_accepted() { &mut self.counters.accepted } else { &mut self.counters.connected };
        *counter += 1;
        self.inputs.push_back(Input::Up { assoc, channel, remote, local, streams });
        self.mark_dirty(assoc);
    }

    fn restarted(&mut self, kernel: KernelId, streams: u16) {
        let Some(assoc) = self.name(kernel) else { return };
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        self.counters.restarted += 1;
        association.streams = streams;
        // A shutdown that our machine asked for begins anew.
        association.state = match association.state {
            State::ShuttingDown | State::ShutDown => State::ShuttingDown,
            _ => State::Up,
        };
        self.inputs.push_back(Input::Restart { assoc });
        self.forget_pieces(assoc);
        self.mark_dirty(assoc);
    }

    fn down(&mut self, kernel: KernelId, why: DownReason) {
        match self.names.remove(&kernel.0).flatten() {
            Some(assoc) => self.remove(assoc, why),
            None => debug!(?why, "the end of an association given up before"),
        }
    }

    fn peer_shuts_down(&mut self, kernel: KernelId) {
        let Some(assoc) = self.name(kernel) else { return };
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if association.state != State::Up {
            return;
        }
        association.state = State::PeerShuttingDown;
        let unsent: Vec<_> = std::iter::from_fn(|| association.outbound.pop()).collect();
        self.inputs.push_back(Input::PeerShutdown { assoc });
        for message in unsent {
            self.inputs.push_back(Input::SendFailed { assoc, bytes: message.bytes, why: "shutting down" });
        }
    }

    fn path_changed(&mut self, change: &PeerAddrChange) {
        let up = match change.state {
            PeerAddrChangeState::Available | PeerAddrChangeState::Confirmed => true,
            PeerAddrChangeState::Unreachable | PeerAddrChangeState::Removed => false,
            _ => return,
        };
        let (Some(assoc), Some(address)) = (self.name(change.assoc_id), change.address.map(canonical)) else {
            return;
        };
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if association.state == State::Connecting {
            return;
        }
        let is_news =
            if up { association.dead_paths.remove(&address) } else { association.dead_paths.insert(address) };
        if is_news {
            self.inputs.push_back(Input::Path { assoc, address, up });
        }
    }
}

/// Whether a peer is this endpoint itself.
fn is_own(remote: &[SocketAddr], local: &[IpAddr], port: u16) -> bool {
    remote.iter().any(|address| address.port() == port && local.contains(&address.ip()))
}

/// Which of our addresses a peer can use: loopback and link-local ones only if it is there itself.
fn seen_by(remote: &[SocketAddr], local: Vec<IpAddr>) -> Vec<IpAddr> {
    let any = |is: fn(&IpAddr) -> bool| remote.iter().any(|address| is(&address.ip()));
    let (loopback, link_local) = (any(IpAddr::is_loopback), any(is_link_local));
    let mut local = local;
    local.retain(|ip| {
        !ip.is_unspecified() && (loopback || !ip.is_loopback()) && (link_local || !is_link_local(ip))
    });
    local
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SCTP-6458-04
    #[test]
    fn a_peer_is_told_the_addresses_that_it_can_use() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let local = ips(&["127.0.0.1", "192.0.2.1", "fe80::1", "2001:db8::1"]);
        let seen = |peer: &str| seen_by(&[SocketAddr::new(peer.parse().unwrap(), 9)], local.clone());
        assert_eq!(seen("192.0.2.9"), ips(&["192.0.2.1", "2001:db8::1"]));
        assert_eq!(seen("127.0.0.1"), ips(&["127.0.0.1", "192.0.2.1", "2001:db8::1"]));
        assert_eq!(seen("fe80::9"), ips(&["192.0.2.1", "fe80::1", "2001:db8::1"]));
    }
}
