//! Stories with a beginning and an end, in a world in which nothing else goes wrong.

// The helpers are as much part of the tests as the functions that clippy knows for such.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use proto::Time;
use proto::registrar::{Counters, Registrar};
use rserpool_tests::cuts::Cut;
use rserpool_tests::faults::Fault;
use rserpool_tests::network::Stop;
use rserpool_tests::trace::Trace;
use rserpool_tests::{HostId, Role, Spec, World};
use std::time::Duration;

struct Story {
    world: World,
}

fn registrar(number: u16) -> HostId {
    HostId { role: Role::Registrar, number }
}

fn element(number: u16) -> HostId {
    HostId { role: Role::Element, number }
}

fn counters(world: &World, number: u16) -> Counters {
    world.registrar(registrar(number)).unwrap().status(Time::ZERO).counters
}

impl Story {
    /// A scope that has found together, in which nothing changes on purpose.
    fn new(spec: &str) -> Self {
        let spec: Spec = spec.parse().unwrap();
        let mut story = Self { world: World::new(&spec, Trace::new(false)).unwrap() };
        story.pass(Duration::from_secs(2));
        story.world.rest();
        story.pass(Duration::from_secs(1));
        story.until(|world| world.converged().is_ok());
        story
    }

    fn pass(&mut self, time: Duration) {
        self.world.run_until(self.world.now() + time).unwrap();
    }

    fn pass_seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    fn inflict(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.world.inflict(&fault).unwrap();
        }
    }

    fn cut(&mut self, these: &[HostId]) {
        let hosts = self.world.hosts().into_iter();
        let those = hosts.filter(|host| !these.contains(host)).collect();
        let cut = Cut { these: these.iter().copied().collect(), those, both_ways: true };
        self.inflict([Fault::Cut(0, cut)]);
    }

    /// How long it takes until something is so; at most a minute.
    fn until(&mut self, mut so: impl FnMut(&World) -> bool) -> Duration {
        let begin = self.world.now();
        while !so(&self.world) {
            assert!(self.world.now().since(begin) < Duration::from_secs(60), "it never is");
            self.pass(Duration::from_millis(1));
        }
        self.world.now().since(begin)
    }

    fn happened(&self, what: &str) -> u64 {
        self.world.happened().get(what).copied().unwrap_or(0)
    }

    fn registrar(&self, number: u16) -> &Registrar {
        self.world.registrar(registrar(number)).unwrap()
    }

    /// The hosts whose elements have a registrar as their home.
    fn elements_of(&self, number: u16) -> Vec<HostId> {
        let registrar = self.registrar(number);
        let pools = registrar.pools(Time::ZERO, None, usize::MAX).into_iter();
        let all = pools.filter_map(|pool| registrar.elements(Time::ZERO, &pool.handle, None, usize::MAX));
        let own = all.flatten().filter(|element| element.home == registrar.id());
        let addresses = own.filter_map(|element| element.asap_transport?.addresses.first().copied());
        addresses.filter_map(HostId::at).collect()
    }

    fn lists(&self, number: u16) -> usize {
        self.registrar(number).status(Time::ZERO).elements
    }
}

/// Design D9: a site with 40 % of a pool is cut off for 30 seconds. None of its elements is removed anywhere.
#[test]
fn a_blackout_of_a_site_removes_nobody() {
    // The elements of the site are spread over the registrars as chance will have it, and each registrar sees its own.
    let spread = (101..=116).map(|seed| (seed, "icmp=false", 3));
    let others = [(1, "icmp=true", 1), (2, "icmp=true", 5), (3, "wire=datagrams,icmp=true", 3)];
    for (seed, manners, registrars) in others.into_iter().chain(spread) {
        let mut story = Story::new(&format!(
            "seed={seed},registrars={registrars},elements=40/40,users=0/0,hold=60000,{manners}"
        ));
        let site: Vec<HostId> = (0..16).map(element).collect();
        story.cut(&site);
        story.pass_seconds(30);
        assert_eq!(story.happened("elements removed"), 0);
        assert!(story.happened("mass failures guarded") > 0);
        story.inflict([Fault::Mend(0)]);
        story.pass_seconds(5);
        assert_eq!(story.happened("elements removed"), 0);
        story.world.converged().unwrap();
    }
}

