//! The frames of a pcap or pcapng file, one after the other, with the link type and the time of each.
//!
//! The blocks are read by `pcap-parser`, which keeps no more than one of them. Times are computed here: its own
//! functions overflow on hostile resolutions and offsets and refuse resolutions that are powers of two.

use crate::CaptureError;
use pcap_parser::traits::{PcapNGPacketBlock as _, PcapReaderIterator};
use pcap_parser::{Block, LegacyPcapReader, PcapBlockOwned, PcapError, PcapHeader, PcapNGReader};
use std::io::{Cursor, Read};
use std::time::Duration;

/// The largest record that we read. No capturing program writes frames longer than 256 KiB.
const MAX_RECORD: usize = 1 << 20;
/// The buffer that most files need.
const BUFFER: usize = 1 << 16;
/// The most interfaces that a section of a pcapng file may describe.
const MAX_INTERFACES: usize = 1 << 16;
/// Length of a pcap header. A pcapng section header is longer.
const PCAP_HEADER: usize = 24;
/// Block type of a pcapng section header, the same in both byte orders.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Its number in the file, from 1.
    pub(crate) number: u64,
    /// Since 1970; nothing if the file does not say.
    pub(crate) time: Option<Duration>,
    /// What it begins with, a number of the register of link types.
    pub(crate) link: u16,
    pub(crate) octets: Vec<u8>,
}

/// Whether octets begin as a pcap or pcapng file does. Four are enough.
pub fn is_capture(octets: &[u8]) -> bool {
    octets.first_chunk().is_some_and(|first| *first == SECTION_HEADER || is_pcap(*first))
}

/// Microseconds, nanoseconds, or with additional fields; in either byte order.
fn is_pcap(first: [u8; 4]) -> bool {
    [0xa1b2_c3d4, 0xd4c3_b2a1, 0xa1b2_3c4d, 0x4d3c_b2a1, 0xa1b2_cd34].contains(&u32::from_le_bytes(first))
}

/// Reads frames.
pub(crate) struct Frames<'a> {
    reader: Box<dyn PcapReaderIterator + 'a>,
    context: Context,
    /// Size of the reader's buffer.
    capacity: usize,
    ended: bool,
}

