//! Pushed changes of pools (RFC 5352 §2.2.5, §2.2.6: the S and A bits; design D5, ambiguity A-34).
//!
//! A client that sets S in a resolution subscribes to the pool, and A in the answer says that it did. From then on it
//! gets the complete list anew, with A, when an element comes, goes, moves, becomes suspect or regular, or changes what
//! the policy goes by; not for loads, which change all the time. What makes the list worse is told at once, the rest
//! together, and each subscriber hears at most once in `push-interval`. When the last element goes, an answer without A
//! ends the subscription; so does a resolution without S, and the end of the association.
//!
//! **Cost.** A change of a pool that nobody subscribed to costs a look-up. Otherwise a round serves the subscribers in
//! slices, so that nobody waits behind ten thousand of them, and the list is made and encoded a few times, not once for
//! each: [`VARIANTS`] times for spreading the load, since whoever gets the same list would go to the same element first.
//! A subscriber that does not read keeps the latest list only (see [`association`](super::association)).

use super::association::Replaces;
use super::resolution::visible;
use super::timers::Timer;
use super::{ElementKey, Registrar};
use crate::{AssocId, Time};
use asap::PoolListing;
use bytes::Bytes;
use params::{Policy, PoolElement, PoolHandle};
use rand::RngExt;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

/// Lists that differ in their order or their draw, for subscribers that get the same elements.
const VARIANTS: usize = 16;
/// Subscribers that are served at a time, and the time between two such slices.
const SLICE: usize = 1000;
const PACE: Duration = Duration::from_millis(10);

/// Who wants to hear of changes.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pools: BTreeMap<PoolHandle, Subscribers>,
    by_association: BTreeMap<AssocId, BTreeSet<PoolHandle>>,
    count: usize,
}

/// The subscribers of one pool.
#[derive(Debug, Default)]
struct Subscribers {
    /// With the number of elements that each asked for.
    members: BTreeMap<AssocId, Option<u32>>,
    /// When the last round began.
    pushed: Option<Time>,
    /// Whether there is something that not all of them know.
    changed: bool,
    round: Option<Round>,
}

/// Telling all subscribers of a pool.
#[derive(Debug, Default)]
struct Round {
    /// Who was served last.
    last: Option<AssocId>,
    served: usize,
    /// What was encoded already; nothing for a list without elements.
    lists: BTreeMap<View, Option<Bytes>>,
}

/// What a subscriber sees: whether loopback addresses are of use to it, how many elements it gets, which variant.
type View = (bool, usize, usize);

impl Subscriptions {
    /// All of all clients.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many clients have subscribed to a pool.
    pub(super) fn of(&self, handle: &PoolHandle) -> usize {
        self.pools.get(handle).map_or(0, |pool| pool.members.len())
    }

    /// How many a client has.
    pub(super) fn of_association(&self, assoc: AssocId) -> usize {
        self.by_association.get(&assoc).map_or(0, BTreeSet::len)
    }

    fn insert(&mut self, assoc: AssocId, handle: &PoolHandle, items: Option<u32>) {
        if self.pools.entry(handle.clone()).or_default().members.insert(assoc, items).is_none() {
            self.by_association.entry(assoc).or_default().insert(handle.clone());
            self.count += 1;
        }
    }

    fn contains(&self, assoc: AssocId, handle: &PoolHandle) -> bool {
        self.by_association.get(&assoc).is_some_and(|pools| pools.contains(handle))
    }

    /// Whether it was the last one of its pool.
    fn remove(&mut self, assoc: AssocId, handle: &PoolHandle) -> bool {
        let Some(pools) = self.by_association.get_mut(&assoc) else { return false };
        if !pools.remove(handle) {
            return false;
        }
        if pools.is_empty() {
            self.by_association.remove(&assoc);
        }
        self.count -= 1;
        let Some(pool) = self.pools.get_mut(handle) else { return false };
        pool.members.remove(&assoc);
        let last = pool.members.is_empty();
        if last {
            self.pools.remove(handle);
        }
        last
    }
}

