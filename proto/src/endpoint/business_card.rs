//! Business cards: whom to turn to when somebody is gone (RFC 5352 §3.9).
//!
//! An element with a failover order sends its card at the beginning of each session and whenever the order changes. It
//! names those of the order that the registrar lists. A pool user follows the card before the pool's policy, among the
//! elements that the registrar lists: a card names no new ones.
//!
//! A pool user that is an element as well (a PU/PE combination) introduces itself to the servers of its sessions in the same
//! way, behind the cookie, and to those that there are when it becomes an element. Its card ends with itself, so it has
//! one even without an order. The server tells its application, which can turn to them.
//!
//! rsplib reads business cards otherwise, so where it takes part none are sent.

use super::cache::Age;
use super::failover::User;
use super::resolution::Waiter;
use super::session::{Session, Side};
use super::{AsapEndpoint, CommandError, ElementId, Event, SessionId, check_handle};
use crate::Time;
use asap::{BusinessCard, Message};
use params::{PeIdentifier, PoolElement, Transport, TransportUse};

/// Elements of a card that are kept.
const MAX_PREFERRED: usize = 32;

impl AsapEndpoint {
    /// Recommends these elements of the pool, in this order, to the sessions of an element for when it is gone; to those
    /// that there are at once, if the pool is in the cache. An empty order recommends nobody to sessions that begin from now on.
    ///
    /// # Errors
    /// There is no such element.
    pub fn set_failover_order(
        &mut self,
        now: Time,
        element: ElementId,
        order: Vec<PeIdentifier>,
    ) -> Result<(), CommandError> {
        let service = self.services.get_mut(&element).ok_or(CommandError::Unknown)?;
        service.failover_order = order;
        for session in service.sessions.clone() {
            self.give_card(now, element, session);
        }
        self.introduce_to_all(now, element);
        Ok(())
    }

    /// A session that we have started has a server. It is told if this process is an element, too.
    pub(super) fn introduce(&mut self, now: Time, session: SessionId) {
        if let Some(element) = self.introduced_element() {
            self.give_card(now, element, session);
        }
    }

    /// An element is registered, or has another failover order: the servers that this process has already are told.
    pub(super) fn introduce_to_all(&mut self, now: Time, element: ElementId) {
        if self.introduced_element() != Some(element) {
            return;
        }
        let started = |(id, session): (&SessionId, &Session)| session.has_server().then_some(*id);
        for session in self.sessions.iter().filter_map(started).collect::<Vec<_>>() {
            self.give_card(now, element, session);
        }
    }

    /// Gives a session the card of this element, or asks the registrar first whom it can name.
    pub(super) fn give_card(&mut self, now: Time, element: ElementId, session: SessionId) {
        let Some(service) = self.services.get_mut(&element).filter(|_| !self.config.compat.is_rsplib())
        else {
            return;
        };
        if service.failover_order.is_empty() || self.cache.age(now, &service.handle) == Some(Age::Fresh) {
            return self.send_card(element, session);
        }
        // One question for all that wait.
        let first = service.waiting_for_card.is_empty();
        service.waiting_for_card.insert(session);
        if first {
            let handle = service.handle.clone();
            self.look_up(now, handle, None, Waiter::Cards(element));
        }
    }

    /// The registrar has answered, or nobody has in time.
    pub(super) fn pool_known(&mut self, element: ElementId) {
        let Some(service) = self.services.get_mut(&element) else { return };
        for session in std::mem::take(&mut service.waiting_for_card) {
            self.send_card(element, session);
        }
    }

    fn send_card(&mut self, element: ElementId, session: SessionId) {
        let Some(service) = self.services.get(&element) else { return };
        let Some(state) = self.sessions.get(&session) else { return };
        let (assoc, own) = match &state.side {
            Side::Server { .. } => (state.open(), None),
            Side::User(user) if state.has_server() && self.has_control_channel(user) => {
                (state.open(), service.own.clone())
            }
            Side::User(_) => return,
        };
        let Some(assoc) = assoc else { return };
        let named = service.failover_order.iter().filter(|id| **id != service.id).take(MAX_PREFERRED);
        let elements: Vec<PoolElement> = named
            .filter_map(|id| self.cache.element(&service.handle, *id))
            .map(|element| PoolElement { asap_transport: None, ..element })
            .chain(own)
            .collect();
        if !elements.is_empty() {
            let handle = service.handle.clone();
            self.tell(assoc, &Message::BusinessCard(BusinessCard { handle, elements }));
        }
    }

    /// Whether the server of a session understands cards. A server of another protocol would take one for data.
    fn has_control_channel(&self, user: &User) -> bool {
        let Some(server) = user.server else { return false };
        let given = || user.given.iter().find(|element| element.id == server).cloned();
        let element = self.cache.element(&user.handle, server).or_else(given);
        element.is_some_and(|element| match element.user_transport {
            Transport::Sctp(sctp) => sctp.transport_use == TransportUse::DATA_AND_CONTROL,
            _ => false,
        })
    }

    /// A card has arrived (BC1, BC2).
    pub(super) fn card_received(&mut self, now: Time, session: SessionId, card: BusinessCard) {
        match self.sessions.get_mut(&session).map(|state| &mut state.side) {
            Some(Side::User(_)) => self.card_of_server(now, session, card),
            Some(Side::Server { silent, introduced, .. }) => {
                *silent = None;
                let first = !std::mem::replace(introduced, true);
                self.card_of_user(now, session, card, first);
            }
            None => {}
        }
    }

    /// The pool user of this session is an element itself.
    fn card_of_user(&mut self, now: Time, session: SessionId, card: BusinessCard, first: bool) {
        let BusinessCard { handle, mut elements } = card;
        if check_handle(&handle, self.config.compat).is_err() {
            self.counters.unexpected += 1;
            return;
        }
        // A handle that a pool user chose: asked for once in a session, and not beside too much else.
        let ask = first && self.cache.age(now, &handle) != Some(Age::Fresh);
        if ask && self.lookups.len() < self.config.limits.resolutions {
            self.refresh(now, handle.clone());
        }
        elements.truncate(MAX_PREFERRED);
        self.events.push_back(Event::CardReceived { session, handle, elements });
    }

    fn card_of_server(&mut self, now: Time, session: SessionId, card: BusinessCard) {
        let Some(User { handle, preferred, .. }) = self.user(session) else { return };
        if card.handle != *handle {
            self.counters.unexpected += 1;
            return;
        }
        *preferred = card.elements.iter().map(|element| element.id).take(MAX_PREFERRED).collect();
        let handle = card.handle;
        if self.cache.age(now, &handle) != Some(Age::Fresh) {
            self.cache.set_used(now, &handle);
            self.refresh(now, handle);
        }
    }
}
