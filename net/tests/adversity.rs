//! What must not harm a live association: hostile packets, floods, a frozen process, starved cores.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bytes::Bytes;
use common::{Peer, Setup, V4, V6, pattern};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::{AssocId, Channel, Input};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rserpool_net::sctp::SctpTiming;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

on_both!(hostile_packets_beside_a_live_association_change_nothing);
on_both!(a_flood_of_inits_leaves_nothing_behind);
on_both!(a_flood_of_packets_does_not_starve_commands);
on_both!(a_process_that_was_frozen_for_ten_seconds_accuses_nobody);

mod story {
    use super::*;

    pub(super) async fn hostile_packets_beside_a_live_association_change_nothing(ip: IpAddr) {
        let server = Setup::on(ip).echo().start();
        let mut client = Setup::on(ip).start();
        let assoc = client.connect(server.address).await;
        let mut hostile = Hostile::towards(server.address);
        for round in 0..400_u32 {
            for _ in 0..250 {
                hostile.send();
            }
            let number = Bytes::copy_from_slice(&round.to_be_bytes());
            assert_eq!(client.request(assoc, number.clone()).await, number);
        }
        assert_eq!(server.call(|machine| (machine.associations, machine.received)).await, (1, 400));
        let counters = server.counters().await;
        assert!(counters.udp.received >= 100_000, "all of them arrived: {counters:?}");
        assert_eq!((counters.sctp.accepted, counters.sctp.violations), (1, 0));
        for (reason, count) in [
            ("malformed", counters.sctp.dropped_malformed),
            ("checksum", counters.sctp.dropped_checksum),
            ("tag", counters.sctp.dropped_init),
            ("cookie", counters.sctp.dropped_cookie_forged),
            ("out of the blue", counters.sctp.dropped_out_of_the_blue_rate),
        ] {
            assert!(count > 0, "none was dropped for its {reason}: {counters:?}");
        }
    }

    pub(super) async fn a_flood_of_inits_leaves_nothing_behind(ip: IpAddr) {
        let server = Setup::on(ip).echo().start();
        let mut client = Setup::on(ip).start();
        let assoc = client.connect(server.address).await;
        let mut hostile = Hostile::towards(server.address);
        for round in 0..200_u32 {
            for _ in 0..100 {
                hostile.send_init();
            }
            assert_eq!(client.request(assoc, pattern(100)).await, pattern(100), "round {round}");
        }
        let counters = server.counters().await.sctp;
        assert_eq!((counters.accepted, counters.refused_full), (1, 0));
        assert_eq!(counters.inits_answered + counters.dropped_init_rate, 20_001);
        let later = client.connect(server.address).await;
        assert_eq!(client.request(later, pattern(9)).await, pattern(9), "a handshake succeeds afterwards");
    }

    pub(super) async fn a_flood_of_packets_does_not_starve_commands(ip: IpAddr) {
        let server = Setup::on(ip).start();
        let stop = Arc::new(AtomicBool::new(false));
        let flood = std::thread::spawn({
            let (mut hostile, stop) = (Hostile::towards(server.address), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    hostile.send();
                }
            }
        });
        let mut before = 0;
        while before < 10_000 {
            before = server.counters().await.udp.received;
        }
        for n in 1..=1000 {
            let count = server
                .call(|machine| {
                    machine.received += 1;
                    machine.received
                })
                .await;
            assert_eq!(count, n);
        }
        assert!(server.counters().await.udp.received > before, "and commands do not starve packets");
        stop.store(true, Ordering::Relaxed);
        flood.join().unwrap();
    }

    /// The child has the strict `lan` timing and would give a silent peer up within two seconds; its peer, here,
    /// is patient and goes on talking to it.
    pub(super) async fn a_process_that_was_frozen_for_ten_seconds_accuses_nobody(ip: IpAddr) {
        let mut setup = Setup::on(ip).echo();
        setup.sctp.timing = SctpTiming { max_retransmissions: 10_000, ..SctpTiming::lan() };
        let mut patient = setup.start();
        let mut child = Frozen::start(patient.address);
        let mut sessions = Vec::new();
        while sessions.len() < CHILD_SESSIONS {
            sessions.push(patient.accept().await);
        }
        wait_for_traffic(&patient, 1000).await;

        child.signal(Signal::SIGSTOP);
        // What is tested is that real time passes.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let before = patient.call(|machine| machine.received).await;
        child.signal(Signal::SIGCONT);

        wait_for_traffic(&patient, before + 1000).await;
        assert_eq!(patient.call(|machine| machine.associations).await, CHILD_SESSIONS);
        assert!(child.is_running(), "the child ends itself when one of its associations goes down");
        assert!(patient.events.try_recv().is_err(), "nothing happened but messages");
    }
}

