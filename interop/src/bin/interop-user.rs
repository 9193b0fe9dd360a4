//! A pool user of ours: sends each line of its standard input to a pool, and shows what comes back as `rspterminal`
//! does.

use clap::Parser;
use pool_user::{Compat, PoolUser, Profile, Received, SessionError, TransportKind};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[derive(Parser)]
struct Args {
    /// ASAP address of a registrar; may be repeated.
    #[arg(long, required = true)]
    registrar: Vec<SocketAddr>,
    /// The address of its socket.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// UDP port behind which all SCTP ports of each host are.
    #[arg(long)]
    encap_port: Option<u16>,
    /// What carries SCTP: "udp" or "kernel".
    #[arg(long, default_value_t)]
    transport: TransportKind,
    /// The pool.
    #[arg(long, default_value = "EchoPool")]
    pool: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut builder = PoolUser::builder(args.registrar)
        .profile(Profile::Rsplib)
        .compat(Compat::Rsplib)
        .sctp_over(args.transport);
    if let Some(listen) = args.listen {
        builder = builder.listen(listen);
    }
    if let Some(port) = args.encap_port {
        builder = builder.encap_port(port);
    }
    let user = builder.build();
    let mut session = user.connect(args.pool.as_str()).await?;
    println!("connected to {}", session.element());

    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => session.send(line).await?,
                None => break,
            },
            received = session.recv_message() => match received {
                Ok(Received::Message(message)) => {
                    let text = String::from_utf8_lossy(&message.bytes).into_owned();
                    println!("from {}: stream {} ppid {}> {}", session.element(), message.stream, message.ppid, text.trim_end());
                }
                Ok(Received::Failover { from, to, .. }) => println!("failover from {from} to {to}"),
                Err(SessionError::Closed) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    session.close().await?;
    println!("closed");
    let endpoint = user.endpoint().await?.clone();
    drop(user);
    endpoint.close().await;
    Ok(())
}
