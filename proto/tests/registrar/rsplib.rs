//! A scope in which rsplib takes part. What it sends here was captured ("tests/data/rsplib-captured.txt").

use crate::network::{Host, Network, element, endpoint, ip, ms, pool};
use crate::played::{add, del, owned};
use asap::{HandleResolutionResponse, Message};
use enrp::Body;
use params::{
    CauseCode, DccpTransport, PeIdentifier, Policy, PolicyType, PoolElement, PoolHandle, RegistrarId,
    RegistrationLife, SctpTransport, Transport, TransportUse,
};
use rserpool_proto::profile::{Compat, Profile};
use rserpool_proto::registrar::{Config, Event, PeerState};
use rserpool_proto::{AssocId, Channel, PPID_ASAP, PPID_ENRP, Transmit};
use std::net::{IpAddr, Ipv4Addr};

/// A message of rsplib by its name.
fn captured(name: &str) -> Vec<u8> {
    let file = include_str!("../../../tests/data/rsplib-captured.txt");
    let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let hex = line.unwrap_or_else(|| panic!("no message {name:?}"));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn config(host: Host, peers: &[Host]) -> Config {
    let compat = Compat::Rsplib;
    Config { compat, ..Network::config(host, peers) }
}

/// Registrar `host` in a scope with rsplib, which knows nobody.
fn with_registrar(host: Host) -> Network {
    let mut network = Network::new();
    network.start_with(host, config(host, &[]));
    network
}

/// A peer that the test plays, introduced as a registrar of rsplib does it.
fn add_peer(network: &mut Network, host: Host, registrar: Host) -> AssocId {
    network.add_client(host);
    let assoc = network.dial(host, registrar, Channel::Enrp);
    let presence = enrp::Presence {
        reply_required: true,
        checksum: Some(0xffff),
        information: None,
        silent: Vec::new(),
    };
    network.tell_peer(host, assoc, presence);
    network.run(ms(10));
    assoc
}

/// What `from` sent over ENRP, in order.
fn sent(network: &Network, from: Host) -> Vec<(AssocId, Vec<u8>, enrp::Message)> {
    let transmits = network.transcript.iter().filter(|(_, host, _)| *host == from);
    transmits
        .filter_map(|(_, _, transmit)| match transmit {
            Transmit::Send { assoc, ppid: PPID_ENRP, bytes, .. } => {
                let message = enrp::decode(bytes, RegistrarId::NONE).message.unwrap();
                Some((*assoc, bytes.to_vec(), message))
            }
            _ => None,
        })
        .collect()
}

fn resolve(
    network: &mut Network,
    host: Host,
    assoc: AssocId,
    handle: PoolHandle,
    items: Option<u32>,
) -> HandleResolutionResponse {
    match network.ask(host, assoc, asap::HandleResolution { subscribe: false, handle, items }) {
        Message::HandleResolutionResponse(response) => response,
        other => panic!("{other:?}"),
    }
}

fn sctp(addresses: Vec<IpAddr>) -> Transport {
    Transport::Sctp(SctpTransport { port: 7000, transport_use: TransportUse::DATA_ONLY, addresses })
}

// the unit is milliseconds, and an element that answers stays, whatever its life; peers get the value as it is.
#[test]
fn the_home_never_lets_a_living_element_expire() {
    let mut network = with_registrar(3);
    network.add_client(11);
    add_peer(&mut network, 9, 3);
    let assoc = network.dial(11, 3, Channel::Asap);
    network.register(11, assoc, PoolElement { life: RegistrationLife(90_000), ..element(11) });
    let now = network.now;
    let stored = network.registrar(3).elements(now, &pool(), None, 9).unwrap();
    assert_eq!(stored[0].life, Some(ms(90_000)));
    network.run(ms(100_000));
    assert_eq!(network.table(3), [(11, 3)]);
    let updates = sent(&network, 3).into_iter().filter_map(|(.., message)| match message.body {
        Body::HandleUpdate(update) => Some((update.action, update.element.life)),
        _ => None,
    });
    assert_eq!(updates.collect::<Vec<_>>(), [(enrp::UpdateAction::ADD_PE, RegistrationLife(90_000))]);
}

// rsplib's form of the keep-alive names the element, byte for byte; otherwise the RFC's form is sent.
#[test]
fn keep_alives_name_the_element() {
    let received = |compat| {
        let mut network = Network::new();
        network.start_with(1, Config { compat, ..Network::config(1, &[]) });
        network.add_client(11);
        let assoc = network.dial(11, 1, Channel::Asap);
        let Ok(Message::Registration(said)) = asap::decode(&captured("registration of PingPong")).message
        else {
            panic!()
        };
        let transport = sctp(vec![ip(11)]);
        let registration =
            asap::Registration { element: PoolElement { user_transport: transport, ..said.element }, ..said };
        network.ask(11, assoc, registration);
        network.run(ms(400));
        let sent = network.transcript.iter().rev().find_map(|(_, _, transmit)| match transmit {
            Transmit::Send { ppid: PPID_ASAP, bytes, .. } if bytes[0] == 7 => Some(bytes.to_vec()),
            _ => None,
        });
        sent.unwrap()
    };
    assert_eq!(received(Compat::Rsplib), captured("keep-alive"));
    assert_eq!(received(Compat::Rfc).len(), captured("keep-alive").len() - 8, "no PE Identifier");
}

// three elements unless the client asks for a number, never more than 128; the policy in every answer.
#[test]
fn answers_have_as_many_elements_as_rsplib_expects() {
    let mut network = with_registrar(1);
    for host in 11..=240 {
        network.add_element(host, 1);
    }
    network.add_client(250);
    let assoc = network.dial(250, 1, Channel::Asap);
    for (items, expected) in
        [(None, 3), (Some(0), 3), (Some(1), 1), (Some(7), 7), (Some(129), 128), (Some(u32::MAX), 128)]
    {
        let response = resolve(&mut network, 250, assoc, pool(), items);
        assert_eq!((response.elements.len(), response.policy), (expected, Some(Policy::RoundRobin)));
    }
    let asap::Decoded { message: Ok(Message::HandleResolution(request)), .. } =
        asap::decode(&captured("resolution of one"))
    else {
        panic!()
    };
    assert_eq!(request.items, Some(1));
    // Unknown pool: the error, and no flag.
    network.tell_bytes(250, assoc, PPID_ASAP, &captured("resolution of one"));
    network.run(ms(10));
    let Some((_, Message::HandleResolutionResponse(response))) = network.client(250).asap.last() else {
        panic!()
    };
    let error = response.error.as_ref().unwrap();
    assert_eq!(error.causes[0].code, CauseCode::UNKNOWN_POOL_HANDLE);
}

// rsplib rejects a whole answer, table or update for one element that it cannot read: such elements are refused, and so
// are the handles that would end its process. From peers they are not taken over either.
#[test]
fn what_rsplib_cannot_read_is_refused() {
    let mut network = with_registrar(1);
    let peer = add_peer(&mut network, 9, 1);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let link_local: IpAddr = Ipv4Addr::new(169, 254, 0, 1).into();
    let opaque = Policy::Opaque { policy_type: PolicyType(0xb000_2004), value: vec![0; 12].into() };
    let dccp = Transport::Dccp(DccpTransport { port: 7000, service_code: 0, address: ip(11) });
    let long = PoolHandle::new([b'x'; 33]);
    let cases = [
        (pool(), PoolElement { user_transport: sctp(vec![Ipv4Addr::LOCALHOST.into()]), ..element(11) }),
        (pool(), PoolElement { user_transport: sctp(vec![link_local]), ..element(11) }),
        (pool(), PoolElement { user_transport: dccp, ..element(11) }),
        (pool(), PoolElement { policy: opaque, ..element(11) }),
        (long.clone(), element(11)),
    ];
    for (handle, element) in cases {
        let answer =
            network.ask(11, assoc, asap::Registration { handle: handle.clone(), element: element.clone() });
        let Message::RegistrationResponse(response) = &answer else { panic!("{answer:?}") };
        assert!(response.rejected, "{element:?}");
        assert_eq!(response.error.as_ref().unwrap().causes[0].code, CauseCode::INVALID_VALUES);
        let element = PoolElement { home: RegistrarId(9), asap_transport: asap_of(11), ..element };
        let action = enrp::UpdateAction::ADD_PE;
        network.tell_peer(9, peer, enrp::HandleUpdate { action, handle, element });
        network.run(ms(10));
        let now = network.now;
        assert_eq!(network.registrar(1).status(now).elements, 0);
    }
    let without_asap = PoolElement { home: RegistrarId(9), ..element(11) };
    let action = enrp::UpdateAction::ADD_PE;
    network.tell_peer(9, peer, enrp::HandleUpdate { action, handle: pool(), element: without_asap });
    network.run(ms(10));
    assert_eq!(network.table(1), []);
    let response = resolve(&mut network, 11, assoc, long.clone(), None);
    assert_eq!(response.error.unwrap().causes[0].code, CauseCode::UNKNOWN_POOL_HANDLE);
    for (_, bytes, _) in sent(&network, 1) {
        assert!(!bytes.windows(33).any(|window| window == long.as_bytes()), "never to a peer");
    }
    // The longest that it takes, and what is left of a list of addresses.
    network.register(
        11,
        assoc,
        PoolElement { user_transport: sctp(vec![link_local, ip(11)]), ..element(11) },
    );
    let stored = resolve(&mut network, 11, assoc, pool(), None);
    assert_eq!(stored.elements[0].user_transport, sctp(vec![ip(11)]));
    let handle = PoolHandle::new([b'x'; 32]);
    let answer = network.ask(11, assoc, asap::Registration { handle, element: element(11) });
    assert!(matches!(answer, Message::RegistrationResponse(response) if !response.rejected));
}

fn asap_of(host: Host) -> Option<SctpTransport> {
    Some(SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(host)] })
}

