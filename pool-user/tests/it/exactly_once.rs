//! The helper for operations that are done once.

use crate::support::{number, registrar, user, within};
use pool_element::{PoolElement, Profile, Session};
use registrar::Registrar;
use rserpool_pool_user::{ExactlyOnce, PoolUser, Received, SessionError};
use std::time::Duration;

async fn element(registrar: &Registrar) -> PoolElement {
    let builder =
        PoolElement::builder("counter").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    within("registration", builder.register()).await.unwrap()
}

/// Adds what the requests say, until the session ends; returns what it has added by itself.
async fn add(session: Session) -> Result<u64, SessionError> {
    let mut session = pool_element::ExactlyOnce::new(session);
    let mut added = 0;
    while let Some(request) = session.next().await? {
        let sum = session.state().map_or(0, number) + number(&request);
        added += number(&request);
        session.answer(sum.to_be_bytes(), sum.to_be_bytes()).await?;
    }
    Ok(added)
}

// A server dies with a request unread, with one that is done, and with one whose answer is on its way: each counts once.
#[tokio::test]
async fn a_repeat_gets_the_answer_that_its_client_has_missed() {
    let registrar = registrar(&[]);
    let mut first = element(&registrar).await;
    let mut session = ExactlyOnce::new(within("connect", user(&registrar).connect("counter")).await.unwrap());
    let client = tokio::spawn(async move {
        let mut sums = Vec::new();
        for n in [1u64, 20, 300] {
            sums.push(number(&within("a call", session.call(n.to_be_bytes())).await.unwrap()));
        }
        (session, sums)
    });
    // Does the first operation; the answer to the second is not sent, but its cookie is.
    let mut server = pool_element::ExactlyOnce::new(within("accept", first.accept()).await.unwrap());
    assert_eq!(number(&within("a request", server.next()).await.unwrap().unwrap()), 1);
    assert_eq!(server.state(), None);
    server.answer(1u64.to_be_bytes(), 1u64.to_be_bytes()).await.unwrap();
    assert_eq!(number(&within("a request", server.next()).await.unwrap().unwrap()), 20);
    let mut cookie = 2u64.to_be_bytes().to_vec();
    cookie.extend_from_slice(&[0, 0, 0, 8]);
    cookie.extend_from_slice(&21u64.to_be_bytes());
    cookie.extend_from_slice(&21u64.to_be_bytes());
    server.session().set_cookie(cookie).await.unwrap();

    let mut second = element(&registrar).await;
    drop((server, first));
    let serving = tokio::spawn(add(within("accept", second.accept()).await.unwrap()));
    let (session, sums) = within("the client", client).await.unwrap();
    assert_eq!(sums, [1, 21, 321]);
    within("close", session.close()).await.unwrap();
    assert_eq!(within("the server", serving).await.unwrap().unwrap(), 300, "the second was not done again");
}

// Servers leave between, and in the middle of, the operations of a client that never notices.
#[tokio::test]
async fn drained_servers_hand_over_by_themselves() {
    let registrar = registrar(&[]);
    let mut present = element(&registrar).await;
    let mut session = ExactlyOnce::new(within("connect", user(&registrar).connect("counter")).await.unwrap());
    let (mut sum, mut added) = (0, 0);
    for round in 1..=4u64 {
        let call = async { number(&within("a call", session.call(round.to_be_bytes())).await.unwrap()) };
        let serve = async {
            let server = tokio::spawn(add(within("accept", present.accept()).await.unwrap()));
            [server]
        };
        let ([server], answer) = tokio::join!(serve, call);
        sum += round;
        assert_eq!(answer, sum);
        let next = element(&registrar).await;
        within("the drain", std::mem::replace(&mut present, next).drain()).await.unwrap();
        added += within("the server", server).await.unwrap().unwrap();
    }
    assert_eq!(added, sum);
}

#[tokio::test]
async fn an_abandoned_call_is_done_once_or_not_at_all() {
    let registrar = registrar(&[]);
    let mut element = element(&registrar).await;
    let mut session = ExactlyOnce::new(within("connect", user(&registrar).connect("counter")).await.unwrap());
    tokio::select! {
        biased;
        answer = session.call(1u64.to_be_bytes()) => panic!("it cannot be here yet: {answer:?}"),
        () = std::future::ready(()) => {}
    }
    let serving = tokio::spawn(add(within("accept", element.accept()).await.unwrap()));
    let sum = number(&within("a call", session.call(20u64.to_be_bytes())).await.unwrap());
    assert_eq!(sum, 21);
    within("close", session.close()).await.unwrap();
    assert_eq!(within("the server", serving).await.unwrap().unwrap(), 21);
}

#[tokio::test]
async fn what_is_not_numbered_is_told() {
    let registrar = registrar(&[]);
    let mut element = element(&registrar).await;
    let session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    session.send(b"hello").await.unwrap();
    let served = add(within("accept", element.accept()).await.unwrap()).await;
    assert!(matches!(served, Err(SessionError::Unexpected(_))), "{served:?}");
}

// ASAP-3.8-05: a cookie of something else is refused, and the client hears why.
#[tokio::test]
async fn a_session_with_a_foreign_cookie_is_refused_with_the_reason() {
    let registrar = registrar(&[]);
    let mut first = element(&registrar).await;
    let user = PoolUser::builder([registrar.asap_address()])
        .profile(Profile::Rfc)
        .patience(Duration::from_secs(1))
        .build();
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    let server = within("accept", first.accept()).await.unwrap();
    server.set_cookie(b"gibberish").await.unwrap();
    server.send(b"set").await.unwrap();
    assert!(matches!(within("an answer", session.recv()).await.unwrap(), Received::Message(_)));
    let mut second = element(&registrar).await;
    drop((server, first));
    let refuse = tokio::spawn(async move {
        while let Some(session) = second.accept().await {
            let served = add(session).await;
            assert!(matches!(served, Err(SessionError::CookieRefused(_))), "{served:?}");
        }
    });
    let error = loop {
        match within("the end", session.recv()).await {
            Ok(Received::Failover { .. }) => session.send(b"go on").await.unwrap(),
            Ok(received) => panic!("{received:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        "the session's cookie is refused: it is not that of an exactly-once session"
    );
    refuse.abort();
}
