//! Keeping pools up to date: their changes are pushed by the home registrar, or asked for now and then.
//!
//! Resolutions subscribe (the S bit, RFC 5352 §2.2.5, ambiguity A-34); A in the answer says that the registrar will tell. A
//! new home gets the subscriptions of the pools in use again (§2.2.5). One that nobody uses any more ends at its next
//! change, so it costs nothing until then; a session that we have started uses its pool until its end. As long as the home
//! tells of changes, what is known is current, however old, so it ages from when the home is lost. A pool that is *watched* is asked for again at intervals: short ones as long as
//! nothing is pushed, because the registrar refuses, is rsplib's, or does not know the pool yet.

use super::resolution::Interest;
use super::{
    AsapEndpoint, CommandError, Event, Resolution, ResolveError, SHORTEST_TIMER, Timer, check_handle,
    registrars,
};
use crate::Time;
use asap::HandleResolutionResponse;
use params::{PeIdentifier, Policy, PoolElement, PoolHandle, Transport};
use std::collections::BTreeMap;
use std::time::Duration;

/// A pool whose changes the application wants to hear of.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// What it was told last.
    told: Option<Told>,
}

#[derive(Debug, PartialEq)]
enum Told {
    Pool(Policy, BTreeMap<PeIdentifier, (Transport, Policy)>),
    Error(ResolveError),
}

impl Told {
    /// What makes two answers differ: not the order, which is the policy's, nor the home registrar.
    fn new(result: &Result<Resolution, ResolveError>) -> Self {
        let entry =
            |element: &PoolElement| (element.id, (element.user_transport.clone(), element.policy.clone()));
        match result {
            Ok(pool) => Self::Pool(pool.policy.clone(), pool.elements.iter().map(entry).collect()),
            Err(error) => Self::Error(error.clone()),
        }
    }
}