// rsplib takes only a PRESENCE with Server Information, whose addresses and port are those of the association, and
// crashes if that names nobody or itself.
#[test]
fn every_presence_says_where_it_comes_from() {
    let mut network = Network::new();
    let advertise = vec![ip(77)];
    network.start_with(1, Config { advertise: advertise.clone(), ..config(1, &[9]) });
    network.start_with(2, Config { advertise, ..config(2, &[1]) });
    network.run(ms(3000));
    let four = add_peer(&mut network, 4, 1);
    network.hang_up(4, four);
    network.kill(2);
    network.run(ms(3000));
    let mut presences = 0;
    for (_, _, message) in sent(&network, 1) {
        let Body::Presence(presence) = message.body else { continue };
        let information = presence.information.expect("Server Information");
        assert_eq!(information.id, RegistrarId(1));
        assert_ne!(message.receiver, RegistrarId(1));
        assert_eq!((information.transport.port, information.transport.addresses), (9901, vec![ip(1)]));
        assert!(presence.checksum.is_some());
        presences += 1;
    }
    assert!(presences > 10);
}

// rsplib refuses the table to whom it does not know; a peer that was started anew with its old
// identifier, and connects to us, knows nobody.
#[test]
fn a_known_peer_on_a_new_association_gets_our_presence_first() {
    let mut network = with_registrar(1);
    let assoc = add_peer(&mut network, 9, 1);
    network.hang_up(9, assoc);
    let again = network.dial(9, 1, Channel::Enrp);
    network.client(9).enrp.clear();
    let presence = enrp::Presence {
        reply_required: false,
        checksum: Some(0x29a5),
        information: None,
        silent: Vec::new(),
    };
    network.tell_peer(9, again, presence);
    network.run(ms(10));
    let bodies: Vec<_> = network.client(9).enrp.iter().map(|(_, message)| message.body.clone()).collect();
    assert!(matches!(bodies.first(), Some(Body::Presence(_))), "{bodies:?}");
    assert!(bodies.iter().any(|body| matches!(body, Body::HandleTableRequest(_))), "{bodies:?}");
}

