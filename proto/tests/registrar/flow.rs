//! The contract with the endpoint: flow control, and any order of inputs.

use crate::network::{Network, element, endpoint, ip, pool};
use params::{PeIdentifier, RegistrarId};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_proto::registrar::{Config, Registrar};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, Time, Transmit};
use std::time::Duration;

pub(crate) fn registrar(adapt: impl FnOnce(&mut Config)) -> Registrar {
    let mut config = Network::config(1, &[]);
    adapt(&mut config);
    Registrar::new(config, ChaCha12Rng::seed_from_u64(1), Time::ZERO)
}

pub(crate) fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

pub(crate) fn up(channel: Channel, n: u64, host: u8) -> Input {
    let assoc = AssocId::accepted(channel, n);
    let remote = vec![endpoint(host, channel)];
    Input::Up { assoc, channel, remote, local: vec![ip(1)], streams: 16 }
}

pub(crate) fn message(assoc: AssocId, ppid: u32, bytes: bytes::Bytes) -> Input {
    Input::Message { assoc, stream: 0, ppid, unordered: false, bytes }
}

fn registration(host: u8, life: i32) -> bytes::Bytes {
    let element = params::PoolElement { life: params::RegistrationLife(life), ..element(host) };
    asap::Message::from(asap::Registration { handle: pool(), element }).encode().unwrap()
}

pub(crate) fn drain(registrar: &mut Registrar) -> Vec<Transmit> {
    std::iter::from_fn(|| registrar.poll_transmit()).collect()
}

/// A registrar with one peer, 9, and one element, 11.
pub(crate) fn with_peer_and_element(adapt: impl FnOnce(&mut Config)) -> (Registrar, AssocId, AssocId) {
    let mut registrar = registrar(adapt);
    let (peer, element) = (AssocId::accepted(Channel::Enrp, 0), AssocId::accepted(Channel::Asap, 0));
    registrar.handle_input(at(1), up(Channel::Enrp, 0, 9));
    let hello = enrp::Message {
        sender: RegistrarId(9),
        receiver: RegistrarId::NONE,
        body: enrp::Presence { reply_required: false, checksum: None, information: None, silent: Vec::new() }
            .into(),
    };
    registrar.handle_input(at(1), message(peer, PPID_ENRP, hello.encode().unwrap()));
    registrar.handle_input(at(1), up(Channel::Asap, 0, 11));
    registrar.handle_input(at(1), message(element, PPID_ASAP, registration(11, -1)));
    drain(&mut registrar);
    (registrar, peer, element)
}

fn lives_told_to(peer: AssocId, transmits: &[Transmit]) -> Vec<(u32, i32)> {
    let told = transmits.iter().filter_map(|transmit| match transmit {
        Transmit::Send { assoc, bytes, .. } if *assoc == peer => {
            enrp::decode(bytes, RegistrarId::NONE).message.ok()
        }
        _ => None,
    });
    told.filter_map(|message| match message.body {
        enrp::Body::HandleUpdate(update) => Some((update.element.id.0, update.element.life.0)),
        _ => None,
    })
    .collect()
}

// Design §4: nothing for a full association is popped until it is writable; what waits coalesces, in order.
#[test]
fn updates_for_a_full_association_wait_and_coalesce() {
    let (mut registrar, peer, element) = with_peer_and_element(|_| {});
    registrar.handle_input(at(2), Input::Full { assoc: peer });
    for life in [10, 20, 30] {
        registrar.handle_input(at(3), message(element, PPID_ASAP, registration(11, life)));
    }
    let meanwhile = drain(&mut registrar);
    assert!(
        !meanwhile.iter().any(|transmit| matches!(transmit, Transmit::Send { assoc, .. } if *assoc == peer))
    );
    let answers = meanwhile.iter().filter(|t| matches!(t, Transmit::Send { assoc, .. } if *assoc == element));
    assert_eq!(answers.count(), 3, "others go on");
    registrar.handle_input(at(4), Input::Writable { assoc: peer });
    let element12 = registration(11, 40);
    registrar.handle_input(at(4), message(element, PPID_ASAP, element12));
    assert_eq!(lives_told_to(peer, &drain(&mut registrar)), [(11, 30), (11, 40)]);
}

