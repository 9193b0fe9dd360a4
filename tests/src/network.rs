//! The seam between the world and what joins its hosts.

use net::memory::Link;
use proto::{Input, Time, Transmit};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The port on which registrars listen for ASAP.
pub const ASAP_PORT: u16 = 3863;
/// The port on which registrars listen for ENRP.
pub const ENRP_PORT: u16 = 9901;
/// The port on which elements and users listen.
pub const ENDPOINT_PORT: u16 = 7000;

/// What runs on a host, for all its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A registrar.
    Registrar,
    /// A process with a pool element.
    Element,
    /// A process with sessions.
    User,
}

/// A host of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId {
    /// What runs there.
    pub role: Role,
    /// Counts the hosts of its role.
    pub number: u8,
}

impl HostId {
    /// Its address.
    pub fn ip(self) -> IpAddr {
        IpAddr::from([10, 0, self.role as u8, self.number])
    }

    /// The host with this address.
    pub fn at(ip: IpAddr) -> Option<Self> {
        let IpAddr::V4(ip) = ip else { return None };
        let [10, 0, role, number] = ip.octets() else { return None };
        let role = [Role::Registrar, Role::Element, Role::User].into_iter().find(|r| *r as u8 == role)?;
        Some(Self { role, number })
    }

    /// One of its ports.
    pub fn port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Registrar => "registrar",
            Role::Element => "element",
            Role::User => "user",
        };
        write!(f, "{role}-{}", self.number)
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Joins the SCTP endpoints of all hosts, and has the virtual time.
///
/// The clock of a host stands still while the host is paused (design decision D2), so each host has a time of
/// its own.
pub trait Network {
    /// Virtual time.
    fn now(&self) -> Time;
    /// The time as a host sees it.
    fn local_time(&self, host: HostId) -> Time;
    /// A process starts on a host; one that ran there is gone.
    fn start(&mut self, host: HostId, seed: [u8; 32]);
    /// The process of a host dies without a word.
    fn crash(&mut self, host: HostId);
    /// A host stops: neither its timers run nor does it read what arrives.
    fn pause(&mut self, host: HostId);
    /// It goes on.
    fn resume(&mut self, host: HostId);
    /// Nothing passes from one host to another any more, that way only.
    fn block(&mut self, from: HostId, to: HostId);
    /// It passes again.
    fn unblock(&mut self, from: HostId, to: HostId);
    /// How everything fares on its way from now on.
    fn set_link(&mut self, link: Link);
    /// So many of 1,000 connects are refused from now on, if the network can do that.
    fn set_refused(&mut self, refused: u32);
    /// Carries out a transmit of the process on a host.
    fn carry_out(&mut self, host: HostId, transmit: Transmit);
    /// What has happened to the process of a host.
    fn poll_inputs(&mut self, host: HostId) -> Vec<Input>;
    /// Lets time pass until something happens at a host, which is returned, or until `until`.
    fn step(&mut self, until: Time) -> Option<HostId>;
    /// What was carried so far: messages or datagrams.
    fn carried(&self) -> u64;
}
