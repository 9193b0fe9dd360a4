//! An association of the kernel as the endpoint knows it: its name, what waits to be sent, what waits to be read.

use super::sockets::Token;
use crate::clock::System;
use crate::sctp::SctpConfig;
use bytes::Bytes;
use lksctp::AssocId as KernelId;
use proto::{Channel, Input, PPID_ASAP};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

/// An association.
pub(super) struct Association {
    pub(super) kernel: KernelId,
    /// The socket it is at.
    pub(super) socket: Token,
    pub(super) channel: Channel,
    pub(super) state: State,
    /// Since when it is being connected, if we started it.
    pub(super) connecting: Option<System>,
    /// The peer's addresses: those to connect to, then those of the association.
    pub(super) remote: Vec<SocketAddr>,
    /// Those of them that do not answer.
    pub(super) dead_paths: BTreeSet<SocketAddr>,
    /// Valid stream numbers are below this.
    pub(super) streams: u16,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    /// Whether it is on the endpoint's list of associations with something to send.
    pub(super) is_dirty: bool,
    /// Whether it has ended and nobody reads it: its end waits behind its last messages.
    pub(super) is_over: bool,
    /// What is charged to the endpoint's receive budget for it.
    pub(super) charged: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    Up,
    /// Our machine wants it to end once its messages are with the kernel.
    ShuttingDown,
    /// The kernel was told so.
    ShutDown,
    /// The peer wants it to end.
    PeerShuttingDown,
}

/// A message to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stream: u16,
    pub(super) ppid: u32,
    pub(super) unordered: bool,
    pub(super) bytes: Bytes,
}

impl Outgoing {
    /// Whether it is a control message (RFC 5352 §5).
    fn is_control(&self) -> bool {
        self.ppid == PPID_ASAP
    }

    /// Whether SCTP would not keep it behind the control messages before it.
    fn may_overtake(&self) -> bool {
        !self.is_control() && (self.unordered || self.stream != 0)
    }
}

/// Messages that the kernel has not taken yet.
///
/// SCTP keeps an order only within a stream, and a cookie has to be there before what it covers (RFC 5352 §3.8). So what is on
/// another stream or unordered waits here until the control messages before it are acknowledged, and all that follows with
/// it. Data in order on stream 0, where control messages are, never waits for that.
#[derive(Debug)]
pub(super) struct Outbound {
    limit: usize,
    queue: VecDeque<Outgoing>,
    bytes: usize,
    full: bool,
    pub(super) control: Control,
}

/// What has become of the control messages that the kernel has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// They have arrived.
    Arrived,
    /// They may not have arrived yet.
    Outstanding,
    /// As before, and the kernel is to tell when nothing is outstanding.
    Asked,
}

impl Outbound {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, queue: VecDeque::new(), bytes: 0, full: false, control: Control::Arrived }
    }

    /// Whether nothing more is accepted: the machine was told to hold back and did not.
    pub(super) fn is_overfull(&self) -> bool {
        self.full && self.bytes > 2 * self.limit
    }

    /// Adds a message. Returns whether the queue became full by it.
    pub(super) fn push(&mut self, message: Outgoing) -> bool {
        self.bytes += message.bytes.len();
        self.queue.push_back(message);
        let became_full = !self.full && self.bytes >= self.limit;
        self.full |= became_full;
        became_full
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// The messages that need not wait for a control message, the next one first.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Outgoing> {
        let mut control = self.control != Control::Arrived;
        self.queue.iter().take_while(move |message| {
            control |= message.is_control();
            !(control && message.may_overtake())
        })
    }

    /// Whether the next message waits for a control message.
    pub(super) fn is_held_up(&self) -> bool {
        self.control != Control::Arrived && self.queue.front().is_some_and(Outgoing::may_overtake)
    }

    /// The kernel has taken the next messages.
    pub(super) fn sent(&mut self, count: usize) {
        for _ in 0..count {
            if self.pop().is_some_and(|message| message.is_control()) {
                self.control = Control::Outstanding;
            }
        }
    }

    /// Takes the next message out.
    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.bytes.len();
        Some(message)
    }

    /// Whether there is room again after the queue was full: at half of the limit.
    pub(super) fn reopens(&mut self) -> bool {
        let reopens = self.full && self.bytes <= self.limit / 2;
        self.full &= !reopens;
        reopens
    }
}

