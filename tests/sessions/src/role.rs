//! The processes of a scope: this program again, in a hidden role. Each prints one line when it is ready, and ends when its
//! standard input closes: whatever becomes of the parent, nothing is left behind.

use anyhow::Context;
use pool_element::{ExactlyOnce, PoolElement, Session, SessionError};
use registrar::config::{Admin, AdminSocket, Listen};
use registrar::{Config, Registrar};
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// The pool of all stories.
pub(crate) const POOL: &str = "counter";

/// A hidden role.
#[derive(clap::Subcommand)]
pub(crate) enum Role {
    /// A registrar.
    Registrar {
        /// Where to listen for ASAP.
        asap: SocketAddr,
        /// Where to listen for ENRP.
        enrp: SocketAddr,
        /// The ENRP addresses of the others.
        peers: Vec<SocketAddr>,
    },
    /// A server that counts; SIGTERM drains it.
    Server {
        /// ASAP addresses of the registrars.
        registrars: Vec<SocketAddr>,
    },
}

impl Role {
    /// Plays the role until standard input closes, or until it is done.
    pub(crate) async fn play(self) -> anyhow::Result<()> {
        let parent_gone = async {
            let mut sink = [0; 64];
            let mut input = tokio::io::stdin();
            while !matches!(input.read(&mut sink).await, Ok(0) | Err(_)) {}
        };
        let play = async {
            match self {
                Self::Registrar { asap, enrp, peers } => registrar(asap, enrp, peers).await,
                Self::Server { registrars } => server(registrars).await,
            }
        };
        tokio::select! {
            // The thread that reads standard input cannot be stopped.
            result = play => std::process::exit(i32::from(result.inspect_err(|error| eprintln!("{error:#}")).is_err())),
            () = parent_gone => Ok(()),
        }
    }
}

async fn registrar(asap: SocketAddr, enrp: SocketAddr, peers: Vec<SocketAddr>) -> anyhow::Result<()> {
    let config = Config {
        listen: Listen { asap: asap.into(), enrp: enrp.into() },
        peers: peers.into_iter().map(|peer| vec![peer]).collect(),
        admin: Admin { socket: AdminSocket::Off, ..Admin::default() },
        ..Config::default()
    };
    let registrar = Registrar::spawn(config)?;
    println!("ready");
    anyhow::bail!("the registrar stopped: {}", registrar.closed().await)
}

async fn server(registrars: Vec<SocketAddr>) -> anyhow::Result<()> {
    let mut stop = signal(SignalKind::terminate())?;
    let mut element = PoolElement::builder(POOL).registrars(registrars).register().await?;
    println!("ready");
    loop {
        tokio::select! {
            session = element.accept() => {
                let session = session.context("the endpoint has ended")?;
                tokio::spawn(async move {
                    match count(session).await {
                        // Its client is gone, or goes on elsewhere.
                        Ok(()) | Err(SessionError::Lost { .. } | SessionError::Closed) => {}
                        Err(error) => eprintln!("a session ended: {error}"),
                    }
                });
            }
            _ = stop.recv() => return Ok(element.drain().await?),
        }
    }
}

/// Serves a session; its state is the count.
async fn count(session: Session) -> Result<(), SessionError> {
    let mut session = ExactlyOnce::new(session);
    while session.next().await?.is_some() {
        let count = match session.state() {
            Some(state) => u64::from_be_bytes(
                state.try_into().map_err(|_| SessionError::Unexpected("a state that is no number"))?,
            ),
            None => 0,
        };
        let count = (count + 1).to_be_bytes();
        session.answer(count, count).await?;
    }
    Ok(())
}
