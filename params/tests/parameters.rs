//! Single parameters: their numbers, what is refused, what is put right.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

// The name that the other crates know it by, so that they can share the strategies.
extern crate rserpool_params as params;

mod strategies;

use params::wire::{Encoder, Input, Parameter, Unrecognized};
use params::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// One parameter in octets.
fn written(write: impl FnOnce(&mut Encoder) -> Result<(), EncodeError>) -> Vec<u8> {
    let mut encoder = Encoder::message(0, 0, 0);
    write(&mut encoder).unwrap();
    encoder.finish().unwrap()[4..].to_vec()
}

fn read(octets: &[u8]) -> Parameter<'_> {
    Input::new(octets, 0).tlv().unwrap().unwrap()
}

fn transport(hex: &str) -> Result<Transport, DecodeError> {
    let octets = hex::decode(hex.replace(' ', "")).unwrap();
    Transport::decode(&read(&octets), &mut Unrecognized::default()).map(Option::unwrap)
}

// PARAM-3-03
#[test]
fn parameter_types_are_those_of_the_table() {
    let known: Vec<_> = (0..=u16::MAX).filter(|number| ParameterType(*number).name().is_some()).collect();
    assert_eq!(known, (1..=0x10).chain([0x803f, 0x8e52, 0x8e53, 0x8e54]).collect::<Vec<u16>>());
    assert_eq!(ParameterType::OPAQUE_TRANSPORT, ParameterType(0x10));
    assert_eq!(ParameterType(0xc011).to_string(), "parameter 0xc011");
}

// PARAM-3.12-03, PARAM-5-01
#[test]
fn cause_codes_are_those_of_the_table() {
    let known: Vec<_> = (0..=u16::MAX).filter(|number| CauseCode(*number).name().is_some()).collect();
    assert_eq!(known, (0..=0xa).collect::<Vec<u16>>());
    assert_eq!((CauseCode::UNKNOWN_POOL_HANDLE.0, CauseCode::SECURITY.0), (0x9, 0xa));
    assert_eq!(CauseCode(0xf008).to_string(), "cause 0xf008");
}

// PARAM-3-04 … PARAM-3-07
#[test]
fn the_upper_bits_are_the_action() {
    let actions = [0x0011, 0x4011, 0x8011, 0xc011].map(|number| ParameterType(number).action());
    assert_eq!(actions, [Action::Stop, Action::StopAndReport, Action::Skip, Action::SkipAndReport]);
}

// PARAM-3.4-02, PARAM-3.3-02, PARAM-3.5-01, ambiguity A-06: what cannot be used is not accepted.
#[test]
fn unusable_transports_are_invalid_values() {
    for (hex, why) in [
        ("0004 0010 0001 0002 0001 0008 c0000201", "Transport Use is neither 0 nor 1"),
        ("0004 0010 0000 0000 0001 0008 c0000201", "port 0"),
        ("0004 0008 0001 0000", "no usable address"),
        ("0004 001c 0001 0000 0002 0014 ff020000 00000000 00000000 00000001", "no usable address"),
        ("0005 0010 0001 0000 0001 0008 00000000", "not exactly one usable address"),
        ("0005 0010 0001 0000 0001 0008 ffffffff", "not exactly one usable address"),
        ("0006 0018 0001 0000 0001 0008 c0000201 0001 0008 c0000201", "not exactly one usable address"),
        (
            "0003 001c 0001 0000 0000 0000 0001 0008 c0000201 0001 0008 c0000202",
            "not exactly one usable address",
        ),
        ("0003 000a 0001 0000 0000", "too short for a Service Code"),
        ("0007 0006 0001", "too short for a port"),
    ] {
        let error = transport(hex).unwrap_err();
        assert!(error.to_string().ends_with(why), "{hex}: {error}");
        assert_eq!(error.cause.unwrap().code, CauseCode::INVALID_VALUES);
    }
}

// PARAM-3.12.4-01: the cause holds the innermost parameter that is wrong.
#[test]
fn the_innermost_parameter_is_blamed() {
    let error = transport("0004 0010 0001 0000 0001 0007 c0000200").unwrap_err();
    assert_eq!(error.offset, 8);
    assert_eq!(hex::encode(error.cause.unwrap().information), "00010007c00002");
}

