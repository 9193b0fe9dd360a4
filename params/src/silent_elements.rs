//! The Silent Elements parameter, which is ours.

use crate::wire::{Encoder, HEADER, Parameter, padded};
use crate::{DecodeError, EncodeError, ParameterType, PoolHandle};

/// How many elements of a pool a registrar does not hear any more, without knowing why.
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |         Type = 0x8e53         |            Length             |
/// +-------------------------------+-------------------------------+
/// |                       Number of elements                      |
/// +---------------------------------------------------------------+
/// :               Pool Handle (none: all other pools)             :
/// +---------------------------------------------------------------+
/// ```
///
/// No parameter of the RFCs. Its action bits are 10, so who does not know it skips it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilentElements {
    /// The pool; [`Self::OTHERS`]: those that there was no room to name.
    pub handle: PoolHandle,
    /// How many elements; of [`Self::OTHERS`] how many pools.
    pub elements: u32,
}

impl SilentElements {
    /// No pool's handle: there are more pools with silent elements than could be told.
    pub const OTHERS: &[u8] = b"";

    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        HEADER + 4 + padded(self.handle.as_bytes().len())
    }

    /// Reads the parameter.
    pub fn decode(parameter: &Parameter<'_>) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let elements =
            value.u32().ok_or_else(|| parameter.invalid("too short for the number of elements"))?;
        Ok(Self { handle: PoolHandle::new(value.bytes()), elements })
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::SILENT_ELEMENTS, |encoder| {
            encoder.u32(self.elements);
            encoder.bytes(self.handle.as_bytes());
            Ok(())
        })
    }
}
