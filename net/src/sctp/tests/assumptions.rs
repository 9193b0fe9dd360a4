//! What the endpoint relies on in dcsctp, which is pinned: one test per assumption, so that an update tells.

use super::support::{cookie_echo, data, init};
use crate::sctp::packet::{self, InitFields, Packet, SackFields, chunk};
use dcsctp::api::{DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketState, StreamId};
use std::time::Duration;

fn socket(options: &Options) -> Box<dyn DcSctpSocket> {
    dcsctp::new_socket("", options)
}

fn packets(socket: &mut dyn DcSctpSocket) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| socket.poll_event())
        .filter_map(|event| if let SocketEvent::SendPacket(packet) = event { Some(packet) } else { None })
        .collect()
}

fn exchange(one: &mut dyn DcSctpSocket, two: &mut dyn DcSctpSocket) {
    loop {
        let (there, back) = (packets(one), packets(two));
        if there.is_empty() && back.is_empty() {
            return;
        }
        there.iter().for_each(|packet| two.handle_input(packet));
        back.iter().for_each(|packet| one.handle_input(packet));
    }
}

fn connected(options: &Options) -> (Box<dyn DcSctpSocket>, Box<dyn DcSctpSocket>) {
    let (mut one, mut two) = (socket(options), socket(options));
    one.connect();
    exchange(&mut *one, &mut *two);
    assert_eq!((one.state(), two.state()), (SocketState::Connected, SocketState::Connected));
    (one, two)
}

// The stream number of a message tells whether it was unordered: dcsctp hands out any number, whatever was negotiated,
// and a mark on some messages of a stream does not disturb the order of the others.
#[test]
fn a_message_keeps_whatever_stream_number_it_came_with() {
    let options = Options { announced_maximum_incoming_streams: 16, ..Options::default() };
    let (mut one, mut two) = connected(&options);
    let unordered = SendOptions { unordered: true, ..SendOptions::default() };
    for options in [&SendOptions::default(), &unordered, &SendOptions::default(), &unordered] {
        one.send(message(10), options).expect("room");
        for packet in packets(&mut *one) {
            let marked = Packet::parse(&packet).expect("a packet").mark_unordered();
            assert_eq!(marked.is_some(), options.unordered);
            two.handle_input(&marked.unwrap_or(packet));
        }
    }
    let streams: Vec<u16> =
        std::iter::from_fn(|| two.get_next_message()).map(|message| message.stream_id.0).collect();
    assert_eq!(streams, [0, packet::UNORDERED, 0, packet::UNORDERED]);
}

fn message(length: usize) -> Message {
    Message::new(StreamId(0), PpId(11), vec![1; length])
}

// The endpoint seeds the thread's fastrand: it must be the instance that dcsctp draws from.
#[test]
fn the_same_seed_gives_the_same_init() {
    let init = |seed| {
        fastrand::seed(seed);
        let mut socket = socket(&Options::default());
        socket.connect();
        packets(&mut *socket).remove(0)
    };
    assert_eq!(init(7), init(7));
    assert_ne!(init(7), init(8));
}

// The throw-away socket that answers an INIT is gone when the COOKIE ECHO arrives at another one.
#[test]
fn a_closed_socket_accepts_a_cookie_echo_that_another_one_issued() {
    let options = Options { local_port: 3863, remote_port: 5000, ..Options::default() };
    let mut throw_away = socket(&options);
    throw_away.handle_input(&init(5000, 3863));
    assert_eq!(throw_away.state(), SocketState::Closed);
    let echo = cookie_echo(&packets(&mut *throw_away)[0]);
    let mut fresh = socket(&options);
    fresh.handle_input(&echo);
    assert_eq!(fresh.state(), SocketState::Connected);
    // B.4: it believes any cookie of the right form, which is why the endpoint seals it.
}

// A sealed cookie is longer than dcsctp's own: the peer must echo whatever it gets.
#[test]
fn a_connecting_socket_echoes_an_opaque_cookie() {
    let mut client = socket(&Options::default());
    client.connect();
    let init = packets(&mut *client).remove(0);
    let tag = packet::u32_at(&init, 16).expect("a tag");
    let cookie: Vec<u8> = (0..77).collect();
    let mut value = [0, 0, 0, 9, 0, 1, 0, 0, 0, 16, 0, 16, 0, 0, 0, 1].to_vec();
    value.extend_from_slice(&[0, 7, 0, 81]);
    value.extend_from_slice(&cookie);
    client.handle_input(&packet::single((5000, 5000), tag, chunk::INIT_ACK, 0, &value));
    let echo = packets(&mut *client).remove(0);
    let packet = Packet::parse(&echo).expect("a packet");
    assert_eq!(packet.first().expect("a chunk").value, cookie);
    assert_eq!(packet.tag(), 9);
}

