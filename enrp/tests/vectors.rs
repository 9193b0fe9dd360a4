//! The reference vectors, octet by octet. What their fields are is asserted by the test of `rserpool decode`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use params::*;
use rserpool_enrp::*;
use serde_json::Value;

const OWN: RegistrarId = RegistrarId(0xa1a2a3a4);

fn vectors(section: &str) -> Vec<Value> {
    let mut all: Value = serde_json::from_str(include_str!("../../tests/data/vectors.json")).unwrap();
    let vectors: Vec<Value> = serde_json::from_value(all[section].take()).unwrap();
    vectors.into_iter().filter(|vector| vector["protocol"] == "ENRP").collect()
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap_or_default()
}

fn octets(vector: &Value) -> Vec<u8> {
    hex::decode(text(vector, "hex")).unwrap()
}

// ENRP-2-03, ENRP-2.1-01, ENRP-2.1-02, ENRP-2.2-01, ENRP-2.3-01, ENRP-2.4-01, ENRP-2.5-01, ENRP-2.6-01, ENRP-2.8-01,
// ENRP-2.9-01, ENRP-2.10-01: all formats. PARAM-2-02, PARAM-3.11-01, PARAM-3.15-01: the parameters of registrars.
// ENRP-3.6.2-11
#[test]
fn well_formed_messages_are_read_and_written() {
    for vector in vectors("well_formed") {
        let name = text(&vector, "name");
        let decoded = decode(&octets(&vector), OWN);
        assert_eq!(decoded.outcome(), Outcome::Accept, "{name}: {:?}", decoded.message);
        let message = decoded.message.unwrap();
        assert_eq!(message.message_type().name().unwrap(), vector["decoded"]["message"], "{name}");
        assert_eq!(hex::encode(message.encode().unwrap()), text(&vector, "hex"), "{name}");
    }
}

// ENRP-2.1-06, ENRP-2.3-06, ENRP-2.4-04, ENRP-2.10-02, ENRP-3.7-01, ENRP-3.7-02, PARAM-4-04.
#[test]
fn malformed_messages_are_treated_as_the_rules_say() {
    for vector in vectors("malformed") {
        let name = text(&vector, "name");
        let decoded = decode(&octets(&vector), OWN);
        let outcome = match text(&vector, "expect") {
            "invalid" => "discard",
            "accept-as-reject" => "accept",
            other => other,
        };
        assert_eq!(decoded.outcome().as_str(), outcome, "{name}: {:?}", decoded.message);
        let reply = decoded.reply.as_ref().map(hex::encode);
        assert_eq!(reply.as_deref(), vector["reply"].as_str(), "{name}");
    }
}

// The messages of rsplib, as its documentation of the wire gives them.
#[test]
fn rsplib_is_understood() {
    let messages: Vec<Value> = serde_json::from_str(include_str!("../../tests/data/rsplib.json")).unwrap();
    for vector in messages.iter().filter(|vector| vector["protocol"] == "ENRP") {
        let name = text(vector, "name");
        let message = decode(&octets(vector), OWN).message.unwrap();
        assert!(name.starts_with(message.message_type().name().unwrap()), "{name}");
        assert_eq!(hex::encode(message.encode().unwrap()), text(vector, "hex"), "{name}");
    }
}

fn element() -> PoolElement {
    PoolElement {
        id: PeIdentifier(1),
        home: OWN,
        life: RegistrationLife::INFINITE,
        user_transport: Transport::Tcp(TcpTransport { port: 80, address: [192, 0, 2, 10].into() }),
        policy: Policy::Opaque { policy_type: PolicyType(0x80000001), value: vec![1, 2, 3, 4, 5].into() },
        asap_transport: None,
    }
}

fn message(body: impl Into<Body>) -> Message {
    Message { sender: OWN, receiver: RegistrarId::NONE, body: body.into() }
}

fn decoded(hex: &str) -> Result<Message, DecodeError> {
    decode(&hex::decode(hex).unwrap(), OWN).message
}

// PARAM-3.8-02, ambiguity A-78: registrars of other versions keep their tables equal.
#[test]
fn unknown_policies_are_passed_on() {
    let update =
        message(HandleUpdate { action: UpdateAction::ADD_PE, handle: "p".into(), element: element() });
    assert_eq!(decode(&update.encode().unwrap(), OWN).message, Ok(update));
}

