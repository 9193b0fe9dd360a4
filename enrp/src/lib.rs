//! ENRP messages (RFC 5353 §2): one message with its response a file.
//!
//! [`decode`] reads a message and says what to answer when its sender must hear that it was not understood;
//! [`Message::encode`] writes one. What the messages mean is the matter of the state machines.

mod error;
mod handle_table;
mod handle_update;
mod list;
mod message;
mod presence;
mod takeover;

pub use error::Error;
pub use handle_table::{HandleTableRequest, HandleTableResponse, PoolEntry, TablePage};
pub use handle_update::{HandleUpdate, UpdateAction};
pub use list::{ListRequest, ListResponse};
pub use message::{Body, Decoded, Message, MessageType, decode};
pub use params::{DecodeError, EncodeError, Outcome, Problem};
pub use presence::Presence;
pub use takeover::{InitTakeover, InitTakeoverAck, TakeoverServer};
