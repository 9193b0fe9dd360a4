//! What runs on the hosts: the real machines, with the applications on top.

use crate::counter::{self, Counter};
use crate::network::{ASAP_PORT, ENDPOINT_PORT, ENRP_PORT, HostId};
use params::{PeIdentifier, Policy, PoolHandle, RegistrarId};
use proto::endpoint::{
    self, AsapEndpoint, CloseReason, ElementId, ElementTransport, Message, Registration, RequestId,
    ResolveOptions, SendError, SessionId, SessionOptions,
};
use proto::registrar::{self, Registrar};
use proto::{Input, Node, Time, Transmit};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a session looks for a server. Longer than any trouble, so that no session ever ends for want of one.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// T1-ENRPrequest × (MAX-REQUEST-RETRANSMIT + 1).
const RESOLUTION_BOUND: Duration = Duration::from_millis(750);
/// T2-registration × (MAX-REG-ATTEMPT + 1); each failure that SCTP tells of only makes it shorter.
const REGISTRATION_BOUND: Duration = Duration::from_millis(1500);
/// A clock advances by 50 ms when its host wakes (design decision D2), and so late may be each of three timers in a
/// row that a starved host sets one after the other; more when it is stopped again before it has looked at them.
const LATENESS: Duration = Duration::from_millis(500);

/// How long the registrars hold silent elements at most: less than the world has to converge.
const HOLD: Duration = Duration::from_secs(5);

/// The pool of all.
pub fn pool() -> PoolHandle {
    PoolHandle::from("counter")
}

/// The process on a host.
pub enum Process {
    /// `rserpool-registrar`.
    Registrar(Box<Registrar>),
    /// A counter server.
    Element(Box<Server>),
    /// Counter clients.
    User(Box<Clients>),
}

impl Process {
    /// A process that starts now on `host`, in a world with so many registrars.
    pub fn start(host: HostId, registrars: &[HostId], mut rng: ChaCha12Rng, now: Time) -> Self {
        use crate::network::Role;
        if host.role == Role::Registrar {
            let others = registrars.iter().filter(|other| **other != host);
            let peers = others.map(|other| vec![other.port(ENRP_PORT)]).collect();
            let mut config = registrar::Config { peers, ..registrar::Config::default() };
            config.guard.hold = HOLD;
            return Self::Registrar(Box::new(Registrar::new(config, rng, now)));
        }
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let registrars = registrars.iter().map(|registrar| registrar.port(ASAP_PORT));
        let machine = AsapEndpoint::new(endpoint::Config::new(registrars, ENDPOINT_PORT, seed), now);
        match host.role {
            Role::Element => Self::Element(Box::new(Server::start(machine, host, rng, now))),
            _ => Self::User(Box::new(Clients {
                machine,
                rng,
                clients: BTreeMap::new(),
                resolution: None,
                leaving: false,
                next: now,
            })),
        }
    }

    /// Its machine takes an input.
    pub fn input(&mut self, now: Time, input: Input) {
        match self {
            Self::Registrar(machine) => machine.handle_input(now, input),
            Self::Element(server) => server.machine.handle_input(now, input),
            Self::User(clients) => clients.machine.handle_input(now, input),
        }
    }

    /// Something may be due in the machine or the application.
    pub fn timeout(&mut self, now: Time) -> Result<(), String> {
        match self {
            Self::Registrar(machine) => machine.handle_timeout(now),
            Self::Element(server) => server.machine.handle_timeout(now),
            Self::User(clients) => {
                clients.machine.handle_timeout(now);
                return clients.work(now);
            }
        }
        Ok(())
    }

