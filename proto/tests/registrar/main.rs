//! The registrar machine, one procedure after the other, on a small network in virtual time.

// Helpers of tests are not seen as tests.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod announcements;
mod network;
mod played;

mod addresses;
mod announce;
mod audit;
mod bounds;
mod chaos;
mod contest;
mod flow;
mod guard;
mod keep_alive;
mod leave;
mod not_asked;
mod overload;
mod peers;
mod push;
mod registrars;
mod registration;
mod restart;
mod rsplib;
mod startup;
mod tables;
mod takeover;
mod updates;
