//! One association: a `dcsctp` socket with the addresses, tags and queues that belong to it.

mod liveness;

use super::carrier::Carrier;
use super::inbound::{self, Inbound};
use super::outbound::{Outbound, Outgoing};
use super::packet::{self, Packet, cause, chunk};
use super::paths::{self, Paths};
use super::table::Key;
use super::{Counters, SctpConfig};
use bytes::Bytes;
use dcsctp::api::{DcSctpSocket, ErrorKind, SocketEvent, SocketState, SocketTime};
use proto::{AssocId, Channel, DownReason, Input, Time};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long a text in an ABORT may be: for a log, not a book.
const MAX_CAUSE_TEXT: usize = 256;

/// An association and what the endpoint knows about it.
pub(super) struct Association {
    pub(super) id: AssocId,
    pub(super) key: Key,
    /// Our verification tag: what the peer's packets carry.
    pub(super) local_tag: u32,
    /// The peer's verification tag, 0 until it is known.
    pub(super) peer_tag: u32,
    /// Our address that the peer uses.
    pub(super) local: Option<IpAddr>,
    /// The paths to a peer with several addresses: then they say where packets go, instead of `key` and `local`.
    pub(super) paths: Option<Box<Paths>>,
    /// Our addresses that the peer was told, if there are several.
    pub(super) offered: Vec<IpAddr>,
    /// What the timers hold for it.
    pub(super) armed: Option<Time>,
    /// What is charged to the endpoint's receive budget for it.
    pub(super) charged: usize,
    /// Whether it is on the endpoint's list of batches to finish.
    pub(super) is_dirty: bool,
    /// Whether its timers are to be looked at in the end of the batch.
    pub(super) is_unarmed: bool,
    pub(super) channel: Channel,
    socket: Box<dyn DcSctpSocket>,
    /// Where the socket's time starts.
    epoch: Time,
    state: State,
    inbound: Inbound,
    outbound: Outbound,
    max_message_size: usize,
    mtu: usize,
    max_retransmissions: u32,
    in_streams: u16,
    out_streams: u16,
    /// Number in the last HEARTBEAT that left.
    heartbeat: [u8; 4],
    /// A SHUTDOWN of the peer that waits until our messages are through.
    held_shutdown: Option<Vec<u8>>,
    /// Whether the machine knows that the peer ends the association, too.
    peer_ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Up,
    /// Our machine wants it to end, or has ended it.
    ShuttingDown,
    /// The peer wants it to end.
    PeerShuttingDown,
}

/// What an association wants done after something happened to it.
#[derive(Default)]
pub(super) struct Progress {
    /// Packets to send.
    pub(super) packets: Vec<Vec<u8>>,
    /// It is at its end.
    pub(super) end: Option<DownReason>,
    /// It was established or restarted by the packet just handled.
    pub(super) established: bool,
}

impl Association {
    /// One that is to be connected ([`connect`](Self::connect)) or takes a COOKIE ECHO, beside `others`.
    pub(super) fn new(
        now: Time,
        id: AssocId,
        channel: Channel,
        key: Key,
        config: &SctpConfig,
        others: usize,
    ) -> Self {
        Self {
            id,
            key,
            local_tag: 0,
            peer_tag: 0,
            local: None,
            paths: None,
            offered: Vec::new(),
            armed: None,
            charged: 0,
            is_dirty: false,
            is_unarmed: false,
            channel,
            socket: dcsctp::new_socket("", &config.options(&key, others)),
            epoch: now,
            state: State::Connecting,
            inbound: Inbound::new(config.receive_buffer(), config.limits.unread_messages),
            outbound: Outbound::new(config.limits.send_queue),
            max_message_size: config.max_message_size,
            mtu: config.mtu,
            max_retransmissions: config.timing.max_retransmissions,
            in_streams: config.offered_streams(),
            out_streams: config.offered_streams(),
            heartbeat: [0; 4],
            held_shutdown: None,
            peer_ends: false,
        }
    }

    /// Starts the handshake.
    pub(super) fn connect(&mut self) {
        self.socket.connect();
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.state == State::Connecting
    }

    /// Whether it has sent an INIT that was not answered: which addresses the peer has is open.
    pub(super) fn is_waiting_for_cookie(&self) -> bool {
        self.state == State::Connecting && self.peer_tag == 0
    }

    /// Whether there is no association yet: a COOKIE ECHO did not make one.
    pub(super) fn is_closed(&self) -> bool {
        self.socket.state() == SocketState::Closed
    }

