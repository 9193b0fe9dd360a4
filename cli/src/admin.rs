//! The client of a registrar's admin API: finds the registrar, asks, tells failures apart.

use crate::Failure;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use params::PoolHandle;
use registrar::admin::{api, is_private, socket_directories, socket_name};
use serde::de::DeserializeOwned;
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Larger answers are refused: no page is.
const MAX_ANSWER: usize = 16 << 20;
/// Where a registrar listens for ASAP if nothing else is said.
const DEFAULT_PORT: u16 = 3863;

/// Where an admin API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("http://") {
            let address = rest.strip_suffix('/').unwrap_or(rest).replace("localhost:", "127.0.0.1:");
            return address
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("{text:?} is no address of an admin API: write http://127.0.0.1:PORT"));
        }
        if text.contains("://") {
            return Err(format!("{text:?}: the admin API speaks http, or is a Unix socket"));
        }
        Ok(Self::Socket(text.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

/// Asks one registrar.
#[derive(Debug)]
pub(crate) struct Client {
    address: Address,
}

impl Client {
    /// The registrar at `address`; without one that of `registrar`; without that the one that runs here.
    pub(crate) fn find(address: Option<Address>, registrar: Option<SocketAddr>) -> Result<Self, Failure> {
        let address = match (address, registrar) {
            (Some(address), _) => address,
            (None, Some(registrar)) => Address::Socket(socket_of(registrar)?),
            (None, None) => Address::Socket(only_socket()?),
        };
        Ok(Self { address })
    }

    pub(crate) async fn status(&self) -> Result<api::Status, Failure> {
        self.get("/v1/status").await
    }

    pub(crate) async fn registrars(&self) -> Result<api::RegistrarList, Failure> {
        self.get("/v1/registrars").await
    }

    /// All pools, page by page.
    pub(crate) async fn pools(&self) -> Result<Vec<api::Pool>, Failure> {
        let mut pools = Vec::new();
        let mut next = None;
        loop {
            let page: api::PoolPage = self.get(&paged("/v1/pools?", next.as_deref())).await?;
            pools.extend(page.pools);
            next = page.next;
            if next.is_none() {
                return Ok(pools);
            }
        }
    }

    /// A pool with all its elements, page by page.
    pub(crate) async fn pool(&self, handle: &PoolHandle) -> Result<api::PoolDetail, Failure> {
        let path = format!("/v1/pools/{}?hex&", hex::encode(handle.as_bytes()));
        let mut pool: api::PoolDetail = self.get(&paged(&path, None)).await?;
        while let Some(next) = pool.next.take() {
            let page: api::PoolDetail = self.get(&paged(&path, Some(&next))).await?;
            pool.members.extend(page.members);
            pool.next = page.next;
        }
        Ok(pool)
    }

    pub(crate) async fn element(&self, handle: &PoolHandle, id: u32) -> Result<api::Element, Failure> {
        self.get(&format!("/v1/pools/{}/elements/{id:x}?hex", hex::encode(handle.as_bytes()))).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(path))
            .await
            .map_err(|_| self.unreachable(format_args!("no answer within {} s", TIMEOUT.as_secs())))?;
        let (status, body) = answer?;
        let strange = |error: serde_json::Error| {
            Failure::Other(anyhow::anyhow!(
                "{} answers {path} with {status} and what is not expected: {error}",
                self.address
            ))
        };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(strange);
        }
        let api::ErrorBody { error } = serde_json::from_slice(&body).map_err(strange)?;
        Err(match status {
            StatusCode::NOT_FOUND => Failure::NotFound(error),
            StatusCode::SERVICE_UNAVAILABLE => self.unreachable(error),
            _ => Failure::Other(anyhow::anyhow!("{}: {error}", self.address)),
        })
    }

    async fn exchange(&self, path: &str) -> Result<(StatusCode, Vec<u8>), Failure> {
        match &self.address {
            Address::Socket(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|error| self.unreachable(error))?;
                self.exchange_over(stream, path).await
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.unreachable(error))?;
                self.exchange_over(stream, path).await
            }
        }
    }

    async fn exchange_over<S>(&self, stream: S, path: &str) -> Result<(StatusCode, Vec<u8>), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let exchange = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let request = Request::get(path).header(header::HOST, "localhost").body(Empty::<&[u8]>::new())?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes();
            connection.abort();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body.to_vec()))
        };
        exchange.await.map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, why: impl fmt::Display) -> Failure {
        Failure::Unreachable(format!(
            "cannot reach the admin API at {}: {why}; is the registrar running? Choose one with --admin",
            self.address
        ))
    }
}

fn paged(path: &str, after: Option<&str>) -> String {
    let after = after.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
    format!("{path}limit={}{after}", api::MAX_LIMIT)
}

/// The admin socket of the registrar at this ASAP address, which must be one of this host.
fn socket_of(registrar: SocketAddr) -> Result<PathBuf, Failure> {
    // What can be bound is ours.
    if UdpSocket::bind((registrar.ip(), 0)).is_err() {
        return Err(Failure::Usage(format!(
            "{registrar} is not on this host: look into that registrar there, or through its admin API with --admin"
        )));
    }
    let name = socket_name(registrar.port());
    living_sockets()
        .into_iter()
        .find(|path| path.file_name() == Some(&name))
        .ok_or_else(|| none_here(&format!(" at port {}", registrar.port())))
}

/// The admin socket of the registrar that runs here: the one at the default port, or the only one, and then it is said
/// that this is not the one that `pool resolve` asks.
fn only_socket() -> Result<PathBuf, Failure> {
    let name = socket_name(DEFAULT_PORT);
    let living = living_sockets();
    match living.as_slice() {
        [] => Err(none_here("")),
        [only] => {
            if only.file_name() != Some(&name) {
                eprintln!(
                    "rserpool: no registrar of yours runs here at port {DEFAULT_PORT}; this is the one of {}",
                    only.display()
                );
            }
            Ok(only.clone())
        }
        several => {
            let default = several.iter().find(|path| path.file_name() == Some(&name));
            default.cloned().ok_or_else(|| {
                let choices: Vec<_> =
                    several.iter().map(|path| format!("--admin {}", path.display())).collect();
                Failure::Usage(format!("several registrars run here; choose one: {}", choices.join(", ")))
            })
        }
    }
}

/// The admin sockets that registrars of this user answer at. One that was killed leaves its socket behind.
fn living_sockets() -> Vec<PathBuf> {
    let directories = socket_directories().into_iter().filter(|directory| is_private(directory));
    let entries = directories.filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten();
    let mut living: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .filter(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
        .collect();
    living.sort();
    living
}

fn none_here(which: &str) -> Failure {
    let directories: Vec<_> = socket_directories().iter().map(|path| path.display().to_string()).collect();
    Failure::Unreachable(format!(
        "no registrar of yours runs here{which}: no admin socket answers in {}. Start rserpool-registrar, or say where \
         one is with --admin SOCKET or --admin http://127.0.0.1:PORT",
        directories.join(" or ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_a_url_or_a_path() {
        let tcp = |text: &str| Ok(Address::Tcp(text.parse().unwrap()));
        assert_eq!("http://127.0.0.1:80/".parse(), tcp("127.0.0.1:80"));
        assert_eq!("http://localhost:80".parse(), tcp("127.0.0.1:80"));
        assert_eq!("/run/x.sock".parse(), Ok(Address::Socket("/run/x.sock".into())));
        assert!("https://127.0.0.1:80".parse::<Address>().is_err());
        assert!("http://127.0.0.1".parse::<Address>().is_err());
    }
}
