//! RFC 5356, policy by policy: what a registrar lists in which order.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod naive;

use naive::{element, policy};
use params::{
    CauseCode, Load, PeIdentifier, Policy, PolicyType, PoolHandle, RegistrarId, TcpTransport, Transport,
    TransportUse,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rserpool_handlespace::{Handlespace, RegisterError};
use std::collections::BTreeMap;

/// One pool whose elements are called a, b, c, … and have the identifiers 1, 2, 3, …
struct Scene {
    space: Handlespace,
    pool: PoolHandle,
    rng: ChaCha8Rng,
}

impl Scene {
    fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        let mut scene = Self {
            space: Handlespace::new(),
            pool: PoolHandle::from("EchoPool"),
            rng: ChaCha8Rng::seed_from_u64(0x5356),
        };
        for (id, policy) in (1..).zip(policies) {
            scene.register(id, policy);
        }
        scene
    }

    fn register(&mut self, id: u32, policy: Policy) {
        self.space.register(&self.pool, element(id, policy)).unwrap();
    }

    fn remove(&mut self, id: u32) {
        self.space.remove(&self.pool, PeIdentifier(id)).unwrap();
    }

    fn suspect(&mut self, id: u32, suspect: bool) {
        assert!(self.space.set_suspect(&self.pool, PeIdentifier(id), suspect));
    }

    /// One answer, as letters.
    fn answer(&mut self, count: impl Into<Option<usize>>) -> String {
        let chosen = self.space.select(&self.pool, count.into(), &mut self.rng);
        chosen.iter().map(|element| char::from(b'a' + element.id.0 as u8 - 1)).collect()
    }

    /// Several answers, with spaces between.
    fn answers(&mut self, count: impl Into<Option<usize>> + Copy, times: usize) -> String {
        (0..times).map(|_| self.answer(count)).collect::<Vec<_>>().join(" ")
    }

    /// How often which answer came.
    fn histogram(&mut self, count: usize, times: usize) -> BTreeMap<String, usize> {
        let mut histogram = BTreeMap::new();
        for _ in 0..times {
            *histogram.entry(self.answer(count)).or_default() += 1;
        }
        histogram
    }
}

/// Chi-square against the expected probabilities. The bound is far beyond the 99.9 % quantile of up to 24 degrees
/// of freedom (51); the seeds are fixed.
fn assert_distributed(observed: &BTreeMap<String, usize>, expected: &[(&str, f64)]) {
    let total: usize = observed.values().sum();
    let known: usize = expected.iter().filter_map(|(answer, _)| observed.get(*answer)).sum();
    assert_eq!(known, total, "unexpected answers in {observed:?}");
    let chi_square: f64 = expected
        .iter()
        .map(|(answer, probability)| {
            let expected = probability * total as f64;
            let observed = observed.get(*answer).copied().unwrap_or(0) as f64;
            (observed - expected).powi(2) / expected
        })
        .sum();
    assert!(chi_square < 60.0, "chi-square {chi_square}: {observed:?}");
}

fn weighted_round_robin(weight: u32) -> Policy {
    Policy::WeightedRoundRobin { weight }
}

fn weighted_random(weight: u32) -> Policy {
    Policy::WeightedRandom { weight }
}

fn priority(priority: u32) -> Policy {
    Policy::Priority { priority }
}

fn least_used(load: u32) -> Policy {
    Policy::LeastUsed { load: Load(load) }
}

fn degrading(load: u32, degradation: u32) -> Policy {
    Policy::LeastUsedDegradation { load: Load(load), degradation: Load(degradation) }
}

fn priority_least_used(load: u32, degradation: u32) -> Policy {
    Policy::PriorityLeastUsed { load: Load(load), degradation: Load(degradation) }
}

fn randomized(load: u32) -> Policy {
    Policy::RandomizedLeastUsed { load: Load(load) }
}

// --- Round Robin (§4.1)

// POL-4.1-03, POL-4.1-04, POL-4.1-05, POL-4.1-06
// POL-4.1-01
#[test]
fn round_robin_advances_the_head_by_one() {
    let mut scene = Scene::new([Policy::RoundRobin, Policy::RoundRobin, Policy::RoundRobin]);
    assert_eq!(scene.answers(None, 4), "abc bca cab abc");
    let mut scene = Scene::new([Policy::RoundRobin, Policy::RoundRobin, Policy::RoundRobin]);
    assert_eq!(scene.answers(2, 4), "ab bc ca ab");
}

