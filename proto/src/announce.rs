//! What both machines make of multicast datagrams (RFC 5352 §3.6, ambiguities ).
//!
//! Anybody can send one, with any source address. So each costs little, few are looked at, and what they say is a hint
//! where to connect to, never more.

use crate::Time;
use params::{SctpTransport, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// The assigned SCTP port of ASAP (RFC 5352 §8): meant by an announcement that says none.
pub(crate) const ASAP_PORT: u16 = 3863;
/// How long a source's datagrams are counted together.
const WINDOW: Duration = Duration::from_secs(1);
/// Datagrams of one source within a window: some registrars on one host, each in a few groups.
const PER_SOURCE: u16 = 64;
/// Sources within a window.
const SOURCES: usize = 256;

/// Lets through what one source, and all together, may send in a second.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    since: Time,
    sources: BTreeMap<IpAddr, u16>,
}

impl Gate {
    /// Whether to look at a datagram from this source.
    pub(crate) fn admits(&mut self, now: Time, source: IpAddr) -> bool {
        if now >= self.since + WINDOW {
            self.since = now;
            self.sources.clear();
        }
        if self.sources.len() >= SOURCES && !self.sources.contains_key(&source) {
            return false;
        }
        let count = self.sources.entry(source).or_default();
        *count = count.saturating_add(1);
        *count <= PER_SOURCE
    }
}

/// Where the registrar is that sent an ASAP_SERVER_ANNOUNCE; empty if it cannot be reached by SCTP.
///
/// Without any transport it is at the source address and the assigned port, or, as rsplib has it, at the source port.
pub(crate) fn asap_endpoint(from: SocketAddr, transports: &[Transport], rsplib: bool) -> Vec<SocketAddr> {
    if transports.is_empty() {
        let port = if rsplib { from.port() } else { ASAP_PORT };
        return with_port(from, port).into_iter().collect();
    }
    let mut sctp = transports.iter().filter_map(|transport| match transport {
        Transport::Sctp(sctp) => Some(sctp),
        _ => None,
    });
    sctp.next().map_or_else(Vec::new, |sctp| reachable(from, sctp))
}

/// The addresses of an announced transport that can mean the host that announced it, each once.
pub(crate) fn reachable(from: SocketAddr, transport: &SctpTransport) -> Vec<SocketAddr> {
    let mut reachable: Vec<SocketAddr> = Vec::new();
    for ip in transport.addresses.iter().map(IpAddr::to_canonical) {
        let address = match ip {
            // Valid on the link of the source only.
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                (from.ip() == ip).then(|| with_port(from, transport.port)).flatten()
            }
            _ if ip.is_unspecified() || ip.is_multicast() => None,
            _ if ip.is_loopback() && !from.ip().is_loopback() => None,
            _ => Some(SocketAddr::new(ip, transport.port)).filter(|_| transport.port != 0),
        };
        reachable.extend(address.filter(|address| !reachable.contains(address)));
    }
    reachable
}

fn with_port(from: SocketAddr, port: u16) -> Option<SocketAddr> {
    let address = match from {
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), port, 0, v6.scope_id()).into(),
        SocketAddr::V4(v4) => SocketAddr::new((*v4.ip()).into(), port),
    };
    (port != 0 && !from.ip().is_unspecified() && !from.ip().is_multicast()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use params::TransportUse;

    fn source(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn transport(port: u16, addresses: &[&str]) -> SctpTransport {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        SctpTransport { port, transport_use: TransportUse::DATA_ONLY, addresses }
    }

    // ASAP-3.6-08, A-45
    #[test]
    fn without_transports_the_source_is_meant() {
        let from = source("192.0.2.1:40000");
        assert_eq!(asap_endpoint(from, &[], false), [source("192.0.2.1:3863")]);
        assert_eq!(asap_endpoint(from, &[], true), [from], "rsplib's registrars have any port");
        assert_eq!(asap_endpoint(source("[fe80::1%3]:7"), &[], false), [source("[fe80::1%3]:3863")]);
    }

    // PARAM-3.2-02
    #[test]
    fn only_addresses_that_can_mean_the_sender_are_used() {
        let said =
            transport(1, &["192.0.2.1", "192.0.2.1", "127.0.0.1", "0.0.0.0", "224.0.1.185", "fe80::9"]);
        assert_eq!(reachable(source("192.0.2.1:2"), &said), [source("192.0.2.1:1")]);
        assert_eq!(reachable(source("127.0.0.1:2"), &transport(1, &["127.0.0.1"])), [source("127.0.0.1:1")]);
        assert_eq!(
            reachable(source("[fe80::9%2]:2"), &transport(1, &["fe80::9"])),
            [source("[fe80::9%2]:1")]
        );
        assert_eq!(reachable(source("192.0.2.1:2"), &transport(0, &["192.0.2.1"])), []);
    }

    //
    #[test]
    fn a_source_and_all_together_have_a_limit_that_time_lifts() {
        let mut gate = Gate::default();
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let ip = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        assert_eq!((0..1000).filter(|_| gate.admits(at(0), ip(1))).count(), usize::from(PER_SOURCE));
        assert_eq!((2..10_000).filter(|n| gate.admits(at(1), ip(*n))).count(), SOURCES - 1);
        assert_eq!(gate.sources.len(), SOURCES);
        assert!(gate.admits(at(1000), ip(1)));
    }
}
