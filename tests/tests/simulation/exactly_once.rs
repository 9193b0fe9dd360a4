//! Design §8: each operation of a session is done exactly once under any failure of a single server, at any moment. A small
//! scope runs once to count what is carried; then again for each message and each server, which fails just
//! before the message is looked at, and just after. That every operation has the answer that it has to have, and that no
//! session ends, is an invariant of every run.

// The helpers are as much part of the tests as the functions that clippy knows for such.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rserpool_tests::cuts::Cut;
use rserpool_tests::faults::Fault;
use rserpool_tests::network::Stop;
use rserpool_tests::trace::Trace;
use rserpool_tests::{HostId, Role, World};
use std::time::Duration;

/// Operations during which a server fails.
const OPERATIONS: u64 = 5;
/// Operations that have to follow.
const MORE: u64 = 2;
const SERVERS: u16 = 3;
/// How long a server is away that comes back.
const ABSENCE: Duration = Duration::from_secs(2);
/// How long it may take until all operations have an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happens to a server.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// Its process dies; what it has sent still arrives.
    Dies,
    /// What it has sent is lost with it.
    Vanishes,
    /// It dies, and another process is there at once.
    IsStartedAnew,
    /// As before, and what it has sent is lost.
    VanishesAndIsStartedAnew,
    /// It stands still, and then goes on with what it knew.
    StandsStill,
    /// Its process hangs while its SCTP endpoint lives.
    Hangs,
    /// It is cut off from all others.
    IsCutOff,
    /// It ends in order.
    Leaves,
}

impl Failure {
    fn begin(self, host: HostId) -> Vec<Fault> {
        match self {
            Self::Dies => vec![Fault::Crash(host)],
            Self::Vanishes => vec![Fault::Vanish(host)],
            Self::IsStartedAnew => vec![Fault::Crash(host), Fault::Start(host)],
            Self::VanishesAndIsStartedAnew => vec![Fault::Vanish(host), Fault::Start(host)],
            Self::StandsStill => vec![Fault::Pause(host, Stop::Everything)],
            Self::Hangs => vec![Fault::Pause(host, Stop::Process)],
            Self::IsCutOff => {
                let others = [Role::Registrar, Role::User].map(|role| HostId { role, number: 0 });
                let cut = Cut { these: [host].into(), those: others.into(), both_ways: true };
                vec![Fault::Cut(0, cut)]
            }
            Self::Leaves => vec![Fault::Leave(host)],
        }
    }

    fn end(self, host: HostId) -> Vec<Fault> {
        match self {
            Self::StandsStill | Self::Hangs => vec![Fault::Resume(host)],
            Self::IsCutOff => vec![Fault::Mend(0)],
            _ => Vec::new(),
        }
    }
}

/// When a server fails.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// At this message or datagram of the run.
    message: u64,
    /// Whether whoever has got that has looked at it, and done what came of it.
    read: bool,
}

/// A scope of which the seed says nothing: nothing is drawn that matters.
fn world(manners: &str) -> World {
    let spec = format!("seed=1,registrars=1,elements={SERVERS}/{SERVERS},users=1/1,think=10,{manners}");
    World::new(&spec.parse().unwrap(), Trace::new(false)).unwrap()
}

fn happened(world: &World, what: &str) -> u64 {
    world.happened().get(what).copied().unwrap_or(0)
}

/// Runs until so many operations are done.
fn finish(world: &mut World, operations: u64) -> Result<(), String> {
    let begin = world.now();
    while happened(world, "operations") < operations {
        if world.now() >= begin + PATIENCE {
            return Err(format!("only {} operations are done", happened(world, "operations")));
        }
        world.run_until(world.now() + Duration::from_millis(1))?;
    }
    Ok(())
}

/// A run with a failure. Says whether there was a failover.
fn fails(manners: &str, failure: Failure, server: HostId, moment: Moment) -> Result<bool, String> {
    let mut world = world(manners);
    let reader = world.run_to_message(moment.message, world.now() + PATIENCE)?.ok_or("it ends before")?;
    if moment.read {
        world.read(reader)?;
    }
    for fault in failure.begin(server) {
        world.inflict(&fault)?;
    }
    // Who has got the message and lives looks at it now.
    world.read(reader)?;
    let back = world.now() + ABSENCE;
    // Nothing but the process itself could tell its client.
    if !matches!(failure, Failure::Hangs) {
        finish(&mut world, OPERATIONS + MORE)?;
    }
    let end = failure.end(server);
    if !end.is_empty() {
        world.run_until(back.max(world.now()))?;
        for fault in end {
            world.inflict(&fault)?;
        }
        let done = happened(&world, "operations").max(OPERATIONS);
        finish(&mut world, done + MORE)?;
    }
    Ok(happened(&world, "failovers") > 0)
}

/// Lets each server fail in each of these ways at each of so many moments.
fn at_each_moment(manners: &str, failures: &[Failure]) {
    let mut healthy = world(manners);
    finish(&mut healthy, OPERATIONS).unwrap();
    let messages = happened(&healthy, "messages");
    let (mut runs, mut failovers) = (0, 0);
    let servers = (0..SERVERS).map(|number| HostId { role: Role::Element, number });
    let failing: Vec<(HostId, Failure)> =
        servers.flat_map(|server| failures.iter().map(move |failure| (server, *failure))).collect();
    for moment in (1..=messages).flat_map(|message| [false, true].map(|read| Moment { message, read })) {
        for (server, failure) in &failing {
            match fails(manners, *failure, *server, moment) {
                Ok(failover) => failovers += u64::from(failover),
                Err(error) => panic!("{manners}: {server} {failure:?} {moment:?}: {error}"),
            }
            runs += 1;
        }
    }
    println!("{manners}: {messages} messages, {runs} runs, {failovers} with a failover");
    // At least two messages an operation, before and after each, and one of the servers has the session.
    let deadly = failures.iter().filter(|failure| !matches!(failure, Failure::Hangs)).count() as u64;
    assert!(failovers >= 4 * OPERATIONS * deadly, "{failovers}");
}

/// Whole associations: the processes die, with and without what they have sent, hang, stand still, are cut off, leave.
// ASAP-3.8-04
#[test]
fn at_each_message() {
    use Failure::*;
    let all = [Dies, Vanishes, IsStartedAnew, VanishesAndIsStartedAnew, StandsStill, Hangs, IsCutOff, Leaves];
    at_each_moment("icmp=true", &all);
    at_each_moment("icmp=false", &[Dies, Vanishes]);
}

/// The same where a cookie comes with every third operation only, and the session sends again what it does not cover.
// ASAP-3.8-04
#[test]
fn at_each_message_between_cookies() {
    use Failure::*;
    at_each_moment("icmp=true,replay=true", &[Dies, Vanishes, IsStartedAnew, StandsStill, Leaves]);
}

/// The real SCTP endpoint: at each datagram.
#[test]
fn at_each_datagram() {
    at_each_moment("wire=datagrams", &[Failure::Dies]);
}
