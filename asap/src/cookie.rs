//! ASAP_COOKIE and ASAP_COOKIE_ECHO (RFC 5352 §2.2.11, §2.2.12).

use crate::MessageType;
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, HEADER, Unrecognized, require, set_once, walk};
use params::{DecodeError, EncodeError, ParameterType};

/// ASAP_COOKIE: an element gives a pool user the state of their session (RFC 5352 §2.2.11).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x0b  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                       Cookie (type 0xd)                       :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Octets that only the pool's elements understand; at most 65527.
    pub cookie: Bytes,
}

impl Cookie {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        cookie(raw, unrecognized).map(|cookie| Self { cookie })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_cookie(MessageType::COOKIE, &self.cookie)
    }
}

/// ASAP_COOKIE_ECHO: the pool user gives the last cookie to the next element (RFC 5352 §2.2.12).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x0c  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// :                       Cookie (type 0xd)                       :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieEcho {
    /// The cookie as it was received.
    pub cookie: Bytes,
}

impl CookieEcho {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        cookie(raw, unrecognized).map(|cookie| Self { cookie })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        encode_cookie(MessageType::COOKIE_ECHO, &self.cookie)
    }
}

fn cookie<'a>(raw: &RawMessage<'a>, unrecognized: &mut Unrecognized<'a>) -> Result<Bytes, DecodeError> {
    let body = raw.value();
    let mut cookie = None;
    walk(body, unrecognized, |parameter, _| match parameter.kind {
        ParameterType::COOKIE => set_once(&mut cookie, &parameter, parameter.value().bytes()),
        _ => Ok(()),
    })?;
    require(cookie, &body, ParameterType::COOKIE).map(Bytes::copy_from_slice)
}

fn encode_cookie(kind: MessageType, cookie: &[u8]) -> Result<Bytes, EncodeError> {
    let mut encoder = Encoder::message(kind.0, 0, 2 * HEADER + cookie.len());
    encoder.parameter(ParameterType::COOKIE, |encoder| {
        encoder.bytes(cookie);
        Ok(())
    })?;
    encoder.finish()
}
