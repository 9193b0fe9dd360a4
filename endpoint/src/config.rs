//! How an ASAP endpoint is set up.

use crate::{
    Avoidance, CacheOptions, Compat, Discovery, EncapPorts, EndpointError, LoadUpdates, Profile, RetryBudget,
    TransportKind,
};
use proto::endpoint as machine;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How an [`AsapEndpoint`](crate::AsapEndpoint) is set up: begin with [`Config::new`], and change what shall be different.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How the registrars are found.
    pub discovery: Discovery,
    /// Where sessions and registrars reach this process: an address with the number of the SCTP port, which is
    /// the UDP port, too, unless `encap` is set; 0 takes any free one. `None`: loopback if all registrars are known to
    /// be there, else any.
    pub listen: Option<SocketAddr>,
    /// Further local addresses beside `listen`, on the same port.
    pub also_listen: Vec<IpAddr>,
    /// What carries SCTP. The same for the whole scope.
    pub transport: TransportKind,
    /// Timers and thresholds.
    pub profile: Profile,
    /// The scope's dialect. [`Profile::Rsplib`] implies [`Compat::Rsplib`].
    pub compat: Compat,
    /// What is kept of resolved pools, and how it is kept up to date.
    pub cache: CacheOptions,
    /// How often the changing load of an element is registered.
    pub load_updates: LoadUpdates,
    /// When elements that failed are avoided.
    pub avoidance: Avoidance,
    /// How many failures are reported to the registrar, a second (RFC 5352 §3.5); zero: none.
    pub reports_per_second: u32,
    /// How much sessions may try at once beside the first element of each search; `None`: no limit.
    pub retry_budget: Option<RetryBudget>,
    /// How long a connect may take before another element is tried beside it; zero: never; `None`: as the profile says.
    pub connect_stagger: Option<Duration>,
    /// How long an accepted session waits for a cookie before it is handed out without one; `None`: as the
    /// profile says.
    pub cookie_wait: Option<Duration>,
    /// Whether ICMP messages are listened to: a peer whose process is gone is then noticed at once instead of by its
    /// silence.
    pub icmp: bool,
    /// The UDP ports behind which all SCTP ports of a host are (RFC 6951): for registrars and servers whose SCTP is a
    /// kernel's. `None`: each address says with its SCTP port which UDP port it is. The same for the whole scope.
    pub encap: Option<EncapPorts>,
}

impl Config {
    /// The defaults, for these registrars, or for those that are found in another way.
    pub fn new(registrars: impl Into<Discovery>) -> Self {
        Self {
            discovery: registrars.into(),
            listen: None,
            also_listen: Vec::new(),
            transport: TransportKind::Udp,
            profile: Profile::Lan,
            compat: Compat::Rfc,
            cache: CacheOptions::default(),
            load_updates: LoadUpdates::default(),
            avoidance: Avoidance::default(),
            reports_per_second: 10,
            retry_budget: Some(RetryBudget::default()),
            connect_stagger: None,
            cookie_wait: None,
            icmp: true,
            encap: None,
        }
    }

    /// Where to listen, or why that cannot work.
    pub(crate) fn listen(&self) -> Result<SocketAddr, EndpointError> {
        let Discovery { registrars, .. } = &self.discovery;
        let finds_others = self.discovery.finds_others();
        if registrars.is_empty() && !finds_others {
            return Err(EndpointError::NoRegistrarConfigured);
        }
        if self.encap.is_some_and(|ports| ports.remote == 0) {
            return Err(EndpointError::Invalid("0 is no UDP port for SCTP: the assigned one is 9899"));
        }
        let outside = registrars.iter().find(|registrar| !registrar.ip().is_loopback());
        let listen = match (self.listen, outside) {
            (Some(listen), Some(&registrar)) if listen.ip().is_loopback() => {
                return Err(EndpointError::LoopbackOnly { listen, registrar });
            }
            (Some(listen), _) => listen,
            (None, outside) => {
                let v4 = registrars.first().is_none_or(SocketAddr::is_ipv4);
                let loopback = outside.is_none() && !finds_others;
                SocketAddr::new(any_address(v4, loopback), 0)
            }
        };
        let is_named = !listen.ip().is_unspecified() && !self.also_listen.iter().any(IpAddr::is_unspecified);
        if !self.also_listen.is_empty() && !is_named {
            return Err(EndpointError::Invalid(
                "several addresses: each has to be named, none can stand for all",
            ));
        }
        Ok(listen)
    }

    /// The same for the machine, which knows neither sockets nor the port that it will have.
    pub(crate) fn machine(&self, seed: [u8; 32]) -> machine::Config {
        let mut timers = self.profile.endpoint();
        timers.connect_stagger = self.connect_stagger.unwrap_or(timers.connect_stagger);
        timers.cookie_wait = self.cookie_wait.unwrap_or(timers.cookie_wait);
        machine::Config {
            registrar_pool: self.discovery.registrar_pool,
            timers,
            compat: if self.profile == Profile::Rsplib { Compat::Rsplib } else { self.compat },
            cache: self.cache.clone(),
            load_updates: self.load_updates.clone(),
            avoidance: self.avoidance.clone(),
            reports_per_second: self.reports_per_second,
            retry_budget: self.retry_budget.clone(),
            ..machine::Config::new(self.discovery.registrars.iter().copied(), 0, seed)
        }
    }
}

fn any_address(v4: bool, loopback: bool) -> IpAddr {
    match (v4, loopback) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, true) => Ipv6Addr::LOCALHOST.into(),
        (false, false) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Multicast;

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let config = || Config::new([SocketAddr::from(([127, 0, 0, 1], 3863))]);
        assert_eq!(config().listen().ok(), Some(SocketAddr::from(([127, 0, 0, 1], 0))));
        let udp_port_0 = Config { encap: Some(EncapPorts::client(0)), ..config() };
        assert!(matches!(udp_port_0.listen(), Err(EndpointError::Invalid(why)) if why.contains("9899")));
        assert!(matches!(Config::new([]).listen(), Err(EndpointError::NoRegistrarConfigured)));
        for others in [Discovery::new().multicast(Multicast::default()), Discovery::new().dns("example.net")]
        {
            assert_eq!(Config::new(others).listen().ok(), Some(SocketAddr::from(([0, 0, 0, 0], 0))));
        }
        let two = Config { also_listen: vec![Ipv4Addr::new(127, 0, 0, 2).into()], ..config() };
        assert_eq!(two.listen().ok(), Some(SocketAddr::from(([127, 0, 0, 1], 0))));
        for all in
            [[Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST], [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED]]
        {
            let listen = Some(SocketAddr::new(all[0].into(), 0));
            let also = Config { listen, also_listen: vec![all[1].into()], ..config() };
            assert!(matches!(also.listen(), Err(EndpointError::Invalid(why)) if why.contains("named")));
        }
    }
}
