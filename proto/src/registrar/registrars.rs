//! The registrars as a pool (design D6): each is an element of [`REGISTRAR_POOL`], so a client that has reached one knows
//! all, and is told when they change.
//!
//! An element of this pool is what its home says of itself: its identifier is that of its home. Nobody registers it and
//! nobody probes it; that it lives is the business of the procedures for peers. When a registrar is gone each other one
//! removes its element, and nobody takes it over. It is part of the checksum, like everything that a registrar owns.

use super::{ElementKey, Registrar, RemovalReason};
use crate::{AssocId, Channel, REGISTRAR_POOL, Time};
use enrp::{Body, HandleUpdate, UpdateAction};
use params::{PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, Transport};

/// Whether this is the pool of the registrars.
pub(super) fn is_registrar_pool(handle: &PoolHandle) -> bool {
    handle.as_bytes() == REGISTRAR_POOL.as_bytes()
}

/// Whether an element may be what its home says of it: in the pool of the registrars there is only the home itself.
pub(super) fn is_genuine(handle: &PoolHandle, element: &PoolElement) -> bool {
    !is_registrar_pool(handle) || element.id.0 == element.home.0
}

fn key_of(id: RegistrarId) -> ElementKey {
    ElementKey::new(&PoolHandle::from(REGISTRAR_POOL), PeIdentifier(id.0))
}

impl Registrar {
    /// Our ASAP endpoint is known, or has changed: we are an element ourselves from now on.
    pub(super) fn register_ourselves(&mut self, now: Time) {
        // rsplib would probe what it takes over.
        if !self.config.registrar_pool || self.config.compat.is_rsplib() || !self.is_serving() {
            return;
        }
        let key = key_of(self.id);
        let Some(transport) = self.own_transport(Channel::Asap, self.config.asap_port) else {
            if self.element(&key).is_some() {
                self.remove_and_announce(now, &key, RemovalReason::Deregistered);
            }
            return;
        };
        if !self.has_room_for(&key.handle, self.element(&key)) {
            self.counters.elements_refused += 1;
            return;
        }
        let element = PoolElement {
            id: key.id,
            home: self.id,
            life: RegistrationLife::INFINITE,
            user_transport: Transport::Sctp(transport.clone()),
            policy: Policy::RoundRobin,
            asap_transport: Some(transport),
        };
        let pushed = self.as_pushed(&key);
        let previous = self.handlespace.replicate(&key.handle, element);
        self.element_stored(&key, self.id, previous);
        self.element_changed(now, &key, pushed);
        self.announce_added(&key);
    }

    /// A registrar is gone, and its element with it.
    pub(super) fn unregister_registrar(&mut self, now: Time, id: RegistrarId) {
        if self.has_registrar(id) {
            self.remove(now, &key_of(id), RemovalReason::AssociationEnded);
        }
    }

    /// Tells a registrar that does not know us yet what it needs to verify our checksum.
    pub(super) fn introduce_ourselves(&mut self, assoc: AssocId) {
        let key = key_of(self.id);
        let Some(element) = self.element(&key).cloned() else { return };
        let update = HandleUpdate { action: UpdateAction::ADD_PE, handle: key.handle, element };
        self.counters.updates_sent += 1;
        self.send_enrp(assoc, RegistrarId::NONE, Body::HandleUpdate(update));
    }

    /// A peer believes that we are gone.
    pub(super) fn confirm_ourselves(&mut self) {
        self.announce_added(&key_of(self.id));
    }

    /// Whether a registrar is an element, as far as we know.
    pub(super) fn has_registrar(&self, id: RegistrarId) -> bool {
        self.element(&key_of(id)).is_some()
    }

    /// The elements of a home without itself.
    pub(super) fn served_elements_of(&self, home: RegistrarId) -> usize {
        self.elements_of(home) - usize::from(self.has_registrar(home))
    }

    /// The elements of the handlespace without the registrars.
    pub(super) fn served_elements(&self) -> usize {
        self.handlespace.element_count() - self.registrars()
    }

    /// The pools of the handlespace without that of the registrars.
    pub(super) fn served_pools(&self) -> usize {
        self.handlespace.pool_count() - usize::from(self.registrars() > 0)
    }

    /// How many registrars are elements.
    pub(super) fn registrars(&self) -> usize {
        self.handlespace.pool(&PoolHandle::from(REGISTRAR_POOL)).map_or(0, |pool| pool.len())
    }
}
