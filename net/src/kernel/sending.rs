//! The endpoint: what goes to the kernel, and who waits: for room there, or for a control message to arrive.

use super::association::{Association, Control, Outgoing, State};
use super::batch::{self, BATCH, Departure};
use super::endpoint::KernelEndpoint;
use super::socket::KernelSocket;
use super::sockets::Token;
use proto::{AssocId, Input};
use std::io;
use tracing::debug;

/// What an association waits for before it can send the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing is left.
    Nothing,
    /// The socket is full.
    Room,
    /// The control messages before it have to arrive.
    Control,
}

impl KernelEndpoint {
    /// Gives the messages of an association to the kernel, until it takes no more.
    fn flush_association(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        association.is_dirty = false;
        if association.state == State::Connecting {
            return;
        }
        match self.send_queued(assoc) {
            Wait::Nothing => {}
            Wait::Room => self.wait_for_room(assoc),
            Wait::Control => self.wait_for_control(assoc),
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

    /// Sends until nothing is left or the rest has to wait.
    fn send_queued(&mut self, assoc: AssocId) -> Wait {
        loop {
            let Some(association) = self.associations.get(&assoc) else { return Wait::Nothing };
            if association.outbound.len() == 0 {
                return Wait::Nothing;
            }
            if association.outbound.is_held_up() {
                if self.has_unacknowledged(association) {
                    return Wait::Control;
                }
                self.forget_control(assoc);
                continue;
            }
            let sent = match self.sockets.get(association.socket) {
                Some(socket) => send_next(socket, association),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            match sent {
                // The first one is for a stream that is gone.
                Ok(0) => self.fail_next(assoc, "no such stream"),
                Ok(sent) => self.sent(assoc, sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Wait::Room,
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
            association.outbound.sent(count);
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
    fn wait_for_room(&mut self, assoc: AssocId) {
        let was_shared = self.associations.get(&assoc).is_some_and(|it| it.socket == Token::SHARED);
        match self.peel_off(assoc) {
            Ok(token) if was_shared => {
                if self.associations.get(&assoc).is_some_and(|it| !it.inbound.reading) {
                    self.sockets.watch_readable(token, false);
                }
                self.flush_association(assoc);
            }
            Ok(token) => self.sockets.watch_writable(token, true),
            Err(error) => {
                debug!(assoc = assoc.as_u64(), %error, "waits at the shared socket");
                self.sockets.watch_writable(Token::SHARED, true);
                if !self.waiting.contains(&assoc) {
                    self.waiting.push(assoc);
                }
            }
        }
    }

    /// The rest of an association waits until the kernel tells that nothing is outstanding (RFC 6458 §6.1.9), as it does at
    /// once if that is so already. That is only a reason to look again: what it tells may be of an earlier time.
    fn wait_for_control(&mut self, assoc: AssocId) {
        if let Some(association) = self.associations.get_mut(&assoc)
            && association.outbound.control == Control::Outstanding
        {
            association.outbound.control = Control::Asked;
            self.watch_dry(assoc, true);
        }
    }

    /// The control messages that the kernel has taken have arrived, or never will.
    pub(super) fn forget_control(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let before = std::mem::replace(&mut association.outbound.control, Control::Arrived);
        if before == Control::Asked {
            self.watch_dry(assoc, false);
        }
    }

    fn watch_dry(&self, assoc: AssocId, on: bool) {
        let Some(association) = self.associations.get(&assoc) else { return };
        let socket = self.socket(association.socket);
        if let Err(error) = socket.and_then(|socket| socket.watch_dry(association.kernel, on)) {
            // Its end is on its way to us.
            debug!(assoc = assoc.as_u64(), %error, "watch");
        }
    }

    fn has_unacknowledged(&self, association: &Association) -> bool {
        self.sockets.get(association.socket).is_some_and(|it| it.has_unacknowledged(association.kernel))
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
        let mut dirty = std::mem::take(&mut self.dirty);
        for assoc in dirty.drain(..) {
            self.flush_association(assoc);
        }
        // What has become dirty meanwhile waits for the next time; else the room is kept.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }
}

/// Gives the kernel the next messages of an association, a batch of them; returns how many it took. None: the next one
/// is for a stream that a restart of the peer has taken away.
fn send_next(socket: &KernelSocket, association: &Association) -> io::Result<usize> {
    let departures =
        |count| association.outbound.ready().take(count).map_while(|it| departure(association, it));
    // All but the last one that can be sent wait for each other, to leave in as few packets as possible. That must never
    // last: a peer whose window is closed meanwhile is given up. So there has to be room for one more, which lets them go.
    let waiting = departures(BATCH + 1).count().saturating_sub(1);
    if waiting > 0 && socket.has_room(departures(waiting).map(|it| it.bytes.len())) {
        batch::send::<BATCH>(socket, departures(waiting), true)
    } else if waiting == 0 {
        batch::send::<1>(socket, departures(1), false)
    } else {
        batch::send::<BATCH>(socket, departures(BATCH), false)
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
