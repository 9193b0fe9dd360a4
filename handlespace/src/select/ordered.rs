//! Round Robin, Priority and the Least Used family (RFC 5356 §4.1, §4.5, §5.1 – §5.3).
//!
//! One ordered set by (cost, turn). Costs decide; equals go round robin: a circular list with a head is the same as
//! a queue whose first goes to its end. In Round Robin all costs are equal.

use super::Round;
use crate::entry::{Entries, Place};
use crate::slab::Slot;
use std::collections::BTreeSet;

/// From the top cost, turn and slot, of 44, 52 and 32 bits.
///
/// In large pools cache misses count: as one number keys are small, and compared at once. Costs beyond 44 bits are
/// equal; to get there takes 4096 selections of an element that each of them loads fully. The turns last for years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u128);

impl Key {
    fn new(cost: u64, turn: u64, slot: Slot) -> Self {
        let cost = u128::from(cost.min((1 << 44) - 1));
        Self(cost << 84 | u128::from(turn) << 32 | u128::from(slot.0))
    }

    fn cost(self) -> u64 {
        (self.0 >> 84) as u64
    }

    fn slot(self) -> Slot {
        Slot(self.0 as u32)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Ordered {
    order: BTreeSet<Key>,
    /// The turn of whoever comes next to the end of its queue.
    next_turn: u64,
}

impl Ordered {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.order.iter().map(|key| key.slot())
    }

    /// At the end of the elements of the same cost.
    pub(crate) fn insert(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &mut entries[slot];
        let (cost, turn) = (entry.cost(), self.next_turn);
        entry.place = Place::Ordered { cost, turn };
        self.next_turn += 1;
        self.order.insert(Key::new(cost, turn, slot));
    }

    pub(crate) fn remove(&mut self, entries: &mut Entries, slot: Slot) {
        if let Place::Ordered { cost, turn } = entries[slot].place {
            self.order.remove(&Key::new(cost, turn, slot));
        }
    }

    pub(crate) fn update(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &entries[slot];
        if !matches!(entry.place, Place::Ordered { cost, .. } if cost == entry.cost()) {
            self.remove(entries, slot);
            self.insert(entries, slot);
        }
    }

    pub(crate) fn select(
        &mut self,
        entries: &mut Entries,
        count: usize,
        round: Round,
        chosen: &mut Vec<Slot>,
    ) {
        // One more than asked for, to see whether the last ones have equals that are not listed.
        let mut keys: Vec<Key> = self.order.iter().take(count.saturating_add(1)).copied().collect();
        let beyond = if keys.len() > count { keys.pop() } else { None };
        chosen.extend(keys.iter().map(|key| key.slot()));
        for equals in keys.chunk_by(|a, b| a.cost() == b.cost()) {
            let advance = round.max_increment.min(equals.len());
            let (first, rest) = equals.split_at(advance);
            if round.degrades {
                // Their costs change, so all of them queue again, where the head has advanced by as many.
                for key in rest.iter().chain(first) {
                    self.order.remove(key);
                    let entry = &mut entries[key.slot()];
                    entry.selections = entry.selections.saturating_add(1);
                    self.insert(entries, key.slot());
                }
            } else if equals.len() > 1 || beyond.is_some_and(|key| key.cost() == equals[0].cost()) {
                for key in first {
                    self.order.remove(key);
                    self.insert(entries, key.slot());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // POL-5.2-07: costs that are too large for a key do not wrap; they are equal, and turns decide.
    #[test]
    fn keys_saturate() {
        let ascending = [(0, 9), (1, 8), (1 << 43, 7), (u64::MAX - 1, 5), (u64::MAX, 6)];
        assert!(ascending.map(|(cost, turn)| Key::new(cost, turn, Slot(u32::MAX - 1))).is_sorted());
        let key = Key::new(1 << 43, 1 << 51, Slot(u32::MAX));
        assert_eq!((key.cost(), key.slot()), (1 << 43, Slot(u32::MAX)));
    }
}
