//! A server that is not ours, in its pool as long as it is ready.

use crate::Check;
use endpoint::{
    AsapEndpoint, Element, ElementOptions, EndpointError, RegisterError, Registration, Rejection,
};
use params::{Load, PeIdentifier, Policy, PoolHandle};
use std::io;
use std::panic;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Changes that may wait for the end of a check.
const CHANGES: usize = 16;

/// A server that is not ours (any TCP, UDP or SCTP server of this host), registered as long as its [`Check`] passes. See
/// [`Builder::register_while`](crate::Builder::register_while).
///
/// Dropping it deregisters the server in the background, as long as the process lives; [`Service::deregister`] waits for it, and
/// [`Service::drain`] also until clients should know.
#[derive(Debug)]
#[must_use = "the server is deregistered when this is dropped"]
pub struct Service {
    pool: PoolHandle,
    state: watch::Receiver<State>,
    changes: mpsc::Sender<Change>,
    /// Dropped to end the task.
    leave: oneshot::Sender<Leave>,
    task: JoinHandle<Result<(), RegisterError>>,
}

/// Under which identifier it is registered, if it is; and why not, if a registrar refused or none answered.
type State = Result<Option<PeIdentifier>, RegisterError>;

/// How the server leaves its pool at the end.
#[derive(Debug)]
enum Leave {
    Deregister,
    Drain,
}

/// A change of the registration's policy, and who waits for it.
#[derive(Debug)]
struct Change {
    policy: PolicyChange,
    done: oneshot::Sender<Result<(), RegisterError>>,
}

#[derive(Debug)]
enum PolicyChange {
    Load(Load),
    Policy(Policy),
}

impl Service {
    pub(crate) fn start(
        endpoint: AsapEndpoint,
        registration: Registration,
        check: Check,
        grace: Duration,
    ) -> Self {
        let (state, watched) = watch::channel(Ok(None));
        let (changes, changed) = mpsc::channel(CHANGES);
        let (leave, left) = oneshot::channel();
        let pool = registration.handle.clone();
        let keeper = Keeper {
            endpoint,
            id: registration.id,
            registration,
            check,
            grace,
            state,
            changes: changed,
            former: None,
            element: None,
            failures: 0,
            left: Ok(()),
        };
        Self { pool, state: watched, changes, leave, task: tokio::spawn(keeper.run(left)) }
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

    /// Tells how much the server is used, also for when it is registered next: see
    /// [`PoolElement::set_load`](crate::PoolElement::set_load). Waits for the end of a check, registration or withdrawal that is under
    /// way. Cancel-safe: when the future is dropped the load is told or not.
    ///
    /// # Errors
    /// The policy of the server does not go by its load, or the endpoint of this process has stopped while the server was
    /// registered.
    pub async fn set_load(&self, load: Load) -> Result<(), RegisterError> {
        self.change(PolicyChange::Load(load)).await
    }

    /// Changes the policy's values, also for when it is registered next: see
    /// [`PoolElement::set_policy`](crate::PoolElement::set_policy). Waits for the end of a check, registration or withdrawal that is
    /// under way. Cancel-safe: when the future is dropped it is changed or not. What a registrar refuses is taken back, and the
    /// server registers anew after the next check.
    ///
    /// # Errors
    /// The endpoint of this process has stopped while the server was registered.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), RegisterError> {
        self.change(PolicyChange::Policy(policy)).await
    }

    async fn change(&self, policy: PolicyChange) -> Result<(), RegisterError> {
        let (done, result) = oneshot::channel();
        let gone = || RegisterError::Deregistered(self.pool.clone());
        self.changes.send(Change { policy, done }).await.map_err(|_| gone())?;
        result.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Takes the server out of its pool, and returns when its home registrar has confirmed that and those who have subscribed to the
    /// pool should have heard of it: nobody chooses the server any more, and it may end when its last connections have. One that is
    /// out of the pool already, since its check has failed, is not waited for. See
    /// [`PoolElement::drain`](crate::PoolElement::drain) for how long that takes, and
    /// [`Builder::drain_grace`](crate::Builder::drain_grace) for how long at most. Otherwise as [`deregister`](Self::deregister).
    ///
    /// # Panics
    /// If the task has, that checks the server.
    pub async fn drain(self) -> Result<(), RegisterError> {
        self.end(Leave::Drain).await
    }

    /// Takes the server out of its pool; returns when a registrar has confirmed it. On an error the registrars list it until
    /// they notice by themselves. A registration or withdrawal that is under way is waited for. Whoever stops waiting does
    /// not stop it.
    ///
    /// # Panics
    /// If the task has, that checks the server.
    pub async fn deregister(self) -> Result<(), RegisterError> {
        self.end(Leave::Deregister).await
    }

    async fn end(self, how: Leave) -> Result<(), RegisterError> {
        // The task says why if it has ended.
        let _ = self.leave.send(how);
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
    /// The longest time that is waited for those who have subscribed to the pool, when it is drained.
    grace: Duration,
    state: watch::Sender<State>,
    changes: mpsc::Receiver<Change>,
    /// The policy before the last change, should that be refused.
    former: Option<Policy>,
    /// As long as it is in the pool, or is to come back by itself.
    element: Option<Element>,
    /// Checks in a row that have failed since it was ready.
    failures: u32,
    /// How it left the pool the last time.
    left: Result<(), RegisterError>,
}

impl Keeper {
    /// Until the service is not wanted any more. Registrations and withdrawals are brought to their end; checks are not.
    async fn run(mut self, mut leave: oneshot::Receiver<Leave>) -> Result<(), RegisterError> {
        let how = loop {
            let ready = tokio::select! {
                biased;
                how = &mut leave => break how,
                ready = self.check.run() => ready,
            };
            self.checked(ready).await;
            tokio::select! {
                biased;
                how = &mut leave => break how,
                refused = self.pause() => self.refused(refused).await,
            }
        };
        match how {
            Ok(Leave::Drain) => self.drain().await,
            Ok(Leave::Deregister) | Err(_) => self.withdraw(Ok(None)).await,
        }
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
                self.take_back_policy(&error);
                self.tell(Err(error));
            }
        }
    }

