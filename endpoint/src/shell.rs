//! The machine with everybody who waits for it: runs on the endpoint's thread.
//!
//! It is a [`Node`] itself, so the driver feeds it as it would feed the machine. It hands the machine's events to the
//! sessions, elements and requests they belong to, and does the work that tasks left for it ([`Attention`]).

use crate::element::{Backlog, Status, Waiting};
use crate::pipe::{Incoming, Outgoing, Pipe};
use crate::watch::{PoolState, Watch};
use crate::{
    Addresses, AsapEndpoint, Card, Cookie, CookieSealing, Element, ElementOptions, EndpointError,
    RegisterError, Registration, Resolution, ResolveError, ResolveOptions, Session, SessionError, SessionId,
    SessionOptions,
};
use params::{PeIdentifier, PoolElement, PoolHandle, RegistrarId};
use proto::endpoint::{self as machine, CloseReason, ElementId, ElementTransport, Event, RequestId};
use proto::{Input, Node, Time, Transmit};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// What the endpoint's thread shall look at: each session and element at most once, however often it asks.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    waiting: Mutex<Attending>,
}

#[derive(Debug, Default)]
struct Attending {
    sessions: BTreeSet<SessionId>,
    /// Elements that their owners let go.
    elements: BTreeSet<ElementId>,
    /// Pools that somebody watches no more.
    pools: BTreeSet<PoolHandle>,
}

impl Attention {
    fn waiting(&self) -> MutexGuard<'_, Attending> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether nothing was waiting: then the thread has to be woken.
    pub(crate) fn session(&self, id: SessionId) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.sessions.insert(id);
        first
    }

    /// As [`Attention::session`], for an element to let go.
    pub(crate) fn element(&self, id: ElementId) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.elements.insert(id);
        first
    }

    /// As [`Attention::session`], for a pool that is watched.
    pub(crate) fn pool(&self, pool: &PoolHandle) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.pools.insert(pool.clone());
        first
    }
}

impl Attending {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.elements.is_empty() && self.pools.is_empty()
    }
}

/// The machine and those who wait for it.
#[derive(Debug)]
pub(crate) struct Shell {
    machine: machine::AsapEndpoint,
    attention: Arc<Attention>,
    registrars: Addresses,
    /// Bytes that a session may queue.
    window: usize,
    home: watch::Sender<Option<RegistrarId>>,
    /// When the machine was last fed.
    now: Time,
    /// The machine seals cookies, so it has to know the time of day.
    seals: bool,
    sessions: BTreeMap<SessionId, Entry>,
    elements: BTreeMap<ElementId, Registered>,
    resolutions: BTreeMap<RequestId, (PoolHandle, oneshot::Sender<Result<Resolution, ResolveError>>)>,
    watches: BTreeMap<PoolHandle, watch::Sender<PoolState>>,
}

#[derive(Debug)]
struct Entry {
    pool: PoolHandle,
    /// The element of an accepted session.
    element: Option<ElementId>,
    pipe: Arc<Pipe>,
    /// Who waits for the first server of a session that this side started.
    connecting: Option<oneshot::Sender<Result<PeIdentifier, SessionError>>>,
}

#[derive(Debug)]
struct Registered {
    pool: PoolHandle,
    status: watch::Sender<Status>,
    backlog: Arc<Backlog>,
    /// It takes the sessions that arrive at this endpoint.
    takes_sessions: bool,
    /// Its owner let it go.
    leaving: bool,
    /// It is over when its sessions are; with what the deregistration ended, once it did.
    drain: Option<Option<RegisterError>>,
}

impl Shell {
    pub(crate) fn new(config: machine::Config, attention: Arc<Attention>, now: Time) -> Self {
        Self {
            attention,
            registrars: Addresses(config.registrars.iter().flatten().copied().collect()),
            window: config.limits.session_queue,
            home: watch::Sender::new(None),
            now,
            seals: false,
            sessions: BTreeMap::new(),
            elements: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            watches: BTreeMap::new(),
            machine: machine::AsapEndpoint::new(config, now),
        }
    }

