//! Handle resolution (RFC 5352 §3.3) and its retransmission (§3.7.2).
//!
//! Whoever wants the same thing at the same time shares one request.

use super::registrars;
use super::{
    AsapEndpoint, CommandError, ElementId, Event, RequestId, Resolution, ResolveError, ResolveOptions,
    SessionId, Timer, check_handle,
};
use crate::{AssocId, Time};
use asap::{HandleResolution, HandleResolutionResponse, Message};
use params::{CauseCode, OperationError, Policy, PoolHandle};
use std::collections::VecDeque;

/// The request that is outstanding for a pool, and those that ask for another number of items and must wait.
#[derive(Debug)]
pub(super) struct Lookup {
    items: Option<u32>,
    waiters: Vec<Waiter>,
    until: Time,
    queued: VecDeque<(Option<u32>, Waiter)>,
}

/// Who wants the answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    Request(RequestId),
    Session(SessionId),
    /// An element that names others in its business card.
    Cards(ElementId),
}

impl AsapEndpoint {
    /// Resolves a pool handle (RFC 5352 §3.3). [`Event::Resolved`] follows.
    ///
    /// # Errors
    /// Too many resolutions wait already; an empty or overlong handle.
    pub fn resolve(
        &mut self,
        now: Time,
        handle: PoolHandle,
        options: ResolveOptions,
    ) -> Result<RequestId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        check_handle(&handle, self.config.compat)?;
        let ResolveOptions { items, uncached } = options;
        let cached = (!uncached).then(|| self.cache.resolution(now, &handle, items, &mut self.rng));
        if let Some(resolution) = cached.flatten() {
            let request = RequestId(self.number());
            self.events.push_back(Event::Resolved { request, result: Ok(resolution) });
            return Ok(request);
        }
        if self.waiting_requests >= self.config.limits.resolutions {
            return Err(CommandError::Limit("resolutions"));
        }
        let request = RequestId(self.number());
        self.waiting_requests += 1;
        self.look_up(now, handle, items, Waiter::Request(request));
        Ok(request)
    }

    /// Asks the registrar, or joins a request that asks for the same.
    pub(super) fn look_up(&mut self, now: Time, handle: PoolHandle, items: Option<u32>, waiter: Waiter) {
        match self.lookups.get_mut(&handle) {
            Some(lookup) if lookup.items == items => lookup.waiters.push(waiter),
            Some(lookup) => lookup.queued.push_back((items, waiter)),
            None => self.start_lookup(now, handle, items, vec![waiter], VecDeque::new()),
        }
    }

    fn start_lookup(
        &mut self,
        now: Time,
        handle: PoolHandle,
        items: Option<u32>,
        waiters: Vec<Waiter>,
        queued: VecDeque<(Option<u32>, Waiter)>,
    ) {
        let timers = &self.config.timers;
        let until = now + timers.t1_request.saturating_mul(timers.max_request_retransmit.saturating_add(1));
        self.lookups.insert(handle.clone(), Lookup { items, waiters, until, queued });
        self.send_resolution(now, &handle);
        self.seek_home(now);
    }

    /// Sends the request if there is a home, and starts T1 in any case.
    fn send_resolution(&mut self, now: Time, handle: &PoolHandle) {
        let Some(lookup) = self.lookups.get(handle) else { return };
        let request = HandleResolution { subscribe: false, handle: handle.clone(), items: lookup.items };
        let t1 = (now + self.config.timers.t1_request).min(lookup.until);
        self.timers.set(Timer::T1(handle.clone()), t1);
        self.ask(&Message::HandleResolution(request));
    }

    /// There is a new home: it gets everything that has no answer yet.
    pub(super) fn repeat_lookups(&mut self, now: Time) {
        let handles: Vec<PoolHandle> = self.lookups.keys().cloned().collect();
        for handle in handles {
            self.send_resolution(now, &handle);
        }
    }

    /// No answer: again, and a hunt at the same time, until MAX-REQUEST-RETRANSMIT (RFC 5352 §3.7.2).
    pub(super) fn t1_expired(&mut self, now: Time, handle: PoolHandle) {
        if self.lookups.get(&handle).is_some_and(|lookup| now < lookup.until) {
            self.send_resolution(now, &handle);
            self.start_hunt(now);
        } else {
            self.end_lookup(now, &handle, Err(ResolveError::NoRegistrar));
        }
    }

    pub(super) fn resolution_response(
        &mut self,
        now: Time,
        assoc: AssocId,
        response: HandleResolutionResponse,
    ) {
        if registrars::is_registrar_pool(&response.handle) {
            self.registrars_told(now, &response);
            if !self.lookups.contains_key(&response.handle) {
                return;
            }
        }
        let HandleResolutionResponse { accepted: _, handle, policy, elements, error } = response;
        let Some(lookup) = self.lookups.get(&handle) else {
            self.counters.unexpected += 1;
            return;
        };
        let items = lookup.items;
        let result = match error {
            None if !elements.is_empty() => {
                let policy = policy.unwrap_or(Policy::RoundRobin);
                self.cache.insert(now, &handle, items, policy.clone(), elements.clone());
                Ok(Resolution { policy, elements })
            }
            Some(error) if !is_unknown_pool(&error) => Err(ResolveError::Refused(error)),
            _ => {
                self.cache.remove(&handle);
                Err(ResolveError::UnknownPool)
            }
        };
        self.answered(assoc);
        self.end_lookup(now, &handle, result);
    }

    /// Tells everybody who waited for it, then starts the next request for the same pool.
    pub(super) fn end_lookup(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        result: Result<Resolution, ResolveError>,
    ) {
        self.timers.cancel(&Timer::T1(handle.clone()));
        let Some(lookup) = self.lookups.remove(handle) else { return };
        let mut queued = lookup.queued;
        if let Some((items, _)) = queued.front().copied() {
            let (same, others): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut queued).into_iter().partition(|(other, _)| *other == items);
            let waiters = same.into_iter().map(|(_, waiter)| waiter).collect();
            self.start_lookup(now, handle.clone(), items, waiters, others);
        }
        for waiter in lookup.waiters {
            match waiter {
                Waiter::Request(request) => {
                    self.waiting_requests = self.waiting_requests.saturating_sub(1);
                    self.events.push_back(Event::Resolved { request, result: result.clone() });
                }
                Waiter::Session(session) => self.session_resolved(now, session, result.as_ref().err()),
                Waiter::Cards(element) => self.pool_known(element),
            }
        }
    }
}

fn is_unknown_pool(error: &OperationError) -> bool {
    error.causes.iter().any(|cause| cause.code == CauseCode::UNKNOWN_POOL_HANDLE)
}
