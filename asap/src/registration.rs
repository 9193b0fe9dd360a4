//! ASAP_REGISTRATION and its response (RFC 5352 §2.2.1, §2.2.3).

use crate::MessageType;
use bytes::Bytes;
use params::message::{MAX_REPORT_LENGTH, RawMessage, cut};
use params::wire::{Encoder, HEADER, Parameter, Unrecognized, require, set_once, walk};
use params::{
    DecodeError, EncodeError, OperationError, ParameterType, PeIdentifier, Policy, PoolElement, PoolHandle,
};

/// ASAP_REGISTRATION: a pool element asks to be a member of a pool (RFC 5352 §2.2.1).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x01  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         Pool Element                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub element: PoolElement,
}

impl Registration {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let body = raw.value();
        let mut handle = None;
        let mut element = None;
        walk(body, unrecognized, |parameter, unrecognized| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, parameter),
            ParameterType::POOL_ELEMENT => {
                let decoded = PoolElement::decode(&parameter, unrecognized)?;
                set_once(&mut element, &parameter, (parameter, decoded))
            }
            _ => Ok(()),
        })?;
        let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
        let (parameter, element) = require(element, &body, ParameterType::POOL_ELEMENT)?;
        check_registrable(&handle, &parameter, &element)?;
        Ok(Self { handle: PoolHandle::decode(&handle), element })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let capacity = HEADER + self.handle.encoded_length() + self.element.encoded_length();
        let mut encoder = Encoder::message(MessageType::REGISTRATION.0, 0, capacity);
        self.handle.encode(&mut encoder)?;
        self.element.encode(&mut encoder)?;
        encoder.finish()
    }
}

/// What may be written down but not be registered: an empty handle (ambiguity A-05), a life of nothing (A-09), the
/// identifier that means none (A-28), a policy that nobody here can follow (A-78).
fn check_registrable(
    handle: &Parameter<'_>,
    parameter: &Parameter<'_>,
    element: &PoolElement,
) -> Result<(), DecodeError> {
    if handle.value().bytes().is_empty() {
        return Err(handle.invalid("empty"));
    }
    if element.id == PeIdentifier(0) {
        return Err(parameter.invalid("PE Identifier is 0"));
    }
    if element.life.0 == 0 || element.life.0 < -1 {
        return Err(parameter.invalid("Registration Life is neither -1 nor positive"));
    }
    if let Policy::Opaque { .. } = element.policy {
        return Err(policy_parameter(parameter).unwrap_or(*parameter).invalid("policy is not supported"));
    }
    Ok(())
}

/// The Policy parameter within a Pool Element.
fn policy_parameter<'a>(element: &Parameter<'a>) -> Option<Parameter<'a>> {
    let mut value = element.value();
    for _fixed_field in 0..3 {
        value.u32()?;
    }
    find(value, ParameterType::POLICY)
}

/// The first parameter of a type, looked for without judging any.
fn find<'a>(mut container: params::wire::Input<'a>, kind: ParameterType) -> Option<Parameter<'a>> {
    std::iter::from_fn(|| container.tlv().ok().flatten()).find(|parameter| parameter.kind == kind)
}

/// ASAP_REGISTRATION_RESPONSE (RFC 5352 §2.2.3).
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x03  |      0      |R|        Message Length         |
/// +---------------+-------------+-+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         PE Identifier                         :
/// +---------------------------------------------------------------+
/// :                  Operation Error (optional)                   :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationResponse {
    /// R: the registration was refused.
    pub rejected: bool,
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub id: PeIdentifier,
    /// Why it was refused; if it was not, a warning that values were changed.
    pub error: Option<OperationError>,
}

/// R: rejected.
const R: u8 = 0x01;

impl RegistrationResponse {
    /// Rejects a registration that has invalid values. Nothing if it does not even say who registers where.
    pub(crate) fn rejecting(raw: &RawMessage<'_>, error: &DecodeError) -> Option<Self> {
        let cause = error.cause.as_ref()?;
        let handle = PoolHandle::decode(&find(raw.value(), ParameterType::POOL_HANDLE)?);
        let element = find(raw.value(), ParameterType::POOL_ELEMENT)?;
        let id = PeIdentifier(element.value().u32().unwrap_or_default());
        let used = HEADER + handle.encoded_length() + PeIdentifier::ENCODED_LENGTH;
        let error = cut([(cause.code, &cause.information[..])], MAX_REPORT_LENGTH.saturating_sub(used));
        Some(Self { rejected: true, handle, id, error: Some(error) })
    }

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
            rejected: raw.flags & R != 0,
            handle: require(handle, &body, ParameterType::POOL_HANDLE)?,
            id: require(id, &body, ParameterType::PE_IDENTIFIER)?,
            error,
        })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let flags = if self.rejected { R } else { 0 };
        let mut encoder = Encoder::message(MessageType::REGISTRATION_RESPONSE.0, flags, 0);
        self.handle.encode(&mut encoder)?;
        self.id.encode(&mut encoder)?;
        if let Some(error) = &self.error {
            error.encode(&mut encoder)?;
        }
        encoder.finish()
    }
}
