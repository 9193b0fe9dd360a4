//! What is true of every ENRP message and of every other sequence of octets.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../../params/tests/strategies/mod.rs"]
mod strategies;

use bytes::Bytes;
use params::RegistrarId;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rserpool_enrp::*;
use strategies::*;

const OWN: RegistrarId = RegistrarId(0xa1a2a3a4);

fn entries() -> impl Strategy<Value = Vec<PoolEntry>> {
    vec((handle(), elements(1..4)).prop_map(|(handle, elements)| PoolEntry { handle, elements }), 0..4)
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        (any::<bool>(), option::of(any::<u16>()), option::of(server()), vec(silent(), 0..4)).prop_map(
            |(reply_required, checksum, information, silent)| {
                Presence { reply_required, checksum, information, silent }.into()
            }
        ),
        any::<bool>().prop_map(|own_children_only| HandleTableRequest { own_children_only }.into()),
        (any::<bool>(), entries())
            .prop_map(|(more, entries)| { HandleTableResponse { rejected: false, more, entries }.into() }),
        Just(HandleTableResponse { rejected: true, more: false, entries: Vec::new() }.into()),
        (any::<bool>(), handle(), element()).prop_map(|(adds, handle, element)| {
            let action = if adds { UpdateAction::ADD_PE } else { UpdateAction::DEL_PE };
            HandleUpdate { action, handle, element }.into()
        }),
        Just(ListRequest.into()),
        vec(server(), 0..4).prop_map(|servers| ListResponse { rejected: false, servers }.into()),
        Just(ListResponse { rejected: true, servers: Vec::new() }.into()),
        registrar_id().prop_map(|target| InitTakeover { target }.into()),
        registrar_id().prop_map(|target| InitTakeoverAck { target }.into()),
        registrar_id().prop_map(|target| TakeoverServer { target }.into()),
        error().prop_map(|error| Error { error }.into()),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    ((1..=u32::MAX).prop_map(RegistrarId), registrar_id(), body())
        .prop_map(|(sender, receiver, body)| Message { sender, receiver, body })
}

fn encoded() -> impl Strategy<Value = Bytes> {
    message().prop_map(|message| message.encode().unwrap())
}

/// Message Length and padding are as we send them (ambiguity A-01).
fn assert_framed(octets: &[u8]) {
    let length = usize::from(u16::from_be_bytes([octets[2], octets[3]]));
    assert_eq!(octets.len(), length.next_multiple_of(4));
    assert!(octets[length..].iter().all(|octet| *octet == 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // PARAM-3-01, PARAM-4-10, ENRP-2-01, ENRP-2-02, ENRP-2.3-07: what is sent is what is received.
    #[test]
    fn decoding_undoes_encoding(message in message()) {
        let octets = message.encode().unwrap();
        assert_framed(&octets);
        let decoded = decode(&octets, OWN);
        prop_assert_eq!(decoded.outcome(), Outcome::Accept);
        prop_assert_eq!(decoded.message_type, Some(message.message_type()));
        prop_assert_eq!(decoded.message.unwrap(), message);
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..200)) {
        decode(&octets, OWN);
    }

    // What was accepted means the same when it is sent on.
    #[test]
    fn accepted_octets_are_stable(octets in damaged(encoded())) {
        let decoded = decode(&octets, OWN);
        if let Some(reply) = &decoded.reply {
            assert_framed(reply);
            prop_assert_eq!(decode(reply, OWN).outcome(), Outcome::Accept);
        }
        if let Ok(message) = decoded.message {
            let again = message.encode().unwrap();
            let decoded = decode(&again, OWN);
            prop_assert_eq!(decoded.message.as_ref(), Ok(&message));
            prop_assert_eq!(decoded.reply, None);
        }
    }

    // ENRP-2.3-02: however small the responses, they give the whole table in its order; all but the last say so.
    #[test]
    fn a_table_is_split_without_loss(entries in entries(), limit in 12..600_usize) {
        let flat = |entries: &[PoolEntry]| -> Vec<_> {
            let pairs = |entry: &PoolEntry| {
                let handle = entry.handle.clone();
                entry.elements.clone().into_iter().map(move |element| (handle.clone(), element)).collect::<Vec<_>>()
            };
            entries.iter().flat_map(pairs).collect()
        };
        let responses = HandleTableResponse::split(entries.clone(), limit);
        let mut received = Vec::new();
        for (left, response) in responses.iter().rev().enumerate() {
            prop_assert_eq!(response.more, left > 0);
        }
        for response in responses {
            received.extend(flat(&response.entries));
            let elements = flat(&response.entries).len();
            let message = Message { sender: OWN, receiver: OWN, body: response.into() };
            prop_assert!(message.encode().unwrap().len() <= limit || elements == 1);
        }
        prop_assert_eq!(received, flat(&entries));
    }

    // There is no M bit: as many as fit are listed, in their order.
    #[test]
    fn a_list_is_cut(servers in vec(server(), 0..10), limit in 12..400_usize) {
        let mut response = ListResponse { rejected: false, servers: servers.clone() };
        let left_out = response.cut_to(limit);
        prop_assert_eq!(response.servers.len() + left_out, servers.len());
        prop_assert_eq!(&response.servers[..], &servers[..servers.len() - left_out]);
        let next = servers.get(response.servers.len()).map_or(0, params::ServerInformation::encoded_length);
        let length = Message { sender: OWN, receiver: OWN, body: response.into() }.encode().unwrap().len();
        prop_assert!(length <= limit);
        prop_assert!(left_out == 0 || length + next > limit);
    }
}
