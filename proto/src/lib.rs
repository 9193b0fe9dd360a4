//! The RSerPool state machines, without I/O, clock or runtime.
//!
//! [`registrar::Registrar`] is a registrar (ENRP server, RFC 5353, and the server side of ASAP, RFC 5352);
//! [`endpoint::AsapEndpoint`] is everything a pool element and a pool user do (RFC 5352). Both are a [`Node`].
//! [`exactly_once`] is what applications of both do that want each operation done once.

mod announce;
pub mod endpoint;
pub mod exactly_once;
mod node;
mod outbox;
pub mod profile;
pub mod registrar;
mod time;
mod timers;

/// The handle of the pool whose elements are the registrars themselves (design D6). Nobody else can register there. The
/// identifier of an element is that of its registrar, its user transport the registrar's ASAP endpoint.
pub const REGISTRAR_POOL: &str = "_rserpool.registrars";

pub use node::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, PPID_NONE, Transmit};
pub use time::Time;
