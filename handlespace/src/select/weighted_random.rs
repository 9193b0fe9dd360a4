//! Weighted Random and Randomized Least Used (RFC 5356 §4.4, §5.4).
//!
//! Weights stand in a [`SumTree`]; a draw is a number below their sum, looked up. Several draws are without
//! replacement: what was drawn weighs nothing until the answer is complete.

use super::Round;
use crate::entry::{Entries, Place};
use crate::slab::Slot;
use rand::{Rng, RngExt};

#[derive(Debug, Default)]
pub(crate) struct WeightedRandom {
    shares: SumTree,
}

impl WeightedRandom {
    pub(crate) fn is_empty(&self) -> bool {
        self.shares.leaves.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.shares.leaves.iter().map(|leaf| leaf.slot)
    }

    pub(crate) fn insert(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &mut entries[slot];
        entry.place = Place::Position(self.shares.leaves.len() as u32);
        self.shares.push(Leaf { weight: entry.weight(), slot });
    }

    /// The last one takes its position.
    pub(crate) fn remove(&mut self, entries: &mut Entries, slot: Slot) {
        let Place::Position(position) = entries[slot].place else { return };
        let Some(last) = self.shares.pop() else { return };
        if last.slot != slot {
            self.shares.set_weight(position as usize, last.weight);
            self.shares.leaves[position as usize].slot = last.slot;
            entries[last.slot].place = Place::Position(position);
        }
    }

    pub(crate) fn update(&mut self, entries: &mut Entries, slot: Slot) {
        let entry = &entries[slot];
        if let Place::Position(position) = entry.place {
            self.shares.set_weight(position as usize, entry.weight());
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
            let position = self.shares.find(rng.random_range(0..self.shares.total));
            chosen.push(self.shares.leaves[position].slot);
            return;
        }
        let mut drawn = Vec::with_capacity(count.min(self.shares.leaves.len()));
        while drawn.len() < count && self.shares.total > 0 {
            let position = self.shares.find(rng.random_range(0..self.shares.total));
            drawn.push((position, self.shares.leaves[position]));
            self.shares.set_weight(position, 0);
        }
        for (position, Leaf { mut weight, slot }) in drawn {
            if round.degrades {
                let entry = &mut entries[slot];
                entry.selections = entry.selections.saturating_add(1);
                weight = entry.weight();
            }
            self.shares.set_weight(position, weight);
            chosen.push(slot);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    weight: u32,
    slot: Slot,
}

/// Weights, and above them the sums of 64 at a time, level by level.
///
/// In large pools cache misses count, not additions: a look-up among a million reads four short runs of memory,
/// where a Fenwick tree takes 20 steps.
#[derive(Debug, Default)]
struct SumTree {
    leaves: Vec<Leaf>,
    /// `sums[0][i]` is the sum of the i-th 64 leaves, `sums[l + 1][i]` that of the i-th 64 of `sums[l]`. The last
    /// level has 2 to 64; 64 leaves and fewer have none above them.
    sums: Vec<Vec<u64>>,
    total: u64,
}

const FAN_OUT: usize = 64;

impl SumTree {
    fn set_weight(&mut self, position: usize, weight: u32) {
        let old = std::mem::replace(&mut self.leaves[position].weight, weight);
        let adjust = |sum: &mut u64| *sum = *sum - u64::from(old) + u64::from(weight);
        adjust(&mut self.total);
        let mut index = position;
        for level in &mut self.sums {
            index /= FAN_OUT;
            adjust(&mut level[index]);
        }
    }

    fn push(&mut self, leaf: Leaf) {
        let mut index = self.leaves.len();
        let weight = leaf.weight;
        self.leaves.push(leaf);
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
            None if self.leaves.len() > FAN_OUT => {
                self.leaves.chunks(FAN_OUT).map(|leaves| leaves.iter().map(Leaf::share).sum()).collect()
            }
            _ => return,
        };
        self.sums.push(above);
    }

    /// Removes the last leaf.
    fn pop(&mut self) -> Option<Leaf> {
        let leaf = self.leaves.pop()?;
        self.total -= leaf.share();
        let mut below = self.leaves.len();
        for level in &mut self.sums {
            if level.len() > below.div_ceil(FAN_OUT) {
                level.pop();
            } else if let Some(sum) = level.last_mut() {
                *sum -= leaf.share();
            }
            below = level.len();
        }
        while self.sums.last().is_some_and(|level| level.len() == 1) {
            self.sums.pop();
        }
        // A pool that was large once does not stay so.
        if self.leaves.len() < self.leaves.capacity() / 4 {
            self.leaves.shrink_to(self.leaves.len() * 2);
        }
        Some(leaf)
    }

    /// The position in whose share `target` falls; `target` is below the total.
    fn find(&self, mut target: u64) -> usize {
        let mut group = 0;
        for level in self.sums.iter().rev() {
            let first = group * FAN_OUT;
            group = first + descend(level[first..].iter().copied(), &mut target);
        }
        let first = group * FAN_OUT;
        first + descend(self.leaves[first..].iter().map(Leaf::share), &mut target)
    }
}

impl Leaf {
    fn share(&self) -> u64 {
        self.weight.into()
    }
}

/// Which of the first shares `target` falls into; what stands before it is subtracted from `target`.
fn descend(shares: impl Iterator<Item = u64>, target: &mut u64) -> usize {
    for (index, share) in shares.take(FAN_OUT).enumerate() {
        if *target < share {
            return index;
        }
        *target -= share;
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
        let slot = Entries::default().insert(Default::default());
        let (mut tree, mut naive, mut most) = (SumTree::default(), Vec::<u32>::new(), 0);
        for step in 0..20_000 {
            // Up to more than 64 × 64 leaves, then down to nothing, twice.
            let growing = step % 10_000 < 5_000;
            match rng.random_range(0..10) {
                0..=4 if growing => {
                    for weight in [0, 1, 3] {
                        tree.push(Leaf { weight, slot });
                        naive.push(weight);
                    }
                }
                5..=6 => {
                    for _ in 0..if growing { 1 } else { 8 } {
                        assert_eq!(tree.pop().map(|leaf| leaf.weight), naive.pop());
                    }
                }
                _ if !naive.is_empty() => {
                    let position = rng.random_range(0..naive.len());
                    let weight = rng.random_range(0..=u32::MAX);
                    tree.set_weight(position, weight);
                    naive[position] = weight;
                }
                _ => {}
            }
            most = most.max(naive.len());
            assert_eq!(tree.total, naive.iter().copied().map(u64::from).sum::<u64>());
            if tree.total > 0 {
                let target = rng.random_range(0..tree.total);
                let mut before = 0;
                let expected = naive.iter().position(|&weight| {
                    before += u64::from(weight);
                    target < before
                });
                assert_eq!(Some(tree.find(target)), expected);
            }
        }
        assert!(most > FAN_OUT * FAN_OUT && naive.is_empty());
    }
}
