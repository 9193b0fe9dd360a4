//! Servers that are not ours: in the pool as long as they are ready.

use crate::support::{registrar, within};
use pool_element::{Check, Load, PeIdentifier, Policy, PoolElement, RegisterError, Service, Transport};
use registrar::config::AdminSocket;
use registrar::{Config, Event, Registrar};
use rserpool_pool_user::{PoolUser, ResolveError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An HTTP server that answers with this status.
async fn http_server(status: Arc<AtomicU16>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if client.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            assert!(request.starts_with(b"GET /health HTTP/1.1\r\n"));
            let answer = format!("HTTP/1.1 {} Whatever\r\n\r\n", status.load(Ordering::SeqCst));
            // Whoever has read the status may be gone.
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// A registrar whose ASAP endpoint is there.
fn registrar_at(address: SocketAddr) -> Registrar {
    let mut config = Config::default();
    config.listen.asap = address.into();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    Registrar::spawn(config).unwrap()
}

fn service(registrar: &Registrar, address: SocketAddr, check: Check) -> Service {
    let builder = PoolElement::builder("web").registrars([registrar.asap_address()]);
    let check = check.interval(Duration::from_millis(10)).failures(2);
    builder.service(Transport::tcp(address)).register_while(check).unwrap()
}

// ASAP-2-04
#[tokio::test]
async fn an_http_server_is_in_the_pool_while_it_says_that_it_is_ready() {
    let registrar = registrar(&[]);
    let status = Arc::new(AtomicU16::new(503));
    let address = http_server(status.clone()).await;
    let mut events = registrar.events();
    let mut service = service(&registrar, address, Check::http(address, "/health"));
    assert_eq!(service.id(), None);
    status.store(204, Ordering::SeqCst);
    let id = within("registration", service.registered()).await.unwrap();

    let user = PoolUser::new([registrar.asap_address()]);
    let found = within("choice", user.choose("web")).await.unwrap();
    assert_eq!((found.id, found.user_transport), (id, Transport::tcp(address)));

    status.store(500, Ordering::SeqCst);
    within("withdrawal", service.withdrawn()).await;
    within("deregistration", async {
        loop {
            if let Event::ElementRemoved { id: gone, .. } = events.next().await.unwrap() {
                break assert_eq!(gone, id);
            }
        }
    })
    .await;
    let error = within("resolution", user.resolve_uncached("web")).await.unwrap_err();
    assert!(matches!(error, ResolveError::UnknownPool(_)));

    status.store(200, Ordering::SeqCst);
    assert_eq!(within("registration", service.registered()).await.unwrap(), id, "the same element");
    within("deregistration", service.deregister()).await.unwrap();
    let error = within("resolution", user.resolve_uncached("web")).await.unwrap_err();
    assert!(matches!(error, ResolveError::UnknownPool(_)));
}

#[tokio::test]
async fn a_tcp_server_is_in_the_pool_while_it_accepts_connections() {
    let registrar = registrar(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut service = service(&registrar, address, Check::tcp(address));
    within("registration", service.registered()).await.unwrap();
    drop(listener);
    within("withdrawal", service.withdrawn()).await;
}

// The server is ready, but the pool is not for it: that is told, and tried again.
#[tokio::test]
async fn a_refused_service_says_why() {
    let registrar = registrar(&[]);
    let sessions = PoolElement::builder("web").registrars([registrar.asap_address()]).id(PeIdentifier(1));
    let sessions = within("registration", sessions.register()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut service = service(&registrar, address, Check::tcp(address));
    let error = within("rejection", service.registered()).await.unwrap_err();
    assert!(matches!(error, RegisterError::Rejected { .. }), "{error}");
    within("deregistration", sessions.deregister()).await.unwrap();
    within("registration", async { while service.registered().await.is_err() {} }).await;
}

// Its registrar dies, and the next one does not want it: it is not in the pool any more, and comes back when it is wanted.
#[tokio::test]
async fn a_service_that_is_refused_later_is_withdrawn() {
    let (first, other) = (registrar(&[]), registrar(&[]));
    let later = other.asap_address();
    within("the end of a registrar", other.stop()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let builder = PoolElement::builder("web").registrars([first.asap_address(), later]);
    let check = Check::tcp(address).interval(Duration::from_millis(10));
    let mut service = builder.service(Transport::tcp(address)).register_while(check).unwrap();
    let id = within("registration", service.registered()).await.unwrap();

    let second = registrar_at(later);
    let sessions = within("registration", PoolElement::builder("web").registrars([later]).register()).await;
    within("the end of a registrar", first.stop()).await;
    within("withdrawal", service.withdrawn()).await;
    assert_eq!(service.id(), None);
    let refused = within("rejection", async {
        loop {
            match service.registered().await {
                Err(error @ RegisterError::Rejected { .. }) => break error,
                Err(_) => {}
                Ok(id) => panic!("registered as {id}"),
            }
        }
    })
    .await;
    assert!(refused.to_string().contains("the pool's elements use SCTP"), "{refused}");
    within("deregistration", sessions.unwrap().deregister()).await.unwrap();
    let again = async {
        loop {
            if let Ok(id) = service.registered().await {
                break id;
            }
        }
    };
    assert_eq!(within("registration", again).await, id);
    within("deregistration", service.deregister()).await.unwrap();
    assert_eq!(second.status().await.unwrap().elements, 0);
}

// What no registrar has confirmed is not Ok, also if the service was leaving already.
#[tokio::test]
async fn a_withdrawal_that_nobody_confirms_is_an_error() {
    let registrar = registrar(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut service = service(&registrar, address, Check::tcp(address));
    within("registration", service.registered()).await.unwrap();
    within("the end of the registrar", registrar.stop()).await;
    drop(listener);
    within("withdrawal", service.withdrawn()).await;
    let left = within("deregistration", service.deregister()).await;
    assert!(matches!(left, Err(RegisterError::NoRegistrar(_))), "{left:?}");
}

// A registration that is under way is waited for: it is not Ok while a registrar may still take it.
#[tokio::test]
async fn a_service_that_is_just_joining_leaves_for_certain() {
    let registrar = registrar(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for _ in 0..20 {
        let service = service(&registrar, address, Check::tcp(address));
        listener.accept().await.unwrap(); // the check
        within("deregistration", service.deregister()).await.unwrap();
        assert_eq!(registrar.status().await.unwrap().elements, 0);
    }
}

// What a registrar refuses later is told, too, and the element is still there.
#[tokio::test]
async fn a_refused_change_is_told() {
    let registrar = registrar(&[]);
    let element = PoolElement::builder("web").registrars([registrar.asap_address()]);
    let mut element = within("registration", element.register()).await.unwrap();
    element.set_policy(Policy::Random).await.unwrap();
    let error = within("rejection", element.registration_failed()).await;
    assert!(matches!(error, RegisterError::Rejected { .. }), "{error}");
    within("deregistration", element.deregister()).await.unwrap();
    assert_eq!(registrar.status().await.unwrap().elements, 0);
}

// Who has subscribed to the pool may still come until he has heard of it.
#[tokio::test]
async fn a_service_that_is_drained_stays_until_subscribers_should_know() {
    let registrar = registrar(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut service = service(&registrar, address, Check::tcp(address));
    within("registration", service.registered()).await.unwrap();
    let user = PoolUser::new([registrar.asap_address()]);
    let mut watch = user.watch("web").await.unwrap();
    assert!(within("the list", watch.changed()).await.is_ok());
    within("the drain", service.drain()).await.unwrap();
    // It need not be waited for.
    let end = tokio::time::timeout(Duration::ZERO, watch.changed()).await;
    assert!(matches!(end, Ok(Err(ResolveError::UnknownPool(_)))), "{end:?}");
}

#[tokio::test]
async fn a_service_tells_its_load_now_and_when_it_comes_back() {
    let registrar = registrar(&[]);
    let status = Arc::new(AtomicU16::new(503));
    let address = http_server(status.clone()).await;
    let mut events = registrar.events();
    let builder = PoolElement::builder("web").registrars([registrar.asap_address()]);
    let check = Check::http(address, "/health").interval(Duration::from_millis(10)).failures(2);
    let builder = builder.service(Transport::tcp(address)).policy(Policy::LeastUsed { load: Load(0) });
    let mut service = builder.register_while(check).unwrap();
    let user = PoolUser::new([registrar.asap_address()]);
    let load = async || {
        let found = within("resolution", user.resolve_uncached("web")).await.unwrap();
        found.elements[0].policy.load().unwrap()
    };

    within("a change", service.set_load(Load::of(1, 4))).await.unwrap();
    status.store(200, Ordering::SeqCst);
    within("registration", service.registered()).await.unwrap();
    assert_eq!(load().await, Load::of(1, 4));
    within("a change", service.set_load(Load::of(3, 4))).await.unwrap();
    within("registration", async {
        while !matches!(events.next().await, Some(Event::ElementReregistered { .. })) {}
    })
    .await;
    assert_eq!(load().await, Load::of(3, 4));
    let policy = Policy::LeastUsed { load: Load::of(1, 2) };
    within("a change", service.set_policy(policy)).await.unwrap();
    status.store(503, Ordering::SeqCst);
    within("withdrawal", service.withdrawn()).await;
    status.store(200, Ordering::SeqCst);
    within("registration", service.registered()).await.unwrap();
    assert_eq!(load().await, Load::of(1, 2));
    within("deregistration", service.deregister()).await.unwrap();
}

// A policy that the pool does not have is taken back, and the server is in the pool again.
#[tokio::test]
async fn a_service_survives_a_policy_that_is_refused() {
    let registrar = registrar(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut service = service(&registrar, address, Check::tcp(address));
    let id = within("registration", service.registered()).await.unwrap();
    within("a change", service.set_policy(Policy::Random)).await.unwrap();
    within("rejection", service.withdrawn()).await;
    let again = async {
        loop {
            if let Ok(id) = service.registered().await {
                break id;
            }
        }
    };
    assert_eq!(within("registration", again).await, id);
    let user = PoolUser::new([registrar.asap_address()]);
    assert_eq!(within("choice", user.choose("web")).await.unwrap().id, id);
}

#[tokio::test]
async fn a_service_whose_policy_has_no_load_cannot_tell_one() {
    let registrar = registrar(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service(&registrar, address, Check::tcp(address));
    let error = within("a change", service.set_load(Load(1))).await.unwrap_err();
    assert!(error.to_string().contains("does not go by its load"), "{error}");
}

#[tokio::test]
async fn a_check_needs_something_to_check() {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let builder = || PoolElement::builder("web").registrars([address]);
    assert!(builder().register_while(Check::tcp(address)).is_err());
    let bad = builder().service(Transport::tcp(address)).register_while(Check::http(address, "no path"));
    assert!(bad.unwrap_err().to_string().contains("starts with"));
}
