//! The registrar machine, one procedure after the other, on a small network in virtual time.

// Helpers of tests are not seen as tests.
#![allow(clippy::unwrap_used)]

mod network;

mod chaos;
mod flow;
mod keep_alive;
mod peers;
mod registration;
mod takeover;
