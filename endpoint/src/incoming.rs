//! What happens in a session.

use bytes::Bytes;
use params::{PeIdentifier, PoolElement, PoolHandle, SctpTransport, Transport};
use proto::endpoint::{MESSAGE_OVERHEAD, Message};
use std::net::IpAddr;

/// A cookie that a session came with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cookie {
    /// The version of what is in it, if cookies are sealed; else 0.
    pub version: u32,
    /// What the former server set.
    pub bytes: Bytes,
}

/// Who can be turned to when the client of an accepted session is gone, as it says of itself: it is an element of a pool, too
/// (RFC 5352 §3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// The client's pool.
    pub pool: PoolHandle,
    /// Elements of the pool, the preferred one first; the client itself among them.
    pub elements: Vec<PoolElement>,
}

/// What happens in a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A message arrived.
    Message(Message),
    /// The client's cookie arrived after the session had been accepted (accepted sessions only).
    Cookie(Cookie),
    /// The client is an element itself, and names others of its pool (accepted sessions only). The latest card comes before
    /// everything else that was not received yet.
    Card(Card),
    /// The session continues on another server (started sessions only).
    Failover {
        /// The former server.
        from: PeIdentifier,
        /// The new one; it has got the latest cookie before anything else.
        to: PeIdentifier,
        /// How many there have been in which nothing was sent again.
        epoch: u32,
        /// All that its cookie does not cover was sent again: [`ReplayLimits`](crate::ReplayLimits).
        replayed: bool,
    },
    /// A message or cookie of this side was refused after it was queued: by SCTP (too large for the peer, or no such stream), or
    /// by this endpoint. The room that it took is free again when this is received.
    Refused {
        /// What was refused, as far as it came back.
        bytes: Bytes,
        /// Why.
        why: &'static str,
    },
}

impl Incoming {
    /// Bytes of memory, about.
    pub(crate) fn cost(&self) -> usize {
        MESSAGE_OVERHEAD
            + match self {
                Self::Message(message) => message.bytes.len(),
                Self::Cookie(cookie) => cookie.bytes.len(),
                Self::Card(card) => {
                    card.pool.as_bytes().len() + card.elements.iter().map(element_cost).sum::<usize>()
                }
                Self::Refused { bytes, .. } => bytes.len(),
                Self::Failover { .. } => 0,
            }
    }
}

fn element_cost(element: &PoolElement) -> usize {
    let addresses = |sctp: &SctpTransport| sctp.addresses.len() * size_of::<IpAddr>();
    let transport = match &element.user_transport {
        Transport::Sctp(sctp) => addresses(sctp),
        Transport::Opaque(bytes) => bytes.len(),
        _ => 0,
    };
    let asap_transport = element.asap_transport.as_ref().map_or(0, addresses);
    // A policy has bytes of its own only if it is unknown.
    size_of::<PoolElement>() + transport + asap_transport + element.policy.encoded_length()
}
