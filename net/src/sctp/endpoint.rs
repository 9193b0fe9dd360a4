//! The endpoint: its associations, what the machine wants of them and what follows from what happens.

use super::addresses::{self, Listed, MAX_ADDRESSES};
use super::arrivals::Arrival;
use super::association::{Association, Progress};
use super::carrier::Carrier;
use super::cookie::CookieJar;
use super::listener::Listeners;
use super::outbound::Outgoing;
use super::packet::{self, Packet, PacketError, cause, chunk};
use super::paths::Refusal;
use super::rate::Rate;
use super::table::{Key, Table, canonical, is_group, is_usable};
use super::timers::Timers;
use super::{Counters, SctpConfig};
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Source ports of sessions are taken from here on (RFC 6335 §6: the rest is assigned).
const FIRST_SESSION_PORT: u16 = 1024;

const UNBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to: the peer's UDP port, 0 without UDP.
    pub to: SocketAddr,
    /// The local address to send it from; the route's choice if there is none. An endpoint with several sockets always has
    /// one: that of the socket.
    pub from: Option<IpAddr>,
    /// One SCTP packet.
    pub bytes: Vec<u8>,
}

/// A one-to-many SCTP endpoint without sockets and without clock.
///
/// The owner repeats: [`handle_datagram`](Self::handle_datagram) for everything that arrived,
/// [`handle_timeout`](Self::handle_timeout), [`poll_input`](Self::poll_input) until it is empty,
/// [`carry_out`](Self::carry_out) what the machine answers, [`finish_batch`](Self::finish_batch), then
/// [`poll_datagram`](Self::poll_datagram) until it is empty.
///
/// Not `Send`: an endpoint lives on the thread that created it. It reseeds the thread's `fastrand` before
/// each handshake, so that the same seed and the same calls give the same packets.
pub struct SctpEndpoint {
    pub(super) config: SctpConfig,
    pub(super) carrier: Carrier,
    pub(super) listeners: Listeners,
    /// The sockets' addresses, at least one.
    pub(super) local: Vec<SocketAddr>,
    pub(super) rng: ChaCha20Rng,
    pub(super) cookies: CookieJar,
    pub(super) associations: BTreeMap<AssocId, Box<Association>>,
    pub(super) table: Table,
    pub(super) timers: Timers,
    /// Associations with messages that wait for the end of the batch.
    dirty: Vec<AssocId>,
    /// Associations whose timers may be earlier than what is set.
    unarmed: Vec<AssocId>,
    /// Sum of what is charged for held-back messages.
    receive_charge: usize,
    pub(super) accepted: u64,
    next_session_port: u16,
    pub(super) answers: Rate,
    /// Heartbeats to addresses that nobody has confirmed.
    pub(super) probes: Rate,
    pub(super) counters: Counters,
    pub(super) inputs: VecDeque<Input>,
    datagrams: VecDeque<Datagram>,
}

impl SctpEndpoint {
    /// An endpoint on the UDP socket `local`, whose port is also the SCTP port it listens on.
    ///
    /// `channel` is the one of associations that peers start: [`Channel::Asap`] or [`Channel::Enrp`].
    /// `seed` feeds its generator: fresh from the system's, or the simulation's.
    pub fn new(config: SctpConfig, channel: Channel, local: SocketAddr, seed: [u8; 32]) -> Self {
        Self::with_ports(config, Carrier::OwnPorts, local, &[(channel, local.port())], seed)
    }

