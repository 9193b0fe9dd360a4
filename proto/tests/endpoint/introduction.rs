//! Pool users that are elements as well introduce themselves with a business card (RFC 5352 §3.9).

use super::*;
use rserpool_proto::endpoint::{CloseReason, ElementId};
use rserpool_proto::profile::Compat;

const USER: AssocId = AssocId::accepted(Channel::Asap, 1);

fn own_pool() -> PoolHandle {
    PoolHandle::from("own")
}

/// The element of the process that is told of here, as it is registered.
fn own() -> PoolElement {
    let Transport::Sctp(sctp) = element(99).user_transport else { unreachable!() };
    PoolElement {
        id: PeIdentifier(0x11),
        home: RegistrarId::NONE,
        user_transport: Transport::Sctp(sctp),
        ..element(99)
    }
}

/// Its card, which names these before itself.
fn introduction(others: &[u8]) -> asap::Message {
    let elements = others.iter().copied().map(element).chain([own()]).collect();
    asap::BusinessCard { handle: own_pool(), elements }.into()
}

fn echo(cookie: &'static str) -> asap::Message {
    asap::CookieEcho { cookie: Bytes::from_static(cookie.as_bytes()) }.into()
}

impl Script {
    fn register_own(&mut self) -> ElementId {
        let registration = Registration { handle: own_pool(), ..registration() };
        self.machine.register(self.now, registration).unwrap()
    }

    fn grant_own(&mut self, home: AssocId) {
        let (handle, id) = (own_pool(), PeIdentifier(0x11));
        self.asap(home, asap::RegistrationResponse { rejected: false, handle, id, error: None });
    }

    fn answer_own(&mut self, home: AssocId, servers: impl IntoIterator<Item = u8>) {
        let elements = servers.into_iter().map(element).collect();
        let (handle, policy, error) = (own_pool(), Some(Policy::RoundRobin), None);
        self.asap(home, asap::HandleResolutionResponse { accepted: false, handle, policy, elements, error });
    }

    /// A session is to go to the first of the servers 1 and 2, which is not there yet.
    fn connecting(&mut self, home: AssocId) -> (SessionId, AssocId) {
        let session = self.machine.connect(self.now, pool(), SessionOptions::default()).unwrap();
        self.answer(home, [1, 2]);
        (session, session_connect(&self.out()))
    }
}

fn session_connect(out: &[Out]) -> AssocId {
    let connect = |out: &Out| match out {
        Out::Connect(assoc, Channel::Session, _) => Some(*assoc),
        _ => None,
    };
    out.iter().find_map(connect).unwrap()
}

/// A process with an element of its own pool.
fn combination(compat: Compat) -> (Script, AssocId, ElementId) {
    let mut script = Script::new(Config { compat, ..config(1) });
    let element = script.register_own();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant_own(home);
    script.out();
    script.events();
    (script, home, element)
}

// ASAP-2.2.13-02, ASAP-3.9-02, OVW-4-04: it says which pool it is of, before any data; to the next server behind the cookie.
#[test]
fn a_pool_user_that_is_an_element_introduces_itself() {
    let (mut script, home, _) = combination(Compat::Rfc);
    let (session, first) = script.connecting(home);
    script.send(session, 0, "one");
    assert_eq!(script.out(), []);
    script.up(first, server(1));
    let data = Out::Data(first, text_message("one"));
    assert_eq!(script.out(), [Out::Asap(first, introduction(&[])), data]);

    script.asap(first, asap::Cookie { cookie: Bytes::from_static(b"state") });
    script.down(first, DownReason::PeerAborted("crashed".into()));
    let second = session_connect(&script.out());
    script.up(second, server(2));
    assert_eq!(script.out(), [Out::Asap(second, echo("state")), Out::Asap(second, introduction(&[]))]);
}

// OVW-4-04, ASAP-3.9-04: its application prefers some elements: those that the registrar lists stand before itself; and when it
// prefers others the servers of its sessions are told.
#[test]
fn the_application_says_whom_it_prefers() {
    let (mut script, home, element) = combination(Compat::Rfc);
    let order = |ids: &[u32]| ids.iter().copied().map(PeIdentifier).collect::<Vec<_>>();
    script.machine.set_failover_order(script.now, element, order(&[3, 0x11, 9, 2])).unwrap();
    let (_, assoc) = script.connecting(home);
    script.up(assoc, server(1));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("own"))]);
    script.answer_own(home, 1..=4);
    assert_eq!(script.out(), [Out::Asap(assoc, introduction(&[3, 2]))]);
    script.machine.set_failover_order(script.now, element, order(&[4])).unwrap();
    assert_eq!(script.out(), [Out::Asap(assoc, introduction(&[4]))]);
    script.machine.set_failover_order(script.now, element, order(&[])).unwrap();
    assert_eq!(script.out(), [Out::Asap(assoc, introduction(&[]))]);
}

// The registrar's answer finds the session on its way to another server: that one is told when it is there.
#[test]
fn a_card_waits_for_the_server() {
    let (mut script, home, element) = combination(Compat::Rfc);
    script.machine.set_failover_order(script.now, element, vec![PeIdentifier(3)]).unwrap();
    let (_, first) = script.connecting(home);
    script.up(first, server(1));
    script.out();
    script.down(first, DownReason::Shutdown);
    let second = session_connect(&script.out());
    script.answer_own(home, 1..=4);
    assert_eq!(script.out(), []);
    script.up(second, server(2));
    assert_eq!(script.out(), [Out::Asap(second, introduction(&[3]))]);
}

