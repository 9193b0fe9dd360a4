//! Sessions that pool users start with us (RFC 5352 §3.8, §6.6).

use super::*;
use rserpool_proto::endpoint::{CloseReason, SendError};

const USER: AssocId = AssocId::accepted(Channel::Asap, 1);

fn user() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 5000))
}

fn echo(cookie: &'static str) -> asap::CookieEcho {
    asap::CookieEcho { cookie: Bytes::from_static(cookie.as_bytes()) }
}

fn cookie(cookie: &'static str) -> asap::Message {
    asap::Cookie { cookie: Bytes::from_static(cookie.as_bytes()) }.into()
}

/// The session that was accepted, with its cookie, and what else happened.
fn accepted(events: Vec<Event>) -> (SessionId, Option<Bytes>, Vec<Event>) {
    let mut events = events.into_iter();
    match events.next() {
        Some(Event::SessionAccepted { session, cookie, remote, .. }) => {
            assert_eq!(remote, [user()]);
            (session, cookie, events.collect())
        }
        other => panic!("{other:?}"),
    }
}

impl Script {
    /// A registered element with a session that has said "hello".
    fn serving() -> (Self, SessionId) {
        let (mut script, _) = Self::registered();
        script.up(USER, user());
        script.data(USER, "hello");
        let (session, _, _) = accepted(script.events());
        (script, session)
    }
}

// Design §8: announced at the first message, which comes after it. ASAP-3-01.
// ASAP-6.6-01
#[test]
fn the_first_message_announces_the_session() {
    let (mut script, _) = Script::registered();
    script.up(USER, user());
    assert_eq!(script.events(), []);
    script.data(USER, "hello");
    let (session, cookie, rest) = accepted(script.events());
    assert_eq!(cookie, None);
    assert_eq!(rest, [Event::Received { session, message: text_message("hello") }]);
    assert_eq!(script.out(), []);
}

// ASAP-2.2.12-02, ASAP-3.8-04: the cookie comes first and with the session.
#[test]
fn a_cookie_comes_with_the_session() {
    let (mut script, _) = Script::registered();
    script.up(USER, user());
    script.asap(USER, echo("state"));
    script.data(USER, "again");
    let (session, cookie, rest) = accepted(script.events());
    assert_eq!(cookie, Some(Bytes::from_static(b"state")));
    assert_eq!(rest, [Event::Received { session, message: text_message("again") }]);
}

// Design §8: silence for `cookie_wait` means that no cookie comes. A late one is still delivered.
#[test]
fn a_silent_session_is_announced_after_a_while() {
    let (mut script, _) = Script::registered();
    script.up(USER, user());
    script.pass(ms(199));
    assert_eq!(script.events(), []);
    script.pass(ms(1));
    let (session, cookie, rest) = accepted(script.events());
    assert_eq!((cookie, rest), (None, vec![]));
    script.asap(USER, echo("late"));
    assert_eq!(
        script.events(),
        [Event::CookieReceived { session, cookie: Bytes::from_static(b"late"), version: 0 }]
    );
}

// several elements take sessions at one endpoint: they are given to the first.
#[test]
fn sessions_are_for_the_first_element() {
    let mut script = Script::new(config(1));
    let tcp = params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 99]) };
    let transport = ElementTransport::Other(Transport::Tcp(tcp));
    script.machine.register(script.now, Registration { transport, id: None, ..registration() }).unwrap();
    let first = script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
    script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
    script.up(USER, user());
    script.data(USER, "hello");
    let events = script.events();
    assert!(matches!(&events[0], Event::SessionAccepted { element, .. } if *element == first), "{events:?}");
}

// ASAP-3.8-01, ASAP-5-04, ASAP-5-05: a cookie goes out in order with the data, on stream 0, with ASAP's identifier;
// data cannot have that.
// SEC-T2.16-02
#[test]
fn a_cookie_goes_before_the_answer() {
    let (mut script, session) = Script::serving();
    script.machine.set_cookie(script.now, session, Bytes::from_static(b"state")).unwrap();
    script.send(session, 0, "answer");
    assert_eq!(script.out(), [Out::Asap(USER, cookie("state")), Out::Data(USER, text_message("answer"))]);
    assert_eq!(script.events(), [sent(session, 2, 11)]);
    let reserved = Message { ppid: PPID_ASAP, ..text_message("answer") };
    assert_eq!(script.machine.send(script.now, session, 0, reserved), Err(SendError::ReservedPpid));
}

