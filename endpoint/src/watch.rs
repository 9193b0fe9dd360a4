//! Following the changes of a pool.

use crate::{AsapEndpoint, EndpointError, Resolution, ResolveError};
use futures_core::Stream;
use params::PoolHandle;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::watch::{self, error::RecvError};

/// What is known of a pool; nothing before the first answer.
pub(crate) type PoolState = Option<Result<Resolution, ResolveError>>;

type State = watch::Receiver<PoolState>;

/// A receiver, and whether there is something new in it; an error if there never will be.
type Change = (State, Result<(), RecvError>);

/// The elements of a pool, now and after each change. Whoever drops the last watch of a pool ends the subscription.
///
/// [`Watch::changed`] waits for the next change. As a [`Stream`] it has the same items, so that it can be merged and
/// mapped with the means of the `futures` crates; it ends when the endpoint has.
#[must_use = "a pool is watched until this is dropped"]
pub struct Watch {
    /// Waits for the next change, and gives the receiver back: the channel itself cannot be polled.
    change: Pin<Box<dyn Future<Output = Change> + Send + Sync>>,
    /// The endpoint has ended, and that was told.
    ended: bool,
    watched: Watched,
}

/// Dropped after the receiver, so that the endpoint's thread sees that it is gone.
#[derive(Debug)]
struct Watched {
    pool: PoolHandle,
    endpoint: AsapEndpoint,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.endpoint.stop_watching(&self.pool);
    }
}

impl Watch {
    pub(crate) fn new(mut state: State, pool: PoolHandle, endpoint: AsapEndpoint) -> Self {
        if state.borrow().is_some() {
            state.mark_changed();
        }
        Self { change: Box::pin(next_change(state)), ended: false, watched: Watched { pool, endpoint } }
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.watched.pool
    }

    /// The elements now, at the first call, and after that each time that elements have come, gone, or changed their
    /// transport or policy. Changes in quick succession may come as one: what counts is what there is. Cancel-safe.
    ///
    /// # Errors
    /// Why there are no elements to offer. The watch goes on: call it again, unless the endpoint does not work any more
    /// ([`ResolveError::Endpoint`]).
    pub async fn changed(&mut self) -> Result<Resolution, ResolveError> {
        let next = std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context));
        next.await.unwrap_or_else(|| Err(EndpointError::stopped().into()))
    }
}

impl Stream for Watch {
    type Item = Result<Resolution, ResolveError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.ended {
            let (mut state, changed) = ready!(self.change.as_mut().poll(context));
            self.ended = changed.is_err();
            let news = match changed {
                Ok(()) => state.borrow_and_update().clone(),
                Err(_) => Some(Err(EndpointError::stopped().into())),
            };
            self.change = Box::pin(next_change(state));
            if news.is_some() {
                return Poll::Ready(news);
            }
        }
        Poll::Ready(None)
    }
}

async fn next_change(mut state: State) -> Change {
    let changed = state.changed().await;
    (state, changed)
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("pool", self.pool()).field("ended", &self.ended).finish_non_exhaustive()
    }
}
