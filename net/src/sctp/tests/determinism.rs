//! The same seed gives the same traffic, byte for byte, in another process too (design decision D12a).

use super::support::*;
use crate::memory::Link;
use crate::sctp::SctpConfig;
use proto::{Channel, Transmit};

/// A run with losses, restarts, several endpoints and large messages; what it leaves is its fingerprint.
fn run(seed: u64) -> u64 {
    let mut world = World::with_link(seed, Link::rough());
    let servers = [1, 2].map(|n| world.endpoint_with(Family::V4.at(n, 3863), SctpConfig::sessions()));
    let clients = [3, 4].map(|n| world.endpoint_with(Family::V6.at(n, 40000), SctpConfig::sessions()));
    let server = world.endpoint(Family::V6.at(1, 3863));
    for n in 0..20 {
        let client = clients[n % 2];
        let assoc = world.connect(client, Channel::Session, Family::V6.at(1, 3863));
        world.send(client, assoc, vec![n as u8; 1000 * n + 1]);
    }
    let peer = world.connect(servers[0], Channel::Asap, Family::V4.at(2, 3863));
    world.connect(servers[1], Channel::Asap, Family::V4.at(1, 3863));
    world.run(500);
    for theirs in ups(&world.inputs(server)) {
        world
            .network
            .carry_out(server, [message(theirs, 1, vec![9; 5000]), Transmit::Shutdown { assoc: theirs }]);
    }
    world.network.crash(clients[0]);
    world.send(servers[0], peer, "still there");
    world.run(2000);
    world.network.fingerprint()
}

#[test]
fn the_same_seed_gives_the_same_traffic() {
    // Whatever the thread's generator was used for before.
    fastrand::seed(1);
    let first = run(42);
    fastrand::seed(2);
    assert_eq!(run(42), first);
    assert_ne!(run(43), first);
}

const CHILD: &str = "RSERPOOL_DETERMINISM_CHILD";

#[test]
fn the_same_seed_gives_the_same_traffic_in_another_process() {
    let here = run(42);
    if std::env::var_os(CHILD).is_some() {
        println!("fingerprint {here}");
        return;
    }
    let name = "sctp::tests::determinism::the_same_seed_gives_the_same_traffic_in_another_process";
    let output = std::process::Command::new(std::env::current_exe().expect("our own path"))
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("fingerprint {here}")), "{text}");
}