    /// An endpoint with several SCTP ports on one socket: `local` is the socket's address, `ports` are the SCTP ports
    /// on which peers may start associations, and the channel of those.
    ///
    /// Associations of this side start at the port of their channel, or at the first one. Each port has the limits
    /// on associations and handshakes of `config` for itself.
    pub fn with_ports(
        config: SctpConfig,
        carrier: Carrier,
        local: SocketAddr,
        ports: &[(Channel, u16)],
        seed: [u8; 32],
    ) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let span = u32::from(u16::MAX - FIRST_SESSION_PORT) + 1;
        let offset = u16::try_from(rng.next_u32() % span).unwrap_or_default();
        Self {
            cookies: CookieJar::new(config.timing.cookie_life, &mut rng),
            listeners: Listeners::new(ports, &config.limits),
            answers: Rate::new(config.limits.out_of_the_blue_per_second),
            probes: Rate::new(config.limits.unconfirmed_probes_per_second),
            next_session_port: FIRST_SESSION_PORT + offset,
            config,
            carrier,
            local: vec![canonical(local)],
            rng,
            associations: BTreeMap::new(),
            table: Table::default(),
            timers: Timers::default(),
            dirty: Vec::new(),
            unarmed: Vec::new(),
            receive_charge: 0,
            accepted: 0,
            counters: Counters::default(),
            inputs: VecDeque::new(),
            datagrams: VecDeque::new(),
        }
    }

    /// The endpoint with further local addresses, each with a socket at the same port. Peers are told of all of them (RFC
    /// 9260 §5.1.2) if there are several; at most 8 are used. They must be specified.
    pub fn with_addresses(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let port = self.local_address().port();
        for ip in addresses {
            let address = canonical(SocketAddr::new(ip, port));
            if !self.local.contains(&address) && self.local.len() < MAX_ADDRESSES {
                self.local.push(address);
            }
        }
        self
    }

    /// Its first socket's address. With [`Carrier::OwnPorts`] the port is the SCTP port, too.
    pub fn local_address(&self) -> SocketAddr {
        self.local.first().copied().unwrap_or(UNBOUND)
    }

    /// The addresses of all its sockets, the first one first.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.local
    }

    /// A datagram arrived from `from` at our address `to`.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, to: IpAddr, bytes: &[u8]) {
        self.counters.received += 1;
        let from = canonical(from);
        if !self.carrier.can_come_from(from) {
            self.counters.dropped_source += 1;
            return;
        }
        if is_group(to) {
            self.counters.dropped_destination += 1;
            return;
        }
        let packet = match Packet::parse(bytes) {
            Ok(packet) if packet.is_bundled_rightly() => packet,
            Ok(_) | Err(PacketError::Malformed) => {
                self.counters.dropped_malformed += 1;
                return;
            }
            Err(PacketError::Checksum) => {
                self.counters.dropped_checksum += 1;
                return;
            }
        };
        let arrival = Arrival {
            now,
            key: Key { remote: from, peer_port: packet.source_port(), local_port: packet.destination_port() },
            to: to.to_canonical(),
            packet,
        };
        match packet.first().map(|chunk| chunk.kind) {
            Some(chunk::INIT) => self.handle_init(&arrival),
            Some(chunk::COOKIE_ECHO) => self.handle_cookie_echo(&arrival),
            _ => self.handle_other(&arrival),
        }
    }

    /// An ICMP message says that nobody listens at `destination` (the UDP port, or the protocol, is unreachable); `quoted`
    /// is the start of the SCTP packet that it quotes. A hint (RFC 6951 §5.5): destination, ports and verification tag
    /// must fit, else it is dropped.
    pub fn handle_unreachable(&mut self, now: Time, destination: SocketAddr, quoted: &[u8]) {
        let ports = packet::u16_at(quoted, 0).zip(packet::u16_at(quoted, 2));
        let assoc = ports.and_then(|(local_port, peer_port)| {
            self.table.by_key(&Key { remote: canonical(destination), peer_port, local_port })
        });
        let association = assoc
            .and_then(|assoc| self.associations.get_mut(&assoc))
            .filter(|association| association.is_quoted(quoted));
        let Some(association) = association else {
            self.counters.dropped_icmp += 1;
            return;
        };
        let assoc = association.id;
        let mut progress = Progress::default();
        match association.refused_at(now, canonical(destination)) {
            Refusal::End => {
                self.counters.unreachable += 1;
                progress.end = Some(association.unreachable(self.carrier));
            }
            Refusal::News { init } => progress.packets.extend(init),
            Refusal::Known => {}
        }
        self.settle(now, assoc, progress);
    }

    /// Carries out a transmit of the machine. Failures come back as inputs.
    ///
    /// Messages are only queued: [`finish_batch`](Self::finish_batch) sends them, bundled. Announcements are not
    /// for an endpoint and are ignored.
    pub fn carry_out(&mut self, now: Time, transmit: Transmit) {
        match transmit {
            Transmit::Connect { assoc, channel, remote } => self.connect(now, assoc, channel, &remote),
            Transmit::Send { assoc, stream, ppid, unordered, bytes } => {
                self.send(assoc, Outgoing { stream, ppid, unordered, bytes });
            }
            Transmit::Read { assoc, on } => {
                let Some(association) = self.associations.get_mut(&assoc) else { return };
                let packets = association.read(on, &mut self.inputs).into_iter().collect();
                self.settle(now, assoc, Progress { packets, ..Progress::default() });
            }
            Transmit::Shutdown { assoc } => {
                let Some(association) = self.associations.get_mut(&assoc) else { return };
                let end = (!association.shut_down()).then_some(DownReason::LocalAbort);
                self.mark_dirty(assoc);
                self.settle(now, assoc, Progress { end, ..Progress::default() });
            }
            Transmit::Abort { assoc, cause } => {
                let Some(association) = self.associations.get_mut(&assoc) else { return };
                let packets = association.abort(cause::USER_INITIATED_ABORT, &cause).into_iter().collect();
                let end = Some(DownReason::LocalAbort);
                self.settle(now, assoc, Progress { packets, end, ..Progress::default() });
            }
            Transmit::Announce { .. } => {}
        }
    }

    /// Hands the messages queued by [`carry_out`](Self::carry_out) to their associations, each once, and sets the timers.
    pub fn finish_batch(&mut self, now: Time) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for assoc in dirty.drain(..) {
            let Some(association) = self.associations.get_mut(&assoc) else { continue };
            association.is_dirty = false;
            association.flush(now, &mut self.inputs);
            self.settle(now, assoc, Progress::default());
        }
        // What has become dirty meanwhile waits for the next time; else the room is kept.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
        for assoc in self.unarmed.drain(..) {
            let Some(association) = self.associations.get_mut(&assoc) else { continue };
            association.is_unarmed = false;
            let due = association.poll_timeout();
            self.timers.arm(assoc, &mut association.armed, due);
        }
    }

    /// Runs the timers that are due. Early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        // Each association once: what is due again at once waits for the next call.
        let due: Vec<AssocId> = std::iter::from_fn(|| self.timers.pop_due(now)).collect();
        for assoc in due {
            let Some(association) = self.associations.get_mut(&assoc) else { continue };
            association.armed = None;
            association.handle_timeout(now);
            self.settle(now, assoc, Progress::default());
            self.probe_paths(now, assoc);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// The next thing that happened.
    pub fn poll_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// What it has counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many associations there are, connecting ones included.
    pub fn associations(&self) -> usize {
        self.associations.len()
    }

    /// Sizes of the tables, which no packet of a stranger may enlarge.
    #[cfg(test)]
    pub(super) fn table_sizes(&self) -> [usize; 6] {
        let (keys, tags) = self.table.len();
        [self.associations.len(), keys, tags, self.timers.len(), self.dirty.len(), self.cookies.used()]
    }
}

