//! Futures that nobody waits for to the end: what they have begun, and what they leave.

use crate::support::{counter, number, registrar, user, within};
use pool_element::{PoolElement, Profile, Transport};
use registrar::{Event, Registrar};
use rserpool_pool_user::{ExactlyOnce, PoolUser, Received};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// Drops a future that is not done after so many turns of the others; in real time they are few, or enough.
async fn give_up<T>(turns: usize, future: impl Future<Output = T>) -> Option<T> {
    let wait = async {
        for _ in 0..turns {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        done = future => Some(done),
        () = wait => None,
    }
}

fn web(element: &PoolElement, pool: &str) -> pool_element::Builder {
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    PoolElement::builder(pool).endpoint(element.endpoint()).service(Transport::tcp(address))
}

async fn elements(registrar: &Registrar) -> usize {
    registrar.status().await.unwrap().elements
}

// A session that nobody waits for any more is ended, at its server too, and the next one is not disturbed.
#[tokio::test]
async fn a_cancelled_connect_leaves_no_session() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let (begun, mut sessions) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(mut session) = element.accept().await {
            let served = tokio::spawn(async move {
                while let Ok(Some(request)) = session.recv().await {
                    session.send(request).await.unwrap();
                }
            });
            begun.send(served).unwrap();
        }
    });
    let user = user(&registrar);
    for turns in (0..400).step_by(20) {
        drop(within("a connect", give_up(turns, user.connect("counter"))).await);
    }
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    assert_eq!(number(&within("a request", session.request(7u64.to_be_bytes())).await.unwrap()), 7);
    within("close", session.close()).await.unwrap();
    while let Ok(served) = sessions.try_recv() {
        within("the end of a session", served).await.unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_accept_loses_no_session() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let user = user(&registrar);
    for n in 0..20u64 {
        let session = within("connect", user.connect("counter")).await.unwrap();
        session.send(n.to_be_bytes()).await.unwrap();
        let mut server = within("accept", async {
            loop {
                if let Some(server) = give_up(1, element.accept()).await {
                    break server.unwrap();
                }
            }
        })
        .await;
        assert_eq!(number(&within("a message", server.recv()).await.unwrap().unwrap()), n);
    }
}

// Registrations that nobody waits for are taken back, in order: what is confirmed after them is there alone.
#[tokio::test]
async fn a_cancelled_registration_is_taken_back() {
    let registrar = registrar(&[]);
    let first = counter(&[registrar.asap_address()]).await;
    for turns in 0..20 {
        drop(within("a registration", give_up(turns * 10, web(&first, "web").register())).await);
    }
    let last = within("registration", web(&first, "other").register()).await.unwrap();
    assert_eq!(elements(&registrar).await, 2);
    within("deregistration", last.deregister()).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_deregistration_goes_on() {
    let registrar = registrar(&[]);
    let first = counter(&[registrar.asap_address()]).await;
    for turns in 0..5 {
        let web = within("registration", web(&first, "web").register()).await.unwrap();
        drop(give_up(turns, web.deregister()).await);
    }
    let last = within("registration", web(&first, "other").register()).await.unwrap();
    assert_eq!(elements(&registrar).await, 2);
    within("deregistration", last.deregister()).await.unwrap();
}

// Whoever stops waiting for a drain does not stop it: the element leaves, and its session is told, and ended after the grace.
#[tokio::test]
async fn a_cancelled_drain_goes_on() {
    for (turns, ready) in [(0, true), (0, false), (1, true), (1, false), (2, true), (10, true)] {
        let registrar = registrar(&[]);
        let mut events = registrar.events();
        let builder = PoolElement::builder("counter").registrars([registrar.asap_address()]);
        let builder = builder.profile(Profile::Rfc).drain_grace(Duration::from_millis(10));
        let mut element = within("registration", builder.register()).await.unwrap();
        let session = within("connect", user(&registrar).connect("counter")).await.unwrap();
        session.send(b"hello").await.unwrap();
        let mut server = within("accept", element.accept()).await.unwrap();
        assert_eq!(within("a message", server.recv()).await.unwrap().unwrap()[..], *b"hello");
        if !ready {
            within("withdrawal", element.set_ready(false)).await.unwrap();
        }
        drop(give_up(turns, element.drain()).await);
        within("the notice", server.draining()).await;
        assert_eq!(within("the end", server.recv()).await.unwrap(), None);
        within("the registrar hears of it", async {
            while !matches!(events.next().await.unwrap(), Event::ElementRemoved { .. }) {}
        })
        .await;
    }
}

#[tokio::test]
async fn a_cancelled_wait_for_a_change_loses_none() {
    let registrar = registrar(&[]);
    let first = counter(&[registrar.asap_address()]).await;
    let user = PoolUser::new([registrar.asap_address()]);
    drop(give_up(1, user.watch("web")).await);
    let mut watch = within("watch", user.watch("web")).await.unwrap();
    assert!(within("the pool", watch.changed()).await.is_err(), "there is none yet");
    for n in 1..=5 {
        let web = within("registration", web(&first, "web").register()).await.unwrap();
        let found = within("a change", async {
            loop {
                match give_up(1, watch.changed()).await {
                    Some(Ok(resolution)) => break resolution,
                    Some(Err(error)) => panic!("{error}"),
                    None => {}
                }
            }
        })
        .await;
        assert_eq!(found.elements[0].id, web.id(), "round {n}");
        within("deregistration", web.deregister()).await.unwrap();
        assert!(within("a change", watch.changed()).await.is_err());
    }
}

// An answer that nobody waits for does not become the next one's, and is in nobody's way.
#[tokio::test]
async fn a_cancelled_resolution_disturbs_nobody() {
    let registrar = registrar(&[]);
    let element = counter(&[registrar.asap_address()]).await;
    let user = user(&registrar);
    for turns in 0..20 {
        drop(give_up(turns, user.resolve_uncached("nowhere")).await);
        drop(give_up(turns, user.resolve_uncached("counter")).await);
        drop(give_up(turns, user.resolve("counter")).await);
        let resolution = within("resolution", user.resolve_uncached("counter")).await.unwrap();
        assert_eq!(resolution.elements[0].id, element.id());
    }
}

// Whoever stops waiting for the end of a session does not stop it: the server gets everything, then hears of the end.
#[tokio::test]
async fn a_cancelled_close_of_the_client_goes_on() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let user = user(&registrar);
    for turns in [0, 1, 2, 10] {
        let session = within("connect", user.connect("counter")).await.unwrap();
        for n in 0..10u64 {
            session.send(n.to_be_bytes()).await.unwrap();
        }
        drop(give_up(turns, session.close()).await);
        let mut server = within("accept", element.accept()).await.unwrap();
        for n in 0..10u64 {
            assert_eq!(number(&within("a message", server.recv()).await.unwrap().unwrap()), n);
        }
        assert_eq!(within("the end", server.recv()).await.unwrap(), None, "after {turns} turns");
    }
}

