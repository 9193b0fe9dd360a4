//! The trace of a run: everything that happens, as a hash, and as text on request.

use proto::Time;
use std::fmt::{self, Write};

/// Hashes everything that happens in its order (FNV-1a), so that equal runs can be told by one number.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    print: bool,
}

impl Trace {
    /// An empty trace; `print`: each line goes to standard error, too.
    pub fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, print }
    }

    /// Something happened.
    pub fn record(&mut self, now: Time, what: fmt::Arguments<'_>) {
        if self.print {
            eprintln!("{now} {what}");
        }
        // Hashing cannot fail.
        let _ = write!(self, "{} {what}", now.as_micros());
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
