//! Changes of the handlespace, told and heard (RFC 5353 §3.3).

use super::association::Replaces;
use super::registrars::is_registrar_pool;
use super::{ElementKey, Registrar, RemovalReason};
use crate::{AssocId, Time};
use enrp::{Body, HandleUpdate, UpdateAction};
use params::{CauseCode, PoolElement, RegistrarId};

/// Who hears of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    All,
    /// rsplib's registrars let an element expire that they hear nothing of, and so may others.
    NotOurs,
}

impl Registrar {
    /// Tells all peers of an element of ours (RFC 5353 §3.3.1).
    pub(super) fn announce_added(&mut self, key: &ElementKey) {
        self.announce_stored(key, Some(Replaces::Update(key.clone())), Audience::All);
    }

    /// Tells that an element of ours was registered again as it was: only to those who may need that. Ours do not.
    pub(super) fn announce_renewed(&mut self, key: &ElementKey) {
        self.announce_stored(key, Some(Replaces::Update(key.clone())), Audience::NotOurs);
    }

    /// Tells all peers that an element is ours, which they must know before they hear what becomes of it.
    pub(super) fn announce_moved(&mut self, key: &ElementKey) {
        self.announce_stored(key, None, Audience::All);
    }

    /// Tells of an element as it is stored.
    fn announce_stored(&mut self, key: &ElementKey, replaces: Option<Replaces>, audience: Audience) {
        let peers = self.connected_peers_of(audience);
        if !peers.is_empty()
            && let Some(element) = self.element(key).cloned()
        {
            self.announce(UpdateAction::ADD_PE, key, element, replaces, peers);
        }
    }

    /// Tells all peers that an element is gone (RFC 5353 §3.3.2). Its home tells whose it was: ours, or that of
    /// another registrar that is to verify it.
    pub(super) fn announce_removed(&mut self, key: &ElementKey, element: PoolElement) {
        let replaces = Some(Replaces::Update(key.clone()));
        let peers = self.connected_peers_of(Audience::All);
        self.announce(UpdateAction::DEL_PE, key, element, replaces, peers);
    }

    fn connected_peers_of(&self, audience: Audience) -> Vec<(RegistrarId, AssocId)> {
        let mut peers = self.connected_peers();
        if audience == Audience::NotOurs {
            peers.retain(|(id, _)| self.peers.get(id).is_some_and(|peer| peer.table_response_size.is_none()));
        }
        peers
    }

    fn announce(
        &mut self,
        action: UpdateAction,
        key: &ElementKey,
        element: PoolElement,
        replaces: Option<Replaces>,
        peers: Vec<(RegistrarId, AssocId)>,
    ) {
        if peers.is_empty() {
            return;
        }
        let update = Body::HandleUpdate(HandleUpdate { action, handle: key.handle.clone(), element });
        let Some(bytes) = self.encode_enrp(RegistrarId::NONE, update) else { return };
        for (_, assoc) in peers {
            self.counters.updates_sent += 1;
            self.associations.send(assoc, bytes.clone(), replaces.clone());
        }
    }

    /// HANDLE_UPDATE.
    pub(super) fn update_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        update: HandleUpdate,
    ) {
        self.counters.updates_received += 1;
        let key = ElementKey::new(&update.handle, update.element.id);
        match update.action {
            UpdateAction::ADD_PE => self.added_by_peer(now, assoc, sender, update),
            UpdateAction::DEL_PE => self.removed_by_peer(now, sender, key, update.element.home),
            _ => {
                self.counters.updates_ignored += 1;
                self.send_enrp_error(assoc, sender, CauseCode::INVALID_VALUES);
            }
        }
    }

    /// Only the owner announces, and nobody tells us what is ours (ambiguity A-62).
    fn added_by_peer(&mut self, now: Time, assoc: AssocId, sender: RegistrarId, update: HandleUpdate) {
        let home = update.element.home;
        if home != sender {
            self.counters.updates_ignored += 1;
            if home != self.id {
                self.send_enrp_error(assoc, sender, CauseCode::INVALID_VALUES);
            }
            return;
        }
        let key = ElementKey::new(&update.handle, update.element.id);
        if let Some(element) = self.contest(now, &key, update.element) {
            self.store_foreign(now, &update.handle, element);
        }
    }

    /// A removal by a former owner that does not know of the new one is void; one by a registrar that could not
    /// reach an element that it knows to be another's is verified by the owner (ambiguity A-63).
    fn removed_by_peer(&mut self, now: Time, sender: RegistrarId, key: ElementKey, home: RegistrarId) {
        let Some(owner) = self.home(&key) else { return };
        if owner == self.id && is_registrar_pool(&key.handle) {
            return self.confirm_ourselves();
        }
        if self.config.strict_rfc {
            return self.remove(now, &key, RemovalReason::RemovedByPeer);
        }
        if owner == self.id {
            if !self.contest_withdrawn(sender, &key) {
                self.verify(now, key);
            }
            return;
        }
        if owner != sender && owner != home {
            self.counters.updates_ignored += 1;
            return;
        }
        self.remove(now, &key, RemovalReason::RemovedByPeer);
    }
}
