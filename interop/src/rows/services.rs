//! rsplib's services echo, daytime and discard, with each part played by either side.

use super::cast::{Element, Registrar, SOON, Side, start_user};
use super::{Row, both_ways};
use crate::lab::{Lab, Mark, ours};
use crate::ours::Way;
use crate::rsplib::{self, ASAP_PORT};
use Side::{Ours, Rsplib};
use anyhow::ensure;

pub(super) const ROWS: &[Row] = both_ways! {
    150,
    "services-rsplib-rsplib-ours", "our user, rsplib's elements, rsplib's registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Rsplib, Rsplib, Ours]);
    "services-rsplib-ours-rsplib", "rsplib's user, our elements, rsplib's registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Rsplib, Ours, Rsplib]);
    "services-rsplib-ours-ours", "our user, our elements, rsplib's registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Rsplib, Ours, Ours]);
    "services-ours-rsplib-rsplib", "rsplib's user, rsplib's elements, our registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Ours, Rsplib, Rsplib]);
    "services-ours-rsplib-ours", "our user, rsplib's elements, our registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Ours, Rsplib, Ours]);
    "services-ours-ours-rsplib", "rsplib's user, our elements, our registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Ours, Ours, Rsplib]);
    "services-ours-ours-ours", "our user, our elements, our registrar: echo, daytime, discard" =>
        |lab, way| services(lab, way, [Ours, Ours, Ours]);
    "resolution-rsplib", "rsplib's registrar gives us three of five elements, or as many as we ask for" =>
        |lab, way| resolution(lab, way, Rsplib);
    "resolution-ours", "our registrar gives us three of rsplib's five elements, or as many as we ask for" =>
        |lab, way| resolution(lab, way, Ours);
};

// SCTP-6458-01: rsplib aborts associations with other payload protocols, so ours are in the right order on the wire.
fn services(lab: &mut Lab, way: Way, [registrar, element, user]: [Side; 3]) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, registrar)?;
    let echo = Element::start(lab, way, element, "echo", &registrar, "echo")?;
    let daytime = Element::start(lab, way, element, "daytime", &registrar, "daytime")?;
    let discard = Element::start(lab, way, element, "discard", &registrar, "discard")?;
    let listed = registrar.elements(lab, "registered")?;
    for element in [&echo, &daytime, &discard] {
        ensure!(listed.contains(&element.id), "the registrar does not list {}", element.id);
        let address = element.host.v4().to_string();
        ensure!(listed.contains(&address), "the registrar does not list the address {address}");
    }

    let host = lab.host("u1", if user == Ours { way.ours() } else { way.theirs() })?;
    let terminal = start_user(lab, way, user, &host, &registrar, "EchoPool")?;
    for line in ["one two three", "and now four", "finally five"] {
        terminal.write_line(line)?;
        let what = format!("{line:?} from {}", echo.id);
        terminal.wait_for(Mark::default(), &what, SOON, |said| {
            said.text.contains(&format!("> {line}")) && said.text.contains(&echo.id)
        })?;
    }
    let terminal = start_user(lab, way, user, &host, &registrar, "DaytimePool")?;
    terminal.wait_for(Mark::default(), "the time of day", SOON, |said| {
        said.text.contains("> ") && said.text.contains(&daytime.id)
    })?;
    terminal.stop(nix::sys::signal::Signal::SIGINT, SOON)?;
    let terminal = start_user(lab, way, user, &host, &registrar, "DiscardPool")?;
    terminal.write_line("into the void")?;
    discard.program.wait(if element == Ours { "into the void" } else { "Discard 1" }, SOON)?;

    // They leave in order, and are not listed any more.
    for element in [&echo, &daytime, &discard] {
        element.leave()?;
    }
    let listed = registrar.elements(lab, "left")?;
    ensure!(!listed.contains(&echo.id), "the registrar still lists {}:\n{listed}", echo.id);
    Ok(())
}

fn resolution(lab: &mut Lab, way: Way, side: Side) -> anyhow::Result<()> {
    let registrar = Registrar::start(lab, way, side)?;
    let [p1, u1] = [lab.host("p1", way.theirs())?, lab.host("u1", way.ours())?];
    let mut ids = Vec::new();
    for number in 1..=5 {
        let server = rsplib::server(registrar.address(), "echo");
        ids.push(rsplib::registered(&*lab.start(&format!("element-{number}"), &p1, &server)?)?);
    }
    for (name, items, expected) in [("default", None, 3), ("two", Some(2), 2), ("all", Some(u32::MAX), 5)] {
        let tool =
            ours("rserpool").args([format!("--registrar={}:{ASAP_PORT}", registrar.address()), way.option()]);
        let tool =
            tool.args(["pool", "resolve", "EchoPool"]).args(items.map(|items| format!("--items={items}")));
        let lines = lab.run(name, &u1, &tool)?;
        let given = ids.iter().filter(|id| lines.iter().any(|line| line.text.contains(*id))).count();
        ensure!(given == expected, "{given} of 5 elements instead of {expected}: {lines:?}");
    }
    Ok(())
}
