//! The socket's error queue: what ICMP says about packets that we sent (RFC 6951 §5.5, ip(7) `IP_RECVERR`).
//!
//! Only messages that speak of the peer's *process* are passed on: port unreachable and protocol unreachable,
//! which RFC 6951 §5.5 maps to what RFC 9260 §10 treats like an ABORT. Host and network unreachable come and go
//! with a link; for those the heartbeats decide. `quinn-udp` reads the queue too, but without the destination and
//! the quoted packet, and without them nothing can be verified.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

/// ICMP "destination unreachable" (RFC 792) and its codes for protocol and port.
const ICMP_UNREACHABLE: u8 = 3;
const ICMP_UNREACHABLE_PROTOCOL: u8 = 2;
const ICMP_UNREACHABLE_PORT: u8 = 3;
/// ICMPv6 "destination unreachable" (RFC 4443 §3.1) and its code for the port; "parameter problem" (§3.4) and its
/// code for a protocol that nobody takes.
const ICMP6_UNREACHABLE: u8 = 1;
const ICMP6_UNREACHABLE_PORT: u8 = 4;
const ICMP6_PARAMETER: u8 = 4;
const ICMP6_PARAMETER_NEXT_HEADER: u8 = 1;
/// `sock_extended_err.ee_origin`.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// Enough of the quoted packet for its SCTP common header and the initiate tag of an INIT.
const QUOTED: usize = 128;
/// Room for the extended error, the offender's address, and whatever else the socket asked for.
const CONTROL: usize = 512;

/// One entry of the error queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Where the packet was sent to.
    pub(super) destination: Option<SocketAddr>,
    /// The start of its payload.
    pub(super) quoted: Vec<u8>,
    /// Whether the message says that nobody listens there.
    pub(super) refused: bool,
}

/// The next entry, `None` when the queue is empty.
pub(super) fn next(socket: &UdpSocket) -> io::Result<Option<Report>> {
    let mut quoted = [0; QUOTED];
    let mut control = [0; CONTROL];
    let mut parts = [IoSliceMut::new(&mut quoted)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
    {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let refused = message.cmsgs()?.any(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            is_refusal(error.ee_origin, error.ee_type, error.ee_code)
        }
        _ => false,
    });
    let destination = message.address.as_ref().and_then(socket_address);
    let length = message.bytes;
    Ok(Some(Report { destination, quoted: quoted.get(..length).unwrap_or_default().to_vec(), refused }))
}

fn is_refusal(origin: u8, kind: u8, code: u8) -> bool {
    matches!(
        (origin, kind, code),
        (ORIGIN_ICMP, ICMP_UNREACHABLE, ICMP_UNREACHABLE_PROTOCOL | ICMP_UNREACHABLE_PORT)
            | (ORIGIN_ICMP6, ICMP6_UNREACHABLE, ICMP6_UNREACHABLE_PORT)
            | (ORIGIN_ICMP6, ICMP6_PARAMETER, ICMP6_PARAMETER_NEXT_HEADER)
    )
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6951 §5.5
    #[test]
    fn only_port_and_protocol_unreachable_speak_of_the_peers_process() {
        assert!(is_refusal(ORIGIN_ICMP, 3, 3), "port");
        assert!(is_refusal(ORIGIN_ICMP, 3, 2), "protocol");
        assert!(is_refusal(ORIGIN_ICMP6, 1, 4), "port, ICMPv6");
        assert!(is_refusal(ORIGIN_ICMP6, 4, 1), "protocol, ICMPv6");
        assert!(!is_refusal(ORIGIN_ICMP6, 4, 0), "broken header, ICMPv6");
        assert!(!is_refusal(ORIGIN_ICMP, 3, 0), "network");
        assert!(!is_refusal(ORIGIN_ICMP, 3, 1), "host");
        assert!(!is_refusal(ORIGIN_ICMP, 3, 4), "fragmentation needed");
        assert!(!is_refusal(ORIGIN_ICMP, 11, 0), "time exceeded");
        assert!(!is_refusal(ORIGIN_ICMP6, 1, 3), "address, ICMPv6");
        assert!(!is_refusal(ORIGIN_ICMP6, 2, 0), "too big, ICMPv6");
        assert!(!is_refusal(1, 3, 3), "the local stack");
    }
}
