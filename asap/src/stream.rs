//! Messages on a byte stream such as TCP (ambiguity A-22): a message takes its length rounded up to a multiple of four.

use bytes::{Bytes, BytesMut};
use params::wire::{HEADER, padded};

/// A Message Length below that of the header: the stream has lost its rhythm and must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Message Length {0} on a stream is less than its header")]
pub struct LostFraming(pub u16);

/// Takes the next complete message, with its padding, from the front of what was received; nothing if it is not
/// complete yet. A message is at most 65536 octets, so a receiver that reads only when there was nothing never holds
/// more than one of them beside what it read at once.
pub fn split(received: &mut BytesMut) -> Result<Option<Bytes>, LostFraming> {
    let Some(&[_, _, high, low]) = received.first_chunk() else { return Ok(None) };
    let length = u16::from_be_bytes([high, low]);
    if usize::from(length) < HEADER {
        return Err(LostFraming(length));
    }
    let taken = padded(usize::from(length));
    Ok((received.len() >= taken).then(|| received.split_to(taken).freeze()))
}
