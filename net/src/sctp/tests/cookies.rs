//! The sealed State Cookie (RFC 9260 §5.1.3, §5.1.5) and stateless INITs.

use super::support::*;
use crate::sctp::packet::{self, HEADER, Packet, chunk};
use crate::sctp::{SctpConfig, SctpLimits};
use proto::{Channel, Transmit};
use std::time::Duration;

#[test]
fn an_init_leaves_nothing_behind() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let before = server.endpoint.table_sizes();
        for port in 0..1000 {
            let sent = server.receive(family.at(2, 5000 + port), &init(5000, 3863));
            assert_eq!(kinds(&sent[0]), [chunk::INIT_ACK]);
        }
        assert_eq!(server.endpoint.table_sizes(), before);
        assert_eq!(server.endpoint.poll_timeout(), None);
    }
}

// D12: an INIT ACK is never more than three times as large as its INIT.
#[test]
fn an_init_ack_is_never_more_than_three_times_its_init() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let mut client = Bench::new(family.at(2, 5000));
        client.connect(0, proto::Channel::Asap, family.at(1, 3863));
        let ours = client.sent().remove(0).bytes;
        let answer = server.receive(family.at(2, 5000), &ours);
        assert!(answer[0].len() <= 3 * ours.len(), "{} for {}", answer[0].len(), ours.len());

        // An INIT without any parameter is too small for an answer.
        let bare = packet::single((5000, 3863), 0, chunk::INIT, 0, &ours[HEADER + 4..HEADER + 20]);
        assert!(server.receive(family.at(2, 5000), &bare).is_empty());
        assert_eq!(server.endpoint.counters().dropped_amplification, 1);
    }
}

// The attack that a bare dcsctp socket accepts: one packet with a cookie of the attacker's making.
#[test]
fn a_forged_cookie_opens_nothing() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let tag = 0x1122_3344_u32;
        let mut cookie = b"dcSCTPr0".to_vec();
        for word in [0x5566_7788, tag, 1000, 2000, 65536, 0, 0, 0, 0, 0x000a_000a_u32] {
            cookie.extend_from_slice(&word.to_be_bytes());
        }
        for extra in [0, 28, 60] {
            cookie.resize(48 + extra, 0xaa);
            let echo = packet::single((5000, 3863), tag, chunk::COOKIE_ECHO, 0, &cookie);
            assert!(server.receive(family.at(2, 5000), &echo).is_empty());
        }
        assert_eq!(server.endpoint.counters().dropped_cookie_forged, 3);
        assert_eq!(server.endpoint.associations(), 0);
    }
}

#[test]
fn a_cookie_serves_only_the_peer_it_was_issued_for() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let echo = cookie_echo(&server.receive(family.at(2, 5000), &init(5000, 3863))[0]);
        let mut other_sctp_port = echo.clone();
        other_sctp_port[1] ^= 1;
        packet::seal_checksum(&mut other_sctp_port);
        for (from, packet) in
            [(family.at(3, 5000), &echo), (family.at(2, 5001), &echo), (family.at(2, 5000), &other_sctp_port)]
        {
            assert!(server.receive(from, packet).is_empty());
        }
        // Any bit of it.
        for at in HEADER + 4..echo.len() {
            let mut changed = echo.clone();
            changed[at] ^= 0x10;
            packet::seal_checksum(&mut changed);
            assert!(server.receive(family.at(2, 5000), &changed).is_empty());
        }
        assert_eq!(server.endpoint.counters().dropped_cookie_forged, 3 + (echo.len() - HEADER - 4) as u64);
        assert_eq!(kinds(&server.receive(family.at(2, 5000), &echo)[0]), [chunk::COOKIE_ACK]);
    }
}

// RFC 9260 §5.1.5 step 3, §5.2.6: a cookie that comes too late is answered with Stale Cookie.
#[test]
fn a_stale_cookie_is_answered_with_its_staleness() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let echo = cookie_echo(&server.receive(family.at(2, 5000), &init(5000, 3863))[0]);
        server.pass(SctpConfig::control().timing.cookie_life + Duration::from_millis(3));
        let answer = server.receive(family.at(2, 5000), &echo).remove(0);
        let packet = Packet::parse(&answer).expect("a packet");
        assert_eq!(packet.tag(), 0x1122_3344, "the tag that the INIT asked for");
        let error = packet.first().expect("a chunk");
        assert_eq!(error.kind, chunk::ERROR);
        assert_eq!(error.value, [[0, 3, 0, 8], 3000_u32.to_be_bytes()].concat());
        assert_eq!(server.endpoint.counters().dropped_cookie_stale, 1);
        assert_eq!(server.endpoint.associations(), 0);
    }
}

// D12: a state cookie is single-use. RFC 9260 §5.2.4 D: repeated while its association lives it is answered.
#[test]
fn a_cookie_opens_one_association() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let echo = cookie_echo(&server.receive(family.at(2, 5000), &init(5000, 3863))[0]);
        for _ in 0..3 {
            assert_eq!(kinds(&server.receive(family.at(2, 5000), &echo)[0]), [chunk::COOKIE_ACK]);
        }
        assert_eq!(ups(&server.inputs()).len(), 1);

        let tag = Packet::parse(&echo).expect("a packet").tag();
        server.receive(family.at(2, 5000), &packet::single((5000, 3863), tag, chunk::ABORT, 0, &[]));
        assert_eq!(server.endpoint.associations(), 0);
        assert!(server.receive(family.at(2, 5000), &echo).is_empty());
        assert_eq!(server.endpoint.counters().dropped_cookie_replayed, 1);
        assert_eq!(server.endpoint.associations(), 0);
    }
}

