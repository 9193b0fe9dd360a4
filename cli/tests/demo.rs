//! The demo is the first end-to-end test: real processes, real sockets, kill -9.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

fn demo(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_rserpool"))
        .args(["demo", "--json"])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("the demo does not start: {error}"))
}

fn lines(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let Some(output) = child.stdout.take() else { panic!("standard output is not piped") };
    BufReader::new(output).lines().map(|line| {
        let line = line.unwrap_or_else(|error| panic!("not text: {error}"));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON: {error}: {line}"))
    })
}

/// A server killed, a registrar killed, a server frozen: every operation is done exactly once, every failover
/// succeeds, and the registrar's servers have a new home.
#[test]
fn nothing_is_lost_and_nothing_is_done_twice() {
    let mut child = demo(&["--seconds", "8", "--seed", "1"]);
    let story: Vec<Value> = lines(&mut child).collect();
    let told = || story.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");

    let summary = story.last().expect("a summary");
    assert_eq!(summary["event"], "summary", "{}", told());
    assert_eq!((&summary["lost"], &summary["duplicated"]), (&0.into(), &0.into()), "{}", told());
    assert_eq!(summary["failed"], 0, "{}", told());
    assert!(summary["operations"].as_u64() > Some(100), "{}", told());
    assert!(summary["failovers"].as_u64() >= Some(2), "{}", told());
    assert!(summary["new_home_ms"]["count"].as_u64() >= Some(1), "{}", told());
    for fault in ["server_killed", "server_killed_without_icmp", "server_frozen", "registrar_killed"] {
        let gaps = &summary["gap_ms"][fault];
        assert!(gaps["median"].is_number() && gaps["max"].is_number(), "{fault}: {}", told());
    }
    assert!(child.wait().expect("the demo ends").success(), "{}", told());
}

/// Whatever becomes of the demo itself, its processes end: their ports are free again.
#[test]
fn nothing_is_left_behind_when_the_demo_is_killed() {
    let mut child = demo(&["--seconds", "60"]);
    let listening: Vec<SocketAddr> = lines(&mut child)
        .filter(|event| event["event"] == "registrar")
        .map(|event| event["asap"].as_str().expect("an address").parse().expect("an address"))
        .take(3)
        .collect();
    for address in &listening {
        assert!(UdpSocket::bind(address).is_err(), "{address} is in use while the demo runs");
    }
    child.kill().expect("kill -9");
    child.wait().expect("the demo is dead");
    for address in listening {
        // Ends with the test runner's patience if a registrar stays.
        while UdpSocket::bind(address).is_err() {
            std::thread::yield_now();
        }
    }
}

/// A wrong number of processes is a usage error that says what is allowed.
#[test]
fn too_few_registrars_is_a_usage_error() {
    let output = demo(&["--registrars", "1"]).wait_with_output().expect("the demo ends");
    assert_eq!(output.status.code(), Some(2));
}
