//! Whether a server that is not ours is ready.

use endpoint::EndpointError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A status line is longer only because of its reason phrase.
const STATUS_LINE: u64 = 256;

/// How to find out whether a server is ready: it accepts a TCP connection, or answers an HTTP request.
#[derive(Clone, Debug)]
pub struct Check {
    address: SocketAddr,
    /// Of HTTP.
    path: Option<String>,
    pub(crate) interval: Duration,
    timeout: Duration,
    pub(crate) failures: u32,
}

impl Check {
    /// The server is ready when it accepts a connection at this address.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            address,
            path: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            failures: 3,
        }
    }

    /// The server is ready when it answers `GET` of this path, at this address, with a status from 200 to 399. HTTP/1.1
    /// without TLS.
    pub fn http(address: SocketAddr, path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..Self::tcp(address) }
    }

    /// The time between two checks. Default: 1 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long the server may take to answer one. Default: 1 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many checks in a row must fail before a server that was ready is not. Default: 3; at least 1.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.failures = failures.max(1);
        self
    }

    /// Whether it can be carried out at all.
    pub(crate) fn validate(&self) -> Result<(), EndpointError> {
        let path = self.path.as_deref().unwrap_or("/");
        if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        Err(EndpointError::Invalid(
            "the path of an HTTP check starts with \"/\" and has no spaces: write them as %20",
        ))
    }

    /// Checks once.
    pub(crate) async fn run(&self) -> io::Result<()> {
        tokio::time::timeout(self.timeout, self.ask()).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn ask(&self) -> io::Result<()> {
        let mut server = TcpStream::connect(self.address).await?;
        let Some(path) = &self.path else { return Ok(()) };
        let host = self.address;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        server.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let mut server = server.take(STATUS_LINE);
        while !answer.contains(&b'\n') {
            if server.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        match status(&answer) {
            Some(200..=399) => Ok(()),
            Some(status) => Err(io::Error::other(format!("the answer has the status {status}"))),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP")),
        }
    }
}

/// The status code in a status line (RFC 9112 §4).
fn status(answer: &[u8]) -> Option<u16> {
    let mut words = answer.split(|byte| byte.is_ascii_whitespace());
    if !words.next()?.starts_with(b"HTTP/1.") {
        return None;
    }
    let code = words.next().filter(|code| code.len() == 3)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\nServer: x\r\n"[..], Some(200)),
            (b"HTTP/1.0 503\r\n", Some(503)),
            (b"HTTP/1.1 20", None),
            (b"HTTP/2 200\r\n", None),
            (b"SSH-2.0-OpenSSH\r\n", None),
            (b"", None),
        ] {
            assert_eq!(status(answer), expected, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn paths_that_would_be_another_request() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        for (path, valid) in [
            ("/health", true),
            ("/a?b=c%20d", true),
            ("", false),
            ("health", false),
            ("/ HTTP/1.1\r\nX: y", false),
        ] {
            assert_eq!(Check::http(address, path).validate().is_ok(), valid, "{path:?}");
        }
    }
}
