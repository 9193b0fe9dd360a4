//! Handle resolution, its retransmission, and the cache (RFC 5352 §3.3, §3.7.2).

use super::*;
use rserpool_proto::endpoint::{
    CacheOptions, CommandError, RequestId, Resolution, ResolveError, ResolveOptions,
};

const UNCACHED: ResolveOptions = ResolveOptions::new().uncached(true);

impl Script {
    fn resolve(&mut self, options: ResolveOptions) -> RequestId {
        self.machine.resolve(self.now, pool(), options).unwrap()
    }

    /// A pool user with a home.
    fn user() -> (Self, AssocId) {
        Self::user_with(|_| ())
    }

    /// A pool user with a home and another cache.
    fn user_with(change: impl FnOnce(&mut CacheOptions)) -> (Self, AssocId) {
        let mut config = config(1);
        change(&mut config.cache);
        let mut script = Self::new(config);
        script.resolve(UNCACHED);
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
        script.out();
        script.events();
        (script, home)
    }
}

fn ids(event: &Event) -> Vec<u32> {
    match event {
        Event::Resolved { result: Ok(resolution), .. } => {
            resolution.elements.iter().map(|element| element.id.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

// ASAP-3.3-01, -02, -06, -09, -10, ASAP-6.9-02: the hunt first, then the request; the answer reaches the user.
#[test]
fn a_handle_is_resolved() {
    let mut script = Script::new(config(1));
    let request = script.resolve(ResolveOptions::default());
    let home = script.expect_connect();
    script.up(home, registrar(1));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [1, 2]);
    let resolution = Resolution::new(Policy::RoundRobin, vec![element(1), element(2)]);
    assert_eq!(script.events()[1..], [Event::Resolved { request, result: Ok(resolution) }]);
    script.pass(Duration::from_secs(1));
    assert_eq!(script.out(), [], "T1 has stopped");
}

// SCTP-4960-02: a registrar that gives no payload protocol speaks ASAP, what else could it; others are not heard.
#[test]
fn a_registrar_may_leave_the_payload_protocol_out() {
    for (ppid, understood) in [(0, true), (PPID_ASAP, true), (12, false), (99, false)] {
        let (mut script, home) = Script::user();
        let request = script.resolve(UNCACHED);
        let answer = asap::HandleResolutionResponse {
            accepted: false,
            handle: pool(),
            policy: None,
            elements: vec![element(1)],
            error: None,
        };
        let bytes = asap::Message::from(answer).encode().unwrap();
        script.input(Input::Message { assoc: home, stream: 0, ppid, unordered: false, bytes });
        let resolution = Resolution::new(Policy::RoundRobin, vec![element(1)]);
        let answered = Event::Resolved { request, result: Ok(resolution) };
        assert_eq!(script.events().contains(&answered), understood, "{ppid}");
    }
}

// ASAP-2.2.6-08: the operation error makes the answer negative, with or without elements, and says why.
#[test]
fn negative_answers() {
    for (code, expected) in [
        (CauseCode::UNKNOWN_POOL_HANDLE, ResolveError::UnknownPool),
        (CauseCode::LACK_OF_RESOURCES, ResolveError::Refused(cause(CauseCode::LACK_OF_RESOURCES))),
    ] {
        let (mut script, home) = Script::user();
        let request = script.resolve(ResolveOptions::default());
        script.refuse(home, code);
        assert_eq!(script.events(), [Event::Resolved { request, result: Err(expected) }]);
    }
}

// ASAP-2.2.6-03: no overall policy: Round Robin.
// POL-4.1-01
#[test]
fn round_robin_is_implied() {
    let (mut script, home) = Script::user();
    script.resolve(ResolveOptions::default());
    let elements = vec![PoolElement { policy: Policy::Priority { priority: 3 }, ..element(1) }];
    let (policy, error) = (None, None);
    script.asap(
        home,
        asap::HandleResolutionResponse { accepted: false, handle: pool(), policy, elements, error },
    );
    let events = script.events();
    let [Event::Resolved { result: Ok(resolution), .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(resolution.policy, Policy::RoundRobin);
}

// ASAP-3.7.2-01, -03, -04, ASAP-7.3-02: 1 + 2 transmissions, T1 apart, then the error.
#[test]
fn a_request_is_repeated_and_then_given_up() {
    let (mut script, home) = Script::user();
    let request = script.resolve(ResolveOptions::default());
    for _ in 0..3 {
        assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
        assert_eq!(script.events(), []);
        script.pass(ms(250));
    }
    assert_eq!(script.out(), []);
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::NoRegistrar) }]);
}

// Design §6: without any registrar a request ends all the same.
#[test]
fn a_request_without_a_registrar_ends() {
    let mut script = Script::new(config(0));
    let request = script.resolve(ResolveOptions::default());
    script.pass(ms(750));
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::NoRegistrar) }]);
}

