//! Design D9: silence of many is a problem of the network, evidence is not.

use crate::network::{Host, Network, element, ms, pool};
use crate::played::bodies;
use params::{PeIdentifier, RegistrationLife};
use rserpool_proto::Channel;
use rserpool_proto::registrar::{Config, Event, Guard, RemovalReason};
use std::ops::RangeInclusive;
use std::time::Duration;

const HERE: RangeInclusive<Host> = 11..=40;
/// 40 % of the pool.
const SITE: RangeInclusive<Host> = 41..=60;

/// `registrars` registrars; the first has 50 elements, 20 of them at a remote site.
fn two_sites(registrars: Host) -> Network {
    let mut network = Network::of_registrars(registrars);
    for host in HERE.chain(SITE) {
        network.add_element(host, 1);
    }
    network.run(ms(1000));
    network
}

fn black_out(network: &mut Network, registrar: Host, hosts: impl IntoIterator<Item = Host>) {
    for host in hosts {
        network.cut(registrar, host);
    }
}

fn removals(network: &Network, registrar: Host) -> Vec<(u32, RemovalReason)> {
    let removed = network.events(registrar).into_iter().filter_map(|event| match event {
        Event::ElementRemoved { id, why, .. } => Some((id.0, *why)),
        _ => None,
    });
    removed.collect()
}

fn guard_events(network: &Network, registrar: Host) -> Vec<Event> {
    let guard = |event: &&Event| matches!(event, Event::GuardBegan { .. } | Event::GuardEnded { .. });
    network.events(registrar).into_iter().filter(guard).cloned().collect()
}

fn silent(network: &mut Network, registrar: Host) -> (usize, usize) {
    let now = network.now;
    let status = network.registrar(registrar).status(now);
    (status.silent_elements, status.guarded_pools)
}

/// The identifiers that a client is told, in this order.
fn resolved(network: &mut Network, client: Host, registrar: Host) -> Vec<u32> {
    network.add_client(client);
    let assoc = network.dial(client, registrar, Channel::Asap);
    let request = asap::HandleResolution { subscribe: false, handle: pool(), items: None };
    let asap::Message::HandleResolutionResponse(answer) = network.ask(client, assoc, request) else {
        panic!("no answer")
    };
    answer.elements.iter().map(|element| element.id.0).collect()
}

