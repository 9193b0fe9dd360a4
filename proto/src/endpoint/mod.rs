//! The ASAP endpoint machine (RFC 5352): all elements, resolutions and sessions of one process.
//!
//! [`AsapEndpoint`] keeps one association to its home registrar and runs everything over it: several pools, a
//! pool element that is also a pool user. The crates `pool-element` and `pool-user` are two faces of it. Each
//! procedure is one file here and one `impl` block; this one holds the state and says who handles what.

mod accept;
mod bucket;
mod business_card;
mod cache;
mod config;
mod control;
mod diagnosis;
mod event;
mod explain;
mod failover;
mod hunt;
mod keep_alive;
mod load;
mod pe_handle;
mod race;
mod readiness;
mod registrars;
mod registration;
mod replay;
mod request;
mod resolution;
mod sealed_cookie;
mod servers;
mod service;
mod session;
mod watch;

pub use config::{
    Avoidance, CacheOptions, Config, ElementId, ElementTransport, Limits, LoadUpdates, MESSAGE_OVERHEAD,
    Message, Registration, ReplayLimits, RequestId, ResolveOptions, RetryBudget, SessionId, SessionOptions,
};
pub use event::{CloseReason, CommandError, Event, RegisterError, Resolution, ResolveError, SendError};
pub use explain::{Explanation, Standing};
pub use sealed_cookie::{CookieKey, CookieRefusal, CookieSealing};

use crate::announce::Gate;
use crate::outbox::Outbox;
use crate::profile::{Compat, RSPLIB_MAX_HANDLE};
use crate::timers::Timers;
use crate::{AssocId, DownReason, Input, Node, PPID_ASAP, PPID_NONE, Time, Transmit};
use accept::Peer;
use bucket::Bucket;
use cache::Cache;
use diagnosis::{Heard, Reported, Source};
use hunt::{Home, Hunt};
use params::{PeIdentifier, PoolHandle};
use race::Straggler;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use registration::Element;
use resolution::Lookup;
use servers::{ServerId, Servers};
use service::Service;
use session::Session;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use watch::Watched;

/// The state machine of an ASAP endpoint. See the module for what it is, [`Node`] for how to drive it.
///
/// Commands return at once; what comes of them is told by [`Event`]s. Everything that is asked for ends in an
/// answer or an error after a bounded time. A registrar is looked for when the first command needs one.
#[derive(Debug)]
pub struct AsapEndpoint {
    config: Config,
    rng: ChaCha12Rng,
    timers: Timers<Timer>,
    outbox: Outbox,
    events: VecDeque<Event>,
    counters: Counters,
    /// The last number given to an association, element, request or session.
    last_number: u64,
    associations: BTreeMap<AssocId, Role>,
    /// How many associations have the role [`Role::Pending`].
    pending: usize,
    home: Option<Home>,
    servers: Servers,
    hunt: Hunt,
    /// What is looked at of what arrives by multicast.
    gate: Gate,
    elements: BTreeMap<ElementId, Element>,
    identities: BTreeMap<(PoolHandle, PeIdentifier), ElementId>,
    services: BTreeMap<ElementId, Service>,
    lookups: BTreeMap<PoolHandle, Lookup>,
    /// How many resolutions of the application have no answer yet.
    waiting_requests: usize,
    cache: Cache,
    /// Pools whose changes the application wants to hear of.
    watched: BTreeMap<PoolHandle, Watched>,
    /// Pools whose changes the home registrar pushes.
    subscribed: BTreeSet<PoolHandle>,
    heard: Heard,
    /// Elements that failed while nothing else was heard, until when something may be.
    doubtful: BTreeMap<(PoolHandle, PeIdentifier), Time>,
    reported: Reported,
    /// How many failures may be reported.
    reports: Bucket,
    /// How many elements may be tried at once; no limit.
    retries: Option<Bucket>,
    /// Connects that were overtaken.
    stragglers: BTreeMap<AssocId, Straggler>,
    /// Reports that wait for a home registrar, with the times of the failures.
    unsent_reports: BTreeMap<(PoolHandle, PeIdentifier), Time>,
    sessions: BTreeMap<SessionId, Session>,
    /// When it was said what time of day it is, and what was said.
    unix_time: (Time, Duration),
    /// Until when another ASAP_ERROR may not be sent.
    errors_paused_until: Time,
    shutting_down: bool,
}

