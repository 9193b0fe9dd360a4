//! Stands in for the driver until that is there.
use crate::EndpointError;
use proto::Time;
use std::marker::PhantomData;

#[derive(Debug)]
pub(crate) struct Handle<N>(PhantomData<fn(N)>);

impl<N> Handle<N> {
    #[expect(clippy::unused_async, reason = "stand-in")]
    pub(crate) async fn call<R>(&self, command: impl FnOnce(&mut N, Time) -> R) -> Result<R, EndpointError> {
        let _ = command;
        Err(EndpointError::Stopped)
    }
    pub(crate) fn try_post(&self, command: impl FnOnce(&mut N, Time)) {
        let _ = command;
    }
}
