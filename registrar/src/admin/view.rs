//! From the machine's values to the JSON of [`api`].

use super::api;
use net::driver::BackendCounters;
use params::{Load, Policy, PolicyType, PoolHandle, SctpTransport, Transport, TransportUse};
use proto::registrar::{ElementStatus, PeerState, PeerStatus, PoolSummary, State, Status};
use std::net::{IpAddr, SocketAddr};

pub(super) fn status(status: Status, asap: SocketAddr, enrp: SocketAddr) -> api::Status {
    api::Status {
        id: status.id.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        asap_address: asap.to_string(),
        enrp_address: enrp.to_string(),
        uptime_seconds: status.uptime.as_secs_f64(),
        state: match status.state {
            State::Starting => "starting",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
        .into(),
        pools: status.pools,
        elements: status.elements,
        owned_elements: status.owned_elements,
        peers: status.peers,
        associations: status.associations,
        checksum: checksum(status.checksum),
        silent_elements: status.silent_elements,
        guarded_pools: status.guarded_pools,
        subscriptions: status.subscriptions,
        counters: status.counters.iter().map(|(name, count)| (name.to_owned(), count)).collect(),
    }
}

/// What the SCTP of an endpoint has counted.
pub(super) fn sctp_counters(endpoint: &str, backend: &BackendCounters) -> Vec<(String, u64)> {
    let counters: Vec<(&str, u64)> = match backend {
        BackendCounters::Embedded { sctp, .. } => sctp.iter().collect(),
        BackendCounters::Kernel(kernel) => vec![
            ("received", kernel.received),
            ("sent", kernel.sent),
            ("accepted", kernel.accepted),
            ("connected", kernel.connected),
            ("restarted", kernel.restarted),
            ("paths_down", kernel.paths_down),
            ("paths_up", kernel.paths_up),
            ("violations", kernel.violations),
            ("refused_full", kernel.refused_full),
            ("refused_connects", kernel.refused_connects),
            ("send_failed", kernel.send_failed),
            ("errors", kernel.errors),
            ("failed_calls", kernel.failed_calls),
        ],
        _ => Vec::new(),
    };
    counters.into_iter().map(|(name, count)| (format!("sctp_{endpoint}_{name}"), count)).collect()
}

pub(super) fn pool(pool: &PoolSummary) -> api::Pool {
    api::Pool {
        handle: pool.handle.to_string(),
        handle_hex: handle_hex(&pool.handle),
        policy: policy_name(pool.policy.policy_type()),
        elements: pool.elements,
        silent: pool.silent,
        silent_elsewhere: pool.silent_elsewhere,
        subscribers: pool.subscribers,
        guarded_seconds: pool.guarded.map(|since| since.as_secs_f64()),
    }
}

pub(super) fn handle_hex(handle: &PoolHandle) -> String {
    hex::encode(handle.as_bytes())
}

pub(super) fn element(element: ElementStatus) -> api::Element {
    api::Element {
        id: element.id.to_string(),
        home: element.home.to_string(),
        policy: (&element.policy).into(),
        life_seconds: element.life.map(|life| life.as_secs_f64()),
        expires_in_seconds: element.expires_in.map(|left| left.as_secs_f64()),
        suspect: element.suspect,
        silent_seconds: element.silent.map(|since| since.as_secs_f64()),
        reports: element.reports,
        user_transport: (&element.user_transport).into(),
        asap_transport: element.asap_transport.as_ref().map(Into::into),
    }
}

/// The registrar that answers, as an entry of the list of registrars.
pub(super) fn this_registrar(status: Status, enrp: SocketAddr) -> api::Registrar {
    api::Registrar {
        id: status.id.to_string(),
        this: true,
        addresses: vec![enrp.to_string()],
        state: "active".into(),
        connected: None,
        last_heard_seconds: None,
        owned_elements: status.owned_elements,
        checksum: checksum(status.checksum),
        announced_checksum: None,
    }
}

pub(super) fn peer(peer: PeerStatus) -> api::Registrar {
    api::Registrar {
        id: peer.id.to_string(),
        this: false,
        addresses: peer.addresses.iter().map(SocketAddr::to_string).collect(),
        state: match peer.state {
            PeerState::Active => "active",
            PeerState::Probed => "probed",
            PeerState::NotActive => "not-active",
        }
        .into(),
        connected: Some(peer.connected),
        last_heard_seconds: Some(peer.last_heard.as_secs_f64()),
        owned_elements: peer.elements,
        checksum: checksum(peer.expected_checksum),
        announced_checksum: peer.announced_checksum.map(checksum),
    }
}

fn checksum(checksum: u16) -> String {
    format!("0x{checksum:04x}")
}

impl From<&Policy> for api::Policy {
    fn from(policy: &Policy) -> Self {
        let fraction = |load: Load| f64::from(load.0) / f64::from(u32::MAX);
        let weight_of = |weight: u32| ("weight", f64::from(weight));
        let load_of = |load: Load| ("load", fraction(load));
        let degradation_of = |degradation: Load| ("degradation", fraction(degradation));
        let distance_of = |distance: u32| ("distance", f64::from(distance));
        let values = match *policy {
            Policy::RoundRobin | Policy::Random | Policy::Opaque { .. } => vec![],
            Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
                vec![weight_of(weight)]
            }
            Policy::Priority { priority } => vec![("priority", f64::from(priority))],
            Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => vec![load_of(load)],
            Policy::LeastUsedDegradation { load, degradation }
            | Policy::PriorityLeastUsed { load, degradation }
            | Policy::RandomizedPriorityLeastUsed { load, degradation }
            | Policy::RandomizedLeastUsedDegradation { load, degradation }
            | Policy::PriorityLeastUsedDegradation { load, degradation }
            | Policy::RandomizedPriorityLeastUsedDegradation { load, degradation } => {
                vec![load_of(load), degradation_of(degradation)]
            }
            Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
                vec![weight_of(weight), ("weight_dpf", f64::from(weight_dpf)), distance_of(distance)]
            }
            Policy::LeastUsedDpf { load, load_dpf, distance } => {
                vec![load_of(load), ("load_dpf", f64::from(load_dpf)), distance_of(distance)]
            }
            Policy::LeastUsedDegradationDpf { load, degradation, load_dpf, distance } => vec![
                load_of(load),
                degradation_of(degradation),
                ("load_dpf", f64::from(load_dpf)),
                distance_of(distance),
            ],
        };
        Self {
            name: policy_name(policy.policy_type()),
            values: values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }
}

