//! Two elements at once, and the budget of retries.

use super::*;
use rserpool_proto::endpoint::{CloseReason, ResolveError, RetryBudget};

const TO_POOL: SessionOptions = SessionOptions::new();

fn budget(percent: u32, per_second: u32) -> RetryBudget {
    RetryBudget::default().percent(percent).per_second(per_second)
}

/// A pool user with a fresh list of so many servers, and its home.
fn racer(servers: u8, budget: Option<RetryBudget>) -> (Script, AssocId) {
    let mut config = config(1);
    config.timers.connect_stagger = ms(100);
    config.retry_budget = budget;
    let mut script = Script::new(config);
    script.machine.resolve(script.now, pool(), Default::default()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, 1..=servers);
    script.out();
    script.events();
    (script, home)
}

impl Script {
    fn connect(&mut self) -> (SessionId, AssocId, SocketAddr) {
        let session = self.machine.connect(self.now, pool(), TO_POOL).unwrap();
        let (assoc, remote) = connects(&self.out())[0];
        (session, assoc, remote)
    }
}

fn connects(out: &[Out]) -> Vec<(AssocId, SocketAddr)> {
    let connect = |out: &Out| match out {
        Out::Connect(assoc, Channel::Session, remote) => Some((*assoc, *remote)),
        _ => None,
    };
    out.iter().filter_map(connect).collect()
}

