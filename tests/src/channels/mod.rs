//! Whole associations in memory, without packets: reliable ordered channels with delay, that break as SCTP with
//! the timing `lan` would break them. Fast, and its faults are not softened by retransmission.
//!
//! Each end of an association looks at its path every `WATCH`; after `PATIENCE` looks in a row without an
//! answer it gives the association up. What is sent while nothing passes waits for the path to heal.

mod clock;
mod happenings;

use crate::cuts::{Cut, Cuts};
use crate::network::{ASAP_PORT, ENDPOINT_PORT, ENRP_PORT, HostId, Network, Role, Stop};
use bytes::Bytes;
use clock::Clock;
use net::memory::Link;
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Between two looks at a path, at least; at most half as much more (SCTP: heartbeats, RTO).
const WATCH: Duration = Duration::from_millis(120);
/// So many looks without an answer end an association (Association.Max.Retrans = 2).
const PATIENCE: u32 = 3;
/// When INIT is sent, after the first one, and how long the last one waits (T1-init).
const INITS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(300)];
const INIT_TIMEOUT: Duration = Duration::from_millis(550);
/// What a loss adds to the delay of a message, at most (RTO.Max).
const RETRANSMISSION: Duration = Duration::from_millis(250);
/// Where source ports of sessions begin.
const FIRST_SESSION_PORT: u16 = 20_000;

/// How [`Channels`] behave apart from their [`Link`].
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Whether the death of a process shows to who sends to it (ICMP).
    pub icmp: bool,
    /// Of 1,000 connects, refused for no reason.
    pub refused: u32,
    /// Bytes queued for an association when it is full.
    pub send_queue: usize,
    /// By how many millionths at most the clock of a host goes too fast or too slowly.
    pub skew: u32,
}

/// Hosts that are joined by associations.
pub struct Channels {
    now: Time,
    rng: ChaCha12Rng,
    link: Link,
    manners: Manners,
    hosts: BTreeMap<HostId, Host>,
    /// Hosts that run and have been told something.
    told: BTreeSet<HostId>,
    cuts: Cuts,
    ends: BTreeMap<EndId, End>,
    names: BTreeMap<(HostId, AssocId), EndId>,
    /// By our port and the peer's.
    ports: BTreeMap<(SocketAddr, SocketAddr), EndId>,
    agenda: BTreeMap<(Time, u64), Happening>,
    last: u64,
    carried: u64,
}

#[derive(Default)]
struct Host {
    running: bool,
    stopped: Option<(Time, Stop)>,
    lag: Duration,
    clock: Clock,
    /// What reached it while everything was stopped.
    missed: Vec<Happening>,
    inputs: VecDeque<Input>,
    accepted: u64,
    next_session_port: u16,
}

/// One end of an association, never used again.
type EndId = u64;

struct End {
    host: HostId,
    assoc: AssocId,
    channel: Channel,
    /// Our port and the peer's.
    local: SocketAddr,
    remote: SocketAddr,
    /// The other end as far as it is known.
    peer: Option<EndId>,
    established: bool,
    shutting_down: bool,
    /// Looks at the path that had no answer.
    silent: u32,
    /// When the last thing sent will arrive: nothing overtakes it.
    arrival: Time,
    /// What waits for the path to heal.
    stuck: VecDeque<Parcel>,
    /// Sent and not yet read by the peer.
    queued: usize,
    full: bool,
    reading: bool,
    unread: VecDeque<Parcel>,
}

/// What travels over an association in order.
enum Parcel {
    Message { stream: u16, ppid: u32, unordered: bool, bytes: Bytes },
    Shutdown,
    Abort(String),
}

enum Happening {
    /// A connecting end knocks at its peer.
    Init(EndId),
    /// The handshake of a connecting end is complete.
    Established(EndId),
    /// Nobody has answered.
    InitTimeout(EndId),
    /// Something reaches this end.
    Arrival(EndId, Parcel),
    /// This end is gone for its host.
    Gone(EndId, DownReason),
    /// This end looks at its path.
    Watch(EndId),
    /// A datagram of a multicast group reaches a host.
    Announcement(HostId, Input),
}