/// What happened that no event tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// ASAP messages that could not be read.
    pub undecodable: u64,
    /// Messages that have no place where they arrived: of a wrong type, for somebody else, nobody's answer.
    pub unexpected: u64,
    /// ASAP_ERROR messages.
    pub errors_received: u64,
    /// Associations that were refused: nothing to serve, or a limit.
    pub refused_associations: u64,
    /// Sessions that were refused because of their cookie.
    pub refused_cookies: u64,
    /// Messages that were not sent because too many waited for their association.
    pub dropped_replies: u64,
    /// Failures of elements that were not reported, because there were too many.
    pub reports_suppressed: u64,
    /// Searches for a server: at the beginning of a session and at each failover.
    pub searches: u64,
    /// Times a search had to pause, because all servers were tried or the retry budget was used up.
    pub pauses: u64,
    /// Times a session had to pause because the retry budget was used up.
    pub retries_postponed: u64,
    /// Announcements of registrars by multicast.
    pub announcements: u64,
    /// Multicast datagrams that were none, named nobody who can be reached, or were too many.
    pub announcements_ignored: u64,
}

/// What an association is for.
#[derive(Debug)]
enum Role {
    /// Connecting to a registrar.
    Attempt,
    /// Connecting to a registrar that is not needed any more.
    Spare,
    /// A registrar: our home, or one that asks whether we live.
    Registrar(Peer),
    /// Shut down or aborted by us.
    Leaving,
    /// Accepted, and not clear yet what it is.
    Pending(Peer),
    /// A session, connecting or established.
    Session(SessionId),
    /// A connect that was overtaken by the next.
    Straggler,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    T1(PoolHandle),
    T2(ElementId),
    T3(ElementId),
    T4(ElementId),
    Load(ElementId),
    T5,
    T7(ServerId),
    Watch(PoolHandle),
    Registrars,
    Pending(AssocId),
    Patience(SessionId),
    Returned(SessionId),
    Connect(SessionId),
    Stagger(SessionId),
    Straggler(AssocId),
    Retry(SessionId),
    Close(SessionId),
    Drain(ElementId),
    Settle(ElementId),
    Leave(AssocId),
}

impl Timer {
    fn name(&self) -> &'static str {
        match self {
            Self::T1(_) => "T1-ENRPrequest",
            Self::T2(_) => "T2-registration",
            Self::T3(_) => "T3-deregistration",
            Self::T4(_) => "T4-reregistration",
            Self::Load(_) => "load-update",
            Self::T5 => "T5-Serverhunt",
            Self::T7(_) => "T7-ENRPoutdate",
            Self::Watch(_) => "watch",
            Self::Registrars => "registrars",
            Self::Pending(_) => "cookie-wait",
            Self::Patience(_) => "session-patience",
            Self::Returned(_) => "session-returned",
            Self::Connect(_) => "session-connect",
            Self::Stagger(_) => "session-stagger",
            Self::Straggler(_) => "session-straggler",
            Self::Retry(_) => "session-retry",
            Self::Close(_) => "session-close",
            Self::Drain(_) => "drain",
            Self::Settle(_) => "drain-settle",
            Self::Leave(_) => "leave",
        }
    }
}

/// The longest pool handle that fits into every message beside what else is in it.
const MAX_HANDLE: usize = 60_000;
/// A timer of zero would make the machine spin.
const SHORTEST_TIMER: Duration = Duration::from_millis(1);
/// At most one ASAP_ERROR per this time.
const ERROR_INTERVAL: Duration = Duration::from_millis(100);

