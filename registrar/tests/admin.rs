//! The admin API of a registrar that runs in this process, asked as its tools do.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use net::udp::EncapPorts;
use params::{PoolHandle, TcpTransport, Transport};
use pool_element::{Policy, PoolElement};
use rserpool_registrar::config::AdminSocket;
use rserpool_registrar::{Config, Registrar, StartError};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A path for a socket that no other test has.
fn socket_path() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("rserpool-admin-test-{}-{number}.sock", std::process::id()))
}

fn config(socket: &Path) -> Config {
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Path(socket.into());
    config
}

/// One request over the Unix socket: status and JSON.
async fn ask(registrar: &Registrar, request: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(registrar.admin_socket().unwrap()).await.unwrap();
    exchange(&mut stream, request, "localhost").await
}

async fn get(registrar: &Registrar, path: &str) -> Value {
    let (status, body) = ask(registrar, &format!("GET {path}")).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn exchange(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    request: &str,
    host: &str,
) -> (u16, Value) {
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
}

async fn register(registrar: &Registrar, pool: impl AsRef<[u8]>, id: u32) -> PoolElement {
    let service = TcpTransport { port: 80, address: "127.0.0.1".parse().unwrap() };
    PoolElement::builder(PoolHandle::new(pool))
        .id(params::PeIdentifier(id))
        .policy(Policy::WeightedRoundRobin { weight: 3 })
        .service(Transport::Tcp(service))
        .registrars([registrar.asap_address()])
        .register()
        .await
        .unwrap()
}

#[tokio::test]
async fn it_shows_the_registrar_its_pools_and_elements() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    let element = register(&registrar, "web", 0x2a).await;

    let status = get(&registrar, "/v1/status").await;
    assert_eq!(status["id"], registrar.id().to_string());
    assert_eq!(status["asap_address"], registrar.asap_address().to_string());
    assert_eq!(
        (&status["pools"], &status["elements"], &status["owned_elements"]),
        (&json!(1), &json!(1), &json!(1))
    );

    assert_eq!((&status["counters"]["registrations"], &status["silent_elements"]), (&json!(1), &json!(0)));

    let pool = json!({
        "handle": "web", "handle_hex": "776562", "policy": "weighted_round_robin",
        "elements": 1, "silent": 0, "silent_elsewhere": 0, "subscribers": 0,
    });
    assert_eq!(get(&registrar, "/v1/pools").await, json!({ "pools": [pool] }));

    let shown = get(&registrar, "/v1/pools/web/elements/2a").await;
    assert_eq!(shown["id"], "0x0000002a");
    assert_eq!(shown["home"], registrar.id().to_string());
    assert_eq!(shown["policy"], json!({"name": "weighted_round_robin", "weight": 3.0}));
    assert_eq!(shown["life_seconds"], 30.0);
    assert_eq!(
        shown["user_transport"],
        json!({"protocol": "TCP", "addresses": ["127.0.0.1:80"], "control_channel": false})
    );
    assert_eq!(shown["asap_transport"]["addresses"], json!([element.local_address().to_string()]));

    let registrars = get(&registrar, "/v1/registrars").await;
    assert_eq!(registrars["registrars"][0]["this"], true);
    assert_eq!(registrars["registrars"][0]["owned_elements"], 1);
    registrar.stop().await;
}

// Design D11, D12: whoever is refused below ASAP and ENRP is counted, too, and an operator sees it.
#[tokio::test]
async fn the_counters_of_sctp_are_among_those_of_the_registrar() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let asap = registrar.asap_address();
    stranger.send_to(b"no SCTP", asap).unwrap();
    // What arrives at a socket is read in order: the registration comes behind it.
    let _element = register(&registrar, "web", 1).await;
    let status = get(&registrar, "/v1/status").await;
    let counted = |name: &str| status["counters"][name].as_u64().unwrap_or_else(|| panic!("no {name}"));
    for (name, at_asap, at_enrp) in [
        ("inits_answered", 1, 0),
        ("accepted", 1, 0),
        ("dropped_malformed", 1, 0),
        ("dropped_init_rate", 0, 0),
        ("dropped_out_of_the_blue_rate", 0, 0),
        ("dropped_window_closed", 0, 0),
        ("refused_full", 0, 0),
        ("refused_connects", 0, 0),
    ] {
        let counts = (counted(&format!("sctp_asap_{name}")), counted(&format!("sctp_enrp_{name}")));
        assert_eq!(counts, (at_asap, at_enrp), "{name}");
    }
    assert_eq!(counted("registrations"), 1);
    registrar.stop().await;
}

// Behind one UDP port ASAP and ENRP share a socket, whose counters are those of both.
#[tokio::test]
async fn endpoints_that_share_a_socket_have_the_same_counters() {
    let mut config = config(&socket_path());
    config.listen.asap = "127.0.0.1:3863".parse().unwrap();
    config.listen.enrp = "127.0.0.1:9901".parse().unwrap();
    let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.sctp.encap_port = Some(EncapPorts::same(free));
    let registrar = Registrar::spawn(config).unwrap();
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"no SCTP", ("127.0.0.1", free)).unwrap();
    loop {
        let status = get(&registrar, "/v1/status").await;
        let counted = |name: &str| status["counters"][name].as_u64().unwrap_or_else(|| panic!("no {name}"));
        let both = (counted("sctp_asap_dropped_malformed"), counted("sctp_enrp_dropped_malformed"));
        assert_eq!(both.0, both.1);
        if both.0 == 1 {
            break;
        }
    }
    registrar.stop().await;
}

