//! The contract between a state machine and whoever drives it (design: the sans-IO contract).
//!
//! A machine ([`Node`]) consumes [`Input`]s and produces [`Transmit`]s. It knows associations only by their
//! [`AssocId`]. One driver (`net`) and one simulator drive every machine in the same way:
//!
//! 1. `handle_input` for everything that arrived, then `handle_timeout` when a timer is due;
//! 2. `poll_transmit` until it is empty, each transmit carried out before the next is polled, and all sent;
//! 3. `poll_event` until it is empty; 4. wait until `poll_timeout`.
//!
//! **Flow control.** The endpoint keeps a bounded queue of outgoing bytes per association. When a send fills it
//! the driver feeds [`Input::Full`] before it polls the next transmit; from then on the machine keeps what it
//! has for that association to itself until [`Input::Writable`]. For incoming messages a machine says
//! [`Transmit::Read`] with `on: false`; the endpoint then stops delivering messages of that association
//! (at most those already on their way still come) and lets SCTP's window close until `on: true`.

use crate::Time;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// SCTP payload protocol identifier of a sender that gives none (RFC 9260 §3.3.1): at the ports of ASAP and ENRP the
/// port says what is meant.
pub const PPID_NONE: u32 = 0;
/// SCTP payload protocol identifier of ASAP, host order (RFC 5352 §8.2).
pub const PPID_ASAP: u32 = 11;
/// SCTP payload protocol identifier of ENRP, host order (RFC 5353 §5.2).
pub const PPID_ENRP: u32 = 12;

/// Names an association between a machine and its endpoint.
///
/// Whoever starts the association names it: the machine those it connects ([`AssocId::connected`]), the
/// endpoint those it accepts ([`AssocId::accepted`]). A name is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssocId(u64);

impl AssocId {
    const ACCEPTED: u64 = 1 << 63;

    /// The `n`-th association that a machine connects.
    pub const fn connected(n: u64) -> Self {
        Self(n & !Self::ACCEPTED)
    }

    /// The `n`-th association that the endpoint behind `channel` accepts.
    pub const fn accepted(channel: Channel, n: u64) -> Self {
        Self(Self::ACCEPTED | (channel as u64) << 56 | (n & ((1 << 56) - 1)))
    }

    /// Whether the peer started it.
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }

    /// The number behind the name, for logs.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// Which local SCTP endpoint an association belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// The listening port for ASAP (and, at a pool element, for sessions that arrive).
    Asap = 0,
    /// The registrar's listening port for ENRP.
    Enrp = 1,
    /// A session that a pool user starts: its own SCTP source port on the ASAP endpoint's socket, because SCTP
    /// allows one association per pair of endpoints.
    Session = 2,
}

/// Why an association is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Both sides shut it down in order.
    Shutdown,
    /// The peer aborted it; the reason as text.
    PeerAborted(String),
    /// The peer does not answer (INITs, retransmissions or heartbeats exhausted): it may be dead, or the network.
    Unreachable,
    /// It was never established: refused, or an ICMP message said so.
    ConnectFailed(String),
    /// It was never established, and the peer was not asked: this host cannot now. It has no room for another association, or no
    /// port or route for it; which, as text. That says nothing of the peer.
    CannotConnect(String),
    /// It was never established, and nobody was asked: nothing leads from this host to any of the addresses, now or later, for they
    /// are of another family, or none that one can connect to.
    NoAddress,
    /// This side aborted it (machine's wish).
    LocalAbort,
    /// This side aborted it because the peer broke a rule or a limit; which one.
    Violation(String),
    /// A connect named a pair of ports and addresses that already has an association: use that one.
    Duplicate(AssocId),
}

impl DownReason {
    /// Whether this is evidence that the peer's process is gone or refuses service, rather than silence.
    pub fn is_positive(&self) -> bool {
        matches!(self, Self::Shutdown | Self::PeerAborted(_) | Self::ConnectFailed(_))
    }
}

