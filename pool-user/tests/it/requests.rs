//! Requests that repeat themselves, and those that nobody waits for any more.

use crate::support::{Death, Fate, counter, number, registrar, serve, user, within};
use pool_element::{PoolElement, Profile};
use rserpool_pool_user::{SendOptions, Session, SessionError};
use std::sync::Arc;
use std::time::Duration;

/// Sends a request and does not wait for its answer.
async fn abandon(session: &mut Session, seq: u64) {
    tokio::select! {
        biased;
        answer = session.request(seq.to_be_bytes()) => panic!("it cannot be here yet: {answer:?}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn the_answer_to_a_cancelled_request_is_not_taken_for_that_of_the_next() {
    let registrar = registrar(&[]);
    tokio::spawn(serve(counter(&[registrar.asap_address()]).await, Arc::<Fate>::default()));
    let mut session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    for seq in (1..=60u64).step_by(3) {
        abandon(&mut session, seq).await;
        abandon(&mut session, seq + 1).await;
        let answer = within("a request", session.request((seq + 2).to_be_bytes())).await.unwrap();
        assert_eq!(number(&answer), seq + 2);
    }
}

// What SCTP refuses of other messages says nothing of the requests that are under way.
#[tokio::test]
async fn a_refused_message_is_not_taken_for_a_request() {
    let registrar = registrar(&[]);
    tokio::spawn(serve(counter(&[registrar.asap_address()]).await, Arc::<Fate>::default()));
    let mut session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    for seq in (1..=30u64).step_by(3) {
        abandon(&mut session, seq).await;
        let no_such_stream = SendOptions::new().stream(60_000);
        session.send_with("not a request".into(), no_such_stream).await.unwrap();
        let refused = within("a request", session.request((seq + 1).to_be_bytes())).await;
        assert!(matches!(refused, Err(SessionError::Unsendable { length: 13, .. })), "{refused:?}");
        let answer = within("a request", session.request((seq + 2).to_be_bytes())).await.unwrap();
        assert_eq!(number(&answer), seq + 2);
    }
}

// What was abandoned at the former server is owed by nobody.
#[tokio::test]
async fn a_failover_settles_what_was_abandoned() {
    let registrar = registrar(&[]);
    let fate = Fate::at(3, Death::BeforeTheAnswer);
    for _ in 0..2 {
        tokio::spawn(serve(counter(&[registrar.asap_address()]).await, fate.clone()));
    }
    let mut session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    let first = session.element();
    for seq in [1, 2u64] {
        let answer = within("a request", session.request(seq.to_be_bytes())).await.unwrap();
        assert_eq!(number(&answer), seq);
    }
    abandon(&mut session, 3).await;
    let answer = within("a request", session.request(4u64.to_be_bytes())).await.unwrap();
    assert_eq!(number(&answer), 4, "3 was done before its server died");
    assert_ne!(session.element(), first);
}

#[tokio::test]
async fn a_request_has_a_deadline_and_the_session_goes_on() {
    let registrar = registrar(&[]);
    let builder = PoolElement::builder("slow").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    let mut element = within("registration", builder.register()).await.unwrap();
    let mut session = within("connect", user(&registrar).connect("slow")).await.unwrap();
    let late = session.request_within(Duration::from_millis(10), b"first").await;
    assert!(matches!(late, Err(SessionError::Timeout)), "{late:?}");
    let echo = tokio::spawn(async move {
        let mut server = element.accept().await.unwrap();
        while let Ok(Some(request)) = server.recv().await {
            server.send(&request).await.unwrap();
        }
    });
    let answer = within("a request", session.request_within(Duration::from_secs(60), b"second")).await;
    assert_eq!(answer.unwrap()[..], *b"second");
    within("close", session.close()).await.unwrap();
    within("the server", echo).await.unwrap();
}

/// A message that fills a session's queue, for a stream that the peer does not have.
const TOO_MUCH: usize = 256 * 1024;

fn no_such_stream() -> SendOptions {
    SendOptions::new().stream(60_000)
}

// What was refused holds its room until it is received: a request receives while it waits for room.
#[tokio::test]
async fn a_request_is_not_stopped_by_refusals() {
    let registrar = registrar(&[]);
    tokio::spawn(serve(counter(&[registrar.asap_address()]).await, Arc::<Fate>::default()));
    let mut session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    for seq in [1, 2u64] {
        while within("a message or the error", session.send_with(vec![0; TOO_MUCH].into(), no_such_stream()))
            .await
            .is_ok()
        {}
        let answer = loop {
            match within("a request", session.request(seq.to_be_bytes())).await {
                Err(SessionError::Unsendable { length: TOO_MUCH, .. }) => {}
                answer => break answer.unwrap(),
            }
        };
        assert_eq!(number(&answer), seq);
    }
}

// Whoever only sends is told so, too: nobody can receive while it waits.
#[tokio::test]
async fn refusals_that_nobody_can_receive_are_said_by_the_next_send() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let mut session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    session.send(b"go").await.unwrap();
    let mut server = within("accept", element.accept()).await.unwrap();
    let refused = within("the error", async {
        loop {
            if let Err(error) = server.send_with(vec![0; TOO_MUCH / 8].into(), no_such_stream()).await {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(refused, SessionError::Unsendable { .. }), "{refused:?}");
    assert_eq!(within("a message", server.recv()).await.unwrap().unwrap()[..], *b"go");
    while let Ok(error) = tokio::time::timeout(Duration::ZERO, server.recv()).await {
        assert!(matches!(error, Err(SessionError::Unsendable { .. })), "{error:?}");
    }
    within("a send", server.send(b"gone on")).await.unwrap();
    let received = within("a message", session.recv()).await.unwrap();
    assert!(matches!(received, rserpool_pool_user::Received::Message(message) if message[..] == *b"gone on"));
}
