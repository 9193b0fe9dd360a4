//! Registration, resolution, and what one process can hold.

use crate::support::{Fate, counter, number, quiet, registrar, serve, within};
use pool_element::{
    Load, LoadUpdates, PeIdentifier, Policy, PoolElement, RegisterError, TcpTransport, Transport,
};
use registrar::{Event, Registrar};
use rserpool_pool_user::{PoolUser, ResolveError, SessionError};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

// OVW-4-02
#[tokio::test]
async fn an_element_is_found_where_it_listens_and_gone_when_it_has_deregistered() {
    let registrar = registrar(&[]);
    let element = PoolElement::builder("echo")
        .policy(Policy::WeightedRoundRobin { weight: 3 })
        .registrars([registrar.asap_address()])
        .id(PeIdentifier(0x0102_0304))
        .life(Duration::from_secs(60))
        .register();
    let element = within("registration", element).await.unwrap();
    assert_eq!(element.id(), PeIdentifier(0x0102_0304));
    assert_ne!(element.local_address().port(), 0);

    let user = PoolUser::new([registrar.asap_address()]);
    let resolution = within("resolution", user.resolve("echo")).await.unwrap();
    let [found] = &resolution.elements[..] else { panic!("{resolution:?}") };
    assert_eq!(found.id, element.id());
    assert_eq!(found.policy, Policy::WeightedRoundRobin { weight: 3 });
    let Transport::Sctp(sctp) = &found.user_transport else { panic!("{found:?}") };
    assert_eq!(sctp.port, element.local_address().port());
    assert_eq!(sctp.addresses, [Ipv4Addr::LOCALHOST]);

    within("deregistration", element.deregister()).await.unwrap();
    let error = within("resolution", user.resolve_uncached("echo")).await.unwrap_err();
    assert!(matches!(error, ResolveError::UnknownPool(_)));
}

// SCTP-6458-04, SCTP-6458-05: several addresses, from the element's sockets to whoever resolves the pool.
#[tokio::test]
async fn all_addresses_of_an_element_are_registered_and_resolved() {
    let mut config = quiet();
    config.listen.asap = "127.0.0.1:0,127.0.0.2:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0,127.0.0.2:0".parse().unwrap();
    let registrar = Registrar::spawn(config).unwrap();
    let addresses = [3, 4].map(|n| Ipv4Addr::new(127, 0, 0, n));
    let element = PoolElement::builder("echo")
        .registrars([registrar.asap_address()])
        .listen((addresses[0], 0).into())
        .also_listen([addresses[1].into()])
        .register();
    let mut element = within("registration", element).await.unwrap();

    let user = PoolUser::builder([registrar.asap_address()])
        .listen((Ipv4Addr::new(127, 0, 0, 5), 0).into())
        .also_listen([Ipv4Addr::new(127, 0, 0, 6).into()])
        .build();
    let resolution = within("resolution", user.resolve("echo")).await.unwrap();
    let Transport::Sctp(sctp) = &resolution.elements[0].user_transport else { panic!("{resolution:?}") };
    assert_eq!(sctp.addresses, addresses);

    let client = within("a session", user.connect("echo")).await.unwrap();
    client.send(&b"hello"[..]).await.unwrap();
    let mut server = within("a session", element.accept()).await.unwrap();
    assert_eq!(within("a request", server.recv()).await.unwrap().as_deref(), Some(&b"hello"[..]));
}

#[tokio::test]
async fn a_changed_policy_reaches_the_pool() {
    let registrar = registrar(&[]);
    let mut events = registrar.events();
    let element = PoolElement::builder("jobs").policy(Policy::Priority { priority: 1 });
    let element = element.registrars([registrar.asap_address()]).register();
    let element = within("registration", element).await.unwrap();
    element.set_policy(Policy::Priority { priority: 2 }).await.unwrap();
    within("the registrar hears of it", async {
        while !matches!(events.next().await.unwrap(), Event::ElementReregistered { .. }) {}
    })
    .await;
    let user = PoolUser::new([registrar.asap_address()]);
    let resolution = within("resolution", user.resolve("jobs")).await.unwrap();
    assert_eq!(resolution.elements[0].policy, Policy::Priority { priority: 2 });
}

