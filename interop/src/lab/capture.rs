//! What goes over the bridge, in a file for tshark.

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

/// The file in the row's folder.
pub(crate) const FILE: &str = "capture.pcap";

/// A running capture.
pub(super) struct Capture {
    tcpdump: Child,
    stderr: BufReader<ChildStderr>,
}

impl Capture {
    /// Captures into this folder. When this returns, nothing is missed.
    pub(super) fn start(dir: &Path) -> anyhow::Result<Capture> {
        let mut tcpdump = Command::new("tcpdump")
            .args(["-n", "-Z", "root", "-i", "br0", "-s", "0", "-B", "32768", "--immediate-mode", "-U", "-w"])
            .arg(dir.join(FILE))
            .arg("sctp or udp or icmp or icmp6 or (ip[6:2] & 0x1fff != 0)")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("tcpdump")?;
        let mut stderr = BufReader::new(tcpdump.stderr.take().context("no error output")?);
        let mut said = String::new();
        while stderr.read_line(&mut said)? > 0 {
            if said.contains("listening on") {
                return Ok(Capture { tcpdump, stderr });
            }
        }
        bail!("tcpdump: {}", said.trim())
    }

    /// Ends it; an error if packets were lost.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.tcpdump.id().cast_signed()), Signal::SIGINT)?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        self.tcpdump.wait()?;
        match said.lines().find(|line| line.contains("dropped by kernel")) {
            Some(line) if line.trim_start().starts_with("0 ") => Ok(()),
            Some(line) => bail!("{}", line.trim()),
            None => bail!("tcpdump: {}", said.trim()),
        }
    }
}
