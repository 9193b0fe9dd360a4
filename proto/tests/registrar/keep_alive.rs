//! RFC 5352 §3.4, §3.5: keep-alives and reports.

use crate::network::{Host, Network, element, ms, pool};
use crate::played::{add, owned, with_played_peer};
use params::{PeIdentifier, PoolElement, RegistrarId};
use rserpool_proto::registrar::{Config, Event, RemovalReason};
use rserpool_proto::{Channel, DownReason};

fn removal(network: &Network, registrar: Host, element: Host) -> Option<RemovalReason> {
    network.events(registrar).iter().find_map(|event| match event {
        Event::ElementRemoved { id, why, .. } if id.0 == u32::from(element) => Some(*why),
        _ => None,
    })
}

/// Clients `from` on report element `of` at registrar 1.
fn report(network: &mut Network, from: Host, count: Host, of: Host) {
    for host in from..from + count {
        network.add_client(host);
        let assoc = network.dial(host, 1, Channel::Asap);
        let id = PeIdentifier(of.into());
        network.tell(host, assoc, asap::EndpointUnreachable { handle: pool(), id });
    }
    network.run(ms(10));
}

// ASAP-3.5-12, ASAP-3.5-14: probed within the interval, without H, never in step.
// OVW-2.2-01
#[test]
fn silent_elements_are_probed_at_irregular_intervals() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    let start = network.now;
    network.run(ms(10_000));
    let probes = network.client(11).keep_alives(start);
    assert!(
        probes
            .iter()
            .all(|(_, probe)| !probe.home && probe.registrar == RegistrarId(1) && probe.id.is_none())
    );
    let gaps: Vec<_> = probes.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    assert!(gaps.len() >= 40, "{}", gaps.len());
    assert!(gaps.iter().all(|gap| (ms(125)..=ms(260)).contains(gap)), "{gaps:?}");
    let mut distinct = gaps.clone();
    distinct.sort();
    distinct.dedup();
    assert!(distinct.len() > gaps.len() / 2);
    assert_eq!(network.table(1), [(11, 1)]);
}

// Design D7: any traffic of the element counts as life: here it registers again and again.
#[test]
fn an_element_that_speaks_is_not_probed() {
    let mut network = Network::of_registrars(1);
    let assoc = network.add_element(11, 1);
    let start = network.now;
    for _ in 0..50 {
        network.run(ms(40));
        network.register(11, assoc, element(11));
    }
    assert_eq!(network.client(11).keep_alives(start).len(), 0);
}

// ASAP-3.4-01: what a process says for one of its elements is no life of another that it has forgotten.
#[test]
fn a_forgotten_element_of_a_busy_process_is_removed() {
    let mut network = Network::of_registrars(1);
    let assoc = network.add_element(11, 1);
    for id in [12, 13] {
        network.register(11, assoc, PoolElement { id: PeIdentifier(id), ..element(11) });
    }
    network.client(11).elements.remove(&(pool(), PeIdentifier(12)));
    for _ in 0..25 {
        network.run(ms(40));
        network.register(11, assoc, element(11));
    }
    assert_eq!(network.table(1), [(11, 1), (13, 1)]);
    assert_eq!(removal(&network, 1, 12), Some(RemovalReason::KeepAliveFailed));
}

// a keep-alive is acknowledged for every element of its pool behind the association, so one asks them all.
#[test]
fn one_keep_alive_asks_all_elements_of_a_pool_behind_an_association() {
    let mut network = Network::of_registrars(1);
    let assoc = network.add_element(11, 1);
    for id in 12..=60 {
        network.register(11, assoc, PoolElement { id: PeIdentifier(id), ..element(11) });
    }
    network.run(ms(2000));
    let (start, seconds) = (network.now, 10);
    network.run(ms(1000 * seconds));
    let probes = network.client(11).keep_alives(start).len() as u64;
    // One element alone is asked 4 – 8 times a second. Those that are due before the first answers are asked as well.
    assert!(probes <= 30 * seconds, "{probes} for 50 elements");
    assert_eq!(network.table(1).len(), 50);
}

// Design D7: with more elements than the budget of probes allows, the intervals stretch.
#[test]
fn probes_stay_within_their_budget() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    config.limits.probes_per_second = 10;
    network.start_with(1, config);
    for host in 11..=50 {
        network.add_element(host, 1);
    }
    network.run(ms(8000));
    let now = network.now;
    let before = network.registrar(1).status(now).counters.keep_alives_sent;
    network.run(ms(20_000));
    let sent = network.registrar(1).status(now).counters.keep_alives_sent - before;
    // 10 a second; the jitter is made up for.
    assert!((180..=220).contains(&sent), "{sent}");
}

