//! Registrars and simulated elements on a network in virtual time.
//!
//! Associations are reliable and ordered, with a fixed latency. Each registrar has a core of its own: a turn takes as
//! long in virtual time as it took on the CPU, and what arrives meanwhile waits for the next one. Elements take no
//! time. What elements and network cost is not charged to the registrars.

use crate::element::{self, Element, Link, T4};
use crate::meter::{Stopwatch, Usage};
use asap::Message;
use bytes::Bytes;
use params::{PeIdentifier, RegistrarId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_proto::registrar::{Config, Event, Limits, Registrar, Status};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, Time, Transmit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const LATENCY: Duration = Duration::from_micros(100);
/// How long SCTP takes to give up a peer that is silent, and what the phase of its heartbeats adds to that.
const GIVE_UP: Duration = Duration::from_millis(500);
const HEARTBEAT: Duration = Duration::from_millis(200);
/// Inputs of one turn, as many as the driver reads at a time.
const BATCH: usize = 64;
const ENRP_PORT: u16 = 9901;

/// Who is at the other end of a registrar's association.
#[derive(Clone, Copy)]
enum Peer {
    Element(u32),
    Registrar(Link),
}

enum Happening {
    /// Something arrives at a registrar.
    Arrival(usize, Input),
    /// A registrar works, unless it has been called earlier.
    Turn(usize),
    /// A message arrives at an element.
    Message(u32, Link, Bytes),
    /// An association of an element is gone.
    Loss(u32, Link),
    /// An element's T4 expires.
    T4(u32),
}

struct Host {
    registrar: Option<Registrar>,
    inbox: VecDeque<Input>,
    /// When its next turn is.
    turn: Option<Time>,
    /// When its last turn ended.
    idle_since: Time,
    usage: Usage,
}

/// A change that not all registrars have heard of yet.
struct Change {
    since: Time,
    unaware: BTreeSet<usize>,
}

pub(crate) struct Scope {
    pub(crate) now: Time,
    hosts: Vec<Host>,
    elements: Vec<Element>,
    links: BTreeMap<Link, Peer>,
    happenings: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    rng: ChaCha12Rng,
    stopwatch: Stopwatch,
    changes: BTreeMap<PeIdentifier, Change>,
    /// How long it took until each change was known everywhere.
    pub(crate) delays: Vec<Duration>,
    /// When registrars had started.
    pub(crate) started: BTreeMap<usize, Time>,
    /// When registrars were taken over by somebody who said so.
    pub(crate) taken_over: BTreeMap<RegistrarId, Time>,
    /// Elements that were told that they are not registered any more, and registrations that were refused.
    pub(crate) failures: usize,
}

fn enrp_address(host: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(192, 168, 0, host as u8 + 1).into(), ENRP_PORT)
}

/// The identifier of a registrar.
pub(crate) fn id(host: usize) -> RegistrarId {
    RegistrarId(host as u32 + 1)
}

