//! ENRP_INIT_TAKEOVER, its acknowledgement, and ENRP_TAKEOVER_SERVER (RFC 5353 §2.7 – §2.9), which look the same.

use crate::message::registrar_id;
use params::wire::{Encoder, Input, Unrecognized, walk};
use params::{DecodeError, EncodeError, RegistrarId};

/// ENRP_INIT_TAKEOVER: `target` seems dead, may I take over its elements? (RFC 5353 §2.7)
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |  Type = 0x07  |       0       |     Message Length = 0x10     |
/// +---------------+---------------+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// |                    Targeting Server's ID                      |
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTakeover {
    /// The registrar that is to be taken over.
    pub target: RegistrarId,
}

/// ENRP_INIT_TAKEOVER_ACK, type 0x08: no objection (RFC 5353 §2.8). The octets are those of [`InitTakeover`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTakeoverAck {
    /// The registrar that is to be taken over.
    pub target: RegistrarId,
}

/// ENRP_TAKEOVER_SERVER, type 0x09: I have taken over (RFC 5353 §2.9). The octets are those of [`InitTakeover`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeoverServer {
    /// The registrar that was taken over.
    pub target: RegistrarId,
}

macro_rules! target_only {
    ($($name:ident),*) => {$(
        impl $name {
            pub(crate) fn flags(&self) -> u8 {
                0
            }

            pub(crate) fn encoded_length(&self) -> usize {
                4
            }

            pub(crate) fn decode<'a>(
                _flags: u8,
                mut body: Input<'a>,
                unrecognized: &mut Unrecognized<'a>,
            ) -> Result<Self, DecodeError> {
                let target = registrar_id(&mut body, "Targeting Server's ID")?;
                walk(body, unrecognized, |_, _| Ok(()))?;
                Ok(Self { target })
            }

            pub(crate) fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
                encoder.u32(self.target.0);
                Ok(())
            }
        }
    )*};
}
target_only!(InitTakeover, InitTakeoverAck, TakeoverServer);
