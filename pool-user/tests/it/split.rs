//! Sessions that send and receive at the same time.

use crate::support::{number, registrar, user, within};
use pool_element::{PoolElement, Profile};
use registrar::Registrar;
use rserpool_pool_user::{Received, RecvHalf, SendHalf, SessionError};
use tokio::sync::watch;

/// More than the queues between a client and a server hold.
const MANY: u64 = 300;

/// The `n`-th message of many large ones.
fn chunk(n: u64) -> Vec<u8> {
    let mut chunk = vec![n as u8; 32 * 1024];
    chunk[..8].copy_from_slice(&n.to_be_bytes());
    chunk
}

async fn element(registrar: &Registrar) -> PoolElement {
    let builder = PoolElement::builder("echo").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    within("registration", builder.register()).await.unwrap()
}

/// Answers so many messages with themselves, then dies.
async fn echo(mut element: PoolElement, lives: u64) {
    let mut session = element.accept().await.unwrap();
    for _ in 0..lives {
        let Ok(Some(message)) = session.recv().await else { return };
        session.send(message).await.unwrap();
    }
}

/// Sends everything without waiting, and after a failover what is not answered; returns how often it was told of one.
async fn write(mut sender: SendHalf, mut answered: watch::Receiver<u64>) -> Result<usize, SessionError> {
    let (mut next, mut failovers) = (0, 0);
    loop {
        let failed_over = if next < MANY {
            match sender.send(chunk(next)).await {
                Ok(()) => {
                    next += 1;
                    false
                }
                Err(SessionError::FailedOver) => {
                    sender.failover().await?;
                    true
                }
                Err(error) => return Err(error),
            }
        } else {
            tokio::select! {
                done = answered.wait_for(|answered| *answered == MANY) => {
                    drop(done);
                    break;
                }
                server = sender.failover() => server.map(|_| true)?,
            }
        };
        if failed_over {
            failovers += 1;
            next = *answered.borrow();
        }
    }
    sender.close().await?;
    Ok(failovers)
}

/// Receives the answer to everything, once and in order; returns the number of failovers.
async fn read(mut receiver: RecvHalf, answered: watch::Sender<u64>) -> usize {
    let mut failovers = 0;
    for n in 0..MANY {
        loop {
            match receiver.recv().await.unwrap() {
                Received::Message(answer) => {
                    break assert!(answer[..] == chunk(n)[..], "answer {n} comes next");
                }
                Received::Failover { to, .. } => {
                    assert_eq!(receiver.element(), to);
                    failovers += 1;
                }
            }
        }
        answered.send_modify(|answered| *answered += 1);
    }
    failovers
}

// Both queues are full all the time, and the server dies in the middle: nothing stands still, nothing is lost or out of turn.
#[tokio::test]
async fn a_client_that_does_not_wait_for_answers_survives_its_server() {
    let registrar = registrar(&[]);
    let first = element(&registrar).await;
    let session = within("connect", user(&registrar).connect("echo")).await.unwrap();
    tokio::spawn(echo(first, MANY / 2));
    tokio::spawn(echo(element(&registrar).await, u64::MAX));
    let (sender, receiver) = session.split();
    let (answered, progress) = watch::channel(0);
    let writing = tokio::spawn(write(sender, progress));
    assert_eq!(within("all answers", read(receiver, answered)).await, 1);
    assert_eq!(within("the writer", writing).await.unwrap().unwrap(), 1);
}

// The same with halves on the other side, whose client only sends for a while.
#[tokio::test]
async fn a_server_receives_while_its_client_does_not() {
    let registrar = registrar(&[]);
    let mut element = element(&registrar).await;
    let mut session = within("connect", user(&registrar).connect("echo")).await.unwrap();
    let server = tokio::spawn(async move {
        let (sender, mut receiver) = element.accept().await.unwrap().split();
        let (answers, mut queue) = tokio::sync::mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            while let Some(answer) = queue.recv().await {
                sender.send(answer).await.unwrap();
            }
            sender.close().await
        });
        while let Some(message) = receiver.recv().await.unwrap() {
            answers.send(message).unwrap();
        }
        drop(answers);
        sending.await.unwrap()
    });
    for n in 0..MANY {
        within("a message", session.send(chunk(n))).await.unwrap();
    }
    for n in 0..MANY {
        let received = within("an answer", session.recv()).await.unwrap();
        assert!(received == Received::Message(chunk(n).into()), "answer {n} comes next");
    }
    within("close", session.close()).await.unwrap();
    within("the server", server).await.unwrap().unwrap();
}

// Who only sends does not stop the other side, and hears of failovers.
#[tokio::test]
async fn what_nobody_receives_is_thrown_away() {
    let registrar = registrar(&[]);
    let mut first = element(&registrar).await;
    let session = within("connect", user(&registrar).connect("echo")).await.unwrap();
    let was = session.element();
    let (mut sender, receiver) = session.split();
    drop(receiver);
    within("a message", sender.send(b"hello")).await.unwrap();
    let server = within("accept", first.accept()).await.unwrap();
    for n in 0..MANY {
        within("an answer", server.send(chunk(n))).await.unwrap();
    }
    let mut second = element(&registrar).await;
    drop((server, first));
    let now = within("a failover", sender.failover()).await.unwrap();
    assert_ne!(now, was);
    within("a message", sender.send(9u64.to_be_bytes())).await.unwrap();
    let mut server = within("accept", second.accept()).await.unwrap();
    assert_eq!(number(&within("a message", server.recv()).await.unwrap().unwrap()), 9);
    within("close", sender.close()).await.unwrap();
    assert_eq!(within("the end", server.recv()).await.unwrap(), None);
}

// A session is there as long as one of its halves is.
#[tokio::test]
async fn a_session_ends_with_the_second_of_its_halves() {
    let registrar = registrar(&[]);
    let mut element = element(&registrar).await;
    let session = within("connect", user(&registrar).connect("echo")).await.unwrap();
    let (sender, mut receiver) = session.split();
    sender.send(b"hello").await.unwrap();
    drop(sender);
    let mut server = within("accept", element.accept()).await.unwrap();
    assert_eq!(within("a message", server.recv()).await.unwrap().unwrap()[..], *b"hello");
    server.send(b"welcome").await.unwrap();
    let welcome = Received::Message(b"welcome".as_slice().into());
    assert_eq!(within("an answer", receiver.recv()).await.unwrap(), welcome);
    drop(receiver);
    assert_eq!(within("the end", server.recv()).await.unwrap(), None);
}
