//! ASAP_DEREGISTRATION and its response (RFC 5352 §2.2.2, §2.2.4).

use crate::MessageType;
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, OperationError, ParameterType, PeIdentifier, PoolHandle};

/// ASAP_DEREGISTRATION: a pool element leaves its pool (RFC 5352 §2.2.2).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x02  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         PE Identifier                         :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deregistration {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeIdentifier,
}

impl Deregistration {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (handle, id) = handle_and_id(raw, unrecognized)?;
        Ok(Self { handle, id })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_handle_and_id(MessageType::DEREGISTRATION, &self.handle, self.id)
    }
}

/// Reads the body of a message that only names a pool element.
pub(crate) fn handle_and_id<'a>(
    raw: &RawMessage<'a>,
    unrecognized: &mut Unrecognized<'a>,
) -> Result<(PoolHandle, PeIdentifier), DecodeError> {
    let body = raw.value();
    let (mut handle, mut id) = (None, None);
    walk(body, unrecognized, |parameter, _| match parameter.kind {
        ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
        ParameterType::PE_IDENTIFIER => set_once(&mut id, &parameter, PeIdentifier::decode(&parameter)?),
        _ => Ok(()),
    })?;
    let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
    Ok((handle, require(id, &body, ParameterType::PE_IDENTIFIER)?))
}

/// Writes a message that only names a pool element.
pub(crate) fn encode_handle_and_id(
    kind: MessageType,
    handle: &PoolHandle,
    id: PeIdentifier,
) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::message(kind.0, 0, 0);
    handle.encode(&mut encoder)?;
    id.encode(&mut encoder)?;
    encoder.finish()
}

/// ASAP_DEREGISTRATION_RESPONSE; unasked when a registration has expired (RFC 5352 §2.2.4).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x04  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         PE Identifier                         :
/// +---------------------------------------------------------------+
/// :                  Operation Error (optional)                   :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeregistrationResponse {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeIdentifier,
    /// Why it was refused, if it was.
    pub error: Option<OperationError>,
}

impl DeregistrationResponse {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let body = raw.value();
        let (mut handle, mut id, mut error) = (None, None, None);
        walk(body, unrecognized, |parameter, _| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
            ParameterType::PE_IDENTIFIER => set_once(&mut id, &parameter, PeIdentifier::decode(&parameter)?),
            ParameterType::OPERATION_ERROR => {
                set_once(&mut error, &parameter, OperationError::decode(&parameter)?)
            }
            _ => Ok(()),
        })?;
        Ok(Self {
            handle: require(handle, &body, ParameterType::POOL_HANDLE)?,
            id: require(id, &body, ParameterType::PE_IDENTIFIER)?,
            error,
        })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut encoder = Encoder::message(MessageType::DEREGISTRATION_RESPONSE.0, 0, 0);
        self.handle.encode(&mut encoder)?;
        self.id.encode(&mut encoder)?;
        if let Some(error) = &self.error {
            error.encode(&mut encoder)?;
        }
        encoder.finish()
    }
}
