//! A run: trouble, healing, and what must be then.

use crate::faults::{self, Fault};
use crate::spec::Spec;
use crate::trace::Trace;
use crate::world::{Counts, World};
use proto::Time;
use std::fmt;
use std::time::Duration;

/// How long after healing everything must have converged. What takes longest: an element that died as the home of
/// nobody any more, and a session's or a hunt's longest pause (RETRAN-MAX, 2 s) before it tries again.
pub const CONVERGENCE: Duration = Duration::from_secs(10);
/// How long it must stay so.
const PEACE: Duration = Duration::from_secs(4);
/// In peace no operation takes longer.
const OPERATION: Duration = Duration::from_secs(1);
/// How often convergence is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What a run that held all invariants was like.
#[derive(Clone, Debug)]
pub struct Report {
    /// Hash of everything that happened.
    pub hash: u64,
    /// Virtual time.
    pub time: Duration,
    /// After how long everything had converged.
    pub convergence: Duration,
    /// What happened, by kind.
    pub happened: Counts,
}

/// An invariant that did not hold. Its text has everything to repeat the run.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The run.
    pub spec: Spec,
    /// When.
    pub at: Time,
    /// What.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at {}: {}", self.spec, self.at, self.what)
    }
}

/// Runs a spec; `trace`: everything that happens goes to standard error.
///
/// # Errors
/// An invariant does not hold.
pub fn run(spec: &Spec, trace: bool) -> Result<Report, Box<Violation>> {
    let _witness = Witness(spec);
    let violation = |at, what| Box::new(Violation { spec: spec.clone(), at, what });
    let mut world = World::new(spec, Trace::new(trace)).map_err(|what| violation(Time::ZERO, what))?;
    match live(&mut world, spec) {
        Ok(convergence) => Ok(Report {
            hash: world.hash(),
            time: world.now().since(Time::ZERO),
            convergence,
            happened: world.happened(),
        }),
        Err(what) => Err(violation(world.now(), what)),
    }
}

fn live(world: &mut World, spec: &Spec) -> Result<Duration, String> {
    let hosts = world.hosts();
    for (at, fault) in faults::schedule(spec, &hosts) {
        world.run_until(at)?;
        world.inflict(&fault)?;
    }
    world.run_until(Time::ZERO + spec.trouble)?;

    // The order is the same in each run; what dies for good dies before the rest starts.
    let healing = faults::healing(spec, &hosts);
    let (deaths, others): (Vec<_>, Vec<_>) =
        healing.into_iter().partition(|fault| matches!(fault, Fault::Crash(_)));
    for fault in deaths.iter().chain(&others) {
        world.inflict(fault)?;
    }
    let healed = world.now();
    let mut converged = None;
    while world.now() < healed + CONVERGENCE {
        world.run_until(world.now() + LOOK)?;
        match world.converged() {
            Ok(()) => converged = converged.or(Some(world.now())),
            Err(_) => converged = None,
        }
    }
    world.converged().map_err(|what| format!("{CONVERGENCE:?} after healing {what}"))?;

    world.settle();
    world.run_until(world.now() + PEACE)?;
    world.converged().map_err(|what| format!("converged, and then {what}"))?;
    for (host, client, now) in world.clients().into_iter().filter(|_| world.has_elements()) {
        if now.since(client.last) > OPERATION {
            return Err(format!("a session of {host} does not go on: {client:?}"));
        }
    }
    Ok(converged.map_or(Duration::ZERO, |at| at.since(healed)))
}

/// Names the run if a machine panics in it.
struct Witness<'a>(&'a Spec);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("panic in {}", self.0);
        }
    }
}
