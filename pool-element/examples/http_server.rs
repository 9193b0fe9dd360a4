//! An HTTP server as there are many. It knows nothing of pools: see `http_sidecar`, which puts it into one as it is.
//!
//! `cargo run -p rserpool-pool-element --example http_server -- 127.0.0.1:8081`

use anyhow::Context;
use axum::{Router, routing};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("argument: ADDRESS")?;
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("serving at {address} (process {})", std::process::id());

    let router = Router::new()
        .route("/", routing::get(async move || format!("hello from {address}")))
        .route("/health", routing::get(async || "fine"));
    axum::serve(listener, router).await?;
    Ok(())
}
