//! The registrars that an endpoint knows (RFC 5352 §3.6, ambiguities ).
//!
//! Those of the configuration stay. Beside them there is room for some that were learned: they announced themselves, took
//! us over, or somebody named them. When it is full, the one goes first that was never, or longest ago, found to be one.

use super::{AsapEndpoint, Timer};
use crate::announce::asap_endpoint;
use crate::{Channel, Time};
use asap::{Message, ServerAnnounce};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 5352 §3.6: an announcement may be lost, so T7 is at least this many periods of a scope of this size.
const PERIODS: u32 = 3;

/// Names a registrar of the list; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerId(u64);

#[derive(Debug)]
struct Server {
    /// The preferred one first, each with the ASAP port.
    addresses: Vec<SocketAddr>,
    origin: Origin,
    /// When an association to it was last established.
    verified: Option<Time>,
    /// When it was last named.
    named: Time,
}

/// How a registrar became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The owner of the endpoint said so: it is never forgotten.
    Configured,
    /// By a registrar, or by the owner while the endpoint runs.
    Learned,
    /// It announces itself, and is forgotten when it ceases to.
    Announced,
}

/// The list.
#[derive(Debug)]
pub(super) struct Servers {
    map: BTreeMap<ServerId, Server>,
    next: u64,
    /// How many may be there that are not configured.
    limit: usize,
}

impl Servers {
    pub(super) fn new(configured: Vec<Vec<SocketAddr>>, limit: usize) -> Self {
        let mut servers = Self { map: BTreeMap::new(), next: 0, limit };
        for addresses in configured.into_iter().filter(|addresses| !addresses.is_empty()) {
            servers.insert(Time::ZERO, addresses, Origin::Configured);
        }
        servers
    }

    fn insert(&mut self, now: Time, addresses: Vec<SocketAddr>, origin: Origin) -> ServerId {
        let id = ServerId(self.next);
        self.next += 1;
        self.map.insert(id, Server { addresses, origin, verified: None, named: now });
        id
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ServerId> {
        self.map.keys().copied()
    }

    pub(super) fn addresses(&self, id: ServerId) -> Option<&[SocketAddr]> {
        self.map.get(&id).map(|server| server.addresses.as_slice())
    }

    /// The first address of each.
    pub(super) fn first_addresses(&self) -> Vec<SocketAddr> {
        self.map.values().filter_map(|server| server.addresses.first().copied()).collect()
    }

    /// The registrar at one of these addresses.
    pub(super) fn find(&self, addresses: &[SocketAddr]) -> Option<ServerId> {
        let at = |server: &Server| server.addresses.iter().any(|known| addresses.contains(known));
        self.map.iter().find(|(_, server)| at(server)).map(|(id, _)| *id)
    }

    /// Nobody but a multicast datagram says that there is a registrar: better ones are tried first.
    pub(super) fn is_doubtful(&self, id: ServerId) -> bool {
        let doubtful = |server: &Server| server.origin == Origin::Announced && server.verified.is_none();
        self.map.get(&id).is_some_and(doubtful)
    }

    /// It was not reached at its first address: another one is tried next.
    pub(super) fn failed(&mut self, id: ServerId) {
        if let Some(server) = self.map.get_mut(&id) {
            server.addresses.rotate_left(1);
        }
    }

    /// An association to it is established.
    pub(super) fn verified(&mut self, now: Time, id: ServerId) {
        if let Some(server) = self.map.get_mut(&id) {
            server.verified = Some(now);
        }
    }

    /// How many announce themselves.
    fn announced(&self) -> u32 {
        let announced = self.map.values().filter(|server| server.origin == Origin::Announced);
        u32::try_from(announced.count()).unwrap_or(u32::MAX)
    }

    /// The one that makes room, if there is no more and one can.
    fn superfluous(&self, in_use: Option<ServerId>) -> Option<ServerId> {
        let learned = || self.map.iter().filter(|(_, server)| server.origin != Origin::Configured);
        if learned().count() < self.limit {
            return None;
        }
        let others = learned().filter(|(id, _)| Some(**id) != in_use);
        others.min_by_key(|(_, server)| (server.verified, server.named)).map(|(id, _)| *id)
    }
}

impl AsapEndpoint {
    /// Adds a registrar that became known while the endpoint runs, from DNS for instance: its addresses with the ASAP
    /// port, the preferred one first. It stays until others need its place ([`Limits`](super::Limits::registrars)).
    pub fn add_registrar(&mut self, now: Time, addresses: Vec<SocketAddr>) {
        self.learn(now, addresses, Origin::Learned);
    }

    /// The registrar at these addresses, new in the list or known.
    pub(super) fn learn(
        &mut self,
        now: Time,
        addresses: Vec<SocketAddr>,
        origin: Origin,
    ) -> Option<ServerId> {
        if addresses.is_empty() {
            return None;
        }
        if let Some(known) = self.servers.find(&addresses) {
            let server = self.servers.map.get_mut(&known)?;
            server.named = now;
            if origin == Origin::Learned && server.origin == Origin::Announced {
                server.origin = Origin::Learned;
                self.timers.cancel(&Timer::T7(known));
            }
            return Some(known);
        }
        let home = self.home.as_ref().and_then(|home| home.server);
        if let Some(id) = self.servers.superfluous(home) {
            self.forget_server(id);
        }
        let id = self.servers.insert(now, addresses, origin);
        self.server_found(id);
        Some(id)
    }

    fn forget_server(&mut self, id: ServerId) {
        self.timers.cancel(&Timer::T7(id));
        self.servers.map.remove(&id);
        self.server_forgotten(id);
    }

    /// A datagram of a multicast group. Nothing is answered, whatever it is (RFC 5352 §2.2.14).
    pub(super) fn announcement(&mut self, now: Time, from: SocketAddr, channel: Channel, bytes: &[u8]) {
        if channel != Channel::Asap || self.shutting_down || !self.gate.admits(now, from.ip()) {
            self.counters.announcements_ignored += 1;
            return;
        }
        let Ok(Message::ServerAnnounce(ServerAnnounce { transports, .. })) = asap::decode(bytes).message
        else {
            self.counters.announcements_ignored += 1;
            return;
        };
        let addresses = asap_endpoint(from, &transports, self.config.compat.is_rsplib());
        let Some(id) = self.learn(now, addresses, Origin::Announced) else {
            self.counters.announcements_ignored += 1;
            return;
        };
        self.counters.announcements += 1;
        let announced = self.servers.map.get(&id).is_some_and(|server| server.origin == Origin::Announced);
        if announced {
            let outdated = now + self.outdate_after();
            self.timers.set(Timer::T7(id), outdated);
        }
    }

    /// T7, long enough for a scope in which many share the rate of announcements (ambiguity A-46).
    fn outdate_after(&self) -> Duration {
        let timers = &self.config.timers;
        timers.t7_enrp_outdate.max(timers.t6_server_announce * (PERIODS * self.servers.announced().max(1)))
    }

    /// T7: a registrar has ceased to announce itself (RFC 5352 §3.6).
    pub(super) fn t7_expired(&mut self, id: ServerId) {
        self.forget_server(id);
    }
}
