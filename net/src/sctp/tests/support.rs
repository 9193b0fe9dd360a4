//! A small world: endpoints on a simulated network, and words for what they do.

use crate::memory::{Link, Network, NodeId};
use crate::sctp::{Counters, SctpConfig, SctpEndpoint};
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
        self.network.run(until);
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
