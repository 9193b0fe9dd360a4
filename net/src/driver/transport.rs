//! What carries an endpoint's SCTP: chosen by configuration, never by probing (design decision D2).
//!
//! One variant a backend. A backend is bound by whoever starts the driver, who learns at once what is wrong, and
//! opened on the endpoint thread, for it is not `Send`; from then on the driver sees an [`Endpoint`].

use super::{Listen, StartError};
use crate::Endpoint;
use crate::embedded::{EmbeddedEndpoint, EmbeddedListener, SocketCounters};
use crate::kernel::{KernelConfig, KernelCounters, KernelEndpoint, KernelListener};
use crate::raw::{self, RawConfig, RawError};
use crate::sctp::{self, SctpConfig};
use crate::udp::{self, EncapPorts, UdpConfig};
use proto::Channel;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// What carries the SCTP of an endpoint. The members of a scope must agree on one to reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The embedded SCTP over UDP (RFC 6951): needs no privilege.
    Udp(UdpConfig),
    /// The SCTP of the Linux kernel.
    Kernel(KernelConfig),
    /// The embedded SCTP on IP (protocol 132): needs a privilege, and a kernel without SCTP.
    Raw(RawConfig),
}

/// The name of a transport, as configurations and command lines have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// `udp`: the embedded SCTP over UDP.
    #[default]
    Udp,
    /// `kernel`: the SCTP of the Linux kernel.
    Kernel,
    /// `raw`: the embedded SCTP on IP.
    Raw,
}

impl TransportKind {
    /// The transport with further local addresses, and the settings that it takes: all those of UDP, whether to listen to
    /// ICMP on IP, or for the kernel the UDP port of its peers.
    pub fn with(self, udp: UdpConfig, addresses: Vec<IpAddr>) -> Transport {
        match self {
            Self::Udp => Transport::Udp(UdpConfig { addresses, ..udp }),
            Self::Raw => Transport::Raw(RawConfig { icmp: udp.icmp, addresses }),
            Self::Kernel => Transport::Kernel(KernelConfig {
                addresses,
                encapsulation_port: udp.encap.map(|encap| encap.remote),
                ..KernelConfig::default()
            }),
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Kernel => "kernel",
            Self::Raw => "raw",
        })
    }
}

impl FromStr for TransportKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "udp" => Ok(Self::Udp),
            "kernel" => Ok(Self::Kernel),
            "raw" => Ok(Self::Raw),
            _ => Err(format!("{text:?} is no transport: choose \"udp\", \"kernel\" or \"raw\"")),
        }
    }
}

impl Transport {
    /// The local addresses beside the one to listen on.
    pub(super) fn further_addresses(&self) -> &[IpAddr] {
        match self {
            Self::Udp(config) => &config.addresses,
            Self::Kernel(config) => &config.addresses,
            Self::Raw(config) => &config.addresses,
        }
    }

    /// Whether endpoints at different SCTP ports of one address share a socket, as they must where the socket is not at
    /// the SCTP port.
    pub fn shares(&self) -> bool {
        match self {
            Self::Udp(config) => config.encap.is_some(),
            Self::Kernel(_) => false,
            Self::Raw(_) => true,
        }
    }
}

impl Default for Transport {
    fn default() -> Self {
        Self::Udp(UdpConfig::default())
    }
}

/// What a backend has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendCounters {
    /// The embedded SCTP.
    Embedded {
        /// The socket's counters.
        socket: SocketCounters,
        /// The SCTP core's counters.
        sctp: Box<sctp::Counters>,
    },
    /// The kernel's SCTP.
    Kernel(KernelCounters),
}

/// A backend that is bound and waits for its thread.
pub(super) enum Bound {
    Embedded(EmbeddedListener),
    /// With its channel.
    Kernel(Box<KernelListener>, Channel),
}

