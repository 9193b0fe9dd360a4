//! The registrars as a pool (design D6).

use crate::network::{Host, Network, element, endpoint, ip, ms};
use params::{CauseCode, PeIdentifier, PoolElement, RegistrarId, SctpTransport, Transport, TransportUse};
use rserpool_proto::registrar::{Config, Event};
use rserpool_proto::{AssocId, Channel, REGISTRAR_POOL, Transmit};
use std::net::SocketAddr;

fn config(host: Host, peers: &[Host]) -> Config {
    Config { registrar_pool: true, ..Network::config(host, peers) }
}

/// So many registrars that know each other.
fn scope(count: Host) -> Network {
    let mut network = Network::new();
    for host in 1..=count {
        let others: Vec<Host> = (1..=count).filter(|other| *other != host).collect();
        network.start_with(host, config(host, &others));
    }
    network.run(ms(3000));
    network
}

/// The registrars that `host` knows to be elements.
fn members(network: &mut Network, host: Host) -> Vec<u32> {
    let now = network.now;
    let elements = network.registrar(host).elements(now, &REGISTRAR_POOL.into(), None, usize::MAX);
    let elements = elements.unwrap_or_default();
    assert!(elements.iter().all(|element| element.id.0 == element.home.0));
    elements.iter().map(|element| element.id.0).collect()
}

fn resolve(network: &mut Network, client: Host, assoc: AssocId) -> Vec<SocketAddr> {
    let request = asap::HandleResolution { subscribe: false, handle: REGISTRAR_POOL.into(), items: None };
    let asap::Message::HandleResolutionResponse(response) = network.ask(client, assoc, request) else {
        panic!("no resolution")
    };
    let mut addresses: Vec<SocketAddr> = response
        .elements
        .iter()
        .flat_map(|element| match &element.user_transport {
            Transport::Sctp(sctp) => sctp.addresses.iter().map(|ip| SocketAddr::new(*ip, sctp.port)),
            other => panic!("{other:?}"),
        })
        .collect();
    addresses.sort();
    addresses
}

/// An element that says to be registrar `id`.
fn forged(id: u32, home: u32) -> PoolElement {
    PoolElement { id: PeIdentifier(id), home: RegistrarId(home), ..element(66) }
}

#[test]
fn a_client_that_reaches_one_registrar_knows_all() {
    let mut network = scope(3);
    network.add_client(11);
    let assoc = network.dial(11, 2, Channel::Asap);
    let all: Vec<SocketAddr> = (1..=3).map(|host| endpoint(host, Channel::Asap)).collect();
    assert_eq!(resolve(&mut network, 11, assoc), all);
}

// They are no service of anybody: not counted, and not in the list of pools.
#[test]
fn registrars_do_not_count_as_elements() {
    let mut network = scope(3);
    network.add_element(11, 1);
    network.run(ms(50));
    for host in 1..=3 {
        assert_eq!(members(&mut network, host), [1, 2, 3]);
        let now = network.now;
        let status = network.registrar(host).status(now);
        assert_eq!((status.pools, status.elements), (1, 1));
        assert_eq!(status.owned_elements, usize::from(host == 1));
        let pools = network.registrar(host).pools(now, None, 10);
        assert_eq!(pools.iter().map(|pool| pool.handle.to_string()).collect::<Vec<_>>(), ["pool"]);
        let elements: usize = network.registrar(host).peers(now).iter().map(|peer| peer.elements).sum();
        assert_eq!(elements, usize::from(host != 1));
    }
}

// Nor against the limits of what is served.
#[test]
fn registrars_take_nobodys_place() {
    let mut network = Network::new();
    let mut config = config(1, &[]);
    (config.limits.pools, config.limits.elements) = (1, 1);
    network.start_with(1, config);
    network.add_element(11, 1);
    assert_eq!(members(&mut network, 1), [1]);
}

