//! The audit of peers' tables by checksum, and the resynchronisation of what differs (RFC 5353 §3.6).
//!
//! The checksum covers which elements there are, not their policies. So a table is loaded anew as well when an
//! association to its owner was lost, and with it perhaps an update.

use super::inquiries::Why;
use super::registrars::is_registrar_pool;
use super::timers::Timer;
use super::{ElementKey, Event, Registrar, RemovalReason, State};
use crate::{AssocId, Channel, Time};
use enrp::{Body, HandleTableRequest, PoolEntry};
use params::RegistrarId;
use std::collections::BTreeSet;
use std::time::Duration;

/// The longest pause between two resynchronisations that did not help, as a power of two of MAX-TIME-NO-RESPONSE.
const MAX_DOUBLINGS: u32 = 6;
/// After how many times MAX-TIME-NO-RESPONSE elements that another registrar should have claimed are looked for again, and
/// claimed here, beside the time that the claims take.
const CLAIMED_AFTER: u32 = 4;
/// As many registrars at most are waited for, one after the other.
const HEIRS: u32 = 3;

/// How soon a peer's table may be loaded anew.
#[derive(Debug, Default)]
pub(super) struct Pace {
    not_before: Time,
    /// Resynchronisations since the tables last agreed.
    attempts: u32,
    /// When elements first and last changed their home from or to this peer by the word of another registrar, since the tables
    /// last agreed or were loaded anew.
    moved: Option<(Time, Time)>,
}

/// So many times MAX-TIME-NO-RESPONSE at most an audit waits while elements move.
const MOVES: u32 = 4;

impl Pace {
    fn agreed(&mut self) {
        *self = Self::default();
    }

    /// It was loaded. If that did not help, doing it again will hardly help sooner.
    fn completed(&mut self, now: Time, answer: Duration) {
        self.attempts += 1;
        self.moved = None;
        if let Some(doublings) = self.attempts.checked_sub(2) {
            self.not_before = now + answer * (1 << doublings.min(MAX_DOUBLINGS));
        }
    }

    /// An element has moved: the peer may not have heard of it when it announced its checksum.
    pub(super) fn moved(&mut self, now: Time) {
        let first = self.moved.map_or(now, |(first, _)| first);
        self.moved = Some((first, now));
    }

    /// Whether that was a moment ago. Moves without end, of elements that register here and there in turns, do not put the audit
    /// off for ever: what moves while a table is loaded is not removed (ambiguity A-70).
    fn is_moving(&self, now: Time, answer: Duration) -> bool {
        self.moved.is_some_and(|(first, last)| last + answer > now && first + answer * MOVES > now)
    }

    /// It lacks elements, which another registrar claims: that takes its time, but not longer than this.
    fn wait_for_claims(&mut self, now: Time, answer: Duration, until: Time) {
        self.not_before = self.not_before.max(now + answer * CLAIMED_AFTER).min(until);
    }

    /// It was not loaded, or something of it came too late: the session at the other end must be over before the next
    /// one begins (ambiguity A-58).
    pub(super) fn interrupted(&mut self, now: Time, answer: Duration) {
        self.not_before = self.not_before.max(now + answer * 2);
    }
}

/// A peer was started anew with its identifier, before anybody missed it: it may know less than we know of it.
#[derive(Debug, Default)]
pub(super) struct Restart {
    /// Who claims what it left behind, and until when that is waited for.
    heir: Option<(RegistrarId, Time)>,
    /// Until when anybody is waited for.
    latest: Option<Time>,
}

impl Restart {
    /// Until when this heir is waited for: each for so long, but not one after the other for ever.
    fn wait_for(&mut self, now: Time, heir: RegistrarId, patience: Duration) -> Time {
        let latest = *self.latest.get_or_insert(now + patience * HEIRS);
        let until = match self.heir {
            Some((known, until)) if known == heir => until,
            _ => latest.min(now + patience),
        };
        self.heir = Some((heir, until));
        until
    }
}

/// A peer's table that is being loaded anew.
#[derive(Debug, Default)]
pub(super) struct Resynchronization {
    /// The elements that the peer owned here and has not listed yet: removed at the end, not before. `None` before its
    /// first page, for it may reject.
    marked: Option<BTreeSet<ElementKey>>,
    /// The elements that it has listed so far.
    pub(super) listed: usize,
}

impl Resynchronization {
    /// Keeps an element whatever the peer lists: something newer was heard of it.
    pub(super) fn unmark(&mut self, key: &ElementKey) {
        if let Some(marked) = &mut self.marked {
            marked.remove(key);
        }
    }
}

