//! A client of rsplib's Fractal Generator service, for pools of `rspserver -fractal` and of our `fractal_server`: shows an image of
//! the Mandelbrot set, of however many servers it took.
//!
//! `cargo run -p rserpool-pool-user --example fractal_client -- 127.0.0.1:3863 [REGISTRAR...]`

#[path = "../../pool-element/examples/fractal/protocol.rs"]
mod protocol;
#[path = "rsplib/options.rs"]
mod rsplib;

use anyhow::{Context, ensure};
use clap::Parser;
use protocol::{Data, PPID, Parameter};
use rserpool_pool_user::{Received, SendOptions, Session};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Gets an image from a pool.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    rsplib: rsplib::Options,
    /// Pool that calculates it
    #[arg(long, default_value = protocol::POOL)]
    pool: String,
    /// Points in a line
    #[arg(long, default_value = "76", value_parser = clap::value_parser!(u32).range(1..=65536))]
    width: u32,
    /// Lines
    #[arg(long, default_value = "32", value_parser = clap::value_parser!(u32).range(1..=65536))]
    height: u32,
    /// Iterations after which a point belongs to the set
    #[arg(long, default_value = "1000")]
    iterations: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { rsplib, pool, width, height, iterations } = Args::parse();
    let corners = [-0.75, 1.3, 2.0, -1.3];
    let parameter = Parameter { width, height, iterations, algorithm: 1, corners, exponent: 2.0 };
    let user = rsplib.user();
    let mut session = user.connect(pool).await?;
    let image = receive(&mut session, &parameter).await?;
    // What is here is here, whether the server dies before it hears of the end or not.
    _ = session.close().await;

    if width <= 200 {
        for line in image.chunks(width as usize) {
            println!("{}", line.iter().map(|value| shade(*value, iterations)).collect::<String>());
        }
    }
    let mut hash = DefaultHasher::new();
    image.hash(&mut hash);
    println!("{width} x {height} points, hash {:016x}", hash.finish());
    Ok(())
}

/// Asks for an image, and puts together what comes.
async fn receive(session: &mut Session, parameter: &Parameter) -> anyhow::Result<Vec<u32>> {
    let options = SendOptions::new().ppid(PPID);
    session.send_with(parameter.encode().into(), options).await?;
    println!("from {}", session.element());
    let mut image = vec![None; parameter.width as usize * parameter.height as usize];
    loop {
        match session.recv_message().await? {
            Received::Message(message) => {
                let data = Data::decode(&message.bytes).filter(|_| message.ppid == PPID);
                let data = data.context("this is no part of an image")?;
                if data.is_end() {
                    break;
                }
                let first = data.y as usize * parameter.width as usize + data.x as usize;
                let part =
                    image.get_mut(first..first + data.values.len()).context("more than was asked for")?;
                part.iter_mut().zip(data.values).for_each(|(point, value)| *point = Some(value));
            }
            Received::Failover { from, to, .. } => {
                println!("FAILOVER from {from} to {to} after {} points", image.iter().flatten().count());
                // The cookie came with the first points, and says everything.
                if image[0].is_none() {
                    session.send_with(parameter.encode().into(), options).await?;
                }
            }
        }
    }
    let points = image.len();
    let image: Vec<u32> = image.into_iter().flatten().collect();
    ensure!(image.len() == points, "{} of {points} points are missing", points - image.len());
    Ok(image)
}

/// The longer it takes, the darker.
fn shade(value: u32, iterations: u32) -> char {
    const SHADES: [char; 6] = ['.', ':', '-', '=', '+', '*'];
    if value == iterations { '#' } else { SHADES.get(value as usize / 2).copied().unwrap_or('%') }
}
