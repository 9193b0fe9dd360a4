//! Sessions: sending, receiving, ending; the same for those we start and those we accept (RFC 5352 §6.5, §6.6).

use super::accept::Peer;
use super::failover::User;
use super::replay::Replay;
use super::{
    AsapEndpoint, CloseReason, ElementId, Event, MESSAGE_OVERHEAD, Message, SendError, SessionId, Timer,
};
use crate::{AssocId, DownReason, PPID_ASAP, Time, Transmit};
use params::PeIdentifier;
use std::time::Duration;

/// How long a session may take to deliver what is queued when it is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) side: Side,
    /// The association of the moment; none while a server is looked for.
    pub(super) assoc: Option<AssocId>,
    /// What was taken from the application and not yet handed to SCTP counts.
    pub(super) queued: usize,
    pub(super) reading: bool,
    /// The association that the peer is ending: what it does not take any more is no fault of the message.
    ending: Option<AssocId>,
    closing: bool,
    /// Something that the application has sent was not delivered over the present association.
    lost: bool,
    /// Something of the peer came while we were closing, and was not read.
    unread: bool,
}

#[derive(Debug)]
pub(super) enum Side {
    /// We are the server, as this element; with the peer as long as nothing has arrived that only a pool user sends.
    /// `introduced`: the pool user has said that it is an element, too.
    Server { element: ElementId, silent: Option<Box<Peer>>, introduced: bool },
    /// We are the pool user.
    User(Box<User>),
}

impl Session {
    pub(super) fn new(side: Side, assoc: Option<AssocId>) -> Self {
        Self {
            side,
            assoc,
            queued: 0,
            reading: true,
            ending: None,
            closing: false,
            lost: false,
            unread: false,
        }
    }

    pub(super) fn user(&mut self) -> Option<&mut User> {
        match &mut self.side {
            Side::User(user) => Some(user),
            Side::Server { .. } => None,
        }
    }

    /// The element at the other end, or that we are connecting to, if we are the pool user.
    pub(super) fn server(&self) -> Option<PeIdentifier> {
        match &self.side {
            Side::User(user) => user.search.as_ref().map_or(user.server, |search| search.candidate),
            Side::Server { .. } => None,
        }
    }

    /// A message came back. Says whether that is because the peer is ending this association.
    pub(super) fn is_lost_with(&mut self, assoc: AssocId) -> bool {
        let ending = self.ending == Some(assoc);
        self.lost |= ending;
        ending
    }

    /// Whether we have started it, and it has a server now.
    pub(super) fn has_server(&self) -> bool {
        matches!(&self.side, Side::User(user) if user.search.is_none())
    }

    /// The association to send on, unless the session has none or is closing.
    pub(super) fn open(&self) -> Option<AssocId> {
        self.assoc.filter(|_| !self.closing)
    }
}

impl AsapEndpoint {
    /// Sends a message in a session; before [`Event::Connected`] it is queued.
    ///
    /// `epoch` is that of the last [`Event::Failover`] that the application has seen, 0 before the first: what
    /// was written for the former server is dropped here, because the application will send it again.
    ///
    /// # Errors
    /// The queue is full; the message is too large or empty or has ASAP's payload protocol; the session is closed.
    pub fn send(
        &mut self,
        _now: Time,
        session: SessionId,
        epoch: u32,
        message: Message,
    ) -> Result<(), SendError> {
        let size = message.bytes.len();
        if message.ppid == PPID_ASAP {
            return Err(SendError::ReservedPpid);
        }
        if size == 0 {
            return Err(SendError::Size { limit: self.config.limits.message });
        }
        let replays =
            self.sessions.get_mut(&session).and_then(Session::user).is_some_and(|user| user.replay.is_some());
        if replays && !Replay::takes(&message) {
            return Err(SendError::OutOfOrder);
        }
        let cost = message.cost();
        self.room(session, size)?;
        if replays && !self.keep(session, &message) {
            return Ok(());
        }
        let Some(state) = self.sessions.get_mut(&session) else { return Err(SendError::Closed) };
        if let Side::User(user) = &mut state.side {
            if epoch != user.epoch {
                self.release(session, cost);
                return Ok(());
            }
            if user.search.is_some() {
                user.waiting.push_back(message);
                return Ok(());
            }
            user.asks(&message);
        }
        let assoc = state.open().ok_or(SendError::Closed)?;
        self.push_message(assoc, message, cost);
        Ok(())
    }

