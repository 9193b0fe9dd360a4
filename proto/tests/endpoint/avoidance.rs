//! Elements that failed are avoided for a while, but never too many of a pool.

use super::*;
use rserpool_proto::endpoint::{Avoidance, ResolveOptions, Standing};

/// A pool user that knows so many elements.
fn user(elements: u8, avoidance: Avoidance) -> (Script, AssocId) {
    let mut config = config(1);
    config.avoidance = avoidance;
    let mut script = Script::new(config);
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, 1..=elements);
    script.out();
    script.events();
    (script, home)
}

impl Script {
    fn fail(&mut self, home: AssocId, n: u8) {
        self.machine.report_unreachable(self.now, &pool(), PeIdentifier(n.into()));
        self.hear(home);
    }

    /// The elements in the order in which they would be tried.
    fn order(&mut self) -> Vec<u32> {
        self.machine.resolve(self.now, pool(), ResolveOptions::default()).unwrap();
        match self.events().pop() {
            Some(Event::Resolved { result: Ok(pool), .. }) => {
                pool.elements.iter().map(|element| element.id.0).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Whom the endpoint avoids.
    fn avoided(&self) -> Vec<u32> {
        let explanation = self.machine.explain(self.now, &pool()).unwrap();
        let avoided = explanation.elements.iter().filter(|(_, it)| matches!(it, Standing::Avoided { .. }));
        avoided.map(|(id, _)| id.0).collect()
    }
}

#[test]
fn who_failed_comes_last_for_a_while() {
    let (mut script, home) = user(3, Avoidance::default());
    script.fail(home, 2);
    assert_eq!([script.order(), script.order(), script.order()], [[3, 1, 2], [1, 3, 2], [3, 1, 2]]);
    script.pass(ms(1399));
    assert_eq!(script.avoided(), [2]);
    script.pass(ms(1));
    assert_eq!(script.avoided(), [0; 0]);
}

// Each further failure in a row doubles the pause, up to the longest. A new answer of the registrar does not end it.
#[test]
fn the_pause_grows_with_failures_in_a_row() {
    let (mut script, home) = user(2, Avoidance::default().longest(Duration::from_secs(5)));
    for (n, pause) in [1400, 2800, 5000, 5000].into_iter().enumerate() {
        script.data_from_home(home);
        script.fail(home, 1);
        let explanation = script.machine.explain(script.now, &pool()).unwrap();
        let failures = u32::try_from(n).unwrap() + 1;
        assert_eq!(explanation.elements[0].1, Standing::Avoided { failures, remaining: ms(pause) });
        script.pass(ms(pause));
        assert_eq!(script.avoided(), [0; 0]);
    }
}

impl Script {
    /// The registrar is heard: it renews what is known of the pool.
    fn data_from_home(&mut self, home: AssocId) {
        let uncached = ResolveOptions::new().uncached(true);
        self.machine.resolve(self.now, pool(), uncached).unwrap();
        self.answer(home, 1..=2);
        self.events();
    }
}

// Not everything that one client cannot reach is dead: never more than the share, those that failed most often.
#[test]
fn at_most_a_share_is_avoided() {
    for (elements, max_percent, expected) in
        [(1, 50, 0), (2, 50, 1), (5, 50, 2), (5, 100, 5), (5, 0, 0), (100, 33, 33)]
    {
        let (mut script, home) = user(elements, Avoidance::default().max_percent(max_percent));
        for n in 1..=elements {
            script.fail(home, n);
            assert!(script.avoided().len() <= expected);
        }
        assert_eq!(script.avoided().len(), expected, "{max_percent} % of {elements}");
    }
}

#[test]
fn avoidance_can_wait_for_more_failures_or_be_switched_off() {
    let (mut script, home) = user(2, Avoidance::default().after_failures(2));
    script.fail(home, 1);
    assert_eq!(script.avoided(), [0; 0]);
    script.pass(ms(400));
    script.data_from_home(home);
    script.fail(home, 1);
    assert_eq!(script.avoided(), [1]);

    let (mut script, home) = user(2, Avoidance::default().after_failures(0));
    script.fail(home, 1);
    assert_eq!(script.avoided(), [0; 0]);
    assert_eq!(
        script.machine.explain(script.now, &pool()).unwrap().to_string(),
        "policy RoundRobin; fresh for 1.4s; changes are not told\n\
         0x00000001: chosen all the same, though it failed 1 times in a row, chosen last\n\
         0x00000002: nothing is known against it\n"
    );
}

// A session that is established ends the pause of its server, and the row.
#[test]
fn who_is_there_is_not_avoided() {
    let (mut script, _, home, first) = Script::connected(1);
    script.down(first, DownReason::PeerAborted("enough".into()));
    let standing = |script: &Script| script.machine.explain(script.now, &pool()).unwrap().elements[0].1;
    assert_eq!(standing(&script), Standing::Tolerated { failures: 1 });
    script.answer(home, [1]);
    let connect = |out: &Out| match out {
        Out::Connect(assoc, Channel::Session, _) => Some(*assoc),
        _ => None,
    };
    let again = script.out().iter().find_map(connect).unwrap();
    script.up(again, server(1));
    assert_eq!(standing(&script), Standing::Good);
}

// Failures that come often are failures in a row, too: only what is noticed at the same time is one.
#[test]
fn failures_that_come_often_are_counted() {
    let (mut script, home) = user(2, Avoidance::default().after_failures(2));
    for expected in [&[][..], &[], &[1]] {
        script.fail(home, 1);
        assert_eq!(script.avoided(), expected);
        script.pass(ms(200));
    }
}
