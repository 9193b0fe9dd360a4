//! What an endpoint tells its owner: events, and errors by whose fault they are.

use super::{CookieRefusal, ElementId, Message, RequestId, SessionId};
use bytes::Bytes;
use params::{OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId};
use std::net::SocketAddr;

/// What an endpoint tells its owner, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The element is registered: for the first time, or again after it was not.
    Registered {
        /// Which.
        element: ElementId,
        /// Its identifier in the pool; a new one if the former was taken.
        id: PeIdentifier,
        /// Its home registrar, if that has named itself yet; else `HomeChanged` follows.
        home: Option<RegistrarId>,
        /// A warning: registered, but with other values than asked for (RFC 5352 §2.2.3).
        warning: Option<OperationError>,
    },
    /// The element is not registered; the error says whether the endpoint goes on trying.
    RegistrationFailed {
        /// Which.
        element: ElementId,
        /// Why.
        error: RegisterError,
    },
    /// The registrar let the registration expire (RFC 5352 §3.2). The endpoint registers again.
    Expired {
        /// Which.
        element: ElementId,
    },
    /// The element is gone from this endpoint; its `ElementId` means nothing any more.
    Deregistered {
        /// Which.
        element: ElementId,
        /// Why the registrar still lists it until it notices, if so.
        error: Option<RegisterError>,
    },
    /// The element that is [not ready](super::AsapEndpoint::set_ready) is out of its pool.
    Withdrawn {
        /// Which.
        element: ElementId,
        /// Why the registrar still lists it until it notices, if so.
        error: Option<RegisterError>,
    },
    /// The element that was [drained](super::AsapEndpoint::drain) is deregistered and its last session has ended.
    Drained {
        /// Which.
        element: ElementId,
    },
    /// The home registrar is known by this identifier now.
    HomeChanged {
        /// The registrar.
        home: RegistrarId,
    },
    /// There is a home registrar: the hunt found one, or one took us over (RFC 5352 §3.6, §3.4).
    RegistrarConnected {
        /// Its addresses.
        remote: Vec<SocketAddr>,
    },
    /// The home registrar is gone; the hunt goes on.
    RegistrarLost,
    /// The hunt has found no registrar for a second; it goes on. Said once a hunt.
    NoRegistrarFound {
        /// Where it looked: the first address of each registrar.
        tried: Vec<SocketAddr>,
    },
    /// A resolution ended.
    Resolved {
        /// Which.
        request: RequestId,
        /// The elements, the preferred one first, or why there are none.
        result: Result<Resolution, ResolveError>,
    },
    /// A pool that is [watched](super::AsapEndpoint::watch) has changed, or was asked for for the first time.
    PoolChanged {
        /// Which.
        handle: PoolHandle,
        /// Its elements now, in no particular order, or why there are none. The endpoint goes on watching.
        result: Result<Resolution, ResolveError>,
    },
    /// A pool user started a session with us. Announced at its first message, or `cookie_wait` after its start.
    SessionAccepted {
        /// Names it.
        session: SessionId,
        /// The element it is for. SCTP does not say; if several elements of this process take sessions it is
        /// the one that was registered first.
        element: ElementId,
        /// The cookie of the session that continues here, as its former server set it (RFC 5352 §3.8).
        cookie: Option<Bytes>,
        /// The version of what is in the cookie, if cookies are sealed ([`CookieSealing::versions`]); else 0.
        ///
        /// [`CookieSealing::versions`]: super::CookieSealing::versions
        version: u32,
        /// The pool user.
        remote: Vec<SocketAddr>,
    },
    /// A cookie arrived after its session was announced (more than `cookie_wait` late, or a repeated one).
    CookieReceived {
        /// The session.
        session: SessionId,
        /// The cookie.
        cookie: Bytes,
        /// As in [`Event::SessionAccepted`].
        version: u32,
    },
    /// The pool user of an accepted session is a pool element itself, and says who can be turned to when it is gone, or has changed
    /// that (RFC 5352 §3.9). It says so of itself: nobody has checked it.
    CardReceived {
        /// The session.
        session: SessionId,
        /// Its pool.
        handle: PoolHandle,
        /// Elements of the pool, the preferred one first; for
        /// [`connect_preferring`](super::AsapEndpoint::connect_preferring).
        elements: Vec<PoolElement>,
    },
    /// A session was refused before it was accepted, because of its cookie. Its pool user tries other elements.
    CookieRefused {
        /// The element.
        element: ElementId,
        /// The pool user.
        remote: Vec<SocketAddr>,
        /// Why.
        why: CookieRefusal,
    },
    /// The session has its first server.
    Connected {
        /// Which.
        session: SessionId,
        /// The server.
        element: PeIdentifier,
    },
    /// A message arrived.
    Received {
        /// The session.
        session: SessionId,
        /// The message.
        message: Message,
    },
    /// The session continues on another server (or again on the only one), which has the latest cookie.
    ///
    /// Unless it was `replayed`, what was sent before and not answered may be lost: queued messages were dropped, and until
    /// the owner shows with `epoch` that it knows, what it sends is dropped as well.
    Failover {
        /// Which.
        session: SessionId,
        /// The former server.
        from: PeIdentifier,
        /// The new one.
        to: PeIdentifier,
        /// To be passed to [`send`](super::AsapEndpoint::send) from now on.
        epoch: u32,
        /// All that the cookie does not cover was sent again ([`ReplayLimits`](super::ReplayLimits)): the owner has nothing to
        /// repeat.
        replayed: bool,
    },
    /// The session has sent more since its cookie than it may keep ([`ReplayLimits`](super::ReplayLimits)). Nothing of it is
    /// sent again, now and later.
    ReplayGivenUp {
        /// Which.
        session: SessionId,
        /// So many messages were kept.
        messages: usize,
        /// And so many bytes of them.
        bytes: usize,
    },
    /// Something left the session's queue: handed to SCTP, or dropped by a failover.
    Sent {
        /// The session.
        session: SessionId,
        /// What it took of the queue: the bytes of messages and of cookies, and for each of them
        /// [`MESSAGE_OVERHEAD`](super::MESSAGE_OVERHEAD).
        bytes: usize,
    },
    /// SCTP refused a message (too large for the peer, or no such stream); it was not sent.
    SendFailed {
        /// The session.
        session: SessionId,
        /// The message, as far as it came back.
        bytes: Bytes,
        /// Why.
        why: &'static str,
    },
    /// The endpoint ends the session by itself: the [grace](super::AsapEndpoint::drain) of its element is over, or it
    /// [shuts down](super::AsapEndpoint::shutdown). What was sent is still delivered, and nothing more is taken; [`Event::Closed`] follows.
    Closing {
        /// Which.
        session: SessionId,
    },
    /// The session ended; its `SessionId` means nothing any more.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        why: CloseReason,
    },
}

