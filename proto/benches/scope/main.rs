//! What a scope costs: registrars and simulated pool elements with default timers, in one process.
//!
//! `cargo bench -p rserpool-proto --bench scope [-- ELEMENTS[,…] [REGISTRARS[,…]]]` prints a table, of which
//! `docs/scale.md` shows one and says what the columns mean. The registrars are the real machines; what the elements
//! and the network between them take is not charged to them. SCTP is not in it: `net/benches/endpoint.rs` has its
//! figures.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]

mod element;
mod meter;
mod scope;

use scope::Scope;
use std::time::Duration;

/// In which all elements register; it spreads their timers.
const ARRIVAL: Duration = element::T4;
/// Until the keep-alives go as they will: at most one interval of the slowest case.
const SETTLING: Duration = Duration::from_secs(50);
const STEADY: Duration = Duration::from_secs(20);
const CHANGES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);
/// How exact times are that are found by looking again and again.
const LOOK: Duration = Duration::from_millis(10);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut numbers = |default: &[usize]| -> Vec<usize> {
        let given = arguments.next().map(|list| list.split(',').map(|n| n.parse().unwrap()).collect());
        given.unwrap_or_else(|| default.to_vec())
    };
    let (elements, registrars) = (numbers(&[1_000, 10_000, 100_000]), numbers(&[1, 3, 5]));
    println!("{HEAD}");
    for elements in elements {
        for &registrars in &registrars {
            println!("{}", measure(elements, registrars));
        }
    }
}

const HEAD: &str = "\
|  elements | registrars | CPU % | messages/s |   kB/s | µs/message | others % | p50 ms | p99 ms \
| join CPU ms | join ms | takeover s | agreed s | its CPU % | bytes/element |
|----------:|-----------:|------:|-----------:|-------:|-----------:|---------:|-------:|-------:\
|------------:|--------:|-----------:|---------:|----------:|--------------:|";

fn measure(elements: usize, registrars: usize) -> String {
    let mut scope = Scope::new(elements as u64);
    for _ in 0..registrars {
        scope.start_registrar();
        scope.run_for(Duration::from_secs(1));
    }
    for n in 0..elements {
        scope.start_element(n % registrars);
        scope.run_for(ARRIVAL / elements as u32);
    }
    scope.run_for(SETTLING);
    assert!(scope.agrees(), "the scope is not settled");

    // Steady state: the mean of the registrars.
    let (before, all_before) = (scope.total_usage(), meter::cpu_time());
    scope.run_for(STEADY);
    let steady = scope.total_usage() - before;
    let others = meter::cpu_time() - all_before - steady.cpu;
    let a_second = |figure: f64| figure / STEADY.as_secs_f64() / registrars as f64;
    let cpu = a_second(steady.cpu.as_secs_f64());

    // A change, that is an element that registers somewhere, until all registrars know it.
    for n in 0..CHANGES {
        scope.start_observed_element(n % registrars);
        scope.run_for(Duration::from_millis(13));
    }
    let mut delays = std::mem::take(&mut scope.delays);
    delays.sort();
    assert_eq!(delays.len(), CHANGES, "not all changes were heard of");
    let delay = |percent: usize| delays[delays.len() * percent / 100].as_secs_f64() * 1e3;

    // One more joins.
    let start = scope.now;
    let joiner = scope.start_registrar();
    wait(&mut scope, |scope| scope.started.contains_key(&joiner));
    let join = scope.started[&joiner].since(start);
    let join_cpu = scope.usage(joiner).cpu;
    scope.run_for(Duration::from_secs(5));
    assert!(scope.agrees(), "whoever joined does not know all");

    // The first one dies; its elements wait to be claimed.
    let held = scope.kill(0) as usize / (elements + CHANGES);
    let (start, winner) = (scope.now, 1);
    let before = scope.usage(winner);
    wait(&mut scope, |scope| scope.taken_over.contains_key(&scope::id(0)));
    let taken_over = scope.taken_over[&scope::id(0)].since(start);
    wait(&mut scope, |scope| scope.homeless() == 0 && scope.agrees());
    let agreed = scope.now.since(start);
    let takeover = scope.usage(winner) - before;
    let busy = takeover.cpu.as_secs_f64() / agreed.as_secs_f64();
    scope.run_for(Duration::from_secs(20));
    assert!(scope.agrees(), "elements were lost after the takeover");
    assert_eq!(scope.failures, 0, "elements were refused or removed");

    format!(
        "| {elements:9} | {registrars:10} | {:5.2} | {:10.0} | {:6.0} | {:10.2} | {:8.1} | {:6.2} | {:6.2} \
        | {:11.1} | {:7.1} | {:10.2} | {:8.1} | {:9.2} | {held:13} |",
        cpu * 100.0,
        a_second(steady.messages as f64),
        a_second(steady.bytes as f64) / 1e3,
        steady.cpu.as_secs_f64() * 1e6 / steady.messages as f64,
        others.as_secs_f64() / STEADY.as_secs_f64() * 100.0,
        delay(50),
        delay(99),
        join_cpu.as_secs_f64() * 1e3,
        join.as_secs_f64() * 1e3,
        taken_over.as_secs_f64(),
        agreed.as_secs_f64(),
        busy * 100.0,
    )
}

/// Runs until it is so.
fn wait(scope: &mut Scope, is_so: impl Fn(&Scope) -> bool) {
    let end = scope.now + PATIENCE;
    while !is_so(scope) {
        assert!(scope.now < end, "it does not happen");
        scope.run_for(LOOK);
    }
}
