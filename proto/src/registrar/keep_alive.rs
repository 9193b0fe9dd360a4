//! Whether elements live (RFC 5352 §3.4, §3.5; design D4, D7).
//!
//! Each owned element that did not speak for a while is probed with a keep-alive; so is any element that was
//! reported, claimed, or whose identifier somebody else wants. Only what is of the element itself counts as its life:
//! behind one association may be many elements, and a process that forgot one of them. A keep-alive names a pool, and
//! is acknowledged for every element that the process has there (ambiguity A-37): all of them have spoken then. A probe
//! that is not acknowledged is repeated once; if that is not acknowledged either, or the association ends, the element is
//! removed, whoever its home is: the home verifies what others say (ambiguities ).

use super::association::{Association, Replaces};
use super::inquiries::Why;
use super::owned::Owned;
use super::timers::Timer;
use super::{ElementKey, Registrar, RemovalReason};
use crate::{AssocId, Channel, DownReason, Time};
use asap::{DeregistrationResponse, EndpointKeepAlive, EndpointKeepAliveAck, Message};
use params::RegistrationLife;
use rand::RngExt;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// rsplib's clients give up a request after 3 s, and their registrar with it.
const RSPLIB_PATIENCE: Duration = Duration::from_secs(2);

/// How long an association that was made to ask an element stays without use.
const IDLE: Duration = Duration::from_secs(10);

/// What part of the interval lies between two keep-alives of an element, on average: they are spread over its second
/// half.
const MEAN_SPREAD: f64 = 0.75;

/// A keep-alive that is to be acknowledged.
#[derive(Debug)]
pub(super) struct Probe {
    association: AssocId,
    /// H bit: the element is to take us for its home.
    home: bool,
    /// How long the acknowledgement of each try may take.
    wait: Duration,
    repeated: bool,
    /// Associations whose registration of the same identifier waits for the result (ambiguity A-28).
    contenders: BTreeSet<AssocId>,
}

impl Registrar {
    /// Keep-alives of all owned elements fit into the budget of probes a second (design D7).
    pub(super) fn keep_alive_interval(&self) -> Duration {
        self.keep_alive_interval_of(self.owned.len())
    }

    /// The same for a registrar that owns so many.
    pub(super) fn keep_alive_interval_of(&self, elements: usize) -> Duration {
        let budget = f64::from(self.config.limits.probes_per_second);
        let needed = Duration::from_secs_f64(elements as f64 / budget / MEAN_SPREAD);
        self.config.timers.keep_alive_interval.max(needed)
    }

    /// Sets the timer for the next look at an owned element: spread over the second half of the interval, so that
    /// no two go in step (RFC 5352 §3.5).
    pub(super) fn schedule_keep_alive(&mut self, from: Time, key: &ElementKey) {
        let at = from + self.keep_alive_interval().mul_f64(self.rng.random_range(0.5..=1.0));
        let Some(owned) = self.owned.get(key) else { return };
        let at = at.min(owned.expires);
        self.owned.schedule(key, at);
    }

    /// An owned element is due: its life ended, or it is probed unless it spoke meanwhile.
    pub(super) fn element_due(&mut self, now: Time, key: ElementKey) {
        let Some(&Owned { heard, expires, .. }) = self.owned.get(&key) else { return };
        if expires <= now {
            return self.remove_and_announce(now, &key, RemovalReason::Expired);
        }
        if self.probes.contains_key(&key) {
            return self.schedule_keep_alive(now, &key);
        }
        let half = self.keep_alive_interval() / 2;
        match heard + half > now && !self.guards.is_silent(&key) {
            true => self.schedule_keep_alive(heard, &key),
            false => self.probe(now, key),
        }
    }

    /// An element that is removed hears of it where its association still stands (RFC 5352 §3.2, ambiguity A-33): it
    /// may live after all, behind a path that was cut for a moment, and would not register again for a long time.
    pub(super) fn tell_removed(&mut self, key: &ElementKey) {
        let registered = self.owned.get(key).and_then(|owned| owned.association);
        let assoc = registered.or_else(|| self.associations.find(Channel::Asap, &self.asap_addresses(key)));
        if let Some(assoc) = assoc {
            self.tell_gone(assoc, key);
        }
    }

    /// Tells an element that its registration here is over. rsplib's elements do not expect that, and register often
    /// anyway.
    pub(super) fn tell_gone(&mut self, assoc: AssocId, key: &ElementKey) {
        if self.associations.is_up(assoc) && !self.config.compat.is_rsplib() {
            let response = DeregistrationResponse { handle: key.handle.clone(), id: key.id, error: None };
            self.send_asap(assoc, &response.into());
        }
    }

