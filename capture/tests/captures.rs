//! Captures built octet by octet: file formats, link types, encapsulation, and what is hostile about them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proptest::prelude::*;
use rserpool_capture::{CaptureError, Message, Messages, Protocol, Summary, Transport, is_capture};
use std::time::Duration;

const ETHERNET: u32 = 1;
const SCTP: u8 = 132;
const UDP: u8 = 17;

fn chunk(tsn: u32, ppid: u32, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + octets.len()).unwrap();
    let mut chunk = [&[0, 3], &length.to_be_bytes()[..], &tsn.to_be_bytes(), &[0, 5, 0, 9]].concat();
    chunk.extend(ppid.to_be_bytes());
    chunk.extend(octets);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn sctp(chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = [0x9c, 0x40, 0x0f, 0x17, 1, 2, 3, 4, 0, 0, 0, 0].to_vec();
    packet.extend(chunks.concat());
    let crc = crc32c::crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&crc);
    packet
}

fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    [&ports[0].to_be_bytes()[..], &ports[1].to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

fn ipv4(protocol: u8, destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let header = [0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1];
    [&header[..], &destination, payload].concat()
}

fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let addresses = [[0xfd; 16], [0xfc; 16]].concat();
    [&[0x60, 0, 0, 0, length[0], length[1], protocol, 64][..], &addresses, payload].concat()
}

fn ethernet(packet: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&[2; 12][..], &kind, packet].concat()
}

/// A pcap file in little endian with microseconds, one second between the frames.
fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file =
        [&0xa1b2_c3d4_u32.to_le_bytes()[..], &[2, 0, 4, 0], &[0; 8], &262_144_u32.to_le_bytes()].concat();
    file.extend(link.to_le_bytes());
    for (frame, second) in frames.iter().zip(1_000_u32..) {
        let length = u32::try_from(frame.len()).unwrap();
        for field in [second, 250_000, length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// A pcapng file in big endian: one section, an interface of 2^10 ticks a second that starts at 50 s.
fn pcapng(link: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(12 + body.len()).unwrap().to_be_bytes();
        [&kind.to_be_bytes()[..], &length, &body, &length].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_be_bytes()[..], &[0, 1, 0, 0], &[0xff; 8]].concat();
    let options = [0, 9, 0, 1, 0x80 | 10, 0, 0, 0, 0, 0, 0, 0];
    let interface = [&link.to_be_bytes()[..], &[0; 2], &[0; 4], &options].concat();
    let mut file = [block(0x0a0d_0d0a, &section), block(1, &interface)].concat();
    for (frame, ticks) in frames.iter().zip(1_536_u32..) {
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        let fields = [&[0; 4][..], &[0; 4], &ticks.to_be_bytes(), &length, &length, frame].concat();
        file.extend(block(6, &fields));
    }
    file
}

fn read(file: &[u8]) -> (Vec<Message>, Summary, Option<CaptureError>) {
    let mut messages = Messages::new(file).unwrap();
    let (mut read, mut failure) = (Vec::new(), None);
    for message in messages.by_ref() {
        match message {
            Ok(message) => read.push(message),
            Err(error) => failure = Some(error),
        }
    }
    (read, messages.summary(), failure)
}

fn octets(messages: &[Message]) -> Vec<&[u8]> {
    messages.iter().map(|message| &message.octets[..]).collect()
}

#[test]
fn pcap_tells_all_about_a_message() {
    let frames =
        [ethernet(&ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(1, 11, b"first"), chunk(2, 12, b"second")])))];
    let (messages, summary, failure) = read(&pcap(ETHERNET, &frames));
    let message = |protocol, ppid, octets: &[u8]| Message {
        frame: 1,
        time: Some(Duration::from_micros(1_000_250_000)),
        source: "10.0.0.1:40000".parse().unwrap(),
        destination: "10.0.0.2:3863".parse().unwrap(),
        transport: Transport::Sctp { stream: 5, ppid },
        protocol,
        octets: octets.to_vec(),
    };
    assert_eq!(messages, [message(Protocol::Asap, 11, b"first"), message(Protocol::Enrp, 12, b"second")]);
    assert_eq!(summary, Summary { frames: 1, asap: 1, enrp: 1, ..Summary::default() });
    assert!(failure.is_none());
}

#[test]
fn pcapng_in_the_other_byte_order_with_binary_times() {
    let frames = [vec![0; 60], ethernet(&ipv6(SCTP, &sctp(&[chunk(1, 11, b"six")])))];
    let (messages, summary, failure) = read(&pcapng(1, &frames));
    assert_eq!(octets(&messages), [b"six"]);
    assert_eq!((messages[0].frame, messages[0].time), (2, Some(Duration::from_nanos(1_500_976_562))));
    assert_eq!(messages[0].source, "[fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd]:40000".parse().unwrap());
    assert_eq!(summary.frames, 2);
    assert!(failure.is_none());
}

