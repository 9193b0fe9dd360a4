//! A simulated datagram network in virtual time, for endpoints that cannot tell it from a real one.
//!
//! [`Network`] owns many [`SctpEndpoint`]s on many hosts and carries their datagrams with the loss, delay,
//! reordering and duplication of a [`Link`], all drawn from one seed. Paths can be blocked one way or both, hosts
//! can be paused, endpoints can crash. Everything happens in [`Network::step`], in the order of virtual time:
//! the same seed and the same calls give the same run, which [`Network::fingerprint`] shows.

mod link;
#[cfg(test)]
mod tests;

pub use link::Link;

use crate::clock::wakes_after;
use crate::sctp::{Datagram, SctpEndpoint};
use proto::{Input, Time, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An endpoint in a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// Most datagrams that wait at a paused host, as in a socket's receive buffer.
const RECEIVE_BUFFER: usize = 1024;

/// A simulated network with its endpoints.
pub struct Network {
    now: Time,
    rng: ChaCha8Rng,
    link: Link,
    nodes: Vec<Option<SctpEndpoint>>,
    by_address: BTreeMap<SocketAddr, NodeId>,
    /// Further addresses of hosts, with the first one of each.
    aliases: BTreeMap<IpAddr, IpAddr>,
    hosts: BTreeMap<IpAddr, Host>,
    blocked: BTreeSet<(IpAddr, IpAddr)>,
    /// Datagrams on their way, by time of arrival and order of sending.
    flying: BTreeMap<(Time, u64), Flying>,
    sent: u64,
    fingerprint: u64,
    icmp: bool,
}

struct Flying {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// What the endpoints at one address share.
#[derive(Default)]
struct Host {
    paused: Option<Time>,
    waiting: VecDeque<Flying>,
    /// How far its clock is behind.
    lag: Duration,
}

impl Network {
    /// An empty network.
    pub fn new(seed: u64, link: Link) -> Self {
        Self {
            now: Time::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            link,
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            aliases: BTreeMap::new(),
            hosts: BTreeMap::new(),
            blocked: BTreeSet::new(),
            flying: BTreeMap::new(),
            sent: 0,
            fingerprint: 0xcbf2_9ce4_8422_2325,
            icmp: false,
        }
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The time as the endpoint's host sees it: behind by what it has slept through.
    pub fn local_time(&self, node: NodeId) -> Time {
        let host = self.endpoint(node).and_then(|endpoint| self.host(endpoint.local_address().ip()));
        host.map_or(self.now, |host| self.now - host.lag)
    }

    /// Adds an endpoint at its local addresses, which must be specified: from then on they are one host's. An endpoint that
    /// was at one of them is gone.
    pub fn add(&mut self, endpoint: SctpEndpoint) -> NodeId {
        let node = NodeId(self.nodes.len());
        let first = endpoint.local_address().ip();
        for address in endpoint.local_addresses() {
            if let Some(replaced) = self.by_address.get(address) {
                self.crash(*replaced);
            }
            self.by_address.insert(*address, node);
            if address.ip() != first {
                self.aliases.insert(address.ip(), first);
            }
        }
        self.hosts.entry(self.host_of(first)).or_default();
        self.nodes.push(Some(endpoint));
        node
    }

    /// An endpoint dies without a word. Datagrams to its address are lost, or answered by ICMP
    /// ([`Network::set_icmp`]).
    pub fn crash(&mut self, node: NodeId) {
        if let Some(endpoint) = self.nodes.get_mut(node.0).and_then(Option::take) {
            for address in endpoint.local_addresses() {
                self.by_address.remove(address);
            }
        }
    }

    /// The name of the host with an address: its first one.
    fn host_of(&self, address: IpAddr) -> IpAddr {
        self.aliases.get(&address).copied().unwrap_or(address)
    }

    fn host(&self, address: IpAddr) -> Option<&Host> {
        self.hosts.get(&self.host_of(address))
    }

    /// An endpoint, unless it crashed.
    pub fn endpoint(&self, node: NodeId) -> Option<&SctpEndpoint> {
        self.nodes.get(node.0)?.as_ref()
    }

    /// What has happened at an endpoint since the last call.
    pub fn poll_inputs(&mut self, node: NodeId) -> Vec<Input> {
        let Some(endpoint) = self.nodes.get_mut(node.0).and_then(Option::as_mut) else { return Vec::new() };
        std::iter::from_fn(|| endpoint.poll_input()).collect()
    }

    /// Carries out transmits at an endpoint as one batch.
    pub fn carry_out(&mut self, node: NodeId, transmits: impl IntoIterator<Item = Transmit>) {
        let now = self.local_time(node);
        let Some(endpoint) = self.nodes.get_mut(node.0).and_then(Option::as_mut) else { return };
        for transmit in transmits {
            endpoint.carry_out(now, transmit);
        }
        self.flush(node);
    }

    /// Sets how datagrams fare from now on.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Whether a datagram to a port where nobody listens is answered by an ICMP message.
    pub fn set_icmp(&mut self, on: bool) {
        self.icmp = on;
    }

    /// Loses everything from one host to another, that way only.
    pub fn block(&mut self, from: IpAddr, to: IpAddr) {
        self.blocked.insert((from, to));
    }

    /// Ends the block of one way.
    pub fn unblock(&mut self, from: IpAddr, to: IpAddr) {
        self.blocked.remove(&(from, to));
    }

    /// Ends all blocks.
    pub fn heal(&mut self) {
        self.blocked.clear();
    }

    /// A host stops: no timer runs, what arrives waits.
    pub fn pause(&mut self, host: IpAddr) {
        let now = self.now;
        self.hosts.entry(self.host_of(host)).or_default().paused.get_or_insert(now);
    }

    /// A paused host goes on, with its clock where it was.
    pub fn resume(&mut self, address: IpAddr) {
        let Some(host) = self.hosts.get_mut(&self.host_of(address)) else { return };
        let Some(since) = host.paused.take() else { return };
        let pause = self.now.since(since);
        host.lag += pause - wakes_after(pause);
        for datagram in std::mem::take(&mut host.waiting) {
            self.launch(self.now, datagram);
        }
    }

    /// Sends a datagram of anybody's making: an attacker, a middlebox.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.carry(Flying { from, to, bytes });
    }

    /// When the next thing happens.
    pub fn next_event(&self) -> Option<Time> {
        let datagram = self.flying.keys().next().map(|(time, _)| *time);
        let timer = self.next_timer().map(|(time, _)| time);
        match (datagram, timer) {
            (Some(datagram), Some(timer)) => Some(datagram.min(timer)),
            (one, other) => one.or(other),
        }
    }

    /// Lets the next thing happen and tells at which endpoint, so that its machine can be driven. Returns `None`
    /// with the time at `until` if nothing happens before.
    pub fn step(&mut self, until: Time) -> Option<NodeId> {
        loop {
            let Some(time) = self.next_event().filter(|time| *time <= until) else {
                self.now = self.now.max(until);
                return None;
            };
            self.now = self.now.max(time);
            // Input first, timers second.
            let datagram = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now);
            let node = match datagram.map(|entry| entry.remove()) {
                Some(datagram) => self.arrive(datagram),
                None => self.run_timer(),
            };
            if let Some(node) = node {
                self.flush(node);
                return Some(node);
            }
        }
    }

    /// Runs until a time and forgets at which endpoints something happened.
    pub fn run(&mut self, until: Time) {
        while self.step(until).is_some() {}
    }

    /// A hash of all traffic so far with its times: equal for equal runs.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn run_timer(&mut self) -> Option<NodeId> {
        let (_, node) = self.next_timer()?;
        let now = self.local_time(node);
        self.nodes.get_mut(node.0)?.as_mut()?.handle_timeout(now);
        Some(node)
    }

    fn next_timer(&self) -> Option<(Time, NodeId)> {
        let nodes = self.by_address.iter().filter_map(|(address, node)| {
            let host = self.host(address.ip()).filter(|host| host.paused.is_none())?;
            Some((self.endpoint(*node)?.poll_timeout()? + host.lag, *node))
        });
        nodes.min()
    }

    fn arrive(&mut self, datagram: Flying) -> Option<NodeId> {
        let host = self.hosts.get_mut(&self.host_of(datagram.to.ip()));
        if let Some(host) = host.filter(|host| host.paused.is_some()) {
            if host.waiting.len() < RECEIVE_BUFFER {
                host.waiting.push_back(datagram);
            }
            return None;
        }
        let Some(&node) = self.by_address.get(&datagram.to) else {
            return self.unreachable(&datagram);
        };
        let now = self.local_time(node);
        let endpoint = self.nodes.get_mut(node.0)?.as_mut()?;
        endpoint.handle_datagram(now, datagram.from, datagram.to.ip(), &datagram.bytes);
        Some(node)
    }

    /// Nobody listens: the sender hears of it, if the network sends ICMP.
    fn unreachable(&mut self, datagram: &Flying) -> Option<NodeId> {
        let node = self.by_address.get(&datagram.from).copied().filter(|_| self.icmp)?;
        let now = self.local_time(node);
        self.nodes.get_mut(node.0)?.as_mut()?.handle_unreachable(now, datagram.to, &datagram.bytes);
        Some(node)
    }

    /// Takes what an endpoint has to send.
    fn flush(&mut self, node: NodeId) {
        let now = self.local_time(node);
        let Some(endpoint) = self.nodes.get_mut(node.0).and_then(Option::as_mut) else { return };
        endpoint.finish_batch(now);
        let local = endpoint.local_address();
        let datagrams: Vec<Datagram> = std::iter::from_fn(|| endpoint.poll_datagram()).collect();
        for Datagram { to, from, bytes } in datagrams {
            let from = SocketAddr::new(from.unwrap_or(local.ip()), local.port());
            self.carry(Flying { from, to, bytes });
        }
    }

    /// Decides the fate of a datagram.
    fn carry(&mut self, datagram: Flying) {
        self.record(&datagram);
        let blocked = self.blocked.contains(&(datagram.from.ip(), datagram.to.ip()));
        let arrivals = self.link.arrivals(&mut self.rng);
        if blocked {
            return;
        }
        for delay in arrivals.into_iter().flatten() {
            let copy = Flying { bytes: datagram.bytes.clone(), ..datagram };
            self.launch(self.now + delay, copy);
        }
    }

    fn launch(&mut self, arrival: Time, datagram: Flying) {
        self.sent += 1;
        self.flying.insert((arrival, self.sent), datagram);
    }

    /// FNV-1a over time, addresses and bytes.
    fn record(&mut self, datagram: &Flying) {
        let text = format!("{} {} {} ", self.now, datagram.from, datagram.to);
        for byte in text.bytes().chain(datagram.bytes.iter().copied()) {
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A number below `bound`, which is above 0.
fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    rng.next_u64() % bound.max(1)
}