#[test]
fn a_blackout_of_a_site_removes_no_living_element() {
    let mut network = two_sites(2);
    black_out(&mut network, 1, SITE);
    network.run(ms(2000));
    assert_eq!(silent(&mut network, 1), (20, 1));
    let listed = resolved(&mut network, 71, 1);
    assert_eq!(listed.len(), 50, "all are there");
    assert!(listed[..30].iter().all(|id| HERE.contains(&(*id as Host))), "the silent ones last: {listed:?}");
    let now = network.now;
    let summary = network.registrar(1).pool(now, &pool()).unwrap();
    assert_eq!((summary.elements, summary.silent, summary.guarded.is_some()), (50, 20, true));
    network.run(ms(28_000));
    assert_eq!(removals(&network, 1), []);
    assert_eq!(network.table(2).len(), 50);
    network.heal_all();
    network.run(ms(2000));
    assert_eq!(silent(&mut network, 1), (0, 0));
    network.run(ms(60_000));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    assert_eq!(network.table(1).len(), 50);
    let events = guard_events(&network, 1);
    let [
        Event::GuardBegan { silent: 16..=20, elements: 50, .. },
        Event::GuardEnded { released: 20, removed: 0, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    let now = network.now;
    let elements = network.registrar(1).elements(now, &pool(), None, 99).unwrap();
    assert!(elements.iter().all(|element| !element.suspect && element.silent.is_none()));
}

#[test]
fn the_death_of_as_many_removes_them_within_a_second() {
    let mut network = two_sites(2);
    for host in SITE {
        network.crash(host);
    }
    let took = network.run_until(ms(1000), |network| network.table(1).len() == 30);
    assert!(took < ms(1000), "{took:?}");
    network.run(ms(10));
    assert_eq!(network.table(2).len(), 30);
    assert_eq!(guard_events(&network, 1), []);
}

// Without a guard, or with less silent ones, silence is enough, and hardly later.
#[test]
fn the_silence_of_few_removes_them() {
    for (share, gone) in [(30, 15), (100, 20)] {
        let mut network = Network::new();
        let mut config = Network::config(1, &[]);
        config.guard.share = share;
        network.start_with(1, config);
        for host in HERE.chain(SITE) {
            network.add_element(host, 1);
        }
        network.run(ms(1000));
        black_out(&mut network, 1, SITE.take(gone));
        let left = 50 - gone;
        let took = network.run_until(ms(1300), |network| network.table(1).len() == left);
        assert!(took < ms(1300), "{took:?}");
        network.run(ms(5000));
        assert_eq!((network.table(1).len(), silent(&mut network, 1)), (left, (0, 0)));
    }
}

// Design D9: by the letter of the RFCs there is no guard.
#[test]
fn with_strict_rfc_nobody_is_held() {
    let mut network = Network::new();
    network.start_with(1, Config { strict_rfc: true, ..Network::config(1, &[]) });
    for host in HERE.chain(SITE) {
        network.add_element(host, 1);
    }
    black_out(&mut network, 1, SITE);
    network.run(ms(2000));
    assert_eq!(network.table(1).len(), 30);
    assert_eq!(guard_events(&network, 1), []);
}

// A pool of three: each is removed as soon as it is silent.
#[test]
fn a_small_pool_is_not_guarded() {
    let mut network = Network::of_registrars(1);
    for host in 11..=13 {
        network.add_element(host, 1);
    }
    network.run(ms(1000));
    black_out(&mut network, 1, 11..=12);
    let took = network.run_until(ms(760), |network| network.table(1) == [(13, 1)]);
    assert!(took <= ms(760), "{took:?}");
}

#[test]
fn whoever_stays_silent_is_removed_at_last() {
    let mut network = two_sites(1);
    black_out(&mut network, 1, SITE);
    network.run(ms(59_000));
    assert_eq!(removals(&network, 1), []);
    network.run(ms(3000));
    let removed = removals(&network, 1);
    assert_eq!(removed.len(), 20);
    assert_eq!(silent(&mut network, 1), (0, 0));
    assert!(matches!(
        &guard_events(&network, 1)[..],
        [_, Event::GuardEnded { removed: 20, released: 0, .. }]
    ));
}

// However many follow each other, none of them is held longer than for its own time.
#[test]
fn a_guard_that_never_ends_is_impossible() {
    let mut network = two_sites(1);
    let hold = Guard::of(Duration::ZERO).hold;
    for host in SITE.chain(HERE.take(25)) {
        black_out(&mut network, 1, [host]);
        network.run(ms(500));
        let now = network.now;
        let elements = network.registrar(1).elements(now, &pool(), None, 99).unwrap();
        assert!(elements.iter().all(|element| element.silent.is_none_or(|silent| silent <= hold)));
    }
    network.run(hold + ms(2000));
    assert_eq!(network.table(1).len(), 5);
    assert_eq!(silent(&mut network, 1), (0, 0));
}

// Evidence counts at any time: a process that died meanwhile is removed when its host is back; one that hangs when
// the others have answered for a while.
#[test]
fn of_a_site_that_returns_the_dead_are_removed() {
    let mut network = two_sites(1);
    black_out(&mut network, 1, SITE);
    network.run(ms(10_000));
    network.crash(41);
    network.client(42).hangs = true;
    network.heal_all();
    network.run(ms(2000));
    let gone = |network: &Network| removals(network, 1).iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(gone(&network), [41]);
    network.run(ms(4000));
    assert_eq!(gone(&network), [41, 42]);
    assert_eq!(network.table(1).len(), 48);
    assert!(matches!(
        &guard_events(&network, 1)[..],
        [_, Event::GuardEnded { released: 18, removed: 2, .. }]
    ));
}

// An element that registers is alive, and so is one whose life would have ended meanwhile.
#[test]
fn a_held_element_registers_and_does_not_expire() {
    let mut network = two_sites(1);
    for host in SITE {
        let element = params::PoolElement { life: RegistrationLife(3), ..element(host) };
        let assoc = network.client(host).up[0];
        network.register(host, assoc, element);
    }
    black_out(&mut network, 1, SITE);
    network.run(ms(10_000));
    assert_eq!(removals(&network, 1), []);
    network.heal(1, 41);
    let assoc = network.dial(41, 1, Channel::Asap);
    network.register(41, assoc, element(41));
    assert_eq!(silent(&mut network, 1).0, 19);
}

// whoever wants the identifier of a silent element gets it.
#[test]
fn a_held_element_makes_room_for_its_successor() {
    let mut network = two_sites(1);
    black_out(&mut network, 1, SITE);
    network.run(ms(5000));
    network.add_client(71);
    let assoc = network.dial(71, 1, Channel::Asap);
    let successor = params::PoolElement { id: PeIdentifier(41), ..element(71) };
    let answer = network.register(71, assoc, successor);
    assert!(matches!(&answer, asap::Message::RegistrationResponse(r) if !r.rejected), "{answer:?}");
}

// RFC 5353 §3.3.2: the guard is its home's business; what the home says is obeyed.
#[test]
fn a_home_that_removes_an_element_is_obeyed() {
    let mut network = two_sites(2);
    network.add_element(61, 2);
    black_out(&mut network, 1, SITE);
    network.run(ms(5000));
    assert!(network.command(2, |registrar, now| registrar.remove_element(now, &pool(), PeIdentifier(61))));
    network.run(ms(10));
    assert_eq!(removals(&network, 1), [(61, RemovalReason::RemovedByPeer)]);
}

// A site with its own registrar is cut off: both sides take the other's elements over and hold them, and after that
// everybody is where it was or where it went, and nobody was removed anywhere.
#[test]
fn a_partition_removes_nobody_on_either_side() {
    let mut network = Network::of_registrars(2);
    for host in HERE {
        network.add_element(host, 1);
    }
    for host in SITE {
        network.add_element(host, 2);
    }
    network.run(ms(1000));
    black_out(&mut network, 1, SITE.chain([2]));
    black_out(&mut network, 2, HERE);
    network.run(ms(30_000));
    assert_eq!((network.table(1).len(), network.table(2).len()), (50, 50));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((20, 1), (30, 1)));
    network.heal_all();
    network.run(ms(10_000));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    assert_eq!(network.table(1), network.table(2));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((0, 0), (0, 0)));
}

