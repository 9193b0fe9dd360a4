//! What can go wrong, by operation. Every message says what to do about it.

use crate::Rejections;
use net::driver::{StartError, Stopped};
use params::{OperationError, PoolHandle};
use proto::endpoint::CommandError;
use std::fmt;
use std::net::SocketAddr;
use std::slice;
use std::sync::Arc;

/// The ASAP endpoint of this process does not work.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The socket could not be opened, or the system refused something else.
    #[error("{0}{advice}", advice = advice(.0))]
    Start(Arc<StartError>),
    /// The list of registrars is empty.
    #[error(
        "no registrar is configured: give the address of at least one, or have them found by DNS or multicast"
    )]
    NoRegistrarConfigured,
    /// A socket on loopback reaches nobody outside.
    #[error("registrar {registrar} cannot be reached from {listen}: listen on an address of the network")]
    LoopbackOnly {
        /// Where this endpoint listens.
        listen: SocketAddr,
        /// The registrar.
        registrar: SocketAddr,
    },
    /// The endpoint's thread is gone.
    #[error("the ASAP endpoint of this process has stopped: {0}")]
    Stopped(Arc<str>),
    /// A bound of this endpoint is reached; which one.
    #[error("too many {0} in this process")]
    Limit(&'static str),
    /// An argument cannot stand; why.
    #[error("invalid argument: {0}")]
    Invalid(&'static str),
}

/// What to do about an error that does not say so itself.
fn advice(error: &StartError) -> &'static str {
    match error {
        StartError::AddressInUse { .. } | StartError::Bind { .. } => {
            "; choose another address, or port 0 for any free port"
        }
        _ => "",
    }
}

impl EndpointError {
    /// Whoever had the answer is gone.
    pub(crate) fn stopped() -> Self {
        Self::Stopped("it ended before it answered".into())
    }
}

impl From<StartError> for EndpointError {
    fn from(error: StartError) -> Self {
        Self::Start(Arc::new(error))
    }
}

impl From<Stopped> for EndpointError {
    fn from(error: Stopped) -> Self {
        Self::Stopped(error.reason.into())
    }
}

impl From<CommandError> for EndpointError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Limit(what) => Self::Limit(what),
            CommandError::Invalid(why) => Self::Invalid(why),
            CommandError::Unknown => Self::Invalid("there is no such element or pool here"),
            _ => Self::Stopped(error.to_string().into()),
        }
    }
}

/// An element is not registered, or its registration could not be changed (RFC 5352 §3.1).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The endpoint of this process does not work.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No registrar answered in time.
    #[error("no registrar reachable at {0}: start one there, or correct the addresses")]
    NoRegistrar(Addresses),
    /// The registrar refused.
    #[error("the registrar refused the registration in pool \"{pool}\": {reasons}")]
    Rejected {
        /// The pool.
        pool: PoolHandle,
        /// All that it has against it.
        reasons: Rejections,
    },
    /// SCTP does not say which pool a session is for, so an endpoint takes sessions for one element only.
    #[error(
        "pool \"{0}\" needs an endpoint of its own: the sessions that arrive at this one belong to another element"
    )]
    EndpointTaken(PoolHandle),
    /// The element was taken out of its pool.
    #[error("the element is not registered in pool \"{0}\" any more")]
    Deregistered(PoolHandle),
}

/// A pool handle was not resolved (RFC 5352 §3.3).
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The endpoint of this process does not work.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// No registrar answered in time.
    #[error("no registrar reachable at {0}: start one there, or correct the addresses")]
    NoRegistrar(Addresses),
    /// The registrar does not know the pool.
    #[error("unknown pool \"{0}\": no element is registered")]
    UnknownPool(PoolHandle),
    /// The registrar refused.
    #[error("the registrar refused to resolve pool \"{pool}\": {error}")]
    Refused {
        /// The pool.
        pool: PoolHandle,
        /// The registrar's reasons.
        error: OperationError,
    },
}

/// A session cannot start or go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The endpoint of this process does not work.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The pool could not be resolved: when the session was to start, or until its patience ended. So it ends when the
    /// last element of the pool is gone and the registrar knows it.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Every element that the registrar lists was tried, again and again, for as long as the session's patience lasts.
    #[error("no element of pool \"{0}\" can be reached, though the registrar lists some: are they running?")]
    NoElement(PoolHandle),
    /// No element takes the session up with the cookie that its former server set; what the last one said. For a server: its
    /// own reason.
    #[error("the session's cookie is refused: {0}")]
    CookieRefused(Arc<str>),
    /// The other side is gone: the client of an accepted session, or the server while the client ended the session. (In the
    /// middle of a session a client that loses its server goes on at another one.)
    #[error("the other side of the session is gone: {0}")]
    Lost(Arc<str>),
    /// The other side does not keep to the rules of the exchange, or this one does not; how.
    #[error("unexpected: {0}")]
    Unexpected(&'static str),
    /// The session continues on another server, and this half of it was not told: [`SendHalf::failover`](crate::SendHalf::failover).
    /// The message was written for the former one, and was not sent.
    #[error("the session continues on another server: what was written for the former one is not sent")]
    FailedOver,
    /// There was no answer within the time that the caller has set.
    #[error("no answer in time")]
    Timeout,
    /// The session has ended in order; nothing more can be sent or received.
    #[error("the session is closed")]
    Closed,
    /// This message cannot be sent, whatever happens; the session goes on.
    #[error("a message of {length} bytes was not sent: {why}")]
    Unsendable {
        /// Its length.
        length: usize,
        /// Why.
        why: &'static str,
    },
}

/// Addresses of registrars, shown separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub(crate) Vec<SocketAddr>);

impl Addresses {
    /// One after the other.
    pub fn iter(&self) -> slice::Iter<'_, SocketAddr> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Addresses {
    type Item = &'a SocketAddr;
    type IntoIter = slice::Iter<'a, SocketAddr>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any address that DNS or an announcement has named");
        }
        for (n, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}
