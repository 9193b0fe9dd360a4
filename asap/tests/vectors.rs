//! The reference vectors, octet by octet. What their fields are is asserted by the test of `rserpool decode`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use bytes::{Bytes, BytesMut};
use params::wire::Encoder;
use params::*;
use rserpool_asap::*;
use serde_json::Value;
use std::borrow::Cow;

fn vectors(section: &str) -> Vec<Value> {
    let mut all: Value = serde_json::from_str(include_str!("../../tests/data/vectors.json")).unwrap();
    serde_json::from_value::<Vec<Value>>(all[section].take()).unwrap()
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap_or_default()
}

fn octets(vector: &Value) -> Vec<u8> {
    hex::decode(text(vector, "hex")).unwrap()
}

fn named(name: &str) -> Vec<u8> {
    let all = vectors("well_formed").into_iter().chain(vectors("malformed"));
    octets(&all.into_iter().find(|vector| vector["name"] == name).unwrap())
}

// ASAP-2.2-01, ASAP-2.2.1-01, ASAP-2.2.2-01, ASAP-2.2.3-01, ASAP-2.2.4-01, ASAP-2.2.5-01, ASAP-2.2.6-01,
// ASAP-2.2.7-01, ASAP-2.2.8-01, ASAP-2.2.10-01, ASAP-2.2.11-01, ASAP-2.2.13-01, ASAP-2.2.14-01: all formats.
// PARAM-2-03, PARAM-3-09, PARAM-3-12, PARAM-4-07, PARAM-4-08: which lengths count which padding.
// ASAP-1.1-06, ASAP-2-01
#[test]
fn well_formed_messages_are_read_and_written() {
    for vector in vectors("well_formed").iter().filter(|vector| vector["protocol"] == "ASAP") {
        let name = text(vector, "name");
        let decoded = decode(&octets(vector));
        assert_eq!(decoded.outcome(), Outcome::Accept, "{name}: {:?}", decoded.message);
        let message = decoded.message.unwrap();
        assert_eq!(message.message_type().name().unwrap(), vector["decoded"]["message"], "{name}");
        assert_eq!(hex::encode(message.encode().unwrap()), text(vector, "hex"), "{name}");
    }
}

// PARAM-2-04, PARAM-3-04 … -08, PARAM-3-10, PARAM-3-14 … -16, PARAM-3.1-01, PARAM-3.2-01, PARAM-3.4-04, PARAM-3.5-01,
// PARAM-3.8-03, PARAM-3.9-03, PARAM-3.10-06 … -09, PARAM-3.12-04, PARAM-3.12.2-01, PARAM-3.12.2-02, PARAM-3.12.3-01,
// PARAM-3.12.4-01, PARAM-3.14-01, PARAM-4-02 … -06, PARAM-4-09, PARAM-4-12, PARAM-4-13, ASAP-2.2.14-02 … -04.
#[test]
fn malformed_messages_are_treated_as_the_rules_say() {
    let well_formed = vectors("well_formed");
    for vector in vectors("malformed").iter().filter(|vector| vector["protocol"] == "ASAP") {
        let name = text(vector, "name");
        let decoded = decode(&octets(vector));
        let outcome = match text(vector, "expect") {
            "reject" => "discard+report",
            "invalid" => "discard",
            other => other,
        };
        assert_eq!(decoded.outcome().as_str(), outcome, "{name}: {:?}", decoded.message);
        let reply = decoded.reply.as_ref().map(hex::encode);
        assert_eq!(reply.as_deref(), vector["reply"].as_str(), "{name}");
        if let Some(same) = well_formed.iter().find(|other| other["name"] == vector["same_as"]) {
            let message = decoded.message.unwrap();
            assert_eq!(Ok(&message), decode(&octets(same)).message.as_ref(), "{name}");
            assert_eq!(hex::encode(message.encode().unwrap()), text(same, "hex"), "{name}");
        }
    }
}

// A registrar counts what it refuses by type and problem.
#[test]
fn a_refused_registration_says_why() {
    let decoded = decode(&named("m_pe_id_0"));
    assert_eq!(decoded.message_type, Some(MessageType::REGISTRATION));
    let error = decoded.message.unwrap_err();
    assert_eq!(error.to_string(), "at octet 16: Pool Element: PE Identifier is 0");
    assert_eq!(error.cause.unwrap().code, CauseCode::INVALID_VALUES);
    let Ok(Message::RegistrationResponse(response)) = decode(&decoded.reply.unwrap()).message else {
        panic!()
    };
    assert!(response.rejected);
    assert!(response.error.unwrap().has(CauseCode::INVALID_VALUES));
}

