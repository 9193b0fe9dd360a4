//! Announcements by multicast: sockets in groups, beside those of SCTP (RFC 5352 §3.6, design D6).
//!
//! A registrar's UDP port may carry SCTP, so a socket of a group is bound to the group's address and sees nothing else. There
//! is one for each group on each interface: what arrives came over that interface, and what is sent leaves there, from
//! the UDP port that has the number of the SCTP port, which some receivers take it for (ambiguity A-45).
//!
//! Interfaces come and go: they are looked at every few seconds. What does not work is logged once, and tried again.

mod interfaces;
mod socket;

use crate::embedded::socket::watch;
use bytes::Bytes;
use interfaces::Interface;
use proto::{Channel, Input, Time};
pub(crate) use socket::only_groups_have;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{debug, warn};

/// The assigned IPv4 group of ASAP, which serves ENRP as well (RFC 5352 §8).
const GROUP_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 1, 185));
/// The assigned IPv6 group, within a site.
const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x133));
/// rsplib's group of ASAP.
const RSPLIB_ASAP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 50));
/// rsplib's group of ENRP.
const RSPLIB_ENRP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 0, 0, 51));
/// The assigned UDP ports of ASAP and ENRP.
const PORTS: [u16; 2] = [3863, 9901];

/// How often the interfaces are looked at.
const REFRESH: Duration = Duration::from_secs(5);
/// Datagrams to read in one turn, of all groups together: a flood of them must not keep the thread.
const MAX_DATAGRAMS: usize = 64;
/// The largest announcement that is read whole.
const MAX_LENGTH: usize = 9000;

/// Which groups an endpoint is in, and over which interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MulticastConfig {
    /// Addresses and UDP ports, IPv4 and IPv6. Those of a family that the channel's endpoint does not listen on are not
    /// used.
    pub groups: Vec<(Channel, SocketAddr)>,
    /// Names of interfaces. None: those with the address that the endpoint listens on, or, where it listens on all, all
    /// that can do multicast but loopback.
    pub interfaces: Vec<String>,
    /// TTL or hop limit of what is sent: 1 stays in the network of the interface.
    pub hops: u8,
}

impl MulticastConfig {
    /// The assigned groups and those of rsplib, for these channels; 1 hop.
    pub fn new(channels: &[Channel]) -> Self {
        let groups = channels
            .iter()
            .flat_map(|channel| Self::default_groups(*channel).into_iter().map(|group| (*channel, group)));
        Self { groups: groups.collect(), interfaces: Vec::new(), hops: 1 }
    }

    /// The assigned groups of ASAP or ENRP, and rsplib's.
    pub fn default_groups(channel: Channel) -> [SocketAddr; 3] {
        let [asap, enrp] = PORTS;
        let (port, rsplib) = match channel {
            Channel::Asap | Channel::Session => (asap, RSPLIB_ASAP),
            Channel::Enrp => (enrp, RSPLIB_ENRP),
        };
        [GROUP_V4, GROUP_V6, rsplib].map(|group| SocketAddr::new(group, port))
    }
}

/// An SCTP endpoint of the driver, as far as announcements are concerned.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) channel: Channel,
    /// Where it listens: one port.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Local {
    fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Whether it can be reached by addresses of the family of `group`.
    fn serves(&self, group: IpAddr) -> bool {
        self.addresses.iter().any(|own| {
            own.is_ipv4() == group.is_ipv4() || (group.is_ipv4() && own.ip() == Ipv6Addr::UNSPECIFIED)
        })
    }
}

/// A group on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Membership {
    channel: Channel,
    group: SocketAddr,
    /// The index of the interface.
    interface: u32,
    /// Where IPv4 datagrams are sent from.
    source: IpAddr,
}

/// The sockets of the groups.
pub(crate) struct Multicast {
    config: MulticastConfig,
    locals: Vec<Local>,
    groups: BTreeMap<Membership, Group>,
    /// What did not work lately, and was said.
    failed: BTreeSet<(Membership, &'static str)>,
    missing: BTreeSet<String>,
    addresses: BTreeMap<Channel, Vec<IpAddr>>,
    refresh_at: Time,
    buffer: Vec<u8>,
}

struct Group {
    receive: AsyncFd<UdpSocket>,
    /// Made when the first announcement is sent.
    send: Option<UdpSocket>,
}

impl Multicast {
    pub(crate) fn new(config: MulticastConfig, locals: Vec<Local>) -> Self {
        Self {
            config,
            locals,
            groups: BTreeMap::new(),
            failed: BTreeSet::new(),
            missing: BTreeSet::new(),
            addresses: BTreeMap::new(),
            refresh_at: Time::ZERO,
            buffer: vec![0; MAX_LENGTH],
        }
    }

    /// When [`refresh`](Self::refresh) is to be called next.
    pub(crate) fn poll_timeout(&self) -> Time {
        self.refresh_at
    }

