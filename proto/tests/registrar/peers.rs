//! RFC 5353 §3.2 – §3.4, §3.6: joining, peers, updates, audit.

use crate::network::{Host, Network, element, ms, pool};
use enrp::Body;
use params::{PeIdentifier, PoolElement, RegistrarId};
use rserpool_proto::registrar::{Event, PeerDownReason, State};
use rserpool_proto::{Channel, Transmit};

fn started(network: &Network, host: Host) -> Option<Option<u32>> {
    network.events(host).iter().find_map(|event| match event {
        Event::Started { mentor } => Some(mentor.map(|mentor| mentor.0)),
        _ => None,
    })
}

/// The bodies that `from` sent over ENRP, in order.
fn bodies(network: &Network, from: Host) -> Vec<enrp::Message> {
    let sent = network.transcript.iter().filter(|(_, host, _)| *host == from);
    sent.filter_map(|(_, _, transmit)| match transmit {
        Transmit::Send { ppid: rserpool_proto::PPID_ENRP, bytes, .. } => {
            enrp::decode(bytes, RegistrarId::NONE).message.ok()
        }
        _ => None,
    })
    .collect()
}

fn received(network: &mut Network, client: Host, wanted: impl Fn(&Body) -> bool) -> Vec<enrp::Message> {
    let messages = network.client(client).enrp.iter().map(|(_, message)| message);
    messages.filter(|message| wanted(&message.body)).cloned().collect()
}

fn add(element: PoolElement) -> enrp::HandleUpdate {
    enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element }
}

fn del(element: PoolElement) -> enrp::HandleUpdate {
    enrp::HandleUpdate { action: enrp::UpdateAction::DEL_PE, ..add(element) }
}

fn owned(host: Host, home: Host) -> PoolElement {
    PoolElement { home: RegistrarId(home.into()), ..element(host) }
}

/// A registrar 1 and a peer 9 that the test plays, which has introduced itself; its association.
fn with_played_peer() -> (Network, rserpool_proto::AssocId) {
    let mut network = Network::of_registrars(1);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, assoc, enrp::ListRequest);
    network.run(ms(20));
    (network, assoc)
}

// ENRP-3.2.2.1-03: alone, in service at once.
#[test]
fn without_peers_the_start_is_complete_at_once() {
    let mut network = Network::new();
    network.start(1, &[]);
    assert_eq!(started(&network, 1), Some(None));
}

// Nobody answers: after the mentor discovery timeout it goes on alone; ASAP is served before.
#[test]
fn without_an_answer_it_starts_alone() {
    let mut network = Network::new();
    network.start(1, &[2]);
    network.add_element(11, 1);
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).state, State::Starting);
    network.run(ms(600));
    assert_eq!(started(&network, 1), Some(None));
    assert_eq!(network.table(1), [(11, 1)]);
}

// ENRP-3.2.2.2-01, -05, ENRP-3.2.3-01, -02, -07, -13: list, then table, page by page; and it meets those it did not know.
#[test]
fn a_registrar_that_joins_has_the_table_and_the_peers() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[2]);
    config.limits.table_response_bytes = 400;
    network.start_with(1, config);
    network.start(2, &[1]);
    network.run(ms(3000));
    for host in 11..=60 {
        network.add_element(host, if host % 2 == 0 { 1 } else { 2 });
    }
    network.run(ms(20));
    network.start(3, &[1]);
    network.run_until(ms(500), |network| started(network, 3).is_some());
    assert_eq!(started(&network, 3), Some(Some(1)));
    assert_eq!(network.table(3).len(), 50);
    assert_eq!(network.table(3), network.table(1));
    let kinds: Vec<_> = bodies(&network, 3).into_iter().map(|message| message.body).collect();
    let lists = kinds.iter().filter(|body| matches!(body, Body::ListRequest(_))).count();
    let tables =
        kinds.iter().filter(|body| matches!(body, Body::HandleTableRequest(r) if !r.own_children_only));
    assert_eq!(lists, 1);
    assert!(tables.count() > 5, "ENRP-3.2.3-08: one request a page");
    network.run(ms(1000));
    let now = network.now;
    assert!(network.registrar(3).peers(now).iter().map(|peer| peer.id.0).eq([1, 2]), "ENRP-3.2.2.2-05");
    // ENRP-3.6-05: nothing to repair.
    assert!(!network.events(3).iter().any(|event| matches!(event, Event::Resynchronized { .. })));
}