// POL-4.1-07
#[test]
fn round_robin_keeps_its_order_through_changes() {
    let mut scene = Scene::new([Policy::RoundRobin, Policy::RoundRobin, Policy::RoundRobin]);
    assert_eq!(scene.answer(None), "abc"); // The head is b.
    scene.register(4, Policy::RoundRobin); // Just before the head.
    scene.register(2, Policy::RoundRobin); // A re-registration changes nothing.
    assert_eq!(scene.answer(None), "bcad"); // The head is c.
    scene.remove(3); // The head is its successor, a.
    assert_eq!(scene.answers(None, 3), "adb dba bad");
}

// a configured increment, never more than was listed.
#[test]
fn round_robin_with_a_larger_increment() {
    let mut scene = Scene::new([]);
    scene.space = Handlespace::with_max_increment(2);
    for id in 1..=4 {
        scene.register(id, Policy::RoundRobin);
    }
    assert_eq!(scene.answers(3, 3), "abc cda abc");
    assert_eq!(scene.answers(1, 2), "c d");
}

// looking is not selecting.
#[test]
fn peeking_moves_nothing() {
    let scene = Scene::new([degrading(0, 10), degrading(5, 10)]);
    for _ in 0..3 {
        let ids: Vec<_> = scene.space.peek(&scene.pool).map(|element| element.id.0).collect();
        assert_eq!(ids, [1, 2]);
    }
    assert_eq!(scene.space.state(&scene.pool, PeIdentifier(1)).unwrap().selections, 0);
}

// --- Weighted Round Robin (§4.2)

// POL-4.2-02
#[test]
fn weighted_round_robin_of_equal_weights_is_round_robin() {
    // More elements than windows that one selection opens.
    for weight in [1, 7, u32::MAX] {
        let mut weighted = Scene::new((0..20).map(|_| weighted_round_robin(weight)));
        let mut plain = Scene::new((0..20).map(|_| Policy::RoundRobin));
        for _ in 0..70 {
            assert_eq!(weighted.answer(20), plain.answer(20));
        }
    }
}

// POL-4.2-03, POL-4.2-04
#[test]
fn weighted_round_robin_spreads_occurrences() {
    let mut scene = Scene::new([3, 1, 1].map(weighted_round_robin));
    assert_eq!(scene.answers(1, 10), "a b a c a a b a c a");
    let mut scene = Scene::new([3, 1].map(weighted_round_robin));
    let firsts = scene.histogram(1, 4000);
    assert_eq!(firsts, BTreeMap::from([("a".into(), 3000), ("b".into(), 1000)]));
}

// POL-4.2-03, POL-4.2-04: in each round everybody has exactly its share, and at no time is anybody more than one
// turn ahead of it or two behind.
#[test]
fn weighted_round_robin_is_exact_in_each_round() {
    let weights = [13, 1, 8, 8, 5, 1, 1, 3, 2, 9, 4, 4];
    let total: usize = weights.iter().sum();
    let mut scene = Scene::new(weights.map(|weight| weighted_round_robin(weight as u32)));
    let mut turns = vec![0; weights.len()];
    for selections in 1..=5 * total {
        turns[usize::from(scene.answer(1).as_bytes()[0] - b'a')] += 1;
        for (&turns, weight) in turns.iter().zip(weights) {
            let ahead = turns as f64 - (selections * weight) as f64 / total as f64;
            assert!((-2.0..=1.0).contains(&ahead), "{ahead} after {selections}, weight {weight}");
        }
        if selections % total == 0 {
            assert_eq!(turns, weights.map(|weight| weight * selections / total));
        }
    }
}

// POL-3.2-01, POL-4.2-05
#[test]
fn weighted_round_robin_of_extreme_weights() {
    let mut scene = Scene::new([u32::MAX, 1].map(weighted_round_robin));
    let firsts = scene.histogram(1, 10_000);
    assert!(firsts["a"] >= 9_999, "{firsts:?}");
}

