//! What registrars tell each other of elements that are silent, so that the guard judges by whole pools (design D9).
//!
//! A site that is cut off has elements of every home, of some perhaps a single one. Each registrar says in its PRESENCE how
//! many elements of a pool are silent to it, soon after that changes, and asks for theirs. Only ours understand that, so only
//! they are told.
//!
//! What nobody speaks for counts as silent: the elements of a home that is suspected to be dead, for the site may have been
//! cut off together with it, and then those that are claimed, until they answer; of one that neither we nor, as far as we know, any peer hears; of one that was not heard since an element here fell silent, when that is to be given up; and of
//! one that has silent elements in more pools than it had room to name, and does not name this one.

use super::peers::Peer;
use super::timers::Timer;
use super::{PeerState, Registrar};
use crate::Time;
use params::{PoolHandle, RegistrarId, SilentElements};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Changes within this share of a keep-alive interval are told together.
const TOGETHER: u32 = 8;
/// How many octets a PRESENCE that tells of pools has at most, if the peer takes as much.
const OCTETS: usize = 32 << 10;

/// What a peer told of elements that are silent to it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pools: BTreeMap<PoolHandle, usize>,
    /// There was no room for others.
    incomplete: bool,
}

impl Told {
    fn new(told: Vec<SilentElements>) -> Self {
        let mut pools: BTreeMap<PoolHandle, usize> = told
            .into_iter()
            .map(|pool| (pool.handle, usize::try_from(pool.elements).unwrap_or(usize::MAX)))
            .collect();
        let incomplete = pools.remove(SilentElements::OTHERS).is_some();
        Self { pools, incomplete }
    }

    /// How many elements of a pool are silent; `None`: that was left out.
    fn of(&self, handle: &PoolHandle) -> Option<usize> {
        self.pools.get(handle).copied().or((!self.incomplete).then_some(0))
    }
}

/// What peers are told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// All pools to tell of, those with the most silent elements first; `None`: that may have changed.
    pools: Option<Vec<SilentElements>>,
    /// When the others were last asked.
    asked: Option<Time>,
}

impl Telling {
    /// What is to be told must be found anew.
    pub(super) fn outdated(&mut self) {
        self.pools = None;
    }
}

impl Registrar {
    /// How many elements of a pool are silent to this registrar has changed.
    pub(super) fn silence_changed(&mut self, now: Time) {
        self.telling.outdated();
        let at = now + self.config.timers.keep_alive_interval / TOGETHER;
        if self.timers.at(&Timer::Silence).is_none_or(|set| at < set) {
            self.timers.set(Timer::Silence, at);
        }
    }

    /// Tells the others, and asks them, once a keep-alive interval: whoever does not answer may be cut off, too.
    pub(super) fn tell_silence(&mut self, now: Time) {
        let has_silent = self.guards.has_silent();
        let again = self.telling.asked.map(|asked| asked + self.config.timers.keep_alive_interval);
        let later = again.filter(|again| *again > now && has_silent);
        match later {
            Some(later) => self.timers.set(Timer::Silence, later),
            None if has_silent => self.telling.asked = Some(now),
            None => {}
        }
        for (id, assoc) in self.connected_peers() {
            if self.understands_silence(id) {
                // Questions that wait would become many.
                let asks = has_silent && later.is_none() && self.associations.is_writable(assoc);
                self.send_presence(assoc, RegistrarId::NONE, asks);
            }
        }
    }

    /// What this peer is told in a PRESENCE that has so many octets besides: the pools with the most silent elements, and of
    /// how many others there was no room to tell.
    pub(super) fn silence_for(&mut self, peer: Option<RegistrarId>, besides: usize) -> Vec<SilentElements> {
        let peer = peer.filter(|peer| self.understands_silence(*peer));
        let size = peer.and_then(|peer| self.peers.get(&peer)?.table_response_size);
        let is_any = self.guards.has_silent() || self.owned.has_claimed();
        let Some(size) = size.filter(|_| is_any) else { return Vec::new() };
        let pools = match self.telling.pools.take() {
            Some(pools) => pools,
            None => self.silence_to_tell(),
        };
        let others = |left_out| told(&PoolHandle::new(SilentElements::OTHERS), left_out);
        let besides = besides + others(0).encoded_length();
        let mut room = usize::try_from(size).unwrap_or(usize::MAX).min(OCTETS).saturating_sub(besides);
        let mut fits = |pool: &&SilentElements| {
            let rest = room.checked_sub(pool.encoded_length());
            rest.map(|rest| room = rest).is_some()
        };
        let mut list: Vec<SilentElements> = pools.iter().take_while(&mut fits).cloned().collect();
        let left_out = pools.len() - list.len();
        if left_out > 0 {
            list.push(others(left_out));
        }
        self.telling.pools = Some(pools);
        list
    }

