//! The configuration of a registrar: one TOML file, the same as a value for embedding.
//!
//! `etc/registrar.toml` documents every key with its default; a test holds it to [`Config::default`]. Unknown keys
//! are errors. What depends on the profile (timers, some limits) is an `Option` here: `None` is the profile's number.

mod component_status;
mod listen;
mod multicast;
mod resolve;
pub(crate) mod values;

pub use component_status::ComponentStatus;
pub use listen::ListenAddress;
pub use multicast::Multicast;
use net::udp::EncapPorts;

use params::RegistrarId;
use proto::profile::Profile;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything a registrar is told at its start.
///
/// ```
/// let config = rserpool_registrar::Config::from_toml(r#"
///     peers = ["127.0.0.1:9902"]
///     [timers]
///     keep-alive-interval = "100ms"
/// "#)?;
/// assert_eq!(config.listen.asap, "127.0.0.1:3863".parse()?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Its identifier in the scope (RFC 5353 §2); `None`: a random one.
    #[serde(deserialize_with = "values::id")]
    pub id: Option<RegistrarId>,
    /// Where it listens.
    pub listen: Listen,
    /// The addresses under which peers reach it; empty: those that the association itself uses.
    pub advertise: Vec<IpAddr>,
    /// Registrars known beforehand: the ENRP addresses of one registrar an entry.
    #[serde(deserialize_with = "values::peers")]
    pub peers: Vec<Vec<SocketAddr>>,
    /// Registrars that DNS names.
    pub dns: Dns,
    /// How it finds registrars, and clients it, without being told addresses.
    pub multicast: Multicast,
    /// Whether it is an element of the pool of registrars, so that clients that reach one know all. Where rsplib is part
    /// of the scope it is not.
    pub registrar_pool: bool,
    /// The timers that fit the network.
    #[serde(deserialize_with = "values::profile")]
    pub profile: Profile,
    /// Whether rsplib is part of the scope.
    pub compat: Compat,
    /// What becomes of registered addresses that the element's association does not use.
    pub foreign_addresses: ForeignAddresses,
    /// Timers and thresholds that differ from the profile's.
    pub timers: Timers,
    /// How registrars agree who takes over.
    pub takeover: Takeover,
    /// When it doubts that silent elements are dead.
    pub guard: Guard,
    /// The letter of the RFCs where we do better: reports alone, and the word of any registrar, remove an element, and
    /// there is no guard.
    pub strict_rfc: bool,
    /// SCTP.
    pub sctp: Sctp,
    /// What it takes at most.
    pub limits: Limits,
    /// Where operators' tools reach it.
    pub admin: Admin,
    /// What it reports to a monitor of rsplib's.
    pub component_status: ComponentStatus,
    /// What the daemon logs: a level or a filter of `tracing-subscriber`. An embedding program decides itself.
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: None,
            listen: Listen::default(),
            advertise: Vec::new(),
            peers: Vec::new(),
            dns: Dns::default(),
            multicast: Multicast::default(),
            registrar_pool: true,
            profile: Profile::Lan,
            compat: Compat::default(),
            foreign_addresses: ForeignAddresses::default(),
            timers: Timers::default(),
            takeover: Takeover::default(),
            guard: Guard::default(),
            strict_rfc: false,
            sctp: Sctp::default(),
            limits: Limits::default(),
            admin: Admin::default(),
            component_status: ComponentStatus::default(),
            log: "info".into(),
        }
    }
}

/// Where a registrar listens. The number is the SCTP port and the UDP port at the same time, or, with
/// [`Sctp::encap_port`], the SCTP port alone; 0 is any free one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listen {
    /// For pool elements and pool users.
    pub asap: ListenAddress,
    /// For other registrars.
    pub enrp: ListenAddress,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            asap: SocketAddr::from(([127, 0, 0, 1], 3863)).into(),
            enrp: SocketAddr::from(([127, 0, 0, 1], 9901)).into(),
        }
    }
}

