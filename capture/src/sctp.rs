//! SCTP packets as bytes: the common header, and chunks with user data (RFC 9260 §3, RFC 8260 §2.1).

const HEADER: usize = 12;
const CHUNK_HEADER: usize = 4;
const DATA: u8 = 0;
const I_DATA: u8 = 64;
const FLAG_E: u8 = 1;
const FLAG_B: u8 = 2;
const FLAG_U: u8 = 4;

/// The packets of a UDP datagram, if it encapsulates SCTP (RFC 6951): known by the checksum, as any port may be used.
///
/// A datagram that a host sends with segmentation offload holds several packets of equal length, of which the last may
/// be shorter: so it is captured where the host itself captures.
pub(crate) fn encapsulated(datagram: &[u8]) -> Option<std::slice::Chunks<'_, u8>> {
    let first = first_packet(datagram)?;
    datagram.chunks(first).skip(1).all(is_sealed).then(|| datagram.chunks(first))
}

/// The length of the shortest beginning that is a packet with a right checksum.
fn first_packet(datagram: &[u8]) -> Option<usize> {
    let (header, chunks) = datagram.split_at_checked(HEADER)?;
    let mut crc = crc_of_header(header);
    let mut length = HEADER;
    for word in chunks.chunks(4) {
        crc = crc32c::crc32c_append(crc, word);
        length += word.len();
        if crc.to_le_bytes() == header[8..] {
            return Some(length);
        }
    }
    None
}

/// Whether the checksum of a packet is right.
pub(crate) fn is_sealed(packet: &[u8]) -> bool {
    packet.split_at_checked(HEADER).is_some_and(|(header, chunks)| {
        crc32c::crc32c_append(crc_of_header(header), chunks).to_le_bytes() == header[8..]
    })
}

/// The checksum counts as zeros where it stands itself.
fn crc_of_header(header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..8]), &[0; 4])
}

/// The common header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Header {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) tag: u32,
}

/// One chunk with user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    pub(crate) tsn: u32,
    pub(crate) of: UserMessage,
    /// Whether it is the first or the last fragment; both if the message is whole.
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) kind: Kind,
    pub(crate) octets: &'a [u8],
}

/// Which message of a stream a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UserMessage {
    pub(crate) stream: u16,
    pub(crate) unordered: bool,
    /// Stream Sequence Number of DATA, Message Identifier of I-DATA.
    pub(crate) sequence: u32,
}

/// What the two kinds of chunks say in different ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// DATA: fragments have consecutive TSNs, each says the payload protocol.
    Data { protocol: u32 },
    /// I-DATA: fragments are numbered, the first, whose number is 0, says the payload protocol.
    Interleaved { protocol: Option<u32>, fragment: u32 },
}

/// Reads the common header and finds the chunks behind it.
pub(crate) fn packet(octets: &[u8]) -> Option<(Header, Chunks<'_>)> {
    let header =
        Header { source: u16_at(octets, 0)?, destination: u16_at(octets, 2)?, tag: u32_at(octets, 4)? };
    Some((header, Chunks { rest: octets.get(HEADER..)?, malformed: false }))
}

/// Iterator over the chunks with user data, as far as the lengths lead.
pub(crate) struct Chunks<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl Chunks<'_> {
    /// Whether the iteration ended because a length did not fit.
    pub(crate) fn is_malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Data<'a>;

    fn next(&mut self) -> Option<Data<'a>> {
        while !self.rest.is_empty() && !self.malformed {
            let length = u16_at(self.rest, 2).map_or(0, usize::from);
            let Some(value) = self.rest.get(CHUNK_HEADER..length) else {
                self.malformed = true;
                break;
            };
            let (kind, flags) = (self.rest[0], self.rest[1]);
            let padded = length.next_multiple_of(4).min(self.rest.len());
            self.rest = &self.rest[padded..];
            let data = match kind {
                DATA => data(flags, value),
                I_DATA => interleaved_data(flags, value),
                _ => continue,
            };
            self.malformed = data.is_none();
            return data;
        }
        None
    }
}

fn data(flags: u8, value: &[u8]) -> Option<Data<'_>> {
    let sequence = u16_at(value, 6)?.into();
    let kind = Kind::Data { protocol: u32_at(value, 8)? };
    Some(Data { kind, ..common(flags, value, sequence, 12)? })
}

