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
/// :                Table Response Size (0x8e52), ours             :
/// +---------------------------------------------------------------+
/// :                    Incarnation (0x8e54), ours                 :
/// +---------------------------------------------------------------+
/// ```
///
/// The last two are no parameters of the RFCs. Their action bits are 10, so who does not know them skips them; rsplib reads
/// nothing behind the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInformation {
    /// Its identifier.
    pub id: RegistrarId,
    /// Its ENRP endpoint. Transport use is sent as 0 and ignored (ambiguity A-11).
    pub transport: SctpTransport,
    /// How many octets an ENRP_HANDLE_TABLE_RESPONSE to it may have; `None`: it does not say, as all but ours.
    pub table_response_size: Option<u32>,
    /// Another number with each start, so that others notice one that keeps its identifier; `None`: it does not say, as all
    /// but ours.
    pub incarnation: Option<u32>,
}

impl ServerInformation {
    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        let ours = [self.table_response_size, self.incarnation].into_iter().flatten().count();
        HEADER + 4 + self.transport.encoded_length() + ours * (HEADER + 4)
    }

    /// Reads the parameter.
    pub fn decode<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut wire::Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let mut value = parameter.value();
        let id = value.u32().ok_or_else(|| parameter.invalid("too short for the Server ID"))?;
        let (mut transport, mut table_response_size, mut incarnation) = (None, None, None);
        let mut count = 0;
        walk(value, unrecognized, |inner, unrecognized| {
            match inner.kind {
                ParameterType::SCTP_TRANSPORT => {
                    count += 1;
                    transport = Some(SctpTransport::decode_any_use(&inner, unrecognized)?);
                }
                ParameterType::TABLE_RESPONSE_SIZE => table_response_size = Some(inner.u32()?),
                ParameterType::INCARNATION => incarnation = Some(inner.u32()?),
                _ => {}
            }
            Ok(())
        })?;
        match transport {
            Some(transport) if count == 1 => {
                Ok(Self { id: RegistrarId(id), transport, table_response_size, incarnation })
            }
            _ => Err(parameter.invalid("not exactly one SCTP Transport")),
        }
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        encoder.parameter(ParameterType::SERVER_INFORMATION, |encoder| {
            encoder.u32(self.id.0);
            self.transport.encode_with_use(TransportUse::DATA_ONLY, encoder)?;
            let ours = [
                (ParameterType::TABLE_RESPONSE_SIZE, self.table_response_size),
                (ParameterType::INCARNATION, self.incarnation),
            ];
            for (kind, number) in ours {
                let Some(number) = number else { continue };
                encoder.parameter(kind, |encoder| {
                    encoder.u32(number);
                    Ok(())
                })?;
            }
            Ok(())
        })
    }
}