// ENRP-2.3-04, ENRP-2.6-03, ENRP-2.4-02, ENRP-2.4-03: what the RFC forbids is not written …
#[test]
fn forbidden_messages_are_not_written() {
    let entry = |elements| PoolEntry { handle: "p".into(), elements };
    let table =
        |rejected, elements| HandleTableResponse { rejected, more: false, entries: vec![entry(elements)] };
    let servers = vec![ServerInformation {
        id: OWN,
        transport: SctpTransport {
            port: 9901,
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![[192, 0, 2, 1].into()],
        },
        table_response_size: None,
        incarnation: None,
    }];
    let forbidden = [
        message(table(true, vec![element()])),
        message(table(false, vec![])),
        message(ListResponse { rejected: true, servers }),
        message(HandleUpdate { action: UpdateAction(2), handle: "p".into(), element: element() }),
    ];
    for message in forbidden {
        assert!(matches!(message.encode(), Err(EncodeError::Forbidden(_))), "{message:?}");
    }
    assert!(message(table(false, vec![element()])).encode().is_ok());
}

// … and not believed: ENRP-2.4-03, ENRP-2.6-03, ENRP-2.3-06.
// ENRP-5-03
#[test]
fn forbidden_messages_are_not_believed() {
    let update =
        message(HandleUpdate { action: UpdateAction::ADD_PE, handle: "p".into(), element: element() });
    let mut octets = update.encode().unwrap().to_vec();
    octets[13] = 2;
    assert_eq!(decode(&octets, OWN).outcome(), Outcome::Discard);

    let rejecting = "06010024a1a2a3a4b1b2b3b4000b0018c1c2c3c4000400100001000000010008c0000203";
    assert_eq!(decoded(rejecting).unwrap().body, ListResponse { rejected: true, servers: vec![] }.into());

    let element_without_pool = "0300001ca1a2a3a4b1b2b3b4000a0010000000010000000100000001";
    assert!(decoded(element_without_pool).is_err());
}

// ENRP-3-05: a message from nobody.
#[test]
fn a_sender_has_an_identifier() {
    let error = decoded("0500000c00000000a1a2a3a4").unwrap_err();
    assert_eq!(error.to_string(), "at octet 4: Sending Server's ID is 0");
}

// PARAM-3.11-02, ambiguity A-11.
#[test]
fn the_transport_use_of_a_registrar_has_no_meaning() {
    let presence = |transport_use| {
        let hex = format!("01000024a1a2a3a400000000000b0018a1a2a3a4000426ad{transport_use}00010008c0000201")
            .replace("000426ad", "0004001026ad");
        decoded(&hex).unwrap()
    };
    assert_eq!(presence("0000"), presence("0001"));
}

// PARAM-3-06: a parameter of ours behind the transport, which others skip.
#[test]
fn a_registrar_says_how_large_a_table_response_may_be() {
    let hex = "0100002ca1a2a3a400000000000b0020a1a2a3a40004001026ad000000010008c00002018e52000800008000";
    let message = decoded(hex).unwrap();
    let Body::Presence(presence) = &message.body else { panic!() };
    assert_eq!(presence.information.as_ref().unwrap().table_response_size, Some(32768));
    assert_eq!(hex::encode(message.encode().unwrap()), hex);
    let invalid = hex.replace("0100002c", "01000028").replace("000b0020", "000b001c");
    assert!(decoded(&invalid.replace("8e52000800008000", "8e520004")).is_err());
    let next_of_ours = decoded(&hex.replace("8e52", "8e53")).unwrap();
    let Body::Presence(presence) = next_of_ours.body else { panic!() };
    assert_eq!(presence.information.unwrap().table_response_size, None);
}

// PARAM-3-06: another parameter of ours behind it, with or without it.
#[test]
fn a_registrar_says_which_of_its_starts_this_is() {
    let first = "01000034a1a2a3a400000000000b0028a1a2a3a40004001026ad000000010008c0000201";
    for (ours, size) in [("8e520008000080008e54000800c0ffee", Some(32768)), ("8e54000800c0ffee", None)] {
        let mut hex = format!("{first}{ours}");
        if size.is_none() {
            hex = hex.replace("01000034", "0100002c").replace("000b0028", "000b0020");
        }
        let message = decoded(&hex).unwrap();
        let Body::Presence(presence) = &message.body else { panic!() };
        let information = presence.information.as_ref().unwrap();
        assert_eq!((information.table_response_size, information.incarnation), (size, Some(0xc0ffee)));
        assert_eq!(hex::encode(message.encode().unwrap()), hex);
    }
}