/// The machine's wishes, and what follows from anything that happens to an association.
impl SctpEndpoint {
    fn connect(&mut self, now: Time, id: AssocId, channel: Channel, remote: &[SocketAddr]) {
        if self.associations.contains_key(&id) {
            tracing::warn!(assoc = id.as_u64(), "name of an association used twice");
            return;
        }
        match self.connect_to(id, channel, remote) {
            Ok((key, candidates)) => {
                self.reseed();
                let others = self.associations.len();
                let mut association = Box::new(Association::new(now, id, channel, key, &self.config, others));
                association.offered = addresses::offered(&self.local, key.remote.ip());
                association.local = self.source_for(key.remote.ip());
                if candidates.len() > 1 {
                    association.paths = Some(Box::new(self.paths_to(&candidates).candidates()));
                }
                association.connect();
                let mut progress = Progress::default();
                association.progress(now, &mut self.inputs, &mut self.counters, &mut progress);
                for key in association.keys() {
                    self.table.insert(key, association.local_tag, id);
                }
                self.listeners.begin(channel);
                self.associations.insert(id, association);
                self.settle(now, id, progress);
            }
            Err(why) => {
                self.counters.refused_connects += u64::from(matches!(why, DownReason::CannotConnect(_)));
                self.inputs.push_back(Input::Down { assoc: id, why });
            }
        }
    }

    /// Where a new association goes, if it may: its key, and all addresses to try.
    fn connect_to(
        &mut self,
        id: AssocId,
        channel: Channel,
        remote: &[SocketAddr],
    ) -> Result<(Key, Vec<SocketAddr>), DownReason> {
        let cannot = |text: &str| Err(DownReason::CannotConnect(text.into()));
        let usable = remote.iter().map(|address| canonical(*address));
        let usable = usable.filter(|peer| is_usable(*peer) && self.reaches(*peer));
        let mut peers: Vec<SocketAddr> = Vec::new();
        for peer in usable {
            // An endpoint has one SCTP port.
            let is_another =
                peers.first().is_none_or(|first| first.port() == peer.port()) && !peers.contains(&peer);
            if is_another && peers.len() < MAX_ADDRESSES {
                peers.push(peer);
            }
        }
        let Some(&peer) = peers.first() else {
            return Err(DownReason::NoAddress);
        };
        if self.listeners.is_full(channel) {
            return cannot("too many associations");
        }
        let local_port = self.listeners.of_channel(channel).port;
        let candidates: Vec<SocketAddr> = peers.iter().map(|peer| self.carrier.destination(*peer)).collect();
        let mut key = Key { remote: self.carrier.destination(peer), peer_port: peer.port(), local_port };
        if channel == Channel::Session {
            let Some(port) = self.session_port(key, &candidates) else { return cannot("no free port") };
            key.local_port = port;
            return Ok((key, candidates));
        }
        if key.peer_port == key.local_port && candidates.iter().any(|to| self.local.contains(to)) {
            return Err(DownReason::ConnectFailed("own address".into()));
        }
        let named = candidates.iter().filter_map(|&remote| self.named(&Key { remote, ..key }));
        match named.into_iter().find(|existing| *existing != id) {
            Some(existing) => Err(DownReason::Duplicate(existing)),
            None => Ok((key, candidates)),
        }
    }

