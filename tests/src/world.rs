//! The hosts, what runs on them, and time.

use crate::channels::{Channels, Manners};
use crate::conduct::Conduct;
use crate::convergence::Census;
use crate::counter::Tag;
use crate::datagrams::Datagrams;
use crate::faults::Fault;
use crate::invariants::{Invariants, Name, Source, Truth};
use crate::network::{HostId, Network, Role};
use crate::processes::{Client, Process, handle};
use crate::spec::{Spec, Wire};
use crate::trace::Trace;
use net::memory::Link;
use params::{PeIdentifier, RegistrarId};
use proto::endpoint::{CloseReason, Event};
use proto::registrar::{self, Registrar, RemovalReason};
use proto::{AssocId, Channel, Input, Time, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// More things at one instant than this are a loop.
const BUSY: u32 = 1_000_000;
/// More connects of a process within one second than this, for each thing that it may connect for, are a storm.
const STORM: u32 = 50;
/// How long it takes a session to move when its server ends it in order and nothing is broken.
const HANDING_OVER: Duration = Duration::from_secs(5);
/// Why a registrar aborts an association for which too much waits.
const TOO_MUCH_WAITS: &str = "too much is waiting to be sent";
/// Messages or datagrams that were carried.
pub const CARRIED: &str = "messages";
/// Streams of the seed.
const NETWORK: u64 = 3;
const PROCESSES: u64 = 1 << 60;

/// All hosts of a run.
pub struct World {
    spec: Spec,
    network: Box<dyn Network>,
    /// How everything fares on its way, and how many of 1,000 connects are refused.
    link: Link,
    refused: u32,
    hosts: BTreeMap<HostId, Host>,
    /// When the next timer of a host is due.
    agenda: BTreeSet<(Time, HostId)>,
    /// Where the elements are, or were: twins at several hosts.
    names: BTreeMap<Name, BTreeSet<HostId>>,
    /// Sessions that a server has ended in order, with the last operation that was answered there and the number of their
    /// process.
    handed_over: BTreeMap<Tag, (u64, u32)>,
    trace: Trace,
    invariants: Invariants,
    phase: Phase,
    happened: Counts,
    /// How much has happened since time last passed.
    busy: (Time, u32),
}

/// What is to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Anything.
    Trouble,
    /// Elements come and go on purpose; nothing is repaired, for nothing breaks.
    Calm,
    /// Nothing changes.
    Settled,
}

#[derive(Default)]
struct Host {
    process: Option<Process>,
    stopped: bool,
    leaving: bool,
    /// How many processes it has had.
    starts: u32,
    /// Associations whose queue is full: nothing may be sent.
    full: BTreeSet<AssocId>,
    /// Connects in this second.
    connects: (u64, u32),
    /// When its next timer is due, in the world's time.
    due: Option<Time>,
    /// How much it had shed when its last backlog began.
    shed: u64,
    conduct: Conduct,
}

/// What has happened, by kind.
pub type Counts = BTreeMap<&'static str, u64>;

