//! Sessions that we start: finding a server, and failover with the cookie (RFC 5352 §3.5, §3.8).

use super::*;
use rserpool_proto::endpoint::{CloseReason, ResolveError, SendError};

const TO_POOL: SessionOptions = SessionOptions::new();

fn cookie(cookie: &'static str) -> asap::Cookie {
    asap::Cookie { cookie: Bytes::from_static(cookie.as_bytes()) }
}

fn echo(cookie: &'static str) -> asap::Message {
    asap::CookieEcho { cookie: Bytes::from_static(cookie.as_bytes()) }.into()
}

/// The association and the address of the one session connect among these.
fn connect(out: &[Out]) -> (AssocId, SocketAddr) {
    let mut connects = out.iter().filter_map(|out| match out {
        Out::Connect(assoc, Channel::Session, remote) => Some((*assoc, *remote)),
        _ => None,
    });
    match (connects.next(), connects.next()) {
        (Some(connect), None) => connect,
        _ => panic!("expected one session connect: {out:?}"),
    }
}

// ASAP-6.5-02, -03, -04, -05, ASAP-0-03: resolve, choose, connect; what is sent meanwhile waits and goes in order.
// ASAP-6.5-01, ASAP-6.5-06
#[test]
fn a_session_starts() {
    let mut script = Script::new(config(1));
    let session = script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    for text in ["one", "two"] {
        script.send(session, 0, text);
    }
    script.up(home, registrar(1));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.events();
    script.answer(home, [1, 2]);
    let (assoc, remote) = connect(&script.out());
    assert_eq!(remote, server(1));
    script.up(assoc, server(1));
    assert_eq!(script.events(), [Event::Connected { session, element: PeIdentifier(1) }]);
    assert_eq!(script.out(), [Out::Data(assoc, text_message("one")), Out::Data(assoc, text_message("two"))]);
    assert_eq!(script.events(), [sent(session, 2, 6)]);
    script.data(assoc, "answer");
    assert_eq!(script.events(), [Event::Received { session, message: text_message("answer") }]);
}

// ASAP-3.3-12, ASAP-6.5.2-01, ASAP-6.5.2-04: sessions share the cached answer and take the servers in turn.
#[test]
fn sessions_spread_over_the_pool() {
    let (mut script, _, _, _) = Script::connected(3);
    let mut servers = Vec::new();
    for _ in 0..5 {
        script.machine.connect(script.now, pool(), TO_POOL).unwrap();
        servers.push(connect(&script.out()).1);
    }
    assert_eq!(servers, [server(2), server(3), server(1), server(2), server(3)]);
}

// ASAP-3.5-01, ASAP-3.5-04: no answer within `connect_timeout`: the next one is tried, and when that is there the first is
// reported, once.
#[test]
fn a_server_that_does_not_answer_is_passed_over() {
    let mut script = Script::new(config(1));
    let session = script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, [1, 2]);
    script.events();
    let (dead, _) = connect(&script.out());
    script.pass(ms(349));
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    let out = script.out();
    let (alive, remote) = connect(&out);
    assert_eq!(remote, server(2));
    let asks = Out::Asap(home, resolution_request("pool"));
    assert!(out.contains(&Out::Abort(dead)) && out.contains(&asks), "{out:?}");
    assert_eq!(out.len(), 3);
    script.down(dead, DownReason::LocalAbort);
    script.up(alive, server(2));
    assert_eq!(script.events(), [Event::Connected { session, element: PeIdentifier(2) }]);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1))]);
}

