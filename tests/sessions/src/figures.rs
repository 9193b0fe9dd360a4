//! How long things took.

use std::fmt;
use std::time::Duration;

/// Times of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// So many percent took no longer; zero if there were none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1e3);
        write!(f, "{:8}  p50 {p50:8.2} ms  p99 {p99:8.2} ms  max {max:8.2} ms", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_time_that_so_many_did_not_exceed() {
        let mut times = Times::default();
        assert_eq!(times.percentile(99), Duration::ZERO);
        for ms in (1..=200).rev() {
            times.add(Duration::from_millis(ms));
        }
        let [p50, p99, max] = [50, 99, 100].map(|percent| times.percentile(percent).as_millis());
        assert_eq!((p50, p99, max), (100, 198, 200));
    }
}