// Design D4 does not apply: no keep-alives, to itself or to others.
#[test]
fn registrars_do_not_probe_each_other_as_elements() {
    let mut network = scope(3);
    network.run(ms(20_000));
    let asap = |transmit: &Transmit| {
        matches!(
            transmit,
            Transmit::Connect { channel: Channel::Asap, .. }
                | Transmit::Send { ppid: rserpool_proto::PPID_ASAP, .. }
        )
    };
    assert!(!network.transcript.iter().any(|(_, _, transmit)| asap(transmit)));
    for host in 1..=3 {
        assert!(!network.events(host).iter().any(|event| matches!(event, Event::Resynchronized { .. })));
    }
}

// A registrar that serves nobody is forgotten, with its own element.
#[test]
fn a_dead_registrar_leaves_the_pool() {
    let mut network = scope(3);
    network.crash(3);
    network.run(ms(2000));
    for host in [1, 2] {
        assert_eq!(members(&mut network, host), [1, 2]);
        let taken = |event: &Event| matches!(event, Event::TakeoverStarted { .. });
        assert_eq!(network.event_at(host, taken), None, "there was nothing to take over");
    }
}

// ENRP-3.5.2-07, ENRP-3.5.2-08: its elements get another home, it gets none.
#[test]
fn a_takeover_claims_the_elements_and_not_the_registrar() {
    let mut network = scope(3);
    for host in 11..=20 {
        network.add_element(host, 3);
    }
    network.crash(3);
    network.run(ms(3000));
    for host in [1, 2] {
        assert_eq!(members(&mut network, host), [1, 2]);
        assert_eq!(network.table(host), (11..=20).map(|id| (id, 1)).collect::<Vec<_>>());
    }
    network.start_with(3, config(3, &[1]));
    network.run(ms(3000));
    for host in 1..=3 {
        assert_eq!(members(&mut network, host), [1, 2, 3]);
    }
}

#[test]
fn a_registrar_that_leaves_is_out_of_the_pool_at_once() {
    let mut network = scope(2);
    network.add_element(11, 2);
    network.command(2, |registrar, now| registrar.shutdown(now));
    network.run(ms(500));
    assert_eq!(members(&mut network, 1), [1]);
    assert_eq!(network.table(1), [(11, 1)]);
}

// ENRP-3.5.2-10, A-68: two that believed each other dead are both back when they hear each other again.
#[test]
fn registrars_that_were_cut_off_return_to_the_pool() {
    let mut network = scope(3);
    network.add_element(11, 3);
    network.add_element(12, 1);
    network.cut(1, 3);
    network.cut(2, 3);
    network.run(ms(5000));
    assert_eq!(members(&mut network, 1), [1, 2]);
    assert_eq!(members(&mut network, 3), [3]);
    network.heal_all();
    network.run(ms(20_000));
    for host in 1..=3 {
        assert_eq!(members(&mut network, host), [1, 2, 3], "{host}");
        let now = network.now;
        let peers = network.registrar(host).peers(now);
        assert!(peers.iter().all(|peer| peer.announced_checksum == Some(peer.expected_checksum)));
    }
}

