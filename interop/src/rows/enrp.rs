//! Registrars of both kinds in one scope (RFC 5353): joining, updates, audit, takeover.

use super::cast::SOON;
use super::scope::{
    Element, HIGH, Homes, LOW, MIDDLE, Registrar, dump, homes, log_name, settled, takeover_by,
};
use super::{Row, both_ways};
use crate::lab::{Cmd, Host, Lab};
use crate::ours::{self, Way};
use crate::rsplib::{self, ASAP_PORT};
use anyhow::ensure;
use nix::sys::signal::Signal;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Row] = both_ways! {
    300,
    "enrp-join-theirs-first", "our registrar joins rsplib's: tables, updates both ways, checksums" =>
        |lab, way| join(lab, way, Order::TheirsFirst);
    "enrp-join-ours-first", "rsplib's registrar joins ours: tables, updates both ways, checksums" =>
        |lab, way| join(lab, way, Order::OursFirst);
    "enrp-takeover-of-theirs", "rsplib's registrar dies, ours takes over, rsplib's third agrees" => takeover_of_theirs;
    "enrp-takeover-of-ours", "our registrar dies, one of two of rsplib's takes over" => takeover_of_ours;
    "enrp-takeover-by-theirs", "of rsplib's registrars one dies, the other takes over, ours agrees" => takeover_by_theirs;
    "enrp-takeover-two", "rsplib's registrar dies, ours is the only other one, and takes over" => takeover_of_two;
    "enrp-false-alarm", "our registrar is frozen until rsplib's suspects it: nothing is taken over" => false_alarm;
    "enrp-life", "the registration life is the same for both: nobody lets an element of the other expire" => life;
    "enrp-takeover-race", "rsplib's registrar dies, ours and rsplib's third both want it: one home for each element" =>
        takeover_race;
    "enrp-life-unit", "an element that counts in seconds vanishes from rsplib's second registrar, one that knows rsplib stays" =>
        life_unit;
    "enrp-suggestion", "rsplib's registrars suggest takeovers to each other and to ours: elements move, or stay, and are one" =>
        suggestion;
    "enrp-hostile", "what would crash rsplib never reaches it; tables of many pages do" => hostile;
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    TheirsFirst,
    OursFirst,
}

fn join(lab: &mut Lab, way: Way, order: Order) -> anyhow::Result<()> {
    let (theirs, ours, at_theirs, at_ours);
    match order {
        Order::TheirsFirst => {
            theirs = Registrar::theirs(lab, way, LOW, &[])?;
            at_theirs = Element::theirs(lab, way, &theirs)?;
            ours = Registrar::ours(lab, way, MIDDLE, &[&theirs])?;
            ours.program.wait(&format!("joined the scope mentor=0x{}", theirs.name()), SOON)?;
            // The table was there when it had joined.
            ensure!(ours.homes(lab)? == homes([(&at_theirs, &theirs)]), "joined without the mentor's table");
            at_ours = Element::ours(lab, way, &ours)?;
        }
        Order::OursFirst => {
            ours = Registrar::ours(lab, way, MIDDLE, &[])?;
            at_ours = Element::ours(lab, way, &ours)?;
            theirs = Registrar::theirs(lab, way, LOW, &[&ours])?;
            at_theirs = Element::theirs(lab, way, &theirs)?;
        }
    }
    let both = homes([(&at_theirs, &theirs), (&at_ours, &ours)]);
    for registrar in [&theirs, &ours] {
        registrar.agrees(lab, &both)?;
    }
    ensure!(dump(lab, &theirs.host, &ours)? == both, "hsdump reads something else from our registrar");

    // Several presences later nobody has found a difference.
    let marks = [theirs.program.mark(), ours.program.mark()];
    thread::sleep(Duration::from_secs(4));
    let differences = ["Handle Table synchronization", "loaded anew"];
    for ((registrar, mark), difference) in [&theirs, &ours].into_iter().zip(marks).zip(differences) {
        let said = registrar.program.lines_after(mark);
        ensure!(
            !said.iter().any(|line| line.text.contains(difference)),
            "checksums differ: {}",
            registrar.name()
        );
    }

    // An element of each leaves, the other side hears of it.
    at_ours.program.close_input();
    theirs.agrees(lab, &homes([(&at_theirs, &theirs)]))?;
    at_theirs.program.signal(Signal::SIGINT)?;
    ours.agrees(lab, &Homes::new())
}

fn takeover_of_theirs(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let dying = Registrar::theirs(lab, way, HIGH, &[])?;
    let third = Registrar::theirs(lab, way, MIDDLE, &[])?;
    let ours = Registrar::ours(lab, way, LOW, &[&dying, &third])?;
    takeover_by(lab, way, &dying, &[&ours], &[&third])?;
    Ok(())
}

