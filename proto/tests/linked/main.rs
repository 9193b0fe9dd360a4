//! Registrars and ASAP endpoints together, in virtual time: a counter service that outlives its servers.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod combination;
mod network;
mod replay;

use bytes::Bytes;
use network::{ASAP_PORT, ELEMENT_PORT, ENRP_PORT, Machine, Network};
use params::{PeIdentifier, Policy, PoolHandle, RegistrarId};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_proto::endpoint::{
    AsapEndpoint, CloseReason, Config, ElementId, ElementTransport, Event, Message, RegisterError,
    Registration, ResolveError, ResolveOptions, SessionId, SessionOptions,
};
use rserpool_proto::registrar::{self, Registrar};
use rserpool_proto::{Node, Time};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A counter that knows the last request it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counter {
    last: u32,
    count: u32,
}

impl Counter {
    fn encode(self) -> Bytes {
        Bytes::from([self.last.to_be_bytes(), self.count.to_be_bytes()].concat())
    }

    fn decode(cookie: &[u8]) -> Self {
        let (last, count) = cookie.split_at(4);
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        Self { last: number(last), count: number(count) }
    }
}

/// When a server sets a cookie: with each answer, or only with every so many, before it or after it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cookies {
    BeforeEvery(u32),
    AfterEvery(u32),
}

impl Default for Cookies {
    fn default() -> Self {
        Self::BeforeEvery(1)
    }
}

/// A scope: registrars, processes with elements that count, processes with sessions.
#[derive(Default)]
struct Scope {
    network: Network,
    registrars: usize,
    counters: BTreeMap<(usize, SessionId), Counter>,
    /// When servers set cookies.
    cookies: Cookies,
    /// What the applications have heard.
    events: Vec<(Time, usize, Event)>,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn pool() -> PoolHandle {
    PoolHandle::from("counter")
}

impl Scope {
    /// A scope with so many registrars, their identifiers 1 and up, all ready.
    fn new(registrars: u8) -> Self {
        let mut scope = Self { registrars: registrars.into(), ..Self::default() };
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        for n in 1..=registrars {
            let config = registrar::Config {
                id: Some(RegistrarId(n.into())),
                peers: (1..=registrars)
                    .filter(|other| *other != n)
                    .map(|other| vec![SocketAddr::new(address(other), ENRP_PORT)])
                    .collect(),
                ..registrar::Config::default()
            };
            let machine = Registrar::new(config, ChaCha12Rng::from_seed([n; 32]), Time::ZERO);
            scope.network.add(address(n), Machine::Registrar(Box::new(machine)));
        }
        scope.run(ms(2000));
        scope
    }

    /// Another process with an endpoint that knows all registrars.
    fn process(&mut self) -> usize {
        self.process_at(self.registrars)
    }

    /// Another process with an endpoint that knows the first so many registrars.
    fn process_at(&mut self, registrars: usize) -> usize {
        let n = u8::try_from(self.network.processes.len()).unwrap();
        let registrars =
            (1..=u8::try_from(registrars).unwrap()).map(|n| SocketAddr::from(([10, 0, 0, n], ASAP_PORT)));
        let machine = AsapEndpoint::new(Config::new(registrars, ELEMENT_PORT, [n; 32]), self.network.now);
        self.network.add(IpAddr::from([10, 0, 1, n]), Machine::Endpoint(Box::new(machine)))
    }

    fn endpoint(&mut self, process: usize) -> (&mut AsapEndpoint, Time) {
        match &mut self.network.processes[process].machine {
            Machine::Endpoint(machine) => (machine, self.network.now),
            Machine::Registrar(_) => panic!("process {process} is a registrar"),
        }
    }

    fn register(&mut self, process: usize, policy: Policy) -> ElementId {
        let id = Some(PeIdentifier(u32::try_from(process).unwrap()));
        let transport = ElementTransport::Sessions;
        let registration =
            Registration { handle: pool(), policy, life: Some(Duration::from_secs(60)), id, transport };
        let (machine, now) = self.endpoint(process);
        machine.register(now, registration).unwrap()
    }