    /// Looks at the interfaces if it is time: joins and leaves groups. Returns what the machine is to hear of that. Must
    /// be called inside the thread's runtime.
    pub(crate) fn refresh(&mut self, now: Time) -> Vec<Input> {
        if now < self.refresh_at {
            return Vec::new();
        }
        self.refresh_at = now + REFRESH;
        let all = match interfaces::list() {
            Ok(all) => all,
            Err(error) => {
                warn!(%error, "cannot list the network interfaces for announcements");
                return Vec::new();
            }
        };
        if !self.config.groups.is_empty() {
            self.report_missing(&all);
        }
        let mut wanted = BTreeSet::new();
        let mut inputs = Vec::new();
        for local in &self.locals {
            let chosen = interfaces::choose(&all, &self.config.interfaces, &local.addresses);
            for (_, group) in self
                .config
                .groups
                .iter()
                .filter(|(channel, group)| *channel == local.channel && local.serves(group.ip()))
            {
                wanted.extend(chosen.iter().filter_map(|interface| {
                    let source = interface.source(group.ip(), &local.addresses)?;
                    let (channel, group, interface) = (local.channel, *group, interface.index);
                    Some(Membership { channel, group, interface, source })
                }));
            }
            let addresses = interfaces::reachable_at(&self.addressed(&all, &chosen), &local.addresses);
            if self.addresses.get(&local.channel) != Some(&addresses) {
                self.addresses.insert(local.channel, addresses.clone());
                inputs.push(Input::Addresses { channel: local.channel, addresses });
            }
        }
        self.groups.retain(|membership, _| wanted.contains(membership));
        self.failed.retain(|(membership, _)| wanted.contains(membership));
        for membership in wanted {
            self.join(membership);
        }
        inputs
    }

    /// The interfaces whose addresses others may use: without groups all but loopback, whether they can do multicast or
    /// not.
    fn addressed<'a>(&self, all: &'a [Interface], chosen: &[&'a Interface]) -> Vec<&'a Interface> {
        match self.config.groups.is_empty() {
            true => all.iter().filter(|interface| !interface.loopback).collect(),
            false => chosen.to_vec(),
        }
    }

    fn report_missing(&mut self, all: &[Interface]) {
        let is_there = |name: &String| all.iter().any(|interface| interface.name == *name);
        let missing: BTreeSet<String> =
            self.config.interfaces.iter().filter(|name| !is_there(name)).cloned().collect();
        for interface in missing.difference(&self.missing) {
            warn!(interface, "no announcements over this interface: it does not exist, or is down");
        }
        self.missing = missing;
    }

    fn join(&mut self, membership: Membership) {
        if self.groups.contains_key(&membership) {
            return;
        }
        let joined = socket::join(membership.group, membership.interface)
            .and_then(|socket| watch(socket, Interest::READABLE));
        match joined {
            Ok(receive) => {
                debug!(?membership, "joined a multicast group");
                self.failed.remove(&(membership.clone(), "join"));
                self.groups.insert(membership, Group { receive, send: None });
            }
            Err(error) => report(&mut self.failed, &membership, "join", &error),
        }
    }

    /// The next announcement that arrived. `budget` bounds those of one turn; what is left is said by
    /// [`has_more`](Budget::has_more).
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Option<Input> {
        for (membership, group) in &self.groups {
            while let Poll::Ready(Ok(mut ready)) = group.receive.poll_read_ready(cx) {
                if budget.left == 0 {
                    return None;
                }
                match group.receive.get_ref().recv_from(&mut self.buffer) {
                    Ok((length, from)) => {
                        budget.left -= 1;
                        let bytes = self.buffer.get(..length).map(Bytes::copy_from_slice)?;
                        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                        return Some(Input::Announce { from, channel: membership.channel, bytes });
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    // A pending error of the socket; the call has taken it away.
                    Err(_) => budget.left -= 1,
                }
            }
        }
        None
    }

    /// Sends an announcement to all groups of its channel.
    pub(crate) fn send(&mut self, channel: Channel, bytes: &[u8]) {
        let Some(port) = self.locals.iter().find(|local| local.channel == channel).map(Local::port) else {
            return;
        };
        let hops = self.config.hops;
        for (membership, group) in &mut self.groups {
            if membership.channel != channel {
                continue;
            }
            let sent = group.send(membership, port, hops, bytes);
            match sent {
                Ok(()) => drop(self.failed.remove(&(membership.clone(), "send"))),
                Err(error) => {
                    group.send = None;
                    report(&mut self.failed, membership, "send", &error);
                }
            }
        }
    }
}

impl Group {
    fn send(&mut self, to: &Membership, port: u16, hops: u8, bytes: &[u8]) -> io::Result<()> {
        let socket = match self.send.take() {
            Some(socket) => socket,
            None => socket::sender(to.group, to.interface, to.source, port, hops)?,
        };
        let socket = self.send.insert(socket);
        match socket.send_to(bytes, socket::scoped(to.group, to.interface)) {
            // The next announcement comes soon.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// How many announcements may still be read in a turn.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self { left: MAX_DATAGRAMS }
    }

    /// Whether it is used up, so that there may be more to read.
    pub(crate) fn has_more(&self) -> bool {
        self.left == 0
    }
}

/// Says once what does not work; a host that has a family only half (no route, no address) is no news.
fn report(
    failed: &mut BTreeSet<(Membership, &'static str)>,
    membership: &Membership,
    what: &'static str,
    error: &io::Error,
) {
    if !failed.insert((membership.clone(), what)) {
        return;
    }
    let (group, interface) = (membership.group, membership.interface);
    if error.kind() == io::ErrorKind::AddrInUse {
        warn!(
            %group, interface,
            "announcements: cannot {what}: a process of this host has the port on all addresses and announces nothing \
             itself; switch announcements on there, or have it listen on one address"
        );
    } else {
        warn!(%group, interface, %error, "announcements: cannot {what}");
    }
}
