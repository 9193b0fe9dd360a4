//! ENRP_LIST_REQUEST and its response (RFC 5353 §2.5, §2.6).

use crate::message::PREFIX;
use params::message::MAX_MESSAGE_LENGTH;
use params::wire::{Encoder, Input, Unrecognized, walk};
use params::{DecodeError, EncodeError, ParameterType, ServerInformation};

/// ENRP_LIST_REQUEST: which registrars do you know? (RFC 5353 §2.5)
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x05  |       0       |     Message Length = 0xC      |
/// +---------------+---------------+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest;

impl ListRequest {
    pub(crate) fn flags(&self) -> u8 {
        0
    }

    pub(crate) fn encoded_length(&self) -> usize {
        0
    }

    pub(crate) fn decode<'a>(
        _flags: u8,
        body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        walk(body, unrecognized, |_, _| Ok(()))?;
        Ok(Self)
    }

    pub(crate) fn encode(&self, _encoder: &mut Encoder) -> Result<(), EncodeError> {
        Ok(())
    }
}

/// ENRP_LIST_RESPONSE: the registrars that the sender knows (RFC 5353 §2.6).
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x06  |      0      |R|        Message Length         |
/// +---------------+-------------+-+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// :                 Server Information (0 or more)                :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListResponse {
    /// R: the request is refused; there are no servers.
    pub rejected: bool,
    /// The registrars.
    pub servers: Vec<ServerInformation>,
}

/// R: rejected.
const R: u8 = 0x01;

impl ListResponse {
    /// Leaves out the last servers until the message takes at most `limit` octets: there is no M bit that would
    /// promise more. Says how many were left out.
    pub fn cut_to(&mut self, limit: usize) -> usize {
        let limit = limit.min(MAX_MESSAGE_LENGTH);
        let before = self.servers.len();
        let mut length = PREFIX + self.encoded_length();
        while length > limit
            && let Some(server) = self.servers.pop()
        {
            length -= server.encoded_length();
        }
        before - self.servers.len()
    }

    pub(crate) fn flags(&self) -> u8 {
        if self.rejected { R } else { 0 }
    }

    pub(crate) fn encoded_length(&self) -> usize {
        self.servers.iter().map(ServerInformation::encoded_length).sum()
    }

    pub(crate) fn decode<'a>(
        flags: u8,
        body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut servers = Vec::new();
        walk(body, unrecognized, |parameter, unrecognized| {
            if parameter.kind == ParameterType::SERVER_INFORMATION {
                servers.push(ServerInformation::decode(&parameter, unrecognized)?);
            }
            Ok(())
        })?;
        let rejected = flags & R != 0;
        if rejected {
            servers.clear();
        }
        Ok(Self { rejected, servers })
    }

    pub(crate) fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        if self.rejected && !self.servers.is_empty() {
            return Err(EncodeError::Forbidden("a rejecting response has no Server Information"));
        }
        self.servers.iter().try_for_each(|server| server.encode(encoder))
    }
}
