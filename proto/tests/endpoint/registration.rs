//! Registration and de-registration (RFC 5352 §3.1, §3.2).

use super::*;
use rserpool_proto::endpoint::{CommandError, RegisterError, ResolveOptions};
use rserpool_proto::profile::Compat::{Rfc, Rsplib};

fn registration_message(policy: Policy) -> asap::Message {
    asap::Registration {
        handle: pool(),
        element: PoolElement {
            id: PeIdentifier(0x11),
            home: RegistrarId::NONE,
            life: RegistrationLife(300),
            user_transport: Transport::Sctp(SctpTransport {
                port: 7000,
                transport_use: TransportUse::DATA_AND_CONTROL,
                addresses: vec![IpAddr::from([10, 0, 0, 99])],
            }),
            policy,
            asap_transport: None,
        },
    }
    .into()
}

fn deregistration() -> asap::Message {
    asap::Deregistration { handle: pool(), id: PeIdentifier(0x11) }.into()
}

// ASAP-3.1-01, -03, -05, -06, -08, -10, -12, -13, -15, -18, -19, ASAP-6.1-02: hunt, then a registration with the
// association's own addresses and our listening port, the life in seconds, no ASAP transport.
#[test]
fn an_element_registers_with_its_own_endpoint() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    assert_eq!(script.out(), [Out::Asap(home, registration_message(Policy::RoundRobin))]);
    script.grant(home);
    assert_eq!(
        script.events(),
        [
            Event::RegistrarConnected { remote: vec![registrar(1)] },
            Event::Registered { element, id: PeIdentifier(0x11), home: None, warning: None },
        ]
    );
    script.pass(Duration::from_secs(10));
    assert_eq!(script.out(), [], "T2 has stopped");
}

// ASAP-3.1-07: random identifiers, never zero, never twice.
#[test]
fn identifiers_are_random() {
    let mut script = Script::new(config(0));
    for _ in 0..1000 {
        script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
    }
}

// ASAP-3.1-24, ASAP-3.1-25, ASAP-3.1-23, ASAP-3.1-09, ASAP-7.1-04: T4 is life - 20 s, at most a tenth earlier.
#[test]
fn an_element_registers_again_before_its_life_ends() {
    let (mut script, home) = Script::registered();
    for _ in 0..3 {
        let (after, out) = script.pass_until_out();
        assert!((252..=280).contains(&after.as_secs()), "{after:?}");
        assert_eq!(out, [Out::Asap(home, registration_message(Policy::RoundRobin))]);
        script.grant(home);
        assert_eq!(script.events(), [], "nothing new to tell");
    }
}

// ASAP-3.1-09: the shortest life, too, is renewed before it ends.
#[test]
fn the_shortest_life_is_renewed_in_time() {
    let mut script = Script::new(config(1));
    let life = Some(Duration::from_secs(1));
    script.machine.register(script.now, Registration { life, ..registration() }).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.out();
    script.pass(ms(600));
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(_, asap::Message::Registration(_))]), "{out:?}");
}

// never-ending life is -1; rsplib's unit is milliseconds.
#[test]
fn registration_life_on_the_wire() {
    for (life, compat, expected) in
        [(None, Rfc, -1), (Some(90), Rfc, 90), (Some(90), Rsplib, 90_000), (None, Rsplib, -1)]
    {
        let mut script = Script::new(Config { compat, ..config(1) });
        let life = life.map(Duration::from_secs);
        script.machine.register(script.now, Registration { life, ..registration() }).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        let out = script.out();
        let [Out::Asap(_, asap::Message::Registration(registration))] = out.as_slice() else {
            panic!("{out:?}")
        };
        assert_eq!(registration.element.life, RegistrationLife(expected));
    }
}

// ASAP-3.1-14, ASAP-3.1-16, ASAP-3.1-17: no answer within T2: hunt; the registration goes to the new home.
// ASAP-3.7.3-01, ASAP-6.1-05
#[test]
fn t2_expires() {
    let mut script = Script::new(config(2));
    script.machine.register(script.now, registration()).unwrap();
    let out = script.out();
    let [Out::Connect(first, ..), Out::Connect(second, _, remote)] = out.as_slice() else {
        panic!("{out:?}")
    };
    script.up(*first, registrar(1));
    script.down(*second, DownReason::ConnectFailed("refused".into()));
    script.out();
    script.pass(ms(499));
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    let out = script.out();
    let Some(Out::Connect(other, ..)) = out.iter().find(|out| matches!(out, Out::Connect(..))) else {
        panic!("{out:?}")
    };
    script.up(*other, *remote);
    let out = script.out();
    assert!(out.contains(&Out::Asap(*other, registration_message(Policy::RoundRobin))), "{out:?}");
    assert!(out.contains(&Out::Shutdown(*first)), "{out:?}");
}

