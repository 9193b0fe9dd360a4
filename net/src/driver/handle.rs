//! The way to the machine from other threads: bounded commands, one-shot answers.

use super::transport::BackendCounters;
use proto::Time;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Calls that may wait for the thread at once; further ones wait for their turn in [`Handle::call`].
const MAX_CALLS: usize = 256;
/// Commands that may wait at once, [`Handle::try_call`]s included. Those come from destructors, so there are
/// never more than objects alive.
const MAX_COMMANDS: usize = 1 << 16;

/// The endpoint thread has ended; why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the endpoint thread has ended: {reason}")]
pub struct Stopped {
    /// What [`Handle::stop`] was given, or what went wrong.
    pub reason: String,
}

/// Why a call was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The endpoint thread has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Too many commands wait for the thread.
    #[error("too many commands wait for the endpoint thread")]
    Full,
}

/// What an endpoint has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Where its socket is.
    pub local: SocketAddr,
    /// What its backend has counted.
    pub backend: BackendCounters,
}

/// Something to do with the machine, on its thread.
type Call<N> = Box<dyn FnOnce(&mut N, Time) + Send>;

/// A command as it waits for the thread.
pub(super) enum Command<N> {
    /// Do this with the machine. The permit returns when it is done.
    Call(Call<N>, Option<OwnedSemaphorePermit>),
    /// Tell the counters of the endpoints.
    Counters(oneshot::Sender<Vec<EndpointCounters>>),
    /// End in order.
    Stop(Stop<N>),
}

/// How to end.
pub(super) struct Stop<N> {
    pub(super) begin: Call<N>,
    pub(super) done: Box<dyn Fn(&N) -> bool + Send>,
    pub(super) limit: Duration,
}

/// What the thread holds of its handles.
pub(super) struct Receiver<N> {
    // Dropped in this order: the reason is there before anybody sees the channel closed.
    ended: Ended,
    pub(super) commands: mpsc::Receiver<Command<N>>,
}

impl<N> Receiver<N> {
    /// Says why the thread ends, unless somebody said so before.
    pub(super) fn end(&self, reason: String) {
        self.ended.0.get_or_init(|| reason);
    }
}

/// Gives a reason if the thread ends without one.
struct Ended(Arc<OnceLock<String>>);

impl Drop for Ended {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() { "it panicked" } else { "its last handle was dropped" };
        self.0.get_or_init(|| reason.to_owned());
    }
}

/// Reaches a machine on its endpoint thread. Clones share it; the thread ends when the last one is dropped,
/// after it has sent what the machine had to send, or by [`Handle::stop`].
pub struct Handle<N> {
    commands: mpsc::Sender<Command<N>>,
    calls: Arc<Semaphore>,
    addresses: Arc<[SocketAddr]>,
    reason: Arc<OnceLock<String>>,
}

impl<N> Clone for Handle<N> {
    fn clone(&self) -> Self {
        Self {
            commands: self.commands.clone(),
            calls: self.calls.clone(),
            addresses: self.addresses.clone(),
            reason: self.reason.clone(),
        }
    }
}

impl<N> std::fmt::Debug for Handle<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

pub(super) fn new<N>(addresses: Vec<SocketAddr>) -> (Handle<N>, Receiver<N>) {
    let (sender, receiver) = mpsc::channel(MAX_COMMANDS);
    let reason = Arc::new(OnceLock::new());
    let handle = Handle {
        commands: sender,
        calls: Arc::new(Semaphore::new(MAX_CALLS)),
        addresses: addresses.into(),
        reason: reason.clone(),
    };
    (handle, Receiver { ended: Ended(reason), commands: receiver })
}

impl<N: 'static> Handle<N> {
    /// Where the endpoints listen, in the order of [`DriverConfig::listen`](super::DriverConfig::listen).
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Runs `f` with the machine on its thread and returns what it returns. `f` must not block.
    ///
    /// Waits while too many calls wait already. If the future is dropped, `f` either never runs, or runs and its
    /// result is dropped, on the endpoint thread. Calls and [`try_call`](Self::try_call)s run in the order in
    /// which they were queued.
    pub async fn call<R, F>(&self, f: F) -> Result<R, Stopped>
    where
        R: Send + 'static,
        F: FnOnce(&mut N, Time) -> R + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let permit = self.calls.clone().acquire_owned().await.ok();
        let command: Call<N> = Box::new(move |node, now| drop(answer.send(f(node, now))));
        let queued = self.commands.send(Command::Call(command, permit)).await;
        queued.map_err(|_| self.stopped())?;
        self.answer(result).await
    }

    /// Queues `f` and returns at once: for destructors. Never blocks, and may be called on any thread, the
    /// endpoint's too. `Full` is returned only when tens of thousands wait.
    pub fn try_call<F>(&self, f: F) -> Result<(), CallError>
    where
        F: FnOnce(&mut N, Time) + Send + 'static,
    {
        self.commands.try_send(Command::Call(Box::new(f), None)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Full,
            mpsc::error::TrySendError::Closed(_) => self.stopped().into(),
        })
    }

    /// What the endpoints have counted, in the order of [`Self::local_addresses`]; those that share a socket count
    /// together.
    pub async fn counters(&self) -> Result<Vec<EndpointCounters>, Stopped> {
        let (answer, result) = oneshot::channel();
        self.commands.send(Command::Counters(answer)).await.map_err(|_| self.stopped())?;
        self.answer(result).await
    }

    /// Ends the thread in order and returns at once; await [`closed`](Self::closed) for the end.
    ///
    /// `begin` tells the machine to take its leave (deregister, shut its associations down). The loop goes on
    /// until `done` says that it has, at most for `limit`; then it sends what is left and closes the sockets.
    /// Every later call returns [`Stopped`] with `reason`. Only the first stop counts.
    pub fn stop<B, D>(&self, reason: &str, limit: Duration, begin: B, done: D)
    where
        B: FnOnce(&mut N, Time) + Send + 'static,
        D: Fn(&N) -> bool + Send + 'static,
    {
        if self.reason.set(reason.to_owned()).is_ok() {
            let stop = Stop { begin: Box::new(begin), done: Box::new(done), limit };
            // If the queue is full the thread is not to be had anyway; dropping the handles ends it then.
            let _ = self.commands.try_send(Command::Stop(stop));
        }
    }

    /// Waits until the thread has ended and its ports are free; returns why.
    pub async fn closed(&self) -> Stopped {
        self.commands.closed().await;
        self.stopped()
    }

    /// Whether the thread has ended.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// A command goes without an answer only when the thread ends; the reason is known when it has.
    async fn answer<R>(&self, result: oneshot::Receiver<R>) -> Result<R, Stopped> {
        match result.await {
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.closed().await),
        }
    }

    fn stopped(&self) -> Stopped {
        // Set before the channel closes, see `Ended`.
        Stopped { reason: self.reason.get().cloned().unwrap_or_default() }
    }
}
