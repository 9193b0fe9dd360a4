//! Registrars, and clients that a test plays by hand, on a network in virtual time.
//!
//! Associations are reliable and ordered, with a fixed latency. A host can be killed (its associations fail after
//! a while, connects are refused at once), a link can be cut (associations and connects fail after a while). One
//! association exists per pair of endpoints; a second connect is told so, as SCTP does.

use bytes::Bytes;
use params::{
    PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport, Transport,
    TransportUse,
};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_proto::endpoint::{self, AsapEndpoint};
use rserpool_proto::profile::Profile;
use rserpool_proto::registrar::{Config, Event, Registrar};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, Time, Transmit};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const LATENCY: Duration = Duration::from_millis(1);
/// How long SCTP takes to give up an association whose peer is silent, and a connect to nobody.
const GIVE_UP: Duration = Duration::from_millis(500);

/// Names a host; registrar `n` has the identifier `n`.
pub(crate) type Host = u8;

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn ip(host: Host) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, host).into()
}

pub(crate) fn endpoint(host: Host, channel: Channel) -> SocketAddr {
    SocketAddr::new(ip(host), if channel == Channel::Enrp { 9901 } else { 3863 })
}

/// A pool element or pool user, or a registrar whose part the test plays.
#[derive(Default)]
pub(crate) struct Client {
    /// Everything that arrived on ASAP associations.
    pub(crate) asap: Vec<(Time, asap::Message)>,
    /// Everything that arrived on ENRP associations.
    pub(crate) enrp: Vec<(Time, enrp::Message)>,
    /// The elements it answers keep-alives for.
    pub(crate) elements: BTreeSet<(PoolHandle, PeIdentifier)>,
    /// Whether it answers them: a process that hangs does not.
    pub(crate) hangs: bool,
    /// Who last said to be its home.
    pub(crate) home: Option<RegistrarId>,
    /// The association over which that was said.
    pub(crate) adopted: Option<AssocId>,
    /// The associations that were established.
    pub(crate) up: Vec<AssocId>,
    /// The associations that ended.
    pub(crate) down: Vec<(AssocId, DownReason)>,
    connected: u64,
}

enum Machine {
    Registrar(Box<Registrar>, Vec<(Time, Event)>),
    /// A process with the real machine of pool elements; the test has no need of its events.
    Endpoint(Box<AsapEndpoint>),
    Client(Client),
}

impl Machine {
    fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Registrar(registrar, _) => registrar.poll_timeout().map(|(at, _)| at),
            Self::Endpoint(endpoint) => endpoint.poll_timeout().map(|(at, _)| at),
            Self::Client(_) => None,
        }
    }

    fn poll_transmit(&mut self, now: Time) -> Option<Transmit> {
        match self {
            Self::Registrar(registrar, events) => {
                while let Some(event) = registrar.poll_event() {
                    events.push((now, event));
                }
                registrar.poll_transmit()
            }
            Self::Endpoint(endpoint) => {
                while endpoint.poll_event().is_some() {}
                endpoint.poll_transmit()
            }
            Self::Client(_) => None,
        }
    }
}

type End = (Host, AssocId);

