//! The processes of the demo: started, killed, frozen and started anew by their index.

use super::role::Report;
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Any free port of loopback.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A process of the scope by its kind and number, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Registrar(usize),
    Element(usize),
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registrar(index) => write!(f, "registrar {}", index + 1),
            Self::Element(index) => write!(f, "server {}", index + 1),
        }
    }
}

/// A report of a member, with the moment it was read; `None` when the member's output ended.
pub(super) type Told = (Member, Instant, Option<Report>);

/// A running process.
struct Process {
    child: Child,
    /// Closing it ends the process.
    _input: Option<ChildStdin>,
}

impl Process {
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().context("the process is already gone")?;
        kill(Pid::from_raw(i32::try_from(id)?), signal).with_context(|| format!("cannot send {signal}"))
    }
}

/// Where a registrar listens. Once known it stays the same when the registrar is started anew.
#[derive(Clone, Copy)]
struct Addresses {
    asap: SocketAddr,
    enrp: SocketAddr,
}

/// All processes of the demo. Dropping it ends them.
pub(super) struct Scope {
    program: OsString,
    registrars: Vec<(Addresses, Option<Process>)>,
    elements: Vec<Option<Process>>,
    reports: mpsc::Sender<Told>,
}

impl Scope {
    /// No process runs yet; what the processes say comes out of the receiver.
    pub(super) fn new(registrars: usize, elements: usize) -> anyhow::Result<(Self, mpsc::Receiver<Told>)> {
        let (reports, receiver) = mpsc::channel(1024);
        let scope = Self {
            program: std::env::current_exe().context("cannot find the demo's own binary")?.into(),
            registrars: (0..registrars).map(|_| (Addresses { asap: ANY, enrp: ANY }, None)).collect(),
            elements: (0..elements).map(|_| None).collect(),
            reports,
        };
        Ok((scope, receiver))
    }

    /// Starts a member, for the first time or anew.
    pub(super) fn start(&mut self, member: Member) -> anyhow::Result<()> {
        let mut arguments: Vec<OsString> = vec!["demo-role".into()];
        match member {
            Member::Registrar(index) => {
                let Addresses { asap, enrp } = self.registrars[index].0;
                arguments.extend(["registrar".into(), option("asap", asap), option("enrp", enrp)]);
                let peers = self.registrars.iter().enumerate().filter(|(other, _)| *other != index);
                arguments.extend(
                    peers
                        .filter(|(_, (at, _))| at.enrp.port() != 0)
                        .map(|(_, (at, _))| option("peer", at.enrp)),
                );
            }
            Member::Element(_) => {
                arguments.push("element".into());
                arguments.extend(self.registrar_addresses().iter().map(|at| at.to_string().into()));
            }
        }
        let process = self.spawn(member, &arguments).with_context(|| format!("cannot start {member}"))?;
        *self.process(member) = Some(process);
        Ok(())
    }

    /// Remembers where a registrar listens.
    pub(super) fn listening(&mut self, registrar: usize, asap: SocketAddr, enrp: SocketAddr) {
        self.registrars[registrar].0 = Addresses { asap, enrp };
    }

    /// The ASAP addresses of all registrars.
    pub(super) fn registrar_addresses(&self) -> Vec<SocketAddr> {
        self.registrars.iter().map(|(at, _)| at.asap).collect()
    }

    /// SIGKILL: gone without a word.
    pub(super) async fn kill(&mut self, member: Member) -> anyhow::Result<Instant> {
        let Some(mut process) = self.process(member).take() else { bail!("{member} does not run") };
        let at = Instant::now();
        process.signal(Signal::SIGKILL)?;
        process.child.wait().await.with_context(|| format!("cannot wait for {member}"))?;
        Ok(at)
    }

    /// SIGSTOP: there, but silent.
    pub(super) fn freeze(&mut self, member: Member) -> anyhow::Result<Instant> {
        let at = Instant::now();
        self.process(member)
            .as_ref()
            .with_context(|| format!("{member} does not run"))?
            .signal(Signal::SIGSTOP)?;
        Ok(at)
    }

    /// SIGCONT: goes on where it was.
    pub(super) fn thaw(&mut self, member: Member) -> anyhow::Result<()> {
        self.process(member)
            .as_ref()
            .with_context(|| format!("{member} does not run"))?
            .signal(Signal::SIGCONT)
    }

    fn process(&mut self, member: Member) -> &mut Option<Process> {
        match member {
            Member::Registrar(index) => &mut self.registrars[index].1,
            Member::Element(index) => &mut self.elements[index],
        }
    }

    fn spawn(&self, member: Member, arguments: &[OsString]) -> anyhow::Result<Process> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("no standard output")?;
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Ok(report) = serde_json::from_str(&line) else { continue };
                if reports.send((member, Instant::now(), Some(report))).await.is_err() {
                    return;
                }
            }
            let _ = reports.send((member, Instant::now(), None)).await;
        });
        Ok(Process { _input: child.stdin.take(), child })
    }
}

fn option(name: &str, address: SocketAddr) -> OsString {
    format!("--{name}={address}").into()
}
