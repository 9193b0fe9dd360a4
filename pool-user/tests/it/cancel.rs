//! Futures that nobody waits for to the end: what they have begun, and what they leave.

use crate::support::{counter, number, registrar, user, within};
use pool_element::{PoolElement, Profile, Transport};
use registrar::{Event, Registrar};
use rserpool_pool_user::{PoolUser, Received};
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
