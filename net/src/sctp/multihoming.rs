//! What an endpoint does for peers with several addresses, and with several of its own (RFC 9260 §5.1.2, §5.2.4.1, §5.4).
//!
//! A peer's addresses are known from its INIT ACK, or from its INIT by way of the sealed cookie, so nobody can add one later. Each
//! leads to the association by our verification tag; only those that are known to be the peer's lead there without it, so that
//! naming somebody else's address takes nothing from its owner.

use super::addresses::{self, AddressError, Listed};
use super::arrivals::Arrival;
use super::association::Progress;
use super::endpoint::SctpEndpoint;
use super::packet::{Chunk, chunk};
use super::paths::{self, Paths};
use super::table::Key;
use proto::{AssocId, DownReason, Time};
use rand::Rng;
use std::net::{IpAddr, SocketAddr};

impl SctpEndpoint {
    /// The association with a peer at this key, or else at one of its other addresses (RFC 9260 §5.2.2).
    pub(super) fn association_at(&self, key: &Key, others: &[SocketAddr]) -> Option<AssocId> {
        let at = |remote| self.named(&Key { remote, ..*key });
        at(key.remote).or_else(|| others.iter().find_map(|&remote| at(remote)))
    }

    /// The association that a key names.
    pub(super) fn named(&self, key: &Key) -> Option<AssocId> {
        self.table.by_key(key).filter(|assoc| self.associations.contains_key(assoc))
    }

