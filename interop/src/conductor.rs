//! Inside the VM: each row in a process with namespaces of its own, several at a time where that disturbs nobody.
//!
//! The process of a row is the first one of a new PID namespace and owns a new network namespace. Whatever way it ends,
//! by itself or because its time is over, the kernel kills all its programs and removes its network with it: rows cannot
//! disturb each other.

use crate::lab::{Lab, OUT};
use crate::outcome::Outcome;
use crate::rows::{self, Row};
use anyhow::{Context, anyhow};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The pipes to the host, as `vm/init` names them.
const RESULTS: &str = "/dev/host/results";
const FILES: &str = "/dev/host/files";

/// How many rows run at a time: they wait most of the time.
const LANES: usize = 4;

/// The pipes to the host.
struct Host {
    results: File,
    files: File,
}

/// Runs these rows; the outcome and the files of each go to the host as soon as it has ended.
pub(crate) fn conduct(names: &[String]) -> anyhow::Result<()> {
    let host = Mutex::new(Host {
        results: File::create(RESULTS).context(RESULTS)?,
        files: File::create(FILES).context(FILES)?,
    });
    let (beside, alone): (Vec<&String>, Vec<&String>) =
        names.iter().partition(|name| rows::runs_beside_others(name));
    for (names, lanes) in [(beside, LANES), (alone, 1)] {
        let queue = Mutex::new(names.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let lane = || -> anyhow::Result<()> {
            while let Some(name) = next() {
                conduct_one(rows::find(name)?, &host)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
            lanes.into_iter().try_for_each(|lane| lane.join().map_err(|_| anyhow!("a lane panicked"))?)
        })?;
    }
    Ok(())
}

/// Runs a row and reports it to the host.
fn conduct_one(row: &'static Row, host: &Mutex<Host>) -> anyhow::Result<()> {
    let started = Instant::now();
    let dir = Path::new(OUT).join(row.name);
    fs::create_dir_all(&dir)?;
    let mut outcome = run(row, &dir);
    outcome.seconds = started.elapsed().as_secs_f64();
    let cores = core_files(&dir)?;
    if !cores.is_empty() {
        outcome.failure.get_or_insert_with(|| format!("crashed: {}", cores.join(", ")));
    }
    let mut host = host.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(host.results, "{}", serde_json::to_string(&outcome)?)?;
    let mut tar = Command::new("tar");
    tar.args(["-c", "-C", OUT, row.name]).stdout(host.files.try_clone()?).status().context("tar")?;
    Ok(fs::remove_dir_all(&dir)?)
}

/// Runs a row in a process of its own, at most as long as it may take.
fn run(row: &'static Row, dir: &Path) -> Outcome {
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
    spawning.join().map_err(|_| anyhow!("the thread that starts it panicked"))?
}

/// The process of a row: runs it, and prints its outcome.
pub(crate) fn row(name: &str) -> anyhow::Result<ExitCode> {
    let row = rows::find(name)?;
    let dir = Path::new(OUT).join(name);
    mount(Some(&dir), "/cores", None::<&str>, MsFlags::MS_BIND, None::<&str>).context("/cores")?;
    mount(None::<&str>, "/proc", Some("proc"), MsFlags::empty(), None::<&str>).context("/proc")?;
    mount(None::<&str>, "/run/netns", Some("tmpfs"), MsFlags::empty(), None::<&str>).context("/run/netns")?;
    mount(None::<&str>, "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>).context("/tmp")?;
    mount(None::<&str>, "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>).context("/sys")?;
    let mut lab = Lab::new(name, Duration::from_secs(row.limit))?;
    let result = (row.run)(&mut lab);
    println!("{}", serde_json::to_string(&lab.finish(result))?);
    Ok(ExitCode::SUCCESS)
}

/// The core files in a row's folder; large ones are not brought to the host.
fn core_files(dir: &Path) -> anyhow::Result<Vec<String>> {
    const LARGEST: u64 = 64 << 20;
    let mut cores = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("core.") {
            if entry.metadata()?.len() > LARGEST {
                fs::remove_file(entry.path())?;
            }
            cores.push(name);
        }
    }
    Ok(cores)
}
