//! RSerPool parameters (RFC 5354) and pool member selection policies on the wire (RFC 5356).
//!
//! The types are the parameters themselves, one family a file. [`wire`] and [`message`] are the parts that the
//! messages of ASAP and ENRP are built of.

mod error;
mod error_cause;
mod identifier;
pub mod message;
mod parameter;
mod policy;
mod pool_element;
mod pool_handle;
mod server_information;
mod silent_elements;
mod transport;
pub mod wire;

pub use error::{DecodeError, EncodeError, Problem};
pub use error_cause::{CauseCode, ErrorCause, OperationError};
pub use identifier::{PeIdentifier, RegistrarId};
pub use message::{Decoded, Outcome};
pub use parameter::{Action, ParameterType};
pub use policy::{Load, Policy, PolicyType};
pub use pool_element::{PoolElement, RegistrationLife};
pub use pool_handle::PoolHandle;
pub use server_information::ServerInformation;
pub use silent_elements::SilentElements;
pub use transport::{
    DccpTransport, SctpTransport, TcpTransport, Transport, TransportUse, UdpLiteTransport, UdpTransport,
};
