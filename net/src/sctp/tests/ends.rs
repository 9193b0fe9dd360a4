//! Every way an association ends or begins anew.

use super::support::*;
use crate::memory::{Link, NodeId};
use crate::sctp::SctpConfig;
use crate::sctp::packet::{self, Packet, cause, chunk};
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use std::time::Duration;

fn pair(world: &mut World, family: Family) -> (NodeId, NodeId, AssocId, AssocId) {
    let server = world.endpoint(family.at(1, 3863));
    let client = world.endpoint(family.at(2, 40000));
    let (ours, theirs) = world.establish(client, server, Channel::Asap);
    (client, server, ours, theirs)
}

/// Runs until something happens at `node` and returns what, and after how long.
fn next(world: &mut World, node: NodeId) -> (Vec<Input>, Duration) {
    let start = world.now();
    let limit = start + Duration::from_secs(60);
    while world.network.step(limit).is_some() {
        let inputs = world.inputs(node);
        if !inputs.is_empty() {
            return (inputs, world.now().since(start));
        }
    }
    panic!("nothing happened in a minute");
}

// SCTP-6458-03: the association is lost.
#[test]
fn an_abort_carries_its_cause_to_the_peer() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, ours, theirs) = pair(&mut world, family);
        world.network.carry_out(client, [Transmit::Abort { assoc: ours, cause: "no more cheese".into() }]);
        assert_eq!(world.inputs(client), [Input::Down { assoc: ours, why: DownReason::LocalAbort }]);
        world.run(10);
        let downs = downs(&world.inputs(server));
        let [(assoc, DownReason::PeerAborted(text))] = &downs[..] else { panic!("{downs:?}") };
        assert_eq!(*assoc, theirs);
        assert!(text.contains("no more cheese"), "{text}");
    }
}

// SCTP-6458-03: the association cannot be started.
#[test]
fn nobody_home_is_found_out_after_three_inits() {
    for family in FAMILIES {
        let mut world = World::new();
        let client = world.endpoint(family.at(2, 40000));
        let ours = world.connect(client, Channel::Asap, family.at(1, 3863));
        let (inputs, after) = next(&mut world, client);
        assert_eq!(downs(&inputs), [(ours, DownReason::Unreachable)]);
        assert_eq!(after, Duration::from_millis(400), "T1 100 ms, three INITs");
        assert_eq!(world.counters(client).sent, 3);
        assert_eq!(world.network.endpoint(client).expect("there").associations(), 0);
    }
}

// RFC 9260 §8.4 (3) and §3.3.7: an ABORT answers the INIT, and it is heard in COOKIE-WAIT.
#[test]
fn a_refused_connect_fails_at_once() {
    for family in FAMILIES {
        let mut world = World::new();
        let deaf = SctpConfig { listening: false, ..SctpConfig::control() };
        world.endpoint_with(family.at(1, 3863), deaf);
        let client = world.endpoint(family.at(2, 40000));
        let ours = world.connect(client, Channel::Asap, family.at(1, 3863));
        let (inputs, after) = next(&mut world, client);
        assert_eq!(downs(&inputs), [(ours, DownReason::ConnectFailed("refused".into()))]);
        assert!(after < Duration::from_millis(1));
    }
}

#[test]
fn a_full_endpoint_refuses_with_a_reason() {
    for family in FAMILIES {
        let mut config = SctpConfig::control();
        config.limits.associations = 1;
        let mut world = World::new();
        let server = world.endpoint_with(family.at(1, 3863), config);
        let client = world.endpoint(family.at(2, 40000));
        world.establish(client, server, Channel::Session);
        let second = world.connect(client, Channel::Session, family.at(1, 3863));
        world.run(10);
        let why = DownReason::ConnectFailed("refused: out of resources".into());
        assert_eq!(downs(&world.inputs(client)), [(second, why)]);
        assert_eq!(world.counters(server).refused_full, 1);
        // And its own connects.
        let own = world.connect(server, Channel::Session, family.at(2, 40000));
        let why = DownReason::CannotConnect("too many associations".into());
        assert_eq!(downs(&world.inputs(server)), [(own, why)]);
        assert_eq!(world.counters(server).refused_connects, 1);
    }
}

