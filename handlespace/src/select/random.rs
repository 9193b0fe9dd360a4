//! Random (RFC 5356 §4.3): distinct positions of an array, by chance. O(k) for k elements.

use crate::entry::{Entries, Place};
use crate::slab::Slot;
use rand::Rng;
use rand::seq::index;

#[derive(Debug, Default)]
pub(crate) struct Random {
    slots: Vec<Slot>,
}

impl Random {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.slots.iter().copied()
    }

    pub(crate) fn insert(&mut self, entries: &mut Entries, slot: Slot) {
        entries[slot].place = Place::Position(self.slots.len() as u32);
        self.slots.push(slot);
    }

    /// The last one takes its position.
    pub(crate) fn remove(&mut self, entries: &mut Entries, slot: Slot) {
        let Place::Position(position) = entries[slot].place else { return };
        self.slots.swap_remove(position as usize);
        if let Some(&moved) = self.slots.get(position as usize) {
            entries[moved].place = Place::Position(position);
        }
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }

    pub(crate) fn select(&self, count: usize, rng: &mut (impl Rng + ?Sized), chosen: &mut Vec<Slot>) {
        let positions = index::sample(rng, self.slots.len(), count.min(self.slots.len()));
        chosen.extend(positions.into_iter().map(|position| self.slots[position]));
    }
}
