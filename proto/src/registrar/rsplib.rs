//! What may reach rsplib, where it takes part (design D8): an element that it cannot read spoils the whole answer,
//! table or update that it is in, and a pool handle of more than 32 bytes ends the process that receives it.

use super::Registrar;
use crate::profile::RSPLIB_MAX_HANDLE;
use params::{
    CauseCode, ErrorCause, OperationError, Policy, PoolElement, PoolHandle, SctpTransport, Transport,
};
use std::net::IpAddr;

/// rsplib's limit on the addresses of a transport.
const MAX_ADDRESSES: usize = 64;

impl Registrar {
    /// Makes an element one that rsplib reads, if it takes part, or says why that cannot be. What passes is kept in the
    /// handlespace, so everything that is sent from there passes, too.
    pub(super) fn suit_scope(
        &self,
        handle: &PoolHandle,
        element: &mut PoolElement,
    ) -> Result<(), OperationError> {
        if self.config.compat.is_rsplib() { suit_rsplib(handle, element) } else { Ok(()) }
    }
}

fn suit_rsplib(handle: &PoolHandle, element: &mut PoolElement) -> Result<(), OperationError> {
    let readable = match &mut element.user_transport {
        Transport::Sctp(sctp) => leave_out_ignored(sctp),
        Transport::Tcp(tcp) => is_read(&tcp.address).then_some(()).ok_or(tcp.address),
        Transport::Udp(udp) => is_read(&udp.address).then_some(()).ok_or(udp.address),
        Transport::UdpLite(_) | Transport::Dccp(_) | Transport::Opaque(_) => {
            return Err(CauseCode::INVALID_VALUES.into());
        }
    };
    readable.map_err(|address| OperationError { causes: vec![ErrorCause::invalid_address(&address)] })?;
    let reached = element.asap_transport.as_mut().is_some_and(|asap| leave_out_ignored(asap).is_ok());
    let policy = !matches!(element.policy, Policy::Opaque { .. });
    let named = handle.as_bytes().len() <= RSPLIB_MAX_HANDLE;
    if reached && policy && named { Ok(()) } else { Err(CauseCode::INVALID_VALUES.into()) }
}

/// Leaves out the addresses that rsplib ignores, and those beyond its limit. An error names one if none is left.
fn leave_out_ignored(transport: &mut SctpTransport) -> Result<(), IpAddr> {
    let first = transport.addresses.first().copied();
    transport.addresses.retain(is_read);
    transport.addresses.truncate(MAX_ADDRESSES);
    match first {
        Some(first) if transport.addresses.is_empty() => Err(first),
        _ => Ok(()),
    }
}

/// Whether rsplib takes notice of an address: not of loopback and link-local ones.
fn is_read(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && v4.octets()[0] != 255,
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}
