//! rsplib among itself: shows that the laboratory is right before anything of ours takes part.

use super::Row;
use crate::lab::{Lab, Sctp};
use crate::rsplib;
use anyhow::ensure;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "rsplib-kernel",
        shows: "the bed: rsplib's registrar, echo element and terminal among themselves, kernel SCTP",
        limit: 90,
        run: |lab| among_themselves(lab, Sctp::Kernel),
    },
    Row {
        name: "rsplib-udp",
        shows: "the bed: the same with the kernel's SCTP in UDP",
        limit: 90,
        run: |lab| among_themselves(lab, Sctp::KernelInUdp),
    },
];

/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

fn among_themselves(lab: &mut Lab, sctp: Sctp) -> anyhow::Result<()> {
    let [r1, p1, u1] = [lab.host("r1", sctp)?, lab.host("p1", sctp)?, lab.host("u1", sctp)?];
    let registrar = lab.start("registrar", &r1, &rsplib::registrar(&r1))?;
    registrar.wait("Initialization phase ended", SOON)?;
    let element = lab.start("element", &p1, &rsplib::server(r1.v4(), "echo"))?;
    let id = rsplib::registered(&element)?;
    let dump = rsplib::dump(lab, "hsdump", &r1)?;
    ensure!(dump.iter().any(|line| line.text.contains(&id)), "hsdump does not show {id}");

    let terminal =
        lab.start("terminal", &u1, &rsplib::client(r1.v4(), "rspterminal").arg("-poolhandle=EchoPool"))?;
    terminal.write_line("one two three")?;
    let echo = terminal.wait("one two three", SOON)?;
    ensure!(echo.text.contains(&id), "the answer comes from {id}: {}", echo.text);
    Ok(())
}
