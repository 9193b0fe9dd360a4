//! The daemon as a process: what it announces, how it ends, and what it says when it cannot start.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The daemon on free ports, without what the environment of the test may say.
fn daemon(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool-registrar"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RSERPOOL_")) {
        command.env_remove(name);
    }
    command.args(["--enrp=127.0.0.1:0", "--admin-socket=off"]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A daemon that has announced itself.
struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let args = [&["--asap=127.0.0.1:0", "--announce-ready", "--exit-with-stdin"], args].concat();
        let mut child = daemon(&args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no announcement but {line:?}"));
        Self { child, ready }
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for its end; exit code and log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

/// What a daemon that does not start says: exit code and standard error.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = daemon(args).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn file(content: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("registrar-{}-{number}.toml", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn it_announces_the_ports_it_was_given_and_ends_with_its_standard_input() {
    let mut daemon = Running::start(&["--id=2a", "--admin-tcp=127.0.0.1:0"]);
    assert_eq!(daemon.ready["event"], "ready");
    assert_eq!(daemon.ready["id"], "0x0000002a");
    assert_eq!(daemon.ready["admin_socket"], Value::Null);
    for address in ["asap", "enrp", "admin_tcp"] {
        let address: std::net::SocketAddr = daemon.ready[address].as_str().unwrap().parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    }
    drop(daemon.child.stdin.take());
    let (code, log) = daemon.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("registrar 0.1.0 started id=0x0000002a asap=127.0.0.1:"), "{log}");
    assert!(log.contains("standard input closed: stopping"), "{log}");
}

#[test]
fn sigterm_and_sigint_stop_it_in_order() {
    use nix::sys::signal::Signal::{SIGINT, SIGTERM};
    for signal in [SIGTERM, SIGINT] {
        let daemon = Running::start(&[]);
        daemon.signal(signal);
        let (code, log) = daemon.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains(&format!("{signal}: stopping")) && log.contains("stopped"), "{log}");
    }
}

#[test]
fn a_taken_port_is_named_with_the_option_that_helps() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, error) = refused(&[&format!("--asap={address}")]);
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        format!(
            "rserpool-registrar: cannot listen on {address} (ASAP): address in use; \
             is another registrar running? choose another with --asap\n"
        )
    );
}