    /// The session, if its queue has room for a message of so many bytes, which is taken at once.
    pub(super) fn room(&mut self, session: SessionId, size: usize) -> Result<&mut Session, SendError> {
        let limits = &self.config.limits;
        if size > limits.message {
            return Err(SendError::Size { limit: limits.message });
        }
        let state =
            self.sessions.get_mut(&session).filter(|state| !state.closing).ok_or(SendError::Closed)?;
        let cost = size + MESSAGE_OVERHEAD;
        if state.queued > 0 && state.queued + cost > limits.session_queue {
            return Err(SendError::Full);
        }
        state.queued += cost;
        Ok(state)
    }

    /// Queues a message that holds so much of its session's queue.
    pub(super) fn push_message(&mut self, assoc: AssocId, message: Message, credit: usize) {
        let Message { stream, ppid, unordered, bytes } = message;
        self.outbox.push(assoc, Transmit::Send { assoc, stream, ppid, unordered, bytes }, credit);
    }

    /// Gives the application back so much of a session's queue.
    pub(super) fn release(&mut self, session: SessionId, size: usize) {
        let Some(state) = self.sessions.get_mut(&session).filter(|_| size > 0) else { return };
        state.queued = state.queued.saturating_sub(size);
        match self.events.back_mut() {
            Some(Event::Sent { session: last, bytes }) if *last == session => *bytes += size,
            _ => self.events.push_back(Event::Sent { session, bytes: size }),
        }
    }

