//! For clients that connect by themselves: choosing, and following the changes of a pool.

use crate::support::{registrar, within};
use futures_core::Stream;
use pool_element::{PeIdentifier, PoolElement, TcpTransport, Transport};
use registrar::Registrar;
use rserpool_pool_user::{CacheOptions, Compat, PoolUser, ResolveError, Standing, Watch};
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::time::Duration;

/// A server of a protocol of its own.
async fn web(registrar: &Registrar, id: u32) -> PoolElement {
    let port = 8000 + u16::try_from(id).unwrap();
    let element = PoolElement::builder("web")
        .registrars([registrar.asap_address()])
        .id(PeIdentifier(id))
        .service(Transport::Tcp(TcpTransport { port, address: Ipv4Addr::LOCALHOST.into() }))
        .register();
    within("registration", element).await.unwrap()
}

/// Waits until the pool has these elements; none: until it is unknown.
async fn becomes(watch: &mut Watch, expected: &[u32]) {
    within("the change", async {
        loop {
            let mut ids = match watch.changed().await {
                Ok(pool) => pool.elements.iter().map(|element| element.id.0).collect(),
                Err(ResolveError::UnknownPool(_)) => Vec::new(),
                Err(error) => panic!("{error}"),
            };
            ids.sort_unstable();
            if ids == expected {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn elements_are_chosen_in_turn() {
    let registrar = registrar(&[]);
    let _elements = [web(&registrar, 1).await, web(&registrar, 2).await];
    let user = PoolUser::new([registrar.asap_address()]);
    let mut chosen = Vec::new();
    for _ in 0..4 {
        chosen.push(within("choice", user.choose("web")).await.unwrap().id.0);
    }
    assert_eq!(chosen[..2], chosen[2..]);
    assert_ne!(chosen[0], chosen[1]);
}

// ASAP-2.2.5-03: the changes of a pool arrive by themselves: nobody asks in between.
#[tokio::test]
async fn changes_are_pushed_to_all_watchers() {
    let registrar = registrar(&[]);
    let never = CacheOptions::default()
        .stale_cache_value(Duration::from_secs(3600))
        .poll_interval(Duration::from_secs(3600));
    let user = PoolUser::builder([registrar.asap_address()]).cache(never).build();
    let first = web(&registrar, 1).await;
    let mut one = within("watch", user.watch("web")).await.unwrap();
    becomes(&mut one, &[1]).await;
    let mut other = within("watch", user.watch("web")).await.unwrap();
    becomes(&mut other, &[1]).await;
    let _second = web(&registrar, 2).await;
    becomes(&mut one, &[1, 2]).await;
    becomes(&mut other, &[1, 2]).await;
    drop(one);
    within("deregistration", first.deregister()).await.unwrap();
    becomes(&mut other, &[2]).await;
}

// The same changes, for those who combine them with other streams.
#[tokio::test]
async fn a_watch_is_a_stream() {
    let registrar = registrar(&[]);
    let user = PoolUser::new([registrar.asap_address()]);
    let element = web(&registrar, 1).await;
    let mut watch = within("watch", user.watch("web")).await.unwrap();
    let mut next = async || {
        let item = poll_fn(|context| Pin::new(&mut watch).poll_next(context));
        within("the change", item).await.expect("it goes on")
    };
    assert_eq!(next().await.unwrap().elements[0].id, PeIdentifier(1));
    within("deregistration", element.deregister()).await.unwrap();
    assert!(matches!(next().await, Err(ResolveError::UnknownPool(_))));
}

// without pushes the pool is asked for; one that does not exist yet, too.
#[tokio::test]
async fn without_pushes_a_pool_is_asked_for() {
    let registrar = registrar(&[]);
    let often = CacheOptions::default().poll_interval(Duration::from_millis(20));
    let user = PoolUser::builder([registrar.asap_address()]).cache(often).compat(Compat::Rsplib).build();
    let mut watch = within("watch", user.watch("web")).await.unwrap();
    becomes(&mut watch, &[]).await;
    let element = web(&registrar, 1).await;
    becomes(&mut watch, &[1]).await;
    within("deregistration", element.deregister()).await.unwrap();
    becomes(&mut watch, &[]).await;
}

// Nobody is at the port: the client says so, goes elsewhere, and can tell why.
// OVW-4-01
#[tokio::test]
async fn who_was_reported_is_avoided_and_explained() {
    let registrar = registrar(&[]);
    let _elements = [web(&registrar, 1).await, web(&registrar, 2).await];
    let user = PoolUser::new([registrar.asap_address()]);
    assert!(within("explanation", user.explain("web")).await.unwrap().is_none(), "not resolved yet");
    let dead = within("choice", user.choose("web")).await.unwrap().id;
    within("report", user.report_unreachable("web", dead)).await.unwrap();
    let standing = within("the registrar is heard", async {
        loop {
            let explanation = user.explain("web").await.unwrap().unwrap();
            match explanation.elements.iter().find(|(id, _)| *id == dead) {
                Some((_, Standing::Doubtful)) => tokio::task::yield_now().await,
                other => break other.unwrap().1,
            }
        }
    })
    .await;
    assert!(matches!(standing, Standing::Avoided { failures: 1, .. }), "{standing:?}");
    for _ in 0..4 {
        assert_ne!(within("choice", user.choose("web")).await.unwrap().id, dead);
    }
}

// ASAP-6.4-01: the list that the client has would do for an hour.
#[tokio::test]
async fn what_was_resolved_can_be_forgotten() {
    let registrar = registrar(&[]);
    let never = CacheOptions::default().stale_cache_value(Duration::from_secs(3600)).subscribe(false);
    let user = PoolUser::builder([registrar.asap_address()]).cache(never).build();
    let first = web(&registrar, 1).await;
    within("choice", user.choose("web")).await.unwrap();
    within("deregistration", first.deregister()).await.unwrap();
    let _second = web(&registrar, 2).await;
    assert_eq!(within("choice", user.choose("web")).await.unwrap().id, PeIdentifier(1), "it knows no better");
    user.purge("web").await.unwrap();
    assert_eq!(within("choice", user.choose("web")).await.unwrap().id, PeIdentifier(2));
}
