//! The sealed State Cookie (RFC 9260 §5.1.3, §5.1.5).
//!
//! `dcsctp` puts its cookie in clear into the INIT ACK and believes whatever comes back: whoever can spoof a
//! source address could open an association with one packet. So the endpoint seals it on the way out, and on the
//! way in checks the seal and takes it off again:
//!
//! ```text
//! | dcsctp's cookie (opaque) | addresses: 4 or 16 each | their number: 1 | which are IPv6: 1 | issued: 6 |
//! | peer's tag: 4 | HMAC-SHA256, first 16 bytes |
//! ```
//!
//! The addresses are those of a multi-homed peer, where its INIT came from first; a single-homed one has none here. The HMAC
//! covers what precedes it, the address that the INIT came from, its UDP port and both SCTP ports; the COOKIE ECHO may
//! come from any of the addresses (RFC 9260 §5.1 does not bind it to one). A cookie opens an
//! association once: the seals of those that did are remembered until they are too old to be accepted anyway.

use super::addresses::MAX_ADDRESSES;
use super::packet::{self, CHUNK_HEADER, HEADER, InitFields, Packet};
use super::table::Key;
use hmac::{Hmac, KeyInit, Mac};
use proto::Time;
use rand::Rng;
use rand_chacha::ChaCha20Rng;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const SEAL: usize = 16;
/// The number of addresses, their families, and the time.
const ISSUED: usize = 8;
const PEER_TAG: usize = 4;
/// What sealing adds to a cookie.
const OVERHEAD: usize = ISSUED + PEER_TAG + SEAL;
/// Type of the State Cookie parameter.
const STATE_COOKIE: u16 = 7;
/// Used cookies remembered at once; see [`CookieJar::spend`] for what happens beyond.
const USED_COOKIES: usize = 16_384;
/// How long a key is used to issue cookies, in cookie lives.
const KEY_LIVES: u32 = 60;

/// Issues and checks cookies.
pub(super) struct CookieJar {
    life: Duration,
    current: Secret,
    previous: Option<Secret>,
    /// Used cookies, the longest issued first.
    used: BTreeSet<(Time, [u8; SEAL])>,
    /// Cookies issued before are not accepted.
    not_before: Time,
}

struct Secret {
    mac: Hmac<Sha256>,
    since: Time,
}

/// A COOKIE ECHO whose seal is right.
pub(super) struct Opened {
    /// The packet with dcsctp's own cookie.
    pub(super) packet: Vec<u8>,
    /// The peer's verification tag.
    pub(super) peer_tag: u32,
    /// The addresses of a multi-homed peer, that of its INIT first; none if it has just one.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether it has opened an association before.
    pub(super) used: bool,
    issued: Time,
    seal: [u8; SEAL],
}

/// Why a COOKIE ECHO is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieError {
    /// Not issued by us for this peer.
    Forged,
    /// Issued by us, but too long ago: by how much, and the tag the answer needs.
    Stale { peer_tag: u32, by: Duration },
}

impl CookieJar {
    pub(super) fn new(life: Duration, rng: &mut ChaCha20Rng) -> Self {
        Self {
            life,
            current: Secret::new(Time::ZERO, rng),
            previous: None,
            used: BTreeSet::new(),
            not_before: Time::ZERO,
        }
    }

