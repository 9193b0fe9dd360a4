//! The view for the admin API: plain values, made on request and one pool at a time.

use super::peers::Peer;
use super::registrars::is_registrar_pool;
use super::report::Reports;
use super::{ElementKey, Registrar};
use crate::{Channel, Time};
use handlespace::PoolView;
use params::{PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, SctpTransport, Transport};
use std::net::SocketAddr;
use std::time::Duration;

/// The registrar at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its identifier.
    pub id: RegistrarId,
    /// Where it is in its life.
    pub state: State,
    /// Time since its start.
    pub uptime: Duration,
    /// Pools in the handlespace, without that of the registrars.
    pub pools: usize,
    /// Elements in the handlespace, without the registrars.
    pub elements: usize,
    /// Elements whose home this registrar is.
    pub owned_elements: usize,
    /// Elements that it keeps watch over: the same ones, and no others.
    pub watched_elements: usize,
    /// Peers considered alive.
    pub peers: usize,
    /// Associations.
    pub associations: usize,
    /// The checksum over its own elements, as announced (RFC 5353 §3.6.2).
    pub checksum: u16,
    /// Elements that do not answer, and have not been removed for that yet.
    pub silent_elements: usize,
    /// Pools of which so many elements are silent that these are held.
    pub guarded_pools: usize,
    /// Subscriptions of clients to pools.
    pub subscriptions: usize,
    /// What was counted since the start.
    pub counters: Counters,
}

/// The phases of a registrar's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Looking for a mentor, or loading the handlespace from it (RFC 5353 §3.2). ASAP is served already.
    Starting,
    /// In service.
    Running,
    /// Ending its associations in order.
    Stopping,
    /// All associations are gone.
    Stopped,
}

/// One registrar of the scope as this one sees it (RFC 5353 §3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its identifier.
    pub id: RegistrarId,
    /// Where its ENRP endpoint is.
    pub addresses: Vec<SocketAddr>,
    /// Whether it lives.
    pub state: PeerState,
    /// Whether an association exists.
    pub connected: bool,
    /// Time since the last message of any type (ambiguity A-87).
    pub last_heard: Duration,
    /// Time since its last PRESENCE; `None` before the first.
    pub last_presence: Option<Duration>,
    /// The checksum it announced last.
    pub announced_checksum: Option<u16>,
    /// The checksum over its elements as we know them.
    pub expected_checksum: u16,
    /// How many elements it owns in our handlespace.
    pub elements: usize,
}

/// Whether a peer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Heard of lately.
    Active,
    /// Silent or disconnected; asked for a sign of life.
    Probed,
    /// Being taken over, by us or by another registrar: not monitored (RFC 5353 §3.5.1).
    NotActive,
}

/// A pool without its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSummary {
    /// Its name.
    pub handle: PoolHandle,
    /// Its policy: the type decides, the values are those of its first element.
    pub policy: Policy,
    /// How many elements it has.
    pub elements: usize,
    /// How many of them are silent: looked for, and listed last.
    pub silent: usize,
    /// How many more are silent to other registrars, as these tell, or have a home that does not speak for them.
    pub silent_elsewhere: usize,
    /// For how long the silent ones have been held, not removed, because they are so many (design D9).
    pub guarded: Option<Duration>,
    /// How many clients have subscribed to it.
    pub subscribers: usize,
}

/// One element of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementStatus {
    /// Who.
    pub id: PeIdentifier,
    /// Its home registrar.
    pub home: RegistrarId,
    /// Where its service is.
    pub user_transport: Transport,
    /// Where its ASAP endpoint is.
    pub asap_transport: Option<SctpTransport>,
    /// Its policy values.
    pub policy: Policy,
    /// Its registration life; `None` = for ever.
    pub life: Option<Duration>,
    /// What is left of it; known at its home only.
    pub expires_in: Option<Duration>,
    /// Whether it is listed last because it is silent, or because of reports.
    pub suspect: bool,
    /// For how long it has not answered, if it should have.
    pub silent: Option<Duration>,
    /// Distinct clients that reported it unreachable lately.
    pub reports: usize,
}

