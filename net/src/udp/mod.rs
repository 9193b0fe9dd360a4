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
use std::net::{IpAddr, SocketAddr};

/// How the UDP socket of an endpoint is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// Whether to listen to ICMP: a peer whose process is gone is then noticed at once instead of by silence.
    pub icmp: bool,
    /// The UDP ports behind which all SCTP ports of a host are (RFC 6951), for peers that are kernels. `None`: the UDP
    /// port has the number of the SCTP port.
    pub encap: Option<EncapPorts>,
    /// Further local addresses, each with a socket at the same port: peers learn all of them, and reach this endpoint as
    /// long as one path to it works. Not with an unspecified address (`0.0.0.0`, `[::]`), which has no others.
    pub addresses: Vec<IpAddr>,
}

/// How often a free port is looked for that is free at all addresses.
const PORT_ATTEMPTS: usize = 16;

impl Default for UdpConfig {
    fn default() -> Self {
        Self { icmp: true, encap: None, addresses: Vec::new() }
    }
}

/// Binds the UDP sockets for an SCTP port; port 0 takes any free one. With [`UdpConfig::encap`] the sockets serve all of
/// `ports`, at the address of the first, else there is one.
pub fn bind(ports: &[(Channel, SocketAddr)], config: &UdpConfig) -> io::Result<EmbeddedListener> {
    let &[(channel, mut address), ..] = ports else { return Err(io::ErrorKind::InvalidInput.into()) };
    let Some(encap) = config.encap else {
        let (first, further) = bind_all(address, config)?;
        let ports = vec![(channel, first.local.port())];
        return Ok(EmbeddedListener::new(first, further, Carrier::OwnPorts, ports, config.icmp));
    };
    address.set_port(encap.local);
    let (first, further) = bind_all(address, config)?;
    let ports = sctp_ports::assign(ports)?;
    Ok(EmbeddedListener::new(first, further, Carrier::OnePort(encap.remote), ports, config.icmp))
}

/// A socket at the address, and one at each of the further ones, all at one port.
fn bind_all(address: SocketAddr, config: &UdpConfig) -> io::Result<(BoundSocket, Vec<BoundSocket>)> {
    let mut attempts = 1..PORT_ATTEMPTS;
    loop {
        let first = BoundSocket::udp(address, config.icmp)?;
        let further = sctp_ports::further(first.local, &config.addresses)?;
        match further.into_iter().map(|address| BoundSocket::udp(address, config.icmp)).collect() {
            Ok(further) => return Ok((first, further)),
            // Free at the one address, taken at another.
            Err(error) if address.port() == 0 && is_in_use(&error) && attempts.next().is_some() => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}
