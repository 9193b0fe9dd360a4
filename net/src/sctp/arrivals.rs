//! The way of a packet to its association: INIT, COOKIE ECHO, and everything else (RFC 9260 §5, §8.4, §8.5).

use super::addresses::{self, Listed};
use super::association::{Association, Progress};
use super::cookie::{CookieError, Opened, find_cookie};
use super::endpoint::SctpEndpoint;
use super::out_of_the_blue;
use super::packet::{self, InitFields, Packet, cause, chunk};
use super::table::Key;
use dcsctp::api::SocketEvent;
use proto::{AssocId, Channel, DownReason, Time};
use rand::Rng;
use std::net::IpAddr;

/// An INIT ACK is at most this many times as large as its INIT (design decision D12).
const AMPLIFICATION: usize = 3;

/// The largest SACK of dcsctp: twenty gaps and twenty duplicates.
const LARGEST_SACK: usize = 16 + 4 * (20 + 20);

/// A packet on its way to its association.
pub(super) struct Arrival<'a> {
    pub(super) now: Time,
    pub(super) key: Key,
    /// Our address that it came to.
    pub(super) to: IpAddr,
    pub(super) packet: Packet<'a>,
}

impl SctpEndpoint {
    /// INIT (RFC 9260 §5.1, §5.2.1, §5.2.2): answered from what the packet says, nothing is kept.
    pub(super) fn handle_init(&mut self, arrival: &Arrival<'_>) {
        let fields = arrival.packet.first().and_then(|chunk| InitFields::parse(chunk.value));
        if arrival.packet.tag() != 0 || !fields.is_some_and(|fields| fields.is_valid()) {
            self.counters.dropped_init += 1;
            return;
        }
        let tag = fields.map_or(0, |fields| fields.initiate_tag);
        let listed = match arrival.packet.first().map(|init| Listed::parse(&init)) {
            Some(Ok(listed)) => listed,
            Some(Err(error)) => return self.refuse_addresses(arrival, tag, &error),
            None => Listed::default(),
        };
        let others = self.others(arrival, &listed);
        let existing = self.association_at(&arrival.key, &others);
        let channel = self.channel_at(&arrival.key);
        if existing.is_none() && channel.is_none() {
            self.answer_out_of_the_blue(arrival);
            return;
        }
        if !self.listeners.take_handshake(arrival.key.local_port, arrival.now) {
            self.counters.dropped_init_rate += 1;
            return;
        }
        if let Some(assoc) = existing
            && self.refuse_new_addresses(arrival, assoc, tag, &others)
        {
            return;
        }
        self.reseed();
        if let Some((assoc, redirected)) =
            existing.and_then(|assoc| Some((assoc, self.redirected(arrival, assoc, &others)?)))
        {
            self.deliver(&redirected, assoc, &redirected.packet);
            return;
        }
        if let Some(assoc) = existing {
            let is_ours = self.associations.get(&assoc).is_some_and(|association| {
                association.is_connecting()
                    && fields.is_some_and(|fields| fields.initiate_tag == association.local_tag)
            });
            if is_ours {
                let end = Some(DownReason::ConnectFailed("own address".into()));
                self.settle(arrival.now, assoc, Progress { end, ..Progress::default() });
                return;
            }
            self.deliver(arrival, assoc, &arrival.packet);
            return;
        }
        if channel.is_some_and(|channel| self.listeners.is_full(channel)) {
            self.refuse_full(arrival, tag);
            return;
        }
        let mut socket = dcsctp::new_socket("", &self.config.options(&arrival.key, 0));
        socket.handle_input(arrival.packet.bytes());
        while let Some(event) = socket.poll_event() {
            if let SocketEvent::SendPacket(answer) = event {
                self.answer_init(arrival, &listed, &answer);
            }
        }
    }

