//! RFC 9260 §5.4: addresses that a peer lists in its handshake may be somebody else's. Only the first one is proven.

use crate::flow::{at, drain, message, registrar, up, with_peer_and_element};
use crate::network::{element, endpoint, ip, pool};
use params::{PeIdentifier, RegistrarId};
use rserpool_proto::registrar::Registrar;
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, Transmit};

const NEW: AssocId = AssocId::accepted(Channel::Asap, 7);

/// Somebody at the first of these hosts, who says to be at the others, too.
fn listing(assoc: AssocId, channel: Channel, hosts: &[u8]) -> Input {
    let remote = hosts.iter().map(|host| endpoint(*host, channel)).collect();
    Input::Up { assoc, channel, remote, local: vec![ip(1)], streams: 16 }
}

fn deregister(registrar: &mut Registrar, assoc: AssocId) {
    let request = asap::Deregistration { handle: pool(), id: PeIdentifier(11) };
    let bytes = asap::Message::from(request).encode().unwrap();
    registrar.handle_input(at(10), message(assoc, PPID_ASAP, bytes));
}

fn register(registrar: &mut Registrar, assoc: AssocId) {
    let request = asap::Registration { handle: pool(), element: element(11) };
    let bytes = asap::Message::from(request).encode().unwrap();
    registrar.handle_input(at(10), message(assoc, PPID_ASAP, bytes));
}

fn elements(registrar: &Registrar) -> usize {
    registrar.status(at(10)).elements
}

/// What was sent over an association.
fn sent_over(over: AssocId, transmits: &[Transmit]) -> Vec<asap::Message> {
    let sent = transmits.iter().filter_map(|transmit| match transmit {
        Transmit::Send { assoc, ppid: PPID_ASAP, bytes, .. } if *assoc == over => Some(bytes),
        _ => None,
    });
    sent.filter_map(|bytes| asap::decode(bytes).message.ok()).collect()
}

/// A registrar where element 11 of home 9 is known: it has no association here.
fn with_element_of_another_home() -> Registrar {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    let registered = AssocId::accepted(Channel::Asap, 0);
    let told = enrp::Message {
        sender: RegistrarId(9),
        receiver: RegistrarId::NONE,
        body: crate::played::add(params::PoolElement {
            asap_transport: Some(params::SctpTransport {
                port: endpoint(11, Channel::Asap).port(),
                transport_use: params::TransportUse::DATA_ONLY,
                addresses: vec![ip(11), ip(12)],
            }),
            ..crate::played::owned(11, 9)
        })
        .into(),
    };
    registrar.handle_input(at(2), Input::Down { assoc: registered, why: DownReason::Shutdown });
    registrar.handle_input(at(3), message(peer, PPID_ENRP, told.encode().unwrap()));
    assert_eq!(elements(&registrar), 1);
    drain(&mut registrar);
    registrar
}

// who lists the address of an element does not speak for it.
#[test]
fn who_lists_the_address_of_an_element_does_not_speak_for_it() {
    let mut registrar = with_element_of_another_home();
    registrar.handle_input(at(4), listing(NEW, Channel::Asap, &[66, 11]));
    deregister(&mut registrar, NEW);
    assert_eq!(elements(&registrar), 1);
    let answers = sent_over(NEW, &drain(&mut registrar));
    assert!(
        matches!(&answers[..], [asap::Message::DeregistrationResponse(response)] if response.error.is_some()),
        "{answers:?}"
    );
    // The element is asked, where it is: not over the association of who says to be there.
    register(&mut registrar, NEW);
    let transmits = drain(&mut registrar);
    assert_eq!(sent_over(NEW, &transmits), []);
    let asked = |transmit: &Transmit| matches!(transmit, Transmit::Connect { remote, .. } if remote[0] == endpoint(11, Channel::Asap));
    assert!(transmits.iter().any(asked), "{transmits:?}");
}

// an element with several addresses speaks for itself from each of them.
#[test]
fn an_element_with_several_addresses_speaks_for_itself_from_each() {
    for from in [[11, 12], [12, 11]] {
        let mut registrar = with_element_of_another_home();
        registrar.handle_input(at(4), listing(NEW, Channel::Asap, &from));
        deregister(&mut registrar, NEW);
        assert_eq!(elements(&registrar), 0);
    }
}