    /// All that there is to tell, the pools with the most silent elements first.
    fn silence_to_tell(&self) -> Vec<SilentElements> {
        let pools: BTreeSet<&PoolHandle> =
            self.guards.silent_pools().chain(self.owned.pools_with_claimed()).collect();
        // Of pools without elements of others there is nothing to judge together.
        let shared = |handle: &&PoolHandle| {
            self.handlespace.pool(handle).is_some_and(|pool| pool.len() > self.owned.count_in(handle))
        };
        let counted = pools.into_iter().filter(shared).map(|handle| (handle, self.own_silent(handle)));
        let mut pools: Vec<_> = counted.filter(|(_, silent)| *silent > 0).collect();
        pools.sort_by_key(|(_, silent)| Reverse(*silent));
        pools.into_iter().map(|(handle, silent)| told(handle, silent)).collect()
    }

    fn understands_silence(&self, peer: RegistrarId) -> bool {
        !self.config.compat.is_rsplib()
            && self.peers.get(&peer).is_some_and(|peer| peer.table_response_size.is_some())
    }

    /// What a peer tells; it replaces what it told before.
    pub(super) fn silence_heard(&mut self, now: Time, sender: RegistrarId, told: Vec<SilentElements>) {
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        let told = Told::new(told);
        if peer.silent == told {
            return;
        }
        let before = std::mem::replace(&mut peer.silent, told);
        // Its word counts only where we have something to judge.
        let changed = |handle: &&PoolHandle| {
            self.peers.get(&sender).is_some_and(|peer| peer.silent.of(handle) != before.of(handle))
        };
        let concerned: Vec<PoolHandle> = self.guards.silent_pools().filter(changed).cloned().collect();
        for handle in concerned {
            self.judge_silence(now, &(handle, true));
        }
    }

    /// How many elements of a pool are silent to others, or have a home that does not speak for them. `unheard_since`: nor does
    /// one that was not heard since then.
    pub(super) fn silent_elsewhere(&self, handle: &PoolHandle, unheard_since: Option<Time>) -> usize {
        if self.config.compat.is_rsplib() {
            return 0;
        }
        let silent = |(id, peer): (&RegistrarId, &Peer)| {
            let cut_off = unheard_since
                .is_some_and(|since| peer.last_heard < since && peer.table_response_size.is_some());
            let speaks = peer.state == PeerState::Active && !cut_off;
            let told = speaks.then(|| peer.silent.of(handle)).flatten();
            told.unwrap_or_else(|| self.handlespace.owned_count_in(*id, handle))
        };
        let unknown = |home: RegistrarId| match self.is_heard_by_nobody(home) {
            true => self.handlespace.owned_count_in(home, handle),
            false => 0,
        };
        let silent = self.peers.iter().map(silent).chain(self.handlespace.homes().map(unknown));
        silent.fold(0, usize::saturating_add)
    }

    /// How long the home of elements of this pool that looks at them the least often may take for each, if the registrars of
    /// the scope have the same budget of probes (design D7).
    pub(super) fn longest_keep_alive_interval(&self, handle: &PoolHandle) -> Duration {
        let homes =
            self.handlespace.homes().filter(|home| self.handlespace.owned_count_in(*home, handle) > 0);
        let most = homes.map(|home| self.handlespace.owned_count(home)).max().unwrap_or(0);
        self.keep_alive_interval_of(most).max(self.keep_alive_interval())
    }
}

fn told(handle: &PoolHandle, elements: usize) -> SilentElements {
    SilentElements { handle: handle.clone(), elements: u32::try_from(elements).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_had_no_room_for_is_not_known() {
        let silent = |handle: &[u8], elements| SilentElements { handle: PoolHandle::new(handle), elements };
        let (named, other) = (PoolHandle::from("named"), PoolHandle::from("other"));
        let all = Told::new(vec![silent(b"named", 3)]);
        assert_eq!((all.of(&named), all.of(&other)), (Some(3), Some(0)));
        let some = Told::new(vec![silent(b"named", 3), silent(SilentElements::OTHERS, 1)]);
        assert_eq!((some.of(&named), some.of(&other)), (Some(3), None));
    }
}
