//! Where to listen, and over what: `127.0.0.1:3863`, `udp:127.0.0.1:3863`, `kernel:192.0.2.1:3863,198.51.100.1:3863`.

use super::values::parse_address;
use net::TransportKind;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Where to listen, and what carries the SCTP there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// The members of a scope must agree on it to reach each other.
    pub transport: TransportKind,
    /// Address and port.
    pub address: SocketAddr,
    /// Further addresses with the same port.
    pub further: Vec<IpAddr>,
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self { transport: TransportKind::Udp, address, further: Vec::new() }
    }
}

impl From<(IpAddr, u16)> for ListenAddress {
    fn from(address: (IpAddr, u16)) -> Self {
        SocketAddr::from(address).into()
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, addresses) = match text.split_once(':') {
            Some((prefix, rest))
                if prefix.starts_with(|c: char| c.is_ascii_alphabetic()) && !prefix.contains('.') =>
            {
                (prefix.parse()?, rest)
            }
            _ => (TransportKind::Udp, text),
        };
        let addresses =
            addresses.split(',').map(|one| parse_address(one.trim())).collect::<Result<Vec<_>, _>>()?;
        let [address, others @ ..] = addresses.as_slice() else { return Err("no address".into()) };
        if !others.is_empty()
            && [&[*address][..], others].concat().iter().any(|one| one.ip().is_unspecified())
        {
            return Err(format!("{text:?} has several addresses: name each, none can stand for all"));
        }
        if let Some(other) = others.iter().find(|other| other.port() != address.port()) {
            return Err(format!(
                "{text:?} has two ports: write {}, as with {address}",
                SocketAddr::new(other.ip(), address.port())
            ));
        }
        Ok(Self { transport, address: *address, further: others.iter().map(SocketAddr::ip).collect() })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)?;
        self.further.iter().try_for_each(|ip| write!(f, ",{}", SocketAddr::new(*ip, self.address.port())))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        text.parse().map(|address: ListenAddress| address.to_string())
    }

    #[test]
    fn the_prefix_is_the_transport_and_udp_may_be_left_out() {
        assert_eq!(parsed("127.0.0.1:0"), Ok("udp:127.0.0.1:0".into()));
        assert_eq!(parsed("[::1]:1"), Ok("udp:[::1]:1".into()));
        for text in ["udp:[::1]:1", "kernel:0.0.0.0:3863", "kernel:192.0.2.1:1,[2001:db8::1]:1"] {
            assert_eq!(parsed(text), Ok(text.into()));
        }
    }

    // SCTP-6458-05
    #[test]
    fn several_addresses_are_named_and_have_one_port() {
        for transport in ["udp", "kernel", "raw"] {
            let text = format!("{transport}:192.0.2.1:3863, 198.51.100.1:3863");
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.further, ["198.51.100.1".parse::<IpAddr>().unwrap()]);
        }
        for text in ["udp:0.0.0.0:1,192.0.2.2:1", "kernel:192.0.2.2:1,[::]:1"] {
            assert!(parsed(text).unwrap_err().contains("name each"), "{text}");
        }
        assert!(parsed("kernel:192.0.2.1:1,192.0.2.2:2").unwrap_err().contains("write 192.0.2.2:1"));
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        assert!(
            parsed("localhost:1")
                .unwrap_err()
                .contains("no transport: choose \"udp\", \"kernel\" or \"raw\"")
        );
        assert!(parsed("kernel:here").unwrap_err().contains("IP address with a port"));
        assert!(parsed("").unwrap_err().contains("IP address with a port"));
    }
}