// PARAM-3.2-02, ambiguity A-06: mapped addresses are IPv4, unusable and repeated ones are left out, the order stays.
#[test]
fn addresses_are_put_right() {
    let hex = "0004 0044 0001 0001 0002 0014 00000000 00000000 0000ffff c0000202 0001 0008 e0000001 \
               0001 0008 c0000201 0001 0008 c0000202 0001 0008 c0000201 0001 0008 00000000";
    let Transport::Sctp(sctp) = transport(hex).unwrap() else { panic!() };
    assert_eq!(sctp.addresses, ["192.0.2.2", "192.0.2.1"].map(|address| address.parse::<IpAddr>().unwrap()));

    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    let octets = written(|encoder| Transport::Tcp(TcpTransport { port: 1, address: mapped }).encode(encoder));
    assert_eq!(hex::encode(octets), "000500100001000000010008c0000201");
}

// PARAM-3.3-05, PARAM-3.5-04: the reserved field is 0 when sent and ignored when received.
#[test]
fn reserved_fields_do_not_matter() {
    for kind in ["0005", "0006", "0007"] {
        let with = |reserved| transport(&format!("{kind} 0010 0001 {reserved} 0001 0008 c0000201")).unwrap();
        assert_eq!(with("ffff"), with("0000"));
    }
    let dccp =
        |reserved| transport(&format!("0003 0014 0001 {reserved} 12345678 0001 0008 c0000201")).unwrap();
    assert_eq!(dccp("ffff"), dccp("0000"));
}

// PARAM-3.4-02, PARAM-3.4-04, ambiguity A-06: what nobody could use is not sent.
#[test]
fn unusable_transports_are_not_written() {
    let sctp = |port, transport_use, addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let transport = SctpTransport { port, transport_use: TransportUse(transport_use), addresses };
        transport.encode(&mut Encoder::message(0, 0, 0))
    };
    assert_eq!(sctp(1, 1, &["192.0.2.1"]), Ok(()));
    assert_eq!(sctp(1, 1, &[]), Err(EncodeError::NoAddress));
    assert_eq!(sctp(1, 2, &["192.0.2.1"]), Err(EncodeError::TransportUse(2)));
    for (port, address) in [(0, "192.0.2.1"), (1, "0.0.0.0"), (1, "::"), (1, "224.0.0.1"), (1, "ff02::1")] {
        assert!(matches!(sctp(port, 0, &[address]), Err(EncodeError::UnusableAddress(_))), "{address}");
    }
}

// POL-5.3-01, ambiguity A-77: a known policy has exactly its fields; PARAM-3.8-03.
#[test]
fn policies_have_their_length() {
    let policy = |hex: &str| {
        let octets = hex::decode(hex.replace(' ', "")).unwrap();
        Policy::decode(&read(&octets))
    };
    let plu = Policy::PriorityLeastUsed { load: Load(1), degradation: Load(2) };
    assert_eq!(policy("0008 0010 40000003 00000001 00000002"), Ok(plu));
    for wrong in
        ["0008 0004", "0008 000c 40000003 00000001", "0008 000c 00000001 00000000", "0008 0008 b0002003"]
    {
        assert!(policy(wrong).unwrap_err().is_invalid_values(), "{wrong}");
    }
    let opaque = Policy::Opaque { policy_type: PolicyType(0), value: vec![7].into() };
    assert_eq!(policy("0008 0009 00000000 07 000000"), Ok(opaque));
}

