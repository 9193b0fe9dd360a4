//! Pool member selection policies (RFC 5354 §3.8, RFC 5356).

use crate::wire::{Encoder, HEADER, Parameter, padded};
use crate::{DecodeError, EncodeError, ParameterType};
use std::fmt;

/// The number of a policy (RFC 5356 §7.1). Unknown numbers survive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyType(pub u32);

/// A load or a load degradation as a fraction: 0 is idle, `u32::MAX` is 100 % (RFC 5356 §5.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Load(pub u32);

/// A pool member selection policy with the values of one pool element.
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |          Type = 0x8           |            Length             |
/// +-------------------------------+-------------------------------+
/// |                          Policy Type                          |
/// +---------------------------------------------------------------+
/// :      policy-specific: each field of the variant, 32 bits      :
/// +---------------------------------------------------------------+
/// ```
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
    /// Randomized Priority Least Used: rsplib, private 0xb0001001.
    RandomizedPriorityLeastUsed {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// Randomized Least Used with Degradation: rsplib, private 0xb0001002.
    RandomizedLeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// Priority Least Used with Degradation: rsplib, private 0xb0001003.
    PriorityLeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// Randomized Priority Least Used with Degradation: rsplib, private 0xb0001004.
    RandomizedPriorityLeastUsedDegradation {
        /** Current load. */
        load: Load,
        /** Load degradation. */
        degradation: Load,
    },
    /// Weighted Random with Distance Penalty Factor: rsplib, private 0xb0002001.
    WeightedRandomDpf {
        /** Weight. */
        weight: u32,
        /** Distance penalty factor. */
        weight_dpf: u32,
        /** Milliseconds. */
        distance: u32,
    },
    /// Least Used with Distance Penalty Factor: rsplib, private 0xb0002002.
    LeastUsedDpf {
        /** Current load. */
        load: Load,
        /** Distance penalty factor. */
        load_dpf: u32,
        /** Milliseconds. */
        distance: u32,
    },
    /// Least Used with Degradation and Distance Penalty Factor: rsplib, private 0xb0002003.
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
        value: Box<[u8]>,
    },
}

impl PolicyType {
    /// Whether this crate knows the policy, so that [`Policy`] has a variant for it.
    pub fn is_known(self) -> bool {
        self.name().is_some()
    }
}

/// What a 32-bit field of a policy holds.
trait Field: Copy {
    fn from_wire(value: u32) -> Self;
    fn to_wire(self) -> u32;
}

impl Field for u32 {
    fn from_wire(value: u32) -> Self {
        value
    }
    fn to_wire(self) -> u32 {
        self
    }
}

impl Field for Load {
    fn from_wire(value: u32) -> Self {
        Self(value)
    }
    fn to_wire(self) -> u32 {
        self.0
    }
}