// `lan`: an idle association notices a dead peer by its heartbeats.
#[test]
fn a_dead_peer_is_noticed_within_a_second_by_heartbeats() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, ours, _) = pair(&mut world, family);
        world.network.crash(server);
        let (inputs, after) = next(&mut world, client);
        assert_eq!(downs(&inputs), [(ours, DownReason::Unreachable)]);
        assert!(after < Duration::from_millis(800), "{after:?}");
    }
}

#[test]
fn a_dead_peer_is_noticed_by_unanswered_data() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, ours, _) = pair(&mut world, family);
        world.network.crash(server);
        world.send(client, ours, "anybody?");
        let (inputs, after) = next(&mut world, client);
        assert_eq!(downs(&inputs), [(ours, DownReason::Unreachable)]);
        assert!(after < Duration::from_millis(900), "{after:?}");
    }
}

// RFC 9260 §8.4 (8): the process is back without the association, and says so.
#[test]
fn a_peer_without_memory_ends_the_association_at_once() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, ours, _) = pair(&mut world, family);
        world.network.crash(server);
        world.endpoint(family.at(1, 3863));
        world.send(client, ours, "anybody?");
        let (inputs, after) = next(&mut world, client);
        assert!(matches!(&downs(&inputs)[..], [(assoc, DownReason::PeerAborted(_))] if *assoc == ours));
        assert!(after < Duration::from_millis(2), "{after:?}");
    }
}

// RFC 9260 §5.2.2, §5.2.4 A: the same ports and another tag.
#[test]
fn a_restarted_peer_keeps_the_association() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, _, theirs) = pair(&mut world, family);
        world.network.crash(client);
        let reborn = world.endpoint(family.at(2, 40000));
        let again = world.connect(reborn, Channel::Asap, family.at(1, 3863));
        world.run(50);
        assert_eq!(ups(&world.inputs(reborn)), [again]);
        assert_eq!(world.inputs(server), [Input::Restart { assoc: theirs }]);
        assert_eq!(world.counters(server).restarted, 1);
        assert_eq!(world.network.endpoint(server).expect("there").table_sizes()[..3], [1, 1, 1]);
        world.send(server, theirs, "welcome back");
        world.send(reborn, again, "hello again");
        world.run(50);
        assert_eq!(messages(&world.inputs(reborn)), [(again, "welcome back".into())]);
        assert_eq!(messages(&world.inputs(server)), [(theirs, "hello again".into())]);
    }
}

// Nothing is lost by an orderly end, however much waits on both sides.
#[test]
fn a_shutdown_waits_for_everything_queued_on_both_sides() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, ours, theirs) = pair(&mut world, family);
        let bulk = |assoc| (0..20).map(move |n: u8| message(assoc, 0, vec![n; 12_000]));
        world.network.carry_out(client, bulk(ours));
        world.network.carry_out(server, bulk(theirs));
        world.network.carry_out(client, [Transmit::Shutdown { assoc: ours }]);
        world.run(5000);
        let (at_client, at_server) = (world.inputs(client), world.inputs(server));
        assert_eq!((messages(&at_client).len(), messages(&at_server).len()), (20, 20));
        assert_eq!(downs(&at_client), [(ours, DownReason::Shutdown)]);
        assert_eq!(downs(&at_server), [(theirs, DownReason::Shutdown)]);
    }
}

// Both end it at the same time: each hears of the other's end, for what it has sent last may not be taken.
#[test]
fn shutdowns_that_cross_are_told() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, ours, theirs) = pair(&mut world, family);
        world.network.carry_out(client, [message(ours, 0, "x"), Transmit::Shutdown { assoc: ours }]);
        world.network.carry_out(server, [message(theirs, 0, "y"), Transmit::Shutdown { assoc: theirs }]);
        world.run(500);
        for (node, assoc) in [(client, ours), (server, theirs)] {
            let inputs = world.inputs(node);
            let end = [Input::PeerShutdown { assoc }, Input::Down { assoc, why: DownReason::Shutdown }];
            assert_eq!(messages(&inputs).len(), 1);
            assert_eq!(inputs[inputs.len() - 2..], end);
        }
    }
}

