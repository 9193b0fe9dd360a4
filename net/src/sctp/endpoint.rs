//! The endpoint: its table of associations and the way of a packet to its association.

use super::{Counters, SctpConfig};
use proto::{Channel, Input, Time, Transmit};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// A UDP datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// The local address to send it from; the route's choice if there is none.
    pub from: Option<IpAddr>,
    /// One SCTP packet.
    pub bytes: Vec<u8>,
}

/// A one-to-many SCTP endpoint without sockets and without clock.
///
/// The owner repeats: [`handle_datagram`](Self::handle_datagram) for everything that arrived,
/// [`handle_timeout`](Self::handle_timeout), [`poll_input`](Self::poll_input) until it is empty,
/// [`carry_out`](Self::carry_out) what the machine answers, [`finish_batch`](Self::finish_batch), then
/// [`poll_datagram`](Self::poll_datagram) until it is empty.
///
/// Not `Send`: an endpoint lives on the thread that created it. It reseeds the thread's `fastrand` before
/// each handshake, so that the same seed and the same calls give the same packets.
pub struct SctpEndpoint {
    local: SocketAddr,
    counters: Counters,
    inputs: VecDeque<Input>,
    datagrams: VecDeque<Datagram>,
}

impl SctpEndpoint {
    /// An endpoint on the UDP socket `local`, whose port is also the SCTP port it listens on.
    ///
    /// `channel` is the one of associations that peers start: [`Channel::Asap`] or [`Channel::Enrp`].
    /// `seed` feeds its generator: fresh from the system's, or the simulation's.
    pub fn new(config: SctpConfig, channel: Channel, local: SocketAddr, seed: [u8; 32]) -> Self {
        let _ = (config, channel, seed);
        Self { local, counters: Counters::default(), inputs: VecDeque::new(), datagrams: VecDeque::new() }
    }

    /// Its UDP socket's address; the port is the SCTP port too.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// A datagram arrived from `from` at our address `to`.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, to: IpAddr, packet: &[u8]) {
        let _ = (now, from, to, packet);
        self.counters.received += 1;
    }

    /// An ICMP message says that `destination` cannot be reached; `quoted` is the start of the SCTP packet that
    /// it quotes. A hint (RFC 6951 §5.5): destination, ports and verification tag must fit, else it is dropped.
    pub fn handle_unreachable(&mut self, now: Time, destination: SocketAddr, quoted: &[u8]) {
        let _ = (now, destination, quoted);
    }

    /// Carries out a transmit of the machine. Failures come back as inputs.
    ///
    /// Messages are only queued: [`finish_batch`](Self::finish_batch) sends them, bundled. Announcements are not
    /// for an endpoint and are ignored.
    pub fn carry_out(&mut self, now: Time, transmit: Transmit) {
        let _ = (now, transmit);
    }

    /// Hands the messages queued by [`carry_out`](Self::carry_out) to their associations, each once.
    pub fn finish_batch(&mut self, now: Time) {
        let _ = now;
    }

    /// Runs the timers that are due. Early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The next thing that happened.
    pub fn poll_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// What it has counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
