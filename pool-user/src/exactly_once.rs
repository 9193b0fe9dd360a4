//! Each operation of a session once, whatever happens to its servers.

use crate::{Received, Session, SessionError};
use bytes::Bytes;
use endpoint::SendOptions;
use endpoint::exactly_once::Calls;

/// The client's side of a session in which each operation is done exactly once. The server's side is the type of the same
/// name of the library for servers.
///
/// ```no_run
/// # use rserpool_pool_user::{ExactlyOnce, PoolUser};
/// # async fn client(user: PoolUser) -> Result<(), rserpool_pool_user::SessionError> {
/// let mut session = ExactlyOnce::new(user.connect("counter").await?);
/// let answer = session.call(b"one more").await?;
/// # Ok(())
/// # }
/// ```
///
/// Requests are numbered, and repeated after a failover. The server recognises a repeat by its cookie.
#[derive(Debug)]
#[must_use = "the session ends when this is dropped"]
pub struct ExactlyOnce {
    session: Session,
    calls: Calls,
}

impl ExactlyOnce {
    /// A session in which nothing was sent yet.
    pub fn new(session: Session) -> Self {
        Self { session, calls: Calls::default() }
    }

    /// Has the server do an operation, once; returns its answer.
    ///
    /// When the future is dropped, and when it fails, the operation was done once or not at all. The session goes on
    /// unless it has ended; set a deadline with `tokio::time::timeout`.
    ///
    /// # Errors
    /// As [`Session::send`] and [`Session::recv`], and if the server does not number its answers.
    pub async fn call(&mut self, request: impl AsRef<[u8]>) -> Result<Bytes, SessionError> {
        let request = self.calls.request(request.as_ref());
        loop {
            self.session.send_receiving(&request, SendOptions::default()).await?;
            if let Some(answer) = self.answer().await? {
                return Ok(answer);
            }
        }
    }

    /// The answer to the last request; `None` if there was a failover.
    async fn answer(&mut self) -> Result<Option<Bytes>, SessionError> {
        loop {
            let message = match self.session.recv().await? {
                Received::Message(message) => message,
                Received::Failover { replayed: true, .. } => continue,
                Received::Failover { .. } => return Ok(None),
            };
            let answer = self.calls.answer(&message).map_err(|error| SessionError::Unexpected(error.0))?;
            if answer.is_some() {
                return Ok(answer);
            }
        }
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends the session in order. On an error nothing is lost that was answered. Whoever stops waiting does not stop it.
    pub async fn close(self) -> Result<(), SessionError> {
        self.session.close().await
    }
}