// ASAP-3.3-08, ASAP-3.7.1-01, -02, -03, -05: the association breaks: the request goes to the next home, not to the old one.
// ASAP-3.7.1-04
#[test]
fn a_request_moves_to_the_new_home() {
    let (mut script, home) = Script::user();
    script.resolve(ResolveOptions::default());
    script.out();
    script.down(home, DownReason::Unreachable);
    let attempt = script.expect_connect();
    script.pass(ms(100));
    script.up(attempt, registrar(1));
    assert_eq!(script.out(), [Out::Asap(attempt, resolution_request("pool"))]);
    script.answer(attempt, [1]);
    assert_eq!(ids(script.events().last().unwrap()), [1]);
}

// ASAP-3.3-23, A-48: answers are matched by handle, in any order; nobody's answer is counted.
#[test]
fn answers_find_their_request() {
    let (mut script, home) = Script::user();
    let one = script.resolve(ResolveOptions::default());
    let other = PoolHandle::from("other");
    let two = script.machine.resolve(script.now, other.clone(), ResolveOptions::default()).unwrap();
    let before = script.machine.counters().unexpected;
    script.asap(
        home,
        asap::HandleResolutionResponse {
            accepted: false,
            handle: other,
            policy: None,
            elements: vec![element(2)],
            error: None,
        },
    );
    script.answer(home, [1]);
    let events = script.events();
    assert!(matches!(&events[0], Event::Resolved { request, .. } if *request == two));
    assert!(matches!(&events[1], Event::Resolved { request, .. } if *request == one));
    script.answer(home, [1]);
    assert_eq!(script.events(), []);
    assert_eq!(script.machine.counters().unexpected, before + 1);
}

// the same question at the same time is one request; another number of items waits its turn.
#[test]
fn equal_requests_are_one() {
    let (mut script, home) = Script::user();
    let limited = ResolveOptions::new().items(Some(1)).uncached(true);
    let first = script.resolve(UNCACHED);
    let limited = script.resolve(limited);
    let second = script.resolve(UNCACHED);
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [1, 2]);
    let events = script.events();
    assert!(matches!(&events[0], Event::Resolved { request, .. } if *request == first));
    assert!(matches!(&events[1], Event::Resolved { request, .. } if *request == second));
    assert_eq!(events.len(), 2);
    let items = asap::HandleResolution { subscribe: false, handle: pool(), items: Some(1) };
    assert_eq!(script.out(), [Out::Asap(home, items.into())]);
    script.answer(home, [2]);
    let events = script.events();
    assert!(matches!(&events[0], Event::Resolved { request, .. } if *request == limited));
    assert_eq!(ids(&events[0]), [2]);
    script.resolve(ResolveOptions::default());
    assert_eq!(ids(&script.events()[0]), [1, 2], "a limited answer does not displace the complete one");
}

