//! Which messages a pool user and an element handle, and where their requests go (RFC 5352 §1.1, §3.3, §4).

use super::*;
use rserpool_proto::endpoint::ResolveOptions;

const FRESH: ResolveOptions = ResolveOptions::new().uncached(true);

impl Script {
    /// The ASAP messages that are transmitted, all to this association.
    fn only_to(&mut self, assoc: AssocId) -> Vec<asap::Message> {
        let message = |out| match out {
            Out::Asap(to, message) if to == assoc => message,
            other => panic!("{other:?}"),
        };
        self.out().into_iter().map(message).collect()
    }
}

// ASAP-1.1-04, ENRP-1.1-03: a pool user takes one registrar, and asks it everything, as long as it is there.
#[test]
fn a_pool_user_has_one_registrar() {
    let mut script = Script::new(config(3));
    script.machine.resolve(script.now, pool(), FRESH).unwrap();
    let attempts: Vec<_> = script.out();
    let [Out::Connect(first, ..), Out::Connect(home, _, remote), Out::Connect(third, ..)] = attempts[..]
    else {
        panic!("{attempts:?}")
    };
    script.up(home, remote);
    script.down(first, DownReason::ConnectFailed("refused".into()));
    script.down(third, DownReason::ConnectFailed("refused".into()));
    assert_eq!(script.only_to(home), [resolution_request("pool")]);
    script.answer(home, [1, 2]);
    for name in ["one", "two", "three"] {
        script.machine.resolve(script.now, name.into(), FRESH).unwrap();
        assert_eq!(script.only_to(home), [resolution_request(name)]);
    }
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    assert_eq!(script.only_to(home), [resolution_request("pool")]);
    script.answer(home, [1]);
    assert_eq!(script.only_to(home), [unreachable(1)]);
}

// ASAP-3.3-03, ASAP-3.3-04, ASAP-3.3-05, ASAP-3.5-03: an element asks and reports over the SCTP association that it
// registered with; a pool user in the same process too.
#[test]
fn an_element_asks_and_reports_where_it_registered() {
    let (mut script, home) = Script::registered();
    script.machine.resolve(script.now, pool(), FRESH).unwrap();
    assert_eq!(script.only_to(home), [resolution_request("pool")]);
    script.answer(home, [1]);
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    assert_eq!(script.only_to(home), [resolution_request("pool")]);
    script.answer(home, [1]);
    assert_eq!(script.only_to(home), [unreachable(1)]);
}

// ASAP-4-01: requests, their answers, and errors.
#[test]
fn a_pool_user_handles_what_it_must() {
    let mut script = Script::new(config(1));
    script.machine.resolve(script.now, pool(), FRESH).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    assert_eq!(script.only_to(home), [resolution_request("pool")]);
    script.events();
    script.asap(home, asap::Error { error: cause(CauseCode::UNSPECIFIED) });
    assert_eq!(script.events(), [], "an error answers nothing");
    script.answer(home, [1]);
    assert!(matches!(script.events()[..], [Event::Resolved { result: Ok(_), .. }]));
    let counters = script.machine.counters();
    assert_eq!((counters.errors_received, counters.unexpected, counters.undecodable), (1, 0, 0));
}

// ASAP-4-02: cookies and cards from its server, announcements from registrars.
#[test]
fn a_pool_user_handles_what_it_may() {
    let (mut script, _, _, assoc) = Script::connected(3);
    script.asap(assoc, asap::Cookie { cookie: Bytes::from_static(b"state") });
    script.asap(assoc, asap::BusinessCard { handle: pool(), elements: vec![element(3)] });
    script.hear_of_a_registrar();
    script.down(assoc, DownReason::Shutdown);
    let connect = script.out().into_iter().find_map(|out| match out {
        Out::Connect(assoc, Channel::Session, to) => Some((assoc, to)),
        _ => None,
    });
    let (next, to) = connect.unwrap();
    assert_eq!(to, server(3), "the card");
    script.up(next, to);
    let echo = asap::CookieEcho { cookie: Bytes::from_static(b"state") }.into();
    assert_eq!(script.out(), [Out::Asap(next, echo)]);
    let counters = script.machine.counters();
    assert_eq!((counters.announcements, counters.unexpected), (1, 0));
}

// ASAP-4-03: registration and deregistration with their answers, keep-alives, reports, errors.
#[test]
fn an_element_handles_what_it_must() {
    let mut script = Script::new(config(1));
    let element = script.machine.register(script.now, registration()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    assert!(matches!(script.only_to(home)[..], [asap::Message::Registration(_)]));
    script.events();
    script.grant(home);
    assert!(matches!(script.events()[..], [Event::Registered { .. }]));
    let registrar = RegistrarId(1);
    script.asap(home, asap::EndpointKeepAlive { home: false, registrar, handle: pool(), id: None });
    assert!(matches!(script.only_to(home)[..], [asap::Message::EndpointKeepAliveAck(_)]));
    script.machine.resolve(script.now, pool(), FRESH).unwrap();
    script.answer(home, [1]);
    script.out();
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    assert_eq!(script.only_to(home), [resolution_request("pool")]);
    script.answer(home, [1]);
    assert_eq!(script.only_to(home), [unreachable(1)]);
    script.asap(home, asap::Error { error: cause(CauseCode::UNSPECIFIED) });
    script.events();
    script.machine.deregister(script.now, element).unwrap();
    assert!(matches!(script.only_to(home)[..], [asap::Message::Deregistration(_)]));
    script.asap(home, asap::DeregistrationResponse { handle: pool(), id: PeIdentifier(0x11), error: None });
    assert_eq!(script.events(), [Event::Deregistered { element, error: None }]);
    let counters = script.machine.counters();
    assert_eq!((counters.errors_received, counters.unexpected, counters.undecodable), (1, 0, 0));
}

// ASAP-4-04, ASAP-4-05: its own cookies, those that others have set, the cards of pool users, announcements.
#[test]
fn an_element_handles_what_it_should() {
    let (mut script, home) = Script::registered();
    let user = AssocId::accepted(Channel::Asap, 1);
    script.up(user, SocketAddr::from(([198, 51, 100, 1], 5000)));
    script.asap(user, asap::CookieEcho { cookie: Bytes::from_static(b"state") });
    script.asap(user, asap::BusinessCard { handle: "peers".into(), elements: vec![element(3)] });
    let events = script.events();
    let [Event::SessionAccepted { session, cookie: Some(_), .. }, Event::CardReceived { .. }] = events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(script.only_to(home), [resolution_request("peers")]);
    script.machine.set_cookie(script.now, session, Bytes::from_static(b"later")).unwrap();
    assert!(matches!(script.only_to(user)[..], [asap::Message::Cookie(_)]));
    script.hear_of_a_registrar();
    let counters = script.machine.counters();
    assert_eq!((counters.announcements, counters.unexpected), (1, 0));
}

impl Script {
    /// Another registrar announces itself.
    fn hear_of_a_registrar(&mut self) {
        let announce = asap::ServerAnnounce { registrar: RegistrarId(9), transports: Vec::new() };
        let bytes = asap::Message::from(announce).encode().unwrap();
        self.input(Input::Announce { from: registrar(9), channel: Channel::Asap, bytes });
    }
}
