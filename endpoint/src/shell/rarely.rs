//! Warnings that others can cause as often as they like.

use proto::Time;
use std::time::Duration;

/// At most one of a kind in this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one warning of a kind through now and then, and counts the others.
#[derive(Debug, Default)]
pub(super) struct Rarely {
    next: Time,
    suppressed: u64,
}

impl Rarely {
    /// Whether to warn now, and if so, how many times that was not done since the last one.
    pub(super) fn warn(&mut self, now: Time) -> Option<u64> {
        if now < self.next {
            self.suppressed += 1;
            return None;
        }
        self.next = now + INTERVAL;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_once_a_second_and_says_how_many_did_not() {
        let mut rarely = Rarely::default();
        let start = Time::ZERO + Duration::from_secs(5);
        assert_eq!(rarely.warn(start), Some(0));
        for millis in [0, 500, 999] {
            assert_eq!(rarely.warn(start + Duration::from_millis(millis)), None);
        }
        assert_eq!(rarely.warn(start + INTERVAL), Some(3));
        assert_eq!(rarely.warn(start + INTERVAL), None);
    }
}
