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

// ASAP-2.2.13-02, ASAP-6.5.3-02, OVW-4-04: a client that is an element, too, names an equivalent of itself. The server turns to that
// when the client is gone, though round robin would choose another one.
#[tokio::test]
async fn a_server_finds_an_equivalent_of_its_client() {
    let registrar = registrar(&[]);
    let element = async |pool: &str, id| {
        let builder = PoolElement::builder(pool)
            .registrars([registrar.asap_address()])
            .profile(Profile::Rfc)
            .id(PeIdentifier(id));
        within("registration", builder.register()).await.unwrap()
    };
    let mut servers = element("servers", 1).await;
    let (_first, mut second) = (element("peers", 1).await, element("peers", 2).await);
    let client = element("peers", 3).await;
    client.set_failover_order([second.id()]).await.unwrap();
    let shared = PoolUser::sharing(client.endpoint());
    within("a resolution", shared.resolve("peers")).await.unwrap();
    let session = within("connect", shared.connect("servers")).await.unwrap();
    session.send(b"hello").await.unwrap();
    let mut server = within("accept", servers.accept()).await.unwrap();
    assert_eq!(within("hello", server.recv()).await.unwrap().unwrap()[..], *b"hello");
    let card = server.card().unwrap().clone();
    assert!(card.elements.iter().map(|element| element.id).eq([second.id(), client.id()]));
    within("the end", session.close()).await.unwrap();
    within("deregistration", client.deregister()).await.unwrap();

    let user = PoolUser::sharing(servers.endpoint());
    let session = within("connect", user.connect_preferring(card.pool, card.elements)).await.unwrap();
    assert_eq!(session.element(), second.id());
    session.send(b"where were we?").await.unwrap();
    let mut peer = within("accept", second.accept()).await.unwrap();
    assert_eq!(within("a message", peer.recv()).await.unwrap().unwrap()[..], *b"where were we?");
    assert_eq!(peer.card().unwrap().pool, "servers".into());
}
