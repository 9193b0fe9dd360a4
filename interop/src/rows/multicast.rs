//! Who announces itself by multicast to whom, and rsplib's monitor, which hears of everybody.

use super::cast::{SOON, Side};
use super::{Row, both_ways};
use crate::lab::{Lab, ours, theirs};
use crate::ours::{self as our, Way};
use crate::rsplib;
use anyhow::ensure;
use nix::sys::signal::Signal;

pub(super) const ROWS: &[Row] = both_ways! {
    200,
    "discovery-ours", "rsplib's element, client and registrar find our registrar by its announcements, ours finds theirs" =>
        |lab, way| discovery(lab, way, Side::Ours);
    "discovery-rsplib", "our element, client and registrar find rsplib's registrar by its announcements" =>
        |lab, way| discovery(lab, way, Side::Rsplib);
    "monitor", "rsplib's cspmonitor shows our registrar beside rsplib's programs, until it is stopped" => monitor;
};

/// One registrar; all others are told nothing.
fn discovery(lab: &mut Lab, way: Way, side: Side) -> anyhow::Result<()> {
    let (r1, registrar);
    match side {
        Side::Ours => {
            r1 = lab.host("r1", way.ours())?;
            registrar =
                lab.start("registrar", &r1, &our::registrar(way, &r1).args(["--multicast", "--id=10"]))?;
            registrar.wait("\"ready\"", SOON)?;
            let p1 = lab.host("p1", way.theirs())?;
            let element = lab.start(
                "element",
                &p1,
                &theirs("rspserver").args(["-echo", "-loglevel=4", "-logcolor=off"]),
            )?;
            rsplib::registered(&element)?;
            let u1 = lab.host("u1", way.theirs())?;
            let terminal = theirs("rspterminal").args(["-poolhandle=EchoPool", "-logcolor=off"]);
            let terminal = lab.start("terminal", &u1, &terminal)?;
            terminal.write_line("anybody there")?;
            terminal.wait("> anybody there", SOON)?;
        }
        Side::Rsplib => {
            r1 = lab.host("r1", way.theirs())?;
            registrar = lab.start("registrar", &r1, &rsplib::registrar(&r1).arg("-identifier=0x10"))?;
            registrar.wait("Initialization phase ended", SOON)?;
            let p1 = lab.host("p1", way.ours())?;
            let server = ours("ping_pong_server").args(["--rsplib", "--multicast"]);
            let server = server.args([format!("--listen={}:0", p1.v4()), way.option()]);
            our::serving(&*lab.start("element", &p1, &server)?)?;
            let u1 = lab.host("u1", way.ours())?;
            let client =
                ours("ping_pong_client").args(["--rsplib", "--multicast", "--count=5", "--interval=100"]);
            lab.run("client", &u1, &client.args([format!("--listen={}:0", u1.v4()), way.option()]))?;
        }
    }

    // Two more registrars, one of each: every one finds every other one.
    let [r2, r3] = [lab.host("r2", way.ours())?, lab.host("r3", way.theirs())?];
    let second = lab.start("ours", &r2, &our::registrar(way, &r2).args(["--multicast", "--id=20"]))?;
    second.wait("registrar up peer=0x00000010", SOON)?;
    let third = lab.start("rsplib", &r3, &rsplib::registrar(&r3).arg("-identifier=0x30"))?;
    second.wait("registrar up peer=0x00000030", SOON)?;
    third.wait("$00000020", SOON)?;
    match side {
        Side::Ours => registrar.wait("registrar up peer=0x00000030", SOON)?,
        Side::Rsplib => registrar.wait("$00000020", SOON)?,
    };
    Ok(())
}

fn monitor(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let m1 = lab.host("m1", way.theirs())?;
    let address = format!("{}:2960", m1.v4());
    let monitor = lab.start("cspmonitor", &m1, &theirs("cspmonitor").arg("-full"))?;
    let r1 = lab.host("r1", way.ours())?;
    let registrar = our::registrar(way, &r1)
        .args(["--id=c0ffee", &format!("--set=component-status.monitor=\"{address}\"")]);
    let registrar = lab.start("registrar", &r1, &registrar)?;
    registrar.wait("\"ready\"", SOON)?;
    let shown = |word: &'static str, status: &'static str| {
        let (mut seen, mut row) = (false, String::new());
        monitor.wait_for(monitor.mark(), &format!("{word} {status}"), SOON, |line| {
            if line.text.to_lowercase().contains(word) {
                seen = true;
                row.clear();
            }
            row += &line.text;
            seen && row.contains(status)
        })
    };
    let line = shown("c0ffee", "0[0] PEs in 0 Pools, 0 Peers")?;
    lab.note(line.text);

    // A registrar and an element of rsplib's report as well, and ours counts them.
    let r2 = lab.host("r2", way.theirs())?;
    let csp = [format!("-cspserver={address}"), "-cspinterval=500".to_owned()];
    let peer = rsplib::registrar(&r2)
        .args([format!("-peer={}:{}", r1.v4(), rsplib::ENRP_PORT), "-identifier=0xbeef".to_owned()]);
    lab.start("rsplib", &r2, &peer.args(csp.clone()))?;
    let p1 = lab.host("p1", way.theirs())?;
    let element = lab.start("element", &p1, &rsplib::server(r1.v4(), "echo").args(csp))?;
    rsplib::registered(&element)?;
    let line = shown("c0ffee", "1[1] PEs in 1 Pools, 1 Peers")?;
    lab.note(line.text);
    shown("beef", "PEs in")?;

    // It takes leave: from one screen to the next.
    registrar.stop(Signal::SIGTERM, SOON)?;
    for _ in 0..2 {
        monitor.wait_after(monitor.mark(), "Current Component Status", SOON)?;
    }
    let mark = monitor.mark();
    monitor.wait_after(mark, "PR $0000beef [", SOON)?;
    let still = monitor.lines_after(mark).into_iter().find(|line| line.text.contains("PR $00c0ffee ["));
    ensure!(still.is_none(), "it is still shown: {still:?}");
    Ok(())
}