impl Bound {
    /// Binds endpoints that share a socket: at least one, all with the first one's transport.
    pub(super) fn bind(group: &[Listen]) -> Result<Self, StartError> {
        let Some(first) = group.first() else { return Err(StartError::NoEndpoint) };
        let ports: Vec<_> = group.iter().map(|listen| (listen.channel, listen.address)).collect();
        match &first.transport {
            Transport::Udp(config) => udp::bind(&ports, config)
                .map(Self::Embedded)
                .map_err(|source| bind_error(first.address, config.encap, source)),
            Transport::Raw(config) => {
                raw::bind(&ports, config).map(Self::Embedded).map_err(|error| match error {
                    RawError::System(error) => StartError::Bind { address: first.address, error },
                    error => error.into(),
                })
            }
            Transport::Kernel(config) => KernelListener::bind(first.address, &first.sctp, config)
                .map(|listener| Self::Kernel(Box::new(listener), first.channel))
                .map_err(|source| bind_error(first.address, None, source)),
        }
    }

    /// Where it listens, in the order of the group.
    pub(super) fn local_addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Embedded(listener) => listener.local_addresses().collect(),
            Self::Kernel(listener, _) => vec![listener.local_address()],
        }
    }

    /// Lets sockets of multicast groups have the UDP port, too, if there is one.
    pub(super) fn admit_groups(&self) -> io::Result<()> {
        match self {
            Self::Embedded(listener) => listener.admit_groups(),
            Self::Kernel(..) => Ok(()),
        }
    }

    /// Must be called inside the thread's runtime; `seed` must be unpredictable.
    pub(super) fn open(self, group: &[Listen], seed: [u8; 32]) -> io::Result<Box<dyn Backend>> {
        let sctp = group.first().map_or_else(SctpConfig::control, |first| first.sctp.clone());
        Ok(match self {
            Self::Embedded(listener) => Box::new(EmbeddedEndpoint::new(listener, sctp, seed)?),
            Self::Kernel(listener, channel) => Box::new(KernelEndpoint::new(*listener, channel)?),
        })
    }
}

fn bind_error(address: SocketAddr, encap: Option<EncapPorts>, error: io::Error) -> StartError {
    match (error.kind(), encap) {
        _ if KernelListener::is_unsupported(&error) => StartError::NoKernelSctp,
        (io::ErrorKind::AddrInUse, Some(encap)) => {
            let address = SocketAddr::new(address.ip(), encap.local);
            StartError::EncapPortInUse { address, owner: encap_port_owner(encap.local) }
        }
        (io::ErrorKind::AddrInUse, None) => StartError::AddressInUse { address },
        _ => StartError::Bind { address, error },
    }
}

/// Who has a UDP port that we wanted for our SCTP.
fn encap_port_owner(port: u16) -> &'static str {
    let kernel = std::fs::read_to_string("/proc/sys/net/sctp/udp_port");
    if kernel.is_ok_and(|text| text.trim().parse() == Ok(port)) {
        "the kernel's SCTP: set the sysctl net.sctp.udp_port to 0, or use the kernel's SCTP"
    } else {
        "another process: one process of a host can have it, a client takes any (\"0:PORT\")"
    }
}

/// A backend on its thread, and the channels that it serves.
pub(super) struct Opened {
    pub(super) channels: Vec<Channel>,
    pub(super) backend: Box<dyn Backend>,
}

/// An endpoint on its thread.
pub(super) trait Backend: Endpoint {
    fn counters(&self) -> BackendCounters;

    /// How many packets (or messages) it has read at least when it leaves something unread.
    fn batch(&self) -> usize;
}

impl Backend for EmbeddedEndpoint {
    fn counters(&self) -> BackendCounters {
        BackendCounters::Embedded {
            socket: self.socket_counters().clone(),
            sctp: Box::new(self.sctp_counters().clone()),
        }
    }

    fn batch(&self) -> usize {
        Self::batch(self)
    }
}

impl Backend for KernelEndpoint {
    fn counters(&self) -> BackendCounters {
        BackendCounters::Kernel(Self::counters(self).clone())
    }

    fn batch(&self) -> usize {
        Self::BATCH
    }
}
