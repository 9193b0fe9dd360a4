//! The 32-bit identifiers of pool elements and registrars (RFC 5354 §3.11, §3.14).

use crate::wire::{Encoder, HEADER, Parameter};
use crate::{DecodeError, EncodeError, ParameterType};
use std::fmt;

/// Identifies a pool element within its pool (PE Identifier, RFC 5354 §3.14). Zero means "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PeIdentifier(pub u32);

/// Identifies a registrar (ENRP server) within the operational scope (RFC 5353 §2). Zero means "unknown".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RegistrarId(pub u32);

impl PeIdentifier {
    /// Octets of the parameter.
    pub const ENCODED_LENGTH: usize = HEADER + 4;

    /// Reads the parameter.
    pub fn decode(parameter: &Parameter<'_>) -> Result<Self, DecodeError> {
        parameter.u32().map(Self)
    }

    /// Writes the parameter.
    ///
    /// ```text
    /// +-------------------------------+-------------------------------+
    /// |          Type = 0xe           |         Length = 0x8          |
    /// +-------------------------------+-------------------------------+
    /// |                         PE Identifier                         |
    /// +---------------------------------------------------------------+
    /// ```
    pub fn encode(self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::PE_IDENTIFIER, |encoder| {
            encoder.u32(self.0);
            Ok(())
        })
    }
}

impl RegistrarId {
    /// The identifier that names nobody: "every registrar" in a receiver field, "unknown" elsewhere.
    pub const NONE: RegistrarId = RegistrarId(0);
}

macro_rules! hexadecimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{:08x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(0x{:08x})"), self.0)
            }
        }
    )*};
}
hexadecimal!(PeIdentifier, RegistrarId);
