//! Reports of unreachable elements (RFC 5352 §3.5): which are sent, and when the fault is on this side.

use super::*;
use rserpool_proto::endpoint::{ResolveOptions, Standing};

impl Script {
    fn standing(&self, n: u8) -> Standing {
        let explanation = self.machine.explain(self.now, &pool()).unwrap();
        explanation.elements.iter().find(|(id, _)| *id == PeIdentifier(n.into())).unwrap().1
    }
}

fn reports(out: &[Out]) -> usize {
    out.iter().filter(|out| matches!(out, Out::Asap(_, asap::Message::EndpointUnreachable(_)))).count()
}

/// The association of the last session connect among these, and the server.
fn last_connect(out: &[Out]) -> (AssocId, SocketAddr) {
    let connect = |out: &Out| match out {
        Out::Connect(assoc, Channel::Session, remote) => Some((*assoc, *remote)),
        _ => None,
    };
    out.iter().rev().find_map(connect).unwrap()
}

// ASAP-3.5-02, ASAP-6.9-01: the server falls silent after a quiet hour, and nothing else has been heard either. The registrar
// is asked, and when it answers the server is to blame.
#[test]
fn a_silent_server_is_reported_when_something_else_is_heard() {
    let (mut script, _, home, first) = Script::connected(2);
    script.pass(Duration::from_secs(3600));
    script.down(first, DownReason::Unreachable);
    let out = script.out();
    assert!(out.contains(&Out::Asap(home, resolution_request("pool"))), "{out:?}");
    assert_eq!(reports(&out), 0);
    assert_eq!(script.standing(1), Standing::Doubtful);
    script.answer(home, [1, 2]);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1))]);
    assert!(matches!(script.standing(1), Standing::Avoided { failures: 1, .. }));
}

// The other server is heard instead: that is as good, whatever the registrars do.
#[test]
fn a_silent_server_is_reported_when_another_one_answers() {
    let (mut script, _, home, first) = Script::connected(2);
    script.pass(Duration::from_secs(50));
    script.down(first, DownReason::Unreachable);
    let (second, remote) = last_connect(&script.out());
    assert_eq!(remote, server(2));
    script.up(second, remote);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1))]);
}

// A cable is pulled: all servers fall silent, and the registrar. Nobody is reported, and nobody avoided, when it is back.
#[test]
fn a_fault_of_this_side_is_nobody_elses() {
    let (mut script, _, home, first) = Script::connected(3);
    script.pass(Duration::from_secs(50));
    let none = || DownReason::CannotConnect("network is unreachable".into());
    script.down(home, none());
    script.down(first, DownReason::Unreachable);
    let cut = script.now;
    while script.now.since(cut) < Duration::from_secs(20) {
        for out in script.out() {
            match out {
                Out::Connect(assoc, ..) => script.down(assoc, none()),
                Out::Asap(..) => panic!("{out:?}"),
                _ => {}
            }
        }
        script.pass(ms(10));
    }
    for n in 1..=3 {
        assert!(
            matches!(script.standing(n), Standing::Good | Standing::Doubtful),
            "{:?}",
            script.standing(n)
        );
    }
    let back = loop {
        match last_attempt(&script.out()) {
            Some(back) => break back,
            None => script.pass(ms(10)),
        }
    };
    script.pass(Duration::from_secs(2));
    script.up(back, registrar(1));
    script.answer(back, [1, 2, 3]);
    assert_eq!(reports(&script.out()), 0);
}

// It is pulled for a moment only: what falls silent together with the registrar was not alone, whoever is back first.
#[test]
fn a_short_fault_of_this_side_is_nobody_elses_either() {
    let (mut script, _, home, first) = Script::connected(2);
    script.pass(Duration::from_secs(50));
    script.down(first, DownReason::Unreachable);
    assert_eq!(script.standing(1), Standing::Doubtful);
    script.pass(ms(50));
    script.down(home, DownReason::Unreachable);
    script.pass(ms(300));
    assert_eq!(script.standing(2), Standing::Doubtful, "the session has tried it in vain");
    script.pass(ms(360));
    let back = last_attempt(&script.out()).unwrap();
    script.up(back, registrar(1));
    script.answer(back, [1, 2]);
    assert_eq!(reports(&script.out()), 0);
    assert_eq!([script.standing(1), script.standing(2)], [Standing::Good; 2]);
}

