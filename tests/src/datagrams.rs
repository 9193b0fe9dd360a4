//! The real SCTP endpoint over a datagram network that loses, delays, reorders and duplicates.

use crate::cuts::{Cut, Cuts};
use crate::network::{ASAP_PORT, ENDPOINT_PORT, ENRP_PORT, HostId, Network, Role, Stop};
use net::memory::{self, Link, NodeId};
use net::sctp::{SctpConfig, SctpEndpoint};
use proto::{AssocId, Channel, Input, Time, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;

/// Hosts with one embedded endpoint each, registrars with two.
pub struct Datagrams {
    network: memory::Network,
    hosts: BTreeMap<HostId, Vec<(Channel, NodeId)>>,
    owners: BTreeMap<NodeId, HostId>,
    /// Which endpoint an association belongs to.
    associations: BTreeMap<(HostId, AssocId), NodeId>,
    cuts: Cuts,
    steps: u64,
}

impl Datagrams {
    /// A network without hosts. `icmp`: whether datagrams to dead processes are answered.
    pub fn new(seed: u64, link: Link, icmp: bool) -> Self {
        let mut network = memory::Network::new(seed, link);
        network.set_icmp(icmp);
        Self {
            network,
            hosts: BTreeMap::new(),
            owners: BTreeMap::new(),
            associations: BTreeMap::new(),
            cuts: Cuts::default(),
            steps: 0,
        }
    }

    fn nodes(&self, host: HostId) -> Vec<(Channel, NodeId)> {
        self.hosts.get(&host).cloned().unwrap_or_default()
    }
}

impl Network for Datagrams {
    fn now(&self) -> Time {
        self.network.now()
    }

    fn due(&self, host: HostId, local: Time) -> Time {
        self.network.now() + local.since(self.local_time(host))
    }

    fn local_time(&self, host: HostId) -> Time {
        let node = self.hosts.get(&host).and_then(|nodes| nodes.first());
        node.map_or(self.network.now(), |(_, node)| self.network.local_time(*node))
    }

    fn start(&mut self, host: HostId, seed: [u8; 32]) {
        self.crash(host);
        let mut rng = ChaCha12Rng::from_seed(seed);
        let ports: &[(Channel, u16)] = match host.role {
            Role::Registrar => &[(Channel::Asap, ASAP_PORT), (Channel::Enrp, ENRP_PORT)],
            Role::Element | Role::User | Role::Watcher => &[(Channel::Asap, ENDPOINT_PORT)],
        };
        for (channel, port) in ports {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let config = match host.role {
                Role::Registrar => SctpConfig::control(),
                Role::Element | Role::User | Role::Watcher => SctpConfig::sessions(),
            };
            let node = self.network.add(SctpEndpoint::new(config, *channel, host.port(*port), seed));
            self.owners.insert(node, host);
            self.hosts.entry(host).or_default().push((*channel, node));
        }
    }

    fn crash(&mut self, host: HostId) {
        self.network.resume(host.ip());
        for (_, node) in self.hosts.remove(&host).unwrap_or_default() {
            self.network.crash(node);
            self.owners.remove(&node);
        }
        let (first, last) = (AssocId::connected(0), AssocId::accepted(Channel::Session, u64::MAX));
        let names: Vec<_> =
            self.associations.range((host, first)..=(host, last)).map(|(name, _)| *name).collect();
        for name in names {
            self.associations.remove(&name);
        }
    }

    fn lose(&mut self, _: HostId) {}

    fn pause(&mut self, host: HostId, _: Stop) {
        self.network.pause(host.ip());
    }

    fn resume(&mut self, host: HostId) {
        self.network.resume(host.ip());
    }

    fn cut(&mut self, number: u32, cut: Cut) {
        for (from, to) in cut.ways() {
            self.network.block(from.ip(), to.ip());
        }
        self.cuts.insert(number, cut);
    }

    fn mend(&mut self, number: u32) {
        let Some(cut) = self.cuts.remove(number) else { return };
        for (from, to) in cut.ways().filter(|(from, to)| self.cuts.passes(*from, *to)) {
            self.network.unblock(from.ip(), to.ip());
        }
    }

    fn set_link(&mut self, link: Link) {
        self.network.set_link(link);
    }

    fn set_refused(&mut self, _: u32) {}

    fn carry_out(&mut self, host: HostId, transmit: Transmit) {
        let node = match &transmit {
            Transmit::Connect { assoc, channel, .. } => {
                let enrp = *channel == Channel::Enrp;
                let mut nodes = self.nodes(host).into_iter();
                let node = nodes.find(|(of, _)| enrp == (*of == Channel::Enrp)).map(|(_, node)| node);
                node.inspect(|node| {
                    self.associations.insert((host, *assoc), *node);
                })
            }
            Transmit::Send { assoc, .. }
            | Transmit::Read { assoc, .. }
            | Transmit::Shutdown { assoc }
            | Transmit::Abort { assoc, .. } => self.associations.get(&(host, *assoc)).copied(),
            Transmit::Announce { .. } => None,
        };
        if let Some(node) = node {
            self.network.carry_out(node, [transmit]);
        }
    }

    fn poll_inputs(&mut self, host: HostId) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (_, node) in self.nodes(host) {
            for input in self.network.poll_inputs(node) {
                match &input {
                    Input::Up { assoc, .. } => {
                        self.associations.insert((host, *assoc), node);
                    }
                    Input::Down { assoc, .. } => {
                        self.associations.remove(&(host, *assoc));
                    }
                    _ => {}
                }
                inputs.push(input);
            }
        }
        inputs
    }

    fn step(&mut self, until: Time) -> Option<HostId> {
        loop {
            let node = self.network.step(until)?;
            self.steps += 1;
            if let Some(host) = self.owners.get(&node) {
                return Some(*host);
            }
        }
    }

    fn carried(&self) -> u64 {
        self.steps
    }
}
