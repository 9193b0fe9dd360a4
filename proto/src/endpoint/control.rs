//! The control channel between pool element and pool user: cookies (RFC 5352 §3.8), and what else comes on it.

use super::accept::Peer;
use super::sealed_cookie::OpenedCookie;
use super::session::Side;
use super::{
    AsapEndpoint, CloseReason, CookieRefusal, CookieSealing, ElementId, Event, MESSAGE_OVERHEAD, SendError,
    SessionId,
};
use crate::{AssocId, PPID_ASAP, Time, Transmit};
use asap::{Cookie, CookieEcho, Message};
use bytes::Bytes;

/// What fits into an ASAP message beside the headers of message and parameter.
const MAX_COOKIE: usize = 65_535 - 8;
/// How the cause begins with which an element aborts the association of a session whose cookie it does not take.
pub(super) const COOKIE_REFUSED: &str = "cookie refused: ";

impl AsapEndpoint {
    /// Gives the pool user of an accepted session a cookie, in order before what follows on stream 0
    /// (RFC 5352 §3.8), and what follows elsewhere, which waits for its acknowledgement
    /// ([`Transmit::Send`]). It counts as much as a message of its size.
    ///
    /// # Errors
    /// As [`send`](Self::send), and if the session is not an accepted one.
    pub fn set_cookie(&mut self, now: Time, session: SessionId, cookie: Bytes) -> Result<(), SendError> {
        self.give_cookie(now, session, cookie, false)
    }

    /// As [`set_cookie`](Self::set_cookie), but no other element will take the session up with this cookie: what it refers
    /// to is only here. An element that has come back counts as the same if it has the same identifier.
    ///
    /// # Errors
    /// As [`set_cookie`](Self::set_cookie), and if cookies are not sealed.
    pub fn set_bound_cookie(
        &mut self,
        now: Time,
        session: SessionId,
        cookie: Bytes,
    ) -> Result<(), SendError> {
        self.give_cookie(now, session, cookie, true)
    }

    fn give_cookie(
        &mut self,
        now: Time,
        session: SessionId,
        cookie: Bytes,
        bound: bool,
    ) -> Result<(), SendError> {
        let size = cookie.len();
        let element = match self.sessions.get(&session).ok_or(SendError::Closed)?.side {
            Side::Server { element, .. } => element,
            Side::User(_) => return Err(SendError::NotServer),
        };
        let service = self.services.get(&element).ok_or(SendError::Closed)?;
        let (cookie, limit) = match &service.sealing {
            None if bound => return Err(SendError::NotSealed),
            None => (Some(cookie), MAX_COOKIE),
            Some(sealing) => {
                let bound_to = bound.then_some(service.id);
                let sealed = sealing.seal(self.unix(now), &service.handle, bound_to, &cookie);
                (sealed, MAX_COOKIE - CookieSealing::OVERHEAD)
            }
        };
        let cookie = cookie.filter(|_| size <= limit).ok_or(SendError::Size { limit })?;
        let bytes = Message::Cookie(Cookie { cookie }).encode();
        let bytes = bytes.map_err(|_| SendError::Size { limit: MAX_COOKIE })?;
        let assoc = self.room(session, size)?.assoc.ok_or(SendError::Closed)?;
        let send = Transmit::Send { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes };
        self.outbox.push(assoc, send, size + MESSAGE_OVERHEAD);
        Ok(())
    }

    /// Ends an accepted session because its cookie cannot be used here, for a reason that only the application knows. Its
    /// pool user tries other elements. [`Event::Closed`] follows.
    ///
    /// # Errors
    /// The session is closed, or not an accepted one.
    pub fn refuse_cookie(
        &mut self,
        _now: Time,
        session: SessionId,
        why: impl Into<String>,
    ) -> Result<(), SendError> {
        match self.sessions.get(&session).ok_or(SendError::Closed)?.side {
            Side::User(_) => Err(SendError::NotServer),
            Side::Server { .. } => {
                self.refuse_session(session, CookieRefusal::Application(why.into()));
                Ok(())
            }
        }
    }

    fn refuse_session(&mut self, session: SessionId, why: CookieRefusal) {
        if let Some(assoc) = self.sessions.get(&session).and_then(|state| state.assoc) {
            self.cookie_refused(assoc, &why);
            self.end_session(session, CloseReason::CookieRefused(why));
        }
    }

    /// The pool user recognises by the cause that other elements may take the session up.
    pub(super) fn cookie_refused(&mut self, assoc: AssocId, why: &CookieRefusal) {
        self.counters.refused_cookies += 1;
        self.abort_association(assoc, &format!("{COOKIE_REFUSED}{why}"));
    }

    fn late_cookie(&mut self, now: Time, session: SessionId, element: ElementId, cookie: Bytes) {
        let unix = self.unix(now);
        match self.services.get(&element).map(|service| service.open(unix, cookie)) {
            Some(Ok(OpenedCookie { version, cookie })) => {
                self.events.push_back(Event::CookieReceived { session, cookie, version });
            }
            Some(Err(why)) => self.refuse_session(session, why),
            None => {}
        }
    }

    /// A message of the control channel.
    pub(super) fn control_message(&mut self, now: Time, assoc: AssocId, session: SessionId, bytes: Bytes) {
        let Some(message) = self.decode(now, assoc, &bytes) else { return };
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match (&mut state.side, message) {
            (Side::User(user), Message::Cookie(Cookie { cookie })) => {
                user.cookie = Some(cookie);
                // With replay only a new answer is progress.
                user.served |= user.replay.is_none();
                if let Some(replay) = &mut user.replay {
                    replay.cover();
                }
            }
            (Side::Server { silent, element, .. }, Message::CookieEcho(CookieEcho { cookie })) => {
                *silent = None;
                let element = *element;
                self.late_cookie(now, session, element, cookie);
            }
            (_, Message::BusinessCard(card)) => self.card_received(now, session, card),
            (_, Message::Error(_)) => self.counters.errors_received += 1,
            (Side::Server { silent: Some(peer), .. }, message @ Message::EndpointKeepAlive(_)) => {
                let peer = Peer::clone(peer);
                self.not_a_session(now, assoc, session, peer, message);
            }
            _ => self.counters.unexpected += 1,
        }
    }
}
