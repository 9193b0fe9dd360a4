//! What the owner of an endpoint tells it: configuration, limits, and the arguments of its commands.

use crate::profile::{Compat, EndpointTimers, Profile};
use bytes::Bytes;
use params::{Load, PeIdentifier, Policy, PoolHandle, Transport};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Lets options be built one after the other, as literals of them could not get further fields.
macro_rules! setters {
    ($options:ident { $($field:ident: $type:ty),* $(,)? }) => {
        impl $options {
            $(
                #[doc = concat!("With this [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
                #[must_use]
                pub const fn $field(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

/// The configuration of an [`AsapEndpoint`](super::AsapEndpoint).
#[derive(Clone, Debug)]
pub struct Config {
    /// The registrars to hunt among (RFC 5352 §3.6): for each its addresses with the ASAP port, the preferred
    /// one first. The order among registrars does not matter. Others join them: those that announce themselves
    /// ([`Input::Announce`](crate::Input::Announce)), that take us over, or that
    /// [`add_registrar`](super::AsapEndpoint::add_registrar) names.
    pub registrars: Vec<Vec<SocketAddr>>,
    /// Whether to learn the other registrars from the home registrar ([`REGISTRAR_POOL`](crate::REGISTRAR_POOL)). Not where
    /// rsplib takes part.
    pub registrar_pool: bool,
    /// Our listening SCTP port: where sessions and registrars reach this process (RFC 5352 §3.4).
    pub port: u16,
    /// Addresses to register instead of those of the registrar association; empty: those of the association.
    pub advertise: Vec<IpAddr>,
    /// How often a changing load is registered.
    pub load_updates: LoadUpdates,
    /// When elements that failed are avoided.
    pub avoidance: Avoidance,
    /// How many failures are reported to the registrar, a second (RFC 5352 §3.5); zero: none.
    pub reports_per_second: u32,
    /// How much sessions may try at once, beside the first element of each search; `None`: no limit.
    pub retry_budget: Option<RetryBudget>,
    /// Timers and thresholds.
    pub timers: EndpointTimers,
    /// Bounds.
    pub limits: Limits,
    /// What is kept of resolved pools, and how it is kept up to date.
    pub cache: CacheOptions,
    /// The scope's dialect (design D8).
    pub compat: Compat,
    /// Seed of everything random here: identifiers, jitter, choices. Unpredictable in production (RFC 4086).
    pub seed: [u8; 32],
}

impl Config {
    /// A configuration with the default profile, for registrars with one address each.
    pub fn new(registrars: impl IntoIterator<Item = SocketAddr>, port: u16, seed: [u8; 32]) -> Self {
        Self {
            registrars: registrars.into_iter().map(|address| vec![address]).collect(),
            registrar_pool: false,
            port,
            advertise: Vec::new(),
            load_updates: LoadUpdates::default(),
            avoidance: Avoidance::default(),
            reports_per_second: 10,
            retry_budget: Some(RetryBudget::default()),
            timers: Profile::Lan.endpoint(),
            limits: Limits::default(),
            cache: CacheOptions::default(),
            compat: Compat::Rfc,
            seed,
        }
    }
}

/// What is kept of resolved pools, how long it is used, and how it is kept up to date (RFC 5352 §3.3 C1 – C4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheOptions {
    /// stale.cache.value (RFC 5352 §7.2): how long an answer is fresh, which means used without asking. Default: 30 s;
    /// zero asks each time.
    pub stale_cache_value: Duration,
    /// For how long beyond that it is still used at once while a registrar is asked again (C3). Default: 30 s; zero waits for
    /// the registrar.
    pub stale_while_revalidate: Duration,
    /// For how long beyond stale.cache.value it is used if no registrar answers. Default: 1 h; zero fails instead.
    pub stale_if_unreachable: Duration,
    /// Whether to have the changes of pools in use pushed by the registrar (the S bit, §2.2.5). Without effect where rsplib
    /// takes part, and if the registrar refuses. Default: yes.
    pub subscribe: bool,
    /// How often a pool that is watched is asked for while its changes are not pushed. Default: 5 s.
    pub poll_interval: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            stale_cache_value: Duration::from_secs(30),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_unreachable: Duration::from_secs(3600),
            subscribe: true,
            poll_interval: Duration::from_secs(5),
        }
    }
}

setters!(CacheOptions {
    stale_cache_value: Duration,
    stale_while_revalidate: Duration,
    stale_if_unreachable: Duration,
    subscribe: bool,
    poll_interval: Duration,
});

/// How often a changing load is registered ([`set_load`](super::AsapEndpoint::set_load)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadUpdates {
    /// By how much it must differ from the registered one. Default: 5 % of the full load; zero: any change counts.
    pub hysteresis: Load,
    /// The shortest time between two. Default: 1 s; zero: no limit.
    pub interval: Duration,
}

impl Default for LoadUpdates {
    fn default() -> Self {
        Self { hysteresis: Load(u32::MAX / 20), interval: Duration::from_secs(1) }
    }
}

setters!(LoadUpdates { hysteresis: Load, interval: Duration });

/// When elements that failed are avoided: chosen only when there is nothing better. The registrar needs a moment to find out,
/// and not everything that one client cannot reach is dead.
///
/// The pause is four times the profile's `connect_timeout`, twice as long with each further failure. A session that is
/// established ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Avoidance {
    /// After how many failures in a row. Default: 1; zero: never.
    pub after_failures: u32,
    /// The longest pause. Default: 30 s.
    pub longest: Duration,
    /// How much of a pool may be avoided at a time, in percent, rounded down: those that failed most often. Default: 50;
    /// 100: all that failed.
    pub max_percent: u8,
}