/// What an end that sends something would notice.
enum Path {
    Good,
    Silent,
    Refused(&'static str),
}

impl Channels {
    /// A network without hosts.
    pub fn new(seed: u64, link: Link, manners: Manners) -> Self {
        Self {
            now: Time::ZERO,
            rng: ChaCha12Rng::seed_from_u64(seed),
            link,
            manners,
            hosts: BTreeMap::new(),
            told: BTreeSet::new(),
            cuts: Cuts::default(),
            ends: BTreeMap::new(),
            names: BTreeMap::new(),
            ports: BTreeMap::new(),
            agenda: BTreeMap::new(),
            last: 0,
            carried: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn at(&mut self, time: Time, happening: Happening) {
        let number = self.number();
        self.agenda.insert((time, number), happening);
    }

    fn delay(&mut self) -> Duration {
        let jitter = self.rng.random_range(Duration::ZERO..=self.link.jitter);
        let lost = self.rng.random_range(0..1000) < self.link.loss;
        let again =
            if lost { self.rng.random_range(RETRANSMISSION / 5..=RETRANSMISSION) } else { Duration::ZERO };
        self.link.delay + jitter + again
    }

    fn tell(&mut self, id: HostId, input: Input) {
        if let Some(host) = self.hosts.get_mut(&id).filter(|host| host.running) {
            host.inputs.push_back(input);
            if host.stopped.is_none() {
                self.told.insert(id);
            }
        }
    }

    fn passes(&self, from: HostId, to: HostId) -> bool {
        self.cuts.passes(from, to)
    }

    /// All associations of a host.
    fn ends_of(&self, host: HostId) -> Vec<EndId> {
        let (first, last) = (AssocId::connected(0), AssocId::accepted(Channel::Session, u64::MAX));
        self.names.range((host, first)..=(host, last)).map(|(_, id)| *id).collect()
    }

    fn end(&self, host: HostId, assoc: AssocId) -> Option<EndId> {
        self.names.get(&(host, assoc)).copied()
    }

    fn remove(&mut self, id: EndId) -> Option<End> {
        let end = self.ends.remove(&id)?;
        self.names.remove(&(end.host, end.assoc));
        self.ports.remove(&(end.local, end.remote));
        Some(end)
    }

    /// Ends an association at one end and tells its host.
    fn down(&mut self, id: EndId, why: DownReason) {
        if let Some(end) = self.remove(id) {
            self.tell(end.host, Input::Down { assoc: end.assoc, why });
        }
    }

    fn path(&self, end: &End) -> Path {
        let Some(peer) = HostId::at(end.remote.ip()) else { return Path::Silent };
        let host = self.hosts.get(&peer);
        if !self.passes(end.host, peer) || !self.passes(peer, end.host) {
            return Path::Silent;
        }
        match host {
            Some(host) if host.running && host.is_deaf() => Path::Silent,
            Some(host) if host.running && end.peer.is_some_and(|peer| self.ends.contains_key(&peer)) => {
                Path::Good
            }
            Some(host) if host.running => Path::Refused("out of the blue"),
            _ if self.manners.icmp => Path::Refused("ICMP: port unreachable"),
            _ => Path::Silent,
        }
    }

    fn insert(&mut self, end: End) -> EndId {
        let id = self.number();
        self.names.insert((end.host, end.assoc), id);
        self.ports.insert((end.local, end.remote), id);
        self.ends.insert(id, end);
        id
    }

    /// The end at `local` of the association with `remote`, if there is one.
    fn twin(&self, local: SocketAddr, remote: SocketAddr) -> Option<EndId> {
        self.ports.get(&(local, remote)).copied()
    }
}

/// What the machines want.
impl Channels {
    fn connect(&mut self, host: HostId, assoc: AssocId, channel: Channel, remote: SocketAddr) {
        let Some(state) = self.hosts.get_mut(&host) else { return };
        let port = match (channel, host.role) {
            (Channel::Session, _) => {
                state.next_session_port = (state.next_session_port + 1).max(FIRST_SESSION_PORT);
                state.next_session_port
            }
            (Channel::Enrp, _) => ENRP_PORT,
            (Channel::Asap, Role::Registrar) => ASAP_PORT,
            (Channel::Asap, _) => ENDPOINT_PORT,
        };
        let local = host.port(port);
        if local == remote {
            let why = DownReason::ConnectFailed("own address".into());
            return self.tell(host, Input::Down { assoc, why });
        }
        if let Some(existing) = self.twin(local, remote).and_then(|twin| self.ends.get(&twin)) {
            let why = DownReason::Duplicate(existing.assoc);
            return self.tell(host, Input::Down { assoc, why });
        }
        let id = self.insert(End::new(host, assoc, channel, local, remote));
        for after in INITS {
            self.at(self.now + after, Happening::Init(id));
        }
        self.at(self.now + INIT_TIMEOUT, Happening::InitTimeout(id));
    }

    fn send(&mut self, id: EndId, parcel: Parcel) {
        let Some(end) = self.ends.get(&id) else { return };
        let good = end.stuck.is_empty() && end.established && matches!(self.path(end), Path::Good);
        let peer = end.peer;
        match peer.filter(|_| good) {
            Some(peer) => {
                let delay = self.delay();
                let now = self.now;
                let Some(end) = self.ends.get_mut(&id) else { return };
                end.arrival = end.arrival.max(now + delay);
                let arrival = end.arrival;
                self.at(arrival, Happening::Arrival(peer, parcel));
            }
            None => {
                if let Some(end) = self.ends.get_mut(&id) {
                    end.stuck.push_back(parcel);
                }
            }
        }
    }

    /// One datagram to each host that listens to the group, which gets there or not.
    fn announce(&mut self, from: HostId, channel: Channel, bytes: &Bytes) {
        let port = if channel == Channel::Enrp { ENRP_PORT } else { ASAP_PORT };
        let listens = |role| match role {
            Role::Registrar => true,
            Role::Element | Role::User => channel == Channel::Asap,
            Role::Watcher => false,
        };
        let reached = |to: &HostId| *to != from && listens(to.role) && self.passes(from, *to);
        let reached: Vec<HostId> = self.hosts.keys().copied().filter(reached).collect();
        for to in reached {
            if self.rng.random_range(0..1000) >= self.link.loss {
                let jitter = self.rng.random_range(Duration::ZERO..=self.link.jitter);
                let input = Input::Announce { from: from.port(port), channel, bytes: bytes.clone() };
                self.at(self.now + self.link.delay + jitter, Happening::Announcement(to, input));
            }
        }
    }

    fn abort(&mut self, id: EndId, cause: String) {
        let Some(end) = self.remove(id) else { return };
        self.tell(end.host, Input::Down { assoc: end.assoc, why: DownReason::LocalAbort });
        self.abort_peer(&end, cause);
    }

    /// One packet, which gets there or not.
    fn abort_peer(&mut self, end: &End, cause: String) {
        let reaches = HostId::at(end.remote.ip()).is_some_and(|peer| self.passes(end.host, peer));
        if let Some(peer) = end.peer.filter(|_| reaches) {
            let arrival = end.arrival.max(self.now + self.link.delay);
            self.at(arrival, Happening::Arrival(peer, Parcel::Abort(cause)));
        }
    }
}

impl Host {
    /// Whether nothing that is sent to it is answered.
    fn is_deaf(&self) -> bool {
        matches!(self.stopped, Some((_, Stop::Everything)))
    }
}

impl End {
    fn new(host: HostId, assoc: AssocId, channel: Channel, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            host,
            assoc,
            channel,
            local,
            remote,
            peer: None,
            established: false,
            shutting_down: false,
            silent: 0,
            arrival: Time::ZERO,
            stuck: VecDeque::new(),
            queued: 0,
            full: false,
            reading: true,
            unread: VecDeque::new(),
        }
    }
}

/// The channel of associations that arrive at this port.
fn listening(host: HostId, at: SocketAddr) -> Option<Channel> {
    match (host.role, at.port()) {
        (Role::Registrar, ASAP_PORT) => Some(Channel::Asap),
        (Role::Registrar, ENRP_PORT) => Some(Channel::Enrp),
        (Role::Element | Role::User | Role::Watcher, ENDPOINT_PORT) => Some(Channel::Asap),
        _ => None,
    }
}

impl Network for Channels {
    fn now(&self) -> Time {
        self.now
    }

