//! Scopes of several registrars of both kinds, in either order of start, with what happens to them: restarts, cuts, readers,
//! large tables.

use super::cast::{SOON, Side};
use super::scope::{Element, HIGH, Homes, LOW, MIDDLE, Registrar, dump, homes, log_name, settled};
use super::{Row, both_ways};
use crate::lab::{Cmd, Lab, Mark};
use crate::ours::{self, Way};
use crate::rsplib;
use Side::{Ours, Rsplib};
use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Row] = both_ways! {
    400,
    "scope-2-1-theirs-first", "two registrars of rsplib's, then ours: one table, also after one of each has restarted" =>
        |lab, way| scope(lab, way, [Rsplib, Rsplib, Ours]);
    "scope-2-1-ours-first", "our registrar, then two of rsplib's: one table, also after one of each has restarted" =>
        |lab, way| scope(lab, way, [Ours, Rsplib, Rsplib]);
    "scope-1-2-theirs-first", "a registrar of rsplib's, then two of ours: one table, also after one of each has restarted" =>
        |lab, way| scope(lab, way, [Rsplib, Ours, Ours]);
    "scope-1-2-ours-first", "two registrars of ours, then rsplib's: one table, also after one of each has restarted" =>
        |lab, way| scope(lab, way, [Ours, Ours, Rsplib]);
    "scope-split", "our registrar is cut off until rsplib's has given it up; what changed meanwhile is known to both" => split;
    "scope-readers", "hsdump reads exactly what our registrar has; its pseudo-registrars hold up no takeover of ours" =>
        readers;
};

/// Alone: rsplib's registrar and its reader are busy with them.
pub(super) const LARGE: &[Row] = &[Row {
    name: "scope-large-4000",
    shows: "4,000 elements at either registrar, loaded by the other one that joins; ours embedded, in UDP",
    limit: 600,
    run: |lab| large(lab, Way::Udp, 4_000),
}];

/// Only on request: it takes minutes.
pub(super) const LARGEST: &[Row] = &[Row {
    name: "scope-large-10000",
    shows: "10,000 elements at either registrar, loaded by the other one that joins; ours with the kernel's SCTP",
    limit: 1200,
    run: |lab| large(lab, Way::Kernel, 10_000),
}];

fn scope(lab: &mut Lab, way: Way, sides: [Side; 3]) -> anyhow::Result<()> {
    let (mut registrars, mut elements, mut expected): (Vec<Registrar>, _, _) =
        (Vec::new(), Vec::new(), Homes::new());
    for (side, id) in sides.into_iter().zip([LOW, MIDDLE, HIGH]) {
        let peers: Vec<&Registrar> = registrars.iter().collect();
        // At each an element of the other kind.
        let (registrar, element);
        match side {
            Ours => {
                registrar = Registrar::ours(lab, way, id, &peers)?;
                element = Element::theirs(lab, way, &registrar)?;
            }
            Rsplib => {
                registrar = Registrar::theirs(lab, way, id, &peers)?;
                element = Element::ours(lab, way, &registrar)?;
            }
        }
        expected.insert(element.id.clone(), registrar.name());
        registrars.push(registrar);
        elements.push(element);
    }
    for registrar in &registrars {
        registrar.agrees(lab, &expected)?;
    }
    no_differences(lab, &registrars)?;

    // Their elements come back, or are taken over: all registrars agree on which.
    let of = |side| sides.iter().position(|other| *other == side);
    for side in [Ours, Rsplib] {
        let restarted = of(side).context("no registrar of this kind")?;
        registrars[restarted].restart(lab)?;
        let homes = all_agree(lab, &registrars, &expected)?;
        let moved = homes.iter().filter(|(id, home)| expected[*id] != **home).count();
        lab.note(format!("{side:?} restarted: {moved} of 3 elements have another home"));
        expected = homes;
    }
    no_differences(lab, &registrars)
}

