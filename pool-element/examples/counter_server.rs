//! A server that counts for its clients, and survives its own death: start several, and kill some.
//!
//! `cargo run -p rserpool-pool-element --example counter_server -- 127.0.0.1:3863 [REGISTRAR...]`

use anyhow::Context;
use rserpool_pool_element::{Policy, PoolElement, Session};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let mut element =
        PoolElement::builder("counter").policy(Policy::RoundRobin).registrars(registrars).register().await?;
    println!("serving as {} at {}", element.id(), element.local_address());

    while let Some(session) = element.accept().await {
        tokio::spawn(async move {
            if let Err(error) = count(session).await {
                eprintln!("session ended: {error:#}");
            }
        });
    }
    Ok(())
}

/// Serves a session. The client numbers its requests; the cookie remembers the last number and the count.
async fn count(mut session: Session) -> anyhow::Result<()> {
    let (mut last, mut count) = session.cookie().map(decode).transpose()?.unwrap_or_default();
    while let Some(request) = session.recv().await? {
        let number = u64::from_be_bytes(request[..].try_into().context("a request is a number of 8 bytes")?);
        if number != last {
            (last, count) = (number, count + 1); // a repeat is only answered
        }
        session.set_cookie([last.to_be_bytes(), count.to_be_bytes()].concat()).await?; // before the answer
        session.send(count.to_be_bytes()).await?;
    }
    Ok(())
}

fn decode(cookie: &[u8]) -> anyhow::Result<(u64, u64)> {
    let (last, count) = cookie.split_at_checked(8).context("a cookie is two numbers")?;
    Ok((u64::from_be_bytes(last.try_into()?), u64::from_be_bytes(count.try_into()?)))
}
