//! RFC 5353 §3.3: changes, told and heard.

use crate::network::{Host, Network, element, ip, ms, pool};
use crate::played::{add, bodies, del, owned, received, with_played_peer};
use enrp::Body;
use params::{PeIdentifier, Policy, PoolElement, RegistrarId, SctpTransport, TransportUse};
use rserpool_proto::registrar::Config;
use rserpool_proto::{Channel, PPID_ASAP, Transmit};

// ENRP-3.3.1-02, -03, -04, ENRP-3.3.2-02, -03: what is told, with everything that a takeover needs.
// ENRP-2.1-04
#[test]
fn changes_are_told_completely() {
    let (mut network, _) = with_played_peer();
    let assoc = network.add_element(11, 1);
    network.ask(11, assoc, asap::Deregistration { handle: pool(), id: PeIdentifier(11) });
    network.run(ms(10));
    // SCTP-6458-02: peers are told, one association after the other; elements are not.
    assert_eq!(network.client(11).enrp, []);
    let updates = received(&mut network, 9, |body| matches!(body, Body::HandleUpdate(_)));
    let told: Vec<_> = updates
        .iter()
        .map(|message| match &message.body {
            Body::HandleUpdate(update) => {
                (message.sender.0, message.receiver.0, update.action, update.element.clone())
            }
            _ => panic!(),
        })
        .collect();
    let transport = params::SctpTransport {
        port: 3863,
        transport_use: params::TransportUse::DATA_ONLY,
        addresses: vec![ip(11)],
    };
    let complete = PoolElement { asap_transport: Some(transport), ..owned(11, 1) };
    assert_eq!(
        told,
        [(1, 0, enrp::UpdateAction::ADD_PE, complete.clone()), (1, 0, enrp::UpdateAction::DEL_PE, complete),]
    );
}

// ENRP-3.3.1-08, A-62: nobody tells us what is ours, and nobody speaks for others.
// ENRP-2.10-02, ENRP-3.7-02
#[test]
fn updates_about_others_are_ignored() {
    let (mut network, assoc) = with_played_peer();
    network.tell_peer(9, assoc, add(owned(11, 1)));
    network.tell_peer(9, assoc, add(owned(12, 7)));
    network.run(ms(10));
    assert_eq!(network.table(1), []);
    let errors = received(&mut network, 9, |body| matches!(body, Body::Error(_)));
    assert_eq!(errors.len(), 1, "for the second: Invalid Values");
    // ENRP-2.4-03
    let message =
        enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body: add(owned(13, 9)).into() };
    let mut bytes = message.encode().unwrap().to_vec();
    bytes[13] = 2;
    network.tell_bytes(9, assoc, rserpool_proto::PPID_ENRP, &bytes);
    network.run(ms(10));
    assert_eq!(network.table(1), []);
}

// ENRP-3.3.2-07, A-63: a former owner's removal crosses the element's registration at another registrar.
#[test]
fn a_late_removal_by_a_former_owner_is_void() {
    let (mut network, assoc) = with_played_peer();
    network.add_element(11, 1);
    let start = network.now;
    network.tell_peer(9, assoc, del(owned(11, 9)));
    network.run(ms(100));
    assert_eq!(network.table(1), [(11, 1)], "the owner looks for itself");
    let keep_alives = network.client(11).keep_alives(start);
    assert!(keep_alives.iter().any(|(_, keep_alive)| keep_alive.home), "and claims it");
    // Between two others: 9 removes what belongs to 8.
    network.add_client(8);
    let eight = network.dial(8, 1, Channel::Enrp);
    network.tell_peer(8, eight, add(owned(12, 8)));
    network.run(ms(10));
    network.tell_peer(9, assoc, del(owned(12, 9)));
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 1), (12, 8)]);
    // Its owner may.
    network.tell_peer(8, eight, del(owned(12, 8)));
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 1)]);
}

/// Element `id` of home 9, at the ASAP transport of `host`.
fn moved(id: Host, host: Host) -> PoolElement {
    let transport =
        SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(host)] };
    PoolElement { asap_transport: Some(transport), ..owned(id, 9) }
}

/// How often registrar 1 told an element that it is not registered any more.
fn told_gone(network: &Network) -> usize {
    let sent = network.transcript.iter().filter(|(_, host, _)| *host == 1);
    let gone = |transmit: &Transmit| {
        matches!(transmit, Transmit::Send { ppid: PPID_ASAP, bytes, .. }
            if matches!(asap::decode(bytes).message, Ok(asap::Message::DeregistrationResponse(_))))
    };
    sent.filter(|(_, _, transmit)| gone(transmit)).count()
}

