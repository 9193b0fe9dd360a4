//! The process of users: sessions that count, resolutions and false reports beside them.

use super::{CHECKPOINT, CLOSE_BOUND, Due, RESOLUTION_BOUND, handle};
use crate::counter::{Count, Tag};
use crate::network::HostId;
use crate::spec::Spec;
use bytes::Bytes;
use params::PeIdentifier;
use proto::endpoint::{
    AsapEndpoint, CloseReason, Event, Message, ReplayLimits, RequestId, ResolveOptions, SendError, SessionId,
    SessionOptions,
};
use proto::exactly_once::Calls;
use proto::{Input, Node, PPID_ASAP, Time};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a session looks for a server if it is patient. Longer than any run, so that it never ends for want of one.
const PATIENCE: Duration = Duration::from_secs(100 * 3600);

/// All that a session has to keep for a replay: one operation at a time is under way, and the last one that is in a cookie is not
/// covered by it, for that came before its answer.
const KEPT: ReplayLimits = ReplayLimits::new().messages(CHECKPOINT as usize + 1).bytes(1000);
/// `Avoidance::max_percent`.
const MOST_AVOIDED: usize = 50;

/// A process with sessions, and with resolutions beside them.
pub struct Clients {
    pub(super) machine: AsapEndpoint,
    host: HostId,
    rng: ChaCha12Rng,
    pools: u16,
    /// How many sessions it has when all are there.
    wanted: usize,
    think: Duration,
    patience: Duration,
    replay: Option<ReplayLimits>,
    /// Whether it reports elements now and then that are well. By the letter of the RFCs that removes them.
    is_wrong_at_times: bool,
    clients: BTreeMap<SessionId, Client>,
    /// Sessions that have had no server yet, and when they have to have one or end.
    connecting: BTreeSet<(Time, SessionId)>,
    /// Sessions that are being closed, and when that has to be over.
    closing: BTreeSet<(Time, SessionId)>,
    resolution: Option<Asked>,
    /// How many lists of pools have come at this moment.
    lists: (Time, u32),
    agenda: BTreeSet<(Time, Task)>,
    leaving: bool,
}

/// What a process of users does from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// Start a session if there are too few.
    Connect,
    Resolve,
    /// The next operation of a session.
    Operate(SessionId),
}

/// A resolution under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    request: RequestId,
    pool: u16,
    since: Time,
    /// Whether it asks for all elements.
    complete: bool,
}

/// One session of a user.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its pool.
    pub pool: u16,
    tag: Tag,
    calls: Calls,
    /// The operation that has no answer yet.
    waiting: Option<Bytes>,
    epoch: u32,
    /// Its last server, if it has had one.
    pub server: Option<PeIdentifier>,
    /// Operations answered.
    pub done: u64,
    /// When the last answer or failover came.
    pub last: Time,
    /// When the last answer came; the beginning before that.
    pub served: Time,
    /// When it has to have a server for the first time.
    connected_by: Time,
    /// When its end has to be over.
    closed_by: Option<Time>,
    /// Whether it had an answer since the peace began.
    answered: bool,
}

impl Clients {
    pub(super) fn start(
        machine: AsapEndpoint,
        host: HostId,
        spec: &Spec,
        rng: ChaCha12Rng,
        now: Time,
    ) -> Self {
        Self {
            machine,
            host,
            rng,
            pools: spec.pools.max(1),
            wanted: spec.users.on(host.number).into(),
            think: spec.think,
            patience: if spec.patience.is_zero() { PATIENCE } else { spec.patience },
            replay: spec.replay.then_some(KEPT),
            is_wrong_at_times: !spec.strict_rfc,
            clients: BTreeMap::new(),
            connecting: BTreeSet::new(),
            closing: BTreeSet::new(),
            resolution: None,
            lists: (now, 0),
            agenda: [(now, Task::Connect), (now, Task::Resolve)].into(),
            leaving: false,
        }
    }