/// Registrars that DNS names, by SRV records `_enrp._sctp.DOMAIN`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {
    /// The domains to ask for, again and again.
    pub domains: Vec<String>,
    /// The name server; `None`: those of the system.
    #[serde(deserialize_with = "values::dns_server")]
    pub server: Option<SocketAddr>,
}

/// The dialect of the scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// What the RFCs say. The profile `rsplib` implies [`Compat::Rsplib`] all the same.
    #[default]
    Rfc,
    /// What rsplib understands: registration life in milliseconds, small tables, nothing that its programs cannot read.
    Rsplib,
}

/// What to do with user transport addresses that the registering association does not use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignAddresses {
    /// Drop them; reject the registration if none is left.
    #[default]
    Trim,
    /// Reject the registration. May be written `strict`.
    #[serde(alias = "strict")]
    Reject,
    /// Believe the element: networks with address translation. May be written `off`, for there is no rule then.
    #[serde(alias = "off")]
    Accept,
}

/// Timers and thresholds by their RFC names (RFC 5353 §4, RFC 5352 §7). `None`: the profile's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timers {
    /// PEER-HEARTBEAT-CYCLE: presence to every peer.
    #[serde(deserialize_with = "values::optional_duration")]
    pub peer_heartbeat_cycle: Option<Duration>,
    /// MAX-TIME-LAST-HEARD: silence after which a peer is asked.
    #[serde(deserialize_with = "values::optional_duration")]
    pub max_time_last_heard: Option<Duration>,
    /// MAX-TIME-NO-RESPONSE: how long an answer of a peer may take.
    #[serde(deserialize_with = "values::optional_duration")]
    pub max_time_no_response: Option<Duration>,
    /// Time between keep-alives of an element while nothing is heard of it.
    #[serde(deserialize_with = "values::optional_duration")]
    pub keep_alive_interval: Option<Duration>,
    /// How long a keep-alive's acknowledgement may take; one repetition follows.
    #[serde(deserialize_with = "values::optional_duration")]
    pub keep_alive_timeout: Option<Duration>,
    /// MAX-BAD-PE-REPORT: reports of distinct clients after which an element is suspect.
    pub max_bad_pe_report: Option<u32>,
    /// How long to look for a mentor before going on alone.
    #[serde(deserialize_with = "values::optional_duration")]
    pub mentor_discovery_timeout: Option<Duration>,
    /// T6-Serverannounce: how often one of all registrars announces itself by multicast.
    #[serde(deserialize_with = "values::optional_duration")]
    pub t6_server_announce: Option<Duration>,
    /// T7-ENRPoutdate: how long a registrar that announced itself counts among them, at least.
    #[serde(deserialize_with = "values::optional_duration")]
    pub t7_enrp_outdate: Option<Duration>,
    /// The shortest time between two lists of a pool that a subscriber gets.
    #[serde(deserialize_with = "values::optional_duration")]
    pub push_interval: Option<Duration>,
}

/// The mass-failure guard. `None`: the default, which for the window depends on the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guard {
    /// Per cent of a pool that may be removed for silence within the window; 100: there is no guard.
    pub share: Option<u8>,
    /// With less elements of a pool than this, a registrar does not guard it.
    pub floor: Option<usize>,
    /// How long a removal for silence counts.
    #[serde(deserialize_with = "values::optional_duration")]
    pub window: Option<Duration>,
    /// How long an element may stay silent at most; never less than two keep-alive intervals, of a pool that has
    /// several homes the longest of theirs.
    #[serde(deserialize_with = "values::optional_duration")]
    pub hold: Option<Duration>,
}

/// How registrars take over each other's elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Takeover {
    /// Who wins; the same in the whole scope.
    pub arbitration: Arbitration,
}

/// Who wins when several registrars want to take over the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arbitration {
    /// The lowest identifier, as with rsplib.
    #[default]
    LowestId,
    /// The largest identifier (RFC 5353 §3.5.1).
    Rfc5353,
}

