//! RFC 5352 §2.2.5, §2.2.6, ambiguity A-34: whoever subscribes to a pool is told of its changes.

use crate::network::{Host, Network, element, endpoint, ip, ms, pool};
use asap::{HandleResolution, HandleResolutionResponse};
use params::{CauseCode, PeIdentifier, Policy, PoolElement};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_proto::registrar::Registrar;
use rserpool_proto::{AssocId, Channel, Input, Node, PPID_ASAP, Time, Transmit};
use std::collections::BTreeMap;
use std::time::Duration;

const CLIENT: Host = 71;

fn resolution(subscribe: bool) -> HandleResolution {
    HandleResolution { subscribe, handle: pool(), items: None }
}

/// A client that has asked; its association and the answer.
fn ask(network: &mut Network, client: Host, subscribe: bool) -> (AssocId, HandleResolutionResponse) {
    network.add_client(client);
    let assoc = network.dial(client, 1, Channel::Asap);
    let asap::Message::HandleResolutionResponse(answer) = network.ask(client, assoc, resolution(subscribe))
    else {
        panic!("no answer")
    };
    network.client(client).asap.clear();
    (assoc, answer)
}

/// What the client was told since the last time: when, A, and whom.
fn told(network: &mut Network, client: Host) -> Vec<(Time, bool, Vec<u32>)> {
    let told = std::mem::take(&mut network.client(client).asap);
    let lists = told.into_iter().filter_map(|(at, message)| match message {
        asap::Message::HandleResolutionResponse(list) => {
            let mut ids: Vec<u32> = list.elements.iter().map(|element| element.id.0).collect();
            ids.sort_unstable();
            assert_eq!(list.accepted, list.error.is_none());
            Some((at, list.accepted, ids))
        }
        _ => None,
    });
    lists.collect()
}

// ASAP-2.2.5-03: A answers S, and what follows is the complete list.
#[test]
fn a_subscriber_is_told_who_comes_and_goes() {
    let mut network = Network::of_registrars(2);
    let assoc = network.add_element(11, 1);
    network.add_element(12, 1);
    let (_, answer) = ask(&mut network, CLIENT, true);
    assert!(answer.accepted);
    let now = network.now;
    assert_eq!(network.registrar(1).pool(now, &pool()).unwrap().subscribers, 1);
    // Who comes is told within the interval, also if it is at another registrar.
    network.run(ms(500));
    let start = network.now;
    network.add_element(13, 2);
    network.run(ms(300));
    let [(at, true, ids)] = &told(&mut network, CLIENT)[..] else { panic!() };
    assert_eq!(*ids, [11, 12, 13]);
    assert!(at.since(start) <= ms(120), "{:?}", at.since(start));
    // Who goes is told at once.
    network.run(ms(500));
    let start = network.now;
    network.hang_up(11, assoc);
    network.run(ms(300));
    let [(at, true, ids)] = &told(&mut network, CLIENT)[..] else { panic!() };
    assert_eq!(*ids, [12, 13]);
    assert!(at.since(start) <= ms(5), "{:?}", at.since(start));
}

// ASAP-2.2.5-04
#[test]
fn nobody_is_told_who_did_not_ask() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    let (_, answer) = ask(&mut network, CLIENT, false);
    assert!(!answer.accepted);
    network.add_element(12, 1);
    network.run(ms(1000));
    assert_eq!(told(&mut network, CLIENT), []);
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.pushes, 0);
}

// The rate: at most one list in an interval, and the last one is right.
#[test]
fn changes_in_quick_succession_are_told_together() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    ask(&mut network, CLIENT, true);
    let start = network.now;
    for host in 12..=40 {
        let assoc = network.add_element(host, 1);
        network.run(ms(10));
        if host % 3 == 0 {
            network.hang_up(host, assoc);
        }
    }
    let took = network.now.since(start);
    network.run(ms(300));
    let lists = told(&mut network, CLIENT);
    assert!(lists.len() >= 4 && lists.len() as u128 <= took.as_millis() / 100 + 2, "{}", lists.len());
    assert!(lists.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= ms(100)));
    let expected: Vec<u32> = network.table(1).into_iter().map(|(id, _)| id).collect();
    assert_eq!(lists.last().unwrap().2, expected);
}