    /// A source port that no session to this peer uses.
    fn session_port(&mut self, key: Key, candidates: &[SocketAddr]) -> Option<u16> {
        // A free one is found after as many steps as there are sessions with this peer, normally the first.
        for _ in FIRST_SESSION_PORT..=u16::MAX {
            let port = self.next_session_port;
            self.next_session_port = port.checked_add(1).unwrap_or(FIRST_SESSION_PORT);
            let is_taken = |&remote| self.named(&Key { local_port: port, remote, ..key }).is_some();
            let taken = candidates.iter().any(is_taken);
            if self.listeners.at(port).is_none() && !taken {
                return Some(port);
            }
        }
        None
    }

    fn send(&mut self, assoc: AssocId, message: Outgoing) {
        let Some(association) = self.associations.get_mut(&assoc) else {
            let why = "no such association";
            self.inputs.push_back(Input::SendFailed { assoc, bytes: message.bytes, why });
            return;
        };
        match association.send(message) {
            Ok(full) => {
                if full {
                    self.inputs.push_back(Input::Full { assoc });
                }
                self.mark_dirty(assoc);
            }
            Err((bytes, why)) => self.inputs.push_back(Input::SendFailed { assoc, bytes, why }),
        }
    }

    fn mark_dirty(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if !association.is_dirty {
            association.is_dirty = true;
            self.dirty.push(assoc);
        }
    }

    /// After anything that happened to an association: its messages, packets, end, timer and charge.
    pub(super) fn settle(&mut self, now: Time, assoc: AssocId, mut progress: Progress) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        association.progress(now, &mut self.inputs, &mut self.counters, &mut progress);
        self.conclude(now, assoc, progress);
    }

    /// The second half of [`settle`](Self::settle).
    pub(super) fn conclude(&mut self, now: Time, assoc: AssocId, mut progress: Progress) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let charge = association.charge();
        self.receive_charge = self.receive_charge - association.charged + charge;
        association.charged = charge;
        let budget = self.config.limits.receive_budget;
        if self.receive_charge > budget && charge > budget / self.associations.len().max(1) {
            let why = DownReason::Violation("receive budget exhausted".into());
            progress.end.get_or_insert(why);
        }

        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if let Some(DownReason::Violation(why)) = &progress.end {
            self.counters.violations += 1;
            if !association.is_closed() {
                progress.packets.extend(association.abort(cause::PROTOCOL_VIOLATION, why));
            }
        }
        let (remote, local) = (association.key.remote, association.local);
        let mut routes = Vec::new();
        if let Some(paths) = &mut association.paths {
            routes.extend(progress.packets.iter().map(|packet| paths.route(now, packet)));
            paths.packets_are_sent();
            if progress.established {
                paths.begin(now);
            }
        }
        match progress.end {
            Some(why) => self.remove(assoc, why),
            // A delayed SACK leaves with the answer, and then nobody has to be woken for it.
            None if !std::mem::replace(&mut association.is_unarmed, true) => self.unarmed.push(assoc),
            None => {}
        }
        let mut routes = routes.into_iter();
        for mut packet in progress.packets {
            let (to, from) = routes.next().flatten().unwrap_or((remote, local));
            if self.local.len() > 1 && packet.get(packet::HEADER) == Some(&chunk::INIT) {
                let offered = addresses::offered(&self.local, to.ip());
                addresses::append(&mut packet, &offered, &Listed::default(), usize::MAX);
            }
            self.transmit(to, from, packet);
        }
        if progress.established {
            self.mark_dirty(assoc);
        }
    }

    fn remove(&mut self, assoc: AssocId, why: DownReason) {
        self.leave(assoc);
        let Some(mut association) = self.associations.remove(&assoc) else { return };
        self.listeners.end(association.channel);
        association.fail_batch("association gone", &mut self.inputs);
        self.timers.disarm(assoc, &mut association.armed);
        self.receive_charge -= association.charged;
        self.inputs.push_back(Input::Down { assoc, why });
    }

    pub(super) fn transmit(&mut self, to: SocketAddr, from: Option<IpAddr>, bytes: Vec<u8>) {
        self.counters.sent += 1;
        self.datagrams.push_back(Datagram { to, from, bytes });
    }
}