// ASAP-3.3-12: the list is fresh, and yet a server of it is gone: what else is on it is tried, while a registrar is asked.
#[test]
fn a_server_that_is_gone_makes_the_list_doubtful() {
    let (mut script, _, home, _) = Script::connected(3);
    let session = script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let (dead, to) = connect(&script.out());
    assert_eq!(to, server(2));
    script.down(dead, DownReason::ConnectFailed("port unreachable".into()));
    let out = script.out();
    let (dead, to) = connect(&out);
    assert_eq!(to, server(3));
    assert!(out.contains(&Out::Asap(home, resolution_request("pool"))), "{out:?}");
    script.answer(home, [1, 7]);
    let out = script.out();
    assert!(out.contains(&Out::Abort(dead)), "{out:?}");
    let (next, to) = connect(&out);
    assert_eq!(to, server(1));
    script.up(next, server(1));
    let connected = Event::Connected { session, element: PeIdentifier(1) };
    assert!(script.events().contains(&connected));
}

// RFC 5352 §3.3: elements of one process share its endpoint. If nobody is there, nobody looks for each of them.
#[test]
fn elements_at_one_endpoint_fail_together() {
    let mut script = Script::new(config(1));
    script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.out();
    let elements: Vec<PoolElement> = [(11, 1), (12, 1), (13, 1), (21, 2)]
        .map(|(id, at)| PoolElement { id: PeIdentifier(id), ..element(at) })
        .into();
    let policy = Some(Policy::RoundRobin);
    let handle = pool();
    let answer = asap::HandleResolutionResponse { accepted: false, handle, policy, elements, error: None };
    script.asap(home, answer);
    let (dead, to) = connect(&script.out());
    assert_eq!(to, server(1));
    script.down(dead, DownReason::ConnectFailed("port unreachable".into()));
    let (dead, to) = connect(&script.out());
    assert_eq!(to, server(2));
    script.hear(home);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(11))]);
    script.down(dead, DownReason::ConnectFailed("port unreachable".into()));
    let out = script.out();
    assert!(!out.iter().any(|out| matches!(out, Out::Connect(..))), "everything was tried: {out:?}");
}

// ASAP-2.2.9-02: a refused connect is evidence as well, and quicker, as soon as something is heard after it.
#[test]
fn a_server_that_refuses_is_passed_over_at_once() {
    let mut script = Script::new(config(1));
    script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, [1, 2]);
    let (dead, _) = connect(&script.out());
    script.down(dead, DownReason::ConnectFailed("port unreachable".into()));
    assert_eq!(connect(&script.out()).1, server(2));
    script.hear(home);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1))]);
}

// The pool does not exist: that is an answer, told at once.
#[test]
fn a_session_with_an_unknown_pool() {
    let mut script = Script::new(config(1));
    let session = script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.events();
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    let why = CloseReason::Resolve(ResolveError::UnknownPool);
    assert_eq!(script.events(), [Event::Closed { session, why }]);
}

// ASAP-0-04, ASAP-2.2.12-02, ASAP-3.8-02, ASAP-3.8-04, ASAP-3.8-06, ASAP-1.4-01: the server dies: another is
// connected at once from the cache while a fresh answer is under way, and gets the latest of three cookies before anything
// else. That it is there shows that the first is not: the report goes out.
#[test]
fn failover_with_the_latest_cookie() {
    let (mut script, session, home, first) = Script::connected(2);
    for text in ["a", "b", "c"] {
        script.asap(first, cookie(text));
    }
    assert_eq!(script.events(), [], "the control channel is the endpoint's");
    script.down(first, DownReason::Unreachable);
    let out = script.out();
    let (second, remote) = connect(&out);
    assert_eq!(remote, server(2));
    assert!(out.contains(&Out::Asap(home, resolution_request("pool"))), "{out:?}");
    script.up(second, server(2));
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1)), Out::Asap(second, echo("c"))]);
    let (from, to) = (PeIdentifier(1), PeIdentifier(2));
    assert_eq!(script.events(), [Event::Failover { session, from, to, epoch: 1, replayed: false }]);
    script.send(session, 1, "again");
    assert_eq!(script.out(), [Out::Data(second, text_message("again"))]);
}

