//! What is true of every ASAP message and of every other sequence of octets.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../../params/tests/strategies/mod.rs"]
mod strategies;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rserpool_asap::*;
use std::borrow::Cow;
use strategies::*;

fn message() -> impl Strategy<Value = Message> {
    let named = || (handle(), pe_id());
    prop_oneof![
        (handle(), registrable_element())
            .prop_map(|(handle, element)| Registration { handle, element }.into()),
        named().prop_map(|(handle, id)| Deregistration { handle, id }.into()),
        (any::<bool>(), named(), option::of(error())).prop_map(|(rejected, (handle, id), error)| {
            RegistrationResponse { rejected, handle, id, error }.into()
        }),
        (named(), option::of(error())).prop_map(|((handle, id), error)| DeregistrationResponse {
            handle,
            id,
            error
        }
        .into()),
        (any::<bool>(), handle(), option::of(any::<u32>()))
            .prop_map(|(subscribe, handle, items)| { HandleResolution { subscribe, handle, items }.into() }),
        (any::<bool>(), handle(), option::of(policy()), elements(1..5)).prop_map(
            |(accepted, handle, policy, elements)| {
                HandleResolutionResponse { accepted, handle, policy, elements, error: None }.into()
            }
        ),
        (handle(), error()).prop_map(|(handle, error)| {
            let (policy, elements, error) = (None, Vec::new(), Some(error));
            HandleResolutionResponse { accepted: false, handle, policy, elements, error }.into()
        }),
        (any::<bool>(), registrar_id(), handle(), option::of(pe_id())).prop_map(
            |(home, registrar, handle, id)| EndpointKeepAlive { home, registrar, handle, id }.into()
        ),
        named().prop_map(|(handle, id)| EndpointKeepAliveAck { handle, id }.into()),
        named().prop_map(|(handle, id)| EndpointUnreachable { handle, id }.into()),
        (
            registrar_id(),
            vec(prop_oneof![tcp(), sctp_of_registrar().prop_map(params::Transport::Sctp)], 0..4)
        )
            .prop_map(|(registrar, transports)| ServerAnnounce { registrar, transports }.into()),
        octets(100).prop_map(|cookie| Cookie { cookie }.into()),
        octets(100).prop_map(|cookie| CookieEcho { cookie }.into()),
        (handle(), elements(1..5)).prop_map(|(handle, elements)| BusinessCard { handle, elements }.into()),
        error().prop_map(|error| Error { error }.into()),
    ]
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

    // PARAM-3-01, PARAM-3-11, PARAM-3-13, PARAM-4-10, PARAM-4-11, PARAM-3.4-03, PARAM-3.9-01: what is sent is what is
    // received.
    #[test]
    fn decoding_undoes_encoding(message in message()) {
        let octets = message.encode().unwrap();
        assert_framed(&octets);
        let decoded = decode(&octets);
        prop_assert_eq!(decoded.outcome(), Outcome::Accept);
        prop_assert_eq!(decoded.message_type, Some(message.message_type()));
        prop_assert_eq!(decoded.message.unwrap(), message);
    }

    // PARAM-4-06: flag bits without a meaning are never sent and never matter.
    #[test]
    fn undefined_flags_do_not_matter(message in message(), flags in any::<u8>()) {
        let mut octets = message.encode().unwrap().to_vec();
        prop_assert_eq!(octets[1] & !1, 0);
        octets[1] |= flags & !1;
        prop_assert_eq!(decode(&octets).message.unwrap(), message);
    }

    // a listing is the response of the same elements without their ASAP Transports.
    #[test]
    fn a_listing_is_a_response_without_copies(message in message(), limit in 0..400_usize) {
        if let Message::HandleResolutionResponse(mut response) = message
            && let Some(policy) = response.policy.clone()
        {
            for element in &mut response.elements {
                element.asap_transport = None;
            }
            let elements = response.elements.iter().map(Cow::Borrowed).collect();
            let handle = &response.handle;
            let mut listing = PoolListing { accepted: response.accepted, handle, policy: &policy, elements };
            let octets = listing.encode().unwrap();
            prop_assert_eq!(&octets, &Message::from(response.clone()).encode().unwrap());
            listing.cut_to(limit);
            match listing.encode() {
                Ok(cut) => {
                    prop_assert!(cut.len() <= limit);
                    prop_assert_eq!(cut.len() == octets.len(), octets.len() <= limit);
                }
                Err(_) => prop_assert!(listing.elements.is_empty()),
            }
        }
    }

    #[test]
    fn any_octets_are_survived(octets in vec(any::<u8>(), 0..200)) {
        decode(&octets);
    }

    // What was accepted means the same when it is sent on.
    #[test]
    fn accepted_octets_are_stable(octets in damaged(encoded())) {
        let decoded = decode(&octets);
        if let Some(reply) = &decoded.reply {
            assert_framed(reply);
            prop_assert_eq!(decode(reply).outcome(), Outcome::Accept);
        }
        if let Ok(message) = decoded.message
            && let Ok(again) = message.encode()
        {
            let decoded = decode(&again);
            prop_assert_eq!(decoded.message.as_ref(), Ok(&message));
            prop_assert_eq!(decoded.reply, None);
            prop_assert_eq!(message.encode().unwrap(), again);
        }
    }

    // ASAP-2-05: however a stream is chopped, it gives the same messages.
    #[test]
    fn a_stream_gives_its_messages(messages in vec(message(), 1..6), chunk in 1..50_usize) {
        let sent: Vec<u8> = messages.iter().flat_map(|message| message.encode().unwrap()).collect();
        let (mut buffer, mut received) = (BytesMut::new(), Vec::new());
        for chunk in sent.chunks(chunk) {
            buffer.extend_from_slice(chunk);
            while let Some(octets) = stream::split(&mut buffer).unwrap() {
                received.push(decode(&octets).message.unwrap());
            }
        }
        prop_assert_eq!(received, messages);
        prop_assert!(buffer.is_empty());
    }
}
