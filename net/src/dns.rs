//! Registrars from DNS: SRV records `_asap._sctp.DOMAIN` and `_enrp._sctp.DOMAIN` (RFC 2782), asked for again when they
//! outdate.
//!
//! What fails is logged and tried again: registrars that are known stay known.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use proto::Channel;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tracing::{info, warn};

/// The pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// However short or long records live, they are asked for again after this time.
const LIFE: std::ops::RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(3600);
/// Registrars taken from one answer.
const MAX_REGISTRARS: usize = 64;

/// Where to look for registrars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsConfig {
    /// The domain whose registrars these are: `example.net`.
    pub domain: String,
    /// The name server; `None`: those of the system (`/etc/resolv.conf`).
    pub server: Option<SocketAddr>,
}

/// Registrars that DNS names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The addresses of each with its SCTP port, in the order of their priorities.
    pub registrars: Vec<Vec<SocketAddr>>,
    /// How long the answer is valid.
    pub valid_for: Duration,
}

/// Nothing came of a question; what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DnsError(String);

/// Asks once for the registrars of a domain: their ASAP or ENRP endpoints. Must be called inside a tokio runtime.
pub async fn look_up(config: &DnsConfig, channel: Channel) -> Result<Found, DnsError> {
    let service = if channel == Channel::Enrp { "_enrp" } else { "_asap" };
    let name = format!("{service}._sctp.{}.", config.domain.trim_end_matches('.'));
    let resolver = resolver(config)?;
    let failed = |name: &str, error: &dyn std::fmt::Display| {
        DnsError(format!("cannot look up {name}: {error}; check the domain and the name server"))
    };
    let answer =
        resolver.lookup(name.as_str(), RecordType::SRV).await.map_err(|error| failed(&name, &error))?;
    let mut ttl = shortest_ttl(&answer);
    let mut records: Vec<_> = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some((srv.priority, srv.target.clone(), srv.port)),
            _ => None,
        })
        // "." says that there is no such service.
        .filter(|(_, target, port)| !target.is_root() && *port != 0)
        .collect();
    records.sort_by_key(|(priority, ..)| *priority);
    let mut registrars = Vec::new();
    let mut problem = None;
    for (_, target, port) in records.into_iter().take(MAX_REGISTRARS) {
        match resolver.lookup_ip(target.clone()).await {
            Ok(ips) => {
                ttl = ttl.min(shortest_ttl(ips.as_lookup()));
                let mut ips: Vec<IpAddr> = ips.iter().collect();
                ips.sort_by_key(IpAddr::is_ipv6);
                registrars.push(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
            }
            // The others may do.
            Err(error) => problem = Some(failed(&target.to_string(), &error)),
        }
    }
    if registrars.is_empty() {
        let none = || DnsError(format!("{name} names no registrar: add SRV records to the domain"));
        return Err(problem.unwrap_or_else(none));
    }
    Ok(Found { registrars, valid_for: Duration::from_secs(ttl.into()) })
}

/// Asks for the registrars of a domain again and again, and tells them each time. Ends only when it is dropped. Must be
/// called inside a tokio runtime.
pub async fn follow<F>(config: DnsConfig, channel: Channel, mut tell: impl FnMut(Vec<Vec<SocketAddr>>) -> F)
where
    F: Future<Output = ()>,
{
    let mut pause = FIRST_PAUSE;
    let mut known = Vec::new();
    loop {
        let wait = match look_up(&config, channel).await {
            Ok(Found { registrars, valid_for }) => {
                pause = FIRST_PAUSE;
                if known != registrars {
                    info!(domain = config.domain, ?registrars, "registrars from DNS");
                    known.clone_from(&registrars);
                }
                tell(registrars).await;
                valid_for.clamp(*LIFE.start(), *LIFE.end())
            }
            Err(error) => {
                let wait = pause;
                warn!(domain = config.domain, retry_after = ?wait, "no registrars from DNS: {error}");
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// In seconds. The resolver is a new one for each question, so nothing comes out of its cache.
fn shortest_ttl(answer: &Lookup) -> u32 {
    answer.answers().iter().map(|record| record.ttl).min().unwrap_or(0)
}

fn resolver(config: &DnsConfig) -> Result<TokioResolver, DnsError> {
    let builder = match config.server {
        Some(server) => {
            let connection = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = vec![connection(ConnectionConfig::udp()), connection(ConnectionConfig::tcp())];
            let server = NameServerConfig::new(server.ip(), true, connections);
            let config = ResolverConfig::from_name_servers(vec![server]);
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        }
        None => TokioResolver::builder_tokio(),
    };
    let resolver = builder.and_then(|builder| builder.build());
    resolver.map_err(|error| DnsError(format!("cannot use DNS: {error}; is /etc/resolv.conf all right?")))
}