// ASAP-3.3-12, ASAP-3.3-13, ASAP-3.3-15, ASAP-7.2-01: the cache answers until it is stale. ASAP-6.5.2-04: in turn.
#[test]
fn the_cache_answers_until_it_is_stale() {
    let (mut script, home) = Script::user_with(|cache| cache.stale_while_revalidate = Duration::ZERO);
    script.resolve(ResolveOptions::default());
    script.answer(home, [1, 2, 3]);
    script.out();
    assert_eq!(ids(script.events().last().unwrap()), [1, 2, 3]);
    script.pass(ms(29_999));
    for expected in [[2, 3, 1], [3, 1, 2], [1, 2, 3], [2, 3, 1]] {
        script.resolve(ResolveOptions::default());
        assert_eq!(ids(&script.events()[0]), expected);
    }
    script.resolve(ResolveOptions::new().items(Some(2)));
    assert_eq!(ids(&script.events()[0]), [3, 1]);
    assert_eq!(script.out(), []);
    script.pass(ms(1));
    script.resolve(ResolveOptions::default());
    assert_eq!(script.events(), []);
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
}

/// The elements of the one answer, and whether it is stale.
fn answered(script: &mut Script) -> (Vec<u32>, bool) {
    let events = script.events();
    match &events[..] {
        [Event::Resolved { result: Ok(resolution), .. }] => (ids(&events[0]), resolution.stale),
        other => panic!("{other:?}"),
    }
}

// ASAP-3.3-14 (C3), ASAP-3.3-11: a stale answer is given at once, and renewed meanwhile; one request does for all.
#[test]
fn a_stale_answer_is_used_while_it_is_renewed() {
    let (mut script, home) = Script::user();
    script.resolve(ResolveOptions::default());
    script.answer(home, [1, 2]);
    script.out();
    script.events();
    script.pass(Duration::from_secs(59));
    script.resolve(ResolveOptions::default());
    assert_eq!(answered(&mut script), (vec![2, 1], true));
    script.resolve(ResolveOptions::default());
    assert_eq!(answered(&mut script), (vec![1, 2], true));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [2]);
    assert_eq!(script.events(), []);
    script.resolve(ResolveOptions::default());
    assert_eq!(answered(&mut script), (vec![2], false));
    assert_eq!(script.out(), []);

    script.pass(Duration::from_secs(60));
    script.resolve(ResolveOptions::default());
    assert_eq!(script.events(), [], "too old");
}

// ASAP-3.3-14: no registrar answers: what is known is better than nothing, up to a limit.
#[test]
fn a_stale_answer_is_used_while_all_registrars_are_gone() {
    let (mut script, home) = Script::user();
    script.resolve(ResolveOptions::default());
    script.answer(home, [1]);
    script.down(home, DownReason::Unreachable);
    script.pass(Duration::from_secs(3600));
    script.events();
    let start = script.now;
    script.resolve(ResolveOptions::default());
    script.pass(ms(750));
    assert_eq!(answered(&mut script), (vec![1], true));
    assert_eq!(script.now.since(start), ms(750), "T1 three times");
    let request = script.resolve(UNCACHED);
    script.pass(ms(750));
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::NoRegistrar) }]);

    script.pass(Duration::from_secs(30));
    let request = script.resolve(ResolveOptions::default());
    script.pass(ms(750));
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::NoRegistrar) }]);
}

/// A user that knows elements 1 and 2 and asks anew each time.
fn with_stale_pool() -> (Script, AssocId) {
    let (mut script, home) = Script::user_with(|cache| {
        cache.stale_cache_value = Duration::ZERO;
        cache.stale_while_revalidate = Duration::ZERO;
    });
    script.resolve(ResolveOptions::default());
    script.answer(home, [1, 2]);
    script.events();
    (script, home)
}

// ASAP-3.3-14: a registrar that was found later than the list, and knows nothing, may have been started a moment ago.
// What is known is used until its elements had the time to find it, too; who wants to know what it says is told that.
#[test]
fn a_registrar_that_has_just_started_does_not_empty_the_cache() {
    let (mut script, home) = with_stale_pool();
    script.out();
    script.down(home, DownReason::Unreachable);
    script.resolve(ResolveOptions::default());
    let home = script.expect_connect();
    script.pass(ms(1));
    script.up(home, registrar(1));
    script.events();
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    let (known, stale) = answered(&mut script);
    assert_eq!((known.len(), stale), (2, true));
    let request = script.resolve(UNCACHED);
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::UnknownPool) }]);

    script.pass(Duration::from_secs(6));
    let request = script.resolve(ResolveOptions::default());
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::UnknownPool) }]);
}

