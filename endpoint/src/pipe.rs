//! The two bounded queues between a session's owner (any task) and the endpoint's thread.
//!
//! *Outgoing*: a message takes byte permits before it enters the outbox; they return when the endpoint has handed
//! the message to SCTP. *Incoming*: above the high-water mark the endpoint stops reading the association, so
//! SCTP's window closes and the peer waits; below the low-water mark it goes on.

use crate::SessionError;
use bytes::Bytes;
use params::PeIdentifier;
use proto::endpoint::Message;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore};

/// Unread bytes of one session above which its association is not read any more.
const HIGH_WATER: usize = 256 * 1024;
/// Unread bytes below which reading goes on.
const LOW_WATER: usize = HIGH_WATER / 2;
/// What an unread message counts besides its bytes, so that many small ones are bounded, too.
const MESSAGE_OVERHEAD: usize = 128;

/// What the owner wants done, in order.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Written when the owner knew of the failovers up to `epoch`.
    Message { epoch: u32, message: Message },
    /// The client keeps it for the next server.
    Cookie(Bytes),
    /// Nothing follows.
    Close,
}

/// What happens in a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A message arrived.
    Message(Message),
    /// The client's cookie arrived after the session had been accepted (accepted sessions only).
    Cookie(Bytes),
    /// The session continues on another server (started sessions only).
    Failover {
        /// The former server.
        from: PeIdentifier,
        /// The new one; it has got the latest cookie before anything else.
        to: PeIdentifier,
        /// How many there have been.
        epoch: u32,
    },
    /// SCTP refused a message of this side.
    Refused {
        /// The length of the message.
        length: usize,
        /// Why.
        why: &'static str,
    },
}

impl Incoming {
    fn cost(&self) -> usize {
        MESSAGE_OVERHEAD
            + match self {
                Self::Message(message) => message.bytes.len(),
                Self::Cookie(cookie) => cookie.len(),
                Self::Failover { .. } | Self::Refused { .. } => 0,
            }
    }
}

/// What the endpoint's thread has to do for a session.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) outgoing: VecDeque<Outgoing>,
    /// Go on reading.
    pub(crate) resume: bool,
    /// The owner is gone.
    pub(crate) abandoned: bool,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    /// Something arrived, or the session ended.
    readable: Notify,
    /// Bytes that may still enter the outbox; closed when the session has ended.
    room: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    outbox: VecDeque<Outgoing>,
    inbox: VecDeque<Incoming>,
    inbox_cost: usize,
    /// The endpoint was told to stop reading.
    paused: bool,
    /// The last failover that the owner has seen.
    epoch: u32,
    abandoned: bool,
    ended: Option<SessionError>,
}

impl Pipe {
    /// A pipe whose outbox takes so many bytes.
    pub(crate) fn new(window: usize) -> Self {
        Self { state: Mutex::default(), readable: Notify::new(), room: Semaphore::new(window) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owner's side.
impl Pipe {
    /// Waits for room, then queues the message, all or nothing.
    pub(crate) async fn send(&self, message: Message) -> Result<(), SessionError> {
        self.reserve(message.bytes.len()).await?;
        let mut state = self.state();
        let epoch = state.epoch;
        state.push(Outgoing::Message { epoch, message })
    }

    pub(crate) async fn set_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        self.reserve(cookie.len()).await?;
        self.state().push(Outgoing::Cookie(cookie))
    }

    pub(crate) fn close(&self) -> Result<(), SessionError> {
        self.state().push(Outgoing::Close)
    }

    async fn reserve(&self, bytes: usize) -> Result<(), SessionError> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        match self.room.acquire_many(permits).await {
            Ok(permits) => {
                permits.forget();
                Ok(())
            }
            Err(_) => Err(self.state().ended.clone().unwrap_or(SessionError::Closed)),
        }
    }

    /// The next thing that happened, and whether the endpoint must be told to go on reading. What arrived before
    /// the end comes before the end.
    pub(crate) async fn recv(&self) -> Result<(Incoming, bool), SessionError> {
        loop {
            if let Some(result) = self.state().pop() {
                return result;
            }
            self.readable.notified().await;
        }
    }

    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.inbox.clear();
        state.inbox_cost = 0;
    }
}

/// The endpoint's side.
impl Pipe {
    /// Queues what arrived. Returns whether reading must stop now.
    pub(crate) fn deliver(&self, incoming: Incoming) -> bool {
        let mut state = self.state();
        if state.abandoned {
            return false;
        }
        state.inbox_cost += incoming.cost();
        state.inbox.push_back(incoming);
        let pause = !state.paused && state.inbox_cost > HIGH_WATER;
        state.paused |= pause;
        drop(state);
        self.readable.notify_one();
        pause
    }

    pub(crate) fn take_work(&self) -> Work {
        let mut state = self.state();
        let resume = state.must_resume();
        state.paused &= !resume;
        Work { outgoing: std::mem::take(&mut state.outbox), resume, abandoned: state.abandoned }
    }

    /// So many bytes of the outbox are SCTP's now.
    pub(crate) fn sent(&self, bytes: usize) {
        self.room.add_permits(bytes);
    }

    pub(crate) fn end(&self, why: SessionError) {
        let mut state = self.state();
        state.outbox.clear();
        state.ended = Some(why);
        drop(state);
        self.room.close();
        self.readable.notify_one();
    }
}

impl State {
    fn push(&mut self, outgoing: Outgoing) -> Result<(), SessionError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        self.outbox.push_back(outgoing);
        Ok(())
    }

    fn pop(&mut self) -> Option<Result<(Incoming, bool), SessionError>> {
        let Some(incoming) = self.inbox.pop_front() else {
            return self.ended.clone().map(Err);
        };
        self.inbox_cost -= incoming.cost();
        if let Incoming::Failover { epoch, .. } = incoming {
            self.epoch = epoch;
        }
        Some(Ok((incoming, self.must_resume())))
    }

    fn must_resume(&self) -> bool {
        self.paused && self.inbox_cost <= LOW_WATER
    }
}
