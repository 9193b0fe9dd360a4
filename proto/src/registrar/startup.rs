//! Joining a scope: a mentor gives the peer list and the handlespace (RFC 5353 §3.2).
//!
//! All configured contacts are connected at once, those that are found elsewhere (DNS) as soon as they are, and where
//! registrars announce themselves whoever does, or hears that we do (see [`announce`](super::announce)); the first that is heard becomes the mentor, the others are
//! its backups. ASAP is served from the first moment: what registers here meanwhile is newer than anything a
//! mentor knows. Requests of peers for list and table are rejected until the start is complete.

use super::timers::Timer;
use super::{Event, PeerState, Registrar, State};
use crate::{AssocId, Time};
use enrp::{Body, HandleTableRequest, ListRequest, ListResponse};
use params::RegistrarId;
use rand::RngExt;
use std::collections::BTreeSet;

/// Rounds in which every mentor rejected, before the largest identifier starts alone (ambiguity A-57).
const ROUNDS: u32 = 3;
/// How many times MAX-TIME-NO-RESPONSE a start that is only rejected may take.
const HARD_LIMIT: u32 = 6;

/// How far the start is.
#[derive(Debug)]
pub(super) struct Startup {
    phase: Phase,
    since: Time,
    /// Mentors that rejected or failed in this round.
    tried: BTreeSet<RegistrarId>,
    /// Whether one of them rejected, so that it lives and is starting too.
    rejected: bool,
    rounds: u32,
    /// The elements that the mentor has listed so far.
    pub(super) listed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nobody was heard yet.
    Discovering,
    /// LIST_REQUEST is out.
    List(RegistrarId),
    /// HANDLE_TABLE_REQUEST is out.
    Table(RegistrarId),
    /// All rejected or failed: waiting a little.
    Pausing,
    /// Complete.
    Done,
}

impl Startup {
    pub(super) fn new(now: Time) -> Self {
        Self {
            phase: Phase::Discovering,
            since: now,
            tried: BTreeSet::new(),
            rejected: false,
            rounds: 0,
            listed: 0,
        }
    }

    /// Whether the handlespace comes from this peer at the moment.
    pub(super) fn downloads_from(&self, id: RegistrarId) -> bool {
        self.phase == Phase::Table(id)
    }
}

impl Registrar {
    /// Looks for a mentor; without contacts there is none to look for (RFC 5353 §3.2.2.1).
    pub(super) fn begin_startup(&mut self, now: Time) {
        self.timers.set(Timer::Heartbeat, now + self.config.timers.peer_heartbeat_cycle);
        if self.contacts.is_empty() && !self.may_find_others() {
            return self.started(now, None);
        }
        self.timers.set(Timer::Startup, now + self.config.timers.mentor_discovery_timeout);
        self.connect_contacts(now);
    }

    /// A peer was heard that could be the mentor.
    pub(super) fn mentor_available(&mut self, now: Time, id: RegistrarId) {
        let waiting = matches!(self.startup.phase, Phase::Discovering | Phase::Pausing);
        if waiting && !self.startup.tried.contains(&id) {
            self.ask_mentor(now, id);
        }
    }

    fn ask_mentor(&mut self, now: Time, id: RegistrarId) {
        let Some(assoc) = self.association_to(id) else { return };
        self.startup.phase = Phase::List(id);
        self.startup.listed = 0;
        self.timers.set(Timer::Startup, now + self.config.timers.max_time_no_response);
        self.send_enrp(assoc, id, Body::ListRequest(ListRequest));
    }