    fn local_time(&self, host: HostId) -> Time {
        self.hosts.get(&host).map_or(self.now, |host| host.clock.at(self.now - host.lag))
    }

    fn due(&self, host: HostId, local: Time) -> Time {
        let wait = local.since(self.local_time(host));
        self.now + self.hosts.get(&host).map_or(wait, |host| host.clock.lasts(wait))
    }

    fn start(&mut self, host: HostId, _seed: [u8; 32]) {
        self.crash(host);
        if !self.hosts.contains_key(&host) {
            let clock = Clock::random(self.manners.skew, &mut self.rng);
            self.hosts.insert(host, Host { clock, ..Host::default() });
        }
        self.hosts.entry(host).or_default().running = true;
    }

    fn crash(&mut self, host: HostId) {
        self.resume(host);
        self.told.remove(&host);
        for id in self.ends_of(host) {
            self.remove(id);
        }
        if let Some(host) = self.hosts.get_mut(&host) {
            host.running = false;
            host.inputs.clear();
        }
    }

    fn lose(&mut self, host: HostId) {
        let ends = &self.ends;
        let peer = |id: &EndId| ends.get(id).and_then(|end| HostId::at(end.remote.ip()));
        self.agenda.retain(|_, happening| match happening {
            Happening::Arrival(id, _) => peer(id) != Some(host),
            _ => true,
        });
    }

