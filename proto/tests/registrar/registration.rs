//! RFC 5352 §3.1 – §3.3: registration, deregistration, resolution.

use crate::network::{Host, Network, element, ip, ms, pool};
use crate::played::{add, owned, with_played_peer, with_silent_peer};
use asap::{HandleResolutionResponse, Message};
use params::{
    CauseCode, Load, PeIdentifier, Policy, PoolElement, RegistrarId, RegistrationLife, SctpTransport,
    TcpTransport, Transport, TransportUse,
};
use rserpool_proto::profile::Profile;
use rserpool_proto::registrar::{Config, Event, ForeignAddresses, Limits, RemovalReason};
use rserpool_proto::{AssocId, Channel, PPID_ASAP, PPID_ENRP, PPID_NONE};

fn causes(message: &Message) -> Vec<CauseCode> {
    let error = match message {
        Message::RegistrationResponse(response) => response.error.as_ref(),
        Message::DeregistrationResponse(response) => response.error.as_ref(),
        Message::HandleResolutionResponse(response) => response.error.as_ref(),
        Message::Error(error) => Some(&error.error),
        _ => None,
    };
    error.map_or_else(Vec::new, |error| error.causes.iter().map(|cause| cause.code).collect())
}

fn rejected(message: &Message) -> bool {
    matches!(message, Message::RegistrationResponse(response) if response.rejected)
}

fn resolution(items: Option<u32>) -> asap::HandleResolution {
    asap::HandleResolution { subscribe: false, handle: pool(), items }
}

fn resolve(
    network: &mut Network,
    host: Host,
    assoc: AssocId,
    items: Option<u32>,
) -> HandleResolutionResponse {
    match network.ask(host, assoc, resolution(items)) {
        Message::HandleResolutionResponse(response) => response,
        other => panic!("{other:?}"),
    }
}

// ASAP-3.1-28, ASAP-3.1-36, ASAP-3.1-37, ASAP-3.1-38, ASAP-3.1-41: the registrar decides about home and ASAP transport.
// ASAP-3.1-44, OVW-2.1-01
#[test]
fn a_registration_creates_the_pool_and_is_answered() {
    let mut network = Network::of_registrars(1);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let lie = SctpTransport { port: 1, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(99)] };
    let said = PoolElement { home: RegistrarId(77), asap_transport: Some(lie), ..element(11) };
    let answer = network.register(11, assoc, said);
    assert_eq!(
        answer,
        asap::RegistrationResponse { rejected: false, handle: pool(), id: PeIdentifier(11), error: None }
            .into()
    );
    let now = network.now;
    let stored = network.registrar(1).elements(now, &pool(), None, 9).unwrap();
    assert_eq!(stored[0].home, RegistrarId(1));
    let seen = SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(11)] };
    assert_eq!(stored[0].asap_transport, Some(seen));
    let events = network.events(1);
    assert!(events.contains(&&Event::PoolCreated { handle: pool() }));
}

// ASAP-3.1-31, -32, -43: what differs from the pool is refused, each difference with its cause.
// PARAM-3.12.6-01, PARAM-3.12.8-01, PARAM-3.12.9-01, ASAP-2.2.3-02, ASAP-3.1-29, ASAP-3.1-40, ASAP-3.1-42
#[test]
fn who_does_not_fit_into_the_pool_is_refused() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    let policy = Policy::Random;
    let tcp = Transport::Tcp(TcpTransport { port: 80, address: ip(12) });
    let control = Transport::Sctp(SctpTransport {
        port: 7000,
        transport_use: TransportUse::DATA_AND_CONTROL,
        addresses: vec![ip(12)],
    });
    let cases = [
        (PoolElement { policy: policy.clone(), ..element(12) }, vec![CauseCode::INCONSISTENT_POLICY]),
        (
            PoolElement { user_transport: tcp.clone(), ..element(12) },
            vec![CauseCode::INCONSISTENT_TRANSPORT_TYPE],
        ),
        (PoolElement { user_transport: control, ..element(12) }, vec![CauseCode::INCONSISTENT_DATA_CONTROL]),
        (
            PoolElement { policy, user_transport: tcp, ..element(12) },
            vec![CauseCode::INCONSISTENT_POLICY, CauseCode::INCONSISTENT_TRANSPORT_TYPE],
        ),
    ];
    for (element, expected) in cases {
        let answer = network.register(12, assoc, element);
        assert!(rejected(&answer));
        assert_eq!(causes(&answer), expected);
    }
    assert_eq!(network.table(1), [(11, 1)]);
}

