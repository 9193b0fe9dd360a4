//! A token bucket: so many at once, so many a second.

use crate::Time;

/// Thousandths of a token.
const ONE: u64 = 1000;

#[derive(Debug)]
pub(super) struct Bucket {
    level: u64,
    most: u64,
    per_second: u64,
    at: Time,
}

impl Bucket {
    /// A full bucket for at most so many tokens.
    pub(super) fn new(now: Time, per_second: u32, most: u32) -> Self {
        let most = u64::from(most) * ONE;
        Self { level: most, most, per_second: per_second.into(), at: now }
    }

    /// Adds so many thousandths of a token.
    pub(super) fn add(&mut self, thousandths: u64) {
        self.level = (self.level + thousandths).min(self.most);
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        // What is less than a millisecond counts the next time.
        self.at += std::time::Duration::from_millis(elapsed);
        self.add(elapsed.saturating_mul(self.per_second).min(self.most));
        let taken = self.level >= ONE;
        if taken {
            self.level -= ONE;
        }
        taken
    }
}
