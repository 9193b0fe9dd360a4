//! ASAP messages in and out: who may send what to a registrar (RFC 5352 §4), and in which order it is answered.

use super::overload::Work;
use super::parking::{Parked, Parking};
use super::registrars::is_registrar_pool;
use super::{ElementKey, Registrar};
use crate::{AssocId, Time};
use ::asap::Message;
use bytes::Bytes;
use params::{CauseCode, EncodeError};

/// How the association of a client ends for which too much is parked.
const TOO_MANY: &str = "too many requests";

impl Registrar {
    /// A message on an ASAP association.
    pub(super) fn asap_received(&mut self, now: Time, assoc: AssocId, bytes: &[u8]) {
        let decoded = ::asap::decode(bytes);
        match decoded.message {
            Ok(message) => self.asap_message_received(now, assoc, message, bytes.len()),
            Err(_) => self.counters.malformed_messages += 1,
        }
        if let Some(reply) = decoded.reply {
            match self.parked(assoc) {
                Some(parking) => {
                    let length = reply.len();
                    if !parking.push(Parked::Reply(reply), length) {
                        self.abort(assoc, TOO_MANY);
                    }
                }
                None => self.associations.send(assoc, reply, None),
            }
        }
    }

    fn asap_message_received(&mut self, now: Time, assoc: AssocId, message: Message, length: usize) {
        match message {
            Message::Registration(_) | Message::Deregistration(_) | Message::HandleResolution(_) => {
                match self.parked(assoc) {
                    Some(_) => self.request_parked(now, assoc, message, length),
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

    fn parked(&mut self, assoc: AssocId) -> Option<&mut Parking> {
        self.associations.get_mut(assoc)?.parked.as_mut()
    }

    /// A request has to wait for its turn. Whether somebody else may have the identifier that it wants is asked already: a process
    /// with many elements, which has another address now, is not to wait for them one after the other.
    fn request_parked(&mut self, now: Time, assoc: AssocId, request: Message, length: usize) {
        let wanted = match &request {
            Message::Registration(it) => Some(ElementKey::new(&it.handle, it.element.id)),
            _ => None,
        };
        let parked = self.parked(assoc).is_some_and(|parking| parking.push(Parked::Request(request), length));
        if !parked {
            return self.abort(assoc, TOO_MANY);
        }
        let contended = |key: &ElementKey| {
            self.element(key).is_some() && !self.speaks_for(assoc, key) && !is_registrar_pool(&key.handle)
        };
        if let Some(key) = wanted.filter(contended) {
            self.verify_for(now, key, assoc);
        }
    }

    /// Puts off the answer to a registration; whatever comes over its association waits behind it.
    pub(super) fn park(&mut self, assoc: AssocId, registration: Message) {
        if let Some(association) = self.associations.get_mut(assoc) {
            association.parked.get_or_insert_default().push_front(Parked::Request(registration));
        }
    }

    /// It is known whether the identifier that a parked registration wants belongs to an element that lives. If others come before
    /// it, that is asked again in its turn.
    ///
    /// What goes on then may decide of others. They follow one after the other, however many there are.
    pub(super) fn unpark(&mut self, now: Time, assoc: AssocId, key: &ElementKey, alive: bool) {
        self.decided.push_back((assoc, key.clone(), alive));
        if std::mem::replace(&mut self.deciding, true) {
            return;
        }
        while let Some((assoc, key, alive)) = self.decided.pop_front() {
            self.go_on(now, assoc, &key, alive);
        }
        self.deciding = false;
    }

    fn go_on(&mut self, now: Time, assoc: AssocId, key: &ElementKey, alive: bool) {
        let Some(association) = self.associations.get_mut(assoc) else { return };
        let its_turn = association.parked.as_ref().is_some_and(|parking| parking.begins_with(key));
        let Some(mut parking) = association.parked.take_if(|_| its_turn) else { return };
        if alive {
            parking.pop();
            self.registration_rejected(assoc, key, CauseCode::NON_UNIQUE_PE_IDENTIFIER.into());
        }
        while let Some(next) = parking.pop() {
            match next {
                Parked::Request(request) => self.request_received(now, assoc, request),
                Parked::Reply(reply) => self.associations.send(assoc, reply, None),
            }
            if let Some(again) = self.parked(assoc).and_then(Parking::pop) {
                parking.push_front(again);
                if let Some(association) = self.associations.get_mut(assoc) {
                    association.parked = Some(parking);
                }
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
