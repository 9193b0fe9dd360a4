//! The elements of the handlespace and which of them are ours: every change of ownership passes here.

use super::owned::Owned;
use super::registrars::{is_genuine, is_registrar_pool};
use super::{Event, Registrar, RemovalReason};
use crate::{AssocId, Time};
use params::{PeIdentifier, PoolElement, PoolHandle, RegistrarId};
use std::fmt;

/// Names an element: identifiers are unique within their pool only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ElementKey {
    pub(super) handle: PoolHandle,
    pub(super) id: PeIdentifier,
}

impl ElementKey {
    pub(super) fn new(handle: &PoolHandle, id: PeIdentifier) -> Self {
        Self { handle: handle.clone(), id }
    }
}

impl fmt::Debug for ElementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.handle, self.id)
    }
}

impl Registrar {
    /// The element, if it is registered.
    pub(super) fn element(&self, key: &ElementKey) -> Option<&PoolElement> {
        self.handlespace.get(&key.handle, key.id)
    }

    /// Its home, if it is registered.
    pub(super) fn home(&self, key: &ElementKey) -> Option<RegistrarId> {
        self.element(key).map(|element| element.home)
    }

    /// The elements of a home.
    pub(super) fn keys_of(&self, home: RegistrarId) -> Vec<ElementKey> {
        self.handlespace.owned_by(home).map(|(handle, element)| ElementKey::new(handle, element.id)).collect()
    }

    /// How many elements a home has.
    pub(super) fn elements_of(&self, home: RegistrarId) -> usize {
        self.handlespace.owned_count(home)
    }

    /// The checksum over our own elements (RFC 5353 §3.6.2).
    pub(super) fn own_checksum(&self) -> u16 {
        self.handlespace.checksum(self.id)
    }

    /// Whether there is room for this element, which is stored already or not.
    pub(super) fn has_room_for(&self, handle: &PoolHandle, known: Option<&PoolElement>) -> bool {
        let limits = &self.config.limits;
        if known.is_some() {
            return true;
        }
        if is_registrar_pool(handle) {
            return self.registrars() <= limits.peers;
        }
        self.served_elements() < limits.elements
            && (self.served_pools() < limits.pools || self.handlespace.pool(handle).is_some())
    }

    /// Tells that an element was stored that was not there before, or was. Of registrars others events tell.
    pub(super) fn element_stored(&mut self, key: &ElementKey, home: RegistrarId, previous: bool) {
        if is_registrar_pool(&key.handle) {
            return;
        }
        let (handle, id) = (key.handle.clone(), key.id);
        if previous {
            self.events.push_back(Event::ElementReregistered { handle, id, home });
            return;
        }
        if self.handlespace.pool(&handle).is_some_and(|pool| pool.len() == 1) {
            self.events.push_back(Event::PoolCreated { handle: handle.clone() });
        }
        self.events.push_back(Event::ElementRegistered { handle, id, home });
    }

    /// Stores what a peer told. It replaces what there was, ownership included (RFC 5353 §3.3.1).
    ///
    /// An element of ours that is said to be where its association with us is not may have moved, or the peer is wrong,
    /// and nothing would lead to the element any more. It knows itself where it is at home, and registers there again
    /// when it hears that it is not ours. If that is here, what the peer told is verified (ambiguity A-28).
    ///
    /// Returns whether it could be stored.
    pub(super) fn store_foreign(&mut self, now: Time, handle: &PoolHandle, mut element: PoolElement) -> bool {
        let key = ElementKey::new(handle, element.id);
        // The empty handle is no pool's (ambiguity A-05).
        let named = !handle.as_bytes().is_empty();
        if !named || self.suit_scope(handle, &mut element).is_err() || !is_genuine(handle, &element) {
            self.counters.updates_ignored += 1;
            return false;
        }
        let fits = !self.config.compat.is_rsplib() || self.fits_in_messages(&key, &element);
        let known = self.element(&key);
        if !fits || !self.has_room_for(handle, known) || !self.has_bytes_for(handle, known, &element) {
            self.counters.elements_refused += 1;
            return false;
        }
        let home = element.home;
        let before = known.map(|known| known.home);
        let registered = self.owned.get(&key).and_then(|owned| owned.association);
        if before == Some(self.id) {
            self.disown(&key);
        }
        self.home_changed(now, &key, before, home);
        // Newer than what a table lists that is being read.
        if let Some(resynchronization) = self.resynchronizations.get_mut(&home) {
            resynchronization.unmark(&key);
        }
        let pushed = self.as_pushed(&key);
        let previous = self.handlespace.replicate(handle, element);
        self.element_stored(&key, home, previous);
        self.element_changed(now, &key, pushed);
        self.probe_outdated(now, &key);
        self.not_silent(now, &key);
        if let Some(assoc) = registered.filter(|assoc| !self.speaks_for(*assoc, &key)) {
            self.tell_gone(assoc, &key);
        }
        true
    }

