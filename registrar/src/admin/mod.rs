//! The admin API: HTTP and JSON on a Unix socket, and on loopback TCP if wanted. [`api`] is its documentation.
//!
//! It never holds up the protocol: a request takes one bounded slice from the registrar's thread and formats it
//! elsewhere; requests at a time are bounded, and so is the time each may take.

pub mod api;
mod routes;
mod server;
mod socket;
mod view;

pub(crate) use routes::router;
pub(crate) use server::Server;
pub use socket::{AdminError, is_private, socket_directories, socket_name};
