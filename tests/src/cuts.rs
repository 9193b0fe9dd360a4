//! Where the network is cut.

use crate::network::HostId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Hosts that other hosts do not reach.
#[derive(Clone, PartialEq, Eq)]
pub struct Cut {
    /// Nothing comes from these hosts…
    pub these: BTreeSet<HostId>,
    /// …to those.
    pub those: BTreeSet<HostId>,
    /// Nor the other way round.
    pub both_ways: bool,
}

impl Cut {
    /// Whether it is in the way from one host to another.
    pub fn parts(&self, from: HostId, to: HostId) -> bool {
        let parts = |from, to| self.these.contains(&from) && self.those.contains(&to);
        parts(from, to) || (self.both_ways && parts(to, from))
    }

    /// The hosts that feel it.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.these.union(&self.those).copied()
    }

    /// All ways that it closes.
    pub fn ways(&self) -> impl Iterator<Item = (HostId, HostId)> {
        let ways = self.these.iter().flat_map(|this| self.those.iter().map(move |that| (*this, *that)));
        ways.flat_map(|(this, that)| [Some((this, that)), self.both_ways.then_some((that, this))]).flatten()
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = if self.both_ways { "|" } else { "-|" };
        write!(f, "{:?} {arrow} {:?}", self.these, self.those)
    }
}

/// The cuts of the moment, by number. Few, each of many hosts.
#[derive(Clone, Debug, Default)]
pub struct Cuts(BTreeMap<u32, Cut>);

impl Cuts {
    /// One more.
    pub fn insert(&mut self, number: u32, cut: Cut) {
        self.0.insert(number, cut);
    }

    /// One less.
    pub fn remove(&mut self, number: u32) -> Option<Cut> {
        self.0.remove(&number)
    }

    /// Whether nothing is in the way from one host to another.
    pub fn passes(&self, from: HostId, to: HostId) -> bool {
        !self.0.values().any(|cut| cut.parts(from, to))
    }

    /// Whether a host feels any of them.
    pub fn concern(&self, host: HostId) -> bool {
        self.0.values().any(|cut| cut.these.contains(&host) || cut.those.contains(&host))
    }
}
