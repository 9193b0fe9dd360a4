//! The ASAP endpoint machine (RFC 5352): all elements, resolutions and sessions of one process.
//!
//! One endpoint keeps one association to its home registrar and runs everything over it: several pools, a pool
//! element that is also a pool user. The crates `pool-element` and `pool-user` are two faces of it.

mod config;
mod event;

pub use config::{
    Config, ElementId, ElementTransport, Limits, Message, Registration, RequestId, ResolveOptions, SessionId,
    SessionOptions,
};
pub use event::{CloseReason, CommandError, Event, RegisterError, Resolution, ResolveError, SendError};

use crate::{Input, Node, Time, Transmit};
use bytes::Bytes;
use params::{PeIdentifier, Policy, PoolHandle};

/// The state machine of an ASAP endpoint. See the module for what it is, [`Node`] for how to drive it.
#[derive(Debug)]
pub struct AsapEndpoint {
    config: Config,
}

/// Commands. Each returns at once; what comes of it is told by [`Event`]s.
impl AsapEndpoint {
    /// An endpoint that does nothing yet. It looks for a registrar when it first needs one.
    pub fn new(config: Config, now: Time) -> Self {
        let _ = now;
        Self { config }
    }

    /// Registers a pool element and keeps it registered (RFC 5352 §3.1).
    pub fn register(&mut self, now: Time, registration: Registration) -> Result<ElementId, CommandError> {
        let _ = (now, registration, &self.config);
        Err(CommandError::Unknown)
    }

    /// Changes the policy or its values by registering again. Corrects a rejected registration, too.
    pub fn set_policy(&mut self, now: Time, element: ElementId, policy: Policy) -> Result<(), CommandError> {
        let _ = (now, element, policy);
        Err(CommandError::Unknown)
    }

    /// Takes an element out of its pool (RFC 5352 §3.2). Its sessions go on; [`Event::Deregistered`] follows.
    pub fn deregister(&mut self, now: Time, element: ElementId) -> Result<(), CommandError> {
        let _ = (now, element);
        Err(CommandError::Unknown)
    }

    /// Resolves a pool handle (RFC 5352 §3.3). [`Event::Resolved`] follows.
    pub fn resolve(
        &mut self,
        now: Time,
        handle: PoolHandle,
        options: ResolveOptions,
    ) -> Result<RequestId, CommandError> {
        let _ = (now, handle, options);
        Err(CommandError::Unknown)
    }

    /// Reports that an element that the pool's resolution named cannot be reached (RFC 5352 §3.5).
    ///
    /// For applications with their own transports; sessions report by themselves.
    /// An element that was never resolved here is refused: nobody can have tried it.
    pub fn report_unreachable(
        &mut self,
        now: Time,
        handle: &PoolHandle,
        id: PeIdentifier,
    ) -> Result<(), CommandError> {
        let _ = (now, handle, id);
        Err(CommandError::Unknown)
    }

    /// Starts a session with a pool. [`Event::Connected`] or [`Event::Closed`] follows.
    pub fn connect(
        &mut self,
        now: Time,
        handle: PoolHandle,
        options: SessionOptions,
    ) -> Result<SessionId, CommandError> {
        let _ = (now, handle, options);
        Err(CommandError::Unknown)
    }

    /// Sends a message in a session; before [`Event::Connected`] it is queued.
    ///
    /// `epoch` is that of the last [`Event::Failover`] that the application has seen, 0 before the first: what
    /// was written for the former server is dropped here, because the application will send it again.
    pub fn send(
        &mut self,
        now: Time,
        session: SessionId,
        epoch: u32,
        message: Message,
    ) -> Result<(), SendError> {
        let _ = (now, session, epoch, message);
        Err(SendError::Closed)
    }

    /// Gives the pool user of an accepted session a cookie, in order before what follows on stream 0
    /// (RFC 5352 §3.8). Counts as much as a message of its size.
    pub fn set_cookie(&mut self, now: Time, session: SessionId, cookie: Bytes) -> Result<(), SendError> {
        let _ = (now, session, cookie);
        Err(SendError::Closed)
    }

    /// Goes on or stops reading a session's messages: at most those on their way still come.
    pub fn read(&mut self, now: Time, session: SessionId, on: bool) {
        let _ = (now, session, on);
    }

    /// Ends a session after everything queued was delivered. [`Event::Closed`] follows.
    pub fn close(&mut self, now: Time, session: SessionId) {
        let _ = (now, session);
    }

    /// Ends a session at once. [`Event::Closed`] follows.
    pub fn abort(&mut self, now: Time, session: SessionId, cause: impl Into<String>) {
        let _ = (now, session, cause.into());
    }

    /// Deregisters every element, closes every session, then leaves the registrar.
    pub fn shutdown(&mut self, now: Time) {
        let _ = now;
    }

    /// Whether a shutdown has finished: nothing is left to do or to wait for.
    pub fn is_drained(&self) -> bool {
        false
    }
}

impl Node for AsapEndpoint {
    type Event = Event;
    fn handle_input(&mut self, now: Time, input: Input) {
        let _ = (now, input);
    }
    fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }
    fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }
    fn poll_event(&mut self) -> Option<Event> {
        None
    }
    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}
