//! A server that is not ours, in its pool as long as it is ready.

use crate::Check;
use endpoint::{
    AsapEndpoint, Element, ElementOptions, EndpointError, RegisterError, Registration, Rejection,
};
use params::{PeIdentifier, PoolHandle};
use std::io;
use std::panic;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server that is not ours (any TCP, UDP or SCTP server of this host), registered as long as its [`Check`] passes. See
/// [`Builder::register_while`](crate::Builder::register_while).
///
/// Dropping it deregisters the server in the background, as long as the process lives; [`Service::deregister`] waits for it.
#[derive(Debug)]
#[must_use = "the server is deregistered when this is dropped"]
pub struct Service {
    pool: PoolHandle,
    state: watch::Receiver<State>,
    /// Dropped to end the task.
    wanted: watch::Sender<()>,
    task: JoinHandle<Result<(), RegisterError>>,
}

/// Under which identifier it is registered, if it is; and why not, if a registrar refused or none answered.
type State = Result<Option<PeIdentifier>, RegisterError>;

impl Service {
    pub(crate) fn start(endpoint: AsapEndpoint, registration: Registration, check: Check) -> Self {
        let (state, watched) = watch::channel(Ok(None));
        let (wanted, ended) = watch::channel(());
        let pool = registration.handle.clone();
        let keeper = Keeper {
            endpoint,
            id: registration.id,
            registration,
            check,
            state,
            element: None,
            failures: 0,
            left: Ok(()),
        };
        Self { pool, state: watched, wanted, task: tokio::spawn(keeper.run(ended)) }
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.pool
    }

    /// Its identifier within the pool while it is registered.
    pub fn id(&self) -> Option<PeIdentifier> {
        self.state.borrow().as_ref().ok().copied().flatten()
    }

    /// Waits until it is registered: ready, and confirmed by a registrar. Cancel-safe.
    ///
    /// # Errors
    /// Why a registrar refused it last. It is tried again after the next check; call this again to wait for that.
    pub async fn registered(&mut self) -> Result<PeIdentifier, RegisterError> {
        loop {
            if let Ok(Some(id)) = *self.state.borrow() {
                return Ok(id);
            }
            if self.state.changed().await.is_err() {
                return Err(RegisterError::Deregistered(self.pool.clone()));
            }
            if let Err(error) = &*self.state.borrow_and_update() {
                return Err(error.clone());
            }
        }
    }

    /// Waits until it is not registered any more: not ready, refused by the registrar that it has now, without a registrar that
    /// answers, or the endpoint has ended. Cancel-safe.
    pub async fn withdrawn(&mut self) {
        // The end of the task is the end of the registration.
        let _ = self.state.wait_for(|state| !matches!(state, Ok(Some(_)))).await;
    }

    /// Takes the server out of its pool; returns when a registrar has confirmed it. On an error the registrars list it until
    /// they notice by themselves. A registration or withdrawal that is under way is waited for. Whoever stops waiting does
    /// not stop it.
    ///
    /// # Panics
    /// If the task has, that checks the server.
    pub async fn deregister(self) -> Result<(), RegisterError> {
        drop(self.wanted);
        match self.task.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(left) => left,
            Err(Ok(panic)) => panic::resume_unwind(panic),
            Err(Err(_)) => Err(EndpointError::Stopped("the runtime of its checks has ended".into()).into()),
        }
    }
}

/// Registers the server whenever it is ready.
struct Keeper {
    endpoint: AsapEndpoint,
    registration: Registration,
    /// The identifier that it has to have, if any.
    id: Option<PeIdentifier>,
    check: Check,
    state: watch::Sender<State>,
    /// As long as it is in the pool, or is to come back by itself.
    element: Option<Element>,
    /// Checks in a row that have failed since it was ready.
    failures: u32,
    /// How it left the pool the last time.
    left: Result<(), RegisterError>,
}

