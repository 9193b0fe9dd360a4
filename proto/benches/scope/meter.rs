//! What a registrar has used: CPU time of this thread, messages, bytes.

use nix::time::{ClockId, clock_gettime};
use std::ops::Sub;
use std::time::Duration;

/// What was used since the start, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Messages received and sent.
    pub(crate) messages: u64,
    /// Bytes of these.
    pub(crate) bytes: u64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu - earlier.cpu,
            messages: self.messages - earlier.messages,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

/// CPU time of this thread.
pub(crate) fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// Measures spans of CPU time, without what reading the clock takes.
pub(crate) struct Stopwatch {
    overhead: Duration,
}

impl Stopwatch {
    pub(crate) fn new() -> Self {
        let mut spans: Vec<Duration> = (0..1001)
            .map(|_| {
                let start = cpu_time();
                cpu_time() - start
            })
            .collect();
        spans.sort();
        Self { overhead: spans[spans.len() / 2] }
    }

    /// How long this takes.
    pub(crate) fn measure(&self, act: impl FnOnce()) -> Duration {
        let start = cpu_time();
        act();
        (cpu_time() - start).saturating_sub(self.overhead)
    }
}
