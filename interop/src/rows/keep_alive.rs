//! Frozen and killed elements at the registrar of the other side, and the life of registrations.

use super::cast::{Element, Registrar, SOON, Side};
use super::{Row, both_ways};
use crate::lab::Lab;
use crate::ours::Way;
use anyhow::ensure;
use nix::sys::signal::Signal;

pub(super) const ROWS: &[Row] = both_ways! {
    200,
    "keep-alive-rsplib", "our element at rsplib's registrar: keep-alives, frozen, awake again, killed" =>
        |lab, way| frozen_and_killed(lab, way, Side::Rsplib);
    "keep-alive-ours", "rsplib's element at our registrar: keep-alives, frozen, awake again, killed" =>
        |lab, way| frozen_and_killed(lab, way, Side::Ours);
};

fn frozen_and_killed(lab: &mut Lab, way: Way, registrar: Side) -> anyhow::Result<()> {
    let element = if registrar == Side::Ours { Side::Rsplib } else { Side::Ours };
    let registrar = Registrar::start(lab, way, registrar)?;
    let element = Element::start(lab, way, element, "element", &registrar, "echo")?;
    let removed = match element.side() {
        Side::Ours => "Keep-alive timeout expired",
        Side::Rsplib => "element removed",
    };
    let listed = registrar.elements(lab, "registered")?;
    ensure!(listed.contains(&element.id), "not registered:\n{listed}");
    if element.side() == Side::Ours {
        // rsplib counts in milliseconds: our element says 30 s in its way.
        ensure!(listed.contains("life=30000ms"), "another life than 30 s:\n{listed}");
    }

    let mark = registrar.program.mark();
    let frozen = lab.elapsed();
    element.program.signal(Signal::SIGSTOP)?;
    let line = registrar.program.wait_after(mark, removed, SOON)?;
    ensure!(!registrar.elements(lab, "frozen")?.contains(&element.id), "a frozen element is still listed");
    lab.note(format!("frozen: removed after {:.1} s", line.at.saturating_sub(frozen).as_secs_f64()));

    let mark = registrar.program.mark();
    let awake = lab.elapsed();
    element.program.signal(Signal::SIGCONT)?;
    let registered = match element.side() {
        Side::Ours => "Successfully registered",
        Side::Rsplib => "element registered",
    };
    let line = registrar.program.wait_after(mark, registered, SOON)?;
    lab.note(format!("awake: registered again after {:.1} s", line.at.saturating_sub(awake).as_secs_f64()));

    let mark = registrar.program.mark();
    let killed = lab.elapsed();
    element.program.stop(Signal::SIGKILL, SOON)?;
    let gone = |text: &str| text.contains(removed) || text.contains("Shutdown") || text.contains("emov");
    let line = registrar.program.wait_for(mark, "that it is removed", SOON, |line| gone(&line.text))?;
    ensure!(!registrar.elements(lab, "killed")?.contains(&element.id), "a killed element is still listed");
    lab.note(format!("killed: removed after {:.1} s", line.at.saturating_sub(killed).as_secs_f64()));
    Ok(())
}
