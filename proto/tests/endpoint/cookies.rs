//! Sealed cookies: what elements accept, and what becomes of a session that they do not (RFC 5352 §3.8).

use super::*;
use rserpool_proto::endpoint::{CloseReason, CookieKey, CookieRefusal, CookieSealing, ElementId, SendError};

const USER: AssocId = AssocId::accepted(Channel::Asap, 1);
const NEXT: AssocId = AssocId::accepted(Channel::Asap, 2);

fn key(id: u32) -> CookieKey {
    CookieKey::new(id, [id as u8; 32])
}

fn sealing() -> CookieSealing {
    CookieSealing::new(key(1)).life(Duration::from_secs(60))
}

fn user() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 5000))
}

struct Server {
    script: Script,
    element: ElementId,
}

impl Server {
    /// Element `id` of the pool, at noon.
    fn new(id: u32, sealing: Option<CookieSealing>) -> Self {
        let mut script = Script::new(config(1));
        let registration = Registration { id: Some(PeIdentifier(id)), ..registration() };
        let element = script.machine.register(script.now, registration).unwrap();
        if let Some(sealing) = sealing {
            script.machine.seal_cookies(element, sealing).unwrap();
        }
        script.machine.set_unix_time(script.now, Duration::from_secs(43_200));
        script.out();
        Self { script, element }
    }

    /// A session that says "hello".
    fn session(&mut self) -> SessionId {
        self.script.up(USER, user());
        self.script.data(USER, "hello");
        match self.script.events().first() {
            Some(Event::SessionAccepted { session, cookie: None, .. }) => *session,
            other => panic!("{other:?}"),
        }
    }

