//! The two bounded queues between a session's owner (any task) and the endpoint's thread.
//!
//! *Outgoing*: a message takes byte permits before it enters the outbox; they return when the endpoint has handed
//! the message to SCTP. *Incoming*: above the high-water mark the endpoint stops reading the association, so
//! SCTP's window closes and the peer waits; below the low-water mark it goes on.

use crate::SessionError;
use bytes::Bytes;
use params::{PeIdentifier, PoolElement, PoolHandle};
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
    /// The client keeps it for the next server, or, if it is bound, for this one.
    Cookie { cookie: Bytes, bound: bool },
    /// The cookie that the session came with cannot be used.
    RefuseCookie(String),
    /// Nothing follows.
    Close,
}

/// A cookie that a session came with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cookie {
    /// The version of what is in it, if cookies are sealed; else 0.
    pub version: u32,
    /// What the former server set.
    pub bytes: Bytes,
}

/// Who can be turned to when the client of an accepted session is gone, as it says of itself: it is an element of a pool, too
/// (RFC 5352 §3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Card {
    /// The client's pool.
    pub pool: PoolHandle,
    /// Elements of the pool, the preferred one first; the client itself among them.
    pub elements: Vec<PoolElement>,
}

/// What happens in a session.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A message arrived.
    Message(Message),
    /// The client's cookie arrived after the session had been accepted (accepted sessions only).
    Cookie(Cookie),
    /// The client is an element itself, and names others of its pool (accepted sessions only).
    Card(Card),
    /// The session continues on another server (started sessions only).
    Failover {
        /// The former server.
        from: PeIdentifier,
        /// The new one; it has got the latest cookie before anything else.
        to: PeIdentifier,
        /// How many there have been in which nothing was sent again.
        epoch: u32,
        /// All that its cookie does not cover was sent again: [`ReplayLimits`](crate::ReplayLimits).
        replayed: bool,
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
                Self::Cookie(cookie) => cookie.bytes.len(),
                Self::Card(card) => card.elements.len() * size_of::<PoolElement>(),
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
    /// The element leaves its pool, or the session ended.
    drain: Notify,
    /// Bytes that may still enter the outbox; closed when the session has ended.
    room: Semaphore,
    /// All of them.
    window: usize,
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
    /// By how much the message in the outbox is larger than all the room there is. It is alone there.
    excess: usize,
    /// The element is leaving its pool.
    draining: bool,
    abandoned: bool,
    ended: Option<SessionError>,
}