    /// The INIT of a peer that we connect to, from an address where we do not look for it: its INIT ACK goes to where our
    /// INIT was sent (RFC 9260 §5.2.1). Anybody may name an address; only who is there learns our tag.
    pub(super) fn redirected<'a>(
        &self,
        arrival: &Arrival<'a>,
        assoc: AssocId,
        others: &[SocketAddr],
    ) -> Option<Arrival<'a>> {
        let association = self.associations.get(&assoc).filter(|it| it.is_waiting_for_cookie())?;
        if association.is_at(arrival.key.remote.ip()) {
            return None;
        }
        let remote = *others.iter().find(|remote| association.is_at(remote.ip()))?;
        let to = self.source_for(remote.ip()).unwrap_or(arrival.to);
        Some(Arrival { now: arrival.now, key: Key { remote, ..arrival.key }, to, packet: arrival.packet })
    }

    /// Whether a COOKIE ECHO that came while we connect is an answer to that: a cookie with our tag went to nobody but whom
    /// we connect to, and says all of its addresses. `None` if that is for the association to say.
    pub(super) fn is_for_connecting(&self, arrival: &Arrival<'_>, assoc: AssocId, tag: u32) -> Option<bool> {
        let association = self.associations.get(&assoc).filter(|it| it.is_connecting())?;
        if association.local_tag == tag {
            return Some(true);
        }
        // One that was issued before we began, to somebody who only names whom we connect to.
        (!association.is_at(arrival.key.remote.ip())).then_some(false)
    }

    /// A restart must not add addresses (RFC 9260 §5.2.2, §5.2.4.1): with them a stranger could take the association over.
    /// Returns whether it was refused.
    pub(super) fn refuse_new_addresses(
        &mut self,
        arrival: &Arrival<'_>,
        assoc: AssocId,
        tag: u32,
        others: &[SocketAddr],
    ) -> bool {
        let Some(association) = self.associations.get(&assoc) else { return false };
        if association.is_waiting_for_cookie() {
            return false;
        }
        let named = std::iter::once(&arrival.key.remote).chain(others).map(SocketAddr::ip);
        let new: Vec<IpAddr> = named.filter(|ip| !association.is_at(*ip)).collect();
        if new.is_empty() {
            return false;
        }
        self.counters.refused_restart += 1;
        if association.is_connecting() {
            // Our INIT ACK would not be news for who connects to us as well, an ABORT would end its attempt.
            return true;
        }
        self.answer(arrival, tag, chunk::ABORT, &addresses::restart_with(&new));
        true
    }

    /// Addresses that cannot be (RFC 9260 §3.3.2.1, §5.1.2).
    pub(super) fn refuse_addresses(&mut self, arrival: &Arrival<'_>, tag: u32, error: &AddressError) {
        self.counters.refused_addresses += 1;
        self.answer(arrival, tag, chunk::ABORT, &error.cause);
    }

    /// The addresses that a peer names beside the one that its packet came from, as far as they can be its and of use.
    pub(super) fn others(&self, arrival: &Arrival<'_>, listed: &Listed) -> Vec<SocketAddr> {
        let is_of_use = |address| self.reaches(address) && !self.local.contains(&address);
        listed.beside(arrival.key.remote, is_of_use)
    }

    /// INIT ACK: where the peer is, too (RFC 9260 §5.1.2). Only the first one counts. Returns `false` if it has ended the
    /// attempt to connect.
    pub(super) fn learn_addresses(
        &mut self,
        arrival: &Arrival<'_>,
        assoc: AssocId,
        init_ack: &Chunk<'_>,
        tag: u32,
    ) -> bool {
        let Some(association) = self.associations.get(&assoc) else { return false };
        if !association.is_waiting_for_cookie() {
            return true;
        }
        let listed = match Listed::parse(init_ack) {
            Ok(listed) => listed,
            Err(error) => {
                self.refuse_addresses(arrival, tag, &error);
                let end = Some(DownReason::ConnectFailed(error.text.into()));
                self.settle(arrival.now, assoc, Progress { end, ..Progress::default() });
                return false;
            }
        };
        let others = self.others(arrival, &listed);
        if association.paths.is_some() || !others.is_empty() {
            let mut addresses = vec![arrival.key.remote];
            addresses.extend(others);
            self.adopt_addresses(arrival, assoc, &addresses);
        }
        true
    }

    /// The peer has said which addresses it has, beside or with the one that the packet came from.
    pub(super) fn adopt_addresses(
        &mut self,
        arrival: &Arrival<'_>,
        assoc: AssocId,
        addresses: &[SocketAddr],
    ) {
        self.leave(assoc);
        let primary = addresses.first().copied().unwrap_or(arrival.key.remote);
        let mut paths = (addresses.len() > 1).then(|| Box::new(self.paths_to(addresses)));
        if let Some(paths) = &mut paths {
            paths.arrive(arrival.key.remote, arrival.to);
        }
        if let Some(association) = self.associations.get_mut(&assoc) {
            association.key.remote = primary;
            association.paths = paths;
        }
        self.enter(assoc);
    }

    /// Makes an association known by its tag at all addresses of its peer, and by those that are known to be its peer's.
    pub(super) fn enter(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get(&assoc) else { return };
        debug_assert!(association.keys().contains(&association.key), "the primary path is one of them");
        self.table.insert(association.key, association.local_tag, assoc);
        for key in association.paths.iter().flat_map(|paths| paths.keys(association.key)) {
            self.table.insert_tag(&key, association.local_tag, assoc);
        }
    }

    /// Forgets where an association was known.
    pub(super) fn leave(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get(&assoc) else { return };
        for key in association.keys().into_iter().chain([association.key]) {
            self.table.remove(&key, association.local_tag, assoc);
        }
    }

    /// HEARTBEAT ACKs with a nonce of ours: the peer is where we sent it (RFC 9260 §5.4).
    pub(super) fn take_answers(&mut self, arrival: &Arrival<'_>, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let Some(paths) = &mut association.paths else { return };
        let acks = arrival.packet.chunks().filter(|chunk| chunk.kind == chunk::HEARTBEAT_ACK);
        for nonce in acks.filter_map(|chunk| paths::nonce(chunk.value)) {
            let Some(remote) = paths.answered(nonce) else { continue };
            let key = Key { remote, ..association.key };
            match self.table.by_key(&key) {
                Some(owner) if owner != assoc => paths.renounce(remote),
                _ => {
                    let is_first = paths.confirm(arrival.now, remote);
                    self.counters.paths_confirmed += u64::from(is_first);
                    self.table.insert(key, association.local_tag, assoc);
                }
            }
        }
    }

    /// Paths to addresses of a peer, the primary one first.
    pub(super) fn paths_to(&self, remote: &[SocketAddr]) -> Paths {
        Paths::new(&self.config, self.associations.len(), remote, |ip| self.source_for(ip))
    }

    /// Which socket to send from at first, if there are several.
    pub(super) fn source_for(&self, remote: IpAddr) -> Option<IpAddr> {
        (self.local.len() > 1).then(|| addresses::source_for(&self.local, remote)).flatten()
    }

    /// Whether one of our sockets reaches an address.
    pub(super) fn reaches(&self, remote: SocketAddr) -> bool {
        self.local.iter().any(|local| self.carrier.reaches(*local, remote))
    }

    /// Sends the heartbeats that are due on the paths of an association (RFC 9260 §5.4, §8.3).
    pub(super) fn probe_paths(&mut self, now: Time, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let Some(mut paths) = association.paths.take() else { return };
        let mut probes = Vec::new();
        while let Some((index, is_unconfirmed)) = paths.next_to_probe(now) {
            let allowed = !is_unconfirmed || self.probes.take(now);
            let nonce = allowed.then(|| self.rng.next_u64());
            let route = paths.probe(now, index, nonce);
            probes.extend(nonce.zip(route).map(|(nonce, (to, from))| {
                (to, from, association.packet(chunk::HEARTBEAT, &paths::heartbeat(nonce)))
            }));
        }
        association.paths = Some(paths);
        let due = association.poll_timeout();
        self.timers.arm(assoc, &mut association.armed, due);
        for (to, from, packet) in probes {
            self.transmit(to, from, packet);
        }
    }

    /// Answers go to where the packet came from, a path may have another UDP port now (RFC 6951 §5.4).
    pub(super) fn follow_path(&mut self, arrival: &Arrival<'_>, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let Some(paths) = &mut association.paths else { return };
        let Some(before) = paths.arrive(arrival.key.remote, arrival.to) else { return };
        self.counters.rebound += 1;
        let is_confirmed = paths.is_confirmed(before.ip());
        let before = Key { remote: before, ..association.key };
        self.table.remove(&before, association.local_tag, assoc);
        if association.key == before {
            association.key.remote = arrival.key.remote;
        }
        if is_confirmed {
            self.table.insert(arrival.key, association.local_tag, assoc);
        } else {
            self.table.insert_tag(&arrival.key, association.local_tag, assoc);
        }
    }
}
