//! What a machine has to transmit, with the flow control of the contract ([`crate::Node`]).
//!
//! Messages wait in one queue per association. The associations that may send take turns, one message each;
//! one that is full waits until it is writable while the others go on.

use crate::{AssocId, Transmit};
use std::collections::{BTreeMap, VecDeque};

/// Transmits that wait to be polled.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Not subject to flow control: connects, aborts, reading on and off.
    immediate: VecDeque<Transmit>,
    queues: BTreeMap<AssocId, Queue>,
    /// The associations with something to send that are not full, each once.
    turns: VecDeque<AssocId>,
}

#[derive(Debug, Default)]
struct Queue {
    full: bool,
    has_turn: bool,
    items: VecDeque<Queued>,
}

/// A transmit with the number of bytes of its owner's budget that it holds.
#[derive(Debug)]
struct Queued {
    transmit: Transmit,
    credit: usize,
}

impl Outbox {
    /// Transmits this as soon as possible.
    pub(crate) fn push_immediate(&mut self, transmit: Transmit) {
        self.immediate.push_back(transmit);
    }

    /// Transmits this after everything else that was queued for the association.
    pub(crate) fn push(&mut self, assoc: AssocId, transmit: Transmit, credit: usize) {
        let queue = self.queues.entry(assoc).or_default();
        queue.items.push_back(Queued { transmit, credit });
        Self::give_turn(&mut self.turns, assoc, queue);
    }

    /// How many transmits wait for this association.
    pub(crate) fn len(&self, assoc: AssocId) -> usize {
        self.queues.get(&assoc).map_or(0, |queue| queue.items.len())
    }

    /// The association takes no more until it is writable.
    pub(crate) fn full(&mut self, assoc: AssocId) {
        self.queues.entry(assoc).or_default().full = true;
    }

    /// The association takes messages again.
    pub(crate) fn writable(&mut self, assoc: AssocId) {
        if let Some(queue) = self.queues.get_mut(&assoc) {
            queue.full = false;
            Self::give_turn(&mut self.turns, assoc, queue);
        }
    }

    /// Drops what waits for an association, and says how much credit that held.
    pub(crate) fn forget(&mut self, assoc: AssocId) -> usize {
        self.queues.remove(&assoc).map_or(0, |queue| queue.items.iter().map(|item| item.credit).sum())
    }

    /// The next transmit, with the credit that it returns.
    pub(crate) fn pop(&mut self) -> Option<(Transmit, usize)> {
        if let Some(transmit) = self.immediate.pop_front() {
            return Some((transmit, 0));
        }
        while let Some(assoc) = self.turns.pop_front() {
            let Some(queue) = self.queues.get_mut(&assoc) else { continue };
            queue.has_turn = false;
            if queue.full {
                continue;
            }
            let Some(item) = queue.items.pop_front() else { continue };
            if queue.items.is_empty() {
                self.queues.remove(&assoc);
            } else {
                Self::give_turn(&mut self.turns, assoc, queue);
            }
            return Some((item.transmit, item.credit));
        }
        None
    }

    fn give_turn(turns: &mut VecDeque<AssocId>, assoc: AssocId, queue: &mut Queue) {
        if !queue.has_turn && !queue.full && !queue.items.is_empty() {
            queue.has_turn = true;
            turns.push_back(assoc);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown(n: u64) -> (AssocId, Transmit) {
        let assoc = AssocId::connected(n);
        (assoc, Transmit::Shutdown { assoc })
    }

    #[test]
    fn a_full_association_waits_while_others_go_on() {
        let mut outbox = Outbox::default();
        let (a, to_a) = shutdown(1);
        let (b, to_b) = shutdown(2);
        outbox.push(a, to_a.clone(), 10);
        outbox.push(a, to_a.clone(), 20);
        outbox.push(b, to_b.clone(), 30);
        outbox.push(b, to_b.clone(), 40);
        assert_eq!(outbox.pop(), Some((to_a.clone(), 10)));
        outbox.full(a);
        assert_eq!(outbox.pop(), Some((to_b.clone(), 30)));
        assert_eq!(outbox.pop(), Some((to_b, 40)));
        assert_eq!(outbox.pop(), None);
        outbox.writable(a);
        assert_eq!(outbox.pop(), Some((to_a, 20)));
        assert_eq!(outbox.pop(), None);
    }

    #[test]
    fn forgetting_an_association_returns_its_credit() {
        let mut outbox = Outbox::default();
        let (a, to_a) = shutdown(1);
        outbox.push(a, to_a.clone(), 10);
        outbox.push(a, to_a, 20);
        assert_eq!(outbox.forget(a), 30);
        assert_eq!(outbox.pop(), None);
        assert_eq!(outbox.len(a), 0);
    }
}
