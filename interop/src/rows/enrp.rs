//! Registrars of both kinds in one scope (RFC 5353): joining, updates, audit, takeover.

use super::cast::SOON;
use super::{Row, both_ways};
use crate::lab::{Cmd, Host, Lab, Line, Mark, Program};
use crate::ours::{self, Way};
use crate::rsplib::{self, ASAP_PORT, ENRP_PORT};
use anyhow::{bail, ensure};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;
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
    "enrp-hostile", "what would crash rsplib never reaches it; tables of many pages do" => hostile;
};

/// Identifiers of registrars: the lower wins.
const LOW: u32 = 0x10;
const MIDDLE: u32 = 0x20;
const HIGH: u32 = 0x30;

/// Timers of rsplib's registrars with which a row does not last too long, and a loaded machine accuses nobody.
const THEIR_TIMERS: [&str; 6] = [
    "-peerheartbeatcycle=1000",
    "-peermaxtimelastheard=3000",
    "-peermaxtimenoresponse=2000",
    "-takeoverexpiryinterval=4000",
    "-endpointkeepalivetransmissioninterval=2000",
    "-endpointkeepalivetimeoutinterval=3000",
];

/// The same for ours.
const OUR_TIMERS: [&str; 5] = [
    "timers.peer-heartbeat-cycle=\"1s\"",
    "timers.max-time-last-heard=\"3s\"",
    "timers.max-time-no-response=\"2s\"",
    "timers.keep-alive-interval=\"2s\"",
    "timers.keep-alive-timeout=\"3s\"",
];

/// Whose registrar it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

/// A registrar of the scope.
struct Registrar {
    side: Side,
    id: u32,
    host: Host,
    program: Arc<Program>,
}

/// The homes of the elements by their identifiers, eight hexadecimal digits each.
type Homes = BTreeMap<String, String>;

impl Registrar {
    /// Starts one of ours, which knows these, and waits until it is part of the scope.
    fn ours(lab: &mut Lab, way: Way, id: u32, peers: &[&Registrar]) -> anyhow::Result<Registrar> {
        Self::ours_with(lab, way, id, peers, |cmd| cmd)
    }

    fn ours_with(
        lab: &mut Lab,
        way: Way,
        id: u32,
        peers: &[&Registrar],
        adapt: impl FnOnce(Cmd) -> Cmd,
    ) -> anyhow::Result<Registrar> {
        let host = lab.host(&format!("r{id:x}"), way.ours())?;
        let timers = OUR_TIMERS.into_iter().map(|timer| format!("--set={timer}"));
        let peers = peers.iter().map(|peer| format!("--peer={}:{ENRP_PORT}", peer.host.v4()));
        let cmd = ours::registrar(way, &host).arg(format!("--id={id:08x}")).args(timers).args(peers);
        let program = lab.start(&format!("registrar-{id:x}"), &host, &adapt(cmd))?;
        program.wait_for(Mark::default(), "that it serves", SOON, |line| {
            line.text.contains("joined the scope") || line.text.contains("no other registrar")
        })?;
        Ok(Registrar { side: Side::Ours, id, host, program })
    }

    /// Starts one of rsplib's, which finds those of its kind by multicast, and waits until it serves.
    fn theirs(lab: &mut Lab, way: Way, id: u32, peers: &[&Registrar]) -> anyhow::Result<Registrar> {
        let host = lab.host(&format!("r{id:x}"), way.theirs())?;
        let peers = peers.iter().map(|peer| format!("-peer={}:{ENRP_PORT}", peer.host.v4()));
        let cmd = rsplib::registrar(&host).arg(format!("-identifier={id:#x}")).args(THEIR_TIMERS).args(peers);
        let program = lab.start(&format!("registrar-{id:x}"), &host, &cmd)?;
        program.wait("Initialization phase ended", SOON)?;
        Ok(Registrar { side: Side::Theirs, id, host, program })
    }

    /// Its identifier as both sides print it.
    fn name(&self) -> String {
        format!("{:08x}", self.id)
    }

    /// Waits until it has forgotten the `hsdump`s that read its table: rsplib takes them for registrars, and a takeover
    /// of its fails without their votes.
    fn forgets_readers(&self) -> anyhow::Result<()> {
        let new = "Sending Presence to new peer $";
        for line in self.program.lines() {
            let Some(id) = line.text.split_once(new).and_then(|(_, rest)| rest.get(..8)) else { continue };
            if u32::from_str_radix(id, 16).is_ok_and(|id| id > HIGH) {
                self.program.wait(&format!("Dead peer ${id}"), SOON)?;
            }
        }
        Ok(())
    }

    /// What it says when it has taken over another one.
    fn takeover(&self, target: &Registrar) -> String {
        match self.side {
            Side::Ours => format!("takeover complete target=0x{} winner=0x{}", target.name(), self.name()),
            Side::Theirs => format!("Takeover of peer ${} completed", target.name()),
        }
    }

    /// When it took over another one, if it did.
    fn took_over(&self, target: &Registrar) -> Option<Duration> {
        let says = self.takeover(target);
        self.program.lines().into_iter().find(|line| line.text.contains(&says)).map(|line| line.at)
    }

    /// The elements that it knows, with their homes.
    fn homes(&self, lab: &mut Lab) -> anyhow::Result<Homes> {
        match self.side {
            Side::Ours => {
                let table = ours::admin(lab, &log_name(lab, "element", self.id), &self.host, &["element"])?;
                Ok(table.lines().filter_map(our_home).collect())
            }
            Side::Theirs => dump(lab, &self.host, self),
        }
    }

