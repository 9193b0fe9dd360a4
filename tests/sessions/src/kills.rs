//! One server at a time dies without a word, and comes back.

use crate::setting::Setting;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use tokio::time::Instant;

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 1000)]
    kills: usize,
    #[command(flatten)]
    setting: Setting,
}

/// Says whether each operation was done once.
pub(crate) async fn tell(options: &Options, mut rng: ChaCha12Rng) -> anyhow::Result<bool> {
    let (mut scope, load) = options.setting.begin(&mut rng).await?;
    let start = Instant::now();
    for _ in 0..options.kills {
        load.pass(rng.random_range(1..=2 * options.setting.load.clients)).await?;
        let server = rng.random_range(0..scope.servers());
        scope.kill_server(server).await?;
        scope.start_server(server).await?;
    }
    println!("{} servers killed in {:.1} s", options.kills, start.elapsed().as_secs_f64());
    Ok(load.finish().await)
}