impl Keeper {
    /// Until the service is not wanted any more. Registrations and withdrawals are brought to their end; checks are not.
    async fn run(mut self, mut ended: watch::Receiver<()>) -> Result<(), RegisterError> {
        loop {
            let ready = tokio::select! {
                biased;
                _ = ended.changed() => break,
                ready = self.check.run() => ready,
            };
            self.checked(ready).await;
            tokio::select! {
                biased;
                _ = ended.changed() => break,
                refused = self.pause() => self.refused(refused).await,
            }
        }
        self.withdraw(Ok(None)).await;
        self.left
    }

    async fn checked(&mut self, ready: io::Result<()>) {
        match (ready, self.element.is_some()) {
            (Ok(()), false) => self.register().await,
            (Ok(()), true) => self.failures = 0,
            (Err(_), false) => {}
            (Err(error), true) => {
                self.failures += 1;
                if self.failures >= self.check.failures {
                    let pool = &self.registration.handle;
                    tracing::warn!(%pool, %error, "the server is not ready any more: leaving the pool");
                    self.withdraw(Ok(None)).await;
                }
            }
        }
    }

    async fn register(&mut self) {
        self.left = Ok(());
        let registration = self.registration.clone();
        match self.endpoint.register(registration, ElementOptions::default()).await {
            Ok(element) => {
                let id = element.id();
                self.element = Some(element);
                self.is_registered_as(id);
            }
            Err(error) => {
                let pool = &self.registration.handle;
                tracing::warn!(%pool, %error, "the server is ready, but not registered");
                self.find_another_identifier(&error);
                self.tell(Err(error));
            }
        }
    }

    /// Waits for the next check, and takes note of what becomes of the registration meanwhile. Returns early if a registrar
    /// refuses it. Cancel-safe.
    async fn pause(&mut self) -> Option<RegisterError> {
        let mut pause = std::pin::pin!(tokio::time::sleep(self.check.interval.max(Duration::from_millis(1))));
        while let Some(element) = &mut self.element {
            let standing = tokio::select! {
                () = &mut pause => return None,
                standing = element.standing_changed() => standing,
            };
            match standing {
                Ok(id) => self.is_registered_as(id),
                Err(error) if is_final(&error) => return Some(error),
                // The endpoint goes on looking for a registrar, or for room; if it has stopped there is nothing to wait for.
                Err(error) => {
                    let stopped = matches!(error, RegisterError::Endpoint(_));
                    self.tell(Err(error));
                    if stopped {
                        break;
                    }
                }
            }
        }
        pause.await;
        None
    }

    /// A registrar does not want it, and the endpoint would ask only the next one: it joins anew after the next check.
    async fn refused(&mut self, error: Option<RegisterError>) {
        let Some(error) = error else { return };
        let pool = &self.registration.handle;
        tracing::warn!(%pool, %error, "the server is ready, but not registered any more");
        self.find_another_identifier(&error);
        self.withdraw(Err(error)).await;
    }

    async fn withdraw(&mut self, state: State) {
        let Some(element) = self.element.take() else { return };
        self.failures = 0;
        self.tell(state);
        self.left = element.deregister().await;
        if let Err(error) = &self.left {
            tracing::warn!(pool = %self.registration.handle, %error, "not deregistered");
        }
    }

    fn is_registered_as(&mut self, id: PeIdentifier) {
        // It stays the same element when it comes back.
        self.registration.id = Some(id);
        self.tell(Ok(Some(id)));
    }

    fn tell(&self, state: State) {
        self.state.send_modify(|former| *former = state);
    }

    /// A random identifier that somebody else has now is not kept.
    fn find_another_identifier(&mut self, error: &RegisterError) {
        if let RegisterError::Rejected { reasons, .. } = error
            && reasons.iter().any(|reason| *reason == Rejection::IdentifierTaken)
        {
            self.registration.id = self.id;
        }
    }
}

/// Whether the endpoint does not ask again by itself.
fn is_final(error: &RegisterError) -> bool {
    matches!(error, RegisterError::Rejected { reasons, .. } if !reasons.iter().any(|reason| *reason == Rejection::NoRoom))
}
