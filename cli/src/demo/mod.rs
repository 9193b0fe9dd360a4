//! `rserpool demo`: a whole scope as real processes on this machine, killed and frozen while clients go on.
//!
//! The demo re-executes its own binary in hidden [`role`]s (registrars and servers), runs [`client`]s with
//! numbered counter sessions in this process, lets the [`director`] hurt the [`scope`], and tells the [`story`].
//! It succeeds only if every operation of every session was done exactly once.

mod client;
mod director;
mod gauge;
mod role;
mod scope;
mod story;
mod view;

pub(crate) use role::Role;

use crate::failure::Failure;
use crate::output::Output;

/// What to run and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Registrar processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    registrars: u8,
    /// Server processes (pool elements).
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=32))]
    elements: u8,
    /// Clients (pool users), each with one long session. Every second one runs without ICMP.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    clients: u8,
    /// How long to run, at least; one round of faults is always completed.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// One JSON object a line instead of prose, as with `-o json`; the last one is the summary.
    #[arg(long)]
    json: bool,
    /// Decides who is hurt among those that are used equally. Without it: a random one, which the demo prints.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the demo. Success means: nothing lost, nothing done twice, every failover succeeded.
pub(crate) async fn run(mut arguments: Arguments, output: Output) -> Result<(), Failure> {
    arguments.json |= output == Output::Json;
    if director::Director::new(arguments)?.run().await? {
        Ok(())
    } else {
        Err(anyhow::anyhow!("the demo failed: the lines with !!! say why").into())
    }
}