impl Registrar {
    /// Compares the checksum that a peer announced with ours of its elements.
    pub(super) fn audit(&mut self, now: Time, id: RegistrarId, announced: u16) {
        let settled = self.config.timers.max_time_no_response;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.announced_checksum = Some(announced);
        let same = self.handlespace.checksum(id) == announced;
        if same && !peer.missed {
            peer.restart = None;
            return peer.pace.agreed();
        }
        if self.state != State::Running {
            return;
        }
        self.counters.checksum_mismatches += u64::from(!same);
        let moving = peer.pace.is_moving(now, settled);
        if moving || peer.pace.not_before > now || self.resynchronizations.contains_key(&id) {
            return;
        }
        let Some(assoc) = self.association_to(id) else { return };
        self.resynchronizations.insert(id, Resynchronization::default());
        self.request_own_table(now, assoc, id);
    }

    fn request_own_table(&mut self, now: Time, assoc: AssocId, id: RegistrarId) {
        self.timers.set(Timer::Resynchronization(id), now + self.config.timers.max_time_no_response);
        let request = HandleTableRequest { own_children_only: true };
        self.send_enrp(assoc, id, Body::HandleTableRequest(request));
    }

    /// A page of the peer's own elements.
    pub(super) fn resynchronize(
        &mut self,
        now: Time,
        assoc: AssocId,
        id: RegistrarId,
        rejected: bool,
        more: bool,
        entries: Vec<PoolEntry>,
    ) {
        if rejected {
            // There is no session at its end that would have to be over first.
            return self.resynchronization_aborted(id);
        }
        self.mark(id);
        for entry in entries {
            for element in entry.elements.into_iter().filter(|element| element.home == id) {
                let key = ElementKey::new(&entry.handle, element.id);
                if let Some(resynchronization) = self.resynchronizations.get_mut(&id) {
                    resynchronization.unmark(&key);
                }
                match self.owned.contains(&key) {
                    true if self.is_contested(&key) => {}
                    true => self.claimed_by_both(now, id, key),
                    false => drop(self.store_foreign(now, &key.handle, element)),
                }
            }
        }
        if more {
            return self.request_own_table(now, assoc, id);
        }
        self.timers.cancel(&Timer::Resynchronization(id));
        let Some(resynchronization) = self.resynchronizations.remove(&id) else { return };
        let marked = resynchronization.marked.unwrap_or_default();
        let unlisted = marked.into_iter().filter(|key| self.home(key) == Some(id));
        let unlisted: Vec<ElementKey> = unlisted.collect();
        let answer = self.config.timers.max_time_no_response;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.pace.completed(now, answer);
        peer.missed = false;
        match peer.restart.take().filter(|_| !unlisted.is_empty()) {
            Some(restart) => self.left_behind(now, id, unlisted, restart),
            None => unlisted.into_iter().for_each(|key| self.given_up(now, id, key)),
        }
        self.counters.resynchronizations += 1;
        self.events.push_back(Event::Resynchronized { peer: id });
    }

    /// The first page of a peer's own elements came: what it does not list is gone. (What it told before that is in it.)
    fn mark(&mut self, id: RegistrarId) {
        if self.resynchronizations.get(&id).is_none_or(|resynchronization| resynchronization.marked.is_some())
        {
            return;
        }
        let marked = self.keys_of(id).into_iter().collect();
        if let Some(resynchronization) = self.resynchronizations.get_mut(&id) {
            resynchronization.marked = Some(marked);
        }
    }

    /// A registrar that was started anew knows these elements no more: they are left behind as if it had died. Who wins
    /// takeovers claims them, the others wait for that. Who waits in vain claims them, too: who should have done it may not
    /// know of the restart, and the dead show by their probes. (Of a peer that does not tell its incarnation, as rsplib's,
    /// nobody knows that it was started anew: by RFC 5353 §3.6.3 what it does not list is removed.)
    fn left_behind(&mut self, now: Time, owner: RegistrarId, keys: Vec<ElementKey>, mut restart: Restart) {
        let is_served = |key: &ElementKey| self.connected_to(key).is_some() || is_registrar_pool(&key.handle);
        let (served, left): (Vec<ElementKey>, Vec<ElementKey>) = keys.into_iter().partition(is_served);
        for key in served {
            self.given_up(now, owner, key);
        }
        let Some(heir) = self.heir(owner) else { return self.claim_left_behind(now, left) };
        let patience = self.patience_for_claims(heir, left.len());
        let until = restart.wait_for(now, heir, patience);
        if until <= now {
            return self.claim_left_behind(now, left);
        }
        let answer = self.config.timers.max_time_no_response;
        if let Some(peer) = self.peers.get_mut(&owner).filter(|_| !left.is_empty()) {
            peer.restart = Some(restart);
            peer.pace.wait_for_claims(now, answer, until);
        }
    }