impl Registrar {
    /// A client subscribes. Whether it may.
    pub(super) fn subscribe(&mut self, assoc: AssocId, handle: &PoolHandle, items: Option<u32>) -> bool {
        let limits = &self.config.limits;
        let full = self.subscriptions.len() >= limits.subscriptions
            || self.subscriptions.of_association(assoc) >= limits.subscriptions_per_association;
        if full && !self.subscriptions.contains(assoc, handle) {
            self.counters.subscriptions_refused += 1;
            return false;
        }
        // All subscriptions to a pool share its handle's bytes.
        let handle = self.handlespace.pool(handle).map_or(handle, |pool| pool.handle()).clone();
        self.subscriptions.insert(assoc, &handle, items);
        true
    }

    /// A client does not want to hear of a pool any more.
    pub(super) fn unsubscribe(&mut self, assoc: AssocId, handle: &PoolHandle) {
        if self.subscriptions.remove(assoc, handle) {
            self.timers.cancel(&Timer::Push(handle.clone()));
        }
    }

    /// A client is gone, or another one.
    pub(super) fn unsubscribe_from_all(&mut self, assoc: AssocId) {
        for handle in self.subscriptions.by_association.get(&assoc).cloned().unwrap_or_default() {
            self.unsubscribe(assoc, &handle);
        }
    }

    /// What subscribers know of an element, before it changes; nothing if there are none.
    pub(super) fn as_pushed(&self, key: &ElementKey) -> Option<PoolElement> {
        self.subscriptions.pools.contains_key(&key.handle).then(|| self.element(key).cloned()).flatten()
    }

    /// An element was stored that was `before`.
    pub(super) fn element_changed(&mut self, now: Time, key: &ElementKey, before: Option<PoolElement>) {
        let same =
            before.is_some_and(|before| self.element(key).is_some_and(|after| is_same(&before, after)));
        if !same {
            self.pool_changed(now, &key.handle, false);
        }
    }

    /// Subscribers of a pool are to get its list anew; at once if what they have does harm.
    pub(super) fn pool_changed(&mut self, now: Time, handle: &PoolHandle, harmful: bool) {
        let interval = self.config.timers.push_interval;
        let Some(pool) = self.subscriptions.pools.get_mut(handle) else { return };
        pool.changed = true;
        if let Some(round) = &mut pool.round {
            // The others get the new one, and these in the next round.
            round.lists.clear();
            return;
        }
        let at = match (harmful, pool.pushed) {
            (true, pushed) => pushed.map_or(now, |pushed| now.max(pushed + interval)),
            (false, _) => now + interval,
        };
        let timer = Timer::Push(handle.clone());
        if self.timers.at(&timer).is_none_or(|set| at < set) {
            self.timers.set(timer, at);
        }
    }

    /// Serves the next subscribers of a pool.
    pub(super) fn push_timeout(&mut self, now: Time, handle: PoolHandle) {
        let Some(pool) = self.subscriptions.pools.get_mut(&handle) else { return };
        let mut round = pool.round.take().unwrap_or_else(|| {
            pool.changed = false;
            pool.pushed = Some(now);
            Round::default()
        });
        let after = round.last.map_or(Bound::Unbounded, Bound::Excluded);
        let slice: Vec<_> = pool
            .members
            .range((after, Bound::Unbounded))
            .take(SLICE)
            .map(|(assoc, items)| (*assoc, *items))
            .collect();
        for &(assoc, items) in &slice {
            self.push(&handle, &mut round, assoc, items);
        }
        round.last = slice.last().map(|(assoc, _)| *assoc);
        let interval = self.config.timers.push_interval;
        let Some(pool) = self.subscriptions.pools.get_mut(&handle) else { return };
        let next = if slice.len() == SLICE {
            pool.round = Some(round);
            Some(now + PACE)
        } else {
            pool.pushed.filter(|_| pool.changed).map(|pushed| now.max(pushed + interval))
        };
        if let Some(next) = next {
            self.timers.set(Timer::Push(handle), next);
        }
    }

