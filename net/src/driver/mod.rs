//! The endpoint thread: a state machine, its SCTP endpoints and the clock, driven in one loop.
//!
//! One thread runs a current-thread tokio runtime and owns everything; nothing on a message's way crosses a
//! thread or takes a lock. Others reach the machine through a [`Handle`]: bounded commands in, one-shot answers
//! out, and events through a closure that runs on the thread.
//!
//! Each turn does, in this order and each with a bound, so that nothing starves anything else:
//!
//! 1. read the sockets, input to the machine, unless it still has transmits from the turn before; 2. commands; 3. timers that are due by the clamped clock;
//! 4. the machine's transmits to the endpoints, its events to the sink; 5. send.

mod alarm;
mod handle;
mod path_log;
mod ports;
mod transport;
mod turn;

pub use handle::{CallError, EndpointCounters, Handle, Stopped};
pub use transport::{BackendCounters, Transport, TransportKind};

use crate::clock::Clock;
use crate::multicast::{Local, Multicast, MulticastConfig};
use crate::sctp::SctpConfig;
use alarm::Alarm;
use proto::{Channel, Node, Time};
use std::io;
use std::net::SocketAddr;
use std::thread;
use tokio::runtime::Builder;
use tracing::debug;
use transport::{Bound, Opened};
use turn::Turns;

/// What a driver is started with.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// The thread's name (15 bytes are seen by the system).
    pub name: String,
    /// The endpoints. Neighbours that can share a socket do ([`Transport::shares`]); they then have the SCTP settings of
    /// the first of them. Associations of [`Channel::Asap`] and [`Channel::Session`] use the first, those of another
    /// channel the endpoint of that channel (or the first, if there is none).
    pub listen: Vec<Listen>,
    /// The multicast groups for announcements, if any. With a configuration, even one without groups, the machine is told
    /// its addresses ([`Input::Addresses`](proto::Input::Addresses)).
    pub multicast: Option<MulticastConfig>,
}

/// An endpoint to open.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The channel of the associations that peers start here.
    pub channel: Channel,
    /// Address and SCTP port; port 0 takes any free one.
    pub address: SocketAddr,
    /// The SCTP endpoint.
    pub sctp: SctpConfig,
    /// What carries it.
    pub transport: Transport,
}

impl Listen {
    /// An endpoint of the embedded SCTP over UDP.
    pub fn new(channel: Channel, address: SocketAddr, sctp: SctpConfig) -> Self {
        Self { channel, address, sctp, transport: Transport::default() }
    }
}

/// Why a driver could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No address to listen on was given.
    #[error("no address to listen on")]
    NoEndpoint,
    /// Another process, or another endpoint of this one, has the port.
    #[error("{address} is already in use by another process")]
    AddressInUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Somebody has the UDP port behind which our SCTP ports were to be ([`UdpConfig::encap`](crate::udp::UdpConfig)).
    #[error("the UDP port {address} for SCTP (encap-port) is already in use by {owner}")]
    EncapPortInUse {
        /// The address that was asked for.
        address: SocketAddr,
        /// Who has it, and what to do.
        owner: &'static str,
    },
    /// There is no raw socket.
    #[error(transparent)]
    Raw(#[from] crate::raw::RawError),
    /// The address cannot be bound: it is not one of this host, or the port needs a privilege.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said. The text has it already, so it is no `source`.
        error: io::Error,
    },
    /// [`Transport::Kernel`] on a system without it.
    #[error(
        "the kernel of this system has no SCTP: load it with \"modprobe sctp\", or use the transport \"udp\""
    )]
    NoKernelSctp,
    /// The system has no more threads, descriptors or random numbers.
    #[error("cannot start the endpoint thread: {0}")]
    System(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Starts endpoint threads.
#[derive(Debug)]
pub struct Driver;

impl Driver {
    /// Binds the sockets and starts the thread.
    ///
    /// `make_node` makes the machine on the thread, at [`Time::ZERO`], from the addresses that were bound (in the
    /// order of `config.listen`, port 0 replaced by the port taken). `on_event` is called there for every event
    /// of the machine; it must not block. It may call the machine, whose next transmits are then carried out.
    pub fn spawn<N, M, E>(config: DriverConfig, make_node: M, on_event: E) -> Result<Handle<N>, StartError>
    where
        N: Node + 'static,
        M: FnOnce(&[SocketAddr]) -> N + Send + 'static,
        E: FnMut(&mut N, Time, N::Event) + Send + 'static,
    {
        let bound = bind_all(&config.listen)?;
        if config.multicast.as_ref().is_some_and(|multicast| !multicast.groups.is_empty()) {
            bound.iter().try_for_each(Bound::admit_groups)?;
        }
        let addresses: Vec<SocketAddr> = bound.iter().flat_map(Bound::local_addresses).collect();
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let mut seeds = vec![[0; 32]; bound.len()];
        for seed in &mut seeds {
            getrandom::fill(seed).map_err(io::Error::other)?;
        }
        let (handle, receiver) = handle::new(addresses.clone());
        let multicast = config.multicast.map(|multicast| {
            Multicast::new(multicast, config.listen.iter().zip(&addresses).map(local).collect())
        });
        let run = move || async move {
            let opened =
                open_all(&config.listen, bound, seeds).and_then(|endpoints| Ok((endpoints, Alarm::new()?)));
            match opened {
                Ok((endpoints, alarm)) => {
                    let node = make_node(&addresses);
                    Turns::new(Clock::system(), alarm, endpoints, multicast, node, on_event, receiver)
                        .run()
                        .await;
                }
                Err(error) => receiver.end(format!("it could not start: {error}")),
            }
        };
        thread::Builder::new().name(config.name).spawn(move || runtime.block_on(run()))?;
        Ok(handle)
    }
}

/// Where an endpoint is, for announcements.
fn local((listen, bound): (&Listen, &SocketAddr)) -> Local {
    let further = listen.transport.further_addresses().iter();
    let further = further.map(|ip| SocketAddr::new(*ip, bound.port()));
    Local { channel: listen.channel, addresses: std::iter::once(*bound).chain(further).collect() }
}

fn bind_all(listen: &[Listen]) -> Result<Vec<Bound>, StartError> {
    if listen.is_empty() {
        return Err(StartError::NoEndpoint);
    }
    let bind = |group: &[Listen]| {
        let bound = Bound::bind(group)?;
        for (listen, address) in group.iter().zip(bound.local_addresses()) {
            debug!(channel = ?listen.channel, %address, transport = ?listen.transport, "listening");
        }
        Ok(bound)
    };
    groups(listen).map(bind).collect()
}

/// Must be called inside the thread's runtime.
fn open_all(listen: &[Listen], bound: Vec<Bound>, seeds: Vec<[u8; 32]>) -> io::Result<Vec<Opened>> {
    let all = groups(listen).zip(bound).zip(seeds);
    all.map(|((group, bound), seed)| {
        let channels = group.iter().map(|listen| listen.channel).collect();
        Ok(Opened { channels, backend: bound.open(group, seed)? })
    })
    .collect()
}

/// Those that share a socket.
fn groups(listen: &[Listen]) -> impl Iterator<Item = &[Listen]> {
    listen.chunk_by(|one, next| {
        one.transport == next.transport && one.transport.shares() && one.address.ip() == next.address.ip()
    })
}
