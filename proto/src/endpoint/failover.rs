//! The pool user's side of a session: finding a server, and another one when it is gone (RFC 5352 §3.8, §6.5).
//!
//! A *search* takes the elements of the pool as the policy chooses them, each for at most `connect_timeout` (and two at a
//! time, see [`race`](super::race)), those that failed lately last. A failover does not wait for the registrar: it begins with what the cache
//! has, stale or not, while a new resolution is under way. When all were tried it pauses and begins again,
//! until the session's patience ends.
//!
//! Any end of the association that is not our wish is a reason to fail over, an orderly shutdown too: a server
//! that shuts its sessions down wants them to go elsewhere. Only silence and refused connects are evidence of
//! an unreachable element and reported (§3.5); an abort shows that somebody is there.

use super::cache::Age;
use super::control::COOKIE_REFUSED;
use super::replay::Replay;
use super::resolution::Waiter;
use super::session::{Session, Side};
use super::{
    AsapEndpoint, CloseReason, CommandError, Event, Message, ResolveError, Role, SessionId, SessionOptions,
    Timer, check_handle,
};
use crate::{AssocId, Channel, DownReason, Time, Transmit};
use asap::CookieEcho;
use bytes::Bytes;
use params::{PeIdentifier, PoolElement, PoolHandle, Transport};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// So many failovers in quick succession are carried out without a pause.
const QUICK_FAILOVERS: u32 = 2;

#[derive(Debug)]
pub(super) struct User {
    pub(super) handle: PoolHandle,
    patience: Duration,
    /// The present server or the last one.
    pub(super) server: Option<PeIdentifier>,
    /// The latest cookie, whichever server it came from (ambiguity A-51).
    pub(super) cookie: Option<Bytes>,
    /// Whom the server's business card names, the first one in front.
    pub(super) preferred: Vec<PeIdentifier>,
    /// Elements that the application has named, from which the session began: the registrar need not list them.
    pub(super) given: Vec<PoolElement>,
    /// Counts the failovers.
    pub(super) epoch: u32,
    /// So many answers of the present server came before: it was asked again before the replay was given up.
    pub(super) skip: usize,
    /// Messages from before the first server was there.
    pub(super) waiting: VecDeque<Message>,
    /// What is to be sent again; those messages wait there.
    pub(super) replay: Option<Replay>,
    /// While there is no server.
    pub(super) search: Option<Search>,
    /// Until when a server has to be found: patience lasts from when there was the last one that did something.
    until: Time,
    established: Time,
    /// The server has sent something, so it has taken the session up.
    pub(super) served: bool,
    /// The application has sent something to this server, and something came after that: the session gets on.
    asked: bool,
    answered: bool,
    /// So many messages were sent to it that it has not answered, if it answers each.
    unanswered: usize,
    /// Not all of them went in order on stream 0, so their answers tell little of them.
    scattered: bool,
    /// Servers in a row that have not done anything before they were gone.
    idle: u32,
    /// What the last server said that did not take the session up with its cookie.
    refusal: Option<String>,
    /// Failovers in quick succession.
    quick: u32,
}

#[derive(Debug)]
pub(super) struct Search {
    until: Time,
    /// The element that we are connecting to.
    pub(super) candidate: Option<PeIdentifier>,
    /// Since when.
    pub(super) connecting: Time,
    /// The association to the one before it, as long as it may still come up.
    pub(super) straggler: Option<AssocId>,
    /// Tried since the last pause.
    tried: BTreeSet<PeIdentifier>,
    /// The registrar was asked since the last pause, and has answered.
    asked: bool,
    answered: bool,
    /// What it answered instead of elements.
    error: Option<ResolveError>,
    pauses: u32,
}

impl Search {
    fn new(until: Time) -> Self {
        Self {
            until,
            candidate: None,
            connecting: Time::ZERO,
            straggler: None,
            tried: BTreeSet::new(),
            asked: false,
            answered: false,
            error: None,
            pauses: 0,
        }
    }
}

