//! Sockets that are bound to a multicast group, and what shares its port with them.

use super::interfaces;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

/// A socket that receives what is sent to a group over one interface, and nothing else.
pub(super) fn join(group: SocketAddr, interface: u32) -> io::Result<UdpSocket> {
    let socket = bound(group, interface, group.port())?;
    match group.ip() {
        IpAddr::V4(v4) => {
            socket.set_multicast_all_v4(false)?;
            socket.join_multicast_v4_n(&v4, &InterfaceIndexOrAddress::Index(interface))?;
        }
        IpAddr::V6(v6) => {
            socket.set_multicast_all_v6(false)?;
            socket.join_multicast_v6(&v6, interface)?;
        }
    }
    Ok(socket.into())
}

/// A socket that sends to a group over one interface from `port`. Linux takes the address of the interface for the
/// source when a socket is bound to a group, and nothing but that group's datagrams can arrive there, which it is not
/// a member of: so it takes nothing from the SCTP socket that may have the port.
pub(super) fn sender(
    group: SocketAddr,
    interface: u32,
    source: IpAddr,
    port: u16,
    hops: u8,
) -> io::Result<UdpSocket> {
    let socket = bound(group, interface, port)?;
    match source {
        IpAddr::V4(v4) => {
            socket.set_multicast_all_v4(false)?;
            socket.set_multicast_if_v4(&v4)?;
            socket.set_multicast_ttl_v4(hops.into())?;
        }
        IpAddr::V6(_) => {
            socket.set_multicast_all_v6(false)?;
            socket.set_multicast_if_v6(interface)?;
            socket.set_multicast_hops_v6(hops.into())?;
        }
    }
    Ok(socket.into())
}

fn bound(group: SocketAddr, interface: u32, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if group.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let mut address = scoped(group, interface);
    address.set_port(port);
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A group on an interface: IPv6 groups of a link need to say which.
pub(super) fn scoped(group: SocketAddr, interface: u32) -> SocketAddr {
    match group {
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, interface).into(),
        v4 => v4,
    }
}

/// Whether the port of `any`, `0.0.0.0` or `[::]`, is taken by sockets of groups only: then each single address of this
/// host is free.
pub(crate) fn only_groups_have(any: SocketAddr) -> bool {
    let Ok(interfaces) = interfaces::list() else { return false };
    let is_free = |ip: &IpAddr| {
        let address = match ip {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => return true, // free with the others
            ip => SocketAddr::new(*ip, any.port()),
        };
        let probe = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP));
        probe.and_then(|probe| probe.bind(&address.into())).is_ok()
    };
    let mut addresses = interfaces.iter().flat_map(|interface| &interface.addresses);
    addresses.all(|ip| (any.is_ipv4() && ip.is_ipv6()) || is_free(ip))
}
