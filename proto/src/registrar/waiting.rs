//! What waits until it can be sent, and how much that may be (design D11).
//!
//! Who does not read is not waited for without end: an association for which too much waits is aborted. So is, when too
//! much waits for all of a channel together, the one for which most does. Clients and registrars have a budget each, so
//! that clients take no room from the peers.

use super::association::Replaces;
use crate::AssocId;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Messages that wait for one association, in their order.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: BTreeMap<u64, (Bytes, Option<Replaces>)>,
    replaceable: BTreeMap<Replaces, u64>,
    next: u64,
    bytes: usize,
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message at the end; one that it replaces goes.
    pub(super) fn push(&mut self, bytes: Bytes, replaces: Option<Replaces>) {
        let earlier = replaces.clone().and_then(|key| self.replaceable.insert(key, self.next));
        if let Some((dropped, _)) = earlier.and_then(|earlier| self.messages.remove(&earlier)) {
            self.bytes -= dropped.len();
        }
        self.bytes += bytes.len();
        self.messages.insert(self.next, (bytes, replaces));
        self.next += 1;
    }

    /// All, in their order.
    pub(super) fn into_messages(self) -> impl DoubleEndedIterator<Item = (Bytes, Option<Replaces>)> {
        self.messages.into_values()
    }
}

/// What waits for the associations of one channel.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Bytes that may wait for one; a single message always may.
    each: usize,
    /// Bytes that may wait for all together.
    total: usize,
    bytes: usize,
    /// Those for which something waits, by how much that is.
    by_bytes: BTreeSet<(usize, AssocId)>,
}

impl Waiting {
    pub(super) fn new(each: usize, total: usize) -> Self {
        Self { each, total, bytes: 0, by_bytes: BTreeSet::new() }
    }

    /// Bytes that wait for all together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits for an association has changed.
    pub(super) fn change(&mut self, assoc: AssocId, before: usize, after: usize) {
        self.by_bytes.remove(&(before, assoc));
        if after > 0 {
            self.by_bytes.insert((after, assoc));
        }
        self.bytes = self.bytes - before + after;
    }

    /// Whether this is too much for one association.
    pub(super) fn is_too_much(&self, held: &Held) -> bool {
        held.bytes > self.each && held.messages.len() > 1
    }

    /// Who has to go because too much waits for all together: the one for which most does.
    pub(super) fn excess(&self) -> Option<AssocId> {
        self.by_bytes.last().filter(|_| self.bytes > self.total).map(|(_, assoc)| *assoc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_follows_every_change() {
        let [a, b] = [1, 2].map(AssocId::connected);
        let mut waiting = Waiting::new(100, 150);
        for (assoc, before, after) in [(a, 0, 80), (b, 0, 60), (a, 80, 90)] {
            waiting.change(assoc, before, after);
            assert_eq!(waiting.excess(), None);
        }
        waiting.change(b, 60, 95);
        assert_eq!(waiting.excess(), Some(b));
        waiting.change(b, 95, 0);
        assert_eq!((waiting.excess(), waiting.bytes, waiting.by_bytes.len()), (None, 90, 1));
        waiting.change(a, 90, 0);
        assert_eq!((waiting.bytes, waiting.by_bytes.len()), (0, 0));
    }
}
