//! The machine on its endpoint thread, and how the rest of this crate reaches it.

use crate::Config;
use crate::config::ListenAddress;
use crate::log;
use net::dns::{self, DnsConfig};
use net::driver::EndpointCounters;
use net::udp::UdpConfig;
use net::{Driver, DriverConfig, Handle, Listen, Stopped};
use params::RegistrarId;
use proto::registrar::{Event, Registrar};
use proto::{Channel, Time};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::broadcast;

/// A registrar machine that runs, and where it listens. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    handle: Handle<Registrar>,
    pub(crate) id: RegistrarId,
    pub(crate) asap: SocketAddr,
    pub(crate) enrp: SocketAddr,
}

impl Machine {
    /// Starts it. Its events go to `events`, and those that are worth a line to `logged`.
    pub(crate) fn start(
        config: &Config,
        events: broadcast::Sender<Event>,
        logged: broadcast::Sender<Event>,
    ) -> Result<Self, net::StartError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let mut rng = ChaCha12Rng::from_seed(seed);
        let id = config.id.unwrap_or_else(|| random_id(&mut rng));

        let udp = UdpConfig { icmp: config.sctp.icmp, encap: config.sctp.encap_port, ..UdpConfig::default() };
        let listen = |channel, at: &ListenAddress| Listen {
            transport: at.transport.with(udp.clone(), at.further.clone()),
            ..Listen::new(channel, at.address, config.sctp_endpoint())
        };
        let driver = DriverConfig {
            name: "registrar".into(),
            listen: vec![
                listen(Channel::Asap, &config.listen.asap),
                listen(Channel::Enrp, &config.listen.enrp),
            ],
            multicast: config.multicast(),
        };
        let config = config.clone();
        let handle = Driver::spawn(
            driver,
            move |addresses| {
                let port = |index: usize| addresses.get(index).map_or(0, SocketAddr::port);
                let config = proto::registrar::Config { id: Some(id), ..config.machine(port(0), port(1)) };
                Registrar::new(config, rng, Time::ZERO)
            },
            move |_, _, event| {
                // Nobody listening is no error.
                if log::shows(&event) {
                    let _ = logged.send(event.clone());
                }
                let _ = events.send(event);
            },
        )?;
        let &[asap, enrp] = handle.local_addresses() else {
            return Err(net::StartError::NoEndpoint);
        };
        Ok(Self { handle, id, asap, enrp })
    }

    /// Runs `f` with the machine on its thread: keep it short, elements and sessions wait meanwhile.
    pub(crate) async fn call<R, F>(&self, f: F) -> Result<R, Stopped>
    where
        R: Send + 'static,
        F: FnOnce(&Registrar, Time) -> R + Send + 'static,
    {
        self.handle.call(|registrar, now| f(registrar, now)).await
    }

    /// What the endpoints for ASAP and ENRP have counted; one if they share a socket.
    pub(crate) async fn counters(&self) -> Result<Vec<EndpointCounters>, Stopped> {
        self.handle.counters().await
    }

    /// Adds the registrars that DNS names for a domain, from now on and as long as this is awaited.
    pub(crate) async fn follow_dns(self, config: DnsConfig) {
        let tell = |registrars: Vec<Vec<SocketAddr>>| {
            let handle = self.handle.clone();
            async move {
                let add = move |registrar: &mut Registrar, now| {
                    registrars.into_iter().for_each(|addresses| registrar.add_peer(now, addresses));
                };
                // When it has ended nobody awaits this any more.
                let _ = handle.call(add).await;
            }
        };
        dns::follow(config, Channel::Enrp, tell).await;
    }

    /// Ends its associations in order, so that its peers take over at once, then its thread.
    pub(crate) async fn stop(&self) {
        self.handle.stop("it was stopped", LONGEST_LEAVE, Registrar::shutdown, Registrar::is_drained);
        self.handle.closed().await;
    }

    /// Waits for the end of its thread, for whatever reason.
    pub(crate) async fn closed(&self) -> Stopped {
        self.handle.closed().await
    }
}

/// A peer takes over some 2,000 elements a second: for more than it has in this time it would not be worth the wait.
const LONGEST_LEAVE: Duration = Duration::from_secs(60);

/// Any identifier but 0, which means "unknown".
fn random_id(rng: &mut ChaCha12Rng) -> RegistrarId {
    use rand_chacha::rand_core::Rng;
    RegistrarId(rng.next_u32().max(1))
}