    /// Every request ends in an answer or an error in bounded time.
    pub fn check(&self, now: Time) -> Result<(), String> {
        let (request, since, bound) = match self {
            Self::Registrar(_) => return Ok(()),
            Self::Element(server) => ("registration", server.awaited, REGISTRATION_BOUND),
            Self::User(clients) => {
                ("resolution", clients.resolution.map(|(_, since)| since), RESOLUTION_BOUND)
            }
        };
        match since.map(|since| now.since(since)) {
            Some(waited) if waited > bound + LATENESS => {
                Err(format!("a {request} has had no end for {waited:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The next thing the machine wants done.
    pub fn transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Registrar(machine) => machine.poll_transmit(),
            Self::Element(server) => server.machine.poll_transmit(),
            Self::User(clients) => clients.machine.poll_transmit(),
        }
    }

    /// When the next timer is due.
    pub fn due(&self) -> Option<Time> {
        match self {
            Self::Registrar(machine) => machine.poll_timeout().map(|(at, _)| at),
            Self::Element(server) => server.machine.poll_timeout().map(|(at, _)| at),
            Self::User(clients) => {
                let machine = clients.machine.poll_timeout().map(|(at, _)| at);
                machine.into_iter().chain((!clients.leaving).then_some(clients.next)).min()
            }
        }
    }

    /// The process ends in order: [`Process::has_left`] says when.
    pub fn leave(&mut self, now: Time) {
        match self {
            Self::Registrar(machine) => machine.shutdown(now),
            Self::Element(server) => server.machine.shutdown(now),
            Self::User(clients) => {
                clients.leaving = true;
                clients.machine.shutdown(now);
            }
        }
    }

    /// Whether it has ended in order.
    pub fn has_left(&self) -> bool {
        match self {
            Self::Registrar(machine) => machine.is_drained(),
            Self::Element(server) => server.machine.is_drained(),
            Self::User(clients) => clients.machine.is_drained(),
        }
    }
}

/// A process with one element that counts.
pub struct Server {
    machine: AsapEndpoint,
    element: ElementId,
    /// Its identifier while it is registered.
    pub identifier: Option<PeIdentifier>,
    /// Its home as it knows it.
    pub home: Option<RegistrarId>,
    sessions: BTreeMap<SessionId, Counter>,
    /// While the result of a registration is to come.
    awaited: Option<Time>,
}

impl Server {
    fn start(mut machine: AsapEndpoint, host: HostId, mut rng: ChaCha12Rng, now: Time) -> Self {
        // Some keep their identifier over restarts.
        let id = host.number.is_multiple_of(3).then(|| PeIdentifier(1000 + u32::from(host.number)));
        let registration = Registration {
            handle: pool(),
            policy: Policy::RoundRobin,
            life: rng.random_bool(0.8).then_some(Duration::from_secs(rng.random_range(2..=60))),
            id,
            transport: ElementTransport::Sessions,
        };
        let element = machine.register(now, registration).unwrap_or(ElementId(0));
        let awaited = Some(now);
        Self { machine, element, identifier: None, home: None, sessions: BTreeMap::new(), awaited }
    }

    /// The next event of the machine, handled.
    pub fn event(&mut self, now: Time) -> Result<Option<endpoint::Event>, String> {
        use endpoint::Event;
        let Some(event) = self.machine.poll_event() else { return Ok(None) };
        match &event {
            Event::Registered { id, home, .. } => {
                self.awaited = None;
                self.identifier = Some(*id);
                self.home = home.or(self.home);
            }
            Event::RegistrationFailed { .. } => {
                self.awaited = None;
                self.identifier = None;
            }
            Event::Expired { .. } => self.awaited = Some(now),
            Event::Deregistered { element, .. } if *element == self.element => {
                self.awaited = None;
                self.identifier = None;
            }
            Event::HomeChanged { home } => self.home = Some(*home),
            Event::RegistrarConnected { .. } | Event::RegistrarLost | Event::NoRegistrarFound { .. } => {
                self.home = None;
            }
            Event::SessionAccepted { session, cookie, .. } => {
                let cookie = cookie.as_ref().and_then(|cookie| Counter::from_cookie(cookie));
                self.sessions.insert(*session, cookie.unwrap_or_default());
            }
            Event::CookieReceived { session, cookie } => {
                if let Some(counter) = Counter::from_cookie(cookie) {
                    self.sessions.insert(*session, counter);
                }
            }
            Event::Received { session, message } => self.serve(now, *session, message)?,
            Event::Closed { session, .. } => {
                self.sessions.remove(session);
            }
            _ => {}
        }
        Ok(Some(event))
    }

    fn serve(&mut self, now: Time, session: SessionId, message: &Message) -> Result<(), String> {
        let counter = self.sessions.get_mut(&session).ok_or("a message of a session that is unknown")?;
        let operation = counter::number(&message.bytes).ok_or("a message that nobody has sent")?;
        let answer = Message::new(counter::message(counter.handle(operation)));
        let cookie = counter.cookie();
        let sent = self.machine.set_cookie(now, session, cookie);
        match sent.and_then(|()| self.machine.send(now, session, 0, answer)) {
            Ok(()) | Err(SendError::Closed) => Ok(()),
            Err(error) => Err(format!("an answer was refused: {error}")),
        }
    }
}

/// A process with sessions, and with resolutions beside them.
pub struct Clients {
    machine: AsapEndpoint,
    rng: ChaCha12Rng,
    clients: BTreeMap<SessionId, Client>,
    resolution: Option<(RequestId, Time)>,
    leaving: bool,
    next: Time,
}

/// One session of a user.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    epoch: u32,
    /// Whether it has had a server.
    pub connected: bool,
    /// Operations answered.
    pub done: u64,
    /// When the last answer or failover came.
    pub last: Time,
    waiting: bool,
    closing: bool,
    next: Time,
}

impl Clients {
    /// Sessions of a process.
    const SESSIONS: usize = 2;

    /// Its sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, Client)> {
        self.clients.iter().map(|(session, client)| (*session, *client))
    }

    /// Does what is due: starts sessions, sends operations, resolves.
    fn work(&mut self, now: Time) -> Result<(), String> {
        if now < self.next || self.leaving {
            return Ok(());
        }
        self.next = now + Duration::from_millis(self.rng.random_range(20..=60));
        if self.clients.len() < Self::SESSIONS && self.rng.random_bool(0.5) {
            match self.machine.connect(now, pool(), SessionOptions { patience: PATIENCE }) {
                Ok(session) => {
                    let client = Client {
                        epoch: 0,
                        connected: false,
                        done: 0,
                        last: now,
                        waiting: false,
                        closing: false,
                        next: now,
                    };
                    self.clients.insert(session, client);
                }
                Err(error) => return Err(format!("no session: {error}")),
            }
        }
        if self.resolution.is_none() && self.rng.random_bool(0.1) {
            let options = ResolveOptions { items: None, uncached: self.rng.random_bool(0.7) };
            match self.machine.resolve(now, pool(), options) {
                Ok(request) => self.resolution = Some((request, now)),
                Err(error) => return Err(format!("no resolution: {error}")),
            }
        }
        for (session, client) in &mut self.clients {
            if client.waiting || client.closing || now < client.next {
                continue;
            }
            if client.connected && self.rng.random_bool(0.01) {
                client.closing = true;
                self.machine.close(now, *session);
                continue;
            }
            client.waiting = true;
            Self::send(&mut self.machine, now, *session, client)?;
        }
        Ok(())
    }

    fn send(
        machine: &mut AsapEndpoint,
        now: Time,
        session: SessionId,
        client: &Client,
    ) -> Result<(), String> {
        let operation = Message::new(counter::message(client.done + 1));
        match machine.send(now, session, client.epoch, operation) {
            Ok(()) | Err(SendError::Closed) => Ok(()),
            Err(error) => Err(format!("an operation was refused: {error}")),
        }
    }

    /// The next event of the machine, handled.
    pub fn event(&mut self, now: Time) -> Result<Option<endpoint::Event>, String> {
        use endpoint::Event;
        let Some(event) = self.machine.poll_event() else { return Ok(None) };
        match &event {
            Event::Connected { session, .. } => {
                if let Some(client) = self.clients.get_mut(session) {
                    client.connected = true;
                    client.last = now;
                }
            }
            Event::Received { session, message } => {
                let client = self.clients.get_mut(session).ok_or("an answer for nobody")?;
                let answer = counter::number(&message.bytes).ok_or("an answer that nobody has sent")?;
                if !client.waiting {
                    return Err(format!("answer {answer} to nothing, {} are done", client.done));
                }
                if answer != client.done + 1 {
                    return Err(format!("operation {} was answered {answer}", client.done + 1));
                }
                client.done = answer;
                client.waiting = false;
                client.last = now;
                client.next = now + Duration::from_millis(self.rng.random_range(0..=200));
            }
            Event::Failover { session, epoch, .. } => {
                let client = self.clients.get_mut(session).ok_or("a failover of nobody")?;
                client.epoch = *epoch;
                client.last = now;
                if client.waiting {
                    Self::send(&mut self.machine, now, *session, client)?;
                }
            }
            Event::Resolved { request, .. } => {
                let awaited = self.resolution.take_if(|(awaited, _)| awaited == request);
                awaited.ok_or("a resolution was answered that nobody waits for")?;
            }
            Event::Closed { session, why } => {
                let client = self.clients.remove(session).ok_or("the end of no session")?;
                let expected = *why == CloseReason::Local && (client.closing || self.leaving);
                if client.connected && !expected {
                    return Err(format!("a session with {} operations has ended: {why}", client.done));
                }
            }
            _ => {}
        }
        Ok(Some(event))
    }
}

/// The generator of a process: fresh for each start.
pub fn generator(rng: &mut ChaCha12Rng) -> ChaCha12Rng {
    ChaCha12Rng::from_rng(rng)
}