    fn push(&mut self, handle: &PoolHandle, round: &mut Round, assoc: AssocId, items: Option<u32>) {
        let Some(association) = self.associations.get(assoc) else { return };
        let loopback = association.is_loopback();
        let pool = self.handlespace.pool(handle);
        let count = pool.map_or(0, |pool| self.answer_size(pool.policy(), items).min(pool.len()));
        let view = (loopback, count, round.served % VARIANTS);
        round.served += 1;
        let list = match round.lists.get(&view) {
            Some(list) => list.clone(),
            None => {
                let list = self.list(handle, view);
                round.lists.insert(view, list.clone());
                list
            }
        };
        self.counters.pushes += 1;
        match list {
            Some(list) => self.associations.send(assoc, list, Some(Replaces::List(handle.clone()))),
            None => {
                self.unsubscribe(assoc, handle);
                self.send_unknown_pool(assoc, handle.clone());
            }
        }
    }

    /// The list of a pool as it is pushed; nothing if it would be empty.
    fn list(&mut self, handle: &PoolHandle, (loopback, count, variant): View) -> Option<Bytes> {
        let policy = self.handlespace.pool(handle)?.policy().clone();
        let elements = self.order(handle, &policy, count, variant);
        let elements = elements.into_iter().map(Cow::Owned);
        let elements = elements.filter_map(|element| visible(&self.peers, element, loopback)).collect();
        let mut listing = PoolListing { accepted: true, handle, policy: &policy, elements };
        let whole = listing.elements.len();
        listing.cut_to(self.config.limits.resolution_bytes);
        self.counters.pushes_cut += u64::from(listing.elements.len() < whole);
        if listing.elements.is_empty() {
            return None;
        }
        let encoded = listing.encode();
        if encoded.is_err() {
            self.counters.send_failures += 1;
        }
        encoded.ok()
    }

    /// The elements of a list in the order of the policy, without counting them as selected, where there is such an
    /// order (ambiguities ).
    fn order(
        &mut self,
        handle: &PoolHandle,
        policy: &Policy,
        count: usize,
        variant: usize,
    ) -> Vec<PoolElement> {
        if matches!(
            policy,
            Policy::WeightedRandom { .. }
                | Policy::WeightedRandomDpf { .. }
                | Policy::RandomizedLeastUsed { .. }
        ) {
            return self
                .handlespace
                .select(handle, Some(count), &mut self.rng)
                .into_iter()
                .cloned()
                .collect();
        }
        let most = self.config.limits.resolution_items;
        let mut elements: Vec<PoolElement> = self.handlespace.peek(handle).take(most).cloned().collect();
        // Suspects stay last.
        let suspect = |element: &PoolElement| {
            self.handlespace.state(handle, element.id).is_some_and(|state| state.suspect)
        };
        let regular = elements.iter().position(suspect).unwrap_or(elements.len());
        let regular = &mut elements[..regular];
        match policy {
            Policy::RoundRobin => regular.rotate_left(variant * regular.len() / VARIANTS),
            // Who is first, as often as its weight says.
            Policy::WeightedRoundRobin { .. } => {
                let total: u64 = regular.iter().map(weight).sum();
                let mut draw = if total > 0 { self.rng.random_range(0..total) } else { 0 };
                let first = regular.iter().position(|element| {
                    let hit = draw < weight(element);
                    draw = draw.saturating_sub(weight(element));
                    hit
                });
                regular.rotate_left(first.unwrap_or(0));
            }
            _ => {}
        }
        elements.truncate(count);
        elements
    }
}

fn weight(element: &PoolElement) -> u64 {
    match element.policy {
        Policy::WeightedRoundRobin { weight } => weight.into(),
        _ => 1,
    }
}

/// Whether nothing is different that a client goes by: loads are not worth a push.
fn is_same(before: &PoolElement, after: &PoolElement) -> bool {
    let goes_by = matches!(
        after.policy,
        Policy::WeightedRoundRobin { .. }
            | Policy::WeightedRandom { .. }
            | Policy::WeightedRandomDpf { .. }
            | Policy::Priority { .. }
    );
    let same_policy = match goes_by {
        true => before.policy == after.policy,
        false => before.policy.policy_type() == after.policy.policy_type(),
    };
    before.user_transport == after.user_transport && same_policy
}