impl Default for Avoidance {
    fn default() -> Self {
        Self { after_failures: 1, longest: Duration::from_secs(30), max_percent: 50 }
    }
}

setters!(Avoidance { after_failures: u32, longest: Duration, max_percent: u8 });

/// How much the sessions of a process may try at once beside the first element of each search, so that they do not add to a
/// breakdown. A search that may not go on pauses, ever longer; the first try after a pause is always free.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// So many for 100 searches. Default: 20.
    pub percent: u32,
    /// And so many a second. Default: 10.
    ///
    /// What ten seconds bring or 100 searches, whichever is more, may be saved up.
    pub per_second: u32,
}

impl RetryBudget {
    pub(super) fn saved(&self) -> u32 {
        self.per_second.saturating_mul(10).max(self.percent)
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, per_second: 10 }
    }
}

setters!(RetryBudget { percent: u32, per_second: u32 });

/// What a queued message or cookie counts besides its bytes, so that many small ones are bounded, too.
pub const MESSAGE_OVERHEAD: usize = 128;

/// Bounds of an endpoint: what is over them is refused with an error or counted, never kept.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Registrars beside the configured ones.
    pub registrars: usize,
    /// Elements of this process.
    pub elements: usize,
    /// Resolutions that wait for an answer.
    pub resolutions: usize,
    /// Pools in the cache; the one that was not used for the longest time goes.
    pub cached_pools: usize,
    /// Pools that are watched.
    pub watched_pools: usize,
    /// Sessions, started and accepted together.
    pub sessions: usize,
    /// Accepted associations of which it is not known yet what they are.
    pub pending_associations: usize,
    /// Bytes queued for sending in one session, where a message or cookie counts [`MESSAGE_OVERHEAD`] besides its own; a
    /// larger one has the queue for itself.
    pub session_queue: usize,
    /// Bytes of one message.
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            registrars: 64,
            elements: 1024,
            resolutions: 4096,
            cached_pools: 1024,
            watched_pools: 1024,
            sessions: 65_536,
            pending_associations: 1024,
            session_queue: 256 * 1024,
            message: 1 << 20,
        }
    }
}

/// Names a pool element of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId(pub u64);

