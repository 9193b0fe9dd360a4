//! ASAP_ENDPOINT_KEEP_ALIVE and its acknowledgement (RFC 5352 §2.2.7, §2.2.8).

use crate::MessageType;
use crate::deregistration::{encode_handle_and_id, handle_and_id};
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, ParameterType, PeIdentifier, PoolHandle, Problem, RegistrarId};

/// ASAP_ENDPOINT_KEEP_ALIVE: a registrar asks whether an element lives (RFC 5352 §2.2.7).
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x07  |      0      |H|        Message Length         |
/// +---------------+-------------+-+-------------------------------+
/// |                       Server Identifier                       |
/// +---------------------------------------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :              PE Identifier (rsplib's, optional)               :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKeepAlive {
    /// H: the sender is the element's home registrar from now on.
    pub home: bool,
    /// The sender.
    pub registrar: RegistrarId,
    /// The pool.
    pub handle: PoolHandle,
    /// Which element is meant, as rsplib says it; all of the pool if absent (ambiguity A-37).
    pub id: Option<PeIdentifier>,
}

/// H: home.
const H: u8 = 0x01;

impl EndpointKeepAlive {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut body = raw.value();
        let registrar = server_identifier(&mut body)?;
        let (mut handle, mut id) = (None, None);
        walk(body, unrecognized, |parameter, _| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
            ParameterType::PE_IDENTIFIER => set_once(&mut id, &parameter, PeIdentifier::decode(&parameter)?),
            _ => Ok(()),
        })?;
        let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
        Ok(Self { home: raw.flags & H != 0, registrar, handle, id })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let flags = if self.home { H } else { 0 };
        let mut encoder = Encoder::message(MessageType::ENDPOINT_KEEP_ALIVE.0, flags, 0);
        encoder.u32(self.registrar.0);
        self.handle.encode(&mut encoder)?;
        if let Some(id) = self.id {
            id.encode(&mut encoder)?;
        }
        encoder.finish()
    }
}

/// The fixed field with which the messages of a registrar begin.
pub(crate) fn server_identifier(body: &mut params::wire::Input<'_>) -> Result<RegistrarId, DecodeError> {
    let field = body.u32().map(RegistrarId);
    field.ok_or_else(|| DecodeError::new(body.offset(), Problem::FixedField("Server Identifier")))
}

/// ASAP_ENDPOINT_KEEP_ALIVE_ACK (RFC 5352 §2.2.8).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x08  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         PE Identifier                         :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKeepAliveAck {
    /// The pool.
    pub handle: PoolHandle,
    /// The element that lives.
    pub id: PeIdentifier,
}

impl EndpointKeepAliveAck {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (handle, id) = handle_and_id(raw, unrecognized)?;
        Ok(Self { handle, id })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_handle_and_id(MessageType::ENDPOINT_KEEP_ALIVE_ACK, &self.handle, self.id)
    }
}
