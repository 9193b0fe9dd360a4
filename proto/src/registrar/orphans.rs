//! Elements of a registrar that we never heard: they came from somebody else's table (design D4).

use super::Registrar;
use crate::Time;
use enrp::{Body, ListRequest};
use params::RegistrarId;

/// How many times MAX-TIME-LAST-HEARD the home of an element may stay unknown.
const PATIENCE: u32 = 3;

/// The home of elements that is no peer of ours.
#[derive(Debug)]
pub(super) struct Orphaned {
    /// Since when nobody has said that it lives, or takes it over.
    since: Time,
    /// A peer has said that it hears it.
    listed: bool,
    /// When all peers were asked whether they hear it.
    asked: Option<Time>,
}

impl Orphaned {
    fn new(now: Time, listed: bool) -> Self {
        Self { since: now, listed, asked: None }
    }
}

impl Registrar {
    /// If a home stays unknown nobody may be left who knows that it died: it is taken over like any other. Before that
    /// all peers are asked whether they hear it, for each of them is asked only now and then.
    pub(super) fn adopt_orphans(&mut self, now: Time) {
        let known = |id: &RegistrarId| *id == self.id || self.peers.contains_key(id);
        let orphans: Vec<RegistrarId> = self.handlespace.homes().filter(|id| !known(id)).collect();
        self.orphaned.retain(|id, _| orphans.contains(id));
        let patience = self.config.timers.max_time_last_heard * PATIENCE;
        let answer = self.config.timers.max_time_no_response;
        let mut asks = false;
        for id in orphans {
            let orphaned = self.orphaned.entry(id).or_insert(Orphaned::new(now, false));
            match orphaned.asked {
                Some(asked) if asked + answer <= now => {
                    orphaned.listed = false;
                    self.take_over(now, id);
                }
                None if orphaned.since + patience <= now => {
                    orphaned.asked = Some(now);
                    asks = true;
                }
                _ => {}
            }
        }
        if asks {
            for (id, assoc) in self.connected_peers() {
                self.send_enrp(assoc, id, Body::ListRequest(ListRequest));
            }
        }
    }

    /// A peer lists this registrar, so it hears it: even if we cannot reach it, its elements are no orphans.
    pub(super) fn listed_by_peer(&mut self, now: Time, id: RegistrarId) {
        if id != self.id && !self.peers.contains_key(&id) && self.elements_of(id) > 0 {
            self.orphaned.insert(id, Orphaned::new(now, true));
        }
    }

    /// Another registrar takes an unknown one over.
    pub(super) fn orphans_are_taken_over(&mut self, now: Time, home: RegistrarId) {
        if let Some(orphaned) = self.orphaned.get_mut(&home) {
            *orphaned = Orphaned::new(now, false);
        }
    }

    /// Whether nobody says of a home that we do not hear that it lives.
    pub(super) fn is_heard_by_nobody(&self, home: RegistrarId) -> bool {
        home != self.id
            && !self.peers.contains_key(&home)
            && self.orphaned.get(&home).is_none_or(|orphaned| !orphaned.listed)
    }
}
