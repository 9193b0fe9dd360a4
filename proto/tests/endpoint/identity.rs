//! What an element registers: its pool, its identifier, where it is (RFC 5352 §3.1, §6.1, RFC 5354 §3.10).

use super::*;
use rserpool_proto::endpoint::ResolveOptions;

/// The registrations among these.
fn registrations(out: Vec<Out>) -> Vec<asap::Registration> {
    let registration = |out| match out {
        Out::Asap(_, asap::Message::Registration(registration)) => Some(registration),
        _ => None,
    };
    out.into_iter().filter_map(registration).collect()
}

/// A process that starts with this seed, and what its element registers.
fn started(seed: u8, registration: Registration) -> (Script, AssocId, asap::Registration) {
    let mut script = Script::new(Config { seed: [seed; 32], ..config(1) });
    script.machine.register(script.now, registration).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    let sent = registrations(script.out()).remove(0);
    (script, home, sent)
}

// PARAM-3.10-03: picked at the start, and kept: each registration that follows has it, at another home, too. An element that
// starts anew has another one, and so have all of one process.
#[test]
fn an_identifier_is_picked_at_the_start_and_kept() {
    let anonymous = || Registration { id: None, ..registration() };
    let (mut script, home, first) = started(1, anonymous());
    let id = first.element.id;
    assert_ne!(id, PeIdentifier(0));
    script.asap(home, asap::RegistrationResponse { rejected: false, handle: pool(), id, error: None });
    script.pass(Duration::from_secs(280));
    assert_eq!(registrations(script.out())[0].element.id, id);
    script.down(home, DownReason::Unreachable);
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.pass(ms(50));
    assert_eq!(registrations(script.out())[0].element.id, id);

    script.machine.register(script.now, anonymous()).unwrap();
    assert_ne!(registrations(script.out())[0].element.id, id);
    let (_, _, restarted) = started(2, anonymous());
    assert_ne!(restarted.element.id, id);
}

// ASAP-3.1-04: the endpoint that talks to the home registrar is the one that sessions come to, with all its addresses.
#[test]
fn an_element_registers_all_addresses_of_its_endpoint() {
    let mut script = Script::new(config(1));
    script.machine.register(script.now, registration()).unwrap();
    let out = script.out();
    let [Out::Connect(home, Channel::Asap, _)] = out[..] else { panic!("{out:?}") };
    let local = vec![IpAddr::from([10, 0, 0, 99]), IpAddr::from([10, 1, 0, 99])];
    let remote = vec![registrar(1)];
    script.input(Input::Up {
        assoc: home,
        channel: Channel::Asap,
        remote,
        local: local.clone(),
        streams: 16,
    });
    let sent = registrations(script.out()).remove(0);
    let Transport::Sctp(sctp) = sent.element.user_transport else { panic!("{sent:?}") };
    assert_eq!((sctp.port, sctp.addresses), (7000, local));
}

// ASAP-6.1-01: any octets are a pool handle, a zero among them; the transport is the endpoint, or what the application says.
#[test]
fn handle_and_transport_are_registered_as_they_are() {
    let handle = PoolHandle::new(vec![0, 0xff, b'a', 0]);
    let (_, _, sent) = started(1, Registration { handle: handle.clone(), ..registration() });
    assert_eq!(sent.handle, handle);
    assert!(matches!(sent.element.user_transport, Transport::Sctp(_)));

    let tcp = Transport::Tcp(params::TcpTransport { port: 80, address: IpAddr::from([10, 0, 0, 99]) });
    let transport = ElementTransport::Other(tcp.clone());
    let (mut script, _, sent) = started(1, Registration { transport, ..registration() });
    assert_eq!(sent.element.user_transport, tcp);
    script.machine.resolve(script.now, handle.clone(), ResolveOptions::default()).unwrap();
    let request = asap::HandleResolution { subscribe: false, handle, items: None }.into();
    assert!(matches!(&script.out()[..], [Out::Asap(_, asked)] if *asked == request));
}
