//! A laboratory inside the VM: hosts on one bridge, programs on them, and a capture of all they say.
//!
//! A row builds what it needs with [`Lab::host`] and [`Lab::start`], waits for lines of the programs' output with
//! [`Program::wait`], does harm with [`Program::signal`] and [`Host::netem`], and returns an error that says what went
//! wrong. Everything is removed with the row's process.

mod capture;
mod cmd;
mod host;
mod program;

pub(crate) use capture::FILE as CAPTURE;
pub(crate) use cmd::{Cmd, ours, theirs};
pub(crate) use host::{ENCAPSULATION_PORT, Host, Sctp};
pub(crate) use program::{Line, Mark, Program};

use crate::outcome::Outcome;
use anyhow::Context;
use capture::Capture;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where rows leave what is brought to the host, each in a folder of its name.
pub(crate) const OUT: &str = "/out";

/// One row's laboratory.
pub(crate) struct Lab {
    row: String,
    dir: PathBuf,
    started: Instant,
    deadline: Instant,
    hosts: u8,
    capture: Option<Capture>,
    captures: bool,
    programs: Vec<Arc<Program>>,
    ours: Vec<IpAddr>,
    notes: Vec<String>,
}

impl Lab {
    /// An empty laboratory for this row.
    pub(crate) fn new(row: &str, limit: Duration) -> anyhow::Result<Lab> {
        let started = Instant::now();
        Ok(Lab {
            row: row.to_owned(),
            dir: PathBuf::from(OUT).join(row),
            started,
            deadline: started + limit,
            hosts: 0,
            capture: None,
            captures: true,
            programs: Vec::new(),
            ours: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Captures nothing in this row, for measurements. Before the first host.
    pub(crate) fn no_capture(&mut self) {
        self.captures = false;
    }

    /// Adds a host with IPv4 (10.77.0.N) only. The first one brings the bridge and the capture with it.
    pub(crate) fn host(&mut self, name: &str, sctp: Sctp) -> anyhow::Result<Host> {
        self.add_host(name, sctp, false)
    }

    /// Adds a host with IPv4 (10.77.0.N) and IPv6 (fd00:77::N).
    pub(crate) fn dual_host(&mut self, name: &str, sctp: Sctp) -> anyhow::Result<Host> {
        self.add_host(name, sctp, true)
    }

    fn add_host(&mut self, name: &str, sctp: Sctp, ipv6: bool) -> anyhow::Result<Host> {
        if self.hosts == 0 {
            host::bridge()?;
            if self.captures {
                self.capture = Some(Capture::start(&self.dir)?);
            }
        }
        self.hosts += 1;
        Host::add(name, self.hosts, sctp, ipv6).with_context(|| format!("host {name}"))
    }

    /// Starts a program on this host; its output goes to NAME.log, each line with the seconds since the row's start.
    pub(crate) fn start(&mut self, name: &str, host: &Host, cmd: &Cmd) -> anyhow::Result<Arc<Program>> {
        if cmd.is_ours() {
            for address in host.addresses() {
                if !self.ours.contains(&address) {
                    self.ours.push(address);
                }
            }
        }
        let log = self.dir.join(format!("{name}.log"));
        let program = Program::start(name, host, cmd, &log, self.started, self.deadline)
            .with_context(|| format!("{name} on {}", host.name()))?;
        self.programs.push(Arc::clone(&program));
        Ok(program)
    }

    /// Runs a program on this host to its end; its output, also in NAME.log. An error unless its exit code is 0.
    pub(crate) fn run(&mut self, name: &str, host: &Host, cmd: &Cmd) -> anyhow::Result<Vec<Line>> {
        let program = self.start(name, host, cmd)?;
        program.wait_exit(self.deadline.saturating_duration_since(Instant::now()))?;
        Ok(program.lines())
    }

    /// Says something to the reader of the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Time since the row's start, as in the logs.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends the capture and judges the programs' ends: a row whose program crashed has failed.
    pub(crate) fn finish(self, result: anyhow::Result<()>) -> Outcome {
        let mut failures: Vec<String> = result.err().map(|error| format!("{error:#}")).into_iter().collect();
        failures.extend(self.programs.iter().filter_map(|program| program.crash()));
        for program in &self.programs {
            program.end();
        }
        if let Some(capture) = self.capture
            && let Err(error) = capture.stop()
        {
            failures.push(format!("capture: {error:#}"));
        }
        Outcome {
            row: self.row,
            failure: (!failures.is_empty()).then(|| failures.join("; ")),
            notes: self.notes,
            ours: self.ours,
            seconds: 0.0,
        }
    }
}