impl User {
    /// The application sends to the present server.
    pub(super) fn asks(&mut self, message: &Message) {
        self.asked = true;
        self.unanswered += 1;
        self.scattered |= !Replay::takes(message);
    }

    /// Whether the present server may not have taken everything that it was sent, for all that it has answered.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.unanswered > 0 || self.scattered
    }

    /// The server has sent a message: whether it is an answer that the application has already.
    pub(super) fn is_repeated(&mut self, message: &Message) -> bool {
        self.unanswered = self.unanswered.saturating_sub(1);
        match &mut self.replay {
            Some(replay) => replay.is_repeated(message),
            None if self.skip > 0 && Replay::takes(message) => {
                self.skip -= 1;
                true
            }
            None => false,
        }
    }

    /// Whether there is no server, and nothing waits for one or may have been lost with one.
    pub(super) fn has_sent_nothing(&self) -> bool {
        self.server.is_none() && self.waiting.is_empty() && self.replay.as_ref().is_none_or(Replay::is_empty)
    }

    /// A message of the application came from it.
    pub(super) fn hears(&mut self) {
        self.served = true;
        self.answered |= self.asked;
    }
}

impl AsapEndpoint {
    /// Starts a session with a pool. [`Event::Connected`] or [`Event::Closed`] follows.
    ///
    /// # Errors
    /// Too many sessions; an empty or overlong handle.
    pub fn connect(
        &mut self,
        now: Time,
        handle: PoolHandle,
        options: SessionOptions,
    ) -> Result<SessionId, CommandError> {
        let session = self.begin_session(now, handle, options)?;
        self.seek_server(now, session);
        Ok(session)
    }

