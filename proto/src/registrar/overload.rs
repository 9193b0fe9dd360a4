//! Overload: what is shed first when more arrives than can be handled (design D11).
//!
//! The driver says how many packets it has read since it last found the sockets empty ([`Input::Backlog`]): all that
//! waits is that late. The more they are, the more kinds of work are shed, those first whose loss costs the scope least:
//!
//! | from | shed | what becomes of it |
//! |---|---|---|
//! | 1 × [`Limits::backlog`] | resolutions | no answer: T1 repeats the request and tries other registrars. rsplib's clients take the next answer for a missing one, so they get what rsplib's own registrars say then: unknown pool handle |
//! | 2 × | reports | nothing; who cannot reach the element either reports it again |
//! | 4 × | registrations | new ones are rejected with "lack of resources" (RFC 5352 §3.1, rule 5); a renewal gets no answer, since the element stays registered as it is: T2 repeats it |
//! | 8 × | tables | rejected (RFC 5353 §3.2.3) |
//!
//! Deregistrations, acknowledgements of keep-alives and everything else of ENRP are never shed: they are cheap, and
//! without them elements or registrars would be taken for dead.
//!
//! [`Input::Backlog`]: crate::Input::Backlog
//! [`Limits::backlog`]: super::Limits::backlog

use super::timers::Timer;
use super::{Event, Registrar};
use crate::Time;
use std::time::Duration;

/// Less than that between two overloads, and they are one.
const CALM: Duration = Duration::from_secs(1);

/// What can be shed, the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Resolution,
    Report,
    Registration,
    Table,
}

/// How much is waiting, and since when that is too much.
#[derive(Debug, Default)]
pub(super) struct Overload {
    packets: usize,
    since: Option<Time>,
    shed: u64,
}

impl Registrar {
    /// The driver has read so many packets since the sockets were last empty.
    pub(super) fn backlog_changed(&mut self, now: Time, packets: usize) {
        self.overload.packets = packets;
        if self.overload.since.is_some() && packets < self.config.limits.backlog {
            if self.timers.at(&Timer::Overload).is_none() {
                self.timers.set(Timer::Overload, now + CALM);
            }
        } else {
            self.timers.cancel(&Timer::Overload);
        }
    }

    /// Whether there is no time for this work. It is counted as shed then.
    pub(super) fn sheds(&mut self, now: Time, work: Work) -> bool {
        let limit = self.config.limits.backlog.saturating_mul(1 << work as usize);
        if self.overload.packets < limit {
            return false;
        }
        let counters = &mut self.counters;
        *match work {
            Work::Resolution => &mut counters.resolutions_shed,
            Work::Report => &mut counters.reports_shed,
            Work::Registration => &mut counters.registrations_shed,
            Work::Table => &mut counters.table_requests_shed,
        } += 1;
        self.overload.shed += 1;
        if self.overload.since.is_none() {
            self.overload.since = Some(now);
            counters.overloads += 1;
            self.events.push_back(Event::OverloadBegan { packets: self.overload.packets });
        }
        true
    }

    /// It has been calm for a while.
    pub(super) fn overload_ended(&mut self, now: Time) {
        let Some(since) = self.overload.since.take() else { return };
        let shed = std::mem::take(&mut self.overload.shed);
        self.events.push_back(Event::OverloadEnded { shed, lasted: now.since(since) });
    }
}