    fn claim_left_behind(&mut self, now: Time, keys: Vec<ElementKey>) {
        for key in keys {
            self.own(now, &key, None, true);
            self.inquire(now, key, Why::Claimed);
        }
    }

    /// How long another registrar may take to claim so many elements. All that it owns may have to be claimed before
    /// them, if it has just taken another registrar over.
    fn patience_for_claims(&self, heir: RegistrarId, elements: usize) -> Duration {
        let claims = (self.elements_of(heir) + elements) as f64;
        let time = Duration::from_secs_f64(claims / f64::from(self.config.limits.probes_per_second));
        self.config.timers.max_time_no_response * CLAIMED_AFTER + time * 2
    }

    /// The association that an element is reached over, if there is one.
    fn connected_to(&self, key: &ElementKey) -> Option<AssocId> {
        let addresses = (!is_registrar_pool(&key.handle)).then(|| self.asap_addresses(key));
        let connected = addresses.and_then(|addresses| self.associations.find(Channel::Asap, &addresses));
        connected.filter(|assoc| self.associations.is_up(*assoc))
    }

    /// The owner of an element does not list it any more. That is its end, unless it is connected here: then two
    /// registrations crossed, and each registrar gave it up for the other. Who wins takeovers claims it at once,
    /// the other if it hears nothing of that.
    fn given_up(&mut self, now: Time, owner: RegistrarId, key: ElementKey) {
        let Some(assoc) = self.connected_to(&key) else {
            return self.remove(now, &key, RemovalReason::Audit);
        };
        self.own(now, &key, Some(assoc), true);
        let why = if self.config.arbitration.wins(self.id, owner) { Why::Claimed } else { Why::Yielded };
        self.inquire(now, key, why);
    }

    /// After a network was cut in two, both sides may own an element. Who wins takeovers claims it; the other keeps
    /// it until it hears so, for its own table tells the winner of the conflict.
    fn claimed_by_both(&mut self, now: Time, other: RegistrarId, key: ElementKey) {
        if let Some(peer) = self.peers.get_mut(&other) {
            peer.pace.moved(now);
        }
        if self.config.arbitration.wins(self.id, other) {
            self.claim_anew(now, key, Why::Claimed);
        }
    }

    /// The peer is silent: nothing is removed, and a mismatch after a pause begins anew.
    pub(super) fn resynchronization_interrupted(&mut self, now: Time, id: RegistrarId) {
        self.resynchronization_aborted(id);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.pace.interrupted(now, self.config.timers.max_time_no_response);
        }
    }

    /// The peer is gone, or it rejects: nothing is removed, the next mismatch begins anew.
    pub(super) fn resynchronization_aborted(&mut self, id: RegistrarId) {
        if self.resynchronizations.remove(&id).is_some() {
            self.timers.cancel(&Timer::Resynchronization(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_without_end_are_not_waited_for_for_ever() {
        let (at, second) = (|seconds| Time::ZERO + Duration::from_secs(seconds), Duration::from_secs(1));
        let mut pace = Pace::default();
        let mut moving = |now| {
            pace.moved(at(now));
            pace.is_moving(at(now), second)
        };
        assert_eq!([0, 1, 2, 3, 4, 5].map(&mut moving), [true, true, true, true, false, false]);
        pace.completed(at(5), second);
        pace.moved(at(6));
        assert!(pace.is_moving(at(6), second), "it begins anew");
        assert!(!pace.is_moving(at(7), second), "it was a moment ago");
    }

    #[test]
    fn heirs_that_take_turns_are_not_waited_for_for_ever() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut restart = Restart::default();
        let mut wait = |now, heir| restart.wait_for(at(now), RegistrarId(heir), Duration::from_secs(10));
        assert_eq!((wait(0, 1), wait(5, 1), wait(9, 2)), (at(10), at(10), at(19)));
        assert_eq!((wait(18, 1), wait(25, 2), wait(31, 1)), (at(28), at(30), at(30)));
    }
}