impl AsapEndpoint {
    /// An endpoint that does nothing yet.
    pub fn new(mut config: Config, now: Time) -> Self {
        let timers = &mut config.timers;
        for timer in [
            &mut timers.t1_request,
            &mut timers.t2_registration,
            &mut timers.t3_deregistration,
            &mut timers.t5_server_hunt,
            &mut timers.retran_max,
            &mut timers.t7_enrp_outdate,
            &mut timers.connect_timeout,
        ] {
            *timer = (*timer).max(SHORTEST_TIMER);
        }
        let memory = timers.connect_timeout.saturating_mul(4);
        let servers = Servers::new(std::mem::take(&mut config.registrars), config.limits.registrars);
        Self {
            rng: ChaCha12Rng::from_seed(config.seed),
            timers: Timers::default(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            counters: Counters::default(),
            last_number: 0,
            associations: BTreeMap::new(),
            pending: 0,
            home: None,
            hunt: Hunt::new(&servers),
            servers,
            gate: Gate::default(),
            elements: BTreeMap::new(),
            identities: BTreeMap::new(),
            services: BTreeMap::new(),
            lookups: BTreeMap::new(),
            waiting_requests: 0,
            cache: Cache::new(&config, memory),
            watched: BTreeMap::new(),
            subscribed: BTreeSet::new(),
            heard: Heard::default(),
            doubtful: BTreeMap::new(),
            reported: Reported::default(),
            reports: Bucket::new(now, config.reports_per_second, config.reports_per_second.saturating_mul(2)),
            retries: config
                .retry_budget
                .as_ref()
                .map(|budget| Bucket::new(now, budget.per_second, budget.saved())),
            stragglers: BTreeMap::new(),
            unsent_reports: BTreeMap::new(),
            sessions: BTreeMap::new(),
            unix_time: (now, Duration::ZERO),
            errors_paused_until: now,
            shutting_down: false,
            config,
        }
    }

    /// What happened that no event tells.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Deregisters every element, closes every session, answers every resolution, then leaves the registrar. Whoever wants
    /// elements drained, [drains](Self::drain) them before.
    pub fn shutdown(&mut self, now: Time) {
        self.shutting_down = true;
        for element in self.elements.keys().copied().collect::<Vec<_>>() {
            // The element is there, so this cannot fail.
            let _ = self.deregister(now, element);
        }
        for element in self.services.keys().copied().collect::<Vec<_>>() {
            self.timers.cancel(&Timer::Settle(element));
            self.end_service(element);
        }
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.close_unasked(now, session);
        }
        for handle in std::mem::take(&mut self.watched).into_keys() {
            self.timers.cancel(&Timer::Watch(handle));
        }
        for handle in self.lookups.keys().cloned().collect::<Vec<_>>() {
            while self.lookups.contains_key(&handle) {
                self.end_lookup(now, &handle, Err(ResolveError::ShuttingDown));
            }
        }
        self.leave_when_idle(now);
    }

    /// Whether a shutdown has finished: nothing is left to do or to wait for.
    pub fn is_drained(&self) -> bool {
        self.is_idle_in_shutdown() && self.associations.is_empty() && self.events.is_empty()
    }

    fn is_idle_in_shutdown(&self) -> bool {
        self.shutting_down && self.elements.is_empty() && self.sessions.is_empty() && self.lookups.is_empty()
    }