    /// Does the waiting work, then the command, then tells what came of both.
    pub(crate) fn run<R>(&mut self, now: Time, command: impl FnOnce(&mut Self, Time) -> R) -> R {
        self.fed(now);
        self.work();
        let result = command(self, now);
        self.dispatch();
        result
    }

    fn fed(&mut self, now: Time) {
        self.now = now;
        if self.seals {
            self.machine.set_unix_time(now, net::unix_time());
        }
    }
}

/// Commands.
impl Shell {
    pub(crate) fn machine(&mut self) -> &mut machine::AsapEndpoint {
        &mut self.machine
    }

    /// Whether a shutdown has finished.
    pub(crate) fn is_drained(&self) -> bool {
        self.machine.is_drained()
    }

    pub(crate) fn register(
        &mut self,
        now: Time,
        registration: Registration,
        options: ElementOptions,
        endpoint: AsapEndpoint,
    ) -> Result<Element, RegisterError> {
        let pool = registration.handle.clone();
        let takes_sessions = matches!(registration.transport, ElementTransport::Sessions);
        if takes_sessions && self.elements.values().any(|element| element.takes_sessions) {
            return Err(RegisterError::EndpointTaken(pool));
        }
        let id = self.machine.register(now, registration).map_err(EndpointError::from)?;
        let sealed = options.cookies.is_some();
        if let Some(sealing) = options.cookies {
            self.seal_cookies(now, id, sealing)?;
        }
        let order = options.failover_order;
        self.machine.set_failover_order(now, id, order).map_err(EndpointError::from)?;
        let (status, watched) = watch::channel(Status::Pending);
        let backlog = Arc::<Backlog>::default();
        let element = Element {
            id,
            pool: pool.clone(),
            status: watched,
            home: self.home.subscribe(),
            backlog: Arc::clone(&backlog),
            sealed,
            endpoint,
        };
        self.elements
            .insert(id, Registered { pool, status, backlog, takes_sessions, leaving: false, drain: None });
        Ok(element)
    }

    pub(crate) fn seal_cookies(
        &mut self,
        now: Time,
        element: ElementId,
        sealing: CookieSealing,
    ) -> Result<(), EndpointError> {
        self.seals = true;
        self.fed(now);
        Ok(self.machine.seal_cookies(element, sealing)?)
    }

    pub(crate) fn drain(&mut self, now: Time, id: ElementId, grace: Duration) {
        if !self.stop_accepting(id) {
            return;
        }
        for session in self.sessions.values().filter(|session| session.element == Some(id)) {
            session.pipe.drain();
        }
        if let Some(element) = self.elements.get_mut(&id) {
            element.drain = Some(None);
        }
        if self.machine.drain(now, id, grace).is_err() {
            self.elements.remove(&id);
        }
    }

    pub(crate) fn resolve(
        &mut self,
        now: Time,
        pool: PoolHandle,
        options: ResolveOptions,
    ) -> Result<oneshot::Receiver<Result<Resolution, ResolveError>>, EndpointError> {
        let request = self.machine.resolve(now, pool.clone(), options)?;
        let (answer, answered) = oneshot::channel();
        self.resolutions.insert(request, (pool, answer));
        Ok(answered)
    }

    pub(crate) fn watch(
        &mut self,
        now: Time,
        pool: PoolHandle,
        endpoint: AsapEndpoint,
    ) -> Result<Watch, EndpointError> {
        self.machine.watch(now, pool.clone())?;
        let sender = self.watches.entry(pool.clone()).or_insert_with(|| watch::Sender::new(None));
        Ok(Watch::new(sender.subscribe(), pool, endpoint))
    }

