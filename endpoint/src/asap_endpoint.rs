//! The handle that tasks hold: commands to the endpoint's thread, answers back.

use crate::shell::{Attention, Leave, Shell};
use crate::{
    Config, Counters, Element, ElementOptions, EndpointError, Explanation, RegisterError, Registration,
    Resolution, ResolveError, ResolveOptions, Session, SessionError, SessionId, SessionOptions, Watch,
};
use net::dns::{self, DnsConfig};
use net::driver::{Driver, DriverConfig, Handle, Listen, StartError};
use net::sctp::{SctpConfig, SctpTiming};
use net::udp::UdpConfig;
use params::{PeIdentifier, PoolElement, PoolHandle};
use proto::endpoint::ElementId;
use proto::{Channel, Time};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The ASAP endpoint of this process: all its elements, resolutions and sessions, behind one UDP socket and with
/// one association to a registrar.
///
/// A handle: clones are the same endpoint. It lives as long as a handle, an element or a session does.
#[derive(Clone, Debug)]
pub struct AsapEndpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    handle: Handle<Shell>,
    attention: Arc<Attention>,
    local: SocketAddr,
    /// Bytes of the largest message.
    message_limit: usize,
    /// How long the endpoint may take to leave in order.
    leave: Duration,
}

impl AsapEndpoint {
    /// Opens the socket and starts the endpoint's thread. Registrars are looked for when one is needed.
    pub fn start(config: Config) -> Result<Self, EndpointError> {
        let listen = config.listen()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StartError::System(std::io::Error::other(error)))?;
        let mut machine = config.machine(seed);
        let leave = machine.timers.t3_deregistration * (machine.timers.max_reg_attempt + 1);
        let message_limit = machine.limits.message;

