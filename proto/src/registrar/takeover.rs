//! Taking over a dead registrar's elements (RFC 5353 §3.5, design D3, ambiguities ).
//!
//! Whoever finds a peer dead asks all others with INIT_TAKEOVER. If several do, the rule of [`Arbitration`]
//! decides; who loses acknowledges. So that mostly only one begins, those that would lose wait a little.
//! Missing acknowledgements delay a takeover, they never stop it. The winner says so with TAKEOVER_SERVER and
//! claims each element with a keep-alive; each that answers is announced as its own.
//!
//! [`Arbitration`]: super::Arbitration

use super::inquiries::Why;
use super::registrars::is_registrar_pool;
use super::timers::Timer;
use super::{Event, PeerState, Registrar, State};
use crate::{AssocId, Time};
use enrp::{Body, InitTakeover, InitTakeoverAck, TakeoverServer};
use params::RegistrarId;
use std::collections::BTreeSet;
use std::time::Duration;

/// How often INIT_TAKEOVER is sent to a peer that does not acknowledge (ambiguity A-65).
const ROUNDS: u32 = 3;
/// After how many times MAX-TIME-NO-RESPONSE another registrar's takeover is considered failed.
const WATCHDOG: u32 = 3;
/// rsplib's TAKEOVER_SERVER never arrives: that it has taken over shows in the checksum of one of its next presences.
const RSPLIB_WATCHDOG: Duration = Duration::from_secs(10);

/// An arbitration that this registrar takes part in as initiator.
#[derive(Debug)]
pub(super) struct Takeover {
    /// Who has not acknowledged yet.
    outstanding: BTreeSet<RegistrarId>,
    /// How often INIT_TAKEOVER was sent; 0 = waiting whether a better initiator begins.
    rounds: u32,
}

impl Registrar {
    /// The target shows no sign of life: begins an arbitration, unless there is nothing to take over.
    pub(super) fn take_over(&mut self, now: Time, target: RegistrarId) {
        if self.state == State::Stopping || self.takeovers.contains_key(&target) {
            return;
        }
        if self.served_elements_of(target) == 0 {
            return self.forget_peer(now, target);
        }
        let rank = self.takeover_rank(target);
        self.takeovers.insert(target, Takeover { outstanding: BTreeSet::new(), rounds: 0 });
        if rank == 0 {
            return self.takeover_timeout(now, target);
        }
        let answer = self.config.timers.max_time_no_response;
        self.timers.set(Timer::Takeover(target), now + (answer * rank.min(2 * WATCHDOG)) / 2);
    }

    /// How many of the others would win a takeover of `target` against us.
    fn takeover_rank(&self, target: RegistrarId) -> u32 {
        u32::try_from(self.better_initiators(target).count()).unwrap_or(u32::MAX)
    }

    /// Who would win a takeover of `target` against us and all others; `None`: nobody.
    pub(super) fn heir(&self, target: RegistrarId) -> Option<RegistrarId> {
        let arbitration = self.config.arbitration;
        self.better_initiators(target)
            .reduce(|one, other| if arbitration.wins(other, one) { other } else { one })
    }

    fn better_initiators(&self, target: RegistrarId) -> impl Iterator<Item = RegistrarId> {
        let active = self.peers.iter().filter(|(_, peer)| peer.proven && peer.state == PeerState::Active);
        let better = move |id: &RegistrarId| *id != target && self.config.arbitration.wins(*id, self.id);
        active.map(|(id, _)| *id).filter(better)
    }

    /// Sends the next round of INIT_TAKEOVER, or goes on without those that stay silent.
    pub(super) fn takeover_timeout(&mut self, now: Time, target: RegistrarId) {
        let connected = self.connected_peers();
        let Some(takeover) = self.takeovers.get_mut(&target) else { return };
        if takeover.rounds == 0 {
            self.events.push_back(Event::TakeoverStarted { target });
            // Whoever is being taken over as well would not answer.
            let votes = |id: &RegistrarId| {
                self.peers.get(id).is_some_and(|peer| peer.proven && peer.state != PeerState::NotActive)
            };
            takeover.outstanding =
                connected.iter().map(|(id, _)| *id).filter(|id| *id != target && votes(id)).collect();
            // The target has a copy: it may live after all (RFC 5353 §3.5.1).
            if let Some((_, assoc)) = connected.iter().find(|(id, _)| *id == target) {
                self.send_enrp(*assoc, RegistrarId::NONE, Body::InitTakeover(InitTakeover { target }));
            }
        }
        let Some(takeover) = self.takeovers.get_mut(&target) else { return };
        if takeover.rounds == ROUNDS || takeover.outstanding.is_empty() {
            return self.takeover_won(now, target);
        }
        takeover.rounds += 1;
        let outstanding = takeover.outstanding.clone();
        self.timers.set(Timer::Takeover(target), now + self.config.timers.max_time_no_response);
        for (id, assoc) in connected {
            if outstanding.contains(&id) {
                self.send_enrp(assoc, RegistrarId::NONE, Body::InitTakeover(InitTakeover { target }));
            }
        }
    }

