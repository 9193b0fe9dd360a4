//! Each operation of a session once, whatever happens to its servers.

use crate::{Received, Session, SessionError};
use bytes::Bytes;

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
    /// The number of the last request.
    last: u64,
}

impl ExactlyOnce {
    /// A session in which nothing was sent yet.
    pub fn new(session: Session) -> Self {
        Self { session, last: 0 }
    }

    /// Has the server do an operation, once; returns its answer.
    ///
    /// When the future is dropped, and when it fails, the operation was done once or not at all. The session goes on
    /// unless it has ended; set a deadline with `tokio::time::timeout`.
    ///
    /// # Errors
    /// As [`Session::send`] and [`Session::recv`], and if the server does not number its answers.
    pub async fn call(&mut self, request: impl AsRef<[u8]>) -> Result<Bytes, SessionError> {
        self.last += 1;
        let request = [&self.last.to_be_bytes(), request.as_ref()].concat();
        loop {
            self.session.send(&request).await?;
            if let Some(answer) = self.answer().await? {
                return Ok(answer);
            }
        }
    }

    /// The answer to the last request; `None` if there was a failover.
    async fn answer(&mut self) -> Result<Option<Bytes>, SessionError> {
        loop {
            let Received::Message(answer) = self.session.recv().await? else { return Ok(None) };
            match answer.split_first_chunk() {
                Some((number, _)) if u64::from_be_bytes(*number) == self.last => {
                    return Ok(Some(answer.slice(8..)));
                }
                // To a call that was given up.
                Some((number, _)) if u64::from_be_bytes(*number) < self.last => (),
                _ => return Err(SessionError::Unexpected("an answer without the number of its request")),
            }
        }
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Ends the session in order.
    pub async fn close(self) -> Result<(), SessionError> {
        self.session.close().await
    }
}
