//! The endpoint: what goes to the kernel, and who waits when it takes no more.

use super::association::{Association, Outgoing, State};
use super::batch::{self, BATCH, Departure};
use super::endpoint::KernelEndpoint;
use super::socket::KernelSocket;
use super::sockets::Token;
use proto::{AssocId, Input};
use std::io;
use tracing::debug;

impl KernelEndpoint {
    /// Gives the messages of an association to the kernel, until it takes no more.
    fn flush_association(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        association.is_dirty = false;
        if association.state == State::Connecting {
            return;
        }
        if !self.send_queued(assoc) {
            self.wait_to_send(assoc);
        }
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        if association.outbound.reopens() {
            self.inputs.push_back(Input::Writable { assoc });
        }
        if association.state == State::ShuttingDown && association.outbound.len() == 0 {
            association.state = State::ShutDown;
            let (token, kernel) = (association.socket, association.kernel);
            if let Err(error) = self.socket(token).and_then(|socket| socket.shut_down(kernel)) {
                // Its end is on its way to us.
                debug!(assoc = assoc.as_u64(), %error, "shutdown");
            }
        }
    }

    /// Sends until nothing is left (`true`) or the socket is full.
    fn send_queued(&mut self, assoc: AssocId) -> bool {
        loop {
            let Some(association) = self.associations.get(&assoc) else { return true };
            if association.outbound.len() == 0 {
                return true;
            }
            let sent = match self.sockets.get(association.socket) {
                Some(socket) => send_next(socket, association),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            match sent {
                // The first one is for a stream that is gone.
                Ok(0) => self.fail_next(assoc, "no such stream"),
                Ok(sent) => self.sent(assoc, sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    debug!(assoc = assoc.as_u64(), %error, "send");
                    self.fail_next(assoc, "the system refuses it");
                }
            }
        }
    }

    /// The kernel has taken the next messages of an association.
    fn sent(&mut self, assoc: AssocId, count: usize) {
        self.counters.sent += count as u64;
        if let Some(association) = self.associations.get_mut(&assoc) {
            (0..count).for_each(|_| drop(association.outbound.pop()));
        }
    }

    /// The next message of an association cannot be sent.
    fn fail_next(&mut self, assoc: AssocId, why: &'static str) {
        if let Some(message) = self.associations.get_mut(&assoc).and_then(|it| it.outbound.pop()) {
            self.fail(assoc, message, why);
        }
    }

    /// An association that has to wait gets a socket of its own, so that neither it waits for others nor they for
    /// it.
    fn wait_to_send(&mut self, assoc: AssocId) {
        let was_shared = self.associations.get(&assoc).is_some_and(|it| it.socket == Token::SHARED);
        match self.peel_off(assoc) {
            Ok(token) => {
                if was_shared && self.associations.get(&assoc).is_some_and(|it| !it.inbound.reading) {
                    self.sockets.watch_readable(token, false);
                }
                if !(was_shared && self.send_queued(assoc)) {
                    self.sockets.watch_writable(token, true);
                }
            }
            Err(error) => {
                debug!(assoc = assoc.as_u64(), %error, "waits at the shared socket");
                self.sockets.watch_writable(Token::SHARED, true);
                if !self.waiting.contains(&assoc) {
                    self.waiting.push(assoc);
                }
            }
        }
    }

    /// A socket takes more.
    pub(super) fn writable(&mut self, token: Token) {
        self.sockets.watch_writable(token, false);
        if token == Token::SHARED {
            for assoc in std::mem::take(&mut self.waiting) {
                self.mark_dirty(assoc);
            }
        } else if let Some(assoc) = self.sockets.owner(token) {
            self.mark_dirty(assoc);
        }
        self.flush_dirty();
    }

    pub(super) fn flush_dirty(&mut self) {
        for assoc in std::mem::take(&mut self.dirty) {
            self.flush_association(assoc);
        }
    }
}

/// Gives the kernel the next messages of an association, a batch of them; returns how many it took. None: the next one
/// is for a stream that a restart of the peer has taken away.
fn send_next(socket: &KernelSocket, association: &Association) -> io::Result<usize> {
    let departures =
        |count| association.outbound.iter().take(count).map_while(|it| departure(association, it));
    // All but the last one that can be sent wait for each other, to leave in as few packets as possible. That must never
    // last: a peer whose window is closed meanwhile is given up. So there has to be room for one more, which lets them go.
    let waiting = departures(BATCH + 1).count().saturating_sub(1);
    if waiting > 0 && socket.has_room(departures(waiting).map(|it| it.bytes.len())) {
        batch::send(socket, departures(waiting), true)
    } else {
        batch::send(socket, departures(BATCH), false)
    }
}

fn departure<'a>(association: &Association, message: &'a Outgoing) -> Option<Departure<'a>> {
    (message.stream < association.streams).then_some(Departure {
        assoc: association.kernel,
        stream: message.stream,
        ppid: message.ppid,
        unordered: message.unordered,
        bytes: &message.bytes,
    })
}
