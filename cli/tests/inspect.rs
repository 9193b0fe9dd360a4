//! The tool `rserpool` as a process, beside a registrar with pool elements on real sockets of this host.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use params::{PeIdentifier, PoolHandle, TcpTransport, Transport};
use pool_element::PoolElement;
use registrar::config::AdminSocket;
use registrar::{Config, Event, Registrar};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::process::Command;

/// What a run of the tool left.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// Runs the tool in an environment where it finds only what the test gives it.
async fn rserpool_in(runtime_directory: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserpool"));
    command.env_remove("RSERPOOL_ADMIN").env_remove("RSERPOOL_REGISTRAR");
    command.env("XDG_RUNTIME_DIR", runtime_directory).env("TMPDIR", "/nonexistent");
    let output = command.args(args).output().await.unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn rserpool(args: &[&str]) -> Run {
    rserpool_in(Path::new("/nonexistent"), args).await
}

/// A registrar with its admin socket in a directory of its own, as tools look for it.
struct Scope {
    directory: PathBuf,
    registrar: Registrar,
    socket: String,
}

impl Scope {
    fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("rserpool-cli-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(directory.join("rserpool")).unwrap();
        let registrar = Self::registrar(&directory, 1);
        let socket = registrar.admin_socket().unwrap().display().to_string();
        Self { directory, registrar, socket }
    }

    fn registrar(directory: &Path, number: u16) -> Registrar {
        let mut config = Config::default();
        config.listen.asap = "127.0.0.1:0".parse().unwrap();
        config.listen.enrp = "127.0.0.1:0".parse().unwrap();
        config.admin.socket = AdminSocket::Path(directory.join(format!("rserpool/registrar-{number}.sock")));
        Registrar::spawn(config).unwrap()
    }

    async fn register(&self, pool: impl AsRef<[u8]>, id: u32, port: u16) -> PoolElement {
        let service = TcpTransport { port, address: "127.0.0.1".parse().unwrap() };
        PoolElement::builder(PoolHandle::new(pool))
            .id(PeIdentifier(id))
            .service(Transport::Tcp(service))
            .registrars([self.registrar.asap_address()])
            .register()
            .await
            .unwrap()
    }

    /// Runs the tool on the admin socket.
    async fn admin(&self, args: &[&str]) -> Run {
        rserpool(&[&["--admin", &self.socket], args].concat()).await
    }

    /// Runs the tool on the ASAP address.
    async fn asap(&self, args: &[&str]) -> Run {
        let address = self.registrar.asap_address().to_string();
        rserpool(&[&["--registrar", &address], args].concat()).await
    }

    async fn stop(self) {
        self.registrar.stop().await;
        std::fs::remove_dir_all(self.directory).unwrap();
    }
}

#[tokio::test]
async fn status_and_registrars() {
    let scope = Scope::start();
    let id = scope.registrar.id().to_string();
    let status = scope.admin(&["status"]).await;
    assert_eq!(status.code, Some(0), "{status:?}");
    let first: Vec<_> = status.stdout.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(first, ["registrar", &id], "{status:?}");
    assert_eq!(scope.admin(&["status", "-o", "json"]).await.json()["id"], id);

    for args in [["registrar"].as_slice(), &["registrar", "list"], &["pr"]] {
        let list = scope.admin(args).await;
        assert!(list.stdout.contains(&id) && list.stdout.contains("this one"), "{list:?}");
    }
    assert_eq!(scope.admin(&["pr", "show", &id, "-o", "json"]).await.json()["this"], true);
    let unknown = scope.admin(&["registrar", "show", "0"]).await;
    assert_eq!(unknown.code, Some(1));
    assert_eq!(unknown.stderr, "rserpool: no registrar 0x00000000 is known: see `rserpool registrar`\n");
    scope.stop().await;
}

#[tokio::test]
async fn pools_and_elements() {
    let scope = Scope::start();
    let _first = scope.register("echo", 1, 80).await;
    let _second = scope.register(b"\x00bin", 2, 81).await;

    let list = scope.admin(&["pool"]).await;
    assert_eq!(
        list.stdout,
        "POOL     POLICY       ELEMENTS\n\\x00bin  round robin  1\necho     round robin  1\n"
    );
    assert_eq!(scope.admin(&["pool", "list", "-q"]).await.stdout, "\\x00bin\necho\n");
    assert!(scope.admin(&["pool", "-w"]).await.stdout.contains("hex:0062696e"));
    let pools = scope.admin(&["pool", "-o", "json"]).await.json();
    assert_eq!(pools["pools"][0]["handle_hex"], "0062696e");

    for name in [r"\x00bin", "hex:0062696e"] {
        let shown = scope.admin(&["pool", "show", name, "-o", "json"]).await.json();
        assert_eq!(shown["members"][0]["user_transport"]["addresses"], json!(["127.0.0.1:81"]), "{name}");
    }
    let elements = scope.admin(&["pe"]).await.stdout;
    assert_eq!(elements.lines().count(), 3, "{elements}");
    assert!(elements.contains("echo     0x00000001") && elements.contains("TCP 127.0.0.1:80"), "{elements}");
    assert_eq!(scope.admin(&["element", "-q"]).await.stdout, "\\x00bin 0x00000002\necho 0x00000001\n");
    let element = scope.admin(&["element", "show", "echo", "0x1", "-o", "json"]).await.json();
    assert_eq!(element["life_seconds"], 30.0);
    scope.stop().await;
}

#[tokio::test]
async fn resolution_speaks_asap() {
    let scope = Scope::start();
    let _first = scope.register("echo", 1, 80).await;
    let _second = scope.register("echo", 2, 81).await;
    let resolved = scope.asap(&["pool", "resolve", "echo", "-o", "json"]).await.json();
    assert_eq!(resolved["policy"]["name"], "round_robin");
    assert_eq!(resolved["elements"].as_array().unwrap().len(), 2);
    let one = scope.asap(&["pool", "resolve", "echo", "-n", "1", "-q"]).await;
    assert_eq!((one.code, one.stdout.lines().count()), (Some(0), 1), "{one:?}");
    // The registrar may be named by its host.
    let localhost = format!("localhost:{}", scope.registrar.asap_address().port());
    let named = rserpool(&["--registrar", &localhost, "pool", "resolve", "echo", "-q"]).await;
    assert_eq!((named.code, named.stdout.lines().count()), (Some(0), 2), "{named:?}");
    scope.stop().await;
}

#[tokio::test]
async fn an_unknown_pool_or_element_is_not_found() {
    let scope = Scope::start();
    let _element = scope.register("echo", 1, 80).await;
    let show = scope.admin(&["pool", "show", "none"]).await;
    assert_eq!((show.code, show.stderr.as_str()), (Some(1), "rserpool: there is no pool \"none\"\n"));
    let element = scope.admin(&["element", "show", "echo", "ff"]).await;
    assert_eq!(element.code, Some(1));
    assert_eq!(element.stderr, "rserpool: the pool \"echo\" has no element 0x000000ff\n");
    let resolve = scope.asap(&["pool", "resolve", "none"]).await;
    assert_eq!(resolve.code, Some(1));
    assert!(resolve.stderr.contains("unknown pool \"none\""), "{resolve:?}");
    scope.stop().await;
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    // Bound, so that nobody else listens there, and silent.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let resolve = rserpool(&["--registrar", &address, "pool", "resolve", "echo"]).await;
    assert_eq!(resolve.code, Some(3), "{resolve:?}");
    let says =
        format!("no registrar answers at {address}: start one there, or choose another with --registrar");
    assert!(resolve.stderr.contains(&says), "{resolve:?}");

    let status = rserpool(&["--admin", "/nonexistent/admin.sock", "status"]).await;
    assert_eq!(status.code, Some(3));
    assert!(status.stderr.contains("cannot reach the admin API at /nonexistent/admin.sock"), "{status:?}");
    assert!(status.stderr.contains("is the registrar running?"), "{status:?}");

    let status = rserpool(&["status"]).await;
    assert_eq!(status.code, Some(3));
    assert!(status.stderr.contains("no admin socket answers in /nonexistent/rserpool-"), "{status:?}");
}

#[tokio::test]
async fn wrong_use_is_explained() {
    for (args, says) in [
        (["pool", "show", "hex:0"].as_slice(), "hex:0"),
        (&["pool", "show", r"\q"], "a backslash must be followed by"),
        (&["element", "show", "echo", "xyz"], "write up to eight hex digits"),
        (&["--admin", "https://127.0.0.1:1", "status"], "speaks http"),
        (&["pool", "resolve", "echo", "-n", "0"], "0 is not in"),
        (&["pool", "resolve", ""], "a pool handle has at least one byte"),
        (&["--registrar", "localhost", "status"], "write an address or a host with its port"),
        (&["--registrar", "192.0.2.1:3863", "pool"], "192.0.2.1:3863 is not on this host"),
        (&["pol"], "unrecognized subcommand"),
    ] {
        let run = rserpool(args).await;
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(says), "{run:?}");
    }
}