#[test]
fn the_memory_of_used_cookies_is_bounded_and_forgets_safely() {
    let limits = SctpLimits { handshakes_per_second: 1_000_000, ..SctpLimits::default() };
    let config = SctpConfig { limits, ..SctpConfig::control() };
    let mut server = Bench::with_config(Family::V4.at(1, 3863), config);
    let mut first = None;
    for n in 0..20_000_u32 {
        let from = Family::V4
            .at(u8::try_from(n % 200).expect("small"), 1024 + u16::try_from(n / 200).expect("small"));
        let echo = cookie_echo(&server.receive(from, &init(5000, 3863))[0]);
        server.receive(from, &echo);
        let tag = Packet::parse(&echo).expect("a packet").tag();
        server.receive(from, &packet::single((5000, 3863), tag, chunk::ABORT, 0, &[]));
        first.get_or_insert((from, echo));
        server.pass(Duration::from_micros(10));
    }
    assert_eq!(server.endpoint.counters().accepted, 20_000);
    assert_eq!(server.endpoint.table_sizes(), [0, 0, 0, 0, 0, 16_384]);
    // The first one is forgotten, and still not accepted.
    let (from, echo) = first.expect("there was one");
    server.receive(from, &echo);
    assert_eq!(server.endpoint.associations(), 0);
    assert_eq!(server.endpoint.counters().dropped_cookie_stale, 1);
}

#[test]
fn cookies_of_the_previous_key_are_accepted() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let life = SctpConfig::control().timing.cookie_life;
        // Just before the key changes, then once after it: both keys are in use.
        server.receive(family.at(3, 5000), &init(5000, 3863));
        server.pass(life * 60 - Duration::from_millis(1001));
        let old = cookie_echo(&server.receive(family.at(2, 5000), &init(5000, 3863))[0]);
        server.pass(Duration::from_millis(2));
        let new = cookie_echo(&server.receive(family.at(3, 5000), &init(5000, 3863))[0]);
        assert_eq!(kinds(&server.receive(family.at(2, 5000), &old)[0]), [chunk::COOKIE_ACK]);
        assert_eq!(kinds(&server.receive(family.at(3, 5000), &new)[0]), [chunk::COOKIE_ACK]);
    }
}

#[test]
fn a_cookie_must_be_the_first_chunk() {
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let from = Family::V4.at(2, 5000);
    let tag = establish_by_hand(&mut server, from, 5000);
    let echo = packet::single((5000, 3863), tag, chunk::COOKIE_ECHO, 0, &[0; 48]);
    let mut bundled = packet::single((5000, 3863), tag, chunk::HEARTBEAT, 0, &[0, 1, 0, 8, 0, 0, 0, 0]);
    bundled.extend_from_slice(&echo[HEADER..]);
    packet::seal_checksum(&mut bundled);
    assert!(server.receive(from, &bundled).is_empty());
    assert_eq!(server.endpoint.counters().dropped_malformed, 1);
}

// A cookie that was issued while two handshakes crossed does not outlive ours: sessions are only started by us.
#[test]
fn a_cookie_for_the_port_of_a_session_opens_nothing_once_the_session_is_gone() {
    let mut client = Bench::new(Family::V4.at(2, 5000));
    let remote = Family::V4.at(1, 3863);
    let session = client.connect(0, Channel::Session, remote);
    let ours = client.sent().remove(0).bytes;
    let port = Packet::parse(&ours).expect("an INIT").source_port();
    let init_ack = client.receive(remote, &init(3863, port)).remove(0);
    client
        .endpoint
        .carry_out(client.now, Transmit::Abort { assoc: session, cause: "changed my mind".into() });
    client.inputs();
    let answers = client.receive(remote, &cookie_echo(&init_ack));
    assert_eq!(client.inputs(), []);
    assert_eq!(client.endpoint.associations(), 0);
    assert_eq!(answers.iter().map(|answer| kinds(answer)).collect::<Vec<_>>(), [[chunk::ABORT]]);
}

// RFC 9260 §8.5.1 D: a cookie that changes nothing lends its packet no right to speak for the association.
#[test]
fn what_is_bundled_with_a_discarded_cookie_is_dropped_and_with_one_of_a_restart_it_counts() {
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let from = Family::V4.at(2, 5000);
    let bundled = |echo: &[u8], tsn: u32, text: &[u8]| {
        let mut packet = echo.to_vec();
        // Each on a stream of its own: they have no numbers in a stream.
        let value = data(tsn, (tsn - 1000) as u16, text);
        packet.extend_from_slice(&packet::single((0, 0), 0, chunk::DATA, 3, &value)[HEADER..]);
        packet::seal_checksum(&mut packet);
        packet
    };
    let first = cookie_echo(&server.receive(from, &init(5000, 3863))[0]);
    server.receive(from, &bundled(&first, 1000, b"first"));
    assert_eq!(messages(&server.inputs())[0].1, "first");

    // The peer restarts with another tag.
    let mut again = init(5000, 3863);
    again[16] = 0x99;
    packet::seal_checksum(&mut again);
    let second = cookie_echo(&server.receive(from, &again)[0]);
    server.receive(from, &bundled(&second, 1000, b"second"));
    assert_eq!(messages(&server.inputs())[0].1, "second");
    server.receive(from, &bundled(&first, 1001, b"stale"));
    assert_eq!(server.inputs(), []);
    server.receive(from, &bundled(&second, 1001, b"again"));
    assert_eq!(messages(&server.inputs())[0].1, "again");
}
