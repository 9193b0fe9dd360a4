//! Keep-alives and the change of the home (RFC 5352 §3.4).

use super::*;

fn keep_alive(home: bool, registrar: u32, id: Option<u32>) -> asap::EndpointKeepAlive {
    let id = id.map(PeIdentifier);
    asap::EndpointKeepAlive { home, registrar: RegistrarId(registrar), handle: pool(), id }
}

fn ack(id: u32) -> asap::Message {
    asap::EndpointKeepAliveAck { handle: pool(), id: PeIdentifier(id) }.into()
}

// ASAP-2.2.7-03, ASAP-3.4-02, -04 to -07: acknowledged with handle and identifier; the home has told its name.
#[test]
fn the_home_asks() {
    let (mut script, home) = Script::registered();
    script.asap(home, keep_alive(false, 7, None));
    assert_eq!(script.out(), [Out::Asap(home, ack(0x11))]);
    assert_eq!(script.events(), [Event::HomeChanged { home: RegistrarId(7) }]);
    script.asap(home, keep_alive(false, 7, None));
    assert_eq!(script.out(), [Out::Asap(home, ack(0x11))]);
    assert_eq!(script.events(), []);
}

// ASAP-3.4-03, A-36: somebody else's handle: silence, even with H=1.
#[test]
fn a_wrong_handle_is_discarded() {
    let (mut script, home) = Script::registered();
    let handle = PoolHandle::from("other");
    script.asap(home, asap::EndpointKeepAlive { home: true, registrar: RegistrarId(7), handle, id: None });
    assert_eq!(script.out(), []);
    assert_eq!(script.events(), []);
    assert_eq!(script.machine.counters().unexpected, 1);
}

// without an identifier every element of that pool answers, with one only that one.
#[test]
fn several_elements_of_one_pool() {
    let (mut script, home) = Script::registered();
    script
        .machine
        .register(script.now, Registration { id: Some(PeIdentifier(0x22)), ..registration() })
        .unwrap();
    script.out();
    script.asap(home, keep_alive(false, 7, None));
    assert_eq!(script.out(), [Out::Asap(home, ack(0x11)), Out::Asap(home, ack(0x22))]);
    script.asap(home, keep_alive(false, 7, Some(0x22)));
    assert_eq!(script.out(), [Out::Asap(home, ack(0x22))]);
    script.asap(home, keep_alive(false, 7, Some(0x33)));
    assert_eq!(script.out(), []);
}

// ASAP-3.4-11, ASAP-3.4-07: another registrar only asks: the answer goes there, the home stays.
#[test]
fn another_registrar_asks() {
    let (mut script, _home) = Script::registered();
    let other = AssocId::accepted(Channel::Asap, 1);
    script.up(other, registrar(9));
    script.asap(other, keep_alive(false, 9, None));
    assert_eq!(script.out(), [Out::Asap(other, ack(0x11))]);
    assert_eq!(script.events(), []);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.events(), [], "and is no session");
}

// ASAP-3.4-08, ASAP-3.4-09, ASAP-3.4-12, ASAP-2.2.7-02: H=1 from another registrar: first the ACK there, then the old
// association is closed, and the element registers with its new home, twice.
#[test]
fn another_registrar_takes_over() {
    let (mut script, home) = Script::registered();
    let other = AssocId::accepted(Channel::Asap, 1);
    script.up(other, registrar(9));
    script.asap(other, keep_alive(true, 9, None));
    let out = script.out();
    assert!(out.contains(&Out::Asap(other, ack(0x11))) && out.contains(&Out::Shutdown(home)), "{out:?}");
    assert_eq!(out.len(), 2);
    assert_eq!(
        script.events(),
        [
            Event::RegistrarConnected { remote: vec![registrar(9)] },
            Event::HomeChanged { home: RegistrarId(9) },
        ]
    );
    script.down(home, DownReason::Shutdown);
    assert_eq!(script.out(), [], "no hunt");
    script.pass(ms(50));
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(assoc, asap::Message::Registration(_))] if *assoc == other));
    script.grant(other);
    script.pass(ms(999));
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(assoc, asap::Message::Registration(_))] if *assoc == other));
    script.grant(other);
    script.pass(Duration::from_secs(200));
    assert_eq!(script.out(), []);
    assert_eq!(script.events(), []);
}

