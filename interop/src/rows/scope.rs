//! A scope of registrars of both kinds with their elements: what its rows have in common.

use super::cast::{SOON, Side};
use crate::lab::{Cmd, Host, Lab, Line, Mark, Program};
use crate::ours::{self, Way};
use crate::rsplib::{self, ENRP_PORT};
use anyhow::{bail, ensure};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Identifiers of registrars: the lower wins.
pub(super) const LOW: u32 = 0x10;
pub(super) const MIDDLE: u32 = 0x20;
pub(super) const HIGH: u32 = 0x30;

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

/// A registrar of the scope.
pub(super) struct Registrar {
    pub(super) side: Side,
    pub(super) id: u32,
    pub(super) host: Host,
    pub(super) program: Arc<Program>,
    cmd: Cmd,
}

/// The homes of the elements by their identifiers, eight hexadecimal digits each.
pub(super) type Homes = BTreeMap<String, String>;

/// Waits until a registrar of either kind is part of its scope, or alone.
pub(super) fn wait_until_it_serves(registrar: &Program, limit: Duration) -> anyhow::Result<()> {
    registrar.wait_for(Mark::default(), "that it serves", limit, |line| {
        ["joined the scope", "no other registrar", "Initialization phase ended"]
            .iter()
            .any(|words| line.text.contains(words))
    })?;
    Ok(())
}

impl Registrar {
    /// Starts one of ours, which knows these, and waits until it is part of the scope.
    pub(super) fn ours(lab: &mut Lab, way: Way, id: u32, peers: &[&Registrar]) -> anyhow::Result<Registrar> {
        Self::ours_with(lab, way, id, peers, |cmd| cmd)
    }

    pub(super) fn ours_with(
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
        Registrar::start(lab, Side::Ours, id, host, adapt(cmd))
    }

    /// Starts one of rsplib's, which finds those of its kind by multicast, and waits until it serves.
    pub(super) fn theirs(
        lab: &mut Lab,
        way: Way,
        id: u32,
        peers: &[&Registrar],
    ) -> anyhow::Result<Registrar> {
        Self::theirs_with(lab, way, id, peers, |cmd| cmd)
    }

    pub(super) fn theirs_with(
        lab: &mut Lab,
        way: Way,
        id: u32,
        peers: &[&Registrar],
        adapt: impl FnOnce(Cmd) -> Cmd,
    ) -> anyhow::Result<Registrar> {
        let host = lab.host(&format!("r{id:x}"), way.theirs())?;
        let peers = peers.iter().map(|peer| format!("-peer={}:{ENRP_PORT}", peer.host.v4()));
        let cmd = rsplib::registrar(&host).arg(format!("-identifier={id:#x}")).args(THEIR_TIMERS).args(peers);
        Registrar::start(lab, Side::Rsplib, id, host, adapt(cmd))
    }

    fn start(lab: &mut Lab, side: Side, id: u32, host: Host, cmd: Cmd) -> anyhow::Result<Registrar> {
        let program = lab.start(&format!("registrar-{id:x}"), &host, &cmd)?;
        let registrar = Registrar { side, id, host, program, cmd };
        registrar.wait_until_it_serves()?;
        Ok(registrar)
    }

    fn wait_until_it_serves(&self) -> anyhow::Result<()> {
        wait_until_it_serves(&self.program, SOON)
    }

    /// Kills it, and starts it anew with the same identifier.
    pub(super) fn restart(&mut self, lab: &mut Lab) -> anyhow::Result<()> {
        self.program.stop(Signal::SIGKILL, SOON)?;
        self.start_again(lab)
    }

