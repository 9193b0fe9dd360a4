//! The work that tasks left.

use super::Shell;
use super::attention::{Attending, Leave};
use crate::pipe::{Outgoing, Pipe};
use crate::{Incoming, SessionId};
use bytes::Bytes;
use proto::endpoint::{self as machine, ElementId, MESSAGE_OVERHEAD};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

impl Shell {
    pub(super) fn work(&mut self) {
        let Attending { sessions, elements, pools } = self.attention.take();
        for id in sessions {
            self.work_session(id);
        }
        for (id, leave) in elements {
            match leave {
                Leave::Alone => self.let_go(id),
                Leave::Drain(grace) => self.drain(id, grace),
            }
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
        let pipe = Arc::clone(&entry.pipe);
        let work = pipe.take_work();
        if work.abandoned && entry.connecting.is_some() {
            return self.machine.abort(self.now, id, "not wanted any more");
        }
        if work.resume {
            self.machine.read(self.now, id, true);
        }
        for outgoing in work.outgoing {
            match outgoing {
                Outgoing::Message { epoch, message } => {
                    let bytes = message.bytes.clone();
                    if let Err(error) = self.machine.send(self.now, id, epoch, message) {
                        self.refused(id, &pipe, bytes, &error);
                    }
                }
                Outgoing::Cookie { cookie, bound } => {
                    let set = match bound {
                        false => self.machine.set_cookie(self.now, id, cookie.clone()),
                        true => self.machine.set_bound_cookie(self.now, id, cookie.clone()),
                    };
                    if let Err(error) = set {
                        self.refused(id, &pipe, cookie, &error);
                    }
                }
                Outgoing::RefuseCookie(why) => {
                    // Its end says the rest.
                    let _ = self.machine.refuse_cookie(self.now, id, why);
                }
                Outgoing::Close => self.machine.close(self.now, id),
            }
        }
        if work.abandoned {
            self.machine.close(self.now, id);
        }
    }

    /// A message that the machine did not take: the owner is told, and then its room is free again.
    fn refused(&mut self, id: SessionId, pipe: &Pipe, bytes: Bytes, error: &machine::SendError) {
        let why = match error {
            machine::SendError::Closed => return, // the end of the session says why
            machine::SendError::OutOfOrder => "a session with replay sends in order on stream 0",
            machine::SendError::NotServer => "only a server sets cookies",
            machine::SendError::NotSealed => "only a sealed cookie can be for one element alone",
            machine::SendError::Size { .. } => {
                "its size is not between 1 byte and the limit of this endpoint"
            }
            _ => "the endpoint did not take it",
        };
        let cost = bytes.len() + MESSAGE_OVERHEAD;
        if pipe.deliver(Incoming::Refused { bytes, why }) {
            self.machine.read(self.now, id, false);
        }
        pipe.sent(cost);
    }

    /// The machine is about to close the sessions of elements whose grace is over: what was sent in them by now goes before,
    /// and nothing more is taken.
    pub(super) fn end_graces(&mut self) {
        let now = self.now;
        let over = self.graces.iter().filter(|(_, end)| **end <= now).map(|(id, _)| *id);
        for element in over.collect::<Vec<_>>() {
            self.graces.remove(&element);
            let sessions = self.sessions.iter().filter(|(_, entry)| entry.element == Some(element));
            for session in sessions.map(|(id, _)| *id).collect::<Vec<_>>() {
                if let Some(entry) = self.sessions.get(&session) {
                    entry.pipe.close_for_sending();
                    self.work_session(session);
                }
            }
        }
    }

    fn let_go(&mut self, id: ElementId) {
        if self.stop_accepting(id) && self.machine.deregister(self.now, id).is_err() {
            self.elements.remove(&id);
        }
    }

    fn drain(&mut self, id: ElementId, grace: Duration) {
        if !self.stop_accepting(id) {
            return;
        }
        for session in self.sessions.values().filter(|session| session.element == Some(id)) {
            session.pipe.drain();
        }
        if let Some(element) = self.elements.get_mut(&id) {
            element.drain = Some(None);
        }
        match self.machine.drain(self.now, id, grace) {
            Ok(()) => drop(self.graces.insert(id, self.now + grace)),
            Err(_) => drop(self.elements.remove(&id)),
        }
    }

    /// Whether the element did not leave before.
    fn stop_accepting(&mut self, id: ElementId) -> bool {
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
