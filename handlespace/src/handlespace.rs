//! The handlespace of a registrar.

use crate::entry::Entries;
use crate::homes::{Cursor, Homes, first_handle, first_identifier};
use crate::pool::{Pool, RegisterError, TransportKind};
use params::{PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, TransportUse};
use rand::Rng;
use std::collections::BTreeMap;
use std::ops::Bound;

/// All pools and elements of an operational scope, as one registrar knows them.
///
/// Pools exist while they have elements; the first one decides the pool's attributes (ambiguity A-60).
#[derive(Debug)]
pub struct Handlespace {
    pools: BTreeMap<PoolHandle, Pool>,
    entries: Entries,
    homes: Homes,
    bytes: usize,
    max_increment: usize,
}

/// What the handlespace itself keeps of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementState {
    /// Listed last (design D4, D9).
    pub suspect: bool,
    /// Stored although its policy or transport is not the pool's (ambiguity A-61).
    pub contradicts: bool,
    /// In how many answers since its last registration: the degradation counter (RFC 5356 §5.2.2), kept for the
    /// policies with degradation.
    pub selections: u32,
}

/// A pool, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    handle: &'a PoolHandle,
    pool: &'a Pool,
    entries: &'a Entries,
}

impl Default for Handlespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Handlespace {
    /// An empty handlespace.
    pub fn new() -> Self {
        Self::with_max_increment(1)
    }

    /// Round robin advances by up to this many of the elements it lists, instead of by one (ambiguity A-73).
    pub fn with_max_increment(max_increment: usize) -> Self {
        Self {
            pools: BTreeMap::new(),
            entries: Entries::default(),
            homes: Homes::default(),
            bytes: 0,
            max_increment,
        }
    }

    /// Adds an element or replaces the one with the same identifier in the same pool (RFC 5352 §3.1). Whether there
    /// was one; it keeps its turn and its suspicion, its degradation counter starts again.
    ///
    /// Costs O(log n). On error nothing has changed.
    pub fn register(&mut self, handle: &PoolHandle, element: PoolElement) -> Result<bool, RegisterError> {
        match self.pools.get_mut(handle) {
            Some(pool) => {
                pool.check(&element)?;
                Ok(store(pool, &mut self.entries, &mut self.homes, &mut self.bytes, handle, element))
            }
            None => Ok(self.replicate(handle, element)),
        }
    }

    /// As [`register`](Self::register), for what comes from a peer: an element that contradicts the pool is stored
    /// as well, since registrars must hold equal tables. It is listed after the others, with default values
    /// (RFC 5353 §3.3.1, ambiguity A-61).
    pub fn replicate(&mut self, handle: &PoolHandle, element: PoolElement) -> bool {
        let pool = match self.pools.get_mut(handle) {
            Some(pool) => pool,
            None => self.pools.entry(handle.clone()).or_insert_with(|| Pool::new(handle, &element)),
        };
        store(pool, &mut self.entries, &mut self.homes, &mut self.bytes, handle, element)
    }

    /// Removes an element and returns it; its pool goes with the last one. Costs O(log n).
    pub fn remove(&mut self, handle: &PoolHandle, id: PeIdentifier) -> Option<PoolElement> {
        let pool = self.pools.get_mut(handle)?;
        let element = pool.remove(&mut self.entries, id)?;
        self.homes.remove(element.home, handle, pool.handle_words, id);
        self.bytes -= handle.encoded_length() + element.encoded_length();
        if pool.roster.len() == 0 {
            self.pools.remove(handle);
        }
        Some(element)
    }

    /// The element, if it is registered.
    pub fn get(&self, handle: &PoolHandle, id: PeIdentifier) -> Option<&PoolElement> {
        let slot = self.pools.get(handle)?.roster.get(id)?;
        Some(&self.entries[slot].element)
    }

