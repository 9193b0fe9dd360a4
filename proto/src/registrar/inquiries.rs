//! Elements that are asked in their turn, as the budget of probes allows (design D7).
//!
//! There may be very many at a time: a registrar has died, a network that was cut is whole again, a host was started anew, many
//! clients report. None of that may become a burst. The budget is shared by all [reasons](Why), which take turns, so none
//! of them waits for the end of another. (Beside it there are the keep-alives that are due, which have the same budget
//! once more, and those that a registration waits for.)

use super::timers::Timer;
use super::{ElementKey, Registrar};
use crate::Time;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// About how long a share of the budget lasts.
const PACE: Duration = Duration::from_millis(10);

/// Why an element is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is ours and does not know it yet.
    Claimed,
    /// The same, unless another registrar claims it within MAX-TIME-NO-RESPONSE.
    Yielded,
    /// A peer wants it removed, or its association was started anew.
    Doubted,
    /// Clients cannot reach it.
    Reported,
}

impl Why {
    const ALL: [Self; 4] = [Self::Claimed, Self::Yielded, Self::Doubted, Self::Reported];
}

/// Those that wait for one reason, each once, the first first.
#[derive(Debug, Default)]
struct Queue {
    /// With the time before which it is not asked.
    order: VecDeque<(Time, ElementKey)>,
    waiting: BTreeSet<ElementKey>,
}

impl Queue {
    fn pop(&mut self, now: Time) -> Option<ElementKey> {
        if self.order.front()?.0 > now {
            return None;
        }
        let (_, key) = self.order.pop_front()?;
        self.waiting.remove(&key);
        Some(key)
    }
}

/// The elements that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    queues: [Queue; Why::ALL.len()],
    /// Whose turn it is.
    turn: usize,
    /// When the present share of the budget ends, and what was spent of it.
    until: Time,
    spent: usize,
}

impl Inquiries {
    /// How many wait for this reason.
    pub(super) fn count(&self, why: Why) -> usize {
        self.queues[why as usize].order.len()
    }

    fn push(&mut self, not_before: Time, key: ElementKey, why: Why) {
        let queue = &mut self.queues[why as usize];
        if queue.waiting.insert(key.clone()) {
            queue.order.push_back((not_before, key));
        }
    }

    fn pop(&mut self, now: Time) -> Option<(ElementKey, Why)> {
        for _ in Why::ALL {
            let why = Why::ALL[self.turn];
            self.turn = (self.turn + 1) % Why::ALL.len();
            if let Some(key) = self.queues[why as usize].pop(now) {
                return Some((key, why));
            }
        }
        None
    }

    /// When the next one may be asked.
    fn next(&self) -> Option<Time> {
        self.queues.iter().filter_map(|queue| queue.order.front()).map(|(not_before, _)| *not_before).min()
    }
}

impl Registrar {
    /// Asks an element when it is its turn: at once, if the budget is not spent and there is doubt (RFC 5352 §3.5).
    pub(super) fn inquire(&mut self, now: Time, key: ElementKey, why: Why) {
        let not_before = match why {
            Why::Yielded => now + self.config.timers.max_time_no_response,
            _ => now,
        };
        self.inquiries.push(not_before, key, why);
        match why {
            Why::Claimed | Why::Yielded => self.schedule_inquiries(now),
            Why::Doubted | Why::Reported => self.inquire_next(now),
        }
    }

    /// Asks those whose turn it is, as many as the budget of probes allows.
    pub(super) fn inquire_next(&mut self, now: Time) {
        let (share, lasts) = self.share_of_probes();
        if self.inquiries.until <= now {
            self.inquiries.until = now + lasts;
            self.inquiries.spent = 0;
        }
        while self.inquiries.spent < share {
            let Some((key, why)) = self.inquiries.pop(now) else { break };
            self.inquiries.spent += usize::from(self.ask(now, key, why));
        }
        self.schedule_inquiries(now);
    }

    /// Asks an element, unless the reason has gone; whether it did.
    fn ask(&mut self, now: Time, key: ElementKey, why: Why) -> bool {
        let claimed = self.owned.get(&key).is_some_and(|owned| owned.claimed);
        let asked = match why {
            Why::Claimed | Why::Yielded => claimed,
            // It may have moved to another home, which looks for it.
            Why::Doubted => self.owned.contains(&key),
            // A registration makes reports void.
            Why::Reported => self.reports.contains_key(&key) && self.answers_us(&key),
        };
        match asked && claimed {
            true => self.claim(now, key),
            false if asked => self.probe(now, key),
            false => {}
        }
        asked
    }

    /// How many are asked at a time, and how long such a share of the budget lasts.
    fn share_of_probes(&self) -> (usize, Duration) {
        let budget = f64::from(self.config.limits.probes_per_second);
        let share = (budget * PACE.as_secs_f64()).floor().max(1.0);
        (share as usize, Duration::from_secs_f64(share / budget))
    }

    fn schedule_inquiries(&mut self, now: Time) {
        let Some(next) = self.inquiries.next() else { return };
        let Inquiries { until, spent, .. } = self.inquiries;
        let exhausted = until > now && spent >= self.share_of_probes().0;
        let at = next.max(if exhausted { until } else { now });
        if self.timers.at(&Timer::Inquiries).is_none_or(|set| at < set) {
            self.timers.set(Timer::Inquiries, at);
        }
    }
}
