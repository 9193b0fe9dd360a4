//! The embedded SCTP on IP itself. It needs the privilege to open raw sockets, to make a network namespace (each test has
//! one of its own), and a kernel without SCTP: where that is not so its tests say that they were skipped, and do nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Machine, Peer, Setup, V4, pattern, within};
use nix::sched::{CloneFlags, unshare};
use proto::{Channel, DownReason, Input, Transmit};
use rserpool_net::raw::{self, RawConfig, RawError, kernel_has_sctp};
use rserpool_net::{Driver, StartError};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use tokio::sync::{Mutex, MutexGuard};

/// Whether to fail instead of skipping: for runs that are there for these tests.
const REQUIRED: &str = "RSERPOOL_REQUIRE_RAW";

/// Puts this thread, and what it starts, into a network of its own: two addresses of each family. What speaks against it
/// if that cannot be, or if raw sockets cannot.
fn isolate() -> Result<(), String> {
    if kernel_has_sctp() {
        return Err("this kernel has SCTP".into());
    }
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("no network namespace: {error}"))?;
    for command in ["link set lo up", "addr add 10.9.0.2/32 dev lo", "-6 addr add fd09::2/128 dev lo nodad"] {
        let status = Command::new("ip").args(command.split(' ')).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("`ip {command}` fails"));
        }
    }
    match raw::bind(&[(Channel::Asap, (V4, 0).into())], &RawConfig::default()) {
        Err(error @ RawError::NotPermitted { .. }) => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// A host for one test at a time: a program that another test starts has its parent's sockets for a moment, and an
/// address would seem to be in use. If tests cannot run here it says so, past the test harness, which would swallow it.
async fn host() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let alone = ALONE.lock().await;
    let Err(reason) = isolate() else { return Some(alone) };
    assert!(std::env::var_os(REQUIRED).is_none(), "{reason}");
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    None
}

/// The addresses of two hosts of one family.
const HOSTS: [[&str; 2]; 2] = [["127.0.0.1", "10.9.0.2"], ["::1", "fd09::2"]];

fn hosts() -> impl Iterator<Item = [IpAddr; 2]> {
    HOSTS.into_iter().map(|pair| pair.map(|text| text.parse().unwrap()))
}

async fn up(peer: &mut Peer) -> (Channel, SocketAddr, Vec<IpAddr>) {
    peer.expect("Up", |_, input| match input {
        Input::Up { channel, remote, local, .. } => Some((channel, remote[0], local)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn two_hosts_talk_at_several_sctp_ports_and_part_in_order() {
    let Some(_alone) = host().await else { return };
    for [here, there] in hosts() {
        let mut server = Setup::raw(there).echo().with_enrp().start();
        let mut client = Setup::raw(here).start();
        let &[asap, enrp] = server.handle.local_addresses() else { panic!("two SCTP ports") };
        let mut assocs = Vec::new();
        for (channel, remote) in [(Channel::Asap, asap), (Channel::Enrp, enrp)] {
            let assoc = client.connect_from(Channel::Asap, remote).await;
            assert_eq!(up(&mut server).await, (channel, client.address, vec![there]));
            assert_eq!(client.request(assoc, "ping").await, "ping");
            assocs.push(assoc);
        }
        let large = pattern(1 << 20);
        assert_eq!(client.request(assocs[0], large.clone()).await, large);
        for assoc in assocs {
            client.transmit(Transmit::Shutdown { assoc }).await;
            assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
        }
    }
}

#[tokio::test]
async fn a_hundred_sessions_share_the_one_socket() {
    let Some(_alone) = host().await else { return };
    for [here, there] in hosts() {
        let server = Setup::raw(there).echo().start();
        let mut client = Setup::raw(here).start();
        let mut sessions = Vec::new();
        for _ in 0..100 {
            sessions.push(client.connect(server.address).await);
        }
        for (n, session) in sessions.into_iter().enumerate() {
            assert_eq!(client.request(session, n.to_string()).await, n.to_string());
        }
        assert_eq!(server.counters().await.sctp.accepted, 100);
    }
}

// Answers leave from the address that was asked, on a socket for all of them.
#[tokio::test]
async fn an_endpoint_on_all_addresses_answers_from_the_one_that_was_addressed() {
    let Some(_alone) = host().await else { return };
    for ([here, there], any) in hosts().zip(["0.0.0.0", "::"]) {
        let mut server = Setup::raw(any.parse().unwrap()).echo().start();
        // Its one socket has the packets of both hosts: it is its own peer.
        let asked = SocketAddr::new(there, server.address.port());
        let assoc = server.call(move |machine| machine.connect(Channel::Session, asked)).await;
        let locals = [up(&mut server).await.2, up(&mut server).await.2];
        assert!(locals.contains(&vec![there]), "{here}: {locals:?}");
        server.transmit(Transmit::Abort { assoc, cause: "enough".into() }).await;
    }
}

#[tokio::test]
async fn an_sctp_port_where_nobody_listens_refuses_at_once() {
    let Some(_alone) = host().await else { return };
    for [here, there] in hosts() {
        let server = Setup::raw(there).start();
        let mut client = Setup::raw(here).start();
        let nobody = SocketAddr::new(there, server.address.port() - 1);
        let assoc = client.call(move |machine| machine.connect(Channel::Asap, nobody)).await;
        assert_eq!(client.down(assoc).await.1, DownReason::ConnectFailed("refused".into()));
    }
}

// RFC 9260 §10, ICMP: a host where nobody has SCTP says so.
#[tokio::test]
async fn a_host_without_sctp_is_noticed_at_once_by_icmp() {
    let Some(_alone) = host().await else { return };
    for [here, there] in hosts() {
        let server = Setup::raw(there).echo().start();
        let mut client = Setup::raw(here).start();
        let remote = server.address;
        let assoc = client.connect(remote).await;
        assert_eq!(client.request(assoc, "ping").await, "ping");
        server.kill().await;
        client.send(assoc, 0, "anybody there?").await;
        let reason = "ICMP: protocol unreachable".to_owned();
        assert_eq!(client.down(assoc).await.1, DownReason::PeerAborted(reason.clone()));
        let assoc = client.call(move |machine| machine.connect(Channel::Session, remote)).await;
        assert_eq!(client.down(assoc).await.1, DownReason::ConnectFailed(reason));
    }
}

// Each of two sockets would get the other's packets, and abort what it does not know.
#[tokio::test]
async fn one_process_of_an_address_speaks_sctp_on_ip() {
    let Some(_alone) = host().await else { return };
    for ([here, there], any) in hosts().zip(["0.0.0.0", "::"]) {
        let first = Setup::raw(here).start();
        for second in [here, any.parse().unwrap()] {
            let config = Setup::raw(second).config();
            let error = Driver::spawn(config, |_| Machine::new(false), |_, _, _| {}).unwrap_err();
            assert!(matches!(error, StartError::Raw(RawError::InUse { .. })), "{error}");
            let expected = format!("another process already speaks SCTP on raw IP at {second}: ");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        let _beside = Setup::raw(there).start();
        first.kill().await;
        let mut again = Setup::raw(here).start();
        assert!(again.events.try_recv().is_err());
        within("counters", again.counters()).await;
    }
}

#[tokio::test]
async fn an_address_of_another_host_is_named() {
    let Some(_alone) = host().await else { return };
    for foreign in ["192.0.2.1:3863", "[2001:db8::1]:3863"] {
        let mut config = Setup::raw(V4).config();
        config.listen[0].address = foreign.parse().unwrap();
        let error = Driver::spawn(config, |_| Machine::new(false), |_, _, _| {}).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {foreign}: ")), "{error}");
    }
}