#[test]
fn what_the_system_says_is_said_once() {
    // An address for documentation, which no host has.
    let (code, error) = refused(&["--asap=192.0.2.1:3863"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        error.lines().last(),
        Some(
            "rserpool-registrar: cannot listen on 192.0.2.1:3863: Cannot assign requested address (os error 99)"
        )
    );
}

#[test]
fn the_variable_for_peers_has_blanks_between_them() {
    let help = daemon(&["--help"]).output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("in the variable with blanks between"), "{help}");
    let mut peers = daemon(&["--asap=192.0.2.1:3863"]);
    // Refused for the address of ASAP, so the peers were understood.
    let output =
        peers.env("RSERPOOL_PEERS", "127.0.0.1:9902,127.0.0.1:9903 127.0.0.1:9904").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_wrong_file_is_named_with_line_and_key() {
    let path = file("id = \"2a\"\n\n[timers]\nkeepalive-interval = \"1s\"\n");
    let (code, error) = refused(&["--config", path.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(
        error.starts_with(&format!("rserpool-registrar: {}: TOML parse error at line 4", path.display())),
        "{error}"
    );
    assert!(error.contains("unknown field `keepalive-interval`"), "{error}");

    let (code, error) = refused(&["--config", "/nonexistent/registrar.toml"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("cannot read the configuration /nonexistent/registrar.toml"), "{error}");
}

#[test]
fn wrong_values_are_usage_errors() {
    for (args, says) in [
        (["--asap=sctp:127.0.0.1:0"].as_slice(), "choose \"udp\""),
        (&["--admin-tcp=192.0.2.1:80"], "loopback only"),
        (&["--log=a=b=c"], "is no filter"),
        (&["--profile=fast"], "choose one of lan, rfc, wan, rsplib"),
        (&["--no-such-option"], "unexpected argument"),
        (&["--set=timers.keep-alive-timeout=0s"], "timers.keep-alive-timeout"),
    ] {
        let (code, error) = refused(args);
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_kernel_without_sctp_is_a_clear_error() {
    let mut command = daemon(&["--asap=kernel:127.0.0.1:0", "--exit-with-stdin"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() || error.contains("load it with \"modprobe sctp\""), "{error}");
}

/// A misspelt level must not silence the log.
#[test]
fn a_misspelt_log_level_is_a_usage_error() {
    let (code, error) = refused(&["--asap=127.0.0.1:0", "--log=infoo"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("log: \"infoo\" is no filter: write \"info\""), "{error}");
}

#[test]
fn file_environment_and_flags_override_each_other_in_this_order() {
    let path = file("id = \"1\"\nprofile = \"rfc\"\n[listen]\nasap = \"192.0.2.1:1\"\n");
    let started = |environment: Option<&str>, flags: &[&str]| {
        let mut command =
            daemon(&["--config", path.to_str().unwrap(), "--asap=127.0.0.1:0", "--announce-ready"]);
        command.args(["--exit-with-stdin"]).args(flags).envs(environment.map(|id| ("RSERPOOL_ID", id)));
        let output = command.stdin(Stdio::null()).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"].clone()
    };
    assert_eq!(started(None, &[]), "0x00000001");
    assert_eq!(started(Some("2"), &[]), "0x00000002");
    assert_eq!(started(Some("2"), &["--id=3"]), "0x00000003");
}

#[test]
fn listening_to_a_network_is_warned_about() {
    let log_of = |asap: &str| {
        let output = daemon(&[asap, "--exit-with-stdin"]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let log = log_of("--asap=0.0.0.0:0");
    assert!(
        log.contains("WARN") && log.contains("ASAP listens on udp:0.0.0.0:0 without authentication"),
        "{log}"
    );
    let log = log_of("--asap=127.0.0.1:0");
    assert!(!log.contains("WARN"), "{log}");
}

// A registrar that is stopped hands its elements to a peer at once, and no peer misses one of them for a moment.
#[tokio::test]
async fn sigterm_hands_its_elements_over() {
    use rserpool_registrar::{Config, Event, Registrar, config::AdminSocket};
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    let survivor = Registrar::spawn(config).unwrap();
    let mut events = survivor.events();
    let peer = format!("--peer={}", survivor.enrp_address());
    let leaver = Running::start(&[&peer]);
    let asap: std::net::SocketAddr = leaver.ready["asap"].as_str().unwrap().parse().unwrap();
    let mut elements = Vec::new();
    for _ in 0..8 {
        let builder = pool_element::PoolElement::builder("pool").registrars([asap]);
        elements.push(builder.register().await.unwrap());
    }
    let mut told = async move |done: &mut dyn FnMut(&Event) -> bool| {
        let mut all = Vec::new();
        loop {
            let event = tokio::time::timeout(std::time::Duration::from_secs(30), events.next());
            let event = event.await.unwrap_or_else(|_| panic!("nothing more happens: {all:?}")).unwrap();
            let last = done(&event);
            all.push(event);
            if last {
                return all;
            }
        }
    };
    let mut known = std::collections::BTreeSet::new();
    told(&mut |event| {
        if let Event::ElementRegistered { id, .. } = event {
            known.insert(*id);
        }
        known.len() == 8
    })
    .await;

    leaver.signal(nix::sys::signal::Signal::SIGTERM);
    let mut moved = std::collections::BTreeSet::new();
    let story = told(&mut |event| {
        if let Event::ElementReregistered { id, home, .. } = event
            && *home == survivor.id()
        {
            moved.insert(*id);
        }
        moved.len() == 8
    })
    .await;
    let (code, log) = tokio::task::spawn_blocking(|| leaver.end()).await.unwrap();
    assert!(code == Some(0) && log.contains("stopped"), "{log}");
    assert!(!story.iter().any(|event| matches!(event, Event::ElementRemoved { .. })), "{story:?}");
    let left =
        |event: &&Event| matches!(event, Event::PeerDown { why: proto::registrar::PeerDownReason::Left, .. });
    assert_eq!(story.iter().filter(left).count(), 1, "{story:?}");
    assert_eq!(survivor.status().await.unwrap().owned_elements, 8);
    survivor.stop().await;
}

// OVW-3-01
#[test]
fn daemons_that_announce_themselves_find_each_other() {
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let groups = format!("--set=multicast.enrp=[\"239.255.79.1:{port}\"]");
    let start = |id: &str| Running::start(&["--multicast", "--set=multicast.asap=[]", &groups, id]);
    let mut first = start("--id=1");
    let mut second = start("--id=2");
    let mut log = BufReader::new(second.child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("registrar up peer=0x00000001")));
    for daemon in [&mut first, &mut second] {
        drop(daemon.child.stdin.take());
    }
    assert_eq!(first.end().0, Some(0));
    assert!(second.child.wait().unwrap().success());
}

/// A name server whose `_enrp._sctp.example.net` is the registrar at this address of IPv4. It ends with the tests.
fn name_server(registrar: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            let question = query.queries[0].clone();
            let data = match (question.name().to_string().as_str(), question.query_type(), registrar) {
                ("_enrp._sctp.example.net.", RecordType::SRV, _) => {
                    let host = Name::from_ascii("registrar.example.net.").unwrap();
                    Some(RData::SRV(SRV::new(0, 0, registrar.port(), host)))
                }
                ("registrar.example.net.", RecordType::A, SocketAddr::V4(v4)) => Some(RData::A(A(*v4.ip()))),
                _ => None,
            };
            answer.answers.extend(data.map(|data| Record::from_rdata(question.name().clone(), 30, data)));
            answer.queries.push(question);
            socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
        }
    });
    server
}

// ENRP-3.2.2.1-04
#[test]
fn a_daemon_joins_the_scope_that_dns_names() {
    let mut first = Running::start(&["--id=1"]);
    let server = name_server(first.ready["enrp"].as_str().unwrap().parse().unwrap());
    let mut second = Running::start(&[
        "--id=2",
        "--set=dns.domains=[\"example.net\"]",
        &format!("--set=dns.server=\"{server}\""),
        "--set=timers.mentor-discovery-timeout=30s",
    ]);
    let mut log = BufReader::new(second.child.stderr.take().unwrap()).lines();
    let outcome = |line: &String| line.contains("joined the scope") || line.contains("serving; no other");
    let outcome = log.find_map(|line| line.ok().filter(outcome)).unwrap();
    assert!(outcome.contains("joined the scope mentor=0x00000001"), "{outcome}");
    for daemon in [&mut first, &mut second] {
        drop(daemon.child.stdin.take());
    }
    assert_eq!(first.end().0, Some(0));
    assert!(second.child.wait().unwrap().success());
}
