//! Elements that are not ready for a while.

use super::*;
use rserpool_proto::endpoint::{CommandError, ElementId, RegisterError};

const USER: AssocId = AssocId::accepted(Channel::Asap, 1);

fn user() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 5000))
}

fn deregistration() -> asap::Message {
    asap::Deregistration { handle: pool(), id: PeIdentifier(0x11) }.into()
}

impl Script {
    /// A registered element with a session.
    fn ready() -> (Self, AssocId, ElementId, SessionId) {
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
        (script, home, element, session.unwrap())
    }

    fn confirm_withdrawal(&mut self, home: AssocId) {
        let id = PeIdentifier(0x11);
        self.asap(home, asap::DeregistrationResponse { handle: pool(), id, error: None });
    }

    fn is_registration(&mut self, home: AssocId) {
        let out = self.out();
        let [Out::Asap(to, asap::Message::Registration(registration))] = &out[..] else { panic!("{out:?}") };
        assert_eq!((*to, registration.element.id), (home, PeIdentifier(0x11)));
    }
}

// ASAP-3.2-01, ASAP-3.1-01: out of the pool and back into it as the same element; its session goes on, and is drained with it.
#[test]
fn an_element_leaves_its_pool_for_a_while() {
    let (mut script, home, element, session) = Script::ready();
    script.machine.set_ready(script.now, element, false).unwrap();
    assert_eq!(script.out(), [Out::Asap(home, deregistration())]);
    script.confirm_withdrawal(home);
    assert_eq!(script.events(), [Event::Withdrawn { element, error: None }]);

    // New sessions go elsewhere, a keep-alive is for nobody, and no timer brings it back.
    let other = AssocId::accepted(Channel::Asap, 2);
    script.up(other, user());
    script.data(other, "hello");
    assert_eq!(script.out(), [Out::Abort(other)]);
    let (registrar, handle, id) = (RegistrarId(1), pool(), Some(PeIdentifier(0x11)));
    script.asap(home, asap::EndpointKeepAlive { home: false, registrar, handle, id });
    script.machine.set_policy(script.now, element, Policy::RoundRobin).unwrap();
    script.machine.set_ready(script.now, element, false).unwrap();
    script.pass(Duration::from_secs(600));
    assert_eq!(script.out(), []);
    script.events();
    script.send(session, 0, "answer");
    assert_eq!(script.out(), [Out::Data(USER, text_message("answer"))]);
    script.events();

    script.machine.set_ready(script.now, element, true).unwrap();
    script.is_registration(home);
    script.grant(home);
    assert!(matches!(script.events()[..], [Event::Registered { id: PeIdentifier(0x11), .. }]));
    script.machine.drain(script.now, element, Duration::ZERO).unwrap();
    script.pass(ms(1));
    assert_eq!(script.out(), [Out::Asap(home, deregistration()), Out::Shutdown(USER)]);
}

// A change of mind while the registrar is asked.
#[test]
fn an_element_that_is_ready_before_it_has_left_comes_back() {
    let (mut script, home, element, _) = Script::ready();
    script.machine.set_ready(script.now, element, false).unwrap();
    script.machine.set_ready(script.now, element, true).unwrap();
    assert_eq!(script.out(), [Out::Asap(home, deregistration())]);
    script.confirm_withdrawal(home);
    assert_eq!(script.events(), [Event::Withdrawn { element, error: None }]);
    script.is_registration(home);
}

// Who leaves for good, does so from wherever it is.
#[test]
fn an_element_that_is_not_ready_leaves_for_good() {
    let (mut script, home, element, _) = Script::ready();
    script.machine.set_ready(script.now, element, false).unwrap();
    script.machine.deregister(script.now, element).unwrap();
    assert_eq!(script.machine.set_ready(script.now, element, true), Err(CommandError::Unknown));
    script.confirm_withdrawal(home);
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);

    let (mut script, home, element, _) = Script::ready();
    script.machine.set_ready(script.now, element, false).unwrap();
    script.confirm_withdrawal(home);
    script.events();
    script.out();
    script.machine.deregister(script.now, element).unwrap();
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);
    assert_eq!(script.out(), []);
}

// Nobody confirms it: it is out as far as this endpoint goes, until it is ready again.
#[test]
fn an_element_is_out_of_its_pool_without_a_registrar_too() {
    let (mut script, home, element, _) = Script::ready();
    script.machine.set_ready(script.now, element, false).unwrap();
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(60));
    let error = RegisterError::NoRegistrar;
    assert!(script.events().contains(&Event::Withdrawn { element, error: Some(error.clone()) }));
    script.pass(Duration::from_secs(60));
    let failed = Event::RegistrationFailed { element, error };
    assert!(!script.events().contains(&failed));
    script.machine.set_ready(script.now, element, true).unwrap();
    script.pass(Duration::from_secs(60));
    assert!(script.events().contains(&failed), "it tries");
}

// Whoever says that it is ready hears what comes of it, however often it was told before that no registrar answers.
#[test]
fn an_element_that_is_said_to_be_ready_hears_how_that_ends() {
    let (mut script, home, element, _) = Script::ready();
    let failed = Event::RegistrationFailed { element, error: RegisterError::NoRegistrar };
    script.down(home, DownReason::Unreachable);
    for _ in 0..3 {
        script.machine.set_ready(script.now, element, true).unwrap();
        script.pass(Duration::from_secs(1000));
        assert_eq!(script.events().iter().filter(|event| **event == failed).count(), 1);
    }
}

// A registrar that did not answer may list it: that is asked for, and said, again.
#[test]
fn an_element_that_nobody_has_taken_out_is_not_said_to_be_out() {
    let (mut script, home, element, _) = Script::ready();
    script.down(home, DownReason::Unreachable);
    let error = Some(RegisterError::NoRegistrar);
    for _ in 0..2 {
        script.machine.set_ready(script.now, element, false).unwrap();
        script.pass(Duration::from_secs(60));
        assert!(script.events().contains(&Event::Withdrawn { element, error: error.clone() }));
    }
    script.machine.deregister(script.now, element).unwrap();
    assert!(!script.events().contains(&Event::Deregistered { element, error: None }));
    script.pass(Duration::from_secs(60));
    assert!(script.events().contains(&Event::Deregistered { element, error }));
}

// What the peer still sends is thrown away, so nothing stops reading it any more.
#[test]
fn a_session_that_is_closing_is_read() {
    let (mut script, _, _, session) = Script::ready();
    script.machine.close(script.now, session);
    assert_eq!(script.out(), [Out::Shutdown(USER)]);
    script.machine.read(script.now, session, false);
    assert_eq!(script.out(), []);
}
