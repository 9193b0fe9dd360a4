//! The embedded endpoint on real sockets, each story on IPv4 and on IPv6.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

on_backend!(
    Setup::on:
    two_peers_connect_talk_and_part_in_order,
    an_abort_tells_the_peer_why,
    messages_of_a_mebibyte_go_both_ways,
    one_client_has_a_hundred_sessions_with_one_server,
    a_slow_reader_stops_its_sender_and_nobody_else,
    a_slow_reader_of_small_messages_stops_its_sender,
);
on_both!(datagrams_of_equal_size_share_system_calls);
on_both!(a_dead_peer_is_noticed_by_silence_within_the_bound);
on_both!(a_dead_peer_is_noticed_at_once_by_icmp);
on_both!(connecting_to_a_port_where_nobody_listens_fails_at_once);

mod story {
    use crate::common::stories::SILENCE;
    use crate::common::{Setup, pattern};
    use proto::{Channel, DownReason, Time};
    use std::net::{IpAddr, UdpSocket};
    use std::time::Duration;

    pub(super) async fn datagrams_of_equal_size_share_system_calls(ip: IpAddr) {
        let server = Setup::on(ip).echo().start();
        let mut client = Setup::on(ip).start();
        let assoc = client.connect(server.address).await;
        client.request(assoc, pattern(1 << 20)).await;
        let counters = client.counters().await.udp;
        assert!(counters.sent > counters.send_calls + counters.sent / 4, "{counters:?}");
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
}
