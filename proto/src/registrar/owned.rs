//! What the home of an element keeps of it, and when it has to look at it next.
//!
//! A registrar may own very many elements, so this is one map and one schedule, with nothing in it twice.

use super::ElementKey;
use crate::{AssocId, Time};
use params::PoolHandle;
use std::collections::{BTreeMap, BTreeSet};

/// What the home of an element keeps of it.
#[derive(Debug)]
pub(super) struct Owned {
    /// The association it registered over. `None`: it has to be reached at its ASAP transport.
    pub(super) association: Option<AssocId>,
    /// When its registration life ends; [`Time::NEVER`]: it does not.
    pub(super) expires: Time,
    /// Taken over, and has not acknowledged that yet.
    pub(super) claimed: bool,
    /// When it is to be looked at; [`Time::NEVER`] while it is not in the schedule.
    due: Time,
}

impl Owned {
    /// Not in the schedule yet.
    pub(super) fn new(association: Option<AssocId>, expires: Time, claimed: bool) -> Self {
        Self { association, expires, claimed, due: Time::NEVER }
    }

    /// Whether it will be looked at; not while it is probed.
    pub(super) fn is_scheduled(&self) -> bool {
        self.due != Time::NEVER
    }
}

/// The elements whose home this registrar is.
#[derive(Debug, Default)]
pub(super) struct OwnedElements {
    by_key: BTreeMap<ElementKey, Owned>,
    /// How many there are of each pool.
    by_pool: BTreeMap<PoolHandle, usize>,
    /// Equal times are due in the order of the keys, so a run can be repeated.
    by_time: BTreeSet<(Time, ElementKey)>,
}

impl OwnedElements {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many there are of this pool.
    pub(super) fn count_in(&self, handle: &PoolHandle) -> usize {
        self.by_pool.get(handle).copied().unwrap_or(0)
    }

    /// Whether the element is ours.
    pub(super) fn contains(&self, key: &ElementKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// What we keep of it, if it is ours.
    pub(super) fn get(&self, key: &ElementKey) -> Option<&Owned> {
        self.by_key.get(key)
    }

    /// As [`get`](Self::get), to change it.
    pub(super) fn get_mut(&mut self, key: &ElementKey) -> Option<&mut Owned> {
        self.by_key.get_mut(key)
    }

    /// Makes an element ours that was not.
    pub(super) fn insert(&mut self, key: ElementKey, owned: Owned) {
        debug_assert!(!self.contains(&key), "its place in the schedule would be lost");
        *self.by_pool.entry(key.handle.clone()).or_default() += 1;
        self.by_key.insert(key, owned);
    }

    /// Forgets it.
    pub(super) fn remove(&mut self, key: &ElementKey) -> Option<Owned> {
        let owned = self.by_key.remove(key)?;
        if let Some(count) = self.by_pool.get_mut(&key.handle) {
            *count -= 1;
            if *count == 0 {
                self.by_pool.remove(&key.handle);
            }
        }
        if owned.is_scheduled() {
            self.by_time.remove(&(owned.due, key.clone()));
        }
        Some(owned)
    }

    /// When it is looked at next; nothing if it is not ours.
    pub(super) fn schedule(&mut self, key: &ElementKey, at: Time) {
        let Some(owned) = self.by_key.get_mut(key) else { return };
        let before = std::mem::replace(&mut owned.due, at);
        if before != Time::NEVER {
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((at, key.clone()));
    }

    /// A life that ends sooner than the next look brings that forward.
    pub(super) fn set_expires(&mut self, key: &ElementKey, expires: Time) {
        let Some(owned) = self.by_key.get_mut(key) else { return };
        owned.expires = expires;
        if expires < owned.due {
            self.schedule(key, expires);
        }
    }

    /// Looks at none of them any more.
    pub(super) fn pause(&mut self) {
        self.by_time.clear();
        for owned in self.by_key.values_mut() {
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
        let (_, key) = self.by_time.pop_first()?;
        if let Some(owned) = self.by_key.get_mut(&key) {
            owned.due = Time::NEVER;
        }
        Some(key)
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
            elements.insert(key(id), Owned::new(None, Time::NEVER, false));
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
    fn a_shorter_life_brings_the_next_look_forward_and_a_longer_one_leaves_it() {
        let mut elements = owned(&[1]);
        elements.schedule(&key(1), at(20));
        elements.set_expires(&key(1), at(30));
        assert_eq!(elements.next(), Some(at(20)));
        elements.set_expires(&key(1), at(10));
        assert_eq!(elements.next(), Some(at(10)));
        assert_eq!(elements.pop(at(10)), Some(key(1)));
        assert_eq!(elements.next(), None);
    }
}
