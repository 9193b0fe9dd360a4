//! RFC 5353 §3.5: takeover of a dead registrar.

use crate::network::{Network, element, endpoint, ip, ms, pool};
use crate::played::received;
use enrp::Body;
use params::{PeIdentifier, PoolElement, RegistrarId, RegistrationLife};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_proto::registrar::{Arbitration, Event, PeerState, Registrar, RemovalReason};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, Time, Transmit};

fn completed(target: u32, winner: u32, elements: usize) -> Event {
    Event::TakeoverCompleted { target: RegistrarId(target), winner: RegistrarId(winner), elements }
}

/// How many messages with this body left these registrars.
fn sent(network: &Network, wanted: impl Fn(&Body) -> bool) -> usize {
    let bodies = network.transcript.iter().filter_map(|(_, _, transmit)| match transmit {
        Transmit::Send { ppid: rserpool_proto::PPID_ENRP, bytes, .. } => {
            enrp::decode(bytes, RegistrarId::NONE).message.ok().map(|message| message.body)
        }
        _ => None,
    });
    bodies.filter(|body| wanted(body)).count()
}

// ENRP-3.5.1-10, ENRP-3.5.2-04, ENRP-3.5.2-05: without other peers the survivor wins at once and claims the elements.
#[test]
fn the_survivor_of_two_takes_over_within_a_second() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.add_element(12, 1);
    network.run(ms(50));
    assert_eq!(network.table(2), [(11, 1), (12, 1)]);

    network.kill(1);
    let took = network.run_until(ms(1000), |network| network.table(2) == [(11, 2), (12, 2)]);
    assert!(took < ms(1000), "{took:?}");
    assert!(network.events(2).contains(&&completed(1, 2, 2)));
    network.run(ms(100));
    for host in [11, 12] {
        assert_eq!(network.client(host).home, Some(RegistrarId(2)), "told by a keep-alive with H");
    }
    network.run(ms(5000));
    assert_eq!(network.table(2), [(11, 2), (12, 2)], "they answer, they stay");
}

// ENRP-3.5.2-04: to claim many elements takes longer than a short life, which begins anew with the answer.
#[test]
fn an_element_that_is_claimed_late_has_a_life_before_it() {
    let mut network = Network::new();
    network.start(1, &[2]);
    let mut config = Network::config(2, &[1]);
    config.limits.probes_per_second = 100;
    network.start_with(2, config);
    network.run(ms(3000));
    for host in 11..=250 {
        network.add_client(host);
        let assoc = network.dial(host, 1, Channel::Asap);
        network.register(host, assoc, PoolElement { life: RegistrationLife(2), ..element(host) });
    }
    network.kill(1);
    let taken_over = |network: &mut Network| network.events(2).contains(&&completed(1, 2, 240));
    network.run_until(ms(2000), taken_over);
    let told = |network: &mut Network| network.client(250).home == Some(RegistrarId(2));
    assert!(network.run_until(ms(5000), told) > ms(2000), "elements are claimed one after the other");
    network.run(ms(500));
    assert!(network.table(2).contains(&(250, 2)), "it has just answered");
    network.run(ms(2000));
    assert!(network.table(2).is_empty(), "none has registered again");
}

// ENRP-3.5.1-06, ENRP-3.5.1-08 under the rule of design D3: of all survivors the lowest identifier wins, alone.
// ENRP-3.4.3-05
#[test]
fn the_lowest_identifier_wins_among_three_and_five() {
    for count in [3, 5] {
        let mut network = Network::of_registrars(count);
        network.add_element(11, count);
        network.run(ms(50));
        network.kill(count);
        network.run(ms(3000));
        for survivor in 1..count {
            assert_eq!(network.table(survivor), [(11, 1)], "as registrar {survivor} of {count} sees it");
            assert!(network.events(survivor).contains(&&completed(count.into(), 1, 1)));
            let now = network.now;
            let known: Vec<u32> =
                network.registrar(survivor).peers(now).iter().map(|peer| peer.id.0).collect();
            assert!(!known.contains(&count.into()), "{known:?}");
        }
        assert_eq!(network.client(11).home, Some(RegistrarId(1)));
    }
}

