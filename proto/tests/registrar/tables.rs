//! RFC 5353 §3.2.3, §3.6.3: tables, page by page.

use crate::network::{Network, ms, pool};
use crate::played::{add, owned, received};
use enrp::Body;
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
