//! The reference application (design §8): a counter whose every lost or doubled operation shows.
//!
//! The client numbers its operations from 1 and waits for each answer. The server counts, and has its whole state
//! in the cookie, which it sends before the answer: who saw the answer holds the cookie that covers it. An operation
//! whose answer was not seen is sent again after a failover; the cookie shows whether it was done, so that a
//! repetition is only answered. Hence the answer to operation `n` is `n`, whatever has failed in between and
//! however often: the state travels with the client alone.

use bytes::Bytes;

/// The server's state of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    last: u64,
    count: u64,
}

impl Counter {
    /// Reads a cookie; `None` if it is none of ours.
    pub fn from_cookie(cookie: &[u8]) -> Option<Self> {
        let (last, count) = cookie.split_at_checked(8)?;
        Some(Self { last: number(last)?, count: number(count)? })
    }

    /// The state as a cookie.
    pub fn cookie(self) -> Bytes {
        Bytes::from([self.last.to_be_bytes(), self.count.to_be_bytes()].concat())
    }

    /// Does an operation unless it is the last one again, and says the answer.
    pub fn handle(&mut self, operation: u64) -> u64 {
        if operation != self.last {
            *self = Self { last: operation, count: self.count + 1 };
        }
        self.count
    }
}

/// An operation or an answer as a message.
pub fn message(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The other way round.
pub fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repetition is answered and not done again, also by another server that has the cookie.
    #[test]
    fn an_operation_is_done_once() {
        let mut counter = Counter::default();
        assert_eq!([1, 2, 2].map(|operation| counter.handle(operation)), [1, 2, 2]);
        let mut other = Counter::from_cookie(&counter.cookie()).unwrap();
        assert_eq!([2, 3].map(|operation| other.handle(operation)), [2, 3]);
        assert_eq!(Counter::default().handle(3), 1, "a server without the cookie gives itself away");
    }
}
