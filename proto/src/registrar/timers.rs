//! The registrar's timers: one ordered set, and the other way round to set them anew.

use super::ElementKey;
use crate::Time;
use params::RegistrarId;
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done when a timer expires. Each is set at most once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next PRESENCE to all peers, and the next look at what is not connected.
    Heartbeat,
    /// A step of the start took too long, or the pause after a rejection is over.
    Startup,
    /// A peer was silent, did not answer, or its takeover by another registrar did not happen.
    Peer(RegistrarId),
    /// An arbitration begins, or lacks acknowledgements.
    Takeover(RegistrarId),
    /// The next claimed elements are to be told of their new home.
    Claims,
    /// A table that we load from a peer does not go on.
    Resynchronization(RegistrarId),
    /// A table that we serve was not asked for any more.
    TableSession,
    /// An owned element is to be probed, or its registration life ends.
    Element(ElementKey),
    /// A keep-alive was not acknowledged.
    Probe(ElementKey),
    /// Reports of unreachability are old enough to be forgotten.
    Reports(ElementKey),
    /// Associations did not end in order.
    Shutdown,
}

impl Timer {
    /// Its name in the RFCs, or ours.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Heartbeat => "PEER-HEARTBEAT-CYCLE",
            Self::Startup => "startup",
            Self::Peer(_) => "MAX-TIME-LAST-HEARD",
            Self::Takeover(_) => "takeover",
            Self::Claims => "claims",
            Self::Resynchronization(_) => "resynchronization",
            Self::TableSession => "table-session",
            Self::Element(_) => "keep-alive",
            Self::Probe(_) => "keep-alive-ack",
            Self::Reports(_) => "reports",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Timers by the time they expire.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Time, Timer)>,
    due: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets a timer, anew if it was set.
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        if let Some(before) = self.due.insert(timer.clone(), at) {
            self.queue.remove(&(before, timer.clone()));
        }
        self.queue.insert((at, timer));
    }

    /// Stops a timer, if it was set.
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.due.remove(timer) {
            self.queue.remove(&(at, timer.clone()));
        }
    }

    /// Stops all.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.due.clear();
    }

    /// When a timer expires, if it is set.
    pub(super) fn at(&self, timer: &Timer) -> Option<Time> {
        self.due.get(timer).copied()
    }

    /// The next one and its time.
    pub(super) fn next(&self) -> Option<(Time, &Timer)> {
        self.queue.first().map(|(at, timer)| (*at, timer))
    }

    /// Takes the next one that has expired.
    pub(super) fn pop(&mut self, now: Time) -> Option<Timer> {
        if self.queue.first()?.0 > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.due.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A timer that is set anew expires once, at its new time; timers of one instant in a fixed order.
    #[test]
    fn set_anew_and_pop_in_order() {
        let ms = |n| Time::ZERO + Duration::from_millis(n);
        let mut timers = Timers::default();
        timers.set(Timer::Startup, ms(5));
        timers.set(Timer::Heartbeat, ms(10));
        timers.set(Timer::Startup, ms(10));
        timers.set(Timer::Claims, ms(7));
        timers.cancel(&Timer::Claims);
        assert_eq!(timers.next(), Some((ms(10), &Timer::Heartbeat)));
        assert_eq!(timers.pop(ms(9)), None);
        assert_eq!(timers.pop(ms(10)), Some(Timer::Heartbeat));
        assert_eq!(timers.pop(ms(10)), Some(Timer::Startup));
        assert_eq!(timers.pop(Time::NEVER), None);
    }
}
