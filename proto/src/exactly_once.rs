//! Each operation of a session once, whatever happens to its servers: what client and server do for it, without I/O.
//!
//! The client numbers its requests ([`Calls`]), has one at a time under way, and repeats it after each failover. The server
//! remembers the last operation with its answer and the state that it has left ([`Operations`]), and puts that into the
//! cookie before it answers. So whoever gets the session next knows whether a request is a repetition, which is answered and
//! not done again. "Once" goes for what is in the state: what else an operation does may be done twice, if the server
//! dies before the cookie is on its way.
//!
//! A request and an answer are an ordered message on stream 0 that begins with the number, 8 bytes in network byte order.
//! The cookie: the number, the length of the answer in 4 bytes, the answer, the state.

use bytes::Bytes;

/// Before a request and its answer: its number.
const NUMBER: usize = 8;
/// Before the answer in a cookie: the number of the last operation, and the length of the answer.
const HEADER: usize = NUMBER + 4;

/// What the other side should not have sent, or the application should not have asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unexpected(pub &'static str);

/// The client's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// The number of the last request.
    last: u64,
}

impl Calls {
    /// The message for the next request: to be sent, and again after each failover until it is answered or given up.
    pub fn request(&mut self, request: &[u8]) -> Bytes {
        self.last += 1;
        message(self.last, request)
    }

    /// The answer to the last request, if this message of the server is it; `None`: it answers one that was given up.
    ///
    /// # Errors
    /// It answers none at all.
    pub fn answer(&self, message: &Bytes) -> Result<Option<Bytes>, Unexpected> {
        match split_message(message) {
            Some((number, answer)) if number == self.last => Ok(Some(answer)),
            Some((number, _)) if number < self.last => Ok(None),
            _ => Err(Unexpected("an answer without the number of its request")),
        }
    }
}

/// An operation that was done: what is in a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    number: u64,
    answer: Bytes,
    state: Bytes,
}

impl Done {
    /// Reads a cookie; `None` if it is not that of an exactly-once session.
    pub fn from_cookie(cookie: &Bytes) -> Option<Self> {
        let (number, rest) = cookie.split_first_chunk::<NUMBER>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (answer, state) = rest.split_at_checked(length)?;
        let [answer, state] = [answer, state].map(|part| cookie.slice_ref(part));
        Some(Self { number: u64::from_be_bytes(*number), answer, state })
    }

    /// The cookie: to be given to the client before the answer.
    pub fn cookie(&self) -> Bytes {
        let Self { number, answer, state } = self;
        let mut cookie = Vec::with_capacity(HEADER + answer.len() + state.len());
        cookie.extend_from_slice(&number.to_be_bytes());
        // One that is longer than 32 bits can say is no cookie anyway.
        cookie.extend_from_slice(&u32::try_from(answer.len()).unwrap_or(u32::MAX).to_be_bytes());
        cookie.extend_from_slice(answer);
        cookie.extend_from_slice(state);
        cookie.into()
    }

    /// The message with the answer.
    pub fn answer(&self) -> Bytes {
        message(self.number, &self.answer)
    }

    /// Its number; the first one is 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it has left.
    pub fn state(&self) -> &Bytes {
        &self.state
    }
}

/// The server's side of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    last: Option<Done>,
    /// The one that was taken and is not done.
    current: Option<u64>,
}

impl Operations {
    /// Those of a session that comes with a cookie; `None` if it is not that of an exactly-once session.
    pub fn resume(cookie: &Bytes) -> Option<Self> {
        Some(Self { last: Some(Done::from_cookie(cookie)?), current: None })
    }

    /// The operation that a message of the client asks for; `None`: that is the [`last`](Self::last) one, and only answered
    /// again. One that was taken before and is not done is forgotten.
    ///
    /// # Errors
    /// It asks for none, or for one before the last.
    pub fn take(&mut self, message: &Bytes) -> Result<Option<Bytes>, Unexpected> {
        self.forget();
        let last = self.last.as_ref().map_or(0, Done::number);
        let (number, request) = split_message(message)
            .filter(|(number, _)| *number >= last && *number > 0)
            .ok_or(Unexpected("a request without its number, or out of turn"))?;
        self.current = Some(number).filter(|number| *number > last);
        Ok(self.current.map(|_| request))
    }