// POL-4.1-02, POL-4.2-01, POL-4.3-01, POL-4.5-01, POL-5.1-01, POL-5.2-01, POL-5.4-01, PARAM-3.8-01: the octets of each
// policy; POL-3.1-01: a load is 32 bits wide, 0xffffffff is 100 %.
#[test]
fn each_policy_has_its_format() {
    let full = Load(u32::MAX);
    for (hex, policy) in [
        ("00080008 00000001", Policy::RoundRobin),
        ("0008000c 00000002 01020304", Policy::WeightedRoundRobin { weight: 0x01020304 }),
        ("00080008 00000003", Policy::Random),
        ("0008000c 00000004 01020304", Policy::WeightedRandom { weight: 0x01020304 }),
        ("0008000c 00000005 01020304", Policy::Priority { priority: 0x01020304 }),
        ("0008000c 40000001 ffffffff", Policy::LeastUsed { load: full }),
        (
            "00080010 40000002 ffffffff 00000001",
            Policy::LeastUsedDegradation { load: full, degradation: Load(1) },
        ),
        (
            "00080010 40000003 ffffffff 00000001",
            Policy::PriorityLeastUsed { load: full, degradation: Load(1) },
        ),
        ("0008000c 40000004 ffffffff", Policy::RandomizedLeastUsed { load: full }),
    ] {
        let hex = hex.replace(' ', "");
        assert_eq!(Policy::decode(&read(&hex::decode(&hex).unwrap())), Ok(policy.clone()));
        assert_eq!(hex::encode(written(|encoder| policy.encode(encoder))), hex);
    }
}

// POL-7.1-01, POL-7.1-05: of the standard types all and none but those of the RFC are known; the upper two bits tell
// private and adaptive ones.
#[test]
fn policy_types_are_those_of_the_table() {
    let standard = (1..=0xff).chain(0x4000_0000..=0x4000_00ff).map(PolicyType);
    let known: Vec<u32> = standard.filter(|policy| policy.is_known()).map(|policy| policy.0).collect();
    assert_eq!(known, [1, 2, 3, 4, 5, 0x4000_0001, 0x4000_0002, 0x4000_0003, 0x4000_0004]);
    assert_eq!(Policy::LeastUsed { load: Load(0) }.policy_type().0 >> 30, 0b01);
    assert_eq!(PolicyType::RANDOMIZED_PRIORITY_LEAST_USED.0 >> 30, 0b10);
}

// PARAM-3.3-01, PARAM-3.4-01, PARAM-3.6-01, PARAM-3.7-01, PARAM-3.16-01: the octets of each transport. Only SCTP's says
// whether it carries control; PARAM-3.3-04, PARAM-3.5-03, PARAM-3.6-03, PARAM-3.7-03: the others are data only.
// PARAM-3.5-01
#[test]
fn each_transport_has_its_format() {
    let address: IpAddr = [192, 0, 2, 1].into();
    let sctp = |transport_use| {
        Transport::Sctp(SctpTransport { port: 0x1234, transport_use, addresses: vec![address] })
    };
    for (hex, expected) in [
        (
            "00030014 12340000 01020304 00010008 c0000201",
            Transport::Dccp(DccpTransport { port: 0x1234, service_code: 0x01020304, address }),
        ),
        ("00040010 12340000 00010008 c0000201", sctp(TransportUse::DATA_ONLY)),
        ("00040010 12340001 00010008 c0000201", sctp(TransportUse::DATA_AND_CONTROL)),
        ("00050010 12340000 00010008 c0000201", Transport::Tcp(TcpTransport { port: 0x1234, address })),
        ("00060010 12340000 00010008 c0000201", Transport::Udp(UdpTransport { port: 0x1234, address })),
        (
            "00070010 12340000 00010008 c0000201",
            Transport::UdpLite(UdpLiteTransport { port: 0x1234, address }),
        ),
        ("00100008 61626364", Transport::Opaque(b"abcd"[..].into())),
    ] {
        assert_eq!(transport(hex), Ok(expected.clone()));
        assert_eq!(hex::encode(written(|encoder| expected.encode(encoder))), hex.replace(' ', ""));
    }
}

#[test]
fn a_transport_says_where_to_connect_to() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    for (transport, expected) in [
        (Transport::tcp(at("192.0.2.1:80")), vec![at("192.0.2.1:80")]),
        (Transport::udp(at("[2001:db8::1]:53")), vec![at("[2001:db8::1]:53")]),
        (
            Transport::Sctp(SctpTransport {
                port: 7,
                transport_use: TransportUse::DATA_ONLY,
                addresses: vec![at("192.0.2.1:0").ip(), at("192.0.2.2:0").ip()],
            }),
            vec![at("192.0.2.1:7"), at("192.0.2.2:7")],
        ),
        (Transport::Opaque(Box::new([1, 2, 3])), Vec::new()),
    ] {
        assert_eq!(Vec::from_iter(transport.socket_addresses()), expected, "{transport:?}");
    }
}

