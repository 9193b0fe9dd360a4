//! RFC 5353 §3.4: the list of peers.

use crate::network::{Host, Network, element, ip, ms, pool};
use crate::played::{add, owned, received, with_played_peer, with_silent_peer};
use enrp::Body;
use params::{PeIdentifier, PoolElement, RegistrarId, SctpTransport, ServerInformation, TransportUse};
use rserpool_proto::registrar::{Event, PeerDownReason, PeerState};
use rserpool_proto::{Channel, PPID_ENRP};

// ENRP-3.4.1-01, -02: whoever speaks is a peer, and is asked to introduce itself.
#[test]
fn an_unknown_sender_becomes_a_peer() {
    let (mut network, _) = with_played_peer();
    let now = network.now;
    assert_eq!(network.registrar(1).peers(now)[0].id, RegistrarId(9));
    let asked = received(&mut network, 9, |body| matches!(body, Body::Presence(p) if p.reply_required));
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].receiver, RegistrarId(9), "A-19");
    let Body::Presence(presence) = &asked[0].body else { panic!() };
    // ENRP-2.1-06, ENRP-2.1-07, ENRP-3.6.2-03
    let information = presence.information.as_ref().unwrap();
    assert_eq!(
        (presence.checksum, information.id, information.transport.port),
        (Some(0xffff), RegistrarId(1), 9901)
    );
}

// ENRP-3.4.2-01, -02: every cycle, without asking for an answer, with the current checksum.
// ENRP-2.1-03, ENRP-3.6-01, ENRP-3.6-03, ENRP-3.6.2-06, PARAM-3.15-02
#[test]
fn presence_is_announced_every_cycle() {
    let (mut network, assoc) = with_played_peer();
    network.add_element(11, 1);
    let before = network.client(9).enrp.len();
    for _ in 0..10 {
        network.tell_peer(9, assoc, enrp::ListRequest);
        network.run(ms(100));
    }
    let messages = network.client(9).enrp[before..].to_vec();
    let presences = messages.iter().filter_map(|(_, message)| match &message.body {
        Body::Presence(presence) => Some(presence),
        _ => None,
    });
    let presences: Vec<_> = presences.collect();
    assert_eq!(presences.len(), 4, "1 s of 250 ms cycles");
    let now = network.now;
    let checksum = network.registrar(1).status(now).checksum;
    assert!(
        checksum != 0xffff && presences.iter().all(|p| !p.reply_required && p.checksum == Some(checksum))
    );
}

// ENRP-3.4.3-02, -03: silence is asked about, then it is death.
#[test]
fn a_silent_peer_is_asked_and_then_dead() {
    let (mut network, _) = with_played_peer();
    network.run(ms(720));
    let asked = |network: &mut Network| {
        received(network, 9, |body| matches!(body, Body::Presence(p) if p.reply_required)).len()
    };
    assert_eq!(asked(&mut network), 1);
    network.run(ms(40));
    assert_eq!(asked(&mut network), 2, "MAX-TIME-LAST-HEARD");
    let down = Event::PeerDown { id: RegistrarId(9), why: PeerDownReason::NotHeard };
    assert!(!network.events(1).contains(&&down));
    network.run(ms(250));
    assert!(network.events(1).contains(&&down), "MAX-TIME-NO-RESPONSE");
}

// A peer's process was replaced; the old identifier is dead at once.
#[test]
fn another_identifier_at_the_same_address_replaces_the_old() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 2);
    network.run(ms(20));
    network.kill(2);
    network.run(ms(450));
    let mut config = Network::config(2, &[1]);
    config.id = Some(RegistrarId(42));
    network.start_with(2, config);
    network.run(ms(1500));
    assert_eq!(network.table(1), [(11, 1)], "taken over");
    let now = network.now;
    let peers: Vec<u32> = network.registrar(1).peers(now).iter().map(|peer| peer.id.0).collect();
    assert_eq!(peers, [42]);
    assert_eq!(network.table(2), [(11, 1)]);
}

