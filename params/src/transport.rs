//! Transport parameters: where a pool element or a registrar can be reached (RFC 5354 §3.3 – §3.7, §3.16).

use crate::wire::{Encoder, HEADER, Input, Parameter, Unrecognized, padded, walk};
use crate::{DecodeError, EncodeError, ParameterType};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::slice;

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
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |           Type = 0x4          |            Length             |
/// +-------------------------------+-------------------------------+
/// |             Port              |         Transport Use         |
/// +-------------------------------+-------------------------------+
/// :                     one or more addresses                     :
/// +---------------------------------------------------------------+
/// ```
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
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |           Type = 0x5          |            Length             |
/// +-------------------------------+-------------------------------+
/// |             Port              |          reserved, 0          |
/// +-------------------------------+-------------------------------+
/// :                          one address                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpTransport {
    /// TCP port.
    pub port: u16,
    /// Address.
    pub address: IpAddr,
}

/// UDP Transport (RFC 5354 §3.6).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |           Type = 0x6          |            Length             |
/// +-------------------------------+-------------------------------+
/// |             Port              |          reserved, 0          |
/// +-------------------------------+-------------------------------+
/// :                          one address                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpTransport {
    /// UDP port.
    pub port: u16,
    /// Address.
    pub address: IpAddr,
}

/// UDP-Lite Transport (RFC 5354 §3.7).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |           Type = 0x7          |            Length             |
/// +-------------------------------+-------------------------------+
/// |             Port              |          reserved, 0          |
/// +-------------------------------+-------------------------------+
/// :                          one address                          :
/// +---------------------------------------------------------------+
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpLiteTransport {
    /// UDP-Lite port.
    pub port: u16,
    /// Address.
    pub address: IpAddr,
}

/// DCCP Transport (RFC 5354 §3.3).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |           Type = 0x3          |            Length             |
/// +-------------------------------+-------------------------------+
/// |             Port              |          reserved, 0          |
/// +-------------------------------+-------------------------------+
/// |                         Service Code                          |
/// +---------------------------------------------------------------+
/// :                          one address                          :
/// +---------------------------------------------------------------+
/// ```
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
    Opaque(Box<[u8]>),
}

impl Transport {
    /// A server at this TCP address.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::Tcp(TcpTransport { port: address.port(), address: address.ip() })
    }

    /// A server at this UDP address.
    pub fn udp(address: SocketAddr) -> Self {
        Self::Udp(UdpTransport { port: address.port(), address: address.ip() })
    }

    /// A server at this SCTP address, with user data only: one that does not speak ASAP's control channel.
    pub fn sctp(address: SocketAddr) -> Self {
        Self::Sctp(SctpTransport {
            port: address.port(),
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![address.ip()],
        })
    }

    /// Where to connect to: its addresses with the port, in the order of the registration. None if only the application
    /// understands the transport.
    pub fn socket_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let (port, addresses) = match self {
            Self::Dccp(DccpTransport { port, address, .. })
            | Self::Tcp(TcpTransport { port, address })
            | Self::Udp(UdpTransport { port, address })
            | Self::UdpLite(UdpLiteTransport { port, address }) => (*port, slice::from_ref(address)),
            Self::Sctp(SctpTransport { port, addresses, .. }) => (*port, addresses.as_slice()),
            Self::Opaque(_) => (0, &[][..]),
        };
        addresses.iter().map(move |address| SocketAddr::new(*address, port))
    }
}

/// Octets of an address parameter.
fn address_length(address: &IpAddr) -> usize {
    match address.to_canonical() {
        IpAddr::V4(_) => HEADER + 4,
        IpAddr::V6(_) => HEADER + 16,
    }
}

/// Reads an address parameter (RFC 5354 §3.1, §3.2).
///
/// ```text
/// +-------------------------------+-------------------------------+
/// |       Type = 0x1 or 0x2       |     Length = 0x8 or 0x14      |
/// +-------------------------------+-------------------------------+
/// :                 IPv4 or IPv6 address                          :
/// +---------------------------------------------------------------+
/// ```
fn decode_address(parameter: &Parameter<'_>) -> Result<Option<IpAddr>, DecodeError> {
    let octets = parameter.value().bytes();
    let address = match parameter.kind {
        ParameterType::IPV4_ADDRESS => <[u8; 4]>::try_from(octets).map(IpAddr::from),
        ParameterType::IPV6_ADDRESS => <[u8; 16]>::try_from(octets).map(IpAddr::from),
        _ => return Ok(None),
    };
    address.map(Some).map_err(|_| parameter.invalid("length is not that of an address"))
}

