//! Announcements by multicast: whether, to which groups, over which interfaces.

use super::{Config, ConfigError};
use net::MulticastConfig;
use proto::Channel;
use proto::registrar::Announce;
use serde::Deserialize;
use std::net::SocketAddr;

/// Announcements by multicast (RFC 5352 §3.6): clients find this registrar, and registrars each other. What is heard is
/// a hint where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Multicast {
    /// Whether to announce and to listen.
    pub enabled: bool,
    /// The groups of clients, with their UDP ports; none: only registrars announce themselves to each other.
    pub asap: Vec<SocketAddr>,
    /// The groups of registrars; none: only clients hear of this registrar.
    pub enrp: Vec<SocketAddr>,
    /// Names of interfaces; none: those with the address to listen on, all but loopback if that is any address.
    pub interfaces: Vec<String>,
    /// TTL and hop limit.
    pub hops: u8,
}

impl Default for Multicast {
    fn default() -> Self {
        Self {
            enabled: false,
            asap: MulticastConfig::default_groups(Channel::Asap).to_vec(),
            enrp: MulticastConfig::default_groups(Channel::Enrp).to_vec(),
            interfaces: Vec::new(),
            hops: 1,
        }
    }
}

impl Multicast {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (key, groups) in [("multicast.asap", &self.asap), ("multicast.enrp", &self.enrp)] {
            if let Some(group) = groups.iter().find(|group| !group.ip().is_multicast() || group.port() == 0) {
                let reason = format!("{group} is no multicast group with a port, such as 239.0.0.50:3863");
                return Err(ConfigError::Value { key, reason });
            }
        }
        if self.enabled && self.asap.is_empty() && self.enrp.is_empty() {
            let reason = "there is no group: leave asap or enrp out for the default".into();
            return Err(ConfigError::Value { key: "multicast", reason });
        }
        Ok(())
    }
}

impl Config {
    /// What the machine announces.
    pub(super) fn announce(&self) -> Announce {
        let Multicast { enabled, asap, enrp, .. } = &self.multicast;
        Announce { asap: *enabled && !asap.is_empty(), enrp: *enabled && !enrp.is_empty() }
    }

    /// The groups to be in; none if it announces nothing, for its addresses have to be known all the same.
    pub(crate) fn multicast(&self) -> Option<MulticastConfig> {
        let Multicast { enabled, asap, enrp, interfaces, hops } = &self.multicast;
        let asap = asap.iter().map(|group| (Channel::Asap, *group));
        let enrp = enrp.iter().map(|group| (Channel::Enrp, *group));
        let groups = asap.chain(enrp).filter(|_| *enabled).collect();
        let wanted = *enabled || self.registrar_pool;
        wanted.then(|| MulticastConfig { groups, interfaces: interfaces.clone(), hops: *hops })
    }
}
