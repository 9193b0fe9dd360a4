//! How datagrams fare.

use super::below;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Loss, delay, reordering and duplication of every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Lost, of 1,000 datagrams.
    pub loss: u32,
    /// Duplicated, of 1,000 datagrams.
    pub duplication: u32,
    /// The shortest delay.
    pub delay: Duration,
    /// What is added to it at random for each datagram: where it is more than the gap between two datagrams they
    /// may overtake each other.
    pub jitter: Duration,
}

impl Link {
    /// A quiet local network: 100 µs, nothing is lost.
    pub const fn perfect() -> Self {
        Self { loss: 0, duplication: 0, delay: Duration::from_micros(100), jitter: Duration::ZERO }
    }

    /// A bad day: 5 % loss, 2 % duplication, up to 5 ms of reordering.
    pub const fn rough() -> Self {
        Self {
            loss: 50,
            duplication: 20,
            delay: Duration::from_micros(200),
            jitter: Duration::from_millis(5),
        }
    }

    /// After how long a datagram arrives: once, twice or never.
    pub(super) fn arrivals(&self, rng: &mut ChaCha8Rng) -> [Option<Duration>; 2] {
        let lost = below(rng, 1000) < u64::from(self.loss);
        let twice = below(rng, 1000) < u64::from(self.duplication);
        let first = self.one_delay(rng);
        let second = self.one_delay(rng);
        [(!lost).then_some(first), (!lost && twice).then_some(second)]
    }

    fn one_delay(&self, rng: &mut ChaCha8Rng) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        self.delay + Duration::from_micros(below(rng, jitter.saturating_add(1)))
    }
}
