//! Listening for admin requests: one connection a request, few at a time, none for long.

use super::socket::{self, AdminError, SocketFile};
use crate::config::{Admin, AdminSocket};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Requests at a time, of all callers together; others wait in the listen queue.
const MAX_REQUESTS: usize = 16;
/// How long a request may take, from the connection to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a failed `accept`: it fails when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The listening admin API; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    listeners: JoinSet<()>,
    socket: Option<SocketFile>,
    tcp: Option<SocketAddr>,
}

impl Server {
    /// Listens where `config` says. Must be called on a tokio runtime.
    pub(crate) fn start(config: &Admin, asap_port: u16, router: &Router) -> Result<Self, AdminError> {
        let mut server = Self { listeners: JoinSet::new(), socket: None, tcp: None };
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        let path = match &config.socket {
            AdminSocket::Off => None,
            AdminSocket::Auto => Some(socket::default_path(asap_port)?),
            AdminSocket::Path(path) => Some(path.clone()),
        };
        if let Some(path) = path {
            let (listener, file) = socket::listen(&path)?;
            server.socket = Some(file);
            let accept =
                async move |listener: &UnixListener| listener.accept().await.map(|(stream, _)| stream);
            server.listeners.spawn(serve(listener, accept, router.clone(), requests.clone()));
        }
        if let Some(address) = config.tcp {
            let (listener, address) = listen_tcp(address)
                .map_err(|error| AdminError::Listen { address: address.to_string(), error })?;
            server.tcp = Some(address);
            let accept =
                async move |listener: &TcpListener| listener.accept().await.map(|(stream, _)| stream);
            server.listeners.spawn(serve(listener, accept, router.clone(), requests));
        }
        Ok(server)
    }

    /// The Unix socket, if there is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(SocketFile::path)
    }

    /// The TCP address, if there is one.
    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// Serves what `accept` brings, for ever.
async fn serve<L, S>(
    listener: L,
    accept: impl AsyncFn(&L) -> io::Result<S>,
    router: Router,
    requests: Arc<Semaphore>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok(permit) = requests.clone().acquire_owned().await {
        while connections.try_join_next().is_some() {}
        let stream = match accept(&listener).await {
            Ok(stream) => stream,
            Err(error) => {
                warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        connections.spawn(async move {
            match tokio::time::timeout(REQUEST_TIMEOUT, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "an admin request failed"),
                Err(_) => debug!("an admin request took too long"),
            }
            drop(permit);
        });
    }
}
