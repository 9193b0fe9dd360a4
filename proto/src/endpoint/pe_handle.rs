//! Sessions that begin with a given element: sending to a PE handle (RFC 5352 §6.5.3).
//!
//! A PE handle is a pool handle with an element of the pool: its identifier, and where it is. It comes from a resolution, from
//! a business card, or from where the application has kept it.

use super::cache::Age;
use super::failover::session_addresses;
use super::{AsapEndpoint, CommandError, SessionId, SessionOptions};
use crate::Time;
use params::{PoolElement, PoolHandle};

impl AsapEndpoint {
    /// As [`connect`](Self::connect), but begins with the first of these elements, where it says that it is, whatever the policy
    /// prefers. If it cannot be reached, or not soon, the others come before the policy, as far as the registrar lists them.
    /// [`Event::Connected`](super::Event::Connected) tells which it became.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and if none of them has an SCTP transport.
    pub fn connect_preferring(
        &mut self,
        now: Time,
        handle: PoolHandle,
        preferred: &[PoolElement],
        options: SessionOptions,
    ) -> Result<SessionId, CommandError> {
        let first = preferred.iter().find_map(|element| Some((element.id, session_addresses(element)?)));
        let (element, remote) = first.ok_or(CommandError::Invalid("no element with an SCTP transport"))?;
        let session = self.begin_session(now, handle.clone(), options)?;
        if let Some(user) = self.user(session) {
            user.preferred = preferred.iter().map(|element| element.id).collect();
            user.given = preferred.to_vec();
        }
        self.connect_to(now, session, element, remote);
        if self.cache.age(now, &handle) != Some(Age::Fresh) {
            self.refresh(now, handle);
        }
        Ok(session)
    }
}
