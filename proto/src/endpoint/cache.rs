//! The cache of resolved pools (RFC 5352 §3.3 C1 – C4), with what was seen of their elements since.
//!
//! An element that failed is chosen last for a while: registrars need a moment to find out, and their answers
//! may still name it. So are the others at its endpoint: no session would find it there either.

use super::{CacheOptions, Resolution};
use crate::Time;
use handlespace::CachedPool;
use params::{PeIdentifier, Policy, PoolElement, PoolHandle, Transport};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Cache {
    pools: BTreeMap<PoolHandle, Entry>,
    capacity: usize,
    options: CacheOptions,
    /// How long a failure is remembered.
    memory: Duration,
}

#[derive(Debug)]
struct Entry {
    pool: CachedPool,
    /// How many elements were asked for.
    items: Option<u32>,
    stale_at: Time,
    used: Time,
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
}

#[derive(Clone, Debug)]
struct Failure {
    at: Time,
    /// Where it was looked for.
    endpoint: Transport,
    reported: Option<Time>,
}

impl Cache {
    pub(super) fn new(capacity: usize, options: CacheOptions, memory: Duration) -> Self {
        Self { pools: BTreeMap::new(), capacity: capacity.max(1), options, memory }
    }

    /// Keeps an answer. One that was limited to some items does not displace a complete one. Returns the pool that had to
    /// make room.
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
        let failures = old.map(|old| old.failures.clone()).unwrap_or_default();
        let mut entry = Entry {
            pool: CachedPool::new(policy, elements),
            items,
            stale_at: now + self.options.stale_cache_value,
            used,
            failures: failures.into_iter().filter(|(_, failure)| now < failure.at + self.memory).collect(),
        };
        for failure in entry.failures.values() {
            set_endpoint_failed(&mut entry.pool, &failure.endpoint);
            entry.stale_at = entry.stale_at.min(failure.at + self.memory);
        }
        let full = self.pools.len() >= self.capacity && !self.pools.contains_key(handle);
        let oldest =
            || self.pools.iter().min_by_key(|(_, entry)| entry.used).map(|(handle, _)| handle.clone());
        let displaced = full.then(oldest).flatten();
        if let Some(displaced) = &displaced {
            self.pools.remove(displaced);
        }
        self.pools.insert(handle.clone(), entry);
        displaced
    }

    pub(super) fn remove(&mut self, handle: &PoolHandle) {
        self.pools.remove(handle);
    }

    /// Whether this element was resolved here.
    pub(super) fn contains(&self, handle: &PoolHandle, id: PeIdentifier) -> bool {
        self.pools.get(handle).is_some_and(|entry| entry.pool.elements().any(|element| element.id == id))
    }

    /// Whether the pool was used within stale.cache.value.
    pub(super) fn is_in_use(&self, now: Time, handle: &PoolHandle) -> bool {
        let used = |entry: &Entry| now < entry.used + self.options.stale_cache_value;
        self.pools.get(handle).is_some_and(used)
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
        let count = entry.pool.elements().count();
        let wanted = items.map_or(count, |items| usize::try_from(items).unwrap_or(usize::MAX));
        if age > oldest || entry.items != items && (entry.items.is_some() || wanted > count) {
            return None;
        }
        entry.used = now;
        let first = entry.pool.choose(rng).map(|element| element.id);
        let position = entry.pool.elements().position(|element| Some(element.id) == first).unwrap_or(0);
        let mut elements: Vec<PoolElement> = entry.pool.elements().cloned().collect();
        elements.rotate_left(position);
        elements.truncate(wanted);
        Some(Resolution { policy: entry.pool.policy().clone(), elements, stale: age > Age::Fresh })
    }

    /// What is known of a pool, in the registrar's order, if no registrar answers.
    pub(super) fn known(&self, now: Time, handle: &PoolHandle) -> Option<Resolution> {
        let entry = self.pools.get(handle)?;
        let age = entry.age(now, &self.options);
        let elements = || entry.pool.elements().cloned().collect();
        (age < Age::Expired).then(|| Resolution {
            policy: entry.pool.policy().clone(),
            elements: elements(),
            stale: age > Age::Fresh,
        })
    }

    /// Somebody uses the pool.
    pub(super) fn set_used(&mut self, now: Time, handle: &PoolHandle) {
        if let Some(entry) = self.pools.get_mut(handle) {
            entry.used = now;
        }
    }

    /// The element that the policy chooses among those that have not failed lately, stale or not.
    pub(super) fn choose(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        rng: &mut impl Rng,
    ) -> Option<PoolElement> {
        let entry = self.pools.get_mut(handle)?;
        if entry.age(now, &self.options) == Age::Expired {
            return None;
        }
        entry.used = now;
        entry.pool.choose(rng).cloned()
    }

    /// Any element but those: for when all have failed.
    pub(super) fn any_but(
        &self,
        now: Time,
        handle: &PoolHandle,
        but: &BTreeSet<PeIdentifier>,
    ) -> Option<PoolElement> {
        let entry = self.pools.get(handle).filter(|entry| entry.age(now, &self.options) < Age::Expired)?;
        entry.pool.elements().find(|element| !but.contains(&element.id)).cloned()
    }

    /// The element is chosen last for a while.
    pub(super) fn set_failed(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) {
        let Some(entry) = self.pools.get_mut(handle) else { return };
        let Some(failed) = entry.pool.elements().find(|element| element.id == id) else { return };
        let endpoint = failed.user_transport.clone();
        set_endpoint_failed(&mut entry.pool, &endpoint);
        let reported = entry.failures.get(&id).and_then(|failure| failure.reported);
        entry.failures.insert(id, Failure { at: now, endpoint, reported });
        entry.stale_at = entry.stale_at.min(now + self.memory);
    }

    /// The elements where this one is, itself included.
    pub(super) fn at_endpoint_of(&self, handle: &PoolHandle, id: PeIdentifier) -> Vec<PeIdentifier> {
        let Some(entry) = self.pools.get(handle) else { return Vec::new() };
        let element = entry.pool.elements().find(|element| element.id == id);
        element.map(|element| at_endpoint(&entry.pool, &element.user_transport)).unwrap_or_default()
    }

    /// Whether a failure is to be reported now: once per event (RFC 5352 §3.5).
    pub(super) fn report_once(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) -> bool {
        let Some(failure) = self.pools.get_mut(handle).and_then(|entry| entry.failures.get_mut(&id)) else {
            return true;
        };
        let first = failure.reported.is_none_or(|reported| now >= reported + self.memory);
        if first {
            failure.reported = Some(now);
        }
        first
    }
}

fn at_endpoint(pool: &CachedPool, endpoint: &Transport) -> Vec<PeIdentifier> {
    let there = pool.elements().filter(|element| element.user_transport == *endpoint);
    there.map(|element| element.id).collect()
}

fn set_endpoint_failed(pool: &mut CachedPool, endpoint: &Transport) {
    for id in at_endpoint(pool, endpoint) {
        pool.set_failed(id);
    }
}