// POL-4.2-06
#[test]
fn weighted_round_robin_lists_nobody_twice() {
    let mut scene = Scene::new([30, 1, 1].map(weighted_round_robin));
    for _ in 0..100 {
        let mut letters: Vec<_> = scene.answer(3).chars().collect();
        letters.sort_unstable();
        assert_eq!(letters, ['a', 'b', 'c']);
    }
}

// POL-4.2-08
#[test]
fn weighted_round_robin_follows_a_change_at_once() {
    let mut scene = Scene::new([1, 1].map(weighted_round_robin));
    assert_eq!(scene.answers(1, 4), "a b a b");
    scene.register(1, weighted_round_robin(3));
    let firsts = scene.histogram(1, 400);
    assert!((298..=302).contains(&firsts["a"]), "{firsts:?}");
    // Who joins late takes part at once, and does not catch up on the past.
    scene.register(3, weighted_round_robin(4));
    let firsts = scene.histogram(1, 800);
    assert!((397..=402).contains(&firsts["c"]), "{firsts:?}");
}

// --- Random (§4.3)

// POL-4.3-02, POL-4.3-03, POL-4.3-04
#[test]
fn random_is_uniform() {
    let mut scene = Scene::new((0..5).map(|_| Policy::Random));
    let fifth = ["a", "b", "c", "d", "e"].map(|letter| (letter, 0.2));
    assert_distributed(&scene.histogram(1, 10_000), &fifth);
    // Pairs in order: 20 of them, none with the same element twice.
    let pairs = scene.histogram(2, 20_000);
    let names: Vec<_> = pairs.keys().cloned().collect();
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), 0.05)).collect();
    assert!(names.len() == 20 && names.iter().all(|name| name[..1] != name[1..]), "{names:?}");
    assert_distributed(&pairs, &expected);
}

// POL-4.3-03
#[test]
fn random_lists_all_once() {
    let mut scene = Scene::new((0..26).map(|_| Policy::Random));
    for _ in 0..1000 {
        let mut letters: Vec<_> = scene.answer(None).chars().collect();
        letters.sort_unstable();
        assert!(letters.iter().copied().eq('a'..='z'), "{letters:?}");
    }
}

// --- Weighted Random (§4.4)

// POL-4.4-01 to POL-4.4-05, POL-3.2-03
#[test]
fn weighted_random_follows_the_weights() {
    let mut scene = Scene::new([3, 1].map(weighted_random));
    assert_distributed(&scene.histogram(1, 10_000), &[("a", 0.75), ("b", 0.25)]);
    let mut scene = Scene::new([1, 1, 1, 1].map(weighted_random));
    assert_distributed(&scene.histogram(1, 10_000), &["a", "b", "c", "d"].map(|letter| (letter, 0.25)));
}

// POL-4.4-05: later draws are over the rest. P(xy) = x/6 · y/(6 − x).
#[test]
fn weighted_random_draws_without_replacement() {
    let mut scene = Scene::new([1, 2, 3].map(weighted_random));
    let pairs = [
        ("ab", 1.0 / 6.0 * 2.0 / 5.0),
        ("ac", 1.0 / 6.0 * 3.0 / 5.0),
        ("ba", 2.0 / 6.0 * 1.0 / 4.0),
        ("bc", 2.0 / 6.0 * 3.0 / 4.0),
        ("ca", 3.0 / 6.0 * 1.0 / 3.0),
        ("cb", 3.0 / 6.0 * 2.0 / 3.0),
    ];
    assert_distributed(&scene.histogram(2, 20_000), &pairs);
    // The order of a complete answer has the same distribution, its last place being what is left.
    let complete = scene.histogram(3, 20_000).into_iter().map(|(mut answer, count)| {
        answer.pop();
        (answer, count)
    });
    assert_distributed(&complete.collect(), &pairs);
}

// POL-3.2-02, POL-4.4-06, A-72
#[test]
fn weight_zero_is_listed_only_if_there_is_nothing_else() {
    for weighted in [weighted_round_robin, weighted_random] {
        let mut scene = Scene::new([0, 5].map(weighted));
        assert_eq!(scene.answers(3, 3), "b b b");
        scene.register(2, weighted(0));
        let firsts = scene.histogram(1, 1000);
        assert!(firsts["a"] > 400 && firsts["b"] > 400, "{firsts:?}");
        assert_eq!(scene.answer(3).len(), 2);
        scene.register(1, weighted(1));
        assert_eq!(scene.answers(3, 3), "a a a");
    }
}

