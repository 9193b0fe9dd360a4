//! The server hunt (RFC 5352 §3.6): finding a home registrar.
//!
//! Up to three registrars at once, in random order; the first association that is up wins and the others are
//! closed (ambiguity A-43). One that fails makes room for the next. T5 ends a round; the next one is longer and
//! begins with those that were not tried. While there is a home the hunt looks for an alternative only once, and not
//! again within T5: a request that has no answer then starts it again.

use super::servers::{Origin, ServerId, Servers};
use super::{AsapEndpoint, Event, Peer, Role, Timer};
use crate::{AssocId, Channel, DownReason, Time, Transmit};
use params::RegistrarId;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// RFC 5352 §3.6 SH1.
const MAX_PARALLEL: usize = 3;
/// Hunts that take longer are told the user.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many homes that hang up at once are replaced without a pause.
const QUICK_CHANGES: u32 = 3;

#[derive(Debug)]
pub(super) struct Hunt {
    /// The known registrars, the next to try first.
    order: VecDeque<ServerId>,
    /// The registrar that was our home last: others come before it (RFC 5352 §3.6 "a different server").
    last: Option<ServerId>,
    /// Homes in a row that were lost within T5.
    short_lived: u32,
    round: Option<Round>,
    /// Attempts of an earlier hunt that are still on their way, with their registrars: they count, too.
    spare: BTreeMap<AssocId, ServerId>,
}

#[derive(Debug)]
struct Round {
    /// When the hunt began, until its length was told.
    untold_since: Option<Time>,
    t5: Duration,
    /// Whether all registrars were tried in vain, or a round was.
    failed: bool,
    /// In a round that has failed somebody did not answer at all.
    silent: bool,
    untried: usize,
    attempts: BTreeMap<AssocId, ServerId>,
}

/// The registrar that all requests go to.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) assoc: AssocId,
    /// Known once it sent a keep-alive.
    pub(super) id: Option<RegistrarId>,
    pub(super) peer: Peer,
    pub(super) server: Option<ServerId>,
    since: Time,
    /// When an alternative was last looked for.
    sought: Option<Time>,
}

impl Home {
    /// Since when it is our home.
    pub(super) fn since(&self) -> Time {
        self.since
    }
}

impl Hunt {
    pub(super) fn new(servers: &Servers) -> Self {
        Self {
            order: servers.ids().collect(),
            last: None,
            short_lived: 0,
            round: None,
            spare: BTreeMap::new(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.round.is_some()
    }

    /// Whether somebody did not even refuse when it looked there.
    pub(super) fn was_silent(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.silent)
    }

    /// Whether it goes on although nobody was found where it has looked.
    pub(super) fn has_failed(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.failed)
    }
}

impl AsapEndpoint {
    /// Sees to it that there will be a home registrar.
    pub(super) fn seek_home(&mut self, now: Time) {
        if self.home.is_none() {
            self.start_hunt(now);
        }
    }

    /// Starts the hunt unless it is on; beside a home that does not answer it looks for another one.
    pub(super) fn start_hunt(&mut self, now: Time) {
        if self.hunt.is_running() {
            return;
        }
        let t5 = self.config.timers.t5_server_hunt;
        if let Some(home) = &mut self.home {
            // Many requests may be without an answer, and all others may refuse at once.
            if home.sought.is_some_and(|sought| now < sought + t5) {
                return;
            }
            home.sought = Some(now);
        }
        let order = self.hunt.order.make_contiguous();
        order.shuffle(&mut self.rng);
        let servers = &self.servers;
        order.sort_by_key(|&server| (Some(server) == self.hunt.last, servers.is_doubtful(server)));
        self.hunt.round = Some(Round {
            untold_since: Some(now),
            t5,
            failed: false,
            silent: false,
            untried: 0,
            attempts: BTreeMap::new(),
        });
        if self.home.is_none() && self.hunt.short_lived > QUICK_CHANGES {
            // All of them hang up as soon as they are connected: the first round is a pause.
            self.timers.set(Timer::T5, now + t5);
        } else {
            self.start_round(now);
        }
    }

