//! Runs many seeds of the simulation and says what it was like, or which run violated an invariant.

use clap::{Parser, ValueEnum};
use rserpool_tests::campaign::campaign;
use rserpool_tests::minimise::minimise;
use rserpool_tests::{Spec, Violation, Wire, run};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Deterministic simulation of RSerPool.
///
/// Exits with 1 if an invariant was violated.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Begin no run any more after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// One run, as a violation prints it, instead of seeds.
    #[arg(long, conflicts_with_all = ["seeds", "first_seed"])]
    spec: Option<Spec>,
    /// What joins the hosts.
    #[arg(long, value_enum, default_value_t = Choice::Both)]
    wire: Choice,
    /// Runs at a time; default: one for each core.
    #[arg(long)]
    jobs: Option<usize>,
    /// Print everything that happens to standard error, one run after the other.
    #[arg(long)]
    trace: bool,
    /// Go on after a violation.
    #[arg(long)]
    keep_going: bool,
    /// Run a seed, and if it violates an invariant look for the smallest run that still does.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "first_seed", "spec"])]
    minimise: Option<u64>,
    /// Do the same for each violation that is found.
    #[arg(long)]
    minimise_all: bool,
    /// How many smaller runs are tried at most.
    #[arg(long, default_value_t = 500)]
    attempts: u32,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Choice {
    /// Whole associations.
    Channels,
    /// The real SCTP endpoint.
    Datagrams,
    /// The second for every eighth seed.
    Both,
}

impl Choice {
    fn spec(self, seed: u64) -> Spec {
        let wire = match self {
            Self::Channels => Wire::Channels,
            Self::Datagrams => Wire::Datagrams,
            Self::Both => Wire::of(seed),
        };
        Spec::random(seed, wire)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { first_seed, seeds, wire, attempts, .. } = arguments;
    let specs: Vec<Spec> = match (&arguments.spec, arguments.minimise) {
        (Some(spec), _) => vec![spec.clone()],
        (_, Some(seed)) => vec![wire.spec(seed)],
        _ => Vec::new(),
    };
    let seeds = if specs.is_empty() { first_seed..first_seed.saturating_add(seeds) } else { 0..0 };
    let specs = specs.into_iter().chain(seeds.map(|seed| wire.spec(seed)));
    if arguments.trace {
        return trace(specs);
    }
    let end = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    // How long the machine works has nothing to do with what is simulated.
    #[allow(clippy::disallowed_methods)]
    let begin = Instant::now();
    let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let minimises = arguments.minimise.is_some() || arguments.minimise_all;
    let summary = campaign(
        specs,
        arguments.jobs.unwrap_or_else(cores),
        arguments.keep_going,
        &|| end.is_some_and(|end| begin.elapsed() >= end),
        &|violation| {
            println!("VIOLATION: {violation}");
            if minimises {
                println!("SMALLEST: {}", smallest(violation.clone(), attempts));
            }
        },
    );
    println!("{summary}");
    if summary.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn smallest(violation: Violation, attempts: u32) -> Violation {
    minimise(violation, attempts, &|spec| run(spec, false).err())
}

fn trace(specs: impl Iterator<Item = Spec>) -> ExitCode {
    for spec in specs {
        if let Err(violation) = run(&spec, true) {
            println!("VIOLATION: {violation}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
