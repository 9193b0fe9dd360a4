//! The ASAP endpoint of a process (RFC 5352), async: what the libraries for servers and clients share.
//!
//! You want [`rserpool-pool-element`](../rserpool_pool_element) to write a server and
//! [`rserpool-pool-user`](../rserpool_pool_user) to write a client. Both start an [`AsapEndpoint`] of their own
//! unless they are given one: a process that is a server *and* a client shares one, with one UDP socket and one
//! association to its registrar.
//!
//! The protocol itself is the machine [`proto::endpoint::AsapEndpoint`]. It runs on one thread together with the
//! SCTP endpoint; the types here reach it by bounded commands, and each session by two bounded queues.

mod asap_endpoint;
mod config;
mod discovery;
mod element;
mod error;
mod pipe;
mod rejection;
mod session;
mod shell;
mod watch;

pub use asap_endpoint::AsapEndpoint;
pub use config::Config;
pub use discovery::{Discovery, Multicast};
pub use element::{Element, ElementOptions, NewSession};
pub use error::{Addresses, EndpointError, RegisterError, ResolveError, SessionError};
pub use net::TransportKind;
pub use net::driver::StartError;
pub use net::udp::EncapPorts;
pub use pipe::{Cookie, Incoming};
pub(crate) use proto::endpoint::SessionId;
pub use proto::endpoint::{
    Avoidance, CacheOptions, CookieKey, CookieSealing, Counters, ElementTransport, Explanation, LoadUpdates,
    Message, Registration, Resolution, ResolveOptions, RetryBudget, SessionOptions, Standing,
};
pub use proto::profile::{Compat, Profile};
pub use rejection::{Rejection, Rejections};
pub use session::{SendOptions, Session};
pub use watch::Watch;
