//! The examples, as processes, of which some are killed: what the clients get must be as if nothing had happened.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod counter;
mod http;
mod key_value;
mod ping_pong;
mod readme;
mod rsplib_services;
mod work_farm;

use registrar::config::AdminSocket;
use registrar::{Config, Registrar};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Builds examples; returns where they are.
async fn build(examples: &[&str]) -> PathBuf {
    let examples: Vec<_> = examples.iter().flat_map(|example| ["--example", example]).collect();
    build_with(&examples).await.join("examples")
}

/// Builds, and returns the directory of the profile. Of the whole workspace, so that what `cargo test --workspace` has
/// built is used.
async fn build_with(arguments: &[&str]) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--workspace"]).args(arguments);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().await.unwrap().success(), "it must build");
    // This test is target/<profile>/deps/examples-*.
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().to_owned()
}

/// Waits for something that has to happen; the limit only ends a failed test.
async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .unwrap_or_else(|_| panic!("still waiting after 60 s: {what}"))
}

fn registrar() -> Registrar {
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    Registrar::spawn(config).unwrap()
}

/// What a process says.
type Output = Lines<BufReader<ChildStdout>>;

/// An example as a process that dies with this test, and its output.
fn start(program: impl AsRef<Path>, arguments: &[&str]) -> (Child, Output) {
    let (child, _, output) = start_with_input(program, arguments);
    (child, output)
}

/// As [`start`], with an input.
fn start_with_input(program: impl AsRef<Path>, arguments: &[&str]) -> (Child, ChildStdin, Output) {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, input, output)
}

/// Reads until a line begins like this; returns the rest of it.
async fn line_with(output: &mut Output, start: &str) -> String {
    loop {
        let line = within(start, output.next_line()).await.unwrap().expect("the process goes on");
        if let Some(rest) = line.strip_prefix(start) {
            return rest.to_owned();
        }
    }
}
