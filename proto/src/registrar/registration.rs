//! Registration and deregistration of pool elements (RFC 5352 §3.1, §3.2).

use super::association::Association;
use super::config::ForeignAddresses;
use super::registrars::is_registrar_pool;
use super::table::COMMON_TABLE_RESPONSE;
use super::{ElementKey, Registrar, RemovalReason};
use crate::{AssocId, Time};
use asap::{Deregistration, DeregistrationResponse, Message, Registration, RegistrationResponse};
use handlespace::TransportKind;
use params::{
    CauseCode, ErrorCause, OperationError, PoolElement, PoolHandle, RegistrarId, SctpTransport, Transport,
    TransportUse,
};
use std::net::IpAddr;

/// What a message has at most beside one element and the bytes of its pool handle: headers, identifiers, padding,
/// the pool's policy.
const BESIDE_ELEMENT: usize = 64;

impl Registrar {
    /// ASAP_REGISTRATION. The answer waits if somebody else may have the identifier.
    pub(super) fn registration_received(&mut self, now: Time, assoc: AssocId, registration: Registration) {
        let key = ElementKey::new(&registration.handle, registration.element.id);
        if is_registrar_pool(&key.handle) {
            return self.registration_rejected(assoc, &key, CauseCode::SECURITY.into());
        }
        if !self.speaks_for(assoc, &key) && self.element(&key).is_some() {
            self.park(assoc, Message::Registration(registration));
            return self.verify_for(now, key, assoc);
        }
        match self.register(now, assoc, &key, registration.element) {
            Ok(warning) => {
                // rsplib takes a warning for a rejection.
                let error = warning.filter(|_| !self.config.compat.is_rsplib());
                let response =
                    RegistrationResponse { rejected: false, handle: key.handle, id: key.id, error };
                self.send_asap(assoc, &response.into());
            }
            Err(error) => self.registration_rejected(assoc, &key, error),
        }
    }

    /// There is no time for a registration. A renewal is repeated by T2 (see [`overload`](super::overload)).
    pub(super) fn registration_shed(&mut self, assoc: AssocId, registration: &Registration) {
        let key = ElementKey::new(&registration.handle, registration.element.id);
        if self.element(&key).is_none() {
            self.registration_rejected(assoc, &key, CauseCode::LACK_OF_RESOURCES.into());
        }
    }

    /// Refuses a registration (RFC 5352 §3.1, rule 5).
    pub(super) fn registration_rejected(&mut self, assoc: AssocId, key: &ElementKey, error: OperationError) {
        self.counters.registrations_rejected += 1;
        let (handle, id) = (key.handle.clone(), key.id);
        let response = RegistrationResponse { rejected: true, handle, id, error: Some(error) };
        self.send_asap(assoc, &response.into());
    }

    /// Stores the element as ours and announces it (RFC 5352 §3.1, rules 1 – 4). A warning says what was changed.
    fn register(
        &mut self,
        now: Time,
        assoc: AssocId,
        key: &ElementKey,
        mut element: PoolElement,
    ) -> Result<Option<OperationError>, OperationError> {
        let association = self.associations.get(assoc).ok_or(CauseCode::UNSPECIFIED)?;
        let warning =
            check_addresses(self.config.foreign_addresses, association, &mut element.user_transport)?;
        // What the element says of its ASAP transport does not count (ambiguity A-10).
        element.asap_transport = asap_transport(association);
        self.suit_scope(&key.handle, &mut element)?;
        let known = self.element(key);
        // Who is in the pool as it is stays in it: perhaps another registrar has created it with other attributes at the same time
        // (ambiguity A-61).
        let is_in_it = known.is_some_and(|known| has_attributes_of(known, &element));
        if !is_in_it {
            self.check_pool(key, &element)?;
        }
        // Nor does what it says of its home.
        let before = known.map_or(RegistrarId::NONE, |known| known.home);
        element.home = if before == RegistrarId::NONE { self.id } else { before };
        let same = known.is_some_and(|known| *known == element);
        let room =
            || self.has_room_for(&key.handle, known) && self.has_bytes_for(&key.handle, known, &element);
        if !same && !room() || !self.fits_in_messages(key, &element) {
            self.counters.elements_refused += 1;
            return Err(CauseCode::LACK_OF_RESOURCES.into());
        }
        let unchanged =
            same && self.owned.get(key).is_some_and(|owned| !owned.is_claimed()) && !self.is_contested(key);
        let pushed = self.as_pushed(key);
        let previous = match is_in_it {
            true => self.handlespace.replicate(&key.handle, element),
            false => self
                .handlespace
                .register(&key.handle, element)
                .map_err(|error| OperationError::from(error.cause()))?,
        };
        match previous {
            true => self.counters.reregistrations += 1,
            false => self.counters.registrations += 1,
        }
        self.forget_contest(key);
        self.own(now, key, Some(assoc), false);
        self.probe_outdated(now, key);
        self.forget_reports(now, key);
        self.element_stored(key, self.id, previous);
        self.element_changed(now, key, pushed);
        match unchanged {
            true => self.announce_renewed(key),
            false => self.announce_added(key),
        }
        Ok(warning)
    }

