//! The death of registrars: sessions do not notice, registrations survive.

use crate::support::{Fate, counter, number, serve, two_registrars, within};
use pool_element::PoolElement;
use rserpool_pool_user::{Discovery, PoolUser};
use std::sync::Arc;

#[tokio::test]
async fn another_registrar_takes_over_and_sessions_go_on() {
    let [first, second] = two_registrars().await;
    let addresses = [first.asap_address(), second.asap_address()];
    tokio::spawn(serve(counter(&addresses).await, Arc::<Fate>::default()));
    let mut idle = PoolElement::builder("idle").registrars(addresses);
    idle = idle.id(pool_element::PeIdentifier(7));
    let mut idle = within("registration", idle.register()).await.unwrap();
    let user = PoolUser::new(addresses);
    let mut session = within("connect", user.connect("counter")).await.unwrap();
    assert_eq!(number(&within("request", session.request(1u64.to_be_bytes())).await.unwrap()), 1);

    let home = within("the home is known", async {
        loop {
            match idle.home() {
                Some(home) => break home,
                None => drop(idle.home_changed().await.unwrap()),
            }
        }
    })
    .await;
    let (dead, alive) = if home == first.id() { (first, second) } else { (second, first) };
    drop(dead);
    within("a new home", async { while idle.home_changed().await.unwrap() != Some(alive.id()) {} }).await;

    assert_eq!(number(&within("request", session.request(2u64.to_be_bytes())).await.unwrap()), 2);
    let mut fresh = within("connect", user.connect("counter")).await.unwrap();
    assert_eq!(number(&within("request", fresh.request(1u64.to_be_bytes())).await.unwrap()), 1);
    let resolution = within("resolution", user.resolve_uncached("idle")).await.unwrap();
    assert_eq!(resolution.elements[0].id, idle.id());

    // Without any registrar what runs goes on running.
    drop(alive);
    while within("the home is gone", idle.home_changed()).await.unwrap().is_some() {}
    assert_eq!(number(&within("request", session.request(3u64.to_be_bytes())).await.unwrap()), 3);
}

// Design D6: who was given one registrar knows the others, and goes on with them.
#[tokio::test]
async fn one_address_is_enough_to_know_all_registrars() {
    let [first, second] = two_registrars().await;
    let element = PoolElement::builder("counter").registrars([first.asap_address()]).register();
    let mut element = within("registration", element).await.unwrap();
    let user = PoolUser::new([first.asap_address()]);
    let alone = PoolUser::new(Discovery::from([first.asap_address()]).registrar_pool(false));
    for user in [&user, &alone] {
        within("resolution", user.resolve_uncached("counter")).await.unwrap();
        // Answers come in order: both have heard of the registrars, or not asked, when this one is there.
        let all = within("resolution", user.resolve_uncached("_rserpool.registrars")).await.unwrap();
        assert_eq!(all.elements.len(), 2);
    }
    drop(first);
    within("a new home", async { while element.home_changed().await.unwrap() != Some(second.id()) {} }).await;
    let resolution = within("resolution", user.resolve_uncached("counter")).await.unwrap();
    assert_eq!(resolution.elements[0].id, element.id());
    assert!(within("an error", alone.resolve_uncached("counter")).await.is_err());
}
