//! The kernel's SCTP behind the trait [`Endpoint`] (design decision D2), through the crate `lksctp`.
//!
//! One one-to-many socket (RFC 6458 §3) carries the associations of an endpoint. Some have a socket of their own:
//!
//! * A session, because SCTP allows one association per pair of endpoints: its source port is its own.
//! * An association that would have to wait. What is at the head of the shared socket is in the way of all others,
//!   so an association is peeled off (RFC 6458 §9.2) as soon as a message comes that nobody reads, or as soon as
//!   it cannot send because the shared send buffer is full. From then on only its own window and buffers fill up.
//!
//! Timers, retransmissions, heartbeats and multi-homing are the kernel's. Closing a socket, also by the end of the
//! process, ends its associations with an ABORT: peers learn at once, and the port is free.

mod association;
mod batch;
mod config;
mod endpoint;
mod events;
mod notification;
mod reason;
mod sending;
mod socket;
mod sockets;

pub use config::{KernelConfig, KernelCounters};
pub use endpoint::{KernelEndpoint, KernelListener};

#[cfg(doc)]
use crate::Endpoint;