    /// The bytes of the cookie that the pool user of the session gets.
    fn cookie(&mut self, set: impl FnOnce(&mut AsapEndpoint, Time, SessionId)) -> Bytes {
        let session = self.session();
        set(&mut self.script.machine, self.script.now, session);
        match self.script.out().as_slice() {
            [Out::Asap(USER, asap::Message::Cookie(cookie))] => cookie.cookie.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self) -> Bytes {
        self.cookie(|machine, now, session| {
            machine.set_cookie(now, session, Bytes::from_static(b"state")).unwrap();
        })
    }

    /// What the element says to a session that comes with this cookie: its content and version.
    fn take_up(&mut self, cookie: Bytes) -> Result<(Bytes, u32), CookieRefusal> {
        let refused = self.script.machine.counters().refused_cookies;
        self.script.up(NEXT, user());
        self.script.asap(NEXT, asap::CookieEcho { cookie });
        self.script.data(NEXT, "go on");
        let events = self.script.events();
        let transmits: Vec<Transmit> = std::iter::from_fn(|| self.script.machine.poll_transmit()).collect();
        match events.as_slice() {
            [Event::SessionAccepted { cookie: Some(cookie), version, .. }, Event::Received { .. }] => {
                assert_eq!(transmits, []);
                Ok((cookie.clone(), *version))
            }
            [Event::CookieRefused { element, remote, why }] => {
                assert_eq!((*element, remote.as_slice()), (self.element, &[user()][..]));
                let cause = format!("cookie refused: {why}");
                assert_eq!(transmits, [Transmit::Abort { assoc: NEXT, cause }]);
                assert_eq!(self.script.machine.counters().refused_cookies, refused + 1);
                Err(why.clone())
            }
            other => panic!("{other:?}"),
        }
    }
}

// ASAP-3.8-05, OVW-2.5-01, SEC-T2.16-03: signed by the sending element, verified by the receiving one.
#[test]
fn a_sealed_cookie_is_taken_up_by_another_element_with_the_key() {
    let cookie = Server::new(1, Some(sealing())).state();
    assert_eq!(cookie.len(), 5 + CookieSealing::OVERHEAD);
    let other = sealing().versions(0, 0).also_open([key(9)]);
    assert_eq!(Server::new(2, Some(other)).take_up(cookie), Ok((Bytes::from_static(b"state"), 0)));
}

// ASAP-3.8-05: and a session with another one is refused, with the reason to its pool user and a count.
#[test]
fn a_session_with_a_cookie_that_no_element_sealed_is_refused() {
    let mut server = Server::new(2, Some(sealing()));
    let raw = Bytes::from_static(b"state");
    assert_eq!(server.take_up(raw), Err(CookieRefusal::NotSealed));

    let mut server = Server::new(2, Some(sealing()));
    let mut altered = Server::new(1, Some(sealing())).state().to_vec();
    altered[CookieSealing::OVERHEAD - 32] ^= 1;
    assert_eq!(server.take_up(altered.into()), Err(CookieRefusal::BadSeal));

    let mut server = Server::new(2, Some(sealing()));
    let unknown = Server::new(1, Some(CookieSealing::new(key(2)))).state();
    assert_eq!(server.take_up(unknown), Err(CookieRefusal::UnknownKey(2)));
}

// Interoperability: without a key cookies are the application's bytes, both ways.
#[test]
fn without_a_key_cookies_are_raw() {
    assert_eq!(Server::new(1, None).state(), Bytes::from_static(b"state"));
    let raw = Bytes::from_static(b"state");
    assert_eq!(Server::new(2, None).take_up(raw.clone()), Ok((raw, 0)));
}

#[test]
fn a_cookie_expires_by_the_time_of_day() {
    let cookie = Server::new(1, Some(sealing())).state();
    let mut server = Server::new(2, Some(sealing()));
    server.script.pass(Duration::from_secs(59));
    server.script.events();
    server.script.out();
    assert!(server.take_up(cookie.clone()).is_ok());
    let mut server = Server::new(2, Some(sealing()));
    server.script.machine.set_unix_time(server.script.now, Duration::from_secs(43_263));
    assert_eq!(server.take_up(cookie), Err(CookieRefusal::Expired { ago: Duration::from_secs(3) }));
}

#[test]
fn an_older_version_is_converted_or_refused() {
    let cookie = Server::new(1, Some(sealing().versions(0, 1))).state();
    let mut converts = Server::new(2, Some(sealing().versions(1, 2)));
    assert_eq!(converts.take_up(cookie.clone()), Ok((Bytes::from_static(b"state"), 1)));
    let mut does_not = Server::new(2, Some(sealing().versions(2, 2)));
    assert_eq!(does_not.take_up(cookie), Err(CookieRefusal::Version { version: 1, oldest: 2, newest: 2 }));
}

#[test]
fn a_cookie_that_is_not_transferable_is_taken_up_by_its_element_alone() {
    let bound = |machine: &mut AsapEndpoint, now, session| {
        machine.set_bound_cookie(now, session, Bytes::from_static(b"state")).unwrap();
    };
    let cookie = Server::new(1, Some(sealing())).cookie(bound);
    assert!(Server::new(1, Some(sealing())).take_up(cookie.clone()).is_ok());
    let to = PeIdentifier(1);
    assert_eq!(Server::new(2, Some(sealing())).take_up(cookie), Err(CookieRefusal::NotTransferable { to }));

    let mut unsealed = Server::new(1, None);
    let session = unsealed.session();
    let refused = unsealed.script.machine.set_bound_cookie(unsealed.script.now, session, Bytes::new());
    assert_eq!(refused, Err(SendError::NotSealed));
}

#[test]
fn the_seal_needs_some_of_the_room_of_a_cookie() {
    let limit = 65_527 - CookieSealing::OVERHEAD;
    let mut server = Server::new(1, Some(sealing()));
    let largest = Bytes::from(vec![0xa5; limit]);
    let cookie = server.cookie(|machine, now, session| {
        let larger = Bytes::from(vec![0; limit + 1]);
        assert_eq!(machine.set_cookie(now, session, larger), Err(SendError::Size { limit }));
        machine.set_cookie(now, session, largest.clone()).unwrap();
    });
    assert_eq!(cookie.len(), 65_527);
    assert_eq!(Server::new(2, Some(sealing())).take_up(cookie), Ok((largest, 0)));
}

// The sessions of an element keep its keys when it has left its pool.
#[test]
fn a_session_that_outlives_its_element_still_seals() {
    let mut server = Server::new(1, Some(sealing()));
    let session = server.session();
    server.script.machine.deregister(server.script.now, server.element).unwrap();
    server.script.out();
    let now = server.script.now;
    server.script.machine.set_cookie(now, session, Bytes::from_static(b"last")).unwrap();
    let [Out::Asap(_, asap::Message::Cookie(cookie))] = &server.script.out()[..] else { panic!() };
    let content = Bytes::from_static(b"last");
    assert_eq!(Server::new(2, Some(sealing())).take_up(cookie.cookie.clone()), Ok((content, 0)));
}

#[test]
fn a_late_cookie_is_checked_too() {
    let mut server = Server::new(1, Some(sealing()));
    let session = server.session();
    let good = Server::new(2, Some(sealing())).state();
    server.script.asap(USER, asap::CookieEcho { cookie: good });
    let cookie = Bytes::from_static(b"state");
    assert_eq!(server.script.events(), [Event::CookieReceived { session, cookie, version: 0 }]);

    server.script.asap(USER, asap::CookieEcho { cookie: Bytes::from_static(b"state") });
    let why = CloseReason::CookieRefused(CookieRefusal::NotSealed);
    assert_eq!(server.script.events(), [Event::Closed { session, why }]);
    assert_eq!(server.script.out(), [Out::Abort(USER)]);
    assert_eq!(server.script.machine.counters().refused_cookies, 1);
}

#[test]
fn the_application_can_refuse_a_cookie() {
    let mut server = Server::new(1, None);
    let session = server.session();
    server.script.machine.refuse_cookie(server.script.now, session, "no such account here").unwrap();
    let cause = "cookie refused: no such account here".to_owned();
    assert_eq!(server.script.machine.poll_transmit(), Some(Transmit::Abort { assoc: USER, cause }));
    let why = CloseReason::CookieRefused(CookieRefusal::Application("no such account here".into()));
    assert_eq!(server.script.events(), [Event::Closed { session, why }]);
}

/// The server of a session refuses its cookie; returns the association to the next one.
fn refuse(script: &mut Script, assoc: AssocId) -> Option<AssocId> {
    script.down(assoc, DownReason::PeerAborted("cookie refused: it has no seal".into()));
    next_connect(script)
}

fn next_connect(script: &mut Script) -> Option<AssocId> {
    script.out().iter().find_map(|out| match out {
        Out::Connect(assoc, Channel::Session, _) => Some(*assoc),
        _ => None,
    })
}

// An element that does not take the session up is not the end: another one may have the key.
#[test]
fn a_session_whose_cookie_was_refused_tries_the_other_elements() {
    let (mut script, session, _, assoc) = Script::connected(3);
    script.asap(assoc, asap::Cookie { cookie: Bytes::from_static(b"state") });
    let second = refuse(&mut script, assoc).unwrap();
    script.up(second, server(2));
    let third = refuse(&mut script, second).unwrap();
    script.up(third, server(3));
    assert!(matches!(script.out()[..], [Out::Asap(_, asap::Message::CookieEcho(_))]));
    script.data(third, "welcome");
    let events = script.events();
    assert!(matches!(events.last(), Some(Event::Received { .. })), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Closed { .. })));
    // A server that serves earns the next failover the whole patience.
    script.pass(Duration::from_secs(29));
    script.down(third, DownReason::PeerAborted("bye".into()));
    script.pass(Duration::from_secs(29));
    let closed = |event: &Event| matches!(event, Event::Closed { session: closed, .. } if *closed == session);
    assert!(!script.events().iter().any(closed));
}