// --- Priority (§4.5)

// POL-4.5-02, POL-4.5-03, POL-4.5-04
#[test]
fn priority_lists_the_largest_first() {
    let mut scene = Scene::new([1, 5, 9].map(priority));
    assert_eq!(scene.answers(2, 2), "cb cb");
    assert_eq!(scene.answer(None), "cba");
    scene.register(1, priority(u32::MAX));
    assert_eq!(scene.answer(None), "acb");
}

// POL-4.5-05
#[test]
fn equal_priorities_take_turns() {
    let mut scene = Scene::new([1, 7, 7, 1].map(priority));
    assert_eq!(scene.answers(None, 3), "bcad cbda bcad");
    // Where an answer ends within equals, these take turns as well.
    assert_eq!(scene.answers(3, 3), "cbd bca cbd");
}

// --- Least Used (§5.1)

// POL-5.1-02, POL-5.1-03, POL-5.1-05
// POL-1-01
#[test]
fn least_used_lists_the_lowest_load_first() {
    let mut scene = Scene::new([30, 10, 20].map(least_used));
    assert_eq!(scene.answers(2, 2), "bc bc");
    scene.register(1, least_used(5));
    assert_eq!(scene.answer(None), "abc");
}

// POL-5.1-04
#[test]
fn equal_loads_take_turns() {
    let mut scene = Scene::new([10, 10, 10, 20].map(least_used));
    assert_eq!(scene.answers(None, 4), "abcd bcad cabd abcd");
    assert_eq!(scene.answers(1, 4), "b c a b");
}

// --- Least Used with Degradation (§5.2)

// POL-5.2-02, POL-5.2-04, POL-5.2-05: 0, 10, then 20 of a against 15 of b.
#[test]
fn degradation_adds_up() {
    let mut scene = Scene::new([degrading(0, 10), degrading(15, 10)]);
    assert_eq!(scene.answers(1, 5), "a a b a b");
    assert_eq!(scene.space.state(&scene.pool, PeIdentifier(1)).unwrap().selections, 3);
}

// POL-5.2-04, A-76: each element of an answer counts once.
#[test]
fn everybody_listed_is_counted() {
    let mut scene = Scene::new([degrading(0, 10), degrading(15, 0), degrading(90, 1)]);
    assert_eq!(scene.answers(2, 3), "ab ab ba");
    let counter = |id| scene.space.state(&scene.pool, PeIdentifier(id)).unwrap().selections;
    assert_eq!([1, 2, 3].map(counter), [3, 3, 0]);
}

// POL-5.2-03: set to 0 by a re-registration and by a peer's update alike.
#[test]
fn an_update_resets_the_counter() {
    let mut scene = Scene::new([degrading(0, 10), degrading(15, 10)]);
    assert_eq!(scene.answers(1, 3), "a a b");
    scene.register(1, degrading(0, 10));
    assert_eq!(scene.answers(1, 3), "a a a");
    scene.space.replicate(&scene.pool, element(1, degrading(0, 10)));
    assert_eq!(scene.answers(1, 2), "a a");
}

// POL-5.2-05, POL-5.1-04: equals take turns even when all are listed and counted.
#[test]
fn equally_degraded_take_turns() {
    let mut scene = Scene::new([5, 5, 5].map(|load| degrading(load, 10)));
    assert_eq!(scene.answers(None, 4), "abc bca cab abc");
}

// --- Priority Least Used (§5.3)

// POL-5.3-02, POL-5.3-05, POL-5.3-06: the example of the RFC, in percent; nothing adds up.
#[test]
fn priority_least_used_looks_ahead() {
    let mut scene = Scene::new([priority_least_used(50, 50), priority_least_used(50, 10)]);
    for _ in 0..100 {
        assert_eq!(scene.answer(None), "ba");
    }
    let mut scene = Scene::new([priority_least_used(u32::MAX, u32::MAX), priority_least_used(u32::MAX, 0)]);
    assert_eq!(scene.answer(None), "ba");
}

