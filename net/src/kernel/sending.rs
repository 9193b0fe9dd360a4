//! The endpoint: what goes to the kernel, and who waits when it takes no more.

use super::association::State;
use super::endpoint::KernelEndpoint;
use super::sockets::Token;
use lksctp::{Ppid, SendFlags, SendInfo};
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
        if association.state == State::ShuttingDown && association.outbound.next().is_none() {
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
            let Some(association) = self.associations.get_mut(&assoc) else { return true };
            let Some(message) = association.outbound.next() else { return true };
            let info = SendInfo {
                sid: message.stream,
                ppid: Ppid(message.ppid),
                flags: if message.unordered { SendFlags::UNORDERED } else { SendFlags::NONE },
                context: 0,
                assoc_id: association.kernel,
            };
            let sent = match self.sockets.get(association.socket) {
                // What a restart has changed since the message was accepted.
                _ if message.stream >= association.streams => Err(io::ErrorKind::InvalidInput.into()),
                Some(socket) => socket.send(&message.bytes, &info),
                None => Err(io::ErrorKind::NotConnected.into()),
            };
            match sent {
                Ok(()) => {
                    self.counters.sent += 1;
                    association.outbound.pop();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    debug!(assoc = assoc.as_u64(), %error, "send");
                    if let Some(message) = association.outbound.pop() {
                        self.fail(assoc, message, "the system refuses it");
                    }
                }
            }
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