// ASAP-3.4-01: a registration in place of an acknowledgement ends the probe, and the next silence is noticed again.
#[test]
fn an_element_that_registers_while_it_is_probed_is_looked_after_as_before() {
    let mut network = Network::of_registrars(1);
    let assoc = network.add_element(11, 1);
    network.client(11).hangs = true;
    let start = network.now;
    network.run_until(ms(1000), |network| !network.client(11).keep_alives(start).is_empty());
    network.client(11).hangs = false;
    network.register(11, assoc, element(11));
    network.run(ms(100));
    network.client(11).hangs = true;
    network.run_until(ms(1000), |network| network.table(1).is_empty());
    assert_eq!(removal(&network, 1, 11), Some(RemovalReason::KeepAliveFailed));
}

// ASAP-3.4-01, A-38: the association is up, but the process hangs: one repetition, then it is removed.
// ASAP-3.5-13, ASAP-3.5-15
#[test]
fn a_hanging_element_is_removed_after_one_repetition() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.run(ms(1000));
    network.client(11).hangs = true;
    let start = network.now;
    let took = network.run_until(ms(1000), |network| network.table(1).is_empty());
    assert!(took <= ms(755), "{took:?}");
    assert_eq!(network.client(11).keep_alives(start).len(), 2);
    assert_eq!(removal(&network, 1, 11), Some(RemovalReason::KeepAliveFailed));
    network.run(ms(10));
    assert_eq!(network.table(2), [], "ASAP-3.5-15: announced");
}

// Ambiguity A-33: an element that is removed while its association stays hears of it: its path or its process
// may come back before SCTP gives up, and it would otherwise believe to be registered until T4.
#[test]
fn an_element_that_is_removed_hears_of_it() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.client(11).hangs = true;
    network.run_until(ms(1000), |network| network.table(1).is_empty());
    network.run(ms(10));
    let told = network.client(11).asap.iter().filter_map(|(_, message)| match message {
        asap::Message::DeregistrationResponse(response) => Some(response.clone()),
        _ => None,
    });
    let response = asap::DeregistrationResponse { handle: pool(), id: PeIdentifier(11), error: None };
    assert_eq!(told.collect::<Vec<_>>(), [response]);
}

// Design D4: an ended association is evidence; a killed process is gone as soon as SCTP says so.
#[test]
fn an_element_goes_with_its_association() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.add_element(12, 1);
    let assoc = network.add_element(13, 1);
    network.kill(11);
    let took = network.run_until(ms(700), |network| network.table(1) == [(12, 1), (13, 1)]);
    assert!(took < ms(700), "{took:?}");
    assert_eq!(removal(&network, 1, 11), Some(RemovalReason::AssociationEnded));
    network.hang_up(13, assoc);
    network.run(ms(10));
    assert_eq!((network.table(1), network.table(2)), (vec![(12, 1)], vec![(12, 1)]));
}

// ASAP-3.5-06, -07, -09, ENRP A-40: a report is a reason to look, and an element that answers stays.
#[test]
fn a_reported_element_is_probed_at_once_and_stays() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.run(ms(20));
    let start = network.now;
    report(&mut network, 21, 3, 11);
    let probes = network.client(11).keep_alives(start);
    assert_eq!(probes.len(), 1, "at once, and not for each report");
    assert!(!probes[0].1.home);
    network.run(ms(1000));
    let now = network.now;
    let stored = network.registrar(1).elements(now, &pool(), None, 9).unwrap();
    assert_eq!((stored.len(), stored[0].reports, stored[0].suspect), (1, 3, false));
    // ASAP-3.5-16
    network.add_client(31);
    let assoc = network.dial(31, 1, Channel::Asap);
    network.tell(31, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(99) });
    network.run(ms(10));
    assert_eq!(network.registrar(1).status(now).counters.reports_ignored, 1);
}

// ASAP-3.5-08: one that does not answer is removed.
#[test]
fn a_reported_element_that_does_not_answer_is_removed() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.client(11).hangs = true;
    report(&mut network, 21, 1, 11);
    let took = network.run_until(ms(510), |network| network.table(1).is_empty());
    assert!(took <= ms(510), "{took:?}");
}

// more than MAX-BAD-PE-REPORT distinct reporters make it suspect: last in the list, never removed, for a while.
// ASAP-3.5-10
#[test]
fn many_reporters_make_an_element_suspect() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.add_element(12, 1);
    report(&mut network, 21, 4, 11);
    let suspect = |network: &mut Network| {
        let now = network.now;
        network.registrar(1).elements(now, &pool(), None, 1).unwrap()[0].suspect
    };
    assert!(suspect(&mut network));
    network.add_client(31);
    let assoc = network.dial(31, 1, Channel::Asap);
    for _ in 0..4 {
        let request = asap::HandleResolution { subscribe: false, handle: pool(), items: None };
        let asap::Message::HandleResolutionResponse(answer) = network.ask(31, assoc, request) else {
            panic!()
        };
        let order: Vec<u32> = answer.elements.iter().map(|element| element.id.0).collect();
        assert_eq!(order, [12, 11]);
    }
    // One reporter that repeats itself does not count again.
    report(&mut network, 41, 1, 12);
    let assoc = network.dial(41, 1, Channel::Asap);
    for _ in 0..10 {
        network.tell(41, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(12) });
    }
    network.run(ms(1000));
    let now = network.now;
    assert!(!network.registrar(1).elements(now, &pool(), None, 9).unwrap()[1].suspect);
    network.run(ms(10_000));
    assert!(!suspect(&mut network), "forgotten");
    assert_eq!(network.table(1), [(11, 1), (12, 1)]);
}

