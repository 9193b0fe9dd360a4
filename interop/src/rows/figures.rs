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

pub(super) const ROWS: &[Row] = &[Row {
    name: "figures-registrar",
    shows: "CPU time of a registrar per 1,000 requests, and its memory per element; ours and rsplib's",
    limit: 900,
    run: registrar,
}];

/// Each is loaded so many times; the best counts, since other work on the machine only makes it worse.
const TURNS: usize = 3;
/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// For one run of the load.
const LOAD: Duration = Duration::from_secs(120);

/// What is loaded. No keep-alives: they are not what is asked for.
struct Contestant {
    name: &'static str,
    start: fn(&Host) -> Cmd,
    ready: &'static str,
}

const CONTESTANTS: [Contestant; 2] = [
    Contestant { name: "rsplib", start: theirs, ready: "Initialization phase ended" },
    Contestant { name: "ours", start: ours_on, ready: "ready" },
];

fn theirs(host: &Host) -> Cmd {
    rsplib::registrar(host).args([
        "-loglevel=3",
        "-asapannounce=off",
        "-enrpannounce=off",
        "-endpointkeepalivetransmissioninterval=300000",
    ])
}

fn ours_on(host: &Host) -> Cmd {
    let v4 = host.v4();
    ours("rserpool-registrar")
        .args(["--announce-ready", "--profile=rsplib", "--log=warn", "--admin-socket=off"])
        .args(["--set=timers.keep-alive-interval=300s".to_owned(), format!("--asap=kernel:{v4}:{ASAP_PORT}")])
        .arg(format!("--enrp=kernel:{v4}:{ENRP_PORT}"))
}

fn registrar(lab: &mut Lab) -> anyhow::Result<()> {
    lab.no_capture();
    let host = lab.host("h1", Sctp::Kernel)?;
    for (elements, pools) in [(1_000, 10), (10_000, 10), (10_000, 1_000)] {
        let mut best: [Vec<(String, f64)>; 2] = Default::default();
        for turn in 1..=TURNS {
            for (Contestant { name, start, ready }, best) in CONTESTANTS.iter().zip(&mut best) {
                let name = format!("{name}-{elements}-{pools}-{turn}");
                let registrar = lab.start(&name, &host, &start(&host))?;
                registrar.wait(ready, SOON)?;
                let load = bench(&host, registrar.pid()).args([
                    format!("--elements={elements}"),
                    format!("--pools={pools}"),
                    "--resolutions=10000".to_owned(),
                    "--items=3".to_owned(),
                ]);
                let bench = lab.start(&format!("bench-{name}"), &host, &load)?;
                bench.wait_exit(LOAD)?;
                let report = bench.lines().last().map(|line| line.text.clone()).unwrap_or_default();
                keep_the_least(best, &serde_json::from_str(&report).context(report)?);
                registrar.stop(Signal::SIGKILL, SOON)?;
            }
        }
        lab.note(format!("{elements} elements in {pools} pools, best of {TURNS}: rsplib, ours, ours/rsplib"));
        let [theirs, ours] = best;
        for ((what, theirs), (_, ours)) in theirs.iter().zip(&ours) {
            lab.note(format!("{what:<40} {theirs:>9.1} {ours:>9.1} {:>6.2}", ours / theirs));
        }
    }
    Ok(())
}

/// The load generator, beside the registrar, whose process it measures.
fn bench(host: &Host, registrar: i32) -> Cmd {
    let v4 = host.v4();
    ours("rserpool").args(["-o", "json", "--transport=kernel"]).args([
        format!("--registrar={v4}:{ASAP_PORT}"),
        "bench".to_owned(),
        format!("--listen={v4}:0"),
        format!("--pid={registrar}"),
    ])
}

/// The figures of a report, each the least so far.
fn keep_the_least(best: &mut Vec<(String, f64)>, report: &Value) {
    let phases = report["phases"].as_array().into_iter().flatten();
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
