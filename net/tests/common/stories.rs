//! Stories that every backend tells alike: the contract of `proto::node` on real sockets.

use super::{PPID, Setup, pattern};
use bytes::Bytes;
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use std::time::Duration;

/// Silence until an idle peer is given up with the `lan` timing: three heartbeats unanswered, each sent
/// HB.interval (200 ms, jittered by half of the RTO) after the last one's RTO (at most 250 ms) ended.
pub(crate) const SILENCE: Duration = Duration::from_millis(3 * (200 + 125 + 250));

pub(crate) async fn two_peers_connect_talk_and_part_in_order(at: Setup) {
    let mut server = at.clone().start();
    let mut client = at.clone().start();
    let assoc = client.connect(server.address).await;
    let (accepted, channel, remote, local, streams) = server
        .expect("Up", |_, input| match input {
            Input::Up { assoc, channel, remote, local, streams } => {
                Some((assoc, channel, remote, local, streams))
            }
            _ => None,
        })
        .await;
    assert_eq!((accepted.is_accepted(), channel), (true, Channel::Asap));
    assert_eq!(remote.iter().map(|address| address.ip()).collect::<Vec<_>>(), [at.address.ip()]);
    assert_eq!(local, [at.address.ip()]);
    assert!(streams > 3);

    client.send(assoc, 3, "hello").await;
    let message = server.expect("the greeting", |_, input| Some(input)).await;
    let expected = Input::Message {
        assoc: accepted,
        stream: 3,
        ppid: PPID,
        unordered: false,
        bytes: Bytes::from_static(b"hello"),
    };
    assert_eq!(message, expected);
    server.send(accepted, 0, "hello yourself").await;
    assert_eq!(client.message(assoc).await, "hello yourself");

    client.transmit(Transmit::Shutdown { assoc }).await;
    assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
    assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
}

pub(crate) async fn an_abort_tells_the_peer_why(at: Setup) {
    let mut server = at.clone().start();
    let mut client = at.clone().start();
    let assoc = client.connect(server.address).await;
    let accepted = server.accept().await;
    client.transmit(Transmit::Abort { assoc, cause: "out of coffee".into() }).await;
    assert_eq!(client.down(assoc).await.1, DownReason::LocalAbort);
    match server.down(accepted).await.1 {
        DownReason::PeerAborted(text) => assert!(text.contains("out of coffee"), "{text}"),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn one_client_has_a_hundred_sessions_with_one_server(at: Setup) {
    let server = at.clone().echo().start();
    let mut client = at.clone().start();
    let to = server.address;
    let sessions: Vec<AssocId> =
        client.call(move |machine| (0..100).map(|_| machine.connect(Channel::Session, to)).collect()).await;
    for _ in &sessions {
        client.accept().await;
    }
    for assoc in &sessions {
        client.send(*assoc, 0, assoc.as_u64().to_be_bytes().to_vec()).await;
    }
    let mut missing = sessions.clone();
    while !missing.is_empty() {
        let (from, bytes) = client
            .expect("an answer", |_, input| match input {
                Input::Message { assoc, bytes, .. } => Some((assoc, bytes)),
                _ => None,
            })
            .await;
        assert_eq!(bytes, from.as_u64().to_be_bytes()[..], "each session has its own answer");
        missing.retain(|assoc| *assoc != from);
    }
    assert_eq!(server.call(|machine| machine.associations).await, 100);
}

pub(crate) async fn a_slow_reader_stops_its_sender_and_nobody_else(at: Setup) {
    slow_reader(at, 400, 16 << 10).await;
}

pub(crate) async fn a_slow_reader_of_small_messages_stops_its_sender(at: Setup) {
    slow_reader(at, 40_000, 160).await;
}

/// Messages that are more than a peer takes that does not read.
async fn slow_reader(at: Setup, messages: usize, size: usize) {
    let mut server = at.clone().start();
    let mut client = at.clone().start();
    let slow = client.connect(server.address).await;
    let unread = server.accept().await;
    let other = client.connect(server.address).await;
    let read = server.accept().await;
    server.transmit(Transmit::Read { assoc: unread, on: false }).await;
    client.call(move |machine| (0..messages).for_each(|_| machine.send(slow, 0, pattern(size)))).await;
    client.expect("Full", |_, input| (input == Input::Full { assoc: slow }).then_some(())).await;
    // Longer than it takes to give up a peer that does not answer.
    tokio::time::sleep(2 * SILENCE).await;
    assert!(client.call(move |machine| machine.is_blocked(slow)).await, "the sender still waits");

    client.send(other, 0, "quick").await;
    let (from, bytes) = server.expect("the other association's message", message).await;
    assert_eq!((from, bytes), (read, Bytes::from_static(b"quick")), "nothing of the slow one came before");

    server.transmit(Transmit::Read { assoc: unread, on: true }).await;
    for _ in 0..messages {
        let (from, bytes) = server.expect("the slow association's messages", message).await;
        assert_eq!((from, bytes.len()), (unread, size));
    }
}

pub(crate) async fn messages_of_a_mebibyte_go_both_ways(at: Setup) {
    let server = at.clone().echo().start();
    let mut client = at.clone().start();
    let assoc = client.connect(server.address).await;
    let large = pattern(1 << 20);
    for _ in 0..3 {
        client.send(assoc, 0, large.clone()).await;
    }
    for _ in 0..3 {
        let answer = client.message(assoc).await;
        assert!(answer == large, "{} bytes came back, and not the same", answer.len());
    }
}

fn message(_: Time, input: Input) -> Option<(AssocId, Bytes)> {
    match input {
        Input::Message { assoc, bytes, .. } => Some((assoc, bytes)),
        _ => None,
    }
}
