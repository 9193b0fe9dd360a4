//! The control channel between pool element and pool user: cookies (RFC 5352 §3.8).

use super::accept::Peer;
use super::session::Side;
use super::{AsapEndpoint, Event, SendError, SessionId};
use crate::{AssocId, PPID_ASAP, Time, Transmit};
use asap::{Cookie, CookieEcho, Message};
use bytes::Bytes;

/// What fits into an ASAP message beside the headers of message and parameter.
const MAX_COOKIE: usize = 65_535 - 8;

impl AsapEndpoint {
    /// Gives the pool user of an accepted session a cookie, in order before what follows on stream 0
    /// (RFC 5352 §3.8). It counts as much as a message of its size.
    ///
    /// # Errors
    /// As [`send`](Self::send), and if the session is not an accepted one.
    pub fn set_cookie(&mut self, _now: Time, session: SessionId, cookie: Bytes) -> Result<(), SendError> {
        let size = cookie.len();
        if size > MAX_COOKIE {
            return Err(SendError::Size { limit: MAX_COOKIE });
        }
        if self.sessions.get(&session).is_some_and(|state| matches!(state.side, Side::User(_))) {
            return Err(SendError::NotServer);
        }
        let bytes = Message::Cookie(Cookie { cookie }).encode();
        let bytes = bytes.map_err(|_| SendError::Size { limit: MAX_COOKIE })?;
        let assoc = self.room(session, size)?.assoc.ok_or(SendError::Closed)?;
        let send = Transmit::Send { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes };
        self.outbox.push(assoc, send, size);
        Ok(())
    }

    /// A message of the control channel.
    pub(super) fn control_message(&mut self, now: Time, assoc: AssocId, session: SessionId, bytes: Bytes) {
        let Some(message) = self.decode(now, assoc, &bytes) else { return };
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match (&mut state.side, message) {
            (Side::User(user), Message::Cookie(Cookie { cookie })) => user.cookie = Some(cookie),
            (Side::Server { silent }, Message::CookieEcho(CookieEcho { cookie })) => {
                *silent = None;
                self.events.push_back(Event::CookieReceived { session, cookie });
            }
            // Allowed, and of no use: the registrar's list serves the same purpose.
            (_, Message::BusinessCard(_)) => {}
            (_, Message::Error(_)) => self.counters.errors_received += 1,
            (Side::Server { silent: Some(peer) }, message @ Message::EndpointKeepAlive(_)) => {
                let peer = Peer::clone(peer);
                self.not_a_session(now, assoc, session, peer, message);
            }
            _ => self.counters.unexpected += 1,
        }
    }
}
