//! What a client is told whose pool may be of rsplib's servers.

use clap::Args;
use rserpool_pool_user::{Compat, PoolUser, Profile, TransportKind};
use std::net::SocketAddr;

#[derive(Args)]
pub(crate) struct Options {
    /// Registrars: the ASAP address of each
    #[arg(required = true)]
    registrars: Vec<SocketAddr>,
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
    pub(crate) fn user(self) -> PoolUser {
        let mut builder = PoolUser::builder(self.registrars).sctp_over(self.transport);
        if let Some(port) = self.encap_port {
            builder = builder.encap_port(port);
        }
        if self.rsplib {
            builder = builder.profile(Profile::Rsplib).compat(Compat::Rsplib);
        }
        builder.build()
    }
}