// Loads and lives change all the time; weights and addresses matter.
#[test]
fn what_a_client_does_not_go_by_is_not_told() {
    use params::Load;
    let mut network = Network::of_registrars(1);
    network.add_client(11);
    let assoc = network.dial(11, 1, Channel::Asap);
    let loaded = |load| PoolElement { policy: Policy::LeastUsed { load: Load(load) }, ..element(11) };
    network.register(11, assoc, loaded(1));
    ask(&mut network, CLIENT, true);
    network.register(11, assoc, loaded(2));
    let life = params::RegistrationLife(60);
    network.register(11, assoc, PoolElement { life, ..loaded(2) });
    network.run(ms(300));
    assert_eq!(told(&mut network, CLIENT), []);
    let mut moved = loaded(2);
    if let params::Transport::Sctp(sctp) = &mut moved.user_transport {
        sctp.port += 1;
    }
    network.register(11, assoc, moved);
    network.run(ms(300));
    assert_eq!(told(&mut network, CLIENT).len(), 1);
}

// ASAP-2.2.5-06, -07: the end of the pool is the end of the subscription.
#[test]
fn the_end_of_a_pool_is_told_once() {
    let mut network = Network::of_registrars(1);
    let only = network.add_element(11, 1);
    let (client, _) = ask(&mut network, CLIENT, true);
    network.hang_up(11, only);
    network.run(ms(300));
    let [asap::Message::HandleResolutionResponse(last)] =
        &network.client(CLIENT).asap.iter().map(|(_, message)| message.clone()).collect::<Vec<_>>()[..]
    else {
        panic!()
    };
    assert!(!last.accepted && last.elements.is_empty());
    assert_eq!(last.error, Some(CauseCode::UNKNOWN_POOL_HANDLE.into()));
    network.client(CLIENT).asap.clear();
    let assoc = network.add_element(12, 1);
    network.run(ms(300));
    assert_eq!(told(&mut network, CLIENT), []);
    // Nor can it subscribe to a pool that does not exist.
    let unknown = HandleResolution { subscribe: true, handle: "unknown".into(), items: None };
    let asap::Message::HandleResolutionResponse(answer) = network.ask(CLIENT, client, unknown) else {
        panic!()
    };
    assert!(!answer.accepted);
    network.client(CLIENT).asap.clear();
    network.ask(12, assoc, asap::Registration { handle: "unknown".into(), element: element(12) });
    network.run(ms(300));
    assert_eq!(told(&mut network, CLIENT), []);
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).subscriptions, 0);
}

// a negative answer ends it, also before the push that would have said so.
#[test]
fn a_subscription_ends_with_a_negative_answer() {
    let mut network = Network::of_registrars(1);
    let only = network.add_element(11, 1);
    let (client, _) = ask(&mut network, CLIENT, true);
    // The next push has to wait.
    network.ask(11, only, asap::Registration { handle: pool(), element: element(11) });
    let second = network.add_element(12, 1);
    network.run(ms(60));
    network.hang_up(11, only);
    network.ask(12, second, asap::Deregistration { handle: pool(), id: PeIdentifier(12) });
    let asap::Message::HandleResolutionResponse(answer) = network.ask(CLIENT, client, resolution(true))
    else {
        panic!()
    };
    assert!(!answer.accepted && answer.error.is_some());
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).subscriptions, 0);
    network.client(CLIENT).asap.clear();
    network.run(ms(1000));
    assert_eq!(told(&mut network, CLIENT), []);
}

// A resolution without S ends it, and so does the end of the association.
#[test]
fn a_subscription_ends_by_wish_and_with_its_association() {
    let mut network = Network::of_registrars(1);
    network.add_element(11, 1);
    let (one, _) = ask(&mut network, 71, true);
    let (other, _) = ask(&mut network, 72, true);
    let subscriptions = |network: &mut Network| {
        let now = network.now;
        network.registrar(1).status(now).subscriptions
    };
    assert_eq!(subscriptions(&mut network), 2);
    network.ask(71, one, resolution(false));
    assert_eq!(subscriptions(&mut network), 1);
    network.hang_up(72, other);
    network.run(ms(10));
    assert_eq!(subscriptions(&mut network), 0);
    network.client(71).asap.clear();
    network.add_element(12, 1);
    network.run(ms(300));
    assert_eq!(told(&mut network, 71), []);
}

// ASAP-2.2.6-02, design D11: a clear A is the answer to too many.
#[test]
fn subscriptions_are_limited() {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    config.limits.subscriptions = 2;
    config.limits.subscriptions_per_association = 1;
    network.start_with(1, config);
    let assoc = network.add_element(11, 1);
    network.client(11).elements.insert(("other".into(), PeIdentifier(11)));
    network.ask(11, assoc, asap::Registration { handle: "other".into(), element: element(11) });
    let (first, answer) = ask(&mut network, 71, true);
    assert!(answer.accepted);
    let other = HandleResolution { subscribe: true, handle: "other".into(), items: None };
    let accepted = |answer: asap::Message| match answer {
        asap::Message::HandleResolutionResponse(answer) => (answer.accepted, answer.elements.len()),
        _ => panic!(),
    };
    assert_eq!(accepted(network.ask(71, first, other)), (false, 1), "one too many for this client");
    assert_eq!(accepted(network.ask(71, first, resolution(true))), (true, 1), "the one it has");
    assert!(ask(&mut network, 72, true).1.accepted);
    assert!(!ask(&mut network, 73, true).1.accepted, "one too many for all");
    let now = network.now;
    assert_eq!(network.registrar(1).status(now).counters.subscriptions_refused, 2);
}

