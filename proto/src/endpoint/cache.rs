//! The cache of resolved pools (RFC 5352 §3.3 C1 – C4), with what was seen of their elements since.
//!
//! An element that failed is chosen last for a while: registrars need a moment to find out, and their answers
//! may still name it. So are the others at its endpoint: no session would find it there either.

use super::{Avoidance, CacheOptions, Config, Explanation, Resolution, Standing};
use crate::Time;
use handlespace::CachedPool;
use params::{PeIdentifier, Policy, PoolElement, PoolHandle, Transport};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Cache {
    pools: BTreeMap<PoolHandle, Entry>,
    /// How many open sessions each pool has that we have started.
    sessions: BTreeMap<PoolHandle, usize>,
    capacity: usize,
    options: CacheOptions,
    avoidance: Avoidance,
    /// How long an element that failed once is avoided, and a failure is one event.
    memory: Duration,
}

#[derive(Debug)]
struct Entry {
    pool: CachedPool,
    /// How many elements were asked for.
    items: Option<u32>,
    learned: Time,
    stale_at: Time,
    used: Time,
    last_choice: Option<PeIdentifier>,
    failures: BTreeMap<PeIdentifier, Failure>,
}

/// How old an answer is (C3, C4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Age {
    /// Used without asking.
    Fresh,
    /// Used while a registrar is asked again.
    Revalidating,
    /// Used if no registrar answers.
    Stale,
    /// Of no use.
    Expired,
}

impl Entry {
    fn age(&self, now: Time, options: &CacheOptions) -> Age {
        match now {
            now if now < self.stale_at => Age::Fresh,
            now if now < self.stale_at + options.stale_while_revalidate => Age::Revalidating,
            now if now < self.stale_at + options.stale_if_unreachable => Age::Stale,
            _ => Age::Expired,
        }
    }

    /// What is known was true a moment ago. It is soon out of date all the same if an element has failed lately.
    fn renew(&mut self, now: Time, options: &CacheOptions, memory: Duration) {
        self.stale_at = now + options.stale_cache_value;
        for failure in self.failures.values().filter(|failure| now < failure.at + memory) {
            self.stale_at = self.stale_at.min(failure.at + memory);
        }
    }

    /// What speaks against an element: the worst failure at its endpoint.
    fn failure(&self, element: &PoolElement) -> Option<&Failure> {
        let there =
            self.failures.values().filter(|it| it.in_a_row > 0 && it.endpoint == element.user_transport);
        there.max_by_key(|failure| (failure.in_a_row, failure.at))
    }

    /// The elements that are chosen last now.
    fn avoided(&self, now: Time, avoidance: &Avoidance, memory: Duration) -> BTreeSet<PeIdentifier> {
        if self.failures.is_empty() {
            return BTreeSet::new();
        }
        let elements = self.pool.elements();
        let mut failed: Vec<(u32, Time, PeIdentifier)> = elements
            .iter()
            .filter_map(|element| self.failure(element).map(|failure| (failure, element.id)))
            .filter(|(failure, _)| now < failure.at + failure.pause(avoidance, memory))
            .map(|(failure, id)| (failure.in_a_row, failure.at, id))
            .collect();
        failed.sort_unstable_by(|a, b| b.cmp(a));
        failed.truncate(elements.len() * usize::from(avoidance.max_percent.min(100)) / 100);
        failed.into_iter().map(|(_, _, id)| id).collect()
    }
}

#[derive(Clone, Debug)]
struct Failure {
    at: Time,
    /// Where it was looked for.
    endpoint: Transport,
    in_a_row: u32,
    /// When `in_a_row` grew last.
    counted: Time,
}

impl Failure {
    /// How long after it the element is avoided.
    fn pause(&self, avoidance: &Avoidance, memory: Duration) -> Duration {
        if avoidance.after_failures == 0 || self.in_a_row < avoidance.after_failures {
            return Duration::ZERO;
        }
        let doublings = (self.in_a_row - avoidance.after_failures).min(16);
        memory.saturating_mul(1 << doublings).min(avoidance.longest.max(memory))
    }
}

impl Cache {
    pub(super) fn new(config: &Config, memory: Duration) -> Self {
        Self {
            pools: BTreeMap::new(),
            sessions: BTreeMap::new(),
            capacity: config.limits.cached_pools.max(1),
            options: config.cache.clone(),
            avoidance: config.avoidance.clone(),
            memory,
        }
    }

    pub(super) fn memory(&self) -> Duration {
        self.memory
    }