// rsplib's registrars let an element expire that they hear nothing of.
#[test]
fn an_unchanged_registration_is_announced_again() {
    let mut network = with_registrar(1);
    add_peer(&mut network, 9, 1);
    let assoc = network.add_element(11, 1);
    network.register(11, assoc, element(11));
    network.run(ms(10));
    let updates = |body: &Body| matches!(body, Body::HandleUpdate(_));
    assert_eq!(sent(&network, 1).iter().filter(|(.., message)| updates(&message.body)).count(), 2);
}

// Pages of at most 1400 bytes, each element with its ASAP transport; one that would not fit alone makes rsplib's
// registrar end itself when it passes it on, so it is refused.
#[test]
fn tables_have_pages_that_rsplib_can_take() {
    let mut network = Network::new();
    let accept = rserpool_proto::registrar::ForeignAddresses::Accept;
    network.start_with(1, Config { foreign_addresses: accept, ..config(1, &[]) });
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let addresses = |count: u16| -> Vec<IpAddr> {
        (0..count).map(|n| std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n + 1).into()).collect()
    };
    let mut stored = 0;
    for host in 1..=200 {
        let transport = sctp(addresses(host % 60 + 1));
        let id = PeIdentifier(host.into());
        let element = PoolElement { id, user_transport: transport, ..element(11) };
        stored += usize::from(matches!(network.register(11, assoc, element),
            Message::RegistrationResponse(response) if !response.rejected));
    }
    assert_eq!(stored, 200);
    let handle = PoolHandle::new([b'x'; 32]);
    let large = PoolElement { user_transport: sctp(addresses(64)), id: PeIdentifier(999), ..element(11) };
    let answer = network.ask(11, assoc, asap::Registration { handle, element: large });
    let Message::RegistrationResponse(response) = answer else { panic!("{answer:?}") };
    assert_eq!(response.error.unwrap().causes[0].code, CauseCode::LACK_OF_RESOURCES);
    let peer = add_peer(&mut network, 9, 1);
    let mut listed = 0;
    loop {
        network.client(9).enrp.clear();
        network.tell_peer(9, peer, enrp::HandleTableRequest { own_children_only: false });
        network.run(ms(10));
        let page = network.client(9).enrp.iter().find_map(|(_, message)| match &message.body {
            Body::HandleTableResponse(page) => Some((message.encode().unwrap().len(), page.clone())),
            _ => None,
        });
        let (length, page) = page.unwrap();
        assert!(length <= 1400, "{length}");
        for element in page.entries.iter().flat_map(|entry| &entry.elements) {
            assert_eq!((&element.asap_transport, element.home), (&asap_of(11), RegistrarId(1)));
            listed += 1;
        }
        if !page.more {
            break;
        }
    }
    assert_eq!(listed, 200);
}

