//! The sockets of an endpoint: one that associations share, and those of associations that have their own.
//!
//! The runtime watches the shared one, and one epoll instance that watches all others, for edges: what was ready earlier
//! is not remembered, so after news everything has to be read until the system says that there is nothing left.

use super::socket::KernelSocket;
use crate::watched::{is_news, watch};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use proto::AssocId;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Context;
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

/// Where something may be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    shared: bool,
    others: bool,
}

impl News {
    /// Anywhere.
    pub(super) const ALL: Self = Self { shared: true, others: true };

    pub(super) fn is_any(self) -> bool {
        self.shared || self.others
    }
}

/// The sockets of an endpoint.
pub(super) struct Sockets {
    sockets: BTreeMap<Token, Watched>,
    next: u64,
    /// Watches all but the shared one, and that while somebody waits to send there.
    epoll: Epoll,
    shared_news: AsyncFd<OwnedFd>,
    epoll_news: AsyncFd<OwnedFd>,
}

struct Watched {
    socket: KernelSocket,
    /// The only association at it; none at the one that they share.
    owner: Option<AssocId>,
    interest: EpollFlags,
    /// The largest message that it can send.
    send_limit: usize,
}

impl Sockets {
    /// Watches the socket that associations share. Must be called inside a tokio runtime.
    pub(super) fn new(shared: KernelSocket) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let (shared_news, epoll_news) = (watch(&shared)?, watch(&epoll.0)?);
        let mut sockets = Self { sockets: BTreeMap::new(), next: 0, epoll, shared_news, epoll_news };
        sockets.insert(shared, None)?;
        Ok(sockets)
    }

    /// Adds a socket of an association; it is watched for what arrives.
    pub(super) fn insert(&mut self, socket: KernelSocket, owner: Option<AssocId>) -> io::Result<Token> {
        let token = Token(self.next);
        let interest = EpollFlags::EPOLLIN;
        if token != Token::SHARED {
            self.epoll.add(&socket, EpollEvent::new(interest, token.0))?;
        }
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
            let _ = self.epoll.delete(&watched.socket);
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
        let before = watched.interest;
        watched.interest.set(flag, on);
        // The runtime tells what arrives at the shared one.
        let of_epoll = |interest: EpollFlags| match token {
            Token::SHARED => interest - EpollFlags::EPOLLIN,
            _ => interest,
        };
        let (before, interest) = (of_epoll(before), of_epoll(watched.interest));
        if interest == before {
            return;
        }
        let epoll = &self.epoll;
        let mut event = EpollEvent::new(interest, token.0);
        // A socket that is watched for nothing would still be told of errors, again and again.
        let result = if interest.is_empty() {
            epoll.delete(&watched.socket)
        } else if before.is_empty() {
            epoll.add(&watched.socket, event)
        } else {
            epoll.modify(&watched.socket, &mut event)
        };
        if let Err(error) = result {
            // Out of memory or of watches, both limits of the system.
            watched.interest.set(flag, !on);
            tracing::warn!(%error, "cannot watch an SCTP socket");
        }
    }

    /// Whether a socket is there to be read.
    pub(super) fn is_read(&self, token: Token) -> bool {
        self.sockets.get(&token).is_some_and(|watched| watched.interest.contains(EpollFlags::EPOLLIN))
    }

    /// Asks the system which sockets are ready where there is news, without waiting.
    pub(super) fn ready(&self, news: News) -> io::Result<Vec<Ready>> {
        let mut ready = Vec::new();
        if news.shared && self.is_read(Token::SHARED) {
            // Reading it asks.
            ready.push(Ready { token: Token::SHARED, readable: true, writable: false });
        }
        let only_shared = |(token, watched): (&Token, &Watched)| {
            *token == Token::SHARED && !watched.interest.contains(EpollFlags::EPOLLOUT)
        };
        if !news.others || self.sockets.iter().all(only_shared) {
            return Ok(ready);
        }
        let mut events = [EpollEvent::empty(); MAX_READY];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO)?;
        ready.extend(events.iter().take(count).map(|event| {
            let flags = event.events();
            let writable = flags.contains(EpollFlags::EPOLLOUT);
            Ready { token: Token(event.data()), readable: flags != EpollFlags::EPOLLOUT, writable }
        }));
        Ok(ready)
    }

    /// Where a socket has become ready since this was last asked, as far as the runtime knows; the task is woken
    /// when one does from now on.
    pub(super) fn take_news(&self, cx: &mut Context<'_>) -> io::Result<News> {
        Ok(News { shared: is_news(&self.shared_news, cx)?, others: is_news(&self.epoll_news, cx)? })
    }
}
