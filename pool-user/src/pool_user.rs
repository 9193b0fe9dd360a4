//! The client of a process.

use crate::Session;
use endpoint::{
    AsapEndpoint, Avoidance, CacheOptions, Compat, Config, Discovery, EncapPorts, EndpointError, Explanation,
    Profile, ReplayLimits, Resolution, ResolveError, ResolveOptions, RetryBudget, SessionError,
    SessionOptions, TransportKind, Watch,
};
use params::{PeIdentifier, PoolElement, PoolHandle};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// A client of pools. A handle: clones share one endpoint, with one socket, whatever the number of sessions.
///
/// Nothing happens before it is used: the first operation opens the socket and tells if that fails.
#[derive(Clone, Debug)]
pub struct PoolUser {
    endpoint: Arc<OnceCell<AsapEndpoint>>,
    config: Config,
    session: SessionOptions,
}

impl PoolUser {
    /// A client that asks these registrars, with the defaults of [`PoolUser::builder`].
    pub fn new(registrars: impl Into<Discovery>) -> Self {
        Self::builder(registrars).build()
    }

    /// A client that asks these registrars: the addresses of one or more, in any order, or how to find them
    /// ([`Discovery`]).
    ///
    /// ```
    /// # use rserpool_pool_user::{Discovery, PoolUser};
    /// let known = PoolUser::builder(["127.0.0.1:3863".parse()?, "127.0.0.1:3864".parse()?]);
    /// let named = PoolUser::builder(Discovery::new().dns("example.net"));
    /// # Ok::<_, std::net::AddrParseError>(())
    /// ```
    pub fn builder(registrars: impl Into<Discovery>) -> Builder {
        Builder { config: Config::new(registrars), endpoint: None, session: SessionOptions::default() }
    }

    /// A client that shares the endpoint of a pool element of this process.
    pub fn sharing(endpoint: &AsapEndpoint) -> Self {
        Self::builder(Discovery::new()).endpoint(endpoint).build()
    }

    /// The endpoint, started if it was not yet, to share it. Cancel-safe.
    pub async fn endpoint(&self) -> Result<&AsapEndpoint, EndpointError> {
        self.endpoint.get_or_try_init(async || AsapEndpoint::start(self.config.clone())).await
    }

    /// Starts a session with a server of this pool, chosen by the pool's policy. If it cannot be reached the next one
    /// is tried. Cancel-safe: a session that nobody waits for any more is ended.
    ///
    /// # Errors
    /// At once: there is no such pool, or the registrar refuses to resolve it. After the [patience](Builder::patience): no registrar
    /// is reachable and nothing is known of the pool, none of its servers can be reached, or each refuses the session.
    pub async fn connect(&self, pool: impl Into<PoolHandle>) -> Result<Session, SessionError> {
        let (session, element) = self.endpoint().await?.connect(pool.into(), self.session).await?;
        Ok(Session::new(session, element))
    }

    /// As [`PoolUser::connect`], but begins with the first of these elements of the pool, where it says that it is, whatever the
    /// policy prefers: one that a resolution named, or that was kept from earlier. If it cannot be reached, or not soon, the others
    /// come before the policy, as far as the registrar lists them. [`Session::element`] tells which it became. Cancel-safe.
    ///
    /// # Errors
    /// As [`PoolUser::connect`], and if none of them has an SCTP transport.
    pub async fn connect_preferring(
        &self,
        pool: impl Into<PoolHandle>,
        elements: impl IntoIterator<Item = PoolElement>,
    ) -> Result<Session, SessionError> {
        let preferred = elements.into_iter().collect();
        let endpoint = self.endpoint().await?;
        let (session, element) = endpoint.connect_preferring(pool.into(), preferred, self.session).await?;
        Ok(Session::new(session, element))
    }

