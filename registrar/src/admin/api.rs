//! What the admin API says, as JSON: these types are the contract between the registrar and its tools.
//!
//! All of it is `GET`, read-only, and answers `application/json`. An answer other than 200 is an [`ErrorBody`].
//!
//! | path | answer |
//! |---|---|
//! | `/v1/status` | [`Status`] |
//! | `/v1/pools?after=CURSOR&limit=N` | [`PoolPage`] |
//! | `/v1/pools/{handle}?after=CURSOR&limit=N` | [`PoolDetail`] |
//! | `/v1/pools/{handle}/elements/{id}` | [`Element`] |
//! | `/v1/registrars` | [`RegistrarList`] |
//!
//! **Handles** are bytes. In a path they are percent-encoded (`/v1/pools/a%2Fb`), or, with `?hex`, written as hex
//! digits (`/v1/pools/612f62?hex`). In JSON each handle comes twice: `handle` is text with `\xNN` escapes, for
//! people, and `handle_hex` is exact. **Identifiers** are text, `0x0000002a`. **Times** are seconds, as fractions:
//! ages and time to live, never dates.
//!
//! **Pages**: at most `limit` entries ([`DEFAULT_LIMIT`], at most [`MAX_LIMIT`]) in ascending order. `next` is the
//! `after` of the next page, and absent on the last one. A page is one consistent slice; between two pages the
//! handlespace goes on living.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entries of a page when `limit` does not say otherwise.
pub const DEFAULT_LIMIT: usize = 1000;
/// Most entries of a page: bounds how long one request holds the registrar's thread.
pub const MAX_LIMIT: usize = 2000;

/// The registrar itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its identifier.
    pub id: String,
    /// Version of the program.
    pub version: String,
    /// Where it serves pool elements and pool users.
    pub asap_address: String,
    /// Where it talks to other registrars.
    pub enrp_address: String,
    /// Since its start.
    pub uptime_seconds: f64,
    /// Where it is in its life: `starting` (still loads the handlespace), `running`, `stopping`, `stopped`.
    pub state: String,
    /// Pools in the handlespace.
    pub pools: usize,
    /// Pool elements in the handlespace, whoever owns them.
    pub elements: usize,
    /// Pool elements of which this registrar is the home.
    pub owned_elements: usize,
    /// Other registrars of the scope that are alive.
    pub peers: usize,
    /// SCTP associations.
    pub associations: usize,
    /// Checksum over its own elements, as announced to the peers (RFC 5353 §3.6.2).
    pub checksum: String,
    /// Elements that do not answer, and have not been removed for that yet.
    pub silent_elements: usize,
    /// Pools of which so many elements are silent that these are held.
    pub guarded_pools: usize,
    /// Subscriptions of clients to pools.
    pub subscriptions: usize,
    /// What was counted since the start, by name; all only grow. `sctp_asap_…` and `sctp_enrp_…` are those of the SCTP below
    /// the two addresses: associations accepted, INITs answered, and every packet that was dropped or refused, by reason
    /// (`sctp_asap_dropped_init_rate`). Where both have one socket (`raw`, or with `sctp.encap-port`) they are the same.
    pub counters: BTreeMap<String, u64>,
}

/// Some pools, ascending by the bytes of their handles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolPage {
    /// The pools.
    pub pools: Vec<Pool>,
    /// The `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its handle as text with `\xNN` escapes.
    pub handle: String,
    /// The bytes of its handle in hex.
    pub handle_hex: String,
    /// Its member selection policy by name.
    pub policy: String,
    /// How many elements it has.
    pub elements: usize,
    /// How many of them do not answer: they are looked for, and listed last.
    pub silent: usize,
    /// How many more do not answer other registrars, as these tell, or have a home that does not speak for them.
    #[serde(default)]
    pub silent_elsewhere: usize,
    /// Since when these are held, not removed, because they are so many that the network must be the reason; absent:
    /// they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarded_seconds: Option<f64>,
    /// How many clients are told of its changes.
    pub subscribers: usize,
}

/// A pool with some of its elements, ascending by their identifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolDetail {
    /// The pool.
    #[serde(flatten)]
    pub pool: Pool,
    /// Elements of this page.
    pub members: Vec<Element>,
    /// The `after` of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A pool element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// Its identifier within the pool.
    pub id: String,
    /// Its home registrar.
    pub home: String,
    /// Its policy with its values.
    pub policy: Policy,
    /// Its registration life; absent = for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_seconds: Option<f64>,
    /// What is left of it; known at its home registrar only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<f64>,
    /// Whether it is listed last: it is silent, or clients could not reach it.
    pub suspect: bool,
    /// Since when it does not answer; absent: it does, as far as is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_seconds: Option<f64>,
    /// Distinct clients that reported it unreachable lately.
    pub reports: usize,
    /// Where its service is.
    pub user_transport: Transport,
    /// Where its ASAP endpoint is; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asap_transport: Option<Transport>,
}

/// A member selection policy with the values of one element (RFC 5356).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// `round_robin`, `least_used`, …; of an unknown policy its number, `0x12345678`.
    pub name: String,
    /// `weight`, `priority`, …; `load` and `degradation` are fractions, 1 is 100 %.
    #[serde(default, flatten)]
    pub values: BTreeMap<String, f64>,
}

/// A transport address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transport {
    /// `SCTP`, `TCP`, `UDP`, `UDP-Lite`, `DCCP` or `opaque`.
    pub protocol: String,
    /// Addresses with port; of an opaque transport its bytes in hex.
    pub addresses: Vec<String>,
    /// Whether ASAP's control channel (cookies, business cards) is available on it.
    pub control_channel: bool,
}

/// The registrars of the scope, this one included, ascending by identifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistrarList {
    /// The registrars.
    pub registrars: Vec<Registrar>,
}

/// A registrar of the scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registrar {
    /// Its identifier.
    pub id: String,
    /// Whether it is the one that answers.
    pub this: bool,
    /// Addresses of its ENRP endpoint.
    pub addresses: Vec<String>,
    /// `active`; `probed`: silent, asked for a sign of life; `not-active`: being taken over.
    pub state: String,
    /// Whether an association to it exists; absent for the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// Since something was heard of it; absent for the one that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard_seconds: Option<f64>,
    /// Pool elements of which it is the home.
    pub owned_elements: usize,
    /// Checksum over these, from what is known here.
    pub checksum: String,
    /// Checksum that it announced last: differs while an update is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_checksum: Option<String>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// For people.
    pub error: String,
}
