//! `rserpool doctor` on the host that runs the tests, whatever that is.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use registrar::config::AdminSocket;
use registrar::{Config, Registrar};
use serde_json::Value;
use std::net::UdpSocket;
use std::process::Output;
use tokio::process::Command;

async fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    for variable in ["ADMIN", "REGISTRAR", "ENCAP_PORT", "TRANSPORT", "CONFIG"] {
        command.env_remove(format!("RSERPOOL_{variable}"));
    }
    command.env("XDG_RUNTIME_DIR", "/nonexistent").env("TMPDIR", "/nonexistent");
    command.arg("doctor").args(arguments).output().await.unwrap()
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[tokio::test]
async fn it_finds_what_is_there_and_what_is_not() {
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    let registrar = Registrar::spawn(config).unwrap();
    let address = registrar.asap_address().to_string();
    // Somebody else has the UDP port for all SCTP ports.
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let encap = format!("{port}:{}", registrar.asap_address().port());
    let output = doctor(&["-o", "json", "--registrar", &address, "--encap-port", &encap]).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["transport"], &report["usable"]), (&Value::from("udp"), &Value::from(true)));
    assert_eq!(check(&report, "udp")["state"], "ok");
    assert_eq!(check(&report, "encap-port")["state"], "warning");
    assert_eq!(check(&report, "admin")["state"], "warning", "there is none");
    // The kernel's SCTP and raw IP exclude each other.
    let possible = |name| check(&report, name)["state"] == "ok";
    assert!(!(possible("kernel") && possible("raw")), "{report}");

    let output = doctor(&["-o", "json", "--registrar", &address]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(check(&report, "registrar")["why"], format!("one answers at {address}"));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_a_usage_error() {
    let output = doctor(&["--config", "/nonexistent/registrar.toml"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read the configuration /nonexistent"));
}
