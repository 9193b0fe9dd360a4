//! An SCTP packet as bytes: common header, CRC32c and chunks (RFC 9260 §3).
//!
//! ```text
//! |     Source Port Number        |   Destination Port Number     |
//! |                      Verification Tag                         |
//! |                         Checksum (CRC32c, little endian)      |
//! |   Chunk Type  |  Chunk Flags  |         Chunk Length          |  the value follows, padded to 4 bytes
//! ```

/// Chunk types (RFC 9260 §3.2).
pub(super) mod chunk {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    /// RFC 6525 §3.1.
    pub(crate) const RE_CONFIG: u8 = 130;

    /// T bit of ABORT and SHUTDOWN COMPLETE: the tag is reflected.
    pub(crate) const FLAG_T: u8 = 1;
    /// E bit of DATA: the last fragment of a message.
    pub(crate) const FLAG_E: u8 = 1;
    /// U bit of DATA: unordered.
    pub(crate) const FLAG_U: u8 = 4;
}

/// Error causes (RFC 9260 §3.3.10).
pub(super) mod cause {
    pub(crate) const STALE_COOKIE: u16 = 3;
    pub(crate) const OUT_OF_RESOURCE: u16 = 4;
    pub(crate) const UNRESOLVABLE_ADDRESS: u16 = 5;
    pub(crate) const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
    pub(crate) const USER_INITIATED_ABORT: u16 = 12;
    pub(crate) const PROTOCOL_VIOLATION: u16 = 13;

    /// One cause as bytes, padded.
    pub(crate) fn encode(code: u16, information: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + information.len() + 3);
        bytes.extend_from_slice(&code.to_be_bytes());
        bytes.extend_from_slice(&super::length16(4 + information.len()).to_be_bytes());
        bytes.extend_from_slice(information);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}

pub(super) const HEADER: usize = 12;
pub(super) const CHUNK_HEADER: usize = 4;

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketError {
    Malformed,
    Checksum,
}

/// A packet whose checksum is right and whose chunks fit into it; there is at least one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    bytes: &'a [u8],
}

/// One chunk of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// What follows the chunk header, without padding.
    pub(super) value: &'a [u8],
    /// All of it, padding included.
    pub(super) bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        if bytes.len() < HEADER + CHUNK_HEADER {
            return Err(PacketError::Malformed);
        }
        if checksum(bytes).to_le_bytes() != bytes[8..12] {
            return Err(PacketError::Checksum);
        }
        let packet = Self { bytes };
        let covered: usize = packet.chunks().map(|chunk| chunk.bytes.len()).sum();
        if covered != bytes.len() - HEADER {
            return Err(PacketError::Malformed);
        }
        Ok(packet)
    }

    /// A packet that one of our own associations has built.
    pub(super) fn own(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= HEADER + CHUNK_HEADER).then_some(Self { bytes })
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn source_port(&self) -> u16 {
        u16_at(self.bytes, 0).unwrap_or_default()
    }

    pub(super) fn destination_port(&self) -> u16 {
        u16_at(self.bytes, 2).unwrap_or_default()
    }

    pub(super) fn tag(&self) -> u32 {
        u32_at(self.bytes, 4).unwrap_or_default()
    }

    /// The chunks, as far as their lengths fit.
    pub(super) fn chunks(&self) -> Chunks<'a> {
        Chunks { rest: self.bytes.get(HEADER..).unwrap_or_default() }
    }

    pub(super) fn first(&self) -> Option<Chunk<'a>> {
        self.chunks().next()
    }

    pub(super) fn contains(&self, kind: u8) -> bool {
        self.chunks().any(|chunk| chunk.kind == kind)
    }

    /// RFC 9260 §6.10: INIT, INIT ACK and SHUTDOWN COMPLETE travel alone; §5.1: COOKIE ECHO comes first.
    pub(super) fn is_bundled_rightly(&self) -> bool {
        let alone = |kind| matches!(kind, chunk::INIT | chunk::INIT_ACK | chunk::SHUTDOWN_COMPLETE);
        let single = self.chunks().nth(1).is_none();
        self.chunks().enumerate().all(|(position, chunk)| {
            (single || !alone(chunk.kind)) && (position == 0 || chunk.kind != chunk::COOKIE_ECHO)
        })
    }

    /// The same packet with other chunks; none if nothing is left.
    pub(super) fn with_chunks(&self, keep: impl Fn(&Chunk<'_>) -> bool) -> Option<Vec<u8>> {
        let mut bytes = self.bytes[..HEADER].to_vec();
        for chunk in self.chunks().filter(|chunk| keep(chunk)) {
            bytes.extend_from_slice(chunk.bytes);
        }
        (bytes.len() > HEADER).then(|| {
            seal_checksum(&mut bytes);
            bytes
        })
    }
}