#[test]
fn every_link_type_carries_the_same_message() {
    let packet = ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(1, 11, b"x")]));
    for (link, header) in [
        (0, &[2, 0, 0, 0][..]),
        (1, &[2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 0x81, 0, 0, 7, 8, 0]),
        (101, &[]),
        (108, &[0, 0, 0, 2]),
        (113, &[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0]),
        (228, &[]),
        (276, &[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0]),
    ] {
        let frames = [[header, &packet].concat()];
        assert_eq!(octets(&read(&pcap(link, &frames)).0), [b"x"], "pcap {link}");
        assert_eq!(octets(&read(&pcapng(u16::try_from(link).unwrap(), &frames)).0), [b"x"], "pcapng {link}");
    }
}

// SCTP-6951-01: encapsulated in UDP the messages are the same, whatever ports are used.
#[test]
fn encapsulated_sctp_is_found_on_any_port() {
    let packets =
        [sctp(&[chunk(1, 11, b"one!")]), sctp(&[chunk(2, 11, b"two!")]), sctp(&[chunk(3, 11, b"3")])];
    let frame = |payload: &[u8]| ethernet(&ipv4(UDP, [10, 0, 0, 2], &udp([9899, 50_000], payload)));
    // The second frame holds two segments, as a host with offload captures its own.
    let frames =
        [frame(&packets[0]), frame(&packets[1..].concat()), frame(b"neither SCTP nor anything else")];
    let (messages, summary, _) = read(&pcap(ETHERNET, &frames));
    assert_eq!(octets(&messages), [&b"one!"[..], b"two!", b"3"]);
    assert_eq!(messages[1].frame, 2);
    assert_eq!(
        messages[0].transport,
        Transport::Encapsulated { stream: 5, ppid: 11, udp_ports: [9899, 50_000] }
    );
    assert_eq!(messages[0].source.port(), 40_000);
    assert_eq!(summary, Summary { frames: 3, asap: 3, ..Summary::default() });
}

#[test]
fn announcements_are_found_on_their_ports_and_in_groups() {
    let announce = [0x0a, 0, 0, 8, 0xa1, 0xa2, 0xa3, 0xa4];
    let presence = [0x01, 0, 0, 12, 1, 2, 3, 4, 0, 0, 0, 0];
    let frame = |group, port, payload: &[u8]| ethernet(&ipv4(UDP, group, &udp([1234, port], payload)));
    let frames = [
        frame([10, 0, 0, 2], 3863, &announce),
        frame([10, 0, 0, 2], 9901, &presence),
        frame([239, 0, 0, 50], 7000, &announce),
        frame([239, 0, 0, 51], 7000, &presence),
        frame([239, 0, 0, 51], 7000, b"M-SEARCH * HTTP/1.1"),
        frame([10, 0, 0, 2], 7000, &presence),
    ];
    let (messages, ..) = read(&pcap(ETHERNET, &frames));
    let found: Vec<_> = messages.iter().map(|message| (message.frame, message.protocol)).collect();
    assert_eq!(found, [(1, Protocol::Asap), (2, Protocol::Enrp), (3, Protocol::Asap), (4, Protocol::Enrp)]);
    assert!(messages.iter().all(|message| message.transport == Transport::Udp));
}

// Without a payload protocol identifier the port tells the protocol.
#[test]
fn payload_protocols_decide_and_others_are_counted() {
    let packet = sctp(&[chunk(1, 0, b"asap by port"), chunk(2, 99, b"another"), chunk(3, 12, b"enrp")]);
    let (messages, summary, _) = read(&pcap(ETHERNET, &[ethernet(&ipv4(SCTP, [10, 0, 0, 2], &packet))]));
    let found: Vec<_> = messages.iter().map(|message| message.protocol).collect();
    assert_eq!(found, [Protocol::Asap, Protocol::Enrp]);
    assert_eq!((summary.asap, summary.enrp, summary.other_data), (1, 1, 1));
}

#[test]
fn what_cannot_be_read_is_counted() {
    let whole = ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(1, 11, b"whole"), chunk(2, 11, b"cut off here")]));
    let mut fragment = whole.clone();
    fragment[6] = 0x20;
    let mut wrong = sctp(&[chunk(1, 11, b"wrong checksum, but another tag")]);
    wrong[7] ^= 1;
    let frames = [
        ethernet(&whole[..whole.len() - 4]),
        ethernet(&whole[..34]),
        ethernet(&fragment),
        ethernet(&[0x45, 0, 0]),
        ethernet(&ipv4(SCTP, [10, 0, 0, 2], &wrong)),
        ethernet(&ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(9, 11, b"x")[..14].to_vec()]))),
    ];
    let (messages, summary, _) = read(&pcap(ETHERNET, &frames));
    assert_eq!(octets(&messages), [&b"whole"[..], b"wrong checksum, but another tag"]);
    assert_eq!((summary.unread.cut, summary.unread.ip_fragments, summary.unread.malformed), (2, 1, 2));
    assert_eq!(summary.wrong_checksums, 1);
    assert_eq!(
        summary.to_string(),
        "6 frames, 2 messages (ASAP 2, ENRP 0), 1 wrong SCTP checksum; \
         not read: 2 cut packets, 1 IP fragment, 2 malformed packets"
    );
    let (_, summary, _) = read(&pcap(147, &frames));
    let text =
        "6 frames, 0 messages (ASAP 0, ENRP 0); not read: 6 frames of link type 147, which is not supported";
    assert_eq!(summary.to_string(), text);
}