    /// A session without a server.
    pub(super) fn begin_session(
        &mut self,
        now: Time,
        handle: PoolHandle,
        options: SessionOptions,
    ) -> Result<SessionId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        check_handle(&handle, self.config.compat)?;
        if self.sessions.len() >= self.config.limits.sessions {
            return Err(CommandError::Limit("sessions"));
        }
        let session = SessionId(self.number());
        self.cache.session_begun(handle.clone());
        let user = User {
            handle,
            patience: options.patience,
            server: None,
            cookie: None,
            preferred: Vec::new(),
            given: Vec::new(),
            epoch: 0,
            skip: 0,
            waiting: VecDeque::new(),
            replay: options.replay.map(Replay::new),
            search: Some(Search::new(now + options.patience)),
            established: now,
            served: false,
            asked: false,
            answered: false,
            unanswered: 0,
            scattered: false,
            idle: 0,
            refusal: None,
            until: now,
            quick: 0,
        };
        self.sessions.insert(session, Session::new(Side::User(Box::new(user)), None));
        self.timers.set(Timer::Patience(session), now + options.patience);
        self.search_begun();
        Ok(session)
    }

    pub(super) fn user(&mut self, session: SessionId) -> Option<&mut User> {
        self.sessions.get_mut(&session)?.user()
    }

    pub(super) fn search(&mut self, session: SessionId) -> Option<&mut Search> {
        self.user(session)?.search.as_mut()
    }

    /// Goes on with the search: connects to the next element, or asks the registrar, or pauses.
    fn seek_server(&mut self, now: Time, session: SessionId) {
        let Some(search) = self.search(session) else { return };
        if now >= search.until {
            return self.patience_expired(session);
        }
        let again = !search.tried.is_empty();
        if let Some((element, remote)) = self.choose_server(now, session) {
            if again && !self.may_retry(now) {
                return self.pause(now, session);
            }
            self.refresh_stale(now, session);
            return self.connect_to(now, session, element, remote);
        }
        let Some(user) = self.user(session) else { return };
        let handle = user.handle.clone();
        let Some(search) = &mut user.search else { return };
        if !search.asked {
            search.asked = true;
            self.look_up(now, handle, None, Waiter::Session(session));
        } else if search.answered {
            self.pause(now, session);
        }
    }

    /// No server was found in time.
    pub(super) fn patience_expired(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(user) = state.user() else { return };
        let Some(search) = &mut user.search else { return };
        let why = match (user.refusal.take(), search.error.take()) {
            (Some(refusal), _) => CloseReason::CookieRefusedByPeer(refusal),
            (None, Some(error)) => CloseReason::Resolve(error),
            (None, None) if search.tried.is_empty() && !search.answered => {
                CloseReason::Resolve(ResolveError::NoRegistrar)
            }
            (None, None) => CloseReason::NoElement,
        };
        if let Some(assoc) = state.assoc.take() {
            self.abort_association(assoc, "the session's patience is at its end");
        }
        self.end_session(session, why);
    }

    /// The next element to try. A first connect wants an answer that is not too old, unless nobody can give one; a failover
    /// takes what there is.
    fn choose_server(&mut self, now: Time, session: SessionId) -> Option<(PeIdentifier, Vec<SocketAddr>)> {
        let oldest = self.oldest_usable();
        let user = self.sessions.get_mut(&session)?.user()?;
        let search = user.search.as_ref()?;
        let answered = search.answered;
        let usable = self.cache.age(now, &user.handle).is_some_and(|age| age <= oldest);
        if (answered || user.server.is_some() || usable)
            && let Some(preferred) = self.choose_preferred(now, session)
        {
            return Some(preferred);
        }
        let user = self.sessions.get_mut(&session)?.user()?;
        let search = user.search.as_mut()?;
        while answered && let Some(element) = self.cache.any_but(now, &user.handle, &search.tried) {
            if let Some(remote) = session_addresses(&element) {
                return Some((element.id, remote));
            }
            search.tried.insert(element.id);
        }
        None
    }

    /// The one that the policy chooses among those that were not tried and are not avoided. Not the server that was lost: it
    /// comes when there is nothing better.
    pub(super) fn choose_preferred(
        &mut self,
        now: Time,
        session: SessionId,
    ) -> Option<(PeIdentifier, Vec<SocketAddr>)> {
        let user = self.sessions.get_mut(&session)?.user()?;
        let search = user.search.as_mut()?;
        let lost =
            user.server.map(|server| self.cache.at_endpoint_of(&user.handle, server)).unwrap_or_default();
        loop {
            let but = |id: PeIdentifier| search.tried.contains(&id) || lost.contains(&id);
            // The card of the former server comes before the policy (BC2).
            let recommended = self.cache.preferred(now, &user.handle, &user.preferred, but);
            let element = match recommended {
                Some(element) => element,
                None => self.cache.choose(now, &user.handle, but, &mut self.rng)?,
            };
            if let Some(remote) = session_addresses(&element) {
                return Some((element.id, remote));
            }
            search.tried.insert(element.id);
        }
    }

    /// What the session goes by may be out of date: a registrar is asked while it connects.
    fn refresh_stale(&mut self, now: Time, session: SessionId) {
        let Some(user) = self.sessions.get_mut(&session).and_then(Session::user) else { return };
        if matches!(self.cache.age(now, &user.handle), Some(Age::Revalidating | Age::Stale)) {
            let handle = user.handle.clone();
            self.refresh(now, handle);
        }
    }

    pub(super) fn connect_to(
        &mut self,
        now: Time,
        session: SessionId,
        element: PeIdentifier,
        remote: Vec<SocketAddr>,
    ) {
        let assoc = AssocId::connected(self.number());
        let Some(state) = self.sessions.get_mut(&session) else { return };
        state.assoc = Some(assoc);
        if let Some(user) = state.user()
            && let Some(search) = &mut user.search
        {
            search.candidate = Some(element);
            search.connecting = now;
            search.tried.insert(element);
            search.tried.extend(self.cache.at_endpoint_of(&user.handle, element));
        }
        self.associations.insert(assoc, Role::Session(session));
        self.outbox.push_immediate(Transmit::Connect { assoc, channel: Channel::Session, remote });
        // A pause is over when something was found before its end.
        self.timers.cancel(&Timer::Retry(session));
        let timers = &self.config.timers;
        self.timers.set(Timer::Connect(session), now + timers.connect_timeout);
        if !timers.connect_stagger.is_zero() {
            self.timers.set(Timer::Stagger(session), now + timers.connect_stagger);
        }
    }

    /// A pause that grows each time; then everything is tried again. One that is under way goes on as it is.
    fn pause(&mut self, now: Time, session: SessionId) {
        if self.timers.at(&Timer::Retry(session)).is_some() {
            return;
        }
        let Some(search) = self.search(session) else { return };
        let (until, pauses) = (search.until, search.pauses);
        search.pauses = pauses.saturating_add(1);
        self.counters.pauses += 1;
        let pause = self.backoff(pauses);
        self.timers.set(Timer::Retry(session), (now + pause).min(until));
    }

    fn backoff(&mut self, pauses: u32) -> Duration {
        let timers = &self.config.timers;
        let pause = (timers.connect_timeout / 4).saturating_mul(1 << pauses.min(16)).min(timers.retran_max);
        pause + self.jitter(pause / 4)
    }

    pub(super) fn retry_expired(&mut self, now: Time, session: SessionId) {
        let Some(search) = self.search(session) else { return };
        search.tried.clear();
        search.asked = false;
        search.answered = false;
        self.seek_server(now, session);
    }

    /// The registrar has answered the search's question, or nobody has in time.
    pub(super) fn session_resolved(&mut self, now: Time, session: SessionId, error: Option<&ResolveError>) {
        let Some(user) = self.user(session) else { return };
        let first = user.server.is_none();
        let Some(search) = &mut user.search else { return };
        search.answered = true;
        search.error = error.cloned();
        if let Some(candidate) = search.candidate {
            if error.is_none() {
                self.check_candidate(now, session, candidate);
            }
            return;
        }
        match error {
            // At first that is the answer to the application's question; later the pool may come back.
            Some(error) if first && *error != ResolveError::NoRegistrar => {
                self.end_session(session, CloseReason::Resolve(error.clone()));
            }
            _ => self.seek_server(now, session),
        }
    }

    /// A candidate from a stale cache that the registrar does not list any more is most likely dead: no use in
    /// waiting for it.
    fn check_candidate(&mut self, now: Time, session: SessionId, candidate: PeIdentifier) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(user) = state.user() else { return };
        if self.cache.contains(&user.handle, candidate) {
            return;
        }
        user.search.as_mut().map(|search| search.candidate.take());
        if let Some(assoc) = state.assoc.take() {
            self.abort_association(assoc, "the registrar does not list the element any more");
        }
        self.timers.cancel(&Timer::Connect(session));
        self.seek_server(now, session);
    }

    /// The candidate is now the server: it gets the cookie before anything else (RFC 5352 §3.8).
    pub(super) fn session_up(&mut self, now: Time, assoc: AssocId, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session).filter(|state| state.assoc == Some(assoc)) else {
            return;
        };
        let reading = state.reading;
        let Some(user) = state.user() else { return };
        let Some(to) = user.search.take().and_then(|search| search.candidate) else { return };
        user.established = now;
        let handle = user.handle.clone();
        user.served = false;
        let (epoch, cookie) = (user.epoch, user.cookie.clone());
        let replayed = user.replay.is_some();
        let mut messages: Vec<(Message, usize)> = user.replay.iter_mut().flat_map(Replay::begin).collect();
        messages.extend(user.waiting.drain(..).map(|message| {
            let credit = message.cost();
            (message, credit)
        }));
        (user.asked, user.answered) = (false, false);
        (user.unanswered, user.scattered) = (0, false);
        messages.iter().for_each(|(message, _)| user.asks(message));
        let event = match user.server.replace(to) {
            Some(from) => Event::Failover { session, from, to, epoch, replayed },
            None => Event::Connected { session, element: to },
        };
        self.element_alive(&handle, to);
        self.timers.cancel(&Timer::Patience(session));
        self.timers.cancel(&Timer::Connect(session));
        self.timers.cancel(&Timer::Stagger(session));
        self.timers.cancel(&Timer::Retry(session));
        if !reading {
            self.outbox.push_immediate(Transmit::Read { assoc, on: false });
        }
        if let Some(cookie) = cookie {
            self.tell(assoc, &asap::Message::CookieEcho(CookieEcho { cookie }));
        }
        self.introduce(now, session);
        self.events.push_back(event);
        for (message, credit) in messages {
            self.push_message(assoc, message, credit);
        }
    }

    /// The candidate did not answer in time: the next one.
    pub(super) fn connect_expired(&mut self, now: Time, session: SessionId) {
        let Some(assoc) = self.sessions.get_mut(&session).and_then(|state| state.assoc.take()) else {
            return;
        };
        self.abort_association(assoc, "no answer within the connect timeout");
        self.server_lost(now, session, &DownReason::Unreachable);
    }

    /// The server is gone, or the candidate cannot be reached.
    pub(super) fn server_lost(&mut self, now: Time, session: SessionId, why: &DownReason) {
        self.timers.cancel(&Timer::Connect(session));
        let Some(user) = self.user(session) else { return };
        let handle = user.handle.clone();
        let since = user.search.as_ref().map_or(now, |search| search.connecting);
        let candidate = user.search.as_mut().map(|search| search.candidate.take());
        let Some(lost) = candidate.unwrap_or(user.server) else { return };
        self.element_failed(now, &handle, lost, since, why);
        match candidate {
            Some(_) => {
                self.ask_meanwhile(now, session);
                self.seek_server(now, session);
            }
            None => self.fail_over(now, session, why),
        }
    }

    /// A candidate from the cache was not there, so the list is not what it was: a registrar is asked while the next one
    /// is tried.
    fn ask_meanwhile(&mut self, now: Time, session: SessionId) {
        let Some(user) = self.user(session) else { return };
        let handle = user.handle.clone();
        if let Some(search) = user.search.as_mut().filter(|search| !search.asked) {
            search.asked = true;
            self.look_up(now, handle, None, Waiter::Session(session));
        }
    }

    /// Looks for another server. What the application sends until it knows was meant for the former one: the
    /// new epoch keeps it out, unless it is in its place behind what is sent again.
    fn fail_over(&mut self, now: Time, session: SessionId, why: &DownReason) {
        let calm = self.config.timers.connect_timeout.saturating_mul(4);
        self.timers.cancel(&Timer::Returned(session));
        let Some(user) = self.user(session) else { return };
        user.skip = 0;
        match &mut user.replay {
            Some(replay) => replay.lost(),
            None => user.epoch = user.epoch.wrapping_add(1),
        }
        // A server that leaves in order, with its work done, is one that is drained: its successor may be next.
        let in_order = *why == DownReason::Shutdown && user.answered;
        if now.since(user.established) >= calm {
            user.quick = 0;
        } else if !in_order {
            user.quick = user.quick.saturating_add(1);
        }
        let quick = if in_order { 0 } else { user.quick };
        user.refusal = match why {
            DownReason::PeerAborted(cause) => cause.split_once(COOKIE_REFUSED).map(|(_, why)| why.to_owned()),
            _ => None,
        }
        .or(user.refusal.take().filter(|_| !user.served));
        user.idle =
            if user.served || now.since(user.established) >= calm { 0 } else { user.idle.saturating_add(1) };
        if user.idle <= 1 {
            user.until = now + user.patience;
        }
        let mut search = Search::new(user.until);
        search.pauses = quick.saturating_sub(QUICK_FAILOVERS);
        let pause = search.pauses > 0;
        search.asked = !pause;
        let handle = user.handle.clone();
        let until = user.until;
        user.search = Some(search);
        self.timers.set(Timer::Patience(session), until);
        self.search_begun();
        if pause {
            return self.pause(now, session);
        }
        self.note_current(now, &handle);
        self.look_up(now, handle, None, Waiter::Session(session));
        self.seek_server(now, session);
    }
}

/// Where a session with this element goes; none if its transport is not SCTP.
pub(super) fn session_addresses(element: &PoolElement) -> Option<Vec<SocketAddr>> {
    match &element.user_transport {
        Transport::Sctp(sctp) if !sctp.addresses.is_empty() => {
            Some(sctp.addresses.iter().map(|address| SocketAddr::new(*address, sctp.port)).collect())
        }
        _ => None,
    }
}
