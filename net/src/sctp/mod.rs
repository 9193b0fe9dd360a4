//! The embedded SCTP endpoint: everything around `dcsctp` but the sockets (design decision D2).
//!
//! `dcsctp` is one association per object, without addresses. [`SctpEndpoint`] makes of it what RFC 6458 §3
//! calls a one-to-many endpoint, over UDP (RFC 6951) or over IP: it finds the association of a packet, answers an INIT
//! without keeping anything (RFC 9260 §5.1.3), answers packets that belong to nothing (RFC 9260 §8.4), bounds
//! everything, and turns what happens into [`proto::Input`]s. It is sans-IO: whoever owns the sockets (or the
//! [simulated network](crate::memory)) feeds it datagrams and the time, and takes datagrams out.

mod addresses;
mod arrivals;
mod association;
mod carrier;
mod config;
mod cookie;
mod counters;
mod endpoint;
mod inbound;
mod listener;
mod multihoming;
mod out_of_the_blue;
mod outbound;
mod packet;
mod paths;
mod rate;
mod table;
mod timers;

#[cfg(test)]
mod tests;

pub(crate) use addresses::MAX_ADDRESSES;
pub use carrier::Carrier;
pub use config::{SctpConfig, SctpLimits, SctpTiming};
pub use counters::Counters;
pub use endpoint::{Datagram, SctpEndpoint};
pub(crate) use rate::Rate;
pub(crate) use table::{canonical, is_usable};
