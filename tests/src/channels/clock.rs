//! The clock of a host, which goes a little too fast or too slowly.

use proto::Time;
use rand::{Rng, RngExt};
use std::time::Duration;

/// A clock. The default one is right.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// How many microseconds it goes too fast in a second.
    skew: i64,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    /// One that is wrong by so many millionths at most.
    pub(super) fn random(most: u32, rng: &mut impl Rng) -> Self {
        let most = i64::from(most);
        // Worlds whose clocks are right draw nothing here.
        Self { skew: if most == 0 { 0 } else { rng.random_range(-most..=most) } }
    }

    /// What it shows when it has gone for so long.
    pub(super) fn at(self, time: Time) -> Time {
        if self.skew == 0 {
            return time;
        }
        let right = i128::from(time.as_micros());
        let shown = right + right * i128::from(self.skew) / MILLION;
        Time::ZERO + Duration::from_micros(u64::try_from(shown).unwrap_or(0))
    }

    /// How long it takes to show so much more, at least.
    pub(super) fn lasts(self, shown: Duration) -> Duration {
        let shown = i128::try_from(shown.as_micros()).unwrap_or(i128::MAX / (2 * MILLION));
        let rate = MILLION + i128::from(self.skew);
        let right = (shown * MILLION + rate - 1) / rate;
        Duration::from_micros(u64::try_from(right).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_fast_clock_is_ahead_and_its_timers_end_early() {
        let fast = Clock { skew: 1000 };
        assert_eq!(fast.at(at(1000)), at(1001));
        assert_eq!(fast.lasts(Duration::from_secs(1001)), Duration::from_secs(1000));
    }

    #[test]
    fn a_slow_clock_is_behind_and_its_timers_end_late() {
        let slow = Clock { skew: -1000 };
        assert_eq!(slow.at(at(1000)), at(999));
        assert_eq!(slow.lasts(Duration::from_secs(999)), Duration::from_secs(1000));
        // Time passes even for the shortest timer.
        assert_eq!(slow.lasts(Duration::from_micros(1)), Duration::from_micros(2));
    }
}