    /// Keeps an answer. One that was limited to some items does not displace a complete one. Returns the pool that had to
    /// make room: one without sessions, if there is one.
    pub(super) fn insert(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        policy: Policy,
        elements: Vec<PoolElement>,
    ) -> Option<PoolHandle> {
        let old = self.pools.get(handle);
        if items.is_some() && old.is_some_and(|old| old.items.is_none() && now < old.stale_at) {
            return None;
        }
        let used = old.map_or(now, |old| old.used);
        let last_choice = old.and_then(|old| old.last_choice);
        let failures = old.map(|old| old.failures.clone()).unwrap_or_default();
        let mut entry = Entry {
            pool: CachedPool::new(policy, elements),
            items,
            learned: now,
            stale_at: now,
            used,
            last_choice,
            failures,
        };
        // Failures in a row are counted beyond the pause after each.
        let remembered = self.memory.max(self.avoidance.longest).saturating_mul(2);
        entry.failures.retain(|_, failure| now < failure.at + remembered);
        entry.renew(now, &self.options, self.memory);
        let full = self.pools.len() >= self.capacity && !self.pools.contains_key(handle);
        let need = |(handle, entry): &(&PoolHandle, &Entry)| (self.has_session(handle), entry.used);
        let least = || self.pools.iter().min_by_key(need).map(|(handle, _)| handle.clone());
        let displaced = full.then(least).flatten();
        if let Some(displaced) = &displaced {
            self.pools.remove(displaced);
        }
        self.pools.insert(handle.clone(), entry);
        displaced
    }

    pub(super) fn remove(&mut self, handle: &PoolHandle) {
        self.pools.remove(handle);
    }

    /// A registrar would have told until now if the pool had changed.
    pub(super) fn set_current(&mut self, now: Time, handle: &PoolHandle) {
        if let Some(entry) = self.pools.get_mut(handle) {
            entry.renew(now, &self.options, self.memory);
        }
    }

    pub(super) fn session_begun(&mut self, handle: PoolHandle) {
        *self.sessions.entry(handle).or_default() += 1;
    }

    pub(super) fn session_ended(&mut self, handle: PoolHandle) {
        if let btree_map::Entry::Occupied(mut sessions) = self.sessions.entry(handle) {
            *sessions.get_mut() -= 1;
            if *sessions.get() == 0 {
                sessions.remove();
            }
        }
    }

    /// Whether there is an open session with the pool that we have started.
    pub(super) fn has_session(&self, handle: &PoolHandle) -> bool {
        self.sessions.contains_key(handle)
    }

    /// The pools with open sessions that we have started.
    pub(super) fn pools_in_session(&self) -> impl Iterator<Item = &PoolHandle> {
        self.sessions.keys()
    }

    /// When a registrar last told of the pool, if that is still of use.
    pub(super) fn learned(&self, now: Time, handle: &PoolHandle) -> Option<Time> {
        let entry = self.pools.get(handle).filter(|entry| entry.age(now, &self.options) != Age::Expired);
        entry.map(|entry| entry.learned)
    }

    /// Whether this element was resolved here.
    pub(super) fn contains(&self, handle: &PoolHandle, id: PeIdentifier) -> bool {
        self.pools
            .get(handle)
            .is_some_and(|entry| entry.pool.elements().iter().any(|element| element.id == id))
    }

    /// Whether the pool has a session, or was used within stale.cache.value.
    pub(super) fn is_in_use(&self, now: Time, handle: &PoolHandle) -> bool {
        let used = |entry: &Entry| now < entry.used + self.options.stale_cache_value;
        self.has_session(handle) || self.pools.get(handle).is_some_and(used)
    }

    /// How old what is known of a pool is, as far as it matters.
    pub(super) fn age(&self, now: Time, handle: &PoolHandle) -> Option<Age> {
        self.pools.get(handle).map(|entry| entry.age(now, &self.options))
    }

    /// The answer to a resolution from the cache, unless it is older than that or has too few items. Each time another
    /// element comes first, as the policy demands.
    pub(super) fn resolution(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        oldest: Age,
        rng: &mut impl Rng,
    ) -> Option<Resolution> {
        let entry = self.pools.get_mut(handle)?;
        let age = entry.age(now, &self.options);
        let count = entry.pool.elements().len();
        let wanted = items.map_or(count, |items| usize::try_from(items).unwrap_or(usize::MAX));
        if age > oldest || entry.items != items && (entry.items.is_some() || wanted > count) {
            return None;
        }
        entry.used = now;
        let avoided = entry.avoided(now, &self.avoidance, self.memory);
        let first =
            entry.pool.choose(|element| !avoided.contains(&element.id), rng).map(|element| element.id);
        let mut elements = entry.pool.elements().to_vec();
        entry.last_choice = first.or(entry.last_choice);
        let position = elements.iter().position(|element| Some(element.id) == first).unwrap_or(0);
        elements.rotate_left(position);
        elements.sort_by_key(|element| avoided.contains(&element.id));
        elements.truncate(wanted);
        Some(Resolution { policy: entry.pool.policy().clone(), elements, stale: age > Age::Fresh })
    }

    /// What is known of a pool, in the registrar's order, if no registrar answers.
    pub(super) fn known(&self, now: Time, handle: &PoolHandle) -> Option<Resolution> {
        let entry = self.pools.get(handle)?;
        let age = entry.age(now, &self.options);
        (age < Age::Expired).then(|| Resolution {
            policy: entry.pool.policy().clone(),
            elements: entry.pool.elements().to_vec(),
            stale: age > Age::Fresh,
        })
    }