// The messages of rsplib, as its documentation of the wire gives them.
#[test]
fn rsplib_is_understood() {
    let messages: Vec<Value> = serde_json::from_str(include_str!("../../tests/data/rsplib.json")).unwrap();
    for vector in messages.iter().filter(|vector| vector["protocol"] == "ASAP") {
        let name = text(vector, "name");
        let decoded = decode(&octets(vector));
        assert_eq!(decoded.outcome(), Outcome::Accept, "{name}");
        let message = decoded.message.unwrap();
        assert!(name.starts_with(message.message_type().name().unwrap()), "{name}");
        assert_eq!(hex::encode(message.encode().unwrap()), text(vector, "hex"), "{name}");
    }
    let keep_alive = messages.iter().find(|vector| text(vector, "name").contains("KEEP_ALIVE H=0")).unwrap();
    let Ok(Message::EndpointKeepAlive(keep_alive)) = decode(&octets(keep_alive)).message else { panic!() };
    assert_eq!(keep_alive.id, Some(PeIdentifier(0x12345678)));
}

// ASAP-2-05, ambiguity A-22.
#[test]
fn streams_are_split_into_messages() {
    for vector in vectors("tcp_streams") {
        let mut buffer = BytesMut::new();
        let mut received = Vec::new();
        for octet in octets(&vector) {
            buffer.extend_from_slice(&[octet]);
            received
                .extend(stream::split(&mut buffer).unwrap().map(|octets| decode(&octets).message.unwrap()));
        }
        let names: Vec<String> = serde_json::from_value(vector["messages"].clone()).unwrap();
        let expected: Vec<_> = names.iter().map(|name| decode(&named(name)).message.unwrap()).collect();
        assert_eq!(received, expected, "{}", text(&vector, "name"));
        assert!(buffer.is_empty());
    }
    let mut lost = BytesMut::from(&[5, 0, 0, 3, 9, 9][..]);
    assert_eq!(stream::split(&mut lost), Err(stream::LostFraming(3)));
}

fn cookie(length: usize) -> Message {
    Cookie { cookie: Bytes::from(vec![0; length]) }.into()
}

