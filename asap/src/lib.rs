//! ASAP messages (RFC 5352 §2.2): one message with its response a file.
//!
//! [`decode`] reads a message and says what to answer when its sender must hear that it was not understood;
//! [`Message::encode`] writes one. What the messages mean is the matter of the state machines.

mod announce;
mod business_card;
mod cookie;
mod deregistration;
mod error;
mod keep_alive;
mod message;
mod registration;
mod resolution;
pub mod stream;
mod unreachable;

pub use announce::ServerAnnounce;
pub use business_card::BusinessCard;
pub use cookie::{Cookie, CookieEcho};
pub use deregistration::{Deregistration, DeregistrationResponse};
pub use error::Error;
pub use keep_alive::{EndpointKeepAlive, EndpointKeepAliveAck};
pub use message::{Decoded, Message, MessageType, decode};
pub use params::{DecodeError, EncodeError, Outcome, Problem};
pub use registration::{Registration, RegistrationResponse};
pub use resolution::{HandleResolution, HandleResolutionResponse, PoolListing};
pub use unreachable::EndpointUnreachable;
