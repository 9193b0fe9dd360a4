//! Has the pool "key-value" do what stands on its standard input, a line each: `set KEY VALUE`, `add KEY AMOUNT`, `get KEY`.
//!
//! What it teaches: [`Session::request`](rserpool_pool_user::Session::request) repeats what it asks for when the server
//! dies. So each request must be one that may be repeated: here the updates are numbered, and the servers know which
//! numbers were done.
//!
//! `cargo run -p rserpool-pool-user --example key_value_client -- 127.0.0.1:3863 [REGISTRAR...]`
//!
//! The servers are [`key_value_server`](../../pool-element/examples/key_value_server/main.rs): start some, kill some. This one
//! takes long enough for that:
//!
//! `yes add total 1 | head -n 100000 | cargo run -p rserpool-pool-user --example key_value_client -- 127.0.0.1:3863`

use anyhow::Context;
use rserpool_pool_user::PoolUser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registrars: Vec<_> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let user = PoolUser::new(registrars);
    let mut session = user.connect("key-value").await.context("no server")?;
    session.request("hello").await?; // from now on our cookie says who we are

    let mut updates = 0;
    for line in std::io::stdin().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            Some(("get", _)) => session.request(line).await?,
            _ => {
                updates += 1;
                session.request(format!("{updates} {line}")).await?
            }
        };
        println!("{}: {}", session.element(), String::from_utf8_lossy(&answer));
    }
    session.close().await?;
    Ok(())
}
