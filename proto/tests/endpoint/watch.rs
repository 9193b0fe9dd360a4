//! Pools whose changes are pushed, or asked for (RFC 5352 §2.2.5, §2.2.6).

use super::*;
use rserpool_proto::endpoint::{ResolveError, ResolveOptions};

const HOURS: Duration = Duration::from_secs(2 * 3600);

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

/// A pool user with a session at server 1, which subscribed to the pool of the servers 1 and 2 when it began; its home, the
/// session, and the session's association.
fn in_session(mut config: Config) -> (Script, AssocId, SessionId, AssocId) {
    config.cache.subscribe = true;
    let mut script = Script::new(config);
    let session = script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    assert_eq!(script.out(), [Out::Asap(home, request(true))]);
    script.push(home, [1, 2]);
    let assoc = script.expect_connect();
    script.up(assoc, server(1));
    assert_eq!(script.out(), []);
    script.events();
    (script, home, session, assoc)
}

impl Script {
    /// Which servers it connects to, of all that it has done.
    fn tries(&mut self) -> Vec<SocketAddr> {
        let server = |out| match out {
            Out::Connect(_, Channel::Session, remote) => Some(remote),
            _ => None,
        };
        self.out().into_iter().filter_map(server).collect()
    }

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
    let limited = ResolveOptions::new().items(Some(1)).uncached(true);
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

// an open session uses its pool, however long ago it was chosen from; what was pushed last is what is known when the
// registrar goes, however long ago that was.
#[test]
fn a_session_keeps_its_subscription() {
    let (mut script, home, _, assoc) = in_session(config(1));
    script.pass(Duration::from_secs(31));
    script.push(home, [1, 3]);
    assert_eq!(script.out(), [], "it stays subscribed");
    script.pass(HOURS);
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(600));
    script.out();
    script.down(assoc, DownReason::Unreachable);
    assert_eq!(script.tries(), [server(3)]);
}

// What is not renewed by a registrar has its limit all the same, from when the last one was lost.
#[test]
fn what_was_pushed_is_of_use_for_an_hour_without_a_registrar() {
    let (mut script, home, _, assoc) = in_session(config(1));
    script.down(home, DownReason::Unreachable);
    script.pass(HOURS);
    script.out();
    script.down(assoc, DownReason::Unreachable);
    assert_eq!(script.tries(), []);
}