// clients of another registrar report the whole site. It cannot reach it either, and leaves the matter to
// its home.
#[test]
fn reports_of_a_whole_site_remove_nobody() {
    let mut network = two_sites(2);
    for host in SITE {
        network.cut(1, host);
        network.cut(2, host);
    }
    network.add_client(71);
    let assoc = network.dial(71, 2, Channel::Asap);
    for host in SITE {
        let id = PeIdentifier(host.into());
        network.tell(71, assoc, asap::EndpointUnreachable { handle: pool(), id });
    }
    network.run(ms(30_000));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    let listed = resolved(&mut network, 72, 2);
    assert!(listed[..30].iter().all(|id| HERE.contains(&(*id as Host))), "{listed:?}");
    network.heal_all();
    network.run(ms(60_000));
    assert_eq!((network.table(1).len(), network.table(2).len()), (50, 50));
    assert_eq!(silent(&mut network, 2), (0, 0));
}

// Between two attempts an answer to the last one is an answer (found by the simulation).
#[test]
fn a_late_answer_counts() {
    let mut network = Network::of_registrars(1);
    let mut associations = Vec::new();
    for host in 11..=20 {
        associations.push(network.add_element(host, 1));
    }
    network.client(13).hangs = true;
    network.run_until(ms(900), |network| silent(network, 1).0 == 1);
    network.tell(13, associations[2], asap::EndpointKeepAliveAck { handle: pool(), id: PeIdentifier(13) });
    network.run(ms(3));
    assert_eq!(silent(&mut network, 1), (0, 0));
    network.client(13).hangs = false;
    network.run(ms(5000));
    assert_eq!(removals(&network, 1), []);
}

// Design D9: the pool counts, not what one registrar has of it. Of a site that is cut off registrar 2 has one element, which
// would be a single death if registrar 1 did not tell that five of its own are silent, too.
#[test]
fn registrars_judge_a_pool_together() {
    let mut network = Network::of_registrars(2);
    for host in 11..=19 {
        network.add_element(host, 1);
    }
    for host in 20..=23 {
        network.add_element(host, 2);
    }
    network.run(ms(1000));
    assert_eq!(network.table(2).len(), 13);
    let site = 15..=20;
    for host in site.clone() {
        for registrar in [1, 2] {
            network.cut(host, registrar);
        }
    }
    network.run(ms(30_000));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((5, 1), (1, 1)));
    // Whoever looks at one of them sees why.
    let now = network.now;
    let summaries = [1, 2].map(|host| network.registrar(host).pool(now, &pool()).unwrap());
    assert_eq!(summaries.map(|pool| (pool.silent, pool.silent_elsewhere)), [(5, 1), (1, 5)]);
    let began = guard_events(&network, 2);
    let [Event::GuardBegan { silent: 5..=6, elsewhere: 4..=5, elements: 13, .. }] = &began[..] else {
        panic!("{began:?}")
    };
    network.heal_all();
    network.run(ms(5_000));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((0, 0), (0, 0)));

    // One alone is one alone.
    for registrar in [1, 2] {
        network.cut(20, registrar);
    }
    let took = network.run_until(ms(2000), |network| network.table(2).len() == 12);
    assert!(took < ms(1500), "{took:?}");
    network.run(ms(10));
    assert_eq!(network.table(1).len(), 12);
}

