//! Sealed cookies: signed by the element that sends them, verified by the one that gets them back (RFC 5352 §3.8,
//! which leaves the procedure open).
//!
//! A cookie comes back through the pool user, which could alter it. The seal is a MAC with a key that the pool's
//! elements share:
//!
//! ```text
//! | "RSC1": 4 | key: 4 | expiry: 8 | version: 4 | bound to: 4 | the application's bytes | HMAC-SHA256: 32 |
//! ```
//!
//! All numbers are in network byte order. The expiry is in seconds of Unix time; "bound to" is the identifier of the only
//! element that may take the session, or 0. The MAC covers all that precedes it, and the pool handle.
//!
//! What a seal cannot say: that the cookie is the latest one, and that it is this client's. A client can give back
//! an older cookie, or another client's, until it expires.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use params::{PeIdentifier, PoolHandle};
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

const MAGIC: [u8; 4] = *b"RSC1";
const HEADER: usize = 24;
const MAC: usize = 32;
/// How long a cookie is good unless told otherwise.
const LIFE: Duration = Duration::from_secs(3600);

/// A secret that the elements of a pool share.
#[derive(Clone)]
pub struct CookieKey {
    id: u32,
    mac: Hmac<Sha256>,
}

impl CookieKey {
    /// A key with a number that tells it from the pool's other keys. The secret has to be unpredictable.
    pub fn new(id: u32, secret: [u8; 32]) -> Self {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&secret);
        Self { id, mac: Hmac::new(&block.into()) }
    }

    /// The number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The handle is followed by its length, so that no other split of the same bytes has the same MAC.
    fn mac(&self, sealed: &[u8], pool: &PoolHandle) -> Hmac<Sha256> {
        let pool = pool.as_bytes();
        let mut mac = self.mac.clone();
        mac.update(sealed);
        mac.update(pool);
        mac.update(&(pool.len() as u64).to_be_bytes());
        mac
    }
}

impl fmt::Debug for CookieKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How an element seals its cookies, and which ones it accepts.
#[derive(Clone, Debug)]
pub struct CookieSealing {
    /// The first one seals, all open.
    keys: Vec<CookieKey>,
    life: Duration,
    version: u32,
    oldest: u32,
}

impl CookieSealing {
    /// What a seal adds to a cookie, in bytes.
    pub const OVERHEAD: usize = HEADER + MAC;

    /// Seals with this key. Cookies are of version 0 and good for an hour.
    pub fn new(key: CookieKey) -> Self {
        Self { keys: vec![key], life: LIFE, version: 0, oldest: 0 }
    }

    /// Also accepts cookies that were sealed with these: former keys, or the next one before all elements have it.
    #[must_use]
    pub fn also_open(mut self, keys: impl IntoIterator<Item = CookieKey>) -> Self {
        self.keys.extend(keys);
        self
    }

    /// How long a cookie is good, in whole seconds. The clocks of the pool's elements must agree to a fraction of it. Nobody seals
    /// it again: a session whose server sets no other one for so long is refused at its next server.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// The version of what is in the cookies that are set from now on, and the oldest one that is accepted. A newer one
    /// is not: another element will understand it.
    #[must_use]
    pub fn versions(mut self, oldest: u32, version: u32) -> Self {
        self.version = version;
        self.oldest = oldest;
        self
    }

    /// Seals a cookie at `unix`, the time since the beginning of 1970. With `bound_to` only that element accepts it.
    pub(super) fn seal(
        &self,
        unix: Duration,
        pool: &PoolHandle,
        bound_to: Option<PeIdentifier>,
        cookie: &[u8],
    ) -> Option<Bytes> {
        let key = self.keys.first()?;
        let expiry = unix.saturating_add(self.life).as_secs();
        let mut sealed = Vec::with_capacity(cookie.len() + Self::OVERHEAD);
        sealed.extend_from_slice(&MAGIC);
        sealed.extend_from_slice(&key.id.to_be_bytes());
        sealed.extend_from_slice(&expiry.to_be_bytes());
        sealed.extend_from_slice(&self.version.to_be_bytes());
        sealed.extend_from_slice(&bound_to.map_or(0, |id| id.0).to_be_bytes());
        sealed.extend_from_slice(cookie);
        let mac = key.mac(&sealed, pool).finalize().into_bytes();
        sealed.extend_from_slice(&mac);
        Some(sealed.into())
    }

