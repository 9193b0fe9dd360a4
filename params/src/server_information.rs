//! The Server Information parameter (RFC 5354 §3.11).

use crate::wire::{Encoder, HEADER, Parameter, walk};
use crate::{DecodeError, EncodeError, ParameterType, RegistrarId, SctpTransport, TransportUse, wire};

/// Who a registrar is and where its ENRP endpoint is (RFC 5354 §3.11).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |          Type = 0xb           |            Length             |
/// +-------------------------------+-------------------------------+
/// |                           Server ID                           |
/// +---------------------------------------------------------------+
/// :                        SCTP Transport                         :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInformation {
    /// Its identifier.
    pub id: RegistrarId,
    /// Its ENRP endpoint. Transport use is sent as 0 and ignored (ambiguity A-11).
    pub transport: SctpTransport,
}

impl ServerInformation {
    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        HEADER + 4 + self.transport.encoded_length()
    }

    /// Reads the parameter.
    pub fn decode<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut wire::Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let id = value.u32().ok_or_else(|| parameter.invalid("too short for the Server ID"))?;
        let mut transport = None;
        let mut count = 0;
        walk(value, unrecognized, |inner, unrecognized| {
            if inner.kind == ParameterType::SCTP_TRANSPORT {
                count += 1;
                transport = Some(SctpTransport::decode_any_use(&inner, unrecognized)?);
            }
            Ok(())
        })?;
        match transport {
            Some(transport) if count == 1 => Ok(Self { id: RegistrarId(id), transport }),
            _ => Err(parameter.invalid("not exactly one SCTP Transport")),
        }
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::SERVER_INFORMATION, |encoder| {
            encoder.u32(self.id.0);
            self.transport.encode_with_use(TransportUse::DATA_ONLY, encoder)
        })
    }
}
