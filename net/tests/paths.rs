//! Endpoints with several addresses on real sockets: on loopback, and over two virtual cables between two network
//! namespaces. The latter needs privileges; where there are none its tests say that they were skipped, and do nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Machine, Peer, Setup, V4, V6, within};
use nix::sched::{CloneFlags, unshare};
use proto::{AssocId, Channel, DownReason, Input, Time};
use rserpool_net::raw::{RawConfig, kernel_has_sctp};
use rserpool_net::udp::UdpConfig;
use rserpool_net::{Driver, StartError, Transport};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

fn udp(addresses: &[IpAddr]) -> Setup {
    let (first, further) = addresses.split_first().unwrap();
    let transport = Transport::Udp(UdpConfig { addresses: further.to_vec(), ..UdpConfig::default() });
    Setup { transport, ..Setup::on(*first) }
}

fn raw(addresses: &[IpAddr]) -> Setup {
    let (first, further) = addresses.split_first().unwrap();
    let transport = Transport::Raw(RawConfig { addresses: further.to_vec(), ..RawConfig::default() });
    Setup { transport, ..Setup::on(*first) }
}

fn loopback(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, n).into()
}

/// The next association: its name, the peer's addresses, and ours.
async fn up(peer: &mut Peer) -> (AssocId, Vec<SocketAddr>, Vec<IpAddr>) {
    peer.expect("Up", |_, input| match input {
        Input::Up { assoc, remote, local, .. } => Some((assoc, remote, local)),
        _ => None,
    })
    .await
}

fn ips(addresses: &[SocketAddr]) -> Vec<IpAddr> {
    addresses.iter().map(SocketAddr::ip).collect()
}

// SCTP-6458-05
#[tokio::test]
async fn both_sides_know_all_addresses() {
    for [ours, theirs] in [[[loopback(1), loopback(2)], [loopback(3), loopback(4)]], [[V4, V6], [V6, V4]]] {
        let mut server = udp(&theirs).echo().start();
        let mut client = udp(&ours).start();
        let to = server.address;
        let assoc = client.call(move |machine| machine.connect(Channel::Asap, to)).await;
        let (_, remote, local) = up(&mut client).await;
        assert_eq!((ips(&remote), local), (theirs.to_vec(), ours.to_vec()));
        assert!(remote.iter().all(|address| address.port() == to.port()));
        let (_, remote, local) = up(&mut server).await;
        let is_one_of_ours = |address: &SocketAddr| ours.contains(&address.ip());
        assert_eq!((remote.len(), local), (2, theirs.to_vec()));
        assert!(remote[0] != remote[1] && remote.iter().all(is_one_of_ours));
        assert_eq!(client.request(assoc, "ping").await, "ping");
        // Sessions, too, have ports of their own at all addresses.
        let session = client.connect(to).await;
        assert_eq!(client.request(session, "ping").await, "ping");
        assert_eq!(client.counters().await.udp.dropped_full, 0);
    }
}

#[tokio::test]
async fn the_end_of_a_process_is_heard_of_from_all_its_addresses() {
    let server = udp(&[loopback(1), loopback(2)]).echo().start();
    let mut client = udp(&[loopback(3), loopback(4)]).start();
    let assoc = client.connect(server.address).await;
    assert_eq!(client.request(assoc, "ping").await, "ping");
    server.kill().await;
    client.send(assoc, 0, "anybody?").await;
    assert_eq!(client.down(assoc).await.1, DownReason::PeerAborted("ICMP: port unreachable".into()));
}

#[test]
fn an_address_that_cannot_be_one_of_several_is_a_clear_error() {
    let start =
        |setup: Setup| Driver::spawn(setup.config(), |_| Machine::new(false), |_, _, _| {}).unwrap_err();
    for addresses in [[V4, "0.0.0.0".parse().unwrap()], ["0.0.0.0".parse().unwrap(), V4]] {
        let error = start(udp(&addresses)).to_string();
        assert!(error.contains("each has to be named"), "{error}");
    }
    let many: Vec<IpAddr> = (1..10).map(loopback).collect();
    assert!(start(udp(&many)).to_string().contains("more than 8 addresses"));
    let other = UdpSocket::bind((loopback(2), 0)).unwrap();
    let taken = SocketAddr::new(loopback(1), other.local_addr().unwrap().port());
    let error = start(Setup { address: taken, ..udp(&[loopback(1), loopback(2)]) });
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error}");
}

