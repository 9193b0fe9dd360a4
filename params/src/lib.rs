//! RSerPool parameters (RFC 5354) and pool member selection policies on the wire (RFC 5356).
//!
//! The types are the parameters themselves, one family a file.

mod error_cause;
mod identifier;
mod policy;
mod pool_element;
mod pool_handle;
mod server_information;
mod transport;

pub use error_cause::{CauseCode, ErrorCause, OperationError};
pub use identifier::{PeIdentifier, RegistrarId};
pub use policy::{Load, Policy, PolicyType};
pub use pool_element::{PoolElement, RegistrationLife};
pub use pool_handle::PoolHandle;
pub use server_information::ServerInformation;
pub use transport::{
    DccpTransport, SctpTransport, TcpTransport, Transport, TransportUse, UdpLiteTransport, UdpTransport,
};