    /// Seals the cookie inside an INIT ACK for the peer at `key`, which has these addresses besides. `None` if there is
    /// none: that would be a defect of dcsctp.
    pub(super) fn seal(
        &mut self,
        now: Time,
        key: &Key,
        others: &[SocketAddr],
        packet: &[u8],
        rng: &mut ChaCha20Rng,
    ) -> Option<Vec<u8>> {
        self.rotate(now, rng);
        let (start, length) = find_cookie(packet)?;
        let peer_tag = Packet::own(packet)?.tag();
        let cookie = packet.get(start + CHUNK_HEADER..start + length)?;
        let tail = packet.get(start + length.next_multiple_of(4)..).unwrap_or_default();

        let first = (!others.is_empty()).then_some(key.remote);
        let addresses: Vec<IpAddr> =
            first.iter().chain(others).take(MAX_ADDRESSES).map(SocketAddr::ip).collect();
        let mut issued = now.as_micros().to_be_bytes();
        issued[0] = addresses.len() as u8;
        issued[1] = addresses.iter().rev().fold(0, |bits, ip| bits << 1 | u8::from(ip.is_ipv6()));

        let mut sealed = Vec::with_capacity(packet.len() + OVERHEAD + 16 * addresses.len());
        sealed.extend_from_slice(packet.get(..start + CHUNK_HEADER)?);
        sealed.extend_from_slice(cookie);
        for address in &addresses {
            match address {
                IpAddr::V4(v4) => sealed.extend_from_slice(&v4.octets()),
                IpAddr::V6(v6) => sealed.extend_from_slice(&v6.octets()),
            }
        }
        sealed.extend_from_slice(&issued);
        sealed.extend_from_slice(&peer_tag.to_be_bytes());
        let seal = self.current.seal(sealed.get(start + CHUNK_HEADER..)?, key);
        sealed.extend_from_slice(&seal);
        let cookie_end = sealed.len();
        sealed.resize(sealed.len().next_multiple_of(4), 0);
        sealed.extend_from_slice(tail);

        let cookie_length = packet::length16(cookie_end - start);
        sealed.get_mut(start + 2..start + 4)?.copy_from_slice(&cookie_length.to_be_bytes());
        let chunk_length = packet::length16(sealed.len() - HEADER);
        sealed.get_mut(HEADER + 2..HEADER + 4)?.copy_from_slice(&chunk_length.to_be_bytes());
        packet::seal_checksum(&mut sealed);
        Some(sealed)
    }

    /// Checks and takes off the seal of a COOKIE ECHO, the first chunk of `packet`.
    pub(super) fn open(&self, now: Time, key: &Key, packet: &Packet<'_>) -> Result<Opened, CookieError> {
        let echo = packet.first().ok_or(CookieError::Forged)?;
        let (sealed, seal) = echo.value.split_last_chunk::<SEAL>().ok_or(CookieError::Forged)?;
        let (rest, peer_tag) = sealed.split_last_chunk::<PEER_TAG>().ok_or(CookieError::Forged)?;
        let (rest, issued) = rest.split_last_chunk::<ISSUED>().ok_or(CookieError::Forged)?;
        let [count, families, micros @ ..] = *issued;
        let (cookie, addresses) = split_addresses(rest, count, families).ok_or(CookieError::Forged)?;
        let beside = |ip: IpAddr| {
            if ip == key.remote.ip() { key.remote } else { SocketAddr::new(ip, key.remote.port()) }
        };
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(beside).collect();
        let mut key = *key;
        if let Some(first) = addresses.first() {
            if addresses.iter().all(|address| address.ip() != key.remote.ip()) {
                return Err(CookieError::Forged);
            }
            key.remote = *first;
        }
        let issued = Time::from_micros(micros.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
        let peer_tag = u32::from_be_bytes(*peer_tag);

        let secret = if issued >= self.current.since { Some(&self.current) } else { self.previous.as_ref() };
        if issued > now || !secret.is_some_and(|secret| secret.verifies(sealed, &key, seal)) {
            return Err(CookieError::Forged);
        }
        let age = now.since(issued);
        if age > self.life || issued < self.not_before {
            return Err(CookieError::Stale { peer_tag, by: age.saturating_sub(self.life) });
        }

        let mut stripped = Vec::with_capacity(packet.bytes().len());
        stripped.extend_from_slice(&packet.bytes()[..HEADER + CHUNK_HEADER]);
        stripped.extend_from_slice(cookie);
        stripped.resize(stripped.len().next_multiple_of(4), 0);
        for chunk in packet.chunks().skip(1) {
            stripped.extend_from_slice(chunk.bytes);
        }
        let length = packet::length16(CHUNK_HEADER + cookie.len());
        stripped[HEADER + 2..HEADER + 4].copy_from_slice(&length.to_be_bytes());
        packet::seal_checksum(&mut stripped);

        let used = self.used.contains(&(issued, *seal));
        Ok(Opened { packet: stripped, peer_tag, addresses, used, issued, seal: *seal })
    }

    /// Remembers that a cookie has opened its association.
    ///
    /// The memory is bounded: when it is full the cookie issued first is forgotten, and with it all that were
    /// issued until then stop being accepted.
    pub(super) fn spend(&mut self, now: Time, opened: &Opened) {
        self.used.insert((opened.issued, opened.seal));
        while let Some(&(issued, _)) = self.used.first() {
            if now.since(issued) <= self.life && self.used.len() <= USED_COOKIES {
                break;
            }
            self.used.pop_first();
            self.not_before = self.not_before.max(issued + Duration::from_micros(1));
        }
    }

    fn rotate(&mut self, now: Time, rng: &mut ChaCha20Rng) {
        if now.since(self.current.since) >= self.life * KEY_LIVES {
            let retired = std::mem::replace(&mut self.current, Secret::new(now, rng));
            self.previous = Some(retired);
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.len()
    }
}

impl Secret {
    fn new(since: Time, rng: &mut ChaCha20Rng) -> Self {
        let mut block = [0; 64];
        rng.fill_bytes(&mut block);
        Self { mac: Hmac::new(&block.into()), since }
    }

    fn mac(&self, sealed: &[u8], key: &Key) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(sealed);
        let scope = if let SocketAddr::V6(v6) = key.remote { v6.scope_id() } else { 0 };
        mac.update(&as_ipv6(&key.remote.ip()).octets());
        mac.update(&scope.to_be_bytes());
        for port in [key.remote.port(), key.peer_port, key.local_port] {
            mac.update(&port.to_be_bytes());
        }
        mac
    }

    fn seal(&self, sealed: &[u8], key: &Key) -> [u8; SEAL] {
        let full: [u8; 32] = self.mac(sealed, key).finalize().into_bytes().into();
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&full[..SEAL]);
        seal
    }