/// What happens to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An association is established: one that the machine asked for, or one that a peer started.
    Up {
        /// Its name.
        assoc: AssocId,
        /// The local endpoint it belongs to.
        channel: Channel,
        /// The peer's addresses, each with the peer's SCTP port. The first is proven by the handshake: the state cookie went
        /// there, or the peer answered from there when it was told to be there. The others are the peer's word (RFC 9260
        /// §5.4), and may be somebody else's.
        remote: Vec<SocketAddr>,
        /// Our addresses as the peer sees them, without port; loopback only if the peer is on loopback.
        local: Vec<IpAddr>,
        /// Outgoing streams: valid stream numbers are below this.
        streams: u16,
    },
    /// The peer restarted: the association goes on, what was in flight is lost (RFC 9260 §5.2). A shutdown of the peer is
    /// over with that; one that the machine asked for begins anew. No path is down any more, without a word of it.
    Restart {
        /// Which.
        assoc: AssocId,
    },
    /// A whole user message arrived.
    Message {
        /// Which association.
        assoc: AssocId,
        /// Stream number.
        stream: u16,
        /// Payload protocol identifier, host order.
        ppid: u32,
        /// Whether it was sent unordered.
        unordered: bool,
        /// The message.
        bytes: Bytes,
    },
    /// Where a local endpoint can be reached from the networks that announcements go to; said before the first of them
    /// can be sent, and when it changes.
    Addresses {
        /// ASAP or ENRP.
        channel: Channel,
        /// Without port; loopback only where announcements stay on this host.
        addresses: Vec<IpAddr>,
    },
    /// A multicast datagram arrived (announcements, D6).
    Announce {
        /// Source of the datagram.
        from: SocketAddr,
        /// ASAP or ENRP.
        channel: Channel,
        /// The datagram.
        bytes: Bytes,
    },
    /// The outgoing queue is full: hold back until `Writable`.
    Full {
        /// Which.
        assoc: AssocId,
    },
    /// There is room again.
    Writable {
        /// Which.
        assoc: AssocId,
    },
    /// A message could not be sent (too large, stream out of range, association gone). It comes back.
    SendFailed {
        /// Which association.
        assoc: AssocId,
        /// The message.
        bytes: Bytes,
        /// Why.
        why: &'static str,
    },
    /// A path of a multi-homed peer changed.
    Path {
        /// Which association.
        assoc: AssocId,
        /// The peer's address.
        address: SocketAddr,
        /// Whether it can be used now.
        up: bool,
    },
    /// The peer shuts down: nothing more can be sent, what it sent may still arrive. Told to who shuts down as well, too.
    PeerShutdown {
        /// Which.
        assoc: AssocId,
    },
    /// The endpoint is behind: so many packets were read since it last found its sockets empty; 0 as soon as it has
    /// found them empty again. Told once a turn of the driver while it is behind.
    Backlog {
        /// How many, roughly.
        packets: usize,
    },
    /// The association is gone.
    Down {
        /// Which.
        assoc: AssocId,
        /// Why.
        why: DownReason,
    },
}

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Start an association. The answer is `Up` or `Down` for the same name.
    Connect {
        /// The name the machine gives it.
        assoc: AssocId,
        /// The local endpoint to use.
        channel: Channel,
        /// The peer's addresses with its SCTP port, the preferred one first.
        remote: Vec<SocketAddr>,
    },
    /// Send a user message.
    ///
    /// A control message is there before what follows it: SCTP sees to that in order on its own stream, 0. What is on another
    /// stream or unordered waits until the control messages before it ([`PPID_ASAP`]) are acknowledged, and all that follows
    /// with it.
    Send {
        /// Which association.
        assoc: AssocId,
        /// Stream number.
        stream: u16,
        /// Payload protocol identifier, host order.
        ppid: u32,
        /// Whether it may overtake others.
        unordered: bool,
        /// The message.
        bytes: Bytes,
    },
    /// Send a datagram to all multicast groups of a protocol.
    Announce {
        /// ASAP or ENRP.
        channel: Channel,
        /// The datagram.
        bytes: Bytes,
    },
    /// Go on or stop reading messages from an association.
    Read {
        /// Which.
        assoc: AssocId,
        /// Whether to read.
        on: bool,
    },
    /// End in order, after everything queued was delivered.
    Shutdown {
        /// Which.
        assoc: AssocId,
    },
    /// End at once.
    Abort {
        /// Which.
        assoc: AssocId,
        /// For the peer's log.
        cause: String,
    },
}

/// A protocol state machine without I/O and without a clock.
pub trait Node {
    /// What it tells its owner.
    type Event;
    /// Something happened. Never blocks, never panics, whatever arrived.
    fn handle_input(&mut self, now: Time, input: Input);
    /// A timer may be due. Early or twice is harmless.
    fn handle_timeout(&mut self, now: Time);
    /// The next thing to do.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// The next thing to tell.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// When `handle_timeout` is to be called next, and which timer that is (its RFC name: "T4-reregistration").
    fn poll_timeout(&self) -> Option<(Time, &'static str)>;
}