// Design D11: what waits is limited; beyond that the association ends.
#[test]
fn a_peer_that_does_not_read_is_aborted() {
    let (mut registrar, peer, _) = with_peer_and_element(|config| config.limits.queued_bytes = 1000);
    registrar.handle_input(at(2), Input::Full { assoc: peer });
    for n in 1..=20 {
        let assoc = AssocId::accepted(Channel::Asap, n);
        let host = 20 + u8::try_from(n).unwrap();
        registrar.handle_input(at(3), up(Channel::Asap, n, host));
        registrar.handle_input(at(3), message(assoc, PPID_ASAP, registration(host, -1)));
    }
    let transmits = drain(&mut registrar);
    let aborts =
        transmits.iter().filter(|t| matches!(t, Transmit::Abort { assoc, .. } if *assoc == peer)).count();
    assert_eq!(aborts, 1);
    let status = registrar.status(at(3));
    assert_eq!((status.elements, status.counters.queue_overflows), (21, 1));
}

// An element that starts anew while its registrar takes leave is sent elsewhere, and no keep-alive accuses it (seed 201412).
#[test]
fn whoever_restarts_at_a_registrar_that_takes_leave_is_let_go() {
    let (mut registrar, _, element) = with_peer_and_element(|_| {});
    drain(&mut registrar);
    registrar.shutdown(at(10));
    drain(&mut registrar);
    registrar.handle_input(at(11), Input::Restart { assoc: element });
    let transmits = drain(&mut registrar);
    assert!(matches!(&transmits[..], [Transmit::Abort { assoc, .. }] if *assoc == element), "{transmits:?}");
    assert_eq!(registrar.status(at(11)).elements, 1);
}

// Design D11: associations are limited, and clients take no place from the other registrars.
#[test]
fn too_many_associations_are_refused() {
    let mut registrar = registrar(|config| config.limits.associations = 2);
    for n in 0..3 {
        registrar.handle_input(at(1), up(Channel::Asap, n, 11 + u8::try_from(n).unwrap()));
    }
    let refused = AssocId::accepted(Channel::Asap, 2);
    let transmits = drain(&mut registrar);
    assert!(matches!(&transmits[..], [Transmit::Abort { assoc, .. }] if *assoc == refused), "{transmits:?}");
    for n in 0..2 {
        registrar.handle_input(at(1), up(Channel::Enrp, n, 2 + u8::try_from(n).unwrap()));
    }
    assert_eq!(registrar.status(at(1)).counters.associations_refused, 1);
    registrar.handle_input(at(1), up(Channel::Enrp, 2, 4));
    assert_eq!(registrar.status(at(1)).counters.associations_refused, 2);
    let gone = Input::Down { assoc: AssocId::accepted(Channel::Asap, 0), why: DownReason::Unreachable };
    registrar.handle_input(at(1), gone);
    registrar.handle_input(at(2), Input::Down { assoc: refused, why: DownReason::LocalAbort });
    registrar.handle_input(at(2), up(Channel::Asap, 3, 14));
    assert_eq!(registrar.status(at(2)).counters.associations_refused, 2, "there is room again");
}