    /// The operation that was taken is not done.
    pub fn forget(&mut self) {
        self.current = None;
    }

    /// The operation that was taken, with its answer and what it leaves. It counts as done with [`finish`](Self::finish): in
    /// between its cookie is given to the client, and may turn out to be too large.
    ///
    /// # Errors
    /// None was taken.
    pub fn done(&self, answer: impl Into<Bytes>, state: impl Into<Bytes>) -> Result<Done, Unexpected> {
        let number = self.current.ok_or(Unexpected("an answer without a request"))?;
        Ok(Done { number, answer: answer.into(), state: state.into() })
    }

    /// The operation is done.
    pub fn finish(&mut self, done: Done) -> &Done {
        self.forget();
        self.last.insert(done)
    }

    /// The last operation that was done; `None` before the first.
    pub fn last(&self) -> Option<&Done> {
        self.last.as_ref()
    }
}

fn message(number: u64, content: &[u8]) -> Bytes {
    [&number.to_be_bytes(), content].concat().into()
}

fn split_message(message: &Bytes) -> Option<(u64, Bytes)> {
    let number = u64::from_be_bytes(*message.first_chunk::<NUMBER>()?);
    Some((number, message.slice(NUMBER..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_comes_apart_as_it_was_put_together() {
        for (answer, state) in
            [(&b"answer"[..], &b"state"[..]), (b"", b"state"), (b"answer", b""), (b"", b"")]
        {
            let [answer, state] = [answer, state].map(Bytes::from_static);
            let done = Done { number: 7, answer, state };
            let cookie = done.cookie();
            for length in 0..HEADER + done.answer.len() {
                assert_eq!(Done::from_cookie(&cookie.slice(..length)), None, "{length} bytes");
            }
            assert_eq!(Done::from_cookie(&cookie), Some(done));
        }
    }

    /// A repetition is answered and not done again, also by another server that has the cookie.
    #[test]
    fn an_operation_is_done_once() {
        let mut calls = Calls::default();
        let mut operations = Operations::default();
        let first = calls.request(b"first");
        assert_eq!(operations.take(&first), Ok(Some(Bytes::from_static(b"first"))));
        let done = operations.done("answer", "state").unwrap();
        let answer = operations.finish(done).answer();
        assert_eq!(calls.answer(&answer), Ok(Some(Bytes::from_static(b"answer"))));

        let cookie = operations.last().unwrap().cookie();
        for mut operations in [operations, Operations::resume(&cookie).unwrap()] {
            assert_eq!(operations.take(&first), Ok(None));
            let last = operations.last().unwrap();
            assert_eq!((last.answer(), &last.state()[..]), (answer.clone(), &b"state"[..]));
            let mut calls = calls;
            assert_eq!(operations.take(&calls.request(b"")), Ok(Some(Bytes::new())));
        }
    }

    /// One that was begun and has no answer is begun again; an answer to a request that was given up is passed over.
    #[test]
    fn what_is_given_up_does_not_count() {
        let mut calls = Calls::default();
        let mut operations = Operations::default();
        let first = calls.request(b"");
        assert!(operations.take(&first).unwrap().is_some());
        assert!(operations.take(&first).unwrap().is_some());
        let done = operations.done("", "").unwrap();
        let late = operations.finish(done).answer();
        calls.request(b"");
        assert_eq!(calls.answer(&late), Ok(None));
    }

    #[test]
    fn what_has_no_number_or_a_wrong_one_is_refused() {
        let mut operations =
            Operations::resume(&Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0])).unwrap();
        for wrong in [&b"short"[..], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 4]] {
            assert!(operations.take(&Bytes::from_static(wrong)).is_err(), "{wrong:?}");
        }
        assert!(operations.done("", "").is_err());
        let mut calls = Calls::default();
        calls.request(b"");
        for wrong in [&b"short"[..], &[0, 0, 0, 0, 0, 0, 0, 2]] {
            assert!(calls.answer(&Bytes::from_static(wrong)).is_err(), "{wrong:?}");
        }
    }
}
