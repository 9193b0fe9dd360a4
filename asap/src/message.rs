//! Any ASAP message: its type, reading, writing (RFC 5352 §2.2; the rules of unknown ones in RFC 5354 §3, §4).

use crate::{
    BusinessCard, Cookie, CookieEcho, Deregistration, DeregistrationResponse, EndpointKeepAlive,
    EndpointKeepAliveAck, EndpointUnreachable, Error, HandleResolution, HandleResolutionResponse,
    Registration, RegistrationResponse, ServerAnnounce,
};
use bytes::Bytes;
use params::message::{MAX_REPORT_LENGTH, RawMessage, report};
use params::wire::{HEADER, Unrecognized};
use params::{DecodeError, EncodeError};

params::message_types! {
    /// ASAP_REGISTRATION.
    REGISTRATION = 0x01, "ASAP_REGISTRATION";
    /// ASAP_DEREGISTRATION.
    DEREGISTRATION = 0x02, "ASAP_DEREGISTRATION";
    /// ASAP_REGISTRATION_RESPONSE.
    REGISTRATION_RESPONSE = 0x03, "ASAP_REGISTRATION_RESPONSE";
    /// ASAP_DEREGISTRATION_RESPONSE.
    DEREGISTRATION_RESPONSE = 0x04, "ASAP_DEREGISTRATION_RESPONSE";
    /// ASAP_HANDLE_RESOLUTION.
    HANDLE_RESOLUTION = 0x05, "ASAP_HANDLE_RESOLUTION";
    /// ASAP_HANDLE_RESOLUTION_RESPONSE.
    HANDLE_RESOLUTION_RESPONSE = 0x06, "ASAP_HANDLE_RESOLUTION_RESPONSE";
    /// ASAP_ENDPOINT_KEEP_ALIVE.
    ENDPOINT_KEEP_ALIVE = 0x07, "ASAP_ENDPOINT_KEEP_ALIVE";
    /// ASAP_ENDPOINT_KEEP_ALIVE_ACK.
    ENDPOINT_KEEP_ALIVE_ACK = 0x08, "ASAP_ENDPOINT_KEEP_ALIVE_ACK";
    /// ASAP_ENDPOINT_UNREACHABLE.
    ENDPOINT_UNREACHABLE = 0x09, "ASAP_ENDPOINT_UNREACHABLE";
    /// ASAP_SERVER_ANNOUNCE.
    SERVER_ANNOUNCE = 0x0a, "ASAP_SERVER_ANNOUNCE";
    /// ASAP_COOKIE.
    COOKIE = 0x0b, "ASAP_COOKIE";
    /// ASAP_COOKIE_ECHO.
    COOKIE_ECHO = 0x0c, "ASAP_COOKIE_ECHO";
    /// ASAP_BUSINESS_CARD.
    BUSINESS_CARD = 0x0d, "ASAP_BUSINESS_CARD";
    /// ASAP_ERROR.
    ERROR = 0x0e, "ASAP_ERROR";
}

/// What became of a received ASAP message.
///
/// The reply is an ASAP_ERROR, or for a registration with invalid values an ASAP_REGISTRATION_RESPONSE that rejects
/// it. It must not be sent to a multicast group.
pub type Decoded = params::Decoded<MessageType, Message>;

macro_rules! messages {
    ($($name:ident = $kind:ident;)*) => {
        /// Any ASAP message.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*

        impl Message {
            /// Its type.
            pub fn message_type(&self) -> MessageType {
                match self {
                    $(Self::$name(_) => MessageType::$kind,)*
                }
            }

            /// The octets to send, padded to a multiple of four.
            pub fn encode(&self) -> Result<Bytes, EncodeError> {
                match self {
                    $(Self::$name(message) => message.encode(),)*
                }
            }

            fn decode<'a>(
                raw: &RawMessage<'a>,
                unrecognized: &mut Unrecognized<'a>,
            ) -> Result<Self, DecodeError> {
                match MessageType(raw.kind) {
                    $(MessageType::$kind => $name::decode(raw, unrecognized).map(Self::$name),)*
                    _ => Err(raw.unknown()),
                }
            }
        }
    };
}
messages! {
    Registration = REGISTRATION;
    Deregistration = DEREGISTRATION;
    RegistrationResponse = REGISTRATION_RESPONSE;
    DeregistrationResponse = DEREGISTRATION_RESPONSE;
    HandleResolution = HANDLE_RESOLUTION;
    HandleResolutionResponse = HANDLE_RESOLUTION_RESPONSE;
    EndpointKeepAlive = ENDPOINT_KEEP_ALIVE;
    EndpointKeepAliveAck = ENDPOINT_KEEP_ALIVE_ACK;
    EndpointUnreachable = ENDPOINT_UNREACHABLE;
    ServerAnnounce = SERVER_ANNOUNCE;
    Cookie = COOKIE;
    CookieEcho = COOKIE_ECHO;
    BusinessCard = BUSINESS_CARD;
    Error = ERROR;
}

/// Reads one message: the whole of what one SCTP user message or one datagram carried.
pub fn decode(bytes: &[u8]) -> Decoded {
    let raw = match RawMessage::decode(bytes) {
        Ok(raw) => raw,
        Err(error) => return Decoded { message_type: None, message: Err(error), reply: None },
    };
    let mut unrecognized = Unrecognized::default();
    let message = Message::decode(&raw, &mut unrecognized);
    let reply = reply(&raw, &message, &unrecognized).and_then(|reply| reply.encode().ok());
    Decoded { message_type: Some(MessageType(raw.kind)), message, reply }
}

/// What the sender must hear. An error is never answered by an error.
fn reply(
    raw: &RawMessage<'_>,
    message: &Result<Message, DecodeError>,
    unrecognized: &Unrecognized<'_>,
) -> Option<Message> {
    match (MessageType(raw.kind), message) {
        (MessageType::ERROR, _) => None,
        (MessageType::REGISTRATION, Err(error)) if error.is_invalid_values() => {
            RegistrationResponse::rejecting(raw, error).map(Message::from)
        }
        _ => {
            let error = report(message, unrecognized, MAX_REPORT_LENGTH - HEADER)?;
            Some(Error { error }.into())
        }
    }
}
