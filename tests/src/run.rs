//! A run: trouble, healing, and what must be then.

use crate::faults;
use crate::spec::Spec;
use crate::trace::Trace;
use crate::world::{Counts, World};
use proto::Time;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// How long after healing everything must have converged. What takes longest: an element that died as the home of
/// nobody any more, and a session's or a hunt's longest pause (RETRAN-MAX, 2 s) before it tries again.
const CONVERGENCE: Duration = Duration::from_secs(10);
/// How long silent elements are held is part of it; what they are held longer comes on top.
const HOLD: Duration = Duration::from_secs(5);
/// What each element may add to that: registrars tell and probe them one after the other.
const EACH_ELEMENT: Duration = Duration::from_millis(5);
/// How long it must have stayed so before the peace begins.
const STEADY: Duration = Duration::from_secs(1);
/// In peace no operation takes longer.
const OPERATION: Duration = Duration::from_secs(1);
/// How often convergence is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A scope in which nothing goes wrong is left alone for so long, before nothing may be repaired in it any more.
const WARM_UP: Duration = Duration::from_secs(8);

/// What a run that held all invariants was like.
#[derive(Clone, Debug)]
pub struct Report {
    /// Hash of everything that happened.
    pub hash: u64,
    /// Virtual time.
    pub time: Duration,
    /// After how long everything had converged, for each round.
    pub convergence: Vec<Duration>,
    /// What went wrong, by kind.
    pub faults: Counts,
    /// What happened, by kind.
    pub happened: Counts,
}

/// An invariant that did not hold. Its text has everything to repeat the run.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The run.
    pub spec: Spec,
    /// In which round.
    pub round: u32,
    /// When.
    pub at: Time,
    /// What.
    pub what: String,
}

impl Violation {
    /// What it is about: its text without what is different in each run.
    pub fn kind(&self) -> String {
        let same = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
        self.what.split_whitespace().filter(same).take(6).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, round, at, what } = self;
        writeln!(f, "{what}\n  in round {round}, at {at}, seed {}", spec.seed)?;
        write!(f, "  again: {COMMAND} --trace --spec '{spec}'")
    }
}

/// How the simulation is started.
const COMMAND: &str = "cargo run --release -p rserpool-tests --bin simulate --";

/// Runs a spec; `trace`: everything that happens goes to standard error.
///
/// # Errors
/// An invariant does not hold.
pub fn run(spec: &Spec, trace: bool) -> Result<Report, Box<Violation>> {
    let _witness = Witness(spec);
    let violation = |round, at, what| Box::new(Violation { spec: spec.clone(), round, at, what });
    let mut world = World::new(spec, Trace::new(trace)).map_err(|what| violation(0, Time::ZERO, what))?;
    let mut faults = Counts::new();
    let mut convergence = Vec::new();
    for round in 0..spec.rounds {
        match live(&mut world, spec, round, &mut faults) {
            Ok(converged) => convergence.push(converged),
            Err(what) => return Err(violation(round, world.now(), what)),
        }
    }
    Ok(Report {
        hash: world.hash(),
        time: world.now().since(Time::ZERO),
        convergence,
        faults,
        happened: world.happened(),
    })
}

/// One round.
fn live(world: &mut World, spec: &Spec, round: u32, faults: &mut Counts) -> Result<Duration, String> {
    let begin = world.now();
    if round > 0 {
        for fault in faults::relapse(spec) {
            world.inflict(&fault)?;
        }
        world.trouble();
    }
    let mut schedule = Vec::new();
    let incidents = faults::incidents(spec, round);
    for incident in &incidents {
        schedule.extend(incident.faults.iter().map(|(at, fault)| (*at, fault, incident)));
    }
    schedule.sort_by_key(|(at, ..)| *at);
    let mut felt = BTreeSet::new();
    if round == 0 && spec.is_calm() {
        world.run_until(begin + WARM_UP)?;
        world.calm();
    }
    for (at, fault, incident) in schedule {
        world.run_until(begin + at)?;
        if world.is_felt(fault) && felt.insert(incident.number) {
            *faults.entry(incident.kind).or_default() += 1;
        }
        world.inflict(fault)?;
    }
    world.run_until(begin + spec.trouble)?;

    for fault in faults::healing(spec, round) {
        world.inflict(&fault)?;
    }
    let converged = converge(world, spec)?;
    world.settle();
    world.run_until(world.now() + spec.peace)?;
    world.converged().map_err(|what| format!("converged, and then {what}"))?;
    world.sessions_go_on(OPERATION + spec.think)?;
    Ok(converged)
}

/// Waits until all is well and has been for a while; says how long that took.
fn converge(world: &mut World, spec: &Spec) -> Result<Duration, String> {
    let healed = world.now();
    world.rest();
    // Who has died last may be held as long as that.
    let hold = spec.hold.saturating_sub(HOLD);
    let patience = CONVERGENCE + hold + EACH_ELEMENT * u32::from(spec.elements.count);
    let well = |world: &World| {
        world.converged()?;
        world.sessions_go_on(OPERATION + spec.think)
    };
    let mut since = None;
    while since.is_none_or(|since| world.now() < since + STEADY) {
        world.run_until(world.now() + LOOK)?;
        // The rest of it changes only if what a glance shows does.
        since = match (world.glance(), since) {
            (Err(_), _) => None,
            (Ok(()), None) => well(world).ok().map(|()| world.now()),
            (Ok(()), since) => since,
        };
        if since.is_none() && world.now() >= healed + patience {
            let late = |what| format!("{patience:?} after healing {what}");
            world.glance().map_err(late)?;
            well(world).map_err(late)?;
        }
    }
    Ok(since.map_or(Duration::ZERO, |since| since.since(healed)))
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
