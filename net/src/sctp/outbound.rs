//! The sending half of an association: messages wait here until the batch is finished, and how many bytes wait
//! here and in `dcsctp` decides when the machine has to hold back.
//!
//! SCTP keeps an order only within a stream, and a cookie has to be there before what it covers (RFC 5352 §3.8). So what is on
//! another stream or unordered waits here until the control messages before it are acknowledged, and all that follows with
//! it. Data in order on stream 0, where control messages are, never waits for that.

use super::association::has_unacknowledged;
use bytes::Bytes;
use dcsctp::api::{DcSctpSocket, Message, PpId, SendOptions, StreamId};
use proto::PPID_ASAP;
use std::collections::BTreeSet;

/// A message to send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stream: u16,
    pub(super) ppid: u32,
    pub(super) unordered: bool,
    pub(super) bytes: Bytes,
}

impl Outgoing {
    /// Whether SCTP would not keep it behind the control messages before it.
    fn may_overtake(&self) -> bool {
        self.ppid != PPID_ASAP && (self.unordered || self.stream != 0)
    }
}

#[derive(Debug)]
pub(super) struct Outbound {
    limit: usize,
    /// Messages of the batch that is not finished.
    batch: Vec<Outgoing>,
    batch_bytes: usize,
    /// Bytes in dcsctp's queue: an upper bound, made exact when it matters.
    queued_bytes: usize,
    /// Streams ever used: dcsctp tells its queue only by stream.
    streams: BTreeSet<u16>,
    full: bool,
    /// A control message may not have arrived yet.
    control: bool,
}

impl Outbound {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            batch: Vec::new(),
            batch_bytes: 0,
            queued_bytes: 0,
            streams: BTreeSet::new(),
            full: false,
            control: false,
        }
    }

    /// Whether nothing more is accepted: the machine was told to hold back and did not.
    pub(super) fn is_overfull(&self) -> bool {
        self.full && self.batch_bytes + self.queued_bytes > 2 * self.limit
    }

    /// Adds a message. Returns whether the queue became full by it.
    pub(super) fn push(&mut self, message: Outgoing, socket: &dyn DcSctpSocket) -> bool {
        self.batch_bytes += message.bytes.len();
        self.batch.push(message);
        if self.full || self.batch_bytes + self.queued_bytes < self.limit {
            return false;
        }
        self.measure(socket);
        self.full = self.batch_bytes + self.queued_bytes >= self.limit;
        self.full
    }

    /// Whether a message waits for the end of the batch.
    pub(super) fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Takes what was never given to dcsctp.
    pub(super) fn take_batch(&mut self) -> Vec<Outgoing> {
        self.batch_bytes = 0;
        std::mem::take(&mut self.batch)
    }

    /// Whether messages wait until everything that dcsctp has is acknowledged.
    pub(super) fn waits_for_control(&self) -> bool {
        self.control && self.has_batch()
    }

    /// Whether nothing of the batch can be given to dcsctp now: its first message waits for a control message.
    pub(super) fn is_held_up(&self, socket: &dyn DcSctpSocket) -> bool {
        self.control && self.batch.first().is_some_and(Outgoing::may_overtake) && has_unacknowledged(socket)
    }

    /// How many messages of the batch need not wait for a control message.
    fn ready(&mut self, socket: &dyn DcSctpSocket) -> usize {
        let mut just_now = false;
        for (at, message) in self.batch.iter().enumerate() {
            if message.ppid == PPID_ASAP {
                (self.control, just_now) = (true, true);
            } else if self.control && message.may_overtake() {
                self.control = just_now || has_unacknowledged(socket);
                if self.control {
                    return at;
                }
            }
        }
        self.batch.len()
    }

    /// Gives the batch to dcsctp, so that small messages share packets.
    pub(super) fn flush(&mut self, socket: &mut dyn DcSctpSocket) {
        let ready = self.ready(&*socket);
        let waiting = self.batch.split_off(ready);
        let waiting_bytes = waiting.iter().map(|message| message.bytes.len()).sum();
        self.queued_bytes += self.batch_bytes - waiting_bytes;
        let batch = std::mem::replace(&mut self.batch, waiting);
        self.batch_bytes = waiting_bytes;
        let mut rest = batch.into_iter().peekable();
        while let Some(first) = rest.next() {
            let options = SendOptions { unordered: first.unordered, ..SendOptions::default() };
            let mut run = vec![self.message(first)];
            while let Some(next) = rest.next_if(|next| next.unordered == options.unordered) {
                run.push(self.message(next));
            }
            // Size, stream and room were checked before: dcsctp refuses only what comes while it is closing,
            // and then the association's end is what the machine hears.
            let _ = socket.send_many(run, &options);
        }
    }

    fn message(&mut self, message: Outgoing) -> Message {
        self.streams.insert(message.stream);
        Message::new(StreamId(message.stream), PpId(message.ppid), message.bytes.into())
    }

    /// Whether there is room again after the queue was full: at half of the limit.
    pub(super) fn reopens(&mut self, socket: &dyn DcSctpSocket) -> bool {
        if !self.full {
            return false;
        }
        self.measure(socket);
        self.full = self.batch_bytes + self.queued_bytes > self.limit / 2;
        !self.full
    }

    fn measure(&mut self, socket: &dyn DcSctpSocket) {
        self.queued_bytes = self.streams.iter().map(|stream| socket.buffered_amount(StreamId(*stream))).sum();
    }
}
