//! The handlespace written straight from RFC 5356 and RFC 5353 §3.6.2: lists, scans and sorting, nothing clever.
//!
//! The tests compare the crate with it, the benchmark tells how much it gains over it.

#![allow(dead_code)] // Each user needs only a part.

use params::{
    Load, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport,
    Transport, TransportUse,
};
use rand::{Rng, RngExt};
use std::collections::BTreeMap;

/// An element with one address.
pub(crate) fn element(id: u32, policy: Policy) -> PoolElement {
    let transport = SctpTransport {
        port: 7001,
        transport_use: TransportUse::DATA_ONLY,
        addresses: vec!["10.255.255.1".parse().unwrap()],
    };
    PoolElement {
        id: PeIdentifier(id),
        home: RegistrarId(0xaabb_ccdd),
        life: RegistrationLife(90_000),
        user_transport: Transport::Sctp(transport.clone()),
        policy,
        asap_transport: Some(SctpTransport { port: 40001, ..transport }),
    }
}

/// The nine policies of RFC 5356 with some values.
pub(crate) fn policy(number: u32, value: u32, degradation: u32) -> Policy {
    let (load, degradation) = (Load(value), Load(degradation));
    match number {
        0 => Policy::RoundRobin,
        1 => Policy::WeightedRoundRobin { weight: value },
        2 => Policy::Random,
        3 => Policy::WeightedRandom { weight: value },
        4 => Policy::Priority { priority: value },
        5 => Policy::LeastUsed { load },
        6 => Policy::LeastUsedDegradation { load, degradation },
        7 => Policy::PriorityLeastUsed { load, degradation },
        _ => Policy::RandomizedLeastUsed { load },
    }
}

/// How many policies [`policy`] knows.
pub(crate) const POLICIES: u32 = 9;

pub(crate) struct NaiveElement {
    pub(crate) element: PoolElement,
    pub(crate) suspect: bool,
    /// LUD (§5.2.2).
    pub(crate) counter: u64,
    /// Smooth weighted round robin: how far the element is behind its share.
    pub(crate) behind: i128,
}

/// A circular list whose first is the head.
pub(crate) struct NaivePool {
    pub(crate) policy: Policy,
    pub(crate) transport: Transport,
    pub(crate) list: Vec<NaiveElement>,
}

#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) pools: BTreeMap<PoolHandle, NaivePool>,
}

fn same_policy(a: &Policy, b: &Policy) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn same_transport(a: &Transport, b: &Transport) -> bool {
    match (a, b) {
        (Transport::Sctp(a), Transport::Sctp(b)) => a.transport_use == b.transport_use,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

impl NaivePool {
    pub(crate) fn contradicts(&self, element: &PoolElement) -> bool {
        !same_policy(&self.policy, &element.policy)
            || !same_transport(&self.transport, &element.user_transport)
    }

    /// Weight in the weighted policies; a contradicting element has the default, 1.
    fn weight(&self, entry: &NaiveElement) -> u64 {
        match entry.element.policy {
            _ if self.contradicts(&entry.element) => 1,
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => weight.into(),
            Policy::RandomizedLeastUsed { load } => u64::from(0xffff_ffff - load.0),
            _ => 1,
        }
    }

    /// What the sorted policies sort by, ascending.
    pub(crate) fn cost(&self, entry: &NaiveElement) -> i128 {
        let wide = |load: Load| i128::from(load.0);
        match entry.element.policy {
            _ if self.contradicts(&entry.element) => 0,
            Policy::Priority { priority } => -i128::from(priority),
            Policy::LeastUsed { load } => wide(load),
            Policy::LeastUsedDegradation { load, degradation } => {
                wide(load) + i128::from(entry.counter) * wide(degradation)
            }
            Policy::PriorityLeastUsed { load, degradation } => wide(load) + wide(degradation),
            _ => 0,
        }
    }

    /// The place of the element's group in an answer: weight 0, then suspect, then contradicting.
    pub(crate) fn group(&self, entry: &NaiveElement) -> (bool, bool, bool) {
        (self.weight(entry) == 0, entry.suspect, self.contradicts(&entry.element))
    }

    fn move_to_end(&mut self, id: PeIdentifier) {
        let index = self.list.iter().position(|entry| entry.element.id == id).unwrap();
        let entry = self.list.remove(index);
        self.list.push(entry);
    }

    /// Elements of weight 0 take part only if there are no others.
    pub(crate) fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, entry) in self.list.iter().enumerate() {
            groups.entry(self.group(entry)).or_default().push(index);
        }
        if groups.keys().any(|(drained, ..)| !drained) {
            groups.retain(|(drained, ..), _| !drained);
        }
        groups.into_values().collect()
    }

    pub(crate) fn select(&mut self, count: usize, rng: &mut impl Rng) -> Vec<PeIdentifier> {
        let mut chosen = Vec::new();
        for number in 0..self.groups().len() {
            // Anew each time: choosing from one group moves elements of the list.
            let group = self.groups().swap_remove(number);
            let count = count - chosen.len();
            if count == 0 {
                break;
            }
            chosen.extend(match self.policy {
                Policy::WeightedRoundRobin { .. } => self.select_weighted_round_robin(group, count),
                Policy::Random | Policy::WeightedRandom { .. } | Policy::RandomizedLeastUsed { .. } => {
                    self.select_random(group, count, rng)
                }
                _ => self.select_sorted(group, count),
            });
        }
        chosen
    }

    fn select_sorted(&mut self, mut group: Vec<usize>, count: usize) -> Vec<PeIdentifier> {
        group.sort_by_key(|&index| self.cost(&self.list[index]));
        group.truncate(count);
        let id = |index: usize| self.list[index].element.id;
        let chosen: Vec<_> = group.iter().map(|&index| id(index)).collect();
        // The head advances by one among equals.
        let mut to_the_end = Vec::new();
        for equals in group.chunk_by(|&a, &b| self.cost(&self.list[a]) == self.cost(&self.list[b])) {
            if matches!(self.policy, Policy::LeastUsedDegradation { .. }) {
                to_the_end.extend(equals[1..].iter().map(|&index| id(index)));
            }
            to_the_end.push(id(equals[0]));
        }
        for index in group {
            self.list[index].counter += 1;
        }
        for id in to_the_end {
            self.move_to_end(id);
        }
        chosen
    }

    fn select_random(&self, mut group: Vec<usize>, count: usize, rng: &mut impl Rng) -> Vec<PeIdentifier> {
        let mut chosen = Vec::new();
        while chosen.len() < count && !group.is_empty() {
            let weights: Vec<u64> = group.iter().map(|&index| self.weight(&self.list[index])).collect();
            let total: u64 = weights.iter().sum();
            let position = if total == 0 {
                rng.random_range(0..group.len())
            } else {
                let mut target = rng.random_range(0..total);
                weights
                    .iter()
                    .position(|&weight| {
                        let here = target < weight;
                        target = target.wrapping_sub(weight);
                        here
                    })
                    .unwrap()
            };
            chosen.push(self.list[group.remove(position)].element.id);
        }
        chosen
    }

    fn select_weighted_round_robin(&mut self, mut group: Vec<usize>, count: usize) -> Vec<PeIdentifier> {
        let total: i128 = group.iter().map(|&index| i128::from(self.weight(&self.list[index]).max(1))).sum();
        for &index in &group {
            self.list[index].behind += i128::from(self.weight(&self.list[index]).max(1));
        }
        group.sort_by_key(|&index| -self.list[index].behind);
        group.truncate(count);
        self.list[group[0]].behind -= total;
        group.into_iter().map(|index| self.list[index].element.id).collect()
    }
}