    /// Its sessions.
    pub fn sessions(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// The peace begins.
    pub(super) fn settle(&mut self) {
        for client in self.clients.values_mut() {
            client.answered = false;
        }
    }

    /// Its machine takes an input.
    pub(super) fn input(&mut self, now: Time, input: Input) {
        if let Input::Message { ppid: PPID_ASAP, bytes, .. } = &input
            && matches!(asap::decode(bytes).message, Ok(asap::Message::HandleResolutionResponse(_)))
        {
            let before = if self.lists.0 == now { self.lists.1 } else { 0 };
            self.lists = (now, before + 1);
        }
        self.machine.handle_input(now, input);
    }

    /// Whose session it is, and how many of its operations were answered.
    pub fn progress(&self, session: SessionId) -> Option<(Tag, u64)> {
        self.clients.get(&session).map(|client| (client.tag, client.done))
    }

    /// The pool of a session.
    pub fn pool(&self, session: SessionId) -> Option<u16> {
        self.clients.get(&session).map(|client| client.pool)
    }

    /// Whether a session has had an answer in the peace.
    pub fn is_answered(&self, session: SessionId) -> bool {
        self.clients.get(&session).is_some_and(|client| client.answered)
    }

    /// What has to have an end: what it is, and by when.
    pub(super) fn awaits(&self) -> impl Iterator<Item = (&'static str, Time)> {
        let resolution = self.resolution.map(|asked| ("resolution", asked.since + RESOLUTION_BOUND));
        let connect = self.connecting.first().map(|(end, _)| ("connect", *end));
        let close = self.closing.first().map(|(end, _)| ("close", *end));
        [resolution, connect, close].into_iter().flatten()
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.agenda.first().map(|(at, _)| *at)
    }

    pub(super) fn leave(&mut self, now: Time) {
        self.leaving = true;
        self.agenda.clear();
        self.machine.shutdown(now);
    }

    /// Does what is due: starts sessions, sends operations, resolves.
    pub(super) fn work(&mut self, now: Time) -> Result<(), String> {
        while let Some((_, task)) = self.agenda.pop_first_if_due(now) {
            let (least, most) = match task {
                Task::Connect => {
                    self.connect(now)?;
                    (20, 120)
                }
                Task::Resolve => {
                    self.resolve(now)?;
                    (100, 1900)
                }
                Task::Operate(session) => {
                    self.operate(now, session)?;
                    continue;
                }
            };
            let pause = Duration::from_millis(self.rng.random_range(least..=most));
            // With all sessions there, nothing hurries.
            let calm = if self.clients.len() >= self.wanted { 10 } else { 1 };
            self.agenda.insert((now + pause * calm, task));
        }
        Ok(())
    }

    fn connect(&mut self, now: Time) -> Result<(), String> {
        if self.clients.len() >= self.wanted {
            return Ok(());
        }
        let pool = self.rng.random_range(0..self.pools);
        let session = self.machine.connect(
            now,
            handle(pool),
            SessionOptions::new().patience(self.patience).replay(self.replay),
        );
        let session = session.map_err(|error| format!("no session: {error}"))?;
        let mut client = Client {
            pool,
            tag: Tag::new(self.host, session),
            calls: Calls::default(),
            waiting: None,
            epoch: 0,
            server: None,
            done: 0,
            last: now,
            served: now,
            connected_by: now + self.patience,
            closed_by: None,
            answered: false,
        };
        client.begin();
        self.connecting.insert((client.connected_by, session));
        Self::send(&mut self.machine, now, session, &client)?;
        self.clients.insert(session, client);
        Ok(())
    }

    fn resolve(&mut self, now: Time) -> Result<(), String> {
        if self.resolution.is_some() {
            return Ok(());
        }
        let pool = self.rng.random_range(0..self.pools);
        let items = self.rng.random_bool(0.2).then(|| self.rng.random_range(1..=10));
        let options = ResolveOptions::new().items(items).uncached(self.rng.random_bool(0.7));
        let request = self.machine.resolve(now, handle(pool), options);
        let request = request.map_err(|error| format!("no resolution: {error}"))?;
        self.resolution = Some(Asked { request, pool, since: now, complete: items.is_none() });
        Ok(())
    }

    fn operate(&mut self, now: Time, session: SessionId) -> Result<(), String> {
        let open = |client: &&mut Client| client.closed_by.is_none();
        let Some(client) = self.clients.get_mut(&session).filter(open) else { return Ok(()) };
        if self.rng.random_bool(0.01) {
            client.closed_by = Some(now + CLOSE_BOUND);
            self.closing.insert((now + CLOSE_BOUND, session));
            self.machine.close(now, session);
            return Ok(());
        }
        client.begin();
        Self::send(&mut self.machine, now, session, client)
    }

    fn send(
        machine: &mut AsapEndpoint,
        now: Time,
        session: SessionId,
        client: &Client,
    ) -> Result<(), String> {
        let Some(operation) = client.waiting.clone() else { return Ok(()) };
        match machine.send(now, session, client.epoch, Message::new(operation)) {
            Ok(()) | Err(SendError::Closed) => Ok(()),
            Err(error) => Err(format!("an operation was refused: {error}")),
        }
    }

    /// The next event of the machine, handled.
    ///
    /// # Errors
    /// An invariant does not hold.
    pub fn event(&mut self, now: Time) -> Result<Option<Event>, String> {
        let Some(event) = self.machine.poll_event() else { return Ok(None) };
        match &event {
            Event::Connected { session, element } => {
                if let Some(client) = self.clients.get_mut(session) {
                    client.server = Some(*element);
                    client.last = now;
                    self.connecting.remove(&(client.connected_by, *session));
                }
            }
            Event::Received { session, message } => self.answered(now, *session, message)?,
            Event::ReplayGivenUp { .. } => return Err("more is kept than the cookies leave".into()),
            Event::Failover { session, epoch, to, replayed, .. } => {
                let client = self.clients.get_mut(session).ok_or("a failover of nobody")?;
                client.epoch = *epoch;
                client.server = Some(*to);
                client.last = now;
                if !replayed {
                    Self::send(&mut self.machine, now, *session, client)?;
                }
            }
            Event::Resolved { request, result } => {
                let awaited = self.resolution.take_if(|awaited| awaited.request == *request);
                let asked = awaited.ok_or("a resolution was answered that nobody waits for")?;
                let pool = asked.pool;
                if let Ok(resolution) = result {
                    let order = resolution.elements.iter().map(|element| element.id).collect::<Vec<_>>();
                    self.check_avoidance(now, asked, &order)?;
                }
                // Some are wrong about who cannot be reached.
                if let Ok(resolution) = result
                    && self.is_wrong_at_times
                    && self.rng.random_bool(0.03)
                    && let Some(element) = resolution.elements.first()
                {
                    self.machine.report_unreachable(now, &handle(pool), element.id);
                }
            }
            Event::Closed { session, why } => {
                let client = self.clients.remove(session).ok_or("the end of no session")?;
                self.connecting.remove(&(client.connected_by, *session));
                client.closed_by.map(|end| self.closing.remove(&(end, *session)));
                let expected = match why {
                    CloseReason::Local | CloseReason::Lost(_) => client.closed_by.is_some() || self.leaving,
                    // Patience begins when a server is lost that has done something.
                    CloseReason::NoElement | CloseReason::Resolve(_) => {
                        now.since(client.served) >= self.patience
                    }
                    _ => false,
                };
                if client.server.is_some() && !expected {
                    return Err(format!("a session with {} operations has ended: {why}", client.done));
                }
            }
            _ => {}
        }
        Ok(Some(event))
    }

    /// Only a share of a pool is avoided, however much of it has failed: seen in the order in which it is offered. That begins
    /// with the one that the policy has chosen and goes on as the registrar has listed them, without those that are avoided;
    /// they follow in the same way.
    fn check_avoidance(&self, now: Time, asked: Asked, order: &[PeIdentifier]) -> Result<(), String> {
        let Some(known) = self.machine.explain(now, &handle(asked.pool)) else { return Ok(()) };
        // The list of now is the one that it was answered by.
        let lists = if self.lists.0 == now { self.lists.1 } else { 0 };
        let same = lists == 0 || lists == 1 && asked.since < now;
        let listed: BTreeMap<PeIdentifier, usize> =
            known.elements.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
        let places: Option<Vec<usize>> = order.iter().map(|id| listed.get(id).copied()).collect();
        let Some(places) = places.filter(|places| asked.complete && same && places.len() == listed.len())
        else {
            return Ok(());
        };
        let Some(first) = places.first() else { return Ok(()) };
        let all = places.len();
        let round = |at: usize| (at + all - first) % all;
        let usable = places.windows(2).take_while(|two| round(two[0]) < round(two[1])).count() + 1;
        let avoided = all - usable;
        match avoided * 100 <= all * MOST_AVOIDED {
            true => Ok(()),
            false => Err(format!("{avoided} of {all} elements are avoided")),
        }
    }

    fn answered(&mut self, now: Time, session: SessionId, message: &Message) -> Result<(), String> {
        let client = self.clients.get_mut(&session).ok_or("an answer for nobody")?;
        let answer = client.calls.answer(&message.bytes).map_err(|error| error.0)?;
        let answer =
            answer.and_then(|answer| Count::decode(&answer)).ok_or("an answer that nobody has sent")?;
        if client.waiting.take().is_none() {
            return Err(format!("answer {answer:?} to nothing, {} are done", client.done));
        }
        if answer != (Count { tag: client.tag, count: client.done + 1 }) {
            return Err(format!("operation {} was answered {answer:?}", client.done + 1));
        }
        client.done = answer.count;
        client.answered = true;
        client.last = now;
        client.served = now;
        if !self.leaving {
            let pause = self.rng.random_range(Duration::ZERO..=self.think);
            self.agenda.insert((now + pause, Task::Operate(session)));
        }
        Ok(())
    }
}

impl Client {
    fn begin(&mut self) {
        self.waiting = Some(self.calls.request(&self.tag.encode()));
    }
}