// Design D11: never a panic, whatever arrives in whatever order; and early timeouts are harmless.
#[test]
fn any_input_is_survived() {
    use rand::RngExt;
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    let mut rng = ChaCha12Rng::seed_from_u64(7);
    let id = PeIdentifier(11);
    let asap: Vec<bytes::Bytes> = [
        asap::Message::from(asap::Registration { handle: pool(), element: element(11) }),
        asap::Deregistration { handle: pool(), id }.into(),
        asap::HandleResolution { subscribe: true, handle: pool(), items: Some(u32::MAX) }.into(),
        asap::EndpointUnreachable { handle: pool(), id }.into(),
        asap::EndpointKeepAliveAck { handle: pool(), id }.into(),
    ]
    .iter()
    .map(|message| message.encode().unwrap())
    .collect();
    let bodies: Vec<enrp::Body> = vec![
        enrp::Presence { reply_required: true, checksum: Some(3), information: None, silent: Vec::new() }
            .into(),
        enrp::HandleTableRequest { own_children_only: true }.into(),
        enrp::HandleTableResponse { rejected: false, more: false, entries: vec![] }.into(),
        enrp::ListRequest.into(),
        enrp::InitTakeover { target: RegistrarId(9) }.into(),
        enrp::InitTakeoverAck { target: RegistrarId(9) }.into(),
        enrp::TakeoverServer { target: RegistrarId(9) }.into(),
        enrp::TakeoverServer { target: RegistrarId(1) }.into(),
    ];
    let mut now = Time::ZERO;
    for _ in 0..20_000 {
        now += Duration::from_millis(rng.random_range(0..20));
        let channel = if rng.random() { Channel::Asap } else { Channel::Enrp };
        let n = rng.random_range(0..6);
        let assoc = AssocId::accepted(channel, n);
        let bytes = match channel {
            Channel::Asap => asap[rng.random_range(0..asap.len())].clone(),
            _ => {
                let body = bodies[rng.random_range(0..bodies.len())].clone();
                let sender = RegistrarId(rng.random_range(7..10));
                enrp::Message { sender, receiver: RegistrarId::NONE, body }.encode().unwrap()
            }
        };
        let input = match rng.random_range(0..12) {
            0 => up(channel, n, 11),
            1 => Input::Down { assoc, why: rserpool_proto::DownReason::Unreachable },
            2 => Input::Down {
                assoc,
                why: rserpool_proto::DownReason::Duplicate(AssocId::accepted(channel, 3)),
            },
            3 => Input::Restart { assoc },
            4 => Input::Full { assoc },
            5 => Input::Writable { assoc },
            6 => Input::PeerShutdown { assoc },
            _ => message(assoc, if channel == Channel::Asap { PPID_ASAP } else { PPID_ENRP }, bytes),
        };
        registrar.handle_input(now, input);
        registrar.handle_timeout(now);
        drain(&mut registrar);
        while registrar.poll_event().is_some() {}
        if let Some((at, _)) = registrar.poll_timeout() {
            assert!(at > now, "a timer that is due was handled");
        }
    }
    assert!(registrar.status(now).counters.registrations > 0);
}

// Whatever an operator configures: time goes on.
#[test]
fn timers_of_zero_do_not_stop_the_world() {
    let (mut registrar, ..) = with_peer_and_element(|config| {
        let timers = &mut config.timers;
        for timer in [
            &mut timers.peer_heartbeat_cycle,
            &mut timers.max_time_last_heard,
            &mut timers.max_time_no_response,
            &mut timers.keep_alive_interval,
            &mut timers.keep_alive_timeout,
            &mut timers.mentor_discovery_timeout,
        ] {
            *timer = Duration::ZERO;
        }
    });
    for millis in 2..100 {
        registrar.handle_timeout(at(millis));
        drain(&mut registrar);
    }
    assert_eq!(registrar.status(at(100)).elements, 0, "nobody can answer in no time");
}