pub(crate) struct Network {
    pub(crate) now: Time,
    hosts: BTreeMap<Host, Machine>,
    dead: BTreeSet<Host>,
    cuts: BTreeSet<(Host, Host)>,
    in_flight: BTreeMap<(Time, u64), (Host, Input)>,
    sequence: u64,
    /// The other end of each association.
    ends: BTreeMap<End, End>,
    by_endpoints: BTreeMap<(SocketAddr, SocketAddr), (End, End)>,
    accepted: u64,
    /// Everything that was transmitted, in order.
    pub(crate) transcript: Vec<(Time, Host, Transmit)>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            now: Time::ZERO,
            hosts: BTreeMap::new(),
            dead: BTreeSet::new(),
            cuts: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            sequence: 0,
            ends: BTreeMap::new(),
            by_endpoints: BTreeMap::new(),
            accepted: 0,
            transcript: Vec::new(),
        }
    }

    /// `count` registrars with the timers of `lan` that know each other, started together and settled.
    pub(crate) fn of_registrars(count: Host) -> Self {
        let mut network = Self::new();
        for host in 1..=count {
            let others: Vec<Host> = (1..=count).filter(|other| *other != host).collect();
            network.start(host, &others);
        }
        network.run(ms(3000));
        network
    }

    /// Whether the host runs.
    pub(crate) fn is_alive(&self, host: Host) -> bool {
        self.hosts.contains_key(&host) && !self.dead.contains(&host)
    }

    /// Whether an association of this host exists.
    pub(crate) fn is_connected(&self, host: Host, assoc: AssocId) -> bool {
        self.ends.contains_key(&(host, assoc))
    }

    /// The configuration of registrar `host` with these peers.
    pub(crate) fn config(host: Host, peers: &[Host]) -> Config {
        Config {
            id: Some(RegistrarId(host.into())),
            peers: peers.iter().map(|peer| vec![endpoint(*peer, Channel::Enrp)]).collect(),
            ..Config::new(Profile::Lan)
        }
    }

    pub(crate) fn start(&mut self, host: Host, peers: &[Host]) {
        self.start_with(host, Self::config(host, peers));
    }

    pub(crate) fn start_with(&mut self, host: Host, config: Config) {
        let mut registrar = Registrar::new(config, ChaCha12Rng::seed_from_u64(host.into()), self.now);
        for channel in [Channel::Asap, Channel::Enrp] {
            registrar.handle_input(self.now, Input::Addresses { channel, addresses: vec![ip(host)] });
        }
        self.dead.remove(&host);
        self.hosts.insert(host, Machine::Registrar(Box::new(registrar), Vec::new()));
        self.collect(host);
    }

    /// A process with one element of "pool", by the real machine; it knows these registrars.
    pub(crate) fn start_endpoint(&mut self, host: Host, registrars: &[Host]) {
        let addresses = registrars.iter().map(|registrar| endpoint(*registrar, Channel::Asap));
        let mut config = endpoint::Config::new(addresses, 3863, [host; 32]);
        config.registrar_pool = true;
        let mut machine = AsapEndpoint::new(config, self.now);
        let registration = endpoint::Registration {
            handle: pool(),
            policy: Policy::RoundRobin,
            life: Some(Duration::from_secs(60)),
            id: Some(PeIdentifier(host.into())),
            transport: endpoint::ElementTransport::Other(element(host).user_transport),
        };
        machine.register(self.now, registration).unwrap();
        self.dead.remove(&host);
        self.hosts.insert(host, Machine::Endpoint(Box::new(machine)));
        self.collect(host);
    }

    pub(crate) fn add_client(&mut self, host: Host) {
        self.hosts.insert(host, Machine::Client(Client::default()));
    }

    pub(crate) fn registrar(&mut self, host: Host) -> &mut Registrar {
        match self.hosts.get_mut(&host) {
            Some(Machine::Registrar(registrar, _)) => registrar,
            _ => panic!("{host} is no registrar"),
        }
    }

    /// What registrar `host` told so far.
    pub(crate) fn events(&self, host: Host) -> Vec<&Event> {
        match &self.hosts[&host] {
            Machine::Registrar(_, events) => events.iter().map(|(_, event)| event).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn timed_events(&self, host: Host) -> Vec<(Time, Event)> {
        match &self.hosts[&host] {
            Machine::Registrar(_, events) => events.clone(),
            _ => Vec::new(),
        }
    }

    /// When registrar `host` told the first such event.
    pub(crate) fn event_at(&self, host: Host, wanted: impl Fn(&Event) -> bool) -> Option<Time> {
        match &self.hosts[&host] {
            Machine::Registrar(_, events) => {
                events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
            }
            _ => None,
        }
    }

    pub(crate) fn client(&mut self, host: Host) -> &mut Client {
        match self.hosts.get_mut(&host) {
            Some(Machine::Client(client)) => client,
            _ => panic!("{host} is no client"),
        }
    }

    /// A command to a registrar, with everything it causes.
    pub(crate) fn command<T>(&mut self, host: Host, command: impl FnOnce(&mut Registrar, Time) -> T) -> T {
        let now = self.now;
        let result = command(self.registrar(host), now);
        self.collect(host);
        result
    }

    // --- Faults ---

    /// The process dies: the others notice after a while, connects are refused.
    pub(crate) fn kill(&mut self, host: Host) {
        self.dead.insert(host);
        self.in_flight.retain(|_, (to, _)| *to != host);
        let ends: Vec<End> = self.ends.keys().filter(|(of, _)| *of == host).copied().collect();
        for end in ends {
            self.end(end, None, Some(DownReason::Unreachable), GIVE_UP);
        }
    }

    /// The process dies, and its host says so to whoever sends to it (ICMP).
    pub(crate) fn crash(&mut self, host: Host) {
        self.dead.insert(host);
        self.in_flight.retain(|_, (to, _)| *to != host);
        let ends: Vec<End> = self.ends.keys().filter(|(of, _)| *of == host).copied().collect();
        for end in ends {
            let why = DownReason::PeerAborted("ICMP: port unreachable".into());
            self.end(end, None, Some(why), ms(200));
        }
    }

    /// Nothing passes between two hosts any more.
    pub(crate) fn cut(&mut self, a: Host, b: Host) {
        self.cuts.insert((a.min(b), a.max(b)));
        let ends: Vec<End> =
            self.ends.iter().filter(|((x, _), (y, _))| (*x, *y) == (a, b)).map(|(end, _)| *end).collect();
        for end in ends {
            self.end(end, Some(DownReason::Unreachable), Some(DownReason::Unreachable), GIVE_UP);
        }
    }

    pub(crate) fn heal(&mut self, a: Host, b: Host) {
        self.cuts.remove(&(a.min(b), a.max(b)));
    }

    pub(crate) fn heal_all(&mut self) {
        self.cuts.clear();
    }

    fn end(&mut self, end: End, own: Option<DownReason>, other: Option<DownReason>, after: Duration) {
        let Some(peer) = self.ends.remove(&end) else { return };
        self.ends.remove(&peer);
        self.by_endpoints.retain(|_, (a, b)| *a != end && *b != end);
        for ((host, assoc), why) in [(end, own), (peer, other)] {
            if let Some(why) = why {
                self.deliver(host, after, Input::Down { assoc, why });
            }
        }
    }

    // --- Time ---

    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    /// Runs until `done`, but not longer than `limit`; how long that took.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            let at = self.next().filter(|at| *at <= start + limit);
            let Some(at) = at else { panic!("not within {limit:?}") };
            self.now = self.now.max(at);
            self.step();
        }
        self.now.since(start)
    }

    fn next(&self) -> Option<Time> {
        let running = self.hosts.iter().filter(|(host, _)| !self.dead.contains(host));
        let timers = running.filter_map(|(_, machine)| machine.poll_timeout());
        timers.chain(self.in_flight.keys().next().map(|(at, _)| *at)).min()
    }

    fn step(&mut self) {
        let due = self.in_flight.first_entry().filter(|entry| entry.key().0 <= self.now);
        if let Some((host, input)) = due.map(|entry| entry.remove()) {
            return self.input(host, input);
        }
        let hosts: Vec<Host> = self.hosts.keys().filter(|host| !self.dead.contains(host)).copied().collect();
        for host in hosts {
            match self.hosts.get_mut(&host) {
                Some(Machine::Registrar(registrar, _)) => registrar.handle_timeout(self.now),
                Some(Machine::Endpoint(endpoint)) => endpoint.handle_timeout(self.now),
                _ => continue,
            }
            self.collect(host);
        }
    }

    fn deliver(&mut self, host: Host, after: Duration, input: Input) {
        self.in_flight.insert((self.now + after, self.sequence), (host, input));
        self.sequence += 1;
    }

    fn input(&mut self, host: Host, input: Input) {
        if self.dead.contains(&host) {
            return;
        }
        match self.hosts.get_mut(&host) {
            Some(Machine::Registrar(registrar, _)) => {
                registrar.handle_input(self.now, input);
                self.collect(host);
            }
            Some(Machine::Endpoint(endpoint)) => {
                endpoint.handle_input(self.now, input);
                self.collect(host);
            }
            Some(Machine::Client(client)) => {
                for (assoc, answer) in client.input(self.now, input) {
                    self.send(host, assoc, PPID_ASAP, answer);
                }
            }
            None => {}
        }
    }

    /// Carries out what a machine wants.
    fn collect(&mut self, host: Host) {
        loop {
            let Some(machine) = self.hosts.get_mut(&host) else { return };
            let Some(transmit) = machine.poll_transmit(self.now) else { return };
            self.transcript.push((self.now, host, transmit.clone()));
            match transmit {
                Transmit::Connect { assoc, channel, remote } => self.connect(host, assoc, channel, remote[0]),
                Transmit::Send { assoc, ppid, bytes, .. } => self.send(host, assoc, ppid, bytes),
                Transmit::Shutdown { assoc } => {
                    let why = Some(DownReason::Shutdown);
                    self.end((host, assoc), why.clone(), why, LATENCY);
                }
                Transmit::Abort { assoc, cause } => {
                    let theirs = Some(DownReason::PeerAborted(cause));
                    self.end((host, assoc), Some(DownReason::LocalAbort), theirs, LATENCY);
                }
                Transmit::Announce { channel, bytes } => self.multicast(host, channel, &bytes),
                Transmit::Read { .. } => {}
            }
        }
    }

    /// To all that are in the group, the sender too.
    fn multicast(&mut self, host: Host, channel: Channel, bytes: &Bytes) {
        let from = endpoint(host, channel);
        let others: Vec<Host> = self.hosts.keys().copied().collect();
        for other in others {
            if !self.cuts.contains(&(host.min(other), host.max(other))) {
                self.deliver(other, LATENCY, Input::Announce { from, channel, bytes: bytes.clone() });
            }
        }
    }

    /// Any datagram from any source arrives at a host.
    pub(crate) fn forge(&mut self, to: Host, from: SocketAddr, channel: Channel, bytes: Bytes) {
        self.input(to, Input::Announce { from, channel, bytes });
    }

    fn connect(&mut self, host: Host, assoc: AssocId, channel: Channel, remote: SocketAddr) {
        let local = endpoint(host, channel);
        let failed = |why: &str| Input::Down { assoc, why: DownReason::ConnectFailed(why.into()) };
        let reachable = |peer: &Host| {
            [Channel::Asap, Channel::Enrp].into_iter().any(|channel| endpoint(*peer, channel) == remote)
        };
        let Some(peer) = self.hosts.keys().copied().find(reachable) else {
            return self.deliver(host, GIVE_UP, Input::Down { assoc, why: DownReason::Unreachable });
        };
        if self.cuts.contains(&(host.min(peer), host.max(peer))) {
            return self.deliver(host, GIVE_UP, Input::Down { assoc, why: DownReason::Unreachable });
        }
        if self.dead.contains(&peer) {
            return self.deliver(host, LATENCY, failed("port unreachable"));
        }
        let pair = (local.min(remote), local.max(remote));
        if let Some((a, b)) = self.by_endpoints.get(&pair) {
            let own = if a.0 == host { a.1 } else { b.1 };
            return self.deliver(host, LATENCY * 2, Input::Down { assoc, why: DownReason::Duplicate(own) });
        }
        let channel_there = if remote.port() == 9901 { Channel::Enrp } else { Channel::Asap };
        let accepted = AssocId::accepted(channel_there, self.accepted);
        self.accepted += 1;
        let (end, other) = ((host, assoc), (peer, accepted));
        self.by_endpoints.insert(pair, (end, other));
        self.ends.insert(end, other);
        self.ends.insert(other, end);
        let up = |assoc, channel, remote, local: IpAddr| Input::Up {
            assoc,
            channel,
            remote: vec![remote],
            local: vec![local],
            streams: 16,
        };
        self.deliver(peer, LATENCY, up(accepted, channel_there, local, remote.ip()));
        self.deliver(host, LATENCY * 2, up(assoc, channel, remote, local.ip()));
    }

    fn send(&mut self, host: Host, assoc: AssocId, ppid: u32, bytes: Bytes) {
        let Some((peer, theirs)) = self.ends.get(&(host, assoc)).copied() else { return };
        let message = Input::Message { assoc: theirs, stream: 0, ppid, unordered: false, bytes };
        self.deliver(peer, LATENCY * 2, message);
    }

    // --- What a client does ---

    /// Connects a client to an endpoint of a registrar and waits until that is done.
    pub(crate) fn dial(&mut self, client: Host, registrar: Host, channel: Channel) -> AssocId {
        let assoc = self.begin_dial(client, registrar, channel);
        self.run(LATENCY * 3);
        assoc
    }

    /// Begins to connect a client.
    pub(crate) fn begin_dial(&mut self, client: Host, registrar: Host, channel: Channel) -> AssocId {
        self.client(client).connected += 1;
        let assoc = AssocId::connected(self.client(client).connected);
        self.connect(client, assoc, channel, endpoint(registrar, channel));
        assoc
    }

    /// Sends over ASAP and waits for the answer; keep-alives may come before it.
    pub(crate) fn ask(
        &mut self,
        client: Host,
        assoc: AssocId,
        message: impl Into<asap::Message>,
    ) -> asap::Message {
        let known = self.client(client).asap.len();
        self.tell(client, assoc, message);
        let mut answer = None;
        self.run_until(ms(2000), |network| {
            let received = network.client(client).asap[known..].iter();
            answer = received
                .map(|(_, message)| message)
                .find(|message| !matches!(message, asap::Message::EndpointKeepAlive(_)))
                .cloned();
            answer.is_some()
        });
        answer.unwrap()
    }

    /// Sends over ASAP.
    pub(crate) fn tell(&mut self, client: Host, assoc: AssocId, message: impl Into<asap::Message>) {
        let bytes = message.into().encode().unwrap();
        self.send(client, assoc, PPID_ASAP, bytes);
    }

    /// Sends over ENRP under the identifier of the host.
    pub(crate) fn tell_peer(&mut self, client: Host, assoc: AssocId, body: impl Into<enrp::Body>) {
        let message = enrp::Message {
            sender: RegistrarId(client.into()),
            receiver: RegistrarId::NONE,
            body: body.into(),
        };
        self.send(client, assoc, PPID_ENRP, message.encode().unwrap());
    }

    /// Sends any bytes.
    pub(crate) fn tell_bytes(&mut self, client: Host, assoc: AssocId, ppid: u32, bytes: &[u8]) {
        self.send(client, assoc, ppid, Bytes::copy_from_slice(bytes));
    }

    /// Lets go of an association in order.
    pub(crate) fn hang_up(&mut self, client: Host, assoc: AssocId) {
        self.end((client, assoc), None, Some(DownReason::Shutdown), LATENCY);
    }

    /// A new element on its own host: connected, registered in "pool" at `registrar`, answering keep-alives.
    pub(crate) fn add_element(&mut self, host: Host, registrar: Host) -> AssocId {
        self.add_client(host);
        let assoc = self.dial(host, registrar, Channel::Asap);
        let answer = self.register(host, assoc, element(host));
        assert!(matches!(&answer, asap::Message::RegistrationResponse(r) if !r.rejected), "{answer:?}");
        assoc
    }

    /// Registers an element in "pool"; the answer.
    pub(crate) fn register(&mut self, host: Host, assoc: AssocId, element: PoolElement) -> asap::Message {
        self.client(host).elements.insert((pool(), element.id));
        self.ask(host, assoc, asap::Registration { handle: pool(), element })
    }

    /// The elements of "pool" with their homes, as `registrar` knows them.
    pub(crate) fn table(&mut self, registrar: Host) -> Vec<(u32, u32)> {
        let now = self.now;
        let elements = self.registrar(registrar).elements(now, &pool(), None, usize::MAX).unwrap_or_default();
        elements.iter().map(|element| (element.id.0, element.home.0)).collect()
    }
}

