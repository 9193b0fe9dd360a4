//! Transport parameters: where a pool element or a registrar can be reached (RFC 5354 §3.3 – §3.7, §3.16).

use bytes::Bytes;
use std::net::IpAddr;

/// How the data channel is used (RFC 5354 §3.4): 0 = data only, 1 = data plus control channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportUse(pub u16);

impl TransportUse {
    /// Only user data: no cookies, no business cards.
    pub const DATA_ONLY: TransportUse = TransportUse(0);
    /// User data and the ASAP control channel on the same association.
    pub const DATA_AND_CONTROL: TransportUse = TransportUse(1);
}

/// SCTP Transport (RFC 5354 §3.4): one port, one or more addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpTransport {
    /// SCTP port. With the embedded endpoint also the UDP port (design: one number for both).
    pub port: u16,
    /// Data only, or data and control channel.
    pub transport_use: TransportUse,
    /// At least one.
    pub addresses: Vec<IpAddr>,
}

/// TCP Transport (RFC 5354 §3.5): data only, exactly one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTransport {
    /// TCP port.
    pub port: u16,
    /// Address.
    pub address: IpAddr,
}

/// UDP Transport (RFC 5354 §3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpTransport {
    /// UDP port.
    pub port: u16,
    /// Address.
    pub address: IpAddr,
}

/// UDP-Lite Transport (RFC 5354 §3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpLiteTransport {
    /// UDP-Lite port.
    pub port: u16,
    /// Address.
    pub address: IpAddr,
}

/// DCCP Transport (RFC 5354 §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DccpTransport {
    /// DCCP port.
    pub port: u16,
    /// DCCP service code (RFC 4340 §8.1.2).
    pub service_code: u32,
    /// Address.
    pub address: IpAddr,
}

/// Any transport parameter that may stand as the user transport of a pool element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// DCCP.
    Dccp(DccpTransport),
    /// SCTP.
    Sctp(SctpTransport),
    /// TCP.
    Tcp(TcpTransport),
    /// UDP.
    Udp(UdpTransport),
    /// UDP-Lite.
    UdpLite(UdpLiteTransport),
    /// Opaque Transport (RFC 5354 §3.16): bytes that only the application understands.
    Opaque(Bytes),
}
