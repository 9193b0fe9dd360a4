//! The two bounded queues between a session's owner (any task) and the endpoint's thread.
//!
//! *Outgoing*: a message takes permits, for its bytes and for itself, before it enters the outbox; they return when the
//! endpoint has handed the message to SCTP. *Incoming*: above the high-water mark the endpoint stops reading the association, so
//! SCTP's window closes and the peer waits; below the low-water mark it goes on. A refused message is both: it keeps its permits
//! until its owner has heard of it.

#[cfg(test)]
mod tests;

use crate::{Card, Incoming, SessionError};
use bytes::Bytes;
use params::PeIdentifier;
use proto::endpoint::{MESSAGE_OVERHEAD, Message};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore};

/// Unread bytes of one session above which its association is not read any more.
const HIGH_WATER: usize = 256 * 1024;
/// Unread bytes below which reading goes on.
const LOW_WATER: usize = HIGH_WATER / 2;

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
    /// A failover was received, the element leaves its pool, or the session ended.
    news: Notify,
    /// Bytes that may still enter the outbox; closed when nothing more can be sent.
    room: Semaphore,
    /// All of them.
    window: usize,
}

#[derive(Debug, Default)]
struct State {
    outbox: VecDeque<Outgoing>,
    inbox: VecDeque<Incoming>,
    /// The latest that was not received.
    card: Option<Card>,
    inbox_cost: usize,
    /// The endpoint was told to stop reading.
    paused: bool,
    /// The last failover that was received, and where it led.
    epoch: u32,
    server: PeIdentifier,
    /// By how much the message in the outbox is larger than all the room there is. It is alone there.
    excess: usize,
    /// Room that refusals keep which were not received; and room that they are to keep as soon as it returns.
    withheld: usize,
    owed: usize,
    /// The element is leaving its pool.
    draining: bool,
    /// Nobody receives any more.
    deaf: bool,
    abandoned: bool,
    /// Nothing more can be sent.
    closing: bool,
    ended: Option<SessionError>,
}

impl Pipe {
    /// A pipe whose outbox takes so many bytes.
    pub(crate) fn new(window: usize) -> Self {
        Self {
            state: Mutex::default(),
            readable: Notify::new(),
            news: Notify::new(),
            room: Semaphore::new(window),
            window,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is news of a kind.
    async fn wait<T>(&self, news: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let more = self.news.notified();
            if let Some(news) = news(&self.state()) {
                return news;
            }
            more.await;
        }
    }
}

/// The owner's side.
impl Pipe {
    /// Fails as soon as so much room is kept by refusals that this cannot be sent before they are received.
    pub(crate) async fn withheld(&self, length: usize) -> SessionError {
        let taken = (length + MESSAGE_OVERHEAD).min(self.window);
        self.wait(|state| (state.withheld + taken > self.window).then_some(())).await;
        let why = "messages that were refused fill the queue until they are received";
        SessionError::Unsendable { length, why }
    }

    /// Waits for room, then queues the message, all or nothing. The writer knows of the failovers up to `epoch`.
    pub(crate) async fn send(&self, epoch: u32, message: Message) -> Result<(), SessionError> {
        let cost = message.cost();
        self.reserve(cost).await?;
        let mut state = self.state();
        if state.epoch != epoch && !state.closing {
            drop(state);
            self.sent(cost);
            return Err(SessionError::FailedOver);
        }
        state.push(Outgoing::Message { epoch, message })
    }

    pub(crate) async fn set_cookie(&self, cookie: Bytes, bound: bool) -> Result<(), SessionError> {
        self.reserve(cookie.len() + MESSAGE_OVERHEAD).await?;
        self.state().push(Outgoing::Cookie { cookie, bound })
    }

    pub(crate) fn refuse_cookie(&self, why: String) -> Result<(), SessionError> {
        self.state().push(Outgoing::RefuseCookie(why))
    }

    /// Asks for the end, unless that is near already.
    pub(crate) fn close(&self) {
        // The end says how it went.
        let _ = self.state().push(Outgoing::Close);
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
            if let Some(result) = self.pop() {
                return result;
            }
            self.readable.notified().await;
        }
    }

    fn pop(&self) -> Option<Result<(Incoming, bool), SessionError>> {
        let mut state = self.state();
        let card = state.card.take().map(Incoming::Card);
        let Some(incoming) = card.or_else(|| state.inbox.pop_front()) else {
            return state.ended.clone().map(Err);
        };
        let cost = incoming.cost();
        state.inbox_cost -= cost;
        match incoming {
            Incoming::Failover { epoch, to, .. } => {
                (state.epoch, state.server) = (epoch, to);
                self.news.notify_waiters();
            }
            Incoming::Refused { .. } => self.room.add_permits(state.forgive(cost)),
            _ => {}
        }
        Some(Ok((incoming, state.must_resume())))
    }

