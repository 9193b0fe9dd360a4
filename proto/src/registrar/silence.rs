//! What registrars tell each other of elements that are silent, so that the guard judges by whole pools (design D9).
//!
//! A site that is cut off has elements of every home, of some perhaps a single one. Each registrar says in its PRESENCE how
//! many elements of a pool are silent to it, soon after that changes. Only ours understand that, so only they are told.

use super::timers::Timer;
use super::{PeerState, Registrar};
use crate::Time;
use params::{PoolHandle, RegistrarId, SilentElements};
use std::collections::{BTreeMap, BTreeSet};

/// Changes within this share of a keep-alive interval are told together.
const TOGETHER: u32 = 8;
/// How many pools are told of, and in how many octets: those with the most silent elements.
const POOLS: usize = 32;
const OCTETS: usize = 1024;

impl Registrar {
    /// How many elements of a pool are silent to this registrar has changed.
    pub(super) fn silence_changed(&mut self, now: Time) {
        if self.timers.at(&Timer::Silence).is_none() {
            self.timers.set(Timer::Silence, now + self.keep_alive_interval() / TOGETHER);
        }
    }

    /// Tells the others.
    pub(super) fn tell_silence(&mut self) {
        for (id, assoc) in self.connected_peers() {
            if self.understands_silence(id) {
                self.send_presence(assoc, RegistrarId::NONE, false);
            }
        }
    }

    /// What this peer is told.
    pub(super) fn silence_for(&self, peer: Option<RegistrarId>) -> Vec<SilentElements> {
        if !peer.is_some_and(|peer| self.understands_silence(peer)) {
            return Vec::new();
        }
        let mut pools = self.guards.silent_pools();
        pools.sort_by_key(|(_, silent)| std::cmp::Reverse(*silent));
        // Of pools without elements of others there is nothing to judge together.
        let shared = |(handle, _): &(&PoolHandle, usize)| {
            self.handlespace.pool(handle).is_some_and(|pool| pool.len() > self.owned.count_in(handle))
        };
        let mut room = OCTETS;
        let told = pools.into_iter().filter(shared).map(|(handle, silent)| SilentElements {
            handle: handle.clone(),
            elements: u32::try_from(silent).unwrap_or(u32::MAX),
        });
        let fits = |pool: &SilentElements| {
            let rest = room.checked_sub(pool.encoded_length());
            room = rest.unwrap_or(room);
            rest.is_some()
        };
        told.filter(fits).take(POOLS).collect()
    }

    fn understands_silence(&self, peer: RegistrarId) -> bool {
        let is_ours = |peer: &super::peers::Peer| peer.table_response_size.is_some();
        !self.config.compat.is_rsplib() && self.peers.get(&peer).is_some_and(is_ours)
    }

    /// What a peer tells; it replaces what it told before.
    pub(super) fn silence_heard(&mut self, now: Time, sender: RegistrarId, told: Vec<SilentElements>) {
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        let told: BTreeMap<PoolHandle, usize> = told
            .into_iter()
            .take(POOLS)
            .map(|pool| (pool.handle, usize::try_from(pool.elements).unwrap_or(usize::MAX)))
            .collect();
        if peer.silent == told {
            return;
        }
        let before = std::mem::replace(&mut peer.silent, told);
        let concerned: BTreeSet<PoolHandle> = before.into_keys().chain(peer.silent.keys().cloned()).collect();
        for handle in concerned {
            self.judge_silence(now, &(handle, true));
        }
    }

    /// How many elements of a pool are silent to others.
    pub(super) fn silent_elsewhere(&self, handle: &PoolHandle) -> usize {
        let peers = self.peers.values().filter(|peer| peer.state == PeerState::Active);
        peers.filter_map(|peer| peer.silent.get(handle)).fold(0, |sum, silent| sum.saturating_add(*silent))
    }
}
