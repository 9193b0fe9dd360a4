//! A server of rsplib's Fractal Generator service, for rsplib's `fractalpooluser` and our `fractal_client`. It can share a pool
//! with `rspserver -fractal`, and each goes on in the middle of the images of the other.
//!
//! What it teaches: a long answer in many messages, with a cookie now and then that says how far it has come.
//!
//! `cargo run -p rserpool-pool-element --example fractal_server -- 127.0.0.1:3863 [REGISTRAR...]`

#[path = "fractal/protocol.rs"]
mod protocol;
#[path = "rsplib/options.rs"]
mod rsplib;

use anyhow::Context;
use clap::Parser;
use protocol::{PPID, Parameter};
use rserpool_pool_element::{SendOptions, Session};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Calculates images of fractals.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    rsplib: rsplib::Options,
    /// Pool to join
    #[arg(long, default_value = protocol::POOL)]
    pool: String,
    /// Milliseconds to wait after each message, so that something can happen meanwhile
    #[arg(long, default_value = "0")]
    pause: u64,
}

/// A new session says something at once, what it wants or its cookie: no need to guess which.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// Messages from one cookie to the next.
const COOKIE: usize = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut element = args.rsplib.element(&args.pool).cookie_wait(FIRST_WORD).register().await?;
    println!("serving as {} at {}", element.id(), element.local_address());
    let pause = Duration::from_millis(args.pause);
    while let Some(session) = element.accept().await {
        tokio::spawn(async move {
            let peer = session.peer();
            match serve(session, pause).await {
                Ok(()) => println!("{peer}: ended"),
                Err(error) => println!("{peer}: {error:#}"),
            }
        });
    }
    Ok(())
}

/// Sends images until the client has enough; the first one from where another server had to stop.
async fn serve(mut session: Session, pause: Duration) -> anyhow::Result<()> {
    if let Some(cookie) = session.cookie() {
        let (parameter, at) = Parameter::from_cookie(cookie).context("the cookie is not one of ours")?;
        send(&session, parameter, at, pause).await?;
    }
    while let Some(message) = session.recv_message().await? {
        let parameter = Parameter::decode(&message.bytes).filter(|_| message.ppid == PPID);
        send(&session, parameter.context("this asks for no image")?, (0, 0), pause).await?;
    }
    Ok(())
}

/// Sends an image from this point on.
async fn send(
    session: &Session,
    parameter: Parameter,
    mut at: (u32, u32),
    pause: Duration,
) -> anyhow::Result<()> {
    let Parameter { width, height, .. } = parameter;
    println!("{}: image of {width} x {height} from {at:?}", session.peer());
    let options = SendOptions::new().ppid(PPID);
    for message in 0.. {
        if message % COOKIE == 0 {
            session.set_cookie(parameter.cookie(at)).await?;
        }
        let (data, next) = spawn_blocking(move || parameter.calculate(at)).await?;
        session.send_with(data.encode().into(), options).await?;
        if data.is_end() {
            break;
        }
        at = next;
        sleep(pause).await;
    }
    Ok(())
}
