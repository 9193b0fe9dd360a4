//! The ASAP endpoint of a process (RFC 5352), async: what the libraries for servers and clients share.
//!
//! You want [`rserpool-pool-element`](../rserpool_pool_element) to write a server and
//! [`rserpool-pool-user`](../rserpool_pool_user) to write a client. Both start an [`AsapEndpoint`] of their own
//! unless they are given one: a process that is a server *and* a client shares one, with one UDP socket and one
//! association to its registrar. This crate is for those who build such a library themselves.
//!
//! A server and a client, on one endpoint:
//!
//! ```no_run
//! use rserpool_endpoint::*;
//!
//! # async fn both() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = AsapEndpoint::start(Config::new(["127.0.0.1:3863".parse()?]))?;
//!
//! let echo = Registration {
//!     handle: "echo".into(),
//!     policy: Policy::RoundRobin,
//!     life: Some(std::time::Duration::from_secs(30)),
//!     id: None, // a random one
//!     transport: ElementTransport::Sessions,
//! };
//! let mut element = endpoint.register(echo, ElementOptions::default()).await?;
//! tokio::spawn(async move {
//!     while let Some(NewSession { mut session, .. }) = element.accept().await {
//!         while let Ok(Incoming::Message(message)) = session.recv().await {
//!             session.send(message.bytes, SendOptions::default()).await?;
//!         }
//!     }
//!     Ok::<_, SessionError>(())
//! });
//!
//! let (mut session, server) = endpoint.connect("echo".into(), SessionOptions::default()).await?;
//! session.send("hello".into(), SendOptions::default()).await?;
//! println!("{server}: {:?}", session.recv().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # How it is made
//!
//! The protocol itself is the machine [`proto::endpoint::AsapEndpoint`]. It runs on one thread together with the
//! SCTP endpoint; the types here reach it by bounded commands, and each session by two bounded queues. So nothing that
//! a task does or fails to do delays a keep-alive, and no lock is held while anybody waits.
//!
//! # What happens on failure
//!
//! * **A server dies**: a started session connects to another one and says [`Incoming::Failover`].
//! * **The registrar dies**: another one is looked for as soon as one is needed; elements register there.
//! * **The endpoint's thread ends**, which only a bug can bring about: everybody who waits gets
//!   [`EndpointError::Stopped`].
//!
//! # What is guaranteed, and what is not
//!
//! * An endpoint lives as long as a handle, an element, a session or a [`Watch`] of it does. When the last one is dropped it
//!   deregisters and closes what is left, in the background; [`AsapEndpoint::close`] waits for that.
//! * All futures are cancel-safe: who stops waiting takes back what was begun, or loses only the answer. Each says which.
//! * All queues are bounded. A full one makes the sender wait, and closes the window of the peer that fills it.
//! * SCTP does not say which pool a session is for: an endpoint accepts sessions for one element
//!   ([`RegisterError::EndpointTaken`]).

mod asap_endpoint;
mod config;
mod discovery;
mod element;
mod error;
mod incoming;
mod pipe;
mod rejection;
mod session;
mod shell;
mod watch;

pub use asap_endpoint::AsapEndpoint;
pub use bytes::Bytes;
pub use config::Config;
pub use discovery::{Discovery, Multicast};
pub use element::{Element, ElementOptions, NewSession};
pub use error::{Addresses, EndpointError, RegisterError, ResolveError, SessionError};
pub use incoming::{Card, Cookie, Incoming};
pub use net::TransportKind;
pub use net::driver::StartError;
pub use net::udp::EncapPorts;
pub use params::{
    Load, OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, Transport,
};
pub(crate) use proto::endpoint::SessionId;
pub use proto::endpoint::{
    Avoidance, CacheOptions, CookieKey, CookieSealing, Counters, ElementTransport, Explanation, LoadUpdates,
    Message, Registration, ReplayLimits, Resolution, ResolveOptions, RetryBudget, SessionOptions, Standing,
};
pub use proto::exactly_once;
pub use proto::profile::{Compat, Profile};
pub use rejection::{Rejection, Rejections};
pub use session::{RecvHalf, SendHalf, SendOptions, Session};
pub use watch::Watch;
