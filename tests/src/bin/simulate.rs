//! Runs many seeds of the simulation and says what it was like, or which run violated an invariant.

use clap::{Parser, ValueEnum};
use rserpool_tests::{Spec, Wire, run};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Deterministic simulation of RSerPool.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// What joins the hosts.
    #[arg(long, value_enum, default_value_t = Choice::Both)]
    wire: Choice,
    /// Print everything that happens to standard error.
    #[arg(long)]
    trace: bool,
    /// Go on after a violation.
    #[arg(long)]
    keep_going: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    /// Whole associations.
    Channels,
    /// The real SCTP endpoint.
    Datagrams,
    /// The second for every tenth seed.
    Both,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut time = Duration::ZERO;
    let mut slowest = Duration::ZERO;
    let mut happened = BTreeMap::new();
    let mut violations = 0;
    for seed in arguments.first_seed..arguments.first_seed.saturating_add(arguments.seeds) {
        let wire = match arguments.wire {
            Choice::Channels => Wire::Channels,
            Choice::Datagrams => Wire::Datagrams,
            Choice::Both if seed % 10 == 9 => Wire::Datagrams,
            Choice::Both => Wire::Channels,
        };
        match run(&Spec::random(seed, wire), arguments.trace) {
            Ok(report) => {
                time += report.time;
                slowest = slowest.max(report.convergence);
                for (what, count) in report.happened {
                    *happened.entry(what).or_insert(0) += count;
                }
            }
            Err(violation) => {
                println!("VIOLATION: {violation}");
                violations += 1;
                if !arguments.keep_going {
                    break;
                }
            }
        }
    }
    println!("virtual time: {:.2} h, slowest convergence: {slowest:?}", time.as_secs_f64() / 3600.0);
    for (what, count) in happened {
        println!("{what}: {count}");
    }
    println!("violations: {violations}");
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
