//! The registrar that runs inside a program: the daemon is one such program.

use crate::admin::{self, AdminError};
use crate::machine::Machine;
use crate::{Config, ConfigError, Event, Status, Stopped, component_status, log};
use net::dns::DnsConfig;
use params::RegistrarId;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tracing::warn;

/// Events kept for a listener that is slow; older ones are lost to it, and counted.
const EVENT_BACKLOG: usize = 4096;

/// A running registrar. Dropping it ends it at once, as if the process had died; [`stop`](Self::stop) takes leave.
#[derive(Debug)]
pub struct Registrar {
    machine: Machine,
    events: broadcast::Sender<Event>,
    /// For the first listener: has everything from the start on.
    first_events: Mutex<Option<Events>>,
    admin: admin::Server,
    /// What reports to a monitor; ends by itself when the machine has stopped.
    reporter: JoinSet<()>,
    /// What writes the log and asks DNS; ends with the registrar.
    _tasks: JoinSet<()>,
}

/// Why a registrar could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address is taken: by another registrar, most likely.
    #[error("cannot listen on {address} ({protocol}): address in use; is another registrar running?")]
    AddressInUse {
        /// The address that was asked for.
        address: SocketAddr,
        /// `ASAP` or `ENRP`.
        protocol: &'static str,
    },
    /// The SCTP endpoints could not start.
    #[error(transparent)]
    Endpoint(net::StartError),
    /// The admin API could not start.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// [`Registrar::spawn`] was called where no tokio runtime is.
    #[error("a registrar must be spawned inside a tokio runtime")]
    NoRuntime,
}

impl Registrar {
    /// Starts a registrar: binds its ports, and serves from its own thread. Must be called inside a tokio runtime,
    /// on which the admin API and the log run.
    pub fn spawn(config: Config) -> Result<Self, StartError> {
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        config.check()?;
        warn_of_open_addresses(&config);

        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let (logged, _) = broadcast::channel(EVENT_BACKLOG);
        let mut tasks = JoinSet::new();
        tasks.spawn_on(log::follow(Events::new(&logged)), &runtime);
        let first_events = Mutex::new(Some(Events::new(&events)));
        let machine =
            Machine::start(&config, events.clone(), logged).map_err(|error| start_error(error, &config))?;
        let admin =
            admin::Server::start(&config.admin, machine.asap.port(), &admin::router(machine.clone()))?;
        for domain in &config.dns.domains {
            let dns = DnsConfig { domain: domain.clone(), server: config.dns.server };
            tasks.spawn_on(machine.clone().follow_dns(dns), &runtime);
        }
        let mut reporter = JoinSet::new();
        if let Some(monitor) = config.component_status.monitor {
            let report = component_status::report(machine.clone(), monitor, config.component_status);
            reporter.spawn_on(report, &runtime);
        }
        Ok(Self { machine, events, first_events, admin, reporter, _tasks: tasks })
    }

    /// Its identifier.
    pub fn id(&self) -> RegistrarId {
        self.machine.id
    }

    /// Where it serves pool elements and pool users: what they are given as registrar.
    pub fn asap_address(&self) -> SocketAddr {
        self.machine.asap
    }

    /// Where it talks to other registrars: what they are given as peer.
    pub fn enrp_address(&self) -> SocketAddr {
        self.machine.enrp
    }

    /// The Unix socket of the admin API.
    pub fn admin_socket(&self) -> Option<&Path> {
        self.admin.socket()
    }

    /// The TCP address of the admin API.
    pub fn admin_tcp(&self) -> Option<SocketAddr> {
        self.admin.tcp()
    }

    /// How it is.
    pub async fn status(&self) -> Result<Status, Stopped> {
        self.machine.call(|registrar, now| registrar.status(now)).await
    }

    /// What happens from now on; the first time it is called, from the start on.
    pub fn events(&self) -> Events {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| Events::new(&self.events))
    }

    /// Stops in order: hands its elements to its peers at once, and ends when they have followed their new home. Takes
    /// two seconds at most, and longer with thousands of elements, which move at 2,000 a second: a minute at most.
    pub async fn stop(mut self) {
        self.machine.stop().await;
        while self.reporter.join_next().await.is_some() {}
    }

    /// Waits until it has ended without having been asked to, which only an error in it can cause; says why.
    pub async fn closed(&self) -> Stopped {
        self.machine.closed().await
    }
}

/// The events of a registrar, in order.
///
/// A listener that lags behind by some thousands loses the oldest ones: the registrar does not wait for it.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
    missed: u64,
}

impl Events {
    fn new(events: &broadcast::Sender<Event>) -> Self {
        Self { receiver: events.subscribe(), missed: 0 }
    }

    /// The next one; `None` after the registrar has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.missed += missed,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many were lost so far because this listener was too slow.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

/// There is no authentication yet: whoever listens to a network should know (design D12).
fn warn_of_open_addresses(config: &Config) {
    for (protocol, address) in [("ASAP", &config.listen.asap), ("ENRP", &config.listen.enrp)] {
        if !address.address.ip().is_loopback() || address.further.iter().any(|ip| !ip.is_loopback()) {
            warn!(
                "{protocol} listens on {address} without authentication: \
                 whoever can reach it can register and remove servers"
            );
        }
    }
}

fn start_error(error: net::StartError, config: &Config) -> StartError {
    match error {
        net::StartError::AddressInUse { address } => {
            let protocol = if address == config.listen.asap.address { "ASAP" } else { "ENRP" };
            StartError::AddressInUse { address, protocol }
        }
        other => StartError::Endpoint(other),
    }
}