// the cookie is the session's: it goes on to a third server if the second set none.
#[test]
fn the_cookie_outlives_several_failovers() {
    let (mut script, session, _, first) = Script::connected(3);
    script.asap(first, cookie(""));
    script.down(first, DownReason::PeerAborted("crashed".into()));
    let (second, _) = connect(&script.out());
    script.up(second, server(2));
    assert_eq!(script.out(), [Out::Asap(second, echo(""))]);
    script.down(second, DownReason::PeerAborted("crashed".into()));
    let (third, remote) = connect(&script.out());
    assert_eq!(remote, server(3));
    script.up(third, server(3));
    assert_eq!(script.out(), [Out::Asap(third, echo(""))]);
    let failover =
        Event::Failover { session, from: PeIdentifier(2), to: PeIdentifier(3), epoch: 2, replayed: false };
    assert_eq!(script.events().last(), Some(&failover));
}

// ASAP-3.8-07: no cookie, no echo.
#[test]
fn failover_without_a_cookie() {
    let (mut script, _, _, first) = Script::connected(2);
    script.down(first, DownReason::PeerAborted("crashed".into()));
    let (second, _) = connect(&script.out());
    script.up(second, server(2));
    assert_eq!(script.out(), []);
}

// What was queued for the former server, and what is sent before the application knows of the failover, is dropped
// and its permits return: the application sends it again.
// ASAP-6.5.5-03, ASAP-6.5.5-08, SEC-T2.9-01, A-50
#[test]
fn nothing_old_reaches_the_new_server() {
    let (mut script, session, _, first) = Script::connected(2);
    script.input(Input::Full { assoc: first });
    script.send(session, 0, "queued");
    script.down(first, DownReason::PeerAborted("crashed".into()));
    assert_eq!(script.events(), [sent(session, 1, 6)]);
    script.send(session, 0, "early");
    assert_eq!(script.events(), [sent(session, 1, 5)]);
    let (second, _) = connect(&script.out());
    script.up(second, server(2));
    script.send(session, 0, "late");
    assert_eq!(script.out(), []);
    script.send(session, 1, "again");
    assert_eq!(script.out(), [Out::Data(second, text_message("again"))]);
}

// A server that shuts the session down wants it elsewhere; one that aborts it is there: neither is reported.
#[test]
fn failover_without_a_report() {
    for why in [DownReason::Shutdown, DownReason::PeerAborted("leaving".into())] {
        let (mut script, session, home, first) = Script::connected(2);
        script.down(first, why);
        let out = script.out();
        let (second, _) = connect(&out);
        assert!(!out.contains(&Out::Asap(home, unreachable(1))), "{out:?}");
        script.up(second, server(2));
        assert!(
            matches!(script.events().as_slice(), [Event::Failover { session: moved, .. }] if *moved == session)
        );
    }
}

// The only server: tried again once the registrar has nothing better.
#[test]
fn failover_to_the_same_server() {
    let (mut script, session, home, first) = Script::connected(1);
    script.down(first, DownReason::PeerAborted(String::new()));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [1]);
    let (second, remote) = connect(&script.out());
    assert_eq!(remote, server(1));
    script.up(second, server(1));
    let (from, to) = (PeIdentifier(1), PeIdentifier(1));
    assert_eq!(script.events(), [Event::Failover { session, from, to, epoch: 1, replayed: false }]);
}

// The fresh answer brings a server that the cache did not know; it is preferred to the one that failed.
#[test]
fn failover_to_a_new_server() {
    let (mut script, _, home, first) = Script::connected(1);
    script.down(first, DownReason::Unreachable);
    script.out();
    script.answer(home, [1, 7]);
    assert_eq!(connect(&script.out()).1, server(7));
}

