//! RFC 5353 §3.2.3, §3.6.3: tables, page by page.

use crate::network::{Network, ms, pool};
use crate::played::{add, bodies, owned, received};
use enrp::Body;
use params::{RegistrarId, SctpTransport, ServerInformation, TransportUse};
use rserpool_proto::Channel;

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
            information = Some(ServerInformation { id, transport, table_response_size: Some(size) });
        }
        let presence =
            enrp::Presence { reply_required: false, checksum: None, information: information.clone() };
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
