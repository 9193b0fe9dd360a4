//! What an operator decides about a registrar, and the limits that keep it standing (design D3, D4, D8, D11).

use super::{Announce, Guard};
use crate::profile::{Compat, Profile, RegistrarTimers};
use params::RegistrarId;
use std::net::{IpAddr, SocketAddr};

/// Everything a registrar is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its identifier. `None`, the normal case: a random one, never zero (RFC 5353 §3.2.1).
    pub id: Option<RegistrarId>,
    /// The SCTP port on which it listens for ASAP; announced to clients.
    pub asap_port: u16,
    /// The SCTP port on which it listens for ENRP; announced to the peers.
    pub enrp_port: u16,
    /// The addresses under which peers reach it. Empty: those that the association itself uses.
    pub advertise: Vec<IpAddr>,
    /// ENRP endpoints of registrars known beforehand, one entry a registrar, all its addresses with its SCTP
    /// port. An entry that turns out to be this registrar itself does no harm.
    pub peers: Vec<Vec<SocketAddr>>,
    /// Whether more of them are looked for, in DNS for instance, and [added](super::Registrar::add_peer) as they are found:
    /// the start then waits for them as long as MENTOR-DISCOVERY-TIMEOUT.
    pub expects_peers: bool,
    /// What it announces by multicast, and listens to. Nothing, unless somebody wants it.
    pub announce: Announce,
    /// Whether it registers itself in [`REGISTRAR_POOL`](crate::REGISTRAR_POOL), as soon as it knows its addresses. Where
    /// rsplib takes part it never does.
    pub registrar_pool: bool,
    /// Timers and thresholds (RFC 5353 §4, RFC 5352 §7).
    pub timers: RegistrarTimers,
    /// Who wins when several registrars want to take over the same one.
    pub arbitration: Arbitration,
    /// What becomes of registered addresses that are not addresses of the registering association.
    pub foreign_addresses: ForeignAddresses,
    /// The scope's dialect (design D8).
    pub compat: Compat,
    /// When it doubts that silent elements are dead (design D9).
    pub guard: Guard,
    /// What the RFCs say where we do better: reports alone remove an element (RFC 5352 §3.5, ambiguity A-41), the word
    /// of any registrar does (RFC 5353 §3.3.2, ambiguity A-63), and there is no [`Guard`]. The arbitration of takeovers
    /// is a setting of its own.
    pub strict_rfc: bool,
    /// What it takes at most.
    pub limits: Limits,
}

impl Config {
    /// The defaults with the timers of `profile`; ASAP and ENRP on their well-known ports, no peers.
    pub fn new(profile: Profile) -> Self {
        let compat = profile.compat();
        Self {
            id: None,
            asap_port: crate::announce::ASAP_PORT,
            enrp_port: 9901,
            advertise: Vec::new(),
            peers: Vec::new(),
            expects_peers: false,
            announce: Announce::default(),
            registrar_pool: false,
            timers: profile.registrar(),
            arbitration: Arbitration::LowestId,
            foreign_addresses: ForeignAddresses::Trim,
            compat,
            guard: Guard::of(profile.registrar().keep_alive_interval),
            strict_rfc: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Profile::Lan)
    }
}

/// The rule that decides between registrars that initiate a takeover of the same target (ambiguity A-64).
/// All registrars of a scope must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arbitration {
    /// The lowest identifier wins: the rule of this project and of rsplib.
    LowestId,
    /// The largest identifier wins (RFC 5353 §3.5.1).
    Rfc5353,
}

impl Arbitration {
    /// Whether `a` wins over `b`.
    pub fn wins(self, a: RegistrarId, b: RegistrarId) -> bool {
        match self {
            Self::LowestId => a < b,
            Self::Rfc5353 => a > b,
        }
    }
}

/// What to do with user transport addresses that the registering association does not use (ambiguity A-26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignAddresses {
    /// Drop them with a warning; reject if none is left.
    Trim,
    /// Reject the registration.
    Reject,
    /// Take whatever the element says: networks with address translation.
    Accept,
}

/// What a registrar takes at most (design D11). Full means a refusal, never a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pools in the handlespace.
    pub pools: usize,
    /// Pool elements in the handlespace.
    pub elements: usize,
    /// Bytes of all pool elements as they are encoded, each with its pool handle.
    pub element_bytes: usize,
    /// Registrars known at a time.
    pub peers: usize,
    /// Associations at a time, with pool elements and users, and with registrars, each. When there is hardly any room left
    /// the oldest of those that have not said anything for ten seconds are aborted.
    pub associations: usize,
    /// Bytes that wait for an association with a registrar that is not writable; beyond that it is aborted. A single message
    /// always may wait, here and for a client.
    pub queued_bytes: usize,
    /// The same for an association with a pool element or user.
    pub queued_bytes_per_client: usize,
    /// Bytes that wait for all pool elements and users together, and for all registrars together, each; beyond that the
    /// association for which most waits is aborted.
    pub queued_bytes_total: usize,
    /// Packets read without the sockets having been empty from which on resolutions are shed; reports, registrations and
    /// table requests from twice, four and eight times as many.
    pub backlog: usize,
    /// Keep-alives a second of this registrar; intervals stretch to stay below it (design D7). As many again, at most, for
    /// elements that are claimed, doubted or reported, all together.
    /// Repetitions of what is not answered, and those that a registration waits for, come on top. 0 counts as 1.
    pub probes_per_second: u32,
    /// Elements for which reports of unreachability are remembered.
    pub reported_elements: usize,
    /// Subscriptions to pools, of all clients together.
    pub subscriptions: usize,
    /// Subscriptions of one client.
    pub subscriptions_per_association: usize,
    /// Bytes of one ENRP_HANDLE_TABLE_RESPONSE, sent and asked for. Registrars that do not say how many they take, as ours
    /// do, get at most 1400. What no message holds counts as 65,532, here and for resolutions.
    pub table_response_bytes: usize,
    /// Table downloads served at a time.
    pub table_sessions: usize,
    /// Bytes of one ASAP_HANDLE_RESOLUTION_RESPONSE.
    pub resolution_bytes: usize,
    /// Elements in one answer of a policy that lists all (ambiguity A-49), and whatever a client asks for.
    pub resolution_items: usize,
    /// Elements in one answer of a weighted policy (ambiguity A-75), of any where rsplib takes part.
    pub weighted_items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pools: 100_000,
            elements: 1_000_000,
            element_bytes: 256 << 20,
            peers: 64,
            associations: 100_000,
            queued_bytes: 4 << 20,
            queued_bytes_per_client: 2 << 20,
            queued_bytes_total: 64 << 20,
            backlog: 8_192,
            probes_per_second: 2_000,
            reported_elements: 10_000,
            subscriptions: 100_000,
            subscriptions_per_association: 64,
            table_response_bytes: 32 << 10,
            table_sessions: 64,
            resolution_bytes: 32 << 10,
            resolution_items: 128,
            weighted_items: 3,
        }
    }
}
