//! The CalcApp protocol of rsplib: SCTP payload protocol identifier 34. Numbers are big-endian.
//!
//! ```text
//! Message  type (8) | flags 0 (8) | length 24 (16) | job (32) | calculations (64) | of them done (64)
//! Cookie   job (32) | calculations (64) | of them done (64)
//! ```

#![allow(dead_code, reason = "the server needs what the client does not, and the other way round")]

/// SCTP payload protocol identifier.
pub(crate) const PPID: u32 = 34;
/// The pool, unless told otherwise.
pub(crate) const POOL: &str = "CalcAppPool";

/// What a message says about its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Do it.
    Request = 1,
    /// It is being done.
    Accept,
    /// There is too much to do.
    Reject,
    /// Do not go on with it.
    Abort,
    /// It is done.
    Complete,
    /// Are you there?
    KeepAlive,
    /// Yes.
    KeepAliveAck,
}

/// So many calculations, and how many of them are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) number: u32,
    pub(crate) size: u64,
    pub(crate) completed: u64,
}

impl Job {
    /// The message that says this about the job.
    pub(crate) fn message(self, kind: Kind) -> Vec<u8> {
        [&[kind as u8, 0, 0, 24], self.cookie().as_slice()].concat()
    }

    /// The cookie with which another server goes on.
    pub(crate) fn cookie(self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &self.size.to_be_bytes(), &self.completed.to_be_bytes()].concat()
    }

    pub(crate) fn from_cookie(cookie: &[u8]) -> Option<Self> {
        let (number, rest) = cookie.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let completed = rest.try_into().ok()?;
        Some(Self {
            number: u32::from_be_bytes(*number),
            size: u64::from_be_bytes(*size),
            completed: u64::from_be_bytes(completed),
        })
    }
}

/// What a message says, and of which job.
pub(crate) fn decode(message: &[u8]) -> Option<(Kind, Job)> {
    let [kind, _flags, 0, 24, body @ ..] = message else { return None };
    let kind = match kind {
        1 => Kind::Request,
        2 => Kind::Accept,
        3 => Kind::Reject,
        4 => Kind::Abort,
        5 => Kind::Complete,
        6 => Kind::KeepAlive,
        7 => Kind::KeepAliveAck,
        _ => return None,
    };
    Some((kind, Job::from_cookie(body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Job = Job { number: 7, size: 0x1_0203, completed: 9 };
    const COOKIE: [u8; 20] =
        *b"\x00\x00\x00\x07\x00\x00\x00\x00\x00\x01\x02\x03\x00\x00\x00\x00\x00\x00\x00\x09";

    #[test]
    fn messages_have_the_layout_of_rsplib() {
        let accept = [b"\x02\x00\x00\x18".as_slice(), &COOKIE].concat();
        assert_eq!(JOB.message(Kind::Accept), accept);
        assert_eq!(decode(&accept), Some((Kind::Accept, JOB)));
        assert_eq!(JOB.cookie(), COOKIE);
        assert_eq!(Job::from_cookie(&COOKIE), Some(JOB));
    }

    #[test]
    fn nothing_else_is_a_message() {
        let message = JOB.message(Kind::Complete);
        for length in 0..message.len() {
            assert_eq!(decode(&message[..length]), None, "cut after {length} bytes");
        }
        for kind in [0, 8] {
            assert_eq!(decode(&[&[kind, 0, 0, 24], COOKIE.as_slice()].concat()), None, "type {kind}");
        }
        assert_eq!(decode(&[message, vec![0]].concat()), None, "one byte more");
    }
}
