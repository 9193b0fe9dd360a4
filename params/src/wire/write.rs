//! Writing messages and parameters (RFC 5354 §3, §4).
//!
//! Padding is written before what follows it, never after what it belongs to. So no length field counts the padding
//! at its own end, which is the form we send (ambiguity A-01).

use crate::wire::HEADER;
use crate::{EncodeError, ParameterType};
use bytes::Bytes;

/// A length rounded up to the multiple of four at which the next parameter starts.
pub const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A message being written.
#[derive(Debug)]
pub struct Encoder {
    buffer: Vec<u8>,
}

impl Encoder {
    /// Starts a message; `capacity` octets are set aside for it.
    ///
    /// ```text
    /// +---------------+---------------+-------------------------------+
    /// |     Type      |     Flags     |        Message Length         |
    /// +---------------+---------------+-------------------------------+
    /// ```
    pub fn message(kind: u8, flags: u8, capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(padded(capacity.max(64)));
        buffer.extend_from_slice(&[kind, flags, 0, 0]);
        Self { buffer }
    }

    /// Appends two octets.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Appends four octets.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Appends octets.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.buffer.extend_from_slice(value);
    }

    /// Appends a parameter whose value `value` writes.
    ///
    /// ```text
    /// +-------------------------------+-------------------------------+
    /// |        Parameter Type         |       Parameter Length        |
    /// +-------------------------------+-------------------------------+
    /// :                        Parameter Value                        :
    /// +               +-----------------------------------------------+
    /// |               |                    Padding                    |
    /// +---------------+-----------------------------------------------+
    /// ```
    pub fn parameter(
        &mut self,
        kind: ParameterType,
        value: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.tlv(kind.0, value)
    }

    /// Appends a TLV, a parameter or an error cause.
    pub(crate) fn tlv(
        &mut self,
        kind: u16,
        value: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.pad();
        let start = self.buffer.len();
        let [high, low] = kind.to_be_bytes();
        self.buffer.extend_from_slice(&[high, low, 0, 0]);
        value(self)?;
        let length = self.buffer.len() - start;
        let field = u16::try_from(length).map_err(|_| EncodeError::ParameterTooLong(length))?;
        self.fill_in(start, field);
        Ok(())
    }

    /// Ends the message: fills in its length, pads it.
    pub fn finish(mut self) -> Result<Bytes, EncodeError> {
        let length = self.buffer.len();
        let field = u16::try_from(length).map_err(|_| EncodeError::MessageTooLong(length))?;
        self.fill_in(0, field);
        self.pad();
        Ok(self.buffer.into())
    }

    /// The octets of one parameter alone, without padding, for the information of an error cause.
    pub(crate) fn alone(
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<Bytes, EncodeError> {
        let mut encoder = Self { buffer: Vec::new() };
        write(&mut encoder)?;
        Ok(encoder.buffer.into())
    }

    fn fill_in(&mut self, start: usize, length: u16) {
        if let Some(field) = self.buffer.get_mut(start + 2..start + HEADER) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    #[inline]
    fn pad(&mut self) {
        self.buffer.resize(padded(self.buffer.len()), 0);
    }
}
