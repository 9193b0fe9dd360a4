//! Pools whose changes are pushed, or asked for (RFC 5352 §2.2.5, §2.2.6).

use super::*;
use rserpool_proto::endpoint::{ResolveError, ResolveOptions};

fn request(subscribe: bool) -> asap::Message {
    asap::HandleResolution { subscribe, handle: pool(), items: None }.into()
}

/// A pool user that subscribes, and its home.
fn subscriber() -> (Script, AssocId) {
    let mut config = config(1);
    config.cache.subscribe = true;
    let mut script = Script::new(config);
    script.machine.watch(script.now, pool()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.events();
    (script, home)
}

impl Script {
    /// The complete list, which says that changes will be told.
    fn push(&mut self, home: AssocId, servers: impl IntoIterator<Item = u8>) {
        let elements = servers.into_iter().map(element).collect();
        let policy = Some(Policy::RoundRobin);
        let handle = pool();
        self.asap(
            home,
            asap::HandleResolutionResponse { accepted: true, handle, policy, elements, error: None },
        );
    }

    /// What the watcher was told: the elements, or nothing.
    fn told(&mut self) -> Vec<Result<Vec<u32>, ResolveError>> {
        let ids = |event| match event {
            Event::PoolChanged { result, .. } => {
                Some(result.map(|pool| pool.elements.iter().map(|element| element.id.0).collect()))
            }
            _ => None,
        };
        self.events().into_iter().filter_map(ids).collect()
    }

    fn resolve_cached(&mut self) {
        self.machine.resolve(self.now, pool(), ResolveOptions::default()).unwrap();
    }
}

// ASAP-2.2.5-02, ASAP-2.2.5-03, ASAP-2.2.6-02: the S bit asks for changes, the A bit promises them, each is told, and
// told once; the order alone, or another home, is no change.
#[test]
fn changes_are_pushed() {
    let (mut script, home) = subscriber();
    assert_eq!(script.out(), [Out::Asap(home, request(true))]);
    script.push(home, [1, 2]);
    assert_eq!(script.told(), [Ok(vec![1, 2])]);
    script.push(home, [1, 2, 3]);
    assert_eq!(script.told(), [Ok(vec![1, 2, 3])]);
    script.push(home, [3, 1, 2]);
    assert_eq!(script.told(), []);
    script.push(home, [3]);
    assert_eq!(script.told(), [Ok(vec![3])]);
    assert_eq!(script.out(), []);
    script.resolve_cached();
    assert_eq!(script.out(), [], "the cache has learned it");
}

// the last element goes: the subscription has ended, and the pool is asked for now and then until it is back.
#[test]
fn a_pool_that_ends_and_comes_back() {
    let (mut script, home) = subscriber();
    script.out();
    script.push(home, [1]);
    script.told();
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(script.told(), [Err(ResolveError::UnknownPool)]);
    let (after, out) = script.pass_until_out();
    assert!(after > ms(4499) && after <= ms(5000), "{after:?}");
    assert_eq!(out, [Out::Asap(home, request(true))]);
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(script.told(), []);
    script.pass_until_out();
    script.push(home, [2]);
    assert_eq!(script.told(), [Ok(vec![2])]);
}

// A=0: the registrar does not tell, so it is asked. rsplib is not even asked to.
#[test]
fn a_registrar_that_does_not_tell_is_asked() {
    for rsplib in [false, true] {
        let mut config = config(1);
        config.cache.subscribe = true;
        if rsplib {
            config.compat = rserpool_proto::profile::Compat::Rsplib;
        }
        let mut script = Script::new(config);
        script.machine.watch(script.now, pool()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        assert_eq!(script.out(), [Out::Asap(home, request(!rsplib))]);
        for servers in [1..=1, 1..=2, 2..=2] {
            script.answer(home, servers.clone());
            assert_eq!(script.told(), [Ok(servers.map(u32::from).collect())]);
            let (after, _) = script.pass_until_out();
            assert!(after > ms(4499) && after <= ms(5000), "{after:?}");
        }
    }
}

// ASAP-2.2.5-05: registrars do not share subscriptions: the next home gets it anew, and may know better.
#[test]
fn a_new_home_is_subscribed_to() {
    let (mut script, home) = subscriber();
    script.push(home, [1]);
    script.out();
    script.told();
    script.down(home, DownReason::Unreachable);
    let next = script.expect_connect();
    script.up(next, registrar(1));
    let (after, out) = script.pass_until_out();
    assert!(after <= ms(25), "{after:?}");
    assert_eq!(out, [Out::Asap(next, request(true))]);
    script.push(next, [1]);
    assert_eq!(script.told(), [], "nothing has changed");
    script.push(next, [2]);
    assert_eq!(script.told(), [Ok(vec![2])]);
}

// Without a registrar the watcher keeps what it knows; if it knows nothing it is told why.
#[test]
fn watching_without_a_registrar() {
    let (mut script, home) = subscriber();
    script.push(home, [1]);
    script.told();
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(600));
    assert_eq!(script.told(), []);

    let mut script = Script::new(config(0));
    script.machine.watch(script.now, pool()).unwrap();
    script.pass(Duration::from_secs(20));
    assert_eq!(script.told(), [Err(ResolveError::NoRegistrar)], "once");
}

// a request without S ends the subscription, as soon as nobody watches or uses the pool.
#[test]
fn a_subscription_ends_when_nobody_needs_it() {
    let (mut script, home) = subscriber();
    script.push(home, [1]);
    script.resolve_cached();
    script.out();
    script.machine.unwatch(script.now, &pool());
    assert_eq!(script.out(), [], "it is still in use");
    script.push(home, [1, 2]);
    script.pass(Duration::from_secs(31));
    assert_eq!(script.out(), [], "what does not change costs nothing");
    script.push(home, [1]);
    assert_eq!(script.out(), [Out::Asap(home, request(false))]);
    script.answer(home, [1]);
    script.told();
    script.pass(Duration::from_secs(60));
    assert_eq!((script.out(), script.events()), (vec![], vec![]));
}

// Subscribing is the default: whoever resolves a pool has its changes from then on.
#[test]
fn what_is_in_use_is_kept_up_to_date() {
    let mut config = config(1);
    config.cache = Default::default();
    let mut script = Script::new(config);
    script.resolve_cached();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    assert_eq!(script.out(), [Out::Asap(home, request(true))]);
    script.push(home, [1]);
    script.push(home, [2, 3]);
    script.events();
    script.resolve_cached();
    let events = script.events();
    assert!(
        matches!(&events[..], [Event::Resolved { result: Ok(pool), .. }] if pool.elements == [element(2), element(3)]),
        "{events:?}"
    );
}

// A limited request has no S, which ends the subscription: whoever watches the pool renews it.
#[test]
fn a_limited_request_does_not_blind_the_watcher() {
    let (mut script, home) = subscriber();
    script.push(home, [1, 2]);
    script.out();
    let limited = ResolveOptions { items: Some(1), uncached: true };
    script.machine.resolve(script.now, pool(), limited).unwrap();
    script.out();
    script.push(home, [2, 3]);
    script.answer(home, [2]);
    let events = script.events();
    let [Event::PoolChanged { .. }, Event::PoolChanged { .. }, Event::Resolved { result: Ok(pool), .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(pool.elements, [element(2)], "the push was not its answer");
    script.pass(ms(0));
    assert_eq!(script.out(), [Out::Asap(home, request(true))]);
}

// Design D11.
#[test]
fn watched_pools_are_limited() {
    let mut config = config(1);
    config.limits.watched_pools = 1;
    let mut script = Script::new(config);
    script.machine.watch(script.now, pool()).unwrap();
    script.machine.watch(script.now, pool()).unwrap();
    assert!(script.machine.watch(script.now, "other".into()).is_err());
    script.machine.unwatch(script.now, &pool());
    script.machine.watch(script.now, "other".into()).unwrap();
}
