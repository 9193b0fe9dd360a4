//! ENRP_HANDLE_UPDATE (RFC 5353 §2.4).

use params::wire::{Encoder, Input, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, ParameterType, PoolElement, PoolHandle, Problem};

/// Update Action of [`HandleUpdate`] (RFC 5353 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateAction(pub u16);

impl UpdateAction {
    /// ADD_PE: add or update.
    pub const ADD_PE: UpdateAction = UpdateAction(0);
    /// DEL_PE: remove.
    pub const DEL_PE: UpdateAction = UpdateAction(1);

    fn is_defined(self) -> bool {
        self == Self::ADD_PE || self == Self::DEL_PE
    }
}

/// ENRP_HANDLE_UPDATE: one of my elements is new, changed or gone (RFC 5353 §2.4).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x04  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +-------------------------------+-------------------------------+
/// |         Update Action         |          reserved, 0          |
/// +-------------------------------+-------------------------------+
/// :                          Pool Handle                          :
/// +---------------------------------------------------------------+
/// :                         Pool Element                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleUpdate {
    /// What happened: [`UpdateAction::ADD_PE`] or [`UpdateAction::DEL_PE`], nothing else is sent or accepted.
    pub action: UpdateAction,
    /// The pool.
    pub handle: PoolHandle,
    /// The element.
    pub element: PoolElement,
}

/// Length of the fields before the parameters.
const FIXED: usize = 4;

impl HandleUpdate {
    pub(crate) fn flags(&self) -> u8 {
        0
    }

    pub(crate) fn encoded_length(&self) -> usize {
        FIXED + self.handle.encoded_length() + self.element.encoded_length()
    }

    pub(crate) fn decode<'a>(
        _flags: u8,
        mut body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let offset = body.offset();
        let (Some(action), Some(_reserved)) = (body.u16(), body.u16()) else {
            return Err(DecodeError::new(offset, Problem::FixedField("Update Action")));
        };
        let action = UpdateAction(action);
        let (mut handle, mut element) = (None, None);
        walk(body, unrecognized, |parameter, unrecognized| match parameter.kind {
            ParameterType::POOL_HANDLE => set_once(&mut handle, &parameter, PoolHandle::decode(&parameter)),
            ParameterType::POOL_ELEMENT => {
                set_once(&mut element, &parameter, PoolElement::decode(&parameter, unrecognized)?)
            }
            _ => Ok(()),
        })?;
        if !action.is_defined() {
            let problem = Problem::FieldValue("Update Action is neither ADD_PE nor DEL_PE");
            return Err(DecodeError::new(offset, problem));
        }
        let handle = require(handle, &body, ParameterType::POOL_HANDLE)?;
        Ok(Self { action, handle, element: require(element, &body, ParameterType::POOL_ELEMENT)? })
    }

    pub(crate) fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        if !self.action.is_defined() {
            return Err(EncodeError::Forbidden("Update Action is neither ADD_PE nor DEL_PE"));
        }
        encoder.u16(self.action.0);
        encoder.u16(0);
        self.handle.encode(encoder)?;
        self.element.encode(encoder)
    }
}