// ASAP-3.1-27, A-29: the application hears in time that nobody answers, however often the home changes meanwhile.
#[test]
fn a_registration_ends_in_time_however_often_the_home_changes() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    let first = script.expect_connect();
    script.up(first, registrar(1));
    let begin = script.now;
    for n in 1..4 {
        script.pass(ms(400));
        let assoc = AssocId::accepted(Channel::Asap, n);
        script.up(assoc, registrar(10 + n as u8));
        let keep_alive = asap::EndpointKeepAlive {
            home: true,
            registrar: RegistrarId(n as u32),
            handle: pool(),
            id: None,
        };
        script.asap(assoc, keep_alive);
        let out = script.out();
        let again = Out::Asap(assoc, registration_message(Policy::RoundRobin));
        assert!(out.contains(&again), "{out:?}");
    }
    script.pass(ms(1499) - script.now.since(begin));
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed { .. });
    assert!(!script.events().iter().any(failed));
    script.pass(ms(1));
    let error = RegisterError::NoRegistrar;
    assert!(script.events().contains(&Event::RegistrationFailed { element, error }));
    script.pass(Duration::from_secs(60));
    assert!(!script.events().iter().any(failed), "once");
}

// ASAP-3.1-27, A-29: also a host that was not scheduled in time, and finds a new home before it looks at T2, tells at once that
// the time is over (seed 30004956 of the simulation: each new home put T2 off, again and again).
#[test]
fn a_registration_whose_time_is_over_ends_at_once_at_a_new_home() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.pass(ms(1499));
    script.events();
    script.now += ms(1);
    let assoc = AssocId::accepted(Channel::Asap, 1);
    script.up(assoc, registrar(2));
    script.asap(
        assoc,
        asap::EndpointKeepAlive { home: true, registrar: RegistrarId(2), handle: pool(), id: None },
    );
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed { .. });
    let told: Vec<_> = script.events().into_iter().filter(failed).collect();
    assert_eq!(told, [Event::RegistrationFailed { element, error: RegisterError::NoRegistrar }]);
    assert!(script.out().contains(&Out::Asap(assoc, registration_message(Policy::RoundRobin))));
    script.pass(Duration::from_secs(60));
    assert!(!script.events().iter().any(failed), "once");
}

// ASAP-3.1-20, ASAP-3.1-21: a rejection is told at once and not repeated; a change of the policy corrects it.
#[test]
fn a_rejection_is_final_until_something_changes() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.out();
    script.events();
    let error = cause(CauseCode::INCONSISTENT_POLICY);
    let (handle, id) = (pool(), PeIdentifier(0x11));
    script.asap(home, asap::RegistrationResponse { rejected: true, handle, id, error: Some(error.clone()) });
    let error = RegisterError::Rejected(error);
    assert_eq!(script.events(), [Event::RegistrationFailed { element, error }]);
    script.pass(Duration::from_secs(3600));
    assert_eq!(script.out(), []);
    script.machine.set_policy(script.now, element, Policy::Random).unwrap();
    assert_eq!(script.out(), [Out::Asap(home, registration_message(Policy::Random))]);
    script.grant(home);
    assert!(matches!(script.events().as_slice(), [Event::Registered { .. }]));
}