    /// Checks and takes off the seal; `element` is the one that got the cookie.
    pub(super) fn open(
        &self,
        unix: Duration,
        pool: &PoolHandle,
        element: PeIdentifier,
        sealed: &Bytes,
    ) -> Result<OpenedCookie, CookieRefusal> {
        let (content, mac) = sealed.split_last_chunk::<MAC>().ok_or(CookieRefusal::NotSealed)?;
        let (header, _) = content.split_first_chunk::<HEADER>().ok_or(CookieRefusal::NotSealed)?;
        let &[m0, m1, m2, m3, k0, k1, k2, k3, e0, e1, e2, e3, e4, e5, e6, e7, v0, v1, v2, v3, b0, b1, b2, b3] =
            header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(CookieRefusal::NotSealed);
        }
        let id = u32::from_be_bytes([k0, k1, k2, k3]);
        let mut keys = self.keys.iter().filter(|key| key.id == id).peekable();
        if keys.peek().is_none() {
            return Err(CookieRefusal::UnknownKey(id));
        }
        // In constant time.
        if !keys.any(|key| key.mac(content, pool).verify_slice(mac).is_ok()) {
            return Err(CookieRefusal::BadSeal);
        }
        let expiry = Duration::from_secs(u64::from_be_bytes([e0, e1, e2, e3, e4, e5, e6, e7]));
        if unix >= expiry {
            return Err(CookieRefusal::Expired { ago: unix - expiry });
        }
        let version = u32::from_be_bytes([v0, v1, v2, v3]);
        if !(self.oldest..=self.version).contains(&version) {
            return Err(CookieRefusal::Version { version, oldest: self.oldest, newest: self.version });
        }
        let bound_to = PeIdentifier(u32::from_be_bytes([b0, b1, b2, b3]));
        if bound_to.0 != 0 && bound_to != element {
            return Err(CookieRefusal::NotTransferable { to: bound_to });
        }
        Ok(OpenedCookie { version, cookie: sealed.slice(HEADER..sealed.len() - MAC) })
    }
}

/// A cookie without its seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenedCookie {
    pub(super) version: u32,
    pub(super) cookie: Bytes,
}

