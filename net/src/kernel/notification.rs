//! What the kernel tells of its associations (RFC 6458 §6.1), as `<linux/sctp.h>` lays it out: in the machine's byte
//! order, but for what is copied from a packet.

use lksctp::AssocId as KernelId;
use lksctp::sys::{
    AF_INET, AF_INET6, SCTP_ADDR_AVAILABLE, SCTP_ADDR_CONFIRMED, SCTP_ADDR_REMOVED, SCTP_ADDR_UNREACHABLE,
    SCTP_ASSOC_CHANGE, SCTP_CANT_STR_ASSOC, SCTP_COMM_LOST, SCTP_COMM_UP, SCTP_PARTIAL_DELIVERY_EVENT,
    SCTP_PEER_ADDR_CHANGE, SCTP_REMOTE_ERROR, SCTP_RESTART, SCTP_SEND_FAILED_EVENT, SCTP_SENDER_DRY_EVENT,
    SCTP_SHUTDOWN_COMP, SCTP_SHUTDOWN_EVENT,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// An association is up, with so many streams to send on.
    Up { assoc: KernelId, streams: u16 },
    /// The peer has restarted an association, with so many streams to send on.
    Restarted { assoc: KernelId, streams: u16 },
    /// An established association is lost.
    Lost { assoc: KernelId, end: End },
    /// An association could not be established.
    NotEstablished { assoc: KernelId, end: End },
    /// An association has ended in order.
    ShutDown { assoc: KernelId },
    /// The peer wants it to end.
    PeerShutdown { assoc: KernelId },
    /// A path of an association is usable, or is not any more.
    Path { assoc: KernelId, address: SocketAddr, up: bool },
    /// The kernel gives a message back that it could not send.
    SendFailed { assoc: KernelId, message: Vec<u8> },
    /// The rest of a message that has begun will not come.
    DeliveryAborted { assoc: KernelId },
    /// Everything that the kernel was given to send is acknowledged.
    SenderDry { assoc: KernelId },
    /// The peer reports an error that the association survives.
    RemoteError,
    /// Something else.
    Other,
}

/// How an association ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// An error cause code (RFC 9260 §3.3.10); 0: none.
    pub(super) cause: u16,
    /// The error causes of the peer's ABORT, as they stood in it.
    pub(super) causes: Vec<u8>,
}

impl Notification {
    /// Reads a notification; `None`: it is too short.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(match u16_at(bytes, 0)? {
            SCTP_ASSOC_CHANGE => {
                // sac_error is in network order, as it stood in the packet.
                let (state, cause) = (u16_at(bytes, 8)?, u16::from_be(u16_at(bytes, 10)?));
                let (streams, assoc) = (u16_at(bytes, 12)?, assoc_at(bytes, 16)?);
                let end = || End { cause, causes: tail(bytes, 20) };
                match state {
                    SCTP_COMM_UP => Self::Up { assoc, streams },
                    SCTP_RESTART => Self::Restarted { assoc, streams },
                    SCTP_COMM_LOST => Self::Lost { assoc, end: end() },
                    SCTP_CANT_STR_ASSOC => Self::NotEstablished { assoc, end: end() },
                    SCTP_SHUTDOWN_COMP => Self::ShutDown { assoc },
                    _ => Self::Other,
                }
            }
            SCTP_PEER_ADDR_CHANGE => {
                let (state, assoc) = (i32_at(bytes, 136)?, assoc_at(bytes, 144)?);
                match (address_at(bytes, 8), state) {
                    (Some(address), SCTP_ADDR_AVAILABLE | SCTP_ADDR_CONFIRMED) => {
                        Self::Path { assoc, address, up: true }
                    }
                    (Some(address), SCTP_ADDR_UNREACHABLE | SCTP_ADDR_REMOVED) => {
                        Self::Path { assoc, address, up: false }
                    }
                    _ => Self::Other,
                }
            }
            SCTP_SEND_FAILED_EVENT => {
                Self::SendFailed { assoc: assoc_at(bytes, 28)?, message: tail(bytes, 32) }
            }
            SCTP_SHUTDOWN_EVENT => Self::PeerShutdown { assoc: assoc_at(bytes, 8)? },
            SCTP_PARTIAL_DELIVERY_EVENT => Self::DeliveryAborted { assoc: assoc_at(bytes, 12)? },
            SCTP_SENDER_DRY_EVENT => Self::SenderDry { assoc: assoc_at(bytes, 8)? },
            SCTP_REMOTE_ERROR => Self::RemoteError,
            _ => Self::Other,
        })
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_ne_bytes)
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    array_at(bytes, at).map(i32::from_ne_bytes)
}

fn assoc_at(bytes: &[u8], at: usize) -> Option<KernelId> {
    i32_at(bytes, at).map(KernelId)
}

fn tail(bytes: &[u8], at: usize) -> Vec<u8> {
    bytes.get(at..).unwrap_or_default().to_vec()
}