const CHILD_SESSIONS: usize = 20;
const CHILD_PEER: &str = "RSERPOOL_NET_TEST_PEER";

async fn wait_for_traffic(peer: &Peer, messages: u64) {
    common::within("traffic", async {
        while peer.call(|machine| machine.received).await < messages {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The process to freeze: sessions with the peer that the environment names, a message on its way in each of
/// them at all times. Ends with a failure as soon as an association goes down.
#[tokio::test]
#[ignore = "is the child process of a_process_that_was_frozen_for_ten_seconds_accuses_nobody"]
async fn child() {
    let Ok(peer) = std::env::var(CHILD_PEER) else { return };
    let peer: SocketAddr = peer.parse().unwrap();
    let mut client = Setup::on(peer.ip()).echo().start();
    for _ in 0..CHILD_SESSIONS {
        let assoc = client.connect(peer).await;
        client.send(assoc, 0, pattern(100)).await;
    }
    while let Some((_, input)) = client.events.recv().await {
        if let Input::Down { why, .. } = input {
            eprintln!("accused a peer: {why:?}");
            std::process::exit(1);
        }
    }
}

/// The child process; killed with the test.
struct Frozen(Child);

impl Frozen {
    fn start(peer: SocketAddr) -> Self {
        let binary = std::env::current_exe().unwrap();
        let mut command = Command::new(binary);
        command.args(["--exact", "child", "--ignored", "--nocapture"]).env(CHILD_PEER, peer.to_string());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Run it alone: `cargo test -p rserpool-net --test adversity -- --ignored starved --nocapture`
#[tokio::test]
#[ignore = "keeps all cores busy for a minute"]
async fn starved_by_eight_busy_loops_on_two_cores_no_association_is_lost() {
    let server = Setup::on(V4).echo().start();
    let mut client = Setup::on(V4).start();
    let mut sessions: Vec<AssocId> = Vec::new();
    for _ in 0..20 {
        sessions.push(client.connect(server.address).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    let start = client.timed(|_, now| now).await;
    let mut rounds = 0;
    while client.timed(|_, now| now).await.since(start) < Duration::from_secs(60) {
        for assoc in &sessions {
            assert_eq!(client.request(*assoc, pattern(200)).await, pattern(200));
        }
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.store(true, Ordering::Relaxed);
    loops.into_iter().for_each(|busy| busy.join().unwrap());
    assert_eq!(server.call(|machine| machine.associations).await, 20, "after {rounds} rounds");
}

/// Run it alone: `cargo test -p rserpool-net --test adversity -- --ignored thousand --nocapture`
#[tokio::test]
#[ignore = "takes all cores for some seconds"]
async fn five_thousand_idle_associations_beside_four_busy_loops_on_two_cores_are_all_kept() {
    const ASSOCIATIONS: usize = 5000;
    let server = Setup::on(V4).echo().start();
    let mut client = Setup::on(V4).start();
    let to = server.address;
    for _ in 0..ASSOCIATIONS / 100 {
        client.call(move |machine| (0..100).for_each(|_| _ = machine.connect(Channel::Session, to))).await;
        for _ in 0..100 {
            client.accept().await;
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    // What is tested is that real time passes.
    tokio::time::sleep(Duration::from_secs(10)).await;
    stop.store(true, Ordering::Relaxed);
    loops.into_iter().for_each(|busy| busy.join().unwrap());
    let kept = (
        client.call(|machine| machine.associations).await,
        server.call(|machine| machine.associations).await,
    );
    assert_eq!(kept, (ASSOCIATIONS, ASSOCIATIONS));
}

#[tokio::test]
async fn a_socket_on_all_addresses_answers_from_the_one_that_was_asked() {
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let second: IpAddr = Ipv4Addr::new(127, 0, 0, 2).into();
    for (any, client, asked) in [(any[0], V4, second), (any[1], V4, second), (any[1], V6, V6)] {
        let mut server = Setup::on(any).echo().start();
        let mut client = Setup::on(client).start();
        let assoc = client.connect((asked, server.address.port()).into()).await;
        let local = server
            .expect("Up", |_, input| match input {
                Input::Up { local, .. } => Some(local),
                _ => None,
            })
            .await;
        assert_eq!(local, [asked], "not a mapped address, not the unspecified one");
        assert_eq!(client.request(assoc, pattern(50)).await, pattern(50));
        assert_eq!(client.counters().await.sctp.rebound, 0, "every answer came from where it was asked");
    }
}

/// A stranger who knows the port and how SCTP packets look.
struct Hostile {
    socket: UdpSocket,
    to: SocketAddr,
    rng: ChaCha8Rng,
}

impl Hostile {
    fn towards(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((to.ip(), 0)).unwrap();
        Self { socket, to, rng: ChaCha8Rng::seed_from_u64(1) }
    }

    fn send(&mut self) {
        let mut packet = match self.rng.random_range(0..6) {
            0 => return self.send_noise(),
            1 => self.init(0),
            2 => self.packet(10, 0, 64),
            3 => self.packet(0, 3, 40),
            _ => {
                let (kind, flags, length): (u8, u8, u8) = self.rng.random();
                self.packet(kind, flags, length.into())
            }
        };
        if self.rng.random_ratio(1, 8) {
            let length = self.rng.random_range(0..packet.len());
            packet.truncate(length);
        }
        if self.rng.random_ratio(1, 8) && packet.len() > 20 {
            packet[14..16].copy_from_slice(&self.rng.random::<[u8; 2]>());
        }
        if self.rng.random_ratio(7, 8) {
            seal(&mut packet);
        }
        self.put(&packet);
    }

    /// An INIT without a fault, from another SCTP port each time.
    fn send_init(&mut self) {
        let mut packet = self.init(1);
        seal(&mut packet);
        self.put(&packet);
    }

    fn send_noise(&mut self) {
        let mut noise = vec![0; self.rng.random_range(0..200)];
        self.rng.fill_bytes(&mut noise);
        self.put(&noise);
    }

    /// An INIT of `streams` streams, padded with a parameter to skip so that its answer may be large.
    fn init(&mut self, streams: u16) -> Vec<u8> {
        let mut packet = self.header(0);
        packet.extend([1, 0, 0, 120]);
        packet.extend(self.rng.random_range(1..=u32::MAX).to_be_bytes());
        packet.extend(100_000_u32.to_be_bytes());
        packet.extend([streams.to_be_bytes(), streams.to_be_bytes()].concat());
        packet.extend(self.rng.random::<u32>().to_be_bytes());
        packet.extend([0x80, 0x77, 0, 100]);
        packet.extend([0; 96]);
        packet
    }

    fn packet(&mut self, kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let tag = self.rng.random();
        let mut packet = self.header(tag);
        let size = u16::try_from(4 + length).unwrap().to_be_bytes();
        packet.extend([kind, flags, size[0], size[1]]);
        let mut value = vec![0; length.next_multiple_of(4)];
        self.rng.fill_bytes(&mut value[..length]);
        packet.extend(value);
        packet
    }

    fn header(&mut self, tag: u32) -> Vec<u8> {
        let mut packet = self.rng.random_range(1..=u16::MAX).to_be_bytes().to_vec();
        packet.extend(self.to.port().to_be_bytes());
        packet.extend(tag.to_be_bytes());
        packet.extend([0; 4]);
        packet
    }

    fn put(&self, packet: &[u8]) {
        // The port is there as long as the test.
        let _ = self.socket.send_to(packet, self.to);
    }
}

/// Puts the right CRC32c into a packet (RFC 9260 §6.8).
fn seal(packet: &mut [u8]) {
    if packet.len() >= 12 {
        packet[8..12].fill(0);
        let crc = crc32c::crc32c(packet).to_le_bytes();
        packet[8..12].copy_from_slice(&crc);
    }
}
