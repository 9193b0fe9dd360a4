//! Only what anybody feels counts as a fault in a summary.

#![allow(clippy::expect_used, reason = "helpers of tests are tests")]

use net::memory::Link;
use rserpool_tests::cuts::Cut;
use rserpool_tests::faults::Fault;
use rserpool_tests::network::Stop;
use rserpool_tests::trace::Trace;
use rserpool_tests::{HostId, Role, World};

const REGISTRAR: HostId = HostId { role: Role::Registrar, number: 0 };
const ELEMENT: HostId = HostId { role: Role::Element, number: 0 };

fn world(wire: &str) -> World {
    let spec = format!("seed=1,wire={wire},users=2/2,watchers=1").parse().expect("it is a spec");
    World::new(&spec, Trace::new(false)).expect("nothing is wrong yet")
}

/// Which of these are felt, one after the other.
fn felt(wire: &str, faults: &[Fault]) -> Vec<bool> {
    let mut world = world(wire);
    let feel = |fault: &Fault| {
        let felt = world.is_felt(fault);
        world.inflict(fault).expect("no invariant is violated");
        felt
    };
    faults.iter().map(feel).collect()
}

fn cut(these: HostId, those: HostId) -> Fault {
    Fault::Cut(1, Cut { these: [these].into(), those: [those].into(), both_ways: true })
}

#[test]
fn the_death_of_who_is_dead_is_not_felt_and_its_end_counts_for_nothing() {
    let faults = [
        Fault::Crash(ELEMENT),
        Fault::Crash(ELEMENT),
        Fault::Pause(ELEMENT, Stop::Everything),
        cut(REGISTRAR, ELEMENT),
        Fault::Mend(1),
        Fault::Resume(ELEMENT),
        Fault::Start(ELEMENT),
        Fault::Pause(ELEMENT, Stop::Everything),
        Fault::Pause(ELEMENT, Stop::Process),
        Fault::Leave(ELEMENT),
        Fault::Resume(ELEMENT),
        cut(REGISTRAR, ELEMENT),
    ];
    let expected = [true, false, false, false, false, false, false, true, false, false, false, true];
    assert_eq!(felt("channels", &faults), expected);
}

#[test]
fn a_cut_between_those_who_never_talk_is_not_felt() {
    let host = |role, number| HostId { role, number };
    let [one, other, watcher] =
        [(Role::User, 0), (Role::User, 1), (Role::Watcher, 0)].map(|(r, n)| host(r, n));
    let faults = [cut(one, other), cut(watcher, ELEMENT), cut(watcher, REGISTRAR), cut(one, ELEMENT)];
    assert_eq!(felt("channels", &faults), [false, false, true, true]);
}

#[test]
fn a_change_to_the_same_is_not_felt_nor_a_refusal_where_nobody_refuses() {
    let link = Fault::Link(Link::rough());
    let faults = [link.clone(), link, Fault::Refuse(100), Fault::Refuse(100), Fault::Refuse(0)];
    assert_eq!(felt("channels", &faults), [true, false, true, false, true]);
    assert_eq!(felt("datagrams", &faults), [true, false, false, false, false]);
}
