//! Asks a pool of HTTP servers again and again, whatever happens to them.
//!
//! What it teaches: a client that speaks a protocol of its own takes from the library what a load balancer does.
//! [`PoolUser::choose`] says where to go next, by the pool's policy; [`PoolUser::report_unreachable`] says that nobody is
//! there, so that the server is avoided, and looked after by its registrar. There is no session and no cookie: what may be
//! repeated is the client's affair. `GET` may.
//!
//! `cargo run -p rserpool-pool-user --example http_client -- 127.0.0.1:3863 [REGISTRAR...]`
//!
//! How to put servers into the pool is in [`http_sidecar`](../../pool-element/examples/http_sidecar.rs).

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rserpool_pool_user::{PoolElement, PoolUser};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let user = PoolUser::new(registrars);
    for number in 1u64.. {
        println!("{number}: {}", get(&user, "/").await?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Asks one server after another, until one answers.
async fn get(user: &PoolUser, path: &str) -> anyhow::Result<String> {
    loop {
        let server = user.choose("web").await?;
        match tokio::time::timeout(PATIENCE, ask(&server, path)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => println!("{} does not answer: {error:#}", server.id),
            Err(_) => println!("{} does not answer in time", server.id),
        }
        user.report_unreachable("web", server.id).await?;
        // Should it be the only one: no need to ask it all the time.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(server: &PoolElement, path: &str) -> anyhow::Result<String> {
    let address = server.user_transport.socket_addresses().next().context("it has no address")?;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    ensure!(answer.status().is_success(), "status {}", answer.status());
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
