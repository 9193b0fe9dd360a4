//! A pool element as cheap as it can be: it registers, registers again on T4, and answers keep-alives.

use asap::{EndpointKeepAliveAck, Message, Registration};
use bytes::Bytes;
use params::{
    PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife, TcpTransport, Transport,
};
use rserpool_proto::AssocId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Elements of one pool.
const POOL: u32 = 100;
/// The default of the library for servers: the registration life, and the time until T4.
const LIFE: RegistrationLife = RegistrationLife(30);
pub(crate) const T4: Duration = Duration::from_secs(15);
const PORT: u16 = 7000;

/// One end of an association: a registrar and the name that the association has there.
pub(crate) type Link = (usize, AssocId);

#[derive(Clone, Copy, Default)]
pub(crate) struct Element {
    /// The association to its home.
    pub(crate) home: Option<Link>,
    /// Nothing to register: T4 has not expired since the last answer.
    pub(crate) registered: bool,
}

/// The address of the `n`-th element: each is a process of its own on a host of its own.
pub(crate) fn address(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits((10 << 24) + n).into(), PORT)
}

/// Whose address that is.
pub(crate) fn at(address: SocketAddr) -> Option<u32> {
    match address.ip() {
        IpAddr::V4(ip) if address.port() == PORT => Some(ip.to_bits() & 0xff_ffff),
        _ => None,
    }
}

/// Identifiers in no order, as elements choose them.
pub(crate) fn identifier(n: u32) -> PeIdentifier {
    PeIdentifier(n.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995)
}

pub(crate) fn handle(n: u32) -> PoolHandle {
    PoolHandle::from(format!("pool{:06}", n / POOL).as_str())
}

pub(crate) fn registration(n: u32) -> Bytes {
    let address = address(n).ip();
    let element = PoolElement {
        id: identifier(n),
        home: RegistrarId::NONE,
        life: LIFE,
        user_transport: Transport::Tcp(TcpTransport { port: 80, address }),
        policy: Policy::RoundRobin,
        asap_transport: None,
    };
    Message::from(Registration { handle: handle(n), element }).encode().unwrap()
}

pub(crate) fn acknowledgement(n: u32, handle: PoolHandle) -> Bytes {
    Message::from(EndpointKeepAliveAck { handle, id: identifier(n) }).encode().unwrap()
}