fn last_attempt(out: &[Out]) -> Option<AssocId> {
    out.iter().rev().find_map(|out| match out {
        Out::Connect(assoc, Channel::Asap, _) => Some(*assoc),
        _ => None,
    })
}

// It was the server that was slow, not the network that was cut: it is heard again, so nothing was wrong with it.
#[test]
fn who_is_heard_again_is_not_reported() {
    let (mut script, _, home, first) = Script::connected(1);
    script.pass(Duration::from_secs(50));
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    assert_eq!(script.standing(1), Standing::Doubtful);
    script.data(first, "here I am");
    assert_eq!(script.standing(1), Standing::Good);
    script.out();
    script.answer(home, [1]);
    assert_eq!(script.out(), []);
}

// A hundred servers die at once: the registrar hears of some, and finds the others by itself.
// SEC-A9.1-08
#[test]
fn reports_are_limited() {
    for (per_second, expected) in [(10, 20), (0, 0)] {
        let mut config = config(1);
        config.reports_per_second = per_second;
        let mut script = Script::new(config);
        script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.answer(home, 1..=100);
        script.out();
        for n in 1..=100 {
            script.machine.report_unreachable(script.now, &pool(), PeIdentifier(n));
        }
        script.hear(home);
        assert_eq!(reports(&script.out()), expected);
        assert_eq!(script.machine.counters().reports_suppressed, 100 - expected as u64);
    }
}

// ASAP-3.5-02: one event is one report, however many sessions notice it: also when the registrar has found out before and
// does not list the element any more. (A registrar may list it still, and have told of others only.)
#[test]
fn a_server_that_is_not_listed_any_more_is_reported_once() {
    let (mut script, _, home, first) = Script::connected(1);
    let others: Vec<AssocId> = (0..2)
        .map(|_| {
            script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
            let (assoc, _) = last_connect(&script.out());
            script.up(assoc, server(1));
            assoc
        })
        .collect();
    let uncached = ResolveOptions::new().uncached(true);
    script.machine.resolve(script.now, pool(), uncached).unwrap();
    script.answer(home, [2]);
    let mut out = Vec::new();
    for assoc in [first].into_iter().chain(others) {
        script.down(assoc, DownReason::Unreachable);
        script.answer(home, [2]);
        out.extend(script.out());
    }
    assert_eq!(reports(&out), 1, "{out:?}");
}

// A cable is pulled while the client is busy: the other server was heard a moment ago, but not since. A server is given up after
// 205 ms, sooner than a connect.
#[test]
fn what_was_heard_before_is_no_evidence() {
    let (mut script, _, _, first) = Script::connected(2);
    script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    let (second, remote) = last_connect(&script.out());
    script.up(second, remote);
    script.pass(Duration::from_secs(50));
    script.data(first, "busy");
    script.data(second, "busy");
    script.pass(ms(205));
    script.down(first, DownReason::Unreachable);
    assert_eq!(script.standing(1), Standing::Doubtful);
    script.down(second, DownReason::Unreachable);
    assert_eq!(script.standing(2), Standing::Doubtful);
    assert_eq!(reports(&script.out()), 0);
}

// The same with a connect, which something else was heard after.
#[test]
fn what_was_heard_during_a_connect_is_no_evidence_either() {
    let (mut script, _, _, first) = Script::connected(2);
    script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    assert_eq!(last_connect(&script.out()).1, server(2));
    script.pass(ms(100));
    script.data(first, "busy");
    script.pass(ms(250));
    assert_eq!(script.standing(2), Standing::Doubtful);
    assert_eq!(reports(&script.out()), 0);
}