// ASAP-3.1-33, -34, -35: the same element again updates its values; a refused one leaves them as they were.
#[test]
fn a_reregistration_replaces_the_values() {
    let mut network = Network::of_registrars(1);
    let assoc = network.add_element(11, 1);
    let answer = network.register(11, assoc, PoolElement { life: RegistrationLife(300), ..element(11) });
    assert!(!rejected(&answer));
    let answer = network.register(11, assoc, PoolElement { policy: Policy::Random, ..element(11) });
    assert_eq!(causes(&answer), [CauseCode::INCONSISTENT_POLICY]);
    let now = network.now;
    let stored = network.registrar(1).elements(now, &pool(), None, 9).unwrap();
    assert_eq!((stored.len(), stored[0].life), (1, Some(ms(300_000))));
    assert_eq!(network.registrar(1).status(now).counters.reregistrations, 1);
}

// ASAP-2.2.1-04, SCTP-6951-02, A-26: addresses that the association does not use, as behind a translator.
// ASAP-2.2.3-03
#[test]
fn foreign_addresses_are_trimmed_refused_or_taken() {
    let transport = |addresses: Vec<std::net::IpAddr>| {
        let transport_use = TransportUse::DATA_ONLY;
        Transport::Sctp(SctpTransport { port: 7000, transport_use, addresses })
    };
    let expectations = [
        (ForeignAddresses::Trim, false, Some(transport(vec![ip(11)])), vec![CauseCode::INVALID_VALUES]),
        (ForeignAddresses::Reject, true, None, vec![CauseCode::INVALID_VALUES]),
        (ForeignAddresses::Accept, false, Some(transport(vec![ip(11), ip(99)])), vec![]),
    ];
    for (rule, refused, stored, expected) in expectations {
        let mut network = Network::new();
        let mut config = Network::config(1, &[]);
        config.foreign_addresses = rule;
        network.start_with(1, config);
        network.add_client(11);
        let assoc = network.dial(11, 1, Channel::Asap);
        let user_transport = transport(vec![ip(11), ip(99)]);
        let answer = network.register(11, assoc, PoolElement { user_transport, ..element(11) });
        assert_eq!((rejected(&answer), causes(&answer)), (refused, expected), "{rule:?}");
        let now = network.now;
        let found = network.registrar(1).elements(now, &pool(), None, 9);
        assert_eq!(found.map(|found| found[0].user_transport.clone()), stored, "{rule:?}");
    }
    // Nothing is left: refused even if trimmed.
    let mut network = Network::of_registrars(1);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let user_transport = transport(vec![ip(99)]);
    let answer = network.register(11, assoc, PoolElement { user_transport, ..element(11) });
    assert!(rejected(&answer));
    // Its information is the address: type, length, value.
    let Message::RegistrationResponse(response) = answer else { panic!() };
    let information = &response.error.unwrap().causes[0].information;
    assert_eq!(information[..], [0, 1, 0, 8, 10, 0, 0, 99]);
}

