//! The timers of a machine: at most one deadline per key, the earliest first, O(log n) each.

use crate::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Deadlines by key. Equal deadlines are due in the order of their keys, so a run can be repeated.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_key: BTreeMap<K, Time>,
    by_time: BTreeSet<(Time, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Starts the timer, or moves it.
    pub(crate) fn set(&mut self, key: K, at: Time) {
        self.cancel(&key);
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// Stops the timer if it runs.
    pub(crate) fn cancel(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// Stops all.
    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
    }

    /// When this timer is due, if it runs.
    pub(crate) fn at(&self, key: &K) -> Option<Time> {
        self.by_key.get(key).copied()
    }

    /// The earliest timer.
    pub(crate) fn next(&self) -> Option<(Time, &K)> {
        self.by_time.first().map(|(at, key)| (*at, key))
    }

    /// Takes the earliest timer if it is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<K> {
        if self.next()?.0 > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_is_due_first_and_each_key_has_one() {
        let at = Time::from_micros;
        let mut timers = Timers::default();
        timers.set('b', at(20));
        timers.set('a', at(30));
        timers.set('c', at(10));
        timers.set('a', at(20));
        timers.cancel(&'c');
        assert_eq!(timers.next(), Some((at(20), &'a')));
        assert_eq!(timers.pop(at(19)), None);
        assert_eq!(timers.pop(at(20)), Some('a'));
        assert_eq!(timers.pop(at(20)), Some('b'));
        assert_eq!(timers.pop(Time::NEVER), None);
    }
}
