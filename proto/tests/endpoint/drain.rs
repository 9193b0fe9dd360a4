//! An element that leaves without losing anything: registrars first, sessions second (RFC 5352 §3.2, §6.2).

use super::*;
use rserpool_proto::endpoint::{CloseReason, ElementId, RegisterError, SendError};

const USER: AssocId = AssocId::accepted(Channel::Asap, 1);

fn user() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 5000))
}

impl Script {
    /// A registered element that is drained while it has a session; its deregistration is sent.
    fn draining() -> (Self, AssocId, ElementId, SessionId) {
        let mut script = Self::new(config(1));
        let element = script.machine.register(script.now, registration()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.grant(home);
        script.up(USER, user());
        script.data(USER, "hello");
        script.out();
        let session = script.events().into_iter().find_map(|event| match event {
            Event::SessionAccepted { session, .. } => Some(session),
            _ => None,
        });
        script.machine.drain(script.now, element, Duration::from_secs(10)).unwrap();
        let id = PeIdentifier(0x11);
        let deregistration = asap::Deregistration { handle: pool(), id }.into();
        assert_eq!(script.out(), [Out::Asap(home, deregistration)]);
        (script, home, element, session.unwrap())
    }

    fn confirm(&mut self, home: AssocId) {
        let id = PeIdentifier(0x11);
        self.asap(home, asap::DeregistrationResponse { handle: pool(), id, error: None });
    }
}

// ASAP-6.2-01: drained is who has left the pool and has no session any more, whichever comes first.
#[test]
fn an_element_is_drained_when_it_has_left_and_its_sessions_have_ended() {
    let (mut script, home, element, session) = Script::draining();
    script.confirm(home);
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);
    script.send(session, 0, "answer");
    assert_eq!(script.out(), [Out::Data(USER, text_message("answer"))]);
    script.events();
    script.pass(ms(500));
    script.down(USER, DownReason::Shutdown);
    let closed = Event::Closed { session, why: CloseReason::Peer };
    assert_eq!(script.events(), [closed.clone(), Event::Drained { element }]);

    let (mut script, home, element, _) = Script::draining();
    script.down(USER, DownReason::Shutdown);
    assert_eq!(script.events(), [closed]);
    script.confirm(home);
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);
    script.pass(ms(500));
    assert_eq!(script.events(), [Event::Drained { element }]);
}

// After the grace the session is handed over: its pool user gets all that was sent, the last cookie too.
#[test]
fn a_session_that_does_not_end_is_handed_over() {
    let (mut script, home, element, session) = Script::draining();
    script.confirm(home);
    script.events();
    script.pass(ms(9999));
    assert_eq!(script.out(), []);
    script.input(Input::Full { assoc: USER });
    script.machine.set_cookie(script.now, session, Bytes::from_static(b"last")).unwrap();
    script.pass(ms(1));
    script.input(Input::Writable { assoc: USER });
    let cookie = asap::Cookie { cookie: Bytes::from_static(b"last") }.into();
    // Whoever sends knows that nothing more is taken.
    assert_eq!(script.events(), [Event::Closing { session }]);
    let late = script.machine.send(script.now, session, 0, text_message("late"));
    assert_eq!(late, Err(SendError::Closed));
    assert_eq!(script.out(), [Out::Asap(USER, cookie), Out::Shutdown(USER)]);
    script.events();
    script.down(USER, DownReason::Shutdown);
    let closed = Event::Closed { session, why: CloseReason::Local };
    assert_eq!(script.events(), [closed, Event::Drained { element }]);
}

// A pool user that does not take what is queued cannot hold an element for ever.
#[test]
fn a_drain_is_bounded_in_time() {
    let (mut script, home, element, _) = Script::draining();
    script.confirm(home);
    script.pass(Duration::from_secs(40));
    assert_eq!(script.out().last(), Some(&Out::Abort(USER)));
    assert_eq!(script.events().last(), Some(&Event::Drained { element }));
}

#[test]
fn no_session_begins_at_an_element_that_is_leaving() {
    let (mut script, ..) = Script::draining();
    let other = AssocId::accepted(Channel::Asap, 2);
    script.up(other, user());
    script.data(other, "hello");
    assert_eq!(script.out(), [Out::Abort(other)]);
    assert_eq!(script.events(), []);
}