// The cached list is stale: the server chosen from it is dead, too. The fresh answer does not list it, so nobody waits
// for its connect timeout; it is not reported either, since its registrar knows.
#[test]
fn a_candidate_that_is_not_listed_any_more_is_given_up() {
    let (mut script, session, home, first) = Script::connected(2);
    script.down(first, DownReason::Unreachable);
    let (candidate, to) = connect(&script.out());
    assert_eq!(to, server(2));

    script.answer(home, [1, 3]);
    let out = script.out();
    let (next, to) = connect(&out);
    assert_eq!(to, server(3));
    assert!(
        out.contains(&Out::Abort(candidate)) && !out.contains(&Out::Asap(home, unreachable(2))),
        "{out:?}"
    );

    script.up(next, server(3));
    let moved = |event: &Event| matches!(event, Event::Failover { session: s, to: PeIdentifier(3), .. } if *s == session);
    assert!(script.events().iter().any(moved));
}

// A server that lets everybody in and ends the session at once must not make us spin.
#[test]
fn quick_failovers_slow_down() {
    let (mut script, session, home, mut assoc) = Script::connected(1);
    let start = script.now;
    for _ in 0..10 {
        script.down(assoc, DownReason::Shutdown);
        loop {
            script.answer(home, [1]);
            let out = script.out();
            if out.iter().any(|out| matches!(out, Out::Connect(..))) {
                assoc = connect(&out).0;
                break;
            }
            script.pass(ms(1));
        }
        script.up(assoc, server(1));
    }
    assert!(script.now.since(start) > Duration::from_secs(2), "{}", script.now);
    assert!(
        matches!(script.events().last(), Some(Event::Failover { session: moved, .. }) if *moved == session)
    );
}

// A rolling restart: each server answers and leaves in order, and nobody has to wait.
#[test]
fn servers_that_leave_in_order_cost_no_pause() {
    let (mut script, session, home, mut assoc) = Script::connected(1);
    let start = script.now;
    for epoch in 0..10 {
        let operation = Message::new(Bytes::from_static(b"one more"));
        script.machine.send(script.now, session, epoch, operation).unwrap();
        script.data(assoc, "done");
        script.out();
        script.down(assoc, DownReason::Shutdown);
        script.answer(home, [1]);
        assoc = connect(&script.out()).0;
        script.up(assoc, server(1));
    }
    assert_eq!(script.now, start);
}

// RFC 9260 §5.2: the server restarted and knows nothing of the session: failover, with the cookie.
#[test]
fn a_restarted_server_is_failed_over() {
    let (mut script, _, home, first) = Script::connected(1);
    script.asap(first, cookie("state"));
    script.input(Input::Restart { assoc: first });
    assert!(script.out().contains(&Out::Abort(first)));
    script.answer(home, [1]);
    let (second, _) = connect(&script.out());
    script.up(second, server(1));
    assert_eq!(script.out(), [Out::Asap(second, echo("state"))]);
}

// No server for as long as the session's patience: it ends, with the reason.
#[test]
fn patience_ends() {
    let (mut script, session, home, first) = Script::connected(1);
    script.down(first, DownReason::Unreachable);
    let start = script.now;
    let closed = loop {
        let out = script.out();
        for out in out {
            match out {
                Out::Connect(assoc, Channel::Session, _) => {
                    script.down(assoc, DownReason::ConnectFailed("refused".into()));
                }
                Out::Asap(_, asap::Message::HandleResolution(_)) => script.answer(home, [1]),
                _ => {}
            }
        }
        let events = script.events();
        if let Some(closed) = events.into_iter().find(|event| matches!(event, Event::Closed { .. })) {
            break closed;
        }
        script.pass(ms(10));
    };
    assert_eq!(closed, Event::Closed { session, why: CloseReason::NoElement });
    let took = script.now.since(start);
    assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(31), "{took:?}");
    script.pass(Duration::from_secs(60));
    assert!(!script.out().iter().any(|out| matches!(out, Out::Connect(_, Channel::Session, _))));
}

