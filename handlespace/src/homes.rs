//! Which registrar is home to which elements, with the checksum of each home.

use crate::checksum::{fold, identifier_words};
use params::{PeIdentifier, PoolHandle, RegistrarId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The element behind which a listing goes on, whatever was added or removed in between.
pub type Cursor<'a> = (&'a PoolHandle, PeIdentifier);

#[derive(Debug, Default)]
struct Home {
    /// Exact sum of the words of all blocks.
    sum: u64,
    count: usize,
    pools: BTreeMap<PoolHandle, BTreeSet<PeIdentifier>>,
}

/// The index by home. A home without elements is not in it.
#[derive(Debug, Default)]
pub(crate) struct Homes(BTreeMap<RegistrarId, Home>);

impl Homes {
    /// Adds an element that is new to this home; `handle_words` is the checksum's part of the handle.
    pub(crate) fn add(
        &mut self,
        home: RegistrarId,
        handle: &PoolHandle,
        handle_words: u64,
        id: PeIdentifier,
    ) {
        let home = self.0.entry(home).or_default();
        home.sum += handle_words + identifier_words(id);
        home.count += 1;
        match home.pools.get_mut(handle) {
            Some(ids) => ids.insert(id),
            None => home.pools.entry(handle.clone()).or_default().insert(id),
        };
    }

    /// Removes an element that [`Homes::add`] added with the same arguments.
    pub(crate) fn remove(
        &mut self,
        id_of_home: RegistrarId,
        handle: &PoolHandle,
        handle_words: u64,
        id: PeIdentifier,
    ) {
        let Some(home) = self.0.get_mut(&id_of_home) else { return };
        home.sum -= handle_words + identifier_words(id);
        home.count -= 1;
        if let Some(ids) = home.pools.get_mut(handle) {
            ids.remove(&id);
            if ids.is_empty() {
                home.pools.remove(handle);
            }
        }
        if home.count == 0 {
            self.0.remove(&id_of_home);
        }
    }

    pub(crate) fn checksum(&self, home: RegistrarId) -> u16 {
        fold(self.0.get(&home).map_or(0, |home| home.sum))
    }

    pub(crate) fn count(&self, home: RegistrarId) -> usize {
        self.0.get(&home).map_or(0, |home| home.count)
    }

    pub(crate) fn count_in(&self, home: RegistrarId, handle: &PoolHandle) -> usize {
        self.0.get(&home).and_then(|home| home.pools.get(handle)).map_or(0, BTreeSet::len)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RegistrarId> {
        self.0.keys().copied()
    }

    /// The elements of a home behind `after`, by handle, then identifier.
    pub(crate) fn after<'a>(
        &'a self,
        home: RegistrarId,
        after: Option<Cursor<'a>>,
    ) -> impl Iterator<Item = (&'a PoolHandle, PeIdentifier)> {
        self.0.get(&home).into_iter().flat_map(move |home| {
            home.pools.range::<PoolHandle, _>(first_handle(after)).flat_map(move |(handle, ids)| {
                ids.range(first_identifier(handle, after)).map(move |&id| (handle, id))
            })
        })
    }
}

/// Where to go on in a map of handles, behind the element `after`.
pub(crate) fn first_handle(after: Option<Cursor<'_>>) -> (Bound<&PoolHandle>, Bound<&PoolHandle>) {
    (after.map_or(Bound::Unbounded, |(handle, _)| Bound::Included(handle)), Bound::Unbounded)
}

/// Where to go on in a map of identifiers of the pool `handle`, behind the element `after`.
pub(crate) fn first_identifier(
    handle: &PoolHandle,
    after: Option<Cursor<'_>>,
) -> (Bound<PeIdentifier>, Bound<PeIdentifier>) {
    match after {
        Some((last, id)) if last == handle => (Bound::Excluded(id), Bound::Unbounded),
        _ => (Bound::Unbounded, Bound::Unbounded),
    }
}
