//! Inside the VM: one row after the other, each in a process with namespaces of its own.
//!
//! The process of a row is the first one of a new PID namespace and owns a new network namespace. Whatever way it ends,
//! by itself or because its time is over, the kernel kills all its programs and removes its network with it: rows cannot
//! disturb each other.

use crate::lab::{Lab, OUT};
use crate::outcome::Outcome;
use crate::rows::{self, Row};
use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The pipes to the host, as `vm/init` names them.
const RESULTS: &str = "/dev/host/results";
const FILES: &str = "/dev/host/files";

/// Runs these rows; the outcome and the files of each go to the host as soon as it has ended.
pub(crate) fn conduct(names: &[String]) -> anyhow::Result<()> {
    let mut results = File::create(RESULTS).context(RESULTS)?;
    let files = File::create(FILES).context(FILES)?;
    for name in names {
        let row = rows::find(name)?;
        let started = Instant::now();
        let dir = Path::new(OUT).join(name);
        fs::create_dir_all(&dir)?;
        let mut outcome = conduct_one(row, &dir);
        outcome.seconds = started.elapsed().as_secs_f64();
        let cores = collect_cores(&dir)?;
        if !cores.is_empty() {
            outcome.failure.get_or_insert_with(|| format!("crashed: {}", cores.join(", ")));
        }
        writeln!(results, "{}", serde_json::to_string(&outcome)?)?;
        let mut tar = Command::new("tar");
        tar.args(["-c", "-C", OUT, name]).stdout(files.try_clone()?).status().context("tar")?;
        fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// Runs a row in a process of its own, at most as long as it may take.
fn conduct_one(row: &'static Row, dir: &Path) -> Outcome {
    let failed =
        |failure: String| Outcome { row: row.name.to_owned(), failure: Some(failure), ..Outcome::default() };
    let mut child = match spawn(row) {
        Ok(child) => child,
        Err(error) => return failed(format!("cannot be started: {error:#}")),
    };
    // The row ends itself before its time is over; this is for one that hangs.
    let (ended, wait) = mpsc::channel::<()>();
    let Some(mut output) = child.stdout.take() else { return failed("has no output".to_owned()) };
    let reader = thread::spawn(move || {
        let text = std::io::read_to_string(&mut output);
        drop(ended);
        text
    });
    let timeout = Duration::from_secs(row.limit + 5);
    let hangs = wait.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
    if hangs {
        let _ = child.kill();
    }
    let status = child.wait();
    let text = reader.join().ok().and_then(Result::ok).unwrap_or_default();
    let _ = fs::write(dir.join("outcome.json"), &text);
    match serde_json::from_str(&text) {
        Ok(outcome) => outcome,
        Err(_) if hangs => failed(format!("hung for {} s", timeout.as_secs())),
        Err(_) => failed(format!("ended without an outcome: {status:?}")),
    }
}

/// A process for this row. Only the thread that starts it enters the new namespaces.
fn spawn(row: &'static Row) -> anyhow::Result<Child> {
    let spawning = thread::spawn(|| -> anyhow::Result<Child> {
        unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        let mut row_process = crate::lab::ours("rserpool-interop").command();
        Ok(row_process.args(["row", row.name]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
    });
    spawning.join().map_err(|_| anyhow::anyhow!("the thread that starts it panicked"))?
}

/// The process of a row: runs it, and prints its outcome.
pub(crate) fn row(name: &str) -> anyhow::Result<ExitCode> {
    let row = rows::find(name)?;
    mount(None::<&str>, "/proc", Some("proc"), MsFlags::empty(), None::<&str>).context("/proc")?;
    mount(None::<&str>, "/run/netns", Some("tmpfs"), MsFlags::empty(), None::<&str>).context("/run/netns")?;
    mount(None::<&str>, "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).context("/sys")?;
    let mut lab = Lab::new(name, Duration::from_secs(row.limit))?;
    let result = (row.run)(&mut lab);
    println!("{}", serde_json::to_string(&lab.finish(result))?);
    Ok(ExitCode::SUCCESS)
}

/// Core files that lie about: moved to the row's folder, as small ones would be most useful there, the rest deleted.
fn collect_cores(dir: &Path) -> anyhow::Result<Vec<String>> {
    /// Bytes of the largest core file that is brought back.
    const LARGEST: u64 = 64 << 20;
    let mut cores = Vec::new();
    for entry in fs::read_dir(OUT)? {
        let path: PathBuf = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with("core.") {
            cores.push(name.to_owned());
            if path.metadata()?.len() <= LARGEST {
                fs::rename(&path, dir.join(name))?;
            } else {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(cores)
}