/// A `struct sockaddr_in` or `sockaddr_in6`.
fn address_at(bytes: &[u8], at: usize) -> Option<SocketAddr> {
    let port = array_at(bytes, at + 2).map(u16::from_be_bytes)?;
    match u16_at(bytes, at)? {
        AF_INET => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(array_at::<4>(bytes, at + 4)?)), port)),
        AF_INET6 => {
            let ip = Ipv6Addr::from(array_at::<16>(bytes, at + 8)?);
            let scope = array_at(bytes, at + 24).map(u32::from_ne_bytes)?;
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSOC: KernelId = KernelId(7);

    fn event(kind: u16, rest: &[&[u8]]) -> Vec<u8> {
        let head = [&kind.to_ne_bytes()[..], &[0; 6]].concat();
        [&[head.as_slice()], rest].concat().concat()
    }

    fn change(state: u16, cause: u16, causes: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> =
            [state, cause.to_be(), 10, 20].iter().flat_map(|it| it.to_ne_bytes()).collect();
        event(SCTP_ASSOC_CHANGE, &[&numbers, &7_i32.to_ne_bytes(), causes])
    }

    // SCTP-6458-03
    #[test]
    fn what_becomes_of_an_association_is_read() {
        let end = |cause, causes: &[u8]| End { cause, causes: causes.to_vec() };
        for (bytes, expected) in [
            (change(SCTP_COMM_UP, 0, &[]), Notification::Up { assoc: ASSOC, streams: 10 }),
            (change(SCTP_RESTART, 0, &[]), Notification::Restarted { assoc: ASSOC, streams: 10 }),
            (change(SCTP_COMM_LOST, 12, b"why"), Notification::Lost { assoc: ASSOC, end: end(12, b"why") }),
            (
                change(SCTP_CANT_STR_ASSOC, 0, &[]),
                Notification::NotEstablished { assoc: ASSOC, end: end(0, &[]) },
            ),
            (change(SCTP_SHUTDOWN_COMP, 0, &[]), Notification::ShutDown { assoc: ASSOC }),
            (change(99, 0, &[]), Notification::Other),
        ] {
            assert_eq!(Notification::parse(&bytes), Some(expected));
        }
    }

    #[test]
    fn a_path_and_its_state_are_read() {
        let path = |address: &[u8], state: i32| {
            let mut storage = address.to_vec();
            storage.resize(128, 0);
            let rest: Vec<u8> = [state, 0, 7].iter().flat_map(|it| it.to_ne_bytes()).collect();
            Notification::parse(&event(SCTP_PEER_ADDR_CHANGE, &[&storage, &rest]))
        };
        let v4 = [&AF_INET.to_ne_bytes()[..], &[0x0f, 0x17, 192, 0, 2, 1]].concat();
        let address: SocketAddr = "192.0.2.1:3863".parse().unwrap();
        assert_eq!(
            path(&v4, SCTP_ADDR_CONFIRMED),
            Some(Notification::Path { assoc: ASSOC, address, up: true })
        );
        assert_eq!(
            path(&v4, SCTP_ADDR_UNREACHABLE),
            Some(Notification::Path { assoc: ASSOC, address, up: false })
        );
        let ip: Ipv6Addr = "fe80::1".parse().unwrap();
        let v6 = [&AF_INET6.to_ne_bytes()[..], &[0x0f, 0x17, 0, 0, 0, 0], &ip.octets(), &3_u32.to_ne_bytes()]
            .concat();
        let address = SocketAddrV6::new(ip, 3863, 0, 3).into();
        assert_eq!(
            path(&v6, SCTP_ADDR_AVAILABLE),
            Some(Notification::Path { assoc: ASSOC, address, up: true })
        );
        assert_eq!(path(&[0, 0], SCTP_ADDR_AVAILABLE), Some(Notification::Other), "no address");
    }

    #[test]
    fn a_message_that_was_not_sent_comes_back() {
        let bytes = event(SCTP_SEND_FAILED_EVENT, &[&[0; 20], &7_i32.to_ne_bytes(), b"lost"]);
        let expected = Notification::SendFailed { assoc: ASSOC, message: b"lost".to_vec() };
        assert_eq!(Notification::parse(&bytes), Some(expected));
    }

    // RFC 6458 §6.1.9: type 0x8009, flags, length 12, association.
    #[test]
    fn that_nothing_is_outstanding_is_read() {
        let head = [0x8009_u16, 0].map(u16::to_ne_bytes).concat();
        let bytes = [head, 12_u32.to_ne_bytes().to_vec(), 7_i32.to_ne_bytes().to_vec()].concat();
        assert_eq!(Notification::parse(&bytes), Some(Notification::SenderDry { assoc: ASSOC }));
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        for whole in [
            change(SCTP_COMM_UP, 0, &[]),
            event(SCTP_SHUTDOWN_EVENT, &[&7_i32.to_ne_bytes()]),
            event(SCTP_SENDER_DRY_EVENT, &[&7_i32.to_ne_bytes()]),
            event(SCTP_PARTIAL_DELIVERY_EVENT, &[&[0; 4], &7_i32.to_ne_bytes()]),
            event(SCTP_SEND_FAILED_EVENT, &[&[0; 20], &7_i32.to_ne_bytes()]),
            event(SCTP_PEER_ADDR_CHANGE, &[&[0; 136], &7_i32.to_ne_bytes()]),
        ] {
            assert!(Notification::parse(&whole).is_some());
            for length in 0..whole.len() {
                assert_eq!(Notification::parse(&whole[..length]), None, "{length} of {}", whole.len());
            }
        }
    }
}
