//! What the machine tells, and whom.

use super::{Entry, Shell};
use crate::element::{Standing, Status, Waiting};
use crate::pipe::Pipe;
use crate::{Card, Cookie, Incoming, RegisterError, ResolveError, SessionError, SessionId};
use params::{PoolHandle, RegistrarId};
use proto::Node;
use proto::endpoint::{self as machine, CloseReason, ElementId, Event};
use std::net::SocketAddr;
use std::sync::Arc;

impl Shell {
    pub(super) fn dispatch(&mut self) {
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
                    element.standing.send_replace(Standing { id, failure: None });
                    element.status.send_replace(Status::Registered);
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
            Event::Withdrawn { element, error } => {
                let Some(element) = self.elements.get(&element) else { return };
                let error = error.map(|error| self.register_error(&element.pool, error));
                tracing::info!(pool = %element.pool, "out of the pool until it is ready");
                // Unless it is to come back already.
                element.status.send_if_modified(|status| {
                    let leaving = matches!(status, Status::Leaving);
                    if leaving {
                        *status = Status::Withdrawn(error);
                    }
                    leaving
                });
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
                if let Some(suppressed) = self.refused_cookies.warn(self.now) {
                    let pool = self.elements.get(&element).map(|element| element.pool.to_string());
                    let peer = remote.first();
                    tracing::warn!(pool, ?peer, %why, suppressed, "session refused because of its cookie");
                }
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
                self.deliver(session, Incoming::Refused { bytes, why });
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
            Event::Closing { session } => {
                if let Some(entry) = self.sessions.get(&session) {
                    entry.pipe.close_for_sending();
                }
            }
            Event::Closed { session, why } => self.closed(session, why),
            _ => {}
        }
    }

    fn deregistered(&mut self, element: ElementId, error: Option<RegisterError>) {
        self.graces.remove(&element);
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
        // A registration that was confirmed once stays the endpoint's business: it takes a refused change back, and asks the next
        // home.
        element.status.send_if_modified(|status| {
            let waiting = matches!(status, Status::Pending | Status::Failed(_));
            if waiting {
                *status = Status::Failed(error.clone());
            }
            waiting
        });
        element.standing.send_modify(|standing| standing.failure = Some(error.clone()));
        element.failure.send_replace(Some(error));
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
            if let Some(suppressed) = self.refused_sessions.warn(self.now) {
                tracing::warn!(session = session.0, suppressed, "session refused: nobody accepts it");
            }
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