// Design D9: the pool counts, however unequally its elements are spread. A registrar with few of them looks at each more often
// than one with many can, and waits for what that one will see.
#[test]
fn who_has_few_elements_waits_for_who_has_many() {
    let mut network = Network::new();
    for registrar in [1, 2] {
        let mut config = Network::config(registrar, &[3 - registrar]);
        // 120 elements, one keep-alive each in 4 s.
        config.limits.probes_per_second = 40;
        network.start_with(registrar, config);
    }
    network.run(ms(3000));
    let (many, few) = (11..=130, 131..=140);
    for host in many.clone() {
        network.add_element(host, 1);
    }
    for host in few.clone() {
        network.add_element(host, 2);
    }
    network.run(ms(5000));
    let site: Vec<Host> = many.skip(72).chain(few.skip(6)).collect();
    for host in &site {
        network.client(*host).hangs = true;
    }
    network.run(ms(30_000));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((48, 1), (4, 1)));
    for host in &site {
        network.client(*host).hangs = false;
    }
    network.run(ms(10_000));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((0, 0), (0, 0)));

    // One alone is one alone.
    network.client(140).hangs = true;
    let took = network.run_until(ms(8000), |network| network.table(2).len() == 129);
    assert!(took < ms(6000), "{took:?}");
}

// Design D9: a site is cut off together with its registrar. What that one has there is silent to nobody, for nobody but itself
// looks for it, and it tells nobody.
#[test]
fn a_site_is_cut_off_with_its_registrar() {
    let mut network = Network::of_registrars(2);
    for host in 11..=17 {
        network.add_element(host, 1);
    }
    for host in 18..=20 {
        network.add_element(host, 2);
    }
    network.run(ms(1000));
    for host in [2, 17, 18, 19, 20] {
        black_out(&mut network, host, (11..=16).chain([1]));
    }
    network.run(ms(800));
    let now = network.now;
    let summary = network.registrar(1).pool(now, &pool()).unwrap();
    assert_eq!((summary.silent, summary.silent_elsewhere), (1, 3));
    network.run(ms(29_200));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    assert_eq!(silent(&mut network, 1), (4, 1));
    network.heal_all();
    network.run(ms(10_000));
    assert_eq!((removals(&network, 1), removals(&network, 2)), (vec![], vec![]));
    assert_eq!(network.table(1), network.table(2));
    assert_eq!((silent(&mut network, 1), silent(&mut network, 2)), ((0, 0), (0, 0)));
}

// Design D9: the elements of a registrar that is taken over are silent until they answer the claim, even if one of them is so sooner,
// because a client has reported it (seeds 10000157, 10001418, 10002088, 10002164 and 10002209 of the simulation).
#[test]
fn whoever_is_claimed_is_silent_until_he_answers() {
    for reported in (800..1200).step_by(50) {
        let mut network = Network::of_registrars(2);
        for host in 11..=17 {
            network.add_element(host, 1);
        }
        for host in 18..=21 {
            network.add_element(host, 2);
        }
        network.add_client(90);
        let assoc = network.dial(90, 1, Channel::Asap);
        network.run(ms(1000));
        for host in [2, 18, 19, 20, 21] {
            black_out(&mut network, host, (11..=17).chain([1]));
        }
        network.run(ms(reported));
        network.tell(90, assoc, asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(18) });
        network.run(ms(5000));
        assert_eq!(removals(&network, 1), [], "reported after {reported} ms");
        assert_eq!(silent(&mut network, 1), (4, 1), "reported after {reported} ms");
    }
}

// The death of a registrar is not that of its elements: what is silent meanwhile is held, but no longer than it takes to
// see that the others live.
#[test]
fn the_death_of_a_registrar_ends_no_element_and_holds_none_for_long() {
    let mut network = Network::of_registrars(2);
    for host in 11..=17 {
        network.add_element(host, 1);
    }
    for host in 18..=20 {
        network.add_element(host, 2);
    }
    network.run(ms(1000));
    network.cut(17, 1);
    network.kill(2);
    network.run(ms(8000));
    assert_eq!(removals(&network, 1), [(17, RemovalReason::KeepAliveFailed)]);
    assert_eq!((network.table(1).len(), silent(&mut network, 1)), (9, (0, 0)));
}