impl World {
    /// A world in which every process has just started.
    ///
    /// # Errors
    /// An invariant was violated in the first instant.
    pub fn new(spec: &Spec, trace: Trace) -> Result<Self, String> {
        let manners =
            Manners { icmp: spec.icmp, refused: spec.refused, send_queue: spec.send_queue, skew: spec.skew };
        let mut rng = ChaCha12Rng::from_seed(spec.seed_for(NETWORK));
        let network: Box<dyn Network> = match spec.wire {
            Wire::Channels => Box::new(Channels::new(rng.next_u64(), spec.link, manners)),
            Wire::Datagrams => Box::new(Datagrams::new(rng.next_u64(), spec.link, spec.icmp)),
        };
        let hosts = spec.hosts().into_iter().map(|host| (host, Host::default())).collect();
        let mut world = Self {
            spec: spec.clone(),
            network,
            link: spec.link,
            refused: spec.refused,
            hosts,
            agenda: BTreeSet::new(),
            names: BTreeMap::new(),
            handed_over: BTreeMap::new(),
            trace,
            invariants: Invariants::new(spec),
            phase: Phase::Trouble,
            happened: Counts::new(),
            busy: (Time::ZERO, 0),
        };
        for host in spec.hosts() {
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
        happened.insert(CARRIED, self.network.carried());
        happened
    }

    /// Hash of everything that has happened.
    pub fn hash(&self) -> u64 {
        self.trace.hash()
    }

    /// The registrar on a host.
    pub fn registrar(&self, host: HostId) -> Option<&Registrar> {
        match self.hosts.get(&host)?.process.as_ref()? {
            Process::Registrar(registrar) => Some(registrar),
            _ => None,
        }
    }

    /// Anything may go wrong again, and processes change what they have on purpose.
    pub fn trouble(&mut self) {
        self.phase = Phase::Trouble;
        self.set_churning(true);
    }

    /// From now on nothing breaks, though elements come and go: nothing may be repaired.
    pub fn calm(&mut self) {
        self.phase = Phase::Calm;
    }

    /// What processes do on purpose ends.
    pub fn rest(&mut self) {
        self.set_churning(false);
    }

    /// From now on nothing may go, fail over or be taken over any more.
    pub fn settle(&mut self) {
        self.phase = Phase::Settled;
        self.hosts.values_mut().filter_map(|state| state.process.as_mut()).for_each(Process::settle);
    }

    fn set_churning(&mut self, churning: bool) {
        for host in self.hosts() {
            let local = self.network.local_time(host);
            if let Some(process) = self.hosts.get_mut(&host).and_then(|state| state.process.as_mut()) {
                process.set_churning(local, churning);
                self.schedule(host);
            }
        }
    }

    /// Whether everything is as it should be in peace, as far as a glance shows.
    ///
    /// # Errors
    /// What is not so.
    pub fn glance(&self) -> Result<(), String> {
        self.census().glance()
    }

    /// Whether everything is as it should be in peace.
    ///
    /// # Errors
    /// What is not so.
    pub fn converged(&self) -> Result<(), String> {
        self.census().check()
    }

    fn census(&self) -> Census<'_> {
        let mut census = Census::new(&self.spec);
        for (host, state) in self.hosts.iter().filter(|(_, state)| !state.stopped) {
            if let Some(process) = &state.process {
                census.add(*host, process, self.network.local_time(*host));
            }
        }
        census
    }

    /// Whether every session that has somebody to talk to has heard of it lately.
    ///
    /// # Errors
    /// One has not.
    pub fn sessions_go_on(&self, within: Duration) -> Result<(), String> {
        let mut served = BTreeSet::new();
        for state in self.hosts.values().filter(|state| !state.stopped) {
            if let Some(Process::Element(server)) = &state.process {
                served.extend(server.registered().map(|(handle, _)| handle));
            }
        }
        // Nor is known where somebody is who never heard that it is registered, for it hangs.
        let stopped = |host| self.hosts.get(host).is_some_and(|state| state.stopped);
        for (host, client, now) in self.clients() {
            let handle = handle(client.pool);
            // The SCTP endpoint of a process that hangs answers: only the application could tell.
            let is_stuck = client.server.is_some_and(|server| {
                self.hosts_of(&(handle.clone(), server)).is_none_or(|mut it| it.any(stopped))
            });
            if now.since(client.served) > within && served.contains(&handle) && !is_stuck {
                return Err(format!("a session of {host} with {handle} does not go on: {client:?}"));
            }
        }
        Ok(())
    }

    fn clients(&self) -> impl Iterator<Item = (HostId, &Client, Time)> {
        let users = self.hosts.iter().filter_map(|(host, state)| match &state.process {
            Some(Process::User(clients)) if !state.stopped => Some((*host, clients)),
            _ => None,
        });
        users.flat_map(|(host, clients)| {
            let now = self.network.local_time(host);
            clients.sessions().map(move |client| (host, client, now))
        })
    }

    /// Whether a fault would do anything now: nobody feels the death of who is dead. That something ends is felt only where
    /// it changes what there is now: its beginning was, or it was nothing.
    pub fn is_felt(&self, fault: &Fault) -> bool {
        let lives = |host: &HostId| self.hosts.get(host).is_some_and(|state| state.process.is_some());
        let runs = |host: &HostId| lives(host) && self.hosts.get(host).is_some_and(|state| !state.stopped);
        match fault {
            Fault::Crash(host) | Fault::Vanish(host) => lives(host),
            Fault::Leave(host) | Fault::Pause(host, _) => runs(host),
            Fault::Cut(_, cut) => {
                let roles = |hosts: &BTreeSet<HostId>| -> BTreeSet<Role> {
                    hosts.iter().filter(|host| lives(host)).map(|host| host.role).collect()
                };
                let (these, those) = (roles(&cut.these), roles(&cut.those));
                these.iter().any(|this| those.iter().any(|that| this.talks_to(*that)))
            }
            // It shows when it ends.
            Fault::Backlog(host, 0) => {
                self.hosts.get(host).is_some_and(|state| self.has_shed(*host) > state.shed)
            }
            Fault::Link(link) => *link != self.link,
            Fault::Refuse(refused) => self.spec.wire == Wire::Channels && *refused != self.refused,
            Fault::Backlog(..) | Fault::Start(_) | Fault::Resume(_) | Fault::Mend(_) => false,
        }
    }

