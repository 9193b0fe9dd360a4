//! Any ENRP message: its type, reading, writing (RFC 5353 §2; the rules of unknown ones in RFC 5354 §3, §4).

use crate::{
    Error, HandleTableRequest, HandleTableResponse, HandleUpdate, InitTakeover, InitTakeoverAck, ListRequest,
    ListResponse, Presence, TakeoverServer,
};
use bytes::Bytes;
use params::message::{MAX_REPORT_LENGTH, RawMessage, report};
use params::wire::{Encoder, HEADER, Input, Unrecognized};
use params::{DecodeError, EncodeError, Problem, RegistrarId};

params::message_types! {
    /// ENRP_PRESENCE.
    PRESENCE = 0x01, "ENRP_PRESENCE";
    /// ENRP_HANDLE_TABLE_REQUEST.
    HANDLE_TABLE_REQUEST = 0x02, "ENRP_HANDLE_TABLE_REQUEST";
    /// ENRP_HANDLE_TABLE_RESPONSE.
    HANDLE_TABLE_RESPONSE = 0x03, "ENRP_HANDLE_TABLE_RESPONSE";
    /// ENRP_HANDLE_UPDATE.
    HANDLE_UPDATE = 0x04, "ENRP_HANDLE_UPDATE";
    /// ENRP_LIST_REQUEST.
    LIST_REQUEST = 0x05, "ENRP_LIST_REQUEST";
    /// ENRP_LIST_RESPONSE.
    LIST_RESPONSE = 0x06, "ENRP_LIST_RESPONSE";
    /// ENRP_INIT_TAKEOVER.
    INIT_TAKEOVER = 0x07, "ENRP_INIT_TAKEOVER";
    /// ENRP_INIT_TAKEOVER_ACK.
    INIT_TAKEOVER_ACK = 0x08, "ENRP_INIT_TAKEOVER_ACK";
    /// ENRP_TAKEOVER_SERVER.
    TAKEOVER_SERVER = 0x09, "ENRP_TAKEOVER_SERVER";
    /// ENRP_ERROR.
    ERROR = 0x0a, "ENRP_ERROR";
}

/// Any ENRP message: who sends it, to whom, and what (RFC 5353 §2).
///
/// ```text
/// +---------------+---------------+-------------------------------+
/// |     Type      |     Flags     |        Message Length         |
/// +---------------+---------------+-------------------------------+
/// |                     Sending Server's ID                       |
/// +---------------------------------------------------------------+
/// |                    Receiving Server's ID                      |
/// +---------------------------------------------------------------+
/// :                             Body                              :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sends it: never [`RegistrarId::NONE`].
    pub sender: RegistrarId,
    /// To whom; [`RegistrarId::NONE`] if to all.
    pub receiver: RegistrarId,
    /// What it says.
    pub body: Body,
}

/// What every message begins with: the header and the identifiers of sender and receiver.
pub(crate) const PREFIX: usize = HEADER + 8;

/// What became of a received ENRP message; the reply is an ENRP_ERROR.
pub type Decoded = params::Decoded<MessageType, Message>;

macro_rules! bodies {
    ($($name:ident = $kind:ident;)*) => {
        /// What an ENRP message says.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Body {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        $(impl From<$name> for Body {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        })*

        impl Body {
            /// Its type.
            pub fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$name(_) => MessageType::$kind,)*
                }
            }

            fn flags(&self) -> u8 {
                match self {
                    $(Self::$name(body) => body.flags(),)*
                }
            }

            fn encoded_length(&self) -> usize {
                match self {
                    $(Self::$name(body) => body.encoded_length(),)*
                }
            }

            fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(body) => body.encode(encoder),)*
                }
            }

            fn decode<'a>(
                raw: &RawMessage<'a>,
                body: Input<'a>,
                unrecognized: &mut Unrecognized<'a>,
            ) -> Result<Self, DecodeError> {
                match MessageType(raw.kind) {
                    $(MessageType::$kind => $name::decode(raw.flags, body, unrecognized).map(Self::$name),)*
                    _ => Err(raw.unknown()),
                }
            }
        }
    };
}
bodies! {
    Presence = PRESENCE;
    HandleTableRequest = HANDLE_TABLE_REQUEST;
    HandleTableResponse = HANDLE_TABLE_RESPONSE;
    HandleUpdate = HANDLE_UPDATE;
    ListRequest = LIST_REQUEST;
    ListResponse = LIST_RESPONSE;
    InitTakeover = INIT_TAKEOVER;
    InitTakeoverAck = INIT_TAKEOVER_ACK;
    TakeoverServer = TAKEOVER_SERVER;
    Error = ERROR;
}

impl Message {
    /// Its type.
    pub fn message_type(&self) -> MessageType {
        self.body.message_type()
    }

    /// The octets to send, padded to a multiple of four.
    pub fn encode(&self) -> Result<Bytes, EncodeError> {
        let capacity = PREFIX + self.body.encoded_length();
        let mut encoder = Encoder::message(self.message_type().0, self.body.flags(), capacity);
        encoder.u32(self.sender.0);
        encoder.u32(self.receiver.0);
        self.body.encode(&mut encoder)?;
        encoder.finish()
    }

    fn decode<'a>(raw: &RawMessage<'a>, unrecognized: &mut Unrecognized<'a>) -> Result<Self, DecodeError> {
        if MessageType(raw.kind).name().is_none() {
            return Err(raw.unknown());
        }
        let mut body = raw.value();
        let sender = registrar_id(&mut body, "Sending Server's ID")?;
        let receiver = registrar_id(&mut body, "Receiving Server's ID")?;
        if sender == RegistrarId::NONE {
            return Err(DecodeError::new(HEADER, Problem::FieldValue("Sending Server's ID is 0")));
        }
        Ok(Self { sender, receiver, body: Body::decode(raw, body, unrecognized)? })
    }
}

/// Reads a fixed field that names a registrar.
pub(crate) fn registrar_id(input: &mut Input<'_>, field: &'static str) -> Result<RegistrarId, DecodeError> {
    let id = input.u32().map(RegistrarId);
    id.ok_or_else(|| DecodeError::new(input.offset(), Problem::FixedField(field)))
}

/// Reads one message: the whole of what one SCTP user message or one datagram carried. A reply comes from `own`.
pub fn decode(bytes: &[u8], own: RegistrarId) -> Decoded {
    let raw = match RawMessage::decode(bytes) {
        Ok(raw) => raw,
        Err(error) => return Decoded { message_type: None, message: Err(error), reply: None },
    };
    let mut unrecognized = Unrecognized::default();
    let message = Message::decode(&raw, &mut unrecognized);
    let reply = reply(&raw, &message, &unrecognized, own).and_then(|reply| reply.encode().ok());
    Decoded { message_type: Some(MessageType(raw.kind)), message, reply }
}

/// What the sender must hear. An error is never answered by an error.
fn reply(
    raw: &RawMessage<'_>,
    message: &Result<Message, DecodeError>,
    unrecognized: &Unrecognized<'_>,
    own: RegistrarId,
) -> Option<Message> {
    if MessageType(raw.kind) == MessageType::ERROR {
        return None;
    }
    let error = report(message, unrecognized, MAX_REPORT_LENGTH - PREFIX)?;
    let receiver = raw.value().u32().map_or(RegistrarId::NONE, RegistrarId);
    Some(Message { sender: own, receiver, body: Error { error }.into() })
}
