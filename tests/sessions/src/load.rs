//! Clients under load: sessions that count, one operation after the other, and begin again and again.

use crate::figures::Times;
use crate::role::POOL;
use anyhow::Context;
use pool_user::{ExactlyOnce, PoolUser, SessionError};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// An operation that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(20);
/// Between two operations of a session.
const THINK: Duration = Duration::from_millis(5);
/// So many clients share an endpoint, with its socket and its cache, as those of one process would.
const SHARE: usize = 10;

/// How much of it there is.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Clients with a session each.
    #[arg(long, default_value_t = 50)]
    pub(crate) clients: usize,
    /// Operations of a session; then its client begins a new one.
    #[arg(long, default_value_t = 100)]
    pub(crate) operations: u64,
}

/// What the clients have seen.
#[derive(Default)]
struct Tally {
    connects: Times,
    operations: Times,
    failovers: u64,
    /// Operations that were done less or more than once.
    lost: u64,
    doubled: u64,
    failures: Vec<String>,
}

/// Clients at work. Dropping it ends them.
pub(crate) struct Load {
    tally: Arc<Mutex<Tally>>,
    /// Operations done.
    done: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts the clients.
    pub(crate) fn start(options: &Options, registrars: &[SocketAddr]) -> Self {
        let tally = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let (counter, done) = watch::channel(0);
        let mut clients = JoinSet::new();
        let mut user = PoolUser::new(registrars.iter().copied());
        for number in 0..options.clients {
            if number.is_multiple_of(SHARE) {
                user = PoolUser::new(registrars.iter().copied());
            }
            let client = Client {
                user: user.clone(),
                operations: options.operations,
                tally: Arc::clone(&tally),
                done: counter.clone(),
                stopped: stopped.clone(),
            };
            clients.spawn(client.run());
        }
        Self { tally, done, stop, clients }
    }

    /// Waits until so many more operations are done than now, so that a fault hits clients at work.
    pub(crate) async fn pass(&self, operations: usize) -> anyhow::Result<()> {
        let mut done = self.done.clone();
        let goal = *done.borrow() + operations;
        timeout(LIMIT, done.wait_for(|done| *done >= goal)).await.context("the clients do not get on")??;
        Ok(())
    }

    /// Ends the sessions in order, and prints what they have seen; says whether nothing failed.
    pub(crate) async fn finish(mut self) -> bool {
        self.stop.send_replace(true);
        while let Some(client) = self.clients.join_next().await {
            if let Err(error) = client {
                lock(&self.tally).failures.push(format!("a client panicked: {error}"));
            }
        }
        let tally = lock(&self.tally);
        println!("connects    {}", tally.connects);
        println!("operations  {}", tally.operations);
        println!(
            "{} failovers; operations: {} failed, {} lost, {} done twice",
            tally.failovers,
            tally.failures.len(),
            tally.lost,
            tally.doubled
        );
        for failure in tally.failures.iter().take(10) {
            println!("  {failure}");
        }
        tally.operations.count() > 0 && tally.failures.is_empty() && tally.lost == 0 && tally.doubled == 0
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Client {
    user: PoolUser,
    operations: u64,
    tally: Arc<Mutex<Tally>>,
    done: watch::Sender<usize>,
    stopped: watch::Receiver<bool>,
}

impl Client {
    async fn run(self) {
        while !*self.stopped.borrow() {
            if let Err(error) = self.session().await {
                lock(&self.tally).failures.push(format!("{error:#}"));
            }
        }
    }

    async fn session(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        let session = timeout(LIMIT, self.user.connect(POOL)).await.context("no session")??;
        lock(&self.tally).connects.add(start.elapsed());
        let mut session = ExactlyOnce::new(session);
        for number in 1..=self.operations {
            let server = session.session().element();
            let start = Instant::now();
            let answer = timeout(LIMIT, session.call("one more")).await;
            let answer = answer.with_context(|| format!("operation {number} at {server}"))??;
            let count = u64::from_be_bytes(answer[..].try_into().context("an answer that is no number")?);
            {
                let mut tally = lock(&self.tally);
                tally.operations.add(start.elapsed());
                tally.failovers += u64::from(session.session().element() != server);
                tally.lost += number.saturating_sub(count);
                tally.doubled += count.saturating_sub(number);
            }
            self.done.send_modify(|done| *done += 1);
            anyhow::ensure!(count == number, "operation {number} was answered {count}");
            if *self.stopped.borrow() {
                break;
            }
            sleep(THINK).await;
        }
        // All operations are answered: nothing is lost if the server dies just now.
        match timeout(LIMIT, session.close()).await.context("the session does not end")? {
            Ok(()) | Err(SessionError::Lost(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
