//! The network interfaces of this host, and which of them announcements use.

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// One that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) loopback: bool,
    /// Whether it says that it can do multicast; loopback can, and does not say so.
    pub(super) multicast: bool,
    pub(super) addresses: Vec<IpAddr>,
}

impl Interface {
    /// Where datagrams to a group leave from over this interface: an address of the group's family, one of ours if it
    /// has one.
    pub(super) fn source(&self, group: IpAddr, own: &[SocketAddr]) -> Option<IpAddr> {
        let family = || self.addresses.iter().filter(|address| address.is_ipv4() == group.is_ipv4());
        let ours = |address: &&IpAddr| own.iter().any(|own| own.ip() == **address);
        family().find(ours).or_else(|| family().next()).copied()
    }
}

/// Those that are up, each with its addresses.
pub(super) fn list() -> io::Result<Vec<Interface>> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for entry in getifaddrs()? {
        if !entry.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        let address = entry.address.as_ref().and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        });
        if let Some(known) = interfaces.iter_mut().find(|known| known.name == entry.interface_name) {
            known.addresses.extend(address);
            continue;
        }
        // It may be gone by now.
        let Ok(index) = if_nametoindex(entry.interface_name.as_str()) else { continue };
        interfaces.push(Interface {
            name: entry.interface_name,
            index,
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            multicast: entry.flags.contains(InterfaceFlags::IFF_MULTICAST),
            addresses: address.into_iter().collect(),
        });
    }
    Ok(interfaces)
}

/// Those that have these names; without names those with one of these addresses, or, if one of them is any address, all
/// but loopback that can do multicast.
pub(super) fn choose<'a>(all: &'a [Interface], names: &[String], own: &[SocketAddr]) -> Vec<&'a Interface> {
    let any = own.iter().any(|own| own.ip().is_unspecified());
    let chosen = |interface: &&Interface| {
        if !names.is_empty() {
            names.contains(&interface.name)
        } else if any {
            interface.multicast && !interface.loopback
        } else {
            interface.addresses.iter().any(|address| own.iter().any(|own| own.ip() == *address))
        }
    };
    all.iter().filter(chosen).collect()
}

/// Where an endpoint that listens on `own` is reached over these interfaces.
pub(super) fn reachable_at(interfaces: &[&Interface], own: &[SocketAddr]) -> Vec<IpAddr> {
    if !own.iter().any(|own| own.ip().is_unspecified()) {
        return own.iter().map(SocketAddr::ip).collect();
    }
    // `[::]` takes both families.
    let v4_only = own.iter().all(SocketAddr::is_ipv4);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in interfaces.iter().flat_map(|interface| &interface.addresses) {
        let usable = match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => !v4_only && !v6.is_unicast_link_local(),
        };
        if usable && !addresses.contains(address) {
            addresses.push(*address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, index: u32, addresses: &[&str]) -> Interface {
        Interface {
            name: name.into(),
            index,
            loopback: name == "lo",
            multicast: name != "lo" && name != "tun0",
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    fn host() -> Vec<Interface> {
        vec![
            interface("lo", 1, &["127.0.0.1", "::1"]),
            interface("eth0", 2, &["192.0.2.1", "192.0.2.2", "2001:db8::1", "fe80::1"]),
            interface("eth1", 3, &["198.51.100.1"]),
            interface("tun0", 4, &["203.0.113.1"]),
        ]
    }

    fn names(own: &str, names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let all = host();
        choose(&all, &names, &[own.parse().unwrap()]).iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn the_interfaces_are_those_of_the_address_or_the_named_ones() {
        assert_eq!(names("0.0.0.0:1", &[]), ["eth0", "eth1"]);
        assert_eq!(names("192.0.2.2:1", &[]), ["eth0"]);
        assert_eq!(names("127.0.0.1:1", &[]), ["lo"]);
        assert_eq!(names("0.0.0.0:1", &["tun0", "eth9"]), ["tun0"]);
    }

    #[test]
    fn addresses_that_others_can_use_are_announced() {
        let all = host();
        let interfaces: Vec<&Interface> = all.iter().skip(1).take(2).collect();
        let at = |own: &str| {
            let addresses = reachable_at(&interfaces, &[own.parse().unwrap()]);
            addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(at("0.0.0.0:1"), ["192.0.2.1", "192.0.2.2", "198.51.100.1"]);
        assert_eq!(at("[::]:1"), ["192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.1"]);
        assert_eq!(at("192.0.2.2:1"), ["192.0.2.2"]);
    }

    #[test]
    fn datagrams_leave_from_the_address_that_is_announced() {
        let eth0 = &host()[1];
        let source = |group: &str, own: &str| {
            eth0.source(group.parse().unwrap(), &[own.parse().unwrap()]).map(|ip| ip.to_string())
        };
        assert_eq!(source("239.0.0.50", "192.0.2.2:1").as_deref(), Some("192.0.2.2"));
        assert_eq!(source("239.0.0.50", "0.0.0.0:1").as_deref(), Some("192.0.2.1"));
        assert_eq!(source("ff05::133", "[::]:1").as_deref(), Some("2001:db8::1"));
        assert_eq!(host()[2].source("ff05::133".parse().unwrap(), &[]), None);
    }
}