#[test]
fn nothing_can_be_sent_into_a_shutdown() {
    let mut world = World::new();
    let (client, server, ours, theirs) = pair(&mut world, Family::V4);
    world.network.carry_out(client, [Transmit::Shutdown { assoc: ours }]);
    world.send(client, ours, "late");
    world.network.step(Time::NEVER);
    world.send(server, theirs, "later");
    let failed =
        |assoc, text: &'static str| Input::SendFailed { assoc, bytes: text.into(), why: "shutting down" };
    assert!(world.inputs(client).contains(&failed(ours, "late")));
    assert_eq!(world.inputs(server), [Input::PeerShutdown { assoc: theirs }, failed(theirs, "later")]);
}

// Unread messages were acknowledged: they are handed out before the end.
#[test]
fn the_end_comes_after_what_was_not_read() {
    let mut world = World::new();
    let (client, server, ours, theirs) = pair(&mut world, Family::V4);
    world.network.carry_out(server, [Transmit::Read { assoc: theirs, on: false }]);
    world.send(client, ours, "last words");
    world.network.carry_out(client, [Transmit::Shutdown { assoc: ours }]);
    world.run(500);
    let inputs = world.inputs(server);
    let last = &inputs[inputs.len() - 2..];
    assert!(matches!(&last[0], Input::Message { bytes, .. } if bytes == "last words"), "{inputs:?}");
    assert_eq!(last[1], Input::Down { assoc: theirs, why: DownReason::Shutdown });
}

#[test]
fn an_association_that_is_not_up_yet_is_just_dropped() {
    let mut world = World::new();
    let client = world.endpoint(Family::V4.at(2, 40000));
    let ours = world.connect(client, Channel::Asap, Family::V4.at(1, 3863));
    world.network.carry_out(client, [message(ours, 0, "x"), Transmit::Shutdown { assoc: ours }]);
    let failed = Input::SendFailed { assoc: ours, bytes: "x".into(), why: "association gone" };
    assert_eq!(world.inputs(client), [failed, Input::Down { assoc: ours, why: DownReason::LocalAbort }]);
}

#[test]
fn icmp_ends_a_connect_and_an_association_at_once() {
    for family in FAMILIES {
        let mut world = World::new();
        world.network.set_icmp(true);
        let (client, server, ours, _) = pair(&mut world, family);
        let refused = world.connect(client, Channel::Asap, family.at(1, 1234));
        let (inputs, after) = next(&mut world, client);
        let text = || "ICMP: port unreachable".to_owned();
        assert_eq!(downs(&inputs), [(refused, DownReason::ConnectFailed(text()))]);
        assert!(after < Duration::from_millis(1), "{after:?}");

        world.network.crash(server);
        world.send(client, ours, "anybody?");
        let (inputs, after) = next(&mut world, client);
        assert_eq!(downs(&inputs), [(ours, DownReason::PeerAborted(text()))]);
        assert!(downs(&inputs)[0].1.is_positive());
        assert!(after < Duration::from_millis(1), "{after:?}");
    }
}

// RFC 6951 §5.5: what cannot be related to an association, tag included, is discarded.
#[test]
fn icmp_that_quotes_nothing_of_ours_is_dropped() {
    for family in FAMILIES {
        let mut client = Bench::new(family.at(2, 5000));
        let mut server = Bench::new(family.at(1, 3863));
        let assoc = client.connect(0, Channel::Asap, family.at(1, 3863));
        let init = client.sent().remove(0).bytes;
        let wrong_tag = packet::single((5000, 3863), 0, chunk::INIT, 0, &[9; 16]);
        let not_init = packet::single((5000, 3863), 0, chunk::DATA, 0, &[9; 16]);
        for (destination, quoted) in [
            (family.at(1, 3864), &init[..]),
            (family.at(3, 3863), &init[..]),
            (family.at(1, 3863), &init[..16]),
            (family.at(1, 3863), &init[..3]),
            (family.at(1, 3863), &[]),
            (family.at(1, 3863), &wrong_tag[..]),
            (family.at(1, 3863), &not_init[..]),
        ] {
            client.endpoint.handle_unreachable(client.now, destination, quoted);
        }
        assert_eq!(client.endpoint.counters().dropped_icmp, 7);
        let init_ack = server.receive(family.at(2, 5000), &init).remove(0);
        client.receive(family.at(1, 3863), &init_ack);
        assert_eq!(client.inputs(), []);

        // Established: only the peer's tag counts, and eight bytes show it.
        let echo =
            packet::single((5000, 3863), Packet::parse(&init_ack).expect("a packet").tag(), 10, 0, &[]);
        client.endpoint.handle_unreachable(client.now, family.at(1, 3863), &echo[..8]);
        assert_eq!(client.endpoint.counters().dropped_icmp, 8, "that is our own tag, not the peer's");
        let tag = packet::u32_at(&init_ack, 16).expect("a tag");
        let ours = packet::single((5000, 3863), tag, chunk::DATA, 0, &[]);
        client.endpoint.handle_unreachable(client.now, family.at(1, 3863), &ours[..8]);
        assert_eq!(downs(&client.inputs()).len(), 1);
        let _ = assoc;
    }
}

