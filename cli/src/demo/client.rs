//! The clients: numbered counter sessions, and besides a stream of new sessions.
//!
//! A counter session numbers its operations. The server counts the distinct ones and keeps the last number in the
//! cookie, so the answer to operation *n* is *n*: less means that one was lost, more that one was done twice.

use super::role::POOL;
use params::PeIdentifier;
use pool_user::{PoolUser, Received};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Between an answer and the next operation of a session.
const THINK: Duration = Duration::from_millis(5);
/// Between new sessions of a prober.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// A session without an answer for so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client tells the director.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// A session goes on at another server; `at` is its first answer.
    Failover { client: usize, icmp: bool, from: PeIdentifier, to: PeIdentifier, at: Instant },
    /// A prober finished a new session.
    NewSession { prober: usize, at: Instant },
}

/// What all clients write up together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) operations: u64,
    pub(super) new_sessions: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) failovers: u64,
    pub(super) failures: Vec<String>,
    /// At which server each client is.
    pub(super) servers: BTreeMap<usize, PeIdentifier>,
}

/// What a client is given.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) registrars: Vec<SocketAddr>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) told: mpsc::Sender<Told>,
    /// Turns true when it is time to finish.
    pub(super) finish: watch::Receiver<bool>,
}

impl Context {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_finishing(&self) -> bool {
        *self.finish.borrow()
    }

    fn user(&self, icmp: bool) -> PoolUser {
        PoolUser::builder(self.registrars.iter().copied()).icmp(icmp).build()
    }

    fn moved(&self, client: usize, to: PeIdentifier) {
        let mut tally = self.tally();
        tally.failovers += 1;
        tally.servers.insert(client, to);
    }

    fn answered(&self, seq: u64, count: u64) {
        let mut tally = self.tally();
        tally.operations += 1;
        tally.lost += seq.saturating_sub(count);
        tally.duplicated += count.saturating_sub(seq);
    }
}

/// Every second client lives without ICMP, so that the demo shows both.
pub(super) fn has_icmp(client: usize) -> bool {
    client % 2 == 1
}

/// The others.
pub(super) fn lacks_icmp(client: usize) -> bool {
    !has_icmp(client)
}

/// One client: a single session as long as the demo lasts.
pub(super) async fn run(client: usize, context: Context) {
    if let Err(error) = session(client, &context).await {
        context.tally().failures.push(format!("client {client}: {error:#}"));
    }
}

async fn session(client: usize, context: &Context) -> anyhow::Result<()> {
    let icmp = has_icmp(client);
    let user = context.user(icmp);
    let mut session = timeout(PATIENCE, user.connect(POOL)).await??;
    context.tally().servers.insert(client, session.element());
    let mut seq = 0u64;
    while !context.is_finishing() {
        seq += 1;
        session.send(seq.to_be_bytes()).await?;
        let mut moved = None;
        let answer = loop {
            match timeout(PATIENCE, session.recv()).await?? {
                Received::Message(answer) => break answer,
                Received::Failover { from, to, .. } => {
                    moved = Some((moved.map_or(from, |(first, _)| first), to));
                    session.send(seq.to_be_bytes()).await?;
                }
            }
        };
        let at = Instant::now();
        context.answered(seq, u64::from_be_bytes(answer[..].try_into()?));
        if let Some((from, to)) = moved {
            context.moved(client, to);
            let _ = context.told.send(Told::Failover { client, icmp, from, to, at }).await;
        }
        sleep(THINK).await;
    }
    session.close().await?;
    Ok(())
}

/// A prober: every 50 ms an uncached resolution and a new session with a single operation.
pub(super) async fn probe(prober: usize, context: Context) {
    let user = context.user(true);
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !context.is_finishing() {
        ticks.tick().await;
        match timeout(PATIENCE, new_session(&user, &context)).await {
            Ok(Ok(())) => {
                context.tally().new_sessions += 1;
                let _ = context.told.send(Told::NewSession { prober, at: Instant::now() }).await;
            }
            Ok(Err(error)) => context.tally().failures.push(format!("new session: {error:#}")),
            Err(_) => context.tally().failures.push(format!("new session: no answer in {PATIENCE:?}")),
        }
    }
}

async fn new_session(user: &PoolUser, context: &Context) -> anyhow::Result<()> {
    user.resolve_uncached(POOL).await?;
    let mut session = user.connect(POOL).await?;
    let answer = session.request(1u64.to_be_bytes()).await?;
    context.answered(1, u64::from_be_bytes(answer[..].try_into()?));
    // The answer is here: a server that is killed before it hears of the end has lost nothing.
    _ = session.close().await;
    Ok(())
}
