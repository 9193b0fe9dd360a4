//! Descriptors that the runtime watches, for edges: what was ready earlier is not remembered.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch when something becomes readable. Must be called inside a tokio runtime.
#[allow(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
pub(crate) fn watch(watched: &impl AsFd) -> io::Result<AsyncFd<OwnedFd>> {
    // A descriptor of its own for the same object, so that neither has to outlive the other.
    let own = watched.as_fd().try_clone_to_owned()?;
    // SAFETY: the descriptor is open and the same until it is dropped, which the `AsyncFd` does only after it has
    // deregistered it; nobody can replace it, for only shared references are handed out.
    unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) }.map_err(io::Error::from)
}

/// Whether it has become readable since this was last asked; the task is woken when it does from now on.
pub(crate) fn is_news(descriptor: &AsyncFd<OwnedFd>, cx: &mut Context<'_>) -> io::Result<bool> {
    let mut news = false;
    while let Poll::Ready(guard) = descriptor.poll_read_ready(cx) {
        guard?.clear_ready();
        news = true;
    }
    Ok(news)
}
