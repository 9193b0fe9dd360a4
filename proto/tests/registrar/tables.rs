//! RFC 5353 §3.2.3, §3.6.3: tables, page by page.

use crate::network::{Network, ms, pool};
use crate::played::{add, bodies, owned, received, started, with_silent_peer};
use enrp::Body;
use params::{PeIdentifier, RegistrarId, SctpTransport, ServerInformation, TransportUse};
use rserpool_proto::{AssocId, Channel};

// ENRP-2.2-02, ENRP-3.2.3-05, -06, -19: pages without gaps and repetitions; of all elements, or of its own.
// ENRP-3.2.3-04
#[test]
fn a_table_is_served_in_pages() {
    let (mut network, assoc) = with_small_pages();
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

// ENRP-2.3-05, design D13: pages of at most 1400 bytes for those that do not say what they take, larger ones for ours.
#[test]
fn pages_are_as_large_as_the_peer_takes() {
    let mut network = Network::of_registrars(2);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    for host in 11..=110 {
        network.add_element(host, 1);
    }
    network.start(3, &[1]);
    network.run(ms(500));
    assert_eq!(network.table(3).len(), 100);
    let pages = bodies(&network, 1).iter().filter(|m| matches!(m.body, Body::HandleTableResponse(_))).count();
    assert_eq!(pages, 1, "to a registrar of ours");
    let mut information = None;
    for said in [None, Some(3000)] {
        if let Some(size) = said {
            let transport = SctpTransport {
                port: 9901,
                transport_use: TransportUse::DATA_ONLY,
                addresses: vec![crate::network::ip(9)],
            };
            let id = RegistrarId(9);
            information =
                Some(ServerInformation { id, transport, table_response_size: Some(size), incarnation: None });
        }
        let presence = enrp::Presence {
            reply_required: false,
            checksum: None,
            information: information.clone(),
            silent: Vec::new(),
        };
        network.tell_peer(9, assoc, presence);
        let mut listed = 0;
        let mut largest = 0;
        loop {
            network.client(9).enrp.clear();
            network.tell_peer(9, assoc, enrp::HandleTableRequest { own_children_only: true });
            network.run(ms(10));
            let pages = received(&mut network, 9, |body| matches!(body, Body::HandleTableResponse(_)));
            let Body::HandleTableResponse(page) = &pages[0].body else { panic!() };
            largest = largest.max(pages[0].encode().unwrap().len());
            listed += page.entries[0].elements.len();
            if !page.more {
                break;
            }
        }
        let limit = said.map_or(1400, |size| size as usize);
        assert_eq!(listed, 100);
        assert!((limit - 100..=limit).contains(&largest), "{largest} of {limit}");
    }
}

// ENRP-2.3-05, A-21: nothing to tell is no rejection.
#[test]
fn an_empty_table_is_a_table() {
    let (mut network, assoc) = with_silent_peer(|_| {});
    network.tell_peer(9, assoc, enrp::HandleTableRequest { own_children_only: false });
    network.run(ms(10));
    let empty = enrp::HandleTableResponse { rejected: false, more: false, entries: vec![] };
    let tables = received(&mut network, 9, |body| matches!(body, Body::HandleTableResponse(_)));
    assert_eq!(tables[0].body, empty.into());
    network.start(2, &[1]);
    network.run(ms(100));
    assert_eq!(started(&network, 2), Some(Some(1)));
}

/// A registrar whose pages have few elements, the association of a peer 9.
fn with_small_pages() -> (Network, AssocId) {
    with_silent_peer(|limits| limits.table_response_bytes = 300)
}

/// The next page.
fn next_page(network: &mut Network, assoc: AssocId) -> (Vec<u32>, bool) {
    network.client(9).enrp.clear();
    network.tell_peer(9, assoc, enrp::HandleTableRequest { own_children_only: false });
    network.run(ms(10));
    let pages = received(network, 9, |body| matches!(body, Body::HandleTableResponse(_)));
    let Body::HandleTableResponse(page) = &pages[0].body else { panic!() };
    (page.entries[0].elements.iter().map(|element| element.id.0).collect(), page.more)
}

// ENRP-3.2.3-17: whoever does not go on in time begins anew.
#[test]
fn a_session_ends_when_it_does_not_go_on() {
    let (mut network, assoc) = with_small_pages();
    for host in 11..=20 {
        network.add_element(host, 1);
    }
    let (first, more) = next_page(&mut network, assoc);
    assert!(more);
    network.run(ms(200));
    let (second, _) = next_page(&mut network, assoc);
    assert_eq!(second[0], first.last().unwrap() + 1);
    network.run(ms(250));
    assert_eq!(next_page(&mut network, assoc), (first, true));
}

// ENRP-3.2.3-18, A-58: the cursor survives changes, also of the element that it stands at: whoever was there all the time
// is listed, and nobody twice.
#[test]
fn pages_go_on_while_the_table_changes() {
    let (mut network, assoc) = with_small_pages();
    let elements: Vec<_> = (20..=60).step_by(2).map(|host| (host, network.add_element(host, 1))).collect();
    let mut listed: Vec<u32> = Vec::new();
    let mut removed = Vec::new();
    let mut new = 21;
    loop {
        let (page, more) = next_page(&mut network, assoc);
        let last = *page.last().unwrap();
        listed.extend(page);
        if !more {
            break;
        }
        // The one at the cursor goes; others come before, at and behind it.
        let (host, theirs) = *elements.iter().find(|(host, _)| u32::from(*host) == last).unwrap();
        network.ask(host, theirs, asap::Deregistration { handle: pool(), id: PeIdentifier(last) });
        removed.push(last);
        network.add_element(new, 1);
        new += 8;
    }
    let mut unique = listed.clone();
    unique.dedup();
    assert_eq!(unique, listed);
    assert!(listed.is_sorted());
    assert!(removed.len() > 3);
    assert!((20..=60).step_by(2).all(|id| listed.contains(&id)), "{listed:?}");
}

// ENRP-3.2.3-19, design D11: many read at once, each with a cursor of its own; beyond the limit they are rejected, until
// somebody has read to the end.
#[test]
fn many_sessions_go_on_at_once_within_the_limit() {
    let (mut network, _) = with_silent_peer(|limits| {
        limits.table_response_bytes = 300;
        limits.table_sessions = 30;
    });
    for host in 11..=30 {
        network.add_element(host, 1);
    }
    let readers: Vec<_> = (100..140)
        .map(|host| {
            network.add_client(host);
            (host, network.dial(host, 1, Channel::Enrp))
        })
        .collect();
    let ask = |network: &mut Network, readers: &[(u8, AssocId)]| -> Vec<Option<(Vec<u32>, bool)>> {
        for (host, assoc) in readers {
            network.client(*host).enrp.clear();
            network.tell_peer(*host, *assoc, enrp::HandleTableRequest { own_children_only: true });
        }
        network.run(ms(10));
        let page = |(host, _): &(u8, AssocId)| {
            let pages = received(network, *host, |body| matches!(body, Body::HandleTableResponse(_)));
            let Body::HandleTableResponse(page) = &pages[0].body else { panic!() };
            let listed =
                page.entries.iter().flat_map(|entry| entry.elements.iter().map(|element| element.id.0));
            (!page.rejected).then(|| (listed.collect(), page.more))
        };
        readers.iter().map(page).collect()
    };
    let mut listed = vec![Vec::new(); 30];
    let mut rejected = 0;
    loop {
        let pages = ask(&mut network, &readers[..30]);
        let mut more = false;
        for (listed, page) in listed.iter_mut().zip(pages) {
            let (page, goes_on) = page.unwrap();
            listed.extend(page);
            more = goes_on;
        }
        if !more {
            break;
        }
        assert!(ask(&mut network, &readers[30..]).iter().all(Option::is_none));
        rejected += 10;
    }
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.table_requests_rejected, rejected);
    assert!(listed.iter().all(|listed| *listed == (11..=30).collect::<Vec<u32>>()), "{listed:?}");
    assert!(ask(&mut network, &readers[30..]).iter().all(Option::is_some));
}