// ASAP-3.4-08: the home claims what it has from another registrar, late: the element tells it its own values again, for it does
// not know that the life of its registration is another one there.
#[test]
fn the_home_itself_takes_over() {
    let (mut script, home) = Script::registered();
    script.asap(home, keep_alive(true, 7, None));
    assert_eq!(script.out(), [Out::Asap(home, ack(0x11))]);
    assert_eq!(script.events(), [Event::HomeChanged { home: RegistrarId(7) }]);
    script.pass(ms(50));
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(assoc, asap::Message::Registration(_))] if *assoc == home));
    script.grant(home);
    script.asap(home, keep_alive(false, 7, None));
    assert_eq!(script.out(), [Out::Asap(home, ack(0x11))]);
    script.pass(Duration::from_secs(5));
    assert_eq!(script.out(), [], "once for each claim");
}

// ASAP-3.4-08: the home died before; the one that takes over ends the hunt.
#[test]
fn a_takeover_ends_the_hunt() {
    let (mut script, home) = Script::registered();
    script.down(home, DownReason::Unreachable);
    let attempt = script.expect_connect();
    let other = AssocId::accepted(Channel::Asap, 1);
    script.up(other, registrar(9));
    script.asap(other, keep_alive(true, 9, None));
    assert_eq!(script.out(), [Out::Asap(other, ack(0x11))]);
    script.up(attempt, registrar(1));
    assert_eq!(script.out(), [Out::Shutdown(attempt)]);
}

// a plain pool user ignores keep-alives.
#[test]
fn a_plain_pool_user_ignores_keep_alives() {
    let (mut script, _, home, _) = Script::connected(1);
    script.asap(home, keep_alive(true, 7, None));
    assert_eq!(script.out(), []);
    assert_eq!(script.events(), []);
}

// With `cookie_wait` zero an association counts as a session at once; a keep-alive shows the mistake.
#[test]
fn a_registrar_that_was_taken_for_a_session() {
    let mut config = config(1);
    config.timers.cookie_wait = Duration::ZERO;
    let mut script = Script::new(config);
    script.machine.register(script.now, registration()).unwrap();
    let attempt = script.expect_connect();
    let other = AssocId::accepted(Channel::Asap, 1);
    script.up(other, registrar(9));
    assert!(matches!(script.events().as_slice(), [Event::SessionAccepted { .. }]));
    script.asap(other, keep_alive(true, 9, None));
    let events = script.events();
    assert!(
        matches!(events.as_slice(), [Event::Closed { .. }, Event::RegistrarConnected { .. }, ..]),
        "{events:?}"
    );
    let out = script.out();
    let [Out::Asap(_, acknowledged), Out::Asap(_, asap::Message::Registration(registration))] =
        out.as_slice()
    else {
        panic!("{out:?}")
    };
    assert_eq!(acknowledged, &ack(0x11));
    let Transport::Sctp(sctp) = &registration.element.user_transport else { panic!("{registration:?}") };
    assert_eq!(sctp.addresses, [IpAddr::from([10, 0, 0, 99])]);
    script.up(attempt, registrar(1));
    assert_eq!(script.out(), [Out::Shutdown(attempt)]);
}

// Design D11: whoever claims to be a registrar takes room, too.
#[test]
fn associations_of_registrars_are_limited() {
    let mut config = config(1);
    (config.limits.sessions, config.limits.pending_associations) = (4, 4);
    let mut script = Script::new(config);
    script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant(home);
    for n in 0..20 {
        let assoc = AssocId::accepted(Channel::Asap, n);
        script.up(assoc, SocketAddr::from(([198, 51, 100, 1], 1000 + u16::try_from(n).unwrap())));
        script.asap(assoc, keep_alive(false, 9, None));
    }
    let out = script.out();
    assert!(out.iter().filter(|out| matches!(out, Out::Asap(assoc, _) if *assoc != home)).count() <= 8);
    assert!(script.machine.counters().refused_associations >= 12);
}
