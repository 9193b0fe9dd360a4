//! The processes of a story: registrars and servers, started, killed and started anew.

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// What has not happened after this long does not happen any more.
const LIMIT: Duration = Duration::from_secs(30);

/// A running process. Dropping it kills it.
struct Process {
    child: Child,
    /// Closing it ends the process.
    _input: Option<ChildStdin>,
}

impl Process {
    /// Starts this program in a role, and waits until it is ready.
    async fn start(role: &str, addresses: impl IntoIterator<Item = SocketAddr>) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["role", role])
            .args(addresses.into_iter().map(|address| address.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let line = timeout(LIMIT, output.next_line()).await.context("a process does not get ready")??;
        ensure!(line.is_some(), "a {role} ended at once: {}", child.wait().await?);
        Ok(Self { _input: child.stdin.take(), child })
    }

    /// Sends it a signal and waits for its end.
    async fn end(mut self, signal: Signal) -> anyhow::Result<ExitStatus> {
        let id = self.child.id().context("a process has ended by itself")?;
        kill(Pid::from_raw(i32::try_from(id)?), signal)?;
        timeout(LIMIT, self.child.wait()).await.context("a process does not end")?.context("wait")
    }
}

/// A registrar.
struct Registrar {
    asap: SocketAddr,
    enrp: SocketAddr,
    process: Option<Process>,
}

/// The processes of a story.
pub(crate) struct Scope {
    registrars: Vec<Registrar>,
    servers: Vec<Option<Process>>,
}

impl Scope {
    /// All are started, and ready.
    pub(crate) async fn start(
        registrars: u16,
        servers: usize,
        rng: &mut ChaCha12Rng,
    ) -> anyhow::Result<Self> {
        // Below the ports that systems give away: a registrar finds its own free when it is started anew.
        let base = rng.random_range(2_000..3_000) * 10;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let registrar = |number: u16| Registrar {
            asap: at(base + 2 * number),
            enrp: at(base + 2 * number + 1),
            process: None,
        };
        let mut scope = Self {
            registrars: (0..registrars).map(registrar).collect(),
            servers: (0..servers).map(|_| None).collect(),
        };
        scope.start_registrars().await?;
        for server in 0..servers {
            scope.start_server(server).await?;
        }
        Ok(scope)
    }

    /// Where clients reach the registrars.
    pub(crate) fn registrars(&self) -> Vec<SocketAddr> {
        self.registrars.iter().map(|registrar| registrar.asap).collect()
    }

    /// How many servers there are when all run.
    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Starts those that do not run.
    pub(crate) async fn start_registrars(&mut self) -> anyhow::Result<()> {
        let enrp: Vec<_> = self.registrars.iter().map(|registrar| registrar.enrp).collect();
        for registrar in &mut self.registrars {
            if registrar.process.is_none() {
                let peers = enrp.iter().copied().filter(|peer| *peer != registrar.enrp);
                let addresses = [registrar.asap, registrar.enrp].into_iter().chain(peers);
                registrar.process = Some(Process::start("registrar", addresses).await?);
            }
        }
        Ok(())
    }

    /// SIGKILL to all of them.
    pub(crate) async fn kill_registrars(&mut self) -> anyhow::Result<()> {
        for registrar in &mut self.registrars {
            if let Some(process) = registrar.process.take() {
                process.end(Signal::SIGKILL).await?;
            }
        }
        Ok(())
    }

    /// Returns when the server is registered.
    pub(crate) async fn start_server(&mut self, server: usize) -> anyhow::Result<()> {
        self.servers[server] = Some(Process::start("server", self.registrars()).await?);
        Ok(())
    }

    /// SIGKILL.
    pub(crate) async fn kill_server(&mut self, server: usize) -> anyhow::Result<()> {
        let process = self.servers[server].take().context("the server does not run")?;
        process.end(Signal::SIGKILL).await?;
        Ok(())
    }

    /// SIGTERM, upon which a server leaves in order; returns when it is gone.
    pub(crate) async fn stop_server(&mut self, server: usize) -> anyhow::Result<()> {
        let process = self.servers[server].take().context("the server does not run")?;
        let status = process.end(Signal::SIGTERM).await?;
        ensure!(status.success(), "a server could not leave in order: {status}");
        Ok(())
    }
}
