//! A server that counts for its clients, and survives its own death: start several, and kill some.
//!
//! `cargo run -p rserpool-pool-element --example counter_server -- 127.0.0.1:3863 [REGISTRAR...]`

use anyhow::Context;
use rserpool_pool_element::{ExactlyOnce, Policy, PoolElement, Session};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let mut element =
        PoolElement::builder("counter").policy(Policy::RoundRobin).registrars(registrars).register().await?;
    println!("serving as {} (process {})", element.id(), std::process::id());

    while let Some(session) = element.accept().await {
        tokio::spawn(async move {
            if let Err(error) = count(session).await {
                eprintln!("session ended: {error:#}");
            }
        });
    }
    Ok(())
}

/// Serves a session. Its state, which comes from the former server if there was one, is the count.
async fn count(session: Session) -> anyhow::Result<()> {
    let mut session = ExactlyOnce::new(session);
    while let Some(_request) = session.next().await? {
        let count = match session.state() {
            Some(state) => u64::from_be_bytes(state.try_into().context("a state is a number of 8 bytes")?),
            None => 0,
        };
        let count = (count + 1).to_be_bytes();
        session.answer(count, count).await?; // the client has the state when it sees the answer
    }
    Ok(())
}
