//! Backpressure and cancellation.

use crate::support::{Fate, counter, number, registrar, serve, user, within};
use pool_element::{PoolElement, Profile};
use rserpool_pool_user::{PoolUser, Received, SendOptions, Session, SessionError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The `n`-th message of a stream of large ones.
fn chunk(n: u64) -> Vec<u8> {
    let mut chunk = vec![n as u8; 32 * 1024];
    chunk[..8].copy_from_slice(&n.to_be_bytes());
    chunk
}

// A slow reader stops its sender, not the endpoint; and a send that was cancelled was not sent.
#[tokio::test]
async fn a_slow_reader_stops_its_sender_but_nobody_else() {
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    let slow = PoolElement::builder("slow").registrars(registrars).profile(Profile::Rfc).register();
    let mut slow = within("registration", slow).await.unwrap();
    tokio::spawn(serve(counter(&registrars).await, Arc::<Fate>::default()));
    let user = user(&registrar);
    let session = within("connect", user.connect("slow")).await.unwrap();
    let mut other = within("connect", user.connect("counter")).await.unwrap();
    session.send(chunk(0)).await.unwrap();
    let mut reader = within("accept", slow.accept()).await.unwrap();

    let (progress, mut operations) = watch::channel(0);
    let other = tokio::spawn(async move {
        while !progress.is_closed() {
            let next = *progress.borrow() + 1;
            assert_eq!(number(&other.request(u64::to_be_bytes(next)).await.unwrap()), next);
            progress.send_replace(next);
        }
    });

    let mut sent = 1;
    loop {
        // A send that makes no progress while another session of the same endpoint does 200 operations waits.
        let enough = *operations.borrow() + 200;
        tokio::select! {
            biased;
            result = session.send(chunk(sent)) => { result.unwrap(); sent += 1; }
            done = within("the other session works", operations.wait_for(|&done| done >= enough)) => {
                drop(done.unwrap());
                break;
            }
        }
        assert!(sent < 1000, "nothing stops the sender");
    }
    drop(operations);
    within("the other session", other).await.unwrap();

    let writer = tokio::spawn(async move {
        session.send(b"end").await.unwrap();
        session
    });
    for n in 0..sent {
        let message = within("a message", reader.recv()).await.unwrap().unwrap();
        assert!(message[..] == chunk(n)[..], "message {n} of {sent} comes next, whole");
    }
    assert_eq!(within("the end", reader.recv()).await.unwrap().unwrap()[..], *b"end");
    within("close", within("the writer", writer).await.unwrap().close()).await.unwrap();
    assert_eq!(within("the end", reader.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_slow_client_stops_its_server() {
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    let element = PoolElement::builder("flood").registrars(registrars).profile(Profile::Rfc).register();
    let mut element = within("registration", element).await.unwrap();
    let user = PoolUser::builder(registrars).profile(Profile::Rfc).patience(Duration::from_secs(1)).build();
    let mut session = within("connect", user.connect("flood")).await.unwrap();
    session.send(b"go").await.unwrap();
    let (stop, mut stopped) = oneshot::channel();
    let flood = tokio::spawn(async move {
        let server = element.accept().await.unwrap();
        let mut sent = 0;
        loop {
            tokio::select! {
                result = server.send(chunk(sent)) => { result.unwrap(); sent += 1; }
                _ = &mut stopped => break,
            }
        }
        server.close().await.unwrap();
        sent
    });
    for n in 0..100 {
        let received = within("a message", session.recv()).await.unwrap();
        assert!(received == Received::Message(chunk(n).into()), "message {n} comes next, whole");
    }
    stop.send(()).unwrap();
    // For the client the end of its server is the beginning of a failover; what arrived before comes first.
    let mut received = 100;
    while let Ok(Received::Message(message)) = within("a message", session.recv()).await {
        assert!(message[..] == chunk(received)[..], "message {received} comes next, whole");
        received += 1;
    }
    assert_eq!(received, within("the server", flood).await.unwrap());
}

// Both ways, while the other side is slow to read; streams and identifiers as options.
#[tokio::test]
async fn messages_of_one_mebibyte_go_both_ways() {
    const LARGEST: usize = 1 << 20;
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    let element = PoolElement::builder("large").registrars(registrars).profile(Profile::Rfc).register();
    let mut element = within("registration", element).await.unwrap();
    let mut session = within("connect", user(&registrar).connect("large")).await.unwrap();
    let echo = tokio::spawn(async move {
        let mut server = element.accept().await.unwrap();
        while let Some(message) = server.recv_message().await.unwrap() {
            let options = SendOptions::of(&message).ppid(message.ppid + 1);
            server.send_with(message.bytes, options).await.unwrap();
        }
    });
    let large = |n: u8| bytes::Bytes::from((0..LARGEST).map(|i| (i / 1021) as u8 ^ n).collect::<Vec<u8>>());
    let options = |n: u8| SendOptions::new().stream(n.into()).ppid(100 + u32::from(n)).unordered(n % 2 == 1);
    for n in 0..4 {
        within("a large message", session.send_with(large(n), options(n))).await.unwrap();
    }
    let mut seen = [false; 4];
    for _ in 0..4 {
        let received = within("a large answer", session.recv_message()).await.unwrap();
        let Received::Message(message) = received else { panic!("{received:?}") };
        let n = u8::try_from(message.stream).unwrap();
        assert!(message.bytes == large(n), "message {n} comes back whole");
        let SendOptions { ppid, unordered, .. } = options(n);
        assert_eq!((message.ppid, message.unordered), (ppid + 1, unordered));
        assert!(!std::mem::replace(&mut seen[usize::from(n)], true));
    }
    within("close", session.close()).await.unwrap();
    within("the server", echo).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_recv_loses_nothing() {
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    tokio::spawn(serve(counter(&registrars).await, Arc::<Fate>::default()));
    let user = user(&registrar);
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    for seq in 1..=100u64 {
        session.send(seq.to_be_bytes()).await.unwrap();
        let answer = within("an answer", async {
            loop {
                tokio::select! {
                    received = session.recv() => break received.unwrap(),
                    () = tokio::task::yield_now() => (), // mostly the first to be ready: recv is cancelled often
                }
            }
        })
        .await;
        assert_eq!(answer, Received::Message(seq.to_be_bytes().to_vec().into()));
    }
}

#[tokio::test]
async fn what_can_never_be_sent_is_refused_and_the_session_goes_on() {
    let registrar = registrar(&[]);
    let registrars = [registrar.asap_address()];
    tokio::spawn(serve(counter(&registrars).await, Arc::<Fate>::default()));
    let user = user(&registrar);
    let mut session: Session = within("connect", user.connect("counter")).await.unwrap();
    let control = SendOptions::new().ppid(11);
    for refused in [
        session.send([]).await,
        session.send(vec![0; (1 << 20) + 1]).await,
        session.send_with("control".into(), control).await,
    ] {
        assert!(matches!(refused, Err(SessionError::Unsendable { .. })), "{refused:?}");
    }
    assert_eq!(number(&within("request", session.request(1u64.to_be_bytes())).await.unwrap()), 1);
}
