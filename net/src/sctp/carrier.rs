//! What carries SCTP packets, and where the packets for an SCTP address go therefore.

use super::table::{is_group, is_usable};
use std::net::SocketAddr;

/// What carries the packets of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP, where each SCTP port is a UDP port of the same number: an address with an SCTP port says where to send
    /// (design decision D2).
    OwnPorts,
    /// UDP, where all SCTP ports of a host are behind one UDP port (RFC 6951 §5.1), as with kernels: our peers are
    /// behind this one. An association follows its peer if that sends from another one (§5.4).
    OnePort(u16),
    /// IP itself, protocol 132 (RFC 9260): there are no UDP ports, addresses on the network have port 0.
    Ip,
}

impl Carrier {
    /// Where the packets for an SCTP address go.
    pub(super) fn destination(self, peer: SocketAddr) -> SocketAddr {
        let port = match self {
            Self::OwnPorts => peer.port(),
            Self::OnePort(port) => port,
            Self::Ip => 0,
        };
        let mut destination = peer;
        destination.set_port(port);
        destination
    }

    /// The headers around a packet on the network, at least.
    pub(super) fn headers(self) -> usize {
        const IPV4: usize = 20;
        const UDP: usize = 8;
        if self == Self::Ip { IPV4 } else { IPV4 + UDP }
    }

    /// Whether a packet can come from there.
    pub(super) fn can_come_from(self, source: SocketAddr) -> bool {
        match self {
            Self::OwnPorts | Self::OnePort(_) => is_usable(source),
            Self::Ip => !source.ip().is_unspecified() && !is_group(source.ip()),
        }
    }

    /// Whether a socket on `local` can send to `remote`. A UDP socket on `[::]` sends to IPv4 addresses, too.
    pub(super) fn reaches(self, local: SocketAddr, remote: SocketAddr) -> bool {
        let dual_stack = self != Self::Ip && local.is_ipv6() && local.ip().is_unspecified();
        local.is_ipv4() == remote.is_ipv4() || dual_stack
    }
}