// ASAP-3.1-20: an element whose change is refused stays what it was. Its registrar lists it all the time.
#[test]
fn a_refused_change_of_the_policy_is_taken_back() {
    let mut script = Script::new(config(1));
    let former = registration().policy;
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.out();
    script.machine.set_policy(script.now, element, Policy::Random).unwrap();
    assert_eq!(script.out(), [Out::Asap(home, registration_message(Policy::Random))]);
    let error = cause(CauseCode::INCONSISTENT_POLICY);
    let (handle, id) = (pool(), PeIdentifier(0x11));
    let refusal = asap::RegistrationResponse { rejected: true, handle, id, error: Some(error.clone()) };
    script.asap(home, refusal.clone());
    let error = RegisterError::Rejected(error);
    assert!(script.events().contains(&Event::RegistrationFailed { element, error }));
    assert_eq!(script.out(), [Out::Asap(home, registration_message(former.clone()))]);
    script.grant(home);
    let registered = |event: &Event| matches!(event, Event::Registered { element: it, .. } if *it == element);
    assert!(script.events().iter().any(registered), "as it was before (seed 51000141 of the simulation)");
    // It may be refused that as well. It is still listed, and leaves in order.
    script.machine.set_policy(script.now, element, Policy::Random).unwrap();
    script.asap(home, refusal.clone());
    script.out();
    script.asap(home, refusal);
    assert_eq!(script.out(), []);
    script.machine.deregister(script.now, element).unwrap();
    assert!(matches!(&script.out()[..], [Out::Asap(to, asap::Message::Deregistration(_))] if *to == home));
}

// Design D11: an element that had a home, and whose new one is full, is told so, asks again, ever more rarely, and comes
// back as soon as there is room; at another home at once.
#[test]
fn an_element_without_room_asks_again() {
    let (mut script, home) = Script::registered();
    let full = || asap::RegistrationResponse {
        rejected: true,
        handle: pool(),
        id: PeIdentifier(0x11),
        error: Some(cause(CauseCode::LACK_OF_RESOURCES)),
    };
    let asked = |script: &mut Script, home| {
        let out = script.out();
        out.contains(&Out::Asap(home, registration_message(Policy::RoundRobin)))
    };
    script.down(home, DownReason::Unreachable);
    let mut home = script.expect_connect();
    script.up(home, registrar(1));
    script.pass(ms(50));
    assert!(asked(&mut script, home));
    for pause in [500, 1000, 2000, 2000] {
        script.events();
        script.asap(home, full());
        assert!(matches!(script.events()[..], [Event::RegistrationFailed { .. }]));
        script.pass(ms(pause - 1));
        assert_eq!(script.out(), [], "before {pause} ms");
        script.pass(ms(1));
        assert!(asked(&mut script, home), "after {pause} ms");
    }
    script.asap(home, full());
    script.down(home, DownReason::Unreachable);
    home = script.expect_connect();
    script.up(home, registrar(1));
    script.pass(ms(50));
    assert!(asked(&mut script, home), "a new home is asked at once");
    script.events();
    script.grant(home);
    assert!(matches!(script.events()[..], [Event::Registered { .. }]));
}

// the random identifier is taken: another one. A chosen one is reported.
#[test]
fn a_taken_identifier() {
    for (id, goes_on) in [(None, true), (Some(PeIdentifier(0x11)), false)] {
        let mut script = Script::new(config(1));
        script.machine.register(script.now, Registration { id, ..registration() }).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        let out = script.out();
        let [Out::Asap(_, asap::Message::Registration(first))] = out.as_slice() else { panic!("{out:?}") };
        script.events();
        let (handle, id) = (pool(), first.element.id);
        let error = Some(cause(CauseCode::NON_UNIQUE_PE_IDENTIFIER));
        script.asap(home, asap::RegistrationResponse { rejected: true, handle, id, error });
        match (script.out().as_slice(), script.events().as_slice()) {
            ([Out::Asap(_, asap::Message::Registration(second))], []) if goes_on => {
                assert_ne!(second.element.id, id);
            }
            ([], [Event::RegistrationFailed { .. }]) if !goes_on => {}
            other => panic!("{other:?}"),
        }
    }
}

// ASAP-2.2.3-04: granted with a warning: registered, and the warning is told.
#[test]
fn a_warning_is_told() {
    let (mut script, home) = Script::registered();
    script.pass_until_out();
    let warning = Some(cause(CauseCode::INVALID_VALUES));
    let (handle, id) = (pool(), PeIdentifier(0x11));
    script.asap(home, asap::RegistrationResponse { rejected: false, handle, id, error: warning.clone() });
    let events = script.events();
    assert!(
        matches!(events.as_slice(), [Event::Registered { warning: told, .. }] if *told == warning),
        "{events:?}"
    );
}

// ASAP-3.1-22, ASAP-6.5.2-03, A-48: a change while a registration is outstanding waits for its answer.
#[test]
fn one_registration_at_a_time() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.out();
    script.machine.set_policy(script.now, element, Policy::Random).unwrap();
    assert_eq!(script.out(), []);
    script.grant(home);
    assert_eq!(script.out(), [Out::Asap(home, registration_message(Policy::Random))]);
    script.grant(home);
    script.grant(home);
    assert_eq!(script.out(), []);
    assert_eq!(script.machine.counters().unexpected, 1, "nobody waits for the last one (A-48)");
}