// POL-5.3-04
#[test]
fn equal_sums_take_turns() {
    let mut scene = Scene::new([priority_least_used(10, 50), priority_least_used(50, 10)]);
    assert_eq!(scene.answers(None, 3), "ab ba ab");
}

// --- Randomized Least Used (§5.4)

// POL-5.4-02, POL-5.4-03
#[test]
fn randomized_least_used_follows_the_unload() {
    let mut scene = Scene::new([0, 0xbfff_ffff].map(randomized));
    assert_distributed(&scene.histogram(1, 10_000), &[("a", 0.8), ("b", 0.2)]);
    let mut scene = Scene::new([0x7fff_ffff, 0xbfff_ffff, 0xbfff_ffff].map(randomized));
    assert_distributed(&scene.histogram(1, 10_000), &[("a", 0.5), ("b", 0.25), ("c", 0.25)]);
    // Loads 1/2, 3/4, 3/4: unload 2, 1, 1.
    let pairs = [
        ("ab", 0.25),
        ("ac", 0.25),
        ("ba", 1.0 / 6.0),
        ("bc", 1.0 / 12.0),
        ("ca", 1.0 / 6.0),
        ("cb", 1.0 / 12.0),
    ];
    assert_distributed(&scene.histogram(2, 20_000), &pairs);
}

// POL-5.4-04, A-72
#[test]
fn fully_loaded_elements_are_the_last_resort() {
    let mut scene = Scene::new([u32::MAX, u32::MAX].map(randomized));
    assert_distributed(&scene.histogram(1, 10_000), &[("a", 0.5), ("b", 0.5)]);
    scene.register(1, randomized(u32::MAX - 1));
    assert_eq!(scene.answers(3, 3), "a a a");
}

// --- All policies

//
#[test]
fn default_number_of_elements() {
    for number in 0..naive::POLICIES {
        let mut scene = Scene::new((0..140).map(|value| policy(number, value + 1, 1)));
        let expected = if [1, 3, 8].contains(&number) { 3 } else { 128 };
        assert_eq!(scene.space.select(&scene.pool, None, &mut scene.rng).len(), expected, "policy {number}");
        assert_eq!(scene.space.select(&scene.pool, Some(140), &mut scene.rng).len(), 140);
        assert!(scene.space.select(&scene.pool, Some(0), &mut scene.rng).is_empty());
    }
}

// Design D4, D9: suspects are listed last, and come back.
#[test]
fn suspects_come_last() {
    for number in 0..naive::POLICIES {
        let mut scene = Scene::new((0..3).map(|_| policy(number, 7, 1)));
        scene.suspect(1, true);
        for _ in 0..20 {
            let answer = scene.answer(3);
            assert!(answer.len() == 3 && answer.ends_with('a'), "policy {number}: {answer}");
        }
        // It is still one after a re-registration; only its registrar knows better.
        scene.register(1, policy(number, 7, 1));
        assert!(scene.answer(3).ends_with('a'));
        scene.suspect(1, false);
        assert!((0..20).any(|_| !scene.answer(3).ends_with('a')), "policy {number}");
    }
}

// A-72 before D9: an element that offers no service is not preferred to a suspect one.
#[test]
fn suspect_or_drained() {
    let mut scene = Scene::new([weighted_random(0), weighted_random(1)]);
    scene.suspect(2, true);
    assert_eq!(scene.answers(3, 3), "b b b");
    scene.register(2, weighted_random(0));
    assert_eq!(scene.answers(2, 3), "ab ab ab", "all are drained: both, the suspect one last");
}

// POL-7.1-06, A-78
#[test]
fn unknown_policies_are_round_robin() {
    let unknown = |number| Policy::Opaque { policy_type: PolicyType(number), value: vec![1, 2, 3, 4].into() };
    let mut scene = Scene::new([0x8000_0001, 0x8000_0001, 0x8000_0001].map(unknown));
    assert_eq!(scene.answers(None, 3), "abc bca cab");
    let other = element(9, unknown(0x8000_0002));
    assert_eq!(scene.space.register(&scene.pool, other), Err(RegisterError::InconsistentPolicy));
    assert_eq!(scene.space.get(&scene.pool, PeIdentifier(1)).unwrap().policy, unknown(0x8000_0001));
}

