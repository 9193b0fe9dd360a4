//! What the stories need: registrars, a counter server that can die, and patience with a limit.

use pool_element::{PoolElement, Profile, Session};
use registrar::config::AdminSocket;
use registrar::{Config, Event, Registrar};
use rserpool_pool_user::PoolUser;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Waits for something that has to happen; the limit only ends a failed test.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("still waiting after 20 s: {what}"))
}

/// The settings of a registrar on free ports that nobody administers.
pub(crate) fn quiet() -> Config {
    let mut config = Config::default();
    config.listen.asap = "127.0.0.1:0".parse().unwrap();
    config.listen.enrp = "127.0.0.1:0".parse().unwrap();
    config.admin.socket = AdminSocket::Off;
    config
}

/// A registrar on free ports that knows these others.
pub(crate) fn registrar(peers: &[&Registrar]) -> Registrar {
    let peers = peers.iter().map(|peer| vec![peer.enrp_address()]).collect();
    Registrar::spawn(Config { peers, ..quiet() }).unwrap()
}

/// Two registrars that serve the same scope.
pub(crate) async fn two_registrars() -> [Registrar; 2] {
    let first = registrar(&[]);
    let mut events = first.events();
    let second = registrar(&[&first]);
    within("the registrars meet", async {
        loop {
            if let Event::PeerUp { id, .. } = events.next().await.unwrap() {
                assert_eq!(id, second.id());
                break;
            }
        }
    })
    .await;
    [first, second]
}

/// A client whose sessions are only lost when a server ends them: with the RFC's timers even a starved machine
/// accuses nobody.
pub(crate) fn user(registrar: &Registrar) -> PoolUser {
    PoolUser::builder([registrar.asap_address()]).profile(Profile::Rfc).build()
}

/// A server whose clients number their requests: the count must be the number, however often it dies.
pub(crate) async fn counter(registrars: &[SocketAddr]) -> PoolElement {
    let element =
        PoolElement::builder("counter").registrars(registrars.iter().copied()).profile(Profile::Rfc);
    within("registration", element.register()).await.unwrap()
}

/// When, and with what already done, the server in use dies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Death {
    /// The request is lost.
    BeforeTheCookie,
    /// It is done and the client has the state, but not the answer.
    BeforeTheAnswer,
}

/// The death of the first server that gets this request. There is only one: the number is reset.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) number: AtomicU64,
    pub(crate) death: Option<Death>,
}

impl Fate {
    pub(crate) fn at(number: u64, death: Death) -> Arc<Self> {
        Arc::new(Self { number: AtomicU64::new(number), death: Some(death) })
    }

    fn strikes(&self, number: u64) -> Option<Death> {
        self.number.compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst).ok().and(self.death)
    }
}

/// Serves until it dies, then leaves the pool without a word to its clients.
pub(crate) async fn serve(mut element: PoolElement, fate: Arc<Fate>) {
    let died = Arc::new(Notify::new());
    loop {
        let session = tokio::select! {
            session = element.accept() => session.unwrap(),
            () = died.notified() => return,
        };
        let (fate, died) = (fate.clone(), died.clone());
        tokio::spawn(async move {
            if !count(session, &fate).await {
                died.notify_one();
            }
        });
    }
}

/// Whether it survived.
async fn count(mut session: Session, fate: &Fate) -> bool {
    let mut known = None;
    while let Ok(Some(request)) = session.recv().await {
        let (mut last, mut count) = known.or_else(|| session.cookie().map(decode)).unwrap_or_default();
        let number = u64::from_be_bytes(request[..].try_into().unwrap());
        let death = fate.strikes(number);
        if matches!(death, Some(Death::BeforeTheCookie)) {
            return false;
        }
        if number != last {
            (last, count) = (number, count + 1);
        }
        session.set_cookie([last.to_be_bytes(), count.to_be_bytes()].concat()).await.unwrap();
        if matches!(death, Some(Death::BeforeTheAnswer)) {
            return false;
        }
        session.send(count.to_be_bytes()).await.unwrap();
        known = Some((last, count));
    }
    true
}

fn decode(cookie: &[u8]) -> (u64, u64) {
    let (last, count) = cookie.split_at(8);
    (u64::from_be_bytes(last.try_into().unwrap()), u64::from_be_bytes(count.try_into().unwrap()))
}

/// The number in an answer.
pub(crate) fn number(answer: &[u8]) -> u64 {
    u64::from_be_bytes(answer.try_into().unwrap())
}