// ENRP-3-05, A-20
// ENRP-3.2.1-04
#[test]
fn messages_from_ourselves_or_for_others_are_dropped() {
    let (mut network, assoc) = with_played_peer();
    let tell = |network: &mut Network, sender: u32, receiver: u32, body: Body| {
        let (sender, receiver) = (RegistrarId(sender), RegistrarId(receiver));
        let bytes = enrp::Message { sender, receiver, body }.encode().unwrap();
        network.tell_bytes(9, assoc, rserpool_proto::PPID_ENRP, &bytes);
        network.run(ms(10));
    };
    let mut with_transport = owned(11, 9);
    with_transport.asap_transport = Some(params::SctpTransport {
        port: 3863,
        transport_use: params::TransportUse::DATA_ONLY,
        addresses: vec![crate::network::ip(11)],
    });
    tell(&mut network, 9, 1234, add(with_transport.clone()).into());
    assert_eq!(network.table(1), []);
    tell(&mut network, 1, 0, add(owned(11, 1)).into());
    assert_eq!(network.table(1), []);
    assert!(network.events(1).iter().any(|event| matches!(event, Event::IdConflict { .. })));
    tell(&mut network, 9, 1, add(with_transport).into());
    assert_eq!(network.table(1), [(11, 9)]);
    let now = network.now;
    let counters = network.registrar(1).status(now).counters;
    assert_eq!((counters.wrong_receiver, counters.own_identifier), (1, 1));
}

// ENRP-3.4.1-01, D3: registrars that know each other only through a third are peers, too, in whatever order they came.
#[test]
fn a_chain_of_acquaintances_becomes_a_mesh() {
    let mut network = Network::new();
    for host in 1..=5 {
        network.start(
            host,
            if host == 1 { &[] } else { std::slice::from_ref(&[1u8, 1, 2, 3, 4][usize::from(host) - 1]) },
        );
        network.run(ms(700));
    }
    network.run(ms(2000));
    for host in 1..=5 {
        let now = network.now;
        assert_eq!(network.registrar(host).peers(now).len(), 4, "of {host}");
    }
}

// ENRP-3.5.2, D4: elements whose home nobody here ever met do not stay for ever.
#[test]
fn orphans_of_an_unknown_registrar_are_adopted() {
    // A registrar downloads from 9 an element of 8, of which nobody will ever hear again.
    let mut network = Network::new();
    network.add_client(9);
    network.start(3, &[9]);
    network.run_until(ms(10), |network| !network.client(9).up.is_empty());
    let mentor = network.client(9).up[0];
    network.tell_peer(
        9,
        mentor,
        enrp::Presence { reply_required: false, checksum: None, information: None, silent: Vec::new() },
    );
    network.run(ms(10));
    network.tell_peer(9, mentor, enrp::ListResponse { rejected: false, servers: vec![] });
    network.run(ms(10));
    let entries = vec![enrp::PoolEntry { handle: pool(), elements: vec![owned(12, 8)] }];
    network.tell_peer(9, mentor, enrp::HandleTableResponse { rejected: false, more: false, entries });
    network.run(ms(10));
    assert_eq!(network.table(3), [(12, 8)]);
    network.run(ms(6000));
    assert_eq!(network.table(3), [], "claimed; it does not answer");
}

// ENRP-3.5.1-14, D4: a home that only we cannot reach, but that a peer hears and lists, is no dead one.
#[test]
fn elements_of_a_registrar_that_others_hear_are_no_orphans() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 2);
    network.cut(2, 3);
    network.start(3, &[1]);
    network.run(ms(10_000));
    assert_eq!([1, 2, 3].map(|host| network.table(host)), [(); 3].map(|()| vec![(11, 2)]));
    let taken_over = |event: &&Event| matches!(event, Event::TakeoverStarted { .. });
    assert_eq!(network.events(3).into_iter().find(taken_over), None);
    // 2 dies: 1 finds it, as ever.
    network.crash(2);
    network.run(ms(3000));
    assert_eq!([1, 3].map(|host| network.table(host)), [(); 2].map(|()| vec![(11, 1)]));
}

