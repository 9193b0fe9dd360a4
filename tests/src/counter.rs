//! The reference application (design §8): a counter whose every lost or doubled operation shows.
//!
//! It is an exactly-once session of the libraries ([`proto::exactly_once`]): the client numbers its operations from 1 and
//! waits for each answer, the server's whole state is in the cookie, which it sends before the answer. Hence the
//! answer to operation `n` is `n`, whatever has failed in between and however often: the state travels with the client
//! alone. State and answers name the session, so one that gets the state of another shows as well.

use crate::network::{HostId, Role};
use bytes::Bytes;
use proto::endpoint::SessionId;
use proto::exactly_once::{Done, Operations};

/// Names a session of a process of users: its host and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    host: u16,
    session: u64,
}

impl Tag {
    /// The name of a session.
    pub fn new(host: HostId, session: SessionId) -> Self {
        Self { host: host.number, session: session.0 }
    }

    /// The host of its process.
    pub fn host(self) -> HostId {
        HostId { role: Role::User, number: self.host }
    }

    /// As what every operation of the session asks for.
    pub fn encode(self) -> Vec<u8> {
        [&self.host.to_be_bytes()[..], &self.session.to_be_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (host, session) = bytes.split_first_chunk()?;
        let session = session.try_into().ok()?;
        Some(Self { host: u16::from_be_bytes(*host), session: u64::from_be_bytes(session) })
    }
}

/// What a server knows of a session: the answer to its last operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whose.
    pub tag: Tag,
    /// How many operations were done.
    pub count: u64,
}

impl Count {
    /// Reads an answer or a state.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, tag) = bytes.split_first_chunk()?;
        Some(Self { tag: Tag::decode(tag)?, count: u64::from_be_bytes(*count) })
    }

    fn encode(self) -> Bytes {
        [&self.count.to_be_bytes()[..], &self.tag.encode()].concat().into()
    }
}

/// The server's side of a session.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    operations: Operations,
}

impl Counter {
    /// A session that comes with a cookie.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn resume(cookie: &Bytes) -> Result<Self, &'static str> {
        Ok(Self { operations: Operations::resume(cookie).ok_or("a cookie that nobody has set")? })
    }

    /// How many operations were done, as far as it knows.
    pub fn done(&self) -> u64 {
        self.operations.last().map_or(0, Done::number)
    }

    /// Whose session it is, once an operation was done.
    pub fn tag(&self) -> Option<Tag> {
        Some(Count::decode(self.operations.last()?.state())?.tag)
    }

    /// Does what a message asks for unless that was done; says what is to be given to the client, the cookie and then the
    /// answer.
    ///
    /// # Errors
    /// The client should not have sent that, or the cookie was that of another session.
    pub fn serve(&mut self, message: &Bytes) -> Result<&Done, &'static str> {
        if let Some(request) = self.operations.take(message).map_err(|error| error.0)? {
            let tag = Tag::decode(&request).ok_or("a request that nobody has sent")?;
            let before = match self.operations.last() {
                Some(last) => Count::decode(last.state()).filter(|before| before.tag == tag),
                None => Some(Count { tag, count: 0 }),
            };
            let before = before.ok_or("a session with the state of another")?;
            let after = Count { count: before.count + 1, ..before }.encode();
            let done = self.operations.done(after.clone(), after).map_err(|error| error.0)?;
            self.operations.finish(done);
        }
        self.operations.last().ok_or("a repetition of nothing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use proto::exactly_once::Calls;

    fn tag(session: u64) -> Tag {
        Tag::new(HostId { role: Role::User, number: 7 }, SessionId(session))
    }

    #[test]
    fn every_server_counts_on() {
        let mut calls = Calls::default();
        let mut counter = Counter::default();
        for expected in 1..=5 {
            let request = calls.request(&tag(1).encode());
            let done = counter.serve(&request).unwrap();
            let answer = calls.answer(&done.answer()).unwrap().unwrap();
            assert_eq!(Count::decode(&answer), Some(Count { tag: tag(1), count: expected }));
            counter = Counter::resume(&done.cookie()).unwrap();
            assert_eq!(
                counter.clone().serve(&request).unwrap().answer(),
                counter.serve(&request).unwrap().answer()
            );
        }
    }

    #[test]
    fn a_server_without_the_cookie_or_with_another_gives_itself_away() {
        let (mut one, mut other) = (Calls::default(), Calls::default());
        let mut counter = Counter::default();
        counter.serve(&one.request(&tag(1).encode())).unwrap();
        other.request(b"");
        let request = other.request(&tag(2).encode());
        assert_eq!(Count::decode(Counter::default().serve(&request).unwrap().state()).unwrap().count, 1);
        assert!(counter.serve(&request).is_err());
    }
}
