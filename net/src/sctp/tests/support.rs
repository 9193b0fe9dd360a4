//! A small world: endpoints on a simulated network, and words for what they do.

use crate::memory::{Link, Network, NodeId};
use crate::sctp::packet::{self, InitFields, Packet, chunk};
use crate::sctp::{Carrier, Counters, Datagram, SctpConfig, SctpEndpoint};
use bytes::Bytes;
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Time, Transmit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Every test of addresses runs on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

impl Family {
    /// The address of the `n`-th host.
    pub(super) fn host(self, n: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 0, 0, n).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n.into()).into(),
        }
    }

    pub(super) fn at(self, n: u8, port: u16) -> SocketAddr {
        SocketAddr::new(self.host(n), port)
    }
}

pub(super) struct World {
    pub(super) network: Network,
    seed: u8,
    connected: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_link(1, Link::perfect())
    }

    pub(super) fn with_link(seed: u64, link: Link) -> Self {
        Self { network: Network::new(seed, link), seed: seed as u8, connected: 0 }
    }

    /// An endpoint for ASAP.
    pub(super) fn endpoint(&mut self, address: SocketAddr) -> NodeId {
        self.endpoint_with(address, SctpConfig::control())
    }

    pub(super) fn endpoint_with(&mut self, address: SocketAddr, config: SctpConfig) -> NodeId {
        self.seed = self.seed.wrapping_add(1);
        self.network.add(SctpEndpoint::new(config, Channel::Asap, address, [self.seed; 32]))
    }

    /// An endpoint with these SCTP ports on one socket.
    pub(super) fn endpoint_on(
        &mut self,
        carrier: Carrier,
        socket: SocketAddr,
        ports: &[(Channel, u16)],
    ) -> NodeId {
        self.seed = self.seed.wrapping_add(1);
        let config = SctpConfig::control();
        self.network.add(SctpEndpoint::with_ports(config, carrier, socket, ports, [self.seed; 32]))
    }

    pub(super) fn connect(&mut self, node: NodeId, channel: Channel, remote: SocketAddr) -> AssocId {
        let assoc = AssocId::connected(self.connected);
        self.connected += 1;
        self.network.carry_out(node, [Transmit::Connect { assoc, channel, remote: vec![remote] }]);
        assoc
    }

    pub(super) fn send(&mut self, node: NodeId, assoc: AssocId, bytes: impl Into<Bytes>) {
        self.network.carry_out(node, [message(assoc, 0, bytes)]);
    }

    pub(super) fn run(&mut self, millis: u64) {
        let until = self.network.now() + Duration::from_millis(millis);
        let mut instant = (self.now(), 0);
        while self.network.step(until).is_some() {
            instant = if instant.0 == self.now() { (instant.0, instant.1 + 1) } else { (self.now(), 0) };
            // A timer that is due here and not yet in dcsctp would stop the time for ever.
            assert!(instant.1 < 100_000, "time stands still at {}", instant.0);
        }
    }

    pub(super) fn now(&self) -> Time {
        self.network.now()
    }

    pub(super) fn inputs(&mut self, node: NodeId) -> Vec<Input> {
        self.network.poll_inputs(node)
    }

    pub(super) fn counters(&self, node: NodeId) -> &Counters {
        self.network.endpoint(node).expect("it is there").counters()
    }

    /// An established association: the names on both sides.
    pub(super) fn establish(
        &mut self,
        client: NodeId,
        server: NodeId,
        channel: Channel,
    ) -> (AssocId, AssocId) {
        let remote = self.network.endpoint(server).expect("it is there").local_address();
        let ours = self.connect(client, channel, remote);
        self.run(50);
        assert_eq!(ups(&self.inputs(client)), [ours]);
        let theirs = ups(&self.inputs(server));
        assert_eq!(theirs.len(), 1);
        (ours, theirs[0])
    }
}

pub(super) fn message(assoc: AssocId, stream: u16, bytes: impl Into<Bytes>) -> Transmit {
    Transmit::Send { assoc, stream, ppid: PPID_ASAP, unordered: false, bytes: bytes.into() }
}

pub(super) fn ups(inputs: &[Input]) -> Vec<AssocId> {
    let up = |input: &Input| if let Input::Up { assoc, .. } = input { Some(*assoc) } else { None };
    inputs.iter().filter_map(up).collect()
}

pub(super) fn downs(inputs: &[Input]) -> Vec<(AssocId, DownReason)> {
    let down = |input: &Input| match input {
        Input::Down { assoc, why } => Some((*assoc, why.clone())),
        _ => None,
    };
    inputs.iter().filter_map(down).collect()
}

pub(super) fn messages(inputs: &[Input]) -> Vec<(AssocId, Bytes)> {
    let message = |input: &Input| match input {
        Input::Message { assoc, bytes, .. } => Some((*assoc, bytes.clone())),
        _ => None,
    };
    inputs.iter().filter_map(message).collect()
}