    /// The pool's policy, transport protocol and transport use bind every element: all that differ are reported.
    fn check_pool(&self, key: &ElementKey, element: &PoolElement) -> Result<(), OperationError> {
        let Some(pool) = self.handlespace.pool(&key.handle) else { return Ok(()) };
        let mut causes = Vec::new();
        if pool.policy().policy_type() != element.policy.policy_type() {
            causes.push(ErrorCause::inconsistent_policy(pool.policy()));
        }
        if pool.transport_kind() != TransportKind::of(&element.user_transport) {
            let theirs = pool.elements().map(|element| &element.user_transport);
            let theirs = theirs.into_iter().find(|theirs| TransportKind::of(theirs) == pool.transport_kind());
            causes.push(theirs.map_or_else(
                || CauseCode::INCONSISTENT_TRANSPORT_TYPE.into(),
                ErrorCause::inconsistent_transport_type,
            ));
        }
        if let Transport::Sctp(sctp) = &element.user_transport
            && pool.transport_kind() == TransportKind::Sctp
            && pool.transport_use() != sctp.transport_use
        {
            causes.push(CauseCode::INCONSISTENT_DATA_CONTROL.into());
        }
        if causes.is_empty() { Ok(()) } else { Err(OperationError { causes }) }
    }

    /// Whether every message that has to carry the element can: what nobody could be told of must not be stored.
    pub(super) fn fits_in_messages(&self, key: &ElementKey, element: &PoolElement) -> bool {
        let limits = &self.config.limits;
        let mut limit = limits.resolution_bytes.min(limits.table_response_bytes).min(usize::from(u16::MAX));
        if self.config.compat.is_rsplib() {
            limit = limit.min(COMMON_TABLE_RESPONSE);
        }
        key.handle.as_bytes().len() + element.encoded_length() + BESIDE_ELEMENT <= limit
    }

    /// Whether the bytes of all elements stay within their limit with this one, in the place of what it replaces. One that
    /// does not grow always has a place.
    pub(super) fn has_bytes_for(
        &self,
        handle: &PoolHandle,
        known: Option<&PoolElement>,
        element: &PoolElement,
    ) -> bool {
        let bytes = |element: &PoolElement| handle.encoded_length() + element.encoded_length();
        let (before, after) = (known.map_or(0, bytes), bytes(element));
        after <= before || self.handlespace.bytes() - before + after <= self.config.limits.element_bytes
    }

    /// ASAP_DEREGISTRATION. An element that is not there is as good as removed (RFC 5352 §3.2).
    pub(super) fn deregistration_received(&mut self, now: Time, assoc: AssocId, request: Deregistration) {
        let key = ElementKey::new(&request.handle, request.id);
        let mut error = None;
        let foreign = !self.speaks_for(assoc, &key) || is_registrar_pool(&key.handle);
        if self.element(&key).is_some() && foreign {
            self.counters.deregistrations_rejected += 1;
            error = Some(CauseCode::SECURITY.into());
        } else if self.remove_by_right(now, &key, RemovalReason::Deregistered) {
            self.counters.deregistrations += 1;
        }
        let response = DeregistrationResponse { handle: request.handle, id: request.id, error };
        self.send_asap(assoc, &response.into());
    }

    /// Whether an association is that of the element itself (ambiguity A-27): it registered over it, or it comes
    /// from the recorded ASAP transport, port included, since many elements share an address.
    pub(super) fn speaks_for(&self, assoc: AssocId, key: &ElementKey) -> bool {
        let registered = self.owned.get(key).and_then(|owned| owned.association);
        registered == Some(assoc)
            || self.associations.get(assoc).is_some_and(|association| {
                let recorded = self.asap_addresses(key);
                association.reaches(&recorded)
            })
    }
}

/// Applies the rule for addresses that the association does not use (RFC 5352 §2.2.1, ambiguity A-26), and keeps
/// loopback addresses within the host (design D2).
fn check_addresses(
    rule: ForeignAddresses,
    association: &Association,
    transport: &mut Transport,
) -> Result<Option<OperationError>, OperationError> {
    let loopback = association.is_loopback();
    let accepted = |address: &IpAddr| match rule {
        ForeignAddresses::Accept => loopback || !address.is_loopback(),
        _ => association.remote.iter().any(|remote| remote.ip().to_canonical() == address.to_canonical()),
    };
    let mut dropped = Vec::new();
    let left = match transport {
        Transport::Sctp(sctp) => {
            dropped = sctp.addresses.extract_if(.., |address| !accepted(address)).collect();
            !sctp.addresses.is_empty()
        }
        Transport::Tcp(tcp) => accepted(&tcp.address),
        Transport::Udp(udp) => accepted(&udp.address),
        Transport::UdpLite(udp_lite) => accepted(&udp_lite.address),
        Transport::Dccp(dccp) => accepted(&dccp.address),
        // Nobody but the application can tell where it leads.
        Transport::Opaque(_) => rule != ForeignAddresses::Reject,
    };
    let error = || {
        let causes: Vec<ErrorCause> = dropped.iter().map(ErrorCause::invalid_address).collect();
        if causes.is_empty() { CauseCode::INVALID_VALUES.into() } else { OperationError { causes } }
    };
    let refused = !left || (rule == ForeignAddresses::Reject && !dropped.is_empty());
    if refused {
        return Err(error());
    }
    Ok((!dropped.is_empty()).then(error))
}

/// Whether two elements agree in what binds all elements of a pool.
fn has_attributes_of(one: &PoolElement, other: &PoolElement) -> bool {
    let transport_use = |element: &PoolElement| match &element.user_transport {
        Transport::Sctp(sctp) => Some(sctp.transport_use),
        _ => None,
    };
    one.policy.policy_type() == other.policy.policy_type()
        && TransportKind::of(&one.user_transport) == TransportKind::of(&other.user_transport)
        && transport_use(one) == transport_use(other)
}

/// The ASAP transport of whoever is at the other end (RFC 5352 §3.1, rule 4).
fn asap_transport(association: &Association) -> Option<SctpTransport> {
    let port = association.remote.first()?.port();
    let addresses = association.remote.iter().map(|remote| remote.ip().to_canonical()).collect();
    Some(SctpTransport { port, transport_use: TransportUse::DATA_ONLY, addresses })
}