    fn start_round(&mut self, now: Time) {
        let Some(round) = &mut self.hunt.round else { return };
        round.untried = self.hunt.order.len();
        for (assoc, server) in std::mem::take(&mut self.hunt.spare) {
            self.associations.insert(assoc, Role::Attempt);
            round.attempts.insert(assoc, server);
        }
        self.timers.set(Timer::T5, now + round.t5);
        self.try_registrars();
    }

    fn try_registrars(&mut self) {
        let home = self.home.as_ref().and_then(|home| home.server);
        while let Some(round) = &mut self.hunt.round
            && round.untried > 0
            && round.attempts.len() < MAX_PARALLEL
        {
            round.untried -= 1;
            self.hunt.order.rotate_left(1);
            let Some(&server) = self.hunt.order.back() else { break };
            let Some(remote) = self.servers.addresses(server) else { break };
            if home == Some(server) || round.attempts.values().any(|attempt| *attempt == server) {
                continue;
            }
            self.last_number += 1;
            let assoc = AssocId::connected(self.last_number);
            round.attempts.insert(assoc, server);
            self.associations.insert(assoc, Role::Attempt);
            let remote = remote.to_vec();
            self.outbox.push_immediate(Transmit::Connect { assoc, channel: Channel::Asap, remote });
        }
        if self.home.is_some() && self.hunt.round.as_ref().is_some_and(|round| round.attempts.is_empty()) {
            self.end_hunt();
        }
    }

    /// A registrar became known: a hunt that goes on tries it at once.
    pub(super) fn server_found(&mut self, server: ServerId) {
        let Some(round) = &mut self.hunt.round else {
            self.may_seek_again();
            return self.hunt.order.push_back(server);
        };
        self.hunt.order.push_front(server);
        round.untried += 1;
        self.try_registrars();
    }

    /// A registrar is not known any more. An association to it that is on its way may still become the home.
    pub(super) fn server_forgotten(&mut self, server: ServerId) {
        self.hunt.order.retain(|known| *known != server);
        if let Some(round) = &mut self.hunt.round {
            round.untried = round.untried.min(self.hunt.order.len());
        }
    }

    /// T5: nobody answered in time (RFC 5352 §3.6 SH5).
    pub(super) fn t5_expired(&mut self, now: Time) {
        let Some(round) = &mut self.hunt.round else { return };
        round.t5 = (round.t5 * 2).min(self.config.timers.retran_max);
        if self.home.is_none() && round.untold_since.take_if(|since| now.since(*since) >= PATIENCE).is_some()
        {
            self.events.push_back(Event::NoRegistrarFound { tried: self.servers.first_addresses() });
        }
        round.silent |= !round.attempts.is_empty();
        for (assoc, server) in std::mem::take(&mut round.attempts) {
            self.servers.failed(server);
            self.abort_association(assoc, "no answer within T5");
        }
        if self.home.is_some() {
            self.end_hunt();
        } else {
            self.start_round(now);
            self.hunt_failed(now);
        }
    }

    /// Nobody was found. Whoever needs a registrar does not wait for the next round if it can do without.
    fn hunt_failed(&mut self, now: Time) {
        let Some(round) = self.hunt.round.as_mut().filter(|_| self.home.is_none()) else { return };
        if !std::mem::replace(&mut round.failed, true) {
            self.use_known(now);
        }
    }

    pub(super) fn attempt_up(&mut self, now: Time, assoc: AssocId, peer: Peer) {
        let server = self.hunt.round.as_mut().and_then(|round| round.attempts.remove(&assoc));
        self.adopt_home(now, assoc, None, peer, server);
    }

