//! Client library of Reliable Server Pooling (RFC 5351, RFC 5352).
//!
//! A client names a *pool*; the library asks a registrar for the pool's servers and chooses one by the pool's policy.
//! When that dies the *session* continues on another one, which first gets the state that the dead server left
//! in the session's cookie.
//!
//! ```no_run
//! # use rserpool_pool_user::{ExactlyOnce, PoolUser};
//! # async fn client() -> anyhow::Result<()> {
//! let user = PoolUser::new(["127.0.0.1:3863".parse()?]);
//! let mut session = ExactlyOnce::new(user.connect("counter").await?);
//! loop {
//!     let count = session.call(b"one more").await?; // done once, whatever happens to the servers
//!     println!("{}: {count:?}", session.session().element());
//! }
//! # }
//! ```
//!
//! The server's side is in `rserpool-pool-element`.
//!
//! # Three ways to ask
//!
//! * [`ExactlyOnce`], as above: requests that must not be done twice.
//! * [`Session::request`] repeats by itself after a failover, for requests that may be done twice.
//! * [`Session::send`] and [`Session::recv`] leave everything to you; at the same time, without waiting for answers, if the session is
//!   [split](Session::split). What `ExactlyOnce` does, by hand:
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
//! # Finding registrars
//!
//! A [`PoolUser`] takes the addresses of one or more registrars, or another way to find them: [`Discovery`]. One that answers is
//! enough: it names the others. Nothing happens before the first operation.
//!
//! # With another transport
//!
//! The servers of a pool may speak anything. Who connects by himself takes from the library what a load balancer does:
//!
//! ```no_run
//! # use rserpool_pool_user::PoolUser;
//! # async fn client(user: PoolUser) -> anyhow::Result<()> {
//! let server = user.choose("web").await?;
//! let address = server.user_transport.socket_addresses().next();
//! // connect, and if nobody is there:
//! user.report_unreachable("web", server.id).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`PoolUser::resolve`] gives all elements in the order in which they should be tried, [`PoolUser::watch`] each change of the pool,
//! [`PoolUser::explain`] the reasons why an element is avoided.
//!
//! # What happens on failure
//!
//! * **The server dies** (or freezes, or is cut off, or ends the session): SCTP notices, the library connects to another
//!   element, hands it the cookie and says [`Received::Failover`]. A server that is silent, or where nobody listens any more, is
//!   reported to the registrar.
//! * **No server is left**: it goes on looking for as long as its [patience](Builder::patience) lasts. Then the
//!   session ends with what it found last: [`SessionError::NoElement`] if the registrar lists servers that cannot be
//!   reached, [`ResolveError::UnknownPool`] if it lists none any more.
//! * **The registrar dies**: another one is asked. Sessions do not notice, not even if all registrars
//!   are gone, as long as the pool's elements that were last known live. What was resolved is used for an hour without any
//!   registrar ([`CacheOptions`]).
//! * **This host is cut off**: nobody is accused. An element is reported, and avoided, only when something else is heard.
//! * **A server is slow to connect to**: another one is tried beside it ([`Builder::connect_stagger`]), within a
//!   [budget](Builder::retry_budget) that keeps a crowd of clients from making things worse.
//!
//! # What is guaranteed, and what is not
//!
//! * Messages arrive whole, and those of one stream in order, as long as the session stays at one server.
//! * Nothing is repeated behind your back, unless you [want it](Builder::replay). What was sent before [`Received::Failover`]
//!   and not answered may be lost, or may have been processed: send it again if it may be repeated, or have the server
//!   recognise repeats with the help of its cookie, as the example by hand does. What you send before you have seen the failover
//!   never reaches the new server.
//! * Answers of the former server that had arrived come before [`Received::Failover`], those of the new one after.
//! * A new server gets the latest cookie before anything else. With a server that sets the cookie before it answers, whoever has
//!   an answer has the state that belongs to it.
//! * All futures are cancel-safe, and each says how: dropping [`Session::send`], [`Session::recv`] or [`Session::request`] loses
//!   nothing that had arrived, and leaves the session usable. A deadline is `tokio::time::timeout`, or [`Session::request_within`].
//! * A sealed cookie is good for as long as its server says, an hour by default. Afterwards the session cannot go on elsewhere.
//! * Nobody is authenticated: a registrar can send you anywhere. Use networks that you trust.
//!
//! What goes wrong and is not returned to anybody is a warning for [`tracing`](https://docs.rs/tracing): install a subscriber.
//!
//! # Flow control
//!
//! Nothing is unbounded. [`Session::send`] waits while 256 KiB of the session wait for SCTP, where each message counts 128 bytes
//! besides its own; a message has at most 1 MiB. While more than 256 KiB are unread, the session's association is not read, and the
//! server has to wait. So who sends without receiving comes to a stop, and so does a server that answers: [split](Session::split)
//! the session, and do both.
//!
//! # Threads and runtimes
//!
//! Each [`PoolUser`] has an [`AsapEndpoint`]: one thread, and on it one UDP socket for all its sessions. Its clones share it, and
//! a pool element of the process can, too ([`PoolUser::sharing`]). The futures of this library run on any runtime; only
//! [`Session::request_within`] needs one of tokio.
//!
//! # Examples
//!
//! `cargo run -p rserpool-pool-user --example NAME`, for each of which there is a server in `rserpool-pool-element`:
//!
//! | | |
//! |---|---|
//! | `counter_client` | operations that are done once: [`ExactlyOnce`] |
//! | `key_value_client` | requests that repeat themselves: [`Session::request`] |
//! | `work_farm` | many sessions at a time, a job each |
//! | `http_client` | a transport of one's own: [`PoolUser::choose`], [`PoolUser::report_unreachable`] |
//! | `ping_pong_client` | the protocol of rsplib, and the options that interworking needs |
//! | `calcapp_client` | a service of rsplib: jobs that are not asked for again |
//! | `fractal_client` | a service of rsplib: an image, of however many servers |

mod exactly_once;
mod halves;
mod pool_user;
mod session;
mod unanswered;

pub use endpoint::{
    Addresses, AsapEndpoint, Avoidance, Bytes, CacheOptions, Compat, Counters, Discovery, EndpointError,
    Explanation, Message, Multicast, Profile, ReplayLimits, Resolution, ResolveError, RetryBudget,
    SendOptions, SessionError, Standing, StartError, TransportKind, Watch,
};
pub use exactly_once::ExactlyOnce;
pub use halves::{RecvHalf, SendHalf};
pub use params::{
    CauseCode, DccpTransport, ErrorCause, Load, OperationError, PeIdentifier, Policy, PolicyType,
    PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport, TcpTransport, Transport,
    TransportUse, UdpLiteTransport, UdpTransport,
};
pub use pool_user::{Builder, PoolUser};
pub use session::{Received, Session};