    /// A registration life as a span of time; `None` = for ever. rsplib's registrars never let an element that
    /// answers expire, and its elements count on it.
    pub(super) fn life(&self, life: RegistrationLife) -> Option<Duration> {
        if self.config.compat.is_rsplib() { None } else { self.config.compat.life(life) }
    }

    /// Probes an element at once, whoever its home is; a claimed one learns that we are its home now.
    pub(super) fn probe(&mut self, now: Time, key: ElementKey) {
        self.probe_waiting(now, key, self.config.timers.keep_alive_timeout);
    }

    fn probe_waiting(&mut self, now: Time, key: ElementKey, wait: Duration) {
        if self.probes.contains_key(&key) {
            return;
        }
        let Some(association) = self.association_of(now, &key) else {
            return self.unreachable(now, &key);
        };
        let home = self.owned.get(&key).is_some_and(Owned::is_claimed);
        let probe = Probe { association, home, wait, repeated: false, contenders: BTreeSet::new() };
        if let Some(association) = self.associations.get_mut(association) {
            association.elements.insert(key.clone());
        }
        self.timers.set(Timer::Probe(key.clone()), now + wait);
        self.probes.insert(key.clone(), probe);
        self.send_keep_alive(association, home, &key);
    }

    /// Nothing leads to an element. That is the end of one of ours; of another home's it says nothing (ambiguity A-10).
    fn unreachable(&mut self, now: Time, key: &ElementKey) {
        if self.owned.contains(key) {
            return self.remove_and_announce(now, key, RemovalReason::KeepAliveFailed);
        }
        self.probe_outdated(now, key);
    }

    /// Tells a claimed element that we are its home; if it lives, the peers hear so, too.
    pub(super) fn claim(&mut self, now: Time, key: ElementKey) {
        let Some(probe) = self.probes.get_mut(&key) else { return self.probe(now, key) };
        if !std::mem::replace(&mut probe.home, true) {
            let assoc = probe.association;
            self.send_keep_alive(assoc, true, &key);
        }
    }

    /// Probes an owned element that a peer wants removed; if it lives, the peers hear so (ambiguity A-63). It is claimed,
    /// for it may have found another home, of which we have not heard: without that home it would not be ours either.
    pub(super) fn verify(&mut self, now: Time, key: ElementKey) {
        self.claim_anew(now, key, Why::Doubted);
    }

    /// Another registrar does not take us for the home of this element of ours: we claim it, in its turn.
    pub(super) fn claim_anew(&mut self, now: Time, key: ElementKey, why: Why) {
        if !self.owned.contains(&key) {
            return;
        }
        self.set_claimed(now, &key, true);
        self.guards.claimed(&key);
        match self.probes.contains_key(&key) {
            // What it acknowledges now would not count.
            true => self.claim(now, key),
            false => self.inquire(now, key, why),
        }
    }

    /// Probes an element whose identifier `contender` wants to register. The answer must come before the
    /// contender loses its patience: both tries share the time of one.
    pub(super) fn verify_for(&mut self, now: Time, key: ElementKey, contender: AssocId) {
        let mut both = self.config.timers.keep_alive_timeout;
        if self.config.compat.is_rsplib() {
            both = both.min(RSPLIB_PATIENCE);
        }
        self.probe_waiting(now, key.clone(), both / 2);
        match self.probes.get_mut(&key) {
            Some(probe) => {
                probe.contenders.insert(contender);
            }
            None => {
                // Nobody can ever ask it: whoever comes takes its place.
                if self.element(&key).is_some() {
                    self.remove_and_announce(now, &key, RemovalReason::KeepAliveFailed);
                }
                self.unpark(now, contender, &key, false);
            }
        }
    }

    pub(super) fn send_keep_alive(&mut self, assoc: AssocId, home: bool, key: &ElementKey) {
        self.counters.keep_alives_sent += 1;
        let id = self.config.compat.is_rsplib().then_some(key.id);
        let keep_alive = EndpointKeepAlive { home, registrar: self.id, handle: key.handle.clone(), id };
        match Message::EndpointKeepAlive(keep_alive).encode() {
            // One asks all of a pool; what waits for who is cut off must not grow with each attempt.
            Ok(bytes) => {
                let replaces = Replaces::KeepAlive(key.handle.clone(), id, home);
                self.associations.send(assoc, bytes, Some(replaces));
            }
            Err(_) => self.counters.send_failures += 1,
        }
    }

    /// The association over which an element is reached: the one it registered over, or one to its ASAP transport.
    fn association_of(&mut self, now: Time, key: &ElementKey) -> Option<AssocId> {
        let registered = self.owned.get(key).and_then(|owned| owned.association);
        if let Some(assoc) = registered.filter(|assoc| self.associations.get(*assoc).is_some()) {
            return Some(assoc);
        }
        let addresses = self.asap_addresses(key);
        (!addresses.is_empty()).then(|| self.associations.connect(now, Channel::Asap, &addresses))
    }