    /// The pool's elements, the one to be tried first in front: each time another one, as the pool's policy demands. For
    /// clients that connect by themselves, together with [`PoolUser::report_unreachable`]. Answered from the cache as far
    /// as the [`CacheOptions`] allow it; [`Resolution::stale`] says when it is not fresh. Cancel-safe.
    ///
    /// # Errors
    /// There is no such pool, the registrar refuses, or none answers and nothing is known from earlier.
    pub async fn resolve(&self, pool: impl Into<PoolHandle>) -> Result<Resolution, ResolveError> {
        self.endpoint().await?.resolve(pool.into(), ResolveOptions::default()).await
    }

    /// The element to use now, chosen by the pool's policy: the first of [`PoolUser::resolve`]. Cancel-safe.
    ///
    /// # Errors
    /// As [`PoolUser::resolve`].
    pub async fn choose(&self, pool: impl Into<PoolHandle>) -> Result<PoolElement, ResolveError> {
        let pool = pool.into();
        let resolution = self.resolve(pool.clone()).await?;
        resolution.elements.into_iter().next().ok_or(ResolveError::UnknownPool(pool))
    }

    /// The pool's elements now and after each change, until the [`Watch`] is dropped. The registrar pushes changes, if it
    /// can; else it is asked every [`CacheOptions::poll_interval`]. A pool that does not exist yet can be watched, too. Cancel-safe.
    pub async fn watch(&self, pool: impl Into<PoolHandle>) -> Result<Watch, EndpointError> {
        self.endpoint().await?.watch(pool.into()).await
    }

    /// As [`PoolUser::resolve`], but always asks a registrar. Cancel-safe.
    pub async fn resolve_uncached(&self, pool: impl Into<PoolHandle>) -> Result<Resolution, ResolveError> {
        let options = ResolveOptions::new().uncached(true);
        self.endpoint().await?.resolve(pool.into(), options).await
    }

    /// Says that an element of [`PoolUser::resolve`] could not be reached: others are preferred for a while, and the
    /// registrar is told, once an event. It checks the element, and removes it if it does not answer. If nothing else can be
    /// heard either, the fault may be on this side, and nobody is blamed until something is. Sessions of this library
    /// report by themselves.
    ///
    /// Cancel-safe: when the future is dropped it is said or not. An element that has left the pool meanwhile needs no report.
    pub async fn report_unreachable(
        &self,
        pool: impl Into<PoolHandle>,
        element: PeIdentifier,
    ) -> Result<(), EndpointError> {
        self.endpoint().await?.report_unreachable(pool.into(), element).await
    }

    /// Forgets what is known of a pool and of its elements: whoever uses it next asks a registrar (RFC 5352 §6.4). Cancel-safe.
    pub async fn purge(&self, pool: impl Into<PoolHandle>) -> Result<(), EndpointError> {
        self.endpoint().await?.purge(pool.into()).await
    }

    /// What is known of a pool and of its elements, and why they are chosen or avoided; `None` if it was not resolved here
    /// lately. Asks nobody. Cancel-safe.
    pub async fn explain(&self, pool: impl Into<PoolHandle>) -> Result<Option<Explanation>, EndpointError> {
        self.endpoint().await?.explain(pool.into()).await
    }
}

/// How a client is set up. See [`PoolUser::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build()"]
pub struct Builder {
    config: Config,
    endpoint: Option<AsapEndpoint>,
    session: SessionOptions,
}

impl Builder {
    /// What is kept of resolved pools, how long it is used, and how it is kept up to date. Default: [`CacheOptions::default`].
    pub fn cache(mut self, cache: CacheOptions) -> Self {
        self.config.cache = cache;
        self
    }

    /// When elements that failed are avoided. Default: [`Avoidance::default`].
    pub fn avoidance(mut self, avoidance: Avoidance) -> Self {
        self.config.avoidance = avoidance;
        self
    }

    /// How many failures are reported to the registrar, a second; zero: none. Default: 10.
    pub fn reports_per_second(mut self, reports: u32) -> Self {
        self.config.reports_per_second = reports;
        self
    }

    /// How much sessions may try at once beside the first element of each search; `None`: no limit. Default:
    /// [`RetryBudget::default`].
    pub fn retry_budget(mut self, budget: Option<RetryBudget>) -> Self {
        self.config.retry_budget = budget;
        self
    }

