//! What the home of an element keeps of it, and when it has to look at it next.
//!
//! A registrar may own very many elements, so this is one table and one schedule, with nothing in it twice.

use super::ElementKey;
use crate::{AssocId, Time};
use hashbrown::HashTable;
use params::PoolHandle;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

/// What the home of an element keeps of it.
#[derive(Debug)]
pub(super) struct Owned {
    /// The association it is reached over. `None`: it has to be reached at its ASAP transport.
    pub(super) association: Option<AssocId>,
    /// Whether it took us for its home over that: it registered, or acknowledged a keep-alive with H bit.
    pub(super) registered: bool,
    /// When its registration life ends; [`Time::NEVER`]: it does not.
    pub(super) expires: Time,
    claimed: bool,
    /// It comes from another home: its registration life begins anew when it acknowledges this one (ambiguity A-33).
    pub(super) life_restarts: bool,
    /// When it last spoke for itself: it registered, or acknowledged a keep-alive.
    pub(super) heard: Time,
    /// When it is to be looked at; [`Time::NEVER`] while it is not in the schedule.
    due: Time,
}

impl Owned {
    /// Not in the schedule yet.
    pub(super) fn new(association: Option<AssocId>, heard: Time, expires: Time, claimed: bool) -> Self {
        let registered = association.is_some() && !claimed;
        Self { association, registered, expires, claimed, life_restarts: claimed, heard, due: Time::NEVER }
    }

    /// Whether it is claimed: taken over, or doubted by its former home or ours, and has not acknowledged that it is ours.
    pub(super) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Whether it will be looked at; not while it is probed.
    pub(super) fn is_scheduled(&self) -> bool {
        self.due != Time::NEVER
    }
}

/// How many elements of a pool are ours.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    all: usize,
    claimed: usize,
}

/// The elements whose home this registrar is.
///
/// Each has a number, by which the schedule and the hash table know it: so a key is kept once, and to find one of many
/// takes few cache misses.
#[derive(Debug, Default)]
pub(super) struct OwnedElements {
    records: Slab<(ElementKey, Owned)>,
    /// The numbers by key; never iterated.
    by_key: HashTable<u32>,
    /// Keyed, since peers choose the identifiers.
    hasher: RandomState,
    by_pool: BTreeMap<PoolHandle, Counts>,
    /// How many are claimed.
    claimed: usize,
    /// Equal times are due in the order of the numbers, so a run can be repeated.
    by_time: BTreeSet<(Time, u32)>,
}

impl OwnedElements {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// How many there are of this pool.
    pub(super) fn count_in(&self, handle: &PoolHandle) -> usize {
        self.by_pool.get(handle).map_or(0, |counts| counts.all)
    }

    /// How many of this pool are claimed.
    pub(super) fn claimed_in(&self, handle: &PoolHandle) -> usize {
        self.by_pool.get(handle).map_or(0, |counts| counts.claimed)
    }

    /// Whether any is claimed.
    pub(super) fn has_claimed(&self) -> bool {
        self.claimed > 0
    }

    /// The pools with claimed ones. Costs O(pools).
    pub(super) fn pools_with_claimed(&self) -> impl Iterator<Item = &PoolHandle> {
        let any = self.has_claimed();
        self.by_pool.iter().filter(move |(_, counts)| any && counts.claimed > 0).map(|(handle, _)| handle)
    }

    /// Claims it, or notes that it has acknowledged that; whether it was claimed.
    pub(super) fn set_claimed(&mut self, key: &ElementKey, claimed: bool) -> bool {
        let Some(owned) = self.get_mut(key) else { return false };
        let before = std::mem::replace(&mut owned.claimed, claimed);
        if let Some(counts) = self.by_pool.get_mut(&key.handle) {
            counts.claimed = counts.claimed - usize::from(before) + usize::from(claimed);
        }
        self.claimed = self.claimed - usize::from(before) + usize::from(claimed);
        before
    }

    /// Whether the element is ours.
    pub(super) fn contains(&self, key: &ElementKey) -> bool {
        self.number(key).is_some()
    }

    /// What we keep of it, if it is ours.
    pub(super) fn get(&self, key: &ElementKey) -> Option<&Owned> {
        Some(&self.records[self.number(key)? as usize].1)
    }

    /// As [`get`](Self::get), to change it.
    pub(super) fn get_mut(&mut self, key: &ElementKey) -> Option<&mut Owned> {
        let number = self.number(key)?;
        Some(&mut self.records[number as usize].1)
    }

    fn number(&self, key: &ElementKey) -> Option<u32> {
        let is_it = |number: &u32| self.records[*number as usize].0 == *key;
        self.by_key.find(self.hasher.hash_one(key), is_it).copied()
    }

    /// Makes an element ours that was not.
    pub(super) fn insert(&mut self, key: ElementKey, owned: Owned) {
        debug_assert!(!self.contains(&key), "its place in the schedule would be lost");
        let counts = self.by_pool.entry(key.handle.clone()).or_default();
        counts.all += 1;
        counts.claimed += usize::from(owned.claimed);
        self.claimed += usize::from(owned.claimed);
        let hash = self.hasher.hash_one(&key);
        let number = self.records.insert((key, owned)) as u32;
        let Self { records, by_key, hasher, .. } = self;
        by_key.insert_unique(hash, number, |number| hasher.hash_one(&records[*number as usize].0));
    }