    /// How much the registrar on a host has not done for want of time.
    fn has_shed(&self, host: HostId) -> u64 {
        self.registrar(host).map_or(0, |registrar| {
            let counters = registrar.status(self.network.local_time(host)).counters;
            let requests = counters.registrations_shed + counters.table_requests_shed;
            counters.resolutions_shed + counters.reports_shed + requests
        })
    }

    /// Does something to the world.
    ///
    /// # Errors
    /// An invariant was violated.
    pub fn inflict(&mut self, fault: &Fault) -> Result<(), String> {
        let now = self.now();
        self.trace.record(now, format_args!("{fault:?}"));
        self.invariants.disturb(now, fault);
        match fault {
            Fault::Crash(host) => self.crash(*host),
            Fault::Vanish(host) => {
                self.network.lose(*host);
                self.crash(*host);
            }
            Fault::Start(host) => {
                let state = self.hosts.get(host);
                if state.is_some_and(|state| state.process.is_none() || state.leaving) {
                    self.start(*host)?;
                }
            }
            Fault::Leave(host) => {
                let local = self.network.local_time(*host);
                if let Some(state) = self.hosts.get_mut(host).filter(|state| !state.stopped)
                    && let Some(process) = &mut state.process
                {
                    state.leaving = true;
                    process.leave(local);
                    self.drive(*host)?;
                }
            }
            Fault::Pause(host, stop) => {
                if let Some(state) = self.hosts.get_mut(host).filter(|state| state.process.is_some()) {
                    state.stopped = true;
                    self.network.pause(*host, *stop);
                    self.schedule(*host);
                }
            }
            Fault::Resume(host) => {
                if let Some(state) = self.hosts.get_mut(host) {
                    state.stopped = false;
                }
                self.network.resume(*host);
                self.drive(*host)?;
            }
            Fault::Cut(number, cut) => self.network.cut(*number, cut.clone()),
            Fault::Mend(number) => self.network.mend(*number),
            Fault::Link(link) => {
                self.link = *link;
                self.network.set_link(*link);
            }
            Fault::Refuse(refused) => {
                self.refused = *refused;
                self.network.set_refused(*refused);
            }
            Fault::Backlog(host, packets) => self.set_backlog(*host, *packets)?,
        }
        Ok(())
    }

