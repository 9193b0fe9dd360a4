//! The registrars as a pool (design D6), as an endpoint sees it.

use super::*;
use rserpool_proto::REGISTRAR_POOL;
use rserpool_proto::endpoint::ResolveOptions;

fn subscription() -> asap::Message {
    asap::HandleResolution { subscribe: true, handle: REGISTRAR_POOL.into(), items: None }.into()
}

impl Script {
    /// An endpoint that wants to know, with its home, which was asked.
    fn asking() -> (Self, AssocId) {
        let mut script = Self::new(Config { registrar_pool: true, ..config(1) });
        script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        assert_eq!(
            script.out(),
            [Out::Asap(home, resolution_request("pool")), Out::Asap(home, subscription())]
        );
        script.answer(home, 1..=1);
        (script, home)
    }

    fn tell(&mut self, home: AssocId, registrars: &[u8]) {
        let element = |n: &u8| PoolElement {
            user_transport: Transport::Sctp(SctpTransport {
                port: 3863,
                transport_use: TransportUse::DATA_ONLY,
                addresses: vec![registrar(*n).ip()],
            }),
            ..element(*n)
        };
        let elements = registrars.iter().map(element).collect();
        let (handle, policy) = (REGISTRAR_POOL.into(), Some(Policy::RoundRobin));
        let error = None;
        self.asap(home, asap::HandleResolutionResponse { accepted: true, handle, policy, elements, error });
    }
}

// ASAP-3.6-01
#[test]
fn an_endpoint_learns_the_other_registrars_from_its_home() {
    let (mut script, home) = Script::asking();
    script.tell(home, &[1, 2]);
    // Pushed later.
    script.tell(home, &[1, 2, 3]);
    script.down(home, DownReason::Unreachable);
    assert_eq!(script.connects(), [registrar(1), registrar(2), registrar(3)]);
    assert_eq!(script.machine.counters().unexpected, 0);
}

#[test]
fn a_registrar_that_knows_none_is_asked_again() {
    let (mut script, home) = Script::asking();
    script.asap(
        home,
        asap::HandleResolutionResponse {
            accepted: false,
            handle: REGISTRAR_POOL.into(),
            policy: None,
            elements: Vec::new(),
            error: Some(cause(CauseCode::UNKNOWN_POOL_HANDLE)),
        },
    );
    script.pass(ms(29_999));
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    assert_eq!(script.out(), [Out::Asap(home, subscription())]);
}

#[test]
fn what_a_registrar_tells_is_bounded_and_displaces_nothing_configured() {
    let (mut script, home) = Script::asking();
    for first in (2..=200).step_by(50) {
        let told: Vec<u8> = (first..first + 50).collect();
        script.tell(home, &told);
    }
    script.down(home, DownReason::Unreachable);
    let mut tried = script.connects();
    for n in 3..=200 {
        script.down(AssocId::connected(n), DownReason::ConnectFailed("refused".into()));
        tried.extend(script.connects());
    }
    assert_eq!(tried.len(), 65);
    assert!(tried.contains(&registrar(1)));
}

// It has several addresses, and the first leads nowhere from here.
#[test]
fn the_next_attempt_goes_to_another_address() {
    let mut script = Script::new(Config { registrars: vec![vec![registrar(1), registrar(2)]], ..config(0) });
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    assert_eq!(script.connects(), [registrar(1)]);
    script.pass(ms(250));
    assert_eq!(script.connects(), [registrar(2)]);
    script.down(AssocId::connected(3), DownReason::ConnectFailed("refused".into()));
    script.pass(ms(500));
    assert_eq!(script.connects(), [registrar(1)]);
}