impl Naive {
    /// RFC 5352 §3.1: whether an element may register.
    pub(crate) fn fits(&self, handle: &PoolHandle, element: &PoolElement) -> bool {
        self.pools.get(handle).is_none_or(|pool| !pool.contradicts(element))
    }

    pub(crate) fn store(&mut self, handle: &PoolHandle, element: PoolElement) {
        let pool = self.pools.entry(handle.clone()).or_insert_with(|| NaivePool {
            policy: element.policy.clone(),
            transport: element.user_transport.clone(),
            list: Vec::new(),
        });
        let id = element.id;
        let Some(index) = pool.list.iter().position(|entry| entry.element.id == id) else {
            return pool.list.push(NaiveElement { element, suspect: false, counter: 0, behind: 0 });
        };
        let standing = |pool: &NaivePool| (pool.group(&pool.list[index]), pool.cost(&pool.list[index]));
        let before = standing(pool);
        pool.list[index].element = element;
        pool.list[index].counter = 0;
        if standing(pool) != before {
            pool.move_to_end(id);
        }
    }

    pub(crate) fn remove(&mut self, handle: &PoolHandle, id: PeIdentifier) {
        let Some(pool) = self.pools.get_mut(handle) else { return };
        pool.list.retain(|entry| entry.element.id != id);
        if pool.list.is_empty() {
            self.pools.remove(handle);
        }
    }

    pub(crate) fn set_suspect(&mut self, handle: &PoolHandle, id: PeIdentifier, suspect: bool) {
        let Some(pool) = self.pools.get_mut(handle) else { return };
        let Some(entry) = pool.list.iter_mut().find(|entry| entry.element.id == id) else { return };
        if std::mem::replace(&mut entry.suspect, suspect) != suspect {
            pool.move_to_end(id);
        }
    }

    pub(crate) fn set_home(&mut self, handle: &PoolHandle, id: PeIdentifier, home: RegistrarId) {
        let Some(pool) = self.pools.get_mut(handle) else { return };
        let Some(entry) = pool.list.iter_mut().find(|entry| entry.element.id == id) else { return };
        entry.element.home = home;
    }

    /// All elements by handle, then identifier.
    pub(crate) fn elements(&self) -> Vec<(&PoolHandle, &PoolElement)> {
        let mut all = Vec::new();
        for (handle, pool) in &self.pools {
            let mut elements: Vec<_> = pool.list.iter().map(|entry| &entry.element).collect();
            elements.sort_by_key(|element| element.id);
            all.extend(elements.into_iter().map(|element| (handle, element)));
        }
        all
    }

    /// RFC 5353 §3.6.2 over the concatenated blocks, with end-around carry at each step (RFC 1071).
    pub(crate) fn checksum(&self, home: RegistrarId) -> u16 {
        let mut bytes = Vec::new();
        for (handle, element) in self.elements() {
            if element.home == home {
                bytes.extend(handle.as_bytes());
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                bytes.extend(element.id.0.to_be_bytes());
            }
        }
        let mut sum = 0u32;
        for word in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}