    fn leave_when_idle(&mut self, now: Time) {
        if !self.is_idle_in_shutdown() {
            return;
        }
        self.end_hunt();
        self.timers.cancel(&Timer::Registrars);
        self.unsent_reports.clear();
        self.home = None;
        let unused = |(assoc, role): (&AssocId, &Role)| match role {
            Role::Registrar(_) => Some((*assoc, false)),
            Role::Pending(_) | Role::Spare => Some((*assoc, true)),
            Role::Attempt | Role::Leaving | Role::Session(_) | Role::Straggler => None,
        };
        for (assoc, abort) in self.associations.iter().filter_map(unused).collect::<Vec<_>>() {
            if self.take_pending(assoc).is_some() || abort {
                self.abort_association(assoc, "shutting down");
            } else {
                self.leave(now, assoc);
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn up(&mut self, now: Time, assoc: AssocId, channel: crate::Channel, peer: Peer) {
        if matches!(self.associations.get(&assoc), Some(Role::Attempt)) {
            self.registrar_back();
        }
        self.heard(now, self.source(assoc));
        match self.associations.get(&assoc) {
            None if assoc.is_accepted() => self.accepted_up(now, assoc, channel, peer),
            Some(Role::Attempt) => self.attempt_up(now, assoc, peer),
            Some(Role::Spare) => {
                self.spare_decided(assoc);
                self.leave(now, assoc);
            }
            Some(Role::Session(session)) => self.session_up(now, assoc, *session),
            Some(Role::Straggler) => self.straggler_up(now, assoc),
            _ => {}
        }
    }

    fn down(&mut self, now: Time, assoc: AssocId, why: DownReason) {
        let dropped = self.outbox.forget(assoc);
        match self.associations.remove(&assoc) {
            Some(Role::Attempt) => self.attempt_down(now, assoc, why),
            Some(Role::Pending(_)) => self.pending_gone(assoc),
            Some(Role::Session(session)) => {
                self.release(session, dropped);
                self.session_down(now, assoc, session, why, dropped > 0);
            }
            Some(Role::Registrar(_)) if self.is_home(assoc) => {
                if why == DownReason::Unreachable {
                    self.home_silent();
                }
                self.home_lost(now);
            }
            Some(Role::Straggler) => self.straggler_down(now, assoc, &why),
            Some(Role::Leaving) => self.timers.cancel(&Timer::Leave(assoc)),
            Some(Role::Spare) => self.spare_decided(assoc),
            Some(Role::Registrar(_)) | None => {}
        }
    }

    /// Who is at the other end of an association.
    fn source(&self, assoc: AssocId) -> Source {
        let element = match self.associations.get(&assoc) {
            Some(Role::Session(session)) => self.sessions.get(session).and_then(Session::server),
            Some(Role::Straggler) => self.stragglers.get(&assoc).map(Straggler::element),
            _ => None,
        };
        element.map_or(Source::Other, Source::Element)
    }

    fn message(&mut self, now: Time, assoc: AssocId, message: Message) {
        self.heard(now, self.source(assoc));
        match self.associations.get(&assoc) {
            Some(Role::Session(session)) => self.session_message(now, assoc, *session, message),
            Some(Role::Pending(_)) => self.pending_message(now, assoc, message),
            Some(Role::Registrar(_)) if matches!(message.ppid, PPID_ASAP | PPID_NONE) => {
                if let Some(message) = self.decode(now, assoc, &message.bytes) {
                    self.registrar_message(now, assoc, message);
                }
            }
            // What an association that we are leaving still brings is of no use.
            Some(Role::Leaving) => {}
            _ => self.counters.unexpected += 1,
        }
    }

    /// Reads an ASAP message, and sends what the codec wants the sender to hear.
    fn decode(&mut self, now: Time, assoc: AssocId, bytes: &[u8]) -> Option<asap::Message> {
        let asap::Decoded { message, reply, .. } = asap::decode(bytes);
        if let Some(reply) = reply
            && now >= self.errors_paused_until
        {
            self.errors_paused_until = now + ERROR_INTERVAL;
            self.tell_encoded(assoc, reply);
        }
        if message.is_err() {
            self.counters.undecodable += 1;
        }
        message.ok()
    }

    fn restarted(&mut self, now: Time, assoc: AssocId) {
        match self.associations.get(&assoc) {
            Some(Role::Session(session)) => self.session_restarted(now, assoc, *session),
            // It has forgotten everything: tell it again.
            Some(Role::Registrar(_)) if self.is_home(assoc) => {
                self.requests_failed();
                self.subscriptions_lost(now);
                self.repeat_requests(now);
            }
            _ => {}
        }
    }

    /// The end follows, and what is on its way comes before.
    fn peer_shutdown(&mut self, assoc: AssocId) {
        if let Some(Role::Session(session)) = self.associations.get(&assoc) {
            self.session_ending(assoc, *session);
        }
    }

    fn send_failed(&mut self, now: Time, assoc: AssocId, bytes: bytes::Bytes, why: &'static str) {
        match self.associations.get(&assoc) {
            Some(Role::Session(id)) => {
                let session = *id;
                // As lost as what is on its way: the end of the session, or its failover, tells.
                let tells = self.sessions.get_mut(id).is_none_or(|state| state.is_lost_with(assoc));
                if !tells && !self.returned(now, session, &bytes, why) {
                    self.events.push_back(Event::SendFailed { session, bytes, why });
                }
            }
            // SEND.FAILURE: look elsewhere; the timers of the requests go on (RFC 5352 §3.7.1).
            Some(Role::Registrar(_)) if self.is_home(assoc) => {
                self.requests_failed();
                self.start_hunt(now);
            }
            _ => {}
        }
    }

    fn is_home(&self, assoc: AssocId) -> bool {
        self.home.as_ref().is_some_and(|home| home.assoc == assoc)
    }

    fn expired(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::T1(handle) => self.t1_expired(now, handle),
            Timer::T2(element) => self.t2_expired(now, element),
            Timer::T3(element) => self.t3_expired(now, element),
            Timer::T4(element) => self.t4_expired(now, element),
            Timer::Load(element) => self.load_expired(now, element),
            Timer::T5 => self.t5_expired(now),
            Timer::T7(server) => self.t7_expired(server),
            Timer::Watch(handle) => self.watch_expired(now, handle),
            Timer::Registrars => self.ask_for_registrars(now),
            Timer::Pending(assoc) => self.pending_expired(now, assoc),
            Timer::Patience(session) => self.patience_expired(session),
            Timer::Returned(session) => self.returned_expired(session),
            Timer::Connect(session) => self.connect_expired(now, session),
            Timer::Stagger(session) => self.stagger_expired(now, session),
            Timer::Straggler(assoc) => self.straggler_expired(now, assoc),
            Timer::Retry(session) => self.retry_expired(now, session),
            Timer::Drain(element) => self.drain_expired(now, element),
            Timer::Settle(element) => self.end_service(element),
            Timer::Leave(assoc) => {
                self.abort_association(assoc, "not ended in time");
            }
            Timer::Close(session) => {
                const LATE: &str = "not delivered in time";
                self.abort_with(session, LATE, CloseReason::Lost(LATE.to_owned()));
            }
        }
    }
}

fn check_handle(handle: &PoolHandle, compat: Compat) -> Result<(), CommandError> {
    let longest = if compat.is_rsplib() { RSPLIB_MAX_HANDLE } else { MAX_HANDLE };
    match handle.as_bytes().len() {
        0 => Err(CommandError::Invalid("empty pool handle")),
        length if length <= longest => Ok(()),
        _ if compat.is_rsplib() => {
            Err(CommandError::Invalid("rsplib takes no pool handle longer than 32 bytes"))
        }
        _ => Err(CommandError::Invalid("pool handle too long")),
    }
}

impl Node for AsapEndpoint {
    type Event = Event;

    fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Up { assoc, channel, remote, local, .. } => {
                self.up(now, assoc, channel, Peer { remote, local })
            }
            Input::Message { assoc, stream, ppid, unordered, bytes } => {
                self.message(now, assoc, Message { stream, ppid, unordered, bytes });
            }
            Input::Full { assoc } => self.outbox.full(assoc),
            Input::Writable { assoc } => self.outbox.writable(assoc),
            Input::SendFailed { assoc, bytes, why } => self.send_failed(now, assoc, bytes, why),
            Input::Restart { assoc } => self.restarted(now, assoc),
            Input::Down { assoc, why } => self.down(now, assoc, why),
            Input::PeerShutdown { assoc } => self.peer_shutdown(assoc),
            Input::Announce { from, channel, bytes } => self.announcement(now, from, channel, &bytes),
            Input::Path { .. } | Input::Addresses { .. } | Input::Backlog { .. } => {}
        }
        self.leave_when_idle(now);
    }

    fn handle_timeout(&mut self, now: Time) {
        while let Some(timer) = self.timers.pop(now) {
            self.expired(now, timer);
        }
        self.leave_when_idle(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        let (transmit, credit) = self.outbox.pop()?;
        if let Transmit::Send { assoc, .. } = &transmit
            && let Some(Role::Session(session)) = self.associations.get(assoc)
        {
            self.release(*session, credit);
        }
        Some(transmit)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        self.timers.next().map(|(at, timer)| (at, timer.name()))
    }
}
