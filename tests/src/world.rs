//! The hosts, what runs on them, and time.

use crate::channels::{Channels, Manners};
use crate::convergence::Census;
use crate::datagrams::Datagrams;
use crate::faults::Fault;
use crate::invariants::Invariants;
use crate::network::{HostId, Network, Role};
use crate::processes::{Client, Process, generator};
use crate::spec::{Spec, Wire};
use crate::trace::Trace;
use params::PeIdentifier;
use proto::{AssocId, Input, Time, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// More things at one instant than this are a loop.
const BUSY: u32 = 100_000;
/// More connects of a process within one second than this are a storm.
const STORM: u32 = 200;

/// All hosts of a run.
pub struct World {
    network: Box<dyn Network>,
    rng: ChaCha12Rng,
    hosts: BTreeMap<HostId, Host>,
    registrars: Vec<HostId>,
    trace: Trace,
    invariants: Invariants,
    /// What is not to change any more once everything is well; set by [`World::settle`].
    settled: bool,
    happened: Counts,
    /// How much has happened since time last passed.
    busy: (Time, u32),
}

#[derive(Default)]
struct Host {
    process: Option<Process>,
    paused: bool,
    leaving: bool,
    /// Associations whose queue is full: nothing may be sent.
    full: BTreeSet<AssocId>,
    /// Connects in this second.
    connects: (u64, u32),
}

/// What has happened, by kind.
pub type Counts = BTreeMap<&'static str, u64>;

impl World {
    /// A world in which every process has just started.
    ///
    /// # Errors
    /// An invariant was violated in the first instant.
    pub fn new(spec: &Spec, trace: Trace) -> Result<Self, String> {
        let mut rng = ChaCha12Rng::seed_from_u64(spec.seed);
        let manners = Manners { icmp: spec.icmp, refused: spec.refused, send_queue: spec.send_queue };
        let network: Box<dyn Network> = match spec.wire {
            Wire::Channels => Box::new(Channels::new(rng.next_u64(), spec.link, manners)),
            Wire::Datagrams => Box::new(Datagrams::new(rng.next_u64(), spec.link, spec.icmp)),
        };
        let of = |role, count| (0..count).map(move |number| HostId { role, number });
        let registrars: Vec<HostId> = of(Role::Registrar, spec.registrars).collect();
        let others = of(Role::Element, spec.elements).chain(of(Role::User, spec.users));
        let hosts = registrars.iter().copied().chain(others).map(|host| (host, Host::default())).collect();
        let mut world = Self {
            network,
            rng,
            hosts,
            registrars,
            trace,
            invariants: Invariants::new(spec),
            settled: false,
            happened: Counts::new(),
            busy: (Time::ZERO, 0),
        };
        for host in world.hosts() {
            world.start(host)?;
        }
        Ok(world)
    }

    /// All hosts.
    pub fn hosts(&self) -> Vec<HostId> {
        self.hosts.keys().copied().collect()
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.network.now()
    }

    /// What has happened.
    pub fn happened(&self) -> Counts {
        let mut happened = self.happened.clone();
        happened.insert("carried", self.network.carried());
        happened
    }

    /// Hash of everything that has happened.
    pub fn hash(&self) -> u64 {
        self.trace.hash()
    }

    /// From now on nothing may go, fail over or be taken over any more.
    pub fn settle(&mut self) {
        self.settled = true;
    }

    /// Whether everything is as it should be in peace.
    ///
    /// # Errors
    /// What is not so.
    pub fn converged(&self) -> Result<(), String> {
        let mut census = Census::default();
        for (host, state) in &self.hosts {
            if let Some(process) = &state.process {
                census.add(*host, process, self.network.local_time(*host));
            }
        }
        census.check()
    }

    /// The sessions of all users, with the time of their host.
    pub fn clients(&self) -> Vec<(HostId, Client, Time)> {
        let users = self.hosts.iter().filter_map(|(host, state)| match &state.process {
            Some(Process::User(clients)) => Some((*host, clients)),
            _ => None,
        });
        let sessions =
            users.flat_map(|(host, clients)| clients.sessions().map(move |(_, client)| (host, client)));
        sessions.map(|(host, client)| (host, client, self.network.local_time(host))).collect()
    }

    /// Whether any element lives.
    pub fn has_elements(&self) -> bool {
        self.hosts.iter().any(|(host, state)| host.role == Role::Element && state.process.is_some())
    }

    /// Does something to the world.
    ///
    /// # Errors
    /// An invariant was violated.
    pub fn inflict(&mut self, fault: &Fault) -> Result<(), String> {
        let now = self.now();
        self.trace.record(now, format_args!("{fault:?}"));
        self.count(fault.kind());
        self.invariants.disturb(now, fault);
        match *fault {
            Fault::Crash(host) => self.crash(host),
            Fault::Start(host)
                if self.hosts.get(&host).is_some_and(|state| state.process.is_none() || state.leaving) =>
            {
                return self.start(host);
            }
            Fault::Start(_) => {}
            Fault::Leave(host) => {
                let local = self.network.local_time(host);
                if let Some(state) = self.hosts.get_mut(&host).filter(|state| !state.paused)
                    && let Some(process) = &mut state.process
                {
                    state.leaving = true;
                    process.leave(local);
                    return self.drive(host);
                }
            }
            Fault::Pause(host) => self.set_paused(host, true),
            Fault::Resume(host) => {
                self.set_paused(host, false);
                return self.drive(host);
            }
            Fault::Block(from, to) => self.network.block(from, to),
            Fault::Unblock(from, to) => self.network.unblock(from, to),
            Fault::Link(link) => self.network.set_link(link),
            Fault::Refuse(refused) => self.network.set_refused(refused),
        }
        Ok(())
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// An invariant was violated.
    pub fn run_until(&mut self, end: Time) -> Result<(), String> {
        loop {
            let due = self.next_due();
            if let Some(host) = self.network.step(due.map_or(end, |due| due.min(end))) {
                self.drive(host)?;
            } else if due.is_some_and(|due| due <= self.now()) {
                self.expire()?;
            } else {
                return Ok(());
            }
            let now = self.now();
            self.busy = if self.busy.0 == now { (now, self.busy.1 + 1) } else { (now, 0) };
            if self.busy.1 > BUSY {
                return Err("time does not pass any more".into());
            }
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn start(&mut self, host: HostId) -> Result<(), String> {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        self.network.start(host, seed);
        self.invariants.started(host);
        let rng = generator(&mut self.rng);
        let process = Process::start(host, &self.registrars, rng, self.network.local_time(host));
        self.hosts.insert(host, Host { process: Some(process), ..Host::default() });
        self.drive(host)
    }

    fn crash(&mut self, host: HostId) {
        self.network.crash(host);
        self.hosts.insert(host, Host::default());
    }

    fn set_paused(&mut self, host: HostId, paused: bool) {
        if let Some(state) = self.hosts.get_mut(&host) {
            state.paused = paused;
        }
        match paused {
            true => self.network.pause(host),
            false => self.network.resume(host),
        }
    }

    /// The time of the world at which the next timer of a process is due.
    fn next_due(&self) -> Option<Time> {
        let running = self.hosts.iter().filter(|(_, state)| !state.paused);
        let due = running.filter_map(|(host, state)| {
            let due = state.process.as_ref()?.due()?;
            Some(self.now() + due.since(self.network.local_time(*host)))
        });
        due.min()
    }

    fn expire(&mut self) -> Result<(), String> {
        for host in self.hosts() {
            let local = self.network.local_time(host);
            let Some(state) = self.hosts.get_mut(&host).filter(|state| !state.paused) else { continue };
            let Some(process) = &mut state.process else { continue };
            if process.due().is_some_and(|due| due <= local) {
                process.timeout(local).map_err(|error| format!("{host}: {error}"))?;
                self.drive(host)?;
            }
        }
        Ok(())
    }

    /// Gives a process what has happened and does what it wants, until both have nothing more.
    fn drive(&mut self, host: HostId) -> Result<(), String> {
        if self.hosts.get(&host).is_none_or(|state| state.paused) {
            return Ok(());
        }
        let error = |error: String| format!("{host}: {error}");
        while self.feed(host) | self.carry_out(host).map_err(error)? | self.tell(host).map_err(error)? {}
        let local = self.network.local_time(host);
        let Some(state) = self.hosts.get_mut(&host) else { return Ok(()) };
        let Some(process) = &state.process else { return Ok(()) };
        process.check(local).map_err(error)?;
        if state.leaving && process.has_left() {
            self.note(host, format_args!("has left"));
            self.crash(host);
        }
        Ok(())
    }

    fn note(&mut self, host: HostId, what: fmt::Arguments<'_>) {
        self.trace.record(self.network.now(), format_args!("{host} {what}"));
    }

    fn feed(&mut self, host: HostId) -> bool {
        let inputs = self.network.poll_inputs(host);
        let any = !inputs.is_empty();
        let (now, local) = (self.now(), self.network.local_time(host));
        for input in inputs {
            self.note(host, format_args!("<- {input:?}"));
            self.invariants.input(now, local, host, &input);
            let Some(state) = self.hosts.get_mut(&host) else { continue };
            match &input {
                Input::Full { assoc } => {
                    state.full.insert(*assoc);
                }
                Input::Writable { assoc } | Input::Down { assoc, .. } => {
                    state.full.remove(assoc);
                }
                _ => {}
            }
            if let Some(process) = &mut state.process {
                process.input(local, input);
            }
        }
        any
    }

    fn carry_out(&mut self, host: HostId) -> Result<bool, String> {
        let mut any = false;
        while let Some(state) = self.hosts.get_mut(&host)
            && let Some(process) = &mut state.process
            && let Some(transmit) = process.transmit()
        {
            if let Transmit::Send { assoc, .. } = &transmit
                && state.full.contains(assoc)
            {
                return Err(format!("sends over {assoc:?}, which is full"));
            }
            if let Transmit::Connect { .. } = &transmit {
                let second = self.network.now().as_micros() / 1_000_000;
                state.connects =
                    if state.connects.0 == second { (second, state.connects.1 + 1) } else { (second, 1) };
                if state.connects.1 > STORM {
                    return Err(format!("{STORM} connects within a second"));
                }
            }
            self.note(host, format_args!("-> {transmit:?}"));
            self.network.carry_out(host, transmit);
            self.feed(host);
            any = true;
        }
        Ok(any)
    }

    fn tell(&mut self, host: HostId) -> Result<bool, String> {
        let (now, local) = (self.now(), self.network.local_time(host));
        let elements = match host.role {
            Role::Registrar => self.elements(),
            Role::Element | Role::User => BTreeMap::new(),
        };
        let mut any = false;
        while let Some(process) = self.hosts.get_mut(&host).and_then(|state| state.process.as_mut()) {
            let event = match process {
                Process::Registrar(registrar) => {
                    let Some(event) = proto::Node::poll_event(&mut **registrar) else { break };
                    let who = (host, registrar.id());
                    self.invariants.registrar(now, local, who, &event, &elements)?;
                    self.registrar_event(&event)?;
                    format!("{event:?}")
                }
                Process::Element(server) => match server.event(local)? {
                    Some(event) => format!("{event:?}"),
                    None => break,
                },
                Process::User(clients) => match clients.event(local)? {
                    Some(event) => {
                        self.user_event(&event)?;
                        format!("{event:?}")
                    }
                    None => break,
                },
            };
            self.note(host, format_args!("{event}"));
            any = true;
        }
        Ok(any)
    }

    fn registrar_event(&mut self, event: &proto::registrar::Event) -> Result<(), String> {
        use proto::registrar::Event;
        match event {
            Event::TakeoverCompleted { .. } => self.count("takeovers heard of"),
            Event::ElementRemoved { .. } => self.count("elements removed"),
            Event::Resynchronized { .. } => self.count("resynchronizations"),
            Event::PeerDown { .. } => self.count("peers lost"),
            _ => return Ok(()),
        }
        self.in_peace(event)
    }

    fn user_event(&mut self, event: &proto::endpoint::Event) -> Result<(), String> {
        use proto::endpoint::Event;
        match event {
            Event::Received { .. } => self.count("operations"),
            Event::Connected { .. } => self.count("sessions"),
            Event::Failover { .. } => {
                self.count("failovers");
                return self.in_peace(event);
            }
            _ => {}
        }
        Ok(())
    }

    fn in_peace(&self, event: &dyn fmt::Debug) -> Result<(), String> {
        match self.settled {
            true => Err(format!("all is well, and yet: {event:?}")),
            false => Ok(()),
        }
    }

    /// The registered elements of living processes.
    fn elements(&self) -> BTreeMap<PeIdentifier, HostId> {
        let registered = self.hosts.iter().filter_map(|(host, state)| match &state.process {
            Some(Process::Element(server)) if !state.paused && !state.leaving => {
                Some((server.identifier?, *host))
            }
            _ => None,
        });
        registered.collect()
    }
}
