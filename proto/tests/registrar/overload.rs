//! Design D11: under overload resolutions are shed first, then reports, then registrations, ENRP last.

use crate::network::{Host, Network, element, ms, pool};
use crate::played::{add, owned, received};
use asap::Message;
use enrp::Body;
use params::{CauseCode, PeIdentifier};
use rserpool_proto::profile::Compat;
use rserpool_proto::registrar::{Config, Counters, Event};
use rserpool_proto::{AssocId, Channel, Input, Node};

fn behind(network: &mut Network, packets: usize) {
    network.command(1, |registrar, now| registrar.handle_input(now, Input::Backlog { packets }));
}

fn counters(network: &mut Network) -> Counters {
    let now = network.now;
    network.registrar(1).status(now).counters
}

fn resolution() -> asap::HandleResolution {
    asap::HandleResolution { subscribe: false, handle: pool(), items: None }
}

/// A registrar that is overloaded from 100 packets on, with an element 11, a client 21 and a peer 9.
fn scope(compat: Compat) -> (Network, AssocId, AssocId, AssocId) {
    let mut network = Network::new();
    let mut config = Config { compat, ..Network::config(1, &[]) };
    config.limits.backlog = 100;
    network.start_with(1, config);
    let element = network.add_element(11, 1);
    network.add_client(21);
    let client = network.dial(21, 1, Channel::Asap);
    network.add_client(9);
    let peer = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, peer, enrp::ListRequest);
    network.run(ms(10));
    (network, element, client, peer)
}

fn answers(network: &mut Network, client: Host, assoc: AssocId, message: impl Into<Message>) -> Vec<Message> {
    let before = network.client(client).asap.len();
    network.tell(client, assoc, message);
    network.run(ms(10));
    network.client(client).asap[before..].iter().map(|(_, message)| message.clone()).collect()
}

/// What is served of: a resolution, a report, a new registration, a renewed one, a table.
fn served(network: &mut Network, element11: AssocId, client: AssocId, peer: AssocId) -> [bool; 5] {
    let start = network.now;
    let resolved = !answers(network, 21, client, resolution()).is_empty();
    let reports = counters(network).reports;
    let report = asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(11) };
    assert!(answers(network, 21, client, report).is_empty());
    let reported = counters(network).reports > reports;
    let answer = answers(network, 21, client, asap::Registration { handle: pool(), element: element(21) });
    let [Message::RegistrationResponse(registered)] = &answer[..] else { panic!("{answer:?}") };
    if registered.rejected {
        let causes = &registered.error.as_ref().unwrap().causes;
        assert_eq!(causes[0].code, CauseCode::LACK_OF_RESOURCES);
    } else {
        let id = PeIdentifier(21);
        assert_eq!(answers(network, 21, client, asap::Deregistration { handle: pool(), id }).len(), 1);
    }
    let answer = answers(network, 11, element11, asap::Registration { handle: pool(), element: element(11) });
    let renewed = answer.iter().any(|message| matches!(message, Message::RegistrationResponse(_)));
    network.client(9).enrp.clear();
    network.tell_peer(9, peer, enrp::HandleTableRequest { own_children_only: true });
    network.run(ms(10));
    let tables = received(network, 9, |body| matches!(body, Body::HandleTableResponse(_)));
    let Body::HandleTableResponse(table) = &tables[0].body else { panic!() };
    assert!(network.now.since(start) < ms(100), "its peers and elements stay");
    [resolved, reported, !registered.rejected, renewed, !table.rejected]
}

// ENRP-2.3-03, ASAP-3.1-39
#[test]
fn the_later_the_worse_the_loss() {
    let (mut network, element11, client, peer) = scope(Compat::Rfc);
    for (packets, expected) in [
        (0, [true; 5]),
        (99, [true; 5]),
        (100, [false, true, true, true, true]),
        (200, [false, false, true, true, true]),
        (400, [false, false, false, false, true]),
        (800, [false; 5]),
        (0, [true; 5]),
    ] {
        behind(&mut network, packets);
        assert_eq!(served(&mut network, element11, client, peer), expected, "{packets} packets behind");
        // Reports of one element are looked into once in an interval, and its registration makes them void.
        network.run(ms(250));
        network.tell_peer(9, peer, enrp::ListRequest);
    }
    let counted = counters(&mut network);
    let shed = [
        counted.resolutions_shed,
        counted.reports_shed,
        counted.registrations_shed,
        counted.table_requests_shed,
    ];
    assert_eq!(shed, [4, 3, 4, 1], "each registration twice: a new one and a renewed one");
    assert_eq!(network.table(1), [(11, 1)]);
}

// What keeps the scope together is never shed: updates, presences, deregistrations, acknowledgements.
#[test]
fn under_any_overload_nobody_is_taken_for_dead() {
    let (mut network, element11, _, peer) = scope(Compat::Rfc);
    behind(&mut network, usize::MAX);
    for _ in 0..10 {
        network.tell_peer(9, peer, enrp::ListRequest);
        network.run(ms(250));
    }
    network.tell_peer(9, peer, add(owned(12, 9)));
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 1), (12, 9)]);
    assert!(!network.events(1).iter().any(|event| matches!(event, Event::PeerDown { .. })));
    let id = PeIdentifier(11);
    assert_eq!(answers(&mut network, 11, element11, asap::Deregistration { handle: pool(), id }).len(), 1);
    assert_eq!(network.table(1), [(12, 9)]);
}

// One warning an episode, however often the backlog comes and goes.
#[test]
fn an_overload_is_told_once() {
    let (mut network, _, client, _) = scope(Compat::Rfc);
    let told = |network: &Network| -> Vec<Event> {
        let overload =
            |event: &&Event| matches!(event, Event::OverloadBegan { .. } | Event::OverloadEnded { .. });
        network.events(1).into_iter().filter(overload).cloned().collect()
    };
    behind(&mut network, 100);
    network.run(ms(10));
    assert_eq!(told(&network), [], "nothing was shed");
    let start = network.now;
    for packets in [100, 0, 300, 64, 100] {
        behind(&mut network, packets);
        network.tell(21, client, resolution());
        network.run(ms(500));
    }
    assert_eq!(told(&network), [Event::OverloadBegan { packets: 100 }]);
    behind(&mut network, 0);
    let last = network.now;
    network.run(ms(2000));
    let lasted = last.since(start) + ms(1000) - ms(2);
    assert_eq!(
        told(&network),
        [Event::OverloadBegan { packets: 100 }, Event::OverloadEnded { shed: 3, lasted }]
    );
    assert_eq!(counters(&mut network).overloads, 1);
    behind(&mut network, 100);
    network.tell(21, client, resolution());
    network.run(ms(10));
    assert_eq!(told(&network).len(), 3, "another one");
}

// rsplib's clients take the next answer for one that is missing: they get what its registrars say when they refuse.
#[test]
fn rsplibs_clients_get_an_answer() {
    let (mut network, _, client, _) = scope(Compat::Rsplib);
    behind(&mut network, 100);
    let answer = answers(&mut network, 21, client, resolution());
    let [Message::HandleResolutionResponse(response)] = &answer[..] else { panic!("{answer:?}") };
    let causes = &response.error.as_ref().unwrap().causes;
    assert_eq!(causes[0].code, CauseCode::UNKNOWN_POOL_HANDLE);
}