// The registrar that has told of a pool knows when it is gone.
#[test]
fn a_pool_that_its_registrar_has_lost_is_gone() {
    let (mut script, home) = with_stale_pool();
    let request = script.resolve(ResolveOptions::default());
    script.refuse(home, CauseCode::UNKNOWN_POOL_HANDLE);
    assert_eq!(script.events(), [Event::Resolved { request, result: Err(ResolveError::UnknownPool) }]);
}

// ASAP-3.5-02, ASAP-3.5-04, ASAP-3.5-05, ASAP-6.9-03, ASAP-6.9-04: a report names who was resolved, and goes out
// once per event.
#[test]
fn reports_of_the_application() {
    let (mut script, home) = Script::user();
    script.resolve(ResolveOptions::default());
    script.answer(home, [1]);
    script.out();
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(2));
    assert_eq!(script.out(), [], "it is not listed, or not any more");
    for _ in 0..10 {
        script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    }
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))], "is anybody else there?");
    script.answer(home, [1]);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1))]);
    script.pass(ms(1400));
    script.machine.report_unreachable(script.now, &pool(), PeIdentifier(1));
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))]);
    script.answer(home, [1]);
    assert_eq!(script.out(), [Out::Asap(home, unreachable(1))], "another event");
}

// ASAP-2.2.14-03, ASAP-2.2.14-04: the sender hears of an unknown message of the reporting kind, not too often.
#[test]
fn unknown_messages_are_reported() {
    let (mut script, home) = Script::user();
    for _ in 0..5 {
        let bytes = Bytes::from_static(&[0x7f, 0, 0, 4]);
        script.input(Input::Message { assoc: home, stream: 0, ppid: PPID_ASAP, unordered: false, bytes });
    }
    let out = script.out();
    assert!(matches!(out.as_slice(), [Out::Asap(_, asap::Message::Error(_))]), "{out:?}");
    assert_eq!(script.machine.counters().undecodable, 5);
}

// Design D11.
#[test]
fn resolutions_are_limited() {
    let mut config = config(1);
    config.limits.resolutions = 2;
    let mut script = Script::new(config);
    script.resolve(UNCACHED);
    script.resolve(UNCACHED);
    let third = script.machine.resolve(script.now, pool(), UNCACHED);
    assert_eq!(third, Err(CommandError::Limit("resolutions")));
    script.pass(Duration::from_secs(1));
    script.resolve(UNCACHED);
}

// a list that nobody has subscribed to is counted, and neither answers nor changes anything.
#[test]
fn an_unasked_list_does_no_harm() {
    let (mut script, home) = Script::user();
    let pushed = |ids: &[u8]| {
        asap::Message::from(asap::HandleResolutionResponse {
            accepted: true,
            handle: pool(),
            policy: Some(Policy::RoundRobin),
            elements: ids.iter().map(|id| element(*id)).collect(),
            error: None,
        })
    };
    script.asap(home, pushed(&[1]));
    assert_eq!((script.out(), script.events()), (vec![], vec![]));
    let request = script.resolve(ResolveOptions::default());
    assert_eq!(script.out(), [Out::Asap(home, resolution_request("pool"))], "the cache has not learned it");
    script.answer(home, [2]);
    let events = script.events();
    assert!(matches!(events[..], [Event::Resolved { request: answered, .. }] if answered == request));
    assert_eq!(ids(&events[0]), [2]);
    script.asap(home, pushed(&[3]));
    script.resolve(ResolveOptions::default());
    assert_eq!(ids(&script.events()[0]), [2]);
}
