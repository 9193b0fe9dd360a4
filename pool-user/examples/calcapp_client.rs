//! A client of rsplib's CalcApp service, for pools of `rspserver -calcapp` and of our `calcapp_server`: gives out jobs, one
//! after the other, and shows that none begins anew when its server dies.
//!
//! `cargo run -p rserpool-pool-user --example calcapp_client -- 127.0.0.1:3863 [REGISTRAR...]`

#[path = "../../pool-element/examples/calcapp/protocol.rs"]
mod protocol;
#[path = "rsplib/options.rs"]
mod rsplib;

use anyhow::{Context, bail};
use clap::Parser;
use protocol::{Job, Kind, PPID};
use rserpool_pool_user::{PoolUser, Received, SendOptions, Session};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Has jobs done, one after the other.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    rsplib: rsplib::Options,
    /// Pool that does them
    #[arg(long, default_value = protocol::POOL)]
    pool: String,
    /// How many jobs
    #[arg(long, default_value = "5")]
    jobs: u32,
    /// Calculations of each
    #[arg(long, default_value = "5000000")]
    size: u64,
}

/// A server that says nothing for so long is asked.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let user = args.rsplib.user();
    for number in 1..=args.jobs {
        let job = Job { number, size: args.size, completed: 0 };
        while !have_done(&user, &args.pool, job).await? {
            println!("job {number}: rejected");
            sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}

/// Has a job done in a session of its own; false if the server had no room for it.
async fn have_done(user: &PoolUser, pool: &str, job: Job) -> anyhow::Result<bool> {
    let mut session = user.connect(pool).await?;
    say(&session, Kind::Request, job).await?;
    let mut accepted = false;
    loop {
        let Ok(received) = timeout(PATIENCE, session.recv_message()).await else {
            say(&session, if accepted { Kind::KeepAlive } else { Kind::Request }, job).await?;
            continue;
        };
        match received? {
            Received::Message(message) => {
                let said = protocol::decode(&message.bytes).filter(|_| message.ppid == PPID);
                let (kind, job) = said.context("this is no message of CalcApp")?;
                match kind {
                    Kind::Accept => {
                        accepted = true;
                        println!("job {}: {} goes on from {}", job.number, session.element(), job.completed);
                    }
                    Kind::Complete => {
                        println!("job {}: done by {}", job.number, session.element());
                        session.close().await?;
                        return Ok(true);
                    }
                    Kind::Reject => return Ok(false),
                    Kind::KeepAlive => say(&session, Kind::KeepAliveAck, job).await?,
                    Kind::KeepAliveAck => (),
                    Kind::Request | Kind::Abort => bail!("{kind:?} is for servers"),
                }
            }
            Received::Failover { from, to, .. } => {
                println!("job {}: FAILOVER from {from} to {to}", job.number);
                // With the cookie, which comes with the acceptance, the new server knows everything, and accepts.
                if !accepted {
                    say(&session, Kind::Request, job).await?;
                }
                accepted = false;
            }
        }
    }
}

async fn say(session: &Session, kind: Kind, job: Job) -> anyhow::Result<()> {
    let options = SendOptions::new().ppid(PPID);
    Ok(session.send_with(job.message(kind).into(), options).await?)
}
