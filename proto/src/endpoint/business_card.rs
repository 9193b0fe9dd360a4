//! Business cards: whom an element recommends to its pool users when it is gone (RFC 5352 §3.9).
//!
//! An element with a failover order sends its card at the beginning of each session and whenever the order changes. It
//! names those of the order that the registrar lists. rsplib reads business cards otherwise, so where it takes part
//! none are sent.
//!
//! A pool user follows the card before the pool's policy, among the elements that the registrar lists: a card names no
//! new ones.

use super::cache::Age;
use super::failover::User;
use super::resolution::Waiter;
use super::session::Side;
use super::{AsapEndpoint, CommandError, ElementId, SessionId};
use crate::Time;
use asap::{BusinessCard, Message};
use params::{PeIdentifier, PoolElement};

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
        Ok(())
    }

    /// Gives a session the card of its element, or asks the registrar first whom it can name.
    pub(super) fn give_card(&mut self, now: Time, element: ElementId, session: SessionId) {
        let Some(service) = self.services.get_mut(&element) else { return };
        if service.failover_order.is_empty() || self.config.compat.is_rsplib() {
            return;
        }
        if self.cache.age(now, &service.handle) == Some(Age::Fresh) {
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
        let Some(assoc) = self.sessions.get(&session).and_then(|state| state.open()) else { return };
        let named = service.failover_order.iter().filter(|id| **id != service.id).take(MAX_PREFERRED);
        let elements: Vec<PoolElement> = named
            .filter_map(|id| self.cache.element(&service.handle, *id))
            .map(|element| PoolElement { asap_transport: None, ..element })
            .collect();
        if !elements.is_empty() {
            let handle = service.handle.clone();
            self.tell(assoc, &Message::BusinessCard(BusinessCard { handle, elements }));
        }
    }

    /// A card has arrived (BC1, BC2).
    pub(super) fn card_received(&mut self, now: Time, session: SessionId, card: BusinessCard) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Side::User(user) = &mut state.side else {
            // The card of a pool user that is an element itself: sessions are never started from this side.
            return;
        };
        let User { handle, preferred, .. } = &mut **user;
        if card.handle != *handle {
            self.counters.unexpected += 1;
            return;
        }
        *preferred = card.elements.iter().map(|element| element.id).take(MAX_PREFERRED).collect();
        let handle = card.handle;
        if self.cache.age(now, &handle) != Some(Age::Fresh) && !self.lookups.contains_key(&handle) {
            self.look_up(now, handle, None, Waiter::Session(session));
        }
    }
}
