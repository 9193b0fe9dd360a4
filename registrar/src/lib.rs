//! The registrar of Reliable Server Pooling: it keeps the handlespace, watches its pool elements, and takes over
//! the elements of registrars that die (RFC 5352, RFC 5353).
//!
//! This crate is the daemon `rserpool-registrar` and, as a library, the same registrar inside another program:
//!
//! ```
//! use rserpool_registrar::{Config, Registrar, config::AdminSocket};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = Config::default();
//! config.listen.asap = "127.0.0.1:0".parse()?; // any free port
//! config.listen.enrp = "127.0.0.1:0".parse()?;
//! config.admin.socket = AdminSocket::Off;
//!
//! let registrar = Registrar::spawn(config)?;
//! println!("pool elements and pool users reach it at {}", registrar.asap_address());
//! assert_eq!(registrar.status().await?.elements, 0);
//! registrar.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! Three registrars that know each other are a scope without a single point of failure: give each the
//! [`enrp_address`](Registrar::enrp_address) of another as [`Config::peers`].
//!
//! [`Config`] says what can be set, [`admin::api`] what the admin API answers.

pub mod admin;
pub mod config;
mod log;
mod machine;
mod registrar;

pub use config::{Config, ConfigError};
pub use net::Stopped;
pub use proto::registrar::{Event, State, Status};
pub use registrar::{Events, Registrar, StartError};
