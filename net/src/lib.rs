//! The SCTP endpoint and the driver loop for the RSerPool state machines.

mod buffers;
mod clock;
pub mod dns;
pub mod driver;
pub mod embedded;
mod endpoint;
pub mod kernel;
pub mod memory;
pub mod multicast;
pub mod raw;
pub mod sctp;
pub mod udp;
mod watched;

pub use clock::{unix_time, wakes_after};
pub use driver::{Driver, DriverConfig, Handle, Listen, StartError, Stopped, Transport, TransportKind};
pub use endpoint::Endpoint;
pub use multicast::MulticastConfig;