    /// Where the ASAP endpoint of an element is, as its home recorded it.
    pub(super) fn asap_addresses(&self, key: &ElementKey) -> Vec<SocketAddr> {
        let transport = self.element(key).and_then(|element| element.asap_transport.as_ref());
        transport.map_or_else(Vec::new, |transport| super::peers::socket_addresses(transport, true))
    }

    /// ENDPOINT_KEEP_ALIVE_ACK: counts only from the element itself.
    pub(super) fn keep_alive_ack_received(&mut self, now: Time, assoc: AssocId, ack: EndpointKeepAliveAck) {
        let key = ElementKey::new(&ack.handle, ack.id);
        let asked = self.probes.get(&key).filter(|probe| probe.association == assoc);
        let from_itself = asked.is_some() || self.speaks_for(assoc, &key);
        let adopts = asked.is_some_and(|probe| probe.home);
        if from_itself
            && !adopts
            && let Some(owned) = self.owned.get_mut(&key).filter(|owned| owned.is_claimed())
        {
            // It lives, but has not heard yet that it is ours: this acknowledges something else.
            owned.heard = now;
            self.counters.keep_alive_acks_ignored += 1;
            if self.contest_answered(now, assoc, &key) {
                self.announce_added(&key);
            }
            return self.not_silent(now, &key);
        }
        let probe = from_itself.then(|| self.probes.remove(&key)).flatten();
        // Late ones count as long as it is not too late, and so do those for a keep-alive that meant another of its pool.
        let counts = probe.is_some() || self.guards.is_silent(&key) || self.owned.contains(&key);
        if !from_itself || !counts {
            self.counters.keep_alive_acks_ignored += 1;
            return;
        }
        self.counters.keep_alive_acks += 1;
        let claimed = self.set_claimed(now, &key, false);
        self.not_silent(now, &key);
        self.timers.cancel(&Timer::Probe(key.clone()));
        let life = self.element(&key).and_then(|element| self.life(element.life));
        if let Some(owned) = self.owned.get_mut(&key) {
            self.inquiries.settled(&key);
            if std::mem::take(&mut owned.life_restarts) {
                // It could not register while it had no home, and its turn may have come late.
                owned.expires = life.map_or(Time::NEVER, |life| now + life);
            }
            owned.heard = now;
            if owned.association.is_none() {
                owned.association = Some(assoc);
                owned.registered = false;
                if let Some(association) = self.associations.get_mut(assoc) {
                    association.elements.insert(key.clone());
                }
            }
            owned.registered |= adopts && owned.association == Some(assoc);
            if probe.is_some() || !owned.is_scheduled() {
                self.schedule_keep_alive(now, &key);
            }
            if self.contest_answered(now, assoc, &key) || claimed {
                self.announce_added(&key);
            }
        } else if let Some(probe) = &probe {
            self.release(now, probe.association, &key);
        }
        for contender in probe.map(|probe| probe.contenders).unwrap_or_default() {
            self.unpark(now, contender, &key, true);
        }
    }

    /// An acknowledgement did not come in time.
    pub(super) fn probe_timeout(&mut self, now: Time, key: ElementKey) {
        let Some(probe) = self.probes.get_mut(&key) else { return };
        if probe.repeated {
            return self.gone_silent(now, &key, RemovalReason::KeepAliveFailed);
        }
        probe.repeated = true;
        let (mut assoc, home, wait) = (probe.association, probe.home, probe.wait);
        if self.associations.get(assoc).is_none() {
            let Some(other) = self.association_of(now, &key) else {
                return self.unreachable(now, &key);
            };
            self.move_element(assoc, other, &key);
            assoc = other;
        }
        self.timers.set(Timer::Probe(key.clone()), now + wait);
        self.send_keep_alive(assoc, home, &key);
    }

    /// Whether somebody else wants the identifier.
    pub(super) fn is_contended(&self, key: &ElementKey) -> bool {
        let waits = |contender: &AssocId| self.associations.is_up(*contender);
        self.probes.get(key).is_some_and(|probe| probe.contenders.iter().any(waits))
    }

    /// An element was registered anew, moved or removed: nobody needs the result of its probe any more.
    pub(super) fn probe_outdated(&mut self, now: Time, key: &ElementKey) {
        let Some(probe) = self.probes.remove(key) else { return };
        self.timers.cancel(&Timer::Probe(key.clone()));
        let reached_over_it =
            self.owned.get(key).is_some_and(|owned| owned.association == Some(probe.association));
        if !reached_over_it {
            self.release(now, probe.association, key);
        }
        for contender in probe.contenders {
            self.unpark(now, contender, key, false);
        }
    }

