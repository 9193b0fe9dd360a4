//! The embedded SCTP on IP itself, protocol 132 (RFC 9260), for hosts whose kernel has no SCTP.
//!
//! A raw socket has every SCTP packet of its address, whatever the ports: one process of an address can have it, and all
//! its SCTP ports share it. If the kernel had SCTP as well it would answer the same packets with ABORT, so that is
//! refused. IPv4 and IPv6 are two sockets.

mod others;

use crate::embedded::socket::BoundSocket;
use crate::embedded::{EmbeddedListener, ports as sctp_ports};
use crate::sctp::Carrier;
use proto::Channel;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// SCTP's number among the protocols of IP.
const PROTOCOL: u8 = 132;
/// There if, and only if, the kernel's SCTP is loaded. Asking for a socket of it would load it.
const KERNEL_SCTP: &str = "/proc/net/sctp";

/// How the raw socket of an endpoint is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConfig {
    /// Whether to listen to ICMP: a peer that has no SCTP any more is then noticed at once instead of by silence.
    pub icmp: bool,
    /// Further local addresses, each with a socket: peers learn all of them, and reach this endpoint as long as one path to
    /// it works. Not with an unspecified address (`0.0.0.0`, `[::]`), which has no others.
    pub addresses: Vec<IpAddr>,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { icmp: true, addresses: Vec::new() }
    }
}

/// Why there is no raw socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// The kernel's SCTP would abort what we establish.
    #[error(
        "raw IP is for hosts without SCTP, and this kernel has it: it would abort our associations. Use transport \
         \"kernel\", or boot without the module sctp (once loaded it stays)"
    )]
    KernelSctp,
    /// No `CAP_NET_RAW`.
    #[error("raw IP needs the capability CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep {program}`")]
    NotPermitted {
        /// The program that needs it.
        program: String,
    },
    /// Two raw sockets would each abort what the other establishes.
    #[error("another process already speaks SCTP on raw IP at {address}: one process of an address can")]
    InUse {
        /// The address that was asked for.
        address: IpAddr,
    },
    /// Whatever else the system says.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Whether the kernel's SCTP is loaded.
pub fn kernel_has_sctp() -> bool {
    Path::new(KERNEL_SCTP).exists()
}

/// Binds the raw sockets for SCTP ports, at the address of the first; port 0 takes any.
pub fn bind(ports: &[(Channel, SocketAddr)], config: &RawConfig) -> Result<EmbeddedListener, RawError> {
    let &[(_, address), ..] = ports else { return Err(io::Error::from(io::ErrorKind::InvalidInput).into()) };
    if kernel_has_sctp() {
        return Err(RawError::KernelSctp);
    }
    let first = bind_one(address, config)?;
    let further = sctp_ports::further(first.local, &config.addresses)?;
    let further = further.into_iter().map(|address| bind_one(address, config)).collect::<Result<_, _>>()?;
    Ok(EmbeddedListener::new(first, further, Carrier::Ip, sctp_ports::assign(ports)?, config.icmp))
}

fn bind_one(address: SocketAddr, config: &RawConfig) -> Result<BoundSocket, RawError> {
    let bound = BoundSocket::raw(address, PROTOCOL, config.icmp).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => RawError::NotPermitted { program: program() },
        _ => error.into(),
    })?;
    if others::is_shared(bound.local.ip(), PROTOCOL) {
        return Err(RawError::InUse { address: bound.local.ip() });
    }
    Ok(bound)
}

/// The file of this process.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "PROGRAM".into(), |path| path.display().to_string())
}