// Design D11: what waits behind a registration that must wait is limited, errors to report included.
#[test]
fn reports_behind_a_parked_registration_are_limited() {
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    let contender = AssocId::accepted(Channel::Asap, 1);
    registrar.handle_input(at(2), up(Channel::Asap, 1, 12));
    registrar.handle_input(at(2), message(contender, PPID_ASAP, registration(11, -1)));
    // An unknown message type that wants to be reported.
    let unknown = bytes::Bytes::from_static(&[0x7f, 0, 0, 4]);
    assert!(::asap::decode(&unknown).reply.is_some());
    for _ in 0..5000 {
        registrar.handle_input(at(3), message(contender, PPID_ASAP, unknown.clone()));
    }
    let aborted = |t: &Transmit| matches!(t, Transmit::Abort { assoc, .. } if *assoc == contender);
    assert_eq!(drain(&mut registrar).iter().filter(|t| aborted(t)).count(), 1);
}

// A-58, RFC 9260 §5.2: who has restarted asks for the table from its beginning.
#[test]
fn a_table_begins_anew_after_a_restart() {
    let (mut registrar, peer, element) =
        with_peer_and_element(|config| config.limits.table_response_bytes = 125);
    let second = params::PoolElement { id: PeIdentifier(12), ..crate::network::element(11) };
    let second = asap::Message::from(asap::Registration { handle: pool(), element: second });
    registrar.handle_input(at(2), message(element, PPID_ASAP, second.encode().unwrap()));
    drain(&mut registrar);
    let first_of_page = |registrar: &mut Registrar| {
        let request = enrp::Message {
            sender: RegistrarId(9),
            receiver: RegistrarId::NONE,
            body: enrp::HandleTableRequest { own_children_only: false }.into(),
        };
        registrar.handle_input(at(3), message(peer, PPID_ENRP, request.encode().unwrap()));
        let sent = drain(registrar);
        let [Transmit::Send { bytes, .. }] = &sent[..] else { panic!("{sent:?}") };
        let enrp::Body::HandleTableResponse(page) =
            enrp::decode(bytes, RegistrarId::NONE).message.unwrap().body
        else {
            panic!()
        };
        page.entries[0].elements[0].id.0
    };
    assert_eq!(first_of_page(&mut registrar), 11);
    registrar.handle_input(at(3), Input::Restart { assoc: peer });
    drain(&mut registrar);
    assert_eq!(first_of_page(&mut registrar), 11);
}

// Design D2: loopback addresses of another host's elements mean nothing here, not even to a client on this host.
#[test]
fn loopback_addresses_of_another_host_are_not_listed() {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    let loopback = std::net::IpAddr::from(std::net::Ipv4Addr::LOCALHOST);
    let transport = |port, addresses| params::SctpTransport {
        port,
        transport_use: params::TransportUse::DATA_ONLY,
        addresses,
    };
    let local = Input::Up {
        assoc: AssocId::accepted(Channel::Asap, 5),
        channel: Channel::Asap,
        remote: vec![std::net::SocketAddr::new(loopback, 5000)],
        local: vec![loopback],
        streams: 16,
    };
    let client = AssocId::accepted(Channel::Asap, 5);
    registrar.handle_input(at(2), local);
    let here = params::PoolElement {
        id: PeIdentifier(12),
        user_transport: params::Transport::Sctp(transport(7000, vec![loopback])),
        ..element(12)
    };
    let here = asap::Message::from(asap::Registration { handle: pool(), element: here });
    registrar.handle_input(at(2), message(client, PPID_ASAP, here.encode().unwrap()));
    let there = params::PoolElement {
        id: PeIdentifier(13),
        home: RegistrarId(9),
        user_transport: params::Transport::Sctp(transport(7000, vec![loopback])),
        asap_transport: Some(transport(3863, vec![loopback])),
        ..element(13)
    };
    let body =
        enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element: there }.into();
    let update = enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body };
    registrar.handle_input(at(2), message(peer, PPID_ENRP, update.encode().unwrap()));
    drain(&mut registrar);
    assert_eq!(registrar.status(at(2)).elements, 3);
    let request = asap::HandleResolution { subscribe: false, handle: pool(), items: None };
    registrar.handle_input(at(3), message(client, PPID_ASAP, asap::Message::from(request).encode().unwrap()));
    let sent = drain(&mut registrar);
    let [Transmit::Send { bytes, .. }] = &sent[..] else { panic!("{sent:?}") };
    let asap::Message::HandleResolutionResponse(answer) = asap::decode(bytes).message.unwrap() else {
        panic!()
    };
    let mut listed: Vec<u32> = answer.elements.iter().map(|element| element.id.0).collect();
    listed.sort_unstable();
    assert_eq!(listed, [11, 12]);
}

