//! Deterministic simulation: registrars, pool elements and pool users in one process, in virtual time.
//!
//! A [`World`] owns the hosts. On each runs one process: the real machines of `proto`, with a reference
//! application ([`counter`]) on top whose every lost or doubled operation shows. A [`Network`] joins them, either
//! whole associations that delay and break ([`channels`]) or the real SCTP endpoint over a bad datagram network
//! ([`datagrams`]). What goes wrong when is a schedule drawn from the seed ([`faults`]); what must hold
//! nevertheless is in [`invariants`], [`conduct`] and [`convergence`]. [`run`](run::run) makes a run of a [`Spec`]: the same
//! one gives the same run, to the last byte. [`campaign`] makes many, and [`minimise`] makes one that fails smaller.
//!
//! Beside it, [`transcript`] plays the stories of `tests/scenarios`, and [`conformance`] says which requirement which
//! test shows.

pub mod campaign;
pub mod channels;
pub mod conduct;
pub mod conformance;
pub mod convergence;
pub mod counter;
pub mod cuts;
pub mod datagrams;
pub mod faults;
pub mod invariants;
pub mod isolation;
pub mod loads;
pub mod minimise;
pub mod network;
pub mod processes;
pub mod run;
pub mod spec;
pub mod trace;
pub mod transcript;
pub mod world;

pub use network::{HostId, Network, Role};
pub use run::{Report, Violation, run};
pub use spec::{Spec, Wire};
pub use world::World;