// ASAP-3.9-04: it becomes an element while it has a session. Once: to register again is no news.
#[test]
fn whoever_becomes_an_element_says_so() {
    let (mut script, _, home, assoc) = Script::connected(2);
    let element = script.register_own();
    script.out();
    script.grant_own(home);
    assert_eq!(script.out(), [Out::Asap(assoc, introduction(&[]))]);
    script.machine.set_policy(script.now, element, Policy::RoundRobin).unwrap();
    script.out();
    script.grant_own(home);
    assert_eq!(script.out(), []);
}

// ASAP-3.9-02, ASAP-3.9-03: not before the registrar has taken it, not with a service beside the sessions, and not with rsplib.
#[test]
fn who_is_no_element_for_sessions_introduces_nobody() {
    let mut unregistered = Script::new(config(1));
    unregistered.register_own();
    let home = unregistered.expect_connect();
    unregistered.up(home, registrar(1));

    let mut service = Script::new(config(1));
    let tcp = params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 99]) };
    let transport = ElementTransport::Other(Transport::Tcp(tcp));
    let registration = Registration { handle: own_pool(), transport, ..registration() };
    service.machine.register(service.now, registration).unwrap();
    let home_of_service = service.expect_connect();
    service.up(home_of_service, registrar(1));
    service.grant_own(home_of_service);

    let (rsplib, home_of_rsplib, _) = combination(Compat::Rsplib);
    for (mut script, home) in [(unregistered, home), (service, home_of_service), (rsplib, home_of_rsplib)] {
        let (_, assoc) = script.connecting(home);
        script.up(assoc, server(1));
        assert_eq!(script.out(), []);
    }
}

/// An element whose transport has no control channel: a server of its own protocol over SCTP.
fn data_only(n: u8) -> PoolElement {
    let Transport::Sctp(sctp) = element(n).user_transport else { unreachable!() };
    let transport_use = TransportUse::DATA_ONLY;
    PoolElement { user_transport: Transport::Sctp(SctpTransport { transport_use, ..sctp }), ..element(n) }
}

// ASAP-3.9-03: a server without a control channel would take a card for data. Where it is known from makes no difference.
#[test]
fn a_server_without_a_control_channel_is_told_nothing() {
    let (mut script, home, _) = combination(Compat::Rfc);
    let options = SessionOptions::default();
    script.machine.connect(script.now, pool(), options).unwrap();
    let (handle, elements) = (pool(), vec![data_only(1)]);
    let (policy, error) = (None, None);
    script.asap(home, asap::HandleResolutionResponse { accepted: false, handle, policy, elements, error });
    let assoc = session_connect(&script.out());
    script.up(assoc, server(1));
    assert_eq!(script.out(), []);

    for (given, told) in [(data_only(7), false), (element(8), true)] {
        script.machine.connect_preferring(script.now, "elsewhere".into(), &[given], options).unwrap();
        let assoc = session_connect(&script.out());
        script.up(assoc, server(7));
        let expected = [Out::Asap(assoc, introduction(&[]))];
        assert_eq!(script.out(), if told { &expected[..] } else { &[] });
    }
}

fn peers_card() -> asap::BusinessCard {
    asap::BusinessCard { handle: "peers".into(), elements: vec![element(3), element(2)] }
}

// ASAP-2.2.13-02, ASAP-3.9-05, ASAP-3.9-06, ASAP-4-04: the server's side. The card may be the first message of all; its pool is
// resolved, once; and when the pool user is gone its equivalents are found in the order of the card.
#[test]
fn a_server_turns_to_those_that_its_pool_user_named() {
    let (mut script, home) = Script::registered();
    script.up(USER, SocketAddr::from(([198, 51, 100, 1], 5000)));
    script.asap(USER, peers_card());
    let events = script.events();
    let [Event::SessionAccepted { session, cookie: None, .. }, told] = &events[..] else {
        panic!("{events:?}")
    };
    let asap::BusinessCard { handle, elements } = peers_card();
    let received =
        Event::CardReceived { session: *session, handle: handle.clone(), elements: elements.clone() };
    assert_eq!(*told, received);
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("peers"))]);
    script.asap(USER, peers_card());
    assert_eq!((script.events(), script.out()), (vec![received], vec![]));
    let all = (1..=4).map(element).collect();
    let policy = Some(Policy::RoundRobin);
    let answer =
        asap::HandleResolutionResponse { accepted: false, handle, policy, elements: all, error: None };
    script.asap(home, answer);

    script.down(USER, DownReason::Unreachable);
    let why = CloseReason::Lost("the peer does not answer".into());
    assert_eq!(script.events(), [Event::Closed { session: *session, why }]);
    let options = SessionOptions::default();
    script.machine.connect_preferring(script.now, "peers".into(), &elements, options).unwrap();
    for expected in [3, 2] {
        let out = script.out();
        let assoc = session_connect(&out);
        assert!(out.contains(&Out::Connect(assoc, Channel::Session, server(expected))), "{out:?}");
        script.down(assoc, DownReason::ConnectFailed("port unreachable".into()));
    }
}

// Whoever connects can name any pool: what no registrar may hear is not asked, and a session has one question.
#[test]
fn a_card_cannot_make_an_element_ask_without_end() {
    let mut script = Script::new(Config { compat: Compat::Rsplib, ..config(1) });
    script.register_own();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.grant_own(home);
    script.out();
    script.up(USER, SocketAddr::from(([198, 51, 100, 1], 5000)));
    script.asap(USER, asap::BusinessCard { handle: PoolHandle::new(vec![b'x'; 33]), ..peers_card() });
    assert_eq!(script.out(), []);

    let (mut script, _) = Script::registered();
    script.up(USER, SocketAddr::from(([198, 51, 100, 1], 5000)));
    for n in 0..10 {
        let handle = PoolHandle::new(vec![n]);
        script.asap(USER, asap::BusinessCard { handle, ..peers_card() });
    }
    assert_eq!(script.out().len(), 1);
}