    /// Waits for the next check; changes the policy, and takes note of what becomes of the registration meanwhile. Returns early
    /// if a registrar refuses it. Cancel-safe, but for a change that nobody hears of then.
    async fn pause(&mut self) -> Option<RegisterError> {
        let mut pause = std::pin::pin!(tokio::time::sleep(self.check.interval.max(Duration::from_millis(1))));
        loop {
            let standing = tokio::select! {
                biased;
                // First: however many changes come, the server is checked.
                () = &mut pause => return None,
                Some(change) = self.changes.recv() => {
                    // Nobody waits for it if that fails.
                    let _ = change.done.send(self.change(change.policy).await);
                    continue;
                }
                standing = standing_changed(&mut self.element) => standing,
            };
            match standing {
                Ok(id) => self.is_registered_as(id),
                Err(error) if is_final(&error) => return Some(error),
                // The endpoint goes on looking for a registrar, or for room; if it has stopped there is nothing to wait for.
                Err(error) => {
                    let stopped = matches!(error, RegisterError::Endpoint(_));
                    self.tell(Err(error));
                    if stopped {
                        pause.await;
                        return None;
                    }
                }
            }
        }
    }

    /// The registration has another policy from now on, the present one and those to come.
    async fn change(&mut self, change: PolicyChange) -> Result<(), RegisterError> {
        let mut policy = self.registration.policy.clone();
        match change {
            PolicyChange::Load(load) => {
                if !policy.set_load(load) {
                    return Err(
                        EndpointError::Invalid("the policy of this server does not go by its load").into()
                    );
                }
                if let Some(element) = &self.element {
                    element.set_load(load).await?;
                }
            }
            PolicyChange::Policy(new) => {
                policy = new;
                if let Some(element) = &self.element {
                    element.set_policy(policy.clone()).await?;
                }
            }
        }
        self.former = Some(std::mem::replace(&mut self.registration.policy, policy));
        Ok(())
    }

    /// What a registrar refuses is taken back.
    fn take_back_policy(&mut self, error: &RegisterError) {
        if let RegisterError::Rejected { reasons, .. } = error
            && reasons.iter().any(|reason| matches!(reason, Rejection::Policy(_)))
            && let Some(former) = self.former.take()
        {
            self.registration.policy = former;
        }
    }

    /// A registrar does not want it, and the endpoint would ask only the next one: it joins anew after the next check.
    async fn refused(&mut self, error: Option<RegisterError>) {
        let Some(error) = error else { return };
        let pool = &self.registration.handle;
        tracing::warn!(%pool, %error, "the server is ready, but not registered any more");
        self.find_another_identifier(&error);
        self.take_back_policy(&error);
        self.withdraw(Err(error)).await;
    }

    async fn withdraw(&mut self, state: State) {
        if let Some(element) = self.take_out(state) {
            self.left = element.deregister().await;
            self.warn_if_not_left();
        }
    }

    async fn drain(&mut self) {
        if let Some(element) = self.take_out(Ok(None)) {
            self.left = element.drain(self.grace).await;
            self.warn_if_not_left();
        }
    }

    fn take_out(&mut self, state: State) -> Option<Element> {
        let element = self.element.take()?;
        self.failures = 0;
        self.tell(state);
        Some(element)
    }

    fn warn_if_not_left(&self) {
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

/// What becomes of the registration; never anything without one.
async fn standing_changed(element: &mut Option<Element>) -> Result<PeIdentifier, RegisterError> {
    match element {
        Some(element) => element.standing_changed().await,
        None => std::future::pending().await,
    }
}

/// Whether the endpoint does not ask again by itself.
fn is_final(error: &RegisterError) -> bool {
    matches!(error, RegisterError::Rejected { reasons, .. } if !reasons.iter().any(|reason| *reason == Rejection::NoRoom))
}
