//! Sessions that send again what their cookie does not cover.

use crate::support::{registrar, within};
use pool_element::{PoolElement, Profile};
use registrar::Registrar;
use rserpool_pool_user::{ExactlyOnce, PoolUser, Received, ReplayLimits, Session};

async fn element(registrar: &Registrar) -> PoolElement {
    let builder = PoolElement::builder("replay").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    within("registration", builder.register()).await.unwrap()
}

async fn keeping(registrar: &Registrar, messages: usize) -> Session {
    let limits = ReplayLimits::new().messages(messages);
    let user = PoolUser::builder([registrar.asap_address()]).profile(Profile::Rfc).replay(limits).build();
    within("connect", user.connect("replay")).await.unwrap()
}

async fn received(server: &mut pool_element::Session) -> Vec<u8> {
    within("a request", server.recv()).await.unwrap().unwrap().to_vec()
}

async fn answer(session: &mut Session) -> Vec<u8> {
    match within("an answer", session.recv()).await.unwrap() {
        Received::Message(answer) => answer.to_vec(),
        failover => panic!("{failover:?}"),
    }
}

// ASAP-3.8-04: the next server gets the cookie and all that was not answered before it, and the client each answer once.
#[tokio::test]
async fn what_the_cookie_does_not_cover_goes_to_the_next_server() {
    let registrar = registrar(&[]);
    let mut first = element(&registrar).await;
    let mut session = keeping(&registrar, 100).await;
    for request in ["1", "2", "3", "4"] {
        session.send(request).await.unwrap();
    }
    let mut server = within("accept", first.accept()).await.unwrap();
    for request in ["1", "2", "3"] {
        assert_eq!(received(&mut server).await, request.as_bytes());
        server.send(request).await.unwrap();
        if request == "2" {
            server.set_cookie("after 2").await.unwrap();
        }
    }
    for expected in ["1", "2", "3"] {
        assert_eq!(answer(&mut session).await, expected.as_bytes());
    }
    let mut second = element(&registrar).await;
    drop((server, first));
    let failover = within("failover", session.recv()).await.unwrap();
    assert!(matches!(failover, Received::Failover { replayed: true, .. }), "{failover:?}");
    session.send("5").await.unwrap();
    let mut server = within("accept", second.accept()).await.unwrap();
    assert_eq!(server.cookie(), Some(&b"after 2"[..]));
    for request in ["3", "4", "5"] {
        assert_eq!(received(&mut server).await, request.as_bytes());
        server.send(request).await.unwrap();
    }
    for expected in ["4", "5"] {
        assert_eq!(answer(&mut session).await, expected.as_bytes());
    }
}

// Neither a request nor a call is repeated by hand when it was sent again.
#[tokio::test]
async fn a_request_is_sent_again_once() {
    let registrar = registrar(&[]);
    for exactly_once in [false, true] {
        let mut first = element(&registrar).await;
        let mut session = keeping(&registrar, 100).await;
        let call = tokio::spawn(async move {
            match exactly_once {
                true => ExactlyOnce::new(session).call("").await,
                false => session.request([0, 0, 0, 0, 0, 0, 0, 1]).await,
            }
        });
        let mut server = within("accept", first.accept()).await.unwrap();
        let request = received(&mut server).await;
        let mut second = element(&registrar).await;
        drop((server, first));
        let mut server = within("accept", second.accept()).await.unwrap();
        assert_eq!(received(&mut server).await, request);
        server.send(&request).await.unwrap();
        within("the answer", call).await.unwrap().unwrap();
        assert_eq!(within("the end", server.recv()).await.unwrap(), None);
        within("deregistration", second.deregister()).await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_sends_too_much_says_so_at_its_failover() {
    let registrar = registrar(&[]);
    let mut first = element(&registrar).await;
    let mut session = keeping(&registrar, 1).await;
    session.send("1").await.unwrap();
    let mut server = within("accept", first.accept()).await.unwrap();
    received(&mut server).await;
    session.send("2").await.unwrap();
    received(&mut server).await;
    let _second = element(&registrar).await;
    drop((server, first));
    let failover = within("failover", session.recv()).await.unwrap();
    assert!(matches!(failover, Received::Failover { replayed: false, .. }), "{failover:?}");
}
