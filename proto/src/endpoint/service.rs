//! What an element gives to its sessions. It outlives the element for as long as they do.

use super::sealed_cookie::{CookieSealing, OpenedCookie};
use super::{AsapEndpoint, CommandError, CookieRefusal, ElementId, Event, SessionId, Timer};
use crate::Time;
use bytes::Bytes;
use params::{PeIdentifier, PoolElement, PoolHandle};
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Service {
    pub(super) handle: PoolHandle,
    pub(super) id: PeIdentifier,
    /// How cookies are sealed; `None`: they are not.
    pub(super) sealing: Option<CookieSealing>,
    pub(super) sessions: BTreeSet<SessionId>,
    /// As it was registered last.
    pub(super) own: Option<PoolElement>,
    /// Whom its business card names.
    pub(super) failover_order: Vec<PeIdentifier>,
    /// Sessions that get the card when the registrar has answered.
    pub(super) waiting_for_card: BTreeSet<SessionId>,
    /// It ends when the last session has.
    draining: bool,
    /// How long it stays after its registrar has let it go, if it is drained.
    settle: Duration,
}

impl Service {
    pub(super) fn new(handle: PoolHandle, id: PeIdentifier) -> Self {
        Self {
            handle,
            id,
            sealing: None,
            sessions: BTreeSet::new(),
            own: None,
            failover_order: Vec::new(),
            waiting_for_card: BTreeSet::new(),
            draining: false,
            settle: Duration::ZERO,
        }
    }

    /// The cookie that a session comes with, without its seal if it has to have one.
    pub(super) fn open(&self, unix: Duration, cookie: Bytes) -> Result<OpenedCookie, CookieRefusal> {
        match &self.sealing {
            Some(sealing) => sealing.open(unix, &self.handle, self.id, &cookie),
            None => Ok(OpenedCookie { version: 0, cookie }),
        }
    }
}

impl AsapEndpoint {
    /// From now on the cookies of this element's sessions are sealed, and only sealed ones are accepted. Said again, for
    /// other keys. Without it cookies are the application's bytes: whoever shares the pool with other
    /// implementations needs that.
    ///
    /// # Errors
    /// There is no such element.
    pub fn seal_cookies(&mut self, element: ElementId, sealing: CookieSealing) -> Result<(), CommandError> {
        self.services.get_mut(&element).ok_or(CommandError::Unknown)?.sealing = Some(sealing);
        Ok(())
    }

    /// Says what time of day it is, as the time since the beginning of 1970: cookies expire by it. It goes on with the
    /// machine's time until it is said again.
    pub fn set_unix_time(&mut self, now: Time, unix: Duration) {
        self.unix_time = (now, unix);
    }

    pub(super) fn unix(&self, now: Time) -> Duration {
        let (at, unix) = self.unix_time;
        unix.saturating_add(now.since(at))
    }

    /// Takes an element out of its pool and its sessions to an end: those that are not over after `grace` are shut down in
    /// order, so their pool users go on elsewhere with the last cookie. [`Event::Drained`] follows
    /// [`Event::Deregistered`] when the last session has ended, at most half a minute after the grace.
    ///
    /// It does not follow at once: until those who have subscribed to the pool have heard of it they may still come, to a
    /// service of the application's own for instance, which goes on until then. That takes
    /// [`EndpointTimers::drain_settle`](crate::profile::EndpointTimers::drain_settle), but no longer than the grace.
    ///
    /// # Errors
    /// There is no such element.
    pub fn drain(&mut self, now: Time, element: ElementId, grace: Duration) -> Result<(), CommandError> {
        if !self.elements.contains_key(&element) {
            return Err(CommandError::Unknown);
        }
        if let Some(service) = self.services.get_mut(&element).filter(|service| !service.draining) {
            service.draining = true;
            service.settle = grace.min(self.config.timers.drain_settle);
            self.timers.set(Timer::Drain(element), now + grace);
        }
        self.deregister(now, element)
    }

    pub(super) fn drain_expired(&mut self, now: Time, element: ElementId) {
        let sessions = self.services.get(&element).map(|service| service.sessions.clone());
        for session in sessions.unwrap_or_default() {
            self.close(now, session);
        }
    }

    /// The registrar has let the element go. Those who have subscribed to its pool hear of it in a moment.
    pub(super) fn settle(&mut self, now: Time, element: ElementId) {
        let settle = self.services.get(&element).map_or(Duration::ZERO, |service| service.settle);
        if !settle.is_zero() && !self.shutting_down {
            self.timers.set(Timer::Settle(element), now + settle);
        }
    }

    pub(super) fn session_began(&mut self, now: Time, element: ElementId, session: SessionId) {
        if let Some(service) = self.services.get_mut(&element) {
            service.sessions.insert(session);
        }
        self.give_card(now, element, session);
    }

    pub(super) fn session_ended(&mut self, element: ElementId, session: SessionId) {
        if let Some(service) = self.services.get_mut(&element) {
            service.sessions.remove(&session);
            service.waiting_for_card.remove(&session);
        }
        self.end_service(element);
    }

    /// Forgets what nobody needs any more.
    pub(super) fn end_service(&mut self, element: ElementId) {
        let needed = self.elements.contains_key(&element)
            || self.timers.at(&Timer::Settle(element)).is_some()
            || self.services.get(&element).is_some_and(|service| !service.sessions.is_empty());
        if !needed && self.services.remove(&element).is_some_and(|service| service.draining) {
            self.timers.cancel(&Timer::Drain(element));
            self.events.push_back(Event::Drained { element });
        }
    }
}
