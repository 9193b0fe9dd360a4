//! A client that has a number of the pool "counter" counted up, whatever happens to the servers.
//!
//! `cargo run -p rserpool-pool-user --example counter_client -- 127.0.0.1:3863 [REGISTRAR...]`

use anyhow::Context;
use rserpool_pool_user::{ExactlyOnce, PoolUser};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let user = PoolUser::new(registrars);
    let mut session = ExactlyOnce::new(user.connect("counter").await?);
    let mut server = session.session().element();

    for number in 1u64.. {
        let answer = session.call("one more").await?;
        let from = std::mem::replace(&mut server, session.session().element());
        if server != from {
            println!("failover from {from} to {server}");
        }
        let count = u64::from_be_bytes(answer[..].try_into().context("an answer is a number of 8 bytes")?);
        println!("{server}: request {number}, count {count}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
