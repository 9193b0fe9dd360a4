//! ENRP_ERROR (RFC 5353 §2.10).

use params::wire::{Encoder, Input, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, OperationError, ParameterType};

/// ENRP_ERROR: a message was not understood or not obeyed (RFC 5353 §2.10). It is never answered.
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x0a  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// :                        Operation Error                        :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What went wrong.
    pub error: OperationError,
}

impl Error {
    pub(crate) fn flags(&self) -> u8 {
        0
    }

    pub(crate) fn encoded_length(&self) -> usize {
        self.error.encoded_length()
    }

    pub(crate) fn decode<'a>(
        _flags: u8,
        body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut error = None;
        walk(body, unrecognized, |parameter, _| match parameter.kind {
            ParameterType::OPERATION_ERROR => {
                set_once(&mut error, &parameter, OperationError::decode(&parameter)?)
            }
            _ => Ok(()),
        })?;
        Ok(Self { error: require(error, &body, ParameterType::OPERATION_ERROR)? })
    }

    pub(crate) fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        self.error.encode(encoder)
    }
}