    /// Sends an INIT ACK with a sealed cookie, unless it is too large for its INIT.
    fn answer_init(&mut self, arrival: &Arrival<'_>, listed: &Listed, answer: &[u8]) {
        let others = self.others(arrival, listed);
        let sealed = self.cookies.seal(arrival.now, &arrival.key, &others, answer, &mut self.rng);
        let Some(mut sealed) = sealed else {
            self.counters.errors += 1;
            return;
        };
        let init = arrival.packet.bytes().len();
        if sealed.len() > AMPLIFICATION * init {
            self.counters.dropped_amplification += 1;
            return;
        }
        if self.local.len() > 1 {
            // On the network both have headers: as many addresses as the same rule allows there.
            let headers = self.carrier.headers();
            let room = AMPLIFICATION * (init + headers) - headers - sealed.len();
            let offered = addresses::offered(&self.local, arrival.key.remote.ip());
            addresses::append(&mut sealed, &offered, listed, room);
        }
        self.counters.inits_answered += 1;
        self.transmit(arrival.key.remote, Some(arrival.to), sealed);
    }

    /// COOKIE ECHO (RFC 9260 §5.1.5, §5.2.4): opens an association, or belongs to one that is there.
    pub(super) fn handle_cookie_echo(&mut self, arrival: &Arrival<'_>) {
        let opened = match self.cookies.open(arrival.now, &arrival.key, &arrival.packet) {
            Ok(opened) => opened,
            Err(CookieError::Forged) => {
                self.counters.dropped_cookie_forged += 1;
                return;
            }
            Err(CookieError::Stale { peer_tag, by }) => {
                self.counters.dropped_cookie_stale += 1;
                let by = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
                let stale = cause::encode(cause::STALE_COOKIE, &by.to_be_bytes());
                self.answer(arrival, peer_tag, chunk::ERROR, &stale);
                return;
            }
        };
        let Some(packet) = Packet::own(&opened.packet) else { return };
        self.reseed();
        let existing = self.association_at(&arrival.key, &opened.addresses);
        if let Some(assoc) = existing {
            match self.is_for_connecting(arrival, assoc, packet.tag()) {
                Some(true) => {}
                Some(false) => {
                    self.counters.dropped_tag += 1;
                    return;
                }
                None if self.refuse_new_addresses(arrival, assoc, opened.peer_tag, &opened.addresses) => {
                    return;
                }
                None => {}
            }
        }
        match (existing, self.channel_at(&arrival.key)) {
            (Some(assoc), _) => self.cookie_of_association(arrival, assoc, &opened, &packet),
            (None, Some(channel)) => self.accept(arrival, channel, &opened, &packet),
            // Issued while the peer's handshake crossed one of ours, which is gone.
            (None, None) => self.answer_out_of_the_blue(arrival),
        }
    }

    /// COOKIE ECHO for an association that is there (RFC 9260 §5.2.4). dcsctp checks no tag in such a packet, so
    /// what is bundled with the cookie comes after it, and only if the tag is right by then.
    fn cookie_of_association(
        &mut self,
        arrival: &Arrival<'_>,
        assoc: AssocId,
        opened: &Opened,
        packet: &Packet<'_>,
    ) {
        // Where connects cross, this is the first packet that shows at which of our addresses we are reached.
        if let Some(association) = self.associations.get_mut(&assoc) {
            association.local = Some(arrival.to);
            if association.is_connecting() && association.local_tag == packet.tag() {
                self.adopt_addresses(arrival, assoc, &opened.addresses);
            } else {
                self.follow_path(arrival, assoc);
            }
        }
        let part = |is_cookie| packet.with_chunks(|chunk| (chunk.kind == chunk::COOKIE_ECHO) == is_cookie);
        let (cookie, rest) = (part(true), part(false));
        if let Some(cookie) = cookie.as_deref().and_then(Packet::own)
            && self.deliver(arrival, assoc, &cookie)
        {
            self.adopt_tags(arrival, assoc, opened);
        }
        if let Some(rest) = rest.as_deref().and_then(Packet::own) {
            if self.associations.get(&assoc).is_some_and(|association| has_right_tag(association, &rest)) {
                // What was said about the cookie is said.
                self.follow_path(arrival, assoc);
                self.deliver(arrival, assoc, &rest);
            } else {
                self.counters.dropped_tag += 1;
            }
        }
    }

