//! Elements that leave while their clients work.

use crate::support::{counter, number, registrar, user, within};
use pool_element::{PoolElement, Profile, Session, SessionError};
use rserpool_pool_user::{PoolUser, Received};
use std::time::Duration;

/// Counts until the element leaves, then hands over: what the client has is the latest.
async fn count(mut session: Session) {
    let decode = |cookie: &[u8]| {
        let (last, count) = cookie.split_at(8);
        (number(last), number(count))
    };
    let mut known = None;
    loop {
        let request = tokio::select! {
            () = session.draining() => return drop(session.close().await),
            request = session.recv() => request,
        };
        let Ok(Some(request)) = request else { return };
        let mut state = known.or_else(|| session.cookie().map(decode)).unwrap_or_default();
        if number(&request) != state.0 {
            state = (number(&request), state.1 + 1);
        }
        known = Some(state);
        // A session that has ended is its client's to repeat.
        if session.set_cookie([state.0.to_be_bytes(), state.1.to_be_bytes()].concat()).await.is_err()
            || session.send(state.1.to_be_bytes()).await.is_err()
        {
            return;
        }
    }
}

/// Serves until it is told to leave, then leaves.
async fn serve(mut element: PoolElement, mut leave: tokio::sync::oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            session = element.accept() => drop(tokio::spawn(count(session.unwrap()))),
            _ = &mut leave => return element.drain().await.unwrap(),
        }
    }
}

// A rolling restart: whoever leaves has handed its sessions over, and nothing is lost or done twice.
#[tokio::test]
async fn a_rolling_restart_loses_nothing() {
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    let user = user(&registrar);
    let start = async || {
        let (leave, left) = tokio::sync::oneshot::channel();
        (leave, tokio::spawn(serve(counter(&registrars).await, left)))
    };
    let mut servers = vec![start().await, start().await];
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(within("connect", user.connect("counter")).await.unwrap());
    }
    for round in 0..4u64 {
        for session in &mut sessions {
            for seq in round * 10 + 1..=round * 10 + 10 {
                let answer = within("an operation", session.request(seq.to_be_bytes())).await.unwrap();
                assert_eq!(number(&answer), seq);
            }
        }
        servers.push(start().await);
        let (leave, left) = servers.remove(0);
        leave.send(()).unwrap();
        within("the drain", left).await.unwrap();
    }
}

// A server that does not care loses its sessions after the grace, in order: the client has what was sent.
#[tokio::test]
async fn a_session_is_handed_over_after_the_grace() {
    let registrar = registrar(&[]);
    let user = user(&registrar);
    let builder = PoolElement::builder("pool").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    let register =
        async || within("registration", builder.clone().drain_grace(Duration::ZERO).register()).await;
    let mut first = register().await.unwrap();
    let mut session = within("connect", user.connect("pool")).await.unwrap();
    session.send(b"hello").await.unwrap();
    let mut server = within("accept", first.accept()).await.unwrap();
    assert_eq!(within("request", server.recv()).await.unwrap().unwrap()[..], *b"hello");
    server.set_cookie(b"state").await.unwrap();
    server.send(b"answer").await.unwrap();
    let mut second = register().await.unwrap();
    within("the drain", first.drain()).await.unwrap();
    within("the notice", server.draining()).await;
    assert_eq!(within("the end", server.recv()).await.unwrap(), None);
    let answer = within("answer", session.recv()).await.unwrap();
    assert_eq!(answer, Received::Message(b"answer".as_slice().into()));
    assert!(matches!(within("failover", session.recv()).await.unwrap(), Received::Failover { .. }));
    session.send(b"go on").await.unwrap();
    assert_eq!(within("accept", second.accept()).await.unwrap().cookie(), Some(&b"state"[..]));
}

// A server that does not stop by itself: what it could send arrives, and from the end of the grace on it is told.
#[tokio::test]
async fn what_was_sent_before_the_grace_was_over_arrives() {
    let registrar = registrar(&[]);
    let user = PoolUser::builder([registrar.asap_address()])
        .profile(Profile::Rfc)
        .patience(Duration::from_secs(1))
        .build();
    for round in 0..4 {
        let builder = PoolElement::builder("pool").registrars([registrar.asap_address()]);
        let builder = builder.profile(Profile::Rfc).drain_grace(Duration::from_millis(10 + round));
        let mut element = within("registration", builder.register()).await.unwrap();
        let mut session = within("connect", user.connect("pool")).await.unwrap();
        session.send(b"go").await.unwrap();
        let server = within("accept", element.accept()).await.unwrap();
        let sending = tokio::spawn(async move {
            let mut sent = 0u64;
            loop {
                match server.send(sent.to_be_bytes()).await {
                    Ok(()) => sent += 1,
                    Err(SessionError::Closed) => break sent,
                    Err(error) => panic!("after {sent} messages: {error}"),
                }
            }
        });
        let receiving = tokio::spawn(async move {
            let mut received = 0;
            while let Ok(Received::Message(message)) = session.recv().await {
                assert_eq!(number(&message), received);
                received += 1;
            }
            received
        });
        within("the drain", element.drain()).await.unwrap();
        let sent = within("the server", sending).await.unwrap();
        assert_eq!(within("the client", receiving).await.unwrap(), sent);
    }
}
