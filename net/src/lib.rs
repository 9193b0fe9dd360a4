//! The SCTP endpoint and the driver loop for the RSerPool state machines.

mod endpoint;

pub use endpoint::Endpoint;