    /// INIT_TAKEOVER (RFC 5353 §3.5.1).
    pub(super) fn init_takeover_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        target: RegistrarId,
    ) {
        if target == self.id {
            return self.presence_to_all();
        }
        if let Some(takeover) = self.takeovers.get(&target) {
            if takeover.rounds > 0 && !self.config.arbitration.wins(sender, self.id) {
                return;
            }
            self.abort_takeover(target, Some(sender));
        }
        if let Some(peer) = self.peers.get_mut(&target) {
            peer.state = PeerState::NotActive;
            let mut watchdog = self.config.timers.max_time_no_response * WATCHDOG;
            if self.config.compat.is_rsplib() {
                watchdog = watchdog.max(RSPLIB_WATCHDOG);
            }
            self.timers.set(Timer::Peer(target), now + watchdog);
        } else {
            self.orphans_are_taken_over(now, target);
        }
        self.send_enrp(assoc, sender, Body::InitTakeoverAck(InitTakeoverAck { target }));
    }

    /// INIT_TAKEOVER_ACK: no objection of this peer.
    pub(super) fn takeover_acknowledged(&mut self, now: Time, peer: RegistrarId, target: RegistrarId) {
        let Some(takeover) = self.takeovers.get_mut(&target) else { return };
        if takeover.outstanding.remove(&peer) && takeover.outstanding.is_empty() {
            self.takeover_won(now, target);
        }
    }

    /// A peer is not there to acknowledge anything any more.
    pub(super) fn takeover_lost_peer(&mut self, now: Time, id: RegistrarId) {
        let targets: Vec<RegistrarId> = self.takeovers.keys().copied().collect();
        for target in targets {
            self.takeover_acknowledged(now, id, target);
        }
    }

    /// The target gave a sign of life: no takeover.
    pub(super) fn takeover_target_lives(&mut self, target: RegistrarId) {
        self.abort_takeover(target, None);
    }

    fn abort_takeover(&mut self, target: RegistrarId, winner: Option<RegistrarId>) {
        let Some(takeover) = self.takeovers.remove(&target) else { return };
        self.timers.cancel(&Timer::Takeover(target));
        if takeover.rounds > 0 {
            self.events.push_back(Event::TakeoverAborted { target, winner });
        }
    }

    /// Takes over (RFC 5353 §3.5.2): says so, and claims the elements one after the other.
    fn takeover_won(&mut self, now: Time, target: RegistrarId) {
        self.takeovers.remove(&target);
        self.timers.cancel(&Timer::Takeover(target));
        self.counters.takeovers_won += 1;
        self.forget_peer(now, target);
        for (_, assoc) in self.connected_peers() {
            self.send_enrp(assoc, RegistrarId::NONE, Body::TakeoverServer(TakeoverServer { target }));
        }
        let elements = self.keys_of(target);
        for key in &elements {
            self.change_home(key, self.id);
            self.own(now, key, None, true);
            self.inquire(now, key.clone(), Why::Claimed);
        }
        let winner = self.id;
        self.events.push_back(Event::TakeoverCompleted { target, winner, elements: elements.len() });
    }

    /// TAKEOVER_SERVER: the sender is the home of the target's elements from now on.
    pub(super) fn takeover_server_received(&mut self, now: Time, sender: RegistrarId, target: RegistrarId) {
        if target != self.id {
            self.abort_takeover(target, Some(sender));
            self.forget_peer(now, target);
        }
        let mut elements = self.keys_of(target);
        // We are still here.
        elements.retain(|key| !is_registrar_pool(&key.handle));
        for key in &elements {
            self.disown(key);
            self.change_home(key, sender);
            self.not_silent(now, key);
        }
        self.events.push_back(Event::TakeoverCompleted { target, winner: sender, elements: elements.len() });
        if target == self.id {
            self.presence_to_all();
        }
    }
}