    /// LIST_RESPONSE: everybody in it is worth a connection (RFC 5353 §3.2.2.2, ambiguity A-56).
    pub(super) fn list_response_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        response: ListResponse,
    ) {
        let awaited = self.startup.phase == Phase::List(sender);
        if response.rejected {
            if awaited {
                self.startup.rejected = true;
                self.mentor_failed(now, sender);
            }
            return;
        }
        let loopback = self.associations.get(assoc).is_some_and(|association| association.is_loopback());
        for server in response.servers {
            self.listed_by_peer(now, server.id);
            if server.id != self.id && server.id != RegistrarId::NONE && !self.peers.contains_key(&server.id)
            {
                let addresses = super::peers::registrar_addresses(&server.transport, loopback);
                self.add_contact(now, addresses, super::peers::Source::Learned);
            }
        }
        self.connect_contacts(now);
        if awaited {
            self.startup.phase = Phase::Table(sender);
            self.request_startup_table(now, assoc, sender);
        }
    }

    fn request_startup_table(&mut self, now: Time, assoc: AssocId, mentor: RegistrarId) {
        self.timers.set(Timer::Startup, now + self.config.timers.max_time_no_response);
        let request = HandleTableRequest { own_children_only: false };
        self.send_enrp(assoc, mentor, Body::HandleTableRequest(request));
    }

    /// A page of the handlespace was stored, or the mentor rejected (RFC 5353 §3.2.3).
    pub(super) fn startup_table_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        mentor: RegistrarId,
        rejected: bool,
        more: bool,
    ) {
        if rejected {
            self.startup.rejected = true;
            self.mentor_failed(now, mentor);
        } else if more {
            self.request_startup_table(now, assoc, mentor);
        } else {
            self.started(now, Some(mentor));
        }
    }

    /// Whether registrars may turn up that are not known yet: they announce themselves, or are looked for elsewhere.
    fn may_find_others(&self) -> bool {
        self.config.announce.enrp || self.config.expects_peers
    }

    /// No contact is connected, or on the way to be.
    pub(super) fn nobody_answers(&mut self, now: Time) {
        if self.startup.phase == Phase::Discovering && !self.may_find_others() {
            self.started(now, None);
        }
    }

    /// The mentor is gone.
    pub(super) fn mentor_lost(&mut self, now: Time, id: RegistrarId) {
        if matches!(self.startup.phase, Phase::List(mentor) | Phase::Table(mentor) if mentor == id) {
            self.mentor_failed(now, id);
        }
    }

    /// The timer of the start expired.
    pub(super) fn startup_timeout(&mut self, now: Time) {
        match self.startup.phase {
            Phase::Discovering => self.started(now, None),
            Phase::List(mentor) | Phase::Table(mentor) => self.mentor_failed(now, mentor),
            Phase::Pausing => {
                self.startup.tried.clear();
                self.startup.rejected = false;
                self.next_mentor(now);
            }
            Phase::Done => {}
        }
    }

    fn mentor_failed(&mut self, now: Time, id: RegistrarId) {
        self.startup.tried.insert(id);
        self.next_mentor(now);
    }

    /// Asks a backup mentor; if all were asked, pauses or gives up.
    fn next_mentor(&mut self, now: Time) {
        let living =
            |id: &RegistrarId| self.peers.get(id).is_some_and(|peer| peer.state != PeerState::NotActive);
        let untried = |(id, _): &(RegistrarId, AssocId)| !self.startup.tried.contains(id) && living(id);
        if let Some((id, _)) = self.connected_peers().into_iter().find(untried) {
            return self.ask_mentor(now, id);
        }
        let answer = self.config.timers.max_time_no_response;
        self.startup.rounds += 1;
        // Nobody rejected: nobody is left who could help. Everybody is starting: one has to be the first.
        let largest = self.startup.tried.last().is_none_or(|last| *last < self.id);
        let first = self.startup.rounds >= ROUNDS && largest;
        if !self.startup.rejected || first || now >= self.startup.since + answer * HARD_LIMIT {
            return self.started(now, None);
        }
        self.startup.phase = Phase::Pausing;
        let pause = answer.mul_f64(self.rng.random_range(1.0..1.4));
        self.timers.set(Timer::Startup, now + pause);
    }

    fn started(&mut self, now: Time, mentor: Option<RegistrarId>) {
        self.startup.phase = Phase::Done;
        self.timers.cancel(&Timer::Startup);
        self.state = State::Running;
        // What registered before a peer was known was not announced to it, and its audit was rejected until now.
        self.presence_to_all();
        self.events.push_back(Event::Started { mentor });
        self.announce_ourselves(now);
    }
}
