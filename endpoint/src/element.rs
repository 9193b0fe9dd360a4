//! One registered element, seen from its owner.

use crate::pipe::Pipe;
use crate::session::Side;
use crate::shell::Leave;
use crate::{AsapEndpoint, Cookie, CookieSealing, EndpointError, RegisterError, Session, SessionId};
use params::{Load, PeIdentifier, Policy, PoolHandle, RegistrarId};
use proto::endpoint::{CommandError, ElementId};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Sessions that may wait for `accept`; more are refused.
const BACKLOG: usize = 1024;

/// How it stands with the registration.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// No registrar has answered yet.
    Pending,
    /// Confirmed once; the endpoint keeps it up by itself from here on.
    Registered,
    /// Not ready: it leaves its pool, and has left it.
    Leaving,
    Withdrawn(Option<RegisterError>),
    /// It did not come about.
    Failed(RegisterError),
    /// Over; why the registrars may still list it for a while, if so.
    Deregistered(Option<RegisterError>),
}

/// How it stands now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The identifier under which it was registered last.
    pub(crate) id: PeIdentifier,
    /// Why it is not registered any more, if so.
    pub(crate) failure: Option<RegisterError>,
}

/// A registered element. Dropping it deregisters it in the background; its sessions go on.
#[derive(Debug)]
#[must_use = "it is deregistered when this is dropped"]
pub struct Element {
    pub(crate) id: ElementId,
    pub(crate) pool: PoolHandle,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) home: watch::Receiver<Option<RegistrarId>>,
    /// Why it could not be registered again, the last time.
    pub(crate) failure: watch::Receiver<Option<RegisterError>>,
    pub(crate) backlog: Arc<Backlog>,
    /// Its cookies are sealed.
    pub(crate) sealed: bool,
    pub(crate) endpoint: AsapEndpoint,
}

/// What an element does beyond being registered.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ElementOptions {
    /// How cookies are sealed; `None`: they are not, and any cookie is accepted.
    pub cookies: Option<CookieSealing>,
    /// Whom clients shall prefer when this element is gone, the first one in front; empty: as the policy says.
    pub failover_order: Vec<PeIdentifier>,
}

impl ElementOptions {
    /// With cookies that are sealed so.
    #[must_use]
    pub fn cookies(mut self, sealing: CookieSealing) -> Self {
        self.cookies = Some(sealing);
        self
    }

    /// With these elements to be preferred when it is gone.
    #[must_use]
    pub fn failover_order(mut self, order: impl IntoIterator<Item = PeIdentifier>) -> Self {
        self.failover_order = order.into_iter().collect();
        self
    }
}

/// A session that a client started.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// What its former server wanted the next one to know.
    pub cookie: Option<Cookie>,
    /// The client.
    pub peer: SocketAddr,
}

impl Element {
    /// Waits until a registrar has confirmed it.
    pub(crate) async fn registered(&mut self) -> Result<(), RegisterError> {
        match self.wait_for(|status| !matches!(status, Status::Pending)).await {
            Status::Registered => {
                // A rejection may have come meanwhile.
                match self.standing.borrow_and_update().failure.clone() {
                    Some(error) => Err(error),
                    None => Ok(()),
                }
            }
            Status::Failed(error) | Status::Deregistered(Some(error)) => Err(error),
            _ => Err(RegisterError::Deregistered(self.pool.clone())),
        }
    }

    async fn wait_for(&self, done: impl FnMut(&Status) -> bool) -> Status {
        match self.status.clone().wait_for(done).await {
            Ok(status) => status.clone(),
            Err(_) => Status::Deregistered(Some(EndpointError::stopped().into())),
        }
    }

    /// The endpoint that it belongs to.
    pub fn endpoint(&self) -> &AsapEndpoint {
        &self.endpoint
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.pool
    }

    /// Its identifier within the pool. A random one becomes another random one if it turns out to be taken.
    pub fn id(&self) -> PeIdentifier {
        self.standing.borrow().id
    }

    /// Its home registrar, as far as that has named itself; `None` while there is none.
    pub fn home(&self) -> Option<RegistrarId> {
        *self.home.borrow()
    }

    /// Waits until the home registrar is another one, or none; returns it. Cancel-safe.
    pub async fn home_changed(&mut self) -> Result<Option<RegistrarId>, EndpointError> {
        self.home.changed().await.map_err(|_| EndpointError::stopped())?;
        Ok(*self.home.borrow_and_update())
    }

    /// Waits until it could not be registered again: a registrar refuses a change, or an element that was registered
    /// elsewhere, or none answers in time. Returns why. Cancel-safe; of several failures since the last call it is the last.
    pub async fn registration_failed(&mut self) -> RegisterError {
        match self.failure.changed().await {
            Ok(()) => self.failure.borrow_and_update().clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| RegisterError::Deregistered(self.pool.clone()))
    }

    /// Waits until it is registered again after a failure, or under another identifier, which is returned; or until it could not be
    /// registered again, and why. Cancel-safe; of several changes since the last call it is the last.
    pub async fn standing_changed(&mut self) -> Result<PeIdentifier, RegisterError> {
        self.standing.changed().await.map_err(|_| EndpointError::stopped())?;
        let Standing { id, failure } = self.standing.borrow_and_update().clone();
        failure.map_or(Ok(id), Err)
    }