// two registrars have created the pool with different policies at the same time. Who is in it at another registrar, as it is,
// may come here, when its home is gone: else it would be listed for ever, and believe that it is not. Its policy stays its own.
#[test]
fn who_contradicts_the_pool_and_is_in_it_stays() {
    let (mut network, peer) = with_played_peer();
    network.add_element(11, 1);
    let asap = SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(12)] };
    let contradicts = PoolElement { policy: Policy::Random, asap_transport: Some(asap), ..owned(12, 9) };
    network.tell_peer(9, peer, add(contradicts));
    network.run(ms(10));
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    for _ in 0..2 {
        let answer = network.register(12, assoc, PoolElement { policy: Policy::Random, ..element(12) });
        assert!(!rejected(&answer), "{answer:?}");
        assert_eq!(network.table(1), [(11, 1), (12, 1)]);
    }
    let answer = network.register(
        12,
        assoc,
        PoolElement { policy: Policy::LeastUsed { load: Load(0) }, ..element(12) },
    );
    assert_eq!((rejected(&answer), causes(&answer)), (true, vec![CauseCode::INCONSISTENT_POLICY]));
    network.add_client(13);
    let assoc = network.dial(13, 1, Channel::Asap);
    let answer = network.register(13, assoc, PoolElement { policy: Policy::Random, ..element(13) });
    assert!(rejected(&answer), "nobody else comes with that policy");
}

// a process with many elements comes from another address, and the identifiers of all of them are taken. Whether their
// owner lives is asked at once for all, not for one after the other, and none of the requests is too many (seed 52002102 of the
// simulation: the association was aborted, again and again).
#[test]
fn many_elements_may_want_identifiers_that_are_taken() {
    type End = fn(&mut Network, Host);
    for end in [None, Some(Network::kill as End), Some(Network::crash as End)] {
        let lives = end.is_none();
        let mut network = Network::of_registrars(1);
        for host in [11, 12] {
            network.add_client(host);
        }
        let ids = 1001..=1300;
        let with_id = |host: Host, id: u32| PoolElement { id: PeIdentifier(id), ..element(host) };
        let first = network.dial(11, 1, Channel::Asap);
        for id in ids.clone() {
            assert!(!rejected(&network.register(11, first, with_id(11, id))));
        }
        if let Some(end) = end {
            end(&mut network, 11);
        }
        let second = network.dial(12, 1, Channel::Asap);
        network.client(12).asap.clear();
        for id in ids.clone() {
            network.client(12).elements.insert((pool(), PeIdentifier(id)));
            network.tell(12, second, asap::Registration { handle: pool(), element: with_id(12, id) });
        }
        network.run(ms(1500));
        assert!(network.is_connected(12, second));
        let answers = network.client(12).asap.iter().filter_map(|(_, message)| match message {
            Message::RegistrationResponse(response) => Some(response.rejected),
            _ => None,
        });
        assert_eq!(answers.collect::<Vec<_>>(), [lives; 300], "those who live keep them: {lives}");
    }
}

// nobody can tell where an opaque transport leads: whoever takes no foreign addresses does not take it.
#[test]
fn an_opaque_transport_is_refused_where_foreign_addresses_are() {
    for (rule, refused) in
        [(ForeignAddresses::Trim, false), (ForeignAddresses::Reject, true), (ForeignAddresses::Accept, false)]
    {
        let mut network = Network::new();
        let mut config = Network::config(1, &[]);
        config.foreign_addresses = rule;
        network.start_with(1, config);
        network.add_client(11);
        let assoc = network.dial(11, 1, Channel::Asap);
        let user_transport = Transport::Opaque(b"somewhere".to_vec().into());
        let answer = network.register(11, assoc, PoolElement { user_transport, ..element(11) });
        let expected = if refused { vec![CauseCode::INVALID_VALUES] } else { vec![] };
        assert_eq!((rejected(&answer), causes(&answer)), (refused, expected), "{rule:?}");
    }
}

