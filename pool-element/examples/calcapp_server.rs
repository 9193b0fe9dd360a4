//! A server of rsplib's CalcApp service: jobs of so many calculations, for rsplib's `calcappclient` and our
//! `calcapp_client`. It can share a pool with `rspserver -calcapp`, and each goes on with the jobs of the other.
//!
//! What it teaches: a session whose client does not repeat its request after a failover. All that the next server gets is
//! the cookie, and that is enough to go on.
//!
//! `cargo run -p rserpool-pool-element --example calcapp_server -- 127.0.0.1:3863 [REGISTRAR...]`

#[path = "calcapp/protocol.rs"]
mod protocol;
#[path = "rsplib/options.rs"]
mod rsplib;

use anyhow::{Context, bail};
use clap::Parser;
use protocol::{Job, Kind, PPID};
use rserpool_pool_element::{SendOptions, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::interval;

/// Calculates nothing, but takes its time for it.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    rsplib: rsplib::Options,
    /// Pool to join
    #[arg(long, default_value = protocol::POOL)]
    pool: String,
    /// Calculations a second, of all jobs together
    #[arg(long, default_value = "1000000")]
    capacity: u64,
    /// Jobs at a time; further ones are rejected
    #[arg(long, default_value = "10")]
    jobs: usize,
}

/// How often a job goes on, and its client gets a cookie.
const STEP: Duration = Duration::from_millis(100);

/// A new session says something at once, its request or its cookie: no need to guess which.
const FIRST_WORD: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut element = args.rsplib.element(&args.pool).cookie_wait(FIRST_WORD).register().await?;
    println!("serving as {} at {}", element.id(), element.local_address());
    let calculator =
        Calculator { capacity: args.capacity, jobs: args.jobs, free: Arc::new(Semaphore::new(args.jobs)) };
    while let Some(session) = element.accept().await {
        let calculator = calculator.clone();
        tokio::spawn(async move {
            let peer = session.peer();
            match calculator.serve(session).await {
                Ok(()) => println!("{peer}: ended"),
                Err(error) => println!("{peer}: {error:#}"),
            }
        });
    }
    Ok(())
}

/// What all sessions share.
#[derive(Clone)]
struct Calculator {
    capacity: u64,
    jobs: usize,
    free: Arc<Semaphore>,
}

/// A job and its place among those that are done at a time.
type Running = Option<(Job, OwnedSemaphorePermit)>;

impl Calculator {
    async fn serve(&self, mut session: Session) -> anyhow::Result<()> {
        let mut running = None;
        if let Some(cookie) = session.cookie() {
            let job = Job::from_cookie(cookie).context("the cookie is not one of ours")?;
            running = self.begin(&session, job).await?;
        }
        let mut steps = interval(STEP);
        loop {
            tokio::select! {
                message = session.recv_message() => {
                    let Some(message) = message? else { return Ok(()) };
                    let said = protocol::decode(&message.bytes).filter(|_| message.ppid == PPID);
                    match said.context("this is no message of CalcApp")? {
                        (Kind::Request, job) => running = self.begin(&session, Job { completed: 0, ..job }).await?,
                        (Kind::KeepAlive, job) => say(&session, Kind::KeepAliveAck, job).await?,
                        (Kind::Abort, _) => running = None,
                        (Kind::KeepAliveAck, _) => (),
                        (kind, _) => bail!("{kind:?} is for clients"),
                    }
                }
                _ = steps.tick(), if running.is_some() => {
                    if let Some((job, place)) = running.take() {
                        running = self.step(&session, job).await?.map(|job| (job, place));
                    }
                }
            }
        }
    }

    /// Takes a job, from its beginning or from where another server had to stop, if there is room for it.
    async fn begin(&self, session: &Session, job: Job) -> anyhow::Result<Running> {
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            say(session, Kind::Reject, job).await?;
            return Ok(None);
        };
        println!("{}: job {} from {} to {}", session.peer(), job.number, job.completed, job.size);
        session.set_cookie(job.cookie()).await?; // who sees the answer has the cookie
        say(session, Kind::Accept, job).await?;
        Ok(Some((job, place)))
    }

    /// Does what this job gets of the capacity in one step; `None` when it is done.
    async fn step(&self, session: &Session, job: Job) -> anyhow::Result<Option<Job>> {
        let jobs = (self.jobs - self.free.available_permits()).max(1) as u64;
        let done = self.capacity * STEP.as_millis() as u64 / 1000 / jobs;
        let job = Job { completed: job.size.min(job.completed.saturating_add(done)), ..job };
        session.set_cookie(job.cookie()).await?;
        if job.completed < job.size {
            return Ok(Some(job));
        }
        println!("{}: job {} is done", session.peer(), job.number);
        say(session, Kind::Complete, job).await?;
        Ok(None)
    }
}

async fn say(session: &Session, kind: Kind, job: Job) -> anyhow::Result<()> {
    let options = SendOptions::new().ppid(PPID);
    Ok(session.send_with(job.message(kind).into(), options).await?)
}
