//! All SCTP ports of a host behind one UDP port (RFC 6951), on real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Peer, Setup, V4, V6, within};
use proto::{Channel, DownReason, Input};
use rserpool_net::udp::EncapPorts;
use rserpool_net::{Driver, StartError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A second host.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A peer with an ASAP and an ENRP port that echoes, behind any free UDP port; and that port.
async fn server(ip: IpAddr) -> (Peer, u16) {
    let anywhere = EncapPorts { local: 0, remote: EncapPorts::ASSIGNED };
    let server = Setup::on(ip).echo().with_enrp().behind(anywhere).start();
    let port = server.socket().await.port();
    (server, port)
}

async fn established(peer: &mut Peer) -> (Channel, SocketAddr) {
    peer.expect("Up", |_, input| match input {
        Input::Up { channel, remote, .. } => Some((channel, remote[0])),
        _ => None,
    })
    .await
}

// SCTP-6951-01
#[tokio::test]
async fn two_hosts_talk_behind_the_same_udp_port() {
    let (mut server, port) = server(V4).await;
    let mut client = Setup::on(OTHER).behind(EncapPorts::same(port)).start();
    assert_eq!(client.socket().await, SocketAddr::new(OTHER, port));
    let &[asap, enrp] = server.handle.local_addresses() else { panic!("two SCTP ports") };
    assert_eq!((asap.ip(), enrp.ip()), (V4, V4));
    assert!(asap.port() != enrp.port() && ![asap.port(), enrp.port()].contains(&port));

    for (channel, remote) in [(Channel::Asap, asap), (Channel::Enrp, enrp)] {
        let assoc = client.connect_from(Channel::Asap, remote).await;
        assert_eq!(established(&mut server).await, (channel, client.address), "an address has an SCTP port");
        assert_eq!(client.request(assoc, "ping").await, "ping");
    }
    assert_eq!(server.counters().await.sctp.accepted, 2, "both at one socket");
}

#[tokio::test]
async fn a_client_takes_any_udp_port_and_has_a_hundred_sessions_on_it() {
    for ip in [V4, V6] {
        let (server, port) = server(ip).await;
        let mut client = Setup::on(ip).behind(EncapPorts::client(port)).start();
        assert_ne!(client.socket().await.port(), port);
        let mut sessions = Vec::new();
        for _ in 0..100 {
            sessions.push(client.connect(server.address).await);
        }
        for (n, session) in sessions.into_iter().enumerate() {
            assert_eq!(client.request(session, n.to_string()).await, n.to_string());
        }
        let counters = server.counters().await.sctp;
        assert_eq!((counters.accepted, counters.rebound, counters.restarted), (100, 0, 0));
    }
}

#[tokio::test]
async fn an_sctp_port_where_nobody_listens_refuses_at_once() {
    for ip in [V4, V6] {
        let (server, port) = server(ip).await;
        let mut client = Setup::on(ip).behind(EncapPorts::client(port)).start();
        // The number of the UDP port is no SCTP port.
        let nobody = SocketAddr::new(ip, port);
        let assoc = client.call(move |machine| machine.connect(Channel::Asap, nobody)).await;
        assert_eq!(client.down(assoc).await.1, DownReason::ConnectFailed("refused".into()));
        assert_eq!(server.counters().await.sctp.out_of_the_blue_answered, 1);
    }
}

// RFC 6951 §5.5: the message names the UDP port of all; each association hears of it when it sends.
#[tokio::test]
async fn a_dead_process_is_noticed_by_icmp_in_every_association() {
    for ip in [V4, V6] {
        let (server, port) = server(ip).await;
        let mut client = Setup::on(ip).behind(EncapPorts::client(port)).start();
        let &[asap, enrp] = server.handle.local_addresses() else { panic!("two SCTP ports") };
        let assocs =
            [client.connect_from(Channel::Asap, asap).await, client.connect_from(Channel::Asap, enrp).await];
        server.kill().await;
        for assoc in assocs {
            client.send(assoc, 0, "anybody there?").await;
        }
        let mut gone = Vec::new();
        while gone.len() < 2 {
            let (_, input) = within("Down", client.events.recv()).await.expect("the thread lives");
            if let Input::Down { assoc, why } = input {
                assert_eq!(why, DownReason::PeerAborted("ICMP: port unreachable".into()));
                gone.push(assoc);
            }
        }
        gone.sort();
        assert_eq!(gone, assocs);
    }
}

#[tokio::test]
async fn a_udp_port_that_is_taken_is_named_with_the_remedy() {
    let (_server, port) = server(V4).await;
    let config = Setup::on(V4).behind(EncapPorts::same(port)).config();
    let error = Driver::spawn(config, |_| common::Machine::new(false), |_, _, _| ()).unwrap_err();
    assert!(matches!(error, StartError::EncapPortInUse { address, .. } if address == (V4, port).into()));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "the UDP port 127.0.0.1:{port} for SCTP (encap-port) is already in use by"
        ))
    );
    assert!(text.ends_with("a client takes any (\"0:PORT\")"), "{text}");
}

// Those on different addresses share nothing, and cannot collide either.
#[tokio::test]
async fn each_address_has_its_own_udp_port() {
    let (_server, port) = server(V4).await;
    let ours = Setup::on(OTHER).with_enrp().behind(EncapPorts::same(port));
    let mut config = ours.config();
    config.listen[1].address = (IpAddr::from([127, 0, 0, 3]), 0).into();
    let handle = Driver::spawn(config, |_| common::Machine::new(false), |_, _, _| ()).unwrap();
    let sockets: Vec<SocketAddr> =
        handle.counters().await.unwrap().into_iter().map(|counters| counters.local).collect();
    assert_eq!(
        sockets,
        [format!("127.0.0.2:{port}"), format!("127.0.0.3:{port}")].map(|s| s.parse().unwrap())
    );
}