// D4, D9: the same when there are several peers, of which each is asked only now and then, and only one hears it. Nor are
// its elements taken for silent. When that one does not hear it any more, it is taken over.
#[test]
fn elements_of_a_registrar_that_one_of_several_peers_hears_are_no_orphans() {
    let mut network = Network::new();
    for host in [7, 8, 9] {
        network.add_client(host);
    }
    network.start(3, &[9]);
    network.run_until(ms(10), |network| !network.client(9).up.is_empty());
    let mentor = network.client(9).up[0];
    let presence =
        enrp::Presence { reply_required: false, checksum: None, information: None, silent: Vec::new() };
    network.tell_peer(9, mentor, presence.clone());
    network.run(ms(10));
    network.tell_peer(9, mentor, enrp::ListResponse { rejected: false, servers: vec![] });
    network.run(ms(10));
    let elements = (50..55).map(|host| owned(host, 6)).collect();
    let entries = vec![enrp::PoolEntry { handle: pool(), elements }];
    network.tell_peer(9, mentor, enrp::HandleTableResponse { rejected: false, more: false, entries });
    network.run(ms(10));
    let peers = [7, 8, 9].map(|host| match host {
        9 => (9, mentor),
        _ => (host, network.dial(host, 3, Channel::Enrp)),
    });
    let transport = SctpTransport {
        port: 9901,
        transport_use: TransportUse::DATA_ONLY,
        addresses: vec![crate::network::ip(6)],
    };
    let (id, table_response_size, incarnation) = (RegistrarId(6), None, None);
    let six = ServerInformation { id, transport, table_response_size, incarnation };
    let mut answered = [0; 3];
    let mut run = |network: &mut Network, time: u64, listed: bool| {
        for _ in 0..time / 50 {
            for ((host, assoc), answered) in peers.into_iter().zip(&mut answered) {
                network.tell_peer(host, assoc, presence.clone());
                let asked = received(network, host, |body| matches!(body, enrp::Body::ListRequest(_))).len();
                for _ in std::mem::replace(answered, asked)..asked {
                    let servers = if host == 7 && listed { vec![six.clone()] } else { vec![] };
                    network.tell_peer(host, assoc, enrp::ListResponse { rejected: false, servers });
                }
            }
            network.run(ms(50));
        }
    };
    run(&mut network, 20_000, true);
    assert_eq!(network.table(3).iter().filter(|(_, home)| *home == 6).count(), 5);
    for host in 11..15 {
        network.add_element(host, 3);
    }
    network.cut(3, 11);
    run(&mut network, 5000, true);
    let began = |event: &&Event| matches!(event, Event::GuardBegan { .. });
    assert_eq!(network.events(3).into_iter().find(began), None);
    assert!(!network.table(3).iter().any(|(id, _)| *id == 11), "one of nine");
    run(&mut network, 20_000, false);
    assert_eq!(network.table(3).iter().filter(|(_, home)| *home == 6).count(), 0);
}

// ENRP-2.1-03, ENRP-2.1-05, ENRP-3.4.1-03: a question to nobody in particular is answered with checksum and Server
// Information, and what the other says of itself completes what is known of it (ENRP-3.4-01); ENRP-2.1-08: unless it
// speaks of somebody else.
#[test]
fn peers_introduce_each_other() {
    let (mut network, assoc) = with_played_peer();
    let information = |id, hosts: &[Host]| {
        let transport = SctpTransport {
            port: 9901,
            transport_use: TransportUse::DATA_ONLY,
            addresses: hosts.iter().map(|host| crate::network::ip(*host)).collect(),
        };
        Some(ServerInformation {
            id: RegistrarId(id),
            transport,
            table_response_size: None,
            incarnation: None,
        })
    };
    let known = |network: &mut Network| {
        let now = network.now;
        network.registrar(1).peers(now).remove(0)
    };
    for said in [information(9, &[9, 19]), information(8, &[77])] {
        network.client(9).enrp.clear();
        let presence = enrp::Presence {
            reply_required: true,
            checksum: Some(0xffff),
            information: said,
            silent: Vec::new(),
        };
        network.tell_peer(9, assoc, presence);
        network.run(ms(10));
        let answers = received(&mut network, 9, |body| matches!(body, Body::Presence(_)));
        let Body::Presence(answer) = &answers[0].body else { panic!() };
        assert!(!answer.reply_required && answer.checksum == Some(0xffff) && answer.information.is_some());
        let addresses = [9, 19].map(|host| (crate::network::ip(host), 9901).into());
        assert_eq!(known(&mut network).addresses, addresses);
    }
    assert_eq!((known(&mut network).id.0, known(&mut network).state), (9, PeerState::Active));
}

