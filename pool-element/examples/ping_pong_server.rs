//! A ping-pong server that rsplib's `pingpongclient` can use, and share a pool with `rspserver -pingpong`.
//!
//! `cargo run -p rserpool-pool-element --example ping_pong_server -- --policy least-used 127.0.0.1:3863 [REGISTRAR...]`

#[path = "ping_pong/protocol.rs"]
mod protocol;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use protocol::{PPID, Ping, Pong};
use rserpool_pool_element::{
    Compat, Discovery, Load, Multicast, PeIdentifier, Policy, PoolElement, Profile, SendOptions, Session,
    TransportKind,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

/// Answers pings, and numbers its answers on where another server of the pool had to stop.
#[derive(Parser)]
struct Args {
    /// Registrars: the ASAP address of each
    #[arg(required_unless_present = "multicast")]
    registrars: Vec<SocketAddr>,
    /// Find registrars that announce themselves by multicast
    #[arg(long)]
    multicast: bool,
    /// Pool to join
    #[arg(long, default_value = protocol::POOL)]
    pool: String,
    /// How clients choose among the pool's servers; all servers of a pool must agree
    #[arg(long, value_enum, default_value = "round-robin")]
    policy: PolicyName,
    /// Identifier in the pool, in hex digits [default: random]
    #[arg(long, value_parser = hex)]
    id: Option<u32>,
    /// Where clients and registrars reach this server
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Seconds that the registration outlives this process if nobody notices its end
    #[arg(long, default_value = "30")]
    life: u64,
    /// Sessions at a time; further ones are ended at once, and go on elsewhere
    #[arg(long, default_value = "4")]
    sessions: usize,
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

#[derive(Clone, Copy, ValueEnum)]
enum PolicyName {
    RoundRobin,
    Random,
    /// Clients prefer who has the fewest sessions
    LeastUsed,
}

impl PolicyName {
    fn policy(self, used: usize, sessions: usize) -> Policy {
        let load = (used as f64 / sessions.max(1) as f64 * f64::from(u32::MAX)) as u32;
        match self {
            Self::RoundRobin => Policy::RoundRobin,
            Self::Random => Policy::Random,
            Self::LeastUsed => Policy::LeastUsed { load: Load(load) },
        }
    }
}

fn hex(text: &str) -> Result<u32, std::num::ParseIntError> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut discovery = Discovery::from(args.registrars);
    if args.multicast {
        discovery = discovery.multicast(Multicast::default());
    }
    let mut builder = PoolElement::builder(args.pool.as_str())
        .policy(args.policy.policy(0, args.sessions))
        .registrars(discovery)
        .listen(args.listen)
        .sctp_over(args.transport)
        .life(Duration::from_secs(args.life));
    if let Some(id) = args.id {
        builder = builder.id(PeIdentifier(id));
    }
    if let Some(port) = args.encap_port {
        builder = builder.encap_port(port);
    }
    if args.rsplib {
        builder = builder.profile(Profile::Rsplib).compat(Compat::Rsplib);
    }
    let mut element = builder.register().await?;
    println!("serving as {} at {}", element.id(), element.local_address());

    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            session = element.accept() => match session {
                Some(session) if sessions.len() < args.sessions => {
                    sessions.spawn(async move {
                        let peer = session.peer();
                        match serve(session).await {
                            Ok(()) => println!("{peer}: ended"),
                            Err(error) => println!("{peer}: {error:#}"),
                        }
                    });
                }
                Some(session) => println!("{}: all sessions are in use", session.peer()),
                None => return Ok(()),
            },
            Some(ended) = sessions.join_next() => ended?,
        }
        if matches!(args.policy, PolicyName::LeastUsed) {
            element.set_policy(args.policy.policy(sessions.len(), args.sessions)).await?;
        }
    }
}

/// Serves a session. The cookie holds the number of the next answer.
async fn serve(mut session: Session) -> anyhow::Result<()> {
    let next = |cookie: &[u8]| protocol::decode_cookie(cookie).context("the cookie is not one of ours");
    let mut known = None;
    let options = SendOptions::new().ppid(PPID);
    while let Some(message) = session.recv_message().await? {
        let Some(ping) = Ping::decode(&message.bytes).filter(|_| message.ppid == PPID) else {
            bail!("{} bytes with payload protocol {} are no ping", message.bytes.len(), message.ppid);
        };
        let reply = match known {
            Some(reply) => reply,
            None => {
                let first = session.cookie().map(next).transpose()?.unwrap_or(1);
                println!("{}: begins with reply {first}", session.peer());
                first
            }
        };
        let pong = Pong { number: ping.number, reply, data: ping.data };
        session.send_with(pong.encode().context("a ping too long to be answered")?.into(), options).await?;
        session.set_cookie(protocol::encode_cookie(reply + 1)).await?;
        known = Some(reply + 1);
    }
    Ok(())
}