// PARAM-3-06: a parameter of ours in PRESENCE, which others skip.
#[test]
fn a_registrar_says_how_many_elements_are_silent() {
    let hex = "01000021a1a2a3a400000000000f000626ad00008e53000d00000007706f6f6c31000000";
    let message = decoded(hex).unwrap();
    let Body::Presence(presence) = &message.body else { panic!() };
    let [silent] = &presence.silent[..] else { panic!("{presence:?}") };
    assert_eq!((silent.handle.as_bytes(), silent.elements), (&b"pool1"[..], 7));
    assert_eq!(hex::encode(message.encode().unwrap()), hex);
    let short = "0100001aa1a2a3a400000000000f000626ad00008e53000600070000";
    assert!(decoded(short).is_err());
}

// PARAM-3.12.3-02, ambiguity A-13: a report is cut to 1280 octets, so that it is not worth provoking.
#[test]
fn the_report_of_the_largest_message_is_cut() {
    let mut unknown = vec![0xaa; 65536];
    unknown[..4].copy_from_slice(&[0x4b, 0, 0xff, 0xff]);
    let reply = decode(&unknown, OWN).reply.unwrap();
    assert_eq!((reply.len(), &reply[2..4]), (1280, &[5, 0][..]));
    let Message { sender, receiver, body: Body::Error(Error { error }) } =
        decode(&reply, OWN).message.unwrap()
    else {
        panic!()
    };
    assert_eq!((sender, receiver), (OWN, RegistrarId(0xaaaaaaaa)));
    assert_eq!(error.causes[0].information, unknown[..1260]);
}

// The vectors of a table and of a list that are too big.
#[test]
fn what_does_not_fit_is_split_or_cut() {
    let elements = vec![PoolElement { policy: Policy::Random, ..element() }; 4000];
    let table = HandleTableResponse::split(vec![PoolEntry { handle: "pool".into(), elements }], usize::MAX);
    assert_eq!(table.iter().map(|response| response.more).collect::<Vec<_>>(), [true, true, false]);
    let handles: Vec<_> = table.iter().map(|response| response.entries[0].handle.to_string()).collect();
    assert_eq!(handles, ["pool"; 3]);
    assert_eq!(table.iter().map(|response| response.entries[0].elements.len()).sum::<usize>(), 4000);
    for response in table {
        assert!(message(response).encode().is_ok());
    }

    let transport = SctpTransport {
        port: 1,
        transport_use: TransportUse::DATA_ONLY,
        addresses: vec![[192, 0, 2, 1].into()],
    };
    let server = ServerInformation { id: OWN, transport, table_response_size: None, incarnation: None };
    let servers = vec![server; 3000];
    let mut list = ListResponse { rejected: false, servers };
    assert_eq!(message(list.clone()).encode(), Err(EncodeError::MessageTooLong(12 + 24 * 3000)));
    assert_eq!(list.cut_to(usize::MAX), 3000 - (65535 - 12) / 24);
    assert!(message(list).encode().is_ok());
}

// ENRP-2.7-01, ENRP-3.5.1-02: the format that no vector has.
#[test]
fn an_init_takeover_is_read_and_written() {
    let hex = "07000010a1a2a3a4b1b2b3b4c1c2c3c4";
    let message = decoded(hex).unwrap();
    assert_eq!((message.sender, message.receiver), (RegistrarId(0xa1a2a3a4), RegistrarId(0xb1b2b3b4)));
    assert_eq!(message.body, InitTakeover { target: RegistrarId(0xc1c2c3c4) }.into());
    assert_eq!(hex::encode(message.encode().unwrap()), hex);
}

// ENRP-5-04: all message types and update actions are those of the RFC, none is our own.
// ENRP-2-03
#[test]
fn message_types_are_those_of_the_table() {
    let known: Vec<_> = (0..=u8::MAX).filter(|number| MessageType(*number).name().is_some()).collect();
    assert_eq!(known, (1..=0xa).collect::<Vec<u8>>());
    assert_eq!((UpdateAction::ADD_PE, UpdateAction::DEL_PE), (UpdateAction(0), UpdateAction(1)));
}
