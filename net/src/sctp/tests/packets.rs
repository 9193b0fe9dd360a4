//! What is dropped before dcsctp sees it, and what belongs to nothing (RFC 9260 §8.4, §8.5, §6.10).

use super::support::*;
use crate::sctp::packet::{self, Packet, chunk};
use crate::sctp::{Counters, SctpConfig, SctpLimits};
use proto::Channel;
use std::net::SocketAddr;

/// What an established endpoint counts for one packet; it must not answer.
fn dropped(bench: &mut Bench, from: SocketAddr, packet: &[u8]) -> Vec<(&'static str, u64)> {
    let before = bench.endpoint.counters().clone();
    assert!(bench.receive(from, packet).is_empty());
    let after = bench.endpoint.counters().clone();
    difference(&before, &after)
}

fn difference(before: &Counters, after: &Counters) -> Vec<(&'static str, u64)> {
    let changes = before.iter().zip(after.iter()).map(|((name, before), (_, after))| (name, after - before));
    changes.filter(|(name, change)| *change != 0 && *name != "received").collect()
}

fn with_value(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet::seal_checksum(&mut packet);
    packet
}

#[test]
fn malformed_packets_are_dropped_and_counted() {
    for family in FAMILIES {
        let from = family.at(2, 5000);
        let mut bench = Bench::new(family.at(1, 3863));
        let tag = establish_by_hand(&mut bench, from, 5000);
        let heartbeat = packet::single((5000, 3863), tag, chunk::HEARTBEAT, 0, &[0, 1, 0, 8, 0, 0, 0, 0]);
        let init = init(5000, 3863);
        let join = |one: &[u8], two: &[u8]| {
            let mut joined = one.to_vec();
            joined.extend_from_slice(&two[12..]);
            packet::seal_checksum(&mut joined);
            joined
        };
        let mut flipped = heartbeat.clone();
        flipped[20] ^= 1;
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![], "dropped_malformed"),
            (heartbeat[..15].to_vec(), "dropped_malformed"),
            (flipped, "dropped_checksum"),
            (with_value(heartbeat.clone(), 14, &[0, 13]), "dropped_malformed"),
            (with_value(heartbeat.clone(), 14, &[0, 3]), "dropped_malformed"),
            (with_value(heartbeat.clone(), 14, &[0, 0]), "dropped_malformed"),
            (join(&init, &heartbeat), "dropped_malformed"),
            (join(&heartbeat, &init), "dropped_malformed"),
            (with_value(heartbeat.clone(), 4, &(tag ^ 1).to_be_bytes()), "dropped_tag"),
            (with_value(heartbeat.clone(), 4, &[0; 4]), "dropped_tag"),
            (with_value(init.clone(), 4, &[0, 0, 0, 1]), "dropped_init"),
            (with_value(init.clone(), 16, &[0; 4]), "dropped_init"),
            (with_value(init.clone(), 24, &[0; 2]), "dropped_init"),
            (with_value(init.clone(), 26, &[0; 2]), "dropped_init"),
            (with_value(init.clone(), 14, &[0, 12]), "dropped_malformed"),
        ];
        for (packet, counter) in cases {
            assert_eq!(dropped(&mut bench, from, &packet), [(counter, 1)], "{packet:02x?}");
        }
        assert_eq!(kinds(&bench.receive(from, &heartbeat)[0]), [chunk::HEARTBEAT_ACK], "it still lives");
    }
}

#[test]
fn packets_from_no_possible_sender_are_dropped() {
    let mut bench = Bench::new("[::]:3863".parse().expect("an address"));
    for from in [
        "0.0.0.0:5000",
        "224.0.0.1:5000",
        "255.255.255.255:5000",
        "10.0.0.2:0",
        "[::]:5000",
        "[ff02::1]:5000",
    ] {
        let from = from.parse().expect("an address");
        assert_eq!(dropped(&mut bench, from, &init(5000, 3863)), [("dropped_source", 1)]);
    }
}

#[test]
fn an_init_ack_that_breaks_a_rule_is_dropped_and_a_good_one_still_counts() {
    for family in FAMILIES {
        let mut client = Bench::new(family.at(2, 5000));
        let mut server = Bench::new(family.at(1, 3863));
        let assoc = client.connect(0, Channel::Asap, family.at(1, 3863));
        let init = client.sent().remove(0).bytes;
        let init_ack = server.receive(family.at(2, 5000), &init).remove(0);
        for (at, bytes) in [(16, &[0, 0, 0, 0][..]), (24, &[0, 0]), (26, &[0, 0])] {
            let broken = with_value(init_ack.clone(), at, bytes);
            assert_eq!(dropped(&mut client, family.at(1, 3863), &broken), [("dropped_init", 1)]);
        }
        let echo = client.receive(family.at(1, 3863), &init_ack).remove(0);
        let ack = server.receive(family.at(2, 5000), &echo).remove(0);
        client.receive(family.at(1, 3863), &ack);
        assert_eq!(ups(&client.inputs()), [assoc]);
    }
}

