//! A registrar that is stopped hands its elements over.

use crate::network::{Host, Network, element, ms, pool};
use rserpool_proto::Channel;
use rserpool_proto::registrar::{Event, PeerDownReason, State};

const ELEMENTS: std::ops::RangeInclusive<Host> = 11..=40;

/// Three registrars and 30 real elements, which have the last one as home.
fn scope() -> Network {
    let mut network = Network::of_registrars(3);
    for host in ELEMENTS {
        network.start_endpoint(host, &[3]);
    }
    network.run_until(ms(2000), |network| (1..=3).all(|host| network.table(host).len() == 30));
    network
}

fn homes(network: &mut Network, registrar: Host) -> Vec<u32> {
    let mut homes: Vec<u32> = network.table(registrar).into_iter().map(|(_, home)| home).collect();
    homes.dedup();
    homes
}

// Within a few round trips, not after a timeout, and nobody misses an element for a moment.
#[test]
fn a_registrar_that_stops_hands_its_elements_over_at_once() {
    let mut network = scope();
    network.command(3, |registrar, now| registrar.shutdown(now));
    let mut fewest = usize::MAX;
    let took = network.run_until(ms(400), |network| {
        fewest = fewest.min(network.table(1).len()).min(network.table(2).len());
        network.registrar(3).is_drained()
    });
    assert!(took < ms(150), "{took:?}");
    assert_eq!(fewest, 30);
    for registrar in [1, 2] {
        assert_eq!(homes(&mut network, registrar), [1], "at {registrar}");
    }
    network.kill(3);
    network.run(ms(5000));
    for registrar in [1, 2] {
        assert_eq!((network.table(registrar).len(), homes(&mut network, registrar)), (30, vec![1]));
        let removed = |event: &&Event| matches!(event, Event::ElementRemoved { .. });
        assert_eq!(network.events(registrar).into_iter().filter(removed).count(), 0);
        let down = network.events(registrar).into_iter().filter_map(|event| match event {
            Event::PeerDown { why, .. } => Some(*why),
            _ => None,
        });
        assert_eq!(down.collect::<Vec<_>>(), [PeerDownReason::Left]);
    }
}

// However many they are: their new home claims 2,000 a second, and each of them is waited for.
#[test]
fn many_elements_are_handed_over_one_after_the_other() {
    let mut network = Network::new();
    for (host, peers) in [(1, &[][..]), (2, &[1])] {
        let mut config = Network::config(host, peers);
        config.limits.probes_per_second = 10;
        network.start_with(host, config);
    }
    for host in 11..=40 {
        network.start_endpoint(host, &[2]);
    }
    network.run_until(ms(2000), |network| network.table(1).len() == 30);
    network.command(2, |registrar, now| registrar.shutdown(now));
    let mut fewest = usize::MAX;
    let took = network.run_until(ms(6000), |network| {
        fewest = fewest.min(network.table(1).len());
        network.registrar(2).is_drained()
    });
    assert!(took > ms(2000) && took < ms(4000), "{took:?}");
    assert_eq!((fewest, homes(&mut network, 1)), (30, vec![1]));
}

// Clients are answered until the end, elements are not: they look for a registrar that stays.
#[test]
fn while_it_leaves_it_only_resolves() {
    let mut network = Network::of_registrars(2);
    network.add_client(71);
    let user = network.dial(71, 2, Channel::Asap);
    let element_assoc = network.add_element(11, 2);
    // It does not let go: the registrar waits, for a while.
    network.command(2, |registrar, now| registrar.shutdown(now));
    network.run(ms(50));
    let request = asap::HandleResolution { subscribe: true, handle: pool(), items: None };
    let asap::Message::HandleResolutionResponse(answer) = network.ask(71, user, request) else { panic!() };
    assert_eq!((answer.elements.len(), answer.accepted), (1, false));
    network.client(11).asap.clear();
    network.tell(11, element_assoc, asap::Registration { handle: pool(), element: element(11) });
    network.run(ms(50));
    let answers = |network: &mut Network| {
        let answered =
            |(_, message): &&(_, asap::Message)| matches!(message, asap::Message::RegistrationResponse(_));
        network.client(11).asap.iter().filter(answered).count()
    };
    assert_eq!(answers(&mut network), 0);
    network.add_client(72);
    let late = network.dial(72, 2, Channel::Asap);
    assert!(!network.is_connected(72, late), "nobody begins with a registrar that leaves");
    let took = network.run_until(ms(2100), |network| network.registrar(2).is_drained());
    assert!(took <= ms(2000), "{took:?}");
    assert_eq!(network.table(1), [(11, 1)]);
}

// Without a peer there is nothing to wait for.
#[test]
fn the_last_registrar_stops_at_once() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.command(1, |registrar, now| registrar.shutdown(now));
    let took = network.run_until(ms(100), |network| network.registrar(1).is_drained());
    assert!(took < ms(10), "{took:?}");
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).state, State::Stopped);
}