impl Client {
    /// Keeps what arrives. Living elements acknowledge keep-alives, each that is meant (ambiguity A-37).
    fn input(&mut self, now: Time, input: Input) -> Vec<(AssocId, Bytes)> {
        match input {
            Input::Up { assoc, .. } => self.up.push(assoc),
            Input::Down { assoc, why } => self.down.push((assoc, why)),
            Input::Message { ppid: PPID_ENRP, bytes, .. } => {
                let message = enrp::decode(&bytes, RegistrarId::NONE).message.unwrap();
                self.enrp.push((now, message));
            }
            Input::Message { assoc, ppid: PPID_ASAP, bytes, .. } => {
                let message = asap::decode(&bytes).message.unwrap();
                self.asap.push((now, message.clone()));
                let asap::Message::EndpointKeepAlive(keep_alive) = message else { return Vec::new() };
                let meant = |(handle, id): &&(PoolHandle, PeIdentifier)| {
                    *handle == keep_alive.handle && keep_alive.id.is_none_or(|meant| meant == *id)
                };
                let meant: Vec<_> = self.elements.iter().filter(meant).cloned().collect();
                if self.hangs || meant.is_empty() {
                    return Vec::new();
                }
                if keep_alive.home {
                    self.home = Some(keep_alive.registrar);
                    self.adopted = Some(assoc);
                }
                let ack = |(handle, id)| {
                    let ack = asap::Message::from(asap::EndpointKeepAliveAck { handle, id });
                    (assoc, ack.encode().unwrap())
                };
                return meant.into_iter().map(ack).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    /// The keep-alives that arrived after `since`.
    pub(crate) fn keep_alives(&self, since: Time) -> Vec<(Time, asap::EndpointKeepAlive)> {
        let received = self.asap.iter().filter(|(at, _)| *at > since);
        received
            .filter_map(|(at, message)| match message {
                asap::Message::EndpointKeepAlive(keep_alive) => Some((*at, keep_alive.clone())),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn pool() -> PoolHandle {
    "pool".into()
}

/// The element of a host: its number, Round Robin, for ever.
pub(crate) fn element(host: Host) -> PoolElement {
    PoolElement {
        id: PeIdentifier(host.into()),
        home: RegistrarId::NONE,
        life: RegistrationLife::INFINITE,
        user_transport: Transport::Sctp(SctpTransport {
            port: 7000,
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![ip(host)],
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}