    /// Somebody uses the pool.
    pub(super) fn set_used(&mut self, now: Time, handle: &PoolHandle) {
        if let Some(entry) = self.pools.get_mut(handle) {
            entry.used = now;
        }
    }

    /// The element that the policy chooses, stale or not, among those that are not avoided, but for these.
    pub(super) fn choose(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        but: impl Fn(PeIdentifier) -> bool,
        rng: &mut impl Rng,
    ) -> Option<PoolElement> {
        let entry = self.pools.get_mut(handle)?;
        if entry.age(now, &self.options) == Age::Expired {
            return None;
        }
        entry.used = now;
        let avoided = entry.avoided(now, &self.avoidance, self.memory);
        let usable = |element: &PoolElement| !but(element.id) && !avoided.contains(&element.id);
        let chosen = entry.pool.choose(usable, rng).cloned();
        entry.last_choice = chosen.as_ref().map(|element| element.id).or(entry.last_choice);
        chosen
    }

    /// What is known of a pool, and of its elements.
    pub(super) fn explain(&self, now: Time, handle: &PoolHandle) -> Option<Explanation> {
        let entry = self.pools.get(handle)?;
        let avoided = entry.avoided(now, &self.avoidance, self.memory);
        let standing = |element: &PoolElement| match entry.failure(element) {
            None => Standing::Good,
            Some(failure) if avoided.contains(&element.id) => Standing::Avoided {
                failures: failure.in_a_row,
                remaining: (failure.at + failure.pause(&self.avoidance, self.memory)).since(now),
            },
            Some(failure) => Standing::Tolerated { failures: failure.in_a_row },
        };
        Some(Explanation {
            policy: entry.pool.policy().clone(),
            fresh_for: entry.stale_at.since(now),
            subscribed: false,
            last_choice: entry.last_choice,
            elements: entry.pool.elements().iter().map(|element| (element.id, standing(element))).collect(),
        })
    }

    /// Any element but those: for when all have failed.
    pub(super) fn any_but(
        &self,
        now: Time,
        handle: &PoolHandle,
        but: &BTreeSet<PeIdentifier>,
    ) -> Option<PoolElement> {
        let entry = self.pools.get(handle).filter(|entry| entry.age(now, &self.options) < Age::Expired)?;
        entry.pool.elements().iter().find(|element| !but.contains(&element.id)).cloned()
    }

    /// An element of a pool, stale or not.
    pub(super) fn element(&self, handle: &PoolHandle, id: PeIdentifier) -> Option<PoolElement> {
        self.pools.get(handle)?.pool.elements().iter().find(|element| element.id == id).cloned()
    }

    /// The first of those in `order` that are listed, are none of those, and have not failed lately.
    pub(super) fn preferred(
        &self,
        now: Time,
        handle: &PoolHandle,
        order: &[PeIdentifier],
        but: impl Fn(PeIdentifier) -> bool,
    ) -> Option<PoolElement> {
        let failures = &self.pools.get(handle)?.failures;
        let pause = |failure: &Failure| failure.pause(&self.avoidance, self.memory);
        let failed = |id| failures.get(id).is_some_and(|it| it.in_a_row > 0 && now < it.at + pause(it));
        order.iter().filter(|id| !but(**id) && !failed(id)).find_map(|id| self.element(handle, *id))
    }

    /// The element has failed. What is known of the pool is soon out of date.
    pub(super) fn set_failed(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) {
        let memory = self.memory;
        let Some(entry) = self.pools.get_mut(handle) else { return };
        let Some(failed) = entry.pool.elements().iter().find(|element| element.id == id) else { return };
        let endpoint = failed.user_transport.clone();
        let failure = entry.failures.entry(id).or_insert_with(|| Failure {
            at: now,
            endpoint: endpoint.clone(),
            in_a_row: 0,
            counted: now,
        });
        // What many sessions notice at the same time is one failure.
        if failure.in_a_row == 0 || now >= failure.counted + memory / 4 {
            failure.in_a_row = failure.in_a_row.saturating_add(1);
            failure.counted = now;
        }
        failure.at = now;
        failure.endpoint = endpoint;
        entry.stale_at = entry.stale_at.min(now + memory);
    }

    /// The elements where this one is, itself included.
    pub(super) fn at_endpoint_of(&self, handle: &PoolHandle, id: PeIdentifier) -> Vec<PeIdentifier> {
        let Some(entry) = self.pools.get(handle) else { return Vec::new() };
        let elements = entry.pool.elements();
        let Some(element) = elements.iter().find(|element| element.id == id) else { return vec![id] };
        let there = elements.iter().filter(|other| other.user_transport == element.user_transport);
        there.map(|element| element.id).collect()
    }

    /// The element is there: the failures at its endpoint are forgotten.
    pub(super) fn set_alive(&mut self, handle: &PoolHandle, id: PeIdentifier) {
        let Some(entry) = self.pools.get_mut(handle) else { return };
        let Some(element) = entry.pool.elements().iter().find(|element| element.id == id) else { return };
        for failure in entry.failures.values_mut().filter(|it| it.endpoint == element.user_transport) {
            failure.in_a_row = 0;
        }
    }
}
