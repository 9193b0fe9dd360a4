//! Associations that others start: pool users with a session, registrars with a keep-alive (RFC 5352 §3.4,
//! ambiguity A-39).
//!
//! Both come to the same port, and only their first message tells them apart. An association that stays silent
//! is taken for a session after `cookie_wait`; should a keep-alive be the first message after all, the session
//! is given up.

use super::session::{Session, Side};
use super::{AsapEndpoint, CloseReason, Event, Role, SessionId, Timer};
use crate::{AssocId, Channel, PPID_ASAP, Time};
use asap::{CookieEcho, Message};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// The ends of an association.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) remote: Vec<SocketAddr>,
    pub(super) local: Vec<IpAddr>,
}

impl AsapEndpoint {
    /// Somebody has connected.
    pub(super) fn accepted_up(&mut self, now: Time, assoc: AssocId, channel: Channel, peer: Peer) {
        let limits = &self.config.limits;
        // Whatever they turn out to be, registrars too.
        let all = limits.sessions.saturating_add(limits.pending_associations);
        let room = self.pending < limits.pending_associations
            && self.sessions.len() < limits.sessions
            && self.associations.len() < all;
        if channel != Channel::Asap || !room || self.elements.is_empty() || self.shutting_down {
            self.counters.refused_associations += 1;
            self.abort_association(assoc, "no service here");
            return;
        }
        self.pending += 1;
        self.associations.insert(assoc, Role::Pending(peer));
        let timers = &self.config.timers;
        let wait = match self.session_element() {
            Some(_) => timers.cookie_wait,
            None => timers.t2_registration,
        };
        if wait.is_zero() {
            self.pending_expired(now, assoc);
        } else {
            self.timers.set(Timer::Pending(assoc), now + wait);
        }
    }

    /// Nothing came: a session without a cookie.
    pub(super) fn pending_expired(&mut self, now: Time, assoc: AssocId) {
        if let Some(peer) = self.take_pending(assoc) {
            self.accept_session(now, assoc, peer, None);
        }
    }

    /// The first message says what the association is.
    pub(super) fn pending_message(&mut self, now: Time, assoc: AssocId, message: super::Message) {
        if message.ppid != PPID_ASAP {
            let peer = self.take_pending(assoc);
            if let Some(session) = peer.and_then(|peer| self.accept_session(now, assoc, peer, None)) {
                self.session_message(now, assoc, session, message);
            }
            return;
        }
        let Some(message) = self.decode(now, assoc, &message.bytes) else { return };
        let (cookie, card) = match message {
            Message::CookieEcho(CookieEcho { cookie }) => (Some(cookie), None),
            Message::BusinessCard(card) => (None, Some(card)),
            Message::EndpointKeepAlive(_) => {
                if let Some(peer) = self.take_pending(assoc) {
                    self.associations.insert(assoc, Role::Registrar(peer));
                    self.registrar_message(now, assoc, message);
                }
                return;
            }
            _ => {
                self.counters.unexpected += 1;
                return;
            }
        };
        let peer = self.take_pending(assoc);
        let session = peer.and_then(|peer| self.accept_session(now, assoc, peer, cookie));
        if let Some((session, card)) = session.zip(card) {
            self.card_received(now, session, card);
        }
    }

    fn accept_session(
        &mut self,
        now: Time,
        assoc: AssocId,
        peer: Peer,
        cookie: Option<Bytes>,
    ) -> Option<SessionId> {
        let element = self.session_element();
        let Some((element, service)) = element.and_then(|id| Some((id, self.services.get(&id)?))) else {
            self.counters.refused_associations += 1;
            self.abort_association(assoc, "no service here");
            return None;
        };
        let (version, cookie) = match cookie.map(|cookie| service.open(self.unix(now), cookie)).transpose() {
            Ok(opened) => opened.map_or((0, None), |opened| (opened.version, Some(opened.cookie))),
            Err(why) => {
                self.cookie_refused(assoc, &why);
                self.events.push_back(Event::CookieRefused { element, remote: peer.remote, why });
                return None;
            }
        };
        let session = SessionId(self.number());
        let remote = peer.remote.clone();
        let silent = Some(Box::new(peer));
        self.sessions
            .insert(session, Session::new(Side::Server { element, silent, introduced: false }, Some(assoc)));
        self.associations.insert(assoc, Role::Session(session));
        self.events.push_back(Event::SessionAccepted { session, element, cookie, version, remote });
        self.session_began(now, element, session);
        Some(session)
    }

    /// Takes a pending association out of its waiting state.
    pub(super) fn take_pending(&mut self, assoc: AssocId) -> Option<Peer> {
        let Some(Role::Pending(peer)) = self.associations.get(&assoc) else { return None };
        let peer = peer.clone();
        self.pending_gone(assoc);
        Some(peer)
    }

    pub(super) fn pending_gone(&mut self, assoc: AssocId) {
        self.pending -= 1;
        self.timers.cancel(&Timer::Pending(assoc));
    }

    /// The association of a registrar that has connected to us, if that is what it is.
    pub(super) fn take_registrar(&mut self, assoc: AssocId) -> Option<Peer> {
        match self.associations.get(&assoc) {
            Some(Role::Registrar(peer)) => Some(peer.clone()),
            Some(Role::Pending(_)) => self.take_pending(assoc),
            _ => None,
        }
    }

    /// A keep-alive is the first message of what we took for a session.
    pub(super) fn not_a_session(
        &mut self,
        now: Time,
        assoc: AssocId,
        session: SessionId,
        peer: Peer,
        message: Message,
    ) {
        self.end_session(session, CloseReason::Lost("it is a registrar".to_owned()));
        self.associations.insert(assoc, Role::Registrar(peer));
        self.registrar_message(now, assoc, message);
    }
}