fn takeover_of_ours(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let first = Registrar::theirs(lab, way, LOW, &[])?;
    let second = Registrar::theirs(lab, way, MIDDLE, &[])?;
    let dying = Registrar::ours(lab, way, HIGH, &[&first, &second])?;
    takeover_by(lab, way, &dying, &[&first, &second], &[])?;
    Ok(())
}

fn takeover_by_theirs(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let dying = Registrar::theirs(lab, way, HIGH, &[])?;
    let winner = Registrar::theirs(lab, way, LOW, &[])?;
    // Ours leaves it time to be the first that asks.
    let patient = |cmd: Cmd| cmd.arg("--set=timers.max-time-no-response=\"20s\"");
    let ours = Registrar::ours_with(lab, way, MIDDLE, &[&dying, &winner], patient)?;
    takeover_by(lab, way, &dying, &[&winner], &[&ours])?;
    let started = ours.program.lines().iter().any(|line| line.text.contains("takeover started"));
    ensure!(!started, "our registrar competed");
    Ok(())
}

/// What one of rsplib's alone cannot do for ours: it waits for the votes of others. But its elements look for it themselves.
fn takeover_of_two(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let mut dying = Registrar::theirs(lab, way, LOW, &[])?;
    let ours = Registrar::ours(lab, way, MIDDLE, &[&dying])?;
    let elements = takeover_by(lab, way, &dying, &[&ours], &[])?;
    dying.start_again(lab)?;
    dying.holds(lab, "the elements at their new home", |homes| homes.len() == 2)?;
    ours.program.stop(Signal::SIGKILL, SOON)?;
    dying.agrees(lab, &homes([(&elements[0], &dying), (&elements[1], &dying)]))
}

fn takeover_race(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let dying = Registrar::theirs(lab, way, LOW, &[])?;
    let third = Registrar::theirs(lab, way, MIDDLE, &[])?;
    let ours = Registrar::ours(lab, way, HIGH, &[&dying, &third])?;
    takeover_by(lab, way, &dying, &[&third, &ours], &[])?;
    Ok(())
}

fn life_unit(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let first = Registrar::theirs(lab, way, LOW, &[])?;
    let second = Registrar::theirs(lab, way, MIDDLE, &[])?;
    let [p1, p2] = [lab.host("p1", way.ours())?, lab.host("p2", way.ours())?];
    let server = |host: &Host, pool: &str| {
        let server = ours::example_server(way, "ping_pong_server", host, first.host.v4());
        server.args(["--life=300".to_owned(), format!("--pool={pool}")])
    };
    let aware = lab.start("aware", &p1, &server(&p1, "aware"))?;
    let aware = ours::serving(&aware)?;
    let seconds = lab.start("seconds", &p2, &server(&p2, "seconds").without("--rsplib"))?;
    let seconds = ours::serving(&seconds)?;
    let home = first.name();
    first.agrees(lab, &[(aware.clone(), home.clone()), (seconds, home.clone())].into())?;
    second.agrees(lab, &[(aware, home)].into())
}

/// The suggestion goes to the registrar whose identifier differs most from the element's.
fn suggestion(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let support = |cmd: Cmd| cmd.arg("-supporttakeoversuggestion");
    let first = Registrar::theirs_with(lab, way, LOW, &[], support)?;
    let second = Registrar::theirs_with(lab, way, HIGH, &[], support)?;
    let ours = Registrar::ours(lab, way, MIDDLE, &[&first, &second])?;
    let scope = [&first, &second, &ours];
    let host = lab.host("p1", way.theirs())?;
    let element = |id: &str| {
        rsplib::server(first.host.v4(), "echo")
            .args([format!("-identifier=0x{id}"), "-rereginterval=3000".to_owned()])
    };
    // For rsplib HIGH is nearest to the first of them, and ours to the other. An element that has gone where its registrar sent
    // it may be sent on: where it ends depends on who was first.
    let ids = ["00000001", "0000001f"];
    for id in ids {
        let element = lab.start(id, &host, &element(id))?;
        rsplib::registered(&element)?;
    }
    for better in [&second, &ours] {
        first.program.wait(&format!("Found better peer ${}", better.name()), SOON)?;
    }
    // All agree, and no element is on the way any more.
    let until = Instant::now() + 2 * SOON;
    loop {
        let before: Vec<Homes> =
            scope.iter().map(|registrar| registrar.homes(lab)).collect::<Result<_, _>>()?;
        thread::sleep(Duration::from_secs(6));
        let after: Vec<Homes> =
            scope.iter().map(|registrar| registrar.homes(lab)).collect::<Result<_, _>>()?;
        let one_view = after.iter().all(|view| *view == after[0] && view.keys().eq(ids));
        if one_view && before == after {
            lab.note(format!("{:?}", after[0]));
            return Ok(());
        }
        ensure!(Instant::now() < until, "no end of it: {before:?}, 6 s later {after:?}");
    }
}

