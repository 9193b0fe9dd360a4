//! ASAP_SERVER_ANNOUNCE (RFC 5352 §2.2.10).

use crate::MessageType;
use crate::keep_alive::server_identifier;
use bytes::Bytes;
use params::message::RawMessage;
use params::wire::{Encoder, Unrecognized, walk};
use params::{DecodeError, EncodeError, ParameterType, RegistrarId, SctpTransport, Transport, TransportUse};

/// ASAP_SERVER_ANNOUNCE: here is a registrar (RFC 5352 §2.2.10).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x0a  |       0       |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// |                       Server Identifier                       |
/// +---------------------------------------------------------------+
/// :            SCTP and TCP Transports (0 or more)                :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAnnounce {
    /// Who it is.
    pub registrar: RegistrarId,
    /// Where it is. A receiver uses SCTP and TCP ones only; if there is none of any kind, it uses the source address.
    /// Transport Use has no meaning: 0 (ambiguity A-11).
    pub transports: Vec<Transport>,
}

impl ServerAnnounce {
    pub(crate) fn decode<'a>(
        raw: &RawMessage<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut body = raw.value();
        let registrar = server_identifier(&mut body)?;
        let mut transports = Vec::new();
        walk(body, unrecognized, |parameter, unrecognized| {
            let transport = match parameter.kind {
                ParameterType::SCTP_TRANSPORT => {
                    Some(Transport::Sctp(SctpTransport::decode_any_use(&parameter, unrecognized)?))
                }
                _ => Transport::decode(&parameter, unrecognized)?,
            };
            transports.extend(transport);
            Ok(())
        })?;
        Ok(Self { registrar, transports })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, EncodeError> {
        let mut encoder = Encoder::message(MessageType::SERVER_ANNOUNCE.0, 0, 0);
        encoder.u32(self.registrar.0);
        for transport in &self.transports {
            match transport {
                Transport::Sctp(sctp) => sctp.encode_with_use(TransportUse::DATA_ONLY, &mut encoder)?,
                Transport::Tcp(_) => transport.encode(&mut encoder)?,
                _ => return Err(EncodeError::Forbidden("a registrar is reached by SCTP or TCP only")),
            }
        }
        encoder.finish()
    }
}
