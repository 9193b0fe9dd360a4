//! Associations over which nothing ever came (ambiguity A-43).
//!
//! They are tolerated: a hunt leaves some behind, and a client may connect before it has anything to ask. Only when there is
//! hardly any room left for others do the oldest of them go, so whoever opens associations and says nothing locks nobody
//! out.

use super::Registrar;
use super::association::{Association, Phase};
use super::timers::Timer;
use crate::{AssocId, Channel, Time};
use std::time::Duration;

/// How long whoever connects may take to say something. A client that has a request sends it at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// The part of the room for associations that is kept free of mute ones.
const RESERVE: usize = 8;
/// How the association of such a client ends.
const MUTE: &str = "room is needed for others, and nothing came over it";

impl Registrar {
    /// How many associations of a channel there are in the room that is to be kept free.
    fn in_reserve(&self, channel: Channel) -> usize {
        let limit = self.config.limits.associations;
        (self.associations.count(channel) + 1).saturating_sub(limit - limit / RESERVE)
    }

    /// A peer has started an association: there may be too little room for the next.
    pub(super) fn watch_mute(&mut self, now: Time, channel: Channel) {
        let timer = Timer::Mute(channel);
        if self.in_reserve(channel) == 0 || self.timers.at(&timer).is_some() {
            return;
        }
        let oldest = self.associations.mute(channel).next().map(|(_, association)| association.last_heard);
        if let Some(oldest) = oldest {
            self.timers.set(timer, now.max(oldest + PATIENCE));
        }
    }

    /// The oldest mute associations go, as many as are needed to keep the reserve.
    pub(super) fn make_room(&mut self, now: Time, channel: Channel) {
        let needed = self.in_reserve(channel);
        if needed == 0 {
            return;
        }
        let is_old = |association: &Association| association.last_heard + PATIENCE <= now;
        // One over which an element is asked is of use.
        let useless =
            |association: &Association| association.phase == Phase::Up && association.elements.is_empty();
        let mute = || self.associations.mute(channel);
        let old: Vec<AssocId> = mute()
            .take_while(|(_, mute)| is_old(mute))
            .filter(|(_, mute)| useless(mute))
            .map(|(assoc, _)| assoc)
            .take(needed)
            .collect();
        if old.len() < needed {
            let next = mute().find(|(_, mute)| !is_old(mute)).map(|(_, mute)| mute.last_heard + PATIENCE);
            if let Some(next) = next {
                self.timers.set(Timer::Mute(channel), next);
            }
        }
        for assoc in old {
            self.counters.mute_associations_aborted += 1;
            self.abort(assoc, MUTE);
        }
    }
}
