//! The addresses of a multi-homed endpoint in INIT and INIT ACK (RFC 9260 §3.3.2.1, §5.1.2).
//!
//! ```text
//! |   5 (IPv4) or 6 (IPv6)        |   8 or 20                     |  the address follows
//! |   12 (supported types)        |   4 + 2 for each type         |  the types follow
//! ```

use super::packet::{self, CHUNK_HEADER, Chunk, HEADER, InitFields, cause};
use super::table::is_group;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses of a peer, and of an endpoint, that are made use of; what a peer lists beyond is ignored.
pub(crate) const MAX_ADDRESSES: usize = 8;

/// How much of a host name an ABORT shows.
const MAX_NAME: usize = 256;

const IPV4: u16 = 5;
const IPV6: u16 = 6;
const HOST_NAME: u16 = 11;
const SUPPORTED_TYPES: u16 = 12;

/// What an INIT or INIT ACK says about addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Where the sender is, too, in its order.
    pub(super) addresses: Vec<IpAddr>,
    /// The types of addresses that it takes; none if it does not say.
    supported: Vec<u16>,
}

/// Why an INIT or INIT ACK is answered with ABORT: an error cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressError {
    pub(super) cause: Vec<u8>,
    pub(super) text: &'static str,
}

impl Listed {
    /// Reads the parameters of an INIT or INIT ACK chunk.
    pub(super) fn parse(chunk: &Chunk<'_>) -> Result<Self, AddressError> {
        let mut listed = Self::default();
        for parameter in chunk.parameters_after(InitFields::LENGTH) {
            let kind = u16::from_be_bytes([parameter.kind, parameter.flags]);
            let address = match kind {
                IPV4 => parameter.value.try_into().map(|octets: [u8; 4]| Ipv4Addr::from(octets).into()),
                IPV6 => parameter.value.try_into().map(|octets: [u8; 16]| Ipv6Addr::from(octets).into()),
                // RFC 9260 §3.3.2.1: deprecated, and to be refused.
                HOST_NAME => {
                    let shown = parameter.bytes.get(..MAX_NAME).unwrap_or(parameter.bytes);
                    return Err(AddressError {
                        cause: cause::encode(cause::UNRESOLVABLE_ADDRESS, shown),
                        text: "unresolvable address",
                    });
                }
                SUPPORTED_TYPES => {
                    let types = parameter.value.chunks_exact(2);
                    listed.supported = types.filter_map(|kind| packet::u16_at(kind, 0)).collect();
                    continue;
                }
                _ => continue,
            };
            let Ok(address) = address else {
                let text = "address parameter of a wrong length";
                return Err(AddressError {
                    cause: cause::encode(cause::PROTOCOL_VIOLATION, text.as_bytes()),
                    text,
                });
            };
            listed.addresses.push(address);
        }
        Ok(listed)
    }

    /// Whether the sender takes addresses of this family.
    fn takes(&self, address: &IpAddr) -> bool {
        self.supported.is_empty() || self.supported.contains(&kind_of(address))
    }

    /// Those of its addresses that can be used beside `source`, where it came from; with the same UDP port. `reaches` says
    /// whether our sockets reach an address.
    pub(super) fn beside(&self, source: SocketAddr, reaches: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        let mut usable: Vec<SocketAddr> = Vec::new();
        for address in &self.addresses {
            let ip = address.to_canonical();
            let other = SocketAddr::new(ip, source.port());
            let is_news = ip != source.ip() && !usable.contains(&other);
            if is_news && is_in_scope(&ip, &source.ip()) && !is_group(ip) && reaches(other) {
                usable.push(other);
            }
            if usable.len() == MAX_ADDRESSES - 1 {
                break;
            }
        }
        usable
    }
}

/// Those of our addresses that a peer at `remote` is told: none if it is one that the packet comes from anyway.
pub(super) fn offered(local: &[SocketAddr], remote: IpAddr) -> Vec<IpAddr> {
    let mut offered: Vec<IpAddr> =
        local.iter().map(SocketAddr::ip).filter(|ip| is_in_scope(ip, &remote)).collect();
    if offered.len() < 2 {
        offered.clear();
    }
    offered
}

/// Which of our addresses to send from at first: one of the same family, that with most leading bits in common (as RFC
/// 6724 §5, rule 8). From loopback nothing leaves the host.
pub(super) fn source_for(local: &[SocketAddr], remote: IpAddr) -> Option<IpAddr> {
    // The last of equals would be taken.
    let candidates = local.iter().map(SocketAddr::ip).rev();
    let candidates = candidates.filter(|ip| ip.is_ipv4() == remote.is_ipv4());
    candidates.max_by_key(|ip| (!ip.is_loopback() || remote.is_loopback(), common_bits(*ip, remote)))
}

fn common_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// Whether an address means the same to someone at `beside`: loopback only there, link-local ones nowhere, for they have
/// no meaning without their interface.
fn is_in_scope(ip: &IpAddr, beside: &IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !ip.is_unspecified() && !is_link_local && (!ip.is_loopback() || beside.is_loopback())
}

/// Appends address parameters to an INIT or INIT ACK that stands alone in its packet: of those that the peer takes as many
/// as fit into `room` bytes.
pub(super) fn append(packet: &mut Vec<u8>, addresses: &[IpAddr], peer: &Listed, room: usize) {
    packet.resize(packet.len().next_multiple_of(4), 0);
    let before = packet.len();
    for address in addresses.iter().filter(|address| peer.takes(address)) {
        let parameter = encode(address);
        if packet.len() - before + parameter.len() <= room {
            packet.extend_from_slice(&parameter);
        }
    }
    let length = packet::length16(packet.len() - HEADER);
    if packet.len() > before
        && let Some(field) = packet.get_mut(HEADER + 2..HEADER + CHUNK_HEADER)
    {
        field.copy_from_slice(&length.to_be_bytes());
        packet::seal_checksum(packet);
    }
}

/// The error cause that refuses a restart from other addresses (RFC 9260 §3.3.10.11).
pub(super) fn restart_with(new: &[IpAddr]) -> Vec<u8> {
    let parameters: Vec<u8> = new.iter().flat_map(encode).collect();
    cause::encode(cause::RESTART_WITH_NEW_ADDRESSES, &parameters)
}

fn kind_of(address: &IpAddr) -> u16 {
    if address.is_ipv4() { IPV4 } else { IPV6 }
}

fn encode(address: &IpAddr) -> Vec<u8> {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let mut bytes = kind_of(address).to_be_bytes().to_vec();
    bytes.extend_from_slice(&packet::length16(CHUNK_HEADER + octets.len()).to_be_bytes());
    bytes.extend_from_slice(&octets);
    bytes
}
