//! Handle resolution (RFC 5352 §3.3).

use super::peers::Peer;
use super::{Registrar, State};
use crate::AssocId;
use asap::{HandleResolution, HandleResolutionResponse, PoolListing};
use params::{CauseCode, Policy, PoolElement, PoolHandle, RegistrarId, Transport};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Registrar {
    /// ASAP_HANDLE_RESOLUTION.
    pub(super) fn resolution_received(&mut self, assoc: AssocId, request: HandleResolution) {
        self.counters.resolutions += 1;
        let Some(association) = self.associations.get(assoc) else { return };
        let loopback = association.is_loopback();
        let pool = self.handlespace.pool(&request.handle).map(|pool| (pool.policy().clone(), pool.len()));
        if pool.is_none() && self.state == State::Starting && !self.config.compat.is_rsplib() {
            // Without the handlespace nobody can say that there is no such pool. The client asks again, us or others.
            // rsplib's clients take the next answer for that of this request.
            return;
        }
        let Some((policy, size)) = pool else { return self.resolution_fails(assoc, request.handle) };
        // It ends again if there turns out to be nothing to tell.
        let accepted = request.subscribe && self.subscribe(assoc, &request.handle, request.items);
        if !accepted {
            self.unsubscribe(assoc, &request.handle);
        }
        let count = self.answer_size(&policy, request.items);
        let elements = self.handlespace.select(&request.handle, Some(count), &mut self.rng).into_iter();
        let elements =
            elements.filter_map(|element| visible(&self.peers, Cow::Borrowed(element), loopback)).collect();
        let mut listing = PoolListing { accepted, handle: &request.handle, policy: &policy, elements };
        let listed = listing.elements.len();
        listing.cut_to(self.config.limits.resolution_bytes);
        let is_cut =
            listing.elements.len() < listed || listed == self.config.limits.resolution_items && listed < size;
        self.counters.resolutions_cut += u64::from(is_cut);
        if listing.elements.is_empty() {
            return self.resolution_fails(assoc, request.handle);
        }
        let encoded = listing.encode();
        self.send_encoded(assoc, encoded);
    }

    /// There is no time for a resolution (see [`overload`](super::overload)).
    pub(super) fn resolution_shed(&mut self, assoc: AssocId, request: HandleResolution) {
        if self.config.compat.is_rsplib() {
            self.resolution_fails(assoc, request.handle);
        }
    }

    /// How many elements to list: all of a small pool, a few of a weighted one, or what the client asks for
    /// (ambiguities ). Where rsplib takes part its number holds: a few of any.
    pub(super) fn answer_size(&self, policy: &Policy, wanted: Option<u32>) -> usize {
        let limits = &self.config.limits;
        match (wanted.unwrap_or(0), policy) {
            (
                0,
                Policy::WeightedRoundRobin { .. }
                | Policy::WeightedRandom { .. }
                | Policy::WeightedRandomDpf { .. }
                | Policy::RandomizedLeastUsed { .. },
            ) => limits.weighted_items,
            (0, _) if self.config.compat.is_rsplib() => limits.weighted_items,
            (0, _) => limits.resolution_items,
            (wanted, _) => usize::try_from(wanted).unwrap_or(usize::MAX).min(limits.resolution_items),
        }
    }

    /// There is no such pool, or none of its elements can be reached by whoever asks.
    fn resolution_fails(&mut self, assoc: AssocId, handle: PoolHandle) {
        self.counters.resolutions_unknown += 1;
        self.unsubscribe(assoc, &handle);
        self.send_unknown_pool(assoc, handle);
    }

    /// A negative answer, or the end of a subscription.
    pub(super) fn send_unknown_pool(&mut self, assoc: AssocId, handle: PoolHandle) {
        let error = Some(CauseCode::UNKNOWN_POOL_HANDLE.into());
        let response =
            HandleResolutionResponse { accepted: false, handle, policy: None, elements: Vec::new(), error };
        self.send_asap(assoc, &response.into());
    }
}

/// An element for a client: with loopback addresses only if client and element are on this host (design D2): not if its
/// home is known to be on another one.
pub(super) fn visible<'a>(
    peers: &BTreeMap<RegistrarId, Peer>,
    element: Cow<'a, PoolElement>,
    loopback: bool,
) -> Option<Cow<'a, PoolElement>> {
    let here = loopback && peers.get(&element.home).is_none_or(|peer| peer.same_host);
    if here || !element.user_transport.socket_addresses().any(|address| address.ip().is_loopback()) {
        return Some(element);
    }
    let mut element = element.into_owned();
    let Transport::Sctp(sctp) = &mut element.user_transport else { return None };
    sctp.addresses.retain(|address| !address.is_loopback());
    (!sctp.addresses.is_empty()).then_some(Cow::Owned(element))
}
