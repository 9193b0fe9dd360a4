//! The rows, in files by subject.

mod encap;
mod rsplib;

use crate::lab::Lab;
use anyhow::bail;
use std::time::Duration;

/// One row of the table.
pub(crate) struct Row {
    /// Its name on the command line and in the table.
    pub(crate) name: &'static str,
    /// What it shows, in a few words.
    pub(crate) shows: &'static str,
    /// How long it may take, in seconds, on a loaded machine: several times what it takes.
    pub(crate) limit: u64,
    /// What it does, on an empty network that is removed afterwards with all its processes.
    pub(crate) run: fn(&mut Lab) -> anyhow::Result<()>,
}

/// Seconds for the start of the VM and its end, on a loaded machine.
const VM: u64 = 120;

/// All rows, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [rsplib::ROWS, encap::ROWS].into_iter().flatten()
}

/// The row of this name.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Row> {
    all()
        .find(|row| row.name == name)
        .ok_or_else(|| anyhow::anyhow!("there is no row {name}: see interop/run --list"))
}

/// The rows whose names begin with one of these; all without any.
pub(crate) fn select(prefixes: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    for prefix in prefixes {
        if !all().any(|row| row.name.starts_with(prefix.as_str())) {
            bail!("no row begins with {prefix}: see interop/run --list");
        }
    }
    let chosen = |row: &&Row| {
        prefixes.is_empty() || prefixes.iter().any(|prefix| row.name.starts_with(prefix.as_str()))
    };
    Ok(all().filter(chosen).collect())
}

/// How long these rows may take in all, with the VM's start and end.
pub(crate) fn limit(names: &[String]) -> anyhow::Result<Duration> {
    let mut seconds = VM;
    for name in names {
        seconds += find(name)?.limit;
    }
    Ok(Duration::from_secs(seconds))
}

/// Prints what rows there are.
pub(crate) fn list() {
    let width = all().map(|row| row.name.len()).max().unwrap_or_default();
    for row in all() {
        println!("{:width$}  {}", row.name, row.shows);
    }
}