// ASAP-3.8-03, ASAP-3-01, SCTP-4960-02: data that looks like ASAP is data; the control channel is not shown to the user.
#[test]
fn data_and_control_differ_by_identifier() {
    let (mut script, session) = Script::serving();
    let bytes = asap::Message::from(echo("state")).encode().unwrap();
    for ppid in [0, 77] {
        script.input(Input::Message { assoc: USER, stream: 3, ppid, unordered: true, bytes: bytes.clone() });
        let message = Message { stream: 3, ppid, unordered: true, bytes: bytes.clone() };
        assert_eq!(script.events(), [Event::Received { session, message }]);
    }
    script.asap(USER, asap::Error { error: cause(CauseCode::UNSPECIFIED) });
    assert_eq!(script.events(), []);
    script.asap(USER, asap::BusinessCard { handle: pool(), elements: vec![element(1)] });
    assert!(matches!(script.events()[..], [Event::CardReceived { .. }]));
}

// The contract: after Full nothing for that association comes out until Writable. A permit returns when the bytes
// are handed over, not before.
#[test]
fn a_full_association_is_left_alone() {
    let (mut script, session) = Script::serving();
    script.send(session, 0, "one");
    script.send(session, 0, "two");
    assert!(matches!(script.machine.poll_transmit(), Some(Transmit::Send { .. })));
    script.input(Input::Full { assoc: USER });
    assert_eq!(script.out(), []);
    assert_eq!(script.events(), [sent(session, 1, 3)]);
    script.input(Input::Writable { assoc: USER });
    assert_eq!(script.out(), [Out::Data(USER, text_message("two"))]);
    assert_eq!(script.events(), [sent(session, 1, 3)]);
}

// Design D11: the queue of a session is bounded, in bytes and so in messages; a message as large as allowed always fits when it is empty.
#[test]
fn the_queue_of_a_session_is_bounded() {
    let (mut script, session) = Script::serving();
    let limit = 1 << 20;
    let large = |size: usize| Message::new(vec![0; size]);
    script.input(Input::Full { assoc: USER });
    script.machine.send(script.now, session, 0, large(limit)).unwrap();
    assert_eq!(script.machine.send(script.now, session, 0, large(1)), Err(SendError::Full));
    script.input(Input::Writable { assoc: USER });
    script.out();
    script.input(Input::Full { assoc: USER });
    let half = 128 * 1024 - MESSAGE_OVERHEAD;
    script.machine.send(script.now, session, 0, large(half)).unwrap();
    script.machine.send(script.now, session, 0, large(half)).unwrap();
    assert_eq!(script.machine.send(script.now, session, 0, large(1)), Err(SendError::Full));
    assert_eq!(
        script.machine.set_cookie(script.now, session, Bytes::from_static(b"x")),
        Err(SendError::Full)
    );
    script.input(Input::Writable { assoc: USER });
    script.out();
    script.machine.send(script.now, session, 0, large(1)).unwrap();
    let too_large = script.machine.send(script.now, session, 0, large(limit + 1));
    assert_eq!(too_large, Err(SendError::Size { limit }));
    assert_eq!(script.machine.send(script.now, session, 0, large(0)), Err(SendError::Size { limit }));
}

// Design D11: what is small, or empty as a cookie may be, takes room, too.
#[test]
fn the_queue_of_a_session_holds_so_many_messages_only() {
    let (mut script, session) = Script::serving();
    script.input(Input::Full { assoc: USER });
    let taken = (0..).take_while(|_| script.machine.set_cookie(script.now, session, Bytes::new()).is_ok());
    assert_eq!(taken.count(), 256 * 1024 / MESSAGE_OVERHEAD);
    script.input(Input::Writable { assoc: USER });
    script.out();
    assert_eq!(script.events(), [sent(session, 256 * 1024 / MESSAGE_OVERHEAD, 0)]);
}

// Design §4: a session that is not read closes its window; it is asked once.
#[test]
fn reading_stops_and_goes_on() {
    let (mut script, session) = Script::serving();
    script.machine.read(script.now, session, false);
    script.machine.read(script.now, session, false);
    script.machine.read(script.now, session, true);
    assert_eq!(script.out(), [Out::Read(USER, false), Out::Read(USER, true)]);
}

// A session ends in order after what is queued, also while the association is full.
#[test]
fn closing_delivers_first() {
    let (mut script, session) = Script::serving();
    script.input(Input::Full { assoc: USER });
    script.send(session, 0, "last");
    script.machine.close(script.now, session);
    assert_eq!(script.out(), []);
    assert_eq!(script.machine.send(script.now, session, 0, text_message("late")), Err(SendError::Closed));
    script.input(Input::Writable { assoc: USER });
    assert_eq!(script.out(), [Out::Data(USER, text_message("last")), Out::Shutdown(USER)]);
    script.down(USER, DownReason::Shutdown);
    let why = CloseReason::Local;
    assert_eq!(script.events().last(), Some(&Event::Closed { session, why }));
}