// ASAP-2.2.4-04, ASAP-3.2-02, A-48: an answer without a question says that the life is over: register again.
#[test]
fn an_expired_registration_is_renewed() {
    let (mut script, home) = Script::registered();
    script.asap(home, asap::DeregistrationResponse { handle: pool(), id: PeIdentifier(0x11), error: None });
    assert!(matches!(script.events().as_slice(), [Event::Expired { .. }]));
    assert_eq!(script.out(), [Out::Asap(home, registration_message(Policy::RoundRobin))]);
    script.grant(home);
    assert!(matches!(script.events().as_slice(), [Event::Registered { .. }]));
}

// ASAP-3.1-26: the home is lost and found: registered again there within a tenth of T2, nothing to tell but that.
#[test]
fn a_new_home_gets_the_registration() {
    let (mut script, home) = Script::registered();
    script.down(home, DownReason::Unreachable);
    let attempt = script.expect_connect();
    script.up(attempt, registrar(1));
    script.pass(ms(50));
    assert_eq!(script.out(), [Out::Asap(attempt, registration_message(Policy::RoundRobin))]);
    script.grant(attempt);
    assert_eq!(
        script.events(),
        [Event::RegistrarLost, Event::RegistrarConnected { remote: vec![registrar(1)] }]
    );
}

// RFC 9260 §5.2: the registrar restarted and knows nothing: register again.
#[test]
fn a_restarted_registrar_gets_the_registration() {
    let (mut script, home) = Script::registered();
    script.input(Input::Restart { assoc: home });
    script.pass(ms(50));
    assert_eq!(script.out(), [Out::Asap(home, registration_message(Policy::RoundRobin))]);
}

// ASAP-3.2-03 to ASAP-3.2-07, ASAP-3.2-10, ASAP-2.2.2-02: deregistration with the same handle and identifier.
#[test]
fn an_element_deregisters() {
    let (mut script, home) = Script::registered();
    let element = script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
    script.out();
    script.machine.deregister(script.now, element).unwrap();
    let out = script.out();
    let [Out::Asap(assoc, asap::Message::Deregistration(request))] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!(*assoc, home);
    let (handle, id) = (request.handle.clone(), request.id);
    script.asap(home, asap::DeregistrationResponse { handle, id, error: None });
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);
    assert_eq!(script.machine.deregister(script.now, element), Err(CommandError::Unknown));
    script.pass(Duration::from_secs(2));
    assert_eq!(script.out(), [], "T3 has stopped");
}

// ASAP-3.2-08, ASAP-3.2-09, A-32: no answer: again, and elsewhere; given up after a bounded time.
#[test]
fn t3_expires() {
    let (mut script, home) = Script::registered();
    let id = script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
    script.out();
    script.machine.deregister(script.now, id).unwrap();
    script.out();
    script.pass(ms(500));
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(_, asap::Message::Deregistration(_))]), "{out:?}");
    script.down(home, DownReason::Unreachable);
    let attempt = script.expect_connect();
    script.up(attempt, registrar(1));
    let out = script.out();
    assert!(
        matches!(out.as_slice(), [Out::Asap(assoc, asap::Message::Deregistration(_))] if *assoc == attempt)
    );
    script.events();
    script.pass(ms(1000));
    let error = Some(RegisterError::NoRegistrar);
    assert_eq!(script.events(), [Event::Deregistered { element: id, error }]);
}

// ASAP-2.2.4-01, ASAP-3.2-17: a refused deregistration is told.
#[test]
fn a_refused_deregistration() {
    let (mut script, home) = Script::registered();
    let element =
        script.machine.register(script.now, Registration { id: Some(PeIdentifier(5)), ..registration() });
    let element = element.unwrap();
    script.machine.deregister(script.now, element).unwrap();
    let error = cause(CauseCode::SECURITY);
    let (handle, id) = (pool(), PeIdentifier(5));
    script.asap(home, asap::DeregistrationResponse { handle, id, error: Some(error.clone()) });
    let error = Some(RegisterError::Rejected(error));
    assert_eq!(script.events(), [Event::Deregistered { element, error }]);
}

