//! An update without anybody noticing: each server leaves in order and comes back, one after the other.

use crate::load::{self, Load};
use crate::scope::Scope;
use rand_chacha::ChaCha12Rng;
use tokio::time::Instant;

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 10)]
    servers: usize,
    #[arg(long, default_value_t = 2)]
    registrars: u16,
    #[command(flatten)]
    load: load::Options,
}

/// Says whether no operation failed.
pub(crate) async fn tell(options: &Options, mut rng: ChaCha12Rng) -> anyhow::Result<bool> {
    let mut scope = Scope::start(options.registrars, options.servers, &mut rng).await?;
    let load = Load::start(&options.load, &scope.registrars());
    load.pass(10 * options.load.clients).await?;
    let start = Instant::now();
    for server in 0..scope.servers() {
        scope.stop_server(server).await?;
        scope.start_server(server).await?;
        load.pass(options.load.clients).await?;
    }
    println!("{} servers restarted in {:.1} s", scope.servers(), start.elapsed().as_secs_f64());
    Ok(load.finish().await)
}
