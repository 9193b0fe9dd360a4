//! All SCTP ports of a host behind one UDP port (RFC 6951), as kernels have it.

use proto::Channel;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// SCTP ports for whom any will do (RFC 6335 §6: dynamic ports).
const DYNAMIC: RangeInclusive<u16> = 49_152..=65_535;

/// UDP ports for SCTP packets: our own, and the one behind which our peers are.
///
/// Linux calls them `net.sctp.udp_port` and `net.sctp.encap_port`. On a host one process has a UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncapPorts {
    /// Our UDP port; 0 is any free one, for processes that only connect.
    pub local: u16,
    /// The UDP port of every peer we connect to. Answers go to wherever the peer sends from.
    pub remote: u16,
}

impl EncapPorts {
    /// The port that IANA has assigned.
    pub const ASSIGNED: u16 = 9899;

    /// The same port on all hosts.
    pub const fn same(port: u16) -> Self {
        Self { local: port, remote: port }
    }

    /// For processes that only connect: any UDP port here, this one there.
    pub const fn client(port: u16) -> Self {
        Self { local: 0, remote: port }
    }
}

/// `9899`, or `LOCAL:REMOTE`.
impl FromStr for EncapPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse::<u16>().ok();
        let ports = match text.split_once(':') {
            Some((local, remote)) => port(local).zip(port(remote)),
            None => port(text).map(|port| (port, port)),
        };
        match ports {
            Some((local, remote)) if remote != 0 => Ok(Self { local, remote }),
            _ => Err(format!(
                "{text:?} is no UDP port for SCTP: write one, \"{}\", or ours and that of our peers, \"9900:9899\"",
                Self::ASSIGNED
            )),
        }
    }
}

/// The SCTP ports, with any unused one in place of 0.
pub(super) fn assign(ports: &[(Channel, SocketAddr)]) -> io::Result<Vec<(Channel, u16)>> {
    let mut taken = BTreeSet::new();
    let fixed = ports.iter().map(|(_, address)| address.port()).filter(|port| *port != 0);
    if !fixed.into_iter().all(|port| taken.insert(port)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the same SCTP port twice"));
    }
    let assign = |&(channel, address): &(Channel, SocketAddr)| {
        let mut port = address.port();
        // Another process of this address may have the same: behind another UDP port that is another endpoint.
        while port == 0 {
            let mut bytes = [0; 2];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let any = u16::from_ne_bytes(bytes) | DYNAMIC.start();
            port = if taken.insert(any) { any } else { 0 };
        }
        Ok((channel, port))
    };
    ports.iter().map(assign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_is_ours_and_theirs() {
        assert_eq!("9899".parse(), Ok(EncapPorts::same(9899)));
        assert_eq!("9900:9899".parse(), Ok(EncapPorts { local: 9900, remote: 9899 }));
        assert_eq!("0:9899".parse(), Ok(EncapPorts::client(9899)));
        for text in ["", "0", "9899:0", "65536", "a", "1:2:3", ":"] {
            let error = EncapPorts::from_str(text).unwrap_err();
            assert!(error.contains("write one"), "{text}: {error}");
        }
    }

    #[test]
    fn port_0_is_any_dynamic_one_that_no_other_has() {
        let at = |port| (Channel::Asap, SocketAddr::from(([127, 0, 0, 1], port)));
        for _ in 0..100 {
            let ports: Vec<u16> =
                assign(&[at(3863), at(0), at(0)]).unwrap().iter().map(|(_, p)| *p).collect();
            assert_eq!(ports[0], 3863);
            assert!(DYNAMIC.contains(&ports[1]) && DYNAMIC.contains(&ports[2]) && ports[1] != ports[2]);
        }
        assert_eq!(assign(&[at(3863), at(3863)]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