// Who lists the address of a registrar is not connected to in its place.
#[test]
fn who_lists_the_address_of_a_registrar_is_not_taken_for_it() {
    let connects = |registrar: &mut Registrar| {
        let asked = drain(registrar).into_iter().filter_map(|transmit| match transmit {
            Transmit::Connect { remote, .. } => Some(remote),
            _ => None,
        });
        asked.collect::<Vec<_>>()
    };
    for (hosts, attempts) in [([66, 9], 1), ([9, 66], 0)] {
        let mut registrar = registrar(|_| {});
        drain(&mut registrar);
        let stranger = AssocId::accepted(Channel::Enrp, 3);
        registrar.handle_input(at(1), listing(stranger, Channel::Enrp, &hosts));
        let announced = enrp::Message {
            sender: RegistrarId(8),
            receiver: RegistrarId::NONE,
            body: enrp::ListResponse {
                rejected: false,
                servers: vec![params::ServerInformation {
                    id: RegistrarId(9),
                    transport: params::SctpTransport {
                        port: endpoint(9, Channel::Enrp).port(),
                        transport_use: params::TransportUse::DATA_ONLY,
                        addresses: vec![ip(9)],
                    },
                    table_response_size: None,
                    incarnation: None,
                }],
            }
            .into(),
        };
        let peer = AssocId::accepted(Channel::Enrp, 4);
        registrar.handle_input(at(1), up(Channel::Enrp, 4, 8));
        registrar.handle_input(at(2), message(peer, PPID_ENRP, announced.encode().unwrap()));
        registrar.handle_timeout(at(60_000));
        let asked = connects(&mut registrar);
        let to_nine = asked.iter().filter(|remote| remote.contains(&endpoint(9, Channel::Enrp))).count();
        assert_eq!(to_nine, attempts, "{hosts:?}: {asked:?}");
    }
}

// Several addresses were told for one peer, and it is reached at one of them. What it lists beside them leads to nobody.
#[test]
fn an_association_that_we_made_is_known_by_the_address_that_answered() {
    let mut registrar = with_element_of_another_home();
    registrar.handle_input(at(4), listing(NEW, Channel::Asap, &[66]));
    register(&mut registrar, NEW);
    let asked = drain(&mut registrar).into_iter().find_map(|transmit| match transmit {
        Transmit::Connect { assoc, remote, .. } => Some((assoc, remote)),
        _ => None,
    });
    let Some((assoc, remote)) = asked else { panic!("it is asked") };
    assert_eq!(remote, [endpoint(11, Channel::Asap), endpoint(12, Channel::Asap)]);
    registrar.handle_input(at(5), listing(assoc, Channel::Asap, &[12, 11, 13]));
    deregister(&mut registrar, assoc);
    assert_eq!(elements(&registrar), 0, "it speaks for itself");
}

// two elements are claimed at once, and one of them says to be where the other one is as well. Each is asked by itself: what
// the one answers is not taken for an answer of the other.
#[test]
fn who_lists_the_address_of_an_element_does_not_answer_for_it() {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    let add = |id: u32, hosts: &[u8]| {
        let asap_transport = Some(params::SctpTransport {
            port: endpoint(11, Channel::Asap).port(),
            transport_use: params::TransportUse::DATA_ONLY,
            addresses: hosts.iter().map(|host| ip(*host)).collect(),
        });
        let id = PeIdentifier(id);
        let element = params::PoolElement { id, asap_transport, ..crate::played::owned(11, 9) };
        let body = crate::played::add(element).into();
        enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body }.encode().unwrap()
    };
    registrar.handle_input(at(3), message(peer, PPID_ENRP, add(101, &[66, 55])));
    registrar.handle_input(at(3), message(peer, PPID_ENRP, add(102, &[55])));
    drain(&mut registrar);
    registrar.handle_input(at(4), up(Channel::Asap, 3, 70));
    for id in [101, 102] {
        let report = asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(id) };
        let bytes = asap::Message::from(report).encode().unwrap();
        registrar.handle_input(at(4), message(AssocId::accepted(Channel::Asap, 3), PPID_ASAP, bytes));
    }
    let tried = drain(&mut registrar).into_iter().filter_map(|transmit| match transmit {
        Transmit::Connect { remote, .. } => Some(remote),
        _ => None,
    });
    let at_port = |host| endpoint(host, Channel::Asap);
    assert_eq!(tried.collect::<Vec<_>>(), [vec![at_port(66), at_port(55)], vec![at_port(55)]]);
}
