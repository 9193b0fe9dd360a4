//! Answering keep-alives, and the change of the home registrar that comes with them (RFC 5352 §3.4).

use super::{AsapEndpoint, Role};
use crate::{AssocId, Time};
use asap::{EndpointKeepAlive, EndpointKeepAliveAck, Message};

impl AsapEndpoint {
    /// Acknowledges on the association it came from, for every element that is meant (ambiguity A-37), and
    /// then adopts the sender as home if it says so. A handle that is not ours is discarded, for a
    /// plain pool user that is each.
    pub(super) fn keep_alive(&mut self, now: Time, assoc: AssocId, keep_alive: EndpointKeepAlive) {
        let EndpointKeepAlive { home, registrar, handle, id } = keep_alive;
        let meant = self.identities_of(&handle, id);
        if meant.is_empty() {
            self.counters.unexpected += 1;
            return;
        }
        for id in &meant {
            let (handle, id) = (handle.clone(), *id);
            self.tell(assoc, &Message::EndpointKeepAliveAck(EndpointKeepAliveAck { handle, id }));
        }
        if self.is_home(assoc) {
            self.home_named(registrar);
            if home {
                // It has taken over what another registrar told of us, which may be older than what we told it.
                self.renew_soon(now, &handle, &meant);
            }
        } else if home && let Some(Role::Registrar(peer)) = self.associations.get(&assoc) {
            let (peer, moved) = (peer.clone(), self.home.is_some());
            self.adopt_home(now, assoc, Some(registrar), peer, None);
            if moved {
                self.register_twice();
            }
        }
    }
}
