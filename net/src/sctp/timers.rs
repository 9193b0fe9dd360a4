//! When each association is to be woken.

use proto::{AssocId, Time};
use std::collections::BTreeSet;

/// At most one entry per association, ordered by time.
///
/// An entry may be earlier than the association needs (a timer that was put off stays where it is and is set
/// again when it fires): so most packets touch nothing here.
#[derive(Debug, Default)]
pub(super) struct Timers {
    entries: BTreeSet<(Time, AssocId)>,
}

impl Timers {
    /// Makes sure that `assoc` is woken at `due` or before; `armed` is what is set for it now.
    pub(super) fn arm(&mut self, assoc: AssocId, armed: &mut Option<Time>, due: Option<Time>) {
        let Some(due) = due else { return };
        match *armed {
            Some(earlier) if earlier <= due => return,
            Some(later) => {
                self.entries.remove(&(later, assoc));
            }
            None => {}
        }
        self.entries.insert((due, assoc));
        *armed = Some(due);
    }

    pub(super) fn disarm(&mut self, assoc: AssocId, armed: &mut Option<Time>) {
        if let Some(time) = armed.take() {
            self.entries.remove(&(time, assoc));
        }
    }

    /// The next association whose time has come. Its entry is gone then.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<AssocId> {
        let (time, _) = *self.entries.first()?;
        if time > now {
            return None;
        }
        self.entries.pop_first().map(|(_, assoc)| assoc)
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.entries.first().map(|(time, _)| *time)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