// ASAP-2.2.2-03, A-27, A-28: only the element itself may renew or remove its registration while it lives.
// PARAM-3.12.5-01, PARAM-3.12.10-01, ASAP-3.2-15, SEC-T2.1-04
// ASAP-3.2-17
#[test]
fn nobody_speaks_for_a_living_element() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    let theft = PoolElement { id: PeIdentifier(11), ..element(12) };
    let answer = network.register(12, assoc, theft);
    assert!(rejected(&answer));
    assert_eq!(causes(&answer), [CauseCode::NON_UNIQUE_PE_IDENTIFIER]);
    let request = asap::Deregistration { handle: pool(), id: PeIdentifier(11) };
    let answer = network.ask(12, assoc, request);
    assert_eq!(causes(&answer), [CauseCode::SECURITY]);
    let now = network.now;
    let stored = network.registrar(1).elements(now, &pool(), None, 9).unwrap();
    assert_eq!(stored[0].asap_transport.as_ref().map(|transport| transport.addresses[0]), Some(ip(11)));
}

// a restarted element with its old identifier: the old one does not answer, so the new one replaces it.
// What it asks meanwhile is answered in order.
#[test]
fn a_dead_element_is_replaced_by_its_successor() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.client(11).hangs = true;
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    let successor = PoolElement { id: PeIdentifier(11), ..element(12) };
    network.tell(12, assoc, asap::Registration { handle: pool(), element: successor });
    network.tell(12, assoc, resolution(None));
    let start = network.now;
    let took = network.run_until(ms(1000), |network| network.client(12).asap.len() == 2);
    assert!(took < ms(400), "before the element loses its patience: {took:?} from {start}");
    let [(_, first), (_, second)] = &network.client(12).asap[..] else { panic!() };
    assert!(matches!(first, Message::RegistrationResponse(response) if !response.rejected), "{first:?}");
    let Message::HandleResolutionResponse(answer) = second else { panic!("{second:?}") };
    let Transport::Sctp(transport) = &answer.elements[0].user_transport else { panic!() };
    assert_eq!((answer.elements.len(), &transport.addresses), (1, &vec![ip(12)]));
}

// ASAP-3.2-12, -13, -14, -19, ENRP-3.3.2-01: gone here and at the peers, with its pool; twice is no error.
// ASAP-2.2.4-03, ASAP-3.2-16, ASAP-3.2-20, ENRP-3.3.2-05, OVW-2.1-01
#[test]
fn a_deregistration_is_announced_once() {
    let mut network = Network::of_registrars(2);
    let assoc = network.add_element(11, 1);
    network.run(ms(10));
    assert_eq!(network.table(2), [(11, 1)]);
    let request = asap::Deregistration { handle: pool(), id: PeIdentifier(11) };
    let done: Message =
        asap::DeregistrationResponse { handle: pool(), id: PeIdentifier(11), error: None }.into();
    assert_eq!(network.ask(11, assoc, request.clone()), done);
    network.run(ms(10));
    let now = network.now;
    assert_eq!(network.registrar(1).pool(now, &pool()), None);
    assert_eq!(network.registrar(2).pool(now, &pool()), None);
    let now = network.now;
    let sent = network.registrar(1).status(now).counters.updates_sent;
    assert_eq!(network.ask(11, assoc, request), done);
    assert_eq!(network.registrar(1).status(now).counters.updates_sent, sent, "ASAP-3.2-20");
}

// an element that changed to another registrar deregisters there, and is gone everywhere.
#[test]
fn a_deregistration_at_another_registrar_counts() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 1);
    network.run(ms(10));
    let assoc = network.dial(11, 2, Channel::Asap);
    // What it does not have any more it does not acknowledge.
    network.client(11).elements.clear();
    let answer = network.ask(11, assoc, asap::Deregistration { handle: pool(), id: PeIdentifier(11) });
    assert_eq!(causes(&answer), []);
    network.run(ms(2000));
    for registrar in [1, 2, 3] {
        assert_eq!(network.table(registrar), [], "at {registrar}");
    }
}

