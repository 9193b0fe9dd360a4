//! RFC 5353 §3.3: changes, told and heard.

use crate::network::{Network, element, ms, pool};
use crate::played::{add, del, owned, received, with_played_peer};
use enrp::Body;
use params::{PeIdentifier, PoolElement, RegistrarId};
use rserpool_proto::Channel;
use rserpool_proto::registrar::Config;

// ENRP-3.3.1-02, -03, -04, ENRP-3.3.2-02, -03: what is told, with everything that a takeover needs.
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
        addresses: vec![crate::network::ip(11)],
    };
    let complete = PoolElement { asap_transport: Some(transport), ..owned(11, 1) };
    assert_eq!(
        told,
        [(1, 0, enrp::UpdateAction::ADD_PE, complete.clone()), (1, 0, enrp::UpdateAction::DEL_PE, complete),]
    );
}

// ENRP-3.3.1-08, A-62: nobody tells us what is ours, and nobody speaks for others.
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
    assert!(!network.client(11).keep_alives(start).is_empty());
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