#[test]
fn a_stream_that_was_not_negotiated_is_a_violation() {
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let from = Family::V4.at(2, 5000);
    let tag = establish_by_hand(&mut server, from, 5000);
    let sent =
        server.receive(from, &packet::single((5000, 3863), tag, chunk::DATA, 3, &data(1000, 16, b"x")));
    let abort = Packet::parse(&sent[0]).expect("a packet");
    let first = abort.first().expect("a chunk");
    assert_eq!((abort.tag(), first.kind), (0x1122_3344, chunk::ABORT));
    assert_eq!(packet::u16_at(first.value, 0), Some(cause::PROTOCOL_VIOLATION));
    let why = DownReason::Violation("stream 16 of 16".into());
    assert_eq!(downs(&server.inputs()).remove(0).1, why);
    assert_eq!(server.endpoint.counters().violations, 1);
    assert_eq!(server.endpoint.associations(), 0);
}

// Design decision D2: a process that was frozen must not accuse the world when it wakes.
#[test]
fn a_frozen_host_wakes_without_accusing_its_peer() {
    let mut world = World::new();
    // The peer is patient, so that only the frozen side could give up.
    let mut patient = SctpConfig::control();
    patient.timing.max_retransmissions = 100;
    let server = world.endpoint_with(Family::V4.at(1, 3863), patient);
    let client = world.endpoint(Family::V4.at(2, 40000));
    let (ours, _) = world.establish(client, server, Channel::Asap);
    world.send(client, ours, "in flight");
    world.network.pause(Family::V4.host(2));
    world.run(5000);
    world.network.resume(Family::V4.host(2));
    world.run(1000);
    assert_eq!(downs(&world.inputs(client)), []);
    assert_eq!(messages(&world.inputs(server)).len(), 1);
}

// When only the last SACK of several arrives it acknowledges all that is in flight while more waits: what dcsctp
// takes for the end of the data, on either side.
#[test]
fn a_shutdown_does_not_overtake_what_waits_behind_the_window() {
    for sender_ends in [true, false] {
        let (sender_address, receiver_address) = (Family::V4.at(2, 5000), Family::V4.at(1, 3863));
        let mut sender = Bench::new(sender_address);
        let mut receiver = Bench::new(receiver_address);
        let ours = sender.connect(0, Channel::Asap, receiver_address);
        exchange(&mut sender, &mut receiver, sender_address);
        assert_eq!(ups(&sender.inputs()), [ours]);
        let theirs = ups(&receiver.inputs())[0];
        for n in 0..24_u8 {
            sender.endpoint.carry_out(sender.now, message(ours, 0, vec![n; 10_000]));
        }
        let mut first = sender.sent();
        if sender_ends {
            sender.endpoint.carry_out(sender.now, Transmit::Shutdown { assoc: ours });
        } else {
            receiver.endpoint.carry_out(receiver.now, Transmit::Shutdown { assoc: theirs });
        }
        for _ in 0..500 {
            for datagram in first.drain(..).chain(sender.sent()) {
                receiver.endpoint.handle_datagram(
                    receiver.now,
                    sender_address,
                    receiver_address.ip(),
                    &datagram.bytes,
                );
            }
            if let Some(last) = receiver.sent().pop() {
                sender.endpoint.handle_datagram(
                    sender.now,
                    receiver_address,
                    sender_address.ip(),
                    &last.bytes,
                );
            }
            sender.pass(Duration::from_millis(5));
            receiver.pass(Duration::from_millis(5));
        }
        let (at_sender, at_receiver) = (sender.inputs(), receiver.inputs());
        assert_eq!(messages(&at_receiver).len(), 24, "the sender ends: {sender_ends}");
        assert_eq!(downs(&at_sender), [(ours, DownReason::Shutdown)]);
        assert_eq!(downs(&at_receiver), [(theirs, DownReason::Shutdown)]);
    }
}

