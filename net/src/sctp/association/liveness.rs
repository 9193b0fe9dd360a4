//! Whether the peer is there: what `dcsctp` counts as errors, and what is made of it.

use super::{Association, Progress};
use crate::sctp::Counters;
use crate::sctp::packet::{self, SackFields, cause, chunk};
use crate::sctp::paths::Refusal;
use proto::{DownReason, Input, Time};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

impl Association {
    /// Which paths went down or came up again, and the end if none is left.
    pub(super) fn tell_paths(
        &mut self,
        inputs: &mut VecDeque<Input>,
        counters: &mut Counters,
        progress: &mut Progress,
    ) {
        let Some(paths) = &mut self.paths else { return };
        while let Some((ip, up)) = paths.poll_change() {
            let counter = if up { &mut counters.paths_up } else { &mut counters.paths_down };
            *counter += 1;
            let address = SocketAddr::new(ip, self.key.peer_port);
            inputs.push_back(Input::Path { assoc: self.id, address, up });
        }
        if paths.is_lost() && progress.end.is_none() {
            progress.packets.extend(self.abort(cause::USER_INITIATED_ABORT, "Too many retransmissions"));
            progress.end = Some(DownReason::Unreachable);
        }
    }

    /// A peer that answers probes of its closed window is alive (RFC 9260 §6.1 A), but dcsctp counts each probe
    /// as an error. Only the answer to its heartbeat clears that count, so it is given one.
    pub(super) fn keep_alive_at_zero_window(&mut self, sack: &[u8]) {
        if SackFields::parse(sack).is_some_and(|sack| (sack.window as usize) < self.mtu) {
            self.paths.iter_mut().for_each(|paths| paths.stay_alive());
            self.clear_error_count();
        }
    }

    /// An answer to a heartbeat before the last one: the peer is slow, not dead (RFC 9260 §8.1), but dcsctp takes
    /// only the answer to the last one. What is older than it takes to give a peer up says nothing about now.
    pub(super) fn take_late_heartbeat(&mut self, answer: &[u8]) {
        let Some(counter) = answer.get(4..8).and_then(|info| packet::u32_at(info, 0)) else { return };
        let age = u32::from_be_bytes(self.heartbeat).wrapping_sub(counter);
        if (1..=self.max_retransmissions).contains(&age) {
            self.clear_error_count();
        }
    }

    pub(super) fn clear_error_count(&mut self) {
        let mut value = vec![0, 1, 0, 8];
        value.extend_from_slice(&self.heartbeat);
        let ports = (self.key.peer_port, self.key.local_port);
        let answer = packet::single(ports, self.local_tag, chunk::HEARTBEAT_ACK, 0, &value);
        self.socket.handle_input(&answer);
    }

    /// Nobody listens at an address of the peer. Without another one that is the end.
    pub(in crate::sctp) fn refused_at(&mut self, now: Time, destination: SocketAddr) -> Refusal {
        self.paths.as_mut().map_or(Refusal::End, |paths| paths.refuse(now, destination))
    }

    /// Whether the peer is at this address, as far as we know.
    pub(in crate::sctp) fn is_at(&self, ip: IpAddr) -> bool {
        self.key.remote.ip() == ip || self.paths.as_ref().is_some_and(|paths| paths.contains(ip))
    }
}