/// The table of the policies: number, name, variant with its fields in the order of the wire.
macro_rules! policies {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal
        => $variant:ident $({ $($field:ident),* })?;)*) => {
        impl PolicyType {
            $($(#[$doc])* pub const $constant: Self = Self($number);)*

            /// Its name in lower case with underscores, if it is known.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$constant => Some($name),)*
                    _ => None,
                }
            }
        }

        impl Policy {
            /// Its number.
            pub fn policy_type(&self) -> PolicyType {
                match self {
                    $(Self::$variant { .. } => PolicyType::$constant,)*
                    Self::Opaque { policy_type, .. } => *policy_type,
                }
            }

            /// Reads the parameter. A policy that this crate knows must have exactly its fields.
            pub fn decode(parameter: &Parameter<'_>) -> Result<Self, DecodeError> {
                let mut value = parameter.value();
                let number = value.u32().ok_or_else(|| parameter.invalid("too short for a Policy Type"))?;
                let policy = match PolicyType(number) {
                    $(PolicyType::$constant => {
                        $($(let $field = value.u32().ok_or_else(|| parameter.invalid("too short"))?;)*)?
                        Self::$variant $({ $($field: Field::from_wire($field)),* })?
                    })*
                    policy_type => {
                        return Ok(Self::Opaque { policy_type, value: value.bytes().into() });
                    }
                };
                if value.bytes().is_empty() { Ok(policy) } else { Err(parameter.invalid("too long")) }
            }

            /// Octets of the parameter with its padding.
            pub fn encoded_length(&self) -> usize {
                HEADER + 4 + match self {
                    $(Self::$variant { .. } => 4 * (0 $($(+ { let _ = stringify!($field); 1 })*)?),)*
                    Self::Opaque { value, .. } => padded(value.len()),
                }
            }

            fn encode_fields(&self, encoder: &mut Encoder) {
                match self {
                    $(Self::$variant $({ $($field),* })? => { $($(encoder.u32($field.to_wire());)*)? })*
                    Self::Opaque { value, .. } => encoder.bytes(value),
                }
            }
        }
    };
}
policies! {
    /// Round Robin (RFC 5356 §4.1).
    ROUND_ROBIN = 0x1, "round_robin" => RoundRobin;
    /// Weighted Round Robin (RFC 5356 §4.2).
    WEIGHTED_ROUND_ROBIN = 0x2, "weighted_round_robin" => WeightedRoundRobin { weight };
    /// Random (RFC 5356 §4.3).
    RANDOM = 0x3, "random" => Random;
    /// Weighted Random (RFC 5356 §4.4).
    WEIGHTED_RANDOM = 0x4, "weighted_random" => WeightedRandom { weight };
    /// Priority (RFC 5356 §4.5).
    PRIORITY = 0x5, "priority" => Priority { priority };
    /// Least Used (RFC 5356 §5.1).
    LEAST_USED = 0x4000_0001, "least_used" => LeastUsed { load };
    /// Least Used with Degradation (RFC 5356 §5.2).
    LEAST_USED_DEGRADATION = 0x4000_0002, "least_used_degradation" => LeastUsedDegradation { load, degradation };
    /// Priority Least Used (RFC 5356 §5.3).
    PRIORITY_LEAST_USED = 0x4000_0003, "priority_least_used" => PriorityLeastUsed { load, degradation };
    /// Randomized Least Used (RFC 5356 §5.4).
    RANDOMIZED_LEAST_USED = 0x4000_0004, "randomized_least_used" => RandomizedLeastUsed { load };
    /// rsplib, private.
    RANDOMIZED_PRIORITY_LEAST_USED = 0xb000_1001, "randomized_priority_least_used" => RandomizedPriorityLeastUsed { load, degradation };
    /// rsplib, private.
    RANDOMIZED_LEAST_USED_DEGRADATION = 0xb000_1002, "randomized_least_used_degradation" => RandomizedLeastUsedDegradation { load, degradation };
    /// rsplib, private.
    PRIORITY_LEAST_USED_DEGRADATION = 0xb000_1003, "priority_least_used_degradation" => PriorityLeastUsedDegradation { load, degradation };
    /// rsplib, private.
    RANDOMIZED_PRIORITY_LEAST_USED_DEGRADATION = 0xb000_1004, "randomized_priority_least_used_degradation" => RandomizedPriorityLeastUsedDegradation { load, degradation };
    /// rsplib, private.
    WEIGHTED_RANDOM_DPF = 0xb000_2001, "weighted_random_dpf" => WeightedRandomDpf { weight, weight_dpf, distance };
    /// rsplib, private.
    LEAST_USED_DPF = 0xb000_2002, "least_used_dpf" => LeastUsedDpf { load, load_dpf, distance };
    /// rsplib, private.
    LEAST_USED_DEGRADATION_DPF = 0xb000_2003, "least_used_degradation_dpf" => LeastUsedDegradationDpf { load, degradation, load_dpf, distance };
}

impl Load {
    /// The load of a server that uses so much of its capacity; more than that, or no capacity, is 100 %.
    pub fn of(used: u64, capacity: u64) -> Self {
        let load = u128::from(used) * u128::from(u32::MAX) / u128::from(capacity.max(1));
        Self(u32::try_from(load).unwrap_or(u32::MAX))
    }
}

impl Policy {
    /// The load, if the policy goes by one.
    pub fn load(&self) -> Option<Load> {
        self.clone().load_mut().map(|load| *load)
    }

    /// Changes the load. Whether the policy goes by one.
    pub fn set_load(&mut self, load: Load) -> bool {
        self.load_mut().map(|value| *value = load).is_some()
    }

    fn load_mut(&mut self) -> Option<&mut Load> {
        match self {
            Self::LeastUsed { load }
            | Self::LeastUsedDegradation { load, .. }
            | Self::PriorityLeastUsed { load, .. }
            | Self::RandomizedLeastUsed { load }
            | Self::RandomizedPriorityLeastUsed { load, .. }
            | Self::RandomizedLeastUsedDegradation { load, .. }
            | Self::PriorityLeastUsedDegradation { load, .. }
            | Self::RandomizedPriorityLeastUsedDegradation { load, .. }
            | Self::LeastUsedDpf { load, .. }
            | Self::LeastUsedDegradationDpf { load, .. } => Some(load),
            Self::RoundRobin
            | Self::WeightedRoundRobin { .. }
            | Self::Random
            | Self::WeightedRandom { .. }
            | Self::Priority { .. }
            | Self::WeightedRandomDpf { .. }
            | Self::Opaque { .. } => None,
        }
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::POLICY, |encoder| {
            encoder.u32(self.policy_type().0);
            self.encode_fields(encoder);
            Ok(())
        })
    }
}

impl fmt::Display for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(&name.replace('_', " ")),
            None => write!(f, "policy 0x{:08x}", self.0),
        }
    }
}

impl fmt::Debug for PolicyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyType(0x{:08x})", self.0)
    }
}
