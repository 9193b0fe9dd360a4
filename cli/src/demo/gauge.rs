//! How long the clients noticed a fault.

use serde::Serialize;
use std::time::Duration;

/// Gaps of one kind of fault.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge(Vec<Duration>);

/// What is printed of a [`Gauge`]: milliseconds; `null` when nothing was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Gaps {
    /// How many gaps were measured.
    pub(super) count: usize,
    pub(super) median: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Gauge {
    pub(super) fn add(&mut self, gap: Duration) {
        self.0.push(gap);
    }

    pub(super) fn gaps(&self) -> Gaps {
        let mut sorted = self.0.clone();
        sorted.sort();
        let milliseconds = |gap: &Duration| (gap.as_secs_f64() * 10_000.0).round() / 10.0;
        Gaps {
            count: sorted.len(),
            median: sorted.get(sorted.len() / 2).map(milliseconds),
            max: sorted.last().map(milliseconds),
        }
    }
}

impl std::fmt::Display for Gaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.median, self.max) {
            (Some(median), Some(max)) => {
                write!(f, "median {median:6.1} ms, max {max:6.1} ms ({} seen)", self.count)
            }
            _ => write!(f, "not seen"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_maximum_are_in_milliseconds() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.gaps().median, None);
        for ms in [30, 10, 20] {
            gauge.add(Duration::from_millis(ms));
        }
        let gaps = gauge.gaps();
        assert_eq!((gaps.count, gaps.median, gaps.max), (3, Some(20.0), Some(30.0)));
    }
}
