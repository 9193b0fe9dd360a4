//! From frames to messages.

use crate::association::{Arrival, Associations};
use crate::frames::{Frame, Frames};
use crate::link::{Carried, carried};
use crate::{CaptureError, Summary, sctp};
use etherparse::{LaxIpSlice, UdpSlice, ip_number};
use params::message::RawMessage;
use std::collections::VecDeque;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// SCTP is no name that `etherparse` knows.
const SCTP: u8 = 132;

/// Which protocol a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 5352.
    Asap,
    /// RFC 5353.
    Enrp,
}

impl Protocol {
    /// The port of SCTP and UDP that is registered (RFC 5352 §8.2, RFC 5353 §5.3).
    const fn port(self) -> u16 {
        match self {
            Self::Asap => 3863,
            Self::Enrp => 9901,
        }
    }

    /// By the payload protocol identifier (RFC 5352 §8.3, RFC 5353 §5.4), or, if it is not used, by the port.
    fn of_data(protocol: u32, ports: [u16; 2]) -> Option<Self> {
        match protocol {
            11 => Some(Self::Asap),
            12 => Some(Self::Enrp),
            0 => Self::of_ports(ports),
            _ => None,
        }
    }

    fn of_ports(ports: [u16; 2]) -> Option<Self> {
        [Self::Asap, Self::Enrp].into_iter().find(|protocol| ports.contains(&protocol.port()))
    }

    /// Groups may use other ports: an ASAP_SERVER_ANNOUNCE, or an ENRP message, all of which have two identifiers.
    fn of_multicast(datagram: &[u8]) -> Option<Self> {
        match RawMessage::decode(datagram).ok()? {
            RawMessage { kind: 0x0a, .. } => Some(Self::Asap),
            RawMessage { kind: 0x01..=0x09, octets, .. } if octets.len() >= 12 => Some(Self::Enrp),
            _ => None,
        }
    }
}

/// What a message travelled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// SCTP over IP.
    Sctp {
        /// The stream.
        stream: u16,
        /// The payload protocol identifier.
        ppid: u32,
    },
    /// SCTP in UDP (RFC 6951).
    Encapsulated {
        /// The stream.
        stream: u16,
        /// The payload protocol identifier.
        ppid: u32,
        /// Source and destination port of UDP.
        udp_ports: [u16; 2],
    },
    /// UDP.
    Udp,
}

/// A message with where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The number of the frame that completed it, from 1.
    pub frame: u64,
    /// When that frame was captured, since 1970; nothing if the file does not say.
    pub time: Option<Duration>,
    /// Who sent it; the port is that of SCTP if there is one.
    pub source: SocketAddr,
    /// Whom it was sent to.
    pub destination: SocketAddr,
    /// What it travelled in.
    pub transport: Transport,
    /// Its protocol.
    pub protocol: Protocol,
    /// The message as it was sent: nothing is known about what is in it.
    pub octets: Vec<u8>,
}

/// Reads the messages of a capture, also of one that is still being written to a pipe.
pub struct Messages<'a> {
    frames: Frames<'a>,
    associations: Associations,
    /// Of the frames that were read.
    ready: VecDeque<Message>,
    summary: Summary,
}

impl<'a> Messages<'a> {
    /// Starts with the header of the file.
    ///
    /// # Errors
    ///
    /// If it is that of no format that we know, or `source` fails.
    pub fn new(source: impl Read + 'a) -> Result<Self, CaptureError> {
        Ok(Self {
            frames: Frames::new(source)?,
            associations: Associations::default(),
            ready: VecDeque::new(),
            summary: Summary::default(),
        })
    }

