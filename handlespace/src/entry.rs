//! One element with what its pool's schedule keeps of it.

use crate::policy;
use crate::slab::Slab;
use params::{PeIdentifier, Policy, PoolElement, RegistrarId, RegistrationLife, Transport};

pub(crate) type Entries = Slab<Entry>;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) element: PoolElement,
    pub(crate) suspect: bool,
    /// In how many answers since its last registration (RFC 5356 §5.2.2, the degradation counter).
    pub(crate) selections: u32,
    pub(crate) rank: Rank,
    pub(crate) place: Place,
}

/// The groups of a pool, in the order of an answer; each has a schedule of its own.
///
/// The drained ones are listed only if there are no others (ambiguity A-72).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Regular,
    /// Contradicts the pool's policy or transport, with default values (ambiguity A-61).
    Contradicting,
    Suspect,
    SuspectContradicting,
    /// Weight 0: no service.
    Drained,
    SuspectDrained,
}

impl Rank {
    pub(crate) fn is_contradicting(self) -> bool {
        matches!(self, Self::Contradicting | Self::SuspectContradicting)
    }

    pub(crate) fn is_drained(self) -> bool {
        matches!(self, Self::Drained | Self::SuspectDrained)
    }
}

/// A virtual time in two halves: the alignment of a whole one would widen every entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VirtualTime([u64; 2]);

impl From<u128> for VirtualTime {
    fn from(time: u128) -> Self {
        Self([(time >> 64) as u64, time as u64])
    }
}

impl From<VirtualTime> for u128 {
    fn from(VirtualTime([high, low]): VirtualTime) -> Self {
        Self::from(high) << 64 | Self::from(low)
    }
}

/// Where an element stands in its schedule: the part of the schedule's key that cannot be computed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Place {
    #[default]
    None,
    Ordered {
        cost: u64,
        turn: u64,
    },
    Occurrence {
        start: VirtualTime,
        weight: u32,
        turn: u64,
    },
    Position(u32),
}

/// What stands in a vacant place: nobody.
impl Default for Entry {
    fn default() -> Self {
        let element = PoolElement {
            id: PeIdentifier::default(),
            home: RegistrarId::NONE,
            life: RegistrationLife::INFINITE,
            user_transport: Transport::Opaque(Default::default()),
            policy: Policy::RoundRobin,
            asap_transport: None,
        };
        Self { element, suspect: false, selections: 0, rank: Rank::Regular, place: Place::None }
    }
}

impl Entry {
    pub(crate) fn cost(&self) -> u64 {
        if self.rank.is_contradicting() {
            return 0;
        }
        policy::cost(&self.element.policy, self.selections.into())
    }

    /// At least 1: the drained ones share what is left of the pool equally.
    pub(crate) fn weight(&self) -> u32 {
        if self.rank.is_contradicting() || self.rank.is_drained() {
            return 1;
        }
        policy::weight(&self.element.policy, self.selections.into())
    }
}
