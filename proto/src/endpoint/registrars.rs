//! The other registrars, as the home registrar knows them (design D6).
//!
//! They are a pool, which the endpoint subscribes to as soon as it has a home: its changes are pushed. It asks again now
//! and then, for a registrar may refuse subscriptions, or know of none now.

use super::servers::Origin;
use super::{AsapEndpoint, Timer};
use crate::{REGISTRAR_POOL, Time};
use asap::{HandleResolution, HandleResolutionResponse, Message};
use params::{PoolHandle, Transport};
use std::net::SocketAddr;

/// Whether this is the pool of the registrars.
pub(super) fn is_registrar_pool(handle: &PoolHandle) -> bool {
    handle.as_bytes() == REGISTRAR_POOL.as_bytes()
}

impl AsapEndpoint {
    /// Asks the home registrar for the others, and to be told when they change.
    pub(super) fn ask_for_registrars(&mut self, now: Time) {
        if !self.config.registrar_pool || self.config.compat.is_rsplib() || self.home.is_none() {
            return;
        }
        let handle = PoolHandle::from(REGISTRAR_POOL);
        self.ask(&Message::HandleResolution(HandleResolution { subscribe: true, handle, items: None }));
        let again = self.config.cache.stale_cache_value.max(super::SHORTEST_TIMER);
        self.timers.set(Timer::Registrars, now + again);
    }

    /// The home registrar has told which registrars there are. Those that it does not name may be on the other side of a
    /// network that is cut, so they stay known.
    pub(super) fn registrars_told(&mut self, now: Time, response: &HandleResolutionResponse) {
        if !self.config.registrar_pool {
            return;
        }
        for element in response.elements.iter().take(self.config.limits.registrars) {
            if let Transport::Sctp(sctp) = &element.user_transport {
                let address = |ip: &std::net::IpAddr| SocketAddr::new(ip.to_canonical(), sctp.port);
                let addresses = sctp.addresses.iter().map(address).collect();
                self.learn(now, addresses, Origin::Learned);
            }
        }
    }
}
