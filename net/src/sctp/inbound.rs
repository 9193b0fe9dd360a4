//! The receiving half of an association: what it holds back, and the window the peer is told (RFC 9260 §6.2).
//!
//! `dcsctp` counts what it has not reassembled; messages are always taken out of it at once. Messages that
//! nobody reads wait here, and their bytes are subtracted from the window in every SACK that leaves. When the
//! window is closed, data is answered with the last SACK instead of being taken in: `dcsctp` itself would drop it
//! in silence, and a peer that counts on an answer would give the association up.

use super::packet::{Packet, SackFields, chunk};
use proto::Input;
use std::collections::VecDeque;

/// Share of the receive buffer that dcsctp offers as its window.
const WATERMARK: f32 = 0.9;
/// Memory beside the payload that is charged per fragment and per message.
const OVERHEAD: usize = 64;

#[derive(Debug)]
pub(super) struct Inbound {
    /// The window that dcsctp offers when it holds nothing.
    window: usize,
    max_messages: usize,
    reading: bool,
    /// Messages that wait to be read.
    unread: VecDeque<Input>,
    unread_bytes: usize,
    /// What dcsctp holds: exact whenever it builds a SACK.
    held_bytes: usize,
    held_fragments: usize,
    /// Fragments since the last end of a message.
    tail_fragments: usize,
    /// Whether the last SACK had gaps.
    has_gaps: bool,
    /// The cumulative TSN of the last SACK and the window it offered.
    last_sack: Option<(u32, usize)>,
}

impl Inbound {
    pub(super) fn new(buffer: usize, max_messages: usize) -> Self {
        Self {
            window: (buffer as f32 * WATERMARK) as usize,
            max_messages,
            reading: true,
            unread: VecDeque::new(),
            unread_bytes: 0,
            held_bytes: 0,
            held_fragments: 0,
            tail_fragments: 0,
            has_gaps: false,
            last_sack: None,
        }
    }

    /// The peer restarted: dcsctp starts afresh, unread messages stay.
    pub(super) fn restart(&mut self) {
        self.held_bytes = 0;
        self.held_fragments = 0;
        self.tail_fragments = 0;
        self.has_gaps = false;
        self.last_sack = None;
    }

    /// Memory to charge to the endpoint's budget.
    pub(super) fn charge(&self) -> usize {
        self.unread_bytes + self.held_bytes + (self.unread.len() + self.held_fragments) * OVERHEAD
    }

    /// Whether there is no room for more data.
    pub(super) fn is_closed(&self) -> bool {
        self.unread_bytes >= self.window || self.unread.len() >= self.max_messages
    }

    /// DATA goes into dcsctp.
    pub(super) fn take(&mut self, flags: u8, length: usize) {
        self.held_bytes += length;
        self.held_fragments += 1;
        self.tail_fragments = if flags & chunk::FLAG_E == 0 { self.tail_fragments + 1 } else { 0 };
    }

    /// A SACK leaves: learns from it what dcsctp holds. Returns the window to offer instead, if another.
    pub(super) fn sack(&mut self, sack: SackFields) -> Option<u32> {
        self.held_bytes = self.window.saturating_sub(sack.window as usize);
        self.has_gaps = sack.gap_blocks != 0;
        if !self.has_gaps {
            self.held_fragments = self.held_fragments.min(self.tail_fragments);
        }
        let offered = self.offered(sack.window as usize);
        self.last_sack = Some((sack.cumulative_tsn, offered));
        (offered != sack.window as usize).then(|| u32::try_from(offered).unwrap_or(u32::MAX))
    }

    /// A message came out of dcsctp.
    pub(super) fn message(&mut self, length: usize, message: Input, inputs: &mut VecDeque<Input>) {
        self.held_bytes = self.held_bytes.saturating_sub(length);
        if self.held_bytes == 0 {
            self.held_fragments = 0;
        }
        if self.reading {
            inputs.push_back(message);
        } else {
            self.unread_bytes += length;
            self.unread.push_back(message);
        }
    }

    /// What is held of a single message when everything up to the newest TSN has arrived.
    pub(super) fn incomplete_message(&self) -> usize {
        if self.has_gaps { 0 } else { self.held_bytes }
    }

    /// Goes on or stops reading.
    pub(super) fn read(&mut self, on: bool, inputs: &mut VecDeque<Input>) {
        self.reading = on;
        if on {
            self.deliver_unread(inputs);
        }
    }

    /// Hands out what waits to be read.
    pub(super) fn deliver_unread(&mut self, inputs: &mut VecDeque<Input>) {
        inputs.append(&mut self.unread);
        self.unread_bytes = 0;
    }

    /// The value of a SACK that offers the window as it is now; `None` before the first SACK.
    pub(super) fn window_update(&mut self) -> Option<Vec<u8>> {
        let (cumulative_tsn, _) = self.last_sack?;
        let offered = self.offered(self.window.saturating_sub(self.held_bytes));
        self.last_sack = Some((cumulative_tsn, offered));
        let mut value = Vec::with_capacity(12);
        value.extend_from_slice(&cumulative_tsn.to_be_bytes());
        value.extend_from_slice(&u32::try_from(offered).unwrap_or(u32::MAX).to_be_bytes());
        value.extend_from_slice(&[0; 4]);
        Some(value)
    }

    /// Whether the peer was told a window so small that it has to be told a larger one.
    pub(super) fn wants_update(&self) -> bool {
        self.unread.is_empty() && self.last_sack.is_some_and(|(_, offered)| offered < self.window / 2)
    }

    fn offered(&self, free: usize) -> usize {
        if self.is_closed() { 0 } else { free.saturating_sub(self.unread_bytes) }
    }
}

/// The SACK of a packet that dcsctp built, with its offset; DATA comes after it.
pub(super) fn find_sack(packet: &Packet<'_>) -> Option<(usize, SackFields)> {
    let mut offset = super::packet::HEADER;
    for chunk in packet.chunks() {
        match chunk.kind {
            chunk::SACK => return Some((offset, SackFields::parse(chunk.value)?)),
            chunk::DATA => return None,
            _ => offset += chunk.bytes.len(),
        }
    }
    None
}
