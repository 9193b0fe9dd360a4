//! What either side refuses, and how the other takes it.

use super::cast::{Element, Registrar, SOON, Side, start_user};
use super::{Row, both_ways};
use crate::lab::{Lab, Mark};
use crate::ours::{self, Way};
use crate::rsplib;
use anyhow::{Context, ensure};
use std::time::Duration;

pub(super) const ROWS: &[Row] = both_ways! {
    200,
    "refusals-rsplib", "rsplib's registrar refuses us: another policy than the pool's, a foreign address, an unknown pool" =>
        refused_by_rsplib;
    "refusals-ours", "our registrar refuses rsplib: another policy than the pool's, an unknown pool" => refused_by_ours;
};

fn refused_by_rsplib(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, Side::Rsplib)?;
    Element::start(lab, way, Side::Rsplib, "echo", &registrar, "echo")?;
    let p1 = lab.host("p1", way.ours())?;
    for (name, option, cause) in
        [("policy", "--policy=LeastUsed", "policy"), ("address", "--claim=10.77.0.99:7000", "0xf008")]
    {
        let element = ours::element(way, &p1, registrar.address(), "echo").arg(option);
        let element = lab.start(name, &p1, &element)?;
        let line = element.wait("refused the registration", SOON)?;
        ensure!(line.text.contains(cause), "{name}: {}", line.text);
        lab.note(format!("{name}: {}", line.text));
        let status = element.wait_end(SOON)?;
        ensure!(status.code() == Some(1), "{name}: {status}");
    }
    let u1 = lab.host("u1", way.ours())?;
    let user = start_user(lab, way, Side::Ours, &u1, &registrar, "NoSuchPool")?;
    let line = user.wait("unknown pool \"NoSuchPool\"", SOON)?;
    lab.note(format!("unknown pool: {}", line.text));
    Ok(())
}

fn refused_by_ours(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, Side::Ours)?;
    Element::start(lab, way, Side::Ours, "echo", &registrar, "echo")?;
    let p1 = lab.host("p1", way.theirs())?;
    let server = rsplib::server(registrar.address(), "echo").arg("-policy=LeastUsed");
    let server = lab.start("policy", &p1, &server)?;
    let line = server.wait_for(Mark::default(), "that it is refused", SOON, |line| {
        line.text.contains("ncompatible pool policy")
    })?;
    lab.note(format!("policy: {}", line.text));
    let listed = registrar.elements(lab, "elements")?;
    ensure!(
        listed.lines().filter(|line| line.contains("EchoPool")).count() == 1,
        "both are listed:\n{listed}"
    );

    // An unknown pool is no reason for rsplib's user to leave us: the pool comes, and it is served.
    let u1 = lab.host("u1", way.theirs())?;
    let terminal = start_user(lab, way, Side::Rsplib, &u1, &registrar, "LatePool")?;
    terminal.wait("did not find new pool element", SOON)?;
    let p2 = lab.host("p2", way.ours())?;
    let late = ours::element(way, &p2, registrar.address(), "echo").arg("--pool=LatePool");
    let late = lab.start("late", &p2, &late)?;
    let id = ours::registered(&late)?;
    // A line has the terminal look for the pool again, and may be lost by that.
    let answered = (1..=6).find_map(|_| {
        terminal.write_line("at last").ok()?;
        terminal.wait("> at last", Duration::from_secs(10)).ok()
    });
    let answer = answered.context("no answer of the pool that has come")?;
    ensure!(answer.text.contains(&id), "the answer comes from {id}: {}", answer.text);
    Ok(())
}