// PARAM-4-14, PARAM-3.13-01: the largest message there is, with and without its last octet, and one that is too large.
#[test]
fn the_largest_message() {
    let octets = cookie(65527).encode().unwrap();
    assert_eq!(octets.len(), 65536);
    assert_eq!(octets[..8], [0x0b, 0, 0xff, 0xff, 0, 0x0d, 0xff, 0xfb]);
    assert_eq!(decode(&octets).message, Ok(cookie(65527)));
    assert_eq!(decode(&octets[..65535]).message, Ok(cookie(65527)));

    assert_eq!(cookie(65528).encode(), Err(EncodeError::MessageTooLong(65536)));
    assert_eq!(cookie(65532).encode(), Err(EncodeError::ParameterTooLong(65536)));

    let mut over = vec![0; 65539];
    over[..8].copy_from_slice(&[0x0b, 0, 0xff, 0xff, 0, 0x0d, 0xff, 0xff]);
    assert_eq!(decode(&over).outcome(), Outcome::Discard);

    let handle = PoolHandle::new((0..65515).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    let resolution = Message::from(HandleResolution { subscribe: false, handle, items: None });
    let octets = resolution.encode().unwrap();
    assert_eq!((octets.len(), &octets[..8]), (65524, &[5, 0, 0xff, 0xf3, 0, 9, 0xff, 0xef][..]));
    assert_eq!(decode(&octets).message, Ok(resolution));
}

// PARAM-3.12.3-02, ambiguity A-13: a report is cut to 1280 octets, so that it is not worth provoking.
#[test]
fn the_report_of_the_largest_message_is_cut() {
    let mut unknown = vec![0xaa; 65536];
    unknown[..4].copy_from_slice(&[0x4f, 0, 0xff, 0xff]);
    let reply = decode(&unknown).reply.unwrap();
    assert_eq!((reply.len(), &reply[2..4]), (1280, &[5, 0][..]));
    let Ok(Message::Error(Error { error })) = decode(&reply).message else { panic!() };
    assert_eq!(error.causes[0].information, unknown[..1268]);
}

// Ambiguity A-13: as many unknown parameters as a message can hold: the report has those that fit.
#[test]
fn a_flood_of_unknown_parameters_is_reported_within_one_message() {
    let mut octets = Vec::from([5, 0, 0xff, 0xfc, 0, 9, 0, 4]);
    octets.extend([0xc0, 0x11, 0, 4].repeat((0xfffc - 8) / 4));
    let decoded = decode(&octets);
    assert_eq!(decoded.outcome(), Outcome::AcceptAndReport);
    let reply = decoded.reply.unwrap();
    assert_eq!(reply.len(), 1280);
    let Ok(Message::Error(Error { error })) = decode(&reply).message else { panic!() };
    assert_eq!(error.causes.len(), (1280 - 8) / 8);
    assert!(error.causes.iter().all(|cause| cause.information[..] == [0xc0, 0x11, 0, 4]));
}

fn element() -> PoolElement {
    PoolElement {
        id: PeIdentifier(1),
        home: RegistrarId::NONE,
        life: RegistrationLife::INFINITE,
        user_transport: Transport::Tcp(TcpTransport { port: 80, address: [192, 0, 2, 10].into() }),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}

fn resolution(elements: Vec<PoolElement>, error: Option<OperationError>) -> HandleResolutionResponse {
    HandleResolutionResponse { accepted: false, handle: "p".into(), policy: None, elements, error }
}

// ASAP-2.2.6-04, ASAP-2.2.6-06, ASAP-2.2.6-07, ASAP-2.2.10-02: what the RFC forbids is not written.
#[test]
fn forbidden_messages_are_not_written() {
    let unknown = || Some(OperationError::from(CauseCode::UNKNOWN_POOL_HANDLE));
    let negative_with_policy =
        HandleResolutionResponse { policy: Some(Policy::Random), ..resolution(vec![], unknown()) };
    let forbidden: [Message; 5] = [
        resolution(vec![], None).into(),
        resolution(vec![element()], unknown()).into(),
        negative_with_policy.into(),
        BusinessCard { handle: "p".into(), elements: vec![] }.into(),
        ServerAnnounce {
            registrar: RegistrarId(1),
            transports: vec![Transport::Udp(UdpTransport { port: 1, address: [192, 0, 2, 1].into() })],
        }
        .into(),
    ];
    for message in forbidden {
        assert!(matches!(message.encode(), Err(EncodeError::Forbidden(_))), "{message:?}");
    }
    assert!(Message::from(resolution(vec![element()], None)).encode().is_ok());
    assert!(Message::from(resolution(vec![], unknown())).encode().is_ok());
}

// The vector of a resolution that is too big: it is an error until elements are left out.
#[test]
fn a_resolution_that_does_not_fit_is_cut() {
    let (handle, policy) = (PoolHandle::from("p"), Policy::RoundRobin);
    let elements = vec![Cow::Owned(element()); 2000];
    let mut listing = PoolListing { accepted: false, handle: &handle, policy: &policy, elements };
    assert!(matches!(listing.encode(), Err(EncodeError::MessageTooLong(_))));
    listing.cut_to(65535);
    assert!(listing.encode().is_ok());
    assert_eq!(listing.elements.len(), (65535 - 4 - 8 - 8) / element().encoded_length_for_users());
    listing.elements.clear();
    assert!(matches!(listing.encode(), Err(EncodeError::Forbidden(_))));
}

/// A registration whose pool element has these parameters behind its fixed fields.
fn registration(inner: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>) -> Bytes {
    let mut encoder = Encoder::message(MessageType::REGISTRATION.0, 0, 0);
    PoolHandle::from("pool").encode(&mut encoder).unwrap();
    let fixed = |encoder: &mut Encoder| {
        [7, 0, 300].into_iter().for_each(|field| encoder.u32(field));
        inner(encoder)
    };
    encoder.parameter(ParameterType::POOL_ELEMENT, fixed).unwrap();
    encoder.finish().unwrap()
}

fn parameter(kind: u16, value: &[u8]) -> impl Fn(&mut Encoder) -> Result<(), EncodeError> {
    move |encoder| {
        encoder.parameter(ParameterType(kind), |encoder| {
            encoder.bytes(value);
            Ok(())
        })
    }
}

// PARAM-3-08, ambiguity A-03: the action bits work at any depth, and the report holds the unknown parameter alone.
#[test]
fn unknown_parameters_within_an_element() {
    let with = |kind| {
        decode(&registration(|encoder| {
            element().user_transport.encode(encoder)?;
            parameter(kind, &[1, 2, 3, 4])(encoder)?;
            Policy::RoundRobin.encode(encoder)
        }))
    };
    let report = |reply: Option<Bytes>| match decode(&reply.unwrap()).message {
        Ok(Message::Error(Error { error })) => error.causes[0].information.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(with(0x0011).outcome(), Outcome::Discard);
    assert_eq!(with(0x8011).outcome(), Outcome::Accept);
    assert_eq!(with(0x4011).outcome(), Outcome::DiscardAndReport);
    assert_eq!(report(with(0x4011).reply), [0x40, 0x11, 0, 8, 1, 2, 3, 4][..]);
    assert_eq!(with(0xc011).outcome(), Outcome::AcceptAndReport);
    assert_eq!(report(with(0xc011).reply), [0xc0, 0x11, 0, 8, 1, 2, 3, 4][..]);
}

// What asks for silence is obeyed also behind a value that must not be.
#[test]
fn an_unknown_parameter_outweighs_an_invalid_value() {
    let with = |kind| {
        decode(&registration(|encoder| {
            parameter(0x5, &[0, 0, 0, 0, 0, 1, 0, 8, 192, 0, 2, 1])(encoder)?; // TCP, port 0
            Policy::RoundRobin.encode(encoder)?;
            parameter(kind, &[])(encoder)
        }))
    };
    assert_eq!(with(0x0011).reply, None);
    let reply = |kind| decode(&with(kind).reply.unwrap()).message.unwrap().message_type();
    assert_eq!(reply(0x4011), MessageType::ERROR);
    assert_eq!(reply(0x8011), MessageType::REGISTRATION_RESPONSE);
}

// PARAM-3-16: an element within an element is neither read nor looked into.
#[test]
fn misplaced_parameters_are_skipped() {
    let octets = registration(|encoder| {
        parameter(0xa, &[0xff; 5])(encoder)?;
        element().user_transport.encode(encoder)?;
        Policy::RoundRobin.encode(encoder)
    });
    assert_eq!(decode(&octets).outcome(), Outcome::Accept);
}

// Ambiguity A-04: what may stand once and stands twice makes a message that two readers could read differently.
#[test]
fn duplicates_drop_the_message() {
    let twice = registration(|encoder| {
        element().user_transport.encode(encoder)?;
        Policy::RoundRobin.encode(encoder)?;
        Policy::Random.encode(encoder)
    });
    let decoded = decode(&twice);
    assert_eq!(decoded.reply, None);
    assert_eq!(decoded.message.unwrap_err().problem, Problem::Duplicate(ParameterType::POLICY));

    let two_handles = hex::decode("0500001400090007616200000009000761620000").unwrap();
    let problem = decode(&two_handles).message.unwrap_err().problem;
    assert_eq!(problem, Problem::Duplicate(ParameterType::POOL_HANDLE));
}

// ASAP-5-01: one message a user message; a second one behind it drops both.
#[test]
fn two_messages_are_not_one() {
    let mut octets = named("asap_handle_resolution");
    octets.extend(named("asap_handle_resolution"));
    assert_eq!(decode(&octets).outcome(), Outcome::Discard);
}

// ASAP-2.2.9-01, ASAP-2.2.12-01: the formats that no vector has.
#[test]
fn a_report_and_an_echoed_cookie_are_read_and_written() {
    for (hex, message) in [
        (
            "09000014 00090007 66747000 000e0008 01020304",
            EndpointUnreachable { handle: "ftp".into(), id: PeIdentifier(0x01020304) }.into(),
        ),
        ("0c00000a 000d0006 abcd0000", Message::from(CookieEcho { cookie: vec![0xab, 0xcd].into() })),
    ] {
        let hex = hex.replace(' ', "");
        assert_eq!(decode(&hex::decode(&hex).unwrap()).message.as_ref(), Ok(&message));
        assert_eq!(hex::encode(message.encode().unwrap()), hex);
    }
}

// ASAP-8-03: all message types are those of the RFC, none is our own.
// ASAP-2.2-01
#[test]
fn message_types_are_those_of_the_table() {
    let known: Vec<_> = (0..=u8::MAX).filter(|number| MessageType(*number).name().is_some()).collect();
    assert_eq!(known, (1..=0xe).collect::<Vec<u8>>());
}

// POL-7.1-02, POL-7.1-03, POL-7.1-04, ambiguity A-78: nobody registers with a policy that is reserved, unknown or
// somebody's own.
#[test]
fn a_registration_with_an_unknown_policy_is_rejected() {
    for policy_type in
        [0u32, 0x4000_0000, 0x6, 0x3fff_ffff, 0x4000_0005, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
    {
        let policy = Policy::Opaque { policy_type: PolicyType(policy_type), value: Box::default() };
        let element = PoolElement { policy, ..element() };
        let octets = Message::from(Registration { handle: "pool".into(), element }).encode().unwrap();
        let decoded = decode(&octets);
        assert_eq!(decoded.outcome(), Outcome::DiscardAndReport, "0x{policy_type:08x}");
        let Ok(Message::RegistrationResponse(response)) = decode(&decoded.reply.unwrap()).message else {
            panic!()
        };
        let error = response.error.unwrap();
        assert!(response.rejected && error.has(CauseCode::INVALID_VALUES));
        assert_eq!(error.causes[0].information[..8], [[0, 8, 0, 8], policy_type.to_be_bytes()].concat());
    }
}
