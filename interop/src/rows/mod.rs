//! The rows, in files by subject.

mod cast;
mod encap;
mod enrp;
mod figures;
mod figures_scope;
mod hostile;
mod jobs;
mod keep_alive;
mod multicast;
mod ping_pong;
mod policies;
mod raw;
mod refusals;
mod rsplib;
mod scope;
mod scopes;
mod services;
mod times;
mod transport;

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

/// Rows in both ways: each entry is a row for our embedded SCTP in UDP and one for the kernel's. First their limit.
macro_rules! both_ways {
    ($limit:literal, $($name:literal, $shows:literal => $run:expr;)*) => {
        &[$(
            Row {
                name: concat!($name, "-udp"),
                shows: concat!($shows, "; ours embedded, in UDP"),
                limit: $limit,
                run: |lab| {
                    let run: fn(&mut $crate::lab::Lab, $crate::ours::Way) -> anyhow::Result<()> = $run;
                    run(lab, $crate::ours::Way::Udp)
                },
            },
            Row {
                name: concat!($name, "-kernel"),
                shows: concat!($shows, "; ours with the kernel's SCTP"),
                limit: $limit,
                run: |lab| {
                    let run: fn(&mut $crate::lab::Lab, $crate::ours::Way) -> anyhow::Result<()> = $run;
                    run(lab, $crate::ours::Way::Kernel)
                },
            },
        )*]
    };
}
use both_ways;

/// Seconds for the start of the VM and its end, on a loaded machine.
const VM: u64 = 120;

/// Rows whose outcome does not depend on what else the machine does: several run at a time.
const SIDE_BY_SIDE: [&[Row]; 11] = [
    enrp::ROWS,
    scopes::ROWS,
    rsplib::ROWS,
    services::ROWS,
    ping_pong::ROWS,
    jobs::ROWS,
    policies::ROWS,
    keep_alive::ROWS,
    refusals::ROWS,
    multicast::ROWS,
    hostile::ROWS,
];

/// Rows that run one after the other, with nothing beside them.
const ALONE: [&[Row]; 4] = [scopes::LARGE, encap::ROWS, transport::ROWS, raw::ROWS];

/// Rows that measure, and those that take long or do not come out the same each time: only when they are named, on a machine
/// that does nothing else.
const ON_REQUEST: [&[Row]; 4] = [scopes::LARGEST, figures::ROWS, figures_scope::ROWS, times::ROWS];

/// All rows.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    SIDE_BY_SIDE.into_iter().chain(ALONE).chain(ON_REQUEST).flatten()
}

/// Whether a row runs only when it is named.
fn is_on_request(row: &Row) -> bool {
    ON_REQUEST.into_iter().flatten().any(|other| other.name == row.name)
}

/// Whether a row may run beside others.
pub(crate) fn runs_beside_others(name: &str) -> bool {
    SIDE_BY_SIDE.into_iter().flatten().any(|row| row.name == name)
}

/// The row of this name.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Row> {
    all()
        .find(|row| row.name == name)
        .ok_or_else(|| anyhow::anyhow!("there is no row {name}: see interop/run --list"))
}

/// The rows with these names, or whose names contain these words; without any, all but those that measure.
pub(crate) fn select(words: &[String]) -> anyhow::Result<Vec<&'static Row>> {
    let matches = |row: &Row, word: &String| match find(word) {
        Ok(exact) => row.name == exact.name,
        Err(_) => row.name.contains(word.as_str()),
    };
    for word in words {
        if !all().any(|row| matches(row, word)) {
            bail!("no row is named {word} or has that in its name: see interop/run --list");
        }
    }
    let chosen = |row: &&Row| match words {
        [] => !is_on_request(row),
        _ => words.iter().any(|word| matches(row, word)),
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
