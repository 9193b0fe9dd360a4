//! Sessions that survive their servers.

use crate::support::{Death, Fate, counter, number, registrar, serve, user, within};
use pool_element::{PoolElement, Profile};
use rserpool_pool_user::{PoolUser, Received, Session, SessionError};
use std::sync::Arc;
use std::time::Duration;

/// One operation, with what the application has to do for "exactly once"; counts the failovers.
pub(crate) async fn operation(session: &mut Session, seq: u64, failovers: &mut usize) -> u64 {
    session.send(seq.to_be_bytes()).await.unwrap();
    loop {
        match session.recv().await.unwrap() {
            Received::Message(answer) => return number(&answer),
            Received::Failover { from, to, .. } => {
                assert_ne!(from, to, "there is another server");
                assert_eq!(session.element(), to);
                *failovers += 1;
                session.send(seq.to_be_bytes()).await.unwrap();
            }
        }
    }
}

async fn three_counters(fate: &Arc<Fate>) -> (registrar::Registrar, PoolUser) {
    let registrar = registrar(&[]);
    for _ in 0..3 {
        tokio::spawn(serve(counter(&[registrar.asap_address()]).await, fate.clone()));
    }
    let user = user(&registrar);
    (registrar, user)
}

async fn every_operation_once(death: Death) {
    let fate = Fate::at(10, death);
    let (_registrar, user) = three_counters(&fate).await;
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    let first = session.element();
    let mut failovers = 0;
    for seq in 1..=20 {
        assert_eq!(within("an operation", operation(&mut session, seq, &mut failovers)).await, seq);
        assert_eq!(failovers, usize::from(seq >= 10));
        assert_eq!(session.element() == first, seq < 10);
    }
    within("close", session.close()).await.unwrap();
}

// ASAP-2.2.12-02, ASAP-3.8-04
#[tokio::test]
async fn a_request_that_died_with_its_server_is_done_once_by_the_next_one() {
    every_operation_once(Death::BeforeTheCookie).await;
}

// ASAP-3.8-02, ASAP-3.8-06
#[tokio::test]
async fn a_request_whose_answer_died_with_its_server_is_not_done_again() {
    every_operation_once(Death::BeforeTheAnswer).await;
}

// ASAP-6.5.5-02, OVW-4-03
#[tokio::test]
async fn a_request_repeats_itself_after_a_failover() {
    let (_registrar, user) = three_counters(&Fate::at(3, Death::BeforeTheAnswer)).await;
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    let first = session.element();
    for seq in 1..=5u64 {
        let answer = within("a request", session.request(seq.to_be_bytes())).await.unwrap();
        assert_eq!(number(&answer), seq);
    }
    assert_ne!(session.element(), first);
}

// What is written for the former server must not reach the new one: the client will send it again.
#[tokio::test]
async fn what_was_sent_before_the_failover_was_seen_is_not_delivered_twice() {
    let (_registrar, user) = three_counters(&Fate::at(2, Death::BeforeTheAnswer)).await;
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    assert_eq!(number(&within("first", session.request(1u64.to_be_bytes())).await.unwrap()), 1);

    session.send(2u64.to_be_bytes()).await.unwrap();
    // The server is dead or dying; a further request, written without knowing that.
    session.send(3u64.to_be_bytes()).await.unwrap();
    assert!(matches!(within("failover", session.recv()).await.unwrap(), Received::Failover { .. }));
    session.send(2u64.to_be_bytes()).await.unwrap();
    session.send(4u64.to_be_bytes()).await.unwrap();
    for expected in [2, 3] {
        let Received::Message(answer) = within("answer", session.recv()).await.unwrap() else { panic!() };
        assert_eq!(number(&answer), expected, "2 was done, 3 never arrived, so 4 is the third");
    }
}

// ASAP-3.8-06: the cookie comes back unmodified, whatever its size; also to a server that does not wait for it.
#[tokio::test]
async fn a_cookie_reaches_a_server_that_does_not_wait_for_it() {
    let registrar = registrar(&[]);
    let builder = PoolElement::builder("state").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    let register = async || {
        within("registration", builder.clone().cookie_wait(Duration::ZERO).register()).await.unwrap()
    };
    for cookie in [vec![], vec![0xa5; 65_527]] {
        let mut first = register().await;
        let user = user(&registrar);
        let mut session = within("connect", user.connect("state")).await.unwrap();
        let server = within("accept", first.accept()).await.unwrap();
        assert_eq!(server.cookie(), None);
        assert!(matches!(server.set_cookie([0; 65_528]).await, Err(SessionError::Unsendable { .. })));
        server.set_cookie(b"an older one").await.unwrap();
        server.set_cookie(&cookie).await.unwrap();
        server.send(b"set").await.unwrap();
        assert!(matches!(within("answer", session.recv()).await.unwrap(), Received::Message(_)));

        let mut second = register().await;
        drop((server, first));
        assert!(matches!(within("failover", session.recv()).await.unwrap(), Received::Failover { .. }));
        session.send(b"go on").await.unwrap();
        let mut server = within("accept", second.accept()).await.unwrap();
        assert_eq!(within("request", server.recv()).await.unwrap().unwrap()[..], *b"go on");
        assert_eq!(server.cookie(), Some(&cookie[..]));
        within("close", session.close()).await.unwrap();
        assert_eq!(within("the end", server.recv()).await.unwrap(), None);
        within("deregistration", second.deregister()).await.unwrap();
    }
}

// An element that leaves does not leave its clients waiting: those that it has not accepted yet go elsewhere.
#[tokio::test]
async fn a_session_that_nobody_accepted_continues_elsewhere_when_the_element_leaves() {
    let registrar = registrar(&[]);
    let deaf = counter(&[registrar.asap_address()]).await;
    let user = user(&registrar);
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    session.send(1u64.to_be_bytes()).await.unwrap();
    tokio::spawn(serve(counter(&[registrar.asap_address()]).await, Arc::default()));
    within("deregistration", deaf.deregister()).await.unwrap();
    assert_eq!(number(&within("request", session.request(1u64.to_be_bytes())).await.unwrap()), 1);
}

#[tokio::test]
async fn a_session_ends_with_an_error_when_no_server_is_left() {
    let registrar = registrar(&[]);
    let element = counter(&[registrar.asap_address()]).await;
    tokio::spawn(serve(element, Fate::at(1, Death::BeforeTheAnswer)));
    let user = PoolUser::builder([registrar.asap_address()])
        .profile(Profile::Rfc)
        .patience(Duration::from_secs(2))
        .build();
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    let error = within("the end", session.request(1u64.to_be_bytes())).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown pool \"counter\": no element is registered");
    let again = within("the same error", session.recv()).await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
}