    /// What the handlespace keeps of the element, if it is registered.
    pub fn state(&self, handle: &PoolHandle, id: PeIdentifier) -> Option<ElementState> {
        let slot = self.pools.get(handle)?.roster.get(id)?;
        let entry = &self.entries[slot];
        Some(ElementState {
            suspect: entry.suspect,
            contradicts: entry.rank.is_contradicting(),
            selections: entry.selections,
        })
    }

    /// Gives the element a new home (RFC 5353 §3.5, takeover). Whether it is registered.
    pub fn set_home(&mut self, handle: &PoolHandle, id: PeIdentifier, home: RegistrarId) -> bool {
        let Some(pool) = self.pools.get(handle) else { return false };
        let Some(slot) = pool.roster.get(id) else { return false };
        let previous = std::mem::replace(&mut self.entries[slot].element.home, home);
        if previous != home {
            self.homes.remove(previous, handle, pool.handle_words, id);
            self.homes.add(home, handle, pool.handle_words, id);
        }
        true
    }

    /// Sorts the element behind all that are not suspect, or clears that (design D4, D9). Whether it is registered.
    pub fn set_suspect(&mut self, handle: &PoolHandle, id: PeIdentifier, suspect: bool) -> bool {
        let Some(pool) = self.pools.get_mut(handle) else { return false };
        pool.set_suspect(&mut self.entries, id, suspect)
    }

    /// Answers a handle resolution: up to `count` elements, each at most once, in the order that the pool's policy
    /// demands (RFC 5356), and counts them as selected. `None` stands for the policy's own number, at most
    /// [`ANSWER_LIMIT`](crate::ANSWER_LIMIT) (ambiguity A-49); a given number is not limited.
    ///
    /// Suspects and elements that contradict the pool come last; those of weight 0 only if there are no others
    /// (ambiguity A-72). Empty if there is no such pool. Costs O(k log n) for k elements.
    pub fn select(
        &mut self,
        handle: &PoolHandle,
        count: Option<usize>,
        rng: &mut (impl Rng + ?Sized),
    ) -> Vec<&PoolElement> {
        let Some(pool) = self.pools.get_mut(handle) else { return Vec::new() };
        let count = count.unwrap_or_else(|| pool.default_count());
        let chosen = pool.select(&mut self.entries, count, self.max_increment, rng);
        let entries = &self.entries;
        chosen.into_iter().map(|slot| &entries[slot].element).collect()
    }

