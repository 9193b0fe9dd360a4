//! Business cards, end to end.

use crate::support::{registrar, user, within};
use pool_element::{PeIdentifier, PoolElement, Profile};
use rserpool_pool_user::{PoolUser, Received};

// ASAP-3.9-01, ASAP-3.9-06, OVW-2.5-02: the server says who comes after it; round robin would choose in turn.
#[tokio::test]
async fn a_session_goes_where_its_server_recommends() {
    let registrar = registrar(&[]);
    let mut elements = Vec::new();
    for id in 1..=4 {
        let builder = PoolElement::builder("pool")
            .registrars([registrar.asap_address()])
            .profile(Profile::Rfc)
            .id(PeIdentifier(id));
        elements.push(within("registration", builder.register()).await.unwrap());
    }
    let user = user(&registrar);
    let mut session = within("connect", user.connect("pool")).await.unwrap();
    while elements.len() > 1 {
        let from = session.element();
        let position = elements.iter().position(|element| element.id() == from).unwrap();
        let mut element = elements.remove(position);
        let to = elements.last().unwrap().id();
        // What it does not have to ask for, it says before anything else.
        let shared = PoolUser::sharing(element.endpoint());
        within("a resolution", shared.resolve("pool")).await.unwrap();
        element.set_failover_order([PeIdentifier(99), to]).await.unwrap();
        session.send(b"hello").await.unwrap();
        let server = within("accept", element.accept()).await.unwrap();
        element.set_failover_order([to]).await.unwrap();
        server.send(b"welcome").await.unwrap();
        let welcome = Received::Message(b"welcome".as_slice().into());
        assert_eq!(within("an answer", session.recv()).await.unwrap(), welcome);
        drop((server, element));
        assert_eq!(
            within("a failover", session.recv()).await.unwrap(),
            Received::Failover { from, to, replayed: false }
        );
    }
}
