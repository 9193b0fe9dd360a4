//! The seam between the world and what joins its hosts.

use crate::cuts::Cut;
use net::memory::Link;
use proto::{Input, Time, Transmit};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// The port on which registrars listen for ASAP.
pub const ASAP_PORT: u16 = 3863;
/// The port on which registrars listen for ENRP.
pub const ENRP_PORT: u16 = 9901;
/// The port on which all others listen.
pub const ENDPOINT_PORT: u16 = 7000;

/// What runs on a host, for all its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A registrar.
    Registrar,
    /// A process with pool elements.
    Element,
    /// A process with sessions.
    User,
    /// A process that subscribes to the pools of one registrar.
    Watcher,
}

impl Role {
    /// All.
    pub const ALL: [Role; 4] = [Role::Registrar, Role::Element, Role::User, Role::Watcher];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registrar => "registrar",
            Self::Element => "element",
            Self::User => "user",
            Self::Watcher => "watcher",
        }
    }

    /// Whether processes of two roles ever have anything to say to each other.
    pub fn talks_to(self, other: Self) -> bool {
        let roles = [self, other];
        roles.contains(&Self::Registrar) || (roles.contains(&Self::Element) && roles.contains(&Self::User))
    }
}

/// A host of the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId {
    /// What runs there.
    pub role: Role,
    /// Counts the hosts of its role.
    pub number: u16,
}

impl HostId {
    /// Its address.
    pub fn ip(self) -> IpAddr {
        let [high, low] = self.number.to_be_bytes();
        IpAddr::from([10, self.role as u8, high, low])
    }

    /// The host with this address.
    pub fn at(ip: IpAddr) -> Option<Self> {
        let IpAddr::V4(ip) = ip else { return None };
        let [10, role, high, low] = ip.octets() else { return None };
        let role = Role::ALL.into_iter().find(|known| *known as u8 == role)?;
        Some(Self { role, number: u16::from_be_bytes([high, low]) })
    }

    /// One of its ports.
    pub fn port(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role.name(), self.number)
    }
}

impl FromStr for HostId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("no host: {text}");
        let (role, number) = text.split_once('-').ok_or_else(wrong)?;
        let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or_else(wrong)?;
        Ok(Self { role, number: number.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stops with a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its SCTP endpoint, too: nothing is answered.
    Everything,
    /// The process alone: the SCTP endpoint is the kernel's and goes on ([`Network`]s that have no such endpoint stop
    /// everything).
    Process,
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
    /// When it is this time at a host, as long as nothing stops it.
    fn due(&self, host: HostId, local: Time) -> Time;
    /// A process starts on a host; one that ran there is gone.
    fn start(&mut self, host: HostId, seed: [u8; 32]);
    /// The process of a host dies without a word.
    fn crash(&mut self, host: HostId);
    /// What a host has sent and nobody has got yet is lost, if the network can do that.
    fn lose(&mut self, host: HostId);
    /// The process of a host stops: neither its timers run nor does it read what arrives.
    fn pause(&mut self, host: HostId, stop: Stop);
    /// It goes on.
    fn resume(&mut self, host: HostId);
    /// What a cut divides does not reach each other any more.
    fn cut(&mut self, number: u32, cut: Cut);
    /// A cut ends.
    fn mend(&mut self, number: u32);
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
