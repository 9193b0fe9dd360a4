//! Storage with stable numbers: a [`Slot`] stays valid until its value is removed.
//!
//! Memory is taken in chunks, so growing never moves what is there. A vacant place holds a default value: to hand out
//! a reference takes no look at the value, which for a large pool would be a cache miss.

use std::ops::{Index, IndexMut};

/// Values per chunk.
const CHUNK: usize = 256;

/// The number of a value in a [`Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    vacant: Vec<Slot>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), vacant: Vec::new(), len: 0 }
    }
}

impl<T: Default> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> Slot {
        self.len += 1;
        if let Some(slot) = self.vacant.pop() {
            self[slot] = value;
            return slot;
        }
        // All places up to `len` are taken.
        let slot = Slot((self.len - 1) as u32);
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
        slot
    }

    /// Removes the value of a slot that [`insert`](Self::insert) returned, once.
    pub(crate) fn remove(&mut self, slot: Slot) -> T {
        self.len -= 1;
        self.vacant.push(slot);
        std::mem::take(&mut self[slot])
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, Slot(number): Slot) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, Slot(number): Slot) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}