impl AsapEndpoint {
    /// Watches a pool until [`unwatch`](Self::unwatch): [`Event::PoolChanged`] follows with what there is, and each time that
    /// elements come, go, or change their transport or policy. To watch a pool twice is the same as once.
    ///
    /// # Errors
    /// Too many pools are watched; an empty or overlong handle.
    pub fn watch(&mut self, now: Time, handle: PoolHandle) -> Result<(), CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        check_handle(&handle, self.config.compat)?;
        if self.watched.contains_key(&handle) {
            return Ok(());
        }
        if self.watched.len() >= self.config.limits.watched_pools {
            return Err(CommandError::Limit("watched pools"));
        }
        self.watched.insert(handle.clone(), Watched::default());
        self.refresh(now, handle);
        Ok(())
    }

    /// Ends [`watch`](Self::watch).
    pub fn unwatch(&mut self, now: Time, handle: &PoolHandle) {
        if self.watched.remove(handle).is_none() {
            return;
        }
        self.timers.cancel(&Timer::Watch(handle.clone()));
        self.end_unused_subscription(now, handle);
    }

    /// Whether a resolution of this pool subscribes. The pool of the registrars is always subscribed to, if at all.
    pub(super) fn subscribes(&self, handle: &PoolHandle) -> bool {
        if self.config.compat.is_rsplib() {
            return false;
        }
        if registrars::is_registrar_pool(handle) {
            self.config.registrar_pool
        } else {
            self.config.cache.subscribe
        }
    }

    /// The answer to a complete resolution says whether the registrar will tell of changes.
    pub(super) fn subscription_answered(&mut self, handle: &PoolHandle, accepted: bool) {
        if accepted && !registrars::is_registrar_pool(handle) {
            self.subscribed.insert(handle.clone());
        } else {
            self.subscribed.remove(handle);
        }
    }

    /// The home registrar tells of a pool's change. A negative answer ends the subscription: there is nothing left.
    pub(super) fn pushed(&mut self, now: Time, response: HandleResolutionResponse) {
        let HandleResolutionResponse { accepted, handle, policy, elements, error } = response;
        self.subscription_answered(&handle, accepted);
        let result = self.learn_pool(now, &handle, None, policy, elements, error);
        self.tell_watchers(now, &handle, result);
        self.end_unused_subscription(now, &handle);
    }

    /// Whether a subscription that ends is to be renewed: for a watcher, or for a session.
    pub(super) fn is_kept_subscribed(&self, handle: &PoolHandle) -> bool {
        self.watched.contains_key(handle) || self.cache.has_session(handle) && self.subscribes(handle)
    }

    /// What the home tells of is current, unless an alternative to it is looked for because it does not answer.
    pub(super) fn note_current(&mut self, now: Time, handle: &PoolHandle) {
        if self.home.is_some() && !self.hunt.is_running() && self.subscribed.contains(handle) {
            self.cache.set_current(now, handle);
        }
    }

    /// The home does not tell of changes any more: what it told was current until now. (Not if it is replaced because it does not
    /// answer: nobody knows since when.)
    pub(super) fn subscriptions_lost(&mut self, now: Time) {
        for handle in &self.subscribed {
            self.cache.set_current(now, handle);
        }
    }

    fn end_unused_subscription(&mut self, now: Time, handle: &PoolHandle) {
        if self.subscribed.contains(handle)
            && !self.watched.contains_key(handle)
            && !self.cache.is_in_use(now, handle)
        {
            self.unsubscribe(now, handle);
        }
    }

    /// A request without S ends a subscription. One that is outstanding subscribes once more; the next change ends it.
    pub(super) fn unsubscribe(&mut self, now: Time, handle: &PoolHandle) {
        if !self.shutting_down && self.home.is_some() && !self.lookups.contains_key(handle) {
            self.subscribed.remove(handle);
            self.start_interest(now, handle.clone(), Interest::UNSUBSCRIBE);
        }
    }

    /// There is a new home, which does not know what we have subscribed to. Not everybody asks at the same moment.
    pub(super) fn repeat_subscriptions(&mut self, now: Time) {
        let mut handles = std::mem::take(&mut self.subscribed);
        handles.retain(|handle| self.cache.is_in_use(now, handle));
        handles.extend(self.watched.keys().cloned());
        // Whoever is asked already is asked to tell, too.
        let unasked = |handle: &&PoolHandle| self.subscribes(handle) && !self.lookups.contains_key(*handle);
        handles.extend(self.cache.pools_in_session().filter(unasked).cloned());
        for handle in handles {
            self.within(now, Timer::Watch(handle), self.config.timers.t1_request / 10);
        }
    }

    pub(super) fn watch_expired(&mut self, now: Time, handle: PoolHandle) {
        if self.watched.contains_key(&handle) || self.cache.is_in_use(now, &handle) {
            self.refresh(now, handle);
        }
    }

    /// Asks a registrar for a pool after about this time. Not everybody asks at the same moment.
    fn refresh_after(&mut self, now: Time, handle: &PoolHandle, interval: Duration) {
        let early = self.jitter(interval / 10);
        self.timers.set(Timer::Watch(handle.clone()), now + (interval - early).max(SHORTEST_TIMER));
    }

    /// The home has not answered, or knows nothing yet: whoever has a session is subscribed later.
    pub(super) fn subscribe_later(&mut self, now: Time, handle: &PoolHandle) {
        if self.home.is_some() && self.is_kept_subscribed(handle) && !self.subscribed.contains(handle) {
            self.refresh_after(now, handle, self.config.cache.poll_interval);
        }
    }

    /// Asks a registrar for a pool, on nobody's behalf, unless somebody does so already.
    pub(super) fn refresh(&mut self, now: Time, handle: PoolHandle) {
        if !self.shutting_down && !self.lookups.contains_key(&handle) {
            self.start_interest(now, handle, Interest::COMPLETE);
        }
    }

    /// Tells who watches a pool what there is, if that is news, and sees to it that it is asked for again.
    pub(super) fn tell_watchers(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        mut result: Result<Resolution, ResolveError>,
    ) {
        if !self.watched.contains_key(handle) {
            return;
        }
        let options = &self.config.cache;
        let interval =
            if self.subscribed.contains(handle) { options.stale_cache_value } else { options.poll_interval };
        self.refresh_after(now, handle, interval);
        if result == Err(ResolveError::NoRegistrar)
            && let Some(known) = self.cache.known(now, handle)
        {
            result = Ok(known);
        }
        let told = Told::new(&result);
        let Some(watched) = self.watched.get_mut(handle) else { return };
        if watched.told.as_ref() != Some(&told) {
            watched.told = Some(told);
            self.events.push_back(Event::PoolChanged { handle: handle.clone(), result });
        }
    }
}
