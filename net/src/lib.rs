//! The SCTP endpoint and the driver loop for the RSerPool state machines.

mod endpoint;
pub mod memory;
pub mod sctp;

pub use endpoint::Endpoint;
