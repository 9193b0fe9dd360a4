//! Announcements by multicast on real sockets (RFC 5352 §3.6, design D6).

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use bytes::Bytes;
use common::{Peer, Setup, V4, pattern};
use nix::sched::{CloneFlags, unshare};
use proto::{Channel, Input, Transmit};
use rserpool_net::{Driver, MulticastConfig, StartError};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A group that no other test is in: the port is one that was free.
fn group() -> SocketAddr {
    let port = UdpSocket::bind((ANY, 0)).unwrap().local_addr().unwrap().port();
    SocketAddr::from(([239, 255, 77, 77], port))
}

fn on_loopback(group: SocketAddr) -> Option<MulticastConfig> {
    Some(MulticastConfig {
        groups: vec![(Channel::Asap, group)],
        interfaces: vec!["lo".into()],
        ..MulticastConfig::new(&[])
    })
}

/// A host of its own with an interface `v0`, both families, for this thread and what it starts. Says so, past the test
/// harness, if that cannot be.
fn isolated() -> bool {
    let commands = [
        "link set lo up",
        "link add v0 type veth peer name v1",
        "addr add 10.9.0.1/24 dev v0",
        "-6 addr add fd09::1/64 dev v0 nodad",
        "link set v1 up",
        "link set v0 up",
    ];
    let reason = match unshare(CloneFlags::CLONE_NEWNET) {
        Err(error) => Some(format!("no network namespace: {error}")),
        Ok(()) => commands.iter().find(|command| !ip(command)).map(|command| format!("`ip {command}` fails")),
    };
    let Some(reason) = reason else { return true };
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

fn ip(command: &str) -> bool {
    Command::new("ip").args(command.split(' ')).status().is_ok_and(|status| status.success())
}

async fn announce(peer: &Peer, channel: Channel, bytes: &'static [u8]) {
    peer.transmit(Transmit::Announce { channel, bytes: Bytes::from_static(bytes) }).await;
}

/// The next announcement that arrives.
async fn announced(peer: &mut Peer) -> (SocketAddr, Channel, Bytes) {
    peer.expect("an announcement", |_, input| match input {
        Input::Announce { from, channel, bytes } => Some((from, channel, bytes)),
        _ => None,
    })
    .await
}

/// The addresses that are to be announced from now on.
async fn addresses(peer: &mut Peer) -> (Channel, Vec<IpAddr>) {
    peer.expect("addresses", |_, input| match input {
        Input::Addresses { channel, addresses } => Some((channel, addresses)),
        _ => None,
    })
    .await
}

// from the port of the announcer's SCTP and from the address that it listens on; the sender hears itself, too.
#[tokio::test]
async fn an_announcement_reaches_the_group_from_the_port_of_sctp() {
    let multicast = on_loopback(group());
    let mut announcer = Setup { multicast: multicast.clone(), ..Setup::on(V4) }.start();
    let mut listener = Setup { multicast, ..Setup::on(V4) }.start();
    assert_eq!(addresses(&mut announcer).await, (Channel::Asap, vec![V4]));
    assert_eq!(addresses(&mut listener).await, (Channel::Asap, vec![V4]));
    announce(&announcer, Channel::Asap, b"here").await;
    let expected = (announcer.address, Channel::Asap, Bytes::from_static(b"here"));
    assert_eq!(announced(&mut listener).await, expected);
    assert_eq!(announced(&mut announcer).await, expected);
}

// Design D6: the group's port is the one that carries SCTP on all addresses. Each gets its own, whoever comes first, and
// a second SCTP endpoint there is still refused.
#[tokio::test]
async fn a_group_and_sctp_share_a_port() {
    let group = group();
    let multicast = on_loopback(group);
    let mut listener = Setup { multicast: multicast.clone(), ..Setup::on(V4) }.start();
    addresses(&mut listener).await;
    let at_the_port = Setup { address: (ANY, group.port()).into(), ..Setup::on(ANY).echo() };
    let mut announcer = Setup { multicast: multicast.clone(), ..at_the_port.clone() }.start();
    addresses(&mut announcer).await;
    let mut late = Setup { multicast, ..Setup::on(V4) }.start();
    addresses(&mut late).await;

    let assoc = listener.connect((V4, group.port()).into()).await;
    for _ in 0..20 {
        announce(&announcer, Channel::Asap, b"here").await;
        assert_eq!(listener.request(assoc, pattern(5000)).await, pattern(5000));
        assert_eq!(announced(&mut late).await.2, "here");
    }
    let counters = announcer.counters().await;
    assert_eq!(
        (counters.sctp.dropped_malformed, counters.sctp.dropped_destination),
        (0, 0),
        "SCTP sees none"
    );

    let second = Driver::spawn(at_the_port.config(), |_| common::Machine::new(false), |_, _, _| {});
    assert!(matches!(second, Err(StartError::AddressInUse { .. })), "{second:?}");
    announcer.kill().await;
}

// An endpoint without announcements is not kept from its port by somebody else's group.
#[tokio::test]
async fn a_port_that_only_a_group_has_is_free() {
    let group = group();
    let mut listener = Setup { multicast: on_loopback(group), ..Setup::on(V4) }.start();
    addresses(&mut listener).await;
    let alone = Setup { address: (ANY, group.port()).into(), ..Setup::on(ANY).echo() };
    let server = alone.clone().start();
    let assoc = listener.connect((V4, group.port()).into()).await;
    assert_eq!(listener.request(assoc, "hello").await, "hello");
    let second = Driver::spawn(alone.config(), |_| common::Machine::new(false), |_, _, _| {});
    assert!(matches!(second, Err(StartError::AddressInUse { .. })), "{second:?}");
    server.kill().await;
}

// ASAP-8-04: the assigned groups of both families and rsplib's, on the interfaces of the host.
#[tokio::test]
async fn all_groups_of_both_families_are_joined() {
    if !isolated() {
        return;
    }
    let multicast = Some(MulticastConfig::new(&[Channel::Asap, Channel::Enrp]));
    let dual = Setup::on(Ipv6Addr::UNSPECIFIED.into()).with_enrp();
    let mut announcer = Setup { multicast: multicast.clone(), ..dual.clone() }.start();
    let mut listener = Setup { multicast, ..dual }.start();
    let mut known = [addresses(&mut announcer).await, addresses(&mut announcer).await];
    known.sort();
    let both = vec!["10.9.0.1".parse().unwrap(), "fd09::1".parse().unwrap()];
    assert_eq!(known, [(Channel::Asap, both.clone()), (Channel::Enrp, both)]);
    addresses(&mut listener).await;
    addresses(&mut listener).await;
    for channel in [Channel::Asap, Channel::Enrp] {
        let port = announcer.handle.local_addresses()[usize::from(channel == Channel::Enrp)].port();
        let mut sources = Vec::new();
        // IPv6 takes a moment until the new interface can send.
        while !sources.iter().any(SocketAddr::is_ipv6) {
            announce(&announcer, channel, b"here").await;
            let from = listener.expect("an announcement", |_, input| match input {
                Input::Announce { from, channel: on, bytes } if on == channel && bytes == "here" => {
                    Some(from)
                }
                _ => None,
            });
            sources.push(from.await);
        }
        assert!(sources.iter().filter(|from| from.is_ipv4()).count() >= 2, "{sources:?}");
        for from in sources {
            assert_eq!(from.port(), port);
            assert!(from.is_ipv6() || from.ip() == "10.9.0.1".parse::<IpAddr>().unwrap(), "{from}");
        }
    }
}

// Hosts get their addresses late, and lose interfaces.
#[tokio::test]
async fn interfaces_that_come_later_are_used() {
    if !isolated() {
        return;
    }
    assert!(ip("link del v0"));
    let multicast = Some(MulticastConfig::new(&[Channel::Asap]));
    let mut announcer = Setup { multicast: multicast.clone(), ..Setup::on(ANY) }.start();
    let mut listener = Setup { multicast, ..Setup::on(ANY) }.start();
    assert_eq!(addresses(&mut announcer).await.1, Vec::<IpAddr>::new());
    assert_eq!(addresses(&mut listener).await.1, Vec::<IpAddr>::new());
    for command in [
        "link add w0 type veth peer name w1",
        "addr add 10.8.0.1/24 dev w0",
        "link set w1 up",
        "link set w0 up",
    ] {
        assert!(ip(command));
    }
    assert_eq!(addresses(&mut announcer).await.1, ["10.8.0.1".parse::<IpAddr>().unwrap()]);
    addresses(&mut listener).await;
    announce(&announcer, Channel::Asap, b"here").await;
    assert_eq!(announced(&mut listener).await.0.ip(), "10.8.0.1".parse::<IpAddr>().unwrap());
}

// SEC-A9.2-26: whatever comes into the group, SCTP goes on.
#[tokio::test]
async fn a_flood_into_the_group_starves_nobody() {
    let group = group();
    let mut peer = Setup { multicast: on_loopback(group), ..Setup::on(V4).echo() }.start();
    addresses(&mut peer).await;
    let flood = UdpSocket::bind((V4, 0)).unwrap();
    socket2::SockRef::from(&flood).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let mut client = Setup::on(V4).start();
    let assoc = client.connect(peer.address).await;
    for round in 0..20 {
        for _ in 0..500 {
            flood.send_to(&[round; 1400], group).unwrap();
        }
        assert_eq!(client.request(assoc, "hello").await, "hello");
    }
    peer.kill().await;
}
