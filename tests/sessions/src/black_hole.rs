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
    /// What is allowed beside the healthy time and a stagger, in percent of the stagger.
    #[arg(long, default_value_t = 0)]
    tolerance: u32,
}

/// After which a second server is tried beside the first, with the profile `lan`.
const STAGGER: Duration = Duration::from_millis(100);

/// Says whether a connect never failed, and took one stagger longer at most.
pub(crate) async fn tell(options: &Options, mut rng: ChaCha12Rng) -> anyhow::Result<bool> {
    let whole = Scope::start(1, 3, &mut rng).await?;
    let mut holed = Scope::start(1, 3, &mut rng).await?;
    holed.stop_server(0).await?;
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = hole.local_addr()?;
    let swallowed = SctpTransport {
        port: address.port(),
        transport_use: TransportUse::DATA_AND_CONTROL,
        addresses: vec![address.ip()],
    };
    let element = PoolElement::builder(POOL)
        .service(Transport::Sctp(swallowed))
        .registrars(holed.registrars())
        .register()
        .await?;

    // In turns: whatever else the machine does it does to both.
    let [of_whole, of_holed] = [whole.registrars(), holed.registrars()];
    let stranger = |registrars: &[SocketAddr]| PoolUser::new(registrars.iter().copied());
    let [healthy, unlucky] = measure(options, [&|| stranger(&of_whole), &|| stranger(&of_holed)]).await?;
    println!("healthy                      {healthy}");
    println!("one of three is a black hole {unlucky}");
    let user = stranger(&of_holed);
    let [learned] = measure(options, [&|| user.clone()]).await?;
    println!("a client that has noticed    {learned}");
    element.deregister().await?;

    let allowed = healthy.percentile(99) + STAGGER + STAGGER * options.tolerance / 100;
    Ok(unlucky.percentile(99) <= allowed && learned.percentile(99) <= allowed)
}

/// Times of connects of each kind of clients, which take turns.
async fn measure<const N: usize>(
    options: &Options,
    kinds: [&dyn Fn() -> PoolUser; N],
) -> anyhow::Result<[Times; N]> {
    let mut times: [Times; N] = std::array::from_fn(|_| Times::default());
    let mut running = JoinSet::new();
    for number in 0..options.connects * N + options.clients {
        if number >= options.clients {
            let (kind, time): (usize, Duration) = running.join_next().await.context("no client")???;
            times[kind].add(time);
        }
        if number < options.connects * N {
            let kind = number % N;
            let user = kinds[kind]();
            running.spawn(async move { anyhow::Ok((kind, connect(user).await?)) });
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
