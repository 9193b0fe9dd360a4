//! An update without anybody noticing: each server leaves in order and comes back, one after the other.

use crate::setting::Setting;
use rand_chacha::ChaCha12Rng;
use tokio::time::Instant;

/// Says whether no operation failed.
pub(crate) async fn tell(setting: &Setting, mut rng: ChaCha12Rng) -> anyhow::Result<bool> {
    let (mut scope, load) = setting.begin(&mut rng).await?;
    let start = Instant::now();
    for server in 0..scope.servers() {
        scope.stop_server(server).await?;
        scope.start_server(server).await?;
        load.pass(setting.load.clients).await?;
    }
    println!("{} servers restarted in {:.1} s", scope.servers(), start.elapsed().as_secs_f64());
    Ok(load.finish().await)
}
