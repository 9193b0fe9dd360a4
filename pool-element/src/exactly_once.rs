//! Each operation of a session once, whatever happens to its servers.

use crate::{Session, SessionError};
use bytes::Bytes;

/// Before a request and its answer: its number.
const NUMBER: usize = 8;
/// Before the answer in a cookie: the number of the last operation, and the length of the answer.
const HEADER: usize = NUMBER + 4;

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
    /// The last operation that was done, as the cookie has it; 0 before the first.
    last: u64,
    answer: Bytes,
    state: Option<Bytes>,
    /// The operation that [`ExactlyOnce::next`] has returned and that has no answer yet.
    current: Option<u64>,
}

impl ExactlyOnce {
    /// The operations of this session.
    pub fn new(session: Session) -> Self {
        Self { session, last: 0, answer: Bytes::new(), state: None, current: None }
    }

    /// The next operation; `None` when the client ended the session, or the element is being drained. Repeats are answered
    /// without being returned. An operation that was not answered is forgotten. Cancel-safe.
    ///
    /// # Errors
    /// As [`Session::recv`], and if the client does not number its requests, or comes with a cookie that is none of an
    /// `ExactlyOnce`.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SessionError> {
        self.current = None;
        loop {
            let draining = self.session.draining();
            let request = tokio::select! {
                biased;
                () = draining => None,
                request = self.session.recv() => request?,
            };
            let Some(mut request) = request else { return Ok(None) };
            self.take_up()?;
            let number = take_number(&mut request)
                .filter(|number| *number >= self.last && *number > 0)
                .ok_or(SessionError::Unexpected("a request without its number, or out of turn"))?;
            if number > self.last {
                self.current = Some(number);
                return Ok(Some(request));
            }
            self.session.send(message(number, &self.answer)).await?;
        }
    }

    /// What the last operation has left; `None` before the first. To be asked for after [`ExactlyOnce::next`], whose
    /// operation it belongs to.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
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
        let number = self.current.ok_or(SessionError::Unexpected("an answer without a request"))?;
        let (answer, state) = (answer.as_ref(), state.as_ref());
        self.session.set_cookie(cookie(number, answer, state)).await?;
        self.current = None;
        self.last = number;
        self.answer = Bytes::copy_from_slice(answer);
        self.state = Some(Bytes::copy_from_slice(state));
        self.session.send(message(number, answer)).await
    }

    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Takes the state from the cookie that the session came with. That is here before the first request at the latest.
    fn take_up(&mut self) -> Result<(), SessionError> {
        if self.state.is_some() {
            return Ok(());
        }
        let Some(cookie) = self.session.cookie() else { return Ok(()) };
        let (last, answer, state) = split_cookie(cookie)
            .ok_or_else(|| SessionError::CookieRefused("it is not that of an exactly-once session".into()))?;
        self.last = last;
        self.answer = Bytes::copy_from_slice(answer);
        self.state = Some(Bytes::copy_from_slice(state));
        Ok(())
    }
}

fn take_number(request: &mut Bytes) -> Option<u64> {
    let number = u64::from_be_bytes(*request.first_chunk::<NUMBER>()?);
    *request = request.slice(NUMBER..);
    Some(number)
}

fn message(number: u64, content: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), content].concat()
}

fn cookie(number: u64, answer: &[u8], state: &[u8]) -> Vec<u8> {
    let mut cookie = Vec::with_capacity(HEADER + answer.len() + state.len());
    cookie.extend_from_slice(&number.to_be_bytes());
    // One that is longer than 32 bits can say is no cookie anyway.
    cookie.extend_from_slice(&u32::try_from(answer.len()).unwrap_or(u32::MAX).to_be_bytes());
    cookie.extend_from_slice(answer);
    cookie.extend_from_slice(state);
    cookie
}

fn split_cookie(cookie: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (number, rest) = cookie.split_first_chunk::<NUMBER>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (answer, state) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((u64::from_be_bytes(*number), answer, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_comes_apart_as_it_was_put_together() {
        for (answer, state) in
            [(&b"answer"[..], &b"state"[..]), (b"", b"state"), (b"answer", b""), (b"", b"")]
        {
            let whole = cookie(7, answer, state);
            assert_eq!(split_cookie(&whole), Some((7, answer, state)));
            for length in 0..HEADER + answer.len() {
                assert_eq!(split_cookie(&whole[..length]), None, "{length} bytes");
            }
        }
    }
}
