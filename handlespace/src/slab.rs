//! Storage with stable numbers: a [`Slot`] stays valid until its value is removed.
//!
//! Memory is taken in chunks, so growing never moves what is there.

use std::ops::{Index, IndexMut};

/// Values per chunk.
const CHUNK: usize = 32;

/// The number of a value in a [`Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

#[derive(Debug)]
enum Cell<T> {
    Full(T),
    /// Vacant; the next vacant one.
    Vacant(Option<Slot>),
}

#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Box<[Cell<T>]>>,
    vacant: Option<Slot>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), vacant: None, len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> Slot {
        let slot = self.vacant.unwrap_or_else(|| self.grow());
        let cell = self.cell_mut(slot);
        if let Cell::Vacant(next) = *cell {
            *cell = Cell::Full(value);
            self.vacant = next;
            self.len += 1;
        }
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let next = self.vacant;
        let cell = self.cell_mut(slot);
        if let Cell::Vacant(_) = cell {
            return None;
        }
        let Cell::Full(value) = std::mem::replace(cell, Cell::Vacant(next)) else { return None };
        self.vacant = Some(slot);
        self.len -= 1;
        Some(value)
    }

    /// Adds a chunk of vacant cells and returns the first.
    fn grow(&mut self) -> Slot {
        let first = (self.chunks.len() * CHUNK) as u32;
        let cell = |i: usize| Cell::Vacant((i + 1 < CHUNK).then(|| Slot(first + i as u32 + 1)));
        self.chunks.push((0..CHUNK).map(cell).collect());
        Slot(first)
    }

    fn cell_mut(&mut self, Slot(number): Slot) -> &mut Cell<T> {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

/// Slots come from [`Slab::insert`] alone and are forgotten at removal: a vacant one is a defect of this crate.
impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, Slot(number): Slot) -> &T {
        match &self.chunks[number as usize / CHUNK][number as usize % CHUNK] {
            Cell::Full(value) => value,
            Cell::Vacant(_) => unreachable!("slot {number} is vacant"),
        }
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        match self.cell_mut(slot) {
            Cell::Full(value) => value,
            Cell::Vacant(_) => unreachable!("{slot:?} is vacant"),
        }
    }
}