// ASAP-3.5-02: a report waits for a registrar as long as its event lasts, and only if the element has not come back.
#[test]
fn a_report_that_waits_gets_old() {
    for (back, wait, expected) in [(false, 1000, 1), (false, 1400, 0), (true, 1000, 0)] {
        let (mut script, _, home, first) = Script::connected(2);
        script.down(home, DownReason::Unreachable);
        script.pass(Duration::from_secs(60));
        script.out();
        let (_, out) = script.pass_until_out();
        let attempt = last_attempt(&out).unwrap();
        script.down(first, DownReason::Unreachable);
        let (second, remote) = last_connect(&script.out());
        script.up(second, remote);
        if back {
            script.down(second, DownReason::Shutdown);
            let (first, remote) = last_connect(&script.out());
            assert_eq!(remote, server(1));
            script.up(first, remote);
        }
        script.pass(ms(wait));
        script.up(attempt, registrar(1));
        assert_eq!(reports(&script.out()), expected, "{back} {wait}");
    }
}

// The event begins with the report, whenever that goes out.
#[test]
fn a_report_that_has_waited_is_not_repeated() {
    let (mut script, _, home, first) = Script::connected(2);
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(60));
    script.out();
    let (_, out) = script.pass_until_out();
    let attempt = last_attempt(&out).unwrap();
    script.down(first, DownReason::Unreachable);
    let (second, remote) = last_connect(&script.out());
    script.up(second, remote);
    script.pass(ms(1399));
    script.up(attempt, registrar(1));
    assert_eq!(reports(&script.out()), 1);
    script.pass(ms(10));
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    script.hear(attempt);
    assert_eq!(reports(&script.out()), 0);
}

// ASAP-3.5-01: this host has no port or no room for it. The server is neither reported nor avoided, whatever is heard.
#[test]
fn a_connect_that_this_host_cannot_make_accuses_nobody() {
    let (mut script, _, home, first) = Script::connected(2);
    script.down(first, DownReason::PeerAborted("drained".into()));
    let mut tried = Vec::new();
    let start = script.now;
    while script.now.since(start) < Duration::from_secs(5) {
        let out = script.out();
        assert_eq!(reports(&out), 0);
        for out in out {
            match out {
                Out::Connect(assoc, Channel::Session, remote) => {
                    tried.push(remote);
                    script.down(assoc, DownReason::CannotConnect("too many associations".into()));
                }
                Out::Asap(assoc, asap::Message::HandleResolution(_)) => script.answer(assoc, [1, 2]),
                _ => {}
            }
        }
        script.hear(home);
        script.pass(ms(10));
    }
    assert!((4..=40).contains(&tried.len()), "with pauses: {}", tried.len());
    assert_eq!(script.standing(2), Standing::Good);
}

// A refusal that comes before anything else was heard. The answer that named the server is from before.
#[test]
fn an_answer_is_no_witness_of_the_connect_that_it_led_to() {
    let mut script = Script::new(config(1));
    script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, [1, 2]);
    let (first, remote) = last_connect(&script.out());
    assert_eq!(remote, server(1));
    script.down(first, DownReason::ConnectFailed("no free port".into()));
    assert_eq!(script.standing(1), Standing::Doubtful);
    assert_eq!(reports(&script.out()), 0);
}

// The only registrar was started anew: it refuses for a moment, so this host's network is there.
#[test]
fn a_registrar_that_was_started_anew_is_a_witness() {
    for (why, expected) in [(DownReason::ConnectFailed("refused".into()), 1), (DownReason::Unreachable, 0)] {
        let (mut script, _, home, first) = Script::connected(2);
        script.down(home, DownReason::PeerAborted("restart".into()));
        script.down(first, DownReason::Unreachable);
        let attempt = last_attempt(&script.out()).unwrap();
        script.down(attempt, why);
        let (_, out) = script.pass_until_out();
        let again = std::iter::once(out).find_map(|out| last_attempt(&out));
        let again = again.unwrap_or_else(|| {
            loop {
                if let Some(attempt) = last_attempt(&script.pass_until_out().1) {
                    break attempt;
                }
            }
        });
        script.up(again, registrar(1));
        script.hear(again);
        assert_eq!(reports(&script.out()), expected);
    }
}
