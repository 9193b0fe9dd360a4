//! Handle resolution (RFC 5352 §3.3) and its retransmission (§3.7.2).
//!
//! Whoever wants the same thing at the same time shares one request. An answer that is stale is used all the same while the
//! next one is under way (C3), and for longer if no registrar answers. Once it is clear that none can be reached, nobody waits
//! for that any more.

use super::cache::Age;
use super::hunt::Home;
use super::registrars;
use super::{
    AsapEndpoint, CommandError, ElementId, Event, RequestId, Resolution, ResolveError, ResolveOptions,
    SessionId, Timer, check_handle,
};
use crate::{AssocId, Time};
use asap::{HandleResolution, HandleResolutionResponse, Message};
use params::{CauseCode, OperationError, Policy, PoolElement, PoolHandle};
use std::collections::VecDeque;

/// How many times the longest round of a hunt the elements of a pool have to find a registrar that was just started.
const LEARNING: u32 = 3;

/// The request that is outstanding for a pool, and those that ask for another number of items and must wait.
#[derive(Debug)]
pub(super) struct Lookup {
    interest: Interest,
    waiters: Vec<Waiter>,
    until: Time,
    queued: VecDeque<(Option<u32>, Waiter)>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    items: Option<u32>,
    /// Whether it may subscribe to the pool.
    changes: bool,
}

impl Interest {
    /// The elements, and their changes.
    pub(super) const COMPLETE: Self = Self { items: None, changes: true };
    /// The changes are not wanted any more.
    pub(super) const UNSUBSCRIBE: Self = Self { items: None, changes: false };

    /// Whether the answer tells nobody anything, unless somebody has joined.
    fn is_farewell(self) -> bool {
        !self.changes && self.items.is_none()
    }

    /// So many elements; the changes with them only if that is all.
    fn items(items: Option<u32>) -> Self {
        Self { items, changes: items.is_none() }
    }
}

