//! The PE checksum (RFC 5353 §3.6.2): the Internet checksum (RFC 1071) over the block of each element a
//! registrar owns. A block is the pool handle, zero-padded to a multiple of four, and the PE identifier.
//!
//! The exact sum of the 16-bit words is kept, in 64 bits, and folded when read: one's-complement subtraction
//! would end at the other representation of zero when the last element goes (ambiguity A-69).

use params::{PeIdentifier, PoolHandle};

/// Sum of the big-endian 16-bit words of a handle; an odd last byte is the high half of its word.
pub(crate) fn handle_words(handle: &PoolHandle) -> u64 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    handle.as_bytes().chunks(2).map(word).sum()
}

/// Sum of the two words of an identifier.
pub(crate) fn identifier_words(PeIdentifier(id): PeIdentifier) -> u64 {
    u64::from(id >> 16) + u64::from(id & 0xffff)
}

/// The checksum of a sum of words: carries folded in, one's complement. No element: 0xffff.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(handle: &str, id: u32) -> u64 {
        handle_words(&handle.into()) + identifier_words(PeIdentifier(id))
    }

    // ENRP-3.6.2-02, ENRP-3.6.2-03, ENRP-3.6.2-04
    #[test]
    fn vectors() {
        let sets = [
            (vec![], 0, 0xffff),
            (vec![("EchoPool", 0x1234_5678)], 0x1d659, 0x29a5),
            (vec![("EchoPool", 0x1234_5678), ("ftp", 0x9abc_def0)], 0x42679, 0xd982),
            (vec![("ftp", 0x9abc_def0), ("EchoPool", 0x1234_5678)], 0x42679, 0xd982),
            // The block adds up to ffff: the checksum is 0000, not the ffff of an empty set.
            (vec![("ab", 0x9e9d_0000)], 0xffff, 0x0000),
            (vec![("pool1", 1)], 0x110dc, 0xef22),
            (vec![("", 0x0001_0002)], 3, 0xfffc),
        ];
        for (elements, sum, checksum) in sets {
            let words = elements.iter().map(|&(handle, id)| block(handle, id)).sum::<u64>();
            assert_eq!((words, fold(words)), (sum, checksum), "{elements:?}");
        }
    }

    // What rsplib 3.5 computes for the same sets.
    #[test]
    fn agrees_with_rsplib() {
        let echo = block("EchoPool", 0x1234_5678);
        assert_eq!(fold(echo), 0x29a5);
        assert_eq!(fold(echo + block("CalcAppPool", 0xdead_beef)), 0x4f12);
    }

    // ENRP-3.6.2-12: a handle and the same with a zero byte behind it cannot be told apart.
    #[test]
    fn trailing_zero_is_invisible() {
        assert_eq!(block("ftp", 7), block("ftp\0", 7));
    }
}
