//! Which hosts a cut has parted, and since when: what the mass-failure guard has to see (design D9).

use crate::cuts::Cut;
use crate::network::HostId;
use proto::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A cut that nothing passes in either direction.
#[derive(Debug)]
pub struct Isolation {
    /// Since when.
    pub at: Time,
    cut: Cut,
    /// With whom nothing was wrong until then.
    well: BTreeSet<HostId>,
}

impl Isolation {
    /// Whether two hosts do not reach each other for it.
    pub fn parts(&self, one: HostId, other: HostId) -> bool {
        self.cut.parts(one, other)
    }

    /// Whether nothing was wrong with a host until then.
    pub fn was_well(&self, host: HostId) -> bool {
        self.well.contains(&host)
    }
}

/// Those of the moment, by the numbers of the cuts.
#[derive(Debug, Default)]
pub struct Isolations(BTreeMap<u32, Isolation>);

impl Isolations {
    /// The network is cut; nothing was wrong with the hosts that are `well` until now.
    pub fn insert(&mut self, at: Time, number: u32, cut: &Cut, well: BTreeSet<HostId>) {
        if cut.both_ways {
            self.0.insert(number, Isolation { at, cut: cut.clone(), well });
        }
    }

    /// A cut is mended.
    pub fn remove(&mut self, number: u32) {
        self.0.remove(&number);
    }

    /// Those between two hosts that are younger than this.
    pub fn between(
        &self,
        one: HostId,
        other: HostId,
        now: Time,
        age: Duration,
    ) -> impl Iterator<Item = &Isolation> {
        let between = move |isolation: &&Isolation| isolation.parts(one, other) && now < isolation.at + age;
        self.0.values().filter(between)
    }
}