// ENRP-3.5.1-06: the RFC's own rule, where configured.
#[test]
fn the_largest_identifier_wins_by_rfc5353() {
    let mut network = Network::new();
    for host in 1..=3 {
        let peers: Vec<u8> = (1..=3).filter(|peer| *peer != host).collect();
        let mut config = Network::config(host, &peers);
        config.arbitration = Arbitration::Rfc5353;
        network.start_with(host, config);
    }
    network.run(ms(3000));
    network.add_element(11, 1);
    network.run(ms(50));
    network.kill(1);
    network.run(ms(3000));
    assert_eq!((network.table(2), network.table(3)), (vec![(11, 3)], vec![(11, 3)]));
}

// ENRP-3.5.1-06, -07, -08, A-64: two initiators at once; the lower ignores the higher, the higher gives way.
#[test]
fn simultaneous_initiators_have_one_winner() {
    let mut network = Network::of_registrars(2);
    network.add_client(3);
    network.add_client(4);
    // Two peers played by hand: 4 owns an element and falls silent, 3 wants to take it over as well.
    let three = [network.dial(3, 1, Channel::Enrp), network.dial(3, 2, Channel::Enrp)];
    let four = [network.dial(4, 1, Channel::Enrp), network.dial(4, 2, Channel::Enrp)];
    for assoc in three {
        network.tell_peer(3, assoc, presence());
    }
    let owned = params::PoolElement { home: RegistrarId(4), ..element(11) };
    for assoc in four {
        let (handle, element) = (pool(), owned.clone());
        network.tell_peer(
            4,
            assoc,
            enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle, element },
        );
    }
    network.run(ms(10));
    network.kill(4);
    // Registrar 1 has lost the target and asks; 3 does not acknowledge, it asks too.
    let asked = |network: &mut Network| {
        let asks = |body: &Body| matches!(body, Body::InitTakeover(init) if init.target == RegistrarId(4));
        network.client(3).enrp.iter().any(|(_, message)| asks(&message.body))
    };
    network.run_until(ms(2000), asked);
    for assoc in three {
        network.tell_peer(3, assoc, enrp::InitTakeover { target: RegistrarId(4) });
    }
    network.run(ms(50));
    let answers = |network: &mut Network, from: u32| {
        let acks = |message: &enrp::Message| {
            message.sender == RegistrarId(from) && matches!(message.body, Body::InitTakeoverAck(_))
        };
        network.client(3).enrp.iter().filter(|(_, message)| acks(message)).count()
    };
    assert_eq!(answers(&mut network, 1), 0, "the lower identifier ignores the higher");
    assert_eq!(answers(&mut network, 2), 1, "who does not initiate acknowledges");
    for assoc in three {
        network.tell_peer(3, assoc, enrp::InitTakeoverAck { target: RegistrarId(4) });
    }
    network.run(ms(20));
    assert!(network.events(1).contains(&&completed(4, 1, 1)));
    assert!(network.events(2).contains(&&completed(4, 1, 1)));
}

/// A registrar introduces itself, and wants to know who is there.
fn presence() -> enrp::Presence {
    enrp::Presence { reply_required: true, checksum: None, information: None, silent: Vec::new() }
}

// ENRP-3.5.1-12, A-65: the winner dies before it takes over; the others do it a little later.
#[test]
fn a_dying_winner_orphans_nobody() {
    let mut network = Network::of_registrars(4);
    network.add_element(11, 4);
    network.run(ms(50));
    network.kill(4);
    let started = |network: &mut Network| {
        network.event_at(1, |event| matches!(event, Event::TakeoverStarted { .. })).is_some()
    };
    network.run_until(ms(2000), started);
    network.kill(1);
    network.run(ms(5000));
    assert_eq!(network.table(2), [(11, 2)]);
    assert_eq!(network.table(3), [(11, 2)]);
    assert_eq!(network.client(11).home, Some(RegistrarId(2)));
}

// ENRP-3.5.1-12, A-65: a peer that never acknowledges delays, three rounds, and no longer.
#[test]
fn a_missing_acknowledgement_does_not_block() {
    let mut network = Network::of_registrars(2);
    network.add_client(3);
    let assoc = network.dial(3, 1, Channel::Enrp);
    network.add_element(11, 2);
    network.tell_peer(3, assoc, presence());
    network.run(ms(50));
    network.kill(2);
    for _ in 0..40 {
        // It lives, but says nothing about the takeover.
        network.run(ms(100));
        network.tell_peer(3, assoc, presence());
    }
    assert_eq!(network.table(1), [(11, 1)]);
    let asks = network.client(3).enrp.iter().filter(|(_, m)| matches!(m.body, Body::InitTakeover(_))).count();
    assert_eq!(asks, 3);
}

