//! SCTP ports on a socket that is not at an SCTP port: nobody but this process gives them away.

use crate::sctp::MAX_ADDRESSES;
use proto::Channel;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// SCTP ports for whom any will do (RFC 6335 §6: dynamic ports).
const DYNAMIC: RangeInclusive<u16> = 49_152..=65_535;

/// The SCTP ports, with any unused one in place of 0.
pub(crate) fn assign(ports: &[(Channel, SocketAddr)]) -> io::Result<Vec<(Channel, u16)>> {
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

/// The addresses of further sockets beside a first one, each once, with its port.
pub(crate) fn further(first: SocketAddr, addresses: &[IpAddr]) -> io::Result<Vec<SocketAddr>> {
    if !addresses.is_empty() && addresses.iter().any(IpAddr::is_unspecified) | first.ip().is_unspecified() {
        let text = "several addresses: each has to be named, none can be the unspecified one";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut further: Vec<SocketAddr> = Vec::new();
    for ip in addresses {
        let address = SocketAddr::new(*ip, first.port());
        if address != first && !further.contains(&address) {
            further.push(address);
        }
    }
    if further.len() >= MAX_ADDRESSES {
        let text = format!("more than {MAX_ADDRESSES} addresses");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(further)
}

#[cfg(test)]
mod tests {
    use super::*;

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
