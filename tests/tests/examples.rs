//! The examples, as processes: a client goes on counting while its server is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use registrar::config::AdminSocket;
use registrar::{Config, Registrar};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Builds both examples. Of the whole workspace, so that what `cargo test --workspace` has built is used.
async fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--workspace"]);
    cargo.args(["--example", "counter_server", "--example", "counter_client"]);
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
fn start(program: PathBuf, registrar: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child =
        Command::new(program).arg(registrar).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn the_client_of_a_killed_server_goes_on_counting() {
    let examples = build().await;
    let registrar = registrar();
    let address = registrar.asap_address().to_string();

    let mut servers = Vec::new();
    for _ in 0..2 {
        let (server, mut output) = start(examples.join("counter_server"), &address);
        let line = within("a server", output.next_line()).await.unwrap().unwrap();
        let id = line.split_whitespace().nth(2).unwrap().to_owned();
        servers.push((id, server));
    }
    let (_client, mut output) = start(examples.join("counter_client"), &address);
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