    /// A packet with the right tag, or an INIT, or a COOKIE ECHO without its seal.
    ///
    /// `Err`: the peer broke a rule and the association is to be aborted.
    pub(super) fn receive(
        &mut self,
        now: Time,
        packet: &Packet<'_>,
        inputs: &mut VecDeque<Input>,
        counters: &mut Counters,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let closed = self.inbound.is_closed();
        let mut has_data = false;
        let mut has_probe = false;
        let mut shutdown = None;
        for chunk in packet.chunks() {
            if let Some(paths) = &mut self.paths
                && let Some(tsn) = paths::cumulative_tsn(&chunk)
            {
                paths.acknowledge(tsn);
            }
            match chunk.kind {
                chunk::DATA => {
                    has_data = true;
                    self.paths.iter_mut().for_each(|paths| paths.hear());
                    let stream = packet::u16_at(chunk.value, 4).ok_or("DATA too short")?;
                    if stream >= self.in_streams {
                        return Err(format!("stream {stream} of {}", self.in_streams));
                    }
                    if !closed {
                        self.inbound.take(chunk.flags, chunk.value.len().saturating_sub(12));
                    }
                }
                chunk::SACK => self.keep_alive_at_zero_window(chunk.value),
                chunk::HEARTBEAT_ACK if self.paths.is_some() => has_probe = true,
                chunk::HEARTBEAT_ACK => self.take_late_heartbeat(chunk.value),
                // RFC 6525 §3.1. dcsctp answers each of them in one chunk, which then may not fit into a packet.
                chunk::RE_CONFIG if chunk.parameters().nth(2).is_some() => {
                    return Err("RE-CONFIG of more than two parameters".into());
                }
                chunk::SHUTDOWN => shutdown = packet::u32_at(chunk.value, 0),
                _ => {}
            }
        }
        self.pass_time(now);
        if self.state == State::Connecting
            && self.socket.state() == SocketState::Connecting
            && let Some(reason) = refusal(packet, self.local_tag)
        {
            progress.end = Some(DownReason::ConnectFailed(reason));
            return Ok(());
        }

        let marked = packet.mark_unordered();
        let packet = marked.as_deref().and_then(Packet::own).unwrap_or(*packet);
        let hold_shutdown = shutdown.is_some() && has_unacknowledged(&*self.socket);
        if (closed && has_data) || hold_shutdown || has_probe {
            // Answers to probes of a path are the endpoint's.
            let keep = |chunk: &packet::Chunk<'_>| {
                !(closed && chunk.kind == chunk::DATA
                    || hold_shutdown && chunk.kind == chunk::SHUTDOWN
                    || has_probe && chunk.kind == chunk::HEARTBEAT_ACK)
            };
            if let Some(rest) = packet.with_chunks(keep) {
                self.socket.handle_input(&rest);
            }
        } else {
            self.socket.handle_input(packet.bytes());
        }
        if closed && has_data {
            counters.dropped_window_closed += 1;
            progress.packets.extend(self.window_update());
        }
        if let Some(cumulative_tsn) = shutdown {
            if hold_shutdown {
                self.hold_shutdown(&packet, cumulative_tsn);
            }
            self.peer_shuts_down(inputs);
        }
        Ok(())
    }

    /// Takes out of the socket what it has to say.
    pub(super) fn progress(
        &mut self,
        now: Time,
        inputs: &mut VecDeque<Input>,
        counters: &mut Counters,
        progress: &mut Progress,
    ) {
        // What waits for a control message goes before the peer's SHUTDOWN is taken: nothing can be sent after that.
        if self.outbound.waits_for_control() && !has_unacknowledged(&*self.socket) {
            self.flush(now, inputs);
        }
        if let Some(shutdown) = self.held_shutdown.take_if(|_| !has_unacknowledged(&*self.socket)) {
            self.pass_time(now);
            self.socket.handle_input(&shutdown);
        }
        loop {
            while let Some(event) = self.socket.poll_event() {
                self.event(event, inputs, counters, progress);
            }
            if !self.is_ready_to_shut_down() {
                break;
            }
            self.pass_time(now);
            self.socket.shutdown();
        }
        // Data may overtake the COOKIE ACK: it waits until the association is up.
        while self.state != State::Connecting
            && let Some(message) = self.socket.get_next_message()
        {
            let length = message.payload.len();
            let stream = message.stream_id.0 & !packet::UNORDERED;
            if length > self.max_message_size || stream >= self.in_streams {
                progress.end = Some(DownReason::Violation(format!("message of {length} bytes")));
                return;
            }
            let message = Input::Message {
                assoc: self.id,
                stream,
                ppid: message.ppid.0,
                unordered: message.stream_id.0 & packet::UNORDERED != 0,
                bytes: Bytes::from(message.payload),
            };
            self.inbound.message(length, message, inputs);
        }
        if self.state != State::Connecting && self.inbound.incomplete_message() > self.max_message_size {
            let reason = format!("message of more than {} bytes", self.max_message_size);
            progress.end.get_or_insert(DownReason::Violation(reason));
        }
        if self.outbound.reopens(&*self.socket) {
            inputs.push_back(Input::Writable { assoc: self.id });
        }
        self.tell_paths(inputs, counters, progress);
        if progress.end.is_some() {
            self.inbound.deliver_unread(inputs);
        }
    }

    fn event(
        &mut self,
        event: SocketEvent,
        inputs: &mut VecDeque<Input>,
        counters: &mut Counters,
        progress: &mut Progress,
    ) {
        match event {
            SocketEvent::SendPacket(mut packet) => {
                self.observe(&mut packet);
                if self.paths.is_some() && packet.get(packet::HEADER) == Some(&chunk::HEARTBEAT) {
                    // Each path is probed instead.
                    self.clear_error_count();
                    return;
                }
                progress.packets.push(packet);
            }
            SocketEvent::OnConnected() => {
                progress.established = true;
                self.established(inputs, counters);
            }
            SocketEvent::OnConnectionRestarted() => {
                counters.restarted += 1;
                self.inbound.restart();
                self.held_shutdown = None;
                self.peer_ends = false;
                // A shutdown that our machine asked for begins anew.
                if self.state != State::ShuttingDown {
                    self.state = State::Up;
                }
                inputs.push_back(Input::Restart { assoc: self.id });
            }
            SocketEvent::OnClosed() => progress.end = Some(DownReason::Shutdown),
            SocketEvent::OnAborted(kind, text) => progress.end = Some(self.aborted(kind, text)),
            SocketEvent::OnError(kind, text) => {
                counters.errors += 1;
                tracing::debug!(assoc = self.id.as_u64(), ?kind, text, "SCTP error");
            }
            _ => {}
        }
    }

    /// Reads, and where needed corrects, a packet that dcsctp wants to send.
    fn observe(&mut self, bytes: &mut [u8]) {
        let Some(packet) = Packet::own(bytes) else { return };
        let Some(first) = packet.first() else { return };
        if let Some(paths) = &mut self.paths {
            paths.observe(&packet);
        }
        match first.kind {
            chunk::COOKIE_ECHO => self.peer_tag = packet.tag(),
            chunk::HEARTBEAT => {
                if let Some(counter) = first.value.last_chunk() {
                    self.heartbeat = *counter;
                }
            }
            chunk::INIT => {
                self.local_tag = packet::u32_at(first.value, 0).unwrap_or_default();
            }
            _ => {}
        }
        if let Some((offset, sack)) = inbound::find_sack(&packet)
            && let Some(window) = self.inbound.sack(sack)
            && let Some(field) = bytes.get_mut(offset + 8..offset + 12)
        {
            field.copy_from_slice(&window.to_be_bytes());
            packet::seal_checksum(bytes);
        }
    }

    /// Up, once: a collision of two handshakes may tell it twice.
    fn established(&mut self, inputs: &mut VecDeque<Input>, counters: &mut Counters) {
        if let Some(metrics) = self.socket.get_metrics() {
            self.in_streams = metrics.negotiated_maximum_incoming_streams;
            self.out_streams = metrics.negotiated_maximum_outgoing_streams;
        }
        if self.state != State::Connecting {
            return;
        }
        self.state = State::Up;
        let counter = if self.id.is_accepted() { &mut counters.accepted } else { &mut counters.connected };
        *counter += 1;
        inputs.push_back(Input::Up {
            assoc: self.id,
            channel: self.channel,
            // The first path is the one that has shown to be the peer's.
            remote: self
                .keys()
                .into_iter()
                .map(|key| SocketAddr::new(key.remote.ip(), key.peer_port))
                .collect(),
            local: if self.offered.is_empty() {
                self.local.into_iter().collect()
            } else {
                self.offered.clone()
            },
            streams: self.out_streams,
        });
    }

    fn aborted(&self, kind: ErrorKind, text: String) -> DownReason {
        let connecting = self.state == State::Connecting;
        match kind {
            ErrorKind::TooManyRetries => DownReason::Unreachable,
            ErrorKind::PeerReported if connecting => DownReason::ConnectFailed(format!("refused: {text}")),
            ErrorKind::PeerReported => DownReason::PeerAborted(text),
            _ => DownReason::Violation(text),
        }
    }

    /// Queues a message. Returns whether the queue became full by it, or the message with the reason against it.
    pub(super) fn send(&mut self, message: Outgoing) -> Result<bool, (Bytes, &'static str)> {
        let objection = match self.state {
            State::ShuttingDown | State::PeerShuttingDown => Some("shutting down"),
            _ if message.bytes.is_empty() => Some("empty message"),
            _ if message.bytes.len() > self.max_message_size => Some("message too large"),
            _ if message.stream >= self.out_streams => Some("no such stream"),
            _ if self.outbound.is_overfull() => Some("queue full"),
            _ => None,
        };
        match objection {
            Some(why) => Err((message.bytes, why)),
            None => Ok(self.outbound.push(message, &*self.socket)),
        }
    }

    /// Gives the queued messages to dcsctp; before it is up they stay.
    pub(super) fn flush(&mut self, now: Time, inputs: &mut VecDeque<Input>) {
        if self.state == State::Connecting
            || !self.outbound.has_batch()
            || self.outbound.is_held_up(&*self.socket)
        {
            return;
        }
        // What a restart or another negotiation has changed since they were accepted.
        let streams = self.out_streams;
        let kept = self.outbound.take_batch();
        for message in kept {
            if message.stream < streams {
                self.outbound.push(message, &*self.socket);
            } else {
                inputs.push_back(Input::SendFailed {
                    assoc: self.id,
                    bytes: message.bytes,
                    why: "no such stream",
                });
            }
        }
        self.pass_time(now);
        self.outbound.flush(&mut *self.socket);
    }

    /// Goes on or stops reading. Returns a packet that tells the peer of the new window.
    pub(super) fn read(&mut self, on: bool, inputs: &mut VecDeque<Input>) -> Option<Vec<u8>> {
        self.inbound.read(on, inputs);
        (on && self.inbound.wants_update()).then(|| self.window_update()).flatten()
    }

    /// Ends in order once everything is delivered. Returns `false` if there is nothing to end in order yet.
    pub(super) fn shut_down(&mut self) -> bool {
        match self.state {
            State::Connecting => false,
            State::Up => {
                self.state = State::ShuttingDown;
                true
            }
            State::ShuttingDown | State::PeerShuttingDown => true,
        }
    }

    /// An ABORT for the peer with a text for its log.
    pub(super) fn abort(&self, code: u16, text: &str) -> Option<Vec<u8>> {
        let mut end = text.len().min(MAX_CAUSE_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cause = cause::encode(code, &text.as_bytes()[..end]);
        (self.peer_tag != 0).then(|| self.packet(chunk::ABORT, &cause))
    }

    /// Whether an ICMP message quotes a packet of this association (RFC 9260 §10.1, ICMP7).
    pub(super) fn is_quoted(&self, quoted: &[u8]) -> bool {
        match packet::u32_at(quoted, 4) {
            // An INIT carries no tag; it shows its own one if the quotation is long enough.
            Some(0) => {
                quoted.get(packet::HEADER) == Some(&chunk::INIT)
                    && packet::u32_at(quoted, packet::HEADER + packet::CHUNK_HEADER) == Some(self.local_tag)
            }
            Some(tag) => tag == self.peer_tag,
            None => false,
        }
    }

    /// Why it is down when an ICMP message says that nobody listens there: evidence, not silence.
    pub(super) fn unreachable(&self, carrier: Carrier) -> DownReason {
        let what = if carrier == Carrier::Ip { "protocol" } else { "port" };
        let text = format!("ICMP: {what} unreachable");
        match self.state {
            State::Connecting => DownReason::ConnectFailed(text),
            _ => DownReason::PeerAborted(text),
        }
    }

    /// Runs the timers that are due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        let now_there = self.socket_time(now);
        if let Some(paths) = &mut self.paths {
            paths.run_timers(now);
            // How many errors are too many is for the paths to say: dcsctp never gets to its second one.
            if self.socket.poll_timeout() <= now_there {
                self.clear_error_count();
            }
        }
        self.socket.advance_time(now_there);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let due = self.socket.poll_timeout();
        // dcsctp counts in nanoseconds: round up, or the timer would be due here and not yet there, for ever.
        let after = (due - SocketTime::zero()).saturating_add(Duration::from_nanos(999));
        let due = (due != SocketTime::infinite_future()).then(|| self.epoch + after);
        let probe = self.paths.as_ref().and_then(|paths| paths.poll_timeout());
        match (due, probe) {
            (Some(due), Some(probe)) => Some(due.min(probe)),
            (due, probe) => due.or(probe),
        }
    }

    /// Messages that will never be sent come back.
    pub(super) fn fail_batch(&mut self, why: &'static str, inputs: &mut VecDeque<Input>) {
        for message in self.outbound.take_batch() {
            inputs.push_back(Input::SendFailed { assoc: self.id, bytes: message.bytes, why });
        }
    }

    /// Memory to charge to the endpoint's receive budget.
    pub(super) fn charge(&self) -> usize {
        self.inbound.charge()
    }

    /// Lets the socket's clock follow without running timers: what arrives comes before what is due, or a
    /// process that was not scheduled for a while would accuse its peers (design decision D2).
    fn pass_time(&mut self, now: Time) {
        let due = self.socket.poll_timeout();
        let before = if due == SocketTime::infinite_future() { due } else { due - Duration::from_micros(1) };
        self.socket.advance_time(self.socket_time(now).min(before));
    }

    fn socket_time(&self, now: Time) -> SocketTime {
        SocketTime::zero() + now.since(self.epoch)
    }

    /// The key of each address of the peer, that of the primary one first.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.paths.as_ref().map_or_else(|| vec![self.key], |paths| paths.keys(self.key).collect())
    }

    pub(super) fn packet(&self, kind: u8, value: &[u8]) -> Vec<u8> {
        packet::single((self.key.local_port, self.key.peer_port), self.peer_tag, kind, 0, value)
    }

    fn window_update(&mut self) -> Option<Vec<u8>> {
        let sack = self.inbound.window_update()?;
        Some(self.packet(chunk::SACK, &sack))
    }

    /// dcsctp sends its SHUTDOWN as soon as what is in flight is acknowledged, even if more waits in its queue.
    fn is_ready_to_shut_down(&self) -> bool {
        self.state == State::ShuttingDown
            && self.socket.state() == SocketState::Connected
            && !self.outbound.has_batch()
            && !has_unacknowledged(&*self.socket)
    }

    /// For the same reason a SHUTDOWN of the peer waits; what it acknowledges counts at once.
    fn hold_shutdown(&mut self, packet: &Packet<'_>, cumulative_tsn: u32) {
        let window = self.socket.get_metrics().map_or(0, |metrics| metrics.peer_rwnd_bytes);
        let mut sack = cumulative_tsn.to_be_bytes().to_vec();
        sack.extend_from_slice(&window.to_be_bytes());
        sack.extend_from_slice(&[0; 4]);
        let ports = (self.key.peer_port, self.key.local_port);
        let sack = packet::single(ports, self.local_tag, chunk::SACK, 0, &sack);
        self.socket.handle_input(&sack);
        self.held_shutdown = packet.with_chunks(|chunk| chunk.kind == chunk::SHUTDOWN);
    }

    fn peer_shuts_down(&mut self, inputs: &mut VecDeque<Input>) {
        let told = std::mem::replace(&mut self.peer_ends, true);
        if !told && matches!(self.state, State::Up | State::ShuttingDown) {
            inputs.push_back(Input::PeerShutdown { assoc: self.id });
        }
        if self.state == State::Up {
            self.state = State::PeerShuttingDown;
            self.fail_batch("shutting down", inputs);
        }
    }
}

/// Whether messages wait in dcsctp's queue or for their SACK.
pub(super) fn has_unacknowledged(socket: &dyn DcSctpSocket) -> bool {
    socket.get_metrics().is_some_and(|metrics| metrics.unack_data_count != 0)
}

/// The reason in an ABORT that answers our INIT: dcsctp ignores it before it has heard of the peer's tag.
fn refusal(packet: &Packet<'_>, local_tag: u32) -> Option<String> {
    let abort = packet.chunks().find(|chunk| chunk.kind == chunk::ABORT)?;
    if abort.flags & chunk::FLAG_T != 0 || packet.tag() != local_tag {
        return None;
    }
    let code = packet::u16_at(abort.value, 0);
    Some(match code {
        Some(cause::OUT_OF_RESOURCE) => "refused: out of resources".into(),
        Some(code) => format!("refused: cause {code}"),
        None => "refused".into(),
    })
}
