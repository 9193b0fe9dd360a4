//! RFC 5353 §3.3.1: a peer says that an element of ours is at home there. The element itself has the last word.

use crate::network::{Host, Network, ip, ms};
use crate::played::{add, bodies, del, owned, with_played_peer};
use enrp::{Body, UpdateAction};
use params::{PoolElement, SctpTransport, TransportUse};
use rserpool_proto::AssocId;
use rserpool_proto::registrar::{Config, Event};

/// Longer than an acknowledgement may take.
const LATE: u64 = 300;

/// Element 11 as home 9 tells of it: where it is.
fn theirs() -> PoolElement {
    let transport =
        SctpTransport { port: 3863, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(11)] };
    PoolElement { asap_transport: Some(transport), ..owned(11, 9) }
}

/// Registrar 1 with the played peer 9 and the element 11; the associations of both.
fn with_element() -> (Network, AssocId, AssocId) {
    let (mut network, peer) = with_played_peer();
    let element = network.add_element(11, 1);
    network.run(ms(10));
    network.transcript.clear();
    (network, peer, element)
}

/// What registrar 1 tells its peers.
fn told(network: &Network) -> Vec<(UpdateAction, u32)> {
    let updates = bodies(network, 1).into_iter().filter_map(|message| match message.body {
        Body::HandleUpdate(update) => Some((update.action, update.element.home.0)),
        _ => None,
    });
    updates.collect()
}

fn removals(network: &Network, host: Host) -> usize {
    network.events(host).iter().filter(|event| matches!(event, Event::ElementRemoved { .. })).count()
}

// ENRP-3.3.1-07, ENRP-3.3.2-07: a registrar says that it is the home of an element that lives here, and then that it is gone. The
// element was never away, and all hear that it is ours. It is asked without the H bit.
#[test]
fn an_element_that_acknowledges_stays() {
    let (mut network, peer, _) = with_element();
    let start = network.now;
    network.tell_peer(9, peer, add(theirs()));
    network.tell_peer(9, peer, del(theirs()));
    for _ in 0..40 {
        network.run(ms(10));
        assert_eq!(network.table(1), [(11, 1)]);
    }
    assert_eq!((told(&network), removals(&network, 1)), (vec![(UpdateAction::ADD_PE, 1)], 0));
    let asked = network.client(11).keep_alives(start);
    assert!(matches!(&asked[..], [(_, first), ..] if !first.home), "{asked:?}");
    // The next time it is the same.
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(LATE));
    network.tell_peer(9, peer, del(theirs()));
    network.run(ms(LATE));
    assert_eq!((network.table(1), removals(&network, 1)), (vec![(11, 1)], 0));
}

// ENRP-3.3.1-07: an element that does not say that it is ours has moved, as the peer says: one keep-alive later.
#[test]
fn an_element_that_does_not_acknowledge_has_moved() {
    let (mut network, peer, _) = with_element();
    network.client(11).hangs = true;
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(100));
    assert_eq!(network.table(1), [(11, 1)]);
    network.run(ms(LATE));
    assert_eq!((network.table(1), told(&network)), (vec![(11, 9)], vec![]));
}

// ENRP-3.3.2-04: and if the peer has said meanwhile that it is gone, it is.
#[test]
fn an_element_that_does_not_acknowledge_and_was_removed_is_gone() {
    let (mut network, peer, _) = with_element();
    network.client(11).hangs = true;
    network.tell_peer(9, peer, add(theirs()));
    network.tell_peer(9, peer, del(theirs()));
    network.run(ms(LATE));
    assert_eq!(network.table(1), [(11, 1)], "it is asked once more, as any that is doubted");
    network.run(ms(2 * LATE));
    assert_eq!((network.table(1), told(&network)), (vec![], vec![(UpdateAction::DEL_PE, 1)]));
}

// ENRP-3.3.1-07, A-63: the usual move: the old association ends behind what the new home tells. Nobody hears that the element is gone.
#[test]
fn an_element_that_lets_go_has_moved_at_once() {
    let (mut network, peer, element) = with_element();
    network.client(11).hangs = true;
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(2));
    network.hang_up(11, element);
    network.run(ms(10));
    assert_eq!((network.table(1), told(&network), removals(&network, 1)), (vec![(11, 9)], vec![], 0));
}

// ENRP-3.3.1-07: it had acknowledged before it moved, and that came after what the new home tells.
#[test]
fn an_older_acknowledgement_does_not_hold_an_element_that_lets_go() {
    let (mut network, peer, element) = with_element();
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(20));
    assert_eq!(network.table(1), [(11, 1)]);
    network.hang_up(11, element);
    network.run(ms(10));
    assert_eq!((network.table(1), removals(&network, 1)), (vec![(11, 9)], 0));
}

// RFC 5352 §3.4: an element may answer to a former home. The new one, which has asked it, too, insists.
#[test]
fn a_home_that_insists_is_believed() {
    let (mut network, peer, _) = with_element();
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(20));
    assert_eq!(network.table(1), [(11, 1)]);
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(2));
    assert_eq!(network.table(1), [(11, 9)]);
}

// ENRP-3.3.1-07: what an element that we have only asked acknowledges does not make us its home.
#[test]
fn who_doubts_an_element_does_not_lose_it_by_that() {
    let (mut network, peer, _) = with_element();
    network.tell_peer(9, peer, del(theirs()));
    network.tell_peer(9, peer, add(theirs()));
    network.tell_peer(9, peer, del(theirs()));
    for _ in 0..40 {
        network.run(ms(10));
        assert_eq!(network.table(1), [(11, 1)]);
    }
}

// ENRP-3.3.1-07: by the letter of the RFC the peer is believed at once.
#[test]
fn with_strict_rfc_a_peer_is_believed_at_once() {
    let mut network = Network::new();
    network.start_with(1, Config { strict_rfc: true, ..Network::config(1, &[]) });
    network.add_client(9);
    let peer = network.dial(9, 1, rserpool_proto::Channel::Enrp);
    network.tell_peer(9, peer, enrp::ListRequest);
    network.add_element(11, 1);
    network.tell_peer(9, peer, add(theirs()));
    network.run(ms(2));
    assert_eq!(network.table(1), [(11, 9)]);
}

// Design D11: what may wait for the word of elements has a bound.
#[test]
fn beyond_what_may_wait_a_peer_is_believed_at_once() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    config.limits.queued_bytes = 0;
    network.start_with(1, config);
    network.add_element(11, 1);
    let (forged, sender) = (theirs(), 9);
    network.add_client(sender);
    let peer = network.dial(sender, 1, rserpool_proto::Channel::Enrp);
    network.tell_peer(sender, peer, add(forged));
    network.run(ms(2));
    assert_eq!(network.table(1), [(11, 9)]);
}
