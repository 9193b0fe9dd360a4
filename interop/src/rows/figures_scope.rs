//! Figures of whole scopes: what it costs to join one and to take a dead registrar's elements over, ours and rsplib's.
//!
//! Only on request (`interop/run figures`), on a machine that does nothing else. The elements are those of
//! `rserpool bench --hold`, one process with one association, so that they cost little beside the registrars. All of it
//! over the kernel's SCTP.

use super::Row;
use super::figures::{CONTESTANTS, Contestant, NEVER, QUIET, TURNS, bench, compare};
use super::scope::wait_until_it_serves;
use crate::lab::{Cmd, Host, Lab, Program, Sctp};
use crate::rsplib::ENRP_PORT;
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "figures-join",
        shows: "a registrar joins a scope with many elements: its CPU time and its mentor's; ours and rsplib's",
        limit: 1200,
        run: |lab| all(lab, "join", join),
    },
    Row {
        name: "figures-takeover",
        shows: "a registrar with many elements dies: CPU time of whoever takes over; ours and rsplib's",
        limit: 1200,
        run: |lab| all(lab, "takeover", takeover),
    },
];

const SIZES: [usize; 2] = [1_000, 10_000];
/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// For tables of many elements.
const LONG: Duration = Duration::from_secs(200);
/// How long the new home of many elements is still busy with them after its takeover is complete.
const AFTERMATH: Duration = Duration::from_secs(8);

/// What was measured, a line each, seconds or milliseconds.
type Figures = Vec<(&'static str, f64)>;

fn all(
    lab: &mut Lab,
    what: &str,
    measure: fn(&mut Lab, &Contestant, &[Host; 3], usize, usize) -> anyhow::Result<Figures>,
) -> anyhow::Result<()> {
    lab.no_capture();
    let mut host = |name| lab.host(name, Sctp::Kernel);
    let hosts = [host("h1")?, host("h2")?, host("h3")?];
    for elements in SIZES {
        let mut best: [Option<Figures>; 2] = [None, None];
        for turn in 1..=TURNS {
            for (contestant, best) in CONTESTANTS.iter().zip(&mut best) {
                let figures = measure(lab, contestant, &hosts, elements, turn)?;
                match best {
                    None => *best = Some(figures),
                    Some(best) => {
                        for ((_, best), (_, figure)) in best.iter_mut().zip(figures) {
                            *best = best.min(figure);
                        }
                    }
                }
            }
        }
        lab.note(format!("{what} with {elements} elements, best of {TURNS}: rsplib, ours, ours/rsplib"));
        let [Some(theirs), Some(ours)] = best else { bail!("nothing was measured") };
        for ((what, theirs), (_, ours)) in theirs.into_iter().zip(ours) {
            compare(lab, what, theirs, ours);
        }
    }
    Ok(())
}

/// A registrar with many elements, on the first of these hosts, and the process that holds them.
fn with_elements(
    lab: &mut Lab,
    host: &Host,
    registrar: &Program,
    elements: usize,
    name: &str,
) -> anyhow::Result<Arc<Program>> {
    wait_until_it_serves(registrar, SOON)?;
    let load = bench(host).args([format!("--elements={elements}"), "--hold".to_owned()]);
    let holder = lab.start(&format!("elements-{name}"), host, &load)?;
    holder.wait("\"register\"", LONG)?;
    Ok(holder)
}

/// A registrar that knows those on the other hosts.
fn registrar(contestant: &Contestant, host: &Host, peers: &[&Host]) -> Cmd {
    let option = if contestant.name == "ours" { "--peer" } else { "-peer" };
    let peers = peers.iter().map(|peer| format!("{option}={}:{ENRP_PORT}", peer.v4()));
    let registrar = (contestant.start)(host, NEVER).args(peers);
    if contestant.name == "ours" { registrar.without(QUIET) } else { registrar }
}

fn join(
    lab: &mut Lab,
    contestant: &Contestant,
    [first, second, _]: &[Host; 3],
    elements: usize,
    turn: usize,
) -> anyhow::Result<Figures> {
    let name = format!("{}-{elements}-{turn}", contestant.name);
    let mentor = lab.start(&format!("mentor-{name}"), first, &registrar(contestant, first, &[]))?;
    let holder = with_elements(lab, first, &mentor, elements, &name)?;
    let before = mentor.cpu()?;
    let begin = Instant::now();
    let joins = registrar(contestant, second, &[first]);
    let joins = lab.start(&format!("joins-{name}"), second, &joins)?;
    wait_until_it_serves(&joins, LONG)?;
    let took = begin.elapsed();
    let figures = vec![
        ("seconds until it serves", took.as_secs_f64()),
        ("CPU ms of whoever joins", milliseconds(joins.cpu()?)),
        ("CPU ms of its mentor", milliseconds(mentor.cpu()?.saturating_sub(before))),
    ];
    for program in [holder, joins, mentor] {
        program.stop(Signal::SIGKILL, SOON)?;
    }
    Ok(figures)
}

fn takeover(
    lab: &mut Lab,
    contestant: &Contestant,
    hosts: &[Host; 3],
    elements: usize,
    turn: usize,
) -> anyhow::Result<Figures> {
    let name = format!("{}-{elements}-{turn}", contestant.name);
    let mut registrars = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let peers: Vec<&Host> = hosts.iter().filter(|peer| peer.name() != host.name()).collect();
        let registrar = registrar(contestant, host, &peers);
        registrars.push(lab.start(&format!("registrar-{name}-{}", index + 1), host, &registrar)?);
    }
    for registrar in &registrars {
        wait_until_it_serves(registrar, SOON)?;
    }
    let (dies, others) = registrars.split_first().context("no registrar")?;
    let holder = with_elements(lab, &hosts[0], dies, elements, &name)?;
    // Every registrar has heard of every other one, and of the elements.
    thread::sleep(AFTERMATH);
    let before: Vec<Duration> = others.iter().map(|other| other.cpu()).collect::<Result<_, _>>()?;
    let begin = Instant::now();
    dies.stop(Signal::SIGKILL, SOON)?;
    let (winner, before) = loop {
        let complete = |other: &Program| other.lines().iter().any(|line| is_complete(&line.text));
        if let Some(index) = others.iter().position(|other| complete(other)) {
            break (&others[index], before[index]);
        }
        if begin.elapsed() > LONG {
            bail!("nobody took over");
        }
        thread::sleep(Duration::from_millis(20));
    };
    let took = begin.elapsed();
    thread::sleep(AFTERMATH);
    let spent = winner.cpu()?.saturating_sub(before);
    for program in others.iter().chain([&holder]) {
        program.stop(Signal::SIGKILL, SOON)?;
    }
    Ok(vec![
        ("seconds until it is complete", took.as_secs_f64()),
        ("CPU ms of whoever takes over", milliseconds(spent)),
    ])
}

/// What a registrar says when a takeover is complete.
fn is_complete(line: &str) -> bool {
    (line.contains("takeover") || line.contains("Takeover of peer")) && line.contains("complete")
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
