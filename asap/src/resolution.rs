//! ASAP_HANDLE_RESOLUTION and its response (RFC 5352 §2.2.5, §2.2.6).

use crate::MessageType;
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, HEADER, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, OperationError, ParameterType, Policy, PoolElement, PoolHandle};
use std::borrow::Cow;

/// ASAP_HANDLE_RESOLUTION: which elements does a pool have? (RFC 5352 §2.2.5)
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x05  |      0      |S|        Message Length         |
/// +---------------+-------------+-+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :               Item Count (rsplib's, optional)                 :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleResolution {
    /// S: the changes of the pool are wanted, too.
    pub subscribe: bool,
    /// The pool.
    pub handle: PoolHandle,
    /// How many elements are wanted: the private parameter 0x803f (ambiguity A-49).
    pub items: Option<u32>,
}

/// S: send me dynamic updates.
const S: u8 = 0x01;

impl HandleResolution {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let body = raw.value();
        let (mut handle, mut items) = (None, None);
        walk(body, unrecognized, |parameter, _| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
            ParameterType::ITEM_COUNT => set_once(&mut items, &parameter, parameter.u32()?),
            _ => Ok(()),
        })?;
        let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
        Ok(Self { subscribe: raw.flags & S != 0, handle, items })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let flags = if self.subscribe { S } else { 0 };
        let mut encoder = Encoder::message(MessageType::HANDLE_RESOLUTION.0, flags, 0);
        self.handle.encode(&mut encoder)?;
        if let Some(items) = self.items {
            encoder.parameter(ParameterType::ITEM_COUNT, |encoder| {
                encoder.u32(items);
                Ok(())
            })?;
        }
        encoder.finish()
    }
}

/// ASAP_HANDLE_RESOLUTION_RESPONSE: positive with elements, or negative with an error (RFC 5352 §2.2.6).
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x06  |      0      |A|        Message Length         |
/// +---------------+-------------+-+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :          Overall Member Selection Policy (optional)           :
/// +---------------------------------------------------------------+
/// :                  Pool Elements (0 or more)                    :
/// +---------------------------------------------------------------+
/// :                  Operation Error (optional)                   :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleResolutionResponse {
    /// A: changes of the pool will be sent.
    pub accepted: bool,
    /// The pool.
    pub handle: PoolHandle,
    /// The policy of the pool; Round Robin if absent.
    pub policy: Option<Policy>,
    /// In the order that the policy demands.
    pub elements: Vec<PoolElement>,
    /// There: a negative answer, whatever else is there.
    pub error: Option<OperationError>,
}

/// A: accepted dynamic updates.
const A: u8 = 0x01;

const WITHOUT_ELEMENTS: EncodeError = EncodeError::Forbidden("a positive response needs a Pool Element");

impl HandleResolutionResponse {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let body = raw.value();
        let (mut handle, mut policy, mut elements, mut error) = (None, None, Vec::new(), None);
        walk(body, unrecognized, |parameter, unrecognized| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
            ParameterType::POLICY => set_once(&mut policy, &parameter, Policy::decode(&parameter)?),
            ParameterType::POOL_ELEMENT => {
                elements.push(PoolElement::decode(&parameter, unrecognized)?);
                Ok(())
            }
            ParameterType::OPERATION_ERROR => {
                set_once(&mut error, &parameter, OperationError::decode(&parameter)?)
            }
            _ => Ok(()),
        })?;
        let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
        Ok(Self { accepted: raw.flags & A != 0, handle, policy, elements, error })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        match (&self.error, &self.policy) {
            (None, _) if self.elements.is_empty() => {
                return Err(WITHOUT_ELEMENTS);
            }
            (Some(_), None) if self.elements.is_empty() => {}
            (Some(_), _) => {
                return Err(EncodeError::Forbidden("a negative response has no policy and no Pool Elements"));
            }
            _ => {}
        }
        let flags = if self.accepted { A } else { 0 };
        let kind = MessageType::HANDLE_RESOLUTION_RESPONSE;
        let mut encoder = Encoder::message(kind.0, flags, 0);
        self.handle.encode(&mut encoder)?;
        if let Some(policy) = &self.policy {
            policy.encode(&mut encoder)?;
        }
        for element in &self.elements {
            element.encode(&mut encoder)?;
        }
        if let Some(error) = &self.error {
            error.encode(&mut encoder)?;
        }
        encoder.finish()
    }
}

/// A positive [`HandleResolutionResponse`] that is written from what a registrar holds, without a copy of it: the elements
/// as pool users see them, without their ASAP Transports (ambiguity A-10).
#[derive(Debug)]
pub struct PoolListing<'a> {
    /// A: changes of the pool will be sent.
    pub accepted: bool,
    /// The pool.
    pub handle: &'a PoolHandle,
    /// The policy of the pool.
    pub policy: &'a Policy,
    /// In the order that the policy demands.
    pub elements: Vec<Cow<'a, PoolElement>>,
}

impl PoolListing<'_> {
    /// Leaves out the last elements until the message takes at most `limit` octets.
    pub fn cut_to(&mut self, limit: usize) {
        let mut length = self.encoded_length();
        while length > limit
            && let Some(element) = self.elements.pop()
        {
            length -= element.encoded_length_for_users();
        }
    }

    /// Writes the message. It must have an element.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        if self.elements.is_empty() {
            return Err(WITHOUT_ELEMENTS);
        }
        let flags = if self.accepted { A } else { 0 };
        let kind = MessageType::HANDLE_RESOLUTION_RESPONSE;
        let mut encoder = Encoder::message(kind.0, flags, self.encoded_length());
        self.handle.encode(&mut encoder)?;
        self.policy.encode(&mut encoder)?;
        for element in &self.elements {
            element.encode_for_users(&mut encoder)?;
        }
        encoder.finish()
    }

    /// Octets of the message with its padding.
    fn encoded_length(&self) -> usize {
        let elements = self.elements.iter().map(|element| element.encoded_length_for_users());
        HEADER + self.handle.encoded_length() + self.policy.encoded_length() + elements.sum::<usize>()
    }
}
