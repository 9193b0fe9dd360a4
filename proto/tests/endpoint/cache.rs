//! Filling and emptying the cache on purpose (RFC 5352 §6.3, §6.4).

use super::*;
use rserpool_proto::endpoint::{RequestId, Resolution, ResolveOptions, Standing};
use rserpool_proto::profile::{EndpointTimers, Profile};

/// A pool user that knows the elements 1 and 2.
fn knowing(subscribe: bool) -> (Script, AssocId) {
    let mut config = config(1);
    config.cache.subscribe = subscribe;
    let mut script = Script::new(config);
    script.resolve_now(false);
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.list(home, subscribe, [1, 2]);
    script.out();
    script.events();
    (script, home)
}

impl Script {
    fn resolve_now(&mut self, uncached: bool) {
        let options = ResolveOptions::new().uncached(uncached);
        self.machine.resolve(self.now, pool(), options).unwrap();
    }

    fn list(&mut self, home: AssocId, accepted: bool, servers: impl IntoIterator<Item = u8>) {
        let elements = servers.into_iter().map(element).collect();
        let (handle, policy, error) = (pool(), Some(Policy::RoundRobin), None);
        self.asap(home, asap::HandleResolutionResponse { accepted, handle, policy, elements, error });
    }

    /// The elements of the one answer.
    fn answered(&mut self) -> Vec<PeIdentifier> {
        match &self.events()[..] {
            [Event::Resolved { result: Ok(pool), .. }] => pool.elements.iter().map(|it| it.id).collect(),
            other => panic!("{other:?}"),
        }
    }
}

// ASAP-6.3-01: the registrar is asked although the cache knows, and the cache has its answer from then on.
#[test]
fn the_cache_is_filled_on_demand() {
    let (mut script, home) = knowing(false);
    script.resolve_now(true);
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [3]);
    assert_eq!(script.answered(), [PeIdentifier(3)]);
    script.resolve_now(false);
    assert_eq!((script.out(), script.answered()), (vec![], vec![PeIdentifier(3)]));
}

// ASAP-6.4-01: the next use asks the registrar, a session too; what was known against an element is forgotten as well.
#[test]
fn what_is_known_of_a_pool_can_be_forgotten() {
    let (mut script, home) = knowing(false);
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(2));
    script.answer(home, [1, 2]);
    script.out();
    script.machine.purge(&pool());
    assert_eq!(script.machine.explain(script.now, &pool()), None);
    script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [1, 2]);
    let known = script.machine.explain(script.now, &pool()).unwrap().elements;
    assert_eq!(known, [(PeIdentifier(1), Standing::Good), (PeIdentifier(2), Standing::Good)]);
    script.machine.purge(&PoolHandle::from("another"));
    assert!(script.machine.explain(script.now, &pool()).is_some());
}

// The registrar goes on telling of changes, and that is news.
#[test]
fn what_is_pushed_later_is_known_again() {
    let (mut script, home) = knowing(true);
    script.machine.purge(&pool());
    script.list(home, true, [1, 2, 3]);
    script.resolve_now(false);
    assert_eq!(script.out(), []);
    assert_eq!(script.answered().len(), 3);
    assert_eq!(script.machine.counters().unexpected, 0);
}

// ASAP-3.3-14: the registrars are gone, and what is known is older than it is used at once but not too old for lack of
// something better. A session does not wait until its patience is at an end for a registrar that a hunt has not found.
#[test]
fn what_is_known_is_used_when_no_registrar_is_found() {
    for profile in [Profile::Lan, Profile::Rfc] {
        let mut config = config(1);
        config.timers = EndpointTimers { connect_stagger: Duration::ZERO, ..profile.endpoint() };
        let t5 = config.timers.t5_server_hunt;
        let mut script = Script::new(config);
        script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.answer(home, [1, 2]);
        script.pass(Duration::from_secs(61));
        script.down(home, DownReason::Unreachable);
        script.out();
        script.events();
        let connects = |script: &mut Script| {
            let session = |out: &Out| matches!(out, Out::Connect(_, Channel::Session, _));
            script.out().iter().filter(|out| session(out)).count()
        };

        // The hunt has just begun: it may find one.
        let request = script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
        script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
        assert_eq!((connects(&mut script), script.events()), (0, vec![]));
        script.pass(t5);
        assert_eq!(connects(&mut script), 1);
        let stale = |event: &Event, request: RequestId| {
            matches!(event, Event::Resolved { request: answered, result: Ok(Resolution { stale: true, .. }) }
                if *answered == request)
        };
        assert!(script.events().iter().any(|event| stale(event, request)));

        // It goes on without success.
        let request = script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
        script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
        assert_eq!(connects(&mut script), 1);
        assert!(script.events().iter().any(|event| stale(event, request)));

        // Who wants no cached answer waits for a registrar.
        let uncached = ResolveOptions::new().uncached(true);
        script.machine.resolve(script.now, pool(), uncached).unwrap();
        script.pass(t5);
        assert!(!script.events().iter().any(|event| matches!(event, Event::Resolved { .. })));
    }
}

// All registrars refuse: that is known before the round is over.
#[test]
fn what_is_known_is_used_when_all_registrars_refuse() {
    let mut script = Script::new(config(1));
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let home = script.expect_connect();
    script.up(home, registrar(1));
    script.answer(home, [1, 2]);
    script.pass(Duration::from_secs(61));
    script.out();
    script.down(home, DownReason::Unreachable);
    script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    let attempt = script.expect_connect();
    script.down(attempt, DownReason::ConnectFailed("refused".into()));
    assert!(matches!(script.out()[..], [Out::Connect(_, Channel::Session, _)]));
}

// Others wait behind a request for fewer elements: they get what is known, too.
#[test]
fn what_is_known_is_used_by_those_who_wait_for_their_turn() {
    let (mut script, home) = knowing(false);
    script.pass(Duration::from_secs(61));
    script.out();
    script.events();
    script.down(home, DownReason::Unreachable);
    let few = ResolveOptions::new().items(Some(5));
    script.machine.resolve(script.now, pool(), few).unwrap();
    script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
    script.machine.resolve(script.now, pool(), ResolveOptions::default()).unwrap();
    let attempt = script.expect_connect();
    script.down(attempt, DownReason::ConnectFailed("refused".into()));
    assert!(script.out().iter().any(|out| matches!(out, Out::Connect(_, Channel::Session, _))));
    let resolved = script.events().iter().filter(|event| matches!(event, Event::Resolved { .. })).count();
    assert!(resolved >= 1, "the second is answered at least");
}
