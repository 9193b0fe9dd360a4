//! Puts an HTTP server that is not ours into a pool, for as long as it is healthy.
//!
//! What it teaches: a server needs no library and no change to be in a pool. This program stands beside it, registers its
//! address while `GET /health` succeeds, and takes it out when it does not. Clients find the server in the pool, and
//! connect to it directly: nothing is between them.
//!
//! ```console
//! $ cargo run -p rserpool-registrar &
//! $ cargo run -p rserpool-pool-element --example http_server -- 127.0.0.1:8081 &
//! $ cargo run -p rserpool-pool-element --example http_sidecar -- 127.0.0.1:8081 127.0.0.1:3863 &
//! $ cargo run -p rserpool-pool-element --example http_server -- 127.0.0.1:8082 &
//! $ cargo run -p rserpool-pool-element --example http_sidecar -- 127.0.0.1:8082 127.0.0.1:3863 &
//! $ cargo run -p rserpool-pool-user --example http_client -- 127.0.0.1:3863
//! ```

use anyhow::Context;
use rserpool_pool_element::{Check, PoolElement, Transport};
use std::net::SocketAddr;
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<SocketAddr>());
    let address = arguments.next().context("arguments: ADDRESS REGISTRAR...")??;
    let registrars = arguments.collect::<Result<Vec<_>, _>>()?;

    let check = Check::http(address, "/health").interval(Duration::from_millis(200)).failures(2);
    let web = PoolElement::builder("web").service(Transport::tcp(address)).registrars(registrars);
    let mut service = web.register_while(check)?;
    loop {
        tokio::select! {
            registered = service.registered() => match registered {
                Ok(id) => println!("{address} is in the pool as {id}"),
                // It is tried again: a registrar may turn up.
                Err(error) => {
                    eprintln!("{address} is not in the pool: {error}");
                    continue;
                }
            },
            _ = tokio::signal::ctrl_c() => break,
        }
        tokio::select! {
            () = service.withdrawn() => println!("{address} is not healthy, and out of the pool"),
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    // When this returns no client that uses the library chooses the server any more.
    service.drain().await?;
    Ok(())
}
