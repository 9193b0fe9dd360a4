//! RFC 5353 §3.2: joining a scope.

use crate::network::{Network, element, endpoint, ip, ms, pool};
use crate::played::{bodies, owned, received, started};
use enrp::Body;
use params::{CauseCode, Policy, PoolElement, RegistrarId, RegistrationLife, TcpTransport, Transport};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_proto::registrar::{Config, Event, Registrar, State};
use rserpool_proto::{AssocId, Channel, Node, Time};
use std::collections::BTreeSet;

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

// ENRP-3.2.2.1-04: a registrar that DNS names is the mentor, although nobody was known at the start.
#[test]
fn who_is_found_while_it_looks_for_a_mentor_is_the_mentor() {
    let mut network = Network::new();
    network.start(1, &[]);
    network.add_element(11, 1);
    network.start_with(2, Config { expects_peers: true, ..Network::config(2, &[]) });
    network.run(ms(100));
    assert_eq!(started(&network, 2), None, "it waits");
    // Nobody is at the first address: the others may yet be found.
    for host in [9, 1] {
        let found = vec![endpoint(host, Channel::Enrp)];
        network.command(2, |registrar, now| registrar.add_peer(now, found));
        network.run(ms(100));
    }
    assert_eq!(started(&network, 2), Some(Some(1)));
    assert_eq!(network.table(2), [(11, 1)]);
}

// ENRP-3.2.2.1-03: not for ever.
#[test]
fn where_nobody_is_found_it_starts_alone() {
    let mut network = Network::new();
    network.start_with(1, Config { expects_peers: true, ..Network::config(1, &[]) });
    network.run(ms(400));
    assert_eq!(started(&network, 1), None);
    network.run(ms(200));
    assert_eq!(started(&network, 1), Some(None));
}

// ENRP-3.2.2.2-01, -05, ENRP-3.2.3-01, -02, -07, -13: list, then table, page by page; and it meets those it did not know.
// ENRP-3.2.2.1-01, ENRP-3.2.2.1-04, ENRP-3.2.3-03, ENRP-3.2.3-08, OVW-3-01, ASAP-1.1-05
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
    // ENRP-3.6-05: nothing to repair, but what the mentor said of the other one is loaded from that one, once.
    let loaded: Vec<_> = network
        .events(3)
        .into_iter()
        .filter_map(|event| match event {
            Event::Resynchronized { peer } => Some(peer.0),
            _ => None,
        })
        .collect();
    assert_eq!(loaded, [2]);
    let now = network.now;
    assert_eq!(network.registrar(3).status(now).counters.checksum_mismatches, 0);
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
// ENRP-2.6-02
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
// ENRP-3.2.2.2-02
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
            enrp::Presence { reply_required: false, checksum: None, information: None, silent: Vec::new() },
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

// ENRP-2.1-09, ENRP-3.2.1-01, -02: a random identifier, never 0, unchanged while it lives.
#[test]
fn identifiers_are_random() {
    let mut ids = BTreeSet::new();
    for seed in 0..10_000 {
        let config = Config { id: None, ..Network::config(1, &[]) };
        let mut registrar = Registrar::new(config, ChaCha12Rng::seed_from_u64(seed), Time::ZERO);
        let id = registrar.id();
        registrar.handle_timeout(Time::ZERO + ms(60_000));
        assert!(id != RegistrarId::NONE && registrar.id() == id);
        ids.insert(id.0);
    }
    assert!(ids.len() > 9_990, "hardly ever twice");
}

// ENRP-3.2.2.2-04, A-56: a list names all that are known but who asks and who answers.
#[test]
fn a_list_names_everybody_else() {
    let mut network = Network::of_registrars(4);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(
        9,
        assoc,
        enrp::Presence { reply_required: true, checksum: None, information: None, silent: Vec::new() },
    );
    network.tell_peer(9, assoc, enrp::ListRequest);
    network.run(ms(10));
    let lists = received(&mut network, 9, |body| matches!(body, Body::ListResponse(_)));
    let Body::ListResponse(list) = &lists[0].body else { panic!() };
    let named: Vec<_> = list
        .servers
        .iter()
        .map(|server| (server.id.0, server.transport.port, &server.transport.addresses[..]))
        .collect();
    let expected = [2, 3, 4].map(|host| (u32::from(host), 9901, vec![ip(host)]));
    assert!(
        !list.rejected && named.iter().zip(&expected).all(|(n, e)| (n.0, n.1, n.2) == (e.0, e.1, &e.2[..]))
    );
    assert_eq!(named.len(), 3);
}

