//! Listening for admin requests: one connection a request, few at a time, none for long.

use crate::config::{Admin, AdminSocket};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Requests at a time, of all callers together; others wait in the listen queue.
const MAX_REQUESTS: usize = 16;
/// How long a request may take, from the connection to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a failed `accept`: it fails when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin API cannot listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Another registrar answers there.
    #[error("another process serves the admin socket {}", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket has that name; it is not replaced.
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// Other users could put their own socket there.
    #[error("the directory {} of the admin socket must belong to you, and to you alone (mode 0700)", .0.display())]
    Directory(PathBuf),
    /// The system refuses.
    #[error("cannot listen for the admin API on {address}: {source}")]
    Listen {
        /// A path or a TCP address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Where the admin sockets are that are looked for by themselves: `$XDG_RUNTIME_DIR/rserpool`, or
/// `/tmp/rserpool-UID` where there is no such variable.
pub fn default_socket_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        Some(directory) => PathBuf::from(directory).join("rserpool"),
        None => PathBuf::from(format!("/tmp/rserpool-{}", nix::unistd::getuid())),
    }
}

/// The admin socket of the registrar that listens for ASAP on this port.
pub fn default_socket_path(asap_port: u16) -> PathBuf {
    default_socket_directory().join(format!("registrar-{asap_port}.sock"))
}

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
            AdminSocket::Auto => {
                own_directory(&default_socket_directory())?;
                Some(default_socket_path(asap_port))
            }
            AdminSocket::Path(path) => Some(path.clone()),
        };
        if let Some(path) = path {
            let listener = listen_unix(&path)?;
            server.socket = Some(SocketFile(path));
            let accept =
                async move |listener: &UnixListener| listener.accept().await.map(|(stream, _)| stream);
            server.listeners.spawn(serve(listener, accept, router.clone(), requests.clone()));
        }
        if let Some(address) = config.tcp {
            let (listener, address) = listen_tcp(address)
                .map_err(|source| AdminError::Listen { address: address.to_string(), source })?;
            server.tcp = Some(address);
            let accept =
                async move |listener: &TcpListener| listener.accept().await.map(|(stream, _)| stream);
            server.listeners.spawn(serve(listener, accept, router.clone(), requests));
        }
        Ok(server)
    }

    /// The Unix socket, if there is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|file| file.0.as_path())
    }

    /// The TCP address, if there is one.
    pub(crate) fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }
}

/// The name of a socket that is ours; it goes when we go.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            debug!(path = %self.0.display(), %error, "the admin socket could not be removed");
        }
    }
}

/// Makes the directory, or makes sure that nobody else can write into the one that is there.
fn own_directory(directory: &Path) -> Result<(), AdminError> {
    let listen = |source| AdminError::Listen { address: directory.display().to_string(), source };
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(listen(error)),
    }
    // Not following a link: in /tmp somebody else may have placed one.
    let found = fs::symlink_metadata(directory).map_err(listen)?;
    if found.is_dir() && found.uid() == nix::unistd::getuid().as_raw() && found.mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(AdminError::Directory(directory.into()))
    }
}

/// Takes the name, over a socket that a dead process left, and lets only the owner connect.
fn listen_unix(path: &Path) -> Result<UnixListener, AdminError> {
    let listen = |source| AdminError::Listen { address: path.display().to_string(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(AdminError::NotASocket(path.into())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(AdminError::InUse(path.into()));
        }
        Ok(_) => fs::remove_file(path).map_err(listen)?,
        Err(_) => {}
    }
    let socket = UnixSocket::new_stream().map_err(listen)?;
    socket.bind(path).map_err(listen)?;
    // Before `listen`, so there is no moment in which others could connect.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(listen)?;
    socket.listen(128).map_err(listen)
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
