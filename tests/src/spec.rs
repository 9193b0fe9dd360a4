//! What a run is made of: everything but the machines themselves, and small enough to print.

use net::memory::Link;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::fmt;
use std::time::Duration;

/// What joins the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// [`Channels`](crate::channels::Channels): whole associations.
    Channels,
    /// [`Datagrams`](crate::datagrams::Datagrams): the real SCTP endpoint over datagrams.
    Datagrams,
}

/// A run. The seed decides what the spec leaves open; the same spec makes the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Seed of everything random.
    pub seed: u64,
    /// What joins the hosts.
    pub wire: Wire,
    /// Registrars, at least one.
    pub registrars: u8,
    /// Hosts with an element.
    pub elements: u8,
    /// Hosts with sessions.
    pub users: u8,
    /// How long things go wrong.
    pub trouble: Duration,
    /// The mean time between two faults; `None`: nothing goes wrong.
    pub fault_every: Option<Duration>,
    /// Loss, delay and jitter while things go wrong.
    pub link: Link,
    /// Whether the death of a process shows at once (ICMP).
    pub icmp: bool,
    /// Of 1,000 connects, refused for no reason ([`Wire::Channels`] only).
    pub refused: u32,
    /// Bytes queued for an association when it is full ([`Wire::Channels`] only).
    pub send_queue: usize,
}

impl Spec {
    /// A run of any size, as the seed decides.
    pub fn random(seed: u64, wire: Wire) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let ms = Duration::from_millis;
        let bad = rng.random_bool(0.5);
        let link = Link {
            loss: if bad { rng.random_range(0..=100) } else { 0 },
            duplication: if bad { rng.random_range(0..=20) } else { 0 },
            delay: Duration::from_micros(rng.random_range(50..=2000)),
            jitter: if bad { ms(rng.random_range(0..=20)) } else { Duration::from_micros(100) },
        };
        let (most, trouble) = match wire {
            Wire::Channels => (12, 10..=25),
            // Packets cost more.
            Wire::Datagrams => (5, 8..=12),
        };
        Self {
            seed,
            wire,
            registrars: rng.random_range(1..=5),
            elements: rng.random_range(0..=most),
            users: rng.random_range(0..=most),
            trouble: Duration::from_secs(rng.random_range(trouble)),
            fault_every: rng.random_bool(0.9).then(|| ms(rng.random_range(150..=3000))),
            link,
            icmp: rng.random_bool(0.5),
            refused: if rng.random_bool(0.3) { 50 } else { 0 },
            send_queue: if rng.random_bool(0.3) { 2048 } else { 256 * 1024 },
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} ({self:?})", self.seed)
    }
}
