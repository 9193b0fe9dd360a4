//! How the registrars of a scope are found.

use net::MulticastConfig;
use net::dns::DnsConfig;
use proto::Channel;
use std::net::SocketAddr;

/// How the registrars of a scope are found: by their addresses, by DNS, by listening to their announcements, or by all of
/// these. What has been found once is a hint where to connect to; addresses that are given stay.
///
/// Addresses are a `Discovery` already, so most programs never name it. The others:
///
/// ```
/// # use rserpool_endpoint::{Config, Discovery, Multicast};
/// let by_name = Config::new(Discovery::new().dns("example.net"));
/// let by_ear = Config::new(Discovery::new().multicast(Multicast::default()));
/// let both = Config::new(Discovery::from(["192.0.2.1:3863".parse()?]).dns("example.net"));
/// # Ok::<_, std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it only says how; an endpoint does it"]
pub struct Discovery {
    pub(crate) registrars: Vec<SocketAddr>,
    domain: Option<String>,
    name_server: Option<SocketAddr>,
    pub(crate) multicast: Option<Multicast>,
    pub(crate) registrar_pool: bool,
}

impl Discovery {
    /// Nothing to begin with: no address is known, and nobody is asked.
    pub const fn new() -> Self {
        Self {
            registrars: Vec::new(),
            domain: None,
            name_server: None,
            multicast: None,
            registrar_pool: true,
        }
    }

    /// These registrars, too, in any order: each an address with the port of its ASAP endpoint.
    pub fn registrars(mut self, registrars: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.registrars.extend(registrars);
        self
    }

    /// The registrars that DNS names for a domain, with SRV records `_asap._sctp.DOMAIN`. They are asked for again when they
    /// outdate; a failure is logged and tried again.
    pub fn dns(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// The name server to ask. Default: those of the system (`/etc/resolv.conf`).
    pub fn name_server(mut self, server: SocketAddr) -> Self {
        self.name_server = Some(server);
        self
    }

    /// The registrars that announce themselves in the network (RFC 5352 §3.6). It takes whoever announces itself for a
    /// registrar: as trustworthy as the network. To hear the network the endpoint has to listen there.
    pub fn multicast(mut self, multicast: Multicast) -> Self {
        self.multicast = Some(multicast);
        self
    }

    /// Whether to learn the other registrars of the scope from the one that was found first, to go on with them when it is
    /// gone. Default: yes. Not where rsplib takes part.
    pub fn registrar_pool(mut self, registrar_pool: bool) -> Self {
        self.registrar_pool = registrar_pool;
        self
    }

    /// Whether registrars are found that nobody has given the address of.
    pub(crate) fn finds_others(&self) -> bool {
        self.multicast.is_some() || self.domain.is_some()
    }

    pub(crate) fn dns_config(&self) -> Option<DnsConfig> {
        let domain = self.domain.clone()?;
        Some(DnsConfig { domain, server: self.name_server })
    }
}

impl Default for Discovery {
    fn default() -> Self {
        Self::new()
    }
}

/// These registrars, in any order: each an address with the port of its ASAP endpoint.
impl<I: IntoIterator<Item = SocketAddr>> From<I> for Discovery {
    fn from(registrars: I) -> Self {
        Self::new().registrars(registrars)
    }
}

/// Where to listen for registrars that announce themselves (RFC 5352 §3.6). Anybody in the network can announce a
/// registrar: it is as trustworthy as the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Multicast {
    /// Multicast groups, each with a UDP port. Default: the assigned ones and that of rsplib.
    pub groups: Vec<SocketAddr>,
    /// Names of interfaces. Default, none: those with the address that the endpoint listens on; all of the host but
    /// loopback if it listens on all.
    pub interfaces: Vec<String>,
}

impl Multicast {
    /// With these [`groups`](#structfield.groups).
    #[must_use]
    pub fn groups(mut self, groups: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.groups = groups.into_iter().collect();
        self
    }

    /// With these [`interfaces`](#structfield.interfaces).
    #[must_use]
    pub fn interfaces<I: Into<String>>(mut self, interfaces: impl IntoIterator<Item = I>) -> Self {
        self.interfaces = interfaces.into_iter().map(Into::into).collect();
        self
    }
}

impl Default for Multicast {
    fn default() -> Self {
        Self { groups: MulticastConfig::default_groups(Channel::Asap).to_vec(), interfaces: Vec::new() }
    }
}

impl From<Multicast> for MulticastConfig {
    fn from(multicast: Multicast) -> Self {
        let groups = multicast.groups.into_iter().map(|group| (Channel::Asap, group)).collect();
        Self { groups, interfaces: multicast.interfaces, ..Self::new(&[]) }
    }
}
