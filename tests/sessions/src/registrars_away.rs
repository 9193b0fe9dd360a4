//! No registrar at all: clients and servers go on with what they know, until registrars are back and know the same again.

use crate::role::POOL;
use crate::scope::Scope;
use crate::setting::Setting;
use anyhow::Context;
use pool_user::{CacheOptions, Discovery, PoolUser, ResolveError};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often a registrar that does not know the pool is asked again.
const POLL: Duration = Duration::from_millis(50);

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long there is none.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    #[command(flatten)]
    setting: Setting,
}

/// Says whether no operation failed.
pub(crate) async fn tell(options: &Options, mut rng: ChaCha12Rng) -> anyhow::Result<bool> {
    let (mut scope, load) = options.setting.begin(&mut rng).await?;

    scope.kill_registrars().await?;
    let away = Instant::now();
    load.pass(options.setting.load.clients).await?;
    let server = rng.random_range(0..scope.servers());
    scope.kill_server(server).await?;
    sleep(Duration::from_secs(options.seconds).saturating_sub(away.elapsed())).await;
    load.pass(options.setting.load.clients).await?;
    println!("all registrars away for {:.1} s, and a server killed meanwhile", away.elapsed().as_secs_f64());

    let back = Instant::now();
    scope.start_registrars().await?;
    let living = scope.servers() - 1;
    timeout(Duration::from_secs(60), whole(&scope, living))
        .await
        .context("the registrars do not learn of all servers again")??;
    println!("all living servers registered again after {:.2} s", back.elapsed().as_secs_f64());
    scope.start_server(server).await?;
    load.pass(options.setting.load.clients).await?;
    Ok(load.finish().await)
}

/// Each registrar lists this many servers.
async fn whole(scope: &Scope, living: usize) -> anyhow::Result<()> {
    for registrar in scope.registrars() {
        let cache = CacheOptions::default().poll_interval(POLL);
        let alone = Discovery::from([registrar]).registrar_pool(false);
        let user = PoolUser::builder(alone).cache(cache).build();
        let mut watch = user.watch(POOL).await?;
        loop {
            match watch.changed().await {
                Ok(pool) if pool.elements.len() == living => break,
                // It does not know the pool yet, or is not there yet.
                Ok(_) | Err(ResolveError::UnknownPool(_) | ResolveError::NoRegistrar(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