    /// Gives an element another home.
    pub(super) fn change_home(&mut self, key: &ElementKey, home: RegistrarId) {
        self.handlespace.set_home(&key.handle, key.id, home);
        for resynchronization in self.resynchronizations.values_mut() {
            resynchronization.unmark(key);
        }
    }

    /// Notes that the tables of two peers are about to change by the word of one of them (ambiguity A-70).
    fn home_changed(&mut self, now: Time, key: &ElementKey, before: Option<RegistrarId>, home: RegistrarId) {
        let Some(before) = before.filter(|before| *before != home) else { return };
        if let Some(peer) = self.peers.get_mut(&before) {
            peer.pace.moved(now);
        }
        if let Some(resynchronization) = self.resynchronizations.get_mut(&before) {
            resynchronization.unmark(key);
        }
    }

    /// Makes a stored element ours: reached over `association`, or by its ASAP transport.
    pub(super) fn own(&mut self, now: Time, key: &ElementKey, association: Option<AssocId>, claimed: bool) {
        self.not_silent(now, key);
        let Some(element) = self.element(key) else { return };
        let (life, home) = (element.life, element.home);
        let expires = self.life(life).map_or(Time::NEVER, |life| now + life);
        // The usual case: it registers again.
        if let Some(association) = association.filter(|_| !claimed)
            && self.owned.renew(key, association, now, expires)
        {
            self.inquiries.settled(key);
            return;
        }
        if home != self.id {
            if let Some(peer) = self.peers.get_mut(&home) {
                peer.pace.moved(now);
            }
            self.change_home(key, self.id);
        }
        self.disown(key);
        // All elements of a pool share its handle's bytes.
        let handle = self.handlespace.pool(&key.handle).map_or(&key.handle, |pool| pool.handle());
        let key = &ElementKey::new(handle, key.id);
        self.owned.insert(key.clone(), Owned::new(association, now, expires, claimed));
        if let Some(association) = association.and_then(|assoc| self.associations.get_mut(assoc)) {
            association.elements.insert(key.clone());
        }
        match claimed {
            true => self.claims_changed(now, &key.handle),
            false => self.schedule_keep_alive(now, key),
        }
    }

    /// Forgets that an element is ours. It stays in the handlespace.
    pub(super) fn disown(&mut self, key: &ElementKey) {
        let Some(owned) = self.owned.remove(key) else { return };
        self.inquiries.settled(key);
        self.forget_contest(key);
        if let Some(association) = owned.association.and_then(|assoc| self.associations.get_mut(assoc)) {
            association.elements.remove(key);
        }
    }

    /// Removes an element from the handlespace, and all we know of it. Tells the owner, not the peers.
    pub(super) fn remove(&mut self, now: Time, key: &ElementKey, why: RemovalReason) {
        self.take_out(now, key, why);
        self.probe_outdated(now, key);
    }

    fn take_out(&mut self, now: Time, key: &ElementKey, why: RemovalReason) -> Option<PoolElement> {
        if !matches!(why, RemovalReason::Deregistered | RemovalReason::Administrator) {
            self.tell_removed(key);
        }
        self.disown(key);
        let element = self.handlespace.remove(&key.handle, key.id)?;
        self.forget_reports(now, key);
        self.forget_silence(now, key);
        self.pool_changed(now, &key.handle, true);
        if is_registrar_pool(&key.handle) {
            return Some(element);
        }
        let (handle, id, home) = (key.handle.clone(), key.id, element.home);
        self.events.push_back(Event::ElementRemoved { handle: handle.clone(), id, home, why });
        if self.handlespace.pool(&handle).is_none() {
            self.events.push_back(Event::PoolRemoved { handle });
        }
        Some(element)
    }

    /// Removes an element and announces it (RFC 5353 §3.3.2), before a successor that waits is announced. One that a peer
    /// says is at home there is so instead.
    pub(super) fn remove_and_announce(&mut self, now: Time, key: &ElementKey, why: RemovalReason) {
        let by_right = matches!(why, RemovalReason::Deregistered | RemovalReason::Administrator);
        if !by_right && self.give_way(now, key) {
            return;
        }
        if let Some(element) = self.take_out(now, key, why) {
            self.announce_removed(key, element);
        }
        self.probe_outdated(now, key);
    }

    /// Removes an element by its own or the operator's wish. If another registrar owns it, it is made ours first,
    /// so that the owner does not take the removal for that of a former owner (ambiguity A-63).
    pub(super) fn remove_by_right(&mut self, now: Time, key: &ElementKey, why: RemovalReason) -> bool {
        let Some(home) = self.home(key) else { return false };
        if home != self.id {
            self.own(now, key, None, true);
            self.announce_moved(key);
        }
        self.remove_and_announce(now, key, why);
        true
    }
}
