//! Who else has a raw socket for the same packets. The system lets any number of processes have one, and all of them
//! then get every packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether more than one raw socket gets the packets of this protocol to this address: ours and another. Where the
/// system does not tell, there is none.
pub(super) fn is_shared(address: IpAddr, protocol: u8) -> bool {
    let file = if address.is_ipv4() { "/proc/thread-self/net/raw" } else { "/proc/thread-self/net/raw6" };
    let list = std::fs::read_to_string(file).unwrap_or_default();
    count(&list, address, protocol) > 1
}

/// The sockets in such a list that get packets to this address.
fn count(list: &str, address: IpAddr, protocol: u8) -> usize {
    let overlaps = |other: &IpAddr| *other == address || other.is_unspecified() || address.is_unspecified();
    sockets(list).filter(|(other, number)| *number == protocol && overlaps(other)).count()
}

/// Address and protocol of the sockets: the second word of each line, in hex, such as `0100007F:0084`.
fn sockets(list: &str) -> impl Iterator<Item = (IpAddr, u8)> {
    list.lines().filter_map(|line| {
        let (address, protocol) = line.split_whitespace().nth(1)?.split_once(':')?;
        let protocol = u16::from_str_radix(protocol, 16).ok()?;
        Some((parse_address(address)?, protocol.try_into().ok()?))
    })
}

/// Words of 32 bits, each as a number of this machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_systems_list_is_read() {
        let v4 = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  132: 0100007F:0084 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 23 2 0000000000000000 0
  132: 0200007F:0084 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 24 2 0000000000000000 0
    1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 25 2 0000000000000000 0
";
        let at = |text: &str| count(v4, text.parse().unwrap(), 132);
        assert_eq!((at("127.0.0.1"), at("127.0.0.3"), at("0.0.0.0")), (1, 0, 2));
        let v6 = "  132: 000000FD000000000000000002000000:0084 00000000000000000000000000000000:0000 07\n\
                  132: 00000000000000000000000000000000:0084 00000000000000000000000000000000:0000 07\n";
        let at = |text: &str| count(v6, text.parse().unwrap(), 132);
        assert_eq!((at("fd00::2"), at("fd00::3"), at("::")), (2, 1, 2));
        assert_eq!(count("", "::1".parse().unwrap(), 132), 0);
    }
}
