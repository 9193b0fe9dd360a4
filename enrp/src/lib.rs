//! ENRP messages (RFC 5353 §2).

mod message;
pub use message::*;
