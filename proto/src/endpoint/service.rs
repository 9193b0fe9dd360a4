//! What an element gives to its sessions. It outlives the element for as long as they do.

use super::sealed_cookie::{CookieSealing, OpenedCookie};
use super::session::Session;
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
    /// When its registrar has let it go, unless it was registered again.
    left: Option<Time>,
    /// How long it stays after that, if it is drained.
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
            left: None,
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
    /// An element that is out of its pool already is drained as long as it has sessions; only the second event follows then.
    ///
    /// # Errors
    /// There is no such element.
    pub fn drain(&mut self, now: Time, element: ElementId, grace: Duration) -> Result<(), CommandError> {
        let service = self.services.get_mut(&element).ok_or(CommandError::Unknown)?;
        if !std::mem::replace(&mut service.draining, true) {
            service.settle = grace.min(self.config.timers.drain_settle);
            self.timers.set(Timer::Drain(element), now + grace);
        }
        if self.elements.contains_key(&element) {
            self.deregister(now, element)?;
        }
        Ok(())
    }

    pub(super) fn drain_expired(&mut self, now: Time, element: ElementId) {
        let sessions = self.services.get(&element).map(|service| service.sessions.clone());
        for session in sessions.unwrap_or_default() {
            self.close_unasked(now, session);
        }
    }

    /// Closes a session whose application does not know of it yet.
    pub(super) fn close_unasked(&mut self, now: Time, session: SessionId) {
        if self.sessions.get(&session).and_then(Session::open).is_some() {
            self.events.push_back(Event::Closing { session });
        }
        self.close(now, session);
    }

    /// The registrar has let the element go.
    pub(super) fn left_pool(&mut self, now: Time, element: ElementId) {
        if let Some(service) = self.services.get_mut(&element) {
            service.left = Some(now);
        }
    }

    /// The element is about to end. Those who have subscribed to its pool hear a moment after it was let go.
    pub(super) fn settle(&mut self, now: Time, element: ElementId) {
        let Some(service) = self.services.get(&element).filter(|_| !self.shutting_down) else { return };
        if let Some(settled) = service.left.map(|left| left + service.settle).filter(|settled| *settled > now)
        {
            self.timers.set(Timer::Settle(element), settled);
        }
    }

    /// The element registers: as this.
    pub(super) fn enters_pool(&mut self, element: ElementId, own: PoolElement) {
        if let Some(service) = self.services.get_mut(&element) {
            (service.own, service.left) = (Some(own), None);
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
