//! A key-value store that several servers keep together, and in which every update is done exactly once.
//!
//! What it teaches: what to do when the state is too large, or too common, for a cookie. Three things are kept in three
//! places, and each survives what it has to:
//!
//! * The **data** is common to all clients, so it is not in any cookie. It is a journal in a directory that all servers
//!   share (`journal.rs`); each of them has the values in memory and can be killed at any time.
//! * The **cookie** says whose session it is. The next server knows the client without asking it again.
//! * The client **numbers** its updates, and the journal has the number of each. An update that a client repeats
//!   because its server died is found there, and is answered, but not done again.
//!
//! ```console
//! $ cargo run -p rserpool-registrar &
//! $ cargo run -p rserpool-pool-element --example key_value_server -- /tmp/journal 127.0.0.1:3863 &
//! $ cargo run -p rserpool-pool-element --example key_value_server -- /tmp/journal 127.0.0.1:3863 &
//! $ cargo run -p rserpool-pool-user --example key_value_client -- 127.0.0.1:3863
//! ```
//!
//! Requests and answers are lines of text:
//!
//! ```text
//! hello                   ok CLIENT   the first request; the client has this number from now on
//! get KEY                 ok VALUE    empty if there is none
//! NUMBER set KEY VALUE    ok VALUE    updates are numbered from 1
//! NUMBER add KEY AMOUNT   ok VALUE    the sum; a value that is no number counts as 0
//! ```

mod journal;
mod store;

use anyhow::{Context, anyhow};
use journal::Journal;
use rserpool_pool_element::{PoolElement, Session};
use std::sync::{Arc, Mutex};
use store::Store;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().context("arguments: DIRECTORY REGISTRAR...")?;
    let registrars: Vec<_> = arguments.map(|argument| argument.parse()).collect::<Result<_, _>>()?;
    let mut element = PoolElement::builder("key-value").registrars(registrars).register().await?;
    println!("serving as {} (process {})", element.id(), std::process::id());

    // No two elements of a pool have the same identifier.
    let journal = Journal::open(directory, &element.id().to_string())?;
    let store = Arc::new(Mutex::new(Store::new(journal)));
    while let Some(session) = element.accept().await {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            if let Err(error) = serve(session, &store).await {
                eprintln!("session ended: {error:#}");
            }
        });
    }
    Ok(())
}

/// Serves a session, a new one or one of a server that has died.
async fn serve(mut session: Session, store: &Mutex<Store>) -> anyhow::Result<()> {
    let mut client = None;
    while let Some(request) = session.recv().await? {
        if client.is_none() {
            client = session.cookie().map(parse).transpose().context("not a cookie of this pool")?;
        }
        let request = std::str::from_utf8(&request)?;
        // Files are read and written, so this may take a while.
        let done = tokio::task::block_in_place(|| perform(store, client, request))?;
        let Some(value) = done else {
            session.send(format!("error: not a request: {request}")).await?;
            continue;
        };
        if request == "hello" {
            client = Some(value.parse()?);
            session.set_cookie(&value).await?; // before the answer: whoever has that has the cookie, too
        }
        session.send(format!("ok {value}")).await?;
    }
    Ok(())
}

/// Does what a client asks for, if it was not done before; returns its value. `None` if it makes no sense.
fn perform(store: &Mutex<Store>, client: Option<u64>, request: &str) -> anyhow::Result<Option<String>> {
    let mut store = store.lock().map_err(|_| anyhow!("the store has failed before"))?;
    Ok(match (request.split_once(' '), client) {
        (None, Some(client)) if request == "hello" => Some(client.to_string()),
        // Should the answer be lost, then so is this number, and the next server gives another one.
        (None, None) if request == "hello" => Some(store.new_client()?.to_string()),
        (Some(("get", key)), _) => Some(store.get(key)?.to_owned()),
        (Some((number, update)), Some(client)) => store.update(client, number, update)?,
        _ => None,
    })
}

fn parse(cookie: &[u8]) -> anyhow::Result<u64> {
    Ok(std::str::from_utf8(cookie)?.parse()?)
}