/// Design D9: so it is when the site has elements of very many pools, more than the registrars have room to tell of.
#[test]
fn a_blackout_of_a_site_removes_nobody_from_any_of_many_pools() {
    for (pools, hosts, page) in [(60, 60, 32 << 10), (100, 100, 1400)] {
        let mut story = Story::new(&format!(
            "seed={pools},registrars=3,elements={}/{hosts},users=0/0,pools={pools},page={page},hold=60000",
            hosts * 10
        ));
        // Ten elements a pool, on hosts that follow each other: four of them.
        let site: Vec<HostId> = (0..hosts).filter(|number| number % 5 < 2).map(element).collect();
        story.cut(&site);
        story.pass_seconds(30);
        assert_eq!(story.happened("elements removed"), 0, "{pools} pools");
        story.inflict([Fault::Mend(0)]);
        story.pass_seconds(5);
        assert_eq!(story.happened("elements removed"), 0, "{pools} pools");
        story.world.converged().unwrap();
    }
}

/// Design D9: a site is cut off with its own registrar, and with one element that has its home elsewhere. That is not taken for
/// the only one that is silent.
#[test]
fn a_blackout_of_a_site_with_its_registrar_removes_nobody() {
    let mut stories = 0;
    for seed in 50..70 {
        let mut story = Story::new(&format!("seed={seed},registrars=2,elements=10/10,users=0/0,hold=60000"));
        let mut site = story.elements_of(1);
        if !(3..=5).contains(&site.len()) {
            continue;
        }
        stories += 1;
        site.extend(story.elements_of(0).first());
        site.push(registrar(1));
        story.cut(&site);
        story.pass_seconds(30);
        assert_eq!(story.happened("elements removed"), 0, "seed {seed}");
        story.inflict([Fault::Mend(0)]);
        // Each goes to the registrar that reaches it first, which may be the other one.
        story.until(|world| world.converged().is_ok());
        assert_eq!((story.lists(0), story.lists(1)), (10, 10), "seed {seed}");
    }
    assert!(stories > 5, "{stories}");
}

/// Design D9: the same 40 % are killed, and the hosts say so. All are gone within a second.
#[test]
fn who_is_killed_is_removed_within_a_second() {
    for wire in ["channels", "datagrams"] {
        let mut story = Story::new(&format!(
            "seed=2,wire={wire},registrars=3,elements=40/40,users=0/0,hold=60000,icmp=true"
        ));
        story.inflict((0..16).map(|number| Fault::Crash(element(number))));
        let all_gone = |world: &World| {
            let lists = |number| world.registrar(registrar(number)).unwrap().status(Time::ZERO).elements;
            (0..3).all(|number| lists(number) == 24)
        };
        let took = story.until(all_gone);
        assert!(took < Duration::from_secs(1), "{wire}: {took:?}");
        story.until(|world| world.converged().is_ok());
    }
}

/// Design D9: without any evidence the guard gives them up when it has held them for long enough, and ends.
#[test]
fn who_is_dead_is_not_held_for_ever() {
    let mut story = Story::new("seed=3,registrars=1,elements=40/40,users=0/0,hold=10000,icmp=false");
    story.inflict((0..16).map(|number| Fault::Crash(element(number))));
    story.pass_seconds(9);
    assert_eq!(story.lists(0), 40);
    story.pass_seconds(4);
    assert_eq!(story.lists(0), 24);
    assert_eq!(story.registrar(0).status(Time::ZERO).guarded_pools, 0);
    story.world.converged().unwrap();
}

/// A process that hangs while the kernel's SCTP answers for it: only keep-alives can tell (RFC 5352 §3.5).
#[test]
fn who_hangs_behind_a_living_association_is_removed_and_comes_back() {
    let mut story = Story::new("seed=4,registrars=3,elements=6/6,users=0/0");
    story.inflict([Fault::Pause(element(2), Stop::Process)]);
    let took = story.until(|world| world.converged().is_ok());
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(story.lists(1), 5);
    story.inflict([Fault::Resume(element(2))]);
    story.until(|world| world.converged().is_ok());
    assert_eq!(story.lists(1), 6);
}

