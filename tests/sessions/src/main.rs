//! Do sessions lose anything? Registrars and servers as processes, clients under load in this one, and a story that hurts
//! them: `cargo run --release -p rserpool-sessions -- --help`. Each story prints its figures, and the exit code is 1 if an
//! operation failed, was lost, or was done twice.

mod black_hole;
mod figures;
mod kills;
mod load;
mod registrars_away;
mod role;
mod rolling_restart;
mod scope;
mod setting;

use clap::Parser;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use std::process::ExitCode;

/// What became of sessions while their servers and registrars were hurt.
#[derive(Parser)]
#[command(name = "sessions")]
struct Arguments {
    /// Who is hurt, and when; by default a random one, which is printed.
    #[arg(long, global = true)]
    seed: Option<u64>,
    #[command(subcommand)]
    story: Story,
}

#[derive(clap::Subcommand)]
enum Story {
    /// All servers are restarted one after the other, in order (SIGTERM): nobody notices.
    RollingRestart(setting::Setting),
    /// Servers are killed at random (SIGKILL), one at a time: each operation is done once.
    Kills(kills::Options),
    /// All registrars are killed, and a server meanwhile: sessions go on and new ones begin.
    RegistrarsAway(registrars_away::Options),
    /// One of three servers is reachable for nobody: a connect takes one stagger longer at most.
    BlackHole(black_hole::Options),
    /// What the stories start.
    #[command(hide = true, subcommand)]
    Role(role::Role),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, story } = Arguments::parse();
    if let Story::Role(role) = story {
        role.play().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let seed = match seed {
        Some(seed) => seed,
        None => getrandom::u32()?.into(),
    };
    println!("seed {seed}");
    let rng = ChaCha12Rng::seed_from_u64(seed);
    let good = match story {
        Story::RollingRestart(setting) => rolling_restart::tell(&setting, rng).await?,
        Story::Kills(options) => kills::tell(&options, rng).await?,
        Story::RegistrarsAway(options) => registrars_away::tell(&options, rng).await?,
        Story::BlackHole(options) => black_hole::tell(&options, rng).await?,
        Story::Role(_) => unreachable!("played above"),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