/// Writes an address parameter; an IPv4-mapped address as the IPv4 address that it is.
pub(crate) fn encode_address(address: &IpAddr, encoder: &mut Encoder) -> Result<(), EncodeError> {
    match address.to_canonical() {
        IpAddr::V4(address) => encoder.parameter(ParameterType::IPV4_ADDRESS, |encoder| {
            encoder.bytes(&address.octets());
            Ok(())
        }),
        IpAddr::V6(address) => encoder.parameter(ParameterType::IPV6_ADDRESS, |encoder| {
            encoder.bytes(&address.octets());
            Ok(())
        }),
    }
}

/// Whether a host can have this address. Loopback and link-local addresses are a matter of configuration (A-06).
fn is_usable(address: &IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// What a transport parameter holds in common: how many address parameters there were, and the usable addresses,
/// canonical and without repetition.
struct Addresses {
    count: usize,
    usable: Vec<IpAddr>,
}

impl Addresses {
    fn decode<'a>(container: Input<'a>, unrecognized: &mut Unrecognized<'a>) -> Result<Self, DecodeError> {
        let mut count = 0;
        let mut usable = Vec::new();
        walk(container, unrecognized, |inner, _| {
            let Some(address) = decode_address(&inner)? else { return Ok(()) };
            count += 1;
            usable.push(address.to_canonical());
            Ok(())
        })?;
        let mut seen = BTreeSet::new();
        usable.retain(|address| is_usable(address) && (count == 1 || seen.insert(*address)));
        Ok(Self { count, usable })
    }

    /// The address of a transport that has exactly one.
    fn only(self, parameter: &Parameter<'_>) -> Result<IpAddr, DecodeError> {
        match self.usable.first() {
            Some(address) if self.count == 1 => Ok(*address),
            _ => Err(parameter.invalid("not exactly one usable address")),
        }
    }
}

/// Reads port and the second field, which stand in all transports but the opaque one.
fn port_and_use<'a>(parameter: &Parameter<'a>) -> Result<(u16, u16, Input<'a>), DecodeError> {
    let mut value = parameter.value();
    match (value.u16(), value.u16()) {
        (Some(port), Some(second)) => Ok((port, second, value)),
        _ => Err(parameter.invalid("too short for a port")),
    }
}

/// Refuses port 0, but after the nested parameters were read: what is wrong with their structure weighs more.
fn check_port(port: u16, parameter: &Parameter<'_>) -> Result<(), DecodeError> {
    if port == 0 { Err(parameter.invalid("port 0")) } else { Ok(()) }
}

fn check_usable(address: IpAddr, port: u16) -> Result<(), EncodeError> {
    if port == 0 || !is_usable(&address.to_canonical()) {
        return Err(EncodeError::UnusableAddress(SocketAddr::new(address, port)));
    }
    Ok(())
}

impl SctpTransport {
    /// Octets of the parameter.
    pub fn encoded_length(&self) -> usize {
        HEADER + 4 + self.addresses.iter().map(address_length).sum::<usize>()
    }

    /// Reads the parameter.
    pub fn decode<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (_, transport_use, _) = port_and_use(parameter)?;
        let transport = Self::decode_any_use(parameter, unrecognized)?;
        if transport_use > 1 {
            return Err(parameter.invalid("Transport Use is neither 0 nor 1"));
        }
        Ok(Self { transport_use: TransportUse(transport_use), ..transport })
    }

    /// Reads the parameter where Transport Use has no meaning and is ignored (ambiguity A-11).
    pub fn decode_any_use<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (port, _, container) = port_and_use(parameter)?;
        let addresses = Addresses::decode(container, unrecognized)?.usable;
        check_port(port, parameter)?;
        if addresses.is_empty() {
            return Err(parameter.invalid("no usable address"));
        }
        Ok(Self { port, transport_use: TransportUse::DATA_ONLY, addresses })
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        self.encode_with_use(self.transport_use, encoder)
    }

    /// Writes the parameter with another Transport Use: 0 where it has no meaning (ambiguity A-11).
    pub fn encode_with_use(
        &self,
        transport_use: TransportUse,
        encoder: &mut Encoder,
    ) -> Result<(), EncodeError> {
        if self.addresses.is_empty() {
            return Err(EncodeError::NoAddress);
        }
        if transport_use > TransportUse::DATA_AND_CONTROL {
            return Err(EncodeError::TransportUse(transport_use.0));
        }
        encoder.parameter(ParameterType::SCTP_TRANSPORT, |encoder| {
            encoder.u16(self.port);
            encoder.u16(transport_use.0);
            for address in &self.addresses {
                check_usable(*address, self.port)?;
                encode_address(address, encoder)?;
            }
            Ok(())
        })
    }
}

