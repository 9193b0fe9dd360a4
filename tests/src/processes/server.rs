//! The process of a server: elements in pools, sessions that count.

use super::{CHECKPOINT, CLOSE_BOUND, Due, REGISTRATION_BOUND, SETTLE_BOUND, handle, policy};
use crate::counter::{Counter, Tag};
use crate::invariants::Name;
use crate::network::HostId;
use crate::spec::Spec;
use params::{PeIdentifier, PoolHandle, RegistrarId};
use proto::endpoint::{
    AsapEndpoint, CloseReason, ElementId, ElementTransport, Event, Message, RegisterError, Registration,
    SendError, SessionId,
};
use proto::{Node, Time};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long it waits before it registers an element again that was refused.
const REFUSED: Duration = Duration::from_secs(1);
/// The longest grace of a drain.
const GRACE: Duration = Duration::from_secs(2);

/// A process with elements that count.
pub struct Server {
    pub(super) machine: AsapEndpoint,
    rng: ChaCha12Rng,
    /// Its home as it knows it.
    pub home: Option<RegistrarId>,
    members: Vec<Member>,
    /// Which of the members an element is.
    elements: BTreeMap<ElementId, usize>,
    sessions: BTreeMap<SessionId, Served>,
    /// How many requests were only answered again, for their answer was lost. With replay that says nothing.
    pub repetitions: u64,
    /// With each how many operations a session gets a cookie.
    checkpoint: u64,
    /// Whether elements that go are drained.
    drains: bool,
    /// Elements that are drained.
    draining: BTreeMap<ElementId, Drain>,
    /// Sessions that it has ended in order since it was asked, with the last operation that was answered there.
    handed_over: Vec<(Tag, u64)>,
    /// When it has last done so with one whose name it did not know yet.
    strangers_handed_over: Option<Time>,
    /// Elements that were refused, and when it tries again: the machine leaves that to the application.
    refused: BTreeSet<(Time, ElementId)>,
    /// Results that are to come, since when.
    awaited: BTreeSet<(Time, ElementId)>,
    churn_every: Duration,
    /// When it next changes something on purpose.
    next_change: Option<Time>,
    leaving: bool,
}

/// A session.
struct Served {
    /// The element that it is at.
    element: ElementId,
    counter: Counter,
    /// The last operation whose answer was sent.
    answered: u64,
}

/// The drain of an element.
struct Drain {
    since: Time,
    /// When it has to be over.
    end: Time,
}

/// An element that the process has, or had and may have again.
struct Member {
    pool: u16,
    /// The identifier that it insists on.
    fixed: Option<PeIdentifier>,
    life: Option<Duration>,
    element: Option<ElementId>,
    /// Its identifier while it is registered.
    registered: Option<PeIdentifier>,
    /// Whether it is to be there.
    wanted: bool,
    /// Since when its result is to come.
    awaited: Option<Time>,
}

/// An element that is to be registered and is not.
pub struct Missing {
    /// Its pool.
    pub pool: PoolHandle,
    /// The identifier that it insists on.
    pub id: Option<PeIdentifier>,
}

impl Server {
    pub(super) fn start(
        machine: AsapEndpoint,
        host: HostId,
        spec: &Spec,
        mut rng: ChaCha12Rng,
        now: Time,
    ) -> Self {
        let churns = !spec.churn_every.is_zero();
        // A twin is the same as another host.
        let like = host.number - if spec.twins && host.number % 6 == 3 { 3 } else { 0 };
        let member = |number: u16| Member {
            // Round the pools, beginning somewhere else on each host.
            pool: (like + number) % spec.pools.max(1),
            // Some keep their identifier over restarts.
            fixed: like
                .is_multiple_of(3)
                .then(|| PeIdentifier(1_000_000 + 1000 * u32::from(like) + u32::from(number))),
            life: rng.random_bool(0.8).then_some(Duration::from_secs(rng.random_range(2..=60))),
            element: None,
            registered: None,
            wanted: !churns || rng.random_bool(0.9),
            awaited: None,
        };
        let members = (0..spec.elements.on(host.number)).map(member).collect();
        let mut server = Self {
            machine,
            rng,
            home: None,
            members,
            elements: BTreeMap::new(),
            sessions: BTreeMap::new(),
            repetitions: 0,
            checkpoint: if spec.replay { CHECKPOINT } else { 1 },
            drains: spec.drains,
            draining: BTreeMap::new(),
            handed_over: Vec::new(),
            strangers_handed_over: None,
            refused: BTreeSet::new(),
            awaited: BTreeSet::new(),
            churn_every: spec.churn_every,
            next_change: None,
            leaving: false,
        };
        for member in 0..server.members.len() {
            // That it cannot is what the census finds.
            let _ = server.register(now, member);
        }
        server
    }

    /// The elements that are registered as far as the process knows.
    pub fn registered(&self) -> impl Iterator<Item = Name> {
        self.members.iter().filter_map(|member| Some((handle(member.pool), member.registered?)))
    }

    /// The pool of one of its elements.
    pub fn pool(&self, element: ElementId) -> Option<PoolHandle> {
        self.elements.get(&element).map(|number| handle(self.members[*number].pool))
    }

