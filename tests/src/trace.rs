//! The trace of a run: everything that happens, as a hash, and as text on request.

use crate::network::HostId;
use proto::{Input, Time, Transmit};
use std::fmt::{self, Write};

/// Hashes everything that happens in its order, so that equal runs can be told by one number.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    print: bool,
}

/// FNV-1a's, for words instead of bytes.
const PRIME: u64 = 0x0100_0000_01b3;

impl Trace {
    /// An empty trace; `print`: each line goes to standard error, too.
    pub fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, print }
    }

    /// Something happened to all.
    pub fn record(&mut self, now: Time, what: fmt::Arguments<'_>) {
        if self.print {
            eprintln!("{now} {what}");
        }
        self.word(now.as_micros());
        // Hashing cannot fail.
        let _ = self.write_fmt(what);
    }

    /// Something happened at a host.
    pub fn note(&mut self, now: Time, host: HostId, what: fmt::Arguments<'_>) {
        self.at(host);
        self.record(now, format_args!("{host} {what}"));
    }

    /// A process gets an input.
    pub fn input(&mut self, now: Time, host: HostId, input: &Input) {
        match input {
            // Nearly everything that happens is a message: as text it would cost more than the run itself.
            Input::Message { assoc, bytes, .. } if !self.print => {
                self.at(host);
                self.message(now, assoc.as_u64(), bytes);
            }
            _ => self.note(now, host, format_args!("<- {input:?}")),
        }
    }

    /// A process wants something done.
    pub fn transmit(&mut self, now: Time, host: HostId, transmit: &Transmit) {
        match transmit {
            Transmit::Send { assoc, bytes, .. } if !self.print => {
                self.at(host);
                self.message(now, !assoc.as_u64(), bytes);
            }
            _ => self.note(now, host, format_args!("-> {transmit:?}")),
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn at(&mut self, host: HostId) {
        self.word(u64::from(host.number) << 8 | host.role as u64);
    }

    fn message(&mut self, now: Time, way: u64, bytes: &[u8]) {
        self.word(now.as_micros());
        self.word(way);
        self.bytes(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn word(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(PRIME).rotate_left(29);
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
