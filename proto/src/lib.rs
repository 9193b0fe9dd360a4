//! The RSerPool state machines, without I/O, clock or runtime.
//!
//! [`registrar::Registrar`] is a registrar (ENRP server, RFC 5353, and the server side of ASAP, RFC 5352);
//! [`endpoint::AsapEndpoint`] is everything a pool element and a pool user do (RFC 5352). Both are a [`Node`].

mod announce;
pub mod endpoint;
mod node;
mod outbox;
pub mod profile;
pub mod registrar;
mod time;
mod timers;

pub use node::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, PPID_NONE, Transmit};
pub use time::Time;