// OVW-4-02: servers that know nothing of pools are found where they are, whatever they speak.
#[tokio::test]
async fn a_service_is_found_at_its_transport() {
    let registrar = registrar(&[]);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (tcp_address, udp_address) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let sctp_address = SocketAddr::from(([127, 0, 0, 1], 9));
    let user = PoolUser::new([registrar.asap_address()]);
    let mut services = Vec::new();
    for (pool, transport, address) in [
        ("over-tcp", Transport::tcp(tcp_address), tcp_address),
        ("over-udp", Transport::udp(udp_address), udp_address),
        ("over-sctp", Transport::sctp(sctp_address), sctp_address),
    ] {
        let service = PoolElement::builder(pool).registrars([registrar.asap_address()]);
        let service = service.service(transport.clone()).register();
        let service = within("registration", service).await.unwrap();
        let found = within("choice", user.choose(pool)).await.unwrap();
        assert_eq!((found.id, &found.user_transport), (service.id(), &transport));
        assert_eq!(found.user_transport.socket_addresses().collect::<Vec<_>>(), [address]);
        services.push(service);
    }

    let address = async |pool: &str| {
        let found = within("choice", user.choose(pool)).await.unwrap();
        found.user_transport.socket_addresses().next().unwrap()
    };
    let mut client = within("connect", TcpStream::connect(address("over-tcp").await)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let (mut server, _) = within("accept", tcp.accept()).await.unwrap();
    let mut heard = [0; 5];
    within("a request", server.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, *b"hello");

    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(b"HELLO", address("over-udp").await).await.unwrap();
    within("a request", udp.recv(&mut heard)).await.unwrap();
    assert_eq!(heard, *b"HELLO");

    for service in services {
        within("deregistration", service.deregister()).await.unwrap();
    }
}

// ASAP-3.1-11: the pool's policy and transport bind; whoever does not fit is told what the pool has.
#[tokio::test]
async fn a_rejected_element_is_told_what_to_do() {
    let registrar = registrar(&[]);
    let builder = || PoolElement::builder("jobs").registrars([registrar.asap_address()]);
    let first = within("registration", builder().id(PeIdentifier(1)).register()).await.unwrap();
    for (other, expected) in [
        (
            builder().policy(Policy::Random),
            "the pool's policy is round robin: register with it, or in another pool",
        ),
        (
            builder().service(Transport::tcp(([127, 0, 0, 1], 80).into())),
            "the pool's elements use SCTP Transport: register the same, or in another pool",
        ),
        (
            builder().id(PeIdentifier(1)),
            "the identifier is taken by another element: choose another one, or none for a random one",
        ),
    ] {
        let error = within("rejection", other.register()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the registrar refused the registration in pool \"jobs\": {expected}")
        );
    }
    within("deregistration", first.deregister()).await.unwrap();
}

// It takes no new sessions for a while, and is the same element when it is back; the session that it has goes on.
#[tokio::test]
async fn an_element_that_is_not_ready_is_not_in_the_pool() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let user = PoolUser::new([registrar.asap_address()]);
    let session = within("connect", user.connect("counter")).await.unwrap();
    session.send(b"hello").await.unwrap();
    let mut server = within("accept", element.accept()).await.unwrap();
    let id = element.id();
    for round in 0..3u64 {
        within("withdrawal", element.set_ready(false)).await.unwrap();
        within("withdrawal", element.set_ready(false)).await.unwrap();
        assert_eq!(registrar.status().await.unwrap().elements, 0);
        session.send(round.to_be_bytes()).await.unwrap();
        within("registration", element.set_ready(true)).await.unwrap();
        assert_eq!(registrar.status().await.unwrap().elements, 1);
        assert_eq!(element.id(), id);
    }
    assert_eq!(within("a message", server.recv()).await.unwrap().unwrap()[..], *b"hello");
    for round in 0..3u64 {
        assert_eq!(number(&within("a message", server.recv()).await.unwrap().unwrap()), round);
    }
    within("withdrawal", element.set_ready(false)).await.unwrap();
    let ended = tokio::spawn(async move { within("the end", server.recv()).await.unwrap() });
    drop(session);
    within("the drain", element.drain()).await.unwrap();
    assert_eq!(within("the server", ended).await.unwrap(), None);
}

// ASAP-3.1-11: the next home has refused it, so it is not in the pool, whatever the former one has said.
#[tokio::test]
async fn an_element_that_another_home_has_refused_is_not_ready() {
    let (first, second) = (registrar(&[]), registrar(&[]));
    let other = PoolElement::builder("jobs").policy(Policy::Random).registrars([second.asap_address()]);
    let other = within("registration", other.register()).await.unwrap();
    let builder = PoolElement::builder("jobs").registrars([first.asap_address(), second.asap_address()]);
    let mut element = loop {
        match within("registration", builder.clone().register()).await {
            Ok(element) => break element,
            Err(error) => assert!(matches!(error, RegisterError::Rejected { .. }), "{error}"),
        }
    };
    drop(first);
    let refused = within("the refusal", element.registration_failed()).await;
    assert!(matches!(refused, RegisterError::Rejected { .. }), "{refused}");
    let again = within("an answer", element.set_ready(true)).await;
    assert!(matches!(again, Err(RegisterError::Rejected { .. })), "{again:?}");
    within("deregistration", other.deregister()).await.unwrap();
    within("registration", element.set_ready(true)).await.unwrap();
    assert_eq!(second.status().await.unwrap().elements, 1);
}

#[tokio::test]
async fn a_load_reaches_the_pool() {
    let registrar = registrar(&[]);
    let mut events = registrar.events();
    let element = PoolElement::builder("jobs")
        .policy(Policy::LeastUsed { load: Load(0) })
        .load_updates(LoadUpdates::default().interval(Duration::ZERO))
        .registrars([registrar.asap_address()])
        .register();
    let element = within("registration", element).await.unwrap();
    element.set_load(Load::of(3, 4)).await.unwrap();
    within("the registrar hears of it", async {
        while !matches!(events.next().await.unwrap(), Event::ElementReregistered { .. }) {}
    })
    .await;
    let user = PoolUser::new([registrar.asap_address()]);
    let found = within("choice", user.choose("jobs")).await.unwrap();
    assert_eq!(found.policy, Policy::LeastUsed { load: Load::of(3, 4) });
}

