//! The sockets of an endpoint: one that associations share, and those of associations that have their own.
//!
//! They are watched together by one epoll instance, which the runtime watches in turn, for edges: what was ready earlier
//! is not remembered, so after news everything has to be read until the system says that there is nothing left.

use super::socket::KernelSocket;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use proto::AssocId;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Ready sockets taken at once.
pub(super) const MAX_READY: usize = 32;

/// Names a socket of an endpoint; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token(u64);

impl Token {
    /// The socket that associations share.
    pub(super) const SHARED: Self = Self(0);
}

/// A socket that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) token: Token,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// The sockets of an endpoint.
pub(super) struct Sockets {
    sockets: BTreeMap<Token, Watched>,
    next: u64,
    epoll: AsyncFd<Watcher>,
}

struct Watched {
    socket: KernelSocket,
    /// The only association at it; none at the one that they share.
    owner: Option<AssocId>,
    interest: EpollFlags,
    /// The largest message that it can send.
    send_limit: usize,
}

struct Watcher(Epoll);

impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Sockets {
    /// Watches the socket that associations share. Must be called inside a tokio runtime.
    pub(super) fn new(shared: KernelSocket) -> io::Result<Self> {
        let epoll = watch(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)?;
        let mut sockets = Self { sockets: BTreeMap::new(), next: 0, epoll };
        sockets.insert(shared, None)?;
        Ok(sockets)
    }

    /// Adds a socket of an association; it is watched for what arrives.
    pub(super) fn insert(&mut self, socket: KernelSocket, owner: Option<AssocId>) -> io::Result<Token> {
        let token = Token(self.next);
        let interest = EpollFlags::EPOLLIN;
        self.epoll.get_ref().0.add(&socket, EpollEvent::new(interest, token.0))?;
        self.next += 1;
        let send_limit = socket.send_limit();
        self.sockets.insert(token, Watched { socket, owner, interest, send_limit });
        Ok(token)
    }

    /// Closes a socket; the one that associations share stays.
    pub(super) fn close(&mut self, token: Token) {
        if token != Token::SHARED
            && let Some(watched) = self.sockets.remove(&token)
            && !watched.interest.is_empty()
        {
            let _ = self.epoll.get_ref().0.delete(&watched.socket);
        }
    }

    pub(super) fn get(&self, token: Token) -> Option<&KernelSocket> {
        self.sockets.get(&token).map(|watched| &watched.socket)
    }

    /// The largest message that a socket can send.
    pub(super) fn send_limit(&self, token: Token) -> usize {
        self.sockets.get(&token).map_or(0, |watched| watched.send_limit)
    }

    /// The association that has this socket for itself.
    pub(super) fn owner(&self, token: Token) -> Option<AssocId> {
        self.sockets.get(&token)?.owner
    }

    /// Whether what arrives at a socket is to be told.
    pub(super) fn watch_readable(&mut self, token: Token, on: bool) {
        self.watch_for(token, EpollFlags::EPOLLIN, on);
    }

    /// Whether it is to be told that a socket takes more.
    pub(super) fn watch_writable(&mut self, token: Token, on: bool) {
        self.watch_for(token, EpollFlags::EPOLLOUT, on);
    }

    fn watch_for(&mut self, token: Token, flag: EpollFlags, on: bool) {
        let Some(watched) = self.sockets.get_mut(&token) else { return };
        let mut interest = watched.interest;
        interest.set(flag, on);
        if interest == watched.interest {
            return;
        }
        let epoll = &self.epoll.get_ref().0;
        let mut event = EpollEvent::new(interest, token.0);
        // A socket that is watched for nothing would still be told of errors, again and again.
        let result = if interest.is_empty() {
            epoll.delete(&watched.socket)
        } else if watched.interest.is_empty() {
            epoll.add(&watched.socket, event)
        } else {
            epoll.modify(&watched.socket, &mut event)
        };
        match result {
            Ok(()) => watched.interest = interest,
            // Out of memory or of watches, both limits of the system.
            Err(error) => tracing::warn!(%error, "cannot watch an SCTP socket"),
        }
    }

    /// Whether a socket is there to be read.
    pub(super) fn is_read(&self, token: Token) -> bool {
        self.sockets.get(&token).is_some_and(|watched| watched.interest.contains(EpollFlags::EPOLLIN))
    }

    /// Asks the system which sockets are ready, without waiting.
    pub(super) fn ready(&self) -> io::Result<Vec<Ready>> {
        if self.sockets.len() == 1 && self.sockets.values().all(|it| it.interest == EpollFlags::EPOLLIN) {
            // Reading it asks, too.
            return Ok(vec![Ready { token: Token::SHARED, readable: true, writable: false }]);
        }
        let mut events = [EpollEvent::empty(); MAX_READY];
        let count = self.epoll.get_ref().0.wait(&mut events, EpollTimeout::ZERO)?;
        let ready = |event: &EpollEvent| {
            let flags = event.events();
            let writable = flags.contains(EpollFlags::EPOLLOUT);
            Ready { token: Token(event.data()), readable: flags != EpollFlags::EPOLLOUT, writable }
        };
        Ok(events.iter().take(count).map(ready).collect())
    }

    /// Whether a socket has become ready since this was last asked, as far as the runtime knows; the task is woken
    /// when one does from now on.
    pub(super) fn take_news(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut news = false;
        while let Poll::Ready(guard) = self.epoll.poll_read_ready(cx) {
            guard?.clear_ready();
            news = true;
        }
        Ok(news)
    }
}

#[allow(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
fn watch(epoll: Epoll) -> io::Result<AsyncFd<Watcher>> {
    // SAFETY: the instance owns its descriptor: open and the same until it is dropped, which the `AsyncFd` does only
    // after it has deregistered it; nobody can replace it, for only shared references are handed out.
    unsafe { AsyncFd::register_with_interest(Watcher(epoll), Interest::READABLE) }.map_err(io::Error::from)
}