// rsplib asks its mentor once, and takes the next answer for that of an earlier request.
#[test]
fn a_starting_registrar_answers_everything() {
    let mut network = Network::new();
    network.start_with(1, config(1, &[2]));
    network.add_element(11, 1);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, assoc, enrp::ListRequest);
    network.tell_peer(9, assoc, enrp::HandleTableRequest { own_children_only: false });
    network.run(ms(10));
    let answers = network.client(9).enrp.iter().filter_map(|(_, message)| match &message.body {
        Body::ListResponse(response) => Some(response.rejected),
        Body::HandleTableResponse(response) => Some(response.rejected || response.entries.is_empty()),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), [false, false]);
    network.add_client(12);
    let client = network.dial(12, 1, Channel::Asap);
    let response = resolve(&mut network, 12, client, "nothing".into(), None);
    assert!(response.error.is_some());
}

// rsplib's clients abort when they get what they did not ask for. An element that is removed hears nothing,
// and a registration with a part that was dropped has no warning in its answer.
#[test]
fn clients_get_answers_and_keep_alives_only() {
    let mut network = with_registrar(1);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    network.register(11, assoc, PoolElement { user_transport: sctp(vec![ip(11), ip(99)]), ..element(11) });
    network.client(11).hangs = true;
    network.run(ms(3000));
    assert_eq!(network.table(1), [], "it was removed");
    network.run(ms(120_000));
    assert!(network.is_connected(11, assoc), "idle associations stay");
    let received: Vec<Message> = network.client(11).asap.iter().map(|(_, message)| message.clone()).collect();
    let (answers, others): (Vec<_>, Vec<_>) =
        received.into_iter().partition(|message| matches!(message, Message::RegistrationResponse(_)));
    let [Message::RegistrationResponse(answer)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((answer.rejected, &answer.error), (false, &None));
    assert!(others.iter().all(|message| matches!(message, Message::EndpointKeepAlive(_))), "{others:?}");
}

// rsplib's element that was started anew with its identifier has no more than 3 s of patience, whatever the
// timers are.
#[test]
fn who_replaces_a_dead_element_is_answered_in_time() {
    let mut network = Network::new();
    network.start_with(1, Config { id: Some(RegistrarId(1)), ..Config::new(Profile::Rsplib) });
    network.add_element(11, 1);
    network.client(11).hangs = true;
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    let same = PoolElement { id: PeIdentifier(11), user_transport: sctp(vec![ip(12)]), ..element(12) };
    network.tell(12, assoc, asap::Registration { handle: pool(), element: same });
    let waited = network.run_until(ms(3000), |network| !network.client(12).asap.is_empty());
    assert!(waited < ms(2500), "{waited:?}");
}

// rsplib's hsdump poses as a registrar, reads the table and is gone: it is served, and nobody waits for it afterwards.
#[test]
fn a_table_reader_is_neither_voter_nor_target() {
    let mut network = with_registrar(1);
    let two = add_peer(&mut network, 2, 1);
    let element = PoolElement { home: RegistrarId(2), asap_transport: asap_of(11), ..element(11) };
    let action = enrp::UpdateAction::ADD_PE;
    network.tell_peer(2, two, enrp::HandleUpdate { action, handle: pool(), element });
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    for message in ["presence of hsdump", "list request of hsdump", "table request of hsdump"] {
        network.tell_bytes(9, assoc, PPID_ENRP, &captured(message));
    }
    network.run(ms(10));
    let dumped = network.client(9).enrp.iter().any(
        |(_, message)| matches!(&message.body, Body::HandleTableResponse(page) if page.entries.len() == 1),
    );
    assert!(dumped);
    // Others do not hear of it, and a takeover does not ask it.
    network.tell_peer(2, two, enrp::ListRequest);
    network.run(ms(10));
    let list = network.client(2).enrp.iter().rev().find_map(|(_, message)| match &message.body {
        Body::ListResponse(list) => Some(list.servers.len()),
        _ => None,
    });
    assert_eq!(list, Some(0));
    network.kill(2);
    let waited = network.run_until(ms(3000), |network| network.table(1) == [(11, 1)]);
    assert!(waited < ms(1000), "no vote is missing: {waited:?}");
    // It is gone, and nobody looks for it.
    network.hang_up(9, assoc);
    network.run(ms(10));
    let before = network.transcript.len();
    network.run(ms(20_000));
    let now = network.now;
    assert_eq!(network.registrar(1).peers(now), []);
    let hsdumps = endpoint(9, Channel::Enrp);
    let tried = network.transcript[before..].iter().any(|(_, _, transmit)| {
        matches!(transmit, Transmit::Connect { remote, .. } if remote.contains(&hsdumps) || remote[0].port() != 9901)
    });
    assert!(!tried);
}

// An element of rsplib answers keep-alives to its home only: whoever else asks would take it for dead.
#[test]
fn a_reported_element_of_another_home_is_not_probed() {
    let mut network = with_registrar(1);
    let two = add_peer(&mut network, 2, 1);
    network.add_client(11);
    network.client(11).hangs = true;
    let element = PoolElement { home: RegistrarId(2), asap_transport: asap_of(11), ..element(11) };
    let action = enrp::UpdateAction::ADD_PE;
    network.tell_peer(2, two, enrp::HandleUpdate { action, handle: pool(), element });
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    network.tell(12, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(11) });
    network.run(ms(700));
    assert!(network.client(11).asap.is_empty());
    let removals = |body: &Body| matches!(body, Body::HandleUpdate(update) if update.action == enrp::UpdateAction::DEL_PE);
    assert!(!sent(&network, 1).iter().any(|(.., message)| removals(&message.body)));
}