/// Runs `ip` in this thread's network.
fn ip(command: &str) -> Result<(), String> {
    let status = Command::new("ip").args(command.split(' ')).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("`ip {command}` fails")) }
}

fn isolate() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))?;
    ip("link set lo up")
}

/// The address of a host at a cable.
fn at(cable: u8, host: u8) -> IpAddr {
    Ipv4Addr::new(10, 9, cable, host).into()
}

/// The addresses of a host.
fn host(host: u8) -> [IpAddr; 2] {
    [at(1, host), at(2, host)]
}

/// Puts this thread into a network of its own, with two cables to another network, where the server is started.
fn with_two_cables(server: Setup) -> Result<Peer, String> {
    isolate()?;
    let (tell, told) = mpsc::channel();
    let (connect, connected) = mpsc::channel::<()>();
    let there = std::thread::spawn(move || {
        let isolated = isolate();
        tell.send(isolated.map(|()| nix::unistd::gettid())).unwrap();
        connected.recv().map_err(|_| "no cables")?;
        for cable in [1, 2] {
            ip(&format!("addr add {}/24 dev there{cable}", at(cable, 2)))?;
            ip(&format!("link set there{cable} up"))?;
        }
        Ok(server.start())
    });
    let network = told.recv().unwrap()?;
    for cable in [1, 2] {
        ip(&format!("link add here{cable} type veth peer name there{cable} netns {network}"))?;
        ip(&format!("addr add {}/24 dev here{cable}", at(cable, 1)))?;
        ip(&format!("link set here{cable} up"))?;
    }
    connect.send(()).unwrap();
    there.join().unwrap()
}

fn skipped(reason: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// A new cable may take its time.
fn patient(mut setup: Setup) -> Setup {
    setup.sctp.timing.max_init_retransmits = 100;
    setup
}

/// Requests without a pause while both cables are cut in turns: none is lost, and none takes long.
async fn survive(server: Setup, client: Setup) {
    let mut server = match with_two_cables(server.echo()) {
        Ok(server) => server,
        Err(reason) => return skipped(&reason),
    };
    let mut client = client.start();
    let assoc = client.connect(server.address).await;
    let (_, remote, _) = up(&mut server).await;
    assert_eq!(ips(&remote), host(1));
    for peer in [&client, &server] {
        let confirmed = async { while peer.counters().await.sctp.paths_confirmed == 0 {} };
        within("the other path", confirmed).await;
    }
    client.send(assoc, 0, "first").await;
    let is_message = |now, input: Input| matches!(input, Input::Message { .. }).then_some(now);
    let mut last = client.expect("an answer", is_message).await;
    for cable in [1, 2, 1] {
        ip(&format!("link set here{cable} down")).unwrap();
        let gap = path(&mut client, assoc, at(cable, 2), false, &mut last).await;
        assert!(gap < Duration::from_secs(1), "a request took {gap:?} when the cable was cut");
        ip(&format!("link set here{cable} up")).unwrap();
        path(&mut client, assoc, at(cable, 2), true, &mut last).await;
    }
    assert_eq!(client.request(assoc, "still there").await, "still there");
    let counters = client.counters().await.sctp;
    assert_eq!((counters.paths_down, counters.paths_up), (3, 3));
}

/// Requests until a path changes as told; the longest time between two answers, the `last` one before included.
async fn path(client: &mut Peer, assoc: AssocId, address: IpAddr, up: bool, last: &mut Time) -> Duration {
    let mut answered = 0_u32;
    let mut slowest = Duration::ZERO;
    client.send(assoc, 0, "0").await;
    let mut has_changed = false;
    loop {
        let (now, input) = within("an event", client.events.recv()).await.unwrap();
        match input {
            Input::Path { address: changed, up: is_up, .. } => {
                assert_eq!((changed.ip(), is_up), (address, up));
                has_changed = true;
            }
            Input::Message { bytes, .. } => {
                assert_eq!(bytes, answered.to_string());
                answered += 1;
                slowest = slowest.max(now.since(std::mem::replace(last, now)));
                if has_changed {
                    return slowest;
                }
                client.send(assoc, 0, answered.to_string()).await;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_association_over_udp_survives_each_of_two_cables() {
    survive(udp(&host(2)), patient(udp(&host(1)))).await;
}

#[tokio::test]
async fn an_association_over_ip_survives_each_of_two_cables() {
    if kernel_has_sctp() {
        return skipped("this kernel has SCTP");
    }
    survive(raw(&host(2)), patient(raw(&host(1)))).await;
}
