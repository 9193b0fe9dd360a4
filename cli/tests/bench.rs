//! `rserpool bench` as a process against a registrar on real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use registrar::config::AdminSocket;
use registrar::{Config, Event, Registrar};
use serde_json::Value;
use std::net::UdpSocket;
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

async fn bench(registrar: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    command.args(["-o", "json", "--registrar", registrar, "bench"]).args(arguments);
    command.env_remove("RSERPOOL_REGISTRAR").output().await.unwrap()
}

fn registrar(pools: Option<usize>) -> Registrar {
    let mut config = Config::default();
    config.limits.pools = pools;
    config.listen.asap.address.set_port(0);
    config.listen.enrp.address.set_port(0);
    config.admin.socket = AdminSocket::Off;
    Registrar::spawn(config).unwrap()
}

// Every phase asks what it is to ask, gets as many answers, and leaves the registrar as empty as it was.
#[tokio::test]
async fn every_request_is_answered_and_nothing_stays_behind() {
    let registrar = registrar(None);
    let own = std::process::id().to_string();
    let load = ["--elements", "50", "--pools", "7", "--resolutions", "200", "--items", "3", "--pid", &own];
    let output = bench(&registrar.asap_address().to_string(), &load).await;
    assert!(output.status.success(), "{output:?}");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phases = report["phases"].as_array().unwrap();
    let seen: Vec<_> =
        phases.iter().map(|phase| (phase["phase"].as_str().unwrap(), &phase["count"])).collect();
    let asked = [
        ("register", 50),
        ("re-register", 50),
        ("resolve", 200),
        ("resolve, one at a time", 20),
        ("deregister", 50),
    ];
    assert_eq!(seen.len(), asked.len());
    for ((phase, count), (name, number)) in seen.into_iter().zip(asked) {
        assert_eq!((phase, count.as_u64()), (name, Some(number)));
    }
    for phase in phases {
        assert_eq!(phase["refused"], 0, "{phase}");
        assert!(phase["per_second"].as_f64().unwrap() > 0.0, "{phase}");
    }
    // The system notes it now and then only, for a short phase perhaps not at all.
    let cpu = phases.iter().map(|phase| phase["cpu_ms_per_1000"].as_f64().unwrap());
    assert!(cpu.sum::<f64>() > 0.0, "{phases:?}");
    assert!(report["memory"]["full"].as_u64().unwrap() > 0);
    assert_eq!(registrar.status().await.unwrap().elements, 0);
    registrar.stop().await;
}

// Keep-alives are those of the registrar, in its own time: they are answered, and counted.
#[tokio::test]
async fn keep_alives_are_a_phase() {
    let registrar = registrar(None);
    let load = ["--elements", "5", "--resolutions", "10", "--keep-alives", "20"];
    let output = bench(&registrar.asap_address().to_string(), &load).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let phase = &report["phases"][4];
    assert_eq!((phase["phase"].as_str(), phase["count"].as_u64()), (Some("keep-alive"), Some(20)));
    registrar.stop().await;
}

// With --hold the elements are there as long as the program is.
#[tokio::test]
async fn elements_are_held_until_it_is_stopped() {
    let registrar = registrar(None);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    command.args(["-o", "json", "--registrar", &registrar.asap_address().to_string(), "bench"]);
    command.args(["--elements", "30", "--hold"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut bench = command.spawn().unwrap();
    let mut report = String::new();
    BufReader::new(bench.stdout.take().unwrap()).read_line(&mut report).await.unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["phases"].as_array().unwrap().len(), 1);
    assert_eq!(registrar.status().await.unwrap().elements, 30);
    let mut events = registrar.events();
    bench.kill().await.unwrap();
    let mut left = 30;
    while left > 0 {
        left -= usize::from(matches!(events.next().await, Some(Event::ElementRemoved { .. })));
    }
    assert_eq!(registrar.status().await.unwrap().elements, 0);
    registrar.stop().await;
}

#[tokio::test]
async fn a_registrar_that_is_not_there_is_exit_code_3() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = bench(&free, &[]).await;
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains(&format!("no registrar answers at {free}")), "{text}");
}

#[tokio::test]
async fn refusals_are_counted() {
    let registrar = registrar(Some(1));
    let address = registrar.asap_address().to_string();
    let output = bench(&address, &["--elements", "2", "--pools", "2", "--resolutions", "10"]).await;
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let refused: Vec<_> =
        report["phases"].as_array().unwrap().iter().map(|phase| phase["refused"].as_u64().unwrap()).collect();
    assert_eq!(refused[..3], [1, 1, 5], "the second of two pools does not exist: {report}");
    registrar.stop().await;
}

#[tokio::test]
async fn a_process_that_does_not_exist_is_an_error_before_anything_is_registered() {
    let registrar = registrar(None);
    let output = bench(&registrar.asap_address().to_string(), &["--pid", "4294967295"]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot measure process 4294967295"), "{text}");
    assert_eq!(registrar.status().await.unwrap().elements, 0);
    registrar.stop().await;
}
