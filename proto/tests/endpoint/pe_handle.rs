//! Sessions with a given element: PE handles (RFC 5352 §6.5.3).

use super::*;
use rserpool_proto::endpoint::CommandError;

impl Script {
    fn begin_with(&mut self, preferred: &[u8]) -> SessionId {
        let preferred: Vec<PoolElement> = preferred.iter().copied().map(element).collect();
        let options = SessionOptions::default();
        self.machine.connect_preferring(self.now, pool(), &preferred, options).unwrap()
    }
}

/// The association and the address of the last session connect among these.
fn connect(out: &[Out]) -> (AssocId, SocketAddr) {
    let connect = |out: &Out| match out {
        Out::Connect(assoc, Channel::Session, remote) => Some((*assoc, *remote)),
        _ => None,
    };
    out.iter().rev().find_map(connect).unwrap()
}

// ASAP-6.5.3-01 to -04: a process that has just started, with a handle from elsewhere, which says where the element is: it
// is connected to at once, then a registrar is looked for, and asked for the pool.
#[test]
fn a_stored_handle_is_enough() {
    let mut script = Script::new(config(1));
    let session = script.begin_with(&[7]);
    script.send(session, 0, "hello");
    let out = script.out();
    let [Out::Connect(assoc, Channel::Session, to), Out::Connect(home, Channel::Asap, _)] = out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(to, server(7));
    script.up(assoc, to);
    assert_eq!(script.events(), [Event::Connected { session, element: PeIdentifier(7) }]);
    assert_eq!(script.out(), [Out::Data(assoc, text_message("hello"))]);
    script.up(home, registrar(1));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [1, 2]);
    assert_eq!(script.out(), [], "it is not listed, and there all the same");
}

// ASAP-6.5.3-02, ASAP-6.5.3-04: the policy would take another one. The cache knows the pool, and is asked for anew when it is stale.
#[test]
fn a_handle_comes_before_the_policy() {
    let (mut script, _, home, _) = Script::connected(4);
    for _ in 0..3 {
        script.begin_with(&[3]);
        let out = script.out();
        assert!(matches!(out[..], [Out::Connect(_, Channel::Session, to)] if to == server(3)), "{out:?}");
    }
    script.pass(Duration::from_secs(31));
    script.out();
    script.begin_with(&[3]);
    let out = script.out();
    let [Out::Connect(_, Channel::Session, to), asked] = &out[..] else { panic!("{out:?}") };
    assert_eq!((*to, asked), (server(3), &Out::Asap(home, resolution_request("pool"))));
}

// ASAP-6.5.3-05, ASAP-6.5-06: it is not there: the next of those that were given, then the policy; which one it became is told.
#[test]
fn the_element_that_it_became_is_told() {
    let (mut script, _, _, _) = Script::connected(4);
    let session = script.begin_with(&[3, 9, 4]);
    for expected in [3, 4] {
        let (assoc, to) = connect(&script.out());
        assert_eq!(to, server(expected));
        script.down(assoc, DownReason::ConnectFailed("port unreachable".into()));
    }
    let (assoc, to) = connect(&script.out());
    assert_eq!(to, server(2), "9 is nobody");
    script.up(assoc, to);
    let connected = Event::Connected { session, element: PeIdentifier(2) };
    assert!(script.events().contains(&connected));
}

#[test]
fn a_handle_without_sessions_is_refused() {
    let mut script = Script::new(config(1));
    let tcp = params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 1]) };
    let web = PoolElement { user_transport: Transport::Tcp(tcp), ..element(1) };
    for preferred in [&[][..], &[web][..]] {
        let options = SessionOptions::default();
        let refused = script.machine.connect_preferring(script.now, pool(), preferred, options);
        assert!(matches!(refused, Err(CommandError::Invalid(_))), "{refused:?}");
    }
    assert_eq!(script.out(), []);
}