// A failover does not wait for the registrar: as long as that tells of changes, the list is up to date.
#[test]
fn a_failover_goes_by_the_subscription() {
    let (mut script, home, _, assoc) = in_session(config(1));
    script.pass(HOURS);
    script.down(assoc, DownReason::Shutdown);
    let out = script.out();
    let [Out::Connect(_, Channel::Session, remote), Out::Asap(to, asked)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!((*remote, *to, asked), (server(2), home, &request(true)));
}

// ASAP-2.2.5-05: the next home gets the subscription of a pool with a session, even if another home has refused it.
#[test]
fn a_new_home_is_subscribed_to_for_a_session() {
    let (mut script, home, _, assoc) = in_session(config(1));
    script.pass(HOURS);
    script.down(home, DownReason::Unreachable);
    let second = script.expect_connect();
    script.up(second, registrar(1));
    let (after, out) = script.pass_until_out();
    assert!(after <= ms(25), "{after:?}");
    assert_eq!(out, [Out::Asap(second, request(true))]);
    script.answer(second, [1, 2]);
    script.down(second, DownReason::Unreachable);
    let third = script.expect_connect();
    script.up(third, registrar(1));
    let (after, out) = script.pass_until_out();
    assert!(after <= ms(25), "{after:?}");
    assert_eq!(out, [Out::Asap(third, request(true))]);
    script.push(third, [1, 4]);
    script.pass(HOURS);
    script.down(third, DownReason::Unreachable);
    script.out();
    script.down(assoc, DownReason::Unreachable);
    assert_eq!(script.tries(), [server(4)]);
}

// A home that was just started does not know the pool yet: it is asked again until it does.
#[test]
fn a_home_that_does_not_know_the_pool_yet_is_asked_again() {
    let (mut script, home, _, _) = in_session(config(1));
    script.pass(HOURS);
    script.down(home, DownReason::Unreachable);
    let next = script.expect_connect();
    script.up(next, registrar(1));
    assert_eq!(script.pass_until_out().1, [Out::Asap(next, request(true))]);
    script.refuse(next, CauseCode::UNKNOWN_POOL_HANDLE);
    let (after, out) = script.pass_until_out();
    assert!(after > ms(4499) && after <= ms(5000), "{after:?}");
    assert_eq!(out, [Out::Asap(next, request(true))]);
    script.push(next, [1, 2]);
    script.pass(HOURS);
    assert_eq!(script.out(), [], "now it tells");
}

// Nobody asks for a session that has ended.
#[test]
fn a_home_is_not_asked_again_for_nobody() {
    let (mut script, home, session, _) = in_session(config(1));
    script.pass(HOURS);
    script.down(home, DownReason::Unreachable);
    let next = script.expect_connect();
    script.up(next, registrar(1));
    assert_eq!(script.pass_until_out().1, [Out::Asap(next, request(true))]);
    script.refuse(next, CauseCode::UNKNOWN_POOL_HANDLE);
    script.machine.abort(script.now, session, "");
    script.out();
    script.pass(Duration::from_secs(60));
    assert_eq!(script.out(), []);
}

// The home hands us over to another registrar: until then it has told of each change.
#[test]
fn a_session_moves_with_its_subscription_to_another_home() {
    let (mut script, home, _, assoc) = in_session(config(1));
    script.pass(HOURS);
    let (own, id) = (PoolHandle::from("own"), PeIdentifier(0x11));
    script.machine.register(script.now, Registration { handle: own.clone(), ..registration() }).unwrap();
    let granted = asap::RegistrationResponse { rejected: false, handle: own.clone(), id, error: None };
    script.asap(home, granted);
    let other = AssocId::accepted(Channel::Asap, 1);
    script.up(other, registrar(2));
    let keep_alive =
        asap::EndpointKeepAlive { home: true, registrar: RegistrarId(2), handle: own, id: Some(id) };
    script.asap(other, keep_alive);
    script.down(home, DownReason::Unreachable);
    script.down(other, DownReason::Unreachable);
    script.out();
    script.down(assoc, DownReason::Unreachable);
    assert_eq!(script.tries(), [server(2)]);
}

// Only an open session counts, and each of them does.
#[test]
fn the_end_of_the_last_session_ends_the_subscription() {
    let (mut script, home, first, _) = in_session(config(1));
    let second = script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    let assoc = script.expect_connect();
    script.up(assoc, server(2));
    script.machine.abort(script.now, first, "");
    script.pass(Duration::from_secs(31));
    script.out();
    script.push(home, [1]);
    assert_eq!(script.out(), []);
    script.machine.abort(script.now, second, "");
    script.out();
    script.push(home, [1, 2]);
    assert_eq!(script.out(), [Out::Asap(home, request(false))]);
}

// A limited request has no S, which ends the subscription: it is renewed for whoever has a session.
#[test]
fn a_limited_request_does_not_blind_a_session() {
    let (mut script, home, _, _) = in_session(config(1));
    let limited = ResolveOptions::new().items(Some(1)).uncached(true);
    script.machine.resolve(script.now, pool(), limited).unwrap();
    script.out();
    script.answer(home, [2]);
    script.pass(ms(0));
    assert_eq!(script.out(), [Out::Asap(home, request(true))]);
}

// Design D11: the pools of sessions are forgotten last.
#[test]
fn a_pool_without_a_session_makes_room() {
    let mut config = config(1);
    config.limits.cached_pools = 2;
    let (mut script, home, _, assoc) = in_session(config);
    for other in ["b", "c"] {
        script.pass(ms(1));
        script.machine.resolve(script.now, other.into(), ResolveOptions::default()).unwrap();
        let (handle, policy, elements) = (other.into(), Some(Policy::RoundRobin), vec![element(9)]);
        let answer = asap::HandleResolutionResponse { accepted: true, handle, policy, elements, error: None };
        script.asap(home, answer);
    }
    script.out();
    script.down(home, DownReason::Unreachable);
    script.out();
    script.down(assoc, DownReason::Unreachable);
    assert_eq!(script.tries(), [server(2)]);
}

// A pool that had to make room is unsubscribed once, and the answer to that makes no other pool give way in its turn.
#[test]
fn the_end_of_a_subscription_makes_no_other_pool_give_way() {
    let mut config = config(1);
    config.limits.cached_pools = 2;
    config.cache.subscribe = true;
    let mut script = Script::new(config);
    let told = |handle: &str, accepted| {
        let (handle, policy, elements) = (handle.into(), Some(Policy::RoundRobin), vec![element(1)]);
        asap::HandleResolutionResponse { accepted, handle, policy, elements, error: None }
    };
    let asked = |handle: &str, subscribe| -> asap::Message {
        asap::HandleResolution { subscribe, handle: handle.into(), items: None }.into()
    };
    script.machine.resolve(script.now, "a".into(), ResolveOptions::default()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.asap(home, told("a", true));
    for handle in ["b", "c"] {
        script.pass(ms(1));
        script.machine.resolve(script.now, handle.into(), ResolveOptions::default()).unwrap();
        script.asap(home, told(handle, true));
    }
    let all = [asked("a", true), asked("b", true), asked("c", true), asked("a", false)];
    assert_eq!(script.out(), all.map(|message| Out::Asap(home, message)));
    script.asap(home, told("a", false));
    assert_eq!(script.out(), [], "b and c stay subscribed");
}

// A pool with a session may have to make room, too, if all have one: it stays subscribed, and what is pushed is kept again.
#[test]
fn a_pool_with_a_session_that_makes_room_stays_subscribed() {
    let mut config = config(1);
    config.limits.cached_pools = 1;
    let (mut script, home, _, _) = in_session(config);
    script.pass(ms(1));
    script.machine.connect(script.now, "b".into(), SessionOptions::default()).unwrap();
    script.out();
    let (handle, policy, elements) = ("b".into(), Some(Policy::RoundRobin), vec![element(3)]);
    script
        .asap(home, asap::HandleResolutionResponse { accepted: true, handle, policy, elements, error: None });
    assert!(!script.out().contains(&Out::Asap(home, request(false))));
}
