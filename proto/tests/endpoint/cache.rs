//! Filling and emptying the cache on purpose (RFC 5352 §6.3, §6.4).

use super::*;
use rserpool_proto::endpoint::{ResolveOptions, Standing};

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
        let options = ResolveOptions { items: None, uncached };
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
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(2)).unwrap();
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
