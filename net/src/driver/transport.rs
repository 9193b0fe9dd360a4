//! What carries an endpoint's SCTP: chosen by configuration, never by probing (design decision D2).
//!
//! One variant a backend. A backend is bound by whoever starts the driver, who learns at once what is wrong, and
//! opened on the endpoint thread, for it is not `Send`; from then on the driver sees an [`Endpoint`].

use super::{Listen, StartError};
use crate::udp::{UdpConfig, UdpCounters, UdpEndpoint, UdpListener};
use crate::{Endpoint, sctp};
use std::io;
use std::net::SocketAddr;

/// What carries the SCTP of an endpoint. The members of a scope must agree on one to reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// The embedded SCTP over UDP (RFC 6951): needs no privilege.
    Udp(UdpConfig),
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
    /// The embedded SCTP over UDP.
    Udp {
        /// The socket's counters.
        udp: UdpCounters,
        /// The SCTP core's counters.
        sctp: sctp::Counters,
    },
}

/// A backend that is bound and waits for its thread.
pub(super) enum Bound {
    Udp(UdpListener),
}

impl Bound {
    pub(super) fn bind(listen: &Listen) -> Result<Self, StartError> {
        let address = listen.address;
        let bound = match &listen.transport {
            Transport::Udp(config) => UdpListener::bind(address, config).map(Self::Udp),
        };
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => StartError::AddressInUse { address },
            _ => StartError::Bind { address, source },
        })
    }

    pub(super) fn local_address(&self) -> SocketAddr {
        match self {
            Self::Udp(listener) => listener.local_address(),
        }
    }

    /// Must be called inside the thread's runtime; `seed` must be unpredictable.
    pub(super) fn open(self, listen: Listen, seed: [u8; 32]) -> io::Result<Box<dyn Backend>> {
        let Listen { channel, sctp, .. } = listen;
        Ok(match self {
            Self::Udp(listener) => Box::new(UdpEndpoint::new(listener, sctp, channel, seed)?),
        })
    }
}

/// An endpoint on its thread.
pub(super) trait Backend: Endpoint {
    fn counters(&self) -> BackendCounters;
}

impl Backend for UdpEndpoint {
    fn counters(&self) -> BackendCounters {
        BackendCounters::Udp { udp: self.udp_counters().clone(), sctp: self.sctp_counters().clone() }
    }
}