// ASAP-3.1-36, ENRP-3.3.1-07: an element that registers elsewhere has a new home everywhere, and its old association
// does not matter any more.
#[test]
fn a_registration_elsewhere_moves_the_element() {
    let mut network = Network::of_registrars(3);
    let old = network.add_element(11, 1);
    let new = network.dial(11, 2, Channel::Asap);
    network.register(11, new, element(11));
    network.run(ms(5));
    network.hang_up(11, old);
    network.run(ms(2000));
    for registrar in [1, 2, 3] {
        assert_eq!(network.table(registrar), [(11, 2)], "at {registrar}");
        assert_eq!(
            network.events(registrar).iter().filter(|e| matches!(e, Event::Resynchronized { .. })).count(),
            0
        );
    }
}

// ASAP-3.1-48, ASAP-2.2.4-02, A-33: the home ends a registration that is not renewed, and says so.
// OVW-2.2-02
// ASAP-3.2-02
#[test]
fn a_registration_expires_at_its_home() {
    let mut network = Network::of_registrars(2);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    network.register(11, assoc, PoolElement { life: RegistrationLife(2), ..element(11) });
    network.run(ms(1900));
    assert_eq!((network.table(1), network.table(2)), (vec![(11, 1)], vec![(11, 1)]));
    network.run(ms(200));
    assert_eq!((network.table(1), network.table(2)), (vec![], vec![]));
    let farewell: Message =
        asap::DeregistrationResponse { handle: pool(), id: PeIdentifier(11), error: None }.into();
    assert!(network.client(11).asap.iter().any(|(_, message)| *message == farewell));
    let removed = |event: &Event| matches!(event, Event::ElementRemoved { why: RemovalReason::Expired, .. });
    assert!(network.event_at(1, removed).is_some());
}

// a life of nothing, or of less than nothing that is not "for ever", is no life.
#[test]
fn a_life_of_nothing_is_refused() {
    let mut network = Network::of_registrars(1);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    for life in [0, -2, i32::MIN] {
        let answer = network.register(11, assoc, PoolElement { life: RegistrationLife(life), ..element(11) });
        assert!(rejected(&answer), "{life}: {answer:?}");
        assert_eq!(causes(&answer), [CauseCode::INVALID_VALUES], "{life}");
    }
    assert_eq!(network.table(1), []);
    // One that is registered keeps its life.
    network.register(11, assoc, PoolElement { life: RegistrationLife(2), ..element(11) });
    network.register(11, assoc, PoolElement { life: RegistrationLife(0), ..element(11) });
    network.run(ms(1900));
    assert_eq!(network.table(1), [(11, 1)]);
    network.run(ms(200));
    assert_eq!(network.table(1), []);
}

// a life of -1 has no end; the element only has to answer.
#[test]
fn a_life_without_end_does_not_end() {
    let mut network = Network::new();
    network.start_with(1, Config { id: Some(RegistrarId(1)), ..Config::new(Profile::Rfc) });
    network.run(ms(60_000));
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    network.register(11, assoc, PoolElement { life: RegistrationLife(-1), ..element(11) });
    network.run(ms(10 * 3_600_000));
    assert_eq!(network.table(1), [(11, 1)]);
    let now = network.now;
    let stored = network.registrar(1).elements(now, &pool(), None, 1).unwrap().remove(0);
    assert_eq!((stored.life, stored.expires_in), (None, None));
}

// what another registrar has taken has a home that answers for its life, so it is kept, and to whoever claims
// it a life of nothing sets no end: it would take an element that answers out of the pool.
#[test]
fn an_element_whose_life_means_nothing_is_claimed_like_any_other() {
    for life in [0, -2] {
        let (mut network, peer) = with_played_peer();
        network.add_client(11);
        network.client(11).elements.insert((pool(), PeIdentifier(11)));
        let asap_transport = Some(SctpTransport {
            port: 3863,
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![ip(11)],
        });
        let theirs = PoolElement { life: RegistrationLife(life), asap_transport, ..owned(11, 9) };
        network.tell_peer(9, peer, add(theirs));
        network.run(ms(10));
        assert_eq!(network.table(1), [(11, 9)], "{life}");
        network.kill(9);
        network.run(ms(20_000));
        assert_eq!(network.client(11).home, Some(RegistrarId(1)), "{life}");
        assert_eq!(network.table(1), [(11, 1)], "{life}");
    }
}