// RFC 9260 §5.2: a peer that starts anew while it shuts down is to be spoken to again; one that we shut down is not.
#[test]
fn a_restart_ends_the_shutdown_of_the_peer() {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    registrar.handle_input(at(3), Input::PeerShutdown { assoc: peer });
    registrar.handle_timeout(at(300));
    let to_peer = |transmit: &Transmit| matches!(transmit, Transmit::Send { assoc, .. } if *assoc == peer);
    assert!(!drain(&mut registrar).iter().any(to_peer));
    registrar.handle_input(at(301), Input::Restart { assoc: peer });
    assert!(drain(&mut registrar).iter().any(to_peer));

    registrar.shutdown(at(302));
    assert!(drain(&mut registrar).contains(&Transmit::Shutdown { assoc: peer }));
    registrar.handle_input(at(303), Input::Restart { assoc: peer });
    assert!(!drain(&mut registrar).iter().any(to_peer));
}

// Design D4: an element that lets go of an association in order is not gone; the repetition of the probe finds it.
#[test]
fn a_probe_outlives_an_association_that_ends_in_order() {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    let asap_transport = params::SctpTransport {
        port: 3863,
        transport_use: params::TransportUse::DATA_ONLY,
        addresses: vec![ip(12)],
    };
    let element =
        params::PoolElement { home: RegistrarId(9), asap_transport: Some(asap_transport), ..element(12) };
    let body = enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element }.into();
    let update = enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body };
    registrar.handle_input(at(2), message(peer, PPID_ENRP, update.encode().unwrap()));
    // It is leaving us for its new home, as somebody reports it.
    let leaving = AssocId::accepted(Channel::Asap, 1);
    registrar.handle_input(at(2), up(Channel::Asap, 1, 12));
    registrar.handle_input(at(3), Input::PeerShutdown { assoc: leaving });
    registrar.handle_input(at(3), up(Channel::Asap, 2, 21));
    let report = asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(12) };
    let report = asap::Message::from(report).encode().unwrap();
    registrar.handle_input(at(4), message(AssocId::accepted(Channel::Asap, 2), PPID_ASAP, report));
    let connect = |registrar: &mut Registrar| {
        let connects = drain(registrar).into_iter().filter_map(|transmit| match transmit {
            Transmit::Connect { assoc, .. } => Some(assoc),
            _ => None,
        });
        connects.last()
    };
    let attempt = connect(&mut registrar).unwrap();
    let why = rserpool_proto::DownReason::Duplicate(leaving);
    registrar.handle_input(at(5), Input::Down { assoc: attempt, why });
    registrar.handle_input(at(6), Input::Down { assoc: leaving, why: rserpool_proto::DownReason::Shutdown });
    assert_eq!(registrar.status(at(6)).elements, 2);
    registrar.handle_timeout(at(255));
    let attempt = connect(&mut registrar).unwrap();
    let remote = vec![endpoint(12, Channel::Asap)];
    let local = vec![ip(1)];
    registrar.handle_input(
        at(256),
        Input::Up { assoc: attempt, channel: Channel::Asap, remote, local, streams: 1 },
    );
    let ack = asap::EndpointKeepAliveAck { handle: pool(), id: PeIdentifier(12) };
    let ack = asap::Message::from(ack).encode().unwrap();
    registrar.handle_input(at(257), message(attempt, PPID_ASAP, ack));
    assert_eq!(registrar.status(at(257)).elements, 2);
    assert_eq!(registrar.status(at(257)).counters.keep_alive_acks, 1);
}