// SEC: nobody says of another that it is a registrar, or that it is none.
#[test]
fn only_a_registrar_itself_is_in_the_pool() {
    let mut network = scope(2);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let registration = asap::Registration { handle: REGISTRAR_POOL.into(), element: forged(77, 0) };
    let answer = network.ask(11, assoc, registration);
    let asap::Message::RegistrationResponse(response) = answer else { panic!("{answer:?}") };
    assert!(response.rejected);
    assert_eq!(response.error.unwrap().causes[0].code, CauseCode::SECURITY);
    let deregistration = asap::Deregistration { handle: REGISTRAR_POOL.into(), id: PeIdentifier(2) };
    network.ask(11, assoc, deregistration);
    for _ in 0..10 {
        let report = asap::EndpointUnreachable { handle: REGISTRAR_POOL.into(), id: PeIdentifier(2) };
        network.tell(11, assoc, report);
        let report = asap::EndpointUnreachable { handle: REGISTRAR_POOL.into(), id: PeIdentifier(1) };
        network.tell(11, assoc, report);
        network.run(ms(300));
    }
    // Behind a registration that has to wait it is no other.
    network.add_element(12, 1);
    network.client(12).hangs = true;
    network.tell(11, assoc, asap::Registration { handle: crate::network::pool(), element: element(12) });
    for id in [1, 2] {
        network.tell(11, assoc, asap::Registration { handle: REGISTRAR_POOL.into(), element: forged(id, 0) });
    }
    network.run(ms(2000));
    assert_eq!(members(&mut network, 1), [1, 2]);
    assert!(!network.command(1, |registrar, now| registrar.remove_element(
        now,
        &REGISTRAR_POOL.into(),
        PeIdentifier(2)
    )));

    network.add_client(9);
    let peer = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, peer, enrp::ListRequest);
    let update = |action, element| enrp::HandleUpdate { action, handle: REGISTRAR_POOL.into(), element };
    network.tell_peer(9, peer, update(enrp::UpdateAction::ADD_PE, forged(77, 9)));
    network.tell_peer(9, peer, update(enrp::UpdateAction::ADD_PE, forged(2, 9)));
    network.tell_peer(9, peer, update(enrp::UpdateAction::DEL_PE, forged(1, 1)));
    network.run(ms(1000));
    assert_eq!(members(&mut network, 1), [1, 2]);
    assert_eq!(members(&mut network, 2), [1, 2]);
    network.tell_peer(9, peer, update(enrp::UpdateAction::ADD_PE, forged(9, 9)));
    network.run(ms(20));
    assert_eq!(members(&mut network, 1), [1, 2, 9], "of itself it may say so");
}

// Its addresses come late, change, or go.
#[test]
fn the_element_follows_the_addresses() {
    use rserpool_proto::{Input, Node};
    let mut network = scope(2);
    network.add_client(11);
    let assoc = network.dial(11, 2, Channel::Asap);
    let mut change = |addresses: Vec<std::net::IpAddr>| {
        network.command(1, |registrar, now| {
            registrar.handle_input(now, Input::Addresses { channel: Channel::Asap, addresses });
        });
        network.run(ms(50));
        resolve(&mut network, 11, assoc)
    };
    let own = endpoint(2, Channel::Asap);
    assert_eq!(change(vec![ip(99)]), [own, endpoint(99, Channel::Asap)]);
    assert_eq!(change(Vec::new()), [own]);
    assert_eq!(change(vec![ip(1)]), [endpoint(1, Channel::Asap), own]);
}

// rsplib would take the elements for pool elements, and claim them.
#[test]
fn there_is_no_such_pool_where_rsplib_takes_part() {
    let mut network = Network::new();
    let rsplib = Config {
        registrar_pool: true,
        id: Some(RegistrarId(1)),
        ..Config::new(rserpool_proto::profile::Profile::Rsplib)
    };
    network.start_with(1, rsplib);
    assert_eq!(members(&mut network, 1), [0; 0]);
}

// An element that knows one registrar finds the others when that is gone.
#[test]
fn an_element_that_knew_one_registrar_goes_to_another() {
    let mut network = scope(3);
    network.start_endpoint(11, &[3]);
    network.run(ms(1000));
    assert_eq!(network.table(1), [(11, 3)]);
    // Two are gone at once: nobody that the element was told of takes over.
    network.crash(3);
    network.crash(1);
    network.run(ms(5000));
    assert_eq!(network.table(2), [(11, 2)]);
    let reached = network.transcript.iter().any(|(_, host, transmit)| {
        let to = [endpoint(2, Channel::Asap)];
        *host == 11 && matches!(transmit, Transmit::Connect { remote, .. } if *remote == to)
    });
    assert!(reached, "it went there by itself");
}

// The transport is that of the ASAP endpoint.
#[test]
fn the_element_says_where_asap_is_served() {
    let mut network = Network::new();
    network.start_with(1, Config { asap_port: 4000, ..config(1, &[]) });
    let now = network.now;
    let elements = network.registrar(1).elements(now, &REGISTRAR_POOL.into(), None, 9).unwrap();
    let transport =
        SctpTransport { port: 4000, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(1)] };
    assert_eq!(elements[0].user_transport, Transport::Sctp(transport.clone()));
    assert_eq!(elements[0].asap_transport, Some(transport));
    assert_eq!(elements[0].life, None);
}