#[test]
fn a_file_that_was_cut_off_is_read_up_to_there() {
    let frame = |tsn| ethernet(&ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(tsn, 11, b"message")])));
    for file in [pcap(ETHERNET, &[frame(1), frame(2)]), pcapng(1, &[frame(1), frame(2)])] {
        let (messages, _, failure) = read(&file[..file.len() - 3]);
        assert_eq!(octets(&messages), [b"message"]);
        assert_eq!(
            failure.unwrap().to_string(),
            "the file ends within the record after frame 1: it was cut off"
        );
    }
    assert!(matches!(Messages::new(&pcap(ETHERNET, &[])[..10]), Err(CaptureError::Truncated(0))));
    assert!(matches!(Messages::new(&pcapng(1, &[])[..10]), Err(CaptureError::Truncated(0))));
}

#[test]
fn other_files_are_refused() {
    for octets in [&b""[..], b"\x0a\x0d", b"not a capture at all, however long it may be"] {
        assert!(!is_capture(octets));
        assert!(matches!(Messages::new(octets), Err(CaptureError::Unknown)));
    }
    let mut file = pcap(ETHERNET, &[vec![0; 60]]);
    file[24 + 8..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let (_, _, failure) = read(&file);
    assert!(matches!(failure, Some(CaptureError::TooLong(0))), "{failure:?}");
}

#[test]
fn frames_may_be_as_long_as_programs_write_them() {
    let message = ethernet(&ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(1, 11, b"behind it")])));
    let frames = |length| [vec![0; 100], vec![0; length], message.clone()];
    for file in [pcap(ETHERNET, &frames(262_144)), pcapng(1, &frames(262_144))] {
        let (messages, summary, failure) = read(&file);
        assert_eq!((octets(&messages), summary.frames), (vec![&b"behind it"[..]], 3));
        assert!(failure.is_none(), "{failure:?}");
    }
    let (_, summary, failure) = read(&pcap(ETHERNET, &frames(2 << 20)));
    assert_eq!(summary.frames, 1);
    assert_eq!(
        failure.unwrap().to_string(),
        "the record after frame 1 is longer than any frame, so it is malformed"
    );
}

#[test]
fn a_pipe_may_give_one_octet_at_a_time() {
    struct Drip<'a>(&'a [u8]);
    impl std::io::Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }
    let frames = [ethernet(&ipv4(SCTP, [10, 0, 0, 2], &sctp(&[chunk(1, 11, b"slow")])))];
    for file in [pcap(ETHERNET, &frames), pcapng(1, &frames)] {
        let messages: Vec<_> = Messages::new(Drip(&file)).unwrap().map(Result::unwrap).collect();
        assert_eq!(octets(&messages), [b"slow"]);
    }
}

/// Changes octets, cuts the end off.
fn damaged(mut file: Vec<u8>, changes: &[(prop::sample::Index, u8)], keep: prop::sample::Index) -> Vec<u8> {
    for (at, value) in changes {
        let at = at.index(file.len());
        file[at] = *value;
    }
    file.truncate(keep.index(file.len() + 1).max(4));
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is changed in a capture: it is read to an end, and what comes out was in it.
    #[test]
    fn damaged_captures_do_no_harm(
        ng: bool,
        link in prop::sample::select(vec![0_u16, 1, 101, 108, 113, 228, 229, 276]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        keep: prop::sample::Index,
    ) {
        let packets = sctp(&[chunk(1, 11, b"first"), chunk(2, 12, b"second")]);
        let frames = [
            ethernet(&ipv4(SCTP, [10, 0, 0, 2], &packets)),
            ethernet(&ipv6(UDP, &udp([1, 2], &packets))),
            ethernet(&ipv4(UDP, [239, 0, 0, 50], &udp([1, 3863], b"announcement"))),
        ];
        let file = if ng { pcapng(link, &frames) } else { pcap(link.into(), &frames) };
        let file = damaged(file, &changes, keep);
        if let Ok(mut messages) = Messages::new(&file[..]) {
            let found = messages.by_ref().filter_map(Result::ok).map(|message| message.octets.len()).sum::<usize>();
            prop_assert!(found <= file.len());
            prop_assert!(messages.next().is_none());
        }
    }

    #[test]
    fn any_octets_do_no_harm(ng: bool, octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = if ng { pcapng(1, &[]) } else { pcap(ETHERNET, &[]) };
        file.extend(octets);
        prop_assert!(Messages::new(&file[..]).unwrap().count() <= file.len());
    }
}
