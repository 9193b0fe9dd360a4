//! The SCTP endpoint and the driver loop for the RSerPool state machines.

mod buffers;
mod clock;
pub mod driver;
mod endpoint;
pub mod kernel;
pub mod memory;
pub mod sctp;
pub mod udp;

pub use driver::{Driver, DriverConfig, Handle, Listen, StartError, Stopped, Transport};
pub use endpoint::Endpoint;
