//! Handle resolution (RFC 5352 §3.3).

use super::{Registrar, State};
use crate::AssocId;
use asap::{HandleResolution, HandleResolutionResponse};
use params::{CauseCode, Policy, PoolElement, PoolHandle, Transport};

impl Registrar {
    /// ASAP_HANDLE_RESOLUTION.
    pub(super) fn resolution_received(&mut self, assoc: AssocId, request: HandleResolution) {
        self.counters.resolutions += 1;
        let Some(association) = self.associations.get(assoc) else { return };
        let loopback = association.is_loopback();
        let policy = self.handlespace.pool(&request.handle).map(|pool| pool.policy().clone());
        if policy.is_none() && self.state == State::Starting && !self.config.compat.is_rsplib() {
            // Without the handlespace nobody can say that there is no such pool. The client asks again, us or others.
            // rsplib's clients take the next answer for that of this request.
            return;
        }
        let count = policy.as_ref().map_or(0, |policy| self.answer_size(policy, request.items));
        let elements = self.handlespace.select(&request.handle, Some(count), &mut self.rng);
        let elements: Vec<PoolElement> = elements.into_iter().cloned().collect();
        let elements = elements.into_iter().filter_map(|element| self.visible(element, loopback)).collect();
        let mut response = self.answer(request.handle, policy, elements);
        match request.subscribe && response.error.is_none() {
            true => response.accepted = self.subscribe(assoc, &response.handle, request.items),
            false => self.unsubscribe(assoc, &response.handle),
        }
        self.send_asap(assoc, &response.into());
    }

    /// There is no time for a resolution (see [`overload`](super::overload)).
    pub(super) fn resolution_shed(&mut self, assoc: AssocId, request: HandleResolution) {
        if self.config.compat.is_rsplib() {
            let response = self.answer(request.handle, None, Vec::new());
            self.send_asap(assoc, &response.into());
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

    /// The policy is always there: Round Robin need not be, but rsplib wants it.
    fn answer(
        &mut self,
        handle: PoolHandle,
        policy: Option<Policy>,
        elements: Vec<PoolElement>,
    ) -> HandleResolutionResponse {
        let mut response =
            HandleResolutionResponse { accepted: false, handle, policy, elements, error: None };
        let listed = response.elements.len();
        response.cut_to(self.config.limits.resolution_bytes);
        self.counters.resolutions_cut += u64::from(self.is_cut(&response, listed));
        if response.elements.is_empty() {
            self.counters.resolutions_unknown += 1;
            response.policy = None;
            response.error = Some(CauseCode::UNKNOWN_POOL_HANDLE.into());
        }
        response
    }

    /// Whether a limit, of bytes or of elements, keeps part of the pool from an answer with which `listed` were to go.
    fn is_cut(&self, answer: &HandleResolutionResponse, listed: usize) -> bool {
        let all_items = listed == self.config.limits.resolution_items;
        answer.elements.len() < listed
            || all_items && self.handlespace.pool(&answer.handle).is_some_and(|pool| pool.len() > listed)
    }

    /// An element as a client sees it: without its ASAP transport (ambiguity A-10), and with loopback addresses only
    /// if client and element are on this host (design D2): not if its home is known to be on another one.
    pub(super) fn visible(&self, mut element: PoolElement, loopback: bool) -> Option<PoolElement> {
        let loopback = loopback && self.peers.get(&element.home).is_none_or(|peer| peer.same_host);
        element.asap_transport = None;
        let reachable = match &mut element.user_transport {
            Transport::Sctp(sctp) => {
                sctp.addresses.retain(|address| loopback || !address.is_loopback());
                !sctp.addresses.is_empty()
            }
            Transport::Tcp(tcp) => loopback || !tcp.address.is_loopback(),
            Transport::Udp(udp) => loopback || !udp.address.is_loopback(),
            Transport::UdpLite(udp_lite) => loopback || !udp_lite.address.is_loopback(),
            Transport::Dccp(dccp) => loopback || !dccp.address.is_loopback(),
            Transport::Opaque(_) => true,
        };
        reachable.then_some(element)
    }
}