    /// Makes an association of a COOKIE ECHO.
    fn accept(&mut self, arrival: &Arrival<'_>, channel: Channel, opened: &Opened, packet: &Packet<'_>) {
        if opened.used {
            self.counters.dropped_cookie_replayed += 1;
            return;
        }
        if self.listeners.is_full(channel) {
            self.refuse_full(arrival, opened.peer_tag);
            return;
        }
        let id = AssocId::accepted(channel, self.accepted);
        let others = self.associations.len();
        let mut association = Association::new(arrival.now, id, channel, arrival.key, &self.config, others);
        association.local = Some(arrival.to);
        association.local_tag = packet.tag();
        association.peer_tag = opened.peer_tag;
        association.offered = addresses::offered(&self.local, arrival.key.remote.ip());
        if let Some(&primary) = opened.addresses.first() {
            association.key.remote = primary;
            let mut paths = self.paths_to(&opened.addresses);
            paths.arrive(arrival.key.remote, arrival.to);
            association.paths = Some(Box::new(paths));
        }
        let mut progress = Progress::default();
        let rule =
            association.receive(arrival.now, packet, &mut self.inputs, &mut self.counters, &mut progress);
        if association.is_closed() {
            self.counters.dropped_tag += 1;
            return;
        }
        self.accepted += 1;
        self.cookies.spend(arrival.now, opened);
        self.listeners.begin(channel);
        self.associations.insert(id, Box::new(association));
        self.enter(id);
        if let Err(reason) = rule {
            progress.end = Some(DownReason::Violation(reason));
        }
        self.settle(arrival.now, id, progress);
    }

    /// After a restart, or after the peer's handshake overtook ours, other tags and addresses hold.
    fn adopt_tags(&mut self, arrival: &Arrival<'_>, assoc: AssocId, opened: &Opened) {
        self.cookies.spend(arrival.now, opened);
        self.leave(assoc);
        if let Some(association) = self.associations.get_mut(&assoc) {
            association.local_tag = arrival.packet.tag();
            association.peer_tag = opened.peer_tag;
        }
        self.adopt_addresses(arrival, assoc, &opened.addresses);
        if let Some(paths) =
            self.associations.get_mut(&assoc).and_then(|association| association.paths.as_mut())
        {
            paths.begin(arrival.now);
        }
        self.probe_paths(arrival.now, assoc);
    }

    /// Every other packet: by its addresses and tag, or by its tag alone.
    pub(super) fn handle_other(&mut self, arrival: &Arrival<'_>) {
        let packet = &arrival.packet;
        let named = self.table.by_key(&arrival.key);
        let fits = |assoc: &AssocId| {
            self.associations.get(assoc).is_some_and(|association| has_right_tag(association, packet))
        };
        let assoc = named.filter(fits).or_else(|| self.table.by_tag(&arrival.key, packet.tag()));
        let Some(assoc) = assoc else {
            match named.and_then(|assoc| self.associations.get(&assoc)) {
                // RFC 9260 §8.5.1 E: in these states a SHUTDOWN ACK is out of the blue.
                Some(association) if association.is_connecting() && packet.contains(chunk::SHUTDOWN_ACK) => {
                    self.answer_out_of_the_blue(arrival);
                }
                Some(_) => self.counters.dropped_tag += 1,
                None => self.answer_out_of_the_blue(arrival),
            }
            return;
        };
        if let Some(first) = packet.first().filter(|first| first.kind == chunk::INIT_ACK) {
            let fields =
                InitFields::parse(first.value).filter(|fields| fields.is_valid() && self.can_echo(packet));
            let Some(fields) = fields else {
                self.counters.dropped_init += 1;
                return;
            };
            if !self.learn_addresses(arrival, assoc, &first, fields.initiate_tag) {
                return;
            }
            self.reseed();
        }
        self.follow(arrival, assoc);
        self.take_answers(arrival, assoc);
        self.deliver(arrival, assoc, packet);
    }