#[tokio::test]
async fn handles_are_bytes() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    let _element = register(&registrar, b"a/\x00\xff", 1).await;
    let shown = get(&registrar, "/v1/pools/a%2F%00%FF").await;
    assert_eq!(shown["handle"], r"a/\x00\xff");
    assert_eq!(shown["handle_hex"], "612f00ff");
    assert_eq!(get(&registrar, "/v1/pools/612f00ff?hex").await["handle"], shown["handle"]);
    registrar.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    let mut elements = Vec::new();
    for pool in ["a", "b", "c"] {
        elements.push(register(&registrar, pool, 1).await);
    }
    for id in [2, 3] {
        elements.push(register(&registrar, "b", id).await);
    }

    let handles = |page: &Value| {
        let pools = page["pools"].as_array().unwrap().iter();
        pools.map(|pool| pool["handle"].as_str().unwrap().to_owned()).collect::<String>()
    };
    let first = get(&registrar, "/v1/pools?limit=2").await;
    assert_eq!((handles(&first).as_str(), &first["next"]), ("ab", &json!("62")));
    let second = get(&registrar, "/v1/pools?limit=2&after=62").await;
    assert_eq!((handles(&second).as_str(), &second["next"]), ("c", &Value::Null));
    let exact = get(&registrar, "/v1/pools?limit=3").await;
    assert_eq!((handles(&exact).as_str(), &exact["next"]), ("abc", &Value::Null));

    let first = get(&registrar, "/v1/pools/b?limit=2").await;
    assert_eq!(first["elements"], 3, "of the whole pool");
    assert_eq!((first["members"].as_array().unwrap().len(), &first["next"]), (2, &json!("0x00000002")));
    let second = get(&registrar, "/v1/pools/b?limit=2&after=0x00000002").await;
    assert_eq!((&second["members"][0]["id"], &second["next"]), (&json!("0x00000003"), &Value::Null));
    registrar.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_in_json() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    for (request, status, says) in [
        ("GET /v1/pools/none", 404, "there is no pool \"none\""),
        ("GET /v1/pools/none/elements/1", 404, "there is no pool \"none\""),
        ("GET /v1/pools/zz?hex", 400, "\"zz\" is no pool handle in hex"),
        ("GET /v1/pools?after=zz", 400, "\"zz\" is no pool handle in hex"),
        ("GET /v1/pools?limit=0", 400, "limit=0 must be between 1 and 2000"),
        ("GET /v1/pools?limit=2001", 400, "limit=2001 must be between 1 and 2000"),
        ("GET /v1/pools/none/elements/x", 400, "\"x\" is no identifier"),
        ("GET /v2", 404, "there is no /v2 here"),
        ("DELETE /v1/pools/none", 405, "the admin API reads only"),
    ] {
        let (found, body) = ask(&registrar, request).await;
        assert_eq!(found, status, "{request}");
        assert!(body["error"].as_str().unwrap().contains(says), "{request}: {body}");
    }
    registrar.stop().await;
}

#[tokio::test]
async fn a_web_page_cannot_use_a_browser_of_this_host() {
    let mut config = config(&socket_path());
    config.admin.tcp = Some("127.0.0.1:0".parse().unwrap());
    let registrar = Registrar::spawn(config).unwrap();
    let address = registrar.admin_tcp().unwrap();
    for (host, status) in [(address.to_string(), 200), ("attacker.example".into(), 403)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(exchange(&mut stream, "GET /v1/status", &host).await.0, status, "{host}");
    }
    registrar.stop().await;
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_registrar() {
    let path = socket_path();
    let registrar = Registrar::spawn(config(&path)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    registrar.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_is_taken_over_from_a_dead_process_only() {
    let path = socket_path();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let registrar = Registrar::spawn(config(&path)).expect("nobody answers at the socket that is there");

    let error = Registrar::spawn(config(&path)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Admin(_)));
    assert_eq!(error.to_string(), format!("another process serves the admin socket {}", path.display()));
    get(&registrar, "/v1/status").await;
    registrar.stop().await;

    std::fs::write(&path, "precious").unwrap();
    let error = Registrar::spawn(config(&path)).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} exists and is no socket", path.display()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn connections_that_ask_nothing_do_not_keep_others_out_for_ever() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(UnixStream::connect(registrar.admin_socket().unwrap()).await.unwrap());
    }
    // The registrar itself does not notice.
    assert_eq!(registrar.status().await.unwrap().pools, 0);
    // Their owner goes away, or their time is over: then it is the next one's turn.
    drop(idle);
    get(&registrar, "/v1/status").await;
    registrar.stop().await;
}

#[tokio::test]
async fn events_tell_what_happens_and_end_with_the_registrar() {
    let registrar = Registrar::spawn(config(&socket_path())).unwrap();
    let mut events = registrar.events();
    let _element = register(&registrar, "web", 1).await;
    let created = rserpool_registrar::Event::PoolCreated { handle: "web".into() };
    while events.next().await.expect("the pool is created before the registrar ends") != created {}
    registrar.stop().await;
    while events.next().await.is_some() {}
    assert_eq!(events.missed(), 0);
}

#[test]
fn a_registrar_needs_a_runtime() {
    let error = Registrar::spawn(config(&socket_path())).map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::NoRuntime));
}