// SEC-T2.13-01, SEC-T2.14-01, SEC-A9.1-09: one client, however often it reports an element, counts once, and the element
// is not asked more often for it than once in an interval.
#[test]
fn a_flood_of_reports_does_no_harm() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.add_client(21);
    let assoc = network.dial(21, 1, Channel::Asap);
    let start = network.now;
    for _ in 0..1000 {
        let id = PeIdentifier(11);
        network.tell(21, assoc, asap::EndpointUnreachable { handle: pool(), id });
        network.run(ms(1));
    }
    let now = network.now;
    let element = network.registrar(1).elements(now, &pool(), None, 1).unwrap().remove(0);
    assert_eq!((element.reports, element.suspect), (1, false));
    let asked = network.client(11).keep_alives(start).len();
    assert!(asked <= 9, "{asked} in a second: four for the reports, the others as always");
}

// Ambiguity A-43: an association that was made to look for a reported element ends when nobody needs it any more, which
// says nothing about the element.
#[test]
fn an_association_to_ask_is_closed_after_a_while() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.add_client(21);
    let assoc = network.dial(21, 2, Channel::Asap);
    for _ in 0..3 {
        network.tell(21, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(11) });
        network.run(ms(5000));
    }
    assert_eq!((network.client(11).up.len(), network.client(11).down.len()), (2, 0), "one for all reports");
    network.run(ms(5500));
    let [(_, why)] = &network.client(11).down[..] else { panic!("{:?}", network.client(11).down) };
    assert_eq!(*why, DownReason::Shutdown);
    assert_eq!((network.table(1), network.table(2)), (vec![(11, 1)], vec![(11, 1)]));
}

// ASAP-3.5-10, -11, A-41: by the letter of the RFC more than MAX-BAD-PE-REPORT reports are enough.
#[test]
fn with_strict_rfc_many_reporters_remove_an_element() {
    let mut network = Network::new();
    network.start_with(2, Network::config(2, &[]));
    network.start_with(1, Config { strict_rfc: true, ..Network::config(1, &[2]) });
    network.run(ms(1000));
    network.add_element(11, 1);
    report(&mut network, 21, 3, 11);
    assert_eq!(network.table(1), [(11, 1)], "MAX-BAD-PE-REPORT is not exceeded");
    let now = network.now;
    assert_eq!(network.registrar(1).elements(now, &pool(), None, 1).unwrap()[0].reports, 3);
    report(&mut network, 24, 1, 11);
    assert_eq!(removal(&network, 1, 11), Some(RemovalReason::Reported));
    assert_eq!((network.table(1), network.table(2)), (vec![], vec![]), "ASAP-3.5-15: announced");
}

// a report at a registrar that is not the home; its probe fails because its own network is broken. The home
// verifies, and what it announces brings the element back everywhere.
#[test]
fn the_home_has_the_last_word_about_its_element() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 2);
    network.run(ms(20));
    network.cut(1, 11);
    report(&mut network, 21, 1, 11);
    network.run_until(ms(1000), |network| network.table(1).is_empty());
    network.run(ms(1000));
    for registrar in [1, 2, 3] {
        assert_eq!(network.table(registrar), [(11, 2)], "at {registrar}");
    }
}

// ASAP-3.4-10: acknowledgements of others, or that nobody waits for, mean nothing.
#[test]
fn foreign_acknowledgements_are_ignored() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    network.client(11).hangs = true;
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    for _ in 0..20 {
        network.tell(12, assoc, asap::EndpointKeepAliveAck { handle: pool(), id: PeIdentifier(11) });
        network.run(ms(50));
    }
    assert_eq!(network.table(1), []);
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.keep_alive_acks_ignored, 20);
}

// an element of another home without an ASAP transport cannot be asked by anybody: who wants its identifier gets it.
#[test]
fn an_identifier_whose_owner_cannot_be_asked_is_free() {
    let (mut network, peer) = with_played_peer();
    let mut mute = owned(11, 9);
    mute.asap_transport = None;
    network.tell_peer(9, peer, add(mute));
    network.run(ms(10));
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let asap::Message::RegistrationResponse(response) = network.register(11, assoc, element(11)) else {
        panic!()
    };
    assert!(!response.rejected, "{response:?}");
    assert_eq!(network.table(1), [(11, 1)]);
}

// a report of such an element says nothing that its home does not know better.
#[test]
fn an_element_of_another_home_that_cannot_be_asked_stays() {
    let (mut network, peer) = with_played_peer();
    let mut mute = owned(11, 9);
    mute.asap_transport = None;
    network.tell_peer(9, peer, add(mute));
    network.run(ms(10));
    network.add_client(12);
    let assoc = network.dial(12, 1, Channel::Asap);
    network.tell(12, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(11) });
    network.run(ms(100));
    assert_eq!(network.table(1), [(11, 9)]);
}