// A silent element is told as last: who fails over goes elsewhere before anybody is removed.
#[test]
fn suspicion_is_told_at_once() {
    let mut network = Network::of_registrars(1);
    for host in 11..=20 {
        network.add_element(host, 1);
    }
    ask(&mut network, CLIENT, true);
    network.client(13).hangs = true;
    network.run_until(ms(900), |network| !network.client(CLIENT).asap.is_empty());
    let (_, asap::Message::HandleResolutionResponse(list)) = &network.client(CLIENT).asap[0] else {
        panic!()
    };
    assert_eq!((list.elements.len(), list.elements.last().unwrap().id), (10, PeIdentifier(13)));
    assert_eq!(network.table(1).len(), 10);
}

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn up(n: u64, host: Host) -> Input {
    let assoc = AssocId::accepted(Channel::Asap, n);
    let remote = vec![endpoint(host, Channel::Asap)];
    Input::Up { assoc, channel: Channel::Asap, remote, local: vec![ip(1)], streams: 16 }
}

fn asap(n: u64, message: impl Into<asap::Message>) -> Input {
    let assoc = AssocId::accepted(Channel::Asap, n);
    let bytes = message.into().encode().unwrap();
    Input::Message { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes }
}

/// A registrar with elements 11 and on at associations 0 and on, and subscribers behind them.
fn with_subscribers(elements: u64, subscribers: u64, adapt: impl Fn(u32) -> Policy) -> Registrar {
    let mut config = Network::config(1, &[]);
    // Nobody here answers keep-alives.
    config.timers.keep_alive_interval = Duration::from_secs(3600);
    let mut registrar = Registrar::new(config, ChaCha12Rng::seed_from_u64(1), Time::ZERO);
    for n in 0..elements {
        let host = Host::try_from(11 + n).unwrap();
        registrar.handle_input(at(1), up(n, host));
        let element = PoolElement { policy: adapt(host.into()), ..element(host) };
        registrar.handle_input(at(1), asap(n, asap::Registration { handle: pool(), element }));
    }
    for n in elements..elements + subscribers {
        registrar.handle_input(at(1), up(n, 200));
        registrar.handle_input(at(1), asap(n, resolution(true)));
    }
    while registrar.poll_transmit().is_some() {}
    registrar
}

/// The lists that are pushed until the time, by association.
fn pushed(registrar: &mut Registrar, until: Time) -> BTreeMap<AssocId, Vec<(bytes::Bytes, Vec<u32>)>> {
    let mut lists: BTreeMap<AssocId, Vec<_>> = BTreeMap::new();
    loop {
        while let Some(transmit) = registrar.poll_transmit() {
            if let Transmit::Send { assoc, bytes, .. } = transmit
                && let Ok(asap::Message::HandleResolutionResponse(list)) = asap::decode(&bytes).message
            {
                assert!(list.accepted);
                lists.entry(assoc).or_default().push((bytes, list.elements.iter().map(|e| e.id.0).collect()));
            }
        }
        match registrar.poll_timeout().filter(|(due, _)| *due <= until) {
            Some((due, _)) => registrar.handle_timeout(due),
            None => return lists,
        }
    }
}

// Ten thousand subscribers: each is told once, by a few encoded lists, and not all of them are sent to the same element.
#[test]
fn ten_thousand_subscribers_share_a_few_lists() {
    let mut registrar = with_subscribers(20, 10_000, |_| Policy::RoundRobin);
    let gone =
        Input::Down { assoc: AssocId::accepted(Channel::Asap, 0), why: rserpool_proto::DownReason::Shutdown };
    registrar.handle_input(at(50), gone);
    let mut slices = 0;
    while let Some((due, "push")) = registrar.poll_timeout() {
        registrar.handle_timeout(due);
        slices += 1;
        let mut sent = 0;
        let mut distinct = std::collections::BTreeSet::new();
        while let Some(transmit) = registrar.poll_transmit() {
            let Transmit::Send { bytes, .. } = transmit else { continue };
            sent += 1;
            // The same bytes in memory, not equal ones.
            distinct.insert(bytes.as_ptr() as usize);
        }
        assert!(sent <= 1000, "{sent}");
        assert!(distinct.len() <= 16, "{}", distinct.len());
    }
    assert!((10..=11).contains(&slices), "{slices}");
    assert_eq!(registrar.status(at(200)).counters.pushes, 10_000);
}