#[tokio::test]
async fn the_registrar_that_runs_here_is_found() {
    let scope = Scope::start();
    let found = rserpool_in(&scope.directory, &["status", "-o", "json"]).await;
    assert_eq!(found.json()["id"], scope.registrar.id().to_string(), "the only one");
    let said = format!(
        "rserpool: no registrar of yours runs here at port 3863; this is the one of {}\n",
        scope.socket
    );
    assert_eq!(found.stderr, said);
    let elements = rserpool_in(&scope.directory, &["element"]).await;
    assert_eq!((elements.code, elements.stderr), (Some(0), said), "never another one silently");
    let given = rserpool_in(&scope.directory, &["--registrar", "127.0.0.1:3863", "element"]).await;
    assert_eq!(given.code, Some(3), "{given:?}");
    assert!(given.stderr.contains("no registrar of yours runs here at port 3863"), "{given:?}");

    // What a killed registrar leaves behind does not count.
    drop(std::os::unix::net::UnixListener::bind(scope.directory.join("rserpool/registrar-2.sock")).unwrap());
    assert_eq!(rserpool_in(&scope.directory, &["status"]).await.code, Some(0));

    let other = Scope::registrar(&scope.directory, 3);
    let several = rserpool_in(&scope.directory, &["status"]).await;
    assert_eq!(several.code, Some(2), "{several:?}");
    assert!(several.stderr.contains("several registrars run here; choose one: --admin "), "{several:?}");
    let chosen = rserpool_in(&scope.directory, &["--registrar", "127.0.0.1:3", "status", "-o", "json"]).await;
    assert_eq!(chosen.json()["id"], other.id().to_string(), "by its ASAP port");

    other.stop().await;
    let other = Scope::registrar(&scope.directory, 3863);
    let default = rserpool_in(&scope.directory, &["status", "-o", "json"]).await;
    assert_eq!(default.json()["id"], other.id().to_string(), "the one at the well-known port");
    assert_eq!(default.stderr, "");
    other.stop().await;

    // Where others may write, they could put a socket of their own.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scope.directory.join("rserpool"), open).unwrap();
    assert_eq!(rserpool_in(&scope.directory, &["status"]).await.code, Some(3));
    scope.stop().await;
}