impl<'a> Frames<'a> {
    /// Starts with the header of the file.
    pub(crate) fn new(mut source: impl Read + 'a) -> Result<Self, CaptureError> {
        // `pcap-parser` wants the whole header in its first read, which a pipe need not give.
        let mut start = Vec::new();
        read_up_to(&mut source, PCAP_HEADER, &mut start)?;
        let section = start.starts_with(&SECTION_HEADER);
        if !is_capture(&start) {
            return Err(CaptureError::Unknown);
        }
        if section
            && let Some(&[a, b, c, d, order, ..]) = start.get(4..).and_then(|rest| rest.first_chunk::<8>())
        {
            let length = [a, b, c, d];
            let length = if order == 0x4d { u32::from_le_bytes(length) } else { u32::from_be_bytes(length) };
            read_up_to(&mut source, (length as usize).min(MAX_RECORD), &mut start)?;
        }
        let capacity = BUFFER.max(2 * start.len());
        let source = Cursor::new(start).chain(source);
        let reader: Result<Box<dyn PcapReaderIterator + 'a>, _> = if section {
            PcapNGReader::new(capacity, source).map(|reader| Box::new(reader) as _)
        } else {
            LegacyPcapReader::new(capacity, source).map(|reader| Box::new(reader) as _)
        };
        match reader {
            Ok(reader) => Ok(Self { reader, context: Context::default(), capacity, ended: false }),
            Err(PcapError::Incomplete(_)) => Err(CaptureError::Truncated(0)),
            Err(_) => Err(CaptureError::Malformed(0)),
        }
    }

    /// The next frame; nothing at the end and after an error.
    pub(crate) fn next(&mut self) -> Option<Result<Frame, CaptureError>> {
        while !self.ended {
            match self.read_block() {
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// Reads a block, or more octets if there is no complete one.
    fn read_block(&mut self) -> Result<Option<Frame>, CaptureError> {
        let after = self.context.frames;
        match self.reader.next() {
            Ok((length, block)) => {
                let frame = self.context.note(block);
                self.reader.consume(length);
                frame
            }
            Err(PcapError::Eof) => {
                self.ended = true;
                Ok(None)
            }
            Err(PcapError::Incomplete(_)) => {
                let before = self.reader.data().len();
                if self.reader.refill().is_err() {
                    return Err(CaptureError::Read(std::io::Error::other("the source failed")));
                }
                if self.reader.data().len() == before && !self.reader.reader_exhausted() {
                    return Err(CaptureError::TooLong(after));
                }
                Ok(None)
            }
            Err(PcapError::BufferTooSmall) if self.capacity < MAX_RECORD => {
                self.capacity = (4 * self.capacity).min(MAX_RECORD);
                self.reader.grow(self.capacity);
                Ok(None)
            }
            Err(PcapError::BufferTooSmall) => Err(CaptureError::TooLong(after)),
            Err(PcapError::UnexpectedEof) => Err(CaptureError::Truncated(after)),
            Err(_) => Err(CaptureError::Malformed(after)),
        }
    }
}

fn read_up_to(source: &mut impl Read, length: usize, octets: &mut Vec<u8>) -> Result<(), CaptureError> {
    let missing = length.saturating_sub(octets.len());
    source.take(missing as u64).read_to_end(octets)?;
    Ok(())
}

/// What earlier blocks say about the later ones.
#[derive(Default)]
struct Context {
    frames: u64,
    pcap: Option<PcapHeader>,
    interfaces: Vec<Interface>,
}

/// What a pcapng section says about an interface.
struct Interface {
    link: u16,
    /// The exponent of 10, or of 2 with the highest bit set, of the units per second.
    resolution: u8,
    /// Seconds to add to the times.
    offset: i64,
}

impl Context {
    fn note(&mut self, block: PcapBlockOwned<'_>) -> Result<Option<Frame>, CaptureError> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => self.pcap = Some(header),
            PcapBlockOwned::Legacy(record) => {
                let header = self.pcap.as_ref();
                let fraction = match header.is_some_and(PcapHeader::is_nanosecond_precision) {
                    true => Duration::from_nanos(record.ts_usec.into()),
                    false => Duration::from_micros(record.ts_usec.into()),
                };
                let time = Duration::from_secs(record.ts_sec.into()) + fraction;
                // The upper bits are flags.
                let link = header.map_or(0, |header| header.network.0 & 0xffff);
                return Ok(Some(self.frame(
                    Some(time),
                    u16::try_from(link).unwrap_or(u16::MAX),
                    record.data,
                )));
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                if self.interfaces.len() == MAX_INTERFACES {
                    return Err(CaptureError::Malformed(self.frames));
                }
                self.interfaces.push(Interface {
                    link: u16::try_from(block.linktype.0).unwrap_or(u16::MAX),
                    resolution: block.if_tsresol,
                    offset: block.if_tsoffset,
                });
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let malformed = CaptureError::Malformed(self.frames);
                let interface = usize::try_from(block.if_id).ok().and_then(|id| self.interfaces.get(id));
                let interface = interface.ok_or(malformed)?;
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                return Ok(Some(self.frame(interface.time(ticks), interface.link, block.packet_data())));
            }
            PcapBlockOwned::NG(Block::SimplePacket(block)) => {
                let interface = self.interfaces.first().ok_or(CaptureError::Malformed(self.frames))?;
                return Ok(Some(self.frame(None, interface.link, block.packet_data())));
            }
            PcapBlockOwned::NG(_) => {}
        }
        Ok(None)
    }

    fn frame(&mut self, time: Option<Duration>, link: u16, octets: &[u8]) -> Frame {
        self.frames += 1;
        Frame { number: self.frames, time, link, octets: octets.to_vec() }
    }
}

impl Interface {
    /// Nothing if the resolution or the time makes no sense.
    fn time(&self, ticks: u64) -> Option<Duration> {
        let exponent = u32::from(self.resolution & 0x7f);
        let per_second = match self.resolution & 0x80 {
            0 => 10_u64.checked_pow(exponent)?,
            _ => 1_u64.checked_shl(exponent)?,
        };
        let nanoseconds = u128::from(ticks % per_second) * 1_000_000_000 / u128::from(per_second);
        let seconds = (ticks / per_second).checked_add_signed(self.offset)?;
        Some(Duration::new(seconds, u32::try_from(nanoseconds).ok()?))
    }
}
