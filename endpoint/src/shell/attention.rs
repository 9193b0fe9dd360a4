//! Work that tasks leave for the endpoint's thread.

use crate::SessionId;
use params::PoolHandle;
use proto::endpoint::ElementId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the endpoint's thread shall look at: each session and element at most once, however often it asks.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    waiting: Mutex<Attending>,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Attending {
    pub(super) sessions: BTreeSet<SessionId>,
    /// Elements that their owners let go.
    pub(super) elements: BTreeMap<ElementId, Leave>,
    /// Pools that somebody watches no more.
    pub(super) pools: BTreeSet<PoolHandle>,
}

/// How an element leaves its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Its sessions go on.
    Alone,
    /// Its sessions have so long to end.
    Drain(Duration),
}

impl Attention {
    fn waiting(&self) -> MutexGuard<'_, Attending> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that waits; nothing does after that.
    pub(super) fn take(&self) -> Attending {
        std::mem::take(&mut *self.waiting())
    }

    /// Returns whether nothing was waiting: then the thread has to be woken.
    pub(crate) fn session(&self, id: SessionId) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.sessions.insert(id);
        first
    }

    /// As [`Attention::session`], for an element to let go: what was said first counts.
    pub(crate) fn element(&self, id: ElementId, leave: Leave) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.elements.entry(id).or_insert(leave);
        first
    }

    /// As [`Attention::session`], for a pool that is watched.
    pub(crate) fn pool(&self, pool: &PoolHandle) -> bool {
        let mut waiting = self.waiting();
        let first = waiting.is_empty();
        waiting.pools.insert(pool.clone());
        first
    }
}

impl Attending {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.elements.is_empty() && self.pools.is_empty()
    }
}
