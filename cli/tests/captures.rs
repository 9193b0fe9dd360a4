//! `rserpool decode` with captures of real traffic: rsplib 3.4.4 on kernel SCTP (`rsplib-*`) and our own, encapsulated
//! in UDP. The counts by type are those of tshark 4.0.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn capture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/captures").join(name)
}

fn rserpool(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Who does not read all of it ends the writer.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn decode(name: &str, arguments: &[&str]) -> Output {
    let path = capture(name);
    rserpool(&[&["decode", path.to_str().unwrap()], arguments].concat(), b"")
}

fn objects(output: &Output) -> Vec<Value> {
    output
        .stdout
        .split(|octet| *octet == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn text(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).unwrap()
}

const EXPECTED: [(&str, &[(&str, u32)]); 5] = [
    (
        "encapsulated.pcapng",
        &[
            ("ASAP_COOKIE", 6),
            ("ASAP_COOKIE_ECHO", 8),
            ("ASAP_DEREGISTRATION", 1),
            ("ASAP_ENDPOINT_KEEP_ALIVE", 12),
            ("ASAP_ENDPOINT_KEEP_ALIVE_ACK", 12),
            ("ASAP_ENDPOINT_UNREACHABLE", 12),
            ("ASAP_HANDLE_RESOLUTION", 11),
            ("ASAP_HANDLE_RESOLUTION_RESPONSE", 6),
            ("ASAP_REGISTRATION", 7),
            ("ASAP_REGISTRATION_RESPONSE", 7),
            ("ENRP_HANDLE_TABLE_REQUEST", 3),
            ("ENRP_HANDLE_TABLE_RESPONSE", 3),
            ("ENRP_HANDLE_UPDATE", 12),
            ("ENRP_INIT_TAKEOVER", 1),
            ("ENRP_INIT_TAKEOVER_ACK", 1),
            ("ENRP_LIST_REQUEST", 5),
            ("ENRP_LIST_RESPONSE", 5),
            ("ENRP_PRESENCE", 23),
            ("ENRP_TAKEOVER_SERVER", 1),
        ],
    ),
    (
        "rsplib-failover.pcap",
        &[
            ("ASAP_COOKIE", 103),
            ("ASAP_COOKIE_ECHO", 2),
            ("ASAP_ENDPOINT_KEEP_ALIVE", 6),
            ("ASAP_ENDPOINT_KEEP_ALIVE_ACK", 5),
            ("ASAP_HANDLE_RESOLUTION", 3),
            ("ASAP_HANDLE_RESOLUTION_RESPONSE", 3),
            ("ASAP_REGISTRATION", 12),
            ("ASAP_REGISTRATION_RESPONSE", 12),
            ("ASAP_SERVER_ANNOUNCE", 46),
            ("ENRP_PRESENCE", 19),
        ],
    ),
    (
        "rsplib-hsdump.pcap",
        &[
            ("ASAP_DEREGISTRATION", 2),
            ("ASAP_DEREGISTRATION_RESPONSE", 2),
            ("ASAP_ENDPOINT_KEEP_ALIVE", 4),
            ("ASAP_ENDPOINT_KEEP_ALIVE_ACK", 4),
            ("ASAP_REGISTRATION", 2),
            ("ASAP_REGISTRATION_RESPONSE", 2),
            ("ASAP_SERVER_ANNOUNCE", 27),
            ("ENRP_HANDLE_TABLE_REQUEST", 2),
            ("ENRP_HANDLE_TABLE_RESPONSE", 2),
            ("ENRP_LIST_REQUEST", 4),
            ("ENRP_LIST_RESPONSE", 3),
            ("ENRP_PRESENCE", 24),
        ],
    ),
    (
        "rsplib-one-host.pcap",
        &[
            ("ASAP_COOKIE", 44),
            ("ASAP_COOKIE_ECHO", 1),
            ("ASAP_DEREGISTRATION", 2),
            ("ASAP_DEREGISTRATION_RESPONSE", 1),
            ("ASAP_ENDPOINT_KEEP_ALIVE", 2),
            ("ASAP_ENDPOINT_KEEP_ALIVE_ACK", 2),
            ("ASAP_HANDLE_RESOLUTION", 3),
            ("ASAP_HANDLE_RESOLUTION_RESPONSE", 2),
            ("ASAP_REGISTRATION", 3),
            ("ASAP_REGISTRATION_RESPONSE", 3),
            ("ASAP_SERVER_ANNOUNCE", 29),
            ("ENRP_HANDLE_TABLE_REQUEST", 1),
            ("ENRP_HANDLE_TABLE_RESPONSE", 1),
            ("ENRP_LIST_REQUEST", 2),
            ("ENRP_LIST_RESPONSE", 1),
            ("ENRP_PRESENCE", 5),
        ],
    ),
    (
        "rsplib-takeover.pcap",
        &[
            ("ASAP_ENDPOINT_KEEP_ALIVE", 8),
            ("ASAP_ENDPOINT_KEEP_ALIVE_ACK", 8),
            ("ASAP_REGISTRATION", 2),
            ("ASAP_REGISTRATION_RESPONSE", 2),
            ("ASAP_SERVER_ANNOUNCE", 80),
            ("ENRP_HANDLE_TABLE_REQUEST", 3),
            ("ENRP_HANDLE_TABLE_RESPONSE", 3),
            ("ENRP_HANDLE_UPDATE", 4),
            ("ENRP_INIT_TAKEOVER", 2),
            ("ENRP_INIT_TAKEOVER_ACK", 1),
            ("ENRP_LIST_REQUEST", 6),
            ("ENRP_LIST_RESPONSE", 6),
            ("ENRP_PRESENCE", 58),
        ],
    ),
];

// SCTP-4960-01, SCTP-4960-04: on the wire PPID 11 is ASAP and 12 is ENRP, on stream 0.
#[test]
fn every_message_of_real_captures_is_read_and_accepted() {
    for (name, expected) in EXPECTED {
        let output = decode(name, &["-o", "json"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let mut counts = BTreeMap::new();
        for message in objects(&output) {
            assert_eq!(message["outcome"], "accept", "{name}: {message}");
            let ppid = if message["protocol"] == "ASAP" { 11 } else { 12 };
            if message["transport"] != "udp" {
                assert_eq!(
                    (&message["ppid"], &message["stream"]),
                    (&ppid.into(), &0.into()),
                    "{name}: {message}"
                );
            }
            *counts.entry(message["message"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let expected: BTreeMap<String, u32> =
            expected.iter().map(|(kind, count)| ((*kind).into(), *count)).collect();
        assert_eq!(counts, expected, "{name}");
    }
}

#[test]
fn the_summary_goes_to_standard_error() {
    for (name, summary) in [
        (
            "rsplib-failover.pcap",
            "213 frames, 211 messages (ASAP 192, ENRP 19), 2 retransmitted chunks, 97 user messages of other protocols",
        ),
        (
            "rsplib-one-host.pcap",
            "236 frames, 102 messages (ASAP 92, ENRP 10), 88 user messages of other protocols, \
             199 wrong SCTP checksums",
        ),
        (
            "encapsulated.pcapng",
            "114 frames, 136 messages (ASAP 82, ENRP 54), 7 user messages of other protocols",
        ),
    ] {
        let output = decode(name, &[]);
        assert_eq!(text(&output.stderr), format!("{}: {summary}\n", capture(name).display()));
    }
}

#[test]
fn a_line_says_who_told_whom_what() {
    let output = decode("rsplib-takeover.pcap", &[]);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    for line in [
        "    18     2.732254  10.77.0.2:9901 > 10.77.0.1:9901  ENRP_LIST_REQUEST  0x00000002 > 0x00000001",
        "    28     2.804137  10.77.0.1:9901 > 10.77.0.2:9901  ENRP_HANDLE_TABLE_RESPONSE  \
         0x00000001 > 0x00000002, 0 pools, 0 elements",
        "    67     4.190953  10.77.0.11:33923 > 10.77.0.1:3863  ASAP_REGISTRATION  \
         \"PingPongPool\" 0x87cc0593, home 0x00000000, life 180000, round robin",
        "   274    27.566241  10.77.0.3:9901 > 10.77.0.2:9901  ENRP_INIT_TAKEOVER  \
         0x00000003 > 0x00000002, of 0x00000001",
    ] {
        assert!(lines.contains(&line), "{line:?} is not in {lines:#?}");
    }
}

#[test]
fn a_message_in_json_has_its_place_and_all_its_fields() {
    let messages = objects(&decode("rsplib-hsdump.pcap", &["-o", "json"]));
    let registration = messages.iter().find(|message| message["message"] == "ASAP_REGISTRATION").unwrap();
    let octets = "0100003c0009000c4563686f506f6f6c000a002c0000e0010000000000015f9000040010bece0001000100080a4d000b\
                  0008000c0000000200000005";
    let expected = json!({
        "frame": 19,
        "time": 1_795_309_664.881_424,
        "source": "10.77.0.11:35414",
        "destination": "10.77.0.1:3863",
        "transport": "sctp",
        "stream": 0,
        "ppid": 11,
        "protocol": "ASAP",
        "guessed": false,
        "message": "ASAP_REGISTRATION",
        "flags": 0,
        "octets": octets,
        "pool_handle": "4563686f506f6f6c",
        "pool_element": {
            "pe_id": 57_345,
            "home_server_id": 0,
            "registration_life": 90_000,
            "user_transport": { "kind": "sctp", "addresses": ["10.77.0.11"], "port": 48_846, "use": 1 },
            "policy": { "type": 2, "name": "weighted_round_robin", "weight": 5 },
        },
        "outcome": "accept",
        "reply": null,
        "reencoded": octets,
    });
    assert_eq!(registration, &expected);
}

#[test]
fn a_tree_and_one_protocol_on_request() {
    let output = decode("rsplib-hsdump.pcap", &["--tree", "--protocol", "enrp"]);
    let shown = text(&output.stdout);
    assert!(!shown.contains("ASAP"), "{shown}");
    assert_eq!(shown.matches("\n    0  type 0x").count(), 35, "{shown}");
    let messages = objects(&decode("rsplib-hsdump.pcap", &["--tree", "-o", "json"]));
    assert!(messages.iter().all(|message| message["tree"][0]["offset"] == 0));
}

#[test]
fn a_capture_may_come_through_a_pipe() {
    let file = fs::read(capture("rsplib-hsdump.pcap")).unwrap();
    let output = rserpool(&["decode", "-"], &file);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout).lines().count(), 78);
    assert_eq!(text(&output.stderr), "standard input: 160 frames, 78 messages (ASAP 43, ENRP 35)\n");
}

#[test]
fn a_capture_that_was_cut_off_shows_what_is_there_and_fails() {
    let mut file = fs::read(capture("rsplib-hsdump.pcap")).unwrap();
    file.truncate(file.len() - 5);
    let output = rserpool(&["decode", "-"], &file);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().count(), 78);
    assert_eq!(
        text(&output.stderr),
        "standard input: 159 frames, 78 messages (ASAP 43, ENRP 35)\n\
         rserpool: standard input: the file ends within the record after frame 159: it was cut off\n"
    );
}

#[test]
fn what_is_no_capture_is_a_usage_error() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let folder = env!("CARGO_MANIFEST_DIR");
    let pcap = capture("rsplib-hsdump.pcap").display().to_string();
    for (arguments, complaint) in [
        (
            &["decode", manifest][..],
            format!(
                "{manifest} is neither a pcap nor a pcapng file; \
                 hexadecimal text in a file is read with `decode - < {manifest}`"
            ),
        ),
        (&["decode", folder], format!("{folder} is a directory: name a capture in it")),
        (&["decode", &pcap, &pcap], format!("{pcap} is a file: give one capture and nothing else")),
    ] {
        let output = rserpool(arguments, b"");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stderr), format!("rserpool: {complaint}\n"));
    }
    assert_eq!(rserpool(&["decode", "-"], &[0xff; 100]).status.code(), Some(2));
}
