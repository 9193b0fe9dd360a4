//! ENRP_PRESENCE (RFC 5353 §2.1).

use params::wire::{Encoder, HEADER, Input, Unrecognized, set_once, walk};
use params::{DecodeError, EncodeError, ParameterType, ServerInformation, SilentElements};

/// ENRP_PRESENCE: I am here, and this is the checksum of what I own (RFC 5353 §2.1).
///
/// ```text
/// +---------------+-------------+-+-------------------------------+
/// |  Type = 0x01  |      0      |R|        Message Length         |
/// +---------------+-------------+-+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// :                   PE Checksum (type 0xf)                      :
/// +---------------------------------------------------------------+
/// :                Server Information (optional)                  :
/// +---------------------------------------------------------------+
/// :            Silent Elements (0x8e53), ours, any number         :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// R: the receiver is asked for its presence, too (ambiguity A-17).
    pub reply_required: bool,
    /// The folded checksum over the sender's pool elements (RFC 5353 §3.6.2), as on the wire. Always sent.
    pub checksum: Option<u16>,
    /// Where the sender can be reached. Always sent in a reply.
    pub information: Option<ServerInformation>,
    /// Of which pools elements are silent to the sender; what is not named has none, unless [`SilentElements::OTHERS`] is.
    /// Ours: only registrars that say they are of our kind are told.
    pub silent: Vec<SilentElements>,
}

/// R: reply required.
const R: u8 = 0x01;

impl Presence {
    pub(crate) fn flags(&self) -> u8 {
        if self.reply_required { R } else { 0 }
    }

    pub(crate) fn encoded_length(&self) -> usize {
        let information = self.information.as_ref().map_or(0, ServerInformation::encoded_length);
        let silent = self.silent.iter().map(SilentElements::encoded_length).sum::<usize>();
        2 * HEADER + information + silent
    }

    pub(crate) fn decode<'a>(
        flags: u8,
        body: Input<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (mut checksum, mut information, mut silent) = (None, None, Vec::new());
        walk(body, unrecognized, |parameter, unrecognized| match parameter.kind {
            ParameterType::PE_CHECKSUM => match parameter.value().bytes() {
                &[high, low] => set_once(&mut checksum, &parameter, u16::from_be_bytes([high, low])),
                _ => Err(parameter.invalid("length is not 6")),
            },
            ParameterType::SERVER_INFORMATION => {
                let decoded = ServerInformation::decode(&parameter, unrecognized)?;
                set_once(&mut information, &parameter, decoded)
            }
            ParameterType::SILENT_ELEMENTS => {
                silent.push(SilentElements::decode(&parameter)?);
                Ok(())
            }
            _ => Ok(()),
        })?;
        Ok(Self { reply_required: flags & R != 0, checksum, information, silent })
    }

    pub(crate) fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        if let Some(checksum) = self.checksum {
            encoder.parameter(ParameterType::PE_CHECKSUM, |encoder| {
                encoder.u16(checksum);
                Ok(())
            })?;
        }
        if let Some(information) = &self.information {
            information.encode(encoder)?;
        }
        self.silent.iter().try_for_each(|silent| silent.encode(encoder))
    }
}