    /// Another process with a registered element; its identifier is the number of its process.
    fn server(&mut self) -> usize {
        let process = self.process();
        self.register(process, Policy::RoundRobin);
        self.wait(ms(1000), |_, event| matches!(event, Event::Registered { .. }));
        process
    }

    /// Another process with a session, and the server it has.
    fn client(&mut self) -> (usize, SessionId, usize) {
        let process = self.process();
        let (machine, now) = self.endpoint(process);
        let session = machine.connect(now, pool(), SessionOptions::default()).unwrap();
        let event =
            self.wait(ms(1000), |by, event| by == process && matches!(event, Event::Connected { .. }));
        let Event::Connected { element, .. } = event else { unreachable!() };
        (process, session, element.0.try_into().unwrap())
    }

    /// The client sends a request until the answer is there, again after each failover; says the answer.
    fn request(&mut self, client: usize, session: SessionId, epoch: &mut u32, seq: u32) -> u32 {
        loop {
            let (machine, now) = self.endpoint(client);
            let message = Message::new(Bytes::copy_from_slice(&seq.to_be_bytes()));
            machine.send(now, session, *epoch, message).unwrap();
            let event = self.wait(ms(5000), |process, event| {
                process == client
                    && matches!(event, Event::Received { .. } | Event::Failover { .. } | Event::Closed { .. })
            });
            match event {
                Event::Received { message, .. } => {
                    return u32::from_be_bytes(message.bytes.as_ref().try_into().unwrap());
                }
                Event::Failover { epoch: new, .. } => *epoch = new,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The elements of the pool, as one that asks these registrars now is told.
    fn resolve(&mut self, process: usize) -> Result<Vec<u32>, ResolveError> {
        let (machine, now) = self.endpoint(process);
        let options = ResolveOptions::new().uncached(true);
        machine.resolve(now, pool(), options).unwrap();
        let event = self.wait(ms(3000), |by, event| by == process && matches!(event, Event::Resolved { .. }));
        let Event::Resolved { result, .. } = event else { unreachable!() };
        let mut ids: Vec<u32> = result?.elements.iter().map(|element| element.id.0).collect();
        ids.sort();
        Ok(ids)
    }

    fn run(&mut self, duration: Duration) {
        let end = self.network.now + duration;
        while self.network.step(end) {
            self.serve();
        }
    }

    /// Runs until an application hears what is waited for.
    fn wait(&mut self, limit: Duration, wanted: impl Fn(usize, &Event) -> bool) -> Event {
        let end = self.network.now + limit;
        let mut seen = self.events.len();
        loop {
            let more = self.network.step(end);
            self.serve();
            while let Some((_, process, event)) = self.events.get(seen) {
                if wanted(*process, event) {
                    return event.clone();
                }
                seen += 1;
            }
            assert!(more, "it did not happen within {limit:?}: {:#?}", self.events);
        }
    }

    /// The applications: every accepted session counts, remembers in the cookie, then answers.
    fn serve(&mut self) {
        for process in self.registrars..self.network.processes.len() {
            let now = self.network.now;
            while let (machine, _) = self.endpoint(process)
                && let Some(event) = machine.poll_event()
            {
                match &event {
                    Event::SessionAccepted { session, cookie, .. } => {
                        let counter = cookie.as_deref().map(Counter::decode).unwrap_or_default();
                        self.counters.insert((process, *session), counter);
                    }
                    Event::Received { session, message } => {
                        if let Some(counter) = self.counters.get_mut(&(process, *session)) {
                            let seq = u32::from_be_bytes(message.bytes.as_ref().try_into().unwrap());
                            if seq != counter.last {
                                *counter = Counter { last: seq, count: counter.count + 1 };
                            }
                            let (counter, cookies) = (*counter, self.cookies);
                            let (machine, _) = self.endpoint(process);
                            let answer = Bytes::copy_from_slice(&counter.count.to_be_bytes());
                            if matches!(cookies, Cookies::BeforeEvery(every) if counter.count.is_multiple_of(every))
                            {
                                machine.set_cookie(now, *session, counter.encode()).unwrap();
                            }
                            machine.send(now, *session, 0, Message::new(answer)).unwrap();
                            if matches!(cookies, Cookies::AfterEvery(every) if counter.count.is_multiple_of(every))
                            {
                                machine.set_cookie(now, *session, counter.encode()).unwrap();
                            }
                        }
                    }
                    _ => {}
                }
                self.events.push((now, process, event));
            }
        }
    }
}

// ASAP-3.1-19, ASAP-0-03: register, resolve, a session that counts.
#[test]
fn a_session_counts() {
    let mut scope = Scope::new(1);
    let (one, two) = (scope.server(), scope.server());
    let (client, session, server) = scope.client();
    assert!(server == one || server == two);
    let mut epoch = 0;
    for seq in 1..=10 {
        assert_eq!(scope.request(client, session, &mut epoch, seq), seq);
    }
    assert_eq!(epoch, 0);
    assert_eq!(scope.resolve(client), Ok(vec![one as u32, two as u32]));
}

// ASAP-3.8-04, ASAP-0-04, ASAP-3.5-01: the server dies, or freezes; the count goes on elsewhere without a gap or a
// repetition, within 600 ms (500 of them are SCTP's). The dead one leaves the pool.
#[test]
fn the_count_survives_its_servers() {
    for kill in [true, false] {
        let mut scope = Scope::new(1);
        let servers = [scope.server(), scope.server(), scope.server()];
        let (client, session, mut server) = scope.client();
        let mut epoch = 0;
        let mut expected = 0;
        for failures in 1..=2 {
            for _ in 0..5 {
                expected += 1;
                assert_eq!(scope.request(client, session, &mut epoch, expected), expected);
            }
            if kill {
                scope.network.kill(server);
            } else {
                scope.network.freeze(server);
            }
            let start = scope.network.now;
            expected += 1;
            assert_eq!(scope.request(client, session, &mut epoch, expected), expected);
            let took = scope.network.now.since(start);
            assert!(took < ms(600), "{took:?}");
            assert_eq!(epoch, failures);
            let to = scope.events.iter().rev().find_map(|(_, _, event)| match event {
                Event::Failover { to, .. } => Some(to.0 as usize),
                _ => None,
            });
            server = to.unwrap();
        }
        scope.run(ms(2000));
        assert_eq!(scope.resolve(client), Ok(vec![server as u32]), "of {servers:?}");
    }
}

// Design D9, RFC 5352 §3.8: a server that leaves in order: its sessions go elsewhere at once.
#[test]
fn a_server_leaves() {
    let mut scope = Scope::new(1);
    let servers = [scope.server(), scope.server()];
    let (client, session, server) = scope.client();
    let mut epoch = 0;
    assert_eq!(scope.request(client, session, &mut epoch, 1), 1);
    let (machine, now) = scope.endpoint(server);
    machine.shutdown(now);
    let start = scope.network.now;
    scope.wait(ms(100), |process, event| process == client && matches!(event, Event::Failover { .. }));
    assert!(scope.network.now.since(start) < ms(50));
    epoch = 1;
    assert_eq!(scope.request(client, session, &mut epoch, 2), 2);
    scope.run(ms(100));
    assert!(scope.endpoint(server).0.is_drained());
    let other = servers[usize::from(servers[0] == server)];
    assert_eq!(scope.resolve(client), Ok(vec![other as u32]));
}

// ASAP-3.4-08, ASAP-3.4-12, ASAP-1.1-03, ASAP-3.7.2-05: the home registrar dies: the other one takes over and tells the
// element with H=1, or the element found it before; nobody leaves the pool, sessions do not notice.
#[test]
fn a_registrar_dies() {
    let mut scope = Scope::new(2);
    let server = scope.server();
    let (client, session, _) = scope.client();
    scope.run(ms(1000));
    let home = scope.events.iter().rev().find_map(|(_, process, event)| match event {
        Event::HomeChanged { home } if *process == server => Some(home.0),
        _ => None,
    });
    let home = home.unwrap();
    scope.network.kill(home as usize - 1);
    let survivor = RegistrarId(3 - home);
    scope.wait(ms(3000), |process, event| {
        process == server && *event == Event::HomeChanged { home: survivor }
    });
    let mut epoch = 0;
    for seq in 1..=5 {
        assert_eq!(scope.request(client, session, &mut epoch, seq), seq);
    }
    assert_eq!(epoch, 0, "sessions do not notice");
    scope.run(ms(5000));
    assert_eq!(scope.resolve(client), Ok(vec![server as u32]));
    let Machine::Registrar(machine) = &scope.network.processes[survivor.0 as usize - 1].machine else {
        panic!()
    };
    assert_eq!(machine.status(scope.network.now).owned_elements, 1);
}

// ASAP-3.4-08, ASAP-3.4-12, A-39: the element knows only the registrar that dies: the other one comes to it, becomes its
// home, and is found again when that association breaks as well.
#[test]
fn a_registrar_takes_over() {
    let mut scope = Scope::new(2);
    let server = scope.process_at(1);
    scope.register(server, Policy::RoundRobin);
    scope.run(ms(1000));
    scope.network.kill(0);
    let start = scope.network.now;
    let survivor = RegistrarId(2);
    scope.wait(ms(3000), |process, event| {
        process == server && *event == Event::HomeChanged { home: survivor }
    });
    assert!(scope.network.now.since(start) < ms(2000));
    let owned = |scope: &Scope| match &scope.network.processes[1].machine {
        Machine::Registrar(machine) => machine.status(scope.network.now).owned_elements,
        Machine::Endpoint(_) => panic!("process 1 is a registrar"),
    };
    scope.run(ms(2000));
    assert_eq!(owned(&scope), 1);
    scope.network.freeze(1);
    scope.run(ms(1000));
    scope.network.thaw(1);
    scope.run(ms(5000));
    assert_eq!(owned(&scope), 1);
}

// the registrar freezes with a request outstanding: the other one answers.
#[test]
fn a_registrar_freezes() {
    let mut scope = Scope::new(2);
    let server = scope.server();
    let client = scope.process();
    assert_eq!(scope.resolve(client), Ok(vec![server as u32]));
    let home = scope.events.iter().rev().find_map(|(_, process, event)| match event {
        Event::RegistrarConnected { remote } if *process == client => Some(remote[0].ip()),
        _ => None,
    });
    let home = if home == Some(IpAddr::from([10, 0, 0, 1])) { 0 } else { 1 };
    scope.network.freeze(home);
    let start = scope.network.now;
    assert_eq!(scope.resolve(client), Ok(vec![server as u32]));
    assert!(scope.network.now.since(start) < ms(300));
    scope.run(ms(3000));
    scope.network.thaw(home);
    scope.run(ms(5000));
    assert_eq!(scope.resolve(client), Ok(vec![server as u32]));
}

// All registrars die and come back as new processes would: elements register again by themselves.
#[test]
fn every_registrar_freezes_for_a_while() {
    let mut scope = Scope::new(2);
    let server = scope.server();
    let (client, session, _) = scope.client();
    scope.network.freeze(0);
    scope.network.freeze(1);
    scope.run(ms(10_000));
    let mut epoch = 0;
    assert_eq!(scope.request(client, session, &mut epoch, 1), 1, "sessions need no registrar");
    assert_eq!(scope.resolve(client), Err(ResolveError::NoRegistrar));
    scope.network.thaw(0);
    scope.network.thaw(1);
    scope.run(ms(10_000));
    assert_eq!(scope.resolve(client), Ok(vec![server as u32]));
}

// ASAP-3.1-20, ASAP-3.1-31, ASAP-3.1-32: a policy that is not the pool's is rejected; the element hears it.
#[test]
fn an_inconsistent_element_is_rejected() {
    let mut scope = Scope::new(1);
    let server = scope.server();
    let other = scope.process();
    let element = scope.register(other, Policy::Random);
    let event = scope.wait(ms(1000), |process, _| process == other);
    assert!(matches!(event, Event::RegistrarConnected { .. }));
    let event = scope.wait(ms(1000), |process, event| {
        process == other && matches!(event, Event::RegistrationFailed { .. } | Event::Registered { .. })
    });
    let Event::RegistrationFailed { element: failed, error: RegisterError::Rejected(error) } = event else {
        panic!("{event:?}")
    };
    assert_eq!(failed, element);
    assert!(error.causes.iter().any(|cause| cause.code == params::CauseCode::INCONSISTENT_POLICY));
    assert_eq!(scope.resolve(other), Ok(vec![server as u32]));
}

// ASAP-3.2-12, ASAP-3.2-13, ASAP-6.2-01: the last element leaves, the pool is gone, everywhere.
#[test]
fn an_element_deregisters() {
    let mut scope = Scope::new(3);
    let process = scope.process();
    let element = scope.register(process, Policy::RoundRobin);
    scope.wait(ms(1000), |_, event| matches!(event, Event::Registered { .. }));
    scope.run(ms(500));
    let (machine, now) = scope.endpoint(process);
    machine.deregister(now, element).unwrap();
    let event = scope.wait(ms(1000), |_, event| matches!(event, Event::Deregistered { .. }));
    assert_eq!(event, Event::Deregistered { element, error: None });
    scope.run(ms(100));
    for _ in 0..3 {
        let client = scope.process();
        assert_eq!(scope.resolve(client), Err(ResolveError::UnknownPool));
    }
}

// A session with a pool that nobody serves ends with an answer.
#[test]
fn a_session_with_nobody() {
    let mut scope = Scope::new(1);
    let client = scope.process();
    let (machine, now) = scope.endpoint(client);
    machine.connect(now, pool(), SessionOptions::default()).unwrap();
    let event = scope.wait(ms(1000), |_, event| matches!(event, Event::Closed { .. }));
    let Event::Closed { why, .. } = event else { unreachable!() };
    assert_eq!(why, CloseReason::Resolve(ResolveError::UnknownPool));
}

// The last server dies and the registrar knows it: after the patience of the session that is what its end says.
#[test]
fn a_session_that_nobody_serves_any_more() {
    let mut scope = Scope::new(1);
    let (server, client) = (scope.process(), scope.process());
    scope.register(server, Policy::RoundRobin);
    scope.wait(ms(1000), |_, event| matches!(event, Event::Registered { .. }));
    let (machine, now) = scope.endpoint(client);
    machine.connect(now, pool(), SessionOptions::new().patience(Duration::from_secs(5))).unwrap();
    scope.wait(ms(1000), |_, event| matches!(event, Event::Connected { .. }));
    scope.network.kill(server);
    let event = scope.wait(Duration::from_secs(20), |_, event| matches!(event, Event::Closed { .. }));
    let Event::Closed { why, .. } = event else { unreachable!() };
    assert_eq!(why, CloseReason::Resolve(ResolveError::UnknownPool));
}

// A pool element that is a pool user of its own pool, over the same association (ASAP-4-08).
#[test]
fn an_element_is_a_user_as_well() {
    let mut scope = Scope::new(1);
    let server = scope.server();
    let (machine, now) = scope.endpoint(server);
    let session = machine.connect(now, pool(), SessionOptions::default()).unwrap();
    scope.wait(ms(1000), |_, event| matches!(event, Event::Connected { .. }));
    let (machine, now) = scope.endpoint(server);
    machine.send(now, session, 0, Message::new(Bytes::copy_from_slice(&1u32.to_be_bytes()))).unwrap();
    scope.wait(ms(1000), |_, event| matches!(event, Event::Received { session: by, .. } if *by == session));
}

// Design D12a: the same inputs at the same times make the same run.
#[test]
fn a_run_can_be_repeated() {
    let run = || {
        let mut scope = Scope::new(3);
        let servers = [scope.server(), scope.server(), scope.server()];
        let (client, session, server) = scope.client();
        let mut epoch = 0;
        scope.request(client, session, &mut epoch, 1);
        scope.network.kill(server);
        scope.network.kill(0);
        scope.request(client, session, &mut epoch, 2);
        scope.run(ms(5000));
        let inputs = servers.map(|server| format!("{:?}", scope.network.processes[server].inputs));
        (inputs, format!("{:?}", scope.events))
    };
    assert_eq!(run(), run());
}
