//! Flow control both ways, sizes and bundling.

use super::support::*;
use crate::memory::{Link, NodeId};
use crate::sctp::packet::{self, chunk};
use crate::sctp::{SctpConfig, SctpLimits};
use bytes::Bytes;
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Transmit};
use std::time::Duration;

fn pattern(length: usize, n: usize) -> Bytes {
    (0..length).map(|at| (at * 7 + n) as u8).collect()
}

fn pair(world: &mut World, config: &SctpConfig) -> (NodeId, NodeId, AssocId, AssocId) {
    let server = world.endpoint_with(Family::V4.at(1, 3863), config.clone());
    let client = world.endpoint_with(Family::V4.at(2, 40000), config.clone());
    let (ours, theirs) = world.establish(client, server, Channel::Session);
    (client, server, ours, theirs)
}

// SCTP-4960-03: whole messages, fragmented and reassembled, both ways at once, over a bad network.
#[test]
fn messages_of_one_mebibyte_go_both_ways() {
    for link in [Link::perfect(), Link { loss: 10, ..Link::rough() }] {
        let mut world = World::with_link(3, Link::perfect());
        let (client, server, ours, theirs) = pair(&mut world, &SctpConfig::sessions());
        world.network.set_link(link);
        let (there, back) = (pattern(1 << 20, 1), pattern(1 << 20, 2));
        world.send(client, ours, there.clone());
        world.send(server, theirs, back.clone());
        world.run(60_000);
        assert_eq!(messages(&world.inputs(server)), [(theirs, there)]);
        assert_eq!(messages(&world.inputs(client)), [(ours, back)]);
    }
}

// SCTP-3436-01: 18437 bytes and more; here the largest message of ASAP and ENRP.
#[test]
fn the_largest_control_messages_arrive_in_order() {
    let mut world = World::with_link(4, Link { loss: 20, ..Link::rough() });
    world.network.set_link(Link::perfect());
    let (client, server, ours, theirs) = pair(&mut world, &SctpConfig::control());
    world.network.set_link(Link { loss: 20, ..Link::rough() });
    let sent: Vec<Bytes> = (0..10).map(|n| pattern(65_536, n)).collect();
    let mut waiting = sent.clone().into_iter();
    // As the contract wants it: hold back while full.
    let mut full = false;
    let mut received = Vec::new();
    for _ in 0..60_000 {
        while !full && let Some(bytes) = waiting.next() {
            world.send(client, ours, bytes);
            full = world.inputs(client).contains(&Input::Full { assoc: ours });
        }
        world.run(1);
        full &= !world.inputs(client).contains(&Input::Writable { assoc: ours });
        received.extend(messages(&world.inputs(server)).into_iter().map(|(assoc, bytes)| {
            assert_eq!(assoc, theirs);
            bytes
        }));
        if received.len() == sent.len() {
            break;
        }
    }
    assert_eq!(received, sent);
}

// RFC 6458 §5.3.2: whoever receives a message learns whether it was unordered; large ones come in pieces.
#[test]
fn an_unordered_message_is_delivered_as_one() {
    let mut world = World::new();
    let (client, server, ours, theirs) = pair(&mut world, &SctpConfig::control());
    let sent = [(0, false, 10), (0, true, 20), (7, false, 30), (15, true, 40), (7, true, 20_000)];
    let transmit = |&(stream, unordered, length): &(u16, bool, usize)| Transmit::Send {
        assoc: ours,
        stream,
        ppid: PPID_ASAP,
        unordered,
        bytes: pattern(length, 1),
    };
    world.network.carry_out(client, sent.iter().map(transmit));
    world.run(500);
    let received = |input: Input| match input {
        Input::Message { assoc, stream, unordered, bytes, .. } if assoc == theirs => {
            Some((stream, unordered, bytes.len()))
        }
        _ => None,
    };
    let mut received: Vec<_> = world.inputs(server).into_iter().filter_map(received).collect();
    received.sort_by_key(|(_, _, length)| *length);
    assert_eq!(received, sent);
}

// SCTP-4960-05, SCTP-6458-03: what can never be sent comes back.
#[test]
fn what_cannot_be_sent_comes_back() {
    let mut world = World::new();
    let (client, _, ours, _) = pair(&mut world, &SctpConfig::control());
    let stranger = AssocId::connected(999);
    for (transmit, why) in [
        (message(ours, 0, ""), "empty message"),
        (message(ours, 0, pattern(65_537, 0)), "message too large"),
        (message(ours, 16, "x"), "no such stream"),
        (message(stranger, 0, "x"), "no such association"),
    ] {
        let Transmit::Send { assoc, bytes, .. } = transmit.clone() else { unreachable!() };
        world.network.carry_out(client, [transmit]);
        assert_eq!(world.inputs(client), [Input::SendFailed { assoc, bytes, why }]);
    }
}