impl Scope {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            hosts: Vec::new(),
            elements: Vec::new(),
            links: BTreeMap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            rng: ChaCha12Rng::seed_from_u64(seed),
            stopwatch: Stopwatch::new(),
            changes: BTreeMap::new(),
            delays: Vec::new(),
            started: BTreeMap::new(),
            taken_over: BTreeMap::new(),
            failures: 0,
        }
    }

    /// Starts a registrar with the default configuration, and room for more elements, that knows all others.
    pub(crate) fn start_registrar(&mut self) -> usize {
        let host = self.hosts.len();
        let config = Config {
            id: Some(id(host)),
            limits: Limits { associations: 1_000_000, ..Limits::default() },
            peers: (0..host).map(|other| vec![enrp_address(other)]).collect(),
            ..Config::default()
        };
        let registrar = Registrar::new(config, ChaCha12Rng::seed_from_u64(host as u64), self.now);
        let (inbox, usage) = (VecDeque::new(), Usage::default());
        self.hosts.push(Host { registrar: Some(registrar), inbox, turn: None, idle_since: self.now, usage });
        self.call(host, self.now);
        host
    }

    /// Starts an element that registers at this registrar.
    pub(crate) fn start_element(&mut self, host: usize) -> u32 {
        let n = self.elements.len() as u32;
        let assoc = AssocId::accepted(Channel::Asap, self.next_number());
        self.elements.push(Element { home: Some((host, assoc)), registered: false });
        self.links.insert((host, assoc), Peer::Element(n));
        self.up(host, assoc, Channel::Asap, element::address(n), LATENCY);
        self.register(n);
        n
    }

    /// As [`start_element`](Self::start_element); when all registrars know it, that is noted.
    pub(crate) fn start_observed_element(&mut self, host: usize) {
        let n = self.start_element(host);
        let unaware = (0..self.hosts.len()).filter(|&host| self.is_alive(host)).collect();
        self.changes.insert(element::identifier(n), Change { since: self.now, unaware });
    }

    /// The host of a registrar dies without a word. Returns how many bytes its registrar held.
    pub(crate) fn kill(&mut self, host: usize) -> i64 {
        let registrar = self.hosts[host].registrar.take();
        let held = -allocation_counter::measure(|| drop(registrar)).bytes_current;
        let range = (host, AssocId::connected(0))..(host + 1, AssocId::connected(0));
        let links: Vec<(Link, Peer)> = self.links.range(range).map(|(link, peer)| (*link, *peer)).collect();
        for (link, peer) in links {
            self.links.remove(&link);
            let after = GIVE_UP + self.rng.random_range(Duration::ZERO..HEARTBEAT);
            match peer {
                Peer::Element(n) => self.happens(self.now + after, Happening::Loss(n, link)),
                Peer::Registrar((other, assoc)) => {
                    self.links.remove(&(other, assoc));
                    let down = Input::Down { assoc, why: DownReason::Unreachable };
                    self.happens(self.now + after, Happening::Arrival(other, down));
                }
            }
        }
        held
    }

    pub(crate) fn is_alive(&self, host: usize) -> bool {
        self.hosts[host].registrar.is_some()
    }

    pub(crate) fn status(&self, host: usize) -> Option<Status> {
        self.hosts[host].registrar.as_ref().map(|registrar| registrar.status(self.now))
    }

    /// Whether every registrar that lives knows all elements, and each is at home at one of them.
    pub(crate) fn agrees(&self) -> bool {
        let statuses = || (0..self.hosts.len()).filter_map(|host| self.status(host));
        statuses().all(|status| status.elements == self.elements.len())
            && statuses().map(|status| status.owned_elements).sum::<usize>() == self.elements.len()
    }

    /// How many elements have no home.
    pub(crate) fn homeless(&self) -> usize {
        let is_homeless = |element: &&Element| element.home.is_none_or(|(host, _)| !self.is_alive(host));
        self.elements.iter().filter(is_homeless).count()
    }

    /// What a registrar has used so far.
    pub(crate) fn usage(&self, host: usize) -> Usage {
        self.hosts[host].usage
    }

    /// What all registrars have used so far.
    pub(crate) fn total_usage(&self) -> Usage {
        self.hosts.iter().fold(Usage::default(), |sum, host| Usage {
            cpu: sum.cpu + host.usage.cpu,
            messages: sum.messages + host.usage.messages,
            bytes: sum.bytes + host.usage.bytes,
        })
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub(crate) fn run_until(&mut self, end: Time) {
        while let Some(entry) = self.happenings.first_entry().filter(|entry| entry.key().0 <= end) {
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        self.now = end;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival(host, input) => {
                if self.hosts[host].registrar.is_some() {
                    self.hosts[host].inbox.push_back(input);
                    self.call(host, self.now);
                }
            }
            Happening::Turn(host) if self.hosts[host].turn == Some(self.now) => self.turn(host),
            Happening::Turn(_) => {}
            Happening::Message(n, link, bytes) => self.element_hears(n, link, &bytes),
            Happening::Loss(n, link) => {
                let element = &mut self.elements[n as usize];
                element.home.take_if(|home| *home == link);
            }
            Happening::T4(n) => match self.elements[n as usize].home {
                Some(_) => self.register(n),
                None => self.elements[n as usize].registered = false,
            },
        }
    }

    fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn happens(&mut self, at: Time, happening: Happening) {
        let number = self.next_number();
        self.happenings.insert((at, number), happening);
    }

    // ---- Registrars ----

    /// Sees to it that a registrar has a turn at this time or before.
    fn call(&mut self, host: usize, at: Time) {
        let at = at.max(self.now).max(self.hosts[host].idle_since);
        if self.hosts[host].turn.is_none_or(|turn| turn > at) {
            self.hosts[host].turn = Some(at);
            self.happens(at, Happening::Turn(host));
        }
    }

    /// As the driver does it: inputs, timers, transmits, events.
    fn turn(&mut self, host: usize) {
        let now = self.now;
        let Host { registrar, inbox, turn, idle_since, usage } = &mut self.hosts[host];
        *turn = None;
        let Some(registrar) = registrar else { return };
        let (mut transmits, mut events) = (Vec::with_capacity(BATCH * 4), Vec::with_capacity(BATCH));
        let inputs: Vec<Input> = inbox.drain(..inbox.len().min(BATCH)).collect();
        let count = |usage: &mut Usage, bytes: &Bytes| {
            usage.messages += 1;
            usage.bytes += bytes.len() as u64;
        };
        for input in &inputs {
            if let Input::Message { bytes, .. } = input {
                count(usage, bytes);
            }
        }
        let took = self.stopwatch.measure(|| {
            for input in inputs {
                registrar.handle_input(now, input);
            }
            registrar.handle_timeout(now);
            transmits.extend(std::iter::from_fn(|| registrar.poll_transmit()));
            events.extend(std::iter::from_fn(|| registrar.poll_event()));
        });
        for transmit in &transmits {
            if let Transmit::Send { bytes, .. } = transmit {
                count(usage, bytes);
            }
        }
        usage.cpu += took;
        *idle_since = now + took;
        let next = if inbox.is_empty() { registrar.poll_timeout().map(|(at, _)| at) } else { Some(now) };
        for transmit in transmits {
            self.carry_out(host, now + took, transmit);
        }
        for event in events {
            self.note(host, now + took, &event);
        }
        if let Some(next) = next {
            self.call(host, next);
        }
    }

    fn note(&mut self, host: usize, at: Time, event: &Event) {
        match event {
            Event::Started { .. } => _ = self.started.insert(host, at),
            Event::TakeoverCompleted { target, winner, .. } if *winner == id(host) => {
                self.taken_over.insert(*target, at);
            }
            Event::ElementRegistered { id, .. } => {
                let Some(change) = self.changes.get_mut(id) else { return };
                change.unaware.remove(&host);
                if change.unaware.is_empty() {
                    self.delays.push(at.since(change.since));
                    self.changes.remove(id);
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, host: usize, now: Time, transmit: Transmit) {
        match transmit {
            Transmit::Connect { assoc, channel, remote } => self.connect(host, now, assoc, channel, &remote),
            Transmit::Send { assoc, ppid, bytes, .. } => match self.links.get(&(host, assoc)) {
                Some(Peer::Element(n)) => {
                    self.happens(now + LATENCY, Happening::Message(*n, (host, assoc), bytes));
                }
                Some(&Peer::Registrar((to, assoc))) => {
                    // Everybody has memory of his own.
                    let bytes = Bytes::copy_from_slice(&bytes);
                    let message = Input::Message { assoc, stream: 0, ppid, unordered: false, bytes };
                    self.happens(now + LATENCY, Happening::Arrival(to, message));
                }
                None => {}
            },
            Transmit::Abort { assoc, .. } | Transmit::Shutdown { assoc } => {
                let gone = |assoc| Input::Down { assoc, why: DownReason::LocalAbort };
                self.happens(now, Happening::Arrival(host, gone(assoc)));
                match self.links.remove(&(host, assoc)) {
                    Some(Peer::Element(n)) => {
                        self.happens(now + LATENCY, Happening::Loss(n, (host, assoc)));
                    }
                    Some(Peer::Registrar((other, theirs))) => {
                        self.links.remove(&(other, theirs));
                        let why = DownReason::PeerAborted(String::new());
                        let down = Input::Down { assoc: theirs, why };
                        self.happens(now + LATENCY, Happening::Arrival(other, down));
                    }
                    None => {}
                }
            }
            Transmit::Read { .. } | Transmit::Announce { .. } => {}
        }
    }

    fn connect(&mut self, host: usize, now: Time, assoc: AssocId, channel: Channel, remote: &[SocketAddr]) {
        let down = |why| Happening::Arrival(host, Input::Down { assoc, why });
        let Some(&remote) = remote.first() else { return };
        if let Some(n) = element::at(remote) {
            self.links.insert((host, assoc), Peer::Element(n));
            return self.up(host, assoc, channel, remote, now.since(self.now) + 2 * LATENCY);
        }
        let other = (0..self.hosts.len()).find(|&other| enrp_address(other) == remote);
        let Some(other) = other.filter(|&other| self.is_alive(other)) else {
            return self.happens(now + GIVE_UP, down(DownReason::Unreachable));
        };
        let range = (host, AssocId::connected(0))..(host + 1, AssocId::connected(0));
        let leads_there = |peer: &Peer| matches!(peer, Peer::Registrar((to, _)) if *to == other);
        let existing =
            self.links.range(range).find(|(_, peer)| leads_there(peer)).map(|((_, name), _)| *name);
        if let Some(existing) = existing {
            return self.happens(now + LATENCY, down(DownReason::Duplicate(existing)));
        }
        let accepted = AssocId::accepted(Channel::Enrp, self.next_number());
        self.links.insert((host, assoc), Peer::Registrar((other, accepted)));
        self.links.insert((other, accepted), Peer::Registrar((host, assoc)));
        let delay = now.since(self.now) + LATENCY;
        self.up(other, accepted, Channel::Enrp, enrp_address(host), delay);
        self.up(host, assoc, Channel::Enrp, remote, delay + LATENCY);
    }

    fn up(&mut self, host: usize, assoc: AssocId, channel: Channel, remote: SocketAddr, after: Duration) {
        let local = vec![enrp_address(host).ip()];
        let up = Input::Up { assoc, channel, remote: vec![remote], local, streams: 16 };
        self.happens(self.now + after, Happening::Arrival(host, up));
    }

    // ---- Elements ----

    fn register(&mut self, n: u32) {
        let element = &mut self.elements[n as usize];
        element.registered = false;
        if let Some(home) = element.home {
            self.send(home, element::registration(n));
        }
    }

    fn send(&mut self, (host, assoc): Link, bytes: Bytes) {
        let message = Input::Message { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes };
        self.happens(self.now + LATENCY, Happening::Arrival(host, message));
    }

    fn element_hears(&mut self, n: u32, link: Link, bytes: &[u8]) {
        match asap::decode(bytes).message {
            Ok(Message::EndpointKeepAlive(keep_alive)) => {
                self.send(link, element::acknowledgement(n, keep_alive.handle));
                let element = &mut self.elements[n as usize];
                if keep_alive.home {
                    element.home = Some(link);
                }
                if keep_alive.home && !element.registered {
                    self.register(n);
                }
            }
            Ok(Message::RegistrationResponse(response)) => {
                self.failures += usize::from(response.rejected);
                self.elements[n as usize].registered = true;
                // Up to a tenth early (RFC 5352 §7.1).
                let t4 = T4.mul_f64(self.rng.random_range(0.9..=1.0));
                self.happens(self.now + t4, Happening::T4(n));
            }
            _ => self.failures += 1,
        }
    }
}