fn false_alarm(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let theirs = Registrar::theirs(lab, way, LOW, &[])?;
    let ours = Registrar::ours(lab, way, MIDDLE, &[&theirs])?;
    let elements = [Element::theirs(lab, way, &ours)?, Element::ours(lab, way, &ours)?];
    let both = homes([(&elements[0], &ours), (&elements[1], &ours)]);
    theirs.agrees(lab, &both)?;
    ours.program.signal(Signal::SIGSTOP)?;
    theirs.program.wait(&format!("Initiating takeover of dead peer ${}", ours.name()), SOON)?;
    ours.program.signal(Signal::SIGCONT)?;
    for registrar in [&theirs, &ours] {
        registrar.agrees(lab, &both)?;
    }
    let took_over = theirs.program.lines().iter().any(|line| line.text.contains("Taking it over now"));
    ensure!(!took_over, "rsplib took over a registrar that lives");
    settled(lab, &elements, &ours, &[&theirs, &ours])
}

/// An element with a life of a few seconds at either registrar outlives it at the other one.
fn life(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let theirs = Registrar::theirs(lab, way, LOW, &[])?;
    let ours = Registrar::ours(lab, way, MIDDLE, &[&theirs])?;
    let elements = [Element::theirs(lab, way, &theirs)?, Element::ours(lab, way, &ours)?];
    let both = homes([(&elements[0], &theirs), (&elements[1], &ours)]);
    for registrar in [&theirs, &ours] {
        registrar.agrees(lab, &both)?;
    }
    // rsplib sends three times its interval of 3 s; ours says 30 s.
    let name = log_name(lab, "hsdump", theirs.id);
    let lines = rsplib::dump(lab, &name, &theirs.host)?;
    for (element, life) in [(&elements[0], "life=9000ms"), (&elements[1], "life=30000ms")] {
        let mut described =
            lines.iter().skip_while(|line| !line.text.contains(&format!(": ${} ", element.id)));
        let line = described.nth(1).map(|line| line.text.as_str()).unwrap_or_default();
        ensure!(line.contains(life), "{} has not {life}: {line}", element.id);
    }
    let table = ours::admin(lab, "lives", &ours.host, &["element", "--wide"])?;
    for (element, life) in [(&elements[0], "9.0 s"), (&elements[1], "30.0 s")] {
        let line = table.lines().find(|line| line.contains(&element.id)).unwrap_or_default();
        ensure!(line.contains(life), "{} has not {life}: {line}", element.id);
    }
    thread::sleep(Duration::from_secs(12));
    for registrar in [&theirs, &ours] {
        ensure!(registrar.homes(lab)? == both, "registrar {} let an element expire", registrar.name());
    }
    Ok(())
}

/// A pool handle of more than 32 bytes ends the rsplib process that gets it.
const LONG: &str = "a pool handle of more than thirty-two bytes";
/// Elements that need many pages.
const MANY: usize = 300;

fn hostile(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let ours = Registrar::ours(lab, way, MIDDLE, &[])?;
    let first = Registrar::theirs(lab, way, LOW, &[&ours])?;
    let host = lab.host("load", way.ours())?;
    let registrar = format!("{}:{ASAP_PORT}", ours.host.v4());
    let cmd = crate::lab::ours("rserpool").args(["--registrar".to_owned(), registrar.clone(), way.option()]);
    let cmd = cmd.arg("bench").args(["--depth=1", "--pools=3", "--resolutions=10000000"]);
    let load = lab.start("load", &host, &cmd.arg(format!("--elements={MANY}")))?;
    // An element that does not know of rsplib, with a pool handle that must not reach it.
    let host = lab.host("long", way.ours())?;
    let cmd =
        crate::lab::ours("ping_pong_server").args([way.option(), format!("--listen={}:7000", host.v4())]);
    let refused = lab.start("long", &host, &cmd.arg(format!("--pool={LONG}")).arg(registrar))?;
    ensure!(!refused.wait_end(SOON)?.success(), "a pool handle of {} bytes was taken", LONG.len());

    let all = |homes: &Homes| homes.len() == MANY && homes.values().all(|home| *home == ours.name());
    first.holds(lab, "all elements", all)?;
    // Another one joins, and loads them from ours.
    let second = Registrar::theirs(lab, way, HIGH, &[&ours])?;
    second.holds(lab, "all elements", all)?;
    load.stop(Signal::SIGKILL, SOON)?;
    for registrar in [&first, &second, &ours] {
        registrar.agrees(lab, &Homes::new())?;
    }
    Ok(())
}