    /// Whether the cookie of an INIT ACK, echoed, fits into a packet (RFC 9260 §5.1) with a SACK beside it.
    fn can_echo(&self, init_ack: &Packet<'_>) -> bool {
        let echo = |(_, length): (usize, usize)| packet::HEADER + length.next_multiple_of(4);
        find_cookie(init_ack.bytes()).is_none_or(|cookie| echo(cookie) + LARGEST_SACK <= self.config.mtu)
    }

    /// The tag was right: answers go to where the packet came from (RFC 6951 §5.4).
    fn follow(&mut self, arrival: &Arrival<'_>, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        association.local = Some(arrival.to);
        if association.paths.is_some() {
            self.follow_path(arrival, assoc);
        } else if association.key != arrival.key {
            self.counters.rebound += 1;
            self.table.remove(&association.key, association.local_tag, assoc);
            association.key = arrival.key;
            self.table.insert(association.key, association.local_tag, assoc);
        }
    }

    /// Gives a packet to its association. Returns whether that established or restarted it.
    fn deliver(&mut self, arrival: &Arrival<'_>, assoc: AssocId, packet: &Packet<'_>) -> bool {
        let Some(association) = self.associations.get_mut(&assoc) else { return false };
        let mut progress = Progress::default();
        let rule =
            association.receive(arrival.now, packet, &mut self.inputs, &mut self.counters, &mut progress);
        association.progress(arrival.now, &mut self.inputs, &mut self.counters, &mut progress);
        if let Err(reason) = rule {
            progress.end = Some(DownReason::Violation(reason));
        }
        let established = progress.established;
        let is_init_ack = |packet: &Vec<u8>| packet.get(packet::HEADER) == Some(&chunk::INIT_ACK);
        for answer in progress.packets.extract_if(.., |packet| is_init_ack(packet)).collect::<Vec<_>>() {
            let listed = packet.first().and_then(|init| Listed::parse(&init).ok()).unwrap_or_default();
            self.answer_init(arrival, &listed, &answer);
        }
        self.settle(arrival.now, assoc, progress);
        established
    }

    fn answer_out_of_the_blue(&mut self, arrival: &Arrival<'_>) {
        let Some(answer) = out_of_the_blue::answer(&arrival.packet) else {
            self.counters.dropped_out_of_the_blue += 1;
            return;
        };
        if !self.answers.take(arrival.now) {
            self.counters.dropped_out_of_the_blue_rate += 1;
            return;
        }
        self.counters.out_of_the_blue_answered += 1;
        self.transmit(arrival.key.remote, Some(arrival.to), answer);
    }

    fn refuse_full(&mut self, arrival: &Arrival<'_>, tag: u32) {
        self.counters.refused_full += 1;
        self.answer(arrival, tag, chunk::ABORT, &cause::encode(cause::OUT_OF_RESOURCE, &[]));
    }

    /// A rate-limited answer of one chunk that belongs to no association.
    pub(super) fn answer(&mut self, arrival: &Arrival<'_>, tag: u32, kind: u8, value: &[u8]) {
        if self.answers.take(arrival.now) {
            let ports = (arrival.key.local_port, arrival.key.peer_port);
            let bytes = packet::single(ports, tag, kind, 0, value);
            self.transmit(arrival.key.remote, Some(arrival.to), bytes);
        }
    }

    /// The channel of an association that a peer starts here, if it may.
    fn channel_at(&self, key: &Key) -> Option<Channel> {
        let listener = self.listeners.at(key.local_port).filter(|_| self.config.listening)?;
        Some(listener.channel)
    }

    /// dcsctp draws tags and TSNs from the thread's `fastrand`.
    pub(super) fn reseed(&mut self) {
        fastrand::seed(self.rng.next_u64());
    }
}

/// RFC 9260 §8.5: our tag, or the peer's own where the chunk says that it is reflected.
fn has_right_tag(association: &Association, packet: &Packet<'_>) -> bool {
    let reflected = packet.first().is_some_and(|first| {
        matches!(first.kind, chunk::ABORT | chunk::SHUTDOWN_COMPLETE) && first.flags & chunk::FLAG_T != 0
    });
    let tag = if reflected { association.peer_tag } else { association.local_tag };
    packet.tag() == tag && tag != 0
}