// an element answers its home only. What was to be asked and has another home when its turn comes is not asked:
// it would be taken for dead.
#[test]
fn an_element_that_moved_before_its_turn_is_not_probed() {
    for reported in [false, true] {
        let mut network = Network::new();
        let mut config = config(1, &[]);
        config.limits.probes_per_second = 1;
        network.start_with(1, config);
        let elements = [11, 12, 13].map(|host| network.add_element(host, 1));
        let peer = add_peer(&mut network, 9, 1);
        let asked = network.now;
        for host in [11, 12, 13] {
            match reported {
                true => {
                    let report = asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(host) };
                    network.tell(12, elements[1], report);
                }
                false => {
                    let element = owned(u8::try_from(host).unwrap(), 1);
                    network.tell_peer(9, peer, del(element));
                }
            }
        }
        network.run(ms(10));
        assert!(network.client(13).keep_alives(asked).is_empty(), "the budget is spent");
        network.client(13).hangs = true;
        let asap_transport = asap_of(13);
        network.tell_peer(9, peer, add(PoolElement { asap_transport, ..owned(13, 9) }));
        for _ in 0..30 {
            network.tell_peer(9, peer, enrp::ListRequest);
            network.run(ms(500));
        }
        let moved = network.table(1).contains(&(13, 9));
        assert!(moved, "reported: {reported}");
        let asked = network.client(13).keep_alives(asked);
        assert_eq!(asked.len(), 1, "whether it is still at home here, not whether it lives: {asked:?}");
    }
}