// ENRP-3.3.1-07: a peer insists that an element of ours is at home there, where nobody is, and then says that it is gone.
// It is believed; the element hears of it at once, and does not wait for the end of its life, a minute, to register again.
#[test]
fn an_element_that_is_moved_by_a_false_word_comes_back() {
    let (mut network, assoc) = with_played_peer();
    network.start_endpoint(11, &[1]);
    network.run(ms(100));
    assert_eq!(network.table(1), [(11, 1)]);
    network.tell_peer(9, assoc, add(moved(11, 77)));
    network.run(ms(10));
    assert_eq!((network.table(1), told_gone(&network)), (vec![(11, 1)], 0));
    network.tell_peer(9, assoc, add(moved(11, 77)));
    network.tell_peer(9, assoc, del(moved(11, 77)));
    network.run(ms(2));
    assert_eq!((network.table(1), told_gone(&network)), (vec![], 1));
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 1)]);
    // Without the last word the others are verified.
    network.tell_peer(9, assoc, add(moved(11, 77)));
    network.run(ms(10));
    network.tell_peer(9, assoc, add(moved(11, 77)));
    network.run(ms(2));
    assert_eq!((network.table(1), told_gone(&network)), (vec![(11, 9)], 2));
    network.run(ms(400));
    assert_eq!((network.table(1), told_gone(&network)), (vec![(11, 1)], 2));
}

// ENRP-3.3.1-07: an element has found another home, over an address that its old association does not have. It hears from the
// old one once, and its home stays where it is.
#[test]
fn an_element_that_has_moved_stays_where_it_is() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.cut(2, 11);
    // The other address of the same process.
    network.add_client(12);
    let new = network.dial(12, 2, Channel::Asap);
    let element = PoolElement { id: PeIdentifier(11), ..element(12) };
    let answer = network.register(12, new, element.clone());
    assert!(
        matches!(&answer, asap::Message::RegistrationResponse(response) if !response.rejected),
        "{answer:?}"
    );
    // The old association acknowledges, too: so 1 objects, and 2 insists.
    network.run(ms(20));
    assert_eq!((network.table(1), network.table(2), told_gone(&network)), (vec![(11, 2)], vec![(11, 2)], 1));
    network.register(12, new, element);
    network.run(ms(20_000));
    assert_eq!((network.table(1), network.table(2), told_gone(&network)), (vec![(11, 2)], vec![(11, 2)], 1));
}

// ENRP-3.3.1-07: the usual move: to where the old association leads, too. There is nothing that the element would have to be told.
#[test]
fn an_element_that_is_still_where_it_was_is_not_disturbed() {
    let (mut network, assoc) = with_played_peer();
    network.add_element(11, 1);
    for _ in 0..2 {
        network.tell_peer(9, assoc, add(moved(11, 11)));
        network.run(ms(100));
    }
    assert_eq!((network.table(1), told_gone(&network)), (vec![(11, 9)], 0));
}

// ENRP-2.4-05: a registration that changes nothing is told to those that may count on it, as rsplib's registrars do, and
// not to ours.
#[test]
fn an_unchanged_registration_is_told_to_strangers_only() {
    let mut network = Network::of_registrars(2);
    network.add_client(9);
    let peer = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, peer, enrp::ListRequest);
    network.run(ms(10));
    let assoc = network.add_element(11, 1);
    let told = |network: &mut Network| {
        let now = network.now;
        let ours = network.registrar(2).status(now).counters.updates_received;
        (ours, received(network, 9, |body| matches!(body, Body::HandleUpdate(_))).len())
    };
    network.run(ms(10));
    assert_eq!(told(&mut network), (1, 1));
    network.register(11, assoc, element(11));
    network.run(ms(10));
    assert_eq!(told(&mut network), (1, 2));
    let changed = PoolElement { life: params::RegistrationLife(60), ..element(11) };
    network.register(11, assoc, changed);
    network.run(ms(10));
    assert_eq!(told(&mut network), (2, 3));
}

// ENRP-3.3.2-04, A-63: by the letter of the RFC whoever says that an element is gone is believed.
#[test]
fn with_strict_rfc_any_registrar_removes_an_element() {
    let mut network = Network::new();
    network.start_with(1, Config { strict_rfc: true, ..Network::config(1, &[]) });
    network.add_client(9);
    let peer = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, peer, enrp::ListRequest);
    network.add_element(11, 1);
    let start = network.now;
    network.tell_peer(9, peer, del(owned(11, 9)));
    network.run(ms(10));
    assert_eq!(network.table(1), []);
    assert_eq!(network.client(11).keep_alives(start), []);
}

