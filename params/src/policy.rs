//! Pool member selection policies (RFC 5354 §3.8, RFC 5356).

use bytes::Bytes;

/// The number of a policy (RFC 5356 §7.1). Unknown numbers survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyType(pub u32);

/// A load or a load degradation as a fraction: 0 is idle, `u32::MAX` is 100 % (RFC 5356 §5.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Load(pub u32);

/// A pool member selection policy with the values of one pool element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Round Robin (RFC 5356 §4.1).
    RoundRobin,
    /// Weighted Round Robin (RFC 5356 §4.2).
    WeightedRoundRobin {
        /** Share relative to the other elements; 0 = no service. */
        weight: u32,
    },
    /// Random (RFC 5356 §4.3).
    Random,
    /// Weighted Random (RFC 5356 §4.4).
    WeightedRandom {
        /** Share relative to the other elements; 0 = no service. */
        weight: u32,
    },
    /// Priority (RFC 5356 §4.5): the largest number is preferred.
    Priority {
        /** Larger is preferred. */
        priority: u32,
    },
    /// Least Used (RFC 5356 §5.1).
    LeastUsed {
        /** Current load. */
        load: Load,
    },
    /// Least Used with Degradation (RFC 5356 §5.2).
    LeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Added per selection. */
        degradation: Load,
    },
    /// Priority Least Used (RFC 5356 §5.3).
    PriorityLeastUsed {
        /** Current load. */
        load: Load,
        /** Added when comparing. */
        degradation: Load,
    },
    /// Randomized Least Used (RFC 5356 §5.4).
    RandomizedLeastUsed {
        /** Current load. */
        load: Load,
    },
    /// rsplib, private 0xb0001001.
    RandomizedPriorityLeastUsed {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// rsplib, private 0xb0001002.
    RandomizedLeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// rsplib, private 0xb0001003.
    PriorityLeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// rsplib, private 0xb0001004.
    RandomizedPriorityLeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// rsplib, private 0xb0002001.
    WeightedRandomDpf {
        /** Weight. */
        weight: u32,
        /** Distance penalty factor. */
        weight_dpf: u32,
        /** Milliseconds. */
        distance: u32,
    },
    /// rsplib, private 0xb0002002.
    LeastUsedDpf {
        /** Current load. */
        load: Load,
        /** Distance penalty factor. */
        load_dpf: u32,
        /** Milliseconds. */
        distance: u32,
    },
    /// rsplib, private 0xb0002003.
    LeastUsedDegradationDpf {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
        /** Distance penalty factor. */
        load_dpf: u32,
        /** Milliseconds. */
        distance: u32,
    },
    /// A policy this crate does not know: kept as it came.
    Opaque {
        /** Its number. */
        policy_type: PolicyType,
        /** What follows the number. */
        value: Bytes,
    },
}
