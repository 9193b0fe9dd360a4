//! Requests to the home registrar and their answers (RFC 5352 §3.7, ambiguities ).
//!
//! Nothing but type, pool handle and PE identifier links an answer to its request, so at most one of each is
//! outstanding. An expired timer sends it again and starts a hunt at the same time; a new home gets all
//! requests that are outstanding; each ends in an answer or an error after a bounded time.

use super::{AsapEndpoint, Event, Role, Timer};
use crate::{AssocId, PPID_ASAP, Time, Transmit};
use asap::Message;
use bytes::Bytes;
use params::RegistrarId;

/// Messages that may wait for a registrar's or pool user's association to take them.
const MAX_QUEUED_REPLIES: usize = 4096;

impl AsapEndpoint {
    /// Sends a message to the home registrar, if there is one.
    pub(super) fn ask(&mut self, message: &Message) {
        if let Some(assoc) = self.home.as_ref().map(|home| home.assoc) {
            self.tell(assoc, message);
        }
    }

    /// Sends an ASAP message on an association, unless too many wait there already.
    pub(super) fn tell(&mut self, assoc: AssocId, message: &Message) {
        match message.encode() {
            Ok(bytes) => self.tell_encoded(assoc, bytes),
            // What the application chose was checked by the command, so this is never somebody's request.
            Err(_) => self.counters.dropped_replies += 1,
        }
    }

    pub(super) fn tell_encoded(&mut self, assoc: AssocId, bytes: Bytes) {
        if self.outbox.len(assoc) >= MAX_QUEUED_REPLIES {
            self.counters.dropped_replies += 1;
            return;
        }
        let send = Transmit::Send { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes };
        self.outbox.push(assoc, send, 0);
    }

    /// There is a new home: everything outstanding goes there.
    pub(super) fn repeat_requests(&mut self, now: Time) {
        self.repeat_registrations(now);
        self.repeat_lookups(now);
        self.repeat_subscriptions(now);
        self.send_reports(now);
    }

    /// SEND.FAILURE for everything outstanding: the association is gone.
    pub(super) fn requests_failed(&mut self) {
        self.registrations_failed();
    }

    /// A message on a registrar's association.
    pub(super) fn registrar_message(&mut self, now: Time, assoc: AssocId, message: Message) {
        match message {
            Message::RegistrationResponse(response) => self.registration_response(now, assoc, response),
            Message::DeregistrationResponse(response) => self.deregistration_response(now, assoc, response),
            Message::HandleResolutionResponse(response) => self.resolution_response(now, assoc, response),
            Message::EndpointKeepAlive(keep_alive) => self.keep_alive(now, assoc, keep_alive),
            Message::Error(_) => self.counters.errors_received += 1,
            _ => self.counters.unexpected += 1,
        }
    }

    /// The home registrar has answered something: it is alive, no alternative is needed (ambiguity A-42).
    pub(super) fn answered(&mut self, assoc: AssocId) {
        if self.is_home(assoc) {
            if self.hunt.is_running() {
                self.may_seek_again();
            }
            self.end_hunt();
        }
    }

    /// The home registrar has told its identifier.
    pub(super) fn home_named(&mut self, id: RegistrarId) {
        if let Some(home) = &mut self.home
            && home.id != Some(id)
        {
            home.id = Some(id);
            self.events.push_back(Event::HomeChanged { home: id });
        }
    }

    /// Ends a registrar's association in order after what is queued for it, or at once if that takes longer than
    /// a deregistration may.
    pub(super) fn leave(&mut self, now: Time, assoc: AssocId) {
        self.associations.insert(assoc, Role::Leaving);
        self.timers.set(Timer::Leave(assoc), now + self.config.timers.t3_deregistration);
        self.outbox.push(assoc, Transmit::Shutdown { assoc }, 0);
    }

    /// Ends an association at once, and says how much credit its queue held.
    pub(super) fn abort_association(&mut self, assoc: AssocId, cause: &str) -> usize {
        self.associations.insert(assoc, Role::Leaving);
        self.outbox.push_immediate(Transmit::Abort { assoc, cause: cause.to_owned() });
        self.outbox.forget(assoc)
    }
}
