//! Business cards: sent by elements with a failover order, followed by pool users (RFC 5352 §3.9).

use super::*;
use rserpool_proto::endpoint::ElementId;
use rserpool_proto::profile::Compat;

const USER: AssocId = AssocId::accepted(Channel::Asap, 1);
const OTHER: AssocId = AssocId::accepted(Channel::Asap, 2);

fn user() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 5000))
}

fn card(servers: impl IntoIterator<Item = u8>) -> asap::BusinessCard {
    asap::BusinessCard { handle: pool(), elements: servers.into_iter().map(element).collect() }
}

fn ids(servers: &[u32]) -> Vec<PeIdentifier> {
    servers.iter().copied().map(PeIdentifier).collect()
}

/// A registered element that recommends 3, itself, 9 and 2.
fn recommending(compat: Compat) -> (Script, AssocId, ElementId) {
    let mut script = Script::new(Config { compat, ..config(1) });
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.machine.set_failover_order(script.now, element, ids(&[3, 0x11, 9, 2])).unwrap();
    script.out();
    script.events();
    (script, home, element)
}

// ASAP-3.9-01, OVW-2.5-02: the card is the first control message of a session. It names those that the registrar lists; not 9.
#[test]
fn an_element_recommends_others_when_communication_begins() {
    let (mut script, home, _) = recommending(Compat::Rfc);
    script.up(USER, user());
    script.data(USER, "hello");
    script.up(OTHER, user());
    script.data(OTHER, "hello");
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))], "asked once for both");
    script.answer(home, 1..=4);
    let expected = |assoc| Out::Asap(assoc, card([3, 2]).into());
    assert_eq!(script.out(), [expected(USER), expected(OTHER)]);

    let third = AssocId::accepted(Channel::Asap, 3);
    script.up(third, user());
    script.data(third, "hello");
    assert_eq!(script.out(), [expected(third)], "the pool is known");
}

// ASAP-3.9-04: a new card at any time.
#[test]
fn a_changed_order_goes_to_the_sessions_that_there_are() {
    let (mut script, home, element) = recommending(Compat::Rfc);
    script.up(USER, user());
    script.data(USER, "hello");
    script.answer(home, 1..=4);
    script.out();
    script.machine.set_failover_order(script.now, element, ids(&[4])).unwrap();
    assert_eq!(script.out(), [Out::Asap(USER, card([4]).into())]);
}

// ASAP-3.9-03: with rsplib, which cannot read it, and without an order there is none.
#[test]
fn there_is_no_card_where_it_is_of_no_use() {
    let (rsplib, ..) = recommending(Compat::Rsplib);
    let (mut none, _, element) = recommending(Compat::Rfc);
    none.machine.set_failover_order(none.now, element, Vec::new()).unwrap();
    for mut script in [rsplib, none] {
        script.up(USER, user());
        script.data(USER, "hello");
        assert_eq!(script.out(), []);
    }
    let (mut unknown, home, _) = recommending(Compat::Rfc);
    unknown.up(USER, user());
    unknown.data(USER, "hello");
    unknown.out();
    unknown.answer(home, [1, 4]);
    assert_eq!(unknown.out(), [], "none of those is listed");
}

/// Where the session goes when its server is gone.
fn next_server(script: &mut Script, lost: AssocId) -> (AssocId, SocketAddr) {
    script.down(lost, DownReason::Unreachable);
    let connect = script.out().into_iter().find_map(|out| match out {
        Out::Connect(assoc, Channel::Session, remote) => Some((assoc, remote)),
        _ => None,
    });
    connect.unwrap()
}

// ASAP-3.9-06, ASAP-3.9-04, ASAP-3.9-02: the latest card before the policy, which would choose 2. A plain pool user sends none.
#[test]
fn a_session_follows_the_card_of_its_server() {
    let (mut script, _, _, assoc) = Script::connected(5);
    script.asap(assoc, card([2, 5]));
    script.asap(assoc, card([1, 9, 4, 3]));
    assert_eq!(script.out(), []);
    let (fourth, remote) = next_server(&mut script, assoc);
    assert_eq!(remote, server(4), "1 is gone, 9 is nobody");
    // It cannot be reached: the next one of the card; and one that is lost later is not tried again at once.
    let (third, remote) = next_server(&mut script, fourth);
    assert_eq!(remote, server(3));
    script.up(third, server(3));
    script.out();
    let (_, remote) = next_server(&mut script, third);
    assert!(remote == server(2) || remote == server(5), "by the policy: {remote}");
}

// ASAP-3.9-05: without a fresh entry in the cache the pool is resolved; a card of another pool is none of ours.
#[test]
fn a_card_for_a_pool_that_is_not_in_the_cache_makes_it_known() {
    let (mut script, _, home, assoc) = Script::connected(3);
    script.asap(assoc, card([2]));
    assert_eq!(script.out(), []);
    script.pass(Duration::from_secs(31));
    script.out();
    script.asap(assoc, card([2]));
    script.asap(assoc, card([3]));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))], "one question");
    script.answer(home, 1..=3);
    assert_eq!(next_server(&mut script, assoc).1, server(3));

    let (mut script, _, _, assoc) = Script::connected(3);
    let unexpected = script.machine.counters().unexpected;
    script.asap(assoc, asap::BusinessCard { handle: PoolHandle::from("other"), ..card([3]) });
    assert_eq!(script.out(), []);
    assert_eq!(script.machine.counters().unexpected, unexpected + 1);
}

// A card makes its pool known anew, and the session fails over before the answer, which is then one answer, not two.
#[test]
fn a_failover_after_a_card_pauses_once() {
    let (mut script, _, home, first) = Script::connected(1);
    script.pass(Duration::from_secs(61));
    script.asap(first, card([1]));
    script.down(first, DownReason::Shutdown);
    script.out();
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!((script.out(), script.machine.counters().pauses), (vec![], 1));
}

// What no handle can be is no card; and those that a pool user may choose are not asked for without limit.
#[test]
fn the_cards_of_pool_users_are_checked() {
    let mut config = config(1);
    config.limits.resolutions = 3;
    let mut script = Script::new(config);
    script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.out();
    for n in 1..=5 {
        let assoc = AssocId::accepted(Channel::Asap, n);
        script.up(assoc, user());
        script.data(assoc, "hello");
        let handle = PoolHandle::from(format!("pool-{n}").as_str());
        script.asap(assoc, asap::BusinessCard { handle, elements: vec![element(1)] });
    }
    let asked = |out: &Out| matches!(out, Out::Asap(_, asap::Message::HandleResolution(_)));
    assert_eq!(script.out().iter().filter(|out| asked(out)).count(), 3);
    script.events();

    let assoc = AssocId::accepted(Channel::Asap, 9);
    script.up(assoc, user());
    script.data(assoc, "hello");
    script.events();
    let handle = PoolHandle::from("x".repeat(60_001).as_str());
    script.asap(assoc, asap::BusinessCard { handle, elements: vec![element(1)] });
    assert_eq!((script.events(), script.machine.counters().unexpected), (vec![], 1));
}