// What no registration can carry is refused by the command, not on the wire.
#[test]
fn impossible_registrations_are_refused() {
    let mut script = Script::new(config(1));
    let mut refused = |registration: Registration| {
        assert!(matches!(script.machine.register(Time::ZERO, registration), Err(CommandError::Invalid(_))));
    };
    refused(Registration { handle: PoolHandle::from(""), ..registration() });
    refused(Registration { handle: PoolHandle::new(vec![b'x'; 65_000]), ..registration() });
    refused(Registration { life: Some(ms(999)), ..registration() });
    refused(Registration { id: Some(PeIdentifier(0)), ..registration() });
    let nowhere = params::TcpTransport { port: 80, address: IpAddr::from([0, 0, 0, 0]) };
    refused(Registration { transport: ElementTransport::Other(Transport::Tcp(nowhere)), ..registration() });
    assert_eq!(script.out(), []);
}

// Design D11: one more than the limit is a clear error.
#[test]
fn elements_are_limited() {
    let mut config = config(1);
    config.limits.elements = 1;
    let mut script = Script::new(config);
    script.machine.register(script.now, registration()).unwrap();
    let another = Registration { id: None, ..registration() };
    assert_eq!(script.machine.register(script.now, another), Err(CommandError::Limit("elements")));
}

// ASAP-6.2-01: a shutdown deregisters, then leaves the registrar.
// ASAP-3.2-01
#[test]
fn shutdown_deregisters_and_leaves() {
    let (mut script, home) = Script::registered();
    script.machine.shutdown(script.now);
    assert_eq!(script.out(), [Out::Asap(home, deregistration())]);
    assert_eq!(script.machine.register(script.now, registration()), Err(CommandError::ShuttingDown));
    script.asap(home, asap::DeregistrationResponse { handle: pool(), id: PeIdentifier(0x11), error: None });
    assert_eq!(script.out(), [Out::Shutdown(home)]);
    assert!(matches!(script.events().as_slice(), [Event::Deregistered { error: None, .. }]));
    assert!(!script.machine.is_drained());
    script.down(home, DownReason::Shutdown);
    assert!(script.machine.is_drained());
    assert_eq!(script.out(), [], "no hunt any more");
    assert_eq!(script.machine.poll_timeout(), None);
}

// A pool handle of more than 32 bytes ends rsplib's process: it is never sent where rsplib takes part.
#[test]
fn pool_handles_are_short_enough_for_rsplib() {
    for (compat, longest) in [(Rfc, 60_000), (Rsplib, 32)] {
        let mut script = Script::new(Config { compat, ..config(1) });
        let now = script.now;
        for (length, taken) in [(longest, true), (longest + 1, false)] {
            let handle = PoolHandle::new(vec![b'x'; length]);
            let machine = &mut script.machine;
            let registered = machine.register(now, Registration { handle: handle.clone(), ..registration() });
            let resolved = machine.resolve(now, handle.clone(), ResolveOptions::default());
            let connected = machine.connect(now, handle, SessionOptions::default());
            let all = [registered.is_ok(), resolved.is_ok(), connected.is_ok()];
            assert_eq!(all, [taken; 3], "{compat:?} {length}");
        }
    }
}

/// An element whose load is registered: its home and itself.
fn loaded() -> (Script, AssocId, rserpool_proto::endpoint::ElementId) {
    let mut script = Script::new(config(1));
    let policy = Policy::LeastUsed { load: Load(0) };
    let element = script.machine.register(script.now, Registration { policy, ..registration() }).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.out();
    (script, home, element)
}

/// The loads that were registered.
fn loads(out: &[Out]) -> Vec<u32> {
    let load = |out: &Out| match out {
        Out::Asap(_, asap::Message::Registration(registration)) => registration.element.policy.load(),
        _ => None,
    };
    out.iter().filter_map(load).map(|Load(load)| load).collect()
}

// RFC 5356 §5.1: what differs enough is registered, not more often than once a second, and then the latest value;
// what is back by then was nothing.
#[test]
fn loads_are_registered_with_hysteresis_and_not_too_often() {
    let (mut script, home, element) = loaded();
    let one = u32::MAX / 100;
    let set = |script: &mut Script, percent: u32| {
        script.machine.set_load(script.now, element, Load(percent * one)).unwrap();
    };
    script.pass(Duration::from_secs(10));
    set(&mut script, 4);
    assert_eq!(loads(&script.out()), [], "too little");
    set(&mut script, 50);
    assert_eq!(loads(&script.out()), [50 * one]);
    script.grant(home);
    for percent in [60, 70, 80] {
        script.pass(ms(100));
        set(&mut script, percent);
    }
    assert_eq!(loads(&script.out()), []);
    script.pass(ms(699));
    assert_eq!(loads(&script.out()), []);
    script.pass(ms(1));
    assert_eq!(loads(&script.out()), [80 * one]);
    script.grant(home);
    for percent in [0, 79] {
        script.pass(ms(100));
        set(&mut script, percent);
    }
    script.pass(Duration::from_secs(5));
    assert_eq!(loads(&script.out()), []);
}