    fn pause(&mut self, host: HostId, stop: Stop) {
        let now = self.now;
        self.told.remove(&host);
        if let Some(host) = self.hosts.get_mut(&host) {
            host.stopped.get_or_insert((now, stop));
        }
    }

    fn resume(&mut self, id: HostId) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let Some((since, stop)) = host.stopped.take() else { return };
        let pause = now.since(since);
        host.lag += pause - net::wakes_after(pause);
        if !host.inputs.is_empty() {
            self.told.insert(id);
        }
        for happening in std::mem::take(&mut host.missed) {
            self.at(now, happening);
        }
        if stop == Stop::Process {
            for end in self.ends_of(id) {
                self.read(end);
            }
        }
    }

    fn cut(&mut self, number: u32, cut: Cut) {
        self.cuts.insert(number, cut);
    }

    fn mend(&mut self, number: u32) {
        self.cuts.remove(number);
    }

    fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    fn set_refused(&mut self, refused: u32) {
        self.manners.refused = refused;
    }

    fn carry_out(&mut self, host: HostId, transmit: Transmit) {
        match transmit {
            Transmit::Connect { assoc, channel, remote } => {
                if let Some(remote) = remote.first() {
                    self.connect(host, assoc, channel, *remote);
                }
            }
            Transmit::Send { assoc, stream, ppid, unordered, bytes } => {
                let end = self.end(host, assoc).and_then(|id| Some((id, self.ends.get_mut(&id)?)));
                match end.filter(|(_, end)| !end.shutting_down) {
                    Some((id, end)) => {
                        end.queued += bytes.len();
                        if !end.full && end.queued >= self.manners.send_queue {
                            end.full = true;
                            self.tell(host, Input::Full { assoc });
                        }
                        self.send(id, Parcel::Message { stream, ppid, unordered, bytes });
                    }
                    None => self.tell(host, Input::SendFailed { assoc, bytes, why: "no such association" }),
                }
            }
            Transmit::Read { assoc, on } => {
                if let Some(id) = self.end(host, assoc) {
                    if let Some(end) = self.ends.get_mut(&id) {
                        end.reading = on;
                    }
                    self.read(id);
                }
            }
            Transmit::Shutdown { assoc } => {
                let Some(id) = self.end(host, assoc) else { return };
                let Some(end) = self.ends.get_mut(&id) else { return };
                if !end.established {
                    return self.abort(id, "shut down".into());
                }
                if !std::mem::replace(&mut end.shutting_down, true) {
                    self.send(id, Parcel::Shutdown);
                }
            }
            Transmit::Abort { assoc, cause } => {
                if let Some(id) = self.end(host, assoc) {
                    self.abort(id, cause);
                }
            }
            Transmit::Announce { channel, bytes } => self.announce(host, channel, &bytes),
        }
    }

    fn poll_inputs(&mut self, host: HostId) -> Vec<Input> {
        self.told.remove(&host);
        self.hosts.get_mut(&host).map(|host| host.inputs.drain(..).collect()).unwrap_or_default()
    }

    fn step(&mut self, until: Time) -> Option<HostId> {
        loop {
            if let Some(host) = self.told.first() {
                return Some(*host);
            }
            let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= until) else { break };
            let ((time, _), happening) = entry.remove_entry();
            self.now = self.now.max(time);
            self.happen(happening);
        }
        self.now = self.now.max(until);
        None
    }

    fn carried(&self) -> u64 {
        self.carried
    }
}