// ASAP-3.3-19, ASAP-3.3-20, A-10: all elements, the policy even if it is Round Robin, no ASAP transport.
// ASAP-1.1-01, ASAP-3.1-30, ASAP-3.3-18, OVW-1-02
#[test]
fn a_resolution_lists_the_pool() {
    let mut network = Network::of_registrars(1);
    for host in 11..=15 {
        network.add_element(host, 1);
    }
    network.add_client(21);
    let assoc = network.dial(21, 1, Channel::Asap);
    let answer = resolve(&mut network, 21, assoc, None);
    assert_eq!((answer.accepted, answer.policy, answer.error), (false, Some(Policy::RoundRobin), None));
    assert_eq!(answer.elements.len(), 5);
    assert!(answer.elements.iter().all(|e| e.asap_transport.is_none() && e.home == RegistrarId(1)));
    // fewer if wanted.
    assert_eq!(resolve(&mut network, 21, assoc, Some(2)).elements.len(), 2);
}

// Design D11, A-49: an answer that a limit cuts is counted; one that is as short as the client wants, or as the policy, is not.
#[test]
fn answers_that_a_limit_cuts_are_counted() {
    let with = |limit: fn(&mut Limits)| {
        let (mut network, _) = with_silent_peer(limit);
        for host in 11..=15 {
            network.add_element(host, 1);
        }
        network.add_client(21);
        let assoc = network.dial(21, 1, Channel::Asap);
        move |items: Option<u32>| {
            let now = network.now;
            let before = network.registrar(1).status(now).counters.resolutions_cut;
            let listed = resolve(&mut network, 21, assoc, items).elements.len();
            (listed, network.registrar(1).status(now).counters.resolutions_cut - before)
        }
    };
    let mut whole = with(|_| {});
    assert_eq!((whole(None), whole(Some(2)), whole(Some(9))), ((5, 0), (2, 0), (5, 0)));
    let mut items = with(|limits| limits.resolution_items = 3);
    assert_eq!((items(None), items(Some(2)), items(Some(9))), ((3, 1), (2, 0), (3, 1)));
    let mut room = with(|limits| limits.resolution_items = 5);
    assert_eq!((room(None), room(Some(9))), ((5, 0), (5, 0)), "there are no more");
    let mut bytes = with(|limits| limits.resolution_bytes = 200);
    let (listed, cut) = bytes(None);
    assert!((1..5).contains(&listed), "{listed}");
    assert_eq!((cut, bytes(Some(1))), (1, (1, 0)));
}

// ASAP-3.3-21, ASAP-2.2.6-04, -07
// PARAM-3.12.11-01, ASAP-3.3-17
#[test]
fn an_unknown_pool_is_a_negative_answer() {
    let mut network = Network::of_registrars(1);
    network.add_client(21);
    let assoc = network.dial(21, 1, Channel::Asap);
    let answer = resolve(&mut network, 21, assoc, None);
    assert_eq!((answer.policy, answer.elements), (None, vec![]));
    assert_eq!(answer.error, Some(CauseCode::UNKNOWN_POOL_HANDLE.into()));
}

// Design D11: a full registrar says so, and goes on.
// ASAP-3.1-39
#[test]
fn a_full_handlespace_refuses() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    config.limits.elements = 1;
    network.start_with(1, config);
    let assoc = network.add_element(11, 1);
    network.add_client(12);
    let other = network.dial(12, 1, Channel::Asap);
    let answer = network.register(12, other, element(12));
    assert_eq!(causes(&answer), [CauseCode::LACK_OF_RESOURCES]);
    assert!(!rejected(&network.register(11, assoc, element(11))), "renewing needs no room");
}