    /// The elements of a pool in the order of its schedule, without counting them as selected: for updates that
    /// nobody asked for (ambiguities ). Random policies have no order; theirs is arbitrary.
    pub fn peek<'a>(&'a self, handle: &PoolHandle) -> impl Iterator<Item = &'a PoolElement> + use<'a> {
        let slots = self.pools.get(handle).into_iter().flat_map(Pool::peek);
        slots.map(|slot| &self.entries[slot].element)
    }

    /// The pool, if it has elements.
    pub fn pool(&self, handle: &PoolHandle) -> Option<PoolView<'_>> {
        let (handle, pool) = self.pools.get_key_value(handle)?;
        Some(PoolView { handle, pool, entries: &self.entries })
    }

    /// All pools by handle.
    pub fn pools(&self) -> impl Iterator<Item = PoolView<'_>> {
        self.pools_after(None)
    }

    /// The pools behind this handle, by handle; `None` starts at the beginning.
    pub fn pools_after(&self, after: Option<&PoolHandle>) -> impl Iterator<Item = PoolView<'_>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let pools = self.pools.range::<PoolHandle, _>((start, Bound::Unbounded));
        pools.map(|(handle, pool)| PoolView { handle, pool, entries: &self.entries })
    }

    /// All elements behind the cursor, by handle, then identifier; `None` starts at the beginning.
    pub fn elements_after<'a>(
        &'a self,
        cursor: Option<Cursor<'a>>,
    ) -> impl Iterator<Item = (&'a PoolHandle, &'a PoolElement)> {
        self.pools.range::<PoolHandle, _>(first_handle(cursor)).flat_map(move |(handle, pool)| {
            let slots = pool.roster.range(first_identifier(handle, cursor));
            slots.map(move |slot| (handle, &self.entries[slot].element))
        })
    }

    /// The elements of one home behind the cursor, by handle, then identifier; `None` starts at the beginning.
    pub fn owned_after<'a>(
        &'a self,
        home: RegistrarId,
        cursor: Option<Cursor<'a>>,
    ) -> impl Iterator<Item = (&'a PoolHandle, &'a PoolElement)> {
        self.homes.after(home, cursor).filter_map(|(handle, id)| Some((handle, self.get(handle, id)?)))
    }

    /// The elements of one home, by handle, then identifier.
    pub fn owned_by(&self, home: RegistrarId) -> impl Iterator<Item = (&PoolHandle, &PoolElement)> {
        self.owned_after(home, None)
    }

    /// How many elements have this home.
    pub fn owned_count(&self, home: RegistrarId) -> usize {
        self.homes.count(home)
    }

    /// How many elements of this pool have this home. Costs O(log n).
    pub fn owned_count_in(&self, home: RegistrarId, handle: &PoolHandle) -> usize {
        self.homes.count_in(home, handle)
    }

    /// The registrars that are home to at least one element.
    pub fn homes(&self) -> impl Iterator<Item = RegistrarId> {
        self.homes.iter()
    }

    /// The PE checksum of what this registrar owns (RFC 5353 §3.6.2); 0xffff if it owns nothing. A look-up: it is
    /// kept with each change.
    pub fn checksum(&self, home: RegistrarId) -> u16 {
        self.homes.checksum(home)
    }

    /// How many elements there are in all pools.
    pub fn element_count(&self) -> usize {
        self.entries.len()
    }

    /// Octets of all elements as they are encoded, each with its pool handle: about what they take of the memory beside
    /// a fixed part for each. A look-up.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many pools there are.
    pub fn pool_count(&self) -> usize {
        self.pools.len()
    }
}

impl<'a> PoolView<'a> {
    /// The name of the pool.
    pub fn handle(&self) -> &'a PoolHandle {
        self.handle
    }

    /// The overall policy, with the values of the element that founded the pool.
    pub fn policy(&self) -> &'a Policy {
        &self.pool.attributes.policy
    }

    /// The transport protocol of the pool.
    pub fn transport_kind(&self) -> TransportKind {
        self.pool.attributes.transport
    }

    /// Whether the elements have a control channel; data only for everything but SCTP.
    pub fn transport_use(&self) -> TransportUse {
        self.pool.attributes.transport_use
    }

    /// How many elements the pool has; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a pool without elements does not exist")]
    pub fn len(&self) -> usize {
        self.pool.roster.len()
    }

    /// The elements by identifier.
    pub fn elements(&self) -> impl Iterator<Item = &'a PoolElement> + use<'a> {
        self.elements_after(None)
    }

    /// The elements behind this identifier, by identifier; `None` starts at the beginning.
    pub fn elements_after(
        &self,
        after: Option<PeIdentifier>,
    ) -> impl Iterator<Item = &'a PoolElement> + use<'a> {
        let entries = self.entries;
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.pool.roster.range((start, Bound::Unbounded)).map(|slot| &entries[slot].element)
    }
}

/// Whether it replaced another one.
fn store(
    pool: &mut Pool,
    entries: &mut Entries,
    homes: &mut Homes,
    bytes: &mut usize,
    handle: &PoolHandle,
    element: PoolElement,
) -> bool {
    if pool.renew(entries, &element) {
        return true;
    }
    let (id, home) = (element.id, element.home);
    *bytes += element.encoded_length();
    let replaced = pool.insert(entries, element);
    match replaced {
        Some(replaced) => *bytes -= replaced.bytes,
        None => *bytes += handle.encoded_length(),
    }
    let previous_home = replaced.map(|replaced| replaced.home);
    if previous_home != Some(home) {
        if let Some(previous_home) = previous_home {
            homes.remove(previous_home, handle, pool.handle_words, id);
        }
        homes.add(home, handle, pool.handle_words, id);
    }
    previous_home.is_some()
}
