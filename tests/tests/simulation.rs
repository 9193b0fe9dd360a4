//! The simulation: many seeds, each with its own world and its own troubles.

use rserpool_tests::{Spec, Wire, run};
use std::process::Command;

fn all_hold(wire: Wire, seeds: std::ops::Range<u64>) {
    let mut operations = 0;
    for seed in seeds {
        match run(&Spec::random(seed, wire), false) {
            Ok(report) => operations += report.happened.get("operations").copied().unwrap_or(0),
            Err(violation) => panic!("{violation}\nagain: simulate --trace --seeds 1 --first-seed {seed}"),
        }
    }
    assert!(operations > 1000, "the sessions did something: {operations}");
}

/// Whole associations: crashes, restarts, pauses, starved hosts, partitions both ways and one way, refused connects.
#[test]
fn machines_over_associations() {
    all_hold(Wire::Channels, 0..100);
}

/// The real SCTP endpoint, up to 10 % loss (20 % for a while), reordering and duplication besides.
#[test]
fn machines_over_real_sctp() {
    all_hold(Wire::Datagrams, 0..20);
}

/// Design D12a: the same run gives the same trace, in this process and in another one.
#[test]
fn runs_can_be_repeated() {
    const SEED: &str = "RSERPOOL_SIMULATION_SEED";
    let hashes = |seed| {
        [Wire::Channels, Wire::Datagrams].map(|wire| run(&Spec::random(seed, wire), false).unwrap().hash)
    };
    if let Ok(seed) = std::env::var(SEED) {
        println!("\nhashes {:?}", hashes(seed.parse().unwrap()));
        return;
    }
    for seed in [3, 4] {
        let here = hashes(seed);
        assert_eq!(here, hashes(seed), "seed {seed}, same process");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["runs_can_be_repeated", "--exact", "--nocapture"])
            .env(SEED, seed.to_string())
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        let there = output.lines().find(|line| line.starts_with("hashes"));
        assert_eq!(there, Some(format!("hashes {here:?}").as_str()), "seed {seed}, another process");
    }
    assert_ne!(hashes(3), hashes(4));
}