// Design §1: sessions do not need a registrar: failover from the cache alone.
#[test]
fn failover_while_all_registrars_are_gone() {
    let (mut script, session, home, first) = Script::connected(2);
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(60));
    script.out();
    script.events();
    let (_, out) = script.pass_until_out();
    let [Out::Connect(attempt, Channel::Asap, _)] = out[1..] else { panic!("{out:?}") };
    script.down(first, DownReason::Unreachable);
    let (second, remote) = connect(&script.out());
    assert_eq!(remote, server(2));
    script.up(second, server(2));
    assert!(
        matches!(script.events().as_slice(), [Event::Failover { session: moved, .. }] if *moved == session)
    );
    // The report waits for a registrar.
    script.pass(ms(1300));
    script.up(attempt, registrar(1));
    assert!(script.out().contains(&Out::Asap(attempt, unreachable(1))));
}

// ASAP-3.5-04: a hundred sessions lose the same server: one event, one report.
#[test]
fn one_dead_server_is_reported_once() {
    let (mut script, _, home, first) = Script::connected(2);
    let mut associations = vec![first];
    for n in 0..100 {
        script.machine.connect(script.now, pool(), TO_POOL).unwrap();
        let (assoc, remote) = connect(&script.out());
        script.up(assoc, remote);
        if n % 2 == 1 {
            associations.push(assoc);
        }
    }
    for assoc in associations {
        script.down(assoc, DownReason::Unreachable);
    }
    script.hear(home);
    let out = script.out();
    assert_eq!(out.iter().filter(|out| **out == Out::Asap(home, unreachable(1))).count(), 1);
    assert_eq!(
        out.iter().filter(|out| matches!(out, Out::Connect(_, _, remote) if *remote == server(2))).count(),
        51
    );
    assert_eq!(out.iter().filter(|out| **out == Out::Asap(home, resolution_request("pool"))).count(), 1);
}

// A reader that has stopped stays stopped at the new server.
#[test]
fn reading_stays_off_over_a_failover() {
    let (mut script, session, _, first) = Script::connected(2);
    script.asap(first, cookie("state"));
    script.machine.read(script.now, session, false);
    script.down(first, DownReason::PeerAborted("crashed".into()));
    let (second, _) = connect(&script.out());
    script.up(second, server(2));
    assert_eq!(script.out(), [Out::Read(second, false), Out::Asap(second, echo("state"))]);
}

// Closing is not a failover, whatever SCTP says of it afterwards. ASAP-2.2.11-02: only servers set cookies.
#[test]
fn our_own_close() {
    let (mut script, session, _, assoc) = Script::connected(2);
    let refused = script.machine.set_cookie(script.now, session, Bytes::new());
    assert_eq!(refused, Err(SendError::NotServer));
    script.machine.close(script.now, session);
    assert_eq!(script.out(), [Out::Shutdown(assoc)]);
    script.down(assoc, DownReason::Shutdown);
    assert_eq!(script.events(), [Event::Closed { session, why: CloseReason::Local }]);
    assert_eq!(script.out(), []);
}

// Whoever closes hears whether everything has arrived: not if the server dies meanwhile, nor if it is being looked for.
#[test]
fn a_close_that_loses_something_says_so() {
    let (mut script, session, _, assoc) = Script::connected(1);
    script.machine.close(script.now, session);
    script.down(assoc, DownReason::Unreachable);
    let why = CloseReason::Lost("the peer does not answer".into());
    assert_eq!(script.events(), [Event::Closed { session, why }]);

    let (mut script, session, _, assoc) = Script::connected(1);
    script.down(assoc, DownReason::Unreachable);
    script.events();
    script.machine.close(script.now, session);
    let why = CloseReason::Lost("closed while there was no server".into());
    assert_eq!(script.events(), [Event::Closed { session, why }]);
}