// SCTP-4960-04: any stream is accepted.
#[test]
fn small_messages_share_packets() {
    let mut world = World::new();
    let (client, server, ours, _) = pair(&mut world, &SctpConfig::control());
    let before = world.counters(client).sent;
    let sends: Vec<Transmit> = (0..20).map(|n| message(ours, n % 16, n.to_string())).collect();
    world.network.carry_out(client, sends);
    assert_eq!(world.counters(client).sent - before, 1, "twenty messages, one packet");
    world.run(50);
    assert_eq!(messages(&world.inputs(server)).len(), 20);
}

#[test]
fn messages_accepted_while_connecting_are_sent_when_it_is_up() {
    let mut world = World::new();
    let server = world.endpoint(Family::V4.at(1, 3863));
    let client = world.endpoint(Family::V4.at(2, 40000));
    let ours = world.connect(client, Channel::Asap, Family::V4.at(1, 3863));
    world.send(client, ours, "early");
    world.run(50);
    assert_eq!(messages(&world.inputs(server)).len(), 1);
}

#[test]
fn a_full_queue_says_so_and_says_when_it_is_not() {
    let mut world = World::new();
    let (client, server, ours, _) = pair(&mut world, &SctpConfig::control());
    world.network.block(Family::V4.host(2), Family::V4.host(1));
    // 256 KiB may wait; the message that reaches it is still taken.
    let mut accepted = 0;
    loop {
        world.network.carry_out(client, [message(ours, 0, pattern(10_000, accepted))]);
        accepted += 1;
        let inputs = world.inputs(client);
        if !inputs.is_empty() {
            assert_eq!(inputs, [Input::Full { assoc: ours }]);
            break;
        }
    }
    assert!((26..30).contains(&accepted), "{accepted}");
    world.network.heal();
    world.run(2000);
    assert_eq!(world.inputs(client), [Input::Writable { assoc: ours }]);
    assert_eq!(messages(&world.inputs(server)).len(), accepted);
}

// A machine that does not hold back is held back: memory is bounded.
#[test]
fn an_overfull_queue_takes_nothing_more() {
    let mut world = World::new();
    let (client, _, ours, _) = pair(&mut world, &SctpConfig::control());
    world.network.block(Family::V4.host(2), Family::V4.host(1));
    world.network.carry_out(client, (0..100).map(|n| message(ours, 0, pattern(10_000, n))));
    let failed = world
        .inputs(client)
        .into_iter()
        .filter(|input| matches!(input, Input::SendFailed { why: "queue full", .. }));
    assert!((40..50).contains(&failed.count()));
}

// `Read { on: false }`: the peer's window closes, its queue fills, and nothing is lost. A second association
// with the same endpoint does not notice.
#[test]
fn a_slow_reader_stops_its_sender_and_nobody_else() {
    let mut world = World::new();
    let config = SctpConfig::control();
    let (client, server, slow, theirs) = pair(&mut world, &config);
    let (quick, _) = world.establish(client, server, Channel::Session);
    world.network.carry_out(server, [Transmit::Read { assoc: theirs, on: false }]);

    let mut sent = 0;
    let mut full = false;
    // Far longer than three timeouts of a probe: the sender must not take silence of the reader for death.
    for _ in 0..200 {
        while !full {
            world.network.carry_out(client, [message(slow, 0, pattern(10_000, sent))]);
            sent += 1;
            full = world.inputs(client).contains(&Input::Full { assoc: slow });
        }
        world.run(50);
        full &= !world.inputs(client).contains(&Input::Writable { assoc: slow });
    }
    let window = 131_072 * 9 / 10;
    assert!((sent * 10_000) < 256 * 1024 + window + 50_000, "{sent} messages were taken");
    assert_eq!(messages(&world.inputs(server)), [], "nobody read");
    assert_eq!(downs(&world.inputs(client)), []);

    world.send(client, quick, "still quick");
    world.run(20);
    assert_eq!(messages(&world.inputs(server)).len(), 1);

    world.network.carry_out(server, [Transmit::Read { assoc: theirs, on: true }]);
    world.run(3000);
    let received: Vec<Bytes> = messages(&world.inputs(server)).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(received, (0..sent).map(|n| pattern(10_000, n)).collect::<Vec<_>>());
}

