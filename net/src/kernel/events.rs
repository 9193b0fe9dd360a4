//! The endpoint: what the kernel hands out, messages and events (RFC 6458 §6.1).

use super::association::{Association, State};
use super::batch::{Arrival, BATCH};
use super::endpoint::KernelEndpoint;
use super::notification::Notification;
use super::reason;
use super::sockets::Token;
use crate::clock::{Source, System};
use crate::sctp::canonical;
use bytes::Bytes;
use lksctp::AssocId as KernelId;
use proto::{AssocId, Channel, DownReason, Input};
use std::net::{IpAddr, SocketAddr};
use tracing::{debug, warn};

impl KernelEndpoint {
    /// Takes what has arrived at a socket, a batch of it; whether there may be more. If not, the system has said so.
    pub(super) fn receive(&mut self, token: Token) -> bool {
        self.receive_up_to(token, BATCH)
    }

    /// Takes some of what has arrived at a socket.
    pub(super) fn receive_up_to(&mut self, token: Token, most: usize) -> bool {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        arrivals.begin();
        let mut taken = 0;
        let more = loop {
            // It may have been closed.
            let Some(socket) = self.sockets.get(token) else { break false };
            let more = match arrivals.receive(socket, most) {
                Ok(more) => more,
                Err(error) => {
                    self.counters.failed_calls += 1;
                    debug!(%error, "receive");
                    break false;
                }
            };
            for index in 0..arrivals.len() {
                if let Some(arrival) = arrivals.take(index) {
                    self.arrived(token, arrival);
                }
            }
            taken += arrivals.len();
            // The rest of an event that has begun is there, too.
            let complete = !arrivals.is_within_event() && (!more || taken >= most);
            if complete || arrivals.len() == 0 {
                break more;
            }
        };
        self.arrivals = arrivals;
        more && self.sockets.is_read(token)
    }

    fn arrived(&mut self, token: Token, arrival: Arrival<'_>) {
        match arrival {
            Arrival::Event(notification) => self.notified(token, notification),
            Arrival::Piece { from, stream, ppid, unordered, bytes: piece, last } => {
                let Some(assoc) = self.name(from) else { return };
                let whole = |bytes| Input::Message { assoc, stream, ppid, unordered, bytes };
                self.take_piece(assoc, piece, last, whole);
            }
            Arrival::End => self.ended(token),
            Arrival::Unknown => self.counters.failed_calls += 1,
        }
    }

    /// A message or a piece of one; `whole` makes the message of all its pieces.
    fn take_piece(&mut self, assoc: AssocId, piece: &[u8], last: bool, whole: impl FnOnce(Bytes) -> Input) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let is_part = !last || association.inbound.has_pieces();
        self.counters.pieces += u64::from(is_part);
        match association.inbound.piece(piece, last) {
            Ok(Some(bytes)) => {
                self.counters.received += 1;
                let length = bytes.len();
                association.inbound.message(length, whole(bytes), &mut self.inputs);
            }
            Ok(None) => {}
            Err(_) => {
                let limit = self.config.max_message_size;
                return self.violate(assoc, &format!("message of more than {limit} bytes"));
            }
        }
        let held = !association.inbound.reading && !association.is_over;
        self.recharge(assoc);
        if held {
            self.stop_reading(assoc);
        }
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
            Notification::Up { assoc, streams } => match self.names.get(&assoc.0) {
                Some(Some(assoc)) => self.established(*assoc, streams),
                Some(None) => {}
                None => self.accept(token, assoc, streams),
            },
            Notification::Restarted { assoc, streams } => self.restarted(assoc, streams),
            Notification::Lost { assoc, end } => {
                let tells = self.config.timing.max_retransmissions >= 2;
                let is_silent = |it: &Association| !it.dead_paths.is_empty() || it.remote.len() > 1;
                let is_silent = !tells || self.association(assoc).is_some_and(|it| is_silent(it));
                self.down(assoc, reason::lost(&end, is_silent));
            }
            Notification::ShutDown { assoc } => self.down(assoc, DownReason::Shutdown),
            Notification::NotEstablished { assoc, end } => {
                let patience = reason::patience(&self.config.timing);
                let connecting = self.association(assoc).and_then(|it| it.connecting.as_ref());
                let after = connecting.map(System::elapsed).unwrap_or_default();
                self.down(assoc, reason::not_established(&end, after >= patience));
            }
            Notification::Path { assoc, address, up } => self.path_changed(assoc, canonical(address), up),
            Notification::PeerShutdown { assoc } => self.peer_shuts_down(assoc),
            Notification::SendFailed { assoc, message } => {
                self.counters.send_failed += 1;
                if let Some(assoc) = self.name(assoc) {
                    let why = "the system gave it back";
                    self.inputs.push_back(Input::SendFailed { assoc, bytes: message.into(), why });
                }
            }
            Notification::RemoteError => self.counters.errors += 1,
            Notification::DeliveryAborted { assoc } => {
                if let Some(assoc) = self.name(assoc) {
                    self.forget_pieces(assoc);
                }
            }
            Notification::SenderDry { assoc } => {
                if let Some(assoc) = self.name(assoc) {
                    self.mark_dirty(assoc);
                }
            }
            Notification::Other => {}
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
            // In the order of the kernel's paths, of which the first is where the INIT came from, or the first of those that we
            // asked for and the peer has. If the association has ended meanwhile, that is what comes next.
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
            if association.remote.len() > 1 {
                // The limits of the endpoint are those for a single path.
                let _ = socket.set_limits(kernel, &self.config.timing, association.remote.len());
            }
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
        // The kernel has given up what was outstanding, and still counts it.
        self.forget_control(assoc);
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
        if matches!(association.state, State::ShuttingDown | State::ShutDown) {
            self.inputs.push_back(Input::PeerShutdown { assoc });
        }
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

    fn path_changed(&mut self, kernel: KernelId, address: SocketAddr, up: bool) {
        let Some(assoc) = self.name(kernel) else { return };
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if association.state == State::Connecting {
            return;
        }
        let is_news =
            if up { association.dead_paths.remove(&address) } else { association.dead_paths.insert(address) };
        // The only path of a peer is no matter of its own: it comes back, or the association ends.
        if is_news && association.remote.len() > 1 {
            let counter = if up { &mut self.counters.paths_up } else { &mut self.counters.paths_down };
            *counter += 1;
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