    /// Waits until a failover was received that a writer does not know who knows of those up to `known`; returns the last one
    /// and where it led.
    pub(crate) async fn failover(&self, known: u32) -> Result<(u32, PeIdentifier), SessionError> {
        self.wait(|state| match &state.ended {
            Some(error) => Some(Err(error.clone())),
            None => (state.epoch != known).then_some(Ok((state.epoch, state.server))),
        })
        .await
    }

    /// Waits until the element leaves its pool, or the session has ended.
    pub(crate) async fn draining(&self) {
        self.wait(|state| (state.draining || state.ended.is_some()).then_some(())).await;
    }

    /// Waits until the session has ended; returns how.
    pub(crate) async fn ended(&self) -> SessionError {
        self.wait(|state| state.ended.clone()).await
    }

    /// Nobody receives any more: what arrives is dropped, and failovers count as received. Returns whether the endpoint must be
    /// told to go on reading.
    pub(crate) fn deafen(&self) -> bool {
        let mut state = self.state();
        state.deaf = true;
        state.card = None;
        state.inbox_cost = 0;
        for unread in std::mem::take(&mut state.inbox) {
            if let Incoming::Failover { epoch, to, .. } = unread {
                (state.epoch, state.server) = (epoch, to);
            }
        }
        state.owed = 0;
        self.room.add_permits(std::mem::take(&mut state.withheld));
        self.news.notify_waiters();
        state.must_resume()
    }

    pub(crate) fn abandon(&self) {
        self.state().abandoned = true;
        self.deafen();
    }
}

/// The endpoint's side.
impl Pipe {
    /// Queues what arrived. Returns whether reading must stop now.
    #[must_use = "the endpoint must be told to stop reading"]
    pub(crate) fn deliver(&self, incoming: Incoming) -> bool {
        let mut state = self.state();
        if state.deaf {
            if let Incoming::Failover { epoch, to, .. } = incoming {
                (state.epoch, state.server) = (epoch, to);
                self.news.notify_waiters();
            }
            return false;
        }
        let cost = incoming.cost();
        state.inbox_cost += cost;
        match incoming {
            Incoming::Card(card) => {
                if let Some(former) = state.card.replace(card) {
                    state.inbox_cost -= Incoming::Card(former).cost();
                }
            }
            Incoming::Refused { .. } => {
                state.owed += cost;
                state.inbox.push_back(incoming);
            }
            incoming => state.inbox.push_back(incoming),
        }
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

    /// So much of the outbox is SCTP's now, or was refused.
    pub(crate) fn sent(&self, cost: usize) {
        let mut state = self.state();
        let excess = std::mem::take(&mut state.excess);
        let returned = cost - excess.min(cost);
        let kept = state.owed.min(returned);
        state.owed -= kept;
        state.withheld += kept;
        if kept > 0 {
            self.news.notify_waiters();
        }
        self.room.add_permits(returned - kept);
    }

    /// Nothing more can be sent; what is in the outbox is the last.
    pub(crate) fn close_for_sending(&self) {
        self.state().closing = true;
        self.room.close();
    }

    pub(crate) fn end(&self, why: SessionError) {
        let mut state = self.state();
        state.outbox.clear();
        state.closing = true;
        state.ended = Some(why);
        drop(state);
        self.room.close();
        self.readable.notify_one();
        self.news.notify_waiters();
    }

    /// The element leaves its pool.
    pub(crate) fn drain(&self) {
        self.state().draining = true;
        self.news.notify_waiters();
    }
}

impl State {
    fn push(&mut self, outgoing: Outgoing) -> Result<(), SessionError> {
        if self.closing {
            return Err(self.ended.clone().unwrap_or(SessionError::Closed));
        }
        self.outbox.push_back(outgoing);
        Ok(())
    }

    /// A refusal that has cost so much was received. Returns the room that it kept.
    fn forgive(&mut self, cost: usize) -> usize {
        let kept = self.withheld.min(cost);
        self.withheld -= kept;
        self.owed = self.owed.saturating_sub(cost - kept);
        kept
    }

    fn must_resume(&self) -> bool {
        self.paused && self.inbox_cost <= LOW_WATER
    }
}
