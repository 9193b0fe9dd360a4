//! A running program: its output line by line, its end, its signals.

use super::cmd::Cmd;
use super::host::Host;
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A line of output.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// When it came, since the row's start.
    pub(crate) at: Duration,
    /// The line without its end and without the escape sequences of colours.
    pub(crate) text: String,
}

/// A position in a program's output: what comes later is new.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark(usize);

/// A program that was started on a host. It is killed with the row.
pub(crate) struct Program {
    name: String,
    pid: Pid,
    started: Instant,
    deadline: Instant,
    stdin: Mutex<Option<ChildStdin>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    open_outputs: u8,
    exit: Option<ExitStatus>,
    /// Signals that the row has sent: an end by one of these is no crash.
    sent: Vec<Signal>,
}

impl Program {
    pub(super) fn start(
        name: &str,
        host: &Host,
        cmd: &Cmd,
        log: &Path,
        started: Instant,
        deadline: Instant,
    ) -> anyhow::Result<Arc<Program>> {
        let mut file = File::create(log)?;
        writeln!(file, "$ {cmd}    # on {}", host.name())?;
        let mut command = cmd.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = host.enter(|| command.spawn())?;
        let stdout = child.stdout.take().context("no output")?;
        let stderr = child.stderr.take().context("no error output")?;
        let program = Arc::new(Program {
            name: name.to_owned(),
            pid: Pid::from_raw(child.id().cast_signed()),
            started,
            deadline,
            stdin: Mutex::new(child.stdin.take()),
            state: Mutex::new(State { open_outputs: 2, ..State::default() }),
            changed: Condvar::new(),
        });
        let file = Arc::new(Mutex::new(file));
        program.read(stdout, Arc::clone(&file));
        program.read(stderr, file);
        program.reap(child);
        Ok(program)
    }

    /// Writes one line to its standard input.
    pub(crate) fn write_line(&self, line: &str) -> anyhow::Result<()> {
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = stdin.as_mut().context("its input is closed")?;
        writeln!(stdin, "{line}").with_context(|| format!("{}: standard input", self.name))
    }

    /// Closes its standard input.
    pub(crate) fn close_input(&self) {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// All it has said.
    pub(crate) fn lines(&self) -> Vec<Line> {
        self.state().lines.clone()
    }

    /// What it has said after this mark.
    pub(crate) fn lines_after(&self, mark: Mark) -> Vec<Line> {
        self.state().lines[mark.0..].to_vec()
    }

    /// The end of what it has said so far.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.state().lines.len())
    }

    /// Waits for a line that contains this text, from the beginning of its output. An error after this time.
    pub(crate) fn wait(&self, text: &str, limit: Duration) -> anyhow::Result<Line> {
        self.wait_after(Mark::default(), text, limit)
    }

    /// Waits for a line after the mark that contains this text.
    pub(crate) fn wait_after(&self, mark: Mark, text: &str, limit: Duration) -> anyhow::Result<Line> {
        self.wait_for(mark, &format!("{text:?}"), limit, |line| line.text.contains(text))
    }

