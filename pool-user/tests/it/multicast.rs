//! Nobody is told an address: registrars, elements and users find each other by multicast.

use crate::support::{Fate, number, serve, within};
use pool_element::PoolElement;
use registrar::config::AdminSocket;
use registrar::{Config, Event, Registrar};
use rserpool_pool_user::{Discovery, Multicast, PoolUser};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

/// A group on loopback that no other test is in.
fn group(last: u8) -> SocketAddr {
    let port = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    SocketAddr::from(([239, 255, 78, last], port))
}

fn announcing(asap: SocketAddr, enrp: SocketAddr) -> Registrar {
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.multicast.enabled = true;
    config.multicast.asap = vec![asap];
    config.multicast.enrp = vec![enrp];
    config.admin.socket = AdminSocket::Off;
    Registrar::spawn(config).unwrap()
}

// ASAP-1.1-05, ASAP-3.6-06, OVW-3-01, OVW-3-02
#[tokio::test]
async fn a_scope_without_any_configured_address() {
    let (asap, enrp) = (group(1), group(2));
    let announced = Discovery::new().multicast(Multicast::default().groups([asap]));
    // The element is there first, and waits.
    let element = PoolElement::builder("counter").registrars(announced.clone()).register();
    let element = tokio::spawn(element);
    let first = announcing(asap, enrp);
    let mut events = first.events();
    let element = within("registration", element).await.unwrap().unwrap();
    assert_eq!(element.home().unwrap_or(first.id()), first.id());
    tokio::spawn(serve(element, Arc::<Fate>::default()));

    let second = announcing(asap, enrp);
    within("the registrars meet", async {
        while !matches!(events.next().await, Some(Event::PeerUp { id, .. }) if id == second.id()) {}
    })
    .await;
    let mut events = second.events();
    within("the second has joined", async {
        while !matches!(events.next().await, Some(Event::Started { mentor: Some(id) }) if id == first.id()) {}
    })
    .await;

    let user = PoolUser::builder(announced).listen("127.0.0.1:0".parse().unwrap()).build();
    let mut session = within("a session", user.connect("counter")).await.unwrap();
    assert_eq!(number(&within("request", session.request(1u64.to_be_bytes())).await.unwrap()), 1);
    drop(first);
    // The other one has announced itself, too.
    let resolution = within("resolution", async {
        loop {
            if let Ok(resolution) = user.resolve_uncached("counter").await {
                break resolution;
            }
        }
    });
    assert_eq!(resolution.await.elements.len(), 1);
}