    pub(crate) fn connect(
        &mut self,
        now: Time,
        pool: PoolHandle,
        preferred: &[PoolElement],
        options: SessionOptions,
        endpoint: AsapEndpoint,
    ) -> Result<(Session, oneshot::Receiver<Result<PeIdentifier, SessionError>>), EndpointError> {
        let id = match preferred {
            [] => self.machine.connect(now, pool.clone(), options)?,
            preferred => self.machine.connect_preferring(now, pool.clone(), preferred, options)?,
        };
        let pipe = Arc::new(Pipe::new(self.window));
        let (connecting, connected) = oneshot::channel();
        self.sessions
            .insert(id, Entry { pool, element: None, pipe: Arc::clone(&pipe), connecting: Some(connecting) });
        Ok((Session::new(id, pipe, endpoint, false), connected))
    }
}

/// The work that tasks left.
impl Shell {
    fn work(&mut self) {
        let Attending { sessions, elements, pools } = std::mem::take(&mut *self.attention.waiting());
        for id in sessions {
            self.work_session(id);
        }
        for id in elements {
            self.let_go(id);
        }
        for pool in pools {
            if self.watches.get(&pool).is_some_and(watch::Sender::is_closed) {
                self.watches.remove(&pool);
                self.machine.unwatch(self.now, &pool);
            }
        }
    }

    fn work_session(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.get(&id) else { return };
        let work = entry.pipe.take_work();
        if work.abandoned && entry.connecting.is_some() {
            return self.machine.abort(self.now, id, "not wanted any more");
        }
        for outgoing in work.outgoing {
            match outgoing {
                Outgoing::Message { epoch, message } => {
                    let length = message.bytes.len();
                    if let Err(error) = self.machine.send(self.now, id, epoch, message) {
                        refused(&entry.pipe, length, &error);
                    }
                }
                Outgoing::Cookie { cookie, bound } => {
                    let length = cookie.len();
                    let set = match bound {
                        false => self.machine.set_cookie(self.now, id, cookie),
                        true => self.machine.set_bound_cookie(self.now, id, cookie),
                    };
                    if let Err(error) = set {
                        refused(&entry.pipe, length, &error);
                    }
                }
                Outgoing::RefuseCookie(why) => self.machine.refuse_cookie(self.now, id, why),
                Outgoing::Close => self.machine.close(self.now, id),
            }
        }
        if work.resume {
            self.machine.read(self.now, id, true);
        }
        if work.abandoned {
            self.machine.close(self.now, id);
        }
    }

    fn let_go(&mut self, id: ElementId) {
        if self.stop_accepting(id) && self.machine.deregister(self.now, id).is_err() {
            self.elements.remove(&id);
        }
    }

    /// Whether the element did not leave before.
    fn stop_accepting(&mut self, id: ElementId) -> bool {
        let Some(element) = self.elements.get_mut(&id) else { return false };
        if std::mem::replace(&mut element.leaving, true) {
            return false;
        }
        for waiting in element.backlog.close() {
            waiting.pipe.abandon();
            self.machine.abort(self.now, waiting.id, "the pool element is leaving");
        }
        true
    }
}

/// A message that the machine did not take: its room is free again, and the owner is told.
fn refused(pipe: &Pipe, length: usize, error: &machine::SendError) {
    let why = match error {
        machine::SendError::Closed => return, // the end of the session says why
        machine::SendError::OutOfOrder => "a session with replay sends in order on stream 0",
        machine::SendError::NotServer => "only a server sets cookies",
        machine::SendError::NotSealed => "only a sealed cookie can be for one element alone",
        machine::SendError::Size { .. } => "its size is not between 1 byte and the limit of this endpoint",
        _ => "the endpoint did not take it",
    };
    pipe.sent(length);
    pipe.deliver(Incoming::Refused { length, why });
}