/// Names a resolution of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a session of this process, started or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a pool element registers (RFC 5352 §3.1).
#[derive(Clone, Debug)]
pub struct Registration {
    /// The pool to join; it comes into being with its first element. Must not be empty (ambiguity A-05).
    pub handle: PoolHandle,
    /// The policy with this element's values.
    pub policy: Policy,
    /// How long the registration outlives us; `None`: for ever. Whole seconds, at least one.
    pub life: Option<Duration>,
    /// A fixed identifier; `None`: random, and another random one if a registrar says that it is taken.
    pub id: Option<PeIdentifier>,
    /// Where the service is.
    pub transport: ElementTransport,
}

/// Where the service of an element is.
#[derive(Clone, Debug)]
pub enum ElementTransport {
    /// At this endpoint, with data and control channel: sessions arrive as
    /// [`Event::SessionAccepted`](super::Event::SessionAccepted).
    Sessions,
    /// At a transport that the application serves by itself. Its addresses must be this host's (RFC 5352 §2.2.1).
    Other(Transport),
}

/// How to resolve a pool handle (RFC 5352 §3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolveOptions {
    /// Ask the registrar for this many elements (private parameter 0x803f, ambiguity A-49); `None`: its default.
    pub items: Option<u32>,
    /// Ask the registrar even if the cache knows.
    pub uncached: bool,
}

impl ResolveOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { items: None, uncached: false }
    }
}

setters!(ResolveOptions { items: Option<u32>, uncached: bool });

/// How a session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// How long to look for an element, at first and at each failover, before the session is closed. Default: 30 s.
    pub patience: Duration,
    /// Whether what was sent since the cookie is sent again after a failover, and how much is kept for that. Default: no.
    pub replay: Option<ReplayLimits>,
}

impl SessionOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { patience: Duration::from_secs(30), replay: None }
    }
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self::new()
    }
}

setters!(SessionOptions { patience: Duration, replay: Option<ReplayLimits> });

/// How much a session keeps of what it has sent since its cookie, to send it again after a failover: behind the cookie, in
/// order, and before anything new.
///
/// For sessions in which every message of the server answers one of the client, in their order, both in order on stream 0. A
/// cookie covers the messages that were answered before it came; they are forgotten. The others are sent again, whether they
/// were answered or not, and answers that came before are passed over. So all that is sent is done at least once by
/// somebody who has the cookie, and each answer comes once. Done twice can be what was done and is in no cookie, which is
/// harmless, and the last message that is in the cookie, which the server has to recognise, if it sets its cookie before the answer.
///
/// A session that sends more than this without a cookie that covers enough of it is one without replay from then on:
/// [`Event::ReplayGivenUp`](super::Event::ReplayGivenUp), and its failovers say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayLimits {
    /// So many messages. Default: 1024.
    pub messages: usize,
    /// So many bytes, without what each message costs beside. Default: 1 MiB.
    pub bytes: usize,
}

impl ReplayLimits {
    /// The defaults.
    pub const fn new() -> Self {
        Self { messages: 1024, bytes: 1 << 20 }
    }
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self::new()
    }
}

setters!(ReplayLimits { messages: usize, bytes: usize });

/// A user message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Stream number. A cookie is there before what follows it, on whatever stream that is
    /// ([`Transmit::Send`](crate::Transmit::Send)).
    pub stream: u16,
    /// Payload protocol identifier, host order; anything but 11, which is the control channel's (RFC 5352 §5).
    pub ppid: u32,
    /// Whether it may overtake others.
    pub unordered: bool,
    /// The message; not empty, SCTP cannot carry that.
    pub bytes: Bytes,
}

impl Message {
    /// What it takes of its session's queue ([`Limits::session_queue`]).
    pub fn cost(&self) -> usize {
        self.bytes.len() + MESSAGE_OVERHEAD
    }

    /// An ordered message on stream 0 without a payload protocol.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { stream: 0, ppid: 0, unordered: false, bytes: bytes.into() }
    }
}