// The server drains at the moment: it may not have read what was sent last, acknowledged or not.
#[test]
fn a_close_that_meets_the_servers_says_so() {
    let closed =
        |script: &mut Script| script.events().into_iter().find(|it| matches!(it, Event::Closed { .. }));
    let lost = |session| {
        let why = CloseReason::Lost("ended by the peer at the same time".into());
        Some(Event::Closed { session, why })
    };
    for (close_first, returns) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut script, session, _, assoc) = Script::connected(1);
        script.send(session, 0, "x");
        if close_first {
            script.machine.close(script.now, session);
        }
        script.out();
        script.input(Input::PeerShutdown { assoc });
        if returns {
            let bytes = Bytes::from_static(b"x");
            script.input(Input::SendFailed { assoc, bytes, why: "shutting down" });
        }
        script.machine.close(script.now, session);
        script.down(assoc, DownReason::Shutdown);
        assert_eq!(closed(&mut script), lost(session));
    }

    // It was not even handed over.
    let (mut script, session, _, assoc) = Script::connected(1);
    script.input(Input::Full { assoc });
    script.send(session, 0, "x");
    script.machine.close(script.now, session);
    script.down(assoc, DownReason::Shutdown);
    assert_eq!(closed(&mut script), lost(session));

    // Nothing was sent, so nothing is lost.
    let (mut script, session, _, assoc) = Script::connected(1);
    script.input(Input::PeerShutdown { assoc });
    script.machine.close(script.now, session);
    script.down(assoc, DownReason::Shutdown);
    assert_eq!(closed(&mut script), Some(Event::Closed { session, why: CloseReason::Local }));
}

// A session without a server ends at once, wherever its search is.
#[test]
fn closing_during_the_search() {
    let mut script = Script::new(config(1));
    let resolving = script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let connecting = script.machine.connect(script.now, pool(), TO_POOL).unwrap();
    let home = script.expect_connect();
    script.machine.close(script.now, resolving);
    script.up(home, registrar(1));
    script.answer(home, [1]);
    let (assoc, _) = connect(&script.out());
    script.machine.abort(script.now, connecting, "enough");
    assert_eq!(script.out(), [Out::Abort(assoc)]);
    let closed: Vec<_> =
        script.events().into_iter().filter(|event| matches!(event, Event::Closed { .. })).collect();
    let why = CloseReason::Local;
    assert_eq!(
        closed,
        [Event::Closed { session: resolving, why: why.clone() }, Event::Closed { session: connecting, why },]
    );
    script.pass(Duration::from_secs(5));
    assert_eq!(script.out(), []);
}

// Same seed, same run (design D12a).
#[test]
fn runs_can_be_repeated() {
    let run = || {
        let mut script = Script::new(config(5));
        script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
        let mut log = Vec::new();
        for _ in 0..50 {
            script.machine.connect(script.now, pool(), TO_POOL).unwrap();
            script.pass(ms(100));
            log.extend(script.out());
        }
        format!("{log:?} {:?}", script.events())
    };
    assert_eq!(run(), run());
}

// The server drains at the moment; what it has answered it has taken.
#[test]
fn a_close_that_meets_the_servers_does_not_doubt_what_was_answered() {
    let lost = || CloseReason::Lost("ended by the peer at the same time".into());
    for (sent, answered, stream, why) in [
        (1, 1, 0, CloseReason::Local),
        (3, 3, 0, CloseReason::Local),
        (1, 2, 0, CloseReason::Local),
        (3, 2, 0, lost()),
        (1, 1, 3, lost()),
    ] {
        let (mut script, session, _, assoc) = Script::connected(1);
        for _ in 0..sent {
            let message = Message { stream, ..text_message("x") };
            script.machine.send(script.now, session, 0, message).unwrap();
        }
        script.out();
        for _ in 0..answered {
            script.data(assoc, "answer");
        }
        script.input(Input::PeerShutdown { assoc });
        script.machine.close(script.now, session);
        script.down(assoc, DownReason::Shutdown);
        let closed = script.events().into_iter().find(|event| matches!(event, Event::Closed { .. }));
        assert_eq!(closed, Some(Event::Closed { session, why }), "{sent} {answered} {stream}");
    }
}

// Only a server has something to refuse.
#[test]
fn a_user_refuses_no_cookie() {
    let (mut script, session, _, _) = Script::connected(1);
    let refused = script.machine.refuse_cookie(script.now, session, "not mine");
    assert_eq!((refused, script.out()), (Err(SendError::NotServer), vec![]));
}
