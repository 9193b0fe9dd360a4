//! The schedules that put the elements of a pool in order (RFC 5356).

mod ordered;
mod random;
mod weighted_random;
mod weighted_round_robin;

use crate::entry::Entries;
use crate::policy::{Discipline, discipline};
use crate::slab::Slot;
use ordered::Ordered;
use params::Policy;
use rand::Rng;
use random::Random;
use weighted_random::WeightedRandom;
use weighted_round_robin::WeightedRoundRobin;

/// The order of one group of a pool.
#[derive(Debug)]
pub(crate) enum Schedule {
    Ordered(Ordered),
    Random(Random),
    WeightedRoundRobin(WeightedRoundRobin),
    WeightedRandom(WeightedRandom),
}

/// How a selection changes what comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// Each selected element counts it (RFC 5356 §5.2.2).
    pub(crate) degrades: bool,
    /// How far round robin advances at most (ambiguity A-73).
    pub(crate) max_increment: usize,
}

macro_rules! each {
    ($self:ident, $schedule:ident => $body:expr) => {
        match $self {
            Schedule::Ordered($schedule) => $body,
            Schedule::Random($schedule) => $body,
            Schedule::WeightedRoundRobin($schedule) => $body,
            Schedule::WeightedRandom($schedule) => $body,
        }
    };
}

impl Schedule {
    pub(crate) fn new(policy: &Policy) -> Self {
        match discipline(policy) {
            Discipline::Ordered => Self::Ordered(Ordered::default()),
            Discipline::Random => Self::Random(Random::default()),
            Discipline::WeightedRoundRobin => Self::WeightedRoundRobin(WeightedRoundRobin::default()),
            Discipline::WeightedRandom => Self::WeightedRandom(WeightedRandom::default()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        each!(self, schedule => schedule.is_empty())
    }

    /// Adds an element: its turn comes last among equals.
    pub(crate) fn insert(&mut self, entries: &mut Entries, slot: Slot) {
        each!(self, schedule => schedule.insert(entries, slot));
    }

    pub(crate) fn remove(&mut self, entries: &mut Entries, slot: Slot) {
        each!(self, schedule => schedule.remove(entries, slot));
    }

    /// After a change of the element's values.
    pub(crate) fn update(&mut self, entries: &mut Entries, slot: Slot) {
        match self {
            Self::Ordered(schedule) => schedule.update(entries, slot),
            Self::Random(_) => {}
            Self::WeightedRoundRobin(schedule) => schedule.update(entries, slot),
            Self::WeightedRandom(schedule) => schedule.update(entries, slot),
        }
    }

    /// Appends up to `count` elements to `chosen` and counts them as selected.
    pub(crate) fn select(
        &mut self,
        entries: &mut Entries,
        count: usize,
        round: Round,
        rng: &mut (impl Rng + ?Sized),
        chosen: &mut Vec<Slot>,
    ) {
        if count == 0 {
            return;
        }
        match self {
            Self::Ordered(schedule) => schedule.select(entries, count, round, chosen),
            Self::Random(schedule) => schedule.select(count, rng, chosen),
            Self::WeightedRoundRobin(schedule) => schedule.select(entries, count, chosen),
            Self::WeightedRandom(schedule) => schedule.select(entries, count, round, rng, chosen),
        }
    }

    /// All elements in their present order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = Slot> + '_> {
        each!(self, schedule => Box::new(schedule.iter()))
    }
}