// ENRP-3.5.1-04, -05, -11: a false alarm; the target says that it lives, and nothing is taken over.
#[test]
fn a_living_target_stops_the_arbitration() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 3);
    network.add_client(9);
    let assoc = network.dial(9, 3, Channel::Enrp);
    network.run(ms(20));
    let before = network.client(9).enrp.len();
    network.tell_peer(9, assoc, enrp::InitTakeover { target: RegistrarId(3) });
    network.run(ms(10));
    assert!(
        network.client(9).enrp[before..].iter().any(|(_, m)| matches!(m.body, Body::Presence(_))),
        "the target announces its presence to all peers"
    );
    // Registrar 1 hears of a takeover by somebody else and stands back until the target is heard again.
    let other = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, other, enrp::InitTakeover { target: RegistrarId(3) });
    network.run(ms(5));
    let state = |network: &mut Network| {
        let now = network.now;
        network.registrar(1).peers(now).iter().find(|peer| peer.id.0 == 3).map(|peer| peer.state)
    };
    assert_eq!(state(&mut network), Some(PeerState::NotActive));
    network.run(ms(500));
    // ENRP-3.5.1-14
    assert_eq!(state(&mut network), Some(PeerState::Active));
    assert_eq!(sent(&network, |body| matches!(body, Body::TakeoverServer(_))), 0);
    assert_eq!(network.table(1), [(11, 3)]);
}

// ENRP-3.5.1-01: a silent target whose association stands has a copy of INIT_TAKEOVER, with other peers and without:
// it may live after all.
#[test]
fn the_target_has_a_copy() {
    for registrars in [1, 2] {
        let mut network = Network::of_registrars(registrars);
        network.add_client(9);
        let assoc = network.dial(9, 1, Channel::Enrp);
        network.tell_peer(9, assoc, presence());
        let element = params::PoolElement { home: RegistrarId(9), ..element(11) };
        let action = enrp::UpdateAction::ADD_PE;
        network.tell_peer(9, assoc, enrp::HandleUpdate { action, handle: pool(), element });
        network.run(ms(2000));
        let copy = |message: &enrp::Message| {
            message.sender == RegistrarId(1)
                && matches!(&message.body, Body::InitTakeover(init) if init.target.0 == 9)
        };
        let copies = network.client(9).enrp.iter().filter(|(_, message)| copy(message)).count();
        assert_eq!(copies, 1, "of {registrars}");
    }
}

// ENRP-3.5.2-07: claimed elements that do not answer are removed everywhere.
#[test]
fn elements_that_died_with_their_registrar_are_removed() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 3);
    network.add_element(12, 3);
    network.run(ms(50));
    network.kill(3);
    network.kill(11);
    network.run(ms(3000));
    for survivor in [1, 2] {
        assert_eq!(network.table(survivor), [(12, 1)]);
    }
    let why = network.events(1).iter().find_map(|event| match event {
        Event::ElementRemoved { id, why, .. } if id.0 == 11 => Some(*why),
        _ => None,
    });
    assert_eq!(why, Some(RemovalReason::KeepAliveFailed));
}

// ENRP-3.5.2-10, A-68: who learns that it was taken over gives up its elements, and stays in service.
#[test]
fn who_was_taken_over_by_mistake_gives_way() {
    let mut network = Network::of_registrars(2);
    let assoc = network.add_element(11, 2);
    network.add_client(9);
    let nine = network.dial(9, 2, Channel::Enrp);
    network.tell_peer(9, nine, enrp::TakeoverServer { target: RegistrarId(2) });
    network.run(ms(5));
    assert_eq!(network.table(2), [(11, 9)]);
    let seen = network.client(9).enrp.iter().filter(|(_, m)| matches!(m.body, Body::Presence(_))).count();
    assert!(seen >= 1, "PRESENCE to all peers");
    // An element that registers again is its own again.
    network.register(11, assoc, element(11));
    network.run(ms(20));
    assert_eq!((network.table(1), network.table(2)), (vec![(11, 2)], vec![(11, 2)]));
}