// ENRP-3.2.2.2-08, A-57: all start at once and know each other; none waits for ever.
#[test]
fn registrars_that_start_together_all_start() {
    for count in [2, 3, 5] {
        let mut network = Network::of_registrars(count);
        for host in 1..=count {
            assert!(started(&network, host).is_some(), "registrar {host} of {count}");
            let now = network.now;
            assert_eq!(network.registrar(host).peers(now).len(), usize::from(count) - 1);
        }
        network.add_element(11, 1);
        network.run(ms(10));
        for host in 1..=count {
            assert_eq!(network.table(host), [(11, 1)]);
        }
    }
}

// ENRP-3.2.2.2-06, ENRP-3.2.3-14: while it starts itself it rejects.
#[test]
fn a_starting_registrar_rejects_requests() {
    let mut network = Network::new();
    network.start(1, &[2]);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, assoc, enrp::ListRequest);
    network.tell_peer(9, assoc, enrp::HandleTableRequest { own_children_only: false });
    network.run(ms(10));
    let list = Body::ListResponse(enrp::ListResponse { rejected: true, servers: vec![] });
    let table =
        Body::HandleTableResponse(enrp::HandleTableResponse { rejected: true, more: false, entries: vec![] });
    assert_eq!(received(&mut network, 9, |body| *body == list).len(), 1);
    assert_eq!(received(&mut network, 9, |body| *body == table).len(), 1);
}

// ENRP-3.2.2.1-02, ENRP-3.2.2.2-03, ENRP-3.2.3-16: the mentor falls silent, before the list or during the download; a
// backup helps.
#[test]
fn a_backup_mentor_helps() {
    for silent_from in ["the start", "the download"] {
        let mut network = Network::of_registrars(2);
        network.add_element(11, 2);
        network.run(ms(20));
        network.add_client(9);
        network.start(3, &[9, 2]);
        network.run_until(ms(10), |network| !network.client(9).up.is_empty());
        let assoc = network.client(9).up[0];
        network.tell_peer(
            9,
            assoc,
            enrp::Presence { reply_required: false, checksum: None, information: None },
        );
        let asked = |network: &mut Network| {
            !received(network, 9, |body| matches!(body, Body::ListRequest(_))).is_empty()
        };
        network.run_until(ms(10), asked);
        if silent_from == "the download" {
            network.tell_peer(9, assoc, enrp::ListResponse { rejected: false, servers: vec![] });
            network.run(ms(10));
            let entry = enrp::PoolEntry { handle: pool(), elements: vec![owned(12, 9)] };
            let page = enrp::HandleTableResponse { rejected: false, more: true, entries: vec![entry] };
            network.tell_peer(9, assoc, page);
        }
        network.run_until(ms(1000), |network| started(network, 3).is_some());
        assert_eq!(started(&network, 3), Some(Some(2)), "silent from {silent_from}");
        assert!(network.table(3).contains(&(11, 2)));
    }
}

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

// ENRP-3.2.1-02: a peer's process was replaced; the old identifier is dead at once.
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

// ENRP-3.6-06, ENRP-3.6.3-02 – -07: a lost update is found by the checksum; what the owner does not list goes silently.
#[test]
fn a_difference_is_repaired_at_the_next_presence() {
    let mut network = Network::of_registrars(2);
    network.add_client(9);
    network.add_element(11, 2);
    network.run(ms(20));
    // Somebody makes registrar 1 believe that 2 owns another element, and not this one.
    let bytes = |body: Body| {
        let message = enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body };
        message.encode().unwrap()
    };
    let assoc = network.dial(9, 1, Channel::Enrp);
    network.tell_bytes(9, assoc, rserpool_proto::PPID_ENRP, &bytes(add(owned(12, 9)).into()));
    network.tell_bytes(9, assoc, rserpool_proto::PPID_ENRP, &bytes(del(owned(11, 2)).into()));
    network.tell_peer(9, assoc, enrp::TakeoverServer { target: RegistrarId(9) });
    network.run(ms(10));
    assert_eq!(network.table(1), [(12, 9)]);
    network.run(ms(600));
    let now = network.now;
    assert_eq!(network.registrar(1).elements(now, &pool(), None, 1).unwrap()[0].id, PeIdentifier(11));
    assert!(network.events(1).contains(&&Event::Resynchronized { peer: RegistrarId(2) }));
}

