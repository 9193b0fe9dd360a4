//! The cache of resolved pools (RFC 5352 §3.3 C1 – C4), with what was seen of their elements since.
//!
//! An element that failed is chosen last for a while: registrars need a moment to find out, and their answers
//! may still name it. So are the others at its endpoint: no session would find it there either.

use super::Resolution;
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
    /// stale.cache.value.
    stale: Duration,
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

#[derive(Clone, Debug)]
struct Failure {
    at: Time,
    /// Where it was looked for.
    endpoint: Transport,
    reported: Option<Time>,
}

impl Cache {
    pub(super) fn new(capacity: usize, stale: Duration, memory: Duration) -> Self {
        Self { pools: BTreeMap::new(), capacity: capacity.max(1), stale, memory }
    }

    /// Keeps an answer. One that was limited to some items does not displace a complete one.
    pub(super) fn insert(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        policy: Policy,
        elements: Vec<PoolElement>,
    ) {
        let old = self.pools.get(handle);
        if items.is_some() && old.is_some_and(|old| old.items.is_none() && now < old.stale_at) {
            return;
        }
        let failures = old.map(|old| old.failures.clone()).unwrap_or_default();
        let mut entry = Entry {
            pool: CachedPool::new(policy, elements),
            items,
            stale_at: now + self.stale,
            used: now,
            failures: failures.into_iter().filter(|(_, failure)| now < failure.at + self.memory).collect(),
        };
        for failure in entry.failures.values() {
            set_endpoint_failed(&mut entry.pool, &failure.endpoint);
            entry.stale_at = entry.stale_at.min(failure.at + self.memory);
        }
        if self.pools.len() >= self.capacity && !self.pools.contains_key(handle) {
            let oldest =
                self.pools.iter().min_by_key(|(_, entry)| entry.used).map(|(handle, _)| handle.clone());
            oldest.map(|oldest| self.pools.remove(&oldest));
        }
        self.pools.insert(handle.clone(), entry);
    }

    pub(super) fn remove(&mut self, handle: &PoolHandle) {
        self.pools.remove(handle);
    }

    /// Whether this element was resolved here.
    pub(super) fn contains(&self, handle: &PoolHandle, id: PeIdentifier) -> bool {
        self.pools.get(handle).is_some_and(|entry| entry.pool.elements().any(|element| element.id == id))
    }

    /// Whether the pool need not be asked for (C4).
    pub(super) fn is_fresh(&self, now: Time, handle: &PoolHandle) -> bool {
        self.pools.get(handle).is_some_and(|entry| entry.items.is_none() && now < entry.stale_at)
    }

    /// The answer to a resolution from the cache, unless it is stale or has too few items. Each time another
    /// element comes first, as the policy demands.
    pub(super) fn resolution(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        items: Option<u32>,
        rng: &mut impl Rng,
    ) -> Option<Resolution> {
        let entry = self.pools.get_mut(handle).filter(|entry| now < entry.stale_at)?;
        let count = entry.pool.elements().count();
        let wanted = items.map_or(count, |items| usize::try_from(items).unwrap_or(usize::MAX));
        if entry.items != items && (entry.items.is_some() || wanted > count) {
            return None;
        }
        entry.used = now;
        let first = entry.pool.choose(rng).map(|element| element.id);
        let position = entry.pool.elements().position(|element| Some(element.id) == first).unwrap_or(0);
        let mut elements: Vec<PoolElement> = entry.pool.elements().cloned().collect();
        elements.rotate_left(position);
        elements.truncate(wanted);
        Some(Resolution { policy: entry.pool.policy().clone(), elements })
    }

    /// The element that the policy chooses among those that have not failed lately, stale or not.
    pub(super) fn choose(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        rng: &mut impl Rng,
    ) -> Option<PoolElement> {
        let entry = self.pools.get_mut(handle)?;
        entry.used = now;
        entry.pool.choose(rng).cloned()
    }

    /// Any element but those: for when all have failed.
    pub(super) fn any_but(&self, handle: &PoolHandle, but: &BTreeSet<PeIdentifier>) -> Option<PoolElement> {
        self.pools.get(handle)?.pool.elements().find(|element| !but.contains(&element.id)).cloned()
    }

    /// An element of a pool, stale or not.
    pub(super) fn element(&self, handle: &PoolHandle, id: PeIdentifier) -> Option<PoolElement> {
        self.pools.get(handle)?.pool.elements().find(|element| element.id == id).cloned()
    }

    /// The first of those in `order` that are listed and have not failed lately.
    pub(super) fn preferred(
        &self,
        now: Time,
        handle: &PoolHandle,
        order: &[PeIdentifier],
    ) -> Option<PoolElement> {
        let failures = &self.pools.get(handle)?.failures;
        let failed = |id| failures.get(id).is_some_and(|failure| now < failure.at + self.memory);
        order.iter().filter(|id| !failed(id)).find_map(|id| self.element(handle, *id))
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