/// What a message that nobody reads takes of the memory beside its bytes, about.
const UNREAD_OVERHEAD: usize = 128;

/// What arrives: the pieces of a message until its last one, and what nobody reads.
///
/// The kernel hands the pieces of one message of an association out one after the other (RFC 6458 §8.1.20: no
/// interleaving within an association), whatever comes from other associations in between.
#[derive(Debug)]
pub(super) struct Inbound {
    limit: usize,
    pieces: Vec<u8>,
    pub(super) reading: bool,
    unread: VecDeque<Input>,
    unread_bytes: usize,
}

/// A message is larger than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Inbound {
    /// With a limit for the size of a message.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, pieces: Vec::new(), reading: true, unread: VecDeque::new(), unread_bytes: 0 }
    }

    /// Takes a piece; returns the message if it is the last one.
    pub(super) fn piece(&mut self, piece: &[u8], last: bool) -> Result<Option<Bytes>, TooLarge> {
        if self.pieces.len() + piece.len() > self.limit {
            return Err(TooLarge);
        }
        if last && self.pieces.is_empty() {
            return Ok(Some(Bytes::copy_from_slice(piece)));
        }
        self.pieces.extend_from_slice(piece);
        Ok(last.then(|| std::mem::take(&mut self.pieces).into()))
    }

    /// Whether a message has begun and not ended.
    pub(super) fn has_pieces(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// The rest of the message will not come.
    pub(super) fn forget_pieces(&mut self) {
        self.pieces = Vec::new();
    }

    /// A whole message, to be delivered if somebody reads.
    pub(super) fn message(&mut self, length: usize, message: Input, inputs: &mut VecDeque<Input>) {
        if self.reading {
            inputs.push_back(message);
        } else {
            self.unread_bytes += length + UNREAD_OVERHEAD;
            self.unread.push_back(message);
        }
    }

    /// Hands out what waits to be read.
    pub(super) fn deliver_unread(&mut self, inputs: &mut VecDeque<Input>) {
        inputs.append(&mut self.unread);
        self.unread_bytes = 0;
    }

    /// Memory to charge to the endpoint's receive budget.
    pub(super) fn charge(&self) -> usize {
        self.pieces.len() + self.unread_bytes
    }
}

impl Association {
    /// One at the socket that associations share, not established yet.
    pub(super) fn new(kernel: KernelId, channel: Channel, config: &SctpConfig) -> Self {
        Self {
            kernel,
            socket: Token::SHARED,
            channel,
            state: State::Connecting,
            connecting: None,
            remote: Vec::new(),
            dead_paths: BTreeSet::new(),
            streams: config.streams,
            outbound: Outbound::new(config.limits.send_queue),
            inbound: Inbound::new(config.max_message_size),
            is_dirty: false,
            is_over: false,
            charged: 0,
        }
    }