// ENRP-3.6.3-07, -08, -09, -11: marks are purged after the last page only; a rejection removes nothing.
#[test]
fn an_interrupted_resynchronization_removes_nothing() {
    let (mut network, assoc) = with_played_peer();
    network.tell_peer(9, assoc, add(owned(11, 9)));
    network.tell_peer(9, assoc, add(owned(12, 9)));
    network.run(ms(300));
    let presence = || enrp::Presence { reply_required: false, checksum: Some(0x1234), information: None };
    let requests = |network: &mut Network| {
        received(network, 9, |body| matches!(body, Body::HandleTableRequest(r) if r.own_children_only)).len()
    };
    let page = |rejected, more, hosts: &[Host]| {
        let elements: Vec<_> = hosts.iter().map(|host| owned(*host, 9)).collect();
        let entries = match elements.is_empty() {
            true => vec![],
            false => vec![enrp::PoolEntry { handle: pool(), elements }],
        };
        enrp::HandleTableResponse { rejected, more, entries }
    };
    for _ in 0..3 {
        network.tell_peer(9, assoc, presence());
    }
    network.run(ms(10));
    assert_eq!(requests(&mut network), 1, "one at a time");
    network.tell_peer(9, assoc, page(true, false, &[]));
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 9), (12, 9)]);

    network.tell_peer(9, assoc, presence());
    network.run(ms(10));
    network.tell_peer(9, assoc, page(false, true, &[13]));
    network.run(ms(10));
    assert_eq!(requests(&mut network), 3, "the next page is asked for");
    assert_eq!(network.table(1), [(11, 9), (12, 9), (13, 9)], "nothing is removed before the end");
    // an entry of another home is ignored.
    let mut last = page(false, false, &[12]);
    last.entries[0].elements.push(owned(14, 8));
    network.tell_peer(9, assoc, last);
    network.run(ms(10));
    assert_eq!(network.table(1), [(12, 9), (13, 9)]);
}

// ENRP-2.2-02, ENRP-3.2.3-05, -06, -19: pages without gaps and repetitions; of all elements, or of its own.
#[test]
fn a_table_is_served_in_pages() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    config.limits.table_response_bytes = 300;
    network.start_with(1, config);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    for host in 11..=20 {
        network.add_element(host, 1);
    }
    network.tell_peer(9, assoc, add(owned(99, 9)));
    network.run(ms(10));
    for (own_children_only, expected) in
        [(true, (11..=20).collect::<Vec<u32>>()), (false, (11..=20).chain([99]).collect())]
    {
        let mut listed = Vec::new();
        loop {
            let before = received(&mut network, 9, |body| matches!(body, Body::HandleTableResponse(_))).len();
            network.tell_peer(9, assoc, enrp::HandleTableRequest { own_children_only });
            network.run(ms(10));
            let pages = received(&mut network, 9, |body| matches!(body, Body::HandleTableResponse(_)));
            assert_eq!(pages.len(), before + 1);
            assert!(pages[before].encode().unwrap().len() <= 300);
            let Body::HandleTableResponse(page) = &pages[before].body else { panic!() };
            assert!(!page.rejected && page.entries.len() == 1 && page.entries[0].handle == pool());
            listed.extend(page.entries[0].elements.iter().map(|element| element.id.0));
            if !page.more {
                break;
            }
        }
        assert_eq!(listed, expected);
    }
}

// Design D6: a registrar that has itself in its list does not mind.
#[test]
fn a_registrar_in_its_own_list_does_no_harm() {
    let mut network = Network::of_registrars(2);
    network.start(3, &[3, 1]);
    network.run(ms(3000));
    assert_eq!(started(&network, 3), Some(Some(1)));
    let now = network.now;
    assert_eq!(network.registrar(3).peers(now).len(), 2);
    assert!(!network.events(3).iter().any(|event| matches!(event, Event::IdConflict { .. })));
}

// Nobody listens at any configured address: there is nothing to wait for.
#[test]
fn refused_connects_end_the_search_for_a_mentor() {
    let mut network = Network::new();
    network.start(2, &[]);
    network.kill(2);
    network.start(1, &[2]);
    network.run(ms(5));
    assert_eq!(started(&network, 1), Some(None));
    // It is found as soon as it is there.
    network.start(2, &[]);
    network.run(ms(700));
    let now = network.now;
    assert_eq!(network.registrar(1).peers(now).len(), 1);
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
    network.tell_peer(9, mentor, enrp::Presence { reply_required: false, checksum: None, information: None });
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
