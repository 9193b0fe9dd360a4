//! Many runs, and what they were like.

use crate::run::{Report, Violation, run};
use crate::spec::{Spec, Wire};
use crate::world::{CARRIED, Counts};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What a number of runs was like.
#[derive(Debug, Default)]
pub struct Summary {
    runs: u64,
    time: Duration,
    convergence: Vec<Duration>,
    faults: Counts,
    happened: Counts,
    /// Runs by wire, and the sizes of their scopes by class.
    wires: BTreeMap<Wire, u64>,
    registrars: BTreeMap<u16, u64>,
    elements: BTreeMap<u16, u64>,
    users: BTreeMap<u16, u64>,
    /// What did not hold.
    pub violations: Vec<Violation>,
}

/// The classes of sizes in summaries: from so many on.
const CLASSES: [u16; 6] = [0, 1, 10, 100, 500, 1000];

fn class(count: u16) -> u16 {
    CLASSES.into_iter().rev().find(|class| *class <= count).unwrap_or(0)
}

impl Summary {
    fn add(&mut self, spec: &Spec, result: Result<Report, Box<Violation>>) {
        self.runs += 1;
        *self.wires.entry(spec.wire).or_default() += 1;
        *self.registrars.entry(spec.registrars).or_default() += 1;
        *self.elements.entry(class(spec.elements.count)).or_default() += 1;
        *self.users.entry(class(spec.users.count)).or_default() += 1;
        match result {
            Ok(report) => {
                self.time += report.time;
                self.convergence.extend(report.convergence);
                for (what, count) in report.faults {
                    *self.faults.entry(what).or_default() += count;
                }
                for (what, count) in report.happened {
                    *self.happened.entry(what).or_default() += count;
                }
            }
            Err(violation) => self.violations.push(*violation),
        }
    }

    /// Operations of sessions that were answered.
    pub fn operations(&self) -> u64 {
        self.happened.get("operations").copied().unwrap_or(0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.time.as_secs_f64() / 3600.0;
        let faults: u64 = self.faults.values().sum();
        let messages = self.happened.get(CARRIED).copied().unwrap_or(0);
        writeln!(f, "{} runs, {hours:.2} simulated hours, {faults} faults, {messages} messages", self.runs)?;
        let sizes = |sizes: &BTreeMap<u16, u64>| {
            let size = |(from, runs): (&u16, &u64)| format!("{from}: {runs}");
            sizes.iter().map(size).collect::<Vec<_>>().join(", ")
        };
        let of = |wire| self.wires.get(&wire).copied().unwrap_or(0);
        writeln!(f, "wires (runs): channels {}, datagrams {}", of(Wire::Channels), of(Wire::Datagrams))?;
        writeln!(f, "registrars (runs): {}", sizes(&self.registrars))?;
        writeln!(f, "elements, from so many (runs): {}", sizes(&self.elements))?;
        writeln!(f, "sessions, from so many (runs): {}", sizes(&self.users))?;
        let mut convergence = self.convergence.clone();
        convergence.sort();
        let at = |share: usize| convergence.get((convergence.len() * share / 100).min(convergence.len() - 1));
        if !convergence.is_empty() {
            let [p50, p99, max] = [50, 99, 100].map(|share| at(share).copied().unwrap_or_default());
            writeln!(f, "convergence after healing: p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}")?;
        }
        let list = |counts: &Counts| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "faults: {}", list(&self.faults))?;
        writeln!(f, "happened: {}", list(&self.happened))?;
        write!(f, "violations: {}", self.violations.len())
    }
}

/// Runs specs on `jobs` threads until there are no more, `enough` says so, or one fails and not `keep_going`.
///
/// Each run is on one thread from its beginning to its end, and does not know of the others. `told` hears of each
/// violation when it is found.
pub fn campaign(
    specs: impl Iterator<Item = Spec> + Send,
    jobs: usize,
    keep_going: bool,
    enough: &(dyn Fn() -> bool + Sync),
    told: &(dyn Fn(&Violation) + Sync),
) -> Summary {
    let specs = Mutex::new(specs);
    let summary = Mutex::new(Summary::default());
    let stop = AtomicBool::new(false);
    let lock = |summary: &Mutex<Summary>, add: &mut dyn FnMut(&mut Summary)| {
        add(&mut summary.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let work = || {
        while !stop.load(Ordering::Relaxed) && !enough() {
            let spec = specs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(spec) = spec else { return };
            let result = run(&spec, false);
            if let Err(violation) = &result {
                told(violation);
                stop.fetch_or(!keep_going, Ordering::Relaxed);
            }
            let mut result = Some(result);
            lock(&summary, &mut |summary| {
                if let Some(result) = result.take() {
                    summary.add(&spec, result);
                }
            });
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    summary.into_inner().unwrap_or_else(PoisonError::into_inner)
}
