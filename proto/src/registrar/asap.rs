//! ASAP messages in and out: who may send what to a registrar (RFC 5352 §4), and in which order it is answered.

use super::overload::Work;
use super::{ElementKey, Registrar};
use crate::{AssocId, Time};
use ::asap::Message;
use bytes::Bytes;
use params::{CauseCode, EncodeError};
use std::collections::VecDeque;

/// Requests that may wait behind one that waits; a client with more of them does not read its answers.
const PARKED: usize = 64;
/// How the association of such a client ends.
const TOO_MANY: &str = "too many requests";

/// What waits for its turn on an association whose requests are answered in order (ambiguity A-48).
#[derive(Debug)]
pub(super) enum Parked {
    /// A request.
    Request(Message),
    /// The answer to one that could not be read.
    Reply(Bytes),
}

impl Registrar {
    /// A message on an ASAP association.
    pub(super) fn asap_received(&mut self, now: Time, assoc: AssocId, bytes: &[u8]) {
        let decoded = ::asap::decode(bytes);
        match decoded.message {
            Ok(message) => self.asap_message_received(now, assoc, message),
            Err(_) => self.counters.malformed_messages += 1,
        }
        if let Some(reply) = decoded.reply {
            match self.parked(assoc) {
                Some(parked) if parked.len() < PARKED => parked.push_back(Parked::Reply(reply)),
                Some(_) => self.abort(assoc, TOO_MANY),
                None => self.associations.send(assoc, reply, None),
            }
        }
    }

    fn asap_message_received(&mut self, now: Time, assoc: AssocId, message: Message) {
        match message {
            Message::Registration(_) | Message::Deregistration(_) | Message::HandleResolution(_) => {
                match self.parked(assoc) {
                    Some(parked) if parked.len() < PARKED => parked.push_back(Parked::Request(message)),
                    Some(_) => self.abort(assoc, TOO_MANY),
                    None => self.request_received(now, assoc, message),
                }
            }
            Message::EndpointKeepAliveAck(ack) => self.keep_alive_ack_received(now, assoc, ack),
            Message::EndpointUnreachable(_) if self.sheds(now, Work::Report) => {}
            Message::EndpointUnreachable(report) => self.report_received(now, assoc, report),
            Message::Error(_) => self.counters.asap_errors_received += 1,
            Message::RegistrationResponse(_)
            | Message::DeregistrationResponse(_)
            | Message::HandleResolutionResponse(_)
            | Message::EndpointKeepAlive(_)
            | Message::ServerAnnounce(_)
            | Message::Cookie(_)
            | Message::CookieEcho(_)
            | Message::BusinessCard(_) => self.counters.unexpected_messages += 1,
        }
    }

    fn request_received(&mut self, now: Time, assoc: AssocId, request: Message) {
        match request {
            Message::Registration(request) => {
                if self.sheds(now, Work::Registration) {
                    return self.registration_shed(assoc, &request);
                }
                self.registration_received(now, assoc, request);
            }
            Message::Deregistration(request) => self.deregistration_received(now, assoc, request),
            Message::HandleResolution(request) => {
                if self.sheds(now, Work::Resolution) {
                    return self.resolution_shed(assoc, request);
                }
                self.resolution_received(assoc, request);
            }
            _ => self.counters.unexpected_messages += 1,
        }
    }

    fn parked(&mut self, assoc: AssocId) -> Option<&mut VecDeque<Parked>> {
        self.associations.get_mut(assoc)?.parked.as_mut()
    }

    /// Puts off the answer to a registration; whatever comes over its association waits behind it.
    pub(super) fn park(&mut self, assoc: AssocId, registration: Message) {
        if let Some(association) = self.associations.get_mut(assoc) {
            association.parked = Some(VecDeque::from([Parked::Request(registration)]));
        }
    }

    /// It is known whether the identifier that a parked registration wants belongs to an element that lives.
    pub(super) fn unpark(&mut self, now: Time, assoc: AssocId, key: &ElementKey, alive: bool) {
        let parked = self.associations.get_mut(assoc).and_then(|association| association.parked.take());
        let Some(mut parked) = parked else { return };
        if alive {
            parked.pop_front();
            self.registration_rejected(assoc, key, CauseCode::NON_UNIQUE_PE_IDENTIFIER.into());
        }
        while let Some(next) = parked.pop_front() {
            match next {
                Parked::Request(request) => self.request_received(now, assoc, request),
                Parked::Reply(reply) => self.associations.send(assoc, reply, None),
            }
            if let Some(again) = self.parked(assoc) {
                again.append(&mut parked);
                return;
            }
        }
    }

    /// Sends a message to an element or a client.
    pub(super) fn send_asap(&mut self, assoc: AssocId, message: &Message) {
        self.send_encoded(assoc, message.encode());
    }

    /// Sends what was to be encoded.
    pub(super) fn send_encoded(&mut self, assoc: AssocId, message: Result<Bytes, EncodeError>) {
        match message {
            Ok(bytes) => self.associations.send(assoc, bytes, None),
            Err(_) => self.counters.send_failures += 1,
        }
    }
}
