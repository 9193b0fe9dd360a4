//! Weighted Round Robin (RFC 5356 §4.2).
//!
//! The circular list in which an element of weight w occurs w times is never built. In *virtual time* one round
//! of the list lasts 1, each place of it 1/W (W the sum of weights), and the n-th occurrence of an element of
//! weight w belongs into the window [n/w, (n+1)/w). Of the occurrences whose window has begun the one that ends
//! first is next ("worst-case fair weighted fair queueing", Bennett and Zhang 1996): occurrences spread as evenly
//! as possible, the shares are exact, and equal weights give plain Round Robin.

use crate::entry::{Entries, Place};
use crate::slab::Slot;
use std::collections::BTreeSet;

/// Virtual time 1, a fixed-point number. The 56 bits above it last for longer than any registrar lives.
const ROUND: u128 = 1 << 72;

/// How many windows a selection opens at most; the rest waits for the next one. More than one, so that none
/// waits for ever; few, so that no selection pays for all elements whose windows open at the same moment.
const OPENINGS: usize = 4;

/// An element's next occurrence: by the end of its window in `open`, by its start in `waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    time: u128,
    turn: u64,
    slot: Slot,
    weight: u32,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: u128,
    weight: u32,
    turn: u64,
}

impl Window {
    fn end(self) -> u128 {
        self.start.saturating_add(length(self.weight))
    }

    fn open(self, slot: Slot) -> Key {
        Key { time: self.end(), ..self.waiting(slot) }
    }

    fn waiting(self, slot: Slot) -> Key {
        Key { time: self.start, turn: self.turn, slot, weight: self.weight }
    }
}

/// How long the window of such an element is.
fn length(weight: u32) -> u128 {
    ROUND / u128::from(weight.max(1))
}

#[derive(Debug, Default)]
pub(crate) struct WeightedRoundRobin {
    open: BTreeSet<Key>,
    waiting: BTreeSet<Key>,
    now: u128,
    weights: u64,
    next_turn: u64,
}

impl WeightedRoundRobin {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.open.iter().chain(&self.waiting).map(|key| key.slot)
    }

    /// As if it had just had its turn; at the very beginning all start together.
    pub(crate) fn insert(&mut self, entries: &mut Entries, slot: Slot) {
        let weight = entries[slot].weight();
        let start = if self.now == 0 { 0 } else { self.now.saturating_add(length(weight)) };
        self.weights += u64::from(weight);
        self.queue(entries, slot, start, weight);
    }

    pub(crate) fn remove(&mut self, entries: &mut Entries, slot: Slot) {
        self.unqueue(entries, slot);
    }

    /// What is left until the window opens shrinks or grows with the new weight.
    pub(crate) fn update(&mut self, entries: &mut Entries, slot: Slot) {
        let weight = entries[slot].weight();
        if matches!(entries[slot].place, Place::Occurrence { weight: old, .. } if old == weight) {
            return;
        }
        let Some(window) = self.unqueue(entries, slot) else { return };
        let left = window.start.saturating_sub(self.now);
        let left = left.saturating_mul(window.weight.into()) / u128::from(weight.max(1));
        self.weights += u64::from(weight);
        self.queue(entries, slot, window.start.min(self.now).saturating_add(left), weight);
    }

    /// The next element of the list is charged; those listed after it are its substitutes.
    pub(crate) fn select(&mut self, entries: &mut Entries, count: usize, chosen: &mut Vec<Slot>) {
        self.open_windows();
        chosen.extend(self.iter().take(count));
        let Some(first) = self.open.first().copied() else { return };
        let Some(window) = self.unqueue(entries, first.slot) else { return };
        self.weights += u64::from(window.weight);
        self.now = self.now.saturating_add(ROUND / u128::from(self.weights.max(1)));
        self.queue(entries, first.slot, window.end(), window.weight);
    }

    fn open_windows(&mut self) {
        for _ in 0..OPENINGS {
            let Some(key) = self.waiting.first().copied() else { return };
            if key.time > self.now {
                if !self.open.is_empty() {
                    return;
                }
                // Nobody is due: time leaps to the next one.
                self.now = key.time;
            }
            self.waiting.pop_first();
            self.open.insert(Key { time: key.time.saturating_add(length(key.weight)), ..key });
        }
    }

    fn queue(&mut self, entries: &mut Entries, slot: Slot, start: u128, weight: u32) {
        let window = Window { start, weight, turn: self.next_turn };
        self.next_turn += 1;
        entries[slot].place = Place::Occurrence { start: start.into(), weight, turn: window.turn };
        if start <= self.now {
            self.open.insert(window.open(slot));
        } else {
            self.waiting.insert(window.waiting(slot));
        }
    }

    /// Takes the element out, its weight too.
    fn unqueue(&mut self, entries: &Entries, slot: Slot) -> Option<Window> {
        let Place::Occurrence { start, weight, turn } = entries[slot].place else { return None };
        let window = Window { start: start.into(), weight, turn };
        if !self.waiting.remove(&window.waiting(slot)) {
            self.open.remove(&window.open(slot));
        }
        self.weights -= u64::from(weight);
        Some(window)
    }
}