    /// Takes the element out of its pool until it is ready again, and back into it under the same identifier. Returns when a
    /// registrar has confirmed that. Its sessions go on, and those that wait for [`Element::accept`] are still there; new ones go to
    /// other elements. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// No registrar has confirmed it. One that was to leave is out of its pool all the same, as far as this endpoint goes. One that
    /// was to come back goes on trying if none has answered; if it was refused, it is not in the pool until this is said anew.
    pub async fn set_ready(&self, ready: bool) -> Result<(), RegisterError> {
        let id = self.id;
        let done = self.endpoint.call(move |shell, now| shell.set_ready(now, id, ready)).await?;
        done.map_err(|error| self.refused(error))?;
        let settled = |status: &Status| !matches!(status, Status::Pending | Status::Leaving);
        match self.wait_for(settled).await {
            Status::Registered | Status::Withdrawn(None) => Ok(()),
            Status::Failed(error) | Status::Withdrawn(Some(error)) | Status::Deregistered(Some(error)) => {
                Err(error)
            }
            _ => Err(RegisterError::Deregistered(self.pool.clone())),
        }
    }

    /// Changes the policy or its values by registering again. Cancel-safe: when the future is dropped it is changed or not.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), RegisterError> {
        let id = self.id;
        let done = self.endpoint.call(move |shell, now| shell.machine().set_policy(now, id, policy)).await?;
        done.map_err(|error| self.refused(error))
    }

    /// Tells how much the element is used; registers again if that differs enough, and not too often. Cancel-safe as
    /// [`Element::set_policy`].
    pub async fn set_load(&self, load: Load) -> Result<(), RegisterError> {
        let id = self.id;
        let done = self.endpoint.call(move |shell, now| shell.machine().set_load(now, id, load)).await?;
        done.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: CommandError) -> RegisterError {
        match error {
            CommandError::Unknown => RegisterError::Deregistered(self.pool.clone()),
            error => EndpointError::from(error).into(),
        }
    }

    /// Seals cookies with other keys, and accepts others. Cancel-safe as [`Element::set_policy`].
    ///
    /// # Errors
    /// The element was registered without any: its sessions rely on that.
    pub async fn seal_cookies(&self, sealing: CookieSealing) -> Result<(), EndpointError> {
        if !self.sealed {
            return Err(EndpointError::Invalid("the element was registered without keys for cookies"));
        }
        let id = self.id;
        self.endpoint.call(move |shell, now| shell.seal_cookies(now, id, sealing)).await?
    }

    /// Changes whom clients shall prefer when this element is gone. Cancel-safe as [`Element::set_policy`].
    pub async fn set_failover_order(&self, order: Vec<PeIdentifier>) -> Result<(), EndpointError> {
        let id = self.id;
        Ok(self.endpoint.call(move |shell, now| shell.machine().set_failover_order(now, id, order)).await??)
    }

    /// The next session that a client starts; `None` when the endpoint has stopped. Cancel-safe.
    pub async fn accept(&mut self) -> Option<NewSession> {
        let new = self.backlog.pop().await?;
        Some(NewSession {
            session: Session::new(
                new.id,
                new.pipe,
                self.endpoint.clone(),
                Side::Accepted { sealed: self.sealed },
            ),
            cookie: new.cookie,
            peer: new.peer,
        })
    }

    /// Takes the element out of its pool; returns when a registrar has confirmed it. Its sessions go on. Whoever stops
    /// waiting does not stop it.
    pub async fn deregister(self) -> Result<(), RegisterError> {
        self.leave(Leave::Alone).await
    }

    async fn leave(self, leave: Leave) -> Result<(), RegisterError> {
        self.endpoint.let_go(self.id, leave);
        match self.wait_for(|status| matches!(status, Status::Deregistered(_))).await {
            Status::Deregistered(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Element {
    /// Takes the element out of its pool; returns when its home registrar has confirmed it and all its sessions have ended.
    /// Each session is told ([`Session::draining`]); those that are left after `grace` are ended in order. Whoever
    /// stops waiting does not stop it.
    ///
    /// "Confirmed" is the word of the home alone: that tells the other registrars, and all of them those who have subscribed to
    /// the pool. Until these have heard of it they may still come, so it does not return before a moment has passed since
    /// (`drain_settle` of the profile: 0.5 s for `Lan` and `Rsplib`, 3 s for `Wan` and `Rfc`), unless `grace` is shorter. A
    /// `grace` of zero waits for nobody.
    pub async fn drain(self, grace: Duration) -> Result<(), RegisterError> {
        self.leave(Leave::Drain(grace)).await
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        self.endpoint.let_go(self.id, Leave::Alone);
    }
}

/// A session that waits for `accept`.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) id: SessionId,
    pub(crate) pipe: Arc<Pipe>,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) peer: SocketAddr,
}

/// The sessions that wait for `accept`.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    state: Mutex<BacklogState>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct BacklogState {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

impl Backlog {
    fn state(&self) -> MutexGuard<'_, BacklogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pop(&self) -> Option<Waiting> {
        loop {
            {
                let mut state = self.state();
                if let Some(waiting) = state.waiting.pop_front() {
                    return Some(waiting);
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Whether there was room.
    pub(crate) fn push(&self, waiting: Waiting) -> bool {
        let mut state = self.state();
        let room = !state.closed && state.waiting.len() < BACKLOG;
        if room {
            state.waiting.push_back(waiting);
            drop(state);
            self.arrived.notify_one();
        }
        room
    }

    /// Takes no more; returns those that nobody accepted.
    pub(crate) fn close(&self) -> VecDeque<Waiting> {
        let mut state = self.state();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.arrived.notify_one();
        waiting
    }
}
