//! The Unix socket of the admin API: where it is looked for, and that it belongs to one user alone.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixSocket};
use tracing::debug;

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
    #[error("cannot listen for the admin API on {address}: {error}")]
    Listen {
        /// A path or a TCP address.
        address: String,
        /// What the system said. The text has it already, so it is no `source`.
        error: io::Error,
    },
}

/// Where the admin sockets are that are looked for by themselves: `$XDG_RUNTIME_DIR/rserpool`, if there is such a
/// directory, then `rserpool-UID` in the directory for temporary files. A registrar uses the first.
///
/// A tool must not trust what [is not private](is_private).
pub fn socket_directories() -> Vec<PathBuf> {
    runtime_directory().into_iter().chain([temporary_directory()]).collect()
}

fn runtime_directory() -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    directory.filter(|directory| directory.is_dir()).map(|directory| directory.join("rserpool"))
}

fn temporary_directory() -> PathBuf {
    std::env::temp_dir().join(format!("rserpool-{}", nix::unistd::getuid()))
}

/// The name of the admin socket, in one of these directories, of the registrar that listens for ASAP on this port.
pub fn socket_name(asap_port: u16) -> OsString {
    format!("registrar-{asap_port}.sock").into()
}

/// Whether this directory belongs to the user of this process, and nobody else may look into it.
pub fn is_private(directory: &Path) -> bool {
    // Not following a link: in /tmp somebody else may have placed one.
    fs::symlink_metadata(directory).is_ok_and(|found| {
        found.is_dir() && found.uid() == nix::unistd::getuid().as_raw() && found.mode() & 0o077 == 0
    })
}

/// Where a registrar puts its admin socket; makes the directory.
pub(super) fn default_path(asap_port: u16) -> Result<PathBuf, AdminError> {
    let mut directory = runtime_directory().unwrap_or_else(temporary_directory);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(AdminError::Listen { address: directory.display().to_string(), error });
        }
        Err(_) if !is_private(&directory) => return Err(AdminError::Directory(directory)),
        Ok(()) | Err(_) => {}
    }
    directory.push(socket_name(asap_port));
    Ok(directory)
}

/// Takes the name, over a socket that a dead process left, and lets only the owner connect.
pub(super) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), AdminError> {
    let failed = |error| AdminError::Listen { address: path.display().to_string(), error };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(AdminError::NotASocket(path.into())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(AdminError::InUse(path.into()));
        }
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    let file = SocketFile(path.into());
    // Before `listen`, so there is no moment in which others could connect.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok((socket.listen(128).map_err(failed)?, file))
}

/// The name of a socket that is ours; it goes when we go.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            debug!(path = %self.0.display(), %error, "the admin socket could not be removed");
        }
    }
}