    /// Waits for a line after the mark that satisfies the condition, which `what` describes.
    pub(crate) fn wait_for(
        &self,
        mark: Mark,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&Line) -> bool,
    ) -> anyhow::Result<Line> {
        let mut seen = mark.0;
        let found = self.wait_state(limit, |state| {
            let new = state.lines[seen..].iter().find(|line| condition(line)).cloned();
            seen = state.lines.len();
            match new {
                Some(line) => Some(Some(line)),
                None if state.open_outputs == 0 => Some(None),
                None => None,
            }
        });
        match found {
            Some(Some(line)) => Ok(line),
            Some(None) => bail!("{} ended ({}) before it said {what}", self.name, self.end_words()),
            None => bail!("{} did not say {what} within {limit:?}; last: {}", self.name, self.last_words()),
        }
    }

    /// Waits until it ends by itself with the exit code 0.
    pub(crate) fn wait_exit(&self, limit: Duration) -> anyhow::Result<()> {
        let status = self.wait_end(limit)?;
        if !status.success() {
            bail!("{}: {status}; last: {}", self.name, self.last_words());
        }
        Ok(())
    }

    /// Waits until it has ended, in whatever way, and all its output is there.
    pub(crate) fn wait_end(&self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let ended = |state: &State| if state.open_outputs == 0 { state.exit } else { None };
        self.wait_state(limit, ended).with_context(|| format!("{} did not end within {limit:?}", self.name))
    }

    /// Whether it has ended, in whatever way.
    pub(crate) fn has_ended(&self) -> bool {
        self.state().open_outputs == 0
    }

    /// Sends it a signal: `SIGKILL`, `SIGSTOP`, `SIGCONT`, `SIGTERM`, …
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let mut state = self.state();
        state.sent.push(signal);
        if state.exit.is_some() {
            bail!("{} has ended already: {}", self.name, self.end_words());
        }
        kill(self.pid, signal).with_context(|| format!("{signal} for {}", self.name))
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn stop(&self, signal: Signal, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(signal)?;
        self.wait_end(limit)
    }

    /// Its process, for /proc.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How long its threads have been on a CPU, in user and kernel mode.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // A thread that ends meanwhile takes its time with it; those of a registrar do not end.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let nanoseconds = text.split_whitespace().next().context("no statistics of the scheduler")?;
            cpu += Duration::from_nanos(nanoseconds.parse()?);
        }
        Ok(cpu)
    }

    /// A sentence about its crash: a signal that the row has not sent, or a panic.
    pub(super) fn crash(&self) -> Option<String> {
        let state = self.state();
        if let Some(signal) = state.exit.and_then(|exit| exit.signal())
            && !state.sent.iter().any(|&sent| sent as i32 == signal)
        {
            return Some(format!("{} crashed: signal {signal}", self.name));
        }
        let panic = state.lines.iter().find(|line| line.text.contains("panicked at"))?;
        Some(format!("{} panicked: {}", self.name, panic.text))
    }

    /// Kills it, at the end of the row.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if state.exit.is_none() {
            state.sent.push(Signal::SIGKILL);
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Waits for the condition until the time or the row is over.
    fn wait_state<T>(&self, limit: Duration, mut condition: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let until = self.deadline.min(Instant::now() + limit);
        let mut state = self.state();
        loop {
            if let Some(value) = condition(&state) {
                return Some(value);
            }
            let left = until.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_words(&self) -> String {
        self.state().lines.last().map_or_else(|| "nothing".to_owned(), |line| line.text.clone())
    }

    fn end_words(&self) -> String {
        self.state().exit.map_or_else(|| "its output is closed".to_owned(), |exit| exit.to_string())
    }

    /// A thread that reads one of its outputs.
    fn read(self: &Arc<Self>, output: impl Read + Send + 'static, file: Arc<Mutex<File>>) {
        let program = Arc::clone(self);
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut bytes = Vec::new();
            while output.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                let line = Line { at: program.started.elapsed(), text: plain(&bytes) };
                bytes.clear();
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writeln!(file, "{:8.3} {}", line.at.as_secs_f64(), line.text);
                drop(file);
                program.state().lines.push(line);
                program.changed.notify_all();
            }
            program.state().open_outputs -= 1;
            program.changed.notify_all();
        });
    }

    /// A thread that waits for its end.
    fn reap(self: &Arc<Self>, mut child: Child) {
        let program = Arc::clone(self);
        thread::spawn(move || {
            let exit = child.wait();
            program.state().exit = exit.ok();
            program.changed.notify_all();
        });
    }
}

/// A line of output as text: without the escape sequences of colours and cursors, and without its end.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.trim_end().split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').get(1..).unwrap_or_default(),
        );
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn colours_are_removed() {
        assert_eq!(plain(b"\x1b[32mAck \x1b[1;34m#1\x1b[0m\n"), "Ack #1");
    }
}
