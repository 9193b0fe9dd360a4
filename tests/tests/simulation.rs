//! The simulation: many seeds, each with its own world and its own troubles; stories beside them that chance would
//! tell too seldom; and the tools around it.

#[path = "simulation/exactly_once.rs"]
mod exactly_once;
#[path = "simulation/felt.rs"]
mod felt;
#[path = "simulation/found.rs"]
mod found;
#[path = "simulation/scenarios.rs"]
mod scenarios;

use rserpool_tests::campaign::campaign;
use rserpool_tests::minimise::minimise;
use rserpool_tests::{Spec, Violation, Wire, run};
use std::process::Command;

fn all_hold(specs: impl Iterator<Item = Spec> + Send) -> String {
    let summary = campaign(specs, 1, false, &|| false, &|_| {});
    if let Some(violation) = summary.violations.first() {
        panic!("{violation}");
    }
    summary.to_string()
}

/// Whole associations: crashes, restarts, pauses, hung and starved processes, partitions both ways and one way, mass
/// failures, blackouts of sites, overload, refused connects, in scopes of all sizes; elements that come and go on purpose;
/// registrars that are a pool, announce themselves, or go by the letter of the RFCs.
#[test]
fn machines_over_associations() {
    let summary = all_hold((0..60).map(|seed| Spec::random(seed, Wire::Channels)));
    println!("{summary}");
}

/// The same with other seeds, for another core.
#[test]
fn machines_over_associations_again() {
    all_hold((60..120).map(|seed| Spec::random(seed, Wire::Channels)));
}

/// The real SCTP endpoint, up to 10 % loss (20 % for a while), reordering and duplication besides.
#[test]
fn machines_over_real_sctp() {
    all_hold((0..25).map(|seed| Spec::random(seed, Wire::Datagrams)));
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

/// A run that fails is made smaller as long as it fails: here it does if a registrar is taken over.
#[test]
fn a_failing_run_is_made_smaller() {
    let fails = |spec: &Spec| {
        let report = run(spec, false).ok()?;
        let taken_over = report.happened.get("takeovers heard of").is_some_and(|count| *count > 0);
        let what = "a registrar was taken over".to_owned();
        taken_over.then(|| {
            Box::new(Violation { spec: spec.clone(), round: spec.rounds - 1, at: proto::Time::ZERO, what })
        })
    };
    let spec: Spec = "seed=5,registrars=4,elements=12/6,users=4/2,watchers=1,pools=2,rounds=2,trouble=15000,\
                      fault-every=700,churn-every=1000,link=20/0/500/2000"
        .parse()
        .unwrap();
    let violation = *fails(&spec).expect("the seed has a takeover");
    let smallest = minimise(violation, 150, &fails).spec;
    let incidents = smallest.only.as_ref().expect("incidents went").len();
    assert!(incidents <= 2, "{smallest}");
    assert!(smallest.hosts().len() <= 4, "{smallest}");
    // What is printed is enough to see it again.
    let again: Spec = smallest.to_string().parse().unwrap();
    assert!(fails(&again).is_some());
}