// ENRP-3.5.2-10, ENRP-3.6.3-10: a network that was cut in two and healed agrees again, and loses no element.
#[test]
fn a_registrar_that_returns_from_a_partition_agrees_again() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 3);
    network.add_element(12, 1);
    network.run(ms(50));
    // Registrar 3 and its element 11 on one side, the rest on the other.
    for (a, b) in [(1, 3), (2, 3), (1, 11), (2, 11), (3, 12)] {
        network.cut(a, b);
    }
    network.run(ms(5000));
    assert_eq!(network.table(1), [(12, 1)], "claimed, did not answer, removed");
    assert_eq!(network.table(3), [(11, 3)], "the same on the other side");
    for (a, b) in [(1, 3), (2, 3), (1, 11), (2, 11), (3, 12)] {
        network.heal(a, b);
    }
    network.run(ms(10_000));
    for registrar in [1, 2, 3] {
        assert_eq!(network.table(registrar), [(11, 3), (12, 1)], "as registrar {registrar} sees it");
    }
}

// A-68, design D3: both sides of a cut could reach the element; after healing one owner is left, the same for all.
#[test]
fn an_element_that_both_sides_own_has_one_home_after_healing() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 2);
    network.run(ms(50));
    network.cut(1, 2);
    network.run(ms(3000));
    assert_eq!((network.table(1), network.table(2)), (vec![(11, 1)], vec![(11, 2)]));
    network.heal(1, 2);
    network.run(ms(10_000));
    assert_eq!((network.table(1), network.table(2)), (vec![(11, 1)], vec![(11, 1)]));
    assert_eq!(network.client(11).home, Some(RegistrarId(1)));
}

// Design §6: the same seeds give the same run, byte for byte.
#[test]
fn a_run_can_be_repeated() {
    let run = || {
        let mut network = Network::of_registrars(3);
        network.add_element(11, 3);
        network.add_element(12, 2);
        network.kill(3);
        network.run(ms(3000));
        network.transcript
    };
    let first = run();
    assert!(first.len() > 100);
    assert_eq!(first, run());
}

// ENRP-3.5.2-05, -06, ASAP-3.4-12: with the real machine of pool elements: registered, taken over, restarted, gone.
#[test]
fn real_elements_survive_their_registrar() {
    let mut network = Network::of_registrars(3);
    for host in 11..=20 {
        network.start_endpoint(host, &[1, 2, 3]);
    }
    let everybody: Vec<u32> = (11..=20).collect();
    let listed = |network: &mut Network, registrar: u8| -> Vec<u32> {
        network.table(registrar).iter().map(|(id, _)| *id).collect()
    };
    network.run(ms(2000));
    assert_eq!(listed(&mut network, 2), everybody);
    network.kill(1);
    network.run(ms(5000));
    for registrar in [2, 3] {
        assert_eq!(listed(&mut network, registrar), everybody);
        assert!(network.table(registrar).iter().all(|(_, home)| [2, 3].contains(home)));
    }
    assert_eq!(network.table(2), network.table(3));
    // One is killed and started anew at once with its identifier: never two, and it is back.
    network.kill(15);
    network.start_endpoint(15, &[2, 3]);
    network.run(ms(5000));
    assert_eq!((listed(&mut network, 2), listed(&mut network, 3)), (everybody.clone(), everybody));
    network.kill(2);
    network.kill(16);
    network.run(ms(5000));
    let left: Vec<(u32, u32)> = (11..=20).filter(|id| *id != 16).map(|id| (id, 3)).collect();
    assert_eq!(network.table(3), left);
}

// ENRP-3.5.2-05: an element that is being asked whether it lives is told of its new home all the same.
#[test]
fn an_element_under_a_probe_learns_its_new_home() {
    let mut network = Network::of_registrars(2);
    network.add_element(11, 1);
    network.add_client(12);
    let user = network.dial(12, 2, Channel::Asap);
    network.kill(1);
    network.run(ms(400));
    network.client(11).hangs = true;
    network.tell(12, user, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(11) });
    network.run_until(ms(240), |network| network.table(2) == [(11, 2)]);
    network.run(ms(20));
    network.client(11).hangs = false;
    network.run(ms(1000));
    assert_eq!(network.table(2), [(11, 2)]);
    assert_eq!(network.client(11).home, Some(RegistrarId(2)));
}