/// Who wants the answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    /// The application; whether what is known from earlier will do if no registrar answers.
    Request(RequestId, bool),
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
        let oldest = self.oldest_usable();
        let cached = (!uncached).then(|| self.cache.resolution(now, &handle, items, oldest, &mut self.rng));
        if let Some(resolution) = cached.flatten() {
            let request = RequestId(self.number());
            if resolution.stale {
                self.refresh(now, handle);
            }
            self.events.push_back(Event::Resolved { request, result: Ok(resolution) });
            return Ok(request);
        }
        if self.waiting_requests >= self.config.limits.resolutions {
            return Err(CommandError::Limit("resolutions"));
        }
        let request = RequestId(self.number());
        self.waiting_requests += 1;
        self.look_up(now, handle, items, Waiter::Request(request, !uncached));
        Ok(request)
    }

    /// How old an answer may be that is used without waiting for a registrar.
    pub(super) fn oldest_usable(&self) -> Age {
        if self.home.is_none() && self.hunt.has_failed() { Age::Stale } else { Age::Revalidating }
    }

    /// No registrar can be reached: those who wait for one get what is known from earlier. The requests go on.
    pub(super) fn use_known(&mut self, now: Time) {
        let usable = |handle: &&PoolHandle| self.cache.age(now, handle).is_some_and(|age| age <= Age::Stale);
        for handle in self.lookups.keys().filter(usable).cloned().collect::<Vec<_>>() {
            let Some(lookup) = self.lookups.get_mut(&handle) else { continue };
            let content = |waiter: &Waiter| matches!(waiter, Waiter::Request(_, true) | Waiter::Session(_));
            let items = lookup.interest.items;
            let mut ready = Vec::new();
            ready.extend(
                lookup.waiters.extract_if(.., |waiter| content(waiter)).map(|waiter| (items, waiter)),
            );
            let (queued, rest) =
                std::mem::take(&mut lookup.queued).into_iter().partition(|(_, waiter)| content(waiter));
            lookup.queued = rest;
            ready.extend::<VecDeque<_>>(queued);
            for (items, waiter) in ready {
                let known = match waiter {
                    Waiter::Session(session) => {
                        self.session_resolved(now, session, Some(&ResolveError::NoRegistrar));
                        continue;
                    }
                    _ => self.cache.resolution(now, &handle, items, Age::Stale, &mut self.rng),
                };
                match (waiter, known) {
                    (Waiter::Request(request, _), Some(known)) => {
                        self.waiting_requests = self.waiting_requests.saturating_sub(1);
                        self.events.push_back(Event::Resolved { request, result: Ok(known) });
                    }
                    // It wants more than is known.
                    (waiter, _) => self.look_up(now, handle.clone(), items, waiter),
                }
            }
        }
    }

    /// Forgets what is known of a pool and of its elements (RFC 5352 §6.4), so whoever uses it next asks a registrar. What the
    /// registrar tells by itself afterwards is kept again.
    pub fn purge(&mut self, handle: &PoolHandle) {
        self.cache.remove(handle);
    }

    /// Asks the registrar, or joins a request that asks for the same.
    pub(super) fn look_up(&mut self, now: Time, handle: PoolHandle, items: Option<u32>, waiter: Waiter) {
        self.cache.set_used(now, &handle);
        match self.lookups.get_mut(&handle) {
            Some(lookup) if lookup.interest.items == items => lookup.waiters.push(waiter),
            Some(lookup) => lookup.queued.push_back((items, waiter)),
            None => {
                self.start_lookup(now, handle, Interest::items(items), vec![waiter], VecDeque::new());
            }
        }
    }

    /// Asks the registrar on nobody's behalf. There must be no request for the pool.
    pub(super) fn start_interest(&mut self, now: Time, handle: PoolHandle, interest: Interest) {
        self.start_lookup(now, handle, interest, Vec::new(), VecDeque::new());
    }

    fn start_lookup(
        &mut self,
        now: Time,
        handle: PoolHandle,
        interest: Interest,
        waiters: Vec<Waiter>,
        queued: VecDeque<(Option<u32>, Waiter)>,
    ) {
        let timers = &self.config.timers;
        let until = now + timers.t1_request.saturating_mul(timers.max_request_retransmit.saturating_add(1));
        self.lookups.insert(handle.clone(), Lookup { interest, waiters, until, queued });
        self.send_resolution(now, &handle);
        self.seek_home(now);
    }

    /// Sends the request if there is a home, and starts T1 in any case.
    fn send_resolution(&mut self, now: Time, handle: &PoolHandle) {
        let Some(lookup) = self.lookups.get(handle) else { return };
        let Interest { items, changes } = lookup.interest;
        let subscribe = changes && self.subscribes(handle);
        let request = HandleResolution { subscribe, handle: handle.clone(), items };
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
        // Only what subscribes is answered with A.
        let interest = self.lookups.get(&response.handle).map(|lookup| lookup.interest);
        let Some(interest) = interest.filter(|interest| interest.changes || !response.accepted) else {
            if self.is_home(assoc) && self.subscribed.contains(&response.handle) {
                self.pushed(now, response);
            } else {
                self.counters.unexpected += 1;
            }
            return;
        };
        let HandleResolutionResponse { accepted, handle, policy, elements, error } = response;
        self.subscription_answered(&handle, accepted);
        let result = self.learn_pool(now, &handle, interest.items, policy, elements, error);
        self.answered(assoc);
        self.end_lookup(now, &handle, result);
    }

    /// Keeps what a registrar has told of a pool.
    pub(super) fn learn_pool(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        policy: Option<Policy>,
        elements: Vec<PoolElement>,
        error: Option<OperationError>,
    ) -> Result<Resolution, ResolveError> {
        match error {
            None if !elements.is_empty() => {
                let policy = policy.unwrap_or(Policy::RoundRobin);
                let displaced = if self.is_worth_keeping(now, handle) {
                    self.cache.insert(now, handle, items, policy.clone(), elements.clone())
                } else {
                    None
                };
                if let Some(displaced) = displaced
                    && self.subscribed.contains(&displaced)
                    && !self.is_kept_subscribed(&displaced)
                {
                    self.unsubscribe(now, &displaced);
                }
                Ok(Resolution::new(policy, elements))
            }
            Some(error) if !is_unknown_pool(&error) => Err(ResolveError::Refused(error)),
            _ => {
                if !self.may_learn_yet(now, handle) {
                    self.cache.remove(handle);
                }
                Err(ResolveError::UnknownPool)
            }
        }
    }

    /// Whether what a registrar tells of a pool is kept. The answer that ends a subscription makes no other pool give way.
    fn is_worth_keeping(&self, now: Time, handle: &PoolHandle) -> bool {
        let asked = |lookup: &Lookup| !lookup.interest.is_farewell() || !lookup.waiters.is_empty();
        self.lookups.get(handle).is_none_or(asked)
            || self.is_kept_subscribed(handle)
            || self.cache.age(now, handle).is_some()
    }

    /// Whether the home may have been started a moment ago and know nothing yet: it became our home after another registrar
    /// told of the pool, and the pool's elements may still be looking for it. Until then the former word counts.
    fn may_learn_yet(&self, now: Time, handle: &PoolHandle) -> bool {
        let patience = self.config.timers.retran_max.saturating_mul(LEARNING);
        let since = self.home.as_ref().map(Home::since);
        let learned = self.cache.learned(now, handle);
        since.zip(learned).is_some_and(|(since, learned)| learned < since && now < since + patience)
    }

    /// Tells everybody who waited for it and who watches the pool, then starts the next request for the same pool.
    pub(super) fn end_lookup(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        result: Result<Resolution, ResolveError>,
    ) {
        self.timers.cancel(&Timer::T1(handle.clone()));
        let Some(lookup) = self.lookups.remove(handle) else { return };
        // A home that does not know yet a pool of which we know is as good as none, for those who take what is known.
        let ignorant = result == Err(ResolveError::UnknownPool) && self.may_learn_yet(now, handle);
        let none = Err(ResolveError::NoRegistrar);
        let (answer, result) = if ignorant { (&result, &none) } else { (&result, &result) };
        let mut queued = lookup.queued;
        if let Some((items, _)) = queued.front().copied() {
            let (same, others): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(&mut queued).into_iter().partition(|(other, _)| *other == items);
            let waiters = same.into_iter().map(|(_, waiter)| waiter).collect();
            self.start_lookup(now, handle.clone(), Interest::items(items), waiters, others);
        }
        if lookup.interest.items.is_none() {
            if *result == none {
                self.subscribe_later(now, handle);
            }
            self.tell_watchers(now, handle, result.clone());
        } else if self.is_kept_subscribed(handle) {
            // It has ended the subscription.
            self.timers.set(Timer::Watch(handle.clone()), now);
        }
        for waiter in lookup.waiters {
            match waiter {
                Waiter::Request(request, or_known) => {
                    self.waiting_requests = self.waiting_requests.saturating_sub(1);
                    let told = if or_known { result } else { answer };
                    let result = self.answer(now, handle, lookup.interest.items, or_known, told);
                    self.events.push_back(Event::Resolved { request, result });
                }
                Waiter::Session(session) => self.session_resolved(now, session, result.as_ref().err()),
                Waiter::Cards(element) => self.pool_known(element),
            }
        }
    }

    /// What one of those who waited is told: each of them another element first, as the policy demands; and what is known
    /// from earlier, if no registrar answers.
    fn answer(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        or_known: bool,
        result: &Result<Resolution, ResolveError>,
    ) -> Result<Resolution, ResolveError> {
        let oldest = match result {
            Ok(_) if items.is_none() => Age::Expired,
            Err(ResolveError::NoRegistrar) if or_known => Age::Stale,
            result => return result.clone(),
        };
        match self.cache.resolution(now, handle, items, oldest, &mut self.rng) {
            Some(known) => Ok(Resolution { stale: known.stale && result.is_err(), ..known }),
            None => result.clone(),
        }
    }
}

fn is_unknown_pool(error: &OperationError) -> bool {
    error.causes.iter().any(|cause| cause.code == CauseCode::UNKNOWN_POOL_HANDLE)
}
