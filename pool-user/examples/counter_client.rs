//! A client that has a number of the pool "counter" counted up, whatever happens to the servers.
//!
//! `cargo run -p rserpool-pool-user --example counter_client -- 127.0.0.1:3863 [REGISTRAR...]`

use anyhow::Context;
use rserpool_pool_user::{PoolUser, Received};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let user = PoolUser::new(registrars);
    let mut session = user.connect("counter").await?;

    for number in 1u64.. {
        session.send(number.to_be_bytes()).await?;
        let answer = loop {
            match session.recv().await? {
                Received::Message(answer) => break answer,
                Received::Failover { from, to } => {
                    println!("failover from {from} to {to}");
                    session.send(number.to_be_bytes()).await?; // the new server recognises a repeat by our cookie
                }
            }
        };
        let count = u64::from_be_bytes(answer[..].try_into().context("an answer is a number of 8 bytes")?);
        println!("{}: request {number}, count {count}", session.element());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
