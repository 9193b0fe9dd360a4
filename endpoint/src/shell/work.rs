//! The work that tasks left.

use super::Shell;
use super::attention::Attending;
use crate::SessionId;
use crate::pipe::{Incoming, Outgoing, Pipe};
use proto::endpoint::{self as machine, ElementId};
use tokio::sync::watch;

impl Shell {
    pub(super) fn work(&mut self) {
        let Attending { sessions, elements, pools } = self.attention.take();
        for id in sessions {
            self.work_session(id);
        }
        for id in elements {
            self.let_go(id);
        }
        for pool in pools {
            if self.watches.get(&pool).is_some_and(watch::Sender::is_closed) {
                self.watches.remove(&pool);
                self.machine.unwatch(self.now, &pool);
            }
        }
    }

    fn work_session(&mut self, id: SessionId) {
        let Some(entry) = self.sessions.get(&id) else { return };
        let work = entry.pipe.take_work();
        if work.abandoned && entry.connecting.is_some() {
            return self.machine.abort(self.now, id, "not wanted any more");
        }
        for outgoing in work.outgoing {
            match outgoing {
                Outgoing::Message { epoch, message } => {
                    let length = message.bytes.len();
                    if let Err(error) = self.machine.send(self.now, id, epoch, message) {
                        refused(&entry.pipe, length, &error);
                    }
                }
                Outgoing::Cookie { cookie, bound } => {
                    let length = cookie.len();
                    let set = match bound {
                        false => self.machine.set_cookie(self.now, id, cookie),
                        true => self.machine.set_bound_cookie(self.now, id, cookie),
                    };
                    if let Err(error) = set {
                        refused(&entry.pipe, length, &error);
                    }
                }
                Outgoing::RefuseCookie(why) => self.machine.refuse_cookie(self.now, id, why),
                Outgoing::Close => self.machine.close(self.now, id),
            }
        }
        if work.resume {
            self.machine.read(self.now, id, true);
        }
        if work.abandoned {
            self.machine.close(self.now, id);
        }
    }

    fn let_go(&mut self, id: ElementId) {
        if self.stop_accepting(id) && self.machine.deregister(self.now, id).is_err() {
            self.elements.remove(&id);
        }
    }

    /// Whether the element did not leave before.
    pub(super) fn stop_accepting(&mut self, id: ElementId) -> bool {
        let Some(element) = self.elements.get_mut(&id) else { return false };
        if std::mem::replace(&mut element.leaving, true) {
            return false;
        }
        for waiting in element.backlog.close() {
            waiting.pipe.abandon();
            self.machine.abort(self.now, waiting.id, "the pool element is leaving");
        }
        true
    }
}

/// A message that the machine did not take: its room is free again, and the owner is told.
fn refused(pipe: &Pipe, length: usize, error: &machine::SendError) {
    let why = match error {
        machine::SendError::Closed => return, // the end of the session says why
        machine::SendError::OutOfOrder => "a session with replay sends in order on stream 0",
        machine::SendError::NotServer => "only a server sets cookies",
        machine::SendError::NotSealed => "only a sealed cookie can be for one element alone",
        machine::SendError::Size { .. } => "its size is not between 1 byte and the limit of this endpoint",
        _ => "the endpoint did not take it",
    };
    pipe.sent(length);
    pipe.deliver(Incoming::Refused { length, why });
}
