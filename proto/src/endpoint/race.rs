//! Two elements at once: a connect that takes long does not hold the session up.
//!
//! After `connect_stagger` the next element is tried beside the first, which becomes a *straggler*. Whoever is up first has the
//! session. A straggler that is late is let go; one that never comes up has failed like any other, so what makes sessions wait
//! is soon avoided.
//!
//! Further tries at once, these and those after a failure, are within a budget: a share of all searches, and some a second. A
//! search that finds it used up pauses, and its first try after a pause is free.

use super::{AsapEndpoint, Role, SessionId, Timer};
use crate::{AssocId, DownReason, Time};
use params::{PeIdentifier, PoolHandle};

#[derive(Debug)]
pub(super) struct Straggler {
    session: SessionId,
    handle: PoolHandle,
    element: PeIdentifier,
    /// When its connect began.
    since: Time,
}

impl Straggler {
    pub(super) fn element(&self) -> PeIdentifier {
        self.element
    }
}

impl AsapEndpoint {
    /// Whether another element may be tried at once.
    pub(super) fn may_retry(&mut self, now: Time) -> bool {
        let allowed = self.retries.as_mut().is_none_or(|budget| budget.take(now));
        if !allowed {
            self.counters.retries_postponed += 1;
        }
        allowed
    }

    /// A session begins to look for a server.
    pub(super) fn search_begun(&mut self) {
        self.counters.searches += 1;
        if let (Some(bucket), Some(budget)) = (&mut self.retries, &self.config.retry_budget) {
            bucket.add(u64::from(budget.percent) * 10);
        }
    }

    /// The connect takes long: the next element is tried beside it, if there is one.
    pub(super) fn stagger_expired(&mut self, now: Time, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(slow) = state.assoc else { return };
        let Some(user) = state.user() else { return };
        let Some(search) = &mut user.search else { return };
        let Some(element) = search.candidate else { return };
        if search.straggler.is_some_and(|straggler| self.stragglers.contains_key(&straggler)) {
            return;
        }
        let (handle, since) = (user.handle.clone(), search.connecting);
        let Some((next, remote)) = self.choose_preferred(now, session).filter(|_| self.may_retry(now)) else {
            return;
        };
        if let Some(search) = self.search(session) {
            search.straggler = Some(slow);
        }
        self.associations.insert(slow, Role::Straggler);
        self.stragglers.insert(slow, Straggler { session, handle, element, since });
        self.timers.set(Timer::Straggler(slow), since + self.config.timers.connect_timeout);
        self.connect_to(now, session, next, remote);
    }

    /// It is up after all: the session is its own, unless it has found a server meanwhile.
    pub(super) fn straggler_up(&mut self, now: Time, assoc: AssocId) {
        self.timers.cancel(&Timer::Straggler(assoc));
        let Some(Straggler { session, handle, element, .. }) = self.stragglers.remove(&assoc) else { return };
        self.element_alive(&handle, element);
        let Some(search) = self.search(session) else { return self.leave(now, assoc) };
        search.candidate = Some(element);
        let slower = self.sessions.get_mut(&session).and_then(|state| state.assoc.replace(assoc));
        if let Some(slower) = slower {
            self.abort_association(slower, "another element was faster");
        }
        self.associations.insert(assoc, Role::Session(session));
        self.session_up(now, assoc, session);
    }

    /// It has failed like any candidate. The session is with the next one.
    pub(super) fn straggler_down(&mut self, now: Time, assoc: AssocId, why: &DownReason) {
        self.timers.cancel(&Timer::Straggler(assoc));
        let Some(straggler) = self.stragglers.remove(&assoc) else { return };
        let Straggler { session, handle, element, since } = straggler;
        self.element_failed(now, &handle, element, since, why);
        if self.timers.at(&Timer::Stagger(session)).is_none() {
            self.stagger_expired(now, session);
        }
    }

    /// It has had the time of a connect.
    pub(super) fn straggler_expired(&mut self, now: Time, assoc: AssocId) {
        self.abort_association(assoc, "no answer within the connect timeout");
        self.straggler_down(now, assoc, &DownReason::Unreachable);
    }
}