/// Waits until all registrars know exactly the elements in `expected`, with the same homes.
fn all_agree(lab: &mut Lab, registrars: &[Registrar], expected: &Homes) -> anyhow::Result<Homes> {
    let until = Instant::now() + SOON;
    loop {
        let views: Vec<Homes> = registrars.iter().map(|one| one.homes(lab)).collect::<Result<_, _>>()?;
        if views.iter().all(|view| *view == views[0] && view.keys().eq(expected.keys())) {
            return Ok(views.into_iter().next().unwrap_or_default());
        }
        if Instant::now() > until {
            bail!("the registrars do not agree: {views:?}");
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// Waits until for several presences nobody finds that a checksum differs. One table may be loaded for an update that was
/// missed, or is late; there must be an end of it.
fn no_differences(lab: &mut Lab, registrars: &[Registrar]) -> anyhow::Result<()> {
    const WINDOWS: usize = 4;
    for window in 1..=WINDOWS {
        let marks: Vec<Mark> = registrars.iter().map(|registrar| registrar.program.mark()).collect();
        thread::sleep(Duration::from_secs(4));
        let said =
            registrars.iter().zip(marks).flat_map(|(registrar, mark)| registrar.program.lines_after(mark));
        let difference = said.into_iter().find(|line| {
            line.text.contains("Handle Table synchronization") || line.text.contains("loaded anew")
        });
        match difference {
            None => break,
            Some(line) => ensure!(window < WINDOWS, "checksums differ again and again: {}", line.text),
        }
    }
    // What each peer says of its table is what ours has of it.
    for registrar in registrars.iter().filter(|registrar| registrar.side == Ours) {
        let name = log_name(lab, "registrars", registrar.id);
        let table = ours::admin(lab, &name, &registrar.host, &["registrar", "-w"])?;
        for peer in registrars.iter().filter(|other| other.id != registrar.id) {
            let line =
                table.lines().find(|line| line.contains(&peer.name())).context("a registrar is missing")?;
            let checksums: Vec<&str> = line.split_whitespace().rev().take(2).collect();
            ensure!(checksums[0] == checksums[1], "checksums differ:\n{table}");
        }
    }
    Ok(())
}

fn split(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let theirs = Registrar::theirs(lab, way, LOW, &[])?;
    let ours = Registrar::ours(lab, way, MIDDLE, &[&theirs])?;
    let leaving = Element::theirs(lab, way, &theirs)?;
    ours.agrees(lab, &homes([(&leaving, &theirs)]))?;

    ours.host.netem("loss 100%")?;
    theirs.program.wait(&format!("Dead peer ${}", ours.name()), SOON)?;
    leaving.program.stop(Signal::SIGINT, SOON)?;
    let coming = Element::ours(lab, way, &theirs)?;
    ours.host.netem("")?;
    for registrar in [&theirs, &ours] {
        registrar.agrees(lab, &homes([(&coming, &theirs)]))?;
    }
    no_differences(lab, &[theirs, ours])
}

fn readers(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let dying = Registrar::theirs(lab, way, HIGH, &[])?;
    let ours = Registrar::ours(lab, way, LOW, &[&dying])?;
    let elements = [Element::theirs(lab, way, &dying)?, Element::ours(lab, way, &dying)?];
    let expected = homes([(&elements[0], &dying), (&elements[1], &dying)]);
    ours.agrees(lab, &expected)?;

    // Not only who, but also what: policy, life, addresses.
    let reader = lab.host("reader", way.theirs())?;
    let read = lab.run("hsdump", &reader, &rsplib::hsdump(&ours.host))?;
    let read: String = read.into_iter().map(|line| line.text + "\n").collect();
    let table = ours::admin(lab, "elements", &ours.host, &["element", "--wide"])?;
    for id in expected.keys() {
        let line = table.lines().find(|line| line.contains(id)).context("our table lacks an element")?;
        let address = line.split_whitespace().find(|word| word.contains("10.77.0.")).context("no address")?;
        let (ip, port) = address.trim_start_matches("sctp:").split_once(':').context("no port")?;
        let at = read.find(&format!(": ${id} ")).with_context(|| format!("hsdump lacks {id}"))?;
        let described: String = read[at..].lines().take(8).collect();
        ensure!(described.contains(ip) && described.contains(port), "not {address}: {described}");
    }
    ensure!(read.contains("Pool \"EchoPool\", Policy \"RoundRobin\""), "another policy");

    // Several pseudo-registrars that nobody can reach, and then a registrar dies.
    for _ in 0..3 {
        ensure!(dump(lab, &reader, &ours)? == expected, "hsdump reads something else from our registrar");
    }
    let status = ours::admin(lab, "status", &ours.host, &["status"])?;
    lab.note(format!(
        "after four hsdumps: {}",
        status.lines().find(|line| line.starts_with("peers")).unwrap_or("?")
    ));
    dying.program.stop(Signal::SIGKILL, SOON)?;
    ours.program.wait(&ours.takeover(&dying), SOON)?;
    settled(lab, &elements, &ours, &[&ours])
}

/// Timers with which a registrar of rsplib's that is busy is no dead one, and keep-alives of thousands are no load.
const PATIENT: [&str; 3] = [
    "-peermaxtimelastheard=30000",
    "-peermaxtimenoresponse=30000",
    "-endpointkeepalivetransmissioninterval=300000",
];

/// Elements of one process, and so many processes are there.
const BATCH: usize = 1_000;

fn large(lab: &mut Lab, way: Way, count: usize) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(300);
    lab.no_capture();
    let theirs = |cmd: Cmd| cmd.args(PATIENT);
    let ours = |cmd: Cmd| {
        cmd.args(
            ["max-time-last-heard=30s", "max-time-no-response=30s", "keep-alive-interval=300s"]
                .map(|timer| format!("--set=timers.{timer}")),
        )
    };
    // First the one has them and the other joins, then the other way round.
    for (first, [has, joins]) in [(Rsplib, [LOW, MIDDLE]), (Ours, [HIGH, 0x40])] {
        let started = lab.elapsed();
        let mut registrars = Vec::new();
        registrars.push(match first {
            // It would say so much of each of them that it does nothing else.
            Rsplib => Registrar::theirs_with(lab, way, has, &[], |cmd| theirs(cmd).arg("-loglevel=3"))?,
            Ours => Registrar::ours_with(lab, way, has, &[], ours)?,
        });
        let registrar = &registrars[0];
        let mut elements = Vec::new();
        for number in 1..=count / BATCH {
            let host = lab.host(&format!("e{has:x}-{number}"), way.ours())?;
            let element = ours::element(way, &host, registrar.host.v4(), "echo").arg("--life=3600");
            let element = element.arg(format!("--more={}", BATCH - 1));
            let element = lab.start(&format!("elements-{has:x}-{number}"), &host, &element)?;
            // One after the other: rsplib's registrar would not keep up.
            element.wait(&format!("registered {} more", BATCH - 1), LIMIT)?;
            elements.push(element);
        }
        let registered = lab.elapsed();
        let joins = match first {
            Rsplib => Registrar::ours_with(lab, way, joins, &[&registrars[0]], ours)?,
            Ours => Registrar::theirs_with(lab, way, joins, &[&registrars[0]], theirs)?,
        };
        registrars.push(joins);
        let [has, joins] = &registrars[..] else { bail!("two registrars") };
        let all = |homes: &Homes| homes.len() == count && homes.values().all(|home| *home == has.name());
        // hsdump takes minutes for more: then only the checksums tell, by which rsplib's compares, too.
        if joins.side == Ours || count <= 4_000 {
            joins.holds(lab, "all elements", all)?;
        }
        lab.note(format!(
            "{count} elements at {}: registered in {:.1} s, with the other one after {:.1} s",
            has.name(),
            (registered - started).as_secs_f64(),
            (lab.elapsed() - registered).as_secs_f64()
        ));
        no_differences(lab, &registrars)?;
        for element in elements {
            element.stop(Signal::SIGKILL, SOON)?;
        }
        for registrar in &registrars {
            registrar.program.stop(Signal::SIGKILL, SOON)?;
        }
    }
    Ok(())
}