// Without a registrar the sessions are looked after all the same.
#[test]
fn an_element_is_drained_without_a_registrar_too() {
    let (mut script, home, element, session) = Script::draining();
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(10));
    script.down(USER, DownReason::Shutdown);
    let events: Vec<Event> = script.events();
    let error = Some(RegisterError::NoRegistrar);
    assert!(events.contains(&Event::Deregistered { element, error }), "{events:?}");
    let closed = Event::Closed { session, why: CloseReason::Local };
    assert_eq!(events[events.len() - 2..], [closed, Event::Drained { element }]);
}

// ASAP-6.2-01: those who have subscribed to the pool hear of it in a moment, and may come until then: to a service of the
// application's own, too. So an element has not drained before, unless its grace is over.
#[test]
fn an_element_that_is_drained_stays_until_subscribers_know() {
    for (grace, settle) in [(Duration::from_secs(10), ms(500)), (ms(200), ms(200)), (ms(0), ms(0))] {
        let mut script = Script::new(config(1));
        let tcp = params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 99]) };
        let transport = ElementTransport::Other(Transport::Tcp(tcp));
        let element =
            script.machine.register(script.now, Registration { transport, ..registration() }).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.grant(home);
        script.events();
        script.machine.drain(script.now, element, grace).unwrap();
        script.confirm(home);
        let mut expected = vec![Event::Deregistered { element, error: None }];
        if !settle.is_zero() {
            assert_eq!(script.events(), expected);
            script.pass(settle - ms(1));
            assert_eq!(script.events(), []);
            script.pass(ms(1));
            expected.clear();
        }
        expected.push(Event::Drained { element });
        assert_eq!(script.events(), expected);
    }
}

// Nobody knows of an element that was never registered; and whoever shuts everything down does not wait.
#[test]
fn nobody_waits_for_subscribers_without_need() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    script.machine.drain(script.now, element, Duration::from_secs(10)).unwrap();
    let gone = [Event::Deregistered { element, error: None }, Event::Drained { element }];
    assert_eq!(script.events(), gone);

    let (mut script, home, element, _) = Script::draining();
    script.down(USER, DownReason::Shutdown);
    script.confirm(home);
    script.events();
    script.machine.shutdown(script.now);
    assert_eq!(script.events(), [Event::Drained { element }]);
}

// The user closes the session, too, and hears that all is well. But something that it has sent before came too late to be read.
#[test]
fn what_is_not_read_is_not_taken() {
    let message = |text: &'static str| Input::Message {
        assoc: USER,
        stream: 0,
        ppid: 0,
        unordered: false,
        bytes: Bytes::from_static(text.as_bytes()),
    };
    let ends = Input::PeerShutdown { assoc: USER };
    for inputs in [[message("late"), ends.clone()], [ends, message("late")]] {
        let (mut script, home, ..) = Script::draining();
        script.confirm(home);
        script.pass(Duration::from_secs(10));
        assert_eq!(script.out(), [Out::Shutdown(USER)]);
        script.events();
        inputs.into_iter().for_each(|input| script.input(input));
        assert_eq!(script.out(), [Out::Abort(USER)]);
        assert!(matches!(script.events()[0], Event::Closed { why: CloseReason::Lost(_), .. }));
    }
}

// ASAP-6.2-01: the time in which subscribers hear of it begins when a registrar has let it go, even if that was before.
#[test]
fn an_element_that_has_left_before_it_is_drained_stays_as_long() {
    for (before, more) in [(ms(0), ms(500)), (ms(200), ms(300)), (ms(500), ms(0)), (ms(5000), ms(0))] {
        let mut script = Script::new(config(1));
        let tcp = params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 99]) };
        let transport = ElementTransport::Other(Transport::Tcp(tcp));
        let element =
            script.machine.register(script.now, Registration { transport, ..registration() }).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.grant(home);
        script.machine.set_ready(script.now, element, false).unwrap();
        script.confirm(home);
        script.events();
        script.pass(before);
        script.machine.drain(script.now, element, Duration::from_secs(10)).unwrap();
        let mut expected = vec![Event::Deregistered { element, error: None }];
        if !more.is_zero() {
            assert_eq!(script.events(), expected);
            script.pass(more - ms(1));
            assert_eq!(script.events(), []);
            script.pass(ms(1));
            expected.clear();
        }
        expected.push(Event::Drained { element });
        assert_eq!(script.events(), expected);
    }
}

// The application learns that nothing more is taken before it is.
#[test]
fn a_shutdown_is_said_to_the_sessions() {
    let (mut script, _, _, session) = Script::draining();
    script.machine.shutdown(script.now);
    assert!(script.events().contains(&Event::Closing { session }));
}