// ENRP-3.4.3-04, ENRP-2.7-02, ENRP-2.8-02, ENRP-3.5.1-01, -02, -03: who is silent for too long is to be taken over. All
// peers are asked (A-19: by an announcement), the target, too, which may live after all; nothing is taken over before each has acknowledged.
// ENRP-3.5.1-13: acknowledgements of others and for others count for nothing. ENRP-3.5.2-01, -02: the winner says so
// before anything else.
#[test]
fn everybody_is_asked_and_has_to_acknowledge() {
    let mut network = Network::of_registrars(1);
    let [voter, target, unproven] = [8, 9, 7].map(|host| {
        network.add_client(host);
        network.dial(host, 1, Channel::Enrp)
    });
    let element = params::PoolElement { home: RegistrarId(9), ..element(12) };
    let update =
        enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element: element.clone() };
    network.tell_peer(9, target, update);
    network.tell_peer(7, unproven, enrp::ListRequest);
    for _ in 0..11 {
        network.tell_peer(8, voter, presence());
        network.run(ms(95));
    }
    let init = Body::from(enrp::InitTakeover { target: RegistrarId(9) });
    for host in [8, 9] {
        let asked = received(&mut network, host, |body| *body == init);
        assert_eq!(asked.len(), 1, "{host}");
        assert_eq!((asked[0].sender, asked[0].receiver), (RegistrarId(1), RegistrarId::NONE));
    }
    assert_eq!(received(&mut network, 7, |body| *body == init), [], "it never was a registrar");
    network.tell_peer(8, voter, enrp::InitTakeoverAck { target: RegistrarId(77) });
    network.tell_peer(7, unproven, enrp::InitTakeoverAck { target: RegistrarId(9) });
    network.run(ms(10));
    assert_eq!(network.table(1), [(12, 9)]);
    network.client(8).enrp.clear();
    network.tell_peer(8, voter, enrp::InitTakeoverAck { target: RegistrarId(9) });
    network.run(ms(10));
    assert!(network.events(1).contains(&&completed(9, 1, 1)));
    let announced = &network.client(8).enrp[0].1.body;
    assert_eq!(*announced, enrp::TakeoverServer { target: RegistrarId(9) }.into());
    // A second one, when all is done.
    network.tell_peer(8, voter, enrp::InitTakeoverAck { target: RegistrarId(9) });
    network.run(ms(10));
    let won = network.events(1).into_iter().filter(|event| matches!(event, Event::TakeoverCompleted { .. }));
    assert_eq!(won.count(), 1);
}

// ENRP-3.5.1-09: whoever has nothing against it acknowledges, also of a target that it does not know.
#[test]
fn a_takeover_of_an_unknown_registrar_is_acknowledged() {
    let mut network = Network::of_registrars(1);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    network.tell_peer(9, assoc, enrp::InitTakeover { target: RegistrarId(77) });
    network.run(ms(10));
    let acknowledgement = Body::from(enrp::InitTakeoverAck { target: RegistrarId(77) });
    assert_eq!(received(&mut network, 9, |body| *body == acknowledgement).len(), 1);
}

// ENRP-3.5.2-03, -08, -09, A-67: winner and peers give the target's elements, and no others, to the winner, and take the
// target off their list. ENRP-3.5.2-11: their checksums agree at once. ENRP-3.5.2-12, A-66: each element that has
// acknowledged is announced, so a peer that has not heard of the takeover learns of it.
#[test]
fn winner_and_peers_agree_at_once() {
    let mut network = Network::of_registrars(3);
    network.add_element(11, 3);
    network.add_element(12, 2);
    network.run(ms(50));
    let mismatches = |network: &mut Network, host| {
        let now = network.now;
        network.registrar(host).status(now).counters.checksum_mismatches
    };
    let before = [1, 2].map(|host| mismatches(&mut network, host));
    network.kill(3);
    network.transcript.clear();
    network.run_until(ms(3000), |network| network.events(2).contains(&&completed(3, 1, 1)));
    for host in [1, 2] {
        assert_eq!(network.table(host), [(11, 1), (12, 2)]);
        let now = network.now;
        assert!(network.registrar(host).peers(now).iter().all(|peer| peer.id.0 != 3));
    }
    network.run(ms(1000));
    assert_eq!([1, 2].map(|host| mismatches(&mut network, host)), before);
    let order: Vec<&str> = network
        .transcript
        .iter()
        .filter(|(_, host, _)| *host == 1)
        .filter_map(|(_, _, transmit)| match transmit {
            Transmit::Send { ppid: rserpool_proto::PPID_ENRP, bytes, .. } => {
                match enrp::decode(bytes, RegistrarId::NONE).message.unwrap().body {
                    Body::InitTakeover(_) => Some("INIT_TAKEOVER"),
                    Body::TakeoverServer(_) => Some("TAKEOVER_SERVER"),
                    Body::HandleUpdate(update) => {
                        assert_eq!((update.element.id.0, update.element.home.0), (11, 1));
                        Some("ADD_PE")
                    }
                    _ => None,
                }
            }
            Transmit::Send { bytes, .. } => match asap::decode(bytes).message.unwrap() {
                asap::Message::EndpointKeepAlive(keep_alive) if keep_alive.home => Some("KEEP_ALIVE"),
                _ => None,
            },
            _ => None,
        })
        .collect();
    assert_eq!(order, ["INIT_TAKEOVER", "TAKEOVER_SERVER", "KEEP_ALIVE", "ADD_PE"]);
}