// `Inbound` computes from each SACK what dcsctp holds back.
#[test]
fn the_window_in_a_sack_is_nine_tenths_of_the_buffer_less_what_is_held() {
    let options = Options { max_receiver_window_buffer_size: 131_072, ..Options::default() };
    let mut server = socket(&Options { local_port: 3863, remote_port: 5000, ..options });
    server.handle_input(&init(5000, 3863));
    let init_ack = packets(&mut *server).remove(0);
    let tag = InitFields::parse(&init_ack[16..]).expect("fields").initiate_tag;
    server.handle_input(&cookie_echo(&init_ack));
    packets(&mut *server);
    // The second half of a message is missing: B bit, not E.
    let fragment = packet::single((5000, 3863), tag, chunk::DATA, 2, &data(1000, 0, &[0; 100]));
    server.handle_input(&fragment);
    let sack = packets(&mut *server).remove(0);
    let fields = SackFields::parse(&sack[16..]).expect("a SACK");
    let window = (131_072_f32 * 0.9) as u32;
    assert_eq!((fields.window, fields.cumulative_tsn, fields.gap_blocks), (window - 100, 1000, 0));
}

// The error count that ends an association is cleared by the answer to the last heartbeat, number 0 at first.
#[test]
fn a_heartbeat_ack_clears_the_error_count() {
    let options = Options {
        max_retransmissions: Some(2),
        heartbeat_interval: Duration::ZERO,
        max_timer_backoff_duration: Some(Duration::from_secs(1)),
        ..Options::default()
    };
    for answered in [false, true] {
        let (mut one, mut two) = (socket(&options), socket(&options));
        one.connect();
        let init = packets(&mut *one).remove(0);
        let tag = packet::u32_at(&init, 16).expect("a tag");
        two.handle_input(&init);
        exchange(&mut *one, &mut *two);
        one.send(message(10), &SendOptions::default()).expect("room");
        for _ in 0..10 {
            one.advance_time(one.poll_timeout());
            if answered {
                let ack = [0, 1, 0, 8, 0, 0, 0, 0];
                one.handle_input(&packet::single((5000, 5000), tag, chunk::HEARTBEAT_ACK, 0, &ack));
            } else if one.state() == SocketState::Closed {
                break;
            }
        }
        assert_eq!(one.state() == SocketState::Connected, answered, "after ten timeouts");
    }
}

// Why the endpoint answers probes of a closed window itself.
#[test]
fn above_its_window_dcsctp_drops_data_without_a_word() {
    let options = Options { max_receiver_window_buffer_size: 1000, ..Options::default() };
    let mut server = socket(&Options { local_port: 3863, remote_port: 5000, ..options });
    server.handle_input(&init(5000, 3863));
    let init_ack = packets(&mut *server).remove(0);
    let tag = InitFields::parse(&init_ack[16..]).expect("fields").initiate_tag;
    server.handle_input(&cookie_echo(&init_ack));
    packets(&mut *server);
    for (tsn, answered) in [(1000, true), (1001, false)] {
        let fragment = packet::single((5000, 3863), tag, chunk::DATA, 3 | 8, &data(tsn, 0, &[0; 950]));
        server.handle_input(&fragment);
        assert_eq!(!packets(&mut *server).is_empty(), answered, "TSN {tsn}");
    }
}

// Why `Association` waits with SHUTDOWN until everything is acknowledged.
#[test]
fn dcsctp_sends_its_shutdown_before_its_queue_is_empty() {
    let (mut one, mut two) = connected(&Options::default());
    for _ in 0..30 {
        one.send(message(10_000), &SendOptions::default()).expect("room");
    }
    one.shutdown();
    exchange(&mut *one, &mut *two);
    let arrived = std::iter::from_fn(|| two.get_next_message()).count();
    assert!(arrived < 30, "fixed in dcsctp: the waiting can go");
}
