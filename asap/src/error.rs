//! ASAP_ERROR (RFC 5352 §2.2.14).

use crate::MessageType;
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, HEADER, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, OperationError, ParameterType};

/// ASAP_ERROR: a message was not understood (RFC 5352 §2.2.14). It is never answered.
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x0e  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                        Operation Error                        :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub error: OperationError,
}

impl Error {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let body = raw.value();
        let mut error = None;
        walk(body, unrecognized, |parameter, _| match parameter.kind {
            ParameterType::OPERATION_ERROR => {
                set_once(&mut error, &parameter, OperationError::decode(&parameter)?)
            }
            _ => Ok(()),
        })?;
        Ok(Self { error: require(error, &body, ParameterType::OPERATION_ERROR)? })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let capacity = HEADER + self.error.encoded_length();
        let mut encoder = Encoder::message(MessageType::ERROR.0, 0, capacity);
        self.error.encode(&mut encoder)?;
        encoder.finish()
    }
}