#[test]
fn small_unread_messages_close_the_window_too() {
    let mut world = World::new();
    let (client, server, ours, theirs) = pair(&mut world, &SctpConfig::control());
    world.network.carry_out(server, [Transmit::Read { assoc: theirs, on: false }]);
    world.network.carry_out(client, (0..5000).map(|n: u32| message(ours, 0, n.to_be_bytes().to_vec())));
    world.run(5000);
    assert_eq!(downs(&world.inputs(client)), []);
    assert_eq!(world.inputs(server), []);
    world.network.carry_out(server, [Transmit::Read { assoc: theirs, on: true }]);
    // What was held at that moment: the cap and at most what one packet brought beyond it.
    let held = messages(&world.inputs(server)).len();
    assert!((1024..1200).contains(&held), "{held}");
    world.run(3000);
    assert_eq!(held + messages(&world.inputs(server)).len(), 5000);
}

#[test]
fn a_message_beyond_the_limit_ends_its_association() {
    let mut world = World::new();
    let server = world.endpoint_with(Family::V4.at(1, 3863), SctpConfig::control());
    let client = world.endpoint_with(Family::V4.at(2, 40000), SctpConfig::sessions());
    let (ours, theirs) = world.establish(client, server, Channel::Session);
    world.send(client, ours, pattern(100_000, 0));
    world.run(500);
    let why = "message of more than 65536 bytes";
    assert_eq!(downs(&world.inputs(server)), [(theirs, DownReason::Violation(why.into()))]);
    let [(_, DownReason::PeerAborted(text))] = &downs(&world.inputs(client))[..] else {
        panic!("not aborted")
    };
    assert!(text.contains(why), "{text}");
}

// D11: one budget for what all associations hold back; who holds most pays.
#[test]
fn the_receive_budget_ends_the_greedy() {
    let limits = SctpLimits { receive_budget: 100_000, ..SctpLimits::default() };
    let config = SctpConfig { limits, ..SctpConfig::control() };
    let mut world = World::new();
    let server = world.endpoint_with(Family::V4.at(1, 3863), config);
    let client = world.endpoint(Family::V4.at(2, 40000));
    let (greedy, greedy_there) = world.establish(client, server, Channel::Session);
    let (modest, modest_there) = world.establish(client, server, Channel::Session);
    let read = |assoc| Transmit::Read { assoc, on: false };
    world.network.carry_out(server, [read(greedy_there), read(modest_there)]);
    world.send(client, modest, pattern(20_000, 0));
    world.run(200);
    for n in 0..10 {
        world.send(client, greedy, pattern(10_000, n));
        world.run(200);
    }
    let why = DownReason::Violation("receive budget exhausted".into());
    assert_eq!(downs(&world.inputs(server)), [(greedy_there, why)]);
    world.network.carry_out(server, [Transmit::Read { assoc: modest_there, on: true }]);
    assert_eq!(messages(&world.inputs(server)).len(), 1);
}

// A stream of tiny fragments of a message that never ends is charged for its fragments, not only its bytes.
#[test]
fn tiny_fragments_are_charged() {
    let limits = SctpLimits { receive_budget: 100_000, ..SctpLimits::default() };
    let mut server =
        Bench::with_config(Family::V4.at(1, 3863), SctpConfig { limits, ..SctpConfig::control() });
    let from = Family::V4.at(2, 5000);
    let tag = establish_by_hand(&mut server, from, 5000);
    let mut sent = 0;
    while server.endpoint.associations() == 1 {
        let begin = if sent == 0 { 2 } else { 0 };
        let tiny = data(1000 + sent, 0, b"x");
        server.receive(from, &packet::single((5000, 3863), tag, chunk::DATA, begin, &tiny));
        sent += 1;
        assert!(sent < 10_000, "never ended");
    }
    assert!(sent > 1000, "{sent}");
}

#[test]
fn time_passes_without_messages_and_nothing_happens() {
    let mut world = World::new();
    let (client, server, ..) = pair(&mut world, &SctpConfig::control());
    let until = world.now() + Duration::from_secs(60);
    world.network.run(until);
    assert_eq!((world.inputs(client), world.inputs(server)), (vec![], vec![]));
}

