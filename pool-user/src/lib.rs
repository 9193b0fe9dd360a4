//! Client library of Reliable Server Pooling (RFC 5351, RFC 5352).
//!
//! A client names a *pool*; the library asks a registrar for the pool's servers and chooses one by the pool's policy.
//! When that dies the *session* continues on another one, which first gets the state that the dead server left
//! in the session's cookie.
//!
//! ```no_run
//! # use rserpool_pool_user::{PoolUser, Received};
//! # async fn client() -> anyhow::Result<()> {
//! let user = PoolUser::new(["127.0.0.1:3863".parse()?]);
//! let mut session = user.connect("counter").await?;
//! for seq in 1u64.. {
//!     session.send(seq.to_be_bytes()).await?;
//!     let count = loop {
//!         match session.recv().await? {
//!             Received::Message(answer) => break answer,
//!             Received::Failover { .. } => session.send(seq.to_be_bytes()).await?, // our cookie is there before us
//!         }
//!     };
//!     println!("{seq}: {count:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Session::request`] does the inner loop by itself, for requests that may be repeated; [`ExactlyOnce`] for those that may
//! not.
//!
//! # With another transport
//!
//! The servers of a pool may speak anything. Who connects by himself takes from the library what a load balancer does:
//! [`PoolUser::choose`] says where to go, [`PoolUser::report_unreachable`] that nobody is there, [`PoolUser::watch`] tells of
//! each change of the pool, [`PoolUser::explain`] why an element is avoided.
//!
//! # What happens on failure
//!
//! * **The server dies** (or freezes, or is cut off, or ends the session): SCTP notices, the library reports it to
//!   the registrar, connects to another element, hands it the cookie and says [`Received::Failover`].
//! * **No server is left**: it goes on looking for as long as its [patience](Builder::patience) lasts. Then the
//!   session ends with what it found last: [`SessionError::NoElement`] if the registrar lists servers that cannot be
//!   reached, [`ResolveError::UnknownPool`] if it lists none any more.
//! * **The registrar dies**: the next one of the list is asked. Sessions do not notice, not even if all registrars
//!   are gone, as long as the pool's elements that were last known live.
//!
//! # What is guaranteed, and what is not
//!
//! * Messages arrive whole, and those of one stream in order, as long as the session stays at one server.
//! * Nothing is repeated behind your back. What was sent before [`Received::Failover`] and not answered may be lost, or
//!   may have been processed: send it again if it may be repeated, or have the server recognise repeats with the help
//!   of its cookie, as the example does. What you send before you have seen the failover never reaches the new server.
//! * Answers of the former server that had arrived come before [`Received::Failover`], those of the new one after.
//!
//! # Flow control
//!
//! Nothing is unbounded. [`Session::send`] waits while 256 KiB of the session wait for SCTP; a message
//! has at most 1 MiB. While more than that is
//! unread, the session's association is not read, and the server has to wait.

mod exactly_once;
mod pool_user;
mod session;

pub use endpoint::{
    Addresses, AsapEndpoint, Avoidance, CacheOptions, Compat, Counters, Discovery, EndpointError,
    Explanation, Message, Multicast, Profile, Resolution, ResolveError, RetryBudget, SendOptions,
    SessionError, Standing, StartError, TransportKind, Watch,
};
pub use exactly_once::ExactlyOnce;
pub use params::{
    CauseCode, DccpTransport, ErrorCause, Load, OperationError, PeIdentifier, Policy, PolicyType,
    PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport, TcpTransport, Transport,
    TransportUse, UdpLiteTransport, UdpTransport,
};
pub use pool_user::{Builder, PoolUser};
pub use session::{Received, Session};
