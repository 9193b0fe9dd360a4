//! ASAP_BUSINESS_CARD (RFC 5352 §2.2.13).

use crate::MessageType;
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, HEADER, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, ParameterType, PoolElement, PoolHandle, Problem};

/// ASAP_BUSINESS_CARD: to whom to turn when I am gone (RFC 5352 §2.2.13).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x0d  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                  Pool Elements (1 or more)                    :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessCard {
    /// The pool.
    pub handle: PoolHandle,
    /// The preferred ones first; at least one.
    pub elements: Vec<PoolElement>,
}

impl BusinessCard {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let body = raw.value();
        let (mut handle, mut elements) = (None, Vec::new());
        walk(body, unrecognized, |parameter, unrecognized| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
            ParameterType::POOL_ELEMENT => {
                elements.push(PoolElement::decode(&parameter, unrecognized)?);
                Ok(())
            }
            _ => Ok(()),
        })?;
        let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
        if elements.is_empty() {
            return Err(DecodeError::new(body.offset(), Problem::Missing(ParameterType::POOL_ELEMENT)));
        }
        Ok(Self { handle, elements })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        if self.elements.is_empty() {
            return Err(EncodeError::Forbidden("a business card needs a Pool Element"));
        }
        let elements = self.elements.iter().map(PoolElement::encoded_length).sum::<usize>();
        let capacity = HEADER + self.handle.encoded_length() + elements;
        let mut encoder = Encoder::message(MessageType::BUSINESS_CARD.0, 0, capacity);
        self.handle.encode(&mut encoder)?;
        for element in &self.elements {
            element.encode(&mut encoder)?;
        }
        encoder.finish()
    }
}