// A-48, RFC 9260 §5.2: what a process asked before it was started anew is not carried out afterwards.
#[test]
fn a_restart_forgets_the_requests_that_wait() {
    let (mut registrar, _, _) = with_peer_and_element(|_| {});
    let contender = AssocId::accepted(Channel::Asap, 1);
    registrar.handle_input(at(2), up(Channel::Asap, 1, 12));
    let element = params::PoolElement { id: PeIdentifier(11), ..element(12) };
    let theirs = asap::Message::from(asap::Registration { handle: pool(), element });
    registrar.handle_input(at(2), message(contender, PPID_ASAP, theirs.encode().unwrap()));
    registrar.handle_input(at(3), Input::Restart { assoc: contender });
    for millis in [130, 260] {
        registrar.handle_timeout(at(millis));
    }
    assert_eq!(registrar.status(at(260)).elements, 0, "11 is dead, and 12 does not want to be it any more");
}

// an element of another home is removed in two steps; a peer that reads late gets both, or it would take the
// removal for that of a former owner.
#[test]
fn the_removal_of_a_foreign_element_does_not_coalesce() {
    let (mut registrar, peer, _) = with_peer_and_element(|_| {});
    let foreign = params::PoolElement { home: RegistrarId(9), ..element(12) };
    let body =
        enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element: foreign }.into();
    let update = enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body };
    let update = update.encode();
    assert!(update.is_ok());
    registrar.handle_input(at(2), message(peer, PPID_ENRP, update.unwrap()));
    registrar.handle_input(at(2), Input::Full { assoc: peer });
    assert!(registrar.remove_element(at(3), &pool(), PeIdentifier(12)));
    assert_eq!(lives_told_to(peer, &drain(&mut registrar)), []);
    registrar.handle_input(at(4), Input::Writable { assoc: peer });
    assert_eq!(lives_told_to(peer, &drain(&mut registrar)).len(), 2);
}

// Design D11: each of thousands of clients waits for the identifier of the one before it, and leaves behind that. When the first
// one leaves they all go on, one after the other: the stack does not grow with their number.
#[test]
fn thousands_that_wait_for_each_other_go_on_one_after_the_other() {
    const CLIENTS: u16 = 4000;
    let (mut registrar, ..) = with_peer_and_element(|_| {});
    let client = |n: u16| AssocId::accepted(Channel::Asap, u64::from(n));
    let says = |n: u16, message: asap::Message| Input::Message {
        assoc: client(n),
        stream: 0,
        ppid: PPID_ASAP,
        unordered: false,
        bytes: message.encode().unwrap(),
    };
    let own =
        |n: u16| params::PoolElement { id: PeIdentifier(1000 + u32::from(n)), ..crate::network::element(20) };
    let registers = |element| asap::Message::from(asap::Registration { handle: pool(), element });
    let leaves = |n| asap::Message::from(asap::Deregistration { handle: pool(), id: own(n).id });
    for n in 1..=CLIENTS {
        let remote = vec![std::net::SocketAddr::new(crate::network::ip(20), 10_000 + n)];
        let local = vec![crate::network::ip(1)];
        let up = Input::Up { assoc: client(n), channel: Channel::Asap, remote, local, streams: 16 };
        registrar.handle_input(at(2), up);
        registrar.handle_input(at(2), says(n, registers(own(n))));
        drain(&mut registrar);
    }
    for n in 2..=CLIENTS {
        registrar.handle_input(at(3), says(n, registers(own(n - 1))));
        registrar.handle_input(at(3), says(n, leaves(n)));
        drain(&mut registrar);
    }
    registrar.handle_input(at(4), says(1, leaves(1)));
    drain(&mut registrar);
    let status = registrar.status(at(4));
    assert_eq!(status.counters.registrations_rejected, 0);
    assert_eq!(status.elements, 1 + usize::from(CLIENTS) - 1, "each has the identifier of the one before it");
}
