//! Every ASAP and ENRP message of a pcap or pcapng capture, in the order in which it became complete.
//!
//! The messages travel in SCTP (RFC 9260) over IPv4 or IPv6, in SCTP over UDP (RFC 6951), or, where they are announced
//! to a multicast group, in UDP. Fragments are put together, bundled chunks taken apart, retransmissions shown once.
//! Captures are hostile input: nothing panics, memory is bounded, and what could not be read is
//! [counted](Summary).

mod association;
mod error;
mod frames;
mod link;
mod messages;
mod sctp;
mod summary;
mod tsns;

pub use error::CaptureError;
pub use frames::is_capture;
pub use messages::{Message, Messages, Protocol, Transport};
pub use summary::Summary;