/// A scope is cut into halves, each with elements: each takes over the other's registrars, elements stay where they can
/// be reached, and after the healing all agree on all of them.
#[test]
fn halves_grow_together_again() {
    let mut story = Story::new("seed=5,registrars=3,elements=12/12,users=4/4,watchers=2,hold=2000");
    let half: Vec<HostId> = [registrar(0)].into_iter().chain((0..6).map(element)).collect();
    story.cut(&half);
    story.pass_seconds(10);
    assert_eq!(story.lists(0), 6);
    assert_eq!((story.lists(1), story.lists(2)), (6, 6));
    assert!(story.happened("takeovers heard of") > 0);
    story.inflict([Fault::Mend(0)]);
    let took = story.until(|world| world.converged().is_ok());
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(story.lists(0), 12);
}

/// A registrar is started anew with the same identifier before anybody has noticed its death.
#[test]
fn a_registrar_returns_with_its_identifier() {
    let mut story = Story::new("seed=6,registrars=3,elements=9/9,users=0/0,watchers=1");
    let id = story.registrar(0).id();
    story.inflict([Fault::Crash(registrar(0)), Fault::Start(registrar(0))]);
    assert_eq!(story.registrar(0).id(), id);
    let took = story.until(|world| world.converged().is_ok());
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(story.lists(0), 9);
    assert_eq!(story.happened("elements removed"), 0, "it knows nothing, but the elements live");
}

/// A registrar that is about to take over dies as well: whoever has acknowledged its takeover does it, after three times
/// MAX-TIME-NO-RESPONSE.
// ENRP-3.5.1-12, A-65
#[test]
fn the_winner_of_a_takeover_dies() {
    // 20 ms from host to host, so there is a time in which an acknowledgement is on its way.
    let mut story = Story::new("seed=7,registrars=3,elements=12/12,users=0/0,icmp=false,link=0/0/20000/0");
    let mut by_id: Vec<u16> = vec![0, 1, 2];
    by_id.sort_by_key(|number| story.registrar(*number).id());
    // The target has the largest identifier, so the winner is the lowest.
    let (winner, last, target) = (by_id[0], by_id[1], by_id[2]);
    // Its elements stand still, and register with nobody else.
    let elements = story.elements_of(target);
    assert!(!elements.is_empty());
    story.inflict(elements.iter().map(|element| Fault::Pause(*element, Stop::Everything)));
    story.inflict([Fault::Crash(registrar(target))]);
    story.until(|world| world.happened().contains_key("takeovers begun"));
    // It has asked, and the other one has acknowledged.
    story.pass(Duration::from_millis(30));
    story.inflict([Fault::Crash(registrar(winner))]);
    let took = story.until(|world| counters(world, last).takeovers_won > 0);
    assert!(took > Duration::from_millis(700), "{took:?}");
    story.inflict(elements.into_iter().map(Fault::Resume));
    story.until(|world| world.converged().is_ok());
    assert_eq!(story.lists(last), 12);
}

/// A registrar joins while elements go and come: it gets a table without gaps, page by page, and has to load nothing anew.
// ENRP-3.2.3-18, A-58
#[test]
fn a_table_that_changes_while_it_is_read_has_no_gaps() {
    for seed in 8..14 {
        let mut story = Story::new(&format!(
            "seed={seed},registrars=2,elements=300/10,users=0/0,pools=3,page=1400,link=0/0/2000/0"
        ));
        story.inflict([Fault::Crash(registrar(1))]);
        story.pass_seconds(2);
        story.inflict([Fault::Start(registrar(1))]);
        // Most stay as they are: an update would make up for what was left out.
        for number in 0..4 {
            story.pass(Duration::from_millis(15));
            story.inflict([Fault::Leave(element(number))]);
        }
        story.inflict((0..4).map(|number| Fault::Start(element(number))));
        story.until(|world| world.converged().is_ok());
        // A page may have brought what was missing, and the last one is still to come.
        story.pass_seconds(1);
        assert_eq!(counters(&story.world, 1).resynchronizations, 0, "seed {seed}");
    }
}

