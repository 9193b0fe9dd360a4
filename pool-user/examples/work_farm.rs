//! Has a farm of workers count primes, many jobs at a time, and shows how far they are.
//!
//! What it teaches: a session for each job. The library spreads the sessions over the workers, and brings each to another
//! worker when its own dies, with the checkpoint that the cookie is. All that is left to do here is to ask again for
//! what was asked for.
//!
//! `cargo run -p rserpool-pool-user --example work_farm -- 127.0.0.1:3863 [REGISTRAR...]`
//!
//! The workers are [`work_farm_worker`](../../pool-element/examples/work_farm_worker.rs): start some, kill some.

#[path = "../../pool-element/examples/work_farm/job.rs"]
mod job;

use anyhow::ensure;
use clap::Parser;
use job::{Checkpoint, Job};
use rserpool_pool_user::{PoolUser, Received};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Counts primes, on all workers at once.
#[derive(Parser)]
struct Args {
    /// Registrars: the ASAP address of each
    #[arg(required = true)]
    registrars: Vec<SocketAddr>,
    /// How many jobs, all at a time
    #[arg(long, default_value = "24")]
    jobs: u64,
    /// How many numbers each of them looks at
    #[arg(long, default_value = "2000000")]
    numbers: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let user = PoolUser::new(args.registrars);
    let (progress, news) = mpsc::channel(64);
    let mut jobs = JoinSet::new();
    for number in 0..args.jobs {
        let job = Job { from: number * args.numbers, to: (number + 1) * args.numbers };
        jobs.spawn(farm_out(user.clone(), number, job, progress.clone()));
    }
    drop(progress); // the jobs have it: when the last one has ended the news have, too
    show(news).await?;

    let primes = jobs.join_all().await.into_iter().sum::<anyhow::Result<u64>>()?;
    println!("{primes} primes");
    Ok(())
}

/// What happens to the job of this number.
enum News {
    /// So many percent of it are done.
    Progress(u64, u64),
    /// Something that is worth a line.
    Said(u64, String),
}

/// Has a job done; returns how many primes there are.
async fn farm_out(user: PoolUser, number: u64, job: Job, news: mpsc::Sender<News>) -> anyhow::Result<u64> {
    let mut session = user.connect("work-farm").await?;
    session.send(job.to_string()).await?;
    let mut at = job.from;
    loop {
        match session.recv().await? {
            Received::Message(message) => {
                let checkpoint: Checkpoint = std::str::from_utf8(&message)?.parse()?;
                ensure!(checkpoint.at >= at, "job {number} went back from {at} to {}", checkpoint.at);
                at = checkpoint.at;
                news.send(News::Progress(number, job.percent(checkpoint))).await?;
                if job.is_done(checkpoint) {
                    let said = format!("{} primes, says {}", checkpoint.primes, session.element());
                    news.send(News::Said(number, said)).await?;
                    // The result is here: it is worth the same if the worker dies before it hears of the end.
                    _ = session.close().await;
                    return Ok(checkpoint.primes);
                }
            }
            Received::Failover { from, to, .. } => {
                news.send(News::Said(number, format!("{from} is gone, {to} goes on"))).await?;
                session.send(job.to_string()).await?; // the checkpoint is there before it
            }
        }
    }
}

/// Shows what the jobs say, and, on a terminal, in the line below how many percent of each are done.
async fn show(mut news: mpsc::Receiver<News>) -> anyhow::Result<()> {
    let mut screen = std::io::stdout();
    let terminal = screen.is_terminal();
    let mut percents = BTreeMap::new();
    while let Some(news) = news.recv().await {
        if terminal {
            write!(screen, "\r\x1b[K")?; // to the beginning of the line; nothing is in it any more
        }
        match news {
            News::Progress(number, percent) => _ = percents.insert(number, percent),
            News::Said(number, said) => writeln!(screen, "job {number}: {said}")?,
        }
        if terminal {
            let going_on = percents.values().filter(|percent| **percent < 100);
            let bars: Vec<_> = going_on.map(|percent| format!("{percent}%")).collect();
            write!(screen, "{}", bars.join(" "))?;
            screen.flush()?;
        }
    }
    Ok(())
}
