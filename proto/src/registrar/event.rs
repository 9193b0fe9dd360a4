//! What a registrar tells its owner: for logs, metrics and demonstrations.

use params::{PeIdentifier, PoolHandle, RegistrarId};
use std::net::SocketAddr;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Initialisation is complete (RFC 5353 §3.2.3); from whom the handlespace came, `None` when alone.
    Started {
        /// The mentor.
        mentor: Option<RegistrarId>,
    },
    /// A registrar was heard for the first time, or again.
    PeerUp {
        /// Who.
        id: RegistrarId,
        /// Where its ENRP endpoint is.
        addresses: Vec<SocketAddr>,
    },
    /// A registrar is considered dead.
    PeerDown {
        /// Who.
        id: RegistrarId,
        /// What showed it.
        why: PeerDownReason,
    },
    /// Somebody else uses our identifier (ambiguity A-20).
    IdConflict {
        /// From where.
        remote: SocketAddr,
    },
    /// The first element of a pool arrived.
    PoolCreated {
        /// Which.
        handle: PoolHandle,
    },
    /// The last element of a pool left.
    PoolRemoved {
        /// Which.
        handle: PoolHandle,
    },
    /// An element that was unknown here is now in the handlespace.
    ElementRegistered {
        /// Its pool.
        handle: PoolHandle,
        /// Who.
        id: PeIdentifier,
        /// Its home registrar.
        home: RegistrarId,
    },
    /// A known element registered again or was updated; it may have changed its home.
    ElementReregistered {
        /// Its pool.
        handle: PoolHandle,
        /// Who.
        id: PeIdentifier,
        /// Its home registrar.
        home: RegistrarId,
    },
    /// An element is suspect: listed last.
    ElementSuspected {
        /// Its pool.
        handle: PoolHandle,
        /// Who.
        id: PeIdentifier,
        /// Because it does not answer; otherwise because many clients cannot reach it.
        silent: bool,
    },
    /// An element is no longer suspect.
    ElementCleared {
        /// Its pool.
        handle: PoolHandle,
        /// Who.
        id: PeIdentifier,
    },
    /// So many elements of a pool are silent that the network is more likely to be the reason than they are: none of
    /// them is removed for that until they, or most of them, are heard again (design D9).
    GuardBegan {
        /// The pool.
        handle: PoolHandle,
        /// How many are silent, or were removed for that lately, here or elsewhere.
        silent: usize,
        /// To how many of these other registrars say so, or do not speak for them.
        elsewhere: usize,
        /// Of how many.
        elements: usize,
    },
    /// No element of a pool is held any more.
    GuardEnded {
        /// The pool.
        handle: PoolHandle,
        /// How many were heard again.
        released: usize,
        /// How many were removed: on evidence, or silent for too long.
        removed: usize,
        /// How long that took.
        lasted: std::time::Duration,
    },
    /// More arrives than can be handled: resolutions are shed, and more if that is not enough (design D11).
    OverloadBegan {
        /// How many packets were read without the sockets having been empty.
        packets: usize,
    },
    /// There was no overload for a second.
    OverloadEnded {
        /// How many messages were shed.
        shed: u64,
        /// How long that took, the second included.
        lasted: std::time::Duration,
    },
    /// An element is gone.
    ElementRemoved {
        /// Its pool.
        handle: PoolHandle,
        /// Who.
        id: PeIdentifier,
        /// Its home registrar at that time.
        home: RegistrarId,
        /// Why.
        why: RemovalReason,
    },
    /// A takeover arbitration began here (RFC 5353 §3.5.1).
    TakeoverStarted {
        /// The registrar to be taken over.
        target: RegistrarId,
    },
    /// It ended without us taking over: a better initiator, or the target lives.
    TakeoverAborted {
        /// The registrar.
        target: RegistrarId,
        /// Who takes over instead; `None`: the target lives.
        winner: Option<RegistrarId>,
    },
    /// We or a peer took over.
    TakeoverCompleted {
        /// The registrar that was taken over.
        target: RegistrarId,
        /// The new home of its elements.
        winner: RegistrarId,
        /// How many elements that were.
        elements: usize,
    },
    /// The table of a peer's elements was found different and loaded anew (RFC 5353 §3.6.3).
    Resynchronized {
        /// Whose.
        peer: RegistrarId,
    },
}

/// Why a peer is considered dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerDownReason {
    /// No answer within MAX-TIME-NO-RESPONSE (RFC 5353 §3.4.3).
    NotHeard,
    /// It ended its association in order, and refuses another one: it was stopped.
    Left,
    /// Its association ended and a new one could not be established.
    Unreachable,
    /// Another registrar took it over (RFC 5353 §3.5.2).
    TakenOver,
    /// Its endpoint answers under another identifier: it was started anew.
    Replaced,
}

/// Why an element was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RemovalReason {
    /// It asked for it (RFC 5352 §3.2).
    Deregistered,
    /// Its registration life ended (RFC 5352 §2.2.4).
    Expired,
    /// The association to it ended.
    AssociationEnded,
    /// It did not answer keep-alives (RFC 5352 §3.5).
    KeepAliveFailed,
    /// Too many clients reported it (RFC 5352 §3.5), with [`Config::strict_rfc`](super::Config::strict_rfc) only.
    Reported,
    /// Its home, or a registrar that could not reach it, said so (RFC 5353 §3.3.2).
    RemovedByPeer,
    /// Its home does not list it any more (RFC 5353 §3.6.3).
    Audit,
    /// The operator wanted it.
    Administrator,
}