/// Whoever has subscribed to a pool hears of its elements' new weights and priorities, and of everything after them: a
/// subscription outlasts what it tells of.
// ASAP-2.2.5-03, A-34
#[test]
fn subscribers_hear_of_new_policies_and_of_what_comes_after() {
    for seed in 20..24 {
        let spec = "registrars=2,elements=12/12,users=0/0,watchers=3,pools=6,churn-every=200";
        let mut story = Story::new(&format!("seed={seed},{spec}"));
        for _ in 0..3 {
            story.world.trouble();
            story.pass_seconds(5);
            story.world.rest();
            story.pass_seconds(1);
            story.world.converged().unwrap();
        }
        let pushes: u64 = (0..2).map(|number| counters(&story.world, number).pushes).sum();
        assert!(pushes > 100, "seed {seed}: {pushes}");
    }
}

/// A registrar is stopped. Its elements learn of their new home from that one, by the H bit of its keep-alives, before
/// the old one is gone: it does not have to wait for them, and none has to look for another registrar.
// ASAP-3.4-08
#[test]
fn elements_of_a_registrar_that_is_stopped_follow_their_new_home() {
    for seed in 30..34 {
        let mut story = Story::new(&format!("seed={seed},registrars=3,elements=12/12,users=0/0,watchers=1"));
        story.inflict([Fault::Leave(registrar(0))]);
        let took = story.until(|world| world.registrar(registrar(0)).is_none());
        assert!(took < Duration::from_millis(500), "seed {seed}: {took:?}");
        story.until(|world| world.converged().is_ok());
        assert_eq!(story.happened("elements removed"), 0);
        assert_eq!(story.lists(1), 12);
    }
}

/// Servers are drained one after the other while others come. Their sessions go elsewhere, and no answer is lost on the way:
/// that none is, and that no session begins at a server that is drained, the world looks after by itself. No datagram is lost:
/// in this profile three in a row end an association, and its session is repeated elsewhere.
// ASAP-6.2-01, ASAP-3.2-13
#[test]
fn drained_servers_hand_their_sessions_over_without_a_loss() {
    for manners in ["link=0/0/20000/0", "wire=datagrams,link=0/0/500/1000"] {
        let spec = "seed=40,registrars=2,elements=6/6,users=30/3,churn-every=400,drains=true,think=20";
        let mut story = Story::new(&format!("{spec},{manners}"));
        story.world.trouble();
        story.world.calm();
        story.pass_seconds(20);
        let failovers = story.happened("failovers");
        assert!(failovers > 50, "{manners}: {failovers}");
    }
}

/// Nearly all of a pool dies without a word, and the registrar goes on listing it. Sessions try one server after the other, but
/// only so many at once; half of the pool is avoided, and not more; each of the dead is reported once, and not all of them
/// by one client. All sessions go on.
// ASAP-3.5-01
#[test]
fn sessions_do_not_add_to_a_breakdown() {
    let mut story =
        Story::new("seed=41,registrars=1,elements=100/100,users=400/1,hold=60000,icmp=false,think=2000");
    // They come one after the other.
    story.pass_seconds(30);
    story.inflict((0..95).map(|number| Fault::Crash(element(number))));
    story.pass_seconds(2);
    story.until(|world| world.sessions_go_on(Duration::from_secs(3)).is_ok());
    assert!(story.happened("failovers") > 300);
}

/// A session whose servers are all dead, though they are listed, ends when its patience does, and so does one that begins.
#[test]
fn patience_has_an_end() {
    let mut story = Story::new(
        "seed=42,registrars=1,elements=6/6,users=6/1,hold=60000,icmp=false,think=100,patience=2000",
    );
    story.inflict((0..6).map(|number| Fault::Crash(element(number))));
    story.pass_seconds(10);
    assert!(story.happened("sessions in vain") > 12);
}
