//! Reading and writing parameters: what the crates of the protocols build their messages on.
//!
//! Messages and parameters are TLVs (RFC 5354 §3, §4). Reading walks over the octets in place and copies what it
//! keeps; writing is one buffer whose length fields are filled in when a parameter ends.

mod read;
mod write;

pub use read::{Input, Parameter, Unrecognized, require, set_once, walk};
pub use write::{Encoder, padded};

/// Length of the header of a message, a parameter and an error cause.
pub const HEADER: usize = 4;
