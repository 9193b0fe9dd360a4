//! The elements of a pool by identifier: in order, and by hash.
//!
//! Keep-alives, updates and reports find one element of many. In a large pool each level of a tree is a cache miss,
//! so look-ups go by a hash table, which is never iterated; the ordered map serves the listings. The table's growth
//! makes the cost of an insertion an amortised one.

use crate::slab::Slot;
use params::PeIdentifier;
use std::collections::BTreeMap;
#[expect(clippy::disallowed_types, reason = "never iterated")]
use std::collections::HashMap;
use std::ops::RangeBounds;

#[derive(Debug, Default)]
#[expect(clippy::disallowed_types, reason = "never iterated")]
pub(crate) struct Roster {
    ordered: BTreeMap<PeIdentifier, Slot>,
    /// With the standard library's keyed hash: peers choose the identifiers.
    index: HashMap<PeIdentifier, Slot>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.ordered.len()
    }

    pub(crate) fn get(&self, id: PeIdentifier) -> Option<Slot> {
        self.index.get(&id).copied()
    }

    pub(crate) fn insert(&mut self, id: PeIdentifier, slot: Slot) {
        self.ordered.insert(id, slot);
        self.index.insert(id, slot);
    }

    pub(crate) fn remove(&mut self, id: PeIdentifier) -> Option<Slot> {
        let slot = self.index.remove(&id)?;
        self.ordered.remove(&id);
        // A pool that was large once does not stay so.
        if self.index.len() < self.index.capacity() / 8 {
            self.index.shrink_to(self.index.len() * 2);
        }
        Some(slot)
    }

    /// In the order of the identifiers.
    pub(crate) fn range(&self, range: impl RangeBounds<PeIdentifier>) -> impl Iterator<Item = Slot> {
        self.ordered.range(range).map(|(_, &slot)| slot)
    }
}
