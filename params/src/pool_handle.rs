//! The name of a pool: any bytes (RFC 5354 §3.9, ambiguity A-05).

use crate::wire::{Encoder, HEADER, Parameter, padded};
use crate::{EncodeError, ParameterType};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The name of a pool, a byte string compared byte by byte. Cloning is cheap.
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |          Type = 0x9           |            Length             |
/// +-------------------------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// ```
///
/// `Display` shows it as text with `\xNN` escapes for what is not printable ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolHandle(Arc<[u8]>);

impl PoolHandle {
    /// A handle of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    /// The bytes, as they stand on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        HEADER + padded(self.0.len())
    }

    /// Reads the parameter.
    pub fn decode(parameter: &Parameter<'_>) -> Self {
        Self::new(parameter.value().bytes())
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::POOL_HANDLE, |encoder| {
            encoder.bytes(&self.0);
            Ok(())
        })
    }
}

impl Borrow<[u8]> for PoolHandle {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for PoolHandle {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for PoolHandle {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for PoolHandle {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<&[u8]> for PoolHandle {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl From<&PoolHandle> for PoolHandle {
    fn from(handle: &PoolHandle) -> Self {
        handle.clone()
    }
}

impl fmt::Display for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
