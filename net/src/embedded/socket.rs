//! The socket of an endpoint: how it is bound and what is asked of the kernel.

use crate::{buffers, multicast};
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::UdpSocketState;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Receive buffer to ask for: a burst of thousands of packets while the thread is busy.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Send buffer to ask for.
const SEND_BUFFER: usize = 4 << 20;

/// A bound, non-blocking socket for datagrams.
pub(crate) struct BoundSocket {
    /// Not necessarily of UDP: the type is that of a descriptor that receives and sends datagrams.
    pub(super) socket: UdpSocket,
    pub(super) state: UdpSocketState,
    /// The port is 0 if the socket has none.
    pub(crate) local: SocketAddr,
    /// What it receives begins with an IPv4 header.
    pub(super) has_ip_header: bool,
}

impl BoundSocket {
    /// Binds a UDP socket to `address` (port 0: any free one) and sets the options.
    ///
    /// A socket on `[::]` is a dual-stack one, whatever the system's default is; any other IPv6 socket takes
    /// IPv6 only. The core sees IPv4 addresses as IPv4 addresses on both.
    pub(crate) fn udp(address: SocketAddr, icmp: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if let SocketAddr::V6(v6) = address {
            socket.set_only_v6(!v6.ip().is_unspecified())?;
        }
        ignore_groups(&socket, address)?;
        buffers::enlarge(&socket, RECEIVE_BUFFER, SEND_BUFFER);
        bind_beside_groups(&socket, address)?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        if icmp {
            state.enable_transport_errors((&socket).into())?;
        }
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local, has_ip_header: false })
    }

    /// Binds a raw socket to an address: it has the packets of this IP protocol, of the address's family alone. Needs a
    /// privilege.
    pub(crate) fn raw(address: SocketAddr, protocol: u8, icmp: bool) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol))))?;
        buffers::enlarge(&socket, RECEIVE_BUFFER, SEND_BUFFER);
        // Where UDP has a port, Linux wants 0 or the protocol.
        let mut local = address;
        local.set_port(0);
        socket.bind(&local.into())?;
        if icmp {
            match domain {
                Domain::IPV6 => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
                _ => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            }
        }
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, local, has_ip_header: local.is_ipv4() })
    }
}

/// Announcements to groups that others on this host are in are none of our packets.
fn ignore_groups(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    socket.set_multicast_all_v4(false)?;
    if address.is_ipv6() { socket.set_multicast_all_v6(false) } else { Ok(()) }
}

/// Binds a socket to an address that nobody else has. A socket that is bound to a multicast group
/// ([`multicast`](crate::multicast)) is in the way of one on `0.0.0.0` or `[::]`, though it takes nothing away from it.
fn bind_beside_groups(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let bound = socket.bind(&address.into());
    let in_use = matches!(&bound, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
    if !in_use || !address.ip().is_unspecified() || !multicast::only_groups_have(address) {
        return bound;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.set_reuse_address(false)
}

/// Registers the socket with the runtime it is called in.
///
/// Not `tokio::net::UdpSocket`: that one always asks for both readiness, so that every datagram a peer reads
/// wakes the sender, and an ICMP error makes it look writable for ever.
#[allow(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
pub(crate) fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: the socket owns its descriptor: open and the same until it is dropped, which the `AsyncFd` does
    // only after it has deregistered it; nobody can replace it, for only shared references are handed out.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(io::Error::from)
}

/// The address as a socket on `local` wants it: IPv4-mapped on a dual-stack one.
pub(super) fn mapped(address: SocketAddr, local: SocketAddr) -> SocketAddr {
    match (address, local) {
        (SocketAddr::V4(v4), SocketAddr::V6(_)) => {
            SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_is_mapped_only_on_a_dual_stack_socket() {
        let v4: SocketAddr = "192.0.2.1:3863".parse().unwrap();
        let dual: SocketAddr = "[::]:3863".parse().unwrap();
        assert_eq!(mapped(v4, dual), "[::ffff:192.0.2.1]:3863".parse().unwrap());
        assert_eq!(mapped(v4, v4), v4);
    }

    #[test]
    fn a_link_local_address_keeps_its_scope() {
        let local = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, 3));
        assert_eq!(mapped(local, "[::]:1".parse().unwrap()), local);
    }
}
