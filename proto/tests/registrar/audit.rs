//! RFC 5353 §3.6: the audit of peers' tables, and what is loaded anew.

use crate::network::{Host, Network, ms, pool};
use crate::played::{add, del, owned, received, with_played_peer, with_silent_peer};
use enrp::Body;
use params::{PeIdentifier, RegistrarId};
use rserpool_proto::Channel;
use rserpool_proto::registrar::Event;

// ENRP-3.6-06, ENRP-3.6.3-02 – -07: a lost update is found by the checksum; what the owner does not list goes silently.
// ENRP-3.6-04, ENRP-3.6.3-01
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
    let presence = || enrp::Presence {
        reply_required: false,
        checksum: Some(0x1234),
        information: None,
        silent: Vec::new(),
    };
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
    network.run(ms(500));
    assert_eq!(requests(&mut network), 1, "whoever rejects is not asked again at once");

    network.tell_peer(9, assoc, presence());
    network.run(ms(10));
    assert_eq!(requests(&mut network), 2, "but when it is heard next: it may have started meanwhile");
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

fn requests(network: &mut Network) -> usize {
    received(network, 9, |body| matches!(body, Body::HandleTableRequest(r) if r.own_children_only)).len()
}

fn page(more: bool, hosts: impl IntoIterator<Item = Host>) -> enrp::HandleTableResponse {
    let elements = hosts.into_iter().map(|host| owned(host, 9)).collect();
    let entries = vec![enrp::PoolEntry { handle: pool(), elements }];
    enrp::HandleTableResponse { rejected: false, more, entries }
}

fn presence(checksum: u16) -> enrp::Presence {
    enrp::Presence { reply_required: false, checksum: Some(checksum), information: None, silent: Vec::new() }
}

// ENRP-3.6.3-01, design D11: a registrar that has no room for a peer's elements does not load them at every presence.
#[test]
fn a_table_that_does_not_fit_is_loaded_ever_more_rarely() {
    let (mut network, assoc) = with_silent_peer(|limits| limits.elements = 3);
    let mut answered = 0;
    for _ in 0..4 * 120 {
        network.tell_peer(9, assoc, presence(0x1234));
        network.run(ms(50));
        if requests(&mut network) > answered {
            answered += 1;
            network.tell_peer(9, assoc, page(false, 11..=15));
        }
        network.run(ms(200));
    }
    assert_eq!(network.table(1).len(), 3);
    assert!((7..=15).contains(&answered), "{answered} in two minutes");
    let now = network.now;
    assert!(network.registrar(1).status(now).counters.elements_refused >= 2 * answered as u64);
    // The peer's elements fit again: they agree, and the next difference is repaired at once.
    for host in 11..=15 {
        network.tell_peer(9, assoc, del(owned(host, 9)));
    }
    network.tell_peer(9, assoc, presence(0xffff));
    network.run(ms(10));
    network.tell_peer(9, assoc, presence(0x1234));
    network.run(ms(10));
    assert_eq!(requests(&mut network), answered + 1);
}

// ENRP-3.6.3-07: an element that registers again behind the page that has been read is newer than the table.
#[test]
fn an_element_that_registers_during_a_resynchronization_stays() {
    let (mut network, assoc) = with_played_peer();
    network.tell_peer(9, assoc, add(owned(11, 9)));
    network.tell_peer(9, assoc, presence(0x1234));
    network.run(ms(10));
    network.tell_peer(9, assoc, page(true, [12]));
    network.tell_peer(9, assoc, add(owned(11, 9)));
    network.tell_peer(9, assoc, page(false, [13]));
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 9), (12, 9), (13, 9)]);
}

// more to come after nothing is no table, so nothing is complete and nothing is removed.
#[test]
fn a_page_of_nothing_with_more_to_come_ends_the_session() {
    let (mut network, assoc) = with_played_peer();
    network.tell_peer(9, assoc, add(owned(11, 9)));
    network.tell_peer(9, assoc, presence(0x1234));
    network.run(ms(10));
    assert_eq!(requests(&mut network), 1);
    network.tell_peer(
        9,
        assoc,
        enrp::HandleTableResponse { rejected: false, more: true, entries: Vec::new() },
    );
    network.run(ms(10));
    assert_eq!(network.table(1), [(11, 9)]);
    assert_eq!(requests(&mut network), 1, "and not the next page either");
}

// A-21, design D11: a table that lists the same again and again ends when it is longer than any that could be kept.
#[test]
fn a_table_without_an_end_ends() {
    let (mut network, assoc) = with_silent_peer(|limits| (limits.elements, limits.peers) = (5, 2));
    network.tell_peer(9, assoc, presence(0x1234));
    network.run(ms(10));
    let mut pages = 0;
    while requests(&mut network) > pages {
        pages += 1;
        network.tell_peer(9, assoc, page(true, [11]));
        network.run(ms(10));
        assert!(pages < 50);
    }
    assert_eq!(pages, 13, "2 x 5 elements, 2 registrars, and one more");
    assert_eq!(network.table(1), [(11, 9)]);
}

// ENRP-3.6.3-11, A-58: what is served after an interruption begins with the first page, so nothing begins before the
// session at the other end is over; else a page from the middle would be taken for the first, and what it does not
// list for gone.
#[test]
fn an_interrupted_resynchronization_begins_anew_only_when_the_old_one_is_over() {
    let (mut network, assoc) = with_played_peer();
    network.tell_peer(9, assoc, add(owned(11, 9)));
    network.tell_peer(9, assoc, presence(0x1234));
    network.run(ms(10));
    assert_eq!(requests(&mut network), 1);
    // The answer takes longer than MAX-TIME-NO-RESPONSE.
    for _ in 0..3 {
        network.run(ms(90));
        network.tell_peer(9, assoc, presence(0x1234));
    }
    network.tell_peer(9, assoc, page(true, [11]));
    for _ in 0..3 {
        network.tell_peer(9, assoc, presence(0x1234));
        network.run(ms(90));
    }
    assert_eq!(requests(&mut network), 1, "the session of the peer lives 250 ms from its page on");
    network.run(ms(240));
    network.tell_peer(9, assoc, presence(0x1234));
    network.run(ms(10));
    assert_eq!(requests(&mut network), 2);
}
