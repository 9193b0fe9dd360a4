//! Sealed cookies, end to end.

use crate::support::{registrar, user, within};
use pool_element::{CookieKey, CookieSealing, PoolElement, Profile, Session, SessionError};
use registrar::Registrar;
use rserpool_pool_user::{PoolUser, Received};
use std::time::Duration;

fn key(id: u32) -> CookieKey {
    CookieKey::new(id, [id as u8; 32])
}

async fn element(registrar: &Registrar, sealing: CookieSealing) -> PoolElement {
    let builder = PoolElement::builder("sealed").registrars([registrar.asap_address()]).profile(Profile::Rfc);
    within("registration", builder.seal_cookies(sealing).register()).await.unwrap()
}

/// A session whose server has set this cookie, as its client knows.
async fn session(
    user: &PoolUser,
    element: &mut PoolElement,
    cookie: &[u8],
) -> (rserpool_pool_user::Session, Session) {
    let mut session = within("connect", user.connect("sealed")).await.unwrap();
    let server = within("accept", element.accept()).await.unwrap();
    server.set_cookie(cookie).await.unwrap();
    server.send(b"set").await.unwrap();
    assert!(matches!(within("answer", session.recv()).await.unwrap(), Received::Message(_)));
    (session, server)
}

// ASAP-3.8-05, OVW-2.5-01: the keys are rotated while a session goes from one element to the next.
#[tokio::test]
async fn a_sealed_cookie_survives_its_server_and_a_new_key() {
    let registrar = registrar(&[]);
    let user = user(&registrar);
    let mut first = element(&registrar, CookieSealing::new(key(1)).versions(0, 1)).await;
    let (mut session, server) = session(&user, &mut first, b"state").await;
    assert!(matches!(
        server.set_cookie([0; 65_472]).await,
        Err(SessionError::Unsendable { length: 65_472, .. })
    ));
    let mut second = element(&registrar, CookieSealing::new(key(1)).versions(0, 2)).await;
    second.seal_cookies(CookieSealing::new(key(2)).also_open([key(1)]).versions(1, 2)).await.unwrap();
    drop((server, first));
    assert!(matches!(within("failover", session.recv()).await.unwrap(), Received::Failover { .. }));
    session.send(b"go on").await.unwrap();
    let server = within("accept", second.accept()).await.unwrap();
    assert_eq!((server.cookie(), server.cookie_version()), (Some(&b"state"[..]), Some(1)));
}

// ASAP-3.8-05: an element without the key does not take the session up; its client hears why.
#[tokio::test]
async fn a_session_whose_cookie_nobody_can_open_ends_with_the_reason() {
    let registrar = registrar(&[]);
    let user = PoolUser::builder([registrar.asap_address()])
        .profile(Profile::Rfc)
        .patience(Duration::from_secs(1))
        .build();
    let mut first = element(&registrar, CookieSealing::new(key(1))).await;
    let (mut session, server) = session(&user, &mut first, b"state").await;
    let mut other = element(&registrar, CookieSealing::new(key(2))).await;
    drop((server, first));
    let error = loop {
        match within("the end", session.recv()).await {
            Ok(received) => assert!(matches!(received, Received::Failover { .. })),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error.to_string(),
        "the session's cookie is refused: it is sealed with key 1, which this element does not have"
    );
    assert!(other.endpoint().counters().await.unwrap().refused_cookies > 0);
    // Nobody has seen it there, and new sessions are welcome.
    let again = within("connect", user.connect("sealed")).await.unwrap();
    again.send(b"hello").await.unwrap();
    assert_eq!(within("accept", other.accept()).await.unwrap().cookie(), None);
}

#[tokio::test]
async fn a_server_refuses_what_it_does_not_understand() {
    let registrar = registrar(&[]);
    let user = user(&registrar);
    let mut first = element(&registrar, CookieSealing::new(key(1))).await;
    let (mut session, server) = session(&user, &mut first, b"gibberish").await;
    let mut second = element(&registrar, CookieSealing::new(key(1))).await;
    drop((server, first));
    assert!(matches!(within("failover", session.recv()).await.unwrap(), Received::Failover { .. }));
    let server = within("accept", second.accept()).await.unwrap();
    server.refuse_cookie("no state of ours");
    // It is the only element, so it is asked again.
    assert!(matches!(within("failover", session.recv()).await.unwrap(), Received::Failover { .. }));
    assert_eq!(within("accept", second.accept()).await.unwrap().cookie(), Some(&b"gibberish"[..]));
    assert_eq!(second.endpoint().counters().await.unwrap().refused_cookies, 1);
}
