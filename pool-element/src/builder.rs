//! How an element is to be registered.

use crate::{Check, PoolElement, Service};
use endpoint::{
    AsapEndpoint, Compat, Config, CookieSealing, Discovery, ElementOptions, ElementTransport, EncapPorts,
    EndpointError, LoadUpdates, Profile, RegisterError, Registration, TransportKind,
};
use params::{PeIdentifier, Policy, PoolHandle, Transport};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How an element is to be registered. See [`PoolElement::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before register()"]
pub struct Builder {
    registration: Registration,
    config: Config,
    endpoint: Option<AsapEndpoint>,
    options: ElementOptions,
    grace: Duration,
}

impl Builder {
    pub(crate) fn new(pool: PoolHandle) -> Self {
        let mut config = Config::new(Discovery::new());
        config.listen = Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0));
        Self {
            registration: Registration {
                handle: pool,
                policy: Policy::RoundRobin,
                life: Some(Duration::from_secs(30)),
                id: None,
                transport: ElementTransport::Sessions,
            },
            config,
            endpoint: None,
            options: ElementOptions::default(),
            grace: Duration::from_secs(10),
        }
    }

    /// How the pool's clients choose among its elements, with this element's values. All elements of a pool
    /// have the same policy. Default: round robin.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.registration.policy = policy;
        self
    }

    /// The registrars: the addresses of one or more, in any order, or how to find them ([`Discovery`]). One of them becomes
    /// the element's home; the others are there in case it dies. Not needed if the element shares an
    /// [endpoint](Self::endpoint).
    ///
    /// ```
    /// # use rserpool_pool_element::{Discovery, PoolElement};
    /// let known = PoolElement::builder("counter").registrars(["127.0.0.1:3863".parse()?, "127.0.0.1:3864".parse()?]);
    /// let named = PoolElement::builder("counter").registrars(Discovery::new().dns("example.net")).listen("10.0.0.7:0".parse()?);
    /// # Ok::<_, std::net::AddrParseError>(())
    /// ```
    ///
    /// To hear registrars that announce themselves, and to reach those that DNS names, the element has to [listen](Self::listen) in
    /// their network.
    pub fn registrars(mut self, registrars: impl Into<Discovery>) -> Self {
        self.config.discovery = registrars.into();
        self
    }

    /// A fixed identifier within the pool. Default: a random one.
    pub fn id(mut self, id: PeIdentifier) -> Self {
        self.registration.id = Some(id);
        self
    }

    /// How long the registration outlives the element's process if no registrar notices its death; it is renewed
    /// as long as the process lives. Whole seconds. Default: 30 seconds.
    pub fn life(mut self, life: Duration) -> Self {
        self.registration.life = Some(life);
        self
    }

    /// Where sessions and registrars reach the element: the port is a UDP port and the SCTP port, 0 takes any free
    /// one. With [`Self::encap_port`] it is the SCTP port alone. Default: `127.0.0.1:0`, which nobody outside this host can reach.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen = Some(address);
        self
    }

    /// Further local addresses, on the port of [`Self::listen`], which then has to be a specified address, too: in several
    /// networks, an association lives on as long as one path works. All are registered. (With [`TransportKind::Kernel`]
    /// to listen on `0.0.0.0` or `[::]` uses all addresses of the host.)
    pub fn also_listen(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.config.also_listen.extend(addresses);
        self
    }

    /// What carries SCTP, the same for the whole scope. Default: [`TransportKind::Udp`], which needs no privilege.
    pub fn sctp_over(mut self, transport: TransportKind) -> Self {
        self.config.transport = transport;
        self
    }

    /// For a scope with members whose SCTP is a kernel's: all SCTP ports of a host are behind this UDP port (RFC 6951), of
    /// this host as of all others. 9899 is the assigned one. One process of an address can have it. Default: the UDP
    /// port has the number of the SCTP port.
    pub fn encap_port(mut self, port: u16) -> Self {
        self.config.encap = Some(EncapPorts::same(port));
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

    /// Registers a server that is not this library's, at [`Transport::tcp`], [`Transport::udp`] or [`Transport::sctp`] of this
    /// host. There will be no sessions to accept; clients resolve the pool and connect by themselves. See also
    /// [`Self::register_while`].
    pub fn service(mut self, transport: Transport) -> Self {
        self.registration.transport = ElementTransport::Other(transport);
        self
    }

    /// How often a changing load is registered ([`PoolElement::set_load`]). Default: [`LoadUpdates::default`].
    pub fn load_updates(mut self, updates: LoadUpdates) -> Self {
        self.config.load_updates = updates;
        self
    }

    /// How long a new session waits for a cookie before [`PoolElement::accept`] returns it without one: nothing
    /// announces that no cookie will come. A first message ends the wait. Default: 200 ms with [`Profile::Lan`];
    /// zero does not wait.
    pub fn cookie_wait(mut self, wait: Duration) -> Self {
        self.config.cookie_wait = Some(wait);
        self
    }

    /// Seals the cookies that this element's sessions set, with keys that the pool's elements share, and refuses sessions
    /// whose cookie is not sealed with one of them, has expired, was altered, or is another pool's. The client of a refused
    /// session tries other elements; the refusal is logged and counted ([`AsapEndpoint::counters`]).
    ///
    /// Default: cookies are not sealed. What comes back is what some client makes of it then.
    ///
    /// ```
    /// # use rserpool_pool_element::{CookieKey, CookieSealing, PoolElement};
    /// # use std::time::Duration;
    /// # let (newest, former) = ([1; 32], [2; 32]);
    /// let sealing = CookieSealing::new(CookieKey::new(2, newest)) // the secret is from the pool's configuration
    ///     .also_open([CookieKey::new(1, former)])
    ///     .life(Duration::from_secs(600));
    /// let builder = PoolElement::builder("counter").seal_cookies(sealing);
    /// ```
    ///
    /// Keys are rotated in three steps, each at all elements before the next: open with the new key, too; seal with it;
    /// drop the old one after the life of a cookie.
    pub fn seal_cookies(mut self, sealing: CookieSealing) -> Self {
        self.options = self.options.cookies(sealing);
        self
    }

    /// Whom clients shall prefer when this element is gone, the first one in front: a business card (RFC 5352 §3.9), sent at
    /// the beginning of each session. Clients follow it before the pool's policy, as far as the registrar lists the
    /// elements. Default: nobody; the policy decides. Not sent where rsplib takes part, which cannot read it.
    pub fn failover_order(mut self, elements: impl IntoIterator<Item = PeIdentifier>) -> Self {
        self.options = self.options.failover_order(elements);
        self
    }

    /// How long sessions may go on when the element is [drained](PoolElement::drain), and the longest time that is waited for those
    /// who have subscribed to the pool. Default: 10 seconds; zero ends the sessions at once and waits for nobody.
    pub fn drain_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Registers at an endpoint that this process has already, of another element or of a pool user, with that one's
    /// registrars, address, profile and cookie wait. One element of an endpoint can accept sessions.
    pub fn endpoint(mut self, endpoint: &AsapEndpoint) -> Self {
        self.endpoint = Some(endpoint.clone());
        self
    }

    /// Registers. Returns when a registrar has confirmed it; fails when none answers within a few seconds (a
    /// few of the profile's T2-registration). Cancel-safe: whoever stops waiting takes the registration back.
    pub async fn register(self) -> Result<PoolElement, RegisterError> {
        let endpoint = match self.endpoint {
            Some(endpoint) => endpoint,
            None => AsapEndpoint::start(self.config)?,
        };
        Ok(PoolElement::new(endpoint.register(self.registration, self.options).await?, self.grace))
    }

    /// Registers a [`service`](Self::service) as long as this check of it passes: it joins the pool when the server is ready,
    /// leaves it when it is not, and comes back under the same identifier. Returns at once; [`Service::registered`] waits.
    ///
    /// The checks run on the tokio runtime that this is called in.
    ///
    /// # Panics
    /// Outside of a tokio runtime; later, in the task of the checks, if the runtime has no I/O or time driver.
    ///
    /// # Errors
    /// The endpoint cannot be started, the check cannot be carried out, or there is no `service` to check.
    pub fn register_while(self, check: Check) -> Result<Service, RegisterError> {
        check.validate()?;
        if matches!(self.registration.transport, ElementTransport::Sessions) {
            return Err(EndpointError::Invalid("a check needs a service(…) whose readiness it tells").into());
        }
        let endpoint = match self.endpoint {
            Some(endpoint) => endpoint,
            None => AsapEndpoint::start(self.config)?,
        };
        Ok(Service::start(endpoint, self.registration, check, self.grace))
    }
}
