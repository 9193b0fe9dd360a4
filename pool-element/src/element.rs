//! A registered element.

use crate::{Builder, Session};
use endpoint::{AsapEndpoint, CookieSealing, EndpointError, RegisterError};
use params::{Load, PeIdentifier, Policy, PoolHandle, RegistrarId};
use std::net::SocketAddr;
use std::time::Duration;

/// A registered pool element. The library keeps it registered, whatever happens to the registrars.
///
/// Dropping it deregisters it in the background, as long as the process lives; [`PoolElement::deregister`] waits for
/// it. Its sessions go on; [`PoolElement::drain`] waits for them, too.
#[derive(Debug)]
#[must_use = "the element is deregistered when this is dropped"]
pub struct PoolElement {
    element: endpoint::Element,
    grace: Duration,
}

impl PoolElement {
    /// An element of this pool. The pool comes into being with its first element.
    pub fn builder(pool: impl Into<PoolHandle>) -> Builder {
        Builder::new(pool.into())
    }

    pub(crate) fn new(element: endpoint::Element, grace: Duration) -> Self {
        Self { element, grace }
    }

    /// The next session that a client starts, with the cookie of its former server if it had one. `None` when the
    /// endpoint of this process has stopped. Cancel-safe: `select!` it with whatever else the server does.
    pub async fn accept(&mut self) -> Option<Session> {
        self.element.accept().await.map(Session::new)
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        self.element.pool()
    }

    /// Its identifier within the pool. A [fixed](Builder::id) one stays; a random one becomes another random one if a registrar
    /// finds it taken.
    pub fn id(&self) -> PeIdentifier {
        self.element.id()
    }

    /// Its home registrar, once that has named itself; `None` while it has none.
    pub fn home(&self) -> Option<RegistrarId> {
        self.element.home()
    }

    /// Waits until the home registrar is another one, or none; returns it. Cancel-safe.
    pub async fn home_changed(&mut self) -> Result<Option<RegistrarId>, EndpointError> {
        self.element.home_changed().await
    }

    /// Waits until it could not be registered again: a registrar refuses a changed policy (which is then taken back) or, as
    /// the new home, the element itself, or none answers in time. Returns why. The element goes on: it asks the next home, and
    /// its sessions notice nothing. Cancel-safe; of several failures since the last call it is the last.
    ///
    /// An element that has ended returns [`RegisterError::Deregistered`] each time.
    pub async fn registration_failed(&mut self) -> RegisterError {
        self.element.registration_failed().await
    }

    /// Where sessions and registrars reach it.
    pub fn local_address(&self) -> SocketAddr {
        self.element.endpoint().local_address()
    }

    /// The endpoint that it uses, to share it.
    pub fn endpoint(&self) -> &AsapEndpoint {
        self.element.endpoint()
    }

    /// Tells how much the server is used, for policies that go by the load, such as [`Policy::LeastUsed`]. It may be called
    /// as often as the load changes: what reaches the registrars is what differs enough, and not too often (see
    /// [`Builder::load_updates`](crate::Builder::load_updates)).
    ///
    /// Cancel-safe: when the future is dropped the load is told or not.
    ///
    /// # Errors
    /// The policy of the element does not go by its load.
    pub async fn set_load(&self, load: Load) -> Result<(), RegisterError> {
        self.element.set_load(load).await
    }

    /// Changes the policy's values (a weight, a priority) by registering again, in the background. All elements of a pool
    /// have the same type of policy; what the registrar refuses is taken back, and
    /// [`registration_failed`](Self::registration_failed) tells it. Cancel-safe: when the future is dropped it is changed or not.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), RegisterError> {
        self.element.set_policy(policy).await
    }

    /// Changes whom clients shall prefer when this element is gone ([`Builder::failover_order`]), also of the sessions that
    /// there are. Cancel-safe as [`set_policy`](Self::set_policy).
    pub async fn set_failover_order(
        &self,
        elements: impl IntoIterator<Item = PeIdentifier>,
    ) -> Result<(), EndpointError> {
        self.element.set_failover_order(elements.into_iter().collect()).await
    }

    /// Goes on with other keys for cookies. Only for an element that was [registered with
    /// some](Builder::seal_cookies). Cancel-safe as [`set_policy`](Self::set_policy).
    pub async fn seal_cookies(&self, sealing: CookieSealing) -> Result<(), EndpointError> {
        self.element.seal_cookies(sealing).await
    }

    /// Takes the element out of its pool for a while, when the server cannot take new sessions (it warms up, is overloaded, or
    /// lacks something), and back into it under the same identifier. Returns when a registrar has confirmed that. Its sessions go
    /// on; new ones go to other elements. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// No registrar has confirmed it. An element that was to leave takes no new sessions all the same. One that was to come back goes
    /// on trying if none has answered; if it was refused, it is out of the pool until this is said anew.
    pub async fn set_ready(&self, ready: bool) -> Result<(), RegisterError> {
        self.element.set_ready(ready).await
    }

    /// Leaves without losing anything: takes the element out of its pool, waits until its home registrar has confirmed that,
    /// until those who have subscribed to the pool should have heard of it, and until the sessions have ended. New sessions go to other elements. Each of the present ones is told
    /// ([`Session::draining`]) and has the [grace](Builder::drain_grace) to end; then it is ended in order: its client gets all
    /// that could be sent until then, and goes on elsewhere with the last cookie. What a server does with a session
    /// after the grace fails with [`SessionError::Closed`](crate::SessionError::Closed), and its client asks another server for it.
    ///
    /// "Confirmed" is the word of the home alone: that tells the other registrars, and all of them those who have subscribed. Until
    /// these have heard of it they may still come, to a [service](Builder::service) for instance, which should be there for them. So
    /// this does not return before 0.5 s after the confirmation with the profiles `Lan` and `Rsplib`, 3 s with `Wan` and `Rfc`; or
    /// before the end of the grace, if that is shorter.
    ///
    /// On an error the sessions have ended as well, but no registrar has confirmed. Whoever stops waiting does not stop it, if
    /// the future was polled at all.
    pub async fn drain(self) -> Result<(), RegisterError> {
        self.element.drain(self.grace).await
    }

    /// Takes the element out of its pool; returns when a registrar has confirmed it. On an error the registrars list
    /// it until they notice by themselves. Whoever stops waiting does not stop it.
    pub async fn deregister(self) -> Result<(), RegisterError> {
        self.element.deregister().await
    }
}
