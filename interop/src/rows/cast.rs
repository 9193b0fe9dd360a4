//! Who plays which part: each of registrar, element and user is ours or rsplib's.

use crate::lab::{Host, Lab, Program};
use crate::ours::{self, Way};
use crate::rsplib;
use anyhow::bail;
use nix::sys::signal::Signal;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// For whatever comes at once on an idle machine.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Rsplib,
}

/// A registrar that serves.
pub(super) struct Registrar {
    side: Side,
    pub(super) host: Host,
    pub(super) program: Arc<Program>,
}

impl Registrar {
    /// Starts one on a host of its own and waits until it serves. Ours has the identifier 0x10.
    pub(super) fn start(lab: &mut Lab, way: Way, side: Side) -> anyhow::Result<Registrar> {
        let (host, program) = match side {
            Side::Ours => {
                let host = lab.host("r1", way.ours())?;
                let program = lab.start("registrar", &host, &ours::registrar(way, &host).arg("--id=10"))?;
                program.wait("\"ready\"", SOON)?;
                (host, program)
            }
            Side::Rsplib => {
                let host = lab.host("r1", way.theirs())?;
                // Keep-alives often enough to be seen in a row.
                let quick =
                    ["-endpointkeepalivetransmissioninterval=1000", "-endpointkeepalivetimeoutinterval=2000"];
                let program = lab.start("registrar", &host, &rsplib::registrar(&host).args(quick))?;
                program.wait("Initialization phase ended", SOON)?;
                (host, program)
            }
        };
        Ok(Registrar { side, host, program })
    }

    /// Starts another one of ours, with the identifier 0x20, which joins this one.
    pub(super) fn start_second(&self, lab: &mut Lab, way: Way) -> anyhow::Result<Registrar> {
        let host = lab.host("r2", way.ours())?;
        let cmd = ours::registrar(way, &host).arg("--id=20");
        let cmd = cmd.arg(format!("--peer={}:{}", self.address(), rsplib::ENRP_PORT));
        let program = lab.start("registrar-2", &host, &cmd)?;
        program.wait("joined the scope mentor=0x00000010", SOON)?;
        Ok(Registrar { side: Side::Ours, host, program })
    }

    /// Its address.
    pub(super) fn address(&self) -> Ipv4Addr {
        self.host.v4()
    }

    /// What is registered, in the words of `hsdump` or of `rserpool element -w`.
    pub(super) fn elements(&self, lab: &mut Lab, name: &str) -> anyhow::Result<String> {
        match self.side {
            Side::Ours => ours::admin(lab, name, &self.host, &["element", "-w"]),
            Side::Rsplib => {
                let lines = rsplib::dump(lab, name, &self.host)?;
                Ok(lines.into_iter().map(|line| line.text + "\n").collect())
            }
        }
    }
}

/// A registered element.
pub(super) struct Element {
    side: Side,
    pub(super) host: Host,
    pub(super) program: Arc<Program>,
    /// Its identifier, eight hexadecimal digits.
    pub(super) id: String,
}

impl Element {
    /// Starts one with this service on a host of its own and waits until it is registered.
    pub(super) fn start(
        lab: &mut Lab,
        way: Way,
        side: Side,
        name: &str,
        registrar: &Registrar,
        service: &str,
    ) -> anyhow::Result<Element> {
        let (host, program, id);
        match side {
            Side::Ours => {
                host = lab.host(name, way.ours())?;
                let pool = format!("--pool={}", pool(service));
                program = lab.start(
                    name,
                    &host,
                    &ours::element(way, &host, registrar.address(), service).arg(pool),
                )?;
                id = ours::registered(&program)?;
            }
            Side::Rsplib => {
                host = lab.host(name, way.theirs())?;
                program = lab.start(name, &host, &rsplib::server(registrar.address(), service))?;
                id = rsplib::registered(&program)?;
            }
        }
        Ok(Element { side, host, program, id })
    }

    /// Whose it is.
    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// Has it leave in order.
    pub(super) fn leave(&self) -> anyhow::Result<()> {
        match self.side {
            Side::Ours => self.program.close_input(),
            Side::Rsplib => self.program.signal(Signal::SIGINT)?,
        }
        let status = self.program.wait_end(SOON)?;
        if !status.success() {
            bail!("the element left with {status}");
        }
        Ok(())
    }
}

/// The pool in which rsplib's programs expect this service.
pub(super) fn pool(service: &str) -> &'static str {
    match service {
        "echo" => "EchoPool",
        "discard" => "DiscardPool",
        "daytime" => "DaytimePool",
        _ => "PingPongPool",
    }
}

/// Starts a user that sends the lines of its input to this pool.
pub(super) fn start_user(
    lab: &mut Lab,
    way: Way,
    side: Side,
    host: &Host,
    registrar: &Registrar,
    pool: &str,
) -> anyhow::Result<Arc<Program>> {
    let name = format!("user-{pool}");
    match side {
        Side::Ours => lab.start(&name, host, &ours::user(way, registrar.address(), pool)),
        Side::Rsplib => {
            let terminal = rsplib::client(registrar.address(), "rspterminal");
            lab.start(&name, host, &terminal.arg(format!("-poolhandle={pool}")))
        }
    }
}