impl Pipe {
    /// A pipe whose outbox takes so many bytes.
    pub(crate) fn new(window: usize) -> Self {
        Self {
            state: Mutex::default(),
            readable: Notify::new(),
            drain: Notify::new(),
            room: Semaphore::new(window),
            window,
        }
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

    pub(crate) async fn set_cookie(&self, cookie: Bytes, bound: bool) -> Result<(), SessionError> {
        self.reserve(cookie.len()).await?;
        self.state().push(Outgoing::Cookie { cookie, bound })
    }

    pub(crate) fn refuse_cookie(&self, why: String) -> Result<(), SessionError> {
        self.state().push(Outgoing::RefuseCookie(why))
    }

    pub(crate) fn close(&self) -> Result<(), SessionError> {
        self.state().push(Outgoing::Close)
    }

    async fn reserve(&self, bytes: usize) -> Result<(), SessionError> {
        let permits = u32::try_from(bytes.min(self.window)).unwrap_or(u32::MAX);
        match self.room.acquire_many(permits).await {
            Ok(permits) => {
                permits.forget();
                if bytes > self.window {
                    self.state().excess = bytes - self.window;
                }
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

    /// Waits until the element leaves its pool, or the session has ended.
    pub(crate) async fn draining(&self) {
        let notified = self.drain.notified();
        let done = {
            let state = self.state();
            state.draining || state.ended.is_some()
        };
        if !done {
            notified.await;
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
        let excess = std::mem::take(&mut self.state().excess);
        self.room.add_permits(bytes - excess.min(bytes));
    }

    pub(crate) fn end(&self, why: SessionError) {
        let mut state = self.state();
        state.outbox.clear();
        state.ended = Some(why);
        drop(state);
        self.room.close();
        self.readable.notify_one();
        self.drain.notify_waiters();
    }

    /// The element leaves its pool.
    pub(crate) fn drain(&self) {
        self.state().draining = true;
        self.drain.notify_waiters();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn message(length: usize) -> Message {
        Message::new(vec![0; length])
    }

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn ready<F: Future>(future: F) -> F::Output {
        match poll(future) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn a_full_outbox_makes_the_sender_wait_until_sctp_has_taken_as_much() {
        let pipe = Pipe::new(1000);
        ready(pipe.send(message(600))).unwrap();
        assert!(poll(pipe.send(message(600))).is_pending());
        pipe.sent(199);
        assert!(poll(pipe.send(message(600))).is_pending());
        pipe.sent(1);
        ready(pipe.send(message(600))).unwrap();
        assert_eq!(pipe.take_work().outgoing.len(), 2);
    }

    #[test]
    fn a_message_larger_than_the_outbox_waits_until_it_is_alone() {
        let pipe = Pipe::new(1000);
        ready(pipe.send(message(10))).unwrap();
        assert!(poll(pipe.send(message(5000))).is_pending());
        pipe.sent(10);
        ready(pipe.send(message(5000))).unwrap();
        assert!(poll(pipe.send(message(1))).is_pending());
        pipe.sent(5000);
        ready(pipe.send(message(1000))).unwrap();
        assert!(poll(pipe.send(message(1))).is_pending());
    }

    #[test]
    fn a_cancelled_send_leaves_nothing_behind() {
        let pipe = Pipe::new(1000);
        ready(pipe.send(message(1000))).unwrap();
        for _ in 0..3 {
            assert!(poll(pipe.send(message(1000))).is_pending()); // and dropped
        }
        assert_eq!(pipe.take_work().outgoing.len(), 1);
        pipe.sent(1000);
        ready(pipe.send(message(1000))).unwrap();
        assert_eq!(pipe.take_work().outgoing.len(), 1);
    }

    #[test]
    fn a_full_inbox_pauses_the_association_once_and_a_half_empty_one_resumes_it_once() {
        let pipe = Pipe::new(1000);
        let big = HIGH_WATER / 4 - MESSAGE_OVERHEAD;
        let pauses: Vec<bool> = (0..6).map(|_| pipe.deliver(Incoming::Message(message(big)))).collect();
        assert_eq!(pauses, [false, false, false, false, true, false]);
        assert!(!pipe.take_work().resume);
        let resumes: Vec<bool> = (0..4).map(|_| ready(pipe.recv()).unwrap().1).collect();
        assert_eq!(resumes, [false, false, false, true]);
        assert!(pipe.take_work().resume);
        assert!(!pipe.take_work().resume);
        assert!(!ready(pipe.recv()).unwrap().1);
    }

    #[test]
    fn many_small_messages_fill_the_inbox_too() {
        let pipe = Pipe::new(1000);
        let delivered = (1..).find(|_| pipe.deliver(Incoming::Message(message(1))));
        assert_eq!(delivered, Some(HIGH_WATER / (MESSAGE_OVERHEAD + 1) + 1));
    }

    #[test]
    fn a_message_carries_the_failovers_that_its_owner_has_seen() {
        let pipe = Pipe::new(1000);
        let (from, to) = (PeIdentifier(1), PeIdentifier(2));
        pipe.deliver(Incoming::Failover { from, to, epoch: 1, replayed: false });
        ready(pipe.send(message(1))).unwrap();
        assert!(matches!(ready(pipe.recv()).unwrap().0, Incoming::Failover { epoch: 1, .. }));
        ready(pipe.send(message(1))).unwrap();
        let epochs: Vec<u32> = pipe
            .take_work()
            .outgoing
            .iter()
            .map(|outgoing| match outgoing {
                Outgoing::Message { epoch, .. } => *epoch,
                _ => panic!("{outgoing:?}"),
            })
            .collect();
        assert_eq!(epochs, [0, 1]);
    }

    #[test]
    fn what_arrived_before_the_end_comes_before_the_end() {
        let pipe = Pipe::new(10);
        ready(pipe.send(message(10))).unwrap();
        let mut waiting = pin!(pipe.send(message(1)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        pipe.deliver(Incoming::Message(message(1)));
        pipe.end(SessionError::Lost("cut off".into()));

        assert!(matches!(waiting.poll(&mut context), Poll::Ready(Err(SessionError::Lost(_)))));
        assert!(matches!(ready(pipe.recv()), Ok((Incoming::Message(_), false))));
        assert!(matches!(ready(pipe.recv()), Err(SessionError::Lost(_))));
        assert!(matches!(ready(pipe.recv()), Err(SessionError::Lost(_))));
        assert!(matches!(ready(pipe.send(message(1))), Err(SessionError::Lost(_))));
        assert!(pipe.take_work().outgoing.is_empty());
    }
}