#[tokio::test]
async fn a_dropped_element_deregisters_itself() {
    let registrar = registrar(&[]);
    let mut events = registrar.events();
    let element = counter(&[registrar.asap_address()]).await;
    let dropped = element.id();
    drop(element);
    within("the registrar hears of it", async {
        loop {
            if let Event::ElementRemoved { id, .. } = events.next().await.unwrap() {
                break assert_eq!(id, dropped);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_unknown_pool_is_an_error_that_says_so() {
    let registrar = registrar(&[]);
    let user = PoolUser::new([registrar.asap_address()]);
    let error = within("resolution", user.resolve("nowhere")).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown pool \"nowhere\": no element is registered");
    let error = within("connect", user.connect("nowhere")).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown pool \"nowhere\": no element is registered");
    assert!(matches!(error, SessionError::Resolve(ResolveError::UnknownPool(_))));
}

/// A registrar's address with nobody behind it: the port refuses, or stays silent.
fn nobody() -> [(SocketAddr, Option<UdpSocket>); 2] {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    [(silent.local_addr().unwrap(), Some(silent)), (refused, None)]
}

#[tokio::test]
async fn without_a_registrar_every_operation_ends_with_an_error_that_names_the_addresses() {
    let [(silent, _socket), (refused, _)] = nobody();
    let [silent, refused] = [silent, refused].map(async |address| {
        let message =
            format!("no registrar reachable at {address}: start one there, or correct the addresses");
        let user = PoolUser::builder([address]).patience(Duration::from_secs(1)).build();
        let element = PoolElement::builder("counter").registrars([address]).register();
        let (resolution, session, registration) = tokio::join!(
            within("resolution", user.resolve("counter")),
            within("connect", user.connect("counter")),
            within("registration", element),
        );
        assert_eq!(resolution.unwrap_err().to_string(), message);
        assert_eq!(session.unwrap_err().to_string(), message);
        assert_eq!(registration.unwrap_err().to_string(), message);
    });
    tokio::join!(silent, refused);
}

#[tokio::test]
async fn what_cannot_work_is_said_at_once() {
    let error = PoolUser::new([]).connect("counter").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no registrar is configured: give the address of at least one, or have them found by DNS or multicast"
    );

    let element = PoolElement::builder("counter").registrars(["192.0.2.1:3863".parse().unwrap()]);
    let error = element.register().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "registrar 192.0.2.1:3863 cannot be reached from 127.0.0.1:0: listen on an address of the network"
    );

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let element =
        PoolElement::builder("counter").registrars(["127.0.0.1:3863".parse().unwrap()]).listen(address);
    let error = element.register().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{address} is already in use by another process; choose another address, or port 0 for any free port"
        )
    );
}

#[tokio::test]
async fn one_process_is_an_element_of_two_pools_and_a_user_behind_one_socket() {
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    tokio::spawn(serve(counter(&registrars).await, Arc::<Fate>::default()));

    let relay = PoolElement::builder("relay").registrars(registrars).register();
    let relay = within("registration", relay).await.unwrap();
    // A TCP service of this host, announced over the same endpoint.
    let web = PoolElement::builder("web")
        .endpoint(relay.endpoint())
        .service(Transport::Tcp(TcpTransport { port: 8080, address: Ipv4Addr::LOCALHOST.into() }))
        .register();
    let web = within("registration", web).await.unwrap();
    assert_eq!(web.local_address(), relay.local_address());

    let user = PoolUser::sharing(relay.endpoint());
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    assert_eq!(number(&within("request", session.request(1u64.to_be_bytes())).await.unwrap()), 1);
    let resolution = within("resolution", user.resolve("web")).await.unwrap();
    assert_eq!(resolution.elements[0].id, web.id());
    assert!(matches!(resolution.elements[0].user_transport, Transport::Tcp(_)));
}

#[tokio::test]
async fn sessions_of_two_pools_cannot_share_an_endpoint() {
    let registrar = registrar(&[]);
    let first = counter(&[registrar.asap_address()]).await;
    let second = PoolElement::builder("other").endpoint(first.endpoint()).register().await;
    assert!(matches!(second, Err(RegisterError::EndpointTaken(_))));
    within("deregistration", first.deregister()).await.unwrap();
}

// RFC 5352 §3.5: a report makes the registrar look for itself; an element that lives stays.
#[tokio::test]
async fn reporting_an_element_that_lives_does_not_remove_it() {
    let registrar = registrar(&[]);
    let element = counter(&[registrar.asap_address()]).await;
    let user = PoolUser::new([registrar.asap_address()]);
    within("resolution", user.resolve("counter")).await.unwrap();
    within("report", user.report_unreachable("counter", element.id())).await.unwrap();
    let resolution = within("resolution", user.resolve_uncached("counter")).await.unwrap();
    assert_eq!(resolution.elements[0].id, element.id());
}