/// The embedded SCTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sctp {
    /// Largest SCTP packet, in bytes of UDP payload.
    pub mtu: usize,
    /// Whether ICMP messages are taken as a hint that a peer is gone.
    pub icmp: bool,
    /// The UDP ports behind which all SCTP ports of a host are (RFC 6951), for members of the scope whose SCTP is a
    /// kernel's; `None`: the UDP port has the number of the SCTP port. The same for the whole scope.
    #[serde(deserialize_with = "values::encap_port")]
    pub encap_port: Option<EncapPorts>,
}

impl Default for Sctp {
    fn default() -> Self {
        Self { mtu: 1200, icmp: true, encap_port: None }
    }
}

/// What a registrar takes at most: full means a refusal, never a crash. `None`: the default of the profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Pools.
    pub pools: Option<usize>,
    /// Pool elements, whoever owns them.
    pub elements: Option<usize>,
    /// Bytes of all pool elements as they are encoded, each with its pool handle.
    pub element_bytes: Option<usize>,
    /// Other registrars.
    pub peers: Option<usize>,
    /// SCTP associations, of each of the two endpoints.
    pub associations: Option<usize>,
    /// Bytes waiting for a registrar that does not take any; beyond that its association is aborted.
    pub queued_bytes: Option<usize>,
    /// The same for a pool element or user.
    pub queued_bytes_per_client: Option<usize>,
    /// Bytes waiting for all pool elements and users, and for all registrars, each; beyond that the association for which
    /// most waits is aborted.
    pub queued_bytes_total: Option<usize>,
    /// Packets that are behind from which on resolutions are shed, then reports, registrations and tables.
    pub backlog: Option<usize>,
    /// Keep-alives a second; intervals stretch to stay below it. As many again, at most, for elements that are claimed,
    /// doubted or reported, all together.
    /// Repetitions of what is not answered, and those that a registration waits for, come on top.
    pub probes_per_second: Option<u32>,
    /// Elements for which reports of unreachability are remembered.
    pub reported_elements: Option<usize>,
    /// Subscriptions to pools, of all clients together.
    pub subscriptions: Option<usize>,
    /// Subscriptions of one client.
    pub subscriptions_per_association: Option<usize>,
    /// Bytes of one handle table response (RFC 5353 §2.5).
    pub table_response_bytes: Option<usize>,
    /// Downloads of the handle table at a time.
    pub table_sessions: Option<usize>,
    /// Bytes of one handle resolution response.
    pub resolution_bytes: Option<usize>,
    /// Elements in one answer of a policy that lists all.
    pub resolution_items: Option<usize>,
    /// Elements in one answer of a weighted policy.
    pub weighted_items: Option<usize>,
    /// New associations a second, of each of the two endpoints.
    pub handshakes_per_second: Option<u32>,
    /// Answers a second to packets that belong to no association.
    pub out_of_the_blue_per_second: Option<u32>,
    /// Bytes received and not yet handled, of all associations of an endpoint together.
    pub receive_bytes: Option<usize>,
}

/// Where operators' tools reach the registrar: the admin API (see [`crate::admin`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Admin {
    /// A Unix socket that only its owner may use.
    #[serde(deserialize_with = "values::admin_socket")]
    pub socket: AdminSocket,
    /// A TCP address, which must be loopback: every local user may use it.
    #[serde(deserialize_with = "values::admin_tcp")]
    pub tcp: Option<SocketAddr>,
}

/// The Unix socket of the admin API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminSocket {
    /// One that the `rserpool` tool finds by itself: see [`crate::admin::socket_directories`].
    #[default]
    Auto,
    /// None.
    Off,
    /// This one.
    Path(PathBuf),
}

/// What is wrong with a configuration: the text says where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not TOML, an unknown key, a value of a wrong form: line, column, key and reason.
    #[error(transparent)]
    Toml(#[from] Box<toml::de::Error>),
    /// A value that the registrar cannot work with.
    #[error("{key}: {reason}")]
    Value {
        /// The key, `timers.keep-alive-interval`.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// The configuration in `text`; what it does not mention keeps its default.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(Box::new)?;
        config.check()?;
        Ok(config)
    }
}
