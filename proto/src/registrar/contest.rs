//! Elements of ours that a peer says are at home with it (RFC 5353 §3.3.1; design D4).
//!
//! By its word alone a peer could take an element that lives away from us, and then from the handlespace. So while the association
//! stands over which an element took us for its home, it is asked there whether it does. One that has moved has let go of that
//! association, or does not answer over it any more: then, or when it ends, the peer is believed, one keep-alive later than
//! otherwise. One that acknowledges is still ours, and all peers hear so.
//!
//! RFC 5352 §3.4 lets an element answer to whoever asks, and somebody else's may answer to a former home. The new one asks it as
//! well when it hears us, and insists, which we do not: so the registration that came last holds.
//!
//! One claim waits for each element. When more waits than one peer may make us keep, peers are believed at once.

use super::inquiries::Why;
use super::registrars::is_registrar_pool;
use super::timers::Timer;
use super::{ElementKey, Registrar};
use crate::{AssocId, Time};
use params::{PoolElement, RegistrarId};
use std::collections::BTreeMap;

/// What a peer says of an element of ours.
#[derive(Debug)]
struct Contest {
    claimant: RegistrarId,
    /// As it is there; `None`: there was its end, too.
    element: Option<PoolElement>,
    /// The element has acknowledged that it is ours. Kept until the time is over: if the association ends by then, that was an
    /// older acknowledgement.
    answered: bool,
}

impl Contest {
    fn bytes(&self) -> usize {
        self.element.as_ref().map_or(0, PoolElement::encoded_length)
    }
}

/// What peers say of elements of ours.
#[derive(Debug, Default)]
pub(super) struct Contests {
    map: BTreeMap<ElementKey, Contest>,
    /// Octets of the elements in it.
    bytes: usize,
}

impl Contests {
    fn insert(&mut self, key: ElementKey, contest: Contest) {
        self.remove(&key);
        self.bytes += contest.bytes();
        self.map.insert(key, contest);
    }

    fn remove(&mut self, key: &ElementKey) -> Option<Contest> {
        let contest = self.map.remove(key)?;
        self.bytes -= contest.bytes();
        Some(contest)
    }
}

impl Registrar {
    /// A peer says that it is the home of this element. Returns the element if that is to be believed at once.
    pub(super) fn contest(
        &mut self,
        now: Time,
        key: &ElementKey,
        element: PoolElement,
    ) -> Option<PoolElement> {
        let Some(assoc) = self.witness(key) else { return Some(element) };
        let claimant = element.home;
        let before = self.contests.map.get(key);
        let asked = before.is_some_and(|contest| !contest.answered);
        let insists = before.is_some_and(|contest| contest.answered && contest.claimant == claimant);
        let others = self.contests.bytes - before.map_or(0, Contest::bytes);
        if insists || others + element.encoded_length() > self.config.limits.queued_bytes {
            return Some(element);
        }
        self.contests.insert(key.clone(), Contest { claimant, element: Some(element), answered: false });
        self.tables_move(now, claimant);
        if !asked {
            self.timers.set(Timer::Contest(key.clone()), now + self.config.timers.keep_alive_timeout);
            // Without the H bit: one that has moved is not to come back.
            self.send_keep_alive(assoc, false, key);
        }
        None
    }

    /// The association over which an element of ours took us for its home, and can be asked whether we still are.
    fn witness(&self, key: &ElementKey) -> Option<AssocId> {
        let owned = self.owned.get(key).filter(|owned| owned.registered)?;
        let counts =
            !self.config.strict_rfc && !is_registrar_pool(&key.handle) && !self.guards.is_silent(key);
        owned.association.filter(|assoc| counts && self.associations.is_up(*assoc))
    }

    /// Checksums of this peer may be older than what is told now (ambiguity A-70).
    fn tables_move(&mut self, now: Time, claimant: RegistrarId) {
        if let Some(peer) = self.peers.get_mut(&claimant) {
            peer.pace.moved(now);
        }
    }

    /// Whether a peer that says to be its home is not answered yet.
    pub(super) fn is_contested(&self, key: &ElementKey) -> bool {
        self.contests.map.contains_key(key)
    }

    /// An element has acknowledged a keep-alive over an association; whether its peers are to hear that it is ours.
    pub(super) fn contest_answered(&mut self, now: Time, assoc: AssocId, key: &ElementKey) -> bool {
        let over_its_own = self.owned.get(key).is_some_and(|owned| owned.association == Some(assoc));
        let contest = self.contests.map.get_mut(key).filter(|contest| over_its_own && !contest.answered);
        let Some(contest) = contest else { return false };
        contest.answered = true;
        let claimant = contest.claimant;
        self.counters.updates_ignored += 1;
        self.tables_move(now, claimant);
        true
    }

    /// The peer that claims an element says that it is gone, before the element has said anything; whether it had claimed it.
    pub(super) fn contest_withdrawn(&mut self, sender: RegistrarId, key: &ElementKey) -> bool {
        let claims = |contest: &Contest| contest.claimant == sender && !contest.answered;
        let claimed = self.contests.map.get(key).is_some_and(claims);
        if claimed {
            self.contests.insert(key.clone(), Contest { claimant: sender, element: None, answered: false });
        }
        claimed
    }

    /// The time for an acknowledgement is over.
    pub(super) fn contest_timeout(&mut self, now: Time, key: &ElementKey) {
        let answered = self.contests.map.get(key).is_some_and(|contest| contest.answered);
        if answered {
            self.forget_contest(key);
        } else if !self.give_way(now, key) {
            self.inquire(now, key.clone(), Why::Doubted);
        }
    }

    /// An element has no word for us any more: it is where a peer says that it is. Whether any does: not who is gone, or says that
    /// the element is.
    pub(super) fn give_way(&mut self, now: Time, key: &ElementKey) -> bool {
        let Some(Contest { claimant, element: Some(element), .. }) = self.take_contest(key) else {
            return false;
        };
        if !self.peers.contains_key(&claimant) {
            return false;
        }
        self.tables_move(now, claimant);
        self.store_foreign(now, &key.handle, element)
    }

    /// An element has registered, or is not ours any more: what a peer said before is void. Whether any did.
    pub(super) fn forget_contest(&mut self, key: &ElementKey) -> bool {
        self.take_contest(key).is_some()
    }

    fn take_contest(&mut self, key: &ElementKey) -> Option<Contest> {
        let contest = self.contests.remove(key)?;
        self.timers.cancel(&Timer::Contest(key.clone()));
        Some(contest)
    }
}
