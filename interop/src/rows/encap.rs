//! Our embedded SCTP with all its SCTP ports behind one UDP port, as the kernel's (RFC 6951).

use super::Row;
use crate::lab::{Lab, Sctp, ours};
use crate::rsplib;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "encap-server",
        shows: "kernel peers at two SCTP ports of ours behind one UDP port: our registrar, rsplib's element and client",
        limit: 120,
        run: our_registrar,
    },
    Row {
        name: "encap-client",
        shows: "ours towards kernels in UDP: our element, client and resolver at rsplib's registrar",
        limit: 120,
        run: their_registrar,
    },
    Row {
        name: "encap-taken",
        shows: "a UDP port that the kernel's SCTP has is refused with the remedy",
        limit: 60,
        run: the_kernel_has_the_port,
    },
];

/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

// SCTP-6951-01
/// Both kinds of peers come to one socket of ours, and tell ASAP from ENRP by the SCTP port alone.
fn our_registrar(lab: &mut Lab) -> anyhow::Result<()> {
    let r1 = lab.host("r1", Sctp::Embedded)?;
    let [r2, p1, u1] = [
        lab.host("r2", Sctp::KernelInUdp)?,
        lab.host("p1", Sctp::KernelInUdp)?,
        lab.host("u1", Sctp::KernelInUdp)?,
    ];
    let v4 = r1.v4();
    let registrar = ours("rserpool-registrar")
        .arg(format!("--asap={v4}:3863"))
        .arg(format!("--enrp={v4}:9901"))
        .args(["--encap-port=9899", "--profile=rsplib", "--admin-socket=off", "--log=debug"]);
    let registrar = lab.start("registrar", &r1, &registrar)?;
    registrar.wait("listening", SOON)?;

    let element = lab.start("element", &p1, &rsplib::server(v4, "echo"))?;
    let id = rsplib::registered(&element)?;
    let client = rsplib::client(v4, "rspterminal").arg("-poolhandle=EchoPool");
    let terminal = lab.start("terminal", &u1, &client)?;
    terminal.write_line("one two three")?;
    let echo = terminal.wait("one two three", SOON)?;
    anyhow::ensure!(echo.text.contains(&id), "the answer comes from {id}: {}", echo.text);

    // To the ENRP port, from a kernel.
    let peer = rsplib::registrar(&r2).arg(format!("-peer={v4}:9901"));
    let peer = lab.start("peer", &r2, &peer)?;
    peer.wait("Initialization phase ended", SOON)?;
    rsplib::wait_for_element(lab, &r2, &id)
}

fn their_registrar(lab: &mut Lab) -> anyhow::Result<()> {
    let r1 = lab.host("r1", Sctp::KernelInUdp)?;
    let [p1, u1] = [lab.host("p1", Sctp::Embedded)?, lab.host("u1", Sctp::Embedded)?];
    let registrar = lab.start("registrar", &r1, &rsplib::registrar(&r1))?;
    registrar.wait("Initialization phase ended", SOON)?;
    let asap = format!("{}:{}", r1.v4(), rsplib::ASAP_PORT);
    let server = ours("ping_pong_server").args(["--rsplib", "--encap-port=9899"]);
    let element = lab.start("element", &p1, &server.arg(format!("--listen={}:0", p1.v4())).arg(&asap))?;
    element.wait("serving as", SOON)?;

    let resolve =
        ours("rserpool").args(["--encap-port=9899", "--registrar", &asap, "pool", "resolve", "PingPongPool"]);
    lab.run("resolve", &u1, &resolve)?;
    let client =
        ours("ping_pong_client").args(["--rsplib", "--encap-port=9899", "--interval=50", "--count=20"]);
    lab.run("client", &u1, &client.arg(&asap))?;
    Ok(())
}

fn the_kernel_has_the_port(lab: &mut Lab) -> anyhow::Result<()> {
    lab.no_capture();
    let r1 = lab.host("r1", Sctp::KernelInUdp)?;
    let registrar = ours("rserpool-registrar").args(["--encap-port=9899", "--admin-socket=off"]);
    let registrar = lab.start("registrar", &r1, &registrar)?;
    registrar.wait("already in use by the kernel's SCTP: set the sysctl net.sctp.udp_port to 0", SOON)?;
    let status = registrar.wait_end(SOON)?;
    anyhow::ensure!(!status.success(), "it must not go on: {status}");
    Ok(())
}