/// Why an element does not take a session up that comes with a cookie.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieRefusal {
    /// It is not a sealed cookie at all: of an element without keys, or of another service.
    #[error("it has no seal")]
    NotSealed,
    /// The pool's other elements have keys that this one has not.
    #[error("it is sealed with key {0}, which this element does not have")]
    UnknownKey(u32),
    /// It was altered, or is another pool's.
    #[error("its seal is wrong")]
    BadSeal,
    /// It is too old.
    #[error("it has expired {} s ago", .ago.as_secs())]
    Expired {
        /// For how long.
        ago: Duration,
    },
    /// What is in it is older or newer than what this element understands.
    #[error("it has version {version}; this element takes {oldest} to {newest}")]
    Version {
        /// The cookie's version.
        version: u32,
        /// The oldest that is taken.
        oldest: u32,
        /// The newest that is taken.
        newest: u32,
    },
    /// Only the element that set it can go on with the session.
    #[error("only element {to} can take up the session")]
    NotTransferable {
        /// That element.
        to: PeIdentifier,
    },
    /// The application says so.
    #[error("{0}")]
    Application(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const ELEMENT: PeIdentifier = PeIdentifier(7);

    fn key(id: u32) -> CookieKey {
        CookieKey::new(id, [id as u8; 32])
    }

    fn pool() -> PoolHandle {
        PoolHandle::from("pool")
    }

    fn sealed(sealing: &CookieSealing) -> Bytes {
        sealing.seal(NOW, &pool(), None, b"state").unwrap()
    }

    fn open(sealing: &CookieSealing, cookie: &Bytes) -> Result<Bytes, CookieRefusal> {
        sealing.open(NOW, &pool(), ELEMENT, cookie).map(|opened| opened.cookie)
    }

    // ASAP-3.8-05, SEC-T2.16-03: what an element of the pool sealed comes back as it was, and nothing else does.
    #[test]
    fn every_altered_bit_is_noticed() {
        let sealing = CookieSealing::new(key(1));
        let good = sealed(&sealing);
        assert_eq!(good.len(), 5 + CookieSealing::OVERHEAD);
        assert_eq!(open(&sealing, &good).unwrap(), &b"state"[..]);
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&sealing, &bad.into()).is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(open(&sealing, &good.slice(..length)).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn the_seal_is_as_documented() {
        let good = sealed(&CookieSealing::new(key(0x0102_0304)).versions(1, 2));
        let mut expected = b"RSC1\x01\x02\x03\x04".to_vec();
        expected.extend_from_slice(&(1_800_000_000u64 + 3600).to_be_bytes());
        expected.extend_from_slice(b"\0\0\0\x02\0\0\0\0state");
        assert_eq!(good[..HEADER + 5], expected);
        let mut mac = Hmac::<Sha256>::new_from_slice(&[4; 32]).unwrap();
        mac.update(&expected);
        mac.update(b"pool\0\0\0\0\0\0\0\x04");
        assert_eq!(good[HEADER + 5..], mac.finalize().into_bytes()[..]);
    }

    #[test]
    fn a_cookie_of_another_pool_is_refused() {
        let sealing = CookieSealing::new(key(1));
        let other = sealing.seal(NOW, &PoolHandle::from("other"), None, b"state").unwrap();
        assert_eq!(open(&sealing, &other), Err(CookieRefusal::BadSeal));
    }

    // Rotation: first every element opens with the new key, then every one seals with it, then the old one goes.
    #[test]
    fn keys_are_rotated_without_a_moment_at_which_cookies_are_refused() {
        let stages = [
            CookieSealing::new(key(1)),
            CookieSealing::new(key(1)).also_open([key(2)]),
            CookieSealing::new(key(2)).also_open([key(1)]),
            CookieSealing::new(key(2)),
        ];
        for neighbours in stages.windows(2) {
            let [before, after] = neighbours else { unreachable!() };
            assert!(open(after, &sealed(before)).is_ok());
            assert!(open(before, &sealed(after)).is_ok());
        }
        assert_eq!(open(&stages[3], &sealed(&stages[0])), Err(CookieRefusal::UnknownKey(1)));
        let impostor = CookieSealing::new(CookieKey::new(2, [9; 32]));
        assert_eq!(open(&stages[3], &sealed(&impostor)), Err(CookieRefusal::BadSeal));
    }

    #[test]
    fn a_cookie_expires() {
        let sealing = CookieSealing::new(key(1)).life(Duration::from_secs(10));
        let cookie = sealed(&sealing);
        let at = |seconds| sealing.open(NOW + Duration::from_secs(seconds), &pool(), ELEMENT, &cookie);
        assert!(at(9).is_ok());
        assert_eq!(at(10), Err(CookieRefusal::Expired { ago: Duration::ZERO }));
        assert_eq!(at(15), Err(CookieRefusal::Expired { ago: Duration::from_secs(5) }));
        let forever = CookieSealing::new(key(1)).life(Duration::MAX);
        assert!(open(&forever, &sealed(&forever)).is_ok());
    }

    #[test]
    fn versions_that_are_not_understood_are_refused() {
        let of = |oldest, newest| CookieSealing::new(key(1)).versions(oldest, newest);
        let opened = of(1, 3).open(NOW, &pool(), ELEMENT, &sealed(&of(0, 2))).unwrap();
        assert_eq!(opened.version, 2);
        let refused = |version, oldest, newest| Err(CookieRefusal::Version { version, oldest, newest });
        assert_eq!(open(&of(2, 3), &sealed(&of(0, 1))), refused(1, 2, 3));
        assert_eq!(open(&of(0, 1), &sealed(&of(0, 2))), refused(2, 0, 1));
    }

    #[test]
    fn a_cookie_can_be_for_one_element_only() {
        let sealing = CookieSealing::new(key(1));
        let seal = |to| sealing.seal(NOW, &pool(), Some(PeIdentifier(to)), b"state").unwrap();
        assert!(open(&sealing, &seal(7)).is_ok());
        let to = PeIdentifier(8);
        assert_eq!(open(&sealing, &seal(8)), Err(CookieRefusal::NotTransferable { to }));
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert_eq!(format!("{:?}", key(5)), "CookieKey { id: 5, .. }");
    }
}