// rsplib's private policies, as it selects (most loaded last; degradation counts per answer).
#[test]
fn private_policies_of_rsplib() {
    let (load, degradation) = (Load, Load);
    let plud = |l, d| Policy::PriorityLeastUsedDegradation { load: load(l), degradation: degradation(d) };
    let mut scene = Scene::new([plud(0, 10), plud(15, 1)]);
    assert_eq!(scene.answers(1, 3), "a b b"); // 10 < 16, then 20 > 16, 20 > 17.
    let far = |load, distance| Policy::LeastUsedDpf { load: Load(load), load_dpf: 2, distance };
    let mut scene = Scene::new([far(10, 50), far(20, 0)]);
    assert_eq!(scene.answer(None), "ba");
    let rlud =
        |l| Policy::RandomizedLeastUsedDegradation { load: load(l), degradation: degradation(1 << 30) };
    let mut scene = Scene::new([rlud(0), rlud(0)]);
    let firsts = scene.histogram(1, 4);
    assert!(firsts.len() == 2, "{firsts:?}: who was listed is less likely");
}

// --- Joining a pool

// RFC 5352 §3.1; the causes are those of RFC 5354 §3.12.
#[test]
fn a_pool_has_one_policy_and_one_transport() {
    let mut scene = Scene::new([Policy::RoundRobin]);
    let policy = element(2, Policy::Random);
    let mut transport = element(2, Policy::RoundRobin);
    transport.user_transport =
        Transport::Tcp(TcpTransport { port: 80, address: "10.0.0.1".parse().unwrap() });
    let mut control = element(2, Policy::RoundRobin);
    if let Transport::Sctp(sctp) = &mut control.user_transport {
        sctp.transport_use = TransportUse::DATA_AND_CONTROL;
    }
    let refused = [
        (policy, RegisterError::InconsistentPolicy, 0x5),
        (transport, RegisterError::InconsistentTransportType, 0x7),
        (control, RegisterError::InconsistentTransportUse, 0x8),
    ];
    for (element, error, cause) in refused {
        assert_eq!(scene.space.register(&scene.pool, element.clone()), Err(error));
        assert_eq!(error.cause(), CauseCode(cause));
        assert_eq!(scene.space.element_count(), 1);
        // From a peer it is stored, and listed after the others.
        scene.space.replicate(&scene.pool, element);
        assert!(scene.space.state(&scene.pool, PeIdentifier(2)).unwrap().contradicts);
        assert_eq!(scene.answers(None, 2), "ab ab");
        scene.remove(2);
    }
}

// default values, so they share equally; the pool's policy stays.
#[test]
fn contradicting_elements_take_turns_among_themselves() {
    let mut scene = Scene::new([least_used(90), least_used(80)]);
    for (id, value) in [(3, 9), (4, 1)] {
        scene.space.replicate(&scene.pool, element(id, priority(value)));
    }
    assert_eq!(scene.answers(None, 3), "bacd badc bacd");
    assert_eq!(scene.space.pool(&scene.pool).unwrap().policy(), &least_used(90));
}

// ENRP-3.6.2-08, ENRP-3.6.2-09: back at the empty set the checksum is that of the empty set.
#[test]
fn checksum_follows_each_change() {
    let mut space = Handlespace::new();
    let (echo, ftp) = (PoolHandle::from("EchoPool"), PoolHandle::from("ftp"));
    let home = element(1, Policy::RoundRobin).home;
    assert_eq!(space.checksum(home), 0xffff);
    space.register(&echo, element(0x1234_5678, Policy::RoundRobin)).unwrap();
    assert_eq!(space.checksum(home), 0x29a5);
    space.register(&ftp, element(0x9abc_def0, Policy::RoundRobin)).unwrap();
    assert_eq!(space.checksum(home), 0xd982);
    space.remove(&echo, PeIdentifier(0x1234_5678)).unwrap();
    assert_eq!(space.checksum(home), 0xafdd);
    // A takeover moves the block from one sum to the other.
    let heir = RegistrarId(7);
    assert!(space.set_home(&ftp, PeIdentifier(0x9abc_def0), heir));
    assert_eq!((space.checksum(home), space.checksum(heir)), (0xffff, 0xafdd));
    space.remove(&ftp, PeIdentifier(0x9abc_def0)).unwrap();
    assert_eq!(space.checksum(heir), 0xffff);
}