macro_rules! counters {
    ($($name:ident)*) => {
        /// What a registrar counts. All only grow.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs)] // The names say it; each is one kind of message or incident.
        pub struct Counters {
            $(pub $name: u64,)*
        }

        impl Counters {
            /// Each with its name.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }
    };
}

counters! {
    registrations
    reregistrations
    registrations_rejected
    deregistrations
    deregistrations_rejected
    resolutions
    resolutions_unknown
    resolutions_cut
    pushes_cut
    lists_cut
    subscriptions_refused
    pushes
    reports
    reports_ignored
    reports_refused
    reporters_refused
    elements_not_asked
    elements_silent
    elements_heard_again
    elements_given_up
    guards_begun
    keep_alives_sent
    keep_alive_acks
    keep_alive_acks_ignored
    asap_errors_received
    enrp_errors_received
    updates_sent
    updates_received
    updates_ignored
    presences_received
    announcements_sent
    announcements_received
    announcements_ignored
    table_requests
    table_requests_rejected
    table_responses_ignored
    checksum_mismatches
    resynchronizations
    takeovers_won
    malformed_messages
    unexpected_messages
    wrong_protocol
    wrong_receiver
    own_identifier
    overloads
    resolutions_shed
    reports_shed
    registrations_shed
    table_requests_shed
    associations_refused
    mute_associations_aborted
    queue_overflows
    elements_refused
    peers_refused
    contacts_refused
    send_failures
    associations_aborted
}

impl Registrar {
    /// The registrar at a glance. Costs no more than the number of peers, and of pools with silent elements.
    pub fn status(&self, now: Time) -> Status {
        let (silent_elements, guarded_pools) = self.guards.totals();
        Status {
            silent_elements,
            guarded_pools,
            subscriptions: self.subscriptions.len(),
            id: self.id,
            state: self.state,
            uptime: now.since(self.born),
            pools: self.served_pools(),
            elements: self.served_elements(),
            owned_elements: self.served_elements_of(self.id),
            watched_elements: self.owned.len(),
            peers: self.peers.values().filter(|peer| peer.state != PeerState::NotActive).count(),
            associations: self.associations.len(),
            checksum: self.own_checksum(),
            counters: Counters { queue_overflows: self.associations.overflows(), ..self.counters.clone() },
        }
    }

    /// Bytes that wait for the associations of a channel that are not writable, at most [`Limits::queued_bytes_total`] once
    /// there is nothing to transmit.
    ///
    /// [`Limits::queued_bytes_total`]: super::Limits::queued_bytes_total
    pub fn queued_bytes(&self, channel: Channel) -> usize {
        self.associations.queued_bytes(channel)
    }

    /// All known registrars but this one, by identifier.
    pub fn peers(&self, now: Time) -> Vec<PeerStatus> {
        let status = |(id, peer): (&RegistrarId, &Peer)| PeerStatus {
            id: *id,
            addresses: peer.addresses.clone(),
            state: peer.state,
            connected: peer.association.is_some_and(|assoc| self.associations.is_up(assoc)),
            last_heard: now.since(peer.last_heard),
            last_presence: peer.last_presence.map(|at| now.since(at)),
            announced_checksum: peer.announced_checksum,
            expected_checksum: self.handlespace.checksum(*id),
            elements: self.served_elements_of(*id),
        };
        self.peers.iter().map(status).collect()
    }

    /// At most `count` pools in the order of their handles, those after `after`, without that of the registrars.
    pub fn pools(&self, now: Time, after: Option<&PoolHandle>, count: usize) -> Vec<PoolSummary> {
        let pools = self.handlespace.pools_after(after).filter(|pool| !is_registrar_pool(pool.handle()));
        pools.take(count).map(|pool| self.summary(now, pool)).collect()
    }

    /// One pool; `None` if there is no such pool.
    pub fn pool(&self, now: Time, handle: &PoolHandle) -> Option<PoolSummary> {
        self.handlespace.pool(handle).map(|pool| self.summary(now, pool))
    }

    fn summary(&self, now: Time, pool: PoolView<'_>) -> PoolSummary {
        let (guarded, silent) = self.guards.pool(pool.handle());
        PoolSummary {
            handle: pool.handle().clone(),
            policy: pool.policy().clone(),
            elements: pool.len(),
            silent,
            silent_elsewhere: self.silent_elsewhere(pool.handle(), None).min(pool.len()),
            guarded: guarded.map(|since| now.since(since)),
            subscribers: self.subscriptions.of(pool.handle()),
        }
    }

    /// At most `count` elements of a pool in the order of their identifiers, those after `after`; `None` if there
    /// is no such pool.
    pub fn elements(
        &self,
        now: Time,
        handle: &PoolHandle,
        after: Option<PeIdentifier>,
        count: usize,
    ) -> Option<Vec<ElementStatus>> {
        let pool = self.handlespace.pool(handle)?;
        let elements = pool.elements_after(after).take(count);
        Some(elements.map(|element| self.element_status(now, handle, element)).collect())
    }

    fn element_status(&self, now: Time, handle: &PoolHandle, element: &PoolElement) -> ElementStatus {
        let key = ElementKey::new(handle, element.id);
        let expires = self.owned.get(&key).map(|owned| owned.expires).filter(|at| *at != Time::NEVER);
        ElementStatus {
            id: element.id,
            home: element.home,
            user_transport: element.user_transport.clone(),
            asap_transport: element.asap_transport.clone(),
            policy: element.policy.clone(),
            life: self.config.compat.life(element.life),
            expires_in: expires.map(|at| at.since(now)),
            suspect: self.handlespace.state(handle, element.id).is_some_and(|state| state.suspect),
            silent: self.guards.silent_since(&key).map(|since| now.since(since)),
            reports: self.reports.get(&key).map_or(0, Reports::len),
        }
    }
}