    fn set_backlog(&mut self, host: HostId, packets: usize) -> Result<(), String> {
        let (shed, local) = (self.has_shed(host), self.network.local_time(host));
        if let Some(state) = self.hosts.get_mut(&host)
            && let Some(process) = &mut state.process
        {
            state.shed = shed;
            process.input(local, Input::Backlog { packets });
        }
        self.drive(host)
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// An invariant was violated.
    pub fn run_until(&mut self, end: Time) -> Result<(), String> {
        self.run_to_message(u64::MAX, end).map(|_| ())
    }

    /// Lets time pass until so many messages or datagrams were carried, and says which host has got the last one and not
    /// looked at it yet; or until `end`.
    ///
    /// # Errors
    /// An invariant was violated.
    pub fn run_to_message(&mut self, count: u64, end: Time) -> Result<Option<HostId>, String> {
        loop {
            let due = self.agenda.first().copied();
            let until = due.map_or(end, |(due, _)| due.min(end));
            if let Some(host) = self.network.step(until) {
                if self.network.carried() >= count {
                    return Ok(Some(host));
                }
                self.drive(host)?;
            } else if let Some((due, host)) = due
                && due <= self.now()
            {
                self.expire(host)?;
            } else {
                return Ok(None);
            }
            let now = self.now();
            self.busy = if self.busy.0 == now { (now, self.busy.1 + 1) } else { (now, 0) };
            if self.busy.1 > BUSY {
                return Err("time does not pass any more".into());
            }
        }
    }

    /// A host looks at what it has got.
    ///
    /// # Errors
    /// An invariant was violated.
    pub fn read(&mut self, host: HostId) -> Result<(), String> {
        self.drive(host)
    }

    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn start(&mut self, host: HostId) -> Result<(), String> {
        let starts = self.hosts.get(&host).map_or(0, |state| state.starts);
        let life = u64::from(starts) << 32 | (host.role as u64) << 16 | u64::from(host.number);
        let mut rng = ChaCha12Rng::from_seed(self.spec.seed_for(PROCESSES + life));
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        self.network.start(host, seed);
        self.invariants.started(host);
        let local = self.network.local_time(host);
        let mut process = Process::start(host, &self.spec, rng, local);
        process.set_churning(local, self.phase == Phase::Trouble);
        self.forget(host, starts + 1);
        if let Some(state) = self.hosts.get_mut(&host) {
            state.process = Some(process);
        }
        self.drive(host)
    }

    fn crash(&mut self, host: HostId) {
        self.network.crash(host);
        self.forget(host, self.hosts.get(&host).map_or(0, |state| state.starts));
    }

    /// There is no process on a host any more.
    fn forget(&mut self, host: HostId, starts: u32) {
        if let Some(state) = self.hosts.insert(host, Host { starts, ..Host::default() }) {
            state.due.map(|due| self.agenda.remove(&(due, host)));
        }
    }

    /// Notes when the next timer of a process is due.
    fn schedule(&mut self, host: HostId) {
        let Some(state) = self.hosts.get_mut(&host) else { return };
        let due = state.process.as_ref().filter(|_| !state.stopped).and_then(Process::due);
        let due = due.map(|due| self.network.due(host, due));
        let before = std::mem::replace(&mut state.due, due);
        if before != due {
            before.map(|due| self.agenda.remove(&(due, host)));
            self.agenda.extend(due.map(|due| (due, host)));
        }
    }

    fn expire(&mut self, host: HostId) -> Result<(), String> {
        let local = self.network.local_time(host);
        if let Some(process) = self.hosts.get_mut(&host).and_then(|state| state.process.as_mut()) {
            process.timeout(local).map_err(|error| format!("{host}: {error}"))?;
        }
        self.drive(host)
    }

    /// Gives a process what has happened and does what it wants, until both have nothing more.
    fn drive(&mut self, host: HostId) -> Result<(), String> {
        if self.hosts.get(&host).is_none_or(|state| state.stopped) {
            return Ok(());
        }
        let error = |error: String| format!("{host}: {error}");
        while self.feed(host).map_err(error)?
            | self.carry_out(host).map_err(error)?
            | self.tell(host).map_err(error)?
        {}
        let local = self.network.local_time(host);
        let Some(state) = self.hosts.get_mut(&host) else { return Ok(()) };
        let Some(process) = &state.process else { return Ok(()) };
        process.check(local).map_err(error)?;
        if let Process::Registrar(registrar) = process {
            let most = self.spec.limits().queued_bytes_total;
            for channel in [Channel::Asap, Channel::Enrp] {
                let waiting = registrar.queued_bytes(channel);
                if waiting > most {
                    return Err(format!("{host}: {waiting} bytes wait, {most} may"));
                }
            }
        }
        if state.leaving && process.has_left() {
            self.trace.note(self.network.now(), host, format_args!("has left"));
            self.crash(host);
        }
        self.schedule(host);
        Ok(())
    }

    fn feed(&mut self, host: HostId) -> Result<bool, String> {
        let inputs = self.network.poll_inputs(host);
        let any = !inputs.is_empty();
        let (now, local) = (self.now(), self.network.local_time(host));
        for input in inputs {
            self.trace.input(now, host, &input);
            if host.role == Role::Registrar {
                self.invariants.input(now, local, host, &input);
            }
            let Some(state) = self.hosts.get_mut(&host) else { continue };
            if matches!(host.role, Role::Element | Role::User) {
                state.conduct.input(&input)?;
            }
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
            if host.role == Role::Registrar {
                // While it is known what they came from.
                self.tell(host)?;
            }
        }
        Ok(any)
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
            if let Transmit::Abort { cause, .. } = &transmit
                && cause == TOO_MUCH_WAITS
            {
                *self.happened.entry("queues too long").or_default() += 1;
                if !self.spec.small_limits {
                    return Err("too much waits, though nothing is small".into());
                }
            }
            if let Transmit::Connect { assoc, remote, .. } = &transmit {
                if host.role == Role::Registrar {
                    self.invariants.connects(host, *assoc, remote.first());
                }
                let second = self.network.now().as_micros() / 1_000_000;
                state.connects =
                    if state.connects.0 == second { (second, state.connects.1 + 1) } else { (second, 1) };
                let storm = STORM * (1 + self.spec.reasons_to_connect(host));
                if state.connects.1 > storm {
                    return Err(format!("{storm} connects within a second"));
                }
            }
            if let Some(counters) = process.counters() {
                state.conduct.note(counters, self.spec.users.on(host.number).into());
                state.conduct.transmit(self.network.local_time(host), &transmit)?;
            }
            self.trace.transmit(self.network.now(), host, &transmit);
            self.network.carry_out(host, transmit);
            self.feed(host)?;
            any = true;
        }
        Ok(any)
    }