// The same at the other side: the client gets everything, then goes on elsewhere, here at the same server.
#[tokio::test]
async fn a_cancelled_close_of_the_server_goes_on() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let user = user(&registrar);
    for turns in [0, 1, 2, 10] {
        let mut session = within("connect", user.connect("counter")).await.unwrap();
        session.send(b"hello").await.unwrap();
        let mut server = within("accept", element.accept()).await.unwrap();
        assert_eq!(within("a message", server.recv()).await.unwrap().unwrap()[..], *b"hello");
        for n in 0..10u64 {
            server.send(n.to_be_bytes()).await.unwrap();
        }
        drop(give_up(turns, server.close()).await);
        for n in 0..10u64 {
            let answer = within("an answer", session.recv()).await.unwrap();
            assert!(answer == Received::Message(n.to_be_bytes().to_vec().into()), "{answer:?}");
        }
        let next = within("the end", session.recv()).await.unwrap();
        assert!(matches!(next, Received::Failover { .. }), "after {turns} turns: {next:?}");
    }
}

// Whoever stops waiting until the element is out of its pool, or in it again, does not stop it.
#[tokio::test]
async fn a_cancelled_change_of_readiness_goes_on() {
    let registrar = registrar(&[]);
    let element = counter(&[registrar.asap_address()]).await;
    for turns in [0, 1, 2, 10] {
        let mut events = registrar.events();
        drop(give_up(turns, element.set_ready(false)).await);
        within("the element leaves", async {
            while !matches!(events.next().await.unwrap(), Event::ElementRemoved { .. }) {}
        })
        .await;
        drop(give_up(turns, element.set_ready(true)).await);
        within("the element is back", async {
            while !matches!(events.next().await.unwrap(), Event::ElementRegistered { .. }) {}
        })
        .await;
    }
    drop(give_up(1, element.set_ready(false)).await);
    within("registration", element.set_ready(true)).await.unwrap();
    assert_eq!(elements(&registrar).await, 1, "the last word counts");
}

// A server that looks elsewhere while it waits for an operation misses none, and does none twice.
#[tokio::test]
async fn a_cancelled_wait_for_an_operation_loses_none() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let session = within("connect", user(&registrar).connect("counter")).await.unwrap();
    let server = tokio::spawn(async move {
        let mut session = pool_element::ExactlyOnce::new(element.accept().await.unwrap());
        let mut waited = 0;
        loop {
            match give_up(1, session.next()).await.transpose().unwrap() {
                Some(Some(_)) => {
                    let count = (session.state().map_or(0, number) + 1).to_be_bytes();
                    session.answer(count, count).await.unwrap();
                }
                Some(None) => break waited,
                None => waited += 1,
            }
        }
    });
    let mut session = ExactlyOnce::new(session);
    for n in 1..=20 {
        assert_eq!(number(&within("a call", session.call(b"one more")).await.unwrap()), n);
    }
    drop(session);
    assert!(within("the end", server).await.unwrap() > 0, "it never had to wait");
}

// Neither half of a session loses anything when it is interrupted.
#[tokio::test]
async fn cancelled_halves_lose_nothing() {
    let registrar = registrar(&[]);
    let mut element = counter(&[registrar.asap_address()]).await;
    let (sender, mut receiver) =
        within("connect", user(&registrar).connect("counter")).await.unwrap().split();
    tokio::spawn(async move {
        let mut server = element.accept().await.unwrap();
        while let Ok(Some(message)) = server.recv().await {
            server.send(message).await.unwrap();
        }
    });
    // Three of them fill the queue.
    let message = |n: u64| n.to_be_bytes().repeat(10_000);
    let (mut sent, mut received, mut waited) = (0, 0, 0);
    within("all answers", async {
        while received < 100 {
            if sent < 100 {
                match give_up(1, sender.send(message(sent))).await.transpose().unwrap() {
                    Some(()) => sent += 1,
                    None => waited += 1,
                }
            }
            if let Some(answer) = give_up(1, receiver.recv()).await {
                assert!(answer.unwrap() == Received::Message(message(received).into()), "answer {received}");
                received += 1;
            }
        }
    })
    .await;
    assert!(waited > 0, "the queue was never full");
}
