//! Figures: what our registrar and rsplib's cost on the same machine, in turns, the best of several.
//!
//! Only on request (`interop/run figures`), on a machine that does nothing else: in the table of all rows they would only
//! take time. Both registrars are loaded by `rserpool bench` over the kernel's SCTP, from the same host.

use super::Row;
use crate::lab::{Cmd, Host, Lab, Sctp, ours};
use crate::rsplib::{self, ASAP_PORT, ENRP_PORT};
use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "figures-registrar",
        shows: "CPU time of a registrar per 1,000 requests, and its memory per element; ours and rsplib's",
        limit: 900,
        run: registrar,
    },
    Row {
        name: "figures-keep-alive",
        shows: "CPU time of a registrar per 1,000 keep-alives; ours and rsplib's",
        limit: 400,
        run: keep_alive,
    },
];

/// Each is loaded so many times; the best counts, since other work on the machine only makes it worse.
pub(super) const TURNS: usize = 3;
/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// For one run of the load.
const LOAD: Duration = Duration::from_secs(120);

/// What is loaded.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    /// Its registrar, with so much time between keep-alives.
    pub(super) start: fn(&Host, Duration) -> Cmd,
    pub(super) ready: &'static str,
}

pub(super) const CONTESTANTS: [Contestant; 2] = [
    Contestant { name: "rsplib", start: theirs, ready: "Initialization phase ended" },
    Contestant { name: "ours", start: ours_on, ready: "ready" },
];

/// Ours says nothing of what is in order.
pub(super) const QUIET: &str = "--log=warn";
/// No keep-alives during a measurement: they are not what is asked for.
pub(super) const NEVER: Duration = Duration::from_secs(300);

fn theirs(host: &Host, keep_alive: Duration) -> Cmd {
    rsplib::registrar(host)
        .args(["-loglevel=3", "-asapannounce=off", "-enrpannounce=off"])
        .arg(format!("-endpointkeepalivetransmissioninterval={}", keep_alive.as_millis()))
}

fn ours_on(host: &Host, keep_alive: Duration) -> Cmd {
    let v4 = host.v4();
    ours("rserpool-registrar")
        .args(["--announce-ready", "--profile=rsplib", QUIET, "--admin-socket=off"])
        .arg(format!("--set=timers.keep-alive-interval={}ms", keep_alive.as_millis()))
        .args([format!("--asap=kernel:{v4}:{ASAP_PORT}"), format!("--enrp=kernel:{v4}:{ENRP_PORT}")])
}

fn registrar(lab: &mut Lab) -> anyhow::Result<()> {
    let host = idle_host(lab)?;
    for (elements, pools) in [(1_000, 10), (10_000, 10), (10_000, 1_000)] {
        let load = [
            format!("--elements={elements}"),
            format!("--pools={pools}"),
            "--resolutions=10000".to_owned(),
            "--items=3".to_owned(),
        ];
        in_turns(lab, &host, &format!("{elements} elements in {pools} pools"), NEVER, &load, |_| true)?;
    }
    Ok(())
}

/// Each element is asked once a second.
fn keep_alive(lab: &mut Lab) -> anyhow::Result<()> {
    let host = idle_host(lab)?;
    for elements in [100, 1_000] {
        let load = [
            format!("--elements={elements}"),
            "--resolutions=10".to_owned(),
            format!("--keep-alives={}", 10 * elements),
        ];
        let title = format!("{elements} elements asked once a second");
        in_turns(lab, &host, &title, Duration::from_secs(1), &load, |phase| phase == "keep-alive")?;
    }
    Ok(())
}

fn idle_host(lab: &mut Lab) -> anyhow::Result<Host> {
    lab.no_capture();
    lab.host("h1", Sctp::Kernel)
}

/// Loads each in turn, and notes what the phases of the load that count cost it.
fn in_turns(
    lab: &mut Lab,
    host: &Host,
    title: &str,
    keep_alive: Duration,
    load: &[String],
    counts: fn(&str) -> bool,
) -> anyhow::Result<()> {
    let mut best: [Vec<(String, f64)>; 2] = Default::default();
    for turn in 1..=TURNS {
        for (Contestant { name, start, ready }, best) in CONTESTANTS.iter().zip(&mut best) {
            let name = format!("{name}-{}-{turn}", load[..2].join(""));
            let registrar = lab.start(&name, host, &start(host, keep_alive))?;
            registrar.wait(ready, SOON)?;
            let load = bench(host).arg(format!("--pid={}", registrar.pid())).args(load.iter().cloned());
            let bench = lab.start(&format!("bench-{name}"), host, &load)?;
            bench.wait_exit(LOAD)?;
            let report = bench.lines().last().map(|line| line.text.clone()).unwrap_or_default();
            keep_the_least(best, &serde_json::from_str(&report).context(report)?, counts);
            registrar.stop(Signal::SIGKILL, SOON)?;
        }
    }
    lab.note(format!("{title}, best of {TURNS}: rsplib, ours, ours/rsplib"));
    let [theirs, ours] = best;
    for ((what, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        compare(lab, what, *theirs, *ours);
    }
    Ok(())
}

/// A line of a table.
pub(super) fn compare(lab: &mut Lab, what: &str, theirs: f64, ours: f64) {
    lab.note(format!("{what:<40} {theirs:>9.1} {ours:>9.1} {:>6.2}", ours / theirs));
}

/// The load generator, beside the registrar.
pub(super) fn bench(host: &Host) -> Cmd {
    let v4 = host.v4();
    ours("rserpool").args(["-o", "json", "--transport=kernel"]).args([
        format!("--registrar={v4}:{ASAP_PORT}"),
        "bench".to_owned(),
        format!("--listen={v4}:0"),
    ])
}

/// The figures of a report, each the least so far.
fn keep_the_least(best: &mut Vec<(String, f64)>, report: &Value, counts: fn(&str) -> bool) {
    let phases = report["phases"].as_array().into_iter().flatten();
    let phases = phases.filter(|phase| phase["phase"].as_str().is_some_and(counts));
    let figures = phases
        .map(|phase| {
            let name = format!("CPU ms per 1000: {}", phase["phase"].as_str().unwrap_or("?"));
            (name, phase["cpu_ms_per_1000"].as_f64().unwrap_or(f64::NAN))
        })
        .chain([(
            "bytes per element".to_owned(),
            report["memory"]["per_element"].as_f64().unwrap_or(f64::NAN),
        )]);
    for (index, (name, figure)) in figures.enumerate() {
        match best.get_mut(index) {
            Some((_, least)) => *least = least.min(figure),
            None => best.push((name, figure)),
        }
    }
}
