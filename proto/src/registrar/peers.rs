//! The peers: who they are, whether they live, how they are reached (RFC 5353 §3.4).
//!
//! A peer is known by its identifier as soon as anything came from it. Addresses that lead, or led, to a
//! registrar are *contacts*: they are connected to again and again, so a scope that was cut grows together.
//!
//! Silence is found by the RFC's timers. An association that ends is faster: the peer is connected to at once,
//! and if that fails it is dead.

use super::association::{Association, Phase, Replaces};
use super::timers::Timer;
use super::{Event, PeerDownReason, PeerState, Registrar, State};
use crate::{AssocId, Channel, DownReason, Time};
use enrp::{Body, ListRequest, Presence};
use params::{RegistrarId, SctpTransport, ServerInformation, TransportUse};
use std::net::SocketAddr;

/// A registrar that was heard.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) addresses: Vec<SocketAddr>,
    /// The association to it: established, or on the way.
    pub(super) association: Option<AssocId>,
    /// Its association ended in order, and nothing was heard of it since.
    pub(super) left: bool,
    /// It runs on this host, so its loopback addresses are ours.
    pub(super) same_host: bool,
    /// It has said what only a registrar says. rsplib's `hsdump` poses as one, reads the table and is gone: it is
    /// neither named to others nor waited for in a takeover.
    pub(super) proven: bool,
    pub(super) state: PeerState,
    pub(super) last_heard: Time,
    pub(super) last_presence: Option<Time>,
    pub(super) announced_checksum: Option<u16>,
    /// Its association has ended, and it is waited for: once, until it is heard again.
    in_respite: bool,
    /// How large a table response may be, if it is one of ours, which say so.
    pub(super) table_response_size: Option<u32>,
    /// How soon its table may be loaded anew.
    pub(super) pace: super::audit::Pace,
    /// Updates of it may have been lost. The checksum shows that only if elements came or
    /// went: new values of their policies are not in it.
    pub(super) missed: bool,
    /// Which of its starts this is, if it is one of ours, which say so. `None`: it has not introduced itself yet.
    incarnation: Option<Option<u32>>,
    /// It was started anew with its identifier, and has not listed since what it still knows.
    pub(super) restart: Option<super::audit::Restart>,
    /// How many elements of pools are silent to it.
    pub(super) silent: super::silence::Told,
    /// That it is there was told last, not that it is down.
    up: bool,
}

/// Addresses at which there is, was or should be a registrar.
#[derive(Debug)]
pub(super) struct Contact {
    addresses: Vec<SocketAddr>,
    /// The association being tried or in use.
    association: Option<AssocId>,
    source: Source,
    /// It is ourselves.
    ourselves: bool,
    failures: u32,
    retry_at: Time,
}

/// Who says that there is a registrar, the least to be believed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The operator. Never forgotten.
    Configured,
    /// A registrar, or itself.
    Learned,
    /// A multicast datagram.
    Announced,
}

impl Source {
    /// How often it is tried in vain before it is forgotten.
    fn patience(self) -> u32 {
        match self {
            Self::Configured => u32::MAX,
            Self::Learned => 1000,
            // It announces itself again if it is there.
            Self::Announced => 2,
        }
    }
}

/// Octets of a PRESENCE with a checksum alone: header, identifiers, parameter.
const PRESENCE: usize = 20;
/// After so many heartbeats a peer is asked whom it knows.
const LIST_CYCLE: u64 = 4;
/// The pause between attempts doubles this many times, starting with MAX-TIME-NO-RESPONSE.
const MAX_DOUBLINGS: u32 = 3;

impl Registrar {
    /// Tries this address from now on, unless it is known.
    pub(super) fn add_contact(&mut self, now: Time, addresses: Vec<SocketAddr>, source: Source) {
        if addresses.is_empty() {
            return;
        }
        let overlaps = |contact: &&mut Contact| contact.addresses.iter().any(|a| addresses.contains(a));
        if let Some(known) = self.contacts.iter_mut().find(overlaps) {
            known.source = known.source.min(source);
            return;
        }
        if source != Source::Configured && self.contacts.len() >= self.config.limits.peers {
            self.counters.contacts_refused += 1;
            // Whoever is to be believed least, and was tried in vain most often, makes room.
            let useless = self.contacts.iter().enumerate().filter(|(_, contact)| {
                contact.source != Source::Configured
                    && contact.source >= source
                    && contact.association.is_none()
                    && contact.failures > 0
            });
            let least = useless.max_by_key(|(_, contact)| (contact.source, contact.failures));
            let Some((index, _)) = least else { return };
            self.contacts.remove(index);
        }
        self.contacts.push(Contact {
            addresses,
            association: None,
            source,
            ourselves: false,
            failures: 0,
            retry_at: now,
        });
    }

