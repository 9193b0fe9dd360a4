//! Figures: how long rsplib and we take to notice that somebody died, with the same timers and with each one's own.
//!
//! Only on request (`interop/run times`), on a machine that does nothing else. Each scope is of one kind, over the
//! kernel's SCTP; times are from the signal to the line in a registrar's log.

use super::Row;
use crate::lab::{Cmd, Host, Lab, Mark, Program, Sctp, ours};
use crate::ours::{self as our, Way};
use crate::rsplib::{self, ASAP_PORT, ENRP_PORT};
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "times-rsplib",
        shows: "rsplib among itself: takeover, detection",
        limit: 400,
        run: |lab| all(lab, &RSPLIB),
    },
    Row {
        name: "times-ours-rsplib",
        shows: "ours with rsplib's timers: takeover, detection",
        limit: 400,
        run: |lab| all(lab, &OURS_AS_RSPLIB),
    },
    Row {
        name: "times-ours-lan",
        shows: "ours with its own timers: takeover, detection",
        limit: 400,
        run: |lab| all(lab, &OURS),
    },
];

/// For whatever comes at once on an idle machine, and for whatever a scope of rsplib takes its time for.
const SOON: Duration = Duration::from_secs(60);
/// How often each is measured.
const TURNS: u32 = 3;

/// A kind of registrar with its timers, and what is to be read in its log.
struct Kind {
    registrar: fn(&Host) -> Cmd,
    ready: &'static str,
    peer: &'static str,
    element: fn(&Host, &Host) -> Cmd,
    registered: &'static str,
    took_over: &'static str,
    removed: &'static [&'static str],
    /// Whether a scope of two takes over: rsplib's does not.
    two: bool,
}

const RSPLIB: Kind = Kind {
    registrar: |host| rsplib::registrar(host).args(["-asapannounce=off", "-enrpannounce=off"]),
    ready: "Initialization phase ended",
    peer: "-peer",
    element: |_, registrar| rsplib::server(registrar.v4(), "echo"),
    registered: "   Identifier ",
    took_over: "Takeover of peer",
    removed: &["Keep-alive timeout expired", "emov"],
    two: false,
};

const OURS_AS_RSPLIB: Kind = Kind { registrar: |host| our_registrar(host, "rsplib"), ..OURS };

const OURS: Kind = Kind {
    registrar: |host| our_registrar(host, "lan"),
    ready: "serving",
    peer: "--peer",
    element: |host, registrar| our::element(Way::Kernel, host, registrar.v4(), "echo"),
    registered: "registered ",
    took_over: "takeover complete",
    removed: &["element removed"],
    two: true,
};

fn our_registrar(host: &Host, profile: &str) -> Cmd {
    let v4 = host.v4();
    ours("rserpool-registrar").args(["--log=debug", "--admin-socket=off"]).args([
        format!("--profile={profile}"),
        format!("--asap=kernel:{v4}:{ASAP_PORT}"),
        format!("--enrp=kernel:{v4}:{ENRP_PORT}"),
    ])
}

fn all(lab: &mut Lab, kind: &Kind) -> anyhow::Result<()> {
    lab.no_capture();
    let hosts: Vec<Host> =
        (1..=4).map(|number| lab.host(&format!("h{number}"), Sctp::Kernel)).collect::<Result<_, _>>()?;
    for turn in 1..=TURNS {
        takeover(lab, kind, &hosts, 3, turn)?;
        if kind.two {
            takeover(lab, kind, &hosts, 2, turn)?;
        }
        detection(lab, kind, &hosts, turn)?;
    }
    Ok(())
}

/// Starts registrars that know each other, and waits until all serve.
fn scope(lab: &mut Lab, kind: &Kind, hosts: &[Host], turn: u32) -> anyhow::Result<Vec<Arc<Program>>> {
    let mut scope = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let peers = hosts.iter().filter(|peer| peer.name() != host.name());
        let peers = peers.map(|peer| format!("{}={}:{ENRP_PORT}", kind.peer, peer.v4()));
        let name = format!("registrar-{}-{turn}-{}", hosts.len(), index + 1);
        scope.push(lab.start(&name, host, &(kind.registrar)(host).args(peers))?);
    }
    for registrar in &scope {
        registrar.wait_for(Mark::default(), "that it serves", SOON, |line| {
            line.text.contains(kind.ready) || line.text.contains("joined the scope")
        })?;
    }
    Ok(scope)
}

fn element(
    lab: &mut Lab,
    kind: &Kind,
    host: &Host,
    registrar: &Host,
    name: &str,
) -> anyhow::Result<Arc<Program>> {
    let element = lab.start(name, host, &(kind.element)(host, registrar))?;
    element.wait(kind.registered, SOON)?;
    Ok(element)
}

/// A registrar with an element dies; until the takeover is complete.
fn takeover(lab: &mut Lab, kind: &Kind, hosts: &[Host], registrars: usize, turn: u32) -> anyhow::Result<()> {
    let (last, hosts) = hosts.split_last().context("no host for the element")?;
    let hosts = &hosts[..registrars];
    let scope = scope(lab, kind, hosts, turn)?;
    let element = element(lab, kind, last, &hosts[0], &format!("element-{registrars}-{turn}"))?;
    // Every registrar has heard of every other one, and of the element.
    thread::sleep(Duration::from_secs(8));

    let killed = lab.elapsed();
    scope[0].stop(Signal::SIGKILL, SOON)?;
    let until = Instant::now() + SOON;
    let done = loop {
        let mut said = scope[1..].iter().flat_map(|registrar| registrar.lines());
        let complete = |text: &str| text.contains(kind.took_over) && text.contains("complete");
        match said.find(|line| complete(&line.text)) {
            Some(line) => break line.at,
            None if Instant::now() > until => bail!("{registrars} registrars: nobody took over"),
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    lab.note(format!(
        "takeover, {registrars} registrars: {:.2} s",
        done.saturating_sub(killed).as_secs_f64()
    ));
    for program in scope[1..].iter().chain([&element]) {
        program.stop(Signal::SIGKILL, SOON)?;
    }
    Ok(())
}

/// An element is killed, another one is frozen; until its registrar has removed it.
fn detection(lab: &mut Lab, kind: &Kind, hosts: &[Host], turn: u32) -> anyhow::Result<()> {
    let registrar = lab.start(&format!("registrar-1-{turn}"), &hosts[0], &(kind.registrar)(&hosts[0]))?;
    registrar.wait(kind.ready, SOON)?;
    for (what, signal, host) in
        [("killed", Signal::SIGKILL, &hosts[1]), ("frozen", Signal::SIGSTOP, &hosts[2])]
    {
        let element = element(lab, kind, host, &hosts[0], &format!("{what}-{turn}"))?;
        let mark = registrar.mark();
        let hurt = lab.elapsed();
        element.signal(signal)?;
        let removed = |text: &str| kind.removed.iter().any(|removed| text.contains(removed));
        let line = registrar.wait_for(mark, "that it is removed", SOON, |line| removed(&line.text))?;
        lab.note(format!("element {what}: {:.2} s", line.at.saturating_sub(hurt).as_secs_f64()));
        if signal == Signal::SIGSTOP {
            element.stop(Signal::SIGKILL, SOON)?;
        }
    }
    registrar.stop(Signal::SIGKILL, SOON)?;
    Ok(())
}
