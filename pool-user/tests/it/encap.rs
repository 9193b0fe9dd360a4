//! A scope whose SCTP ports are behind the one UDP port of their hosts, as with kernels (RFC 6951).

use crate::failover::operation;
use crate::support::{Death, Fate, serve, within};
use pool_element::{PoolElement, Profile, Transport};
use registrar::config::AdminSocket;
use registrar::{Config, Event, Registrar};
use rserpool_pool_user::PoolUser;
use std::net::{IpAddr, SocketAddr};

/// The same on every host.
const UDP_PORT: u16 = 9899;

/// A host of this scope: loopback addresses that no other process of the machine is likely to use.
fn host(n: u8) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, high, low, n])
}

/// A registrar at the assigned SCTP ports.
fn registrar(n: u8, peers: &[u8]) -> Registrar {
    let mut config = Config::default();
    config.listen.asap = (host(n), 3863).into();
    config.listen.enrp = (host(n), 9901).into();
    config.peers = peers.iter().map(|peer| vec![(host(*peer), 9901).into()]).collect();
    config.sctp.encap_port = Some(UDP_PORT.to_string().parse().unwrap());
    config.admin.socket = AdminSocket::Off;
    Registrar::spawn(config).unwrap()
}

async fn counter(n: u8, registrars: &[SocketAddr]) -> PoolElement {
    let element = PoolElement::builder("counter").registrars(registrars.iter().copied());
    let element = element.listen((host(n), 0).into()).encap_port(UDP_PORT).profile(Profile::Rfc);
    within("registration", element.register()).await.unwrap()
}

// SCTP-6951-01
#[tokio::test]
async fn registrars_servers_and_clients_all_live_behind_one_udp_port() {
    let first = registrar(1, &[]);
    let mut events = first.events();
    let second = registrar(2, &[1]);
    within("the registrars meet", async {
        while !matches!(events.next().await.unwrap(), Event::PeerUp { .. }) {}
    })
    .await;

    let at_first = counter(3, &[first.asap_address()]).await;
    let at_second = counter(4, &[second.asap_address()]).await;
    let user = PoolUser::builder([second.asap_address(), first.asap_address()]);
    let user = user.encap_port(UDP_PORT).profile(Profile::Rfc).build();
    let found = within("both registrars' elements", async {
        loop {
            let found = user.resolve_uncached("counter").await.unwrap().elements;
            if found.len() == 2 {
                break found;
            }
        }
    })
    .await;
    for element in found {
        let Transport::Sctp(sctp) = &element.user_transport else { panic!("{element:?}") };
        let address = SocketAddr::new(sctp.addresses[0], sctp.port);
        assert!([at_first.local_address(), at_second.local_address()].contains(&address));
        assert_ne!(sctp.port, UDP_PORT, "addresses of the handlespace have SCTP ports");
    }

    let fate = Fate::at(10, Death::BeforeTheAnswer);
    for element in [at_first, at_second] {
        tokio::spawn(serve(element, fate.clone()));
    }
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    let mut failovers = 0;
    for seq in 1..=20 {
        assert_eq!(within("an operation", operation(&mut session, seq, &mut failovers)).await, seq);
    }
    assert_eq!(failovers, 1);
    within("close", session.close()).await.unwrap();
}