    /// In constant time.
    fn verifies(&self, sealed: &[u8], key: &Key, seal: &[u8; SEAL]) -> bool {
        self.mac(sealed, key).verify_truncated_left(seal).is_ok()
    }
}

fn as_ipv6(ip: &IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => *v6,
    }
}

/// The cookie before its addresses, and those: so many, IPv6 where there is a bit, the first one the lowest.
fn split_addresses(bytes: &[u8], count: u8, families: u8) -> Option<(&[u8], Vec<IpAddr>)> {
    let is_ipv6 = |index: u8| families.checked_shr(index.into()).unwrap_or_default() & 1 != 0;
    let length = (0..count).map(|index| if is_ipv6(index) { 16 } else { 4 }).sum();
    let (cookie, mut rest) = bytes.split_at_checked(bytes.len().checked_sub(length)?)?;
    let mut addresses = Vec::new();
    for index in 0..count {
        let ip = if is_ipv6(index) {
            let (octets, after) = rest.split_first_chunk::<16>()?;
            rest = after;
            IpAddr::from(*octets)
        } else {
            let (octets, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            IpAddr::from(*octets)
        };
        addresses.push(ip);
    }
    Some((cookie, addresses))
}

/// Where the State Cookie parameter of an INIT ACK starts, and its length with header.
pub(super) fn find_cookie(packet: &[u8]) -> Option<(usize, usize)> {
    let end = HEADER + usize::from(packet::u16_at(packet, HEADER + 2)?);
    let mut at = HEADER + CHUNK_HEADER + InitFields::LENGTH;
    while at + CHUNK_HEADER <= end {
        let kind = packet::u16_at(packet, at)?;
        let length = usize::from(packet::u16_at(packet, at + 2)?);
        if length < CHUNK_HEADER {
            return None;
        }
        if kind == STATE_COOKIE {
            return Some((at, length));
        }
        at += length.next_multiple_of(4);
    }
    None
}
