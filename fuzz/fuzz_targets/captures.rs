//! Any file is read to an end without harm: as it is, and as packets behind a sound header of each format.
#![no_main]

use capture::Messages;
use libfuzzer_sys::fuzz_target;

/// Octets of a pcap record before the frame.
const RECORD: usize = 16;

fuzz_target!(|file: &[u8]| {
    read(file);
    // The first octet chooses the link type, each frame begins with its length.
    let Some((link, mut rest)) = file.split_first() else { return };
    let mut pcap = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    pcap.resize(20, 0);
    let links = [0_u32, 1, 101, 113, 276];
    pcap.extend(links[usize::from(*link) % links.len()].to_le_bytes());
    while let [length, tail @ ..] = rest {
        let (frame, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        let length = (frame.len() as u32).to_le_bytes();
        pcap.extend([&[0; RECORD - 8], &length[..], &length].concat());
        pcap.extend(sealed(frame));
    }
    read(&pcap);
});

/// Puts the right checksum into what may be SCTP in IPv4, so that the fuzzer gets behind it.
fn sealed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for ip in [0, 4, 14, 16, 20] {
        let sctp = match frame.get(ip + 9) {
            Some(17) => ip + 28,
            Some(132) => ip + 20,
            _ => continue,
        };
        if frame.len() >= sctp + 12 {
            frame[sctp + 8..sctp + 12].fill(0);
            let crc = crc32c::crc32c(&frame[sctp..]).to_le_bytes();
            frame[sctp + 8..sctp + 12].copy_from_slice(&crc);
            break;
        }
    }
    frame
}

fn read(file: &[u8]) {
    let Ok(mut messages) = Messages::new(file) else { return };
    let mut octets = 0;
    while let Some(Ok(message)) = messages.next() {
        octets += message.octets.len();
    }
    assert!(octets <= file.len());
    assert!(messages.next().is_none());
    let _ = messages.summary().to_string();
}
