//! Following the changes of a pool.

use crate::{AsapEndpoint, EndpointError, Resolution, ResolveError};
use params::PoolHandle;
use tokio::sync::watch;

/// What is known of a pool; nothing before the first answer.
pub(crate) type PoolState = Option<Result<Resolution, ResolveError>>;

/// The elements of a pool, now and after each change. Whoever drops the last watch of a pool ends the subscription.
#[derive(Debug)]
pub struct Watch {
    state: watch::Receiver<PoolState>,
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
    pub(crate) fn new(
        mut state: watch::Receiver<PoolState>,
        pool: PoolHandle,
        endpoint: AsapEndpoint,
    ) -> Self {
        if state.borrow().is_some() {
            state.mark_changed();
        }
        Self { state, watched: Watched { pool, endpoint } }
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
    pub async fn next(&mut self) -> Result<Resolution, ResolveError> {
        loop {
            self.state.changed().await.map_err(|_| EndpointError::stopped())?;
            if let Some(result) = self.state.borrow_and_update().clone() {
                return result;
            }
        }
    }
}