    fn tell(&mut self, host: HostId) -> Result<bool, String> {
        let (now, local) = (self.now(), self.network.local_time(host));
        let mut any = false;
        while let Some(process) = self.hosts.get_mut(&host).and_then(|state| state.process.as_mut()) {
            match process {
                Process::Registrar(registrar) => {
                    let id = registrar.id();
                    let Some(event) = proto::Node::poll_event(&mut **registrar) else { break };
                    self.trace.note(now, host, format_args!("{event:?}"));
                    let living = |name: &Name| living(&self.hosts, name);
                    let listed = |home, name: &Name| listed(&self.hosts, home, name);
                    let truth = Truth { living: &living, listed: &listed };
                    self.invariants.registrar(Source { now, local, host, id }, &event, &truth)?;
                    self.registrar_event(&event)?;
                }
                Process::Element(server) => {
                    let repetitions = server.repetitions;
                    let Some(event) = server.event(local)? else { break };
                    let handed_over = server.take_handed_over();
                    // Drained, stopped or moved, a server loses no answer as long as nothing breaks.
                    // (A session may be at the one of two twins that hangs, for the other one answers for it.)
                    let repeated = server.repetitions > repetitions && !self.spec.replay && !self.spec.twins;
                    if repeated && self.phase != Phase::Trouble {
                        return Err("all is well, and yet an answer was lost".into());
                    }
                    if let Event::Registered { element, id, .. } = &event
                        && let Some(handle) = server.pool(*element)
                    {
                        self.names.entry((handle, *id)).or_default().insert(host);
                    }
                    for (tag, answered) in handed_over {
                        let process = self.hosts.get(&tag.host()).map_or(0, |state| state.starts);
                        self.handed_over.insert(tag, (answered, process));
                    }
                    self.element_event(host, now, &event);
                }
                Process::User(clients) => {
                    let Some(event) = clients.event(local)? else { break };
                    let moved = match &event {
                        Event::Failover { session, .. } => {
                            Some((clients.is_answered(*session), clients.progress(*session)))
                        }
                        _ => None,
                    };
                    self.user_event(host, now, &event);
                    if let Some((answered, progress)) = moved {
                        // One that has just begun may have chosen by a list from before the peace; one whose server has
                        // handed it over goes elsewhere.
                        if !self.is_handed_over(host, &event, progress)? && answered {
                            self.in_peace(&event)?;
                        }
                    }
                }
                Process::Watcher(_) => break,
            }
            any = true;
        }
        Ok(any)
    }

    fn registrar_event(&mut self, event: &registrar::Event) -> Result<(), String> {
        use registrar::Event;
        match event {
            Event::TakeoverStarted { .. } => self.count("takeovers begun"),
            Event::TakeoverCompleted { .. } => self.count("takeovers heard of"),
            Event::ElementRemoved { why, .. } => {
                self.count("elements removed");
                let own_wish = matches!(why, RemovalReason::Deregistered | RemovalReason::RemovedByPeer);
                if self.phase == Phase::Calm && own_wish {
                    return Ok(());
                }
            }
            Event::Resynchronized { .. } => self.count("resynchronizations"),
            Event::PeerDown { .. } => self.count("peers lost"),
            Event::GuardBegan { .. } => self.count("mass failures guarded"),
            // Users are wrong also in peace.
            Event::ElementSuspected { silent: false, .. } => {
                self.count("elements suspected");
                return Ok(());
            }
            _ => return Ok(()),
        }
        self.in_peace(event)
    }

