//! Which association a packet belongs to.

use proto::AssocId;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// What tells associations of one socket apart: the peer's address and UDP port, and both SCTP ports.
///
/// Two clients behind one address may well use the same SCTP port: their UDP ports differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// The peer's IP address and UDP port (0 without UDP), canonical.
    pub(super) remote: SocketAddr,
    /// The peer's SCTP port.
    pub(super) peer_port: u16,
    /// Our SCTP port.
    pub(super) local_port: u16,
}

/// An association by our verification tag, wherever its peer's UDP port is now (RFC 6951 §5.4).
type TagKey = (IpAddr, u32, u16, u16, u32);

/// Finds associations by address and by tag.
#[derive(Debug, Default)]
pub(super) struct Table {
    by_key: BTreeMap<Key, AssocId>,
    by_tag: BTreeMap<TagKey, AssocId>,
}

impl Table {
    pub(super) fn by_key(&self, key: &Key) -> Option<AssocId> {
        self.by_key.get(key).copied()
    }

    /// By our tag: the key may name any UDP port.
    pub(super) fn by_tag(&self, key: &Key, tag: u32) -> Option<AssocId> {
        self.by_tag.get(&tag_key(key, tag)).copied()
    }

    pub(super) fn insert(&mut self, key: Key, tag: u32, assoc: AssocId) {
        self.by_key.insert(key, assoc);
        self.insert_tag(&key, tag, assoc);
    }

    /// By our tag alone: an address that is not known to be the peer's must not keep its true owner away.
    pub(super) fn insert_tag(&mut self, key: &Key, tag: u32, assoc: AssocId) {
        self.by_tag.insert(tag_key(key, tag), assoc);
    }

    /// Removes what names `assoc`: after a move another one may have taken over its address.
    pub(super) fn remove(&mut self, key: &Key, tag: u32, assoc: AssocId) {
        if self.by_key.get(key) == Some(&assoc) {
            self.by_key.remove(key);
        }
        let tag = tag_key(key, tag);
        if self.by_tag.get(&tag) == Some(&assoc) {
            self.by_tag.remove(&tag);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.by_key.len(), self.by_tag.len())
    }
}

fn tag_key(key: &Key, tag: u32) -> TagKey {
    let scope = match key.remote {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(v6) => v6.scope_id(),
    };
    (key.remote.ip(), scope, key.peer_port, key.local_port, tag)
}

/// One form per address: v4-mapped ones become IPv4, only link-local ones keep their scope.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            IpAddr::V4(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            IpAddr::V6(ip) => {
                let scope = if ip.is_unicast_link_local() { v6.scope_id() } else { 0 };
                SocketAddr::V6(SocketAddrV6::new(ip, v6.port(), 0, scope))
            }
        },
    }
}

/// Whether a packet can come from there or go there.
pub(crate) fn is_usable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !is_group(address.ip())
}

/// Whether it names many hosts.
pub(super) fn is_group(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_multicast() || matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}
