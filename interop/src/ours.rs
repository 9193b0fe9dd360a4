//! Our programs: their command lines, in each of the two ways in which they reach rsplib.

use crate::lab::{Cmd, ENCAPSULATION_PORT, Host, Lab, Program, Sctp, ours};
use crate::rsplib::{ASAP_PORT, ENRP_PORT};
use std::net::Ipv4Addr;
use std::time::Duration;

/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// How our programs and rsplib's, which uses the kernel's SCTP, reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Our embedded SCTP, all of it in UDP: the kernel is told to do the same.
    Udp,
    /// The kernel's SCTP on both sides.
    Kernel,
}

impl Way {
    /// What a host needs for our programs.
    pub(crate) fn ours(self) -> Sctp {
        match self {
            Way::Udp => Sctp::Embedded,
            Way::Kernel => Sctp::Kernel,
        }
    }

    /// What a host needs for rsplib's.
    pub(crate) fn theirs(self) -> Sctp {
        match self {
            Way::Udp => Sctp::KernelInUdp,
            Way::Kernel => Sctp::Kernel,
        }
    }

    /// What tells one of our programs.
    pub(crate) fn option(self) -> String {
        match self {
            Way::Udp => format!("--encap-port={ENCAPSULATION_PORT}"),
            Way::Kernel => "--transport=kernel".to_owned(),
        }
    }
}

/// A registrar on this host, ready after "ready".
pub(crate) fn registrar(way: Way, host: &Host) -> Cmd {
    let v4 = host.v4();
    let carrier = match way {
        Way::Udp => "udp",
        Way::Kernel => "kernel",
    };
    let registrar =
        ours("rserpool-registrar").args(["--announce-ready", "--profile=rsplib", "--log=debug"]).args([
            format!("--asap={carrier}:{v4}:{ASAP_PORT}"),
            format!("--enrp={carrier}:{v4}:{ENRP_PORT}"),
            format!("--admin-socket={}", admin_socket(host)),
        ]);
    match way {
        Way::Udp => registrar.arg(way.option()),
        Way::Kernel => registrar,
    }
}

/// What `rserpool` says about a registrar on this host: "element", "pool", …
pub(crate) fn admin(lab: &mut Lab, name: &str, host: &Host, words: &[&str]) -> anyhow::Result<String> {
    let tool = ours("rserpool").arg(format!("--admin={}", admin_socket(host)));
    let lines = lab.run(name, host, &tool.args(words.iter().copied()))?;
    Ok(lines.into_iter().map(|line| line.text + "\n").collect())
}

/// The rows of a laboratory share the file system.
fn admin_socket(host: &Host) -> String {
    format!("/tmp/{}.sock", host.name())
}

/// A pool element with this service ("echo", "discard", "daytime") at the registrar with this address.
pub(crate) fn element(way: Way, host: &Host, registrar: Ipv4Addr, service: &str) -> Cmd {
    ours("interop-element")
        .args([format!("--registrar={registrar}:{ASAP_PORT}"), format!("--listen={}:7000", host.v4())])
        .args([format!("--service={service}"), way.option()])
}

/// The identifier with which our element has registered, eight hexadecimal digits.
pub(crate) fn registered(element: &Program) -> anyhow::Result<String> {
    let line = element.wait("registered ", SOON)?;
    Ok(line.text.split_whitespace().nth(1).unwrap_or_default().trim_start_matches("0x").to_owned())
}

/// A pool user of ours: sends each line of its input to the pool.
pub(crate) fn user(way: Way, registrar: Ipv4Addr, pool: &str) -> Cmd {
    let registrar = format!("--registrar={registrar}:{ASAP_PORT}");
    ours("interop-user").args([registrar, format!("--pool={pool}"), way.option()])
}

/// A server of the examples ("calcapp_server", "fractal_server"), at another port each time it starts.
pub(crate) fn example_server(way: Way, name: &str, host: &Host, registrar: Ipv4Addr) -> Cmd {
    ours(name).arg("--rsplib").args([
        format!("--listen={}:0", host.v4()),
        way.option(),
        format!("{registrar}:{ASAP_PORT}"),
    ])
}

/// A client of the examples ("calcapp_client", "fractal_client").
pub(crate) fn example_client(way: Way, name: &str, registrar: Ipv4Addr) -> Cmd {
    ours(name).args(["--rsplib".to_owned(), way.option(), format!("{registrar}:{ASAP_PORT}")])
}

/// The identifier with which a server of the examples has registered, eight hexadecimal digits.
pub(crate) fn serving(server: &Program) -> anyhow::Result<String> {
    let line = server.wait("serving as ", SOON)?;
    let id = line.text.split_whitespace().nth(2).unwrap_or_default();
    Ok(id.trim_start_matches("0x").to_owned())
}
