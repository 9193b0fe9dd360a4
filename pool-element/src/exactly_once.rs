//! Each operation of a session once, whatever happens to its servers.

use crate::{Session, SessionError};
use bytes::Bytes;
use endpoint::exactly_once::{Operations, Unexpected};

/// Why a session with a cookie of something else is refused.
const FOREIGN_COOKIE: &str = "it is not that of an exactly-once session";

/// The server's side of a session in which each operation of the client is done exactly once. The client's side is the type
/// of the same name of the library for clients.
///
/// The client numbers its requests. The cookie holds the number of the last one, with its answer and the state that
/// the operation has left: a client that repeats a request at the next server gets the answer that it has missed, and nothing
/// is done again. So "once" goes for what is in the state; what else an operation does (say, to a database) it
/// may do twice, if its server dies before the cookie is on its way.
///
/// ```no_run
/// # use rserpool_pool_element::{ExactlyOnce, Session, SessionError};
/// # async fn serve(session: Session) -> Result<(), SessionError> {
/// let mut session = ExactlyOnce::new(session);
/// while let Some(_request) = session.next().await? {
///     let count = session.state().map_or(0, |state| u64::from_be_bytes(state.try_into().unwrap_or_default()));
///     let count = (count + 1).to_be_bytes();
///     session.answer(count, count).await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// When its element is [drained](crate::PoolElement::drain) the session ends before the next request, and its client goes on
/// elsewhere: nothing is to be done for that.
///
/// A request and an answer are an ordered message on stream 0 that begins with the number, 8 bytes in network byte
/// order. The cookie: the number, the length of the answer in 4 bytes, the answer, the state.
#[derive(Debug)]
#[must_use = "the session ends when this is dropped"]
pub struct ExactlyOnce {
    session: Session,
    operations: Operations,
    /// The last answer is to be sent again.
    owed: bool,
}

impl ExactlyOnce {
    /// The operations of this session.
    pub fn new(session: Session) -> Self {
        Self { session, operations: Operations::default(), owed: false }
    }

    /// The next operation; `None` when the client ended the session, or the element is being drained. Repeats are answered
    /// without being returned. An operation that was not answered is forgotten. Cancel-safe.
    ///
    /// # Errors
    /// As [`Session::recv`]; [`SessionError::Unexpected`] if the client does not number its requests;
    /// [`SessionError::CookieRefused`] if it comes with a cookie that is none of an `ExactlyOnce`. That session is
    /// [refused](Session::refuse_cookie), so that its client hears why.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SessionError> {
        self.operations.forget();
        loop {
            // The client has asked again for the last answer.
            if self.owed
                && let Some(last) = self.operations.last()
            {
                self.session.send(last.answer()).await?;
            }
            self.owed = false;
            let draining = self.session.draining();
            let request = tokio::select! {
                biased;
                () = draining => None,
                request = self.session.recv() => request?,
            };
            let Some(message) = request else { return Ok(None) };
            self.take_up()?;
            if let Some(request) = self.operations.take(&message).map_err(unexpected)? {
                return Ok(Some(request));
            }
            self.owed = true;
        }
    }

    /// What the last operation has left; `None` before the first. To be asked for after [`ExactlyOnce::next`], whose
    /// operation it belongs to.
    pub fn state(&self) -> Option<&[u8]> {
        self.operations.last().map(|last| &last.state()[..])
    }

    /// Answers the operation that [`ExactlyOnce::next`] has returned, and says what it has left: the client gets both, or
    /// neither. Together they have room in a cookie, 12 bytes less.
    ///
    /// When the future is dropped, or fails for another reason than the size, drop the session as well: its client goes on
    /// elsewhere with what it has.
    ///
    /// # Errors
    /// As [`Session::set_cookie`], and if there is no operation.
    pub async fn answer(
        &mut self,
        answer: impl AsRef<[u8]>,
        state: impl AsRef<[u8]>,
    ) -> Result<(), SessionError> {
        let [answer, state] = [answer.as_ref(), state.as_ref()].map(Bytes::copy_from_slice);
        let done = self.operations.done(answer, state).map_err(unexpected)?;
        self.session.set_cookie(done.cookie()).await?;
        let answer = self.operations.finish(done).answer();
        self.session.send(answer).await
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Takes the state from the cookie that the session came with. That is here before the first request at the latest.
    fn take_up(&mut self) -> Result<(), SessionError> {
        if self.operations.last().is_some() {
            return Ok(());
        }
        let Some(cookie) = self.session.cookie() else { return Ok(()) };
        let Some(operations) = Operations::resume(&Bytes::copy_from_slice(cookie)) else {
            self.session.reject(FOREIGN_COOKIE);
            return Err(SessionError::CookieRefused(FOREIGN_COOKIE.into()));
        };
        self.operations = operations;
        Ok(())
    }
}

fn unexpected(error: Unexpected) -> SessionError {
    SessionError::Unexpected(error.0)
}
