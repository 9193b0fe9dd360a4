//! One of three servers swallows whatever clients send, while registrars find it in best health: they reach the process
//! that registered it.

use crate::figures::Times;
use crate::role::POOL;
use crate::scope::Scope;
use anyhow::Context;
use pool_element::{PoolElement, SctpTransport, Transport, TransportUse};
use pool_user::PoolUser;
use rand_chacha::ChaCha12Rng;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Connects of clients that know nothing yet, and again of one that learns.
    #[arg(long, default_value_t = 2000)]
    connects: usize,
    /// So many at a time.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// What is allowed beside the healthy time and a stagger, in percent of the stagger: the machine is not ours alone.
    #[arg(long, default_value_t = 10)]
    tolerance: u32,
}

/// After which a second server is tried beside the first, with the profile `lan`.
const STAGGER: Duration = Duration::from_millis(100);

/// Says whether a connect never failed, and took one stagger longer at most.
pub(crate) async fn tell(options: &Options, mut rng: ChaCha12Rng) -> anyhow::Result<bool> {
    let mut scope = Scope::start(1, 3, &mut rng).await?;
    let registrars = scope.registrars();
    let user = PoolUser::new(registrars.clone());
    let healthy = measure(options, &registrars, None).await?;
    println!("healthy                      {healthy}");

    scope.stop_server(0).await?;
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = hole.local_addr()?;
    let swallowed = SctpTransport {
        port: address.port(),
        transport_use: TransportUse::DATA_AND_CONTROL,
        addresses: vec![address.ip()],
    };
    let element = PoolElement::builder(POOL)
        .service(Transport::Sctp(swallowed))
        .registrars(registrars.clone())
        .register()
        .await?;
    let holed = measure(options, &registrars, None).await?;
    println!("one of three is a black hole {holed}");
    let learned = measure(options, &registrars, Some(&user)).await?;
    println!("a client that has noticed    {learned}");
    element.deregister().await?;

    let allowed = healthy.percentile(99) + STAGGER + STAGGER * options.tolerance / 100;
    Ok(holed.percentile(99) <= allowed && learned.percentile(99) <= allowed)
}

/// Times of connects: of this user, or of a new one each time.
async fn measure(
    options: &Options,
    registrars: &[SocketAddr],
    user: Option<&PoolUser>,
) -> anyhow::Result<Times> {
    let mut times = Times::default();
    let mut clients = JoinSet::new();
    for number in 0..options.connects + options.clients {
        if number >= options.clients {
            times.add(clients.join_next().await.context("no client")???);
        }
        if number < options.connects {
            let user = user.cloned().unwrap_or_else(|| PoolUser::new(registrars.iter().copied()));
            clients.spawn(connect(user));
        }
    }
    Ok(times)
}

async fn connect(user: PoolUser) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let session = timeout(Duration::from_secs(20), user.connect(POOL)).await.context("no session")??;
    let time = start.elapsed();
    session.close().await?;
    Ok(time)
}