    /// Starts one anew that has ended. rsplib's ends at once while the kernel still holds the ports of the one before it.
    pub(super) fn start_again(&mut self, lab: &mut Lab) -> anyhow::Result<()> {
        let until = Instant::now() + SOON;
        loop {
            let name = log_name(lab, "registrar", self.id);
            self.program = lab.start(&name, &self.host, &self.cmd)?;
            let serves = self.wait_until_it_serves();
            let too_early = self.side == Side::Rsplib && self.program.has_ended() && Instant::now() < until;
            if serves.is_ok() || !too_early {
                return serves;
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Its identifier as both sides print it.
    pub(super) fn name(&self) -> String {
        format!("{:08x}", self.id)
    }

    /// Waits until it has forgotten the `hsdump`s that read its table: rsplib takes them for registrars, and a takeover
    /// of its fails without their votes.
    pub(super) fn forgets_readers(&self) -> anyhow::Result<()> {
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
    pub(super) fn takeover(&self, target: &Registrar) -> String {
        match self.side {
            Side::Ours => format!("takeover complete target=0x{} winner=0x{}", target.name(), self.name()),
            Side::Rsplib => format!("Takeover of peer ${} completed", target.name()),
        }
    }

    /// When it took over another one, if it did.
    pub(super) fn took_over(&self, target: &Registrar) -> Option<Duration> {
        let says = self.takeover(target);
        self.program.lines().into_iter().find(|line| line.text.contains(&says)).map(|line| line.at)
    }

    /// The elements that it knows, with their homes.
    pub(super) fn homes(&self, lab: &mut Lab) -> anyhow::Result<Homes> {
        match self.side {
            Side::Ours => {
                let table = ours::admin(lab, &log_name(lab, "element", self.id), &self.host, &["element"])?;
                Ok(table.lines().filter_map(our_home).collect())
            }
            Side::Rsplib => dump(lab, &self.host, self),
        }
    }

    /// Waits until it knows exactly these elements with these homes.
    pub(super) fn agrees(&self, lab: &mut Lab, expected: &Homes) -> anyhow::Result<()> {
        self.holds(lab, &format!("{expected:?}"), |homes| homes == expected)
    }

    /// Waits until its elements are as wanted.
    pub(super) fn holds(
        &self,
        lab: &mut Lab,
        what: &str,
        wanted: impl Fn(&Homes) -> bool,
    ) -> anyhow::Result<()> {
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
pub(super) fn log_name(lab: &Lab, what: &str, id: u32) -> String {
    format!("{what}-{id:x}-{}", lab.elapsed().as_millis())
}

/// An element of ours in the table that `rserpool element` prints: pool, identifier, home.
fn our_home(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace().filter_map(|word| word.strip_prefix("0x"));
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// What rsplib's `hsdump` reads on this host from a registrar of either side: each element and its home.
pub(super) fn dump(lab: &mut Lab, host: &Host, registrar: &Registrar) -> anyhow::Result<Homes> {
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
pub(super) struct Element {
    pub(super) id: String,
    pub(super) program: Arc<Program>,
}

impl Element {
    pub(super) fn ours(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Element> {
        let name = format!("ours-at-{:x}", registrar.id);
        let host = lab.host(&format!("o{:x}", registrar.id), way.ours())?;
        let cmd = ours::element(way, &host, registrar.host.v4(), "echo").arg("--pool=EchoPool");
        let program = lab.start(&name, &host, &cmd)?;
        Ok(Element { id: ours::registered(&program)?, program })
    }

    pub(super) fn theirs(lab: &mut Lab, way: Way, registrar: &Registrar) -> anyhow::Result<Element> {
        let name = format!("theirs-at-{:x}", registrar.id);
        let host = lab.host(&format!("t{:x}", registrar.id), way.theirs())?;
        let cmd = rsplib::server(registrar.host.v4(), "echo").arg("-rereginterval=3000");
        let program = lab.start(&name, &host, &cmd)?;
        Ok(Element { id: rsplib::registered(&program)?, program })
    }
}

pub(super) fn homes<const N: usize>(of: [(&Element, &Registrar); N]) -> Homes {
    of.iter().map(|(element, home)| (element.id.clone(), home.name())).collect()
}

/// Kills a registrar with two elements: one of the candidates takes over, and all others agree.
pub(super) fn takeover_by(
    lab: &mut Lab,
    way: Way,
    dying: &Registrar,
    candidates: &[&Registrar],
    others: &[&Registrar],
) -> anyhow::Result<[Element; 2]> {
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
    settled(lab, &elements, winner, &survivors)?;
    Ok(elements)
}

/// Both elements have the new home, everywhere, and are still there several keep-alives later.
pub(super) fn settled(
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