    /// How many are registered.
    pub fn count(&self) -> usize {
        self.members.iter().filter(|member| member.registered.is_some()).count()
    }

    /// Whether one of them is registered.
    pub fn has(&self, (handle, id): &Name) -> bool {
        let named = |member: &&Member| member.registered == Some(*id);
        self.members.iter().filter(named).any(|member| super::handle(member.pool) == *handle)
    }

    /// Whether one of them is registered and is to stay.
    pub fn keeps(&self, (handle, id): &Name) -> bool {
        let named = |member: &&Member| member.wanted && member.registered == Some(*id);
        self.members.iter().filter(named).any(|member| super::handle(member.pool) == *handle)
    }

    /// The pools of elements that are registered though they are to go.
    pub fn unwanted(&self) -> impl Iterator<Item = PoolHandle> {
        let unwanted = self.members.iter().filter(|member| !member.wanted && member.registered.is_some());
        unwanted.map(|member| handle(member.pool))
    }

    /// The elements that are to be registered and are not.
    pub fn missing(&self) -> impl Iterator<Item = Missing> {
        let missing = self.members.iter().filter(|member| member.wanted && member.registered.is_none());
        missing.map(|member| Missing { pool: handle(member.pool), id: member.fixed })
    }

    /// The sessions that it has ended in order since this was asked last, with the last operation that was answered in each: it
    /// has arrived.
    pub fn take_handed_over(&mut self) -> Vec<(Tag, u64)> {
        std::mem::take(&mut self.handed_over)
    }

    /// When it has last ended one in order of which it did not know whose it was.
    pub fn strangers_handed_over(&self) -> Option<Time> {
        self.strangers_handed_over
    }

    /// What has to have an end: what it is, and by when.
    pub(super) fn awaits(&self) -> impl Iterator<Item = (&'static str, Time)> {
        let registration =
            self.awaited.first().map(|(since, _)| ("registration", *since + REGISTRATION_BOUND));
        let drain = self.draining.values().map(|drain| drain.end).min().map(|end| ("drain", end));
        registration.into_iter().chain(drain)
    }

    pub(super) fn due(&self) -> Option<Time> {
        let refused = self.refused.first().map(|(at, _)| *at);
        self.next_change.into_iter().chain(refused).min()
    }

    pub(super) fn set_churning(&mut self, now: Time, churning: bool) {
        self.next_change = (churning && !self.churn_every.is_zero() && !self.leaving).then_some(now);
        if churning {
            self.change_later(now);
        }
    }

    fn change_later(&mut self, now: Time) {
        let pause = Duration::ZERO..=self.churn_every * 2;
        self.next_change = self.next_change.map(|_| now + self.rng.random_range(pause));
    }

    /// Does what is due.
    pub(super) fn work(&mut self, now: Time) -> Result<(), String> {
        while let Some((_, element)) = self.refused.pop_first_if_due(now) {
            self.try_again(now, element)?;
        }
        self.change(now)
    }

    fn try_again(&mut self, now: Time, element: ElementId) -> Result<(), String> {
        let member = self.elements.get(&element).map(|number| &self.members[*number]);
        let Some(member) = member.filter(|member| member.wanted && member.registered.is_none()) else {
            return Ok(());
        };
        let policy = policy(member.pool, &mut self.rng);
        self.machine
            .set_policy(now, element, policy)
            .map_err(|error| format!("not registered again: {error}"))
    }

    /// An element comes or goes, or changes its load.
    fn change(&mut self, now: Time) -> Result<(), String> {
        if self.next_change.is_none_or(|at| at > now) || self.members.is_empty() {
            return Ok(());
        }
        self.change_later(now);
        let number = self.rng.random_range(0..self.members.len());
        let toggles = self.rng.random_bool(0.4);
        let member = &mut self.members[number];
        match member.element {
            None if !member.wanted => {
                member.wanted = true;
                self.register(now, number)
            }
            // It is about to go.
            None => Ok(()),
            Some(_) if !member.wanted => Ok(()),
            Some(element) if toggles => {
                member.wanted = false;
                self.wait(now, number, element);
                if self.drains && self.rng.random_bool(0.5) {
                    return self.drain(now, element);
                }
                self.machine.deregister(now, element).map_err(|error| format!("not deregistered: {error}"))
            }
            Some(element) => {
                let policy = policy(member.pool, &mut self.rng);
                self.machine.set_policy(now, element, policy).map_err(|error| format!("no new load: {error}"))
            }
        }
    }

    fn drain(&mut self, now: Time, element: ElementId) -> Result<(), String> {
        let grace = self.rng.random_range(Duration::ZERO..=GRACE);
        let end = now + (REGISTRATION_BOUND + SETTLE_BOUND).max(grace + CLOSE_BOUND);
        self.draining.insert(element, Drain { since: now, end });
        self.machine.drain(now, element, grace).map_err(|error| format!("not drained: {error}"))
    }