// SCTP-4960-02: who gives no payload protocol means that of the port.
#[test]
fn without_a_payload_protocol_the_port_decides() {
    let mut network = Network::of_registrars(1);
    network.add_client(21);
    let asap = network.dial(21, 1, Channel::Asap);
    let request = Message::from(resolution(None)).encode().unwrap();
    network.tell_bytes(21, asap, PPID_NONE, &request);
    network.run(ms(20));
    let answers = network.client(21).asap.drain(..).map(|(_, message)| message).collect::<Vec<_>>();
    assert!(matches!(answers[..], [Message::HandleResolutionResponse(_)]), "{answers:?}");
    let enrp = network.dial(21, 1, Channel::Enrp);
    network.run(ms(20));
    network.client(21).enrp.clear();
    let (sender, receiver) = (RegistrarId(21), RegistrarId(1));
    let request = enrp::Message { sender, receiver, body: enrp::ListRequest.into() };
    network.tell_bytes(21, enrp, PPID_NONE, &request.encode().unwrap());
    network.run(ms(20));
    let answers = network.client(21).enrp.drain(..).map(|(_, message)| message.body).collect::<Vec<_>>();
    assert!(answers.iter().any(|body| matches!(body, enrp::Body::ListResponse(_))), "{answers:?}");
    assert!(network.client(21).down.is_empty());
}

// ASAP-5, rsplib-interop §1.2: the other protocol's messages end the association; what is neither is ignored.
#[test]
fn the_wrong_protocol_ends_the_association() {
    let mut network = Network::of_registrars(1);
    network.add_client(21);
    for (channel, ppid) in [(Channel::Asap, PPID_ENRP), (Channel::Enrp, PPID_ASAP)] {
        let assoc = network.dial(21, 1, channel);
        network.tell_bytes(21, assoc, 4711, &[1, 2, 3]);
        network.run(ms(20));
        assert!(network.client(21).down.is_empty());
        network.tell_bytes(21, assoc, ppid, &[1, 0, 0, 4]);
        network.run(ms(20));
        assert_eq!(network.client(21).down.pop().map(|(down, _)| down), Some(assoc));
    }
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.wrong_protocol, 2);
}

// ENRP-1.1-02: registrations at two registrars cross, each gives the element up for the other. It is not lost.
#[test]
fn crossing_registrations_leave_one_home() {
    for registrars in [[1, 2], [2, 1]] {
        let mut network = Network::of_registrars(3);
        network.add_client(11);
        network.client(11).elements.insert((pool(), PeIdentifier(11)));
        let associations = registrars.map(|registrar| network.dial(11, registrar, Channel::Asap));
        for assoc in associations {
            network.tell(11, assoc, asap::Registration { handle: pool(), element: element(11) });
        }
        network.run(ms(3000));
        for registrar in [1, 2, 3] {
            assert_eq!(network.table(registrar), [(11, 1)], "at {registrar}");
        }
        network.run(ms(3000));
        assert_eq!(network.table(2), [(11, 1)]);
    }
}

// A-28, ENRP-3.3.1-01: the peers, too, hold the successor of a dead element, and held nothing else in between.
#[test]
fn the_end_of_a_dead_element_is_announced_before_its_successor() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.client(11).hangs = true;
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    let successor = PoolElement { id: PeIdentifier(11), ..element(12) };
    assert!(!rejected(&network.register(12, assoc, successor)));
    network.run(ms(10));
    assert_eq!(network.table(2), [(11, 1)]);
    let events = network.events(2);
    assert!(!events.iter().any(|event| matches!(event, Event::Resynchronized { .. })), "{events:?}");
}