/// What [`Packet::mark_unordered`] adds to a stream number.
pub(super) const UNORDERED: u16 = 1 << 15;

impl Packet<'_> {
    /// The packet with [`UNORDERED`] added to the stream number of unordered DATA, if there is any: dcsctp does not tell
    /// whether a message was unordered, but on which stream it came.
    pub(super) fn mark_unordered(&self) -> Option<Vec<u8>> {
        let mut marked = None;
        let mut at = HEADER;
        for chunk in self.chunks() {
            if chunk.kind == chunk::DATA && chunk.flags & chunk::FLAG_U != 0 {
                let bytes = marked.get_or_insert_with(|| self.bytes.to_vec());
                // Behind the chunk header and the TSN.
                if let Some(high) = bytes.get_mut(at + CHUNK_HEADER + 4) {
                    *high |= UNORDERED.to_be_bytes()[0];
                }
            }
            at += chunk.bytes.len();
        }
        marked.as_deref_mut().map(seal_checksum);
        marked
    }
}

impl<'a> Chunk<'a> {
    /// The parameters of a chunk that has no fixed part: they look like chunks, but for a type of 16 bits (`kind` and
    /// `flags`).
    pub(super) fn parameters(&self) -> Chunks<'a> {
        self.parameters_after(0)
    }

    /// The parameters behind a fixed part of so many bytes.
    pub(super) fn parameters_after(&self, fixed: usize) -> Chunks<'a> {
        Chunks { rest: self.value.get(fixed..).unwrap_or_default() }
    }
}

/// Iterator over the chunks of a packet; stops where a length does not fit.
pub(super) struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let length = usize::from(u16_at(self.rest, 2)?);
        let value = self.rest.get(CHUNK_HEADER..length)?;
        let padded = length.next_multiple_of(4).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(padded);
        self.rest = rest;
        Some(Chunk { kind: bytes[0], flags: bytes[1], value, bytes })
    }
}

/// The fixed part of INIT and INIT ACK (RFC 9260 §3.3.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct InitFields {
    pub(super) initiate_tag: u32,
    pub(super) outbound_streams: u16,
    pub(super) inbound_streams: u16,
}

impl InitFields {
    /// Length of the fixed part; parameters follow.
    pub(super) const LENGTH: usize = 16;

    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let fields = Self {
            initiate_tag: u32_at(value, 0)?,
            outbound_streams: u16_at(value, 8)?,
            inbound_streams: u16_at(value, 10)?,
        };
        (value.len() >= Self::LENGTH).then_some(fields)
    }

    /// RFC 9260 §3.3.2: the tag and both numbers of streams must not be 0.
    pub(super) fn is_valid(&self) -> bool {
        self.initiate_tag != 0 && self.outbound_streams != 0 && self.inbound_streams != 0
    }
}

/// The fixed part of SACK (RFC 9260 §3.3.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct SackFields {
    pub(super) cumulative_tsn: u32,
    pub(super) window: u32,
    pub(super) gap_blocks: u16,
}

impl SackFields {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        Some(Self {
            cumulative_tsn: u32_at(value, 0)?,
            window: u32_at(value, 4)?,
            gap_blocks: u16_at(value, 8)?,
        })
    }
}

/// A packet of one chunk.
pub(super) fn single(
    (source, destination): (u16, u16),
    tag: u32,
    kind: u8,
    flags: u8,
    value: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + CHUNK_HEADER + value.len() + 3);
    bytes.extend_from_slice(&source.to_be_bytes());
    bytes.extend_from_slice(&destination.to_be_bytes());
    bytes.extend_from_slice(&tag.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&length16(CHUNK_HEADER + value.len()).to_be_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    seal_checksum(&mut bytes);
    bytes
}

/// Writes the checksum into a packet.
pub(super) fn seal_checksum(packet: &mut [u8]) {
    let crc = checksum(packet).to_le_bytes();
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&crc);
    }
}

/// CRC32c over the packet with zeros in place of the checksum.
fn checksum(packet: &[u8]) -> u32 {
    let crc = crc32c::crc32c(packet.get(..8).unwrap_or_default());
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, packet.get(12..).unwrap_or_default())
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|field| u16::from_be_bytes(*field))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|field| u32::from_be_bytes(*field))
}

/// A length for a 16-bit field. What we build is bounded by the MTU, far below.
pub(super) fn length16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