    /// Connects to every contact that is neither connected nor in its pause.
    pub(super) fn connect_contacts(&mut self, now: Time) {
        self.contacts.retain(|contact| contact.failures < contact.source.patience());
        for contact in &mut self.contacts {
            if contact.ourselves || contact.association.is_some() || contact.retry_at > now {
                continue;
            }
            contact.association = Some(self.associations.connect(now, Channel::Enrp, &contact.addresses));
        }
    }

    /// An ENRP association is established. Whoever connected introduces itself and asks who is there.
    pub(super) fn enrp_association_up(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get(assoc) else { return };
        for contact in &mut self.contacts {
            if association.reaches(&contact.addresses) {
                contact.association = Some(assoc);
            }
        }
        if !assoc.is_accepted() {
            self.introduce_ourselves(assoc);
            self.send_presence(assoc, RegistrarId::NONE, true);
        }
    }

    /// An ENRP association is gone.
    pub(super) fn enrp_association_down(
        &mut self,
        now: Time,
        assoc: AssocId,
        association: &Association,
        why: &DownReason,
    ) {
        self.end_table_sessions(assoc);
        let other = match why {
            DownReason::Duplicate(other) => Some(*other),
            _ => self.associations.find(Channel::Enrp, association.proven().as_slice()),
        };
        let pause = self.config.timers.max_time_no_response;
        for contact in self.contacts.iter_mut().filter(|contact| contact.association == Some(assoc)) {
            contact.association = other;
            if other.is_none() {
                contact.failures += 1;
                // At another of its addresses next time.
                contact.addresses.rotate_left(1);
                contact.retry_at = now + pause * (1 << contact.failures.saturating_sub(1).min(MAX_DOUBLINGS));
            }
        }
        if self.contacts.iter().all(|contact| contact.association.is_none()) {
            self.nobody_answers(now);
        }
        if let (DownReason::Duplicate(_), Some(other)) = (why, other) {
            self.send_presence(other, RegistrarId::NONE, true);
        }
        let affected: Vec<RegistrarId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.association == Some(assoc))
            .map(|(id, _)| *id)
            .collect();
        for id in affected {
            self.peer_disconnected(now, id, other, association, why);
        }
    }

    fn peer_disconnected(
        &mut self,
        now: Time,
        id: RegistrarId,
        other: Option<AssocId>,
        association: &Association,
        why: &DownReason,
    ) {
        self.resynchronization_aborted(id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.association = other;
        // What was on its way is lost, unless the association never was one.
        peer.missed |= !matches!(why, DownReason::Duplicate(_));
        if other.is_some() {
            return;
        }
        self.takeover_lost_peer(now, id);
        self.mentor_lost(now, id);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if self.state == State::Stopping || peer.state == PeerState::NotActive {
            return;
        }
        // An attempt that brought no sign of life, other than one that we ended ourselves or could not make, tells enough.
        let not_asked = matches!(why, DownReason::CannotConnect(_));
        if !not_asked && (!peer.proven || (!association.heard && *why != DownReason::LocalAbort)) {
            let why = if peer.left { PeerDownReason::Left } else { PeerDownReason::Unreachable };
            return self.peer_dead(now, id, why);
        }
        // Whoever takes nothing, so that we end one association after the other, does not get a new respite each time, nor does
        // another process at its address, which says nothing of it.
        let in_vain = not_asked || *why == DownReason::LocalAbort;
        let waited_for = peer.in_respite || in_vain && peer.state == PeerState::Probed;
        peer.in_respite = true;
        peer.state = PeerState::Probed;
        peer.left = *why == DownReason::Shutdown;
        // What cannot be now is tried again with the next heartbeat.
        if !not_asked {
            peer.association = Some(self.associations.connect(now, Channel::Enrp, &peer.addresses));
        }
        // The attempt itself ends in time; this is for an endpoint that never says so, and for further attempts.
        if !waited_for {
            let timers = &self.config.timers;
            let patience = (timers.max_time_no_response * 4).max(timers.peer_heartbeat_cycle * 2);
            self.timers.set(Timer::Peer(id), now + patience);
        }
    }

    /// A message of `sender` came: it lives (RFC 5353 §3.4.1, §3.4.3). Says whether to go on with the message.
    pub(super) fn heard(&mut self, now: Time, assoc: AssocId, sender: RegistrarId) -> bool {
        let Some(association) = self.associations.get_mut(assoc) else { return false };
        let before = association.peer.replace(sender);
        let remote = association.remote.clone();
        if before.is_none() && self.guards.has_silent() {
            // It was not known before whom the first presence went to, and what to tell him.
            self.silence_changed(now);
        }
        if let Some(before) = before.filter(|before| *before != sender) {
            self.peer_dead(now, before, PeerDownReason::Replaced);
        }
        for contact in self.contacts.iter_mut().filter(|contact| contact.association == Some(assoc)) {
            contact.failures = 0;
            contact.source = contact.source.min(Source::Learned);
        }
        let Some(peer) = self.peers.get_mut(&sender) else {
            return self.peer_found(now, assoc, sender, remote);
        };
        peer.last_heard = now;
        (peer.left, peer.in_respite) = (false, false);
        let current = peer.association.filter(|current| self.associations.is_up(*current));
        peer.association = Some(current.unwrap_or(assoc));
        let introduce = current.is_none() && assoc.is_accepted();
        if !std::mem::replace(&mut peer.up, true) {
            let addresses = peer.addresses.clone();
            self.events.push_back(Event::PeerUp { id: sender, addresses });
        }
        if peer.state != PeerState::Active {
            peer.state = PeerState::Active;
            self.timers.set(Timer::Peer(sender), now + self.config.timers.max_time_last_heard);
            self.takeover_target_lives(sender);
        }
        if introduce {
            // It may have been started anew with its identifier, and rsplib refuses requests of whom it does not know.
            self.send_presence(assoc, sender, false);
        }
        true
    }

    fn peer_found(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        remote: Vec<SocketAddr>,
    ) -> bool {
        if self.peers.len() >= self.config.limits.peers {
            self.counters.peers_refused += 1;
            return false;
        }
        let peer = Peer {
            addresses: remote.clone(),
            association: Some(assoc),
            left: false,
            same_host: self.associations.get(assoc).is_some_and(Association::is_within_host),
            proven: false,
            state: PeerState::Active,
            last_heard: now,
            last_presence: None,
            announced_checksum: None,
            in_respite: false,
            table_response_size: None,
            pace: super::audit::Pace::default(),
            // What is known of its elements is second-hand.
            missed: self.elements_of(sender) > 0,
            incarnation: None,
            restart: None,
            silent: super::silence::Told::default(),
            up: true,
        };
        self.peers.insert(sender, peer);
        self.timers.set(Timer::Peer(sender), now + self.config.timers.max_time_last_heard);
        self.events.push_back(Event::PeerUp { id: sender, addresses: remote });
        self.takeover_target_lives(sender);
        if assoc.is_accepted() {
            self.introduce_ourselves(assoc);
        }
        self.send_presence(assoc, sender, true);
        true
    }

    /// A peer has lost what was on its way, and has sent nothing since.
    pub(super) fn enrp_association_restarted(&mut self, assoc: AssocId) {
        self.end_table_sessions(assoc);
        for peer in self.peers.values_mut().filter(|peer| peer.association == Some(assoc)) {
            peer.missed = true;
        }
        self.send_presence(assoc, RegistrarId::NONE, true);
    }

    /// A message with our own identifier: we talk to ourselves, or somebody else has it too (ambiguity A-20).
    pub(super) fn own_identifier_heard(&mut self, assoc: AssocId) {
        self.counters.own_identifier += 1;
        let Some(association) = self.associations.get(assoc) else { return };
        let port = self.config.enrp_port;
        let ourselves =
            |remote: &SocketAddr| remote.port() == port && association.local.contains(&remote.ip());
        let remote = association.proven();
        if !remote.as_ref().is_some_and(ourselves) {
            self.events.extend(remote.map(|remote| Event::IdConflict { remote }));
            return;
        }
        for contact in self.contacts.iter_mut().filter(|contact| association.reaches(&contact.addresses)) {
            contact.ourselves = true;
        }
        self.abort(assoc, "this is myself");
    }

    /// PRESENCE (RFC 5353 §2.1, §3.6.1).
    pub(super) fn presence_received(
        &mut self,
        now: Time,
        assoc: AssocId,
        sender: RegistrarId,
        presence: Presence,
    ) {
        self.counters.presences_received += 1;
        let loopback = self.associations.get(assoc).is_some_and(Association::is_loopback);
        let Some(peer) = self.peers.get_mut(&sender) else { return };
        let first = peer.last_presence.replace(now).is_none();
        if let Some(information) = presence.information.filter(|information| information.id == sender) {
            peer.table_response_size = information.table_response_size;
            // Who says so and did not before, or no more, is another version: it was started anew, too.
            let incarnation = information.incarnation;
            if peer.incarnation.replace(incarnation).is_some_and(|before| before != incarnation) {
                peer.restart = Some(super::audit::Restart::default());
            }
            let addresses = registrar_addresses(&information.transport, loopback);
            if !addresses.is_empty() {
                peer.addresses = addresses;
            }
        }
        self.silence_heard(now, sender, presence.silent);
        if presence.reply_required {
            self.send_presence(assoc, sender, false);
        }
        self.mentor_available(now, sender);
        if first && self.state == State::Running {
            // It may know others that we never heard of.
            self.send_enrp(assoc, sender, Body::ListRequest(ListRequest));
        }
        if let Some(checksum) = presence.checksum {
            self.audit(now, sender, checksum);
        }
    }

    /// Every PEER-HEARTBEAT-CYCLE: presence to all (RFC 5353 §3.4.2), and another attempt where there is none.
    pub(super) fn heartbeat(&mut self, now: Time) {
        self.timers.set(Timer::Heartbeat, now + self.config.timers.peer_heartbeat_cycle);
        self.presence_to_all();
        self.connect_contacts(now);
        self.connect_probed(now);
        self.adopt_orphans(now);
        self.ask_for_peers();
    }

    /// Peers that are waited for, and to which this host could not connect.
    fn connect_probed(&mut self, now: Time) {
        for peer in self.peers.values_mut() {
            if peer.state == PeerState::Probed && peer.association.is_none() {
                peer.association = Some(self.associations.connect(now, Channel::Enrp, &peer.addresses));
            }
        }
    }

    /// One peer after the other is asked for the registrars that it knows: those whom we know only by hearsay, and could
    /// not reach for so long that we forgot them, would never hear of us again.
    fn ask_for_peers(&mut self) {
        self.heartbeats = self.heartbeats.wrapping_add(1);
        if self.state != State::Running || !self.heartbeats.is_multiple_of(LIST_CYCLE) {
            return;
        }
        let connected = self.connected_peers();
        let turn = (self.heartbeats / LIST_CYCLE) as usize;
        if let Some((id, assoc)) = turn.checked_rem(connected.len()).and_then(|turn| connected.get(turn)) {
            self.send_enrp(*assoc, *id, Body::ListRequest(ListRequest));
        }
    }

    /// PRESENCE to every peer that is connected, and to none in particular (ambiguity A-19).
    pub(super) fn presence_to_all(&mut self) {
        // Other registrars may have got or lost elements of a pool.
        self.telling.outdated();
        for (_, assoc) in self.connected_peers() {
            self.send_presence(assoc, RegistrarId::NONE, false);
        }
    }

    /// A peer was silent for too long, or did not answer (RFC 5353 §3.4.3).
    pub(super) fn peer_timeout(&mut self, now: Time, id: RegistrarId) {
        let timers = &self.config.timers;
        let (silence, answer) = (timers.max_time_last_heard, timers.max_time_no_response);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        match peer.state {
            PeerState::Active if peer.last_heard + silence > now => {
                self.timers.set(Timer::Peer(id), peer.last_heard + silence);
            }
            PeerState::Active => {
                peer.state = PeerState::Probed;
                let assoc = match peer.association {
                    Some(assoc) => assoc,
                    None => self.associations.connect(now, Channel::Enrp, &peer.addresses),
                };
                peer.association = Some(assoc);
                self.timers.set(Timer::Peer(id), now + answer);
                self.send_presence(assoc, id, true);
            }
            PeerState::Probed => self.peer_dead(now, id, PeerDownReason::NotHeard),
            // Whoever wanted to take it over did not (ambiguity A-65).
            PeerState::NotActive => self.take_over(now, id),
        }
    }

    /// A peer is dead: without elements it is forgotten, otherwise taken over.
    pub(super) fn peer_dead(&mut self, now: Time, id: RegistrarId, why: PeerDownReason) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.state == PeerState::NotActive {
            return;
        }
        peer.state = PeerState::NotActive;
        peer.up = false;
        // Who is only silent is still to hear of its takeover.
        if why != PeerDownReason::NotHeard {
            peer.association = None;
        }
        self.timers.cancel(&Timer::Peer(id));
        self.events.push_back(Event::PeerDown { id, why });
        self.resynchronization_aborted(id);
        self.mentor_lost(now, id);
        self.takeover_lost_peer(now, id);
        self.take_over(now, id);
    }

    /// Takes a peer off the list; its addresses remain a contact, for it may return.
    pub(super) fn forget_peer(&mut self, now: Time, id: RegistrarId) {
        self.unregister_registrar(now, id);
        let Some(peer) = self.peers.remove(&id) else { return };
        self.timers.cancel(&Timer::Peer(id));
        self.resynchronization_aborted(id);
        if peer.up {
            self.events.push_back(Event::PeerDown { id, why: PeerDownReason::TakenOver });
        }
        // It may live, and would hear nothing of what it misses from now on: with a new association it asks.
        if let Some(assoc) = peer.association.filter(|assoc| self.associations.is_up(*assoc)) {
            self.associations.shutdown(assoc);
        }
        if peer.proven {
            self.add_contact(now, peer.addresses, Source::Learned);
        }
    }

    /// Whether an association to this peer is there or on its way.
    pub(super) fn is_connected_to(&self, id: RegistrarId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.association.is_some())
    }

    /// The established association to a peer.
    pub(super) fn association_to(&self, id: RegistrarId) -> Option<AssocId> {
        self.peers.get(&id)?.association.filter(|assoc| self.associations.is_up(*assoc))
    }

    /// The peers with an established association.
    pub(super) fn connected_peers(&self) -> Vec<(RegistrarId, AssocId)> {
        let connected = |assoc: &AssocId| self.associations.is_up(*assoc);
        self.peers.iter().filter_map(|(id, peer)| Some((*id, peer.association.filter(connected)?))).collect()
    }

    /// PRESENCE always has checksum and Server Information (ambiguity A-18). What waits for an association that is on
    /// its way needs none: it begins with one, and our addresses are not known before.
    pub(super) fn send_presence(&mut self, assoc: AssocId, receiver: RegistrarId, reply_required: bool) {
        let Some(association) = self.associations.get(assoc).filter(|a| a.phase == Phase::Up) else { return };
        let addresses = match self.config.advertise.as_slice() {
            // rsplib ignores a peer whose addresses are not those of the association.
            advertised if !advertised.is_empty() && !self.config.compat.is_rsplib() => advertised.to_vec(),
            _ => association.local.clone(),
        };
        let information = (!addresses.is_empty()).then(|| {
            let transport = SctpTransport {
                port: self.config.enrp_port,
                transport_use: TransportUse::DATA_ONLY,
                addresses,
            };
            let size = u32::try_from(self.config.limits.table_response_bytes).unwrap_or(u32::MAX);
            ServerInformation {
                id: self.id,
                transport,
                table_response_size: Some(size),
                incarnation: Some(self.incarnation),
            }
        });
        let checksum = Some(self.own_checksum());
        let peer = association.peer;
        let besides = PRESENCE + information.as_ref().map_or(0, ServerInformation::encoded_length);
        let silent = self.silence_for(peer, besides);
        let presence = Presence { reply_required, checksum, information, silent };
        let Some(bytes) = self.encode_enrp(receiver, Body::Presence(presence)) else { return };
        // A question must not be lost behind a later statement.
        let replaces = (!reply_required).then_some(Replaces::Presence);
        self.associations.send(assoc, bytes, replaces);
    }
}

/// So many addresses of a registrar are of use: the transport takes no more, and one that says very many must not fill every list.
const MAX_ADDRESSES: usize = 8;

/// The addresses of a registrar, as it says itself or another one of it.
pub(super) fn registrar_addresses(transport: &SctpTransport, loopback: bool) -> Vec<SocketAddr> {
    let mut addresses = socket_addresses(transport, loopback);
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// The addresses of a transport with its port; loopback ones only if `loopback` (design D2).
pub(super) fn socket_addresses(transport: &SctpTransport, loopback: bool) -> Vec<SocketAddr> {
    let usable = |address: &&std::net::IpAddr| loopback || !address.is_loopback();
    transport
        .addresses
        .iter()
        .filter(usable)
        .map(|ip| SocketAddr::new(ip.to_canonical(), transport.port))
        .collect()
}