/// Events.
impl Shell {
    fn dispatch(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Registered { element, id, home, warning } => {
                if home.is_some() {
                    self.set_home(home);
                }
                if let Some(element) = self.elements.get(&element) {
                    if let Some(warning) = warning {
                        tracing::warn!(pool = %element.pool, ?warning, "registered with other values than asked for");
                    }
                    element.status.send_replace(Status::Registered(id));
                }
            }
            Event::RegistrationFailed { element, error } => self.registration_failed(element, error),
            Event::Expired { element } => {
                if let Some(element) = self.elements.get(&element) {
                    tracing::warn!(pool = %element.pool, "the registrar let the registration expire; registering again");
                }
            }
            Event::Deregistered { element, error } => {
                let Some(pool) = self.elements.get(&element).map(|element| element.pool.clone()) else {
                    return;
                };
                let error = error.map(|error| self.register_error(&pool, error));
                tracing::info!(%pool, "deregistered");
                match self.elements.get_mut(&element).and_then(|element| element.drain.as_mut()) {
                    Some(drain) => *drain = error,
                    None => self.deregistered(element, error),
                }
            }
            Event::Drained { element } => {
                let error = self.elements.get(&element).and_then(|element| element.drain.clone()).flatten();
                self.deregistered(element, error);
            }
            Event::HomeChanged { home } => {
                tracing::info!(%home, "the home registrar has named itself");
                self.set_home(Some(home));
            }
            Event::RegistrarConnected { remote } => tracing::info!(?remote, "connected to a registrar"),
            Event::NoRegistrarFound { tried } => {
                tracing::warn!(?tried, "no registrar answers; still looking");
            }
            Event::RegistrarLost => {
                tracing::warn!("the registrar is gone; looking for another one");
                self.set_home(None);
            }
            Event::Resolved { request, result } => {
                if let Some((pool, answer)) = self.resolutions.remove(&request) {
                    let result = result.map_err(|error| self.resolve_error(&pool, error));
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(result);
                }
            }
            Event::PoolChanged { handle, result } => {
                let result = result.map_err(|error| self.resolve_error(&handle, error));
                if let Some(watch) = self.watches.get(&handle) {
                    watch.send_replace(Some(result));
                }
            }
            Event::SessionAccepted { session, element, cookie, version, remote } => {
                let cookie = cookie.map(|bytes| Cookie { version, bytes });
                self.accepted(session, element, cookie, remote.first().copied());
            }
            Event::CookieReceived { session, cookie, version } => {
                self.deliver(session, Incoming::Cookie(Cookie { version, bytes: cookie }));
            }
            Event::CookieRefused { element, remote, why } => {
                let pool = self.elements.get(&element).map(|element| element.pool.to_string());
                tracing::warn!(pool, peer = ?remote.first(), %why, "session refused because of its cookie");
            }
            Event::CardReceived { session, handle, elements } => {
                self.deliver(session, Incoming::Card(Card { pool: handle, elements }));
            }
            Event::Received { session, message } => self.deliver(session, Incoming::Message(message)),
            Event::Failover { session, from, to, epoch, replayed } => {
                tracing::info!(session = session.0, %from, %to, replayed, "failover");
                self.deliver(session, Incoming::Failover { from, to, epoch, replayed });
            }
            Event::ReplayGivenUp { session, messages, bytes } => {
                tracing::warn!(
                    session = session.0,
                    messages,
                    bytes,
                    "too much was sent since the cookie; after a failover nothing will be sent again"
                );
            }
            Event::SendFailed { session, bytes, why } => {
                self.deliver(session, Incoming::Refused { length: bytes.len(), why });
            }
            Event::Connected { session, element } => {
                if let Some(connecting) =
                    self.sessions.get_mut(&session).and_then(|entry| entry.connecting.take())
                {
                    // Whoever wanted it may have stopped waiting; then the session is abandoned, too.
                    let _ = connecting.send(Ok(element));
                }
            }
            Event::Sent { session, bytes } => {
                if let Some(entry) = self.sessions.get(&session) {
                    entry.pipe.sent(bytes);
                }
            }
            Event::Closed { session, why } => self.closed(session, why),
        }
    }

    fn deregistered(&mut self, element: ElementId, error: Option<RegisterError>) {
        if let Some(element) = self.elements.remove(&element) {
            element.status.send_replace(Status::Deregistered(error));
        }
    }

    fn set_home(&mut self, home: Option<RegistrarId>) {
        self.home.send_if_modified(|former| std::mem::replace(former, home) != home);
    }

    fn registration_failed(&mut self, id: ElementId, error: machine::RegisterError) {
        let Some(element) = self.elements.get(&id) else { return };
        let error = self.register_error(&element.pool, error);
        tracing::warn!(pool = %element.pool, %error, "not registered");
        // A registration that was confirmed once stays the endpoint's business: it goes on trying.
        element.status.send_if_modified(|status| {
            let first = matches!(status, Status::Pending);
            if first {
                *status = Status::Failed(error);
            }
            first
        });
    }

    fn accepted(
        &mut self,
        session: SessionId,
        element: ElementId,
        cookie: Option<Cookie>,
        peer: Option<SocketAddr>,
    ) {
        let pipe = Arc::new(Pipe::new(self.window));
        let taken = self.elements.get(&element).zip(peer).is_some_and(|(element, peer)| {
            element.backlog.push(Waiting { id: session, pipe: Arc::clone(&pipe), cookie, peer })
        });
        if !taken {
            tracing::warn!(session = session.0, "session refused: nobody accepts it");
            return self.machine.abort(self.now, session, "the pool element does not accept sessions now");
        }
        let pool = self.elements.get(&element).map(|element| element.pool.clone());
        if let Some(pool) = pool {
            self.sessions.insert(session, Entry { pool, element: Some(element), pipe, connecting: None });
        }
    }

    fn deliver(&mut self, session: SessionId, incoming: Incoming) {
        let Some(entry) = self.sessions.get(&session) else { return };
        if entry.pipe.deliver(incoming) {
            self.machine.read(self.now, session, false);
        }
    }

    fn closed(&mut self, session: SessionId, why: CloseReason) {
        let Some(entry) = self.sessions.remove(&session) else { return };
        let error = match why {
            CloseReason::Lost(why) => SessionError::Lost(why.into()),
            CloseReason::Resolve(error) => self.resolve_error(&entry.pool, error).into(),
            CloseReason::NoElement => SessionError::NoElement(entry.pool),
            CloseReason::CookieRefused(why) => SessionError::CookieRefused(why.to_string().into()),
            CloseReason::CookieRefusedByPeer(why) => SessionError::CookieRefused(why.into()),
            _ => SessionError::Closed,
        };
        if let Some(connecting) = entry.connecting {
            let _ = connecting.send(Err(error.clone()));
        }
        entry.pipe.end(error);
    }

    fn register_error(&self, pool: &PoolHandle, error: machine::RegisterError) -> RegisterError {
        match error {
            machine::RegisterError::Rejected(error) => {
                RegisterError::Rejected { pool: pool.clone(), reasons: error.into() }
            }
            _ => RegisterError::NoRegistrar(self.registrars.clone()),
        }
    }

    fn resolve_error(&self, pool: &PoolHandle, error: machine::ResolveError) -> ResolveError {
        match error {
            machine::ResolveError::UnknownPool => ResolveError::UnknownPool(pool.clone()),
            machine::ResolveError::Refused(error) => ResolveError::Refused { pool: pool.clone(), error },
            _ => ResolveError::NoRegistrar(self.registrars.clone()),
        }
    }
}

impl Node for Shell {
    type Event = Infallible;

    fn handle_input(&mut self, now: Time, input: Input) {
        self.fed(now);
        self.machine.handle_input(now, input);
        self.dispatch();
    }

    fn handle_timeout(&mut self, now: Time) {
        self.fed(now);
        self.machine.handle_timeout(now);
        self.dispatch();
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.machine.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        // What the machine tells when its transmits are taken: there is room again.
        self.dispatch();
        None
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        self.machine.poll_timeout()
    }
}

impl Drop for Shell {
    /// The endpoint's thread ends: whoever still waits for something must not wait for ever.
    fn drop(&mut self) {
        for entry in self.sessions.values() {
            entry.pipe.end(EndpointError::stopped().into());
        }
        for element in self.elements.values() {
            element.backlog.close();
        }
    }
}