// Design D7: ten thousand elements are told of their new home within seconds, and never many at once.
#[test]
fn many_elements_are_claimed_without_a_burst() {
    const ELEMENTS: u16 = 10_000;
    let at = |millis| Time::ZERO + ms(millis);
    let mut registrar = Registrar::new(Network::config(1, &[]), ChaCha12Rng::seed_from_u64(1), Time::ZERO);
    let peer = AssocId::accepted(Channel::Enrp, 0);
    registrar.handle_input(
        at(1),
        Input::Up {
            assoc: peer,
            channel: Channel::Enrp,
            remote: vec![endpoint(9, Channel::Enrp)],
            local: vec![ip(1)],
            streams: 16,
        },
    );
    for port in 1..=ELEMENTS {
        let asap_transport = Some(params::SctpTransport {
            port,
            transport_use: params::TransportUse::DATA_ONLY,
            addresses: vec![ip(11)],
        });
        let element = params::PoolElement {
            id: PeIdentifier(port.into()),
            home: RegistrarId(9),
            asap_transport,
            ..element(11)
        };
        let update = enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element };
        let message =
            enrp::Message { sender: RegistrarId(9), receiver: RegistrarId::NONE, body: update.into() };
        let bytes = message.encode().unwrap();
        let ppid = rserpool_proto::PPID_ENRP;
        registrar
            .handle_input(at(1), Input::Message { assoc: peer, stream: 0, ppid, unordered: false, bytes });
    }
    let connects = |registrar: &mut Registrar| -> Vec<(AssocId, Channel)> {
        let transmits = std::iter::from_fn(|| registrar.poll_transmit());
        transmits
            .filter_map(|transmit| match transmit {
                Transmit::Connect { assoc, channel, .. } => Some((assoc, channel)),
                _ => None,
            })
            .collect()
    };
    registrar.handle_input(at(2), Input::Down { assoc: peer, why: DownReason::Unreachable });
    let again = connects(&mut registrar);
    registrar.handle_input(at(2), Input::Down { assoc: again[0].0, why: DownReason::Unreachable });
    let (mut claimed, mut largest) = (0, 0);
    for step in 0..520 {
        registrar.handle_timeout(at(2 + 10 * step));
        let new = connects(&mut registrar).iter().filter(|(_, channel)| *channel == Channel::Asap).count();
        claimed += new;
        largest = largest.max(new);
    }
    // Two thousand probes a second, by default.
    assert_eq!((claimed, largest), (usize::from(ELEMENTS), 20));
}

// ENRP-3.5.1-03: whoever is to be taken over, too, is not waited for.
#[test]
fn two_silent_registrars_are_no_voters_for_each_other() {
    let mut network = Network::of_registrars(1);
    let assocs = [7, 8, 9].map(|host| {
        network.add_client(host);
        network.dial(host, 1, Channel::Enrp)
    });
    for (host, assoc) in [8, 9].into_iter().zip(&assocs[1..]) {
        let element = params::PoolElement { home: RegistrarId(host.into()), ..element(host + 10) };
        let update = enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element };
        network.tell_peer(host, *assoc, update);
        network.run(ms(100));
    }
    // 8 is silent for longer than 9; 7 lives, and answers when it was asked about both.
    for _ in 0..10 {
        network.tell_peer(7, assocs[0], presence());
        network.run(ms(100));
    }
    for target in [8, 9] {
        network.tell_peer(7, assocs[0], enrp::InitTakeoverAck { target: RegistrarId(target) });
    }
    network.run(ms(10));
    for target in [8, 9] {
        assert!(network.events(1).contains(&&completed(target, 1, 1)), "of {target}");
    }
}