#[tokio::test]
async fn two_registrars_are_one_scope() {
    let scope = Scope::start();
    let mut events = scope.registrar.events();
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.peers = vec![vec![scope.registrar.enrp_address()]];
    config.admin.socket = AdminSocket::Off;
    let other = Registrar::spawn(config).unwrap();
    while !matches!(events.next().await, Some(Event::PeerUp { id, .. }) if id == other.id()) {}

    let id = other.id().to_string();
    let peer = scope.admin(&["registrar", "show", &id, "-o", "json"]).await.json();
    assert_eq!((&peer["this"], &peer["state"]), (&json!(false), &json!("active")), "{peer}");
    assert_eq!(peer["addresses"], json!([other.enrp_address().to_string()]));
    assert_eq!(scope.admin(&["registrar", "-q"]).await.stdout.lines().count(), 2);

    let mut learned = other.events();
    let _element = scope.register("echo", 1, 80).await;
    while !matches!(learned.next().await, Some(Event::PoolCreated { .. })) {}
    let address = other.asap_address().to_string();
    let resolved = rserpool(&["--registrar", &address, "pool", "resolve", "echo", "-q"]).await;
    assert_eq!(resolved.stdout, "127.0.0.1:80\n", "{resolved:?}");
    other.stop().await;
    scope.stop().await;
}