    /// What was found so far.
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        summary.unread.incomplete = self.associations.incomplete();
        summary.unread.evicted = self.associations.evicted();
        summary
    }

    fn frame(&mut self, frame: &Frame) {
        self.summary.frames += 1;
        match carried(frame.link, &frame.octets) {
            Carried::Ip(packet) => self.ip(frame, packet),
            Carried::Other => {}
            Carried::UnknownLink => *self.summary.unread.link_types.entry(frame.link).or_default() += 1,
        }
    }

    fn ip(&mut self, frame: &Frame, packet: &[u8]) {
        let Ok((ip, _)) = LaxIpSlice::from_slice(packet) else {
            self.summary.unread.malformed += 1;
            return;
        };
        let payload = ip.payload();
        let is_sctp = payload.ip_number.0 == SCTP;
        if !is_sctp && payload.ip_number != ip_number::UDP {
            return;
        }
        if payload.fragmented {
            self.summary.unread.ip_fragments += 1;
            return;
        }
        self.summary.unread.cut += u64::from(payload.incomplete);
        let addresses = [ip.source_addr(), ip.destination_addr()];
        if is_sctp {
            let complete = !payload.incomplete;
            self.summary.wrong_checksums += u64::from(complete && !sctp::is_sealed(payload.payload));
            self.sctp(frame, addresses, None, payload.payload, complete);
        } else {
            self.udp(frame, addresses, payload.payload, payload.incomplete);
        }
    }

    fn udp(&mut self, frame: &Frame, addresses: [IpAddr; 2], octets: &[u8], cut: bool) {
        let Ok(datagram) = UdpSlice::from_slice_lax(octets) else {
            self.summary.unread.malformed += u64::from(!cut);
            return;
        };
        let (ports, payload) = ([datagram.source_port(), datagram.destination_port()], datagram.payload());
        if let Some(packets) = sctp::encapsulated(payload) {
            for packet in packets {
                self.sctp(frame, addresses, Some(ports), packet, true);
            }
            return;
        }
        let multicast = addresses[1].is_multicast();
        let protocol = Protocol::of_ports(ports)
            .or_else(|| if multicast { Protocol::of_multicast(payload) } else { None });
        if let Some(protocol) = protocol.filter(|_| !cut) {
            self.message(frame, addresses, ports, Transport::Udp, protocol, payload.to_vec());
        }
    }

    fn sctp(
        &mut self,
        frame: &Frame,
        addresses: [IpAddr; 2],
        udp_ports: Option<[u16; 2]>,
        packet: &[u8],
        complete: bool,
    ) {
        let Some((header, mut chunks)) = sctp::packet(packet) else {
            self.summary.unread.malformed += u64::from(complete);
            return;
        };
        let ports = [header.source, header.destination];
        for data in chunks.by_ref() {
            let (ppid, octets) = match self.associations.arrived(header, &data) {
                Arrival::Complete { protocol, octets } => (protocol, octets),
                Arrival::Waiting => continue,
                Arrival::Retransmission => {
                    self.summary.retransmissions += 1;
                    continue;
                }
            };
            let Some(protocol) = Protocol::of_data(ppid, ports) else {
                self.summary.other_data += 1;
                continue;
            };
            let stream = data.of.stream;
            let transport = match udp_ports {
                None => Transport::Sctp { stream, ppid },
                Some(udp_ports) => Transport::Encapsulated { stream, ppid, udp_ports },
            };
            self.message(frame, addresses, ports, transport, protocol, octets);
        }
        self.summary.unread.malformed += u64::from(complete && chunks.is_malformed());
    }

    fn message(
        &mut self,
        frame: &Frame,
        addresses: [IpAddr; 2],
        ports: [u16; 2],
        transport: Transport,
        protocol: Protocol,
        octets: Vec<u8>,
    ) {
        match protocol {
            Protocol::Asap => self.summary.asap += 1,
            Protocol::Enrp => self.summary.enrp += 1,
        }
        self.ready.push_back(Message {
            frame: frame.number,
            time: frame.time,
            source: SocketAddr::new(addresses[0], ports[0]),
            destination: SocketAddr::new(addresses[1], ports[1]),
            transport,
            protocol,
            octets,
        });
    }
}

impl Iterator for Messages<'_> {
    type Item = Result<Message, CaptureError>;

    /// The next message. After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(Ok(message));
            }
            match self.frames.next()? {
                Ok(frame) => self.frame(&frame),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
