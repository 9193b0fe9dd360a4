//! All SCTP ports of a host behind one UDP port (RFC 6951), as kernels have it.

use std::str::FromStr;

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
}
