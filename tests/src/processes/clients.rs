//! The process of users: sessions that count, resolutions and false reports beside them.

use super::handle;
use crate::counter::{Count, Tag};
use crate::network::HostId;
use crate::spec::Spec;
use bytes::Bytes;
use params::PeIdentifier;
use proto::endpoint::{
    AsapEndpoint, CloseReason, Event, Message, RequestId, ResolveOptions, SendError, SessionId,
    SessionOptions,
};
use proto::exactly_once::Calls;
use proto::{Node, Time};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a session looks for a server. Longer than any run, so that no session ever ends for want of one.
const PATIENCE: Duration = Duration::from_secs(100 * 3600);

/// A process with sessions, and with resolutions beside them.
pub struct Clients {
    pub(super) machine: AsapEndpoint,
    host: HostId,
    rng: ChaCha12Rng,
    pools: u16,
    /// How many sessions it has when all are there.
    wanted: usize,
    think: Duration,
    clients: BTreeMap<SessionId, Client>,
    resolution: Option<(RequestId, u16, Time)>,
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
    closing: bool,
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
            clients: BTreeMap::new(),
            resolution: None,
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

    /// Whether a session has had an answer in the peace.
    pub fn is_answered(&self, session: SessionId) -> bool {
        self.clients.get(&session).is_some_and(|client| client.answered)
    }

    pub(super) fn waits_since(&self) -> Option<Time> {
        self.resolution.map(|(.., since)| since)
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
        let session = self.machine.connect(now, handle(pool), SessionOptions { patience: PATIENCE });
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
            closing: false,
            answered: false,
        };
        client.begin();
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
        let options = ResolveOptions { items, uncached: self.rng.random_bool(0.7) };
        let request = self.machine.resolve(now, handle(pool), options);
        let request = request.map_err(|error| format!("no resolution: {error}"))?;
        self.resolution = Some((request, pool, now));
        Ok(())
    }

    fn operate(&mut self, now: Time, session: SessionId) -> Result<(), String> {
        let Some(client) = self.clients.get_mut(&session).filter(|client| !client.closing) else {
            return Ok(());
        };
        if self.rng.random_bool(0.01) {
            client.closing = true;
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
                }
            }
            Event::Received { session, message } => self.answered(now, *session, message)?,
            Event::Failover { session, epoch, to, .. } => {
                let client = self.clients.get_mut(session).ok_or("a failover of nobody")?;
                client.epoch = *epoch;
                client.server = Some(*to);
                client.last = now;
                Self::send(&mut self.machine, now, *session, client)?;
            }
            Event::Resolved { request, result } => {
                let awaited = self.resolution.take_if(|(awaited, ..)| awaited == request);
                let (_, pool, _) = awaited.ok_or("a resolution was answered that nobody waits for")?;
                // Some are wrong about who cannot be reached. One that is gone from the cache meanwhile is refused.
                if let Ok(resolution) = result
                    && self.rng.random_bool(0.03)
                    && let Some(element) = resolution.elements.first()
                {
                    let _ = self.machine.report_unreachable(now, &handle(pool), element.id);
                }
            }
            Event::Closed { session, why } => {
                let client = self.clients.remove(session).ok_or("the end of no session")?;
                let expected = *why == CloseReason::Local && (client.closing || self.leaving);
                if client.server.is_some() && !expected {
                    return Err(format!("a session with {} operations has ended: {why}", client.done));
                }
            }
            _ => {}
        }
        Ok(Some(event))
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

/// Taking what is due.
trait Due<T> {
    fn pop_first_if_due(&mut self, now: Time) -> Option<T>;
}

impl Due<(Time, Task)> for BTreeSet<(Time, Task)> {
    fn pop_first_if_due(&mut self, now: Time) -> Option<(Time, Task)> {
        self.first().is_some_and(|(at, _)| *at <= now).then(|| self.pop_first()).flatten()
    }
}