// Patience is not renewed by servers that only refuse: the session ends, and says why.
#[test]
fn a_session_that_nobody_takes_up_ends_with_the_reason() {
    let (mut script, session, _, assoc) = Script::connected(2);
    script.asap(assoc, asap::Cookie { cookie: Bytes::from_static(b"state") });
    let begin = script.now;
    let mut next = refuse(&mut script, assoc);
    let mut refusals = 1;
    let why = loop {
        let closed = script.events().into_iter().find_map(|event| match event {
            Event::Closed { session: closed, why } if closed == session => Some(why),
            _ => None,
        });
        if let Some(why) = closed {
            break why;
        }
        assert!(refusals < 100, "{:?} later it is still trying", script.now.since(begin));
        if let Some(assoc) = next {
            script.up(assoc, server(1));
            next = refuse(&mut script, assoc);
            refusals += 1;
        } else {
            script.now = script.now.max(script.machine.poll_timeout().unwrap().0);
            script.machine.handle_timeout(script.now);
            next = next_connect(&mut script);
        }
    };
    assert_eq!(why, CloseReason::CookieRefusedByPeer("it has no seal".into()));
    let patience = script.now.since(begin);
    assert!(patience >= Duration::from_secs(30) && patience < Duration::from_secs(31), "{patience:?}");
}