    /// An element is not asked over an association any more.
    fn release(&mut self, now: Time, assoc: AssocId, key: &ElementKey) {
        let Some(association) = self.associations.get_mut(assoc) else { return };
        association.elements.remove(key);
        if association.elements.is_empty() && !assoc.is_accepted() {
            self.timers.set(Timer::Idle(assoc), now + IDLE);
        }
    }

    /// An association that was made to ask may not be needed any more: it ends in order, unless somebody at the other end
    /// has a use for it.
    pub(super) fn idle_timeout(&mut self, now: Time, assoc: AssocId) {
        let Some(association) = self.associations.get(assoc) else { return };
        if !association.elements.is_empty() {
            return;
        }
        let heard = association.last_heard;
        match heard + IDLE > now || self.subscriptions.of_association(assoc) > 0 {
            true => self.timers.set(Timer::Idle(assoc), now.max(heard) + IDLE),
            false => self.associations.shutdown(assoc),
        }
    }

    /// An ASAP association is gone, and with it the elements that were reached over it (design D4): those that
    /// registered over it, and those that it was made for.
    pub(super) fn asap_association_down(
        &mut self,
        now: Time,
        assoc: AssocId,
        association: Association,
        why: &DownReason,
    ) {
        for key in association.elements {
            if let DownReason::Duplicate(other) = why
                && self.associations.may_lead_to(*other, &self.asap_addresses(&key))
            {
                self.move_element(assoc, *other, &key);
                continue;
            }
            // Somebody else's association, who lists an address of the element as his: the element could not be asked.
            if matches!(why, DownReason::CannotConnect(_) | DownReason::Duplicate(_)) {
                self.not_asked(now, assoc, &key);
                continue;
            }
            let reached = self.owned.get(&key).is_some_and(|owned| owned.association == Some(assoc));
            let probed = self.probes.get(&key).is_some_and(|probe| probe.association == assoc);
            // Who lets go in order of an association that we only asked over may live: the repetition shows it.
            if !reached && (!probed || *why == DownReason::Shutdown) {
                continue;
            }
            if reached && self.give_way(now, &key) {
                continue;
            }
            let established = association.phase != super::association::Phase::Connecting;
            let reason = match established {
                true => RemovalReason::AssociationEnded,
                false => RemovalReason::KeepAliveFailed,
            };
            // That we have ended it ourselves, because it does not read, or know no way to it, is no evidence either.
            if !matches!(why, DownReason::Unreachable | DownReason::LocalAbort | DownReason::NoAddress) {
                self.remove_and_announce(now, &key, reason);
                continue;
            }
            if let Some(owned) = self.owned.get_mut(&key).filter(|_| reached) {
                owned.association = None;
            }
            self.gone_silent(now, &key, reason);
        }
    }

    /// An element could not be asked, since this host cannot connect to it now: it has no room for another association, or one
    /// that is somebody else's is in the way. That says nothing of the element, which is asked again at the pace of keep-alives, as long as its registration
    /// lasts. Nor is its identifier free for others.
    fn not_asked(&mut self, now: Time, assoc: AssocId, key: &ElementKey) {
        self.counters.elements_not_asked += 1;
        if let Some(owned) = self.owned.get_mut(key)
            && owned.association == Some(assoc)
        {
            owned.association = None;
        }
        let probe = self.probes.get_mut(key).filter(|probe| probe.association == assoc);
        let contenders = probe.map(|probe| std::mem::take(&mut probe.contenders));
        self.probe_outdated(now, key);
        self.schedule_keep_alive(now, key);
        for contender in contenders.unwrap_or_default() {
            self.unpark(now, contender, key, true);
        }
    }

    /// What was to be reached over one association is reached over another to the same endpoint.
    fn move_element(&mut self, from: AssocId, to: AssocId, key: &ElementKey) {
        if let Some(probe) = self.probes.get_mut(key).filter(|probe| probe.association == from) {
            probe.association = to;
        }
        if let Some(owned) = self.owned.get_mut(key).filter(|owned| owned.association == Some(from)) {
            owned.association = Some(to);
        }
        if let Some(association) = self.associations.get_mut(to) {
            association.elements.insert(key.clone());
        }
    }

    /// The process behind an association was started anew or lost it: which elements are still there?
    pub(super) fn asap_association_restarted(&mut self, now: Time, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(assoc) else { return };
        // Nobody is left who waits for the answers.
        association.parked = None;
        for key in association.elements.clone() {
            // Others are only asked over it, and that goes on.
            let Some(owned) = self.owned.get_mut(&key) else { continue };
            owned.registered &= owned.association != Some(assoc);
            if !self.give_way(now, &key) {
                self.inquire(now, key, Why::Doubted);
            }
        }
    }
}
