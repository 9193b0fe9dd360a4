//! A ping-pong client that uses rsplib's `rspserver -pingpong` as well as our `ping_pong_server`, and checks that the
//! servers' reply numbers have no gap, whichever server sends them.
//!
//! `cargo run -p rserpool-pool-user --example ping_pong_client -- 127.0.0.1:3863 [REGISTRAR...]`

#[path = "../../pool-element/examples/ping_pong/protocol.rs"]
mod protocol;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use protocol::{PPID, Ping, Pong};
use rserpool_pool_user::{
    Compat, Discovery, Multicast, PoolUser, Profile, Received, SendOptions, Session, TransportKind,
};
use std::net::SocketAddr;
use std::time::Duration;

/// Pings a pool, and fails if the numbers of the replies have a gap.
#[derive(Parser)]
struct Args {
    /// Registrars: the ASAP address of each
    #[arg(required_unless_present = "multicast")]
    registrars: Vec<SocketAddr>,
    /// Find registrars that announce themselves by multicast
    #[arg(long)]
    multicast: bool,
    /// Pool to ping
    #[arg(long, default_value = protocol::POOL)]
    pool: String,
    /// Milliseconds between pings
    #[arg(long, default_value = "500")]
    interval: u64,
    /// Pings to send; 0 = no end
    #[arg(long, default_value = "0")]
    count: u64,
    /// Address of this client's socket [default: any]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The UDP port behind which all SCTP ports of a host are, where others use their kernel's SCTP
    #[arg(long)]
    encap_port: Option<u16>,
    /// What carries SCTP: "udp", or "kernel" for the system's own
    #[arg(long, default_value_t)]
    transport: TransportKind,
    /// rsplib takes part: its timers, and what it understands
    #[arg(long)]
    rsplib: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut discovery = Discovery::from(args.registrars);
    if args.multicast {
        discovery = discovery.multicast(Multicast::default());
    }
    let mut builder = PoolUser::builder(discovery).sctp_over(args.transport);
    if let Some(listen) = args.listen {
        builder = builder.listen(listen);
    }
    if let Some(port) = args.encap_port {
        builder = builder.encap_port(port);
    }
    if args.rsplib {
        builder = builder.profile(Profile::Rsplib).compat(Compat::Rsplib);
    }
    let user = builder.build();
    let mut session = user.connect(args.pool.as_str()).await?;
    let mut interval = tokio::time::interval(Duration::from_millis(args.interval.max(1)));
    let (mut last, mut gaps) = (None, 0);
    for number in (1..).take_while(|number| args.count == 0 || *number <= args.count) {
        interval.tick().await;
        let reply = ping(&mut session, number).await?;
        println!("ping {number}: reply {reply} from {}", session.element());
        if let Some(last) = last.replace(reply).filter(|last| reply != last + 1) {
            gaps += 1;
            println!("GAP: reply {reply} after {last}");
        }
    }
    session.close().await?;
    ensure!(gaps == 0, "{gaps} gaps in the reply numbers");
    Ok(())
}

/// Sends a ping, again after each failover, and returns the number of its reply.
async fn ping(session: &mut Session, number: u64) -> anyhow::Result<u64> {
    let data = format!("ping {number}");
    let ping = Ping { number, data: data.as_bytes() }.encode().context("a ping too long")?;
    let options = SendOptions::new().ppid(PPID);
    session.send_with(ping.clone().into(), options).await?;
    loop {
        match session.recv_message().await? {
            Received::Message(message) => {
                let Some(pong) = Pong::decode(&message.bytes).filter(|_| message.ppid == PPID) else {
                    bail!("{} bytes with payload protocol {} are no pong", message.bytes.len(), message.ppid);
                };
                ensure!(pong.number == number, "a pong for ping {} after ping {number}", pong.number);
                ensure!(pong.data == data.as_bytes(), "a pong with other data than its ping");
                return Ok(pong.reply);
            }
            Received::Failover { from, to, .. } => {
                println!("FAILOVER from {from} to {to}");
                session.send_with(ping.clone().into(), options).await?;
            }
        }
    }
}