/// Registrar 3, ours, and rsplib's 1 and 2 with what they said when 1 had registered two elements.
fn rsplibs_scope() -> (Network, AssocId, AssocId) {
    let mut network = with_registrar(3);
    for host in [1, 2] {
        network.add_client(host);
    }
    let one = network.dial(1, 3, Channel::Enrp);
    let two = network.dial(2, 3, Channel::Enrp);
    for (host, assoc, message) in [
        (1, one, "presence of 1 to 3, checksum ffff"),
        (2, two, "presence of 2 to 3, checksum ffff"),
        (1, one, "update of 1 to 3, first"),
        (1, one, "update of 1 to 3, second"),
        (1, one, "presence of 1 to 3, checksum caf7"),
        (2, two, "list of 2"),
    ] {
        network.tell_bytes(host, assoc, PPID_ENRP, &captured(message));
    }
    network.run(ms(20));
    (network, one, two)
}

fn homes(network: &mut Network) -> Vec<(u32, u32)> {
    let now = network.now;
    let handle: PoolHandle = "PingPongPool".into();
    let elements = network.registrar(3).elements(now, &handle, None, 9).unwrap_or_default();
    elements.iter().map(|element| (element.id.0, element.home.0)).collect()
}

// Our checksum of rsplib's elements is the one that it announced, so nothing has to be loaded.
#[test]
fn checksums_agree_with_rsplibs() {
    let (mut network, ..) = rsplibs_scope();
    assert_eq!(homes(&mut network), [(0x87cc_0593, 1), (0xb803_749e, 1)]);
    let requests = |body: &Body| matches!(body, Body::HandleTableRequest(_));
    assert!(!sent(&network, 3).iter().any(|(.., message)| requests(&message.body)));
    let now = network.now;
    let one = network.registrar(3).peers(now).into_iter().find(|peer| peer.id == RegistrarId(1)).unwrap();
    assert_eq!((one.announced_checksum, one.expected_checksum), (Some(0xcaf7), 0xcaf7));
}

// rsplib's registrar 2 takes over 1. We acknowledge at once and byte for byte as its third
// did; that it has finished shows in its checksum alone, and we do not compete meanwhile.
#[test]
fn a_takeover_by_rsplib_is_followed() {
    let (mut network, one, two) = rsplibs_scope();
    network.hang_up(1, one);
    network.tell_bytes(2, two, PPID_ENRP, &captured("init takeover of 2 to 3"));
    let ack = captured("init takeover ack of 3 to 2");
    network.run(ms(10));
    assert_eq!(sent(&network, 3).iter().filter(|(_, bytes, _)| *bytes == ack).count(), 1);
    network.kill(1);
    // The next presence of rsplib comes within 2.75 s.
    for _ in 0..11 {
        network.tell_bytes(2, two, PPID_ENRP, &captured("list of 2"));
        network.run(ms(250));
    }
    assert_eq!(homes(&mut network), [(0x87cc_0593, 1), (0xb803_749e, 1)]);
    network.tell_bytes(2, two, PPID_ENRP, &captured("presence of 2 to 3, checksum caf7"));
    network.run(ms(10));
    let requests =
        |body: &Body| matches!(body, Body::HandleTableRequest(request) if request.own_children_only);
    assert_eq!(sent(&network, 3).iter().filter(|(.., message)| requests(&message.body)).count(), 1);
    network.tell_bytes(2, two, PPID_ENRP, &captured("table of 2 to 3"));
    network.run(ms(10));
    assert_eq!(homes(&mut network), [(0x87cc_0593, 2), (0xb803_749e, 2)]);
    for _ in 0..50 {
        network.tell_bytes(2, two, PPID_ENRP, &captured("presence of 2 to 3, checksum caf7"));
        network.run(ms(250));
    }
    assert_eq!(homes(&mut network), [(0x87cc_0593, 2), (0xb803_749e, 2)]);
    assert!(!network.events(3).iter().any(|event| matches!(event, Event::TakeoverStarted { .. })));
    let now = network.now;
    let peers = network.registrar(3).peers(now);
    assert_eq!(
        peers.iter().map(|peer| (peer.id.0, peer.state)).collect::<Vec<_>>(),
        [(2, PeerState::Active)]
    );
}