        let sctp = SctpConfig { timing: SctpTiming::of(config.profile), ..SctpConfig::sessions() };
        let attention = Arc::<Attention>::default();
        let driver = DriverConfig {
            name: "asap-endpoint".into(),
            listen: vec![Listen {
                transport: config.transport.with(
                    UdpConfig { icmp: config.icmp, encap: config.encap, ..UdpConfig::default() },
                    config.also_listen,
                ),
                ..Listen::new(Channel::Asap, listen, sctp)
            }],
            multicast: config.discovery.multicast.clone().map(Into::into),
        };
        let shared = Arc::clone(&attention);
        let make_shell = move |bound: &[SocketAddr]| {
            machine.port = bound.first().map_or(0, SocketAddr::port);
            Shell::new(machine, shared, Time::ZERO)
        };
        let handle = Driver::spawn(driver, make_shell, |_, _, never| match never {})?;
        if let Some(dns) = config.discovery.dns_config() {
            follow_dns(dns, handle.clone())?;
        }
        let local = handle.local_addresses().first().copied().unwrap_or(listen);
        Ok(Self { inner: Arc::new(Inner { handle, attention, local, message_limit, leave }) })
    }

    /// Where sessions and registrars reach this endpoint.
    pub fn local_address(&self) -> SocketAddr {
        self.inner.local
    }

    /// Gives this handle up and waits until the endpoint has taken its leave of its registrar and has ended: for
    /// a process that ends next. While others hold a handle it goes on. Whoever stops waiting does not stop it.
    pub async fn close(self) {
        let handle = self.inner.handle.clone();
        drop(self);
        handle.closed().await;
    }

    /// Registers an element and keeps it registered. Returns when a registrar has confirmed it. Cancel-safe: whoever stops
    /// waiting takes the registration back, in the background, as if the element had been dropped.
    pub async fn register(
        &self,
        registration: Registration,
        options: ElementOptions,
    ) -> Result<Element, RegisterError> {
        let endpoint = self.clone();
        let mut element =
            self.call(move |shell, now| shell.register(now, registration, options, endpoint)).await??;
        element.registered().await?;
        tracing::info!(pool = %element.pool(), id = %element.id(), "registered");
        Ok(element)
    }

    /// What happened at this endpoint that nothing else tells. Cancel-safe.
    pub async fn counters(&self) -> Result<Counters, EndpointError> {
        self.call(|shell, _| shell.machine().counters().clone()).await
    }

    /// Resolves a pool handle (RFC 5352 §3.3). Cancel-safe.
    pub async fn resolve(
        &self,
        pool: PoolHandle,
        options: ResolveOptions,
    ) -> Result<Resolution, ResolveError> {
        let answer = self.call(move |shell, now| shell.resolve(now, pool, options)).await??;
        answer.await.map_err(|_| EndpointError::stopped())?
    }

    /// Watches a pool (RFC 5352 §2.2.5): its changes are pushed by the registrar, or asked for now and then.
    /// Cancel-safe.
    pub async fn watch(&self, pool: PoolHandle) -> Result<Watch, EndpointError> {
        let endpoint = self.clone();
        self.call(move |shell, now| shell.watch(now, pool, endpoint)).await?
    }

    /// Reports an element that cannot be reached to the registrar (RFC 5352 §3.5). Sessions do so by themselves.
    /// Cancel-safe: when the future is dropped it is reported or not.
    pub async fn report_unreachable(&self, pool: PoolHandle, id: PeIdentifier) -> Result<(), EndpointError> {
        self.call(move |shell, now| shell.machine().report_unreachable(now, &pool, id)).await
    }

    /// What is known of a pool and of its elements, and why they are chosen or avoided; nothing if it was not resolved here
    /// lately. Asks nobody. Cancel-safe.
    pub async fn explain(&self, pool: PoolHandle) -> Result<Option<Explanation>, EndpointError> {
        self.call(move |shell, now| shell.machine().explain(now, &pool)).await
    }

    /// Forgets what is known of a pool and of its elements (RFC 5352 §6.4): whoever uses it next asks a registrar.
    /// Cancel-safe.
    pub async fn purge(&self, pool: PoolHandle) -> Result<(), EndpointError> {
        self.call(move |shell, _| shell.machine().purge(&pool)).await
    }

    /// Starts a session with a pool. Returns when a server is connected; whoever stops waiting ends it.
    pub async fn connect(
        &self,
        pool: PoolHandle,
        options: SessionOptions,
    ) -> Result<(Session, PeIdentifier), SessionError> {
        self.connect_preferring(pool, Vec::new(), options).await
    }

    /// As [`AsapEndpoint::connect`], but begins with the first of these elements, whatever the policy prefers, and goes on with
    /// the others ([`connect_preferring`](proto::endpoint::AsapEndpoint::connect_preferring)). None is no preference.
    pub async fn connect_preferring(
        &self,
        pool: PoolHandle,
        preferred: Vec<PoolElement>,
        options: SessionOptions,
    ) -> Result<(Session, PeIdentifier), SessionError> {
        let endpoint = self.clone();
        let (session, connected) =
            self.call(move |shell, now| shell.connect(now, pool, &preferred, options, endpoint)).await??;
        let server = connected.await.map_err(|_| EndpointError::stopped())??;
        Ok((session, server))
    }

    /// Runs a command on the endpoint's thread, after the work that waits there.
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Shell, Time) -> R + Send + 'static,
    ) -> Result<R, EndpointError> {
        Ok(self.inner.handle.call(move |shell, now| shell.run(now, command)).await?)
    }

    /// Makes the endpoint's thread look at a session.
    pub(crate) fn attend(&self, session: SessionId) {
        if self.inner.attention.session(session) {
            self.wake();
        }
    }

    /// Makes the endpoint's thread let go of an element, unless it was told so before.
    pub(crate) fn let_go(&self, element: ElementId, leave: Leave) {
        if self.inner.attention.element(element, leave) {
            self.wake();
        }
    }

    /// Makes the endpoint's thread look whether anybody still watches a pool.
    pub(crate) fn stop_watching(&self, pool: &PoolHandle) {
        if self.inner.attention.pool(pool) {
            self.wake();
        }
    }

    /// Has the endpoint's thread do the work that waits.
    fn wake(&self) {
        // A full queue needs no further command: each of those in it does this work first. A stopped endpoint
        // has no work.
        let _ = self.inner.handle.try_call(|shell, now| shell.run(now, |_, _| ()));
    }

    pub(crate) fn message_limit(&self) -> usize {
        self.inner.message_limit
    }
}

/// Adds the registrars that DNS names, on a thread that ends with the endpoint: whoever uses this library need not be in
/// a tokio runtime that lives as long.
fn follow_dns(config: DnsConfig, handle: Handle<Shell>) -> Result<(), EndpointError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(StartError::System)?;
    let follow = async move {
        let tell = |registrars: Vec<Vec<SocketAddr>>| {
            let handle = handle.clone();
            async move {
                let add = move |shell: &mut Shell, now| {
                    shell.run(now, |shell, now| {
                        registrars.into_iter().for_each(|one| shell.machine().add_registrar(now, one));
                    });
                };
                // When it has ended this ends, too.
                let _ = handle.call(add).await;
            }
        };
        tokio::select! {
            () = dns::follow(config, Channel::Asap, tell) => {}
            _ = handle.closed() => {}
        }
    };
    let thread = std::thread::Builder::new().name("asap-dns".into());
    thread.spawn(move || runtime.block_on(follow)).map_err(StartError::System)?;
    Ok(())
}

impl Drop for Inner {
    /// Nobody needs the endpoint any more: it deregisters what is registered, closes what is open, and ends.
    fn drop(&mut self) {
        self.handle.stop(
            "nobody needs it any more",
            self.leave,
            |shell, now| shell.run(now, |shell, now| shell.machine().shutdown(now)),
            Shell::is_drained,
        );
    }
}
