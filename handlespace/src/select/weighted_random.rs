//! Random, Weighted Random and Randomized Least Used (RFC 5356 §4.3, §4.4, §5.4).
//!
//! Weights stand in a [`SumTree`]; a draw is a number below their sum, looked up. Several draws are without
//! replacement: what was drawn weighs nothing until the answer is complete. Random has all weights 1.

use super::Round;
use crate::entry::{Entries, Place};
use crate::slab::Slot;
use rand::{Rng, RngExt};

#[derive(Debug, Default)]
pub(crate) struct WeightedRandom {
    slots: Vec<Slot>,
    /// The weight of the element at the same position of `slots`.
    weights: SumTree,
}

impl WeightedRandom {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.slots.iter().copied()
    }

    pub(crate) fn insert(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &mut entries[slot];
        entry.place = Place::Position(self.slots.len() as u32);
        self.weights.push(entry.weight());
        self.slots.push(slot);
    }

    /// The last one takes its position.
    pub(crate) fn remove(&mut self, entries: &mut Entries, slot: Slot) {
        let Place::Position(position) = entries[slot].place else { return };
        self.slots.swap_remove(position as usize);
        let weight = self.weights.pop();
        if let Some(&moved) = self.slots.get(position as usize) {
            self.weights.set(position as usize, weight);
            entries[moved].place = Place::Position(position);
        }
        // A pool that was large once does not stay so.
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
            self.weights.shrink();
        }
    }

    pub(crate) fn update(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &entries[slot];
        if let Place::Position(position) = entry.place {
            self.weights.set(position as usize, entry.weight());
        }
    }

    pub(crate) fn select(
        &mut self,
        entries: &mut Entries,
        count: usize,
        round: Round,
        rng: &mut (impl Rng + ?Sized),
        chosen: &mut Vec<Slot>,
    ) {
        if count == 1 && !round.degrades {
            let position = self.weights.find(rng.random_range(0..self.weights.total()));
            chosen.push(self.slots[position]);
            return;
        }
        let mut drawn = Vec::with_capacity(count.min(self.slots.len()));
        while drawn.len() < count && self.weights.total() > 0 {
            let position = self.weights.find(rng.random_range(0..self.weights.total()));
            drawn.push((position, self.weights.get(position)));
            self.weights.set(position, 0);
        }
        for (position, mut weight) in drawn {
            let slot = self.slots[position];
            if round.degrades {
                let entry = &mut entries[slot];
                entry.selections = entry.selections.saturating_add(1);
                weight = entry.weight();
            }
            self.weights.set(position, weight);
            chosen.push(slot);
        }
    }
}

/// Weights, and above them the sums of 16 at a time, level by level.
///
/// A look-up reads two cache lines a level, five levels for a million; a Fenwick tree takes 20 steps.
#[derive(Debug, Default)]
struct SumTree {
    weights: Vec<u32>,
    /// `sums[0][i]` is the sum of the i-th 16 weights, `sums[l + 1][i]` that of the i-th 16 of `sums[l]`. The last
    /// level has 2 to 16; 16 weights and fewer have none above them.
    sums: Vec<Vec<u64>>,
    total: u64,
}

const FAN_OUT: usize = 16;

impl SumTree {
    fn total(&self) -> u64 {
        self.total
    }

    fn get(&self, position: usize) -> u32 {
        self.weights[position]
    }

    fn set(&mut self, position: usize, weight: u32) {
        let old = std::mem::replace(&mut self.weights[position], weight);
        let adjust = |sum: &mut u64| *sum = *sum - u64::from(old) + u64::from(weight);
        adjust(&mut self.total);
        let mut index = position;
        for level in &mut self.sums {
            index /= FAN_OUT;
            adjust(&mut level[index]);
        }
    }

    fn push(&mut self, weight: u32) {
        let mut index = self.weights.len();
        self.weights.push(weight);
        self.total += u64::from(weight);
        for level in &mut self.sums {
            index /= FAN_OUT;
            match level.get_mut(index) {
                Some(sum) => *sum += u64::from(weight),
                None => level.push(weight.into()),
            }
        }
        // The highest level has outgrown one group: another one above it.
        let above = match self.sums.last() {
            Some(level) if level.len() > FAN_OUT => {
                level.chunks(FAN_OUT).map(|sums| sums.iter().sum()).collect()
            }
            None if self.weights.len() > FAN_OUT => self
                .weights
                .chunks(FAN_OUT)
                .map(|weights| weights.iter().copied().map(u64::from).sum())
                .collect(),
            _ => return,
        };
        self.sums.push(above);
    }

    /// Removes the last weight.
    fn pop(&mut self) -> u32 {
        let Some(weight) = self.weights.pop() else { return 0 };
        self.total -= u64::from(weight);
        let mut below = self.weights.len();
        for level in &mut self.sums {
            let groups = below.div_ceil(FAN_OUT);
            if level.len() > groups {
                level.pop();
            } else if let Some(sum) = level.last_mut() {
                *sum -= u64::from(weight);
            }
            below = level.len();
        }
        while self.sums.last().is_some_and(|level| level.len() == 1) {
            self.sums.pop();
        }
        weight
    }

    /// The position in whose share `target` falls; `target` is below the total.
    fn find(&self, mut target: u64) -> usize {
        let mut group = 0;
        for level in self.sums.iter().rev() {
            group = group * FAN_OUT + descend(&level[group * FAN_OUT..], &mut target);
        }
        group * FAN_OUT + descend(&self.weights[group * FAN_OUT..], &mut target)
    }

    fn shrink(&mut self) {
        self.weights.shrink_to(self.weights.len() * 2);
        for level in &mut self.sums {
            level.shrink_to(level.len() * 2);
        }
    }
}

/// Which of the first values `target` falls into; what stands before it is subtracted from `target`.
fn descend<T: Copy + Into<u64>>(values: &[T], target: &mut u64) -> usize {
    for (index, &value) in values.iter().take(FAN_OUT).enumerate() {
        if *target < value.into() {
            return index;
        }
        *target -= value.into();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Every number below the total finds the position that a scan finds, while the tree grows, changes, shrinks.
    #[test]
    fn sum_tree_agrees_with_a_scan() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut tree, mut naive) = (SumTree::default(), Vec::<u32>::new());
        for step in 0..20_000 {
            // Up to about 1500 weights, then down to nothing, twice.
            let growing = step % 10_000 < 5_000;
            match rng.random_range(0..10) {
                0..=4 => {
                    let weight = rng.random_range(0..4);
                    let pushes = if growing { 1 } else { 0 };
                    (0..pushes).for_each(|_| (tree.push(weight), naive.push(weight)).1);
                }
                5..=6 => {
                    assert_eq!(tree.pop(), naive.pop().unwrap_or(0));
                }
                _ if !naive.is_empty() => {
                    let position = rng.random_range(0..naive.len());
                    let weight = rng.random_range(0..=u32::MAX);
                    tree.set(position, weight);
                    naive[position] = weight;
                }
                _ => {}
            }
            assert_eq!(tree.total(), naive.iter().copied().map(u64::from).sum::<u64>());
            if tree.total() > 0 {
                let target = rng.random_range(0..tree.total());
                let mut before = 0;
                let expected = naive.iter().position(|&weight| {
                    before += u64::from(weight);
                    target < before
                });
                assert_eq!(Some(tree.find(target)), expected);
            }
        }
    }
}
