//! What a row says about itself when it has run: one JSON object a line, from the VM to the host.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The outcome of one row inside the VM; the host adds what the capture shows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The row.
    pub(crate) row: String,
    /// Why it failed; `None` when it passed.
    pub(crate) failure: Option<String>,
    /// What it measured or saw, for the reader.
    pub(crate) notes: Vec<String>,
    /// Addresses of the hosts whose messages are ours.
    pub(crate) ours: Vec<IpAddr>,
    /// Seconds it took.
    pub(crate) seconds: f64,
}