/// A starting registrar 3 whose only contact is 9, which the test plays and which has introduced itself.
fn starting_at_a_played_mentor() -> (Network, AssocId) {
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
    (network, mentor)
}

// ENRP-3.2.2.2-07, ENRP-3.2.3-15, ENRP-3.2.3-16: a mentor that rejects, the list first and then the table, is asked again
// after a pause, since there is no other.
#[test]
fn a_mentor_that_rejects_is_asked_again() {
    let (mut network, mentor) = starting_at_a_played_mentor();
    let asked = |network: &mut Network| {
        let lists = received(network, 9, |body| matches!(body, Body::ListRequest(_))).len();
        (lists, received(network, 9, |body| matches!(body, Body::HandleTableRequest(_))).len())
    };
    assert_eq!(asked(&mut network), (1, 0));
    network.tell_peer(9, mentor, enrp::ListResponse { rejected: true, servers: vec![] });
    network.run(ms(240));
    assert_eq!(asked(&mut network), (1, 0), "not at once");
    network.run(ms(120));
    assert_eq!(asked(&mut network), (2, 0));
    network.tell_peer(9, mentor, enrp::ListResponse { rejected: false, servers: vec![] });
    network.run(ms(10));
    assert_eq!(asked(&mut network), (2, 1));
    network.tell_peer(9, mentor, enrp::HandleTableResponse { rejected: true, more: false, entries: vec![] });
    network.run(ms(240));
    assert_eq!(asked(&mut network), (2, 1));
    network.run(ms(120));
    assert_eq!(asked(&mut network), (3, 1));
    network.tell_peer(9, mentor, enrp::ListResponse { rejected: false, servers: vec![] });
    network.run(ms(10));
    network.tell_peer(9, mentor, enrp::HandleTableResponse { rejected: false, more: false, entries: vec![] });
    network.run(ms(10));
    assert_eq!(started(&network, 3), Some(Some(9)));
}

// ENRP-3.2.3-09, -10, -11, -12, A-60: the first element of a pool makes it, the others are added, one that is listed
// again is replaced; who registers afterwards has to fit.
#[test]
fn a_downloaded_table_makes_pools() {
    let (mut network, mentor) = starting_at_a_played_mentor();
    network.tell_peer(9, mentor, enrp::ListResponse { rejected: false, servers: vec![] });
    network.run(ms(10));
    let priority = |priority| Policy::Priority { priority };
    let pages = [
        vec![PoolElement { policy: priority(1), ..owned(11, 9) }, owned(12, 9)],
        vec![
            PoolElement { policy: priority(3), ..owned(13, 9) },
            PoolElement { policy: priority(2), life: RegistrationLife(60), ..owned(11, 9) },
        ],
    ];
    for (more, elements) in [true, false].into_iter().zip(pages) {
        let entries = vec![enrp::PoolEntry { handle: pool(), elements }];
        network.tell_peer(9, mentor, enrp::HandleTableResponse { rejected: false, more, entries });
        network.run(ms(10));
    }
    assert_eq!(network.table(3), [(11, 9), (12, 9), (13, 9)]);
    let now = network.now;
    assert!(matches!(network.registrar(3).pool(now, &pool()).unwrap().policy, Policy::Priority { .. }));
    let eleven = network.registrar(3).elements(now, &pool(), None, 1).unwrap().remove(0);
    assert_eq!((eleven.policy, eleven.life), (priority(2), Some(ms(60_000))));
    network.add_client(14);
    let assoc = network.dial(14, 3, Channel::Asap);
    let tcp = Transport::Tcp(TcpTransport { port: 80, address: ip(14) });
    let answer =
        network.register(14, assoc, PoolElement { user_transport: tcp, policy: priority(1), ..element(14) });
    let asap::Message::RegistrationResponse(response) = answer else { panic!() };
    assert!(response.rejected);
    assert_eq!(response.error.unwrap().causes[0].code, CauseCode::INCONSISTENT_TRANSPORT_TYPE);
}