fn interleaved_data(flags: u8, value: &[u8]) -> Option<Data<'_>> {
    let (sequence, number) = (u32_at(value, 8)?, u32_at(value, 12)?);
    let kind = match flags & FLAG_B {
        0 => Kind::Interleaved { protocol: None, fragment: number },
        _ => Kind::Interleaved { protocol: Some(number), fragment: 0 },
    };
    Some(Data { kind, ..common(flags, value, sequence, 16)? })
}

fn common(flags: u8, value: &[u8], sequence: u32, header: usize) -> Option<Data<'_>> {
    let unordered = flags & FLAG_U != 0;
    Some(Data {
        tsn: u32_at(value, 0)?,
        of: UserMessage { stream: u16_at(value, 4)?, unordered, sequence },
        begins: flags & FLAG_B != 0,
        ends: flags & FLAG_E != 0,
        kind: Kind::Data { protocol: 0 },
        octets: value.get(header..)?,
    })
}

fn u16_at(octets: &[u8], offset: usize) -> Option<u16> {
    octets.get(offset..)?.first_chunk().map(|field| u16::from_be_bytes(*field))
}

fn u32_at(octets: &[u8], offset: usize) -> Option<u32> {
    octets.get(offset..)?.first_chunk().map(|field| u32::from_be_bytes(*field))
}

/// Writes packets for tests.
#[cfg(test)]
pub(crate) mod build {
    use super::*;

    /// A DATA chunk of PPID 11, padded; `flags` as on the wire.
    pub(crate) fn data(tsn: u32, flags: u8, stream: u16, sequence: u16, octets: &[u8]) -> Vec<u8> {
        let rest = [&stream.to_be_bytes()[..], &sequence.to_be_bytes(), &11_u32.to_be_bytes()].concat();
        chunk(DATA, flags, &[&tsn.to_be_bytes(), &rest[..], octets].concat())
    }

    pub(crate) fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(CHUNK_HEADER + value.len()).unwrap_or(u16::MAX).to_be_bytes();
        let mut chunk = [&[kind, flags], &length[..], value].concat();
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    /// A packet from port 40000 to 3863 with a right checksum.
    pub(crate) fn packet(tag: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut packet =
            [&40_000_u16.to_be_bytes()[..], &3863_u16.to_be_bytes(), &tag.to_be_bytes(), &[0; 4]].concat();
        packet.extend(chunks.concat());
        let crc = crc32c::crc32c(&packet).to_le_bytes();
        packet[8..HEADER].copy_from_slice(&crc);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sctp_in_udp_is_known_by_its_checksum_alone() {
        let packet = build::packet(7, &[build::data(1, 3, 0, 0, b"message")]);
        assert_eq!(encapsulated(&packet).map(Iterator::collect::<Vec<_>>), Some(vec![&packet[..]]));
        let mut other = packet.clone();
        other[20] ^= 1;
        assert!(encapsulated(&other).is_none());
        assert!(encapsulated(&[]).is_none() && encapsulated(&packet[..12]).is_none());
    }

    #[test]
    fn datagrams_of_several_segments_are_taken_apart() {
        let packet = |tsn, octets| build::packet(7, &[build::data(tsn, 3, 0, 0, octets)]);
        let packets = [packet(1, &b"first segment"[..]), packet(2, b"second segmen"), packet(3, b"last")];
        let mut datagram = packets.concat();
        assert_eq!(
            encapsulated(&datagram).map(Iterator::collect::<Vec<_>>),
            Some(packets.iter().map(|p| &p[..]).collect())
        );
        *datagram.last_mut().unwrap() ^= 1;
        assert!(encapsulated(&datagram).is_none(), "what follows a right packet must be right, too");
    }

    #[test]
    fn a_chunk_that_leaves_its_packet_ends_the_reading() {
        let whole = build::data(1, 3, 5, 9, b"abc");
        for end in [whole.len() - 4, 5, 3, 1] {
            let octets = build::packet(7, &[whole.clone(), whole[..end].to_vec()]);
            let (_, mut chunks) = packet(&octets).unwrap();
            assert_eq!(chunks.next().unwrap().octets, b"abc", "{end}");
            assert!(chunks.next().is_none() && chunks.is_malformed(), "{end}");
        }
    }
}