// Design D11: what fits into no answer, update or table is refused, instead of stored where nobody can hear of it.
#[test]
fn an_element_that_no_answer_can_carry_is_refused() {
    let mut network = Network::of_registrars(2);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    for length in [33_000, 65_000] {
        let handle = params::PoolHandle::from("x".repeat(length).as_str());
        let answer = network.ask(11, assoc, asap::Registration { handle, element: element(11) });
        assert!(rejected(&answer), "{length}");
        assert_eq!(causes(&answer), [CauseCode::LACK_OF_RESOURCES]);
    }
    let handle = params::PoolHandle::from("x".repeat(32_000).as_str());
    let answer = network.ask(11, assoc, asap::Registration { handle: handle.clone(), element: element(11) });
    assert!(!rejected(&answer));
    network.run(ms(10));
    let now = network.now;
    assert!(network.registrar(2).elements(now, &handle, None, 9).is_some());
    let answer = network.ask(11, assoc, asap::HandleResolution { subscribe: false, handle, items: None });
    assert!(matches!(&answer, Message::HandleResolutionResponse(answer) if answer.elements.len() == 1));
}

// ENRP-3.2.3-13: a registrar that does not have the handlespace yet cannot know that a pool does not exist.
#[test]
fn a_starting_registrar_denies_no_pool() {
    let mut network = Network::new();
    network.start(1, &[2]);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    network.tell(11, assoc, resolution(None));
    network.run(ms(20));
    assert_eq!(network.client(11).asap, []);
    assert!(!rejected(&network.register(11, assoc, element(11))));
    assert_eq!(resolve(&mut network, 11, assoc, None).elements.len(), 1, "what it knows it tells");
}

// ENRP-3.3.1-01, ENRP-3.6-06: an element registers while its registrar knows no peer yet. The peers hear of it when the
// registrar has started, not a PEER-HEARTBEAT-CYCLE (30 s) later: until then nobody could take it over.
#[test]
fn an_element_that_registers_during_the_start_is_known_everywhere() {
    let mut network = Network::new();
    for (host, peers) in [(1, vec![]), (2, vec![1])] {
        let timers = Profile::Rfc.registrar();
        network.start_with(host, Config { timers, ..Network::config(host, &peers) });
    }
    network.add_client(11);
    let assoc = network.dial(11, 2, Channel::Asap);
    network.register(11, assoc, element(11));
    network.run(ms(50));
    assert_eq!(network.table(1), [(11, 2)]);
}

// ASAP-4-06, A-24: what a registrar answers or takes; everything else is counted and changes nothing. ASAP-1.4-02: it
// keeps no cookies.
#[test]
fn a_registrar_takes_what_is_meant_for_registrars() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    let (handle, id) = (pool(), PeIdentifier(12));
    let unexpected: [Message; 7] = [
        asap::RegistrationResponse { rejected: false, handle: pool(), id, error: None }.into(),
        asap::DeregistrationResponse { handle: pool(), id, error: None }.into(),
        asap::HandleResolutionResponse {
            accepted: false,
            handle: pool(),
            policy: None,
            elements: vec![],
            error: Some(CauseCode::UNKNOWN_POOL_HANDLE.into()),
        }
        .into(),
        asap::EndpointKeepAlive { home: true, registrar: RegistrarId(7), handle: pool(), id: None }.into(),
        asap::Cookie { cookie: vec![1].into() }.into(),
        asap::CookieEcho { cookie: vec![1].into() }.into(),
        asap::BusinessCard { handle, elements: vec![element(11)] }.into(),
    ];
    let count = unexpected.len() as u64;
    for message in unexpected {
        network.tell(12, assoc, message);
    }
    network.tell(12, assoc, asap::Error { error: CauseCode::UNSPECIFIED.into() });
    network.run(ms(10));
    assert_eq!(network.client(12).asap, []);
    let now = network.now;
    let counters = network.registrar(1).status(now).counters;
    assert_eq!((counters.unexpected_messages, counters.asap_errors_received), (count, 1));
    assert_eq!(network.table(1), [(11, 1)]);
    // Registration, resolution, report and deregistration are for it, whoever sends them.
    assert!(!rejected(&network.register(12, assoc, element(12))));
    assert_eq!(resolve(&mut network, 12, assoc, None).elements.len(), 2);
    network.tell(12, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(11) });
    assert_eq!(causes(&network.ask(12, assoc, asap::Deregistration { handle: pool(), id })), []);
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.reports, 1);
}
