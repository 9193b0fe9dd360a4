//! Replay: what a session has sent since its cookie is sent again after a failover, in order, behind the cookie.
//!
//! For servers that set a cookie now and then instead of with each answer (RFC 5351 §2.5): what they did since is only in
//! what they were asked for. Every message of such a server, in order on stream 0, answers one of the client's, in
//! their order. So a cookie that comes after `n` answers covers the first `n` messages: they are forgotten, and the others
//! are kept, answered or not. An answer that comes again after a failover is passed over.
//!
//! The server may set a cookie before the answer of what it covers (design §8) or after it. In the first case one message more is
//! in it than was answered. It is kept all the same: at worst it is asked for once more, and the server has to recognise
//! that, as it always has.

use super::session::Session;
use super::{AsapEndpoint, Event, Message, ReplayLimits, SessionId, Timer};
use crate::Time;
use bytes::Bytes;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Replay {
    limits: ReplayLimits,
    /// What the cookie does not cover, in the order in which it was sent.
    kept: VecDeque<Kept>,
    bytes: usize,
    /// How many of these any server has answered, the first ones.
    answered: usize,
    /// How many the present one has.
    position: usize,
    /// What SCTP gave back: is it that one message, or the end of the association?
    returned: Vec<(Bytes, &'static str)>,
}

#[derive(Debug)]
struct Kept {
    message: Message,
    /// What it holds of the session's queue, until it is sent for the first time.
    credit: usize,
}

impl Replay {
    pub(super) fn new(limits: ReplayLimits) -> Self {
        Self { limits, kept: VecDeque::new(), bytes: 0, answered: 0, position: 0, returned: Vec::new() }
    }

    /// Whether a message can be kept in its order.
    pub(super) fn takes(message: &Message) -> bool {
        message.stream == 0 && !message.unordered
    }

    /// Keeps a message; says whether there was room.
    pub(super) fn keep(&mut self, message: &Message, credit: usize) -> bool {
        let bytes = self.bytes + message.bytes.len();
        let room = self.kept.len() < self.limits.messages && bytes <= self.limits.bytes;
        if room {
            self.bytes = bytes;
            self.kept.push_back(Kept { message: message.clone(), credit });
        }
        room
    }

    /// A cookie has come.
    pub(super) fn cover(&mut self) {
        let covered = self.kept.drain(..self.position);
        self.bytes -= covered.map(|kept| kept.message.bytes.len()).sum::<usize>();
        self.answered -= self.position;
        self.position = 0;
    }

    /// A message of the server has come. Says whether it is an answer that came before.
    pub(super) fn is_repeated(&mut self, message: &Message) -> bool {
        // What is in no order is no answer, nor is what nobody has asked for.
        if !Self::takes(message) || self.position == self.kept.len() {
            return false;
        }
        self.position += 1;
        let repeated = self.position <= self.answered;
        self.answered = self.answered.max(self.position);
        repeated
    }

    /// All that is kept, for a server that has the cookie, each with the credit that it still holds.
    pub(super) fn begin(&mut self) -> impl Iterator<Item = (Message, usize)> {
        self.position = 0;
        self.kept.iter_mut().map(|kept| (kept.message.clone(), std::mem::take(&mut kept.credit)))
    }

    /// Whether nothing is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What SCTP gave back comes to the next server, if the association is gone.
    pub(super) fn lost(&mut self) {
        self.returned.clear();
    }

    /// What SCTP gave back of an association that goes on is kept no more.
    fn refused(&mut self) -> Vec<(Bytes, &'static str)> {
        for (bytes, _) in &self.returned {
            let sent = self.kept.iter().rposition(|kept| kept.message.bytes == *bytes);
            let Some(sent) = sent.filter(|sent| *sent >= self.position) else { continue };
            self.kept.remove(sent);
            self.bytes -= bytes.len();
            self.answered -= usize::from(sent < self.answered);
        }
        std::mem::take(&mut self.returned)
    }
}

impl AsapEndpoint {
    /// Keeps a message of a session that does so, and says whether it is to be sent now: without a server it waits where it
    /// is. One that is too much ends all that.
    pub(super) fn keep(&mut self, session: SessionId, message: &Message) -> bool {
        let Some(user) = self.sessions.get_mut(&session).and_then(Session::user) else { return true };
        let Some(replay) = &mut user.replay else { return true };
        let searching = user.search.is_some();
        let kept = replay.keep(message, if searching { message.cost() } else { 0 });
        if !kept {
            self.give_up_replay(session);
        }
        !(kept && searching)
    }

    /// From now on the session is as any other.
    fn give_up_replay(&mut self, session: SessionId) {
        let Some(user) = self.sessions.get_mut(&session).and_then(Session::user) else { return };
        let Some(replay) = user.replay.take() else { return };
        self.timers.cancel(&Timer::Returned(session));
        user.skip = replay.answered - replay.position;
        let (messages, bytes) = (replay.kept.len(), replay.bytes);
        let waiting = replay.kept.into_iter().filter(|kept| kept.credit > 0);
        if user.server.is_none() {
            user.waiting.extend(waiting.map(|kept| kept.message));
        } else if user.search.is_some() {
            // The application learns from the failover that its messages do not get there.
            user.epoch = user.epoch.wrapping_add(1);
            let dropped = waiting.map(|kept| kept.credit).sum();
            self.release(session, dropped);
        }
        self.events.push_back(Event::ReplayGivenUp { session, messages, bytes });
    }

    /// SCTP gave a message back. Says whether it is kept: then what follows decides what that means.
    pub(super) fn returned(
        &mut self,
        now: Time,
        session: SessionId,
        bytes: &Bytes,
        why: &'static str,
    ) -> bool {
        let replay =
            self.sessions.get_mut(&session).and_then(Session::user).and_then(|user| user.replay.as_mut());
        let Some(replay) = replay else { return false };
        replay.returned.push((bytes.clone(), why));
        self.timers.set(Timer::Returned(session), now);
        true
    }

    /// The association goes on, so the messages that it gave back will not be taken by the next one either.
    pub(super) fn returned_expired(&mut self, session: SessionId) {
        let replay =
            self.sessions.get_mut(&session).and_then(Session::user).and_then(|user| user.replay.as_mut());
        for (bytes, why) in replay.map(Replay::refused).unwrap_or_default() {
            self.events.push_back(Event::SendFailed { session, bytes, why });
        }
    }
}