fn policy_name(policy: PolicyType) -> String {
    policy.name().map_or_else(|| format!("0x{:08x}", policy.0), str::to_owned)
}

impl From<&Transport> for api::Transport {
    fn from(transport: &Transport) -> Self {
        let one = |protocol: &str, address: IpAddr, port: u16| Self {
            protocol: protocol.into(),
            addresses: vec![SocketAddr::new(address, port).to_string()],
            control_channel: false,
        };
        match transport {
            Transport::Sctp(sctp) => sctp.into(),
            Transport::Tcp(tcp) => one("TCP", tcp.address, tcp.port),
            Transport::Udp(udp) => one("UDP", udp.address, udp.port),
            Transport::UdpLite(udp) => one("UDP-Lite", udp.address, udp.port),
            Transport::Dccp(dccp) => one("DCCP", dccp.address, dccp.port),
            Transport::Opaque(bytes) => Self {
                protocol: "opaque".into(),
                addresses: vec![hex::encode(bytes)],
                control_channel: false,
            },
        }
    }
}

impl From<&SctpTransport> for api::Transport {
    fn from(sctp: &SctpTransport) -> Self {
        let addresses = sctp.addresses.iter();
        Self {
            protocol: "SCTP".into(),
            addresses: addresses.map(|&address| SocketAddr::new(address, sctp.port).to_string()).collect(),
            control_channel: sctp.transport_use == TransportUse::DATA_AND_CONTROL,
        }
    }
}