    /// Waits until it knows exactly these elements with these homes.
    fn agrees(&self, lab: &mut Lab, expected: &Homes) -> anyhow::Result<()> {
        self.holds(lab, &format!("{expected:?}"), |homes| homes == expected)
    }

    /// Waits until its elements are as wanted.
    fn holds(&self, lab: &mut Lab, what: &str, wanted: impl Fn(&Homes) -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + SOON;
        loop {
            let homes = self.homes(lab)?;
            if wanted(&homes) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("registrar {} has {homes:?} instead of {what}", self.name());
            }
            thread::sleep(Duration::from_millis(300));
        }
    }
}

/// Every look at a registrar has a log of its own.
fn log_name(lab: &Lab, what: &str, id: u32) -> String {
    format!("{what}-{id:x}-{}", lab.elapsed().as_millis())
}

/// An element of ours in the table that `rserpool element` prints: pool, identifier, home.
fn our_home(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace().filter_map(|word| word.strip_prefix("0x"));
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// What rsplib's `hsdump` reads on this host from a registrar of either side: each element and its home.
fn dump(lab: &mut Lab, host: &Host, registrar: &Registrar) -> anyhow::Result<Homes> {
    let name = log_name(lab, "hsdump", registrar.id);
    let lines = lab.run(&name, host, &rsplib::hsdump(&registrar.host))?;
    Ok(lines.iter().filter_map(their_home).collect())
}

/// A line of its section "Ownership": `- $HOME -> "POOL" / $ELEMENT flags=…`.
fn their_home(line: &Line) -> Option<(String, String)> {
    let (home, element) = line.text.trim_start().strip_prefix("- $")?.split_once(" -> ")?;
    let (_, element) = element.rsplit_once(" / $")?;
    Some((element.get(..8)?.to_owned(), home.to_owned()))
}

/// An element of the pool "EchoPool".
struct Element {
    id: String,
    program: Arc<Program>,
}

impl Element {
    fn ours(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Element> {
        let name = format!("ours-at-{:x}", registrar.id);
        let host = lab.host(&format!("o{:x}", registrar.id), way.ours())?;
        let cmd = ours::element(way, &host, registrar.host.v4(), "echo").arg("--pool=EchoPool");
        let program = lab.start(&name, &host, &cmd)?;
        Ok(Element { id: ours::registered(&program)?, program })
    }

    fn theirs(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Element> {
        let name = format!("theirs-at-{:x}", registrar.id);
        let host = lab.host(&format!("t{:x}", registrar.id), way.theirs())?;
        let cmd = rsplib::server(registrar.host.v4(), "echo").arg("-rereginterval=3000");
        let program = lab.start(&name, &host, &cmd)?;
        Ok(Element { id: rsplib::registered(&program)?, program })
    }
}

fn homes<const N: usize>(of: [(&Element, &Registrar); N]) -> Homes {
    of.iter().map(|(element, home)| (element.id.clone(), home.name())).collect()
}

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
    takeover_by(lab, way, &dying, &[&ours], &[&third])
}

fn takeover_of_ours(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let first = Registrar::theirs(lab, way, LOW, &[])?;
    let second = Registrar::theirs(lab, way, MIDDLE, &[])?;
    let dying = Registrar::ours(lab, way, HIGH, &[&first, &second])?;
    takeover_by(lab, way, &dying, &[&first, &second], &[])
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

/// Kills a registrar with two elements: one of the candidates takes over, and all others agree.
fn takeover_by(
    lab: &mut Lab,
    way: Way,
    dying: &Registrar,
    candidates: &[&Registrar],
    others: &[&Registrar],
) -> anyhow::Result<()> {
    let elements = [Element::theirs(lab, way, dying)?, Element::ours(lab, way, dying)?];
    let before = homes([(&elements[0], dying), (&elements[1], dying)]);
    let survivors = [candidates, others].concat();
    for registrar in &survivors {
        registrar.agrees(lab, &before)?;
    }
    for registrar in &survivors {
        registrar.forgets_readers()?;
    }
    let killed = lab.elapsed();
    dying.program.stop(Signal::SIGKILL, SOON)?;
    let until = Instant::now() + SOON;
    let (winner, at) = loop {
        let done = candidates.iter().find_map(|registrar| Some((registrar, registrar.took_over(dying)?)));
        match done {
            Some(done) => break done,
            None if Instant::now() > until => bail!("nobody took over {}", dying.name()),
            None => thread::sleep(Duration::from_millis(100)),
        }
    };
    lab.note(format!("{} took over {:.1} s after the kill", winner.name(), (at - killed).as_secs_f64()));
    settled(lab, &elements, winner, &survivors)
}

fn takeover_of_two(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let dying = Registrar::theirs(lab, way, LOW, &[])?;
    let ours = Registrar::ours(lab, way, MIDDLE, &[&dying])?;
    takeover_by(lab, way, &dying, &[&ours], &[])
}

/// Both elements have the new home, everywhere, and are still there several keep-alives later.
fn settled(
    lab: &mut Lab,
    elements: &[Element; 2],
    home: &Registrar,
    registrars: &[&Registrar],
) -> anyhow::Result<()> {
    let after = homes([(&elements[0], home), (&elements[1], home)]);
    for registrar in registrars {
        registrar.agrees(lab, &after)?;
    }
    thread::sleep(Duration::from_secs(6));
    for registrar in registrars {
        ensure!(registrar.homes(lab)? == after, "registrar {} has changed its mind", registrar.name());
    }
    Ok(())
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
