//! The server hunt (RFC 5352 §3.6).

use super::*;
use rserpool_proto::endpoint::{RegisterError, ResolveOptions};

fn connects(out: &[Out]) -> Vec<(AssocId, SocketAddr)> {
    out.iter()
        .map(|out| match out {
            Out::Connect(assoc, Channel::Asap, remote) => (*assoc, *remote),
            other => panic!("expected connects only: {other:?}"),
        })
        .collect()
}

// ASAP-3.6-12, ASAP-3.6-13, ASAP-3.6-17: three at once, never more; one that fails makes room for the next.
// ASAP-1.1-05
#[test]
fn at_most_three_registrars_are_tried_at_once() {
    let mut script = Script::new(config(5));
    script.machine.register(script.now, registration()).unwrap();
    let first = connects(&script.out());
    assert_eq!(first.len(), 3);
    script.down(first[1].0, DownReason::ConnectFailed("refused".into()));
    let next = connects(&script.out());
    assert_eq!(next.len(), 1);
    script.down(next[0].0, DownReason::ConnectFailed("refused".into()));
    let last = connects(&script.out());
    assert_eq!(last.len(), 1);
    script.down(last[0].0, DownReason::ConnectFailed("refused".into()));
    assert_eq!(script.out(), [], "each once a round");
    let mut tried: Vec<_> = first.iter().chain(&next).chain(&last).map(|(_, remote)| *remote).collect();
    tried.sort();
    assert_eq!(tried, (1..=5).map(registrar).collect::<Vec<_>>());
}

// ASAP-3.6-14, ASAP-3.6-18, ASAP-3.6-19, ASAP-7.3-03: T5 doubles up to RETRAN-MAX; pending connects are stopped.
#[test]
fn t5_doubles_up_to_retran_max() {
    let mut script = Script::new(config(1));
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let mut attempt = script.expect_connect();
    for t5 in [250, 500, 1000, 2000, 2000] {
        script.pass(ms(t5 - 1));
        assert_eq!(script.out(), []);
        script.pass(ms(1));
        let out = script.out();
        let [Out::Abort(stopped), Out::Connect(next, ..)] = out.as_slice() else { panic!("{out:?}") };
        assert_eq!(*stopped, attempt);
        script.down(attempt, DownReason::LocalAbort);
        attempt = *next;
    }
}

// ASAP-3.6-20: the second round begins with those that the first did not reach.
#[test]
fn the_next_round_begins_with_the_untried() {
    let mut script = Script::new(config(5));
    script.machine.register(script.now, registration()).unwrap();
    let first: Vec<_> = connects(&script.out()).into_iter().map(|(_, remote)| remote).collect();
    script.pass(ms(250));
    let second: Vec<_> = script
        .out()
        .into_iter()
        .filter_map(|out| match out {
            Out::Connect(_, _, remote) => Some(remote),
            _ => None,
        })
        .collect();
    assert_eq!(second.len(), 3);
    assert!(!first.contains(&second[0]) && !first.contains(&second[1]), "{first:?} {second:?}");
}

// ASAP-3.6-15, ASAP-3.6-21, ASAP-1.1-02: the first association that is up is the home; the others are closed in
// order as soon as they are up, and nothing is asked of them.
#[test]
fn the_first_to_answer_is_the_home() {
    let mut script = Script::new(config(3));
    script.machine.register(script.now, registration()).unwrap();
    let attempts = connects(&script.out());
    script.up(attempts[1].0, attempts[1].1);
    let out = script.out();
    assert!(
        matches!(out.as_slice(), [Out::Asap(assoc, asap::Message::Registration(_))] if *assoc == attempts[1].0)
    );
    assert_eq!(script.events(), [Event::RegistrarConnected { remote: vec![attempts[1].1] }]);
    script.up(attempts[0].0, attempts[0].1);
    assert_eq!(script.out(), [Out::Shutdown(attempts[0].0)]);
    script.down(attempts[2].0, DownReason::ConnectFailed("refused".into()));
    script.pass(ms(400));
    assert_eq!(script.out(), [], "T5 has stopped");
}

