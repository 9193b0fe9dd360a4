//! From a frame to the IP packet in it, by link type (<https://www.tcpdump.org/linktypes.html>).

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

/// VLAN tags: 802.1Q, 802.1ad, and what came before it.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What a frame carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Carried<'a> {
    /// A packet of IPv4 or IPv6, as its first octet says, and what fills the frame up.
    Ip(&'a [u8]),
    /// Something else.
    Other,
    /// The link type is not supported.
    UnknownLink,
}

/// Takes the link layer's headers off.
pub(crate) fn carried(link: u16, frame: &[u8]) -> Carried<'_> {
    match link {
        ETHERNET => typed(frame, 12, 14),
        LINUX_SLL => typed(frame, 14, 16),
        LINUX_SLL2 => typed(frame, 0, 20),
        RAW | IPV4 | IPV6 => untyped(frame),
        // The number of the address family is another one on each system; the packet itself says what it is.
        NULL | LOOP => untyped(frame.get(4..).unwrap_or_default()),
        _ => Carried::UnknownLink,
    }
}

/// A header with an EtherType at `place`, perhaps with VLAN tags behind it.
fn typed(frame: &[u8], place: usize, header: usize) -> Carried<'_> {
    let (mut kind, mut payload) = (u16_at(frame, place), frame.get(header..).unwrap_or_default());
    while kind.is_some_and(|kind| TAGS.contains(&kind)) {
        kind = u16_at(payload, 2);
        payload = payload.get(4..).unwrap_or_default();
    }
    match kind {
        Some(0x0800 | 0x86dd) => Carried::Ip(payload),
        _ => Carried::Other,
    }
}

fn untyped(packet: &[u8]) -> Carried<'_> {
    match packet.first().map(|octet| octet >> 4) {
        Some(4 | 6) => Carried::Ip(packet),
        _ => Carried::Other,
    }
}

fn u16_at(octets: &[u8], offset: usize) -> Option<u16> {
    octets.get(offset..)?.first_chunk().map(|field| u16::from_be_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_layer_is_taken_off() {
        let packet = [0x45, 0, 0, 20];
        let after = |link, header: &[u8]| {
            let frame = [header, &packet].concat();
            carried(link, &frame) == Carried::Ip(&packet)
        };
        assert!(after(ETHERNET, &[&[0; 12][..], &[8, 0]].concat()));
        assert!(after(ETHERNET, &[&[0; 12][..], &[0x81, 0, 0, 7, 8, 0]].concat()));
        assert!(after(ETHERNET, &[&[0; 12][..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9, 0x86, 0xdd]].concat()));
        assert!(after(LINUX_SLL, &[&[0; 14][..], &[8, 0]].concat()));
        assert!(after(LINUX_SLL2, &[&[8, 0][..], &[0; 18]].concat()));
        assert!(after(NULL, &[2, 0, 0, 0]) && after(NULL, &[0, 0, 0, 2]) && after(LOOP, &[0, 0, 0, 2]));
        assert!(after(RAW, &[]) && after(IPV4, &[]));
    }

    #[test]
    fn what_is_not_ip_is_told_from_what_is_not_known() {
        assert_eq!(carried(ETHERNET, &[&[0; 12][..], &[8, 6, 0, 1]].concat()), Carried::Other);
        assert_eq!(carried(147, &[0x45; 20]), Carried::UnknownLink);
        for link in [NULL, ETHERNET, RAW, LINUX_SLL, LINUX_SLL2] {
            assert_eq!(carried(link, &[]), Carried::Other);
        }
    }
}