// ENRP-3.4.2-03, ENRP-3.4.3-01, ENRP-4-01: any message is a sign of life. ENRP-3.6-02, ENRP-4-02: a checksum for each
// peer beside the own one.
#[test]
fn any_message_is_a_sign_of_life() {
    let (mut network, assoc) = with_played_peer();
    let messages: [Body; 5] = [
        enrp::Presence { reply_required: false, checksum: None, information: None, silent: Vec::new() }
            .into(),
        add(owned(11, 9)).into(),
        enrp::ListRequest.into(),
        enrp::HandleTableRequest { own_children_only: false }.into(),
        enrp::InitTakeoverAck { target: RegistrarId(77) }.into(),
    ];
    for body in messages {
        network.run(ms(500));
        network.tell_peer(9, assoc, body);
        network.run(ms(10));
        let now = network.now;
        let peer = network.registrar(1).peers(now).remove(0);
        assert!(peer.last_heard <= ms(10) && peer.state == PeerState::Active, "{peer:?}");
    }
    network.add_element(12, 1);
    let now = network.now;
    let (own, theirs) =
        (network.registrar(1).status(now).checksum, network.registrar(1).peers(now).remove(0));
    assert!(own != 0xffff && theirs.expected_checksum != 0xffff && own != theirs.expected_checksum);
}

// ENRP-3.2.1-03: registrars and elements may have the same number.
#[test]
fn an_element_may_have_the_number_of_a_registrar() {
    let mut network = Network::of_registrars(2);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    network.register(11, assoc, PoolElement { id: PeIdentifier(1), ..element(11) });
    network.run(ms(1000));
    assert_eq!((network.table(1), network.table(2)), (vec![(1, 1)], vec![(1, 1)]));
}

// A-56, D13: as many peers as fit into what whoever asks takes; that some are left out is counted.
#[test]
fn a_list_is_as_long_as_the_peer_takes() {
    let (mut network, assoc) = with_silent_peer(|limits| limits.table_response_bytes = 100);
    for host in 21..=25 {
        network.add_client(host);
        let peer = network.dial(host, 1, Channel::Enrp);
        network.tell_peer(host, peer, presence_of(host, vec![ip(host)]));
    }
    network.run(ms(20));
    network.tell_peer(9, assoc, enrp::ListRequest);
    network.run(ms(10));
    let lists = received(&mut network, 9, |body| matches!(body, Body::ListResponse(_)));
    let Body::ListResponse(list) = &lists[0].body else { panic!() };
    assert!((1..5).contains(&list.servers.len()) && lists[0].encode().unwrap().len() <= 100);
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.lists_cut, 1);
}

// Design D11: a peer with thousands of addresses fills no list.
#[test]
fn a_peer_has_few_addresses() {
    let (mut network, assoc) = with_silent_peer(|_| {});
    let many = (1..=200).map(|n| std::net::IpAddr::from([10, 0, 1, n])).collect();
    network.tell_peer(9, assoc, presence_of(9, many));
    network.run(ms(10));
    let now = network.now;
    assert_eq!(network.registrar(1).peers(now)[0].addresses.len(), 8);
}

// the peer is gone, and another process has its address, which takes associations and ends them, but says nothing as a
// registrar: that is no new respite each time.
#[test]
fn another_process_at_the_address_of_a_peer_gives_no_respite() {
    let (mut network, assoc) = with_played_peer();
    network.tell_peer(9, assoc, add(owned(11, 9)));
    network.run(ms(10));
    let lost = network.now;
    let dead = |event: &Event| matches!(event, Event::PeerDown { id: RegistrarId(9), .. });
    let mut last = assoc;
    while network.event_at(1, dead).is_none() && network.now.since(lost) < ms(5000) {
        network.tell_bytes(9, last, PPID_ENRP, b"junk");
        network.run(ms(50));
        network.hang_up(9, last);
        network.run(ms(50));
        last = network.client(9).up.last().copied().unwrap();
    }
    assert!(network.now.since(lost) <= ms(1400), "MAX-TIME-NO-RESPONSE x 4, and what an attempt takes");
}

fn presence_of(host: Host, addresses: Vec<std::net::IpAddr>) -> enrp::Presence {
    let transport = SctpTransport { port: 9901, transport_use: TransportUse::DATA_ONLY, addresses };
    let id = RegistrarId(host.into());
    let information = Some(ServerInformation { id, transport, table_response_size: None, incarnation: None });
    enrp::Presence { reply_required: true, checksum: None, information, silent: Vec::new() }
}