// The answer to one is outstanding: the next follows it.
#[test]
fn a_load_update_waits_for_the_answer() {
    let (mut script, home, element) = loaded();
    script.pass(Duration::from_secs(2));
    script.machine.set_load(script.now, element, Load::of(1, 2)).unwrap();
    script.out();
    script.machine.set_load(script.now, element, Load::of(1, 1)).unwrap();
    script.pass(ms(499));
    assert_eq!(loads(&script.out()), []);
    script.grant(home);
    script.pass(ms(501));
    assert_eq!(loads(&script.out()), [u32::MAX]);
}

#[test]
fn a_load_is_for_policies_that_go_by_it() {
    let (mut script, _) = Script::registered();
    let element = script.machine.register(script.now, Registration { id: None, ..registration() }).unwrap();
    assert!(matches!(script.machine.set_load(script.now, element, Load(1)), Err(CommandError::Invalid(_))));
}

// RFC 5352 §3.1: a rejected element is not registered again before the application changes something; a load is no such change.
// It goes with the registration that follows.
#[test]
fn a_load_does_not_revive_a_rejected_element() {
    let (mut script, home, element) = loaded();
    // A change of load waits for its time while the registrar rejects the element.
    let reject = |script: &mut Script| {
        let id = PeIdentifier(0x11);
        let error = Some(cause(CauseCode::INVALID_VALUES));
        script.asap(home, asap::RegistrationResponse { rejected: true, handle: pool(), id, error });
    };
    script.pass(Duration::from_secs(2));
    script.machine.set_policy(script.now, element, Policy::LeastUsed { load: Load(0) }).unwrap();
    script.machine.set_load(script.now, element, Load::of(1, 2)).unwrap();
    script.out();
    reject(&mut script);
    script.out();
    reject(&mut script);
    script.out();
    script.machine.set_load(script.now, element, Load::of(3, 4)).unwrap();
    assert_eq!(script.out(), []);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.out(), []);
    let policy = Policy::LeastUsed { load: Load::of(1, 4) };
    script.machine.set_policy(script.now, element, policy).unwrap();
    assert_eq!(loads(&script.out()), [Load::of(1, 4).0]);
}

// ASAP-3.1-16, RFC 5352 §3.7.1: what becomes of one registration is one failure, however many events tell of it: messages that were
// not sent, of whatever, and then the end of the association.
#[test]
fn a_failed_registration_is_counted_once() {
    let mut script = Script::new(config(1));
    let home = {
        script.machine.register(script.now, registration()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        home
    };
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    script.out();
    script.events();
    for _ in 0..4 {
        script.input(Input::SendFailed {
            assoc: home,
            bytes: Bytes::from_static(b"x"),
            why: "shutting down",
        });
    }
    script.down(home, DownReason::Shutdown);
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed { .. });
    assert!(!script.events().iter().any(failed), "T2 has not expired once");
}

// ASAP-3.6-09: a host that is not scheduled in time finds one home after the other before it looks at its timers: the
// registration that is due at the first one is sent all the same.
#[test]
fn homes_in_a_row_do_not_put_off_a_registration() {
    let mut script = Script::new(config(1));
    script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    script.out();
    let mut sent = 0;
    for n in 1..=3 {
        script.now += ms(100);
        let assoc = AssocId::accepted(Channel::Asap, n);
        script.up(assoc, registrar(10 + n as u8));
        let keep_alive = asap::EndpointKeepAlive {
            home: true,
            registrar: RegistrarId(n as u32),
            handle: pool(),
            id: None,
        };
        script.asap(assoc, keep_alive);
        script.machine.handle_timeout(script.now);
        let again = Out::Asap(assoc, registration_message(Policy::RoundRobin));
        sent += script.out().into_iter().filter(|out| *out == again).count();
    }
    assert!(sent > 0);
}
