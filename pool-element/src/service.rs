//! A server that is not ours, in its pool as long as it is ready.

use crate::Check;
use endpoint::{AsapEndpoint, Element, ElementOptions, RegisterError, Registration};
use params::{PeIdentifier, PoolHandle};
use std::convert::Infallible;
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

/// Under which identifier it is registered, if it is; and why not, if a registrar refused.
type State = Result<Option<PeIdentifier>, RegisterError>;

impl Service {
    pub(crate) fn start(endpoint: AsapEndpoint, registration: Registration, check: Check) -> Self {
        let (state, watched) = watch::channel(Ok(None));
        let (wanted, ended) = watch::channel(());
        let pool = registration.handle.clone();
        let task = tokio::spawn(follow(endpoint, registration, check, state, ended));
        Self { pool, state: watched, wanted, task }
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

    /// Waits until it is not registered any more: not ready, or the endpoint has ended. Cancel-safe.
    pub async fn withdrawn(&mut self) {
        // The end of the task is the end of the registration.
        let _ = self.state.wait_for(|state| !matches!(state, Ok(Some(_)))).await;
    }

    /// Takes the server out of its pool; returns when a registrar has confirmed it. On an error the registrars list it until
    /// they notice by themselves.
    pub async fn deregister(self) -> Result<(), RegisterError> {
        drop(self.wanted);
        self.task.await.unwrap_or(Ok(()))
    }
}

/// Registers the server whenever it is ready, until the service is not wanted any more.
async fn follow(
    endpoint: AsapEndpoint,
    mut registration: Registration,
    check: Check,
    state: watch::Sender<State>,
    mut ended: watch::Receiver<()>,
) -> Result<(), RegisterError> {
    let mut element = None;
    let end = async { while ended.changed().await.is_ok() {} };
    tokio::select! {
        never = keep(&endpoint, &mut registration, &check, &state, &mut element) => match never {},
        () = end => {}
    }
    match element {
        Some(element) => Element::deregister(element).await,
        None => Ok(()),
    }
}

async fn keep(
    endpoint: &AsapEndpoint,
    registration: &mut Registration,
    check: &Check,
    state: &watch::Sender<State>,
    registered: &mut Option<Element>,
) -> Infallible {
    let pool = registration.handle.clone();
    let mut failed = 0;
    loop {
        match (check.run().await, registered.is_some()) {
            (Ok(()), false) => match endpoint.register(registration.clone(), ElementOptions::default()).await
            {
                Ok(element) => {
                    let id = element.id();
                    // It stays the same element when it comes back.
                    registration.id = Some(id);
                    *registered = Some(element);
                    state.send_modify(|state| *state = Ok(Some(id)));
                }
                Err(error) => {
                    tracing::warn!(%pool, %error, "the server is ready, but not registered");
                    state.send_modify(|state| *state = Err(error));
                }
            },
            (Ok(()), true) => failed = 0,
            (Err(_), false) => {}
            (Err(error), true) => {
                failed += 1;
                if failed >= check.failures
                    && let Some(element) = registered.take()
                {
                    tracing::warn!(%pool, %error, "the server is not ready any more: leaving the pool");
                    failed = 0;
                    state.send_modify(|state| *state = Ok(None));
                    if let Err(error) = element.deregister().await {
                        tracing::warn!(%pool, %error, "not deregistered");
                    }
                }
            }
        }
        tokio::time::sleep(check.interval.max(Duration::from_millis(1))).await;
    }
}
