//! What the schedules need to know of a policy: which of them serves it, and the number that an element's
//! values come to in it (RFC 5356 §4, §5).
//!
//! rsplib's private policies are served as rsplib does, except that Weighted Random DPF ignores the distance.

use params::{Load, Policy};

/// The most elements an answer lists by default (ambiguity A-49).
pub const ANSWER_LIMIT: usize = 128;

/// How many elements of a weighted policy an answer lists by default: with all of them listed, pool users that
/// choose from their cache would not follow the weights (ambiguity A-75).
const WEIGHTED_ANSWER: usize = 3;

/// The load of a fully utilised element.
const FULL: u64 = u32::MAX as u64;

/// The kind of schedule that serves a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discipline {
    /// Ascending by [`cost`], round robin among equals.
    Ordered,
    /// Any, with equal chances.
    Random,
    /// Weighted Round Robin.
    WeightedRoundRobin,
    /// Drawn with a probability proportional to [`weight`].
    WeightedRandom,
}

/// Unknown policies are served by Round Robin (ambiguity A-78).
pub(crate) fn discipline(policy: &Policy) -> Discipline {
    match policy {
        Policy::WeightedRoundRobin { .. } => Discipline::WeightedRoundRobin,
        Policy::Random => Discipline::Random,
        Policy::WeightedRandom { .. }
        | Policy::WeightedRandomDpf { .. }
        | Policy::RandomizedLeastUsed { .. }
        | Policy::RandomizedPriorityLeastUsed { .. }
        | Policy::RandomizedLeastUsedDegradation { .. }
        | Policy::RandomizedPriorityLeastUsedDegradation { .. } => Discipline::WeightedRandom,
        Policy::RoundRobin
        | Policy::Priority { .. }
        | Policy::LeastUsed { .. }
        | Policy::LeastUsedDegradation { .. }
        | Policy::PriorityLeastUsed { .. }
        | Policy::PriorityLeastUsedDegradation { .. }
        | Policy::LeastUsedDpf { .. }
        | Policy::LeastUsedDegradationDpf { .. }
        | Policy::Opaque { .. } => Discipline::Ordered,
    }
}

/// Whether each selection counts against the element (RFC 5356 §5.2.2: the degradation counter).
pub(crate) fn degrades(policy: &Policy) -> bool {
    matches!(
        policy,
        Policy::LeastUsedDegradation { .. }
            | Policy::PriorityLeastUsedDegradation { .. }
            | Policy::LeastUsedDegradationDpf { .. }
            | Policy::RandomizedLeastUsedDegradation { .. }
            | Policy::RandomizedPriorityLeastUsedDegradation { .. }
    )
}

/// How many elements an answer lists unless the request says otherwise (ambiguity A-49).
pub(crate) fn default_count(policy: &Policy) -> usize {
    match discipline(policy) {
        Discipline::Ordered | Discipline::Random => ANSWER_LIMIT,
        Discipline::WeightedRoundRobin | Discipline::WeightedRandom => WEIGHTED_ANSWER,
    }
}

/// What an element costs in an ordered policy after so many selections; the cheapest comes first.
pub(crate) fn cost(policy: &Policy, selections: u64) -> u64 {
    let times = |Load(degradation): Load| selections.saturating_mul(degradation.into());
    let sum = |Load(load): Load, more: u64| u64::from(load).saturating_add(more);
    let distant = |Load(load): Load, Load(dpf): Load, distance: u32| {
        (u64::from(load)).saturating_add(u64::from(dpf) * u64::from(distance)).min(FULL)
    };
    match *policy {
        Policy::Priority { priority } => (!priority).into(),
        Policy::LeastUsed { load } => sum(load, 0),
        Policy::LeastUsedDegradation { load, degradation } => sum(load, times(degradation)),
        Policy::PriorityLeastUsed { load, degradation } => sum(load, degradation.0.into()),
        Policy::PriorityLeastUsedDegradation { load, degradation } => {
            sum(load, times(degradation)).saturating_add(degradation.0.into())
        }
        Policy::LeastUsedDpf { load, load_dpf, distance } => distant(load, Load(load_dpf), distance),
        Policy::LeastUsedDegradationDpf { load, degradation, load_dpf, distance } => {
            distant(load, Load(load_dpf), distance).saturating_add(times(degradation))
        }
        _ => 0,
    }
}

/// The share of an element in a weighted policy after so many selections; 0 means "no service" (RFC 5356 §3.2).
/// In policies without weights it is 1.
pub(crate) fn weight(policy: &Policy, selections: u64) -> u32 {
    let times = |Load(degradation): Load| selections.saturating_mul(degradation.into());
    // Degradation alone never excludes an element.
    let unload = |used: u64| FULL.saturating_sub(used).max(1) as u32;
    match *policy {
        Policy::WeightedRoundRobin { weight }
        | Policy::WeightedRandom { weight }
        | Policy::WeightedRandomDpf { weight, .. } => weight,
        Policy::RandomizedLeastUsed { load } => u32::MAX - load.0,
        Policy::RandomizedPriorityLeastUsed { load, degradation } => {
            unload(u64::from(load.0) + u64::from(degradation.0))
        }
        Policy::RandomizedLeastUsedDegradation { load, degradation } => {
            unload(u64::from(load.0).saturating_add(times(degradation)))
        }
        Policy::RandomizedPriorityLeastUsedDegradation { load, degradation } => {
            let used = u64::from(load.0) + u64::from(degradation.0);
            unload(used.saturating_add(times(degradation)))
        }
        _ => 1,
    }
}

/// Whether two policies have the same type, whatever their values.
pub(crate) fn same_type(a: &Policy, b: &Policy) -> bool {
    match (a, b) {
        (Policy::Opaque { policy_type: a, .. }, Policy::Opaque { policy_type: b, .. }) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // POL-5.2-07: no sum wraps.
    #[test]
    fn sums_saturate() {
        let full = Load(u32::MAX);
        let degrading = Policy::LeastUsedDegradation { load: full, degradation: full };
        assert_eq!(cost(&degrading, 1 << 32), u64::MAX);
        assert_eq!(cost(&degrading, u64::MAX), u64::MAX);
        assert_eq!(weight(&Policy::RandomizedLeastUsedDegradation { load: full, degradation: full }, 9), 1);
    }

    // POL-5.3-05: sums of 33 bits compare correctly.
    #[test]
    fn priority_least_used_needs_33_bits() {
        let sum = |load, degradation| {
            cost(&Policy::PriorityLeastUsed { load: Load(load), degradation: Load(degradation) }, 0)
        };
        assert_eq!(sum(u32::MAX, u32::MAX), 0x1_ffff_fffe);
        assert!(sum(u32::MAX, 1) > sum(u32::MAX, 0));
    }

    // rsplib: load + distance (ms) × DPF × 0xffffffff, at most 0xffffffff; the field is DPF × 0xffffffff.
    #[test]
    fn distance_penalty() {
        let far = |distance| cost(&Policy::LeastUsedDpf { load: Load(10), load_dpf: 3, distance }, 0);
        assert_eq!((far(0), far(50), far(u32::MAX)), (10, 160, FULL));
    }
}
