//! Leaving the scope in order, within what RFC 5353 and RFC 5352 have.
//!
//! 1. The ENRP associations end in order. Each peer connects again at once and is refused: that is how it knows that
//!    this registrar has not only let go of an association, but serves no more. The takeover begins without a timeout.
//! 2. The associations of elements stay, and resolutions are answered, until the new home has claimed the elements (keep-
//!    alive with H bit): they let go by themselves, and none of them is without a home in between. What else they ask for
//!    stays without an answer, and goes to another registrar.
//! 3. When all have gone, or after a while, the other associations end in order.
//!
//! Without a peer nobody would claim the elements, and everything ends at once. The elements stay registered.

use super::association::Association;
use super::timers::Timer;
use super::{Registrar, State};
use crate::{AssocId, Channel, Time};
use asap::Message;
use std::time::Duration;

/// How many times MAX-TIME-NO-RESPONSE the elements may take to go, beside the time that it takes to claim them all, and then the
/// associations to end.
const PATIENCE: u32 = 4;

impl Registrar {
    /// Takes leave: peers take over the elements at once, and then all associations end in order.
    /// [`Registrar::is_drained`] says when.
    pub fn shutdown(&mut self, now: Time) {
        if !self.is_serving() {
            return;
        }
        let peers = !self.connected_peers().is_empty();
        self.state = State::Stopping;
        self.timers.clear();
        self.owned.pause();
        self.waiting_for = match peers {
            true => self.associations.iter().filter(|(_, association)| is_of_element(association)).count(),
            false => 0,
        };
        if self.waiting_for == 0 {
            return self.end_associations(now);
        }
        for assoc in self.associations.of(Channel::Enrp) {
            self.associations.shutdown(assoc);
        }
        let claims = self.owned.len() as f64 / f64::from(self.config.limits.probes_per_second);
        let patience = self.config.timers.max_time_no_response * PATIENCE + Duration::from_secs_f64(claims);
        self.timers.set(Timer::Shutdown, now + patience);
    }

    /// Whether a [`Registrar::shutdown`] is complete.
    pub fn is_drained(&self) -> bool {
        self.state == State::Stopped
    }

    /// Whether it is there for others.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    /// A message while it takes leave.
    pub(super) fn message_in_leaving(&mut self, assoc: AssocId, bytes: &[u8]) {
        let asap =
            self.associations.get(assoc).is_some_and(|association| association.channel == Channel::Asap);
        if self.waiting_for > 0
            && asap
            && let Ok(Message::HandleResolution(mut request)) = asap::decode(bytes).message
        {
            request.subscribe = false;
            self.resolution_received(assoc, request);
        }
    }

    /// An association has ended while it takes leave.
    pub(super) fn down_in_leaving(&mut self, now: Time, association: &Association) {
        if self.waiting_for > 0 && is_of_element(association) {
            self.waiting_for -= 1;
            if self.waiting_for == 0 {
                self.end_associations(now);
            }
        }
        self.check_drained();
    }

    /// The elements took too long, or the associations.
    pub(super) fn shutdown_timeout(&mut self, now: Time) {
        if std::mem::take(&mut self.waiting_for) > 0 {
            return self.end_associations(now);
        }
        for assoc in self.associations.ids() {
            self.associations.drop_now(assoc);
        }
        self.check_drained();
    }

    fn end_associations(&mut self, now: Time) {
        self.timers.set(Timer::Shutdown, now + self.config.timers.max_time_no_response * PATIENCE);
        for assoc in self.associations.ids() {
            self.associations.shutdown(assoc);
        }
        self.check_drained();
    }

    fn check_drained(&mut self) {
        if self.state == State::Stopping && self.associations.is_empty() {
            self.state = State::Stopped;
            self.timers.clear();
        }
    }
}

/// Whether elements are reached over it.
fn is_of_element(association: &Association) -> bool {
    association.channel == Channel::Asap && !association.elements.is_empty()
}