    pub(super) fn attempt_down(&mut self, now: Time, assoc: AssocId, why: DownReason) {
        let Some(server) = self.hunt.round.as_mut().and_then(|round| round.attempts.remove(&assoc)) else {
            return;
        };
        match why {
            // The registrar was faster and has connected to us: that association serves as well.
            DownReason::Duplicate(other) if !self.is_home(other) => match self.take_registrar(other) {
                Some(peer) => self.adopt_home(now, other, None, peer, Some(server)),
                None => self.try_registrars(),
            },
            _ => {
                self.servers.failed(server);
                // Whether the network is silent or this host cannot even ask.
                let silent = matches!(
                    why,
                    DownReason::Unreachable | DownReason::CannotConnect(_) | DownReason::NoAddress
                );
                if let Some(round) = &mut self.hunt.round {
                    round.silent |= silent;
                }
                self.try_registrars();
                let all_failed = |round: &Round| round.untried == 0 && round.attempts.is_empty();
                if self.hunt.round.as_ref().is_some_and(all_failed) {
                    self.hunt_failed(now);
                }
            }
        }
    }

    /// There is a reason to look for an alternative to the home within T5 again.
    pub(super) fn may_seek_again(&mut self) {
        if let Some(home) = &mut self.home {
            home.sought = None;
        }
    }

    /// Ends the hunt; what is still connecting is closed as soon as it is up (ambiguity A-43).
    pub(super) fn end_hunt(&mut self) {
        self.timers.cancel(&Timer::T5);
        for (assoc, server) in self.hunt.round.take().map(|round| round.attempts).unwrap_or_default() {
            self.associations.insert(assoc, Role::Spare);
            self.hunt.spare.insert(assoc, server);
        }
    }

    /// An attempt that was not needed any more is up, or gone.
    pub(super) fn spare_decided(&mut self, assoc: AssocId) {
        self.hunt.spare.remove(&assoc);
    }

    /// From now on every request goes to this registrar (RFC 5352 §3.6 SH6, §3.4 KA2.4).
    pub(super) fn adopt_home(
        &mut self,
        now: Time,
        assoc: AssocId,
        id: Option<RegistrarId>,
        peer: Peer,
        server: Option<ServerId>,
    ) {
        // The former one may have been silent for long.
        let was_silent = self.hunt.is_running();
        self.end_hunt();
        let server = server.or_else(|| self.learn(now, peer.remote.clone(), Origin::Learned));
        if let Some(server) = server {
            self.servers.verified(now, server);
        }
        self.associations.insert(assoc, Role::Registrar(peer.clone()));
        self.hunt.last = server;
        self.events.push_back(Event::RegistrarConnected { remote: peer.remote.clone() });
        self.events.extend(id.map(|home| Event::HomeChanged { home }));
        if let Some(old) = self.home.replace(Home { assoc, id, peer, server, since: now, sought: None }) {
            if !was_silent {
                self.subscriptions_lost(now);
            }
            self.leave(now, old.assoc);
        }
        self.repeat_requests(now);
        self.ask_for_registrars(now);
    }

    /// The association to the home registrar is gone: hunt at once.
    pub(super) fn home_lost(&mut self, now: Time) {
        let Some(lost) = self.home.take() else { return };
        self.subscriptions_lost(now);
        let short = now.since(lost.since) < self.config.timers.t5_server_hunt;
        self.hunt.short_lived = if short { self.hunt.short_lived.saturating_add(1) } else { 0 };
        self.timers.cancel(&Timer::Registrars);
        self.events.push_back(Event::RegistrarLost);
        self.requests_failed();
        if self.is_idle_in_shutdown() {
            return;
        }
        // A hunt beside the home goes on with all.
        match &mut self.hunt.round {
            None => self.start_hunt(now),
            Some(round) if round.untried == 0 => {
                round.untried = self.hunt.order.len();
                self.try_registrars();
            }
            Some(_) => {}
        }
    }
}
