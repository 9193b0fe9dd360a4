//! What can be set at a kernel endpoint beside [`SctpConfig`](crate::sctp::SctpConfig), and what it counts.

use std::net::IpAddr;
use std::time::Duration;

/// How the kernel's SCTP is used.
///
/// Of [`SctpConfig`](crate::sctp::SctpConfig) everything applies that the kernel can be told. It cannot be told: the
/// lower bound of the round-trip time's variance, T1 and T2 (they start with RTO.Initial and RTO), the packet size
/// (path MTU discovery finds it), and rates of handshakes and of answers to stray packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig {
    /// Further local addresses of the endpoint beside [`Listen::address`](crate::Listen::address), on the same port.
    pub addresses: Vec<IpAddr>,
    /// UDP port at which peers take SCTP over UDP (RFC 6951, IANA's is 9899); `None`: plain SCTP. The kernel's own
    /// port is the system's setting `net.sctp.udp_port`.
    pub encapsulation_port: Option<u16>,
    /// Ends associations that have been idle for so long (whole seconds); `None`: never.
    pub autoclose: Option<Duration>,
}

/// What a kernel endpoint has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelCounters {
    /// Messages received, whole ones.
    pub received: u64,
    /// Pieces of messages that came in more than one.
    pub pieces: u64,
    /// Messages given to the kernel.
    pub sent: u64,
    /// Events of the kernel.
    pub notifications: u64,
    /// Associations established by a peer's handshake.
    pub accepted: u64,
    /// Associations established by our handshake.
    pub connected: u64,
    /// Peers that restarted (RFC 9260 §5.2).
    pub restarted: u64,
    /// Paths that went down: an address of a peer that has others, too.
    pub paths_down: u64,
    /// Paths that came up again.
    pub paths_up: u64,
    /// Associations that were given a socket of their own because they had to wait.
    pub peeled_off: u64,
    /// Associations ended because the peer broke a limit.
    pub violations: u64,
    /// Associations refused: all are in use.
    pub refused_full: u64,
    /// Connects of ours that were refused here: all associations are in use, or no address, socket or route serves.
    pub refused_connects: u64,
    /// Messages that the kernel gave back (RFC 6458 §6.1.11).
    pub send_failed: u64,
    /// Errors that a peer reported and the association survived (RFC 6458 §6.1.3).
    pub errors: u64,
    /// System calls that failed unexpectedly.
    pub failed_calls: u64,
}
