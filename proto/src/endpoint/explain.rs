//! Why an element is chosen or avoided: what this endpoint knows of a pool, for people.

use super::AsapEndpoint;
use crate::Time;
use params::{PeIdentifier, Policy, PoolHandle};
use std::fmt;
use std::time::Duration;

/// What an endpoint knows of a pool. `Display` tells it in words, one element a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The pool's policy: it decides among the elements that are in good standing.
    pub policy: Policy,
    /// For how long this is used without asking again; zero if it is stale.
    pub fresh_for: Duration,
    /// Whether the registrar tells of changes.
    pub subscribed: bool,
    /// The element that was chosen last.
    pub last_choice: Option<PeIdentifier>,
    /// The elements in the registrar's order, with what this endpoint thinks of each.
    pub elements: Vec<(PeIdentifier, Standing)>,
}

/// What an endpoint thinks of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nothing is known against it.
    Good,
    /// It failed, and is chosen only when there is nothing better.
    Avoided {
        /// How often, in a row.
        failures: u32,
        /// For how long yet.
        remaining: Duration,
    },
    /// It failed, and is chosen all the same: its pause is over, not enough failures, or too much of the pool would be avoided.
    Tolerated {
        /// How often, in a row.
        failures: u32,
    },
    /// It failed while nothing else was heard, so the fault may be on this side.
    Doubtful,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good => f.write_str("nothing is known against it"),
            Self::Avoided { failures, remaining } => {
                write!(f, "avoided for another {remaining:?}: it failed {failures} times in a row")
            }
            Self::Tolerated { failures } => {
                write!(f, "chosen all the same, though it failed {failures} times in a row")
            }
            Self::Doubtful => {
                f.write_str("it failed while nothing else could be heard: perhaps not its fault")
            }
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, fresh_for, subscribed, last_choice, elements } = self;
        let changes = if *subscribed { "told by the registrar" } else { "not told" };
        writeln!(f, "policy {policy:?}; fresh for {fresh_for:?}; changes are {changes}")?;
        for (id, standing) in elements {
            let last = if *last_choice == Some(*id) { ", chosen last" } else { "" };
            writeln!(f, "{id}: {standing}{last}")?;
        }
        Ok(())
    }
}

impl AsapEndpoint {
    /// What is known of a pool; nothing if it was not resolved here lately. Asks nobody, changes nothing.
    pub fn explain(&self, now: Time, handle: &PoolHandle) -> Option<Explanation> {
        let mut explanation = self.cache.explain(now, handle)?;
        explanation.subscribed = self.subscribed.contains(handle);
        for (id, standing) in &mut explanation.elements {
            if self.doubtful.get(&(handle.clone(), *id)).is_some_and(|until| now < *until) {
                *standing = Standing::Doubtful;
            }
        }
        Some(explanation)
    }
}