// RFC 9260 §8.4, rule by rule.
#[test]
fn out_of_the_blue_packets_are_answered_by_the_book() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, 3863));
        let mut answer = |packet: &[u8]| {
            let sent = bench.receive(family.at(2, 5000), packet);
            sent.first().map(|answer| {
                let packet = Packet::parse(answer).expect("a packet");
                let first = packet.first().expect("a chunk");
                assert_eq!((packet.source_port(), packet.destination_port()), (3863, 5000));
                (first.kind, first.flags, packet.tag())
            })
        };
        let blue = |kind, value: &[u8]| packet::single((5000, 3863), 77, kind, 0, value);
        let aborted = Some((chunk::ABORT, chunk::FLAG_T, 77));
        assert_eq!(answer(&blue(chunk::ABORT, &[])), None);
        assert_eq!(
            answer(&blue(chunk::SHUTDOWN_ACK, &[])),
            Some((chunk::SHUTDOWN_COMPLETE, chunk::FLAG_T, 77))
        );
        assert_eq!(answer(&blue(chunk::SHUTDOWN_COMPLETE, &[])), None);
        assert_eq!(answer(&blue(chunk::COOKIE_ACK, &[])), None);
        assert_eq!(answer(&blue(chunk::ERROR, &[0, 3, 0, 8, 0, 0, 0, 0])), None);
        assert_eq!(answer(&blue(chunk::INIT_ACK, &[1; 16])), None);
        assert_eq!(answer(&blue(chunk::DATA, &data(1, 0, b"x"))), aborted);
        assert_eq!(answer(&blue(chunk::HEARTBEAT, &[0, 1, 0, 4])), aborted);
        assert_eq!(answer(&blue(chunk::SACK, &[0; 12])), aborted);
        assert_eq!(answer(&blue(200, &[0; 12])), aborted);
        // An INIT for a port where nobody listens.
        let mut stranger = init(5000, 3863);
        stranger = with_value(stranger, 2, &3864_u16.to_be_bytes());
        let sent = bench.receive(family.at(2, 5000), &stranger);
        let packet = Packet::parse(&sent[0]).expect("a packet");
        assert_eq!(
            (packet.tag(), packet.first().map(|c| (c.kind, c.flags))),
            (0x1122_3344, Some((chunk::ABORT, 0)))
        );
        assert!(sent[0].len() <= stranger.len());
    }
}

#[test]
fn answers_and_handshakes_are_limited_per_second() {
    let limits =
        SctpLimits { handshakes_per_second: 10, out_of_the_blue_per_second: 5, ..SctpLimits::default() };
    let mut bench =
        Bench::with_config(Family::V4.at(1, 3863), SctpConfig { limits, ..SctpConfig::control() });
    let blue = packet::single((5000, 3863), 77, chunk::SACK, 0, &[0; 12]);
    let mut answered = (0, 0);
    for n in 0..100 {
        answered.0 += bench.receive(Family::V4.at(2, 6000 + n), &blue).len();
        answered.1 += bench.receive(Family::V4.at(2, 6000 + n), &init(5000, 3863)).len();
    }
    assert_eq!(answered, (5, 10));
    let counters = bench.endpoint.counters();
    assert_eq!((counters.dropped_out_of_the_blue_rate, counters.dropped_init_rate), (95, 90));
    bench.pass(std::time::Duration::from_millis(500));
    assert_eq!((0..100).map(|_| bench.receive(Family::V4.at(2, 6000), &blue).len()).sum::<usize>(), 2);
}

// RFC 9260 §8.5.1 B and C: the reflected tag, which only the peer and its path know.
#[test]
fn a_reflected_tag_ends_the_association_and_a_wrong_one_does_not() {
    let from = Family::V4.at(2, 5000);
    let mut bench = Bench::new(Family::V4.at(1, 3863));
    establish_by_hand(&mut bench, from, 5000);
    let abort = |tag| packet::single((5000, 3863), tag, chunk::ABORT, chunk::FLAG_T, &[]);
    assert_eq!(dropped(&mut bench, from, &abort(0x1122_3345)), [("dropped_tag", 1)]);
    assert_eq!(bench.endpoint.associations(), 1);
    bench.receive(from, &abort(0x1122_3344));
    assert_eq!(bench.endpoint.associations(), 0);
}

// RFC 9260 §8.4 (1): neither to nor from a group is a packet answered.
#[test]
fn packets_to_a_group_are_dropped() {
    for (to, family) in [("224.0.1.1", Family::V4), ("255.255.255.255", Family::V4), ("ff02::1", Family::V6)]
    {
        let mut bench = Bench::new(family.at(1, 3863));
        let to = to.parse().expect("an address");
        bench.endpoint.handle_datagram(bench.now, family.at(2, 5000), to, &init(5000, 3863));
        assert_eq!(bench.sent(), []);
        assert_eq!(bench.endpoint.counters().dropped_destination, 1);
    }
}