    /// Goes on or stops reading a session's messages: at most those on their way still come. A session that is closing is
    /// read.
    pub fn read(&mut self, _now: Time, session: SessionId, on: bool) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if state.reading == on || (state.closing && !on) {
            return;
        }
        state.reading = on;
        if let Some(assoc) = state.assoc {
            self.outbox.push_immediate(Transmit::Read { assoc, on });
        }
    }

    /// Ends a session after everything queued was delivered; one that has no server at the moment ends at once.
    /// What still arrives is dropped. [`Event::Closed`] follows, with [`CloseReason::Local`] if nothing was lost.
    ///
    /// A pool user that has sent more than was answered, and whose server is ending the session as well, does not know whether
    /// that was taken: it is told [`CloseReason::Lost`]. So it is if something went unordered or on another stream than 0, whose
    /// answers tell nothing of what else was taken.
    pub fn close(&mut self, now: Time, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session).filter(|state| !state.closing) else { return };
        let searching = state.user().is_some_and(|user| user.search.is_some());
        match state.assoc {
            Some(assoc) if !searching => {
                state.closing = true;
                // The peer may have to be read out before it is ready to end.
                if !std::mem::replace(&mut state.reading, true) {
                    self.outbox.push_immediate(Transmit::Read { assoc, on: true });
                }
                self.outbox.push(assoc, Transmit::Shutdown { assoc }, 0);
                self.timers.set(Timer::Close(session), now + CLOSE_TIMEOUT);
            }
            _ => {
                let nothing_sent = state.user().is_none_or(|user| user.has_sent_nothing());
                let lost = || CloseReason::Lost("closed while there was no server".to_owned());
                self.abort_with(session, "closed", if nothing_sent { CloseReason::Local } else { lost() });
            }
        }
    }

    /// Ends a session at once. [`Event::Closed`] follows.
    pub fn abort(&mut self, _now: Time, session: SessionId, cause: impl Into<String>) {
        self.abort_with(session, &cause.into(), CloseReason::Local);
    }

    /// Ends a session at once, and says why.
    pub(super) fn abort_with(&mut self, session: SessionId, cause: &str, why: CloseReason) {
        let Some(state) = self.sessions.get(&session) else { return };
        if let Some(assoc) = state.assoc {
            self.abort_association(assoc, cause);
        }
        self.end_session(session, why);
    }

    pub(super) fn end_session(&mut self, session: SessionId, why: CloseReason) {
        let Some(state) = self.sessions.remove(&session) else { return };
        for timer in
            [Timer::Patience, Timer::Returned, Timer::Connect, Timer::Stagger, Timer::Retry, Timer::Close]
        {
            self.timers.cancel(&timer(session));
        }
        self.events.push_back(Event::Closed { session, why });
        match state.side {
            Side::Server { element, .. } => self.session_ended(element, session),
            Side::User(user) => self.cache.session_ended(user.handle),
        }
    }

    /// A message of a session's association. Control and data share it and differ in the payload protocol
    /// (RFC 5352 §3.8).
    pub(super) fn session_message(
        &mut self,
        now: Time,
        assoc: AssocId,
        session: SessionId,
        message: Message,
    ) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if state.closing {
            state.unread |= message.ppid != PPID_ASAP;
            return self.end_unread(session);
        }
        if message.ppid == PPID_ASAP {
            return self.control_message(now, assoc, session, message.bytes);
        }
        match &mut state.side {
            Side::Server { silent, .. } => *silent = None,
            Side::User(user) => {
                // What came before is no progress.
                if user.is_repeated(&message) {
                    return;
                }
                user.hears();
            }
        }
        self.events.push_back(Event::Received { session, message });
    }

    /// The peer ends the session: nothing more can be sent, and what is on its way comes before the end.
    pub(super) fn session_ending(&mut self, assoc: AssocId, session: SessionId) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.ending = Some(assoc);
            self.end_unread(session);
        }
    }

    /// The pool user closes its session, as we do, and believes that all it has sent was taken. It must not if something was
    /// not.
    fn end_unread(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get(&session) else { return };
        let closed = state.closing && state.assoc.is_some() && state.ending == state.assoc;
        if closed && state.unread && matches!(state.side, Side::Server { .. }) {
            const UNREAD: &str = "closed by both, with messages unread";
            self.abort_with(session, UNREAD, CloseReason::Lost(UNREAD.to_owned()));
        }
    }

    /// The association of a session is gone; `dropped`: with messages that were not handed to it.
    pub(super) fn session_down(
        &mut self,
        now: Time,
        assoc: AssocId,
        session: SessionId,
        why: DownReason,
        dropped: bool,
    ) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        state.assoc = None;
        let lost = std::mem::take(&mut state.lost) || dropped;
        let doubtful = state.ending == Some(assoc) && state.user().is_some_and(|user| user.is_in_doubt());
        match (&state.side, why) {
            (_, DownReason::Shutdown) if state.closing && (lost || doubtful) => {
                self.end_session(session, CloseReason::Lost("ended by the peer at the same time".to_owned()));
            }
            (_, DownReason::Shutdown) if state.closing => self.end_session(session, CloseReason::Local),
            (_, why) if state.closing => self.end_session(session, CloseReason::Lost(reason(&why))),
            (Side::User(_), why) => self.server_lost(now, session, &why),
            (Side::Server { .. }, DownReason::Shutdown) => self.end_session(session, CloseReason::Peer),
            (Side::Server { .. }, why) => self.end_session(session, CloseReason::Lost(reason(&why))),
        }
    }

    /// The peer of a session restarted: it has forgotten us, whatever SCTP says (RFC 9260 §5.2).
    pub(super) fn session_restarted(&mut self, now: Time, assoc: AssocId, session: SessionId) {
        let dropped = self.abort_association(assoc, "restarted");
        self.release(session, dropped);
        self.session_down(now, assoc, session, DownReason::PeerAborted("restarted".to_owned()), dropped > 0);
    }
}

fn reason(why: &DownReason) -> String {
    match why {
        DownReason::PeerAborted(cause) if cause.is_empty() => "aborted by the peer".to_owned(),
        DownReason::PeerAborted(cause) => format!("aborted by the peer: {cause}"),
        DownReason::Unreachable => "the peer does not answer".to_owned(),
        DownReason::ConnectFailed(cause) | DownReason::CannotConnect(cause) => cause.clone(),
        DownReason::NoAddress => "none of its addresses can be reached from here".to_owned(),
        DownReason::Violation(rule) => format!("the peer broke a rule: {rule}"),
        DownReason::Shutdown | DownReason::LocalAbort | DownReason::Duplicate(_) => "closed".to_owned(),
    }
}