// Design D7: the more elements a registrar has, the more seldom it looks at each; nobody is given up without that.
#[test]
fn whoever_is_held_is_asked_again_before_he_is_given_up() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    // 50 elements, one keep-alive each in 66 s.
    config.limits.probes_per_second = 1;
    network.start_with(1, config);
    for host in HERE.chain(SITE) {
        network.add_element(host, 1);
    }
    network.run(ms(1000));
    black_out(&mut network, 1, SITE);
    network.run(ms(30_000));
    network.heal_all();
    network.run(ms(140_000));
    assert_eq!(removals(&network, 1), []);
    assert_eq!(silent(&mut network, 1), (0, 0));
}

// Design D9: nor is anybody given up earlier while he is held, however short that is to be.
#[test]
fn who_has_few_elements_holds_them_as_long_as_who_has_many() {
    let mut network = Network::new();
    for registrar in [1, 2] {
        let mut config = Network::config(registrar, &[3 - registrar]);
        // 120 elements, one keep-alive each in 4 s.
        config.limits.probes_per_second = 40;
        config.guard.hold = ms(1000);
        network.start_with(registrar, config);
    }
    network.run(ms(3000));
    for host in 11..=140 {
        network.add_element(host, if host <= 130 { 1 } else { 2 });
    }
    network.run(ms(5000));
    for host in (61..=130).chain(137..=140) {
        network.client(host).hangs = true;
    }
    network.run(ms(6000));
    assert_eq!(silent(&mut network, 2), (4, 1));
    assert_eq!(removals(&network, 2), []);
}

// Design D9: others are told soon of whoever falls silent, but not asked each time.
#[test]
fn others_are_asked_once_a_keep_alive_interval() {
    let mut network = Network::of_registrars(2);
    for host in 11..=60 {
        network.add_element(host, 1);
    }
    network.add_element(61, 2);
    network.run(ms(1000));
    let sent = |network: &Network, asks: bool| {
        let bodies = bodies(network, 1).into_iter();
        bodies.filter(|m| matches!(&m.body, enrp::Body::Presence(p) if p.reply_required == asks)).count()
    };
    let before = [true, false].map(|asks| sent(&network, asks));
    for host in 11..=50 {
        network.cut(1, host);
        network.run(ms(50));
    }
    let after = [true, false].map(|asks| sent(&network, asks));
    // 2 s, of 250 ms each.
    assert!((2..=9).contains(&(after[0] - before[0])), "{before:?} {after:?}");
    assert!(after[1] - before[1] > 16, "{before:?} {after:?}");
}

// Design D9: what there was no room to tell of counts as silent, and a PRESENCE has no more octets than its receiver takes.
#[test]
fn pools_that_there_was_no_room_to_tell_of_count_as_silent() {
    let mut network = Network::new();
    for registrar in [1, 2] {
        let mut config = Network::config(registrar, &[3 - registrar]);
        config.limits.table_response_bytes = if registrar == 2 { 200 } else { 1400 };
        network.start_with(registrar, config);
    }
    network.run(ms(3000));
    // In each of 20 pools three elements behind host 11, in one three behind host 12, and one of registrar 2 in each.
    let pools = (0..20).map(|n| format!("pool{n}"));
    let [eleven, twelve, thirteen, fourteen] =
        [(11, 1), (12, 1), (13, 2), (14, 2)].map(|(host, registrar)| {
            network.add_client(host);
            network.dial(host, registrar, Channel::Asap)
        });
    let mut register = |host: Host, assoc, handle: &str, id: u32| {
        let handle = params::PoolHandle::from(handle);
        network.client(host).elements.insert((handle.clone(), PeIdentifier(id)));
        let element = params::PoolElement { id: PeIdentifier(id), ..element(host) };
        network.ask(host, assoc, asap::Registration { handle, element });
    };
    for handle in pools {
        (1..=3).for_each(|id| register(11, eleven, &handle, id));
        register(13, thirteen, &handle, 4);
    }
    (1..=3).for_each(|id| register(12, twelve, "quiet", id));
    register(14, fourteen, "quiet", 4);
    network.run(ms(1000));
    network.cut(1, 11);
    network.run(ms(2000));
    network.cut(2, 14);
    network.run(ms(5000));
    let now = network.now;
    let elements = network.registrar(2).elements(now, &"quiet".into(), None, usize::MAX).unwrap();
    assert_eq!(elements.len(), 4, "held: nobody says that the others of the pool are not silent");
    let mut told = 0;
    for message in bodies(&network, 1) {
        let enrp::Body::Presence(presence) = &message.body else { continue };
        let others = |pool: &params::SilentElements| pool.handle.as_bytes().is_empty();
        told += usize::from(presence.silent.iter().any(others));
        assert!(message.encode().unwrap().len() <= 200);
    }
    assert!(told > 0);
}
