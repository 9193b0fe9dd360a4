//! What an endpoint counts: every packet that is dropped, by reason.

/// Numbers since the endpoint started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
}