// ASAP-3.6-11, ASAP-3.6-16: the home is lost: hunt at once, a different one first, T5 from its start.
#[test]
fn losing_the_home_starts_the_hunt_at_once() {
    let mut script = Script::new(config(4));
    script.machine.register(script.now, registration()).unwrap();
    let attempts = connects(&script.out());
    script.up(attempts[0].0, attempts[0].1);
    script.grant(attempts[0].0);
    for (spare, _) in &attempts[1..] {
        script.down(*spare, DownReason::Unreachable);
    }
    script.out();
    script.events();
    script.down(attempts[0].0, DownReason::Unreachable);
    assert_eq!(script.events(), [Event::RegistrarLost]);
    let again = connects(&script.out());
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|(_, remote)| *remote != attempts[0].1), "the lost one comes last");
}

// ASAP-3.7.2-02, ASAP-3.7.2-05: no answer: the other registrar becomes home and gets the request.
#[test]
fn an_alternative_is_sought_beside_a_silent_home() {
    let mut script = Script::new(config(2));
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let attempts = connects(&script.out());
    script.up(attempts[0].0, attempts[0].1);
    script.down(attempts[1].0, DownReason::ConnectFailed("refused".into()));
    let home = attempts[0].0;
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.events();
    script.pass(ms(250));
    let out = script.out();
    let [Out::Connect(other, Channel::Asap, remote), Out::Asap(again, request)] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!((*remote, *again, request), (attempts[1].1, home, &resolution_request("pool")));
    script.up(*other, *remote);
    let mut out = script.out();
    out.sort_by_key(|out| matches!(out, Out::Shutdown(_)));
    assert_eq!(out, [Out::Asap(*other, resolution_request("pool")), Out::Shutdown(home)]);
}

// Many requests without an answer are one reason to look for an alternative, though all others refuse at once (seed 30005514 of the
// simulation: associations to them were still ending).
#[test]
fn an_alternative_is_sought_once_in_a_while() {
    let mut script = Script::new(config(2));
    let ask = |script: &mut Script, pool: String| {
        script.machine.resolve(script.now, pool.into(), ResolveOptions::default()).unwrap();
    };
    ask(&mut script, "pool".into());
    let attempts = connects(&script.out());
    script.up(attempts[0].0, attempts[0].1);
    script.down(attempts[1].0, DownReason::ConnectFailed("refused".into()));
    let mut sought = Vec::new();
    for round in 0..50 {
        ask(&mut script, format!("pool {round}"));
        for out in script.out() {
            if let Out::Connect(assoc, ..) = out {
                sought.push(round * 10);
                script.down(assoc, DownReason::ConnectFailed("refused".into()));
            }
        }
        script.pass(ms(10));
    }
    assert_eq!(sought, [250], "T1 after the first request, and not for the next ones");
}

// The home is lost while an alternative is sought: all are tried now, nobody twice.
#[test]
fn the_hunt_widens_when_the_home_is_lost() {
    let mut script = Script::new(config(2));
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let attempts = connects(&script.out());
    script.up(attempts[0].0, attempts[0].1);
    script.down(attempts[1].0, DownReason::ConnectFailed("refused".into()));
    script.pass(ms(250));
    let out = script.out();
    assert!(
        out.iter().any(|out| matches!(out, Out::Connect(_, _, remote) if *remote == attempts[1].1)),
        "{out:?}"
    );
    script.down(attempts[0].0, DownReason::Unreachable);
    let again: Vec<_> = connects(&script.out()).into_iter().map(|(_, remote)| remote).collect();
    assert_eq!(again, [attempts[0].1]);
}

// The home is lost before the association that the hunt did not need any more is up: it is needed after all.
#[test]
fn a_spare_association_is_needed_after_all() {
    let mut script = Script::new(config(2));
    script.machine.register(script.now, registration()).unwrap();
    let attempts = connects(&script.out());
    script.up(attempts[0].0, attempts[0].1);
    script.down(attempts[0].0, DownReason::Unreachable);
    script.events();
    let again: Vec<_> = script.out().into_iter().filter(|out| matches!(out, Out::Connect(..))).collect();
    assert!(matches!(&again[..], [Out::Connect(_, _, remote)] if *remote == attempts[0].1), "{again:?}");
    script.up(attempts[1].0, attempts[1].1);
    assert_eq!(script.events(), [Event::RegistrarConnected { remote: vec![attempts[1].1] }]);
}