    /// Forgets it.
    pub(super) fn remove(&mut self, key: &ElementKey) -> Option<Owned> {
        let Self { records, by_key, hasher, by_pool, claimed, by_time } = self;
        let is_it = |number: &u32| records[*number as usize].0 == *key;
        let entry = by_key.find_entry(hasher.hash_one(key), is_it).ok()?;
        let (number, _) = entry.remove();
        let (_, owned) = records.try_remove(number as usize)?;
        if let Some(counts) = by_pool.get_mut(&key.handle) {
            counts.all -= 1;
            counts.claimed -= usize::from(owned.claimed);
            *claimed -= usize::from(owned.claimed);
            if counts.all == 0 {
                by_pool.remove(&key.handle);
            }
        }
        if owned.is_scheduled() {
            by_time.remove(&(owned.due, number));
        }
        Some(owned)
    }

    /// When it is looked at next; nothing if it is not ours.
    pub(super) fn schedule(&mut self, key: &ElementKey, at: Time) {
        if let Some(number) = self.number(key) {
            self.reschedule(number, at);
        }
    }

    fn reschedule(&mut self, number: u32, at: Time) {
        let before = std::mem::replace(&mut self.records[number as usize].1.due, at);
        if before != Time::NEVER {
            self.by_time.remove(&(before, number));
        }
        self.by_time.insert((at, number));
    }

    /// It registers again over the association that it has: a sign of life, which the next look at it will find; a life
    /// that ends sooner brings that forward. Not if it is claimed, or probed, or reached otherwise: then more is to be done.
    pub(super) fn renew(&mut self, key: &ElementKey, association: AssocId, now: Time, expires: Time) -> bool {
        let Some(number) = self.number(key) else { return false };
        let owned = &mut self.records[number as usize].1;
        if owned.association != Some(association) || owned.claimed || !owned.is_scheduled() {
            return false;
        }
        owned.registered = true;
        owned.heard = now;
        owned.expires = expires;
        if expires < owned.due {
            self.reschedule(number, expires);
        }
        true
    }

    /// Looks at none of them any more.
    pub(super) fn pause(&mut self) {
        self.by_time.clear();
        for (_, (_, owned)) in &mut self.records {
            owned.due = Time::NEVER;
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the next one out of the schedule if it is due.
    pub(super) fn pop(&mut self, now: Time) -> Option<ElementKey> {
        if self.next()? > now {
            return None;
        }
        let (_, number) = self.by_time.pop_first()?;
        let (key, owned) = self.records.get_mut(number as usize)?;
        owned.due = Time::NEVER;
        Some(key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::PeIdentifier;

    fn key(id: u32) -> ElementKey {
        ElementKey::new(&PoolHandle::from("pool"), PeIdentifier(id))
    }

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    fn owned(ids: &[u32]) -> OwnedElements {
        let mut elements = OwnedElements::default();
        for &id in ids {
            elements.insert(key(id), Owned::new(None, Time::ZERO, Time::NEVER, false));
        }
        elements
    }

    #[test]
    fn each_element_has_one_place_in_the_schedule() {
        let mut elements = owned(&[1, 2, 3]);
        assert_eq!(elements.next(), None);
        elements.schedule(&key(1), at(30));
        elements.schedule(&key(2), at(20));
        elements.schedule(&key(3), at(20));
        elements.schedule(&key(1), at(10));
        elements.schedule(&key(4), at(5));
        assert_eq!(elements.pop(at(9)), None);
        assert_eq!(elements.pop(at(20)), Some(key(1)));
        assert!(elements.remove(&key(2)).is_some());
        assert_eq!(elements.pop(at(20)), Some(key(3)));
        assert_eq!(elements.pop(Time::NEVER), None, "1 and 3 were taken, 2 is gone, 4 is not ours");
        assert_eq!((elements.len(), elements.count_in(&PoolHandle::from("pool"))), (2, 2));
    }

    #[test]
    fn the_claimed_ones_of_a_pool_are_counted() {
        let mut elements = owned(&[1, 2]);
        elements.insert(key(3), Owned::new(None, Time::ZERO, Time::NEVER, true));
        let claimed = |elements: &OwnedElements| elements.claimed_in(&PoolHandle::from("pool"));
        assert_eq!((claimed(&elements), elements.pools_with_claimed().count()), (1, 1));
        assert!(!elements.set_claimed(&key(1), true));
        assert!(elements.set_claimed(&key(1), true), "twice is once");
        assert_eq!(claimed(&elements), 2);
        assert!(elements.set_claimed(&key(3), false));
        assert!(elements.remove(&key(1)).is_some_and(|owned| owned.is_claimed()));
        assert_eq!((claimed(&elements), elements.pools_with_claimed().count()), (0, 0));
        assert!(!elements.has_claimed());
        assert!(!elements.set_claimed(&key(4), true), "it is not ours");
    }

    #[test]
    fn a_shorter_life_brings_the_next_look_forward_and_a_longer_one_leaves_it() {
        let over = AssocId::connected(7);
        let mut elements = OwnedElements::default();
        elements.insert(key(1), Owned::new(Some(over), Time::ZERO, Time::NEVER, false));
        assert!(!elements.renew(&key(1), over, at(5), at(30)), "it is not in the schedule");
        elements.schedule(&key(1), at(20));
        assert!(elements.renew(&key(1), over, at(5), at(30)));
        assert_eq!(elements.next(), Some(at(20)));
        assert!(elements.renew(&key(1), over, at(5), at(10)));
        assert_eq!(elements.next(), Some(at(10)));
        assert!(
            !elements.renew(&key(1), AssocId::connected(8), at(5), at(1)),
            "it comes over another association"
        );
        assert!(!elements.renew(&key(2), over, at(5), at(1)), "it is not ours");
        assert_eq!(elements.pop(at(10)), Some(key(1)));
        assert_eq!(elements.next(), None);
    }
}
