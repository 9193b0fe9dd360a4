//! `rserpool decode` as a program: every vector through the real binary.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn rserpool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn decode(protocol: &str, hex: &str) -> Value {
    let output = rserpool(&["decode", "--protocol", protocol, "-o", "json", "-"], hex);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn vectors(section: &str) -> Vec<Value> {
    let mut all: Value = serde_json::from_str(include_str!("../../tests/data/vectors.json")).unwrap();
    serde_json::from_value(all[section].take()).unwrap()
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().unwrap_or_default()
}

/// All members of `decoded` are in the JSON, with these values.
fn assert_decoded(name: &str, json: &Value, decoded: &Value) {
    for (key, value) in decoded.as_object().unwrap() {
        assert_eq!(&json[key], value, "{name}: {key}");
    }
    let known = ["protocol", "guessed", "outcome", "reply", "reencoded", "tree"];
    for key in json.as_object().unwrap().keys() {
        assert!(decoded.get(key).is_some() || known.contains(&key.as_str()), "{name}: surplus {key}");
    }
}

// PARAM-2-01, PARAM-4-01: every field of every well-formed message is where the RFCs put it.
#[test]
fn well_formed_messages_show_all_their_fields() {
    for vector in vectors("well_formed") {
        let name = text(&vector, "name");
        let json = decode(&text(&vector, "protocol").to_lowercase(), text(&vector, "hex"));
        assert_decoded(name, &json, &vector["decoded"]);
        assert_eq!(json["outcome"], "accept", "{name}");
        assert_eq!(json["reply"], Value::Null, "{name}");
        assert_eq!(json["reencoded"], vector["hex"], "{name}");
    }
}

#[test]
fn malformed_messages_show_what_happens_to_them() {
    let well_formed = vectors("well_formed");
    // No octets at all are a user's mistake, not a message.
    for vector in vectors("malformed").into_iter().filter(|vector| !text(vector, "hex").is_empty()) {
        let name = text(&vector, "name");
        let json = decode(&text(&vector, "protocol").to_lowercase(), text(&vector, "hex"));
        let outcome = match text(&vector, "expect") {
            "reject" => "discard+report",
            "invalid" => "discard",
            "accept-as-reject" => "accept",
            other => other,
        };
        assert_eq!(json["outcome"], outcome, "{name}");
        assert_eq!(json["reply"], vector["reply"], "{name}");
        assert_eq!(json["error"].is_object(), outcome.starts_with("discard"), "{name}");
        if let Some(same) = well_formed.iter().find(|other| other["name"] == vector["same_as"]) {
            assert_decoded(name, &json, &same["decoded"]);
            assert_eq!(json["reencoded"], same["hex"], "{name}");
        }
    }
}

#[test]
fn the_tree_has_byte_offsets() {
    let hex = "05:01:00:0b 0x00090007 667470 00";
    let output = rserpool(&["decode", hex], "");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        shown,
        "ASAP (guessed): ASAP_HANDLE_RESOLUTION, 12 octets\n    \
         0  type 0x05, flags 0x01, length 11\n    \
         4  Pool Handle, length 7: \"ftp\"\n   \
         11  padding 00\n\
         outcome: accept\n"
    );
}

#[test]
fn the_protocol_is_guessed() {
    let guess = |hex| {
        let output = rserpool(&["decode", "-o", "json", hex], "");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (json["protocol"].clone(), json["message"].clone())
    };
    assert_eq!(guess("0500000cb1b2b3b4a1a2a3a4"), ("ENRP".into(), "ENRP_LIST_REQUEST".into()));
    assert_eq!(guess("0a000008a1a2a3a4"), ("ASAP".into(), "ASAP_SERVER_ANNOUNCE".into()));
}

#[test]
fn json_has_the_byte_offsets_too() {
    let output = rserpool(&["decode", "-o", "json", "0501000b 00090007 667470 00"], "");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = |offset, text| json!({ "offset": offset, "depth": 0, "text": text });
    assert_eq!(
        json["tree"],
        json!([
            line(0, "type 0x05, flags 0x01, length 11"),
            line(4, "Pool Handle, length 7: \"ftp\""),
            line(11, "padding 00"),
        ])
    );
}

#[test]
fn the_first_line_says_what_is_wrong_with_a_message() {
    for (hex, first_line) in [
        (
            "05:00:00:0c 00090007",
            "ASAP (guessed): ASAP_HANDLE_RESOLUTION whose Message Length is 12, 8 octets",
        ),
        ("050000", "ASAP (guessed): shorter than a header of 4 octets, 3 octets"),
        ("3f000004", "ASAP (guessed): unknown message 0x3f, 4 octets"),
    ] {
        let output = rserpool(&["decode", hex], "");
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().next(), Some(first_line));
    }
}

#[test]
fn bad_hexadecimal_is_a_usage_error() {
    let nothing = "rserpool: there is nothing to decode: \
                   give the octets of a message in hexadecimal, or a capture\n";
    for (hex, complaint) in [
        ("05g1", "rserpool: 'g' (digit 3) is not a hexadecimal digit, and there is no file of that name\n"),
        ("050", "rserpool: 3 hexadecimal digits are not whole octets\n"),
        ("", nothing),
        (" : ", nothing),
        ("no/such.pcap", "rserpool: there is no file \"no/such.pcap\"\n"),
    ] {
        let output = rserpool(&["decode", hex], "");
        assert_eq!(output.status.code(), Some(2), "{hex}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), complaint);
        assert!(output.stdout.is_empty());
    }
    assert_eq!(rserpool(&["decode"], "").status.code(), Some(2));
    assert_eq!(rserpool(&["decode", "-"], "").status.code(), Some(2));
}
