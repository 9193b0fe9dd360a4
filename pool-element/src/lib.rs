//! Server library of Reliable Server Pooling (RFC 5351, RFC 5352).
//!
//! A server joins a *pool* by registering with one of the pool's registrars. Its clients hold *sessions*: when the
//! server dies, the session continues on another element of the pool, with the state that the dead server left in
//! the session's *cookie*.
//!
//! A server that survives its own death, each operation done exactly once:
//!
//! ```no_run
//! # use rserpool_pool_element::{ExactlyOnce, Policy, PoolElement};
//! # async fn server(regs: Vec<std::net::SocketAddr>) -> anyhow::Result<()> {
//! let mut element = PoolElement::builder("counter").policy(Policy::RoundRobin).registrars(regs).register().await?;
//! while let Some(session) = element.accept().await {
//!     tokio::spawn(async move {
//!         let mut session = ExactlyOnce::new(session);
//!         while let Some(_request) = session.next().await? {
//!             let count = session.state().map_or(Ok([0; 8]), <[u8; 8]>::try_from)?;
//!             let count = (u64::from_be_bytes(count) + 1).to_be_bytes();
//!             session.answer(count, count).await?; // whoever sees the answer holds the state
//!         }
//!         Ok::<_, anyhow::Error>(())
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The client's side is in `rserpool-pool-user`.
//!
//! # Cookies
//!
//! [`ExactlyOnce`] numbers the operations and keeps the state in the cookie. By hand that is: the client numbers its requests; the
//! cookie remembers the last number with its answer.
//!
//! ```no_run
//! # use rserpool_pool_element::{Policy, PoolElement};
//! # #[derive(Default)]
//! # struct Counter { last: u64, count: u64 }
//! # impl Counter {
//! #     fn encode(&self) -> Vec<u8> { [self.last.to_be_bytes(), self.count.to_be_bytes()].concat() }
//! #     fn decode(cookie: &[u8]) -> anyhow::Result<Self> {
//! #         let (last, count) = cookie.split_at_checked(8).ok_or_else(|| anyhow::anyhow!("short cookie"))?;
//! #         Ok(Self { last: u64::from_be_bytes(last.try_into()?), count: u64::from_be_bytes(count.try_into()?) })
//! #     }
//! # }
//! # async fn server(regs: Vec<std::net::SocketAddr>) -> anyhow::Result<()> {
//! let mut element = PoolElement::builder("counter").policy(Policy::RoundRobin).registrars(regs).register().await?;
//! while let Some(mut session) = element.accept().await {
//!     tokio::spawn(async move {
//!         let mut known = None;
//!         while let Some(request) = session.recv().await? {
//!             let mut state: Counter = match known {
//!                 Some(state) => state,
//!                 None => session.cookie().map(Counter::decode).transpose()?.unwrap_or_default(), // the former server's
//!             };
//!             let seq = u64::from_be_bytes(request[..].try_into()?);
//!             if seq != state.last { state = Counter { last: seq, count: state.count + 1 }; } // a repeat is only answered
//!             session.set_cookie(state.encode()).await?; // before the answer, same ordered stream: who saw it, holds it
//!             session.send(state.count.to_be_bytes()).await?;
//!             known = Some(state);
//!         }
//!         Ok::<_, anyhow::Error>(())
//!     });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A server that is not yours
//!
//! Any TCP, UDP or SCTP server can be in a pool; clients resolve it and connect by themselves. A check keeps it there only
//! while it is ready:
//!
//! ```no_run
//! # use rserpool_pool_element::{Check, PoolElement, Transport};
//! # async fn server(regs: Vec<std::net::SocketAddr>) -> anyhow::Result<()> {
//! let address = "127.0.0.1:8080".parse()?;
//! let web = PoolElement::builder("web").service(Transport::tcp(address)).registrars(regs);
//! let mut service = web.register_while(Check::http(address, "/health"))?;
//! println!("registered as {}", service.registered().await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Joining and leaving
//!
//! * [`Builder::registrars`] takes the addresses of one or more registrars, or another way to find them: [`Discovery`].
//!   [`Builder::register`] returns when one has confirmed the element, which is from then on kept registered, at another registrar
//!   if need be.
//! * [`Builder::listen`] is where clients reach the server. The default is loopback, so another host needs another address.
//! * A server that takes no new sessions for a while says so with [`PoolElement::set_ready`]; those that it has go on.
//! * A server that is stopped on purpose leaves with [`PoolElement::drain`]: its sessions are handed over, and nothing is
//!   lost. [`PoolElement::deregister`] leaves the sessions alone; dropping the element deregisters it in the background. Whom
//!   clients should go to can be recommended ([`Builder::failover_order`]); else the policy decides.
//!
//! # What happens on failure
//!
//! * **This server dies** (or freezes, or is cut off): its clients notice by SCTP, choose another element of the pool, which gets
//!   the latest cookie first, and go on there. The registrars remove the dead one.
//! * **Its registrar dies**: another registrar takes the element over, or the element finds one and registers there.
//!   Sessions do not notice. [`PoolElement::home`] and [`PoolElement::home_changed`] tell.
//! * **All registrars are gone**: sessions go on, and the element registers again as soon as there is one.
//! * **The client dies**: [`Session::recv`] returns [`SessionError::Lost`].
//! * **A registrar refuses the registration**: [`RegisterError::Rejected`] says why, and what to do about it.
//!
//! # What is guaranteed, and what is not
//!
//! * A client that has seen a message has the cookie that was set before it, if both went in order on stream 0 (the
//!   default). That is what makes "exactly once" possible.
//! * "Exactly once" goes for what is in the cookie. What else an operation does, say in a database, it may do twice if its server
//!   dies in between, unless the database knows the number of the operation: the example `key_value_server` shows how.
//! * Messages arrive whole, and those of one stream in order, as long as the session stays at one server. What was on
//!   its way when a server died may be lost, or may have been processed without an answer: repeats must be harmless.
//! * Cookies come back through the client: they are not secret, and a malicious client can alter them, unless they are
//!   [sealed](Builder::seal_cookies). Even a sealed one can be an older one, or another client's, until it expires.
//! * Who is in a pool is soft state in the registrars' memory: available, not consistent. A client may try a server that has
//!   just left, and finds another one.
//! * All futures are cancel-safe, and each says how: dropping [`Session::send`], [`Session::recv`] or [`PoolElement::accept`] loses
//!   nothing that had arrived; dropping [`Builder::register`] takes the registration back; [`PoolElement::set_ready`],
//!   [`PoolElement::drain`], [`PoolElement::deregister`] and [`Session::close`] go on without whoever waited. The exception is
//!   [`ExactlyOnce::answer`]: after that the session is to be dropped as well.
//! * Nobody is authenticated: listen on networks that you trust.
//!
//! # Flow control
//!
//! Nothing is unbounded. [`Session::send`] waits while 256 KiB of the session wait for SCTP, where each message counts 128 bytes
//! besides its own; a message has at most 1 MiB. While more than 256 KiB are unread, the session's association is not read, and the
//! client has to wait. A server that answers before it receives the next request depends on a client that receives; one that must
//! not [splits](Session::split) the session. 1024 sessions wait for [`PoolElement::accept`]; more are refused, and go elsewhere.
//!
//! # Threads and runtimes
//!
//! Each element has an [`AsapEndpoint`]: one thread, and on it one UDP socket with all its associations. It keeps the
//! element registered, and the sessions alive, whatever the program's own tasks do. An element that offers no sessions of its
//! own, or a client in the same process, can share it ([`Builder::endpoint`]). The futures of this library run on any
//! runtime; only [`Builder::register_while`] needs one of tokio.
//!
//! # Examples
//!
//! `cargo run -p rserpool-pool-element --example NAME`, for each of which there is a client in `rserpool-pool-user`:
//!
//! | | |
//! |---|---|
//! | `counter_server` | the state of a session is in its cookie |
//! | `key_value_server` | the state is common to all sessions, and each update is done once |
//! | `work_farm_worker` | jobs that last, with a cookie as checkpoint; a worker that leaves in order |
//! | `http_sidecar` | puts a server that knows nothing of pools into one (`http_server`) |
//! | `ping_pong_server` | the protocol of rsplib, and the options that interworking needs |
//! | `calcapp_server` | a service of rsplib: the cookie alone is enough to go on with a job |
//! | `fractal_server` | a service of rsplib: an answer in many messages, continued in its middle |

mod builder;
mod check;
mod element;
mod exactly_once;
mod halves;
mod service;
mod session;

pub use builder::Builder;
pub use check::Check;
pub use element::PoolElement;
pub use endpoint::{
    Addresses, AsapEndpoint, Bytes, Card, Compat, CookieKey, CookieSealing, Counters, Discovery,
    EndpointError, LoadUpdates, Message, Multicast, Profile, RegisterError, Rejection, Rejections,
    ResolveError, SendOptions, SessionError, StartError, TransportKind,
};
pub use exactly_once::ExactlyOnce;
pub use halves::{RecvHalf, SendHalf};
pub use params::{
    CauseCode, DccpTransport, Load, ParameterType, PeIdentifier, Policy, PolicyType, PoolHandle, RegistrarId,
    SctpTransport, TcpTransport, Transport, TransportUse, UdpLiteTransport, UdpTransport,
};
pub use service::Service;
pub use session::Session;
