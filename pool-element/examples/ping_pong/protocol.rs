//! The ping-pong protocol of rsplib: SCTP payload protocol identifier 33. Numbers are big-endian, lengths those of
//! the whole message.
//!
//! ```text
//! Ping    type 1 (8) | flags 0 (8) | length (16) | message number (64) | data
//! Pong    type 2 (8) | flags 0 (8) | length (16) | message number (64) | reply number (64) | data of the Ping
//! Cookie  "<PP-TD1>" | next reply number (64)
//! ```

#![allow(dead_code, reason = "the server reads what the client writes, and the other way round")]

/// SCTP payload protocol identifier.
pub(crate) const PPID: u32 = 33;
/// The pool, unless told otherwise.
pub(crate) const POOL: &str = "PingPongPool";

const PING: u8 = 1;
const PONG: u8 = 2;
const TAG: &[u8; 8] = b"<PP-TD1>";

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ping<'a> {
    pub(crate) number: u64,
    pub(crate) data: &'a [u8],
}

/// Its answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pong<'a> {
    pub(crate) number: u64,
    pub(crate) reply: u64,
    pub(crate) data: &'a [u8],
}

impl<'a> Ping<'a> {
    pub(crate) fn decode(message: &'a [u8]) -> Option<Self> {
        let (number, data) = number(body(message, PING)?)?;
        Some(Self { number, data })
    }

    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        message(PING, &[&self.number.to_be_bytes(), self.data])
    }
}

impl<'a> Pong<'a> {
    pub(crate) fn decode(message: &'a [u8]) -> Option<Self> {
        let (number_of_ping, rest) = number(body(message, PONG)?)?;
        let (reply, data) = number(rest)?;
        Some(Self { number: number_of_ping, reply, data })
    }

    /// `None` if the data is too long.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        message(PONG, &[&self.number.to_be_bytes(), &self.reply.to_be_bytes(), self.data])
    }
}

/// The cookie that makes another server go on with this reply number.
pub(crate) fn encode_cookie(next_reply: u64) -> Vec<u8> {
    [TAG.as_slice(), &next_reply.to_be_bytes()].concat()
}

/// The next reply number that a cookie holds.
pub(crate) fn decode_cookie(cookie: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(cookie.strip_prefix(TAG)?.try_into().ok()?))
}

/// What follows the header, if type and length are right.
fn body(message: &[u8], expected: u8) -> Option<&[u8]> {
    let [kind, _flags, high, low, body @ ..] = message else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (*kind == expected && length == message.len()).then_some(body)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn message(kind: u8, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let body = parts.concat();
    let length = u16::try_from(4 + body.len()).ok()?;
    let [high, low] = length.to_be_bytes();
    Some([[kind, 0, high, low].as_slice(), &body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING_7: &[u8] = b"\x01\x00\x00\x11\x00\x00\x00\x00\x00\x00\x00\x07hello";
    const PONG_7: &[u8] =
        b"\x02\x00\x00\x19\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x01\x02hello";
    const COOKIE: &[u8] = b"<PP-TD1>\x00\x00\x00\x00\x00\x00\x01\x03";

    #[test]
    fn messages_have_the_layout_of_rsplib() {
        let ping = Ping { number: 7, data: b"hello" };
        let pong = Pong { number: 7, reply: 0x102, data: b"hello" };
        assert_eq!(ping.encode().as_deref(), Some(PING_7));
        assert_eq!(Ping::decode(PING_7), Some(ping));
        assert_eq!(pong.encode().as_deref(), Some(PONG_7));
        assert_eq!(Pong::decode(PONG_7), Some(pong));
        assert_eq!(encode_cookie(0x103), COOKIE);
        assert_eq!(decode_cookie(COOKIE), Some(0x103));
    }

    #[test]
    fn nothing_else_is_a_message() {
        assert_eq!(Ping::decode(PONG_7), None, "the other type");
        assert_eq!(Pong::decode(PING_7), None, "the other type");
        for length in 0..PING_7.len() {
            assert_eq!(Ping::decode(&PING_7[..length]), None, "cut after {length} bytes");
        }
        assert_eq!(
            Ping::decode(b"\x01\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00"),
            None,
            "too short for a number"
        );
        assert_eq!(
            Pong::decode(b"\x02\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x07"),
            None,
            "no reply number"
        );
        assert_eq!(decode_cookie(b"<PP-TD2>\x00\x00\x00\x00\x00\x00\x01\x03"), None, "another tag");
        assert_eq!(decode_cookie(&COOKIE[..15]), None);
        assert_eq!(
            Ping { number: 1, data: &[0; 65_524] }.encode(),
            None,
            "longer than its length field can say"
        );
    }
}
