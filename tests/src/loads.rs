//! How often a registrar has lately loaded the tables of its peers anew, and what for.

use crate::network::HostId;
use params::RegistrarId;
use proto::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// What happened within [`Loads::WINDOW`].
#[derive(Debug, Default)]
pub struct Loads {
    loads: VecDeque<(Time, RegistrarId)>,
    meetings: VecDeque<(Time, HostId)>,
}

impl Loads {
    /// For how long something counts.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// A table was loaded.
    pub fn loaded(&mut self, now: Time, of: RegistrarId) {
        forget(&mut self.loads, now);
        forget(&mut self.meetings, now);
        self.loads.push_back((now, of));
    }

    /// An association to a peer is new, or begins anew: what was on its way before may be lost.
    pub fn met(&mut self, now: Time, peer: HostId) {
        forget(&mut self.meetings, now);
        self.meetings.push_back((now, peer));
    }

    /// How often that of a peer was loaded.
    pub fn of(&self, peer: RegistrarId) -> usize {
        self.loads.iter().filter(|(_, of)| *of == peer).count()
    }

    /// How often a peer was met; all, if nobody knows where it is.
    pub fn meetings(&self, peer: Option<HostId>) -> usize {
        self.meetings.iter().filter(|(_, met)| peer.is_none_or(|peer| *met == peer)).count()
    }
}

fn forget<T>(events: &mut VecDeque<(Time, T)>, now: Time) {
    while events.front().is_some_and(|(at, _)| *at + Loads::WINDOW < now) {
        events.pop_front();
    }
}
