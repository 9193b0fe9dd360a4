//! A pool element of ours with the services that rsplib's clients know.
//!
//! It says "registered ID at ADDRESS" when it is, and takes lines on standard input: a policy to
//! change to. When standard input is closed it deregisters.

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use pool_element::{
    Compat, Load, PeIdentifier, Policy, PoolElement, Profile, SctpTransport, SendOptions, Session, Transport,
    TransportKind, TransportUse,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::task::JoinSet;

#[derive(Parser)]
struct Args {
    /// ASAP address of a registrar; may be repeated.
    #[arg(long, required = true)]
    registrar: Vec<SocketAddr>,
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// What to serve.
    #[arg(long, default_value = "echo")]
    service: Service,
    /// UDP port behind which all SCTP ports of each host are.
    #[arg(long)]
    encap_port: Option<u16>,
    /// What carries SCTP: "udp" or "kernel".
    #[arg(long, default_value_t)]
    transport: TransportKind,
    /// The pool.
    #[arg(long, default_value = "EchoPool")]
    pool: String,
    /// The policy, in rsplib's words: Priority:7, LeastUsedDegradation:0.5 (its load, if any, begins with 0).
    #[arg(long, default_value = "RoundRobin", value_parser = policy)]
    policy: Policy,
    /// Its identifier, hexadecimal.
    #[arg(long, value_parser = |text: &str| u32::from_str_radix(text, 16))]
    id: Option<u32>,
    /// How long the registration lives, in seconds.
    #[arg(long, default_value_t = 30)]
    life: u64,
    /// Registers this address instead of its own.
    #[arg(long)]
    claim: Option<SocketAddr>,
    /// Registers so many further elements at the same address, in ten pools.
    #[arg(long, default_value_t = 0)]
    more: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    /// Sends each message back, on its stream and with its payload protocol identifier.
    Echo,
    /// Takes messages, and says so.
    Discard,
    /// Sends a line and ends the session.
    Daytime,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut builder = PoolElement::builder(args.pool.as_str())
        .policy(args.policy)
        .life(Duration::from_secs(args.life))
        .registrars(args.registrar)
        .profile(Profile::Rsplib)
        .compat(Compat::Rsplib)
        .sctp_over(args.transport)
        .listen(args.listen);
    if let Some(port) = args.encap_port {
        builder = builder.encap_port(port);
    }
    if let Some(id) = args.id {
        builder = builder.id(PeIdentifier(id));
    }
    if let Some(claim) = args.claim {
        let transport = SctpTransport {
            port: claim.port(),
            transport_use: TransportUse::DATA_AND_CONTROL,
            addresses: vec![claim.ip()],
        };
        builder = builder.service(Transport::Sctp(transport));
    }
    let mut element = builder.register().await?;
    println!("registered {} at {}", element.id(), element.local_address());
    let _more = register_more(&element, args.more, args.life).await?;

    let mut sessions = JoinSet::new();
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            session = element.accept() => {
                let session = session.context("the endpoint has stopped")?;
                println!("session from {}", session.peer());
                sessions.spawn(async move {
                    if let Err(error) = serve(args.service, session).await {
                        println!("session ended: {error:#}");
                    }
                });
            }
            line = lines.next_line() => match line? {
                Some(line) => {
                    element.set_policy(policy(&line)?).await?;
                    println!("policy {line}");
                }
                None => break,
            }
        }
    }
    sessions.shutdown().await;
    let endpoint = element.endpoint().clone();
    element.deregister().await?;
    println!("deregistered");
    endpoint.close().await;
    Ok(())
}

/// Elements that are only registered, some at a time. They say nothing until all are.
async fn register_more(element: &PoolElement, count: usize, life: u64) -> anyhow::Result<Vec<PoolElement>> {
    const AT_A_TIME: usize = 64;
    let address = element.local_address();
    let mut registering = JoinSet::new();
    let mut registered = Vec::new();
    for number in 0..count {
        if registering.len() == AT_A_TIME {
            registered.extend(registering.join_next().await.transpose()?.transpose()?);
        }
        let transport = SctpTransport {
            port: address.port(),
            transport_use: TransportUse::DATA_AND_CONTROL,
            addresses: vec![address.ip()],
        };
        // Handles of odd and even lengths: rsplib's checksum pads them.
        let pool = format!("pool{}", "x".repeat(number % 10));
        let one = PoolElement::builder(pool.as_str())
            .endpoint(element.endpoint())
            .service(Transport::Sctp(transport))
            .life(Duration::from_secs(life));
        registering.spawn(one.register());
    }
    while let Some(one) = registering.join_next().await {
        registered.push(one??);
    }
    if count > 0 {
        println!("registered {} more", registered.len());
    }
    Ok(registered)
}

async fn serve(service: Service, mut session: Session) -> anyhow::Result<()> {
    if let Service::Daytime = service {
        session.send("it is the time of day\n").await?;
        return Ok(session.close().await?);
    }
    while let Some(message) = session.recv_message().await? {
        let text = String::from_utf8_lossy(&message.bytes).into_owned();
        println!("{}: stream {} ppid {}> {}", session.peer(), message.stream, message.ppid, text.trim_end());
        if let Service::Echo = service {
            let options = SendOptions::of(&message);
            session.send_with(message.bytes, options).await?;
        }
    }
    println!("session closed by its client");
    Ok(())
}

/// A policy in rsplib's words: its name, then its values, separated by colons.
fn policy(text: &str) -> anyhow::Result<Policy> {
    let mut words = text.split(':');
    let name = words.next().unwrap_or_default();
    let values: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>().context(text.to_owned())?;
    let number = |n: usize| values.get(n).copied().unwrap_or_default() as u32;
    let fraction = |n: usize| (values.get(n).copied().unwrap_or_default() * f64::from(u32::MAX)) as u32;
    let (load, degradation) = (Load(0), Load(fraction(0)));
    Ok(match name {
        "RoundRobin" => Policy::RoundRobin,
        "WeightedRoundRobin" => Policy::WeightedRoundRobin { weight: number(0) },
        "Random" => Policy::Random,
        "WeightedRandom" => Policy::WeightedRandom { weight: number(0) },
        "Priority" => Policy::Priority { priority: number(0) },
        "LeastUsed" => Policy::LeastUsed { load },
        "LeastUsedDegradation" => Policy::LeastUsedDegradation { load, degradation },
        "PriorityLeastUsed" => Policy::PriorityLeastUsed { load, degradation },
        "PriorityLeastUsedDegradation" => Policy::PriorityLeastUsedDegradation { load, degradation },
        "RandomizedLeastUsed" => Policy::RandomizedLeastUsed { load },
        "RandomizedPriorityLeastUsed" => Policy::RandomizedPriorityLeastUsed { load, degradation },
        "WeightedRandomDPF" => {
            Policy::WeightedRandomDpf { weight: number(0), weight_dpf: fraction(1), distance: 0 }
        }
        "LeastUsedDPF" => Policy::LeastUsedDpf { load, load_dpf: fraction(0), distance: 0 },
        "LeastUsedDegradationDPF" => {
            Policy::LeastUsedDegradationDpf { load, degradation, load_dpf: fraction(1), distance: 0 }
        }
        _ => bail!("there is no policy {name}"),
    })
}