// ASAP-3.6-13: attempts that an earlier hunt did not need any more count, too, as long as they are on their way.
#[test]
fn hunts_that_follow_each_other_have_three_attempts_together() {
    let mut script = Script::new(config(5));
    script.machine.register(script.now, registration()).unwrap();
    let first = connects(&script.out());
    script.up(first[0].0, first[0].1);
    script.out();
    script.down(first[0].0, DownReason::Unreachable);
    let second = connects(&script.out());
    assert_eq!(second.len(), 1, "beside the two that are on their way");
    script.down(first[1].0, DownReason::Unreachable);
    assert_eq!(connects(&script.out()).len(), 1, "one of them makes room");
    // T5 gives all of them up.
    script.pass(ms(250));
    let aborts = script.out().iter().filter(|out| matches!(out, Out::Abort(_))).count();
    assert_eq!(aborts, 3);
}

// the old registrar answers first: it stays, and the alternative is closed when it is up.
#[test]
fn the_hunt_ends_when_the_home_answers_after_all() {
    let mut script = Script::new(config(2));
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let attempts = connects(&script.out());
    script.up(attempts[0].0, attempts[0].1);
    script.down(attempts[1].0, DownReason::ConnectFailed("refused".into()));
    script.pass(ms(250));
    let out = script.out();
    let Some(Out::Connect(other, ..)) = out.iter().find(|out| matches!(out, Out::Connect(..))) else {
        panic!("{out:?}")
    };
    script.answer(attempts[0].0, [1]);
    script.up(*other, attempts[1].1);
    assert_eq!(script.out(), [Out::Shutdown(*other)]);
}

// The registrar has connected to us before our connect reached it: that association is used.
#[test]
fn an_association_that_the_registrar_started_serves_as_well() {
    let mut script = Script::new(config(1));
    script.machine.register(script.now, registration()).unwrap();
    let attempt = script.expect_connect();
    let theirs = AssocId::accepted(Channel::Asap, 1);
    script.up(theirs, registrar(1));
    script.down(attempt, DownReason::Duplicate(theirs));
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(assoc, asap::Message::Registration(_))] if *assoc == theirs));
}

// ASAP-3.1-27, A-29: nobody answers: the application hears it once, the hunt goes on, and success is told.
#[test]
fn nobody_answers() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    script.pass(ms(1499));
    assert_eq!(script.events(), []);
    script.pass(ms(1));
    let error = RegisterError::NoRegistrar;
    assert_eq!(script.events(), [Event::RegistrationFailed { element, error }]);
    script.out();
    script.pass(Duration::from_secs(60));
    assert!(matches!(script.events()[..], [Event::NoRegistrarFound { .. }]));
    let out = script.out();
    let Some(Out::Connect(attempt, ..)) = out.iter().rfind(|out| matches!(out, Out::Connect(..))) else {
        panic!("the hunt goes on")
    };
    script.up(*attempt, registrar(1));
    script.grant(*attempt);
    assert!(matches!(
        script.events().as_slice(),
        [Event::RegistrarConnected { .. }, Event::Registered { .. }]
    ));
}

// Registrars that accept and then refuse (full, or about to stop) are not besieged: after a few attempts the hunt
// goes on at the pace of T5.
#[test]
fn registrars_that_hang_up_at_once_are_not_besieged() {
    let mut script = Script::new(config(2));
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let mut attempts = 0;
    for _ in 0..1000 {
        for out in script.out() {
            if let Out::Connect(assoc, _, remote) = out {
                attempts += 1;
                script.up(assoc, remote);
                script.down(assoc, DownReason::PeerAborted("too many associations".into()));
            }
        }
        script.pass(ms(1));
    }
    assert!((4..=20).contains(&attempts), "{attempts}");
}

// Nobody answers: the user hears of it after a second, once, and where it was looked.
// ASAP-3.6-01
#[test]
fn a_long_hunt_is_told_once() {
    let mut script = Script::new(config(2));
    script.machine.register(script.now, registration()).unwrap();
    let told = |script: &mut Script| {
        let events = script.events().into_iter();
        events.filter(|event| matches!(event, Event::NoRegistrarFound { .. })).collect::<Vec<_>>()
    };
    script.pass(ms(950));
    assert_eq!(told(&mut script), []);
    script.pass(ms(1050));
    assert_eq!(told(&mut script), [Event::NoRegistrarFound { tried: vec![registrar(1), registrar(2)] }]);
    script.pass(Duration::from_secs(120));
    assert_eq!(told(&mut script), []);
}