// PARAM-3.10-04, PARAM-3.10-05: the home is 0 while it is unknown, a life of -1 seconds is infinite.
// PARAM-3.10-01
#[test]
fn an_element_has_home_and_life() {
    let element = PoolElement {
        id: PeIdentifier(0x01020304),
        home: RegistrarId::NONE,
        life: RegistrationLife::INFINITE,
        user_transport: Transport::Opaque(b"abcd"[..].into()),
        policy: Policy::RoundRobin,
        asap_transport: None,
    };
    let hex = hex::encode(written(|encoder| element.encode(encoder)));
    assert_eq!(hex, "000a00200102030400000000ffffffff00100008616263640008000800000001");
}

// PARAM-3.12.1-01, PARAM-3.12.7-01: causes without information; and those that show what the pool has.
#[test]
fn causes_are_written() {
    let octets = |error: OperationError| hex::encode(written(|encoder| error.encode(encoder)));
    assert_eq!(octets(CauseCode::UNSPECIFIED.into()), "000c000800000004");
    assert_eq!(octets(CauseCode::LACK_OF_RESOURCES.into()), "000c000800060004");
    let policy = ErrorCause::inconsistent_policy(&Policy::RoundRobin);
    assert_eq!(octets(policy.into()), "000c00100005000c0008000800000001");
    let transport = Transport::Tcp(TcpTransport { port: 80, address: [192, 0, 2, 1].into() });
    let transport = ErrorCause::inconsistent_transport_type(&transport);
    assert_eq!(
        octets(transport.into()),
        "000c0018000700140005001000500000 00010008c0000201".replace(' ', "")
    );
    let nothing = OperationError { causes: Vec::new() };
    assert_eq!(nothing.encode(&mut Encoder::message(0, 0, 0)), Err(EncodeError::NoCause));
}

// PARAM-3.12-01, PARAM-3.12-02: an error has causes, and they stay within it.
#[test]
fn broken_errors_are_refused() {
    for (hex, problem) in [
        ("000c0004", Problem::NoCause),
        ("000c000800000003", Problem::ParameterLength { length: 3, available: 4 }),
        ("000c000800000005", Problem::ParameterLength { length: 5, available: 4 }),
    ] {
        let octets = hex::decode(hex).unwrap();
        assert_eq!(OperationError::decode(&read(&octets)).unwrap_err().problem, problem);
    }
}

// PARAM-3.9-02: every octet counts.
#[test]
fn handles_are_compared_octet_by_octet() {
    assert_ne!(PoolHandle::from("ftp"), PoolHandle::from("ftp\0"));
    assert_ne!(PoolHandle::from("ftp"), PoolHandle::from("FTP"));
    assert_eq!(PoolHandle::new(b"f\xfft").to_string(), "f\\xfft");
}

proptest! {
    // PARAM-3.10-01, PARAM-3.10-02, PARAM-3.10-10: an element is what was written, and its length known before.
    #[test]
    fn elements_survive(element in strategies::element()) {
        let octets = written(|encoder| element.encode(encoder));
        prop_assert_eq!(element.encoded_length(), octets.len());
        prop_assert_eq!(PoolElement::decode(&read(&octets), &mut Unrecognized::default()), Ok(element));
    }

    #[test]
    fn servers_survive(server in strategies::server()) {
        let octets = written(|encoder| server.encode(encoder));
        prop_assert_eq!(server.encoded_length(), octets.len());
        prop_assert_eq!(ServerInformation::decode(&read(&octets), &mut Unrecognized::default()), Ok(server));
    }

    #[test]
    fn errors_survive(error in strategies::error()) {
        let octets = written(|encoder| error.encode(encoder));
        prop_assert_eq!(error.encoded_length(), octets.len());
        prop_assert_eq!(OperationError::decode(&read(&octets)), Ok(error));
    }

    #[test]
    fn handles_survive(handle in strategies::handle()) {
        let octets = written(|encoder| handle.encode(encoder));
        prop_assert_eq!(handle.encoded_length(), octets.len());
        prop_assert_eq!(PoolHandle::decode(&read(&octets)), handle);
    }
}
