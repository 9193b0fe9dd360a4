//! A token bucket.

use proto::Time;

/// Allows a number of events per second, and as many at once.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: u32,
    /// Millionths of an event that are still allowed.
    tokens: u64,
    updated: Time,
}

impl Rate {
    const ONE: u64 = 1_000_000;

    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, tokens: u64::from(per_second) * Self::ONE, updated: Time::ZERO }
    }

    /// Takes one event if the rate allows it.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let full = u64::from(self.per_second) * Self::ONE;
        let micros = now.since(self.updated).as_micros().min(1_000_000) as u64;
        self.tokens = full.min(self.tokens + micros * u64::from(self.per_second));
        self.updated = self.updated.max(now);
        let allowed = self.tokens >= Self::ONE;
        if allowed {
            self.tokens -= Self::ONE;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let mut rate = Rate::new(10);
        let start = Time::from_micros(5_000_000);
        assert_eq!((0..100).filter(|_| rate.take(start)).count(), 10);
        let later = start + Duration::from_millis(350);
        assert_eq!((0..100).filter(|_| rate.take(later)).count(), 3);
        let much_later = later + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| rate.take(much_later)).count(), 10);
    }
}