// Design decision D2: input first, timers second. The SACK was there in time, only nobody had looked.
#[test]
fn a_sack_that_is_read_late_is_not_a_lost_one() {
    let mut client = Bench::new(Family::V4.at(2, 5000));
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let ours = client.connect(0, Channel::Asap, Family::V4.at(1, 3863));
    exchange(&mut client, &mut server, Family::V4.at(2, 5000));
    client.endpoint.carry_out(client.now, message(ours, 0, "in time"));
    let data = client.sent().remove(0).bytes;
    let sack = server.receive(Family::V4.at(2, 5000), &data).remove(0);
    assert_eq!(kinds(&sack), [chunk::SACK]);
    // Long after T3-rtx.
    client.now += Duration::from_millis(900);
    assert_eq!(client.receive(Family::V4.at(1, 3863), &sack), Vec::<Vec<u8>>::new());
    client.pass(Duration::ZERO);
    let sent: Vec<u8> = client.sent().iter().flat_map(|datagram| kinds(&datagram.bytes)).collect();
    assert!(!sent.contains(&chunk::DATA), "sent again: {sent:?}");
}

// RFC 9260 §8.1: an answer to a heartbeat is one, even if the next heartbeat was sent before it came.
#[test]
fn a_peer_that_answers_heartbeats_late_is_alive() {
    let mut world = World::new();
    let (client, server, ours, theirs) = pair(&mut world, Family::V4);
    // There and back takes longer than the interval of heartbeats (200 ms) and less than it takes to give up.
    world.network.set_link(Link { delay: Duration::from_millis(180), ..Link::perfect() });
    world.run(10_000);
    assert_eq!((downs(&world.inputs(client)), downs(&world.inputs(server))), (vec![], vec![]));
    world.network.set_link(Link::perfect());
    world.send(client, ours, "still there?");
    world.run(500);
    assert_eq!(messages(&world.inputs(server)), [(theirs, "still there?".into())]);
    world.network.crash(server);
    assert_eq!(downs(&next(&mut world, client).0), [(ours, DownReason::Unreachable)]);
}

// An answer to a heartbeat that was never sent, or long ago, says nothing about now.
#[test]
fn an_answer_to_no_recent_heartbeat_does_not_keep_an_association() {
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let from = Family::V4.at(2, 5000);
    let tag = establish_by_hand(&mut server, from, 5000);
    for _ in 0..40 {
        server.pass(Duration::from_millis(50));
        for counter in [u32::MAX - 9, 1000_u32] {
            let value = [&[0, 1, 0, 8][..], &counter.to_be_bytes()].concat();
            server.receive(from, &packet::single((5000, 3863), tag, chunk::HEARTBEAT_ACK, 0, &value));
        }
    }
    assert!(matches!(&downs(&server.inputs())[..], [(_, DownReason::Unreachable)]));
}

// What was asked for stays asked for: the restarted peer gets a SHUTDOWN.
#[test]
fn a_restart_does_not_undo_a_shutdown() {
    for family in FAMILIES {
        let mut world = World::new();
        let (client, server, _, theirs) = pair(&mut world, family);
        world.network.crash(client);
        world.network.carry_out(server, [Transmit::Shutdown { assoc: theirs }]);
        let reborn = world.endpoint(family.at(2, 40000));
        let again = world.connect(reborn, Channel::Asap, family.at(1, 3863));
        world.run(1000);
        assert_eq!(downs(&world.inputs(server)), [(theirs, DownReason::Shutdown)]);
        assert_eq!(downs(&world.inputs(reborn)), [(again, DownReason::Shutdown)]);
    }
}