    /// What is wrong with a message to send, if anything; `largest` is what the socket can take.
    pub(super) fn objection(&self, message: &Outgoing, largest: usize) -> Option<&'static str> {
        match self.state {
            State::ShuttingDown | State::ShutDown | State::PeerShuttingDown => Some("shutting down"),
            _ if message.bytes.is_empty() => Some("empty message"),
            _ if message.bytes.len() > largest => Some("message too large"),
            _ if message.stream >= self.streams => Some("no such stream"),
            _ if self.outbound.is_overfull() => Some("queue full"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::AssocId;

    fn message(length: usize) -> Outgoing {
        Outgoing { stream: 0, ppid: 0, unordered: false, bytes: vec![0; length].into() }
    }

    #[test]
    fn the_queue_is_full_at_its_limit_and_reopens_at_half_of_it() {
        let mut outbound = Outbound::new(100);
        assert!(!outbound.push(message(60)));
        assert!(outbound.push(message(40)), "full, told once");
        assert!(!outbound.push(message(10)));
        outbound.pop();
        assert!(outbound.reopens());
        assert!(!outbound.reopens(), "told once");
        assert!(!outbound.is_overfull());
    }

    // ASAP-3.8-04
    #[test]
    fn what_may_overtake_a_control_message_waits_for_it() {
        let to = |stream, ppid, unordered| Outgoing { stream, ppid, unordered, ..message(1) };
        let mut outbound = Outbound::new(100);
        for next in [
            to(3, 0, false),
            to(0, PPID_ASAP, false),
            to(0, 0, false),
            to(3, 0, false),
            to(0, 0, false),
            to(0, PPID_ASAP, false),
            to(0, 0, true),
        ] {
            outbound.push(next);
        }
        assert_eq!((outbound.ready().count(), outbound.is_held_up()), (3, false));
        outbound.sent(3);
        assert_eq!(outbound.control, Control::Outstanding);
        assert_eq!((outbound.ready().count(), outbound.is_held_up()), (0, true));
        outbound.control = Control::Arrived;
        assert_eq!((outbound.ready().count(), outbound.is_held_up()), (3, false));
        outbound.sent(3);
        assert_eq!((outbound.ready().count(), outbound.is_held_up()), (0, true));
        outbound.control = Control::Arrived;
        outbound.sent(1);
        assert_eq!((outbound.len(), outbound.control), (0, Control::Arrived));
    }

    #[test]
    fn a_machine_that_does_not_hold_back_is_refused_at_twice_the_limit() {
        let mut outbound = Outbound::new(100);
        outbound.push(message(200));
        assert!(!outbound.is_overfull());
        outbound.push(message(1));
        assert!(outbound.is_overfull());
    }

    // SCTP-4960-03
    #[test]
    fn pieces_become_a_message_with_the_last_one() {
        let mut inbound = Inbound::new(10);
        assert_eq!(inbound.piece(b"whole", true), Ok(Some(Bytes::from_static(b"whole"))));
        assert_eq!(inbound.piece(b"in", false), Ok(None));
        assert_eq!(inbound.piece(b" ", false), Ok(None));
        assert_eq!(inbound.charge(), 3);
        assert_eq!(inbound.piece(b"three", true), Ok(Some(Bytes::from_static(b"in three"))));
        assert_eq!(inbound.charge(), 0);
    }

    #[test]
    fn a_message_beyond_the_limit_is_told_before_it_is_whole() {
        let mut inbound = Inbound::new(10);
        assert_eq!(inbound.piece(&[0; 10], false), Ok(None));
        assert_eq!(inbound.piece(&[0], false), Err(TooLarge));
        assert_eq!(inbound.piece(&[0; 11], true), Err(TooLarge));
    }

    #[test]
    fn a_message_that_ends_early_leaves_nothing_to_the_next() {
        let mut inbound = Inbound::new(10);
        assert_eq!(inbound.piece(b"lost", false), Ok(None));
        inbound.forget_pieces();
        assert_eq!(inbound.piece(b"next", true), Ok(Some(Bytes::from_static(b"next"))));
    }

    #[test]
    fn what_nobody_reads_waits_in_order() {
        let mut inbound = Inbound::new(10);
        let mut inputs = VecDeque::new();
        let assoc = AssocId::connected(1);
        inbound.reading = false;
        for up in [true, false] {
            let address = SocketAddr::from(([127, 0, 0, 1], 9));
            inbound.message(4, Input::Path { assoc, address, up }, &mut inputs);
        }
        assert!(inputs.is_empty());
        assert_eq!(inbound.charge(), 2 * (4 + UNREAD_OVERHEAD), "empty ones would take memory, too");
        inbound.deliver_unread(&mut inputs);
        assert_eq!((inputs.len(), inbound.charge()), (2, 0));
        assert!(matches!(inputs.front(), Some(Input::Path { up: true, .. })));
    }
}
