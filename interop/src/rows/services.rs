//! rsplib's services echo, daytime and discard, with each part played by either side.

use super::cast::{Element, Registrar, SOON, Side, start_user};
use super::{Row, both_ways};
use crate::lab::{Lab, Mark};
use crate::ours::Way;
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
