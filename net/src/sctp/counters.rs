//! What an endpoint counts: above all every packet that is dropped, by reason.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the endpoint started.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// All of them with their names, for metrics.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams received.
    received,
    /// Datagrams sent.
    sent,
    /// Associations established by a peer's handshake.
    accepted,
    /// Associations established by our handshake.
    connected,
    /// Peers that restarted (RFC 9260 §5.2).
    restarted,
    /// Associations that moved to another UDP port (RFC 6951 §5.4).
    rebound,
    /// INITs answered.
    inits_answered,
    /// Out-of-the-blue packets answered (RFC 9260 §8.4).
    out_of_the_blue_answered,
    /// Further addresses of peers that have answered for the first time (RFC 9260 §5.4).
    paths_confirmed,
    /// Paths that went down: an address of a peer that has others, too.
    paths_down,
    /// Paths that came up again.
    paths_up,
    /// Associations ended because the peer broke a rule or a limit.
    violations,
    /// Associations ended by an ICMP message.
    unreachable,
    /// Errors that an association or its peer reported and survived.
    errors,
    /// Dropped: the source is not a unicast address with a port.
    dropped_source,
    /// Dropped: sent to a group or a broadcast address.
    dropped_destination,
    /// Dropped: too short, lengths that do not fit, or chunks that may not be bundled.
    dropped_malformed,
    /// Dropped: wrong CRC32c.
    dropped_checksum,
    /// Dropped: wrong verification tag (RFC 9260 §8.5).
    dropped_tag,
    /// Dropped: INIT or INIT ACK that breaks a rule (tag 0, no streams, a cookie larger than a packet).
    dropped_init,
    /// Dropped: INIT above the rate of handshakes.
    dropped_init_rate,
    /// Dropped: INIT so small that its answer would be more than three times as large.
    dropped_amplification,
    /// Dropped: COOKIE ECHO that we did not issue for this peer.
    dropped_cookie_forged,
    /// Dropped: COOKIE ECHO after its time.
    dropped_cookie_stale,
    /// Dropped: COOKIE ECHO whose association was there and is gone.
    dropped_cookie_replayed,
    /// Refused: INIT or INIT ACK with addresses that cannot be (RFC 9260 §5.1.2).
    refused_addresses,
    /// Refused: an association was to be restarted from addresses that it did not have (RFC 9260 §5.2.4.1).
    refused_restart,
    /// Refused: all associations are in use.
    refused_full,
    /// Refused: a connect of ours, for all associations are in use, or no address or port of ours serves.
    refused_connects,
    /// Dropped: belongs to no association, and RFC 9260 §8.4 wants silence.
    dropped_out_of_the_blue,
    /// Dropped: belongs to no association, above the rate of answers.
    dropped_out_of_the_blue_rate,
    /// Dropped: data for a window that is closed because nobody reads.
    dropped_window_closed,
    /// Dropped: ICMP message that quotes no packet of ours (RFC 6951 §5.5).
    dropped_icmp,
}