    fn element_event(&mut self, host: HostId, now: Time, event: &Event) {
        match event {
            Event::Registered { .. } => self.count("registrations"),
            Event::Deregistered { .. } => self.count("deregistrations"),
            // Their messages are in the trace.
            Event::Received { .. } | Event::Sent { .. } => return,
            _ => {}
        }
        self.trace.note(now, host, format_args!("{event:?}"));
    }

    fn user_event(&mut self, host: HostId, now: Time, event: &Event) {
        match event {
            // Their messages are in the trace.
            Event::Received { .. } => return self.count("operations"),
            Event::Sent { .. } => return,
            Event::Connected { .. } => self.count("sessions"),
            Event::Failover { .. } => self.count("failovers"),
            Event::Closed { why: CloseReason::NoElement, .. } => self.count("sessions in vain"),
            _ => {}
        }
        self.trace.note(now, host, format_args!("{event:?}"));
    }

    /// Whether a session has failed over because its server has ended it in order: drained, for instance.
    ///
    /// # Errors
    /// Something that was answered there has not arrived, whatever else is broken.
    fn is_handed_over(
        &mut self,
        host: HostId,
        event: &Event,
        progress: Option<(Tag, u64)>,
    ) -> Result<bool, String> {
        let (Event::Failover { session, from, .. }, Some((tag, done))) = (event, progress) else {
            return Ok(false);
        };
        let process = self.hosts.get(&host).map_or(0, |state| state.starts);
        if let Some((answered, _)) = self.handed_over.remove(&tag).filter(|(_, of)| *of == process) {
            return match done >= answered {
                true => Ok(true),
                false => {
                    Err(format!("operation {answered} was answered before a drain, and {done} have arrived"))
                }
            };
        }
        let Some(Process::User(clients)) = self.hosts.get(&host).and_then(|state| state.process.as_ref())
        else {
            return Ok(false);
        };
        let Some(name) = clients.pool(*session).map(|pool| (handle(pool), *from)) else { return Ok(false) };
        let has_left = |host: &HostId| {
            let process = self.hosts.get(host).and_then(|state| state.process.as_ref());
            let Some(Process::Element(element)) = process else { return false };
            let local = self.network.local_time(*host);
            // It had not got anything from this session yet, so it did not know whose it was.
            let strangers = element.strangers_handed_over().is_some_and(|at| local < at + HANDING_OVER);
            // The session came after the element had left the pool, and was refused.
            strangers || !element.keeps(&name)
        };
        Ok(self.hosts_of(&name).is_some_and(|mut hosts| hosts.any(has_left)))
    }

    /// The hosts where an element of this name is, or was; none if nobody has heard of it.
    fn hosts_of(&self, name: &Name) -> Option<impl Iterator<Item = &HostId>> {
        self.names.get(name).map(|hosts| hosts.iter())
    }

    fn in_peace(&self, event: &dyn fmt::Debug) -> Result<(), String> {
        match self.phase {
            Phase::Trouble => Ok(()),
            Phase::Calm | Phase::Settled => Err(format!("all is well, and yet: {event:?}")),
        }
    }
}

/// Whether the registrar of this identifier is there and lists an element as its own.
fn listed(hosts: &BTreeMap<HostId, Host>, home: RegistrarId, (handle, id): &Name) -> bool {
    let registrars = hosts.values().filter_map(|state| match &state.process {
        Some(Process::Registrar(registrar)) if !state.stopped && registrar.id() == home => Some(registrar),
        _ => None,
    });
    let before = id.0.checked_sub(1).map(PeIdentifier);
    let element = |registrar: &Registrar| registrar.elements(Time::ZERO, handle, before, 1)?.pop();
    registrars.filter_map(|registrar| element(registrar)).any(|it| it.id == *id && it.home == home)
}

/// The host on which an element lives and is registered.
fn living(hosts: &BTreeMap<HostId, Host>, name: &Name) -> Option<HostId> {
    let elements = HostId { role: Role::Element, number: 0 }..HostId { role: Role::User, number: 0 };
    let has = |state: &Host| match &state.process {
        Some(Process::Element(server)) => !state.stopped && !state.leaving && server.has(name),
        _ => false,
    };
    hosts.range(elements).find(|(_, state)| has(state)).map(|(host, _)| *host)
}