/// One endpoint without a network: the test plays the peer.
pub(super) struct Bench {
    pub(super) endpoint: SctpEndpoint,
    pub(super) now: Time,
}

impl Bench {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self::with_config(address, SctpConfig::control())
    }

    pub(super) fn with_config(address: SocketAddr, config: SctpConfig) -> Self {
        let seed = [address.port().to_be_bytes()[1]; 32];
        let endpoint = SctpEndpoint::new(config, Channel::Asap, address, seed);
        Self { endpoint, now: Time::from_micros(1_000_000) }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.endpoint.handle_timeout(self.now);
    }

    /// Gives it a packet and returns what it sends.
    pub(super) fn receive(&mut self, from: SocketAddr, packet: &[u8]) -> Vec<Vec<u8>> {
        let to = self.endpoint.local_address().ip();
        self.endpoint.handle_datagram(self.now, from, to, packet);
        self.sent().into_iter().map(|datagram| datagram.bytes).collect()
    }

    pub(super) fn sent(&mut self) -> Vec<Datagram> {
        self.endpoint.finish_batch(self.now);
        std::iter::from_fn(|| self.endpoint.poll_datagram()).collect()
    }

    pub(super) fn inputs(&mut self) -> Vec<Input> {
        std::iter::from_fn(|| self.endpoint.poll_input()).collect()
    }

    pub(super) fn connect(&mut self, n: u64, channel: Channel, remote: SocketAddr) -> AssocId {
        let assoc = AssocId::connected(n);
        self.endpoint.carry_out(self.now, Transmit::Connect { assoc, channel, remote: vec![remote] });
        assoc
    }
}

/// Lets two endpoints exchange until both are silent; `seen_as` is where the second sees the first one.
pub(super) fn exchange(first: &mut Bench, second: &mut Bench, seen_as: SocketAddr) {
    loop {
        let there = first.sent();
        let back = second.sent();
        if there.is_empty() && back.is_empty() {
            return;
        }
        let (first_address, second_address) =
            (first.endpoint.local_address(), second.endpoint.local_address());
        for datagram in there {
            assert_eq!(datagram.to, second_address);
            second.endpoint.handle_datagram(second.now, seen_as, second_address.ip(), &datagram.bytes);
        }
        for datagram in back.into_iter().filter(|datagram| datagram.to == seen_as) {
            first.endpoint.handle_datagram(first.now, second_address, first_address.ip(), &datagram.bytes);
        }
    }
}

/// An INIT as dcsctp sends it, from one SCTP port to another.
pub(super) fn init(source: u16, destination: u16) -> Vec<u8> {
    let mut value = vec![0x11, 0x22, 0x33, 0x44];
    value.extend_from_slice(&131_072_u32.to_be_bytes());
    value.extend_from_slice(&[0, 16, 0, 16]);
    value.extend_from_slice(&1000_u32.to_be_bytes());
    value.extend_from_slice(&[0x80, 0x08, 0, 5, 130, 0, 0, 0]);
    packet::single((source, destination), 0, chunk::INIT, 0, &value)
}

/// The COOKIE ECHO that answers an INIT ACK.
pub(super) fn cookie_echo(init_ack: &[u8]) -> Vec<u8> {
    let packet = Packet::parse(init_ack).expect("a packet");
    let value = packet.first().expect("a chunk").value;
    let tag = packet::u32_at(value, 0).expect("a tag");
    let mut at = InitFields::LENGTH;
    let cookie = loop {
        let kind = packet::u16_at(value, at).expect("a cookie");
        let length = usize::from(packet::u16_at(value, at + 2).expect("a length"));
        if kind == 7 {
            break &value[at + 4..at + length];
        }
        at += length.next_multiple_of(4);
    };
    let ports = (packet.destination_port(), packet.source_port());
    packet::single(ports, tag, chunk::COOKIE_ECHO, 0, cookie)
}

/// A DATA chunk value: a whole message on a stream.
pub(super) fn data(tsn: u32, stream: u16, bytes: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&stream.to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    value.extend_from_slice(&PPID_ASAP.to_be_bytes());
    value.extend_from_slice(bytes);
    value
}

/// The chunk types of a packet.
pub(super) fn kinds(packet: &[u8]) -> Vec<u8> {
    Packet::parse(packet).expect("a packet").chunks().map(|chunk| chunk.kind).collect()
}

/// A handshake by hand: our tag at the endpoint.
pub(super) fn establish_by_hand(bench: &mut Bench, from: SocketAddr, source: u16) -> u32 {
    let destination = bench.endpoint.local_address().port();
    let init_ack = bench.receive(from, &init(source, destination)).remove(0);
    let echo = cookie_echo(&init_ack);
    assert_eq!(kinds(&bench.receive(from, &echo)[0]), [chunk::COOKIE_ACK]);
    Packet::parse(&echo).expect("a packet").tag()
}