// The COOKIE ACK is lost and much arrives behind it: many messages are not one too large.
#[test]
fn messages_that_overtake_the_cookie_ack_may_be_more_than_the_largest_one() {
    let mut client = Bench::new(Family::V4.at(2, 5000));
    let (mut server, remote) = (Bench::new(Family::V4.at(1, 3863)), Family::V4.at(1, 3863));
    let ours = client.connect(0, Channel::Asap, remote);
    let init = client.sent().remove(0).bytes;
    let init_ack = server.receive(Family::V4.at(2, 5000), &init).remove(0);
    let echo = client.receive(remote, &init_ack).remove(0);
    let cookie_ack = server.receive(Family::V4.at(2, 5000), &echo).remove(0);
    let theirs = ups(&server.inputs())[0];
    for n in 0..10 {
        server.endpoint.carry_out(server.now, message(theirs, 0, pattern(10_000, n)));
    }
    exchange(&mut client, &mut server, Family::V4.at(2, 5000));
    assert_eq!(client.inputs(), []);
    client.receive(remote, &cookie_ack);
    exchange(&mut client, &mut server, Family::V4.at(2, 5000));
    let inputs = client.inputs();
    assert_eq!(ups(&inputs), [ours]);
    assert_eq!(messages(&inputs).len(), 10);
}

// ASAP-3.8-04: a cookie is there before what it covers, on whatever stream that is, even if its packet is lost. Data in order on
// its own stream does not wait for the acknowledgement.
#[test]
fn nothing_overtakes_a_control_message() {
    let mut world = World::new();
    let (client, server, ours, theirs) = pair(&mut world, &SctpConfig::sessions());
    let send = |stream, ppid, unordered, text: &'static str| Transmit::Send {
        assoc: ours,
        stream,
        ppid,
        unordered,
        bytes: text.into(),
    };
    world.network.set_link(Link { loss: 1000, ..Link::perfect() });
    world.network.carry_out(client, [send(0, PPID_ASAP, false, "cookie")]);
    world.run(1);
    world.network.set_link(Link::perfect());
    world.network.carry_out(client, [send(3, 0, false, "three")]);
    world.network.carry_out(client, [send(0, 0, true, "whenever"), send(3, 0, false, "more")]);
    world.network.carry_out(client, [Transmit::Shutdown { assoc: ours }]);
    world.run(2000);
    let inputs = world.inputs(server);
    let expected = ["cookie", "three", "whenever", "more"];
    assert_eq!(messages(&inputs), expected.map(|text| (theirs, text.into())));
    assert_eq!(downs(&inputs), [(theirs, DownReason::Shutdown)]);

    let (ours, theirs) = world.establish(client, server, Channel::Session);
    let send = |stream, ppid, text: &'static str| Transmit::Send {
        assoc: ours,
        stream,
        ppid,
        unordered: false,
        bytes: text.into(),
    };
    let sent = world.counters(client).sent;
    world
        .network
        .carry_out(client, [send(0, PPID_ASAP, "cookie"), send(0, 0, "answer"), send(3, 0, "other")]);
    assert_eq!(world.counters(client).sent, sent + 1, "two together");
    world.run(100);
    let arrived = messages(&world.inputs(server));
    assert_eq!(arrived, ["cookie", "answer", "other"].map(|text| (theirs, text.into())));
}

// ASAP-3.8-04: both ends end the association while something waits for a control message: it is sent before the other end's
// SHUTDOWN is taken.
#[test]
fn what_waits_for_a_control_message_outlives_crossing_shutdowns() {
    for both in [false, true] {
        let mut world = World::new();
        let (client, server, ours, theirs) = pair(&mut world, &SctpConfig::sessions());
        let end = |assoc| {
            let send = |stream, ppid, text: &'static str| Transmit::Send {
                assoc,
                stream,
                ppid,
                unordered: false,
                bytes: text.into(),
            };
            [send(0, PPID_ASAP, "cookie"), send(3, 0, "answer"), Transmit::Shutdown { assoc }]
        };
        world.network.carry_out(server, end(theirs));
        match both {
            true => world.network.carry_out(client, end(ours)),
            false => world.network.carry_out(client, [Transmit::Shutdown { assoc: ours }]),
        }
        world.run(2000);
        let inputs = world.inputs(client);
        assert_eq!(messages(&inputs), ["cookie", "answer"].map(|text| (ours, text.into())));
        assert_eq!(downs(&inputs), [(ours, DownReason::Shutdown)]);
        let inputs = world.inputs(server);
        assert_eq!(messages(&inputs).len(), if both { 2 } else { 0 });
        assert_eq!(downs(&inputs), [(theirs, DownReason::Shutdown)]);
    }
}
