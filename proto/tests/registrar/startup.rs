//! RFC 5353 §3.2: joining a scope.

use crate::network::{Network, ms, pool};
use crate::played::{bodies, owned, received, started};
use enrp::Body;
use rserpool_proto::Channel;
use rserpool_proto::registrar::{Event, State};

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