// A server that is black-holed costs one stagger; it is still judged at its own time, and avoided then.
#[test]
fn the_next_server_is_tried_beside_a_slow_one() {
    let (mut script, home) = racer(3, None);
    let (session, slow, remote) = script.connect();
    script.pass(ms(99));
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    let out = script.out();
    let [(fast, next)] = connects(&out)[..] else { panic!("{out:?}") };
    assert_ne!(remote, next);
    script.up(fast, next);
    let id = |address: SocketAddr| {
        (1..=3).find(|n| server(*n) == address).map(|n| PeIdentifier(n.into())).unwrap()
    };
    assert_eq!(script.events(), [Event::Connected { session, element: id(next) }]);
    let (after, out) = script.pass_until_out();
    assert_eq!(after, ms(250));
    assert_eq!(out, [Out::Abort(slow), Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, 1..=3);
    let report = asap::EndpointUnreachable { handle: pool(), id: id(remote) };
    assert_eq!(script.out(), [Out::Asap(home, report.into())]);
    for _ in 0..4 {
        assert_ne!(script.connect().2, remote);
    }
}

// The slow one is faster after all: the session is its own, and the other is let go without a word against it.
#[test]
fn the_slow_server_may_win() {
    let (mut script, _) = racer(2, None);
    let (session, slow, remote) = script.connect();
    script.pass(ms(100));
    let out = script.out();
    let [(other, _)] = connects(&out)[..] else { panic!("{out:?}") };
    script.up(slow, remote);
    assert!(matches!(script.events()[..], [Event::Connected { session: up, .. }] if up == session));
    assert_eq!(script.out(), [Out::Abort(other)]);
    script.data(slow, "hello");
    assert_eq!(script.events(), [Event::Received { session, message: text_message("hello") }]);
    script.pass(Duration::from_secs(10));
    assert_eq!((script.out(), script.events()), (vec![], vec![]));
}

// The loser of the race comes up a moment later: it is left in order.
#[test]
fn a_late_server_is_let_go() {
    let (mut script, _) = racer(2, None);
    let (session, slow, remote) = script.connect();
    script.pass(ms(100));
    let (fast, next) = connects(&script.out())[0];
    script.up(fast, next);
    script.events();
    script.up(slow, remote);
    assert_eq!(script.out(), [Out::Shutdown(slow)]);
    script.down(slow, DownReason::Shutdown);
    script.send(session, 0, "still there");
    assert_eq!(script.out(), [Out::Data(fast, text_message("still there"))]);
}

// At most two at a time; when one of them has failed the next joins in.
#[test]
fn never_more_than_two() {
    let (mut script, _) = racer(4, None);
    let start = script.now;
    script.connect();
    let mut times = Vec::new();
    let mut tried = std::collections::BTreeSet::new();
    while times.len() < 3 {
        let (_, out) = script.pass_until_out();
        for (_, remote) in connects(&out) {
            assert!(tried.insert(remote));
            times.push(script.now.since(start));
        }
    }
    assert_eq!(times, [ms(100), ms(350), ms(450)]);
}

// Nothing to race with: the only server has all its time.
#[test]
fn the_only_server_is_waited_for() {
    let (mut script, _) = racer(1, None);
    let (session, only, remote) = script.connect();
    script.pass(ms(300));
    assert_eq!(script.out(), []);
    script.up(only, remote);
    assert!(matches!(script.events()[..], [Event::Connected { session: up, .. }] if up == session));
}

// The session is closed while two servers are tried: both end.
#[test]
fn closing_during_a_race() {
    let (mut script, _) = racer(2, None);
    let (session, slow, remote) = script.connect();
    script.pass(ms(100));
    let (other, _) = connects(&script.out())[0];
    script.machine.close(script.now, session);
    assert_eq!(script.events(), [Event::Closed { session, why: CloseReason::Local }]);
    assert_eq!(script.out(), [Out::Abort(other)]);
    script.up(slow, remote);
    assert_eq!(script.out(), [Out::Shutdown(slow)]);
}

// All servers refuse: what is tried beside the first element of each search, and after each pause, is within the budget.
#[test]
fn retries_are_within_the_budget() {
    for (budget, expected) in [
        (Some(budget(20, 1)), 38..=40),
        (Some(budget(20, 0)), 38..=40),
        (Some(budget(1, 4)), 39..=41),
        (Some(budget(0, 0)), 0..=0),
        (None, 300..=900),
    ] {
        let (mut script, _) = racer(10, budget);
        let mut attempts = 0;
        for _ in 0..100 {
            script.machine.connect(script.now, pool(), TO_POOL).unwrap();
            loop {
                let connects = connects(&script.out());
                if connects.is_empty() {
                    break;
                }
                for (assoc, _) in connects {
                    attempts += 1;
                    script.down(assoc, DownReason::ConnectFailed("refused".into()));
                }
            }
        }
        let retries = attempts - 100;
        assert!(expected.contains(&retries), "{retries}: {expected:?}");
    }
}

// Who may not try on at once pauses, and goes on after that: nobody starves for want of a budget.
#[test]
fn without_a_budget_a_session_takes_longer() {
    let (mut script, home) = racer(2, Some(budget(0, 0)));
    let (session, dead, _) = script.connect();
    script.down(dead, DownReason::ConnectFailed("refused".into()));
    let (alive, remote) = loop {
        let (_, out) = script.pass_until_out();
        if let Some(connect) = connects(&out).first() {
            break *connect;
        }
        script.answer(home, 1..=2);
    };
    script.up(alive, remote);
    assert!(
        script
            .events()
            .iter()
            .any(|event| matches!(event, Event::Connected { session: up, .. } if *up == session))
    );
    assert_eq!(script.machine.counters().retries_postponed, 1);
}

// A failover pauses for want of a budget while a registrar is asked. When the answer comes and there is a retry again, it
// connects once, to one element (seed 203022 of the simulation).
#[test]
fn who_has_found_a_server_in_a_pause_does_not_look_for_another_after_it() {
    let mut config = config(1);
    config.timers.connect_stagger = Duration::ZERO;
    config.retry_budget = Some(budget(0, 20));
    let mut script = Script::new(config);
    script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, 1..=250);
    let (lost, remote) = connects(&script.out())[0];
    script.up(lost, remote);
    script.pass(ms(20_000));
    script.out();
    script.down(lost, DownReason::PeerAborted("gone".into()));
    while let Some((candidate, _)) = connects(&script.out()).first().copied() {
        script.down(candidate, DownReason::ConnectFailed("refused".into()));
    }
    assert_eq!(script.machine.counters().retries_postponed, 1);
    script.pass(ms(60));
    assert_eq!(connects(&script.out()), []);
    script.answer(home, 1..=250);
    assert_eq!(connects(&script.out()).len(), 1);
    script.pass(ms(300));
    assert_eq!(connects(&script.out()), [], "within the time of a connect");
}

// The search ends when the patience does, whatever is under way: a connect, one beside another, a question to a registrar.
#[test]
fn patience_ends_at_its_end() {
    let (mut script, _) = racer(20, None);
    let patience = ms(1025);
    let session =
        script.machine.connect(script.now, pool(), SessionOptions::new().patience(patience)).unwrap();
    script.pass(ms(1024));
    assert!(connects(&script.out()).len() > 5);
    assert_eq!(script.events(), []);
    script.pass(ms(1));
    assert_eq!(script.events(), [Event::Closed { session, why: CloseReason::NoElement }]);
    script.pass(ms(1000));
    assert_eq!(connects(&script.out()), []);

    let mut script = Script::new(config(1));
    let session = script.machine.connect(script.now, pool(), SessionOptions::new().patience(ms(50))).unwrap();
    script.pass(ms(50));
    let why = CloseReason::Resolve(ResolveError::NoRegistrar);
    assert_eq!(script.events(), [Event::Closed { session, why }]);
}