    fn register(&mut self, now: Time, number: usize) -> Result<(), String> {
        let member = &mut self.members[number];
        if !member.wanted {
            return Ok(());
        }
        let registration = Registration {
            handle: handle(member.pool),
            policy: policy(member.pool, &mut self.rng),
            life: member.life,
            id: member.fixed,
            transport: ElementTransport::Sessions,
        };
        let element = self.machine.register(now, registration);
        let element = element.map_err(|error| format!("not registered: {error}"))?;
        member.element = Some(element);
        self.elements.insert(element, number);
        self.wait(now, number, element);
        Ok(())
    }

    pub(super) fn leave(&mut self, now: Time) {
        self.leaving = true;
        self.next_change = None;
        self.refused.clear();
        for (element, number) in self.elements.clone() {
            self.wait(now, number, element);
        }
        self.machine.shutdown(now);
    }

    fn wait(&mut self, now: Time, number: usize, element: ElementId) {
        self.waited(number, element);
        self.members[number].awaited = Some(now);
        self.awaited.insert((now, element));
    }

    fn waited(&mut self, number: usize, element: ElementId) {
        if let Some(since) = self.members[number].awaited.take() {
            self.awaited.remove(&(since, element));
        }
    }

    /// The next event of the machine, handled.
    ///
    /// # Errors
    /// An invariant does not hold.
    pub fn event(&mut self, now: Time) -> Result<Option<Event>, String> {
        let Some(event) = self.machine.poll_event() else { return Ok(None) };
        match &event {
            Event::Registered { element, .. }
            | Event::RegistrationFailed { element, .. }
            | Event::Expired { element }
            | Event::Deregistered { element, .. } => self.element_event(now, *element, &event)?,
            Event::HomeChanged { home } => self.home = Some(*home),
            Event::RegistrarConnected { .. } | Event::RegistrarLost | Event::NoRegistrarFound { .. } => {
                self.home = None;
            }
            Event::SessionAccepted { session, element, cookie, .. } => {
                // At the same moment: it began before, and is told of only now.
                if self.draining.get(element).is_some_and(|drain| drain.since < now) {
                    return Err("a session begins at an element that is drained".into());
                }
                let counter = cookie.as_ref().map(Counter::resume).transpose()?;
                let counter = counter.unwrap_or_default();
                self.sessions.insert(*session, Served { element: *element, counter, answered: 0 });
            }
            Event::CookieReceived { session, cookie, .. } => {
                let session =
                    self.sessions.get_mut(session).ok_or("a cookie of a session that is unknown")?;
                session.counter = Counter::resume(cookie)?;
            }
            Event::Received { session, message } => self.serve(now, *session, message)?,
            Event::Closed { session, why } => {
                let Some(ended) = self.sessions.remove(session) else { return Ok(Some(event)) };
                if *why == CloseReason::Local {
                    match ended.counter.tag() {
                        Some(tag) => self.handed_over.push((tag, ended.answered)),
                        None => self.strangers_handed_over = Some(now),
                    }
                }
            }
            Event::Drained { element } => {
                self.draining.remove(element).ok_or("an element has drained that was not to")?;
                let left = self.sessions.values().any(|session| session.element == *element);
                if left || self.elements.contains_key(element) {
                    return Err("an element has drained before it was left".into());
                }
            }
            _ => {}
        }
        Ok(Some(event))
    }

    fn element_event(&mut self, now: Time, element: ElementId, event: &Event) -> Result<(), String> {
        let number = *self.elements.get(&element).ok_or("an event of an element that is unknown")?;
        let deregistering = !self.members[number].wanted || self.leaving;
        let member = &mut self.members[number];
        match event {
            Event::Registered { id, home, .. } => {
                member.registered = Some(*id);
                self.home = home.or(self.home);
                self.waited(number, element);
            }
            Event::RegistrationFailed { error, .. } => {
                member.registered = None;
                if matches!(error, RegisterError::Rejected(_)) && !deregistering {
                    self.refused.insert((now + REFUSED, element));
                }
                self.waited(number, element);
            }
            // It is told of by the machine, which registers again.
            Event::Expired { .. } if !deregistering => self.wait(now, number, element),
            Event::Deregistered { .. } => {
                member.registered = None;
                member.element = None;
                self.elements.remove(&element);
                self.waited(number, element);
            }
            _ => {}
        }
        Ok(())
    }

    fn serve(&mut self, now: Time, session: SessionId, message: &Message) -> Result<(), String> {
        let served = self.sessions.get_mut(&session).ok_or("a message of a session that is unknown")?;
        let before = served.counter.done();
        // A repetition costs as much as an operation: its cookie comes again.
        let done = served.counter.serve(&message.bytes)?;
        let number = done.number();
        self.repetitions += u64::from(number == before);
        let answer = Message::new(done.answer());
        let sent = match number.is_multiple_of(self.checkpoint) {
            true => self.machine.set_cookie(now, session, done.cookie()),
            false => Ok(()),
        };
        match sent.and_then(|()| self.machine.send(now, session, 0, answer)) {
            Ok(()) => served.answered = number,
            Err(SendError::Closed) => {}
            Err(error) => return Err(format!("an answer was refused: {error}")),
        }
        Ok(())
    }
}
