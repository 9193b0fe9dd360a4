//! Interoperability rows: our programs and rsplib's, over the kernel's SCTP, in a virtual machine.
//!
//! One program on both sides of it: `interop/run` calls it on the host to name the rows, to show how they go, and to
//! judge their captures; inside the VM it is the conductor. See `interop/README.md`.

#![allow(clippy::disallowed_methods, reason = "a harness reads the clock")]

mod conductor;
mod judge;
mod lab;
mod ours;
mod outcome;
mod peer;
mod rows;
mod rsplib;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Used by `interop/run`; the rows themselves need the virtual machine that it boots.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// What rows there are, and what each shows.
    List,
    /// The rows with these names, or with these words in their names; all without any.
    Rows { words: Vec<String> },
    /// How many seconds these rows may take in all.
    Limit { rows: Vec<String> },
    /// In the VM: runs these rows one after the other.
    Conduct { rows: Vec<String> },
    /// In the VM: runs one row, in namespaces of its own.
    Row { row: String },
    /// In the VM: one end of SCTP associations, which a row commands.
    Peer(peer::Peer),
    /// Shows the outcomes on standard error as they come in, and passes them on.
    Watch,
    /// Judges what came back from the VM, and prints the table.
    Judge {
        /// The rows that are known to fail, one a line with its reason.
        #[arg(long)]
        expected: PathBuf,
        /// What came back.
        results: PathBuf,
        rows: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::List => rows::list(),
        Command::Rows { words } => {
            for row in rows::select(&words)? {
                println!("{}", row.name);
            }
        }
        Command::Limit { rows } => println!("{}", rows::limit(&rows)?.as_secs()),
        Command::Conduct { rows } => conductor::conduct(&rows)?,
        Command::Row { row } => return conductor::row(&row),
        Command::Peer(peer) => peer::run(&peer)?,
        Command::Watch => judge::watch()?,
        Command::Judge { expected, results, rows } => return judge::judge(&expected, &results, &rows),
    }
    Ok(ExitCode::SUCCESS)
}
