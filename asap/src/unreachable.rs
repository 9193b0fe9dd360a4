//! ASAP_ENDPOINT_UNREACHABLE (RFC 5352 §2.2.9).

use crate::MessageType;
use crate::deregistration::{encode_handle_and_id, handle_and_id};
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::Unrecognized;
use params::{DecodeError, EncodeError, PeIdentifier, PoolHandle};

/// ASAP_ENDPOINT_UNREACHABLE: a pool user could not reach an element (RFC 5352 §2.2.9).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x09  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         PE Identifier                         :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUnreachable {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeIdentifier,
}

impl EndpointUnreachable {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (handle, id) = handle_and_id(raw, unrecognized)?;
        Ok(Self { handle, id })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_handle_and_id(MessageType::ENDPOINT_UNREACHABLE, &self.handle, self.id)
    }
}