    /// How long a connect may take before another element is tried beside it; zero: never. Default: 100 ms with
    /// [`Profile::Lan`], 1 s with [`Profile::Wan`], never with the others, which know no such thing.
    pub fn connect_stagger(mut self, stagger: Duration) -> Self {
        self.config.connect_stagger = Some(stagger);
        self
    }

    /// Timers and thresholds. Default: [`Profile::Lan`].
    pub fn profile(mut self, profile: Profile) -> Self {
        self.config.profile = profile;
        self
    }

    /// The scope's dialect: [`Compat::Rsplib`] where rsplib takes part. Default: [`Compat::Rfc`].
    pub fn compat(mut self, compat: Compat) -> Self {
        self.config.compat = compat;
        self
    }

    /// The address of the client's UDP socket. Default: any free port, on loopback if all registrars are known to be there, else
    /// on all addresses.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen = Some(address);
        self
    }

    /// Further local addresses, on the port of [`Self::listen`], which then has to be a specified address, too: in several
    /// networks, an association lives on as long as one path works.
    pub fn also_listen(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.config.also_listen.extend(addresses);
        self
    }

    /// What carries SCTP, the same for the whole scope. Default: [`TransportKind::Udp`], which needs no privilege.
    pub fn sctp_over(mut self, transport: TransportKind) -> Self {
        self.config.transport = transport;
        self
    }

    /// For a scope with members whose SCTP is a kernel's: all SCTP ports of a host are behind this UDP port (RFC 6951).
    /// 9899 is the assigned one. The client's own UDP port is any free one. Default: an address says with its SCTP port
    /// which UDP port it is.
    pub fn encap_port(mut self, port: u16) -> Self {
        self.config.encap = Some(EncapPorts::client(port));
        self
    }

    /// Whether ICMP messages are listened to (default: yes): a server whose process is gone is then noticed at once
    /// instead of by its silence.
    pub fn icmp(mut self, icmp: bool) -> Self {
        self.config.icmp = icmp;
        self
    }

    /// How long a session looks for a server, at first and at each failover, before it gives up; also for a registrar, if none is
    /// there. A pool that no registrar knows ends the search at once. Default: 30 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.session.patience = patience;
        self
    }

    /// Has sessions keep what they have sent since the server's last cookie, and send it again after a failover: behind the
    /// cookie, in order, before anything new. For servers that set a cookie now and then and not with each answer. Default: no.
    ///
    /// It is for sessions in which every message of the server answers one of the client, in their order, all on stream 0.
    /// A cookie covers what was answered before it came; that is forgotten.
    ///
    /// * *Guaranteed*: everything that was sent is done at least once by a server that has what was done before, in the order in
    ///   which it was sent; each answer comes once; what is sent before [`Received::Failover`](crate::Received::Failover) is seen
    ///   comes in its place.
    /// * *Not guaranteed*: that what is in no cookie is done once outside of the session's state. And a server that sets
    ///   its cookie before an answer gets the request of that answer again: it has to recognise it, as
    ///   [`ExactlyOnce`](crate::ExactlyOnce) does.
    /// * *The end of it*: a session that has to keep more than this goes on without. A warning is logged, and
    ///   [`Received::Failover`](crate::Received::Failover) says then that nothing was sent again.
    pub fn replay(mut self, limits: ReplayLimits) -> Self {
        self.session.replay = Some(limits);
        self
    }

    /// Shares an endpoint that this process has already, of a pool element or of another client, with that one's registrars,
    /// address, profile and cache. What is left to choose is how sessions behave. See also [`PoolUser::sharing`].
    pub fn endpoint(mut self, endpoint: &AsapEndpoint) -> Self {
        self.endpoint = Some(endpoint.clone());
        self
    }

    /// The client. Its endpoint starts when it is first used.
    pub fn build(self) -> PoolUser {
        let Self { config, endpoint, session } = self;
        PoolUser { endpoint: Arc::new(OnceCell::new_with(endpoint)), config, session }
    }
}
