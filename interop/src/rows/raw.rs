//! Our embedded SCTP on raw IP. Linux does not unload its SCTP again, so the hosts of ours are made to look as if the
//! kernel had none: it says nothing there, and our programs do not see it.

use super::Row;
use crate::lab::{Cmd, Host, Lab, Sctp, ours};
use crate::rsplib;
use anyhow::ensure;
use std::net::IpAddr;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "raw-kernel-server",
        shows: "our registrar on raw IP, rsplib's element, client and registrar on kernel SCTP",
        limit: 120,
        run: our_registrar,
    },
    Row {
        name: "raw-kernel-client",
        shows: "our element and client on raw IP, rsplib's registrar on kernel SCTP",
        limit: 120,
        run: their_registrar,
    },
    Row {
        name: "raw-refused",
        shows: "raw IP is refused where the kernel has SCTP",
        limit: 60,
        run: refused,
    },
    Row {
        name: "raw-raw",
        shows: "ours among themselves on raw IP, IPv4 and IPv6",
        limit: 180,
        run: among_ourselves,
    },
];

/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// A host where raw IP works although the kernel of all hosts here has SCTP: the kernel's own packets from this host, the
/// ABORTs, are dropped. What a program sends has an owner, what the kernel sends has none.
fn raw_host(lab: &mut Lab, name: &str) -> anyhow::Result<Host> {
    let host = lab.dual_host(name, Sctp::Embedded)?;
    let rules = "add table inet mute; \
                 add chain inet mute output { type filter hook output priority 0; }; \
                 add rule inet mute output meta l4proto sctp meta skuid 0 accept; \
                 add rule inet mute output meta l4proto sctp drop";
    host.tool("nft", &[rules])?;
    Ok(host)
}

/// Our program on such a host: it does not see that the kernel has SCTP, and so does not refuse.
fn unaware(program: &str) -> Cmd {
    ours(program).without_proc()
}

fn registrar(at: IpAddr) -> [String; 5] {
    let [asap, enrp] = [rsplib::ASAP_PORT, rsplib::ENRP_PORT].map(|port| std::net::SocketAddr::new(at, port));
    [
        format!("--asap=raw:{asap}"),
        format!("--enrp=raw:{enrp}"),
        "--profile=rsplib".into(),
        "--admin-socket=off".into(),
        "--log=debug".into(),
    ]
}

fn our_registrar(lab: &mut Lab) -> anyhow::Result<()> {
    let r1 = raw_host(lab, "r1")?;
    let [r2, p1, u1] =
        [lab.host("r2", Sctp::Kernel)?, lab.host("p1", Sctp::Kernel)?, lab.host("u1", Sctp::Kernel)?];
    let v4 = r1.v4();
    let registrar = unaware("rserpool-registrar").args(registrar(v4.into()));
    let registrar = lab.start("registrar", &r1, &registrar)?;
    registrar.wait("listening", SOON)?;

    let element = lab.start("element", &p1, &rsplib::server(v4, "echo"))?;
    let id = rsplib::registered(&element)?;
    let client = rsplib::client(v4, "rspterminal").arg("-poolhandle=EchoPool");
    let terminal = lab.start("terminal", &u1, &client)?;
    terminal.write_line("one two three")?;
    let echo = terminal.wait("one two three", SOON)?;
    ensure!(echo.text.contains(&id), "the answer comes from {id}: {}", echo.text);

    let peer = rsplib::registrar(&r2).arg(format!("-peer={v4}:{}", rsplib::ENRP_PORT));
    lab.start("peer", &r2, &peer)?.wait("Initialization phase ended", SOON)?;
    rsplib::wait_for_element(lab, &r2, &id)
}

fn their_registrar(lab: &mut Lab) -> anyhow::Result<()> {
    let r1 = lab.host("r1", Sctp::Kernel)?;
    let [p1, u1] = [raw_host(lab, "p1")?, raw_host(lab, "u1")?];
    let registrar = lab.start("registrar", &r1, &rsplib::registrar(&r1))?;
    registrar.wait("Initialization phase ended", SOON)?;
    let asap = format!("{}:{}", r1.v4(), rsplib::ASAP_PORT);
    let server = unaware("ping_pong_server").args(["--rsplib", "--transport=raw"]);
    let server = server.arg(format!("--listen={}:0", p1.v4())).arg(&asap);
    lab.start("element", &p1, &server)?.wait("serving as", SOON)?;
    let client = unaware("ping_pong_client").args(["--rsplib", "--transport=raw"]);
    lab.run("client", &u1, &client.args(["--interval=50", "--count=20"]).arg(&asap))?;
    Ok(())
}

fn refused(lab: &mut Lab) -> anyhow::Result<()> {
    lab.no_capture();
    let r1 = lab.host("r1", Sctp::Embedded)?;
    let registrar =
        lab.start("registrar", &r1, &ours("rserpool-registrar").args(registrar(r1.v4().into())))?;
    registrar.wait("raw IP is for hosts without SCTP, and this kernel has it", SOON)?;
    let status = registrar.wait_end(SOON)?;
    ensure!(!status.success(), "it must not go on: {status}");
    Ok(())
}

fn among_ourselves(lab: &mut Lab) -> anyhow::Result<()> {
    let mut host = |name| raw_host(lab, name);
    let [r1, r2, p1, u1] = [host("r1")?, host("r2")?, host("p1")?, host("u1")?];
    let families: [fn(&Host) -> IpAddr; 2] = [|host| host.v4().into(), |host| host.v6().into()];
    for address in families {
        let name = if address(&r1).is_ipv4() { "v4" } else { "v6" };
        let asap = std::net::SocketAddr::new(address(&r1), rsplib::ASAP_PORT).to_string();
        let enrp = std::net::SocketAddr::new(address(&r1), rsplib::ENRP_PORT).to_string();
        let first = unaware("rserpool-registrar").args(registrar(address(&r1)));
        let first = lab.start(&format!("registrar-{name}"), &r1, &first)?;
        first.wait("listening", SOON)?;
        let second =
            unaware("rserpool-registrar").args(registrar(address(&r2))).arg(format!("--peer={enrp}"));
        let second = lab.start(&format!("peer-{name}"), &r2, &second)?;
        first.wait("peer", SOON)?;

        let any = std::net::SocketAddr::new(address(&p1), 0);
        let server =
            unaware("ping_pong_server").args(["--rsplib", "--transport=raw"]).arg(format!("--listen={any}"));
        let element = lab.start(&format!("element-{name}"), &p1, &server.arg(&asap))?;
        element.wait("serving as", SOON)?;
        let client = unaware("ping_pong_client").args(["--rsplib", "--transport=raw"]);
        lab.run(&format!("client-{name}"), &u1, &client.args(["--interval=20", "--count=50"]).arg(&asap))?;
        for program in [first, second, element] {
            program.stop(nix::sys::signal::Signal::SIGKILL, SOON)?;
        }
    }
    Ok(())
}
