//! The embedded SCTP over UDP (RFC 6951): needs no privilege, and nothing from the kernel.
//!
//! The socket's port is the SCTP port, too (design decision D2), unless all SCTP ports of the host are behind one UDP
//! port, as kernels have it ([`UdpConfig::encap`]).

mod encap;

pub use encap::EncapPorts;

use crate::embedded::socket::BoundSocket;
use crate::embedded::{EmbeddedListener, ports as sctp_ports};
use crate::sctp::Carrier;
use proto::Channel;
use std::io;
use std::net::SocketAddr;

/// How the UDP socket of an endpoint is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// Whether to listen to ICMP: a peer whose process is gone is then noticed at once instead of by silence.
    pub icmp: bool,
    /// The UDP ports behind which all SCTP ports of a host are (RFC 6951), for peers that are kernels. `None`: the UDP
    /// port has the number of the SCTP port.
    pub encap: Option<EncapPorts>,
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self { icmp: true, encap: None }
    }
}

/// Binds the UDP socket for an SCTP port; port 0 takes any free one. With [`UdpConfig::encap`] the socket serves all of
/// `ports`, at the address of the first, else there is one.
pub fn bind(ports: &[(Channel, SocketAddr)], config: &UdpConfig) -> io::Result<EmbeddedListener> {
    let &[(channel, mut address), ..] = ports else { return Err(io::ErrorKind::InvalidInput.into()) };
    let Some(encap) = config.encap else {
        let bound = BoundSocket::udp(address, config.icmp)?;
        let ports = vec![(channel, bound.local.port())];
        return Ok(EmbeddedListener::new(bound, Carrier::OwnPorts, ports, config.icmp));
    };
    address.set_port(encap.local);
    let bound = BoundSocket::udp(address, config.icmp)?;
    let ports = sctp_ports::assign(ports)?;
    Ok(EmbeddedListener::new(bound, Carrier::OnePort(encap.remote), ports, config.icmp))
}