// What the peer still sends must not keep it from ending: it is read, and dropped.
#[test]
fn closing_reads_out() {
    let (mut script, session) = Script::serving();
    script.machine.read(script.now, session, false);
    script.out();
    script.machine.close(script.now, session);
    assert_eq!(script.out(), [Out::Read(USER, true), Out::Shutdown(USER)]);
    script.data(USER, "late");
    assert_eq!(script.events(), []);
}

// A peer that does not take what is queued cannot keep a closed session for ever.
#[test]
fn closing_is_bounded_in_time() {
    let (mut script, session) = Script::serving();
    script.input(Input::Full { assoc: USER });
    script.send(session, 0, "last");
    script.machine.close(script.now, session);
    script.pass(Duration::from_secs(30));
    assert_eq!(script.out(), [Out::Abort(USER)]);
    let why = CloseReason::Lost("not delivered in time".into());
    assert_eq!(script.events(), [Event::Closed { session, why }]);
}

// How a session ends is told apart.
#[test]
fn the_pool_user_ends_the_session() {
    for (why, expected) in [
        (DownReason::Shutdown, CloseReason::Peer),
        (DownReason::Unreachable, CloseReason::Lost("the peer does not answer".into())),
        (DownReason::PeerAborted("bye".into()), CloseReason::Lost("aborted by the peer: bye".into())),
    ] {
        let (mut script, session) = Script::serving();
        script.down(USER, why);
        assert_eq!(script.events(), [Event::Closed { session, why: expected }]);
        script.pass(Duration::from_secs(1));
        assert_eq!(script.out(), [], "a server reports nobody");
    }
}

// Without an element there is nothing to serve; beyond the limit there is no room.
#[test]
fn associations_are_refused() {
    let (mut script, _, _, _) = Script::connected(1);
    script.up(USER, user());
    assert_eq!(script.out(), [Out::Abort(USER)]);

    let mut config = config(1);
    config.limits.pending_associations = 1;
    let mut script = Script::new(config);
    script.machine.register(script.now, registration()).unwrap();
    script.out();
    let second = AssocId::accepted(Channel::Asap, 2);
    script.up(USER, user());
    script.up(second, user());
    assert_eq!(script.out(), [Out::Abort(second)]);
    assert_eq!(script.machine.counters().refused_associations, 1);
    script.down(second, DownReason::LocalAbort);
    script.down(USER, DownReason::Shutdown);
    let third = AssocId::accepted(Channel::Asap, 3);
    script.up(third, user());
    assert_eq!(script.out(), [], "there is room again");
}

// an element that takes no sessions still hears registrars; what says nothing within T2 is none.
// PARAM-3.3-03, PARAM-3.5-02, PARAM-3.6-02, PARAM-3.7-02
#[test]
fn only_registrars_connect_to_an_element_without_sessions() {
    let mut script = Script::new(config(1));
    let tcp = params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 99]) };
    let transport = ElementTransport::Other(Transport::Tcp(tcp));
    script.machine.register(script.now, Registration { transport, ..registration() }).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.out();
    script.events();
    script.up(USER, user());
    script.pass(ms(499));
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    assert_eq!(script.out(), [Out::Abort(USER)]);
    let other = AssocId::accepted(Channel::Asap, 2);
    script.up(other, user());
    script.data(other, "hello");
    assert_eq!(script.out(), [Out::Abort(other)]);
    assert_eq!(script.events(), []);
}

// ASAP-3.2-11, ASAP-3.2-18: a session outlives the registration.
#[test]
fn deregistering_leaves_sessions_alone() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    script.up(USER, user());
    script.data(USER, "hello");
    let (session, _, _) = accepted(script.events());
    script.machine.deregister(script.now, element).unwrap();
    script.out();
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);
    script.data(USER, "more");
    assert_eq!(script.events(), [Event::Received { session, message: text_message("more") }]);
}

// The peer is ending the association: what it does not take any more is lost, and no fault of the application's.
#[test]
fn a_message_during_the_peers_shutdown_is_lost_with_the_session() {
    let (mut script, session) = Script::serving();
    script.input(Input::PeerShutdown { assoc: USER });
    script.input(Input::SendFailed { assoc: USER, bytes: Bytes::from_static(b"x"), why: "shutting down" });
    assert_eq!(script.events(), []);
    script.data(USER, "last words");
    assert_eq!(script.events(), [Event::Received { session, message: text_message("last words") }]);
}

// SCTP refuses a message: it comes back.
// ASAP-6.7-01
#[test]
fn a_message_comes_back() {
    let (mut script, session) = Script::serving();
    script.input(Input::SendFailed { assoc: USER, bytes: Bytes::from_static(b"x"), why: "no such stream" });
    let bytes = Bytes::from_static(b"x");
    assert_eq!(script.events(), [Event::SendFailed { session, bytes, why: "no such stream" }]);
}