/// What these registrars transmitted, as far as it is a message.
fn sends(network: &Network) -> Vec<(Host, Channel, Transmit)> {
    let sent = network.transcript.iter().filter_map(|(_, host, transmit)| match transmit {
        Transmit::Send { ppid, .. } => {
            let channel = if *ppid == 12 { Channel::Enrp } else { Channel::Asap };
            Some((*host, channel, transmit.clone()))
        }
        _ => None,
    });
    sent.collect()
}

// ENRP-1.1-01, ENRP-3-03, ASAP-3.1-46: a change is told to each peer over its association; ENRP-3.3.1-09: nobody passes
// it on. ENRP-3-02, ENRP-5-02, ASAP-2-02, ASAP-2-03, ASAP-0-02, ASAP-5-02, ASAP-8-02: all of it goes over SCTP
// associations under the payload protocol identifiers 11 and 12; ENRP-3-06, A-55: in order on one stream, so that no
// checksum overtakes an update.
#[test]
fn each_peer_is_told_once_and_in_order() {
    let mut network = Network::of_registrars(3);
    network.transcript.clear();
    for host in 11..=110 {
        network.add_element(host, 1);
        network.run(ms(7));
    }
    network.run(ms(500));
    let told = |network: &Network, from: Host| {
        let updates = |message: &enrp::Message| matches!(message.body, Body::HandleUpdate(_));
        bodies(network, from).iter().filter(|message| updates(message)).count()
    };
    assert_eq!((told(&network, 1), told(&network, 2), told(&network, 3)), (200, 0, 0));
    for host in 1..=3 {
        let now = network.now;
        let counters = network.registrar(host).status(now).counters;
        assert_eq!((counters.checksum_mismatches, network.table(host).len()), (0, 100));
    }
    for (_, channel, transmit) in sends(&network) {
        let Transmit::Send { stream, ppid, unordered, .. } = transmit else { panic!() };
        assert_eq!((stream, unordered), (0, false));
        assert_eq!(ppid, if channel == Channel::Enrp { 12 } else { 11 });
    }
}

// ASAP-3.1-47: what was denied is nobody's business.
#[test]
fn a_denied_registration_is_not_told() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    network.run(ms(10));
    network.transcript.clear();
    let answer = network.register(12, assoc, PoolElement { policy: params::Policy::Random, ..element(12) });
    assert!(matches!(answer, asap::Message::RegistrationResponse(response) if response.rejected));
    network.run(ms(10));
    assert!(!bodies(&network, 1).iter().any(|message| matches!(message.body, Body::HandleUpdate(_))));
}

// ENRP-3.3.1-05, -06, A-61: the first element makes the pool; one that contradicts it is kept all the same, so that the
// tables agree. ENRP-3.3.2-06: what is not there cannot be removed, which is no error.
#[test]
fn what_a_peer_says_is_kept_as_it_is() {
    let (mut network, assoc) = with_played_peer();
    let asap_transport =
        Some(SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(11)] });
    let first = PoolElement {
        policy: Policy::Priority { priority: 7 },
        life: params::RegistrationLife(300),
        asap_transport,
        ..owned(11, 9)
    };
    network.tell_peer(9, assoc, add(first.clone()));
    network.tell_peer(9, assoc, add(owned(12, 9)));
    network.tell_peer(9, assoc, del(owned(13, 9)));
    network.run(ms(10));
    let now = network.now;
    assert_eq!(network.registrar(1).pool(now, &pool()).unwrap().policy, first.policy);
    let stored = network.registrar(1).elements(now, &pool(), None, 9).unwrap();
    let [eleven, twelve] = &stored[..] else { panic!("{stored:?}") };
    assert_eq!(
        (&eleven.user_transport, &eleven.policy, eleven.life, &eleven.asap_transport),
        (&first.user_transport, &first.policy, Some(ms(300_000)), &first.asap_transport)
    );
    assert_eq!(twelve.policy, Policy::RoundRobin);
    assert_eq!(received(&mut network, 9, |body| matches!(body, Body::Error(_))), []);
}

// the empty handle is no pool's, whoever says so.
#[test]
fn an_element_without_a_pool_is_not_taken_from_a_peer() {
    let (mut network, assoc) = with_played_peer();
    let update = enrp::HandleUpdate { handle: params::PoolHandle::new(b""), ..add(owned(11, 9)) };
    network.tell_peer(9, assoc, update);
    network.run(ms(10));
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).elements, 0);
}
