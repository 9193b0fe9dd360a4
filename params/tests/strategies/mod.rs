//! Arbitrary parameters that may be sent, for the property tests of the codecs.
#![allow(dead_code)] // Each test program uses its own part.

use bytes::Bytes;
use params::*;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use std::net::IpAddr;

pub(crate) fn octets(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

pub(crate) fn handle() -> impl Strategy<Value = PoolHandle> {
    vec(any::<u8>(), 1..40).prop_map(PoolHandle::new)
}

pub(crate) fn pe_id() -> impl Strategy<Value = PeIdentifier> {
    (1..=u32::MAX).prop_map(PeIdentifier)
}

pub(crate) fn registrar_id() -> impl Strategy<Value = RegistrarId> {
    any::<u32>().prop_map(RegistrarId)
}

pub(crate) fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = (1..=223_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| IpAddr::from([a, b, c, d]));
    let v6 = any::<[u8; 14]>().prop_map(|low| {
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0x20, 0x01]);
        octets[2..].copy_from_slice(&low);
        IpAddr::from(octets)
    });
    prop_oneof![v4, v6]
}

fn port() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

pub(crate) fn sctp() -> impl Strategy<Value = SctpTransport> {
    (port(), 0..=1_u16, btree_set(address(), 1..6), any::<bool>()).prop_map(
        |(port, transport_use, addresses, reversed)| {
            let mut addresses: Vec<_> = addresses.into_iter().collect();
            if reversed {
                addresses.reverse();
            }
            SctpTransport { port, transport_use: TransportUse(transport_use), addresses }
        },
    )
}

pub(crate) fn sctp_of_registrar() -> impl Strategy<Value = SctpTransport> {
    sctp().prop_map(|transport| SctpTransport { transport_use: TransportUse::DATA_ONLY, ..transport })
}

pub(crate) fn tcp() -> impl Strategy<Value = Transport> {
    (port(), address()).prop_map(|(port, address)| Transport::Tcp(TcpTransport { port, address }))
}

pub(crate) fn transport() -> impl Strategy<Value = Transport> {
    let place = || (port(), address());
    prop_oneof![
        sctp().prop_map(Transport::Sctp),
        tcp(),
        place().prop_map(|(port, address)| Transport::Udp(UdpTransport { port, address })),
        place().prop_map(|(port, address)| Transport::UdpLite(UdpLiteTransport { port, address })),
        (place(), any::<u32>()).prop_map(|((port, address), service_code)| {
            Transport::Dccp(DccpTransport { port, service_code, address })
        }),
        octets(20).prop_map(|octets| Transport::Opaque(octets[..].into())),
    ]
}

/// Every policy that this crate knows.
pub(crate) fn known_policy() -> impl Strategy<Value = Policy> {
    (0..16, any::<[u32; 4]>()).prop_map(|(which, [a, b, c, d])| {
        let (load, degradation) = (Load(a), Load(b));
        match which {
            0 => Policy::RoundRobin,
            1 => Policy::WeightedRoundRobin { weight: a },
            2 => Policy::Random,
            3 => Policy::WeightedRandom { weight: a },
            4 => Policy::Priority { priority: a },
            5 => Policy::LeastUsed { load },
            6 => Policy::LeastUsedDegradation { load, degradation },
            7 => Policy::PriorityLeastUsed { load, degradation },
            8 => Policy::RandomizedLeastUsed { load },
            9 => Policy::RandomizedPriorityLeastUsed { load, degradation },
            10 => Policy::RandomizedLeastUsedDegradation { load, degradation },
            11 => Policy::PriorityLeastUsedDegradation { load, degradation },
            12 => Policy::RandomizedPriorityLeastUsedDegradation { load, degradation },
            13 => Policy::WeightedRandomDpf { weight: a, weight_dpf: b, distance: c },
            14 => Policy::LeastUsedDpf { load, load_dpf: b, distance: c },
            _ => Policy::LeastUsedDegradationDpf { load, degradation, load_dpf: c, distance: d },
        }
    })
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let unknown = any::<u32>().prop_map(PolicyType).prop_filter("unknown", |kind| !kind.is_known());
    let opaque = (unknown, octets(20))
        .prop_map(|(policy_type, value)| Policy::Opaque { policy_type, value: value[..].into() });
    prop_oneof![8 => known_policy(), 1 => opaque]
}

pub(crate) fn element() -> impl Strategy<Value = PoolElement> {
    let life = prop_oneof![Just(-1), 1..=i32::MAX].prop_map(RegistrationLife);
    (pe_id(), registrar_id(), life, transport(), policy(), option::of(sctp())).prop_map(
        |(id, home, life, user_transport, policy, asap_transport)| PoolElement {
            id,
            home,
            life,
            user_transport,
            policy,
            asap_transport,
        },
    )
}

/// An element with a policy that a registrar here can follow.
pub(crate) fn registrable_element() -> impl Strategy<Value = PoolElement> {
    (element(), known_policy()).prop_map(|(element, policy)| PoolElement { policy, ..element })
}

pub(crate) fn elements(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<PoolElement>> {
    vec(element(), count)
}

pub(crate) fn server() -> impl Strategy<Value = ServerInformation> {
    let ours = || proptest::option::of(any::<u32>());
    (registrar_id(), sctp_of_registrar(), ours(), ours()).prop_map(
        |(id, transport, table_response_size, incarnation)| ServerInformation {
            id,
            transport,
            table_response_size,
            incarnation,
        },
    )
}

pub(crate) fn error() -> impl Strategy<Value = OperationError> {
    let cause = (any::<u16>(), octets(30))
        .prop_map(|(code, information)| ErrorCause { code: CauseCode(code), information });
    vec(cause, 1..4).prop_map(|causes| OperationError { causes })
}

/// Octets with a few changes: what a hostile or a careless peer sends.
pub(crate) fn damaged(octets: impl Strategy<Value = Bytes>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (octets, changes, any::<prop::sample::Index>(), any::<bool>(), any::<bool>()).prop_map(
        |(octets, changes, cut, cuts, mends)| {
            let mut octets = octets.to_vec();
            for (place, value) in changes {
                let place = place.index(octets.len());
                octets[place] = value;
            }
            if cuts {
                octets.truncate(cut.index(octets.len() + 1));
            }
            if mends && octets.len() >= 4 {
                let length = u16::try_from(octets.len()).unwrap();
                octets[2..4].copy_from_slice(&length.to_be_bytes());
            }
            octets
        },
    )
}
