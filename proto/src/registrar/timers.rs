//! What the registrar's timers are for.

use super::ElementKey;
use crate::{AssocId, Channel};
use params::{PoolHandle, RegistrarId};

/// What is to be done when a timer expires. Each is set at most once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next PRESENCE to all peers, and the next look at what is not connected.
    Heartbeat,
    /// The next announcement by multicast.
    Announce,
    /// A step of the start took too long, or the pause after a rejection is over.
    Startup,
    /// A peer was silent, did not answer, or its takeover by another registrar did not happen.
    Peer(RegistrarId),
    /// An arbitration begins, or lacks acknowledgements.
    Takeover(RegistrarId),
    /// A table that we load from a peer does not go on.
    Resynchronization(RegistrarId),
    /// A table that we serve was not asked for any more.
    TableSession,
    /// A keep-alive was not acknowledged.
    Probe(ElementKey),
    /// An association that was made to ask an element may not be needed any more.
    Idle(AssocId),
    /// Associations over which nothing came may have to make room for others.
    Mute(Channel),
    /// The next elements that wait for it are to be asked.
    Inquiries,
    /// An element did not say in time whether it is ours still, or is not asked again before.
    Contest(ElementKey),
    /// Reports of unreachability are old enough to be forgotten.
    Reports(ElementKey),
    /// The next silent element is given up, or removals are old enough to be forgotten.
    Guard(super::guard::Scope),
    /// Peers are to be told how many elements are silent.
    Silence,
    /// The next subscribers of a pool are to be served.
    Push(PoolHandle),
    /// There was no overload for a while.
    Overload,
    /// Associations did not end in order.
    Shutdown,
}

impl Timer {
    /// Its name in the RFCs, or ours.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Heartbeat => "PEER-HEARTBEAT-CYCLE",
            Self::Announce => "T6-Serverannounce",
            Self::Startup => "startup",
            Self::Peer(_) => "MAX-TIME-LAST-HEARD",
            Self::Takeover(_) => "takeover",
            Self::Resynchronization(_) => "resynchronization",
            Self::TableSession => "table-session",
            Self::Probe(_) => "keep-alive-ack",
            Self::Idle(_) => "idle",
            Self::Mute(_) => "mute",
            Self::Inquiries => "inquiries",
            Self::Contest(_) => "contest",
            Self::Reports(_) => "reports",
            Self::Guard(_) => "guard",
            Self::Silence => "silence",
            Self::Push(_) => "push",
            Self::Overload => "overload",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The registrar's timers.
pub(super) type Timers = crate::timers::Timers<Timer>;
