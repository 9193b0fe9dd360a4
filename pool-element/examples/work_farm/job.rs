//! What the farm works on: to count the primes of a range. Both sides write it as text.

#![allow(dead_code, reason = "the worker needs what the client does not, and the other way round")]

use anyhow::Context;
use std::fmt;
use std::str::FromStr;

/// How many numbers are looked at from one checkpoint to the next.
const SLICE: u64 = 20_000;

/// Count the primes from `from` to the number before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// How far a job has come: all numbers before `at` were looked at, and so many of them are prime. All that the next worker
/// has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) at: u64,
    pub(crate) primes: u64,
}

impl Job {
    pub(crate) fn begin(self) -> Checkpoint {
        Checkpoint { at: self.from, primes: 0 }
    }

    /// Does a part of the work, if there is any left.
    pub(crate) fn work(self, Checkpoint { at, primes }: Checkpoint) -> Checkpoint {
        let end = self.to.min(at + SLICE);
        let found = (at..end).filter(|number| is_prime(*number)).count();
        Checkpoint { at: end, primes: primes + found as u64 }
    }

    pub(crate) fn is_done(self, checkpoint: Checkpoint) -> bool {
        checkpoint.at >= self.to
    }

    /// How much of it is done, of 100.
    pub(crate) fn percent(self, checkpoint: Checkpoint) -> u64 {
        (checkpoint.at - self.from) * 100 / (self.to - self.from).max(1)
    }
}

fn is_prime(number: u64) -> bool {
    let divides = |divisor| number.is_multiple_of(divisor);
    number > 1 && !(2..=number.isqrt()).any(divides)
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.from, self.to)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.primes)
    }
}

impl FromStr for Job {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (from, to) = text.split_once(' ').context("a job is two numbers")?;
        Ok(Self { from: from.parse()?, to: to.parse()? })
    }
}

impl FromStr for Checkpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (at, primes) = text.split_once(' ').context("a checkpoint is two numbers")?;
        Ok(Self { at: at.parse()?, primes: primes.parse()? })
    }
}
