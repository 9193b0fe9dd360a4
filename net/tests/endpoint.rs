//! The embedded endpoint on real sockets, each story on IPv4 and on IPv6.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

on_both!(two_peers_connect_talk_and_part_in_order);
on_both!(an_abort_tells_the_peer_why);
on_both!(messages_of_a_mebibyte_go_both_ways);
on_both!(one_client_has_a_hundred_sessions_with_one_server);
on_both!(a_dead_peer_is_noticed_by_silence_within_the_bound);
on_both!(a_dead_peer_is_noticed_at_once_by_icmp);
on_both!(connecting_to_a_port_where_nobody_listens_fails_at_once);
on_both!(a_slow_reader_stops_its_sender_and_nobody_else);

mod story {
    use crate::common::{PPID, Setup, pattern};
    use bytes::Bytes;
    use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
    use std::net::{IpAddr, UdpSocket};
    use std::time::Duration;

    /// Silence until an idle peer is given up with the `lan` timing: three heartbeats unanswered, each sent
    /// HB.interval (200 ms, jittered by half of the RTO) after the last one's RTO (at most 250 ms) ended.
    const SILENCE: Duration = Duration::from_millis(3 * (200 + 125 + 250));

    pub(super) async fn two_peers_connect_talk_and_part_in_order(ip: IpAddr) {
        let mut server = Setup::on(ip).start();
        let mut client = Setup::on(ip).start();
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
        assert_eq!(remote.iter().map(|address| address.ip()).collect::<Vec<_>>(), [ip]);
        assert_eq!(local, [ip]);
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

    pub(super) async fn an_abort_tells_the_peer_why(ip: IpAddr) {
        let mut server = Setup::on(ip).start();
        let mut client = Setup::on(ip).start();
        let assoc = client.connect(server.address).await;
        let accepted = server.accept().await;
        client.transmit(Transmit::Abort { assoc, cause: "out of coffee".into() }).await;
        assert_eq!(client.down(assoc).await.1, DownReason::LocalAbort);
        match server.down(accepted).await.1 {
            DownReason::PeerAborted(text) => assert!(text.contains("out of coffee"), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn messages_of_a_mebibyte_go_both_ways(ip: IpAddr) {
        let server = Setup::on(ip).echo().start();
        let mut client = Setup::on(ip).start();
        let assoc = client.connect(server.address).await;
        let large = pattern(1 << 20);
        for _ in 0..3 {
            client.send(assoc, 0, large.clone()).await;
        }
        for _ in 0..3 {
            let answer = client.message(assoc).await;
            assert!(answer == large, "{} bytes came back, and not the same", answer.len());
        }
        let counters = client.counters().await.udp;
        assert!(
            counters.sent > counters.send_calls + counters.sent / 4,
            "datagrams of equal size share system calls: {counters:?}"
        );
    }

    pub(super) async fn one_client_has_a_hundred_sessions_with_one_server(ip: IpAddr) {
        let server = Setup::on(ip).echo().start();
        let mut client = Setup::on(ip).start();
        let to = server.address;
        let sessions: Vec<AssocId> = client
            .call(move |machine| (0..100).map(|_| machine.connect(Channel::Session, to)).collect())
            .await;
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

    pub(super) async fn a_dead_peer_is_noticed_by_silence_within_the_bound(ip: IpAddr) {
        let (since, at, why) = death(Setup::on(ip).without_icmp(), false).await;
        assert_eq!(why, DownReason::Unreachable);
        let silence = at.since(since);
        assert!(
            silence <= SILENCE + Duration::from_millis(500),
            "noticed after {silence:?}, not {SILENCE:?}"
        );
    }

    pub(super) async fn a_dead_peer_is_noticed_at_once_by_icmp(ip: IpAddr) {
        let (since, at, why) = death(Setup::on(ip), true).await;
        assert!(why.is_positive(), "{why:?}");
        assert!(at.since(since) < Duration::from_millis(50), "noticed after {:?}", at.since(since));
    }

    /// Kills a server under an idle client; says when (by the client's clock), and when and how it noticed.
    async fn death(setup: Setup, send: bool) -> (Time, Time, DownReason) {
        let server = Setup::on(setup.address.ip()).start();
        let mut client = setup.start();
        let assoc = client.connect(server.address).await;
        server.kill().await;
        let since = client
            .timed(move |machine, now| {
                if send {
                    machine.send(assoc, 0, "are you there?".into());
                }
                now
            })
            .await;
        let (at, why) = client.down(assoc).await;
        (since, at, why)
    }

    pub(super) async fn connecting_to_a_port_where_nobody_listens_fails_at_once(ip: IpAddr) {
        let free = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
        let mut client = Setup::on(ip).start();
        let (assoc, since) =
            client.timed(move |machine, now| (machine.connect(Channel::Session, free), now)).await;
        let (at, why) = client.down(assoc).await;
        assert!(matches!(why, DownReason::ConnectFailed(_)), "{why:?}");
        assert!(at.since(since) < Duration::from_millis(50), "failed after {:?}", at.since(since));
        assert_eq!(client.counters().await.udp.icmp_refused, 1);
    }

    pub(super) async fn a_slow_reader_stops_its_sender_and_nobody_else(ip: IpAddr) {
        const MESSAGES: usize = 400;
        let mut server = Setup::on(ip).start();
        let mut client = Setup::on(ip).start();
        let slow = client.connect(server.address).await;
        let unread = server.accept().await;
        let other = client.connect(server.address).await;
        let read = server.accept().await;
        server.transmit(Transmit::Read { assoc: unread, on: false }).await;
        client
            .call(move |machine| (0..MESSAGES).for_each(|_| machine.send(slow, 0, pattern(16 << 10))))
            .await;
        client.expect("Full", |_, input| (input == Input::Full { assoc: slow }).then_some(())).await;
        // Longer than it takes to give up a peer that does not answer.
        tokio::time::sleep(2 * SILENCE).await;
        assert!(client.call(move |machine| machine.is_blocked(slow)).await, "the sender still waits");

        client.send(other, 0, "quick").await;
        let (from, bytes) = server.expect("the other association's message", message).await;
        assert_eq!(
            (from, bytes),
            (read, Bytes::from_static(b"quick")),
            "nothing of the slow one came before"
        );

        server.transmit(Transmit::Read { assoc: unread, on: true }).await;
        for _ in 0..MESSAGES {
            let (from, bytes) = server.expect("the slow association's messages", message).await;
            assert_eq!((from, bytes.len()), (unread, 16 << 10));
        }
    }

    fn message(_: Time, input: Input) -> Option<(AssocId, Bytes)> {
        match input {
            Input::Message { assoc, bytes, .. } => Some((assoc, bytes)),
            _ => None,
        }
    }
}
