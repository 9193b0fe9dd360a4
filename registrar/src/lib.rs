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
//! Servers and clients find it with the libraries `rserpool-pool-element` and `rserpool-pool-user`.
//!
//! # A scope
//!
//! Three registrars that know each other are a scope without a single point of failure: give each the
//! [`enrp_address`](Registrar::enrp_address) of another as [`Config::peers`]. One peer is enough, it names the others. They can
//! also be found by DNS ([`Config::dns`]) or by multicast ([`Config::multicast`](field@Config::multicast)). The first one of a scope needs nobody.
//!
//! # What happens on failure
//!
//! * **A server dies**: its association ends, or a keep-alive and its repetition stay unanswered; then it is removed, here and at
//!   all registrars, and clients that watch its pool are told. Reports of clients only make the registrar look.
//! * **The network fails, not the servers**: when much of a pool falls silent at a time its elements are listed last and kept, until
//!   they answer, refuse, or were silent for a minute ([`Config::guard`](field@Config::guard)).
//! * **This registrar dies**: the others notice within a second ([`Profile::Lan`]), one of them takes
//!   over its servers, and these and its clients go on there. [`Registrar::stop`] does the same without the wait.
//! * **Registrars lose sight of each other**: each part goes on with the servers that it sees. When they meet again they compare
//!   checksums and load what differs.
//!
//! # What is guaranteed, and what is not
//!
//! * A server that answers is not removed, whatever is said about it.
//! * Available, not consistent: there is no consensus and no disk. Two registrars may give different answers for a moment;
//!   a registrar that starts loads the handlespace from another one. When all are gone at a time servers register again.
//! * Everything is bounded ([`Config::limits`]). What is full says so to whoever asks, and nothing from the network ends
//!   the process.
//! * Nobody is authenticated. It listens on loopback unless told otherwise, and warns if it is.
//!
//! # Looking inside
//!
//! [`Registrar::events`] tells what happens, [`Registrar::status`] how it stands. [`admin::api`] is what the admin API
//! answers (HTTP and JSON on a Unix socket), and the tool `rserpool` shows. rsplib's `cspmonitor` shows it if
//! [`Config::component_status`](field@Config::component_status) names one. [`Config`] says what can be set; as a file it is documented in
//! `etc/registrar.toml`.

pub mod admin;
mod component_status;
pub mod config;
mod log;
mod machine;
mod registrar;

pub use config::{Config, ConfigError};
pub use net::Stopped;
pub use net::udp::EncapPorts;
pub use params::{PeIdentifier, PoolHandle, RegistrarId};
pub use proto::profile::Profile;
pub use proto::registrar::{Event, State, Status};
pub use registrar::{Events, Registrar, StartError};