/// The answer to a resolution (RFC 5352 §2.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolution {
    /// The pool's policy.
    pub policy: Policy,
    /// The elements in the order in which they should be tried.
    pub elements: Vec<PoolElement>,
    /// Whether this is older than stale.cache.value: a registrar is asked again, or none answers.
    pub stale: bool,
}

impl Resolution {
    /// A fresh one.
    pub const fn new(policy: Policy, elements: Vec<PoolElement>) -> Self {
        Self { policy, elements, stale: false }
    }
}

/// Why an element is not (de-)registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The registrar refused. Nothing more is tried until the application changes something (RFC 5352 §3.1).
    #[error("the registrar rejected it: {0}")]
    Rejected(OperationError),
    /// No registrar answered MAX-REG-ATTEMPT times. A registration goes on being tried (ambiguity A-29).
    #[error("no registrar answers")]
    NoRegistrar,
}

/// Why a resolution has no elements to offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// There is no such pool.
    #[error("unknown pool")]
    UnknownPool,
    /// The registrar refused for another reason.
    #[error("the registrar refused: {0}")]
    Refused(OperationError),
    /// No registrar answered MAX-REQUEST-RETRANSMIT times.
    #[error("no registrar answers")]
    NoRegistrar,
    /// The endpoint shuts down.
    #[error("shutting down")]
    ShuttingDown,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed or aborted it.
    #[error("closed by this side")]
    Local,
    /// The pool user closed it (accepted sessions only: a started one fails over).
    #[error("closed by the peer")]
    Peer,
    /// The association of an accepted session broke; why.
    #[error("lost: {0}")]
    Lost(String),
    /// The first resolution failed.
    #[error("cannot resolve the pool: {0}")]
    Resolve(ResolveError),
    /// An accepted session: this element does not take it up with the cookie that arrived late.
    #[error("the cookie was refused: {0}")]
    CookieRefused(CookieRefusal),
    /// A started session: no element that could be reached in time took it up with its cookie; what the last one said.
    #[error("the pool's elements refuse the session's cookie: {0}")]
    CookieRefusedByPeer(String),
    /// No element of the pool could be reached in time.
    #[error("no element of the pool can be reached")]
    NoElement,
}

/// Why a command was refused. Nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A limit is reached; which.
    #[error("too many {0}")]
    Limit(&'static str),
    /// An argument cannot stand; why.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
    /// There is no such element or session (any more).
    #[error("no such element or session")]
    Unknown,
    /// The endpoint is shutting down.
    #[error("shutting down")]
    ShuttingDown,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session's queue has no room: wait for [`Event::Sent`].
    #[error("the session's queue is full")]
    Full,
    /// Empty, or larger than the limit.
    #[error("a message is between 1 and {limit} bytes long")]
    Size {
        /// [`Limits::message`](super::Limits::message).
        limit: usize,
    },
    /// Payload protocol 11 is the control channel's (RFC 5352 §5).
    #[error("payload protocol identifier 11 is reserved")]
    ReservedPpid,
    /// A session with replay knows only one order.
    #[error("a session with replay sends in order on stream 0")]
    OutOfOrder,
    /// Only a sealed cookie can be for one element alone.
    #[error("cookies are not sealed: anybody could take the session up")]
    NotSealed,
    /// Only servers set cookies.
    #[error("only an accepted session sets cookies")]
    NotServer,
    /// There is no such session, or it is closing.
    #[error("the session is closed")]
    Closed,
}
