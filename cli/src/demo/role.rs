//! The hidden roles in which the demo executes its own binary again.
//!
//! A child binds free ports, reports what happens to it as one JSON object a line on its standard output, and
//! exits when its standard input closes: whatever becomes of the parent, nothing is left behind.

use crate::failure::Failure;
use anyhow::{Context, bail};
use pool_element::{PoolElement, Session};
use registrar::config::{Admin, AdminSocket, Listen};
use registrar::{Config, Event, Registrar};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;

/// A hidden role.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// A registrar.
    Registrar {
        /// Where to listen for ASAP.
        #[arg(long)]
        asap: SocketAddr,
        /// Where to listen for ENRP.
        #[arg(long)]
        enrp: SocketAddr,
        /// ENRP addresses of the other registrars.
        #[arg(long)]
        peer: Vec<SocketAddr>,
    },
    /// A counter server.
    Element {
        /// ASAP addresses of the registrars.
        registrars: Vec<SocketAddr>,
    },
}

/// What a child tells its parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Report {
    /// A registrar runs and listens.
    Listening { id: u32, asap: SocketAddr, enrp: SocketAddr },
    /// A registrar sees another one.
    PeerUp { id: u32 },
    /// A registrar has taken over another one, with so many servers.
    TookOver { target: u32, elements: usize },
    /// A registrar is the home of a server now.
    Owns { element: u32 },
    /// A server was removed from the handlespace by its home.
    Removed { element: u32 },
    /// A server is registered.
    Registered { id: u32 },
}

impl Report {
    fn print(&self) -> anyhow::Result<()> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        out.write_all(b"\n")?;
        out.flush().context("the demo's parent does not read any more")
    }
}

/// The pool of the demo.
pub(crate) const POOL: &str = "counter";

impl Role {
    /// Plays the role until standard input closes.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let parent_gone = async {
            let mut sink = [0; 64];
            let mut input = tokio::io::stdin();
            while !matches!(input.read(&mut sink).await, Ok(0) | Err(_)) {}
        };
        tokio::select! {
            () = parent_gone => Ok(()),
            result = self.play() => Ok(result?),
        }
    }

    async fn play(self) -> anyhow::Result<()> {
        match self {
            Self::Registrar { asap, enrp, peer } => registrar(asap, enrp, peer).await,
            Self::Element { registrars } => element(registrars).await,
        }
    }
}

/// A counter server (the same as in the README): each operation once, whatever happens to the server.
async fn element(registrars: Vec<SocketAddr>) -> anyhow::Result<()> {
    let mut element = PoolElement::builder(POOL).registrars(registrars).register().await?;
    Report::Registered { id: element.id().0 }.print()?;
    while let Some(session) = element.accept().await {
        // A session that breaks is its client's matter: that goes on at another server.
        tokio::spawn(serve(session));
    }
    Ok(())
}

/// What the cookie carries: the last operation's number and the count.
#[derive(Default)]
struct Counter {
    last: u64,
    count: u64,
}

impl Counter {
    fn encode(&self) -> Vec<u8> {
        [self.last.to_be_bytes(), self.count.to_be_bytes()].concat()
    }

    fn decode(cookie: &[u8]) -> anyhow::Result<Self> {
        let (last, count) = cookie.split_at_checked(8).context("the cookie is too short")?;
        Ok(Self { last: u64::from_be_bytes(last.try_into()?), count: u64::from_be_bytes(count.try_into()?) })
    }
}

async fn serve(mut session: Session) -> anyhow::Result<()> {
    let mut known = None;
    while let Some(request) = session.recv().await? {
        let mut state: Counter = match known {
            Some(state) => state,
            None => session.cookie().map(Counter::decode).transpose()?.unwrap_or_default(),
        };
        let seq = u64::from_be_bytes(request[..].try_into()?);
        if seq != state.last {
            state = Counter { last: seq, count: state.count + 1 };
        }
        session.set_cookie(state.encode()).await?;
        session.send(state.count.to_be_bytes()).await?;
        known = Some(state);
    }
    Ok(())
}

/// A registrar with the default profile.
async fn registrar(asap: SocketAddr, enrp: SocketAddr, peers: Vec<SocketAddr>) -> anyhow::Result<()> {
    let config = Config {
        listen: Listen { asap: asap.into(), enrp: enrp.into() },
        peers: peers.into_iter().map(|peer| vec![peer]).collect(),
        admin: Admin { socket: AdminSocket::Off, ..Admin::default() },
        ..Config::default()
    };
    let registrar = Registrar::spawn(config)?;
    let own = registrar.id();
    let mut events = registrar.events();
    Report::Listening { id: own.0, asap: registrar.asap_address(), enrp: registrar.enrp_address() }
        .print()?;
    while let Some(event) = events.next().await {
        let report = match event {
            Event::PeerUp { id, .. } => Report::PeerUp { id: id.0 },
            Event::ElementRegistered { id, home, .. } | Event::ElementReregistered { id, home, .. }
                if home == own =>
            {
                Report::Owns { element: id.0 }
            }
            Event::ElementRemoved { id, home, .. } if home == own => Report::Removed { element: id.0 },
            Event::TakeoverCompleted { target, winner, elements } if winner == own => {
                Report::TookOver { target: target.0, elements }
            }
            _ => continue,
        };
        report.print()?;
    }
    bail!("the registrar stopped: {}", registrar.closed().await)
}