// Design D11: numbers that get the same list are one wish.
#[test]
fn ten_thousand_wishes_beyond_the_pool_share_a_few_lists() {
    let mut registrar = with_subscribers(20, 0, |_| Policy::RoundRobin);
    for n in 0..1000 {
        registrar.handle_input(at(1), up(100 + n, 200));
        let items = Some(20 + u32::try_from(n).unwrap());
        registrar.handle_input(at(1), asap(100 + n, HandleResolution { items, ..resolution(true) }));
    }
    while registrar.poll_transmit().is_some() {}
    let gone =
        Input::Down { assoc: AssocId::accepted(Channel::Asap, 0), why: rserpool_proto::DownReason::Shutdown };
    registrar.handle_input(at(50), gone);
    let lists = pushed(&mut registrar, at(90));
    let distinct: std::collections::BTreeSet<usize> =
        lists.values().flatten().map(|(bytes, _)| bytes.as_ptr() as usize).collect();
    assert_eq!((lists.len(), distinct.len()), (1000, 16));
}

#[test]
fn subscribers_do_not_all_go_to_the_same_element() {
    let firsts = |registrar: &mut Registrar| {
        let gone = Input::Down {
            assoc: AssocId::accepted(Channel::Asap, 0),
            why: rserpool_proto::DownReason::Shutdown,
        };
        registrar.handle_input(at(50), gone);
        let mut firsts: BTreeMap<u32, usize> = BTreeMap::new();
        for lists in pushed(registrar, at(90)).values() {
            assert_eq!(lists.len(), 1);
            *firsts.entry(lists[0].1[0]).or_default() += 1;
        }
        firsts
    };
    // Round robin: all of the eight that are left, equally.
    let mut registrar = with_subscribers(9, 160, |_| Policy::RoundRobin);
    let round_robin = firsts(&mut registrar);
    assert!(round_robin.len() == 8 && round_robin.values().all(|count| *count == 20), "{round_robin:?}");
    // Weights: 12 counts 30 times as much as each of the others.
    for weighted in
        [|weight| Policy::WeightedRoundRobin { weight }, |weight| Policy::WeightedRandom { weight }]
    {
        let mut registrar = with_subscribers(4, 160, |id| weighted(if id == 12 { 30 } else { 1 }));
        let firsts = firsts(&mut registrar);
        assert!(firsts[&12] >= 100, "{firsts:?}");
    }
    // Priority: there is one best, for all.
    let mut registrar = with_subscribers(4, 16, |priority| Policy::Priority { priority });
    assert_eq!(firsts(&mut registrar), BTreeMap::from([(14, 16)]));
}

// Design §4: for a subscriber that does not read only the latest list waits.
#[test]
fn a_slow_subscriber_gets_the_latest_list_only() {
    let mut registrar = with_subscribers(9, 2, |_| Policy::RoundRobin);
    let (slow, quick) = (AssocId::accepted(Channel::Asap, 9), AssocId::accepted(Channel::Asap, 10));
    registrar.handle_input(at(10), Input::Full { assoc: slow });
    let mut told: Vec<_> = Vec::new();
    for n in 0..8 {
        let now = at(100 + 200 * n);
        let assoc = AssocId::accepted(Channel::Asap, n);
        let why = rserpool_proto::DownReason::Shutdown;
        registrar.handle_input(now, Input::Down { assoc, why });
        let lists = pushed(&mut registrar, now + ms(100));
        assert_eq!(lists.keys().copied().collect::<Vec<_>>(), [quick]);
        told.extend(lists.into_values().flatten());
    }
    assert_eq!(told.len(), 8);
    registrar.handle_input(at(2000), Input::Writable { assoc: slow });
    let lists = pushed(&mut registrar, at(2000));
    assert_eq!(lists[&slow].iter().map(|(_, ids)| ids.clone()).collect::<Vec<_>>(), [[19]]);
}

// RFC 9260 §5.2: a process that was started anew has not asked for anything.
#[test]
fn a_restart_ends_a_subscription() {
    let mut registrar = with_subscribers(3, 1, |_| Policy::RoundRobin);
    registrar.handle_input(at(5), Input::Restart { assoc: AssocId::accepted(Channel::Asap, 3) });
    assert_eq!(registrar.status(at(5)).subscriptions, 0);
}