/// The transports that are a port, a reserved field, and one address (RFC 5354 §3.5 – §3.7).
macro_rules! port_and_address {
    ($($transport:ident = $kind:ident;)*) => {$(
        impl $transport {
            fn encoded_length(&self) -> usize {
                HEADER + 4 + address_length(&self.address)
            }

            fn decode<'a>(
                parameter: &Parameter<'a>,
                unrecognized: &mut Unrecognized<'a>,
            ) -> Result<Self, DecodeError> {
                let (port, _, container) = port_and_use(parameter)?;
                let address = Addresses::decode(container, unrecognized)?.only(parameter)?;
        check_port(port, parameter)?;
                Ok(Self { port, address })
            }

            fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
                check_usable(self.address, self.port)?;
                encoder.parameter(ParameterType::$kind, |encoder| {
                    encoder.u16(self.port);
                    encoder.u16(0);
                    encode_address(&self.address, encoder)
                })
            }
        }
    )*};
}
port_and_address! {
    TcpTransport = TCP_TRANSPORT;
    UdpTransport = UDP_TRANSPORT;
    UdpLiteTransport = UDP_LITE_TRANSPORT;
}

impl DccpTransport {
    fn encoded_length(&self) -> usize {
        HEADER + 8 + address_length(&self.address)
    }

    fn decode<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Self, DecodeError> {
        let (port, _, mut container) = port_and_use(parameter)?;
        let service_code =
            container.u32().ok_or_else(|| parameter.invalid("too short for a Service Code"))?;
        let address = Addresses::decode(container, unrecognized)?.only(parameter)?;
        check_port(port, parameter)?;
        Ok(Self { port, service_code, address })
    }

    fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        check_usable(self.address, self.port)?;
        encoder.parameter(ParameterType::DCCP_TRANSPORT, |encoder| {
            encoder.u16(self.port);
            encoder.u16(0);
            encoder.u32(self.service_code);
            encode_address(&self.address, encoder)
        })
    }
}

impl Transport {
    /// Octets of the parameter with its padding.
    pub fn encoded_length(&self) -> usize {
        match self {
            Self::Dccp(transport) => transport.encoded_length(),
            Self::Sctp(transport) => transport.encoded_length(),
            Self::Tcp(transport) => transport.encoded_length(),
            Self::Udp(transport) => transport.encoded_length(),
            Self::UdpLite(transport) => transport.encoded_length(),
            Self::Opaque(octets) => HEADER + padded(octets.len()),
        }
    }

    /// Reads the parameter if it is a transport.
    pub fn decode<'a>(
        parameter: &Parameter<'a>,
        unrecognized: &mut Unrecognized<'a>,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match parameter.kind {
            ParameterType::DCCP_TRANSPORT => Self::Dccp(DccpTransport::decode(parameter, unrecognized)?),
            ParameterType::SCTP_TRANSPORT => Self::Sctp(SctpTransport::decode(parameter, unrecognized)?),
            ParameterType::TCP_TRANSPORT => Self::Tcp(TcpTransport::decode(parameter, unrecognized)?),
            ParameterType::UDP_TRANSPORT => Self::Udp(UdpTransport::decode(parameter, unrecognized)?),
            ParameterType::UDP_LITE_TRANSPORT => {
                Self::UdpLite(UdpLiteTransport::decode(parameter, unrecognized)?)
            }
            ParameterType::OPAQUE_TRANSPORT => Self::Opaque(parameter.value().bytes().into()),
            _ => return Ok(None),
        }))
    }

    /// Writes the parameter.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        match self {
            Self::Dccp(transport) => transport.encode(encoder),
            Self::Sctp(transport) => transport.encode(encoder),
            Self::Tcp(transport) => transport.encode(encoder),
            Self::Udp(transport) => transport.encode(encoder),
            Self::UdpLite(transport) => transport.encode(encoder),
            Self::Opaque(octets) => encoder.parameter(ParameterType::OPAQUE_TRANSPORT, |encoder| {
                encoder.bytes(octets);
                Ok(())
            }),
        }
    }
}
