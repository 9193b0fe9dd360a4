//! What a server is told that may share its pool with rsplib's.

use clap::Args;
use rserpool_pool_element::{Builder, Compat, PoolElement, Profile, TransportKind};
use std::net::SocketAddr;

#[derive(Args)]
pub(crate) struct Options {
    /// Registrars: the ASAP address of each
    #[arg(required = true)]
    registrars: Vec<SocketAddr>,
    /// Where clients and registrars reach this server
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The UDP port behind which all SCTP ports of a host are, where others use their kernel's SCTP
    #[arg(long)]
    encap_port: Option<u16>,
    /// What carries SCTP: "udp", or "kernel" for the system's own
    #[arg(long, default_value_t)]
    transport: TransportKind,
    /// rsplib takes part: its timers, and what it understands
    #[arg(long)]
    rsplib: bool,
}

impl Options {
    /// An element of this pool.
    pub(crate) fn element(self, pool: &str) -> Builder {
        let mut builder = PoolElement::builder(pool)
            .registrars(self.registrars)
            .listen(self.listen)
            .sctp_over(self.transport);
        if let Some(port) = self.encap_port {
            builder = builder.encap_port(port);
        }
        if self.rsplib {
            builder = builder.profile(Profile::Rsplib).compat(Compat::Rsplib);
        }
        builder
    }
}
