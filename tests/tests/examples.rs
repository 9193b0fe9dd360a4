//! The examples, as processes: a client goes on counting while its server is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use registrar::config::AdminSocket;
use registrar::{Config, Registrar};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Builds a pair of examples. Of the whole workspace, so that what `cargo test --workspace` has built is used.
async fn build(server: &str, client: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--workspace", "--example", server, "--example", client]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().await.unwrap().success(), "the examples must build");
    // This test is target/<profile>/deps/it-*.
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples")
}

/// Waits for something that has to happen; the limit only ends a failed test.
async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("still waiting after 20 s: {what}"))
}

fn registrar() -> Registrar {
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    Registrar::spawn(config).unwrap()
}

/// An example as a process that dies with this test, and its output.
fn start(program: PathBuf, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child =
        Command::new(program).args(arguments).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn the_client_of_a_killed_server_goes_on_counting() {
    let examples = build("counter_server", "counter_client").await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();

    let mut servers = Vec::new();
    for _ in 0..2 {
        let (server, mut output) = start(examples.join("counter_server"), &[&address]);
        let line = within("a server", output.next_line()).await.unwrap().unwrap();
        let id = line.split_whitespace().nth(2).unwrap().to_owned();
        servers.push((id, server));
    }
    let (_client, mut output) = start(examples.join("counter_client"), &[&address]);
    let mut used = Vec::new();
    let mut failovers = 0;
    let mut seq = 0;
    while seq < 20 {
        let line = within("the client", output.next_line()).await.unwrap().expect("the client goes on");
        if line.starts_with("failover") {
            failovers += 1;
            continue;
        }
        seq += 1;
        let (server, rest) = line.split_once(": ").unwrap();
        assert_eq!(rest, format!("request {seq}, count {seq}"));
        if used.last().is_none_or(|last| last != server) {
            used.push(server.to_owned());
        }
        if seq == 5 {
            let (_, process) = servers.iter_mut().find(|(id, _)| id == server).unwrap();
            process.kill().await.unwrap(); // SIGKILL
        }
    }
    assert_eq!(failovers, 1);
    assert_eq!(used.len(), 2, "one server before, the other one after: {used:?}");
}

/// Reads until a line begins like this; returns the rest of it.
async fn line_with(output: &mut Lines<BufReader<ChildStdout>>, start: &str) -> String {
    loop {
        let line = within(start, output.next_line()).await.unwrap().expect("the process goes on");
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    }
}

// ASAP-3.8: the cookie carries the reply number; whichever server answers, the numbers have no gap.
#[tokio::test]
async fn ping_pong_goes_on_counting_at_another_server() {
    let examples = build("ping_pong_server", "ping_pong_client").await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();

    let mut servers = Vec::new();
    for id in ["11", "22"] {
        let (server, mut output) =
            start(examples.join("ping_pong_server"), &["--id", id, "--policy", "least-used", &address]);
        line_with(&mut output, &format!("serving as 0x000000{id} at ")).await;
        servers.push((format!("0x000000{id}"), server, output));
    }
    let (mut client, mut output) =
        start(examples.join("ping_pong_client"), &["--interval", "20", "--count", "20", &address]);
    let reply = line_with(&mut output, "ping 5: reply 5 from ").await;
    let used = servers.iter().position(|(id, ..)| *id == reply).unwrap();
    let (killed, mut process, _) = servers.remove(used);
    process.kill().await.unwrap(); // SIGKILL
    let (other, _server, mut served) = servers.remove(0);
    assert_eq!(line_with(&mut output, "FAILOVER ").await, format!("from {killed} to {other}"));
    assert_eq!(line_with(&mut output, "ping 20: reply ").await, format!("20 from {other}"));
    let begin = line_with(&mut served, "127.0.0.1:").await;
    let begin = begin.split_once(": begins with reply ").unwrap().1;
    assert!(begin.parse::<u64>().unwrap() > 5, "the cookie came along: {begin}");
    assert!(within("the client's end", client.wait()).await.unwrap().success(), "no gap");
}

// A server that has all the sessions it takes ends the next one at once; the client goes on elsewhere.
#[tokio::test]
async fn a_full_ping_pong_server_leaves_clients_to_another() {
    let examples = build("ping_pong_server", "ping_pong_client").await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();
    let server = |id, sessions| {
        start(examples.join("ping_pong_server"), &["--id", id, "--sessions", sessions, &address])
    };

    let (_full, mut full) = server("11", "0");
    line_with(&mut full, "serving").await;
    let (_free, mut free) = server("22", "1");
    line_with(&mut free, "serving").await;
    for _ in 0..2 {
        // Round robin: one of the two begins at the full server.
        let (mut client, mut output) =
            start(examples.join("ping_pong_client"), &["--interval", "20", "--count", "3", &address]);
        assert_eq!(line_with(&mut output, "ping 3: reply ").await, "3 from 0x00000022");
        assert!(within("the client's end", client.wait()).await.unwrap().success());
        line_with(&mut free, "127.0.0.1:").await;
    }
    assert!(line_with(&mut full, "127.0.0.1:").await.ends_with(": all sessions are in use"));
}
