//! The registrar (ENRP server): RFC 5353, and the server side of ASAP, RFC 5352.
//!
//! [`Registrar`] owns the handlespace and speaks with pool elements and pool users over ASAP associations and
//! with its peers over ENRP associations. Each procedure of the RFCs is one file here and one `impl` block.

mod announce;
mod asap;
mod association;
mod audit;
mod config;
mod contest;
mod elements;
mod enrp;
mod event;
mod guard;
mod inquiries;
mod keep_alive;
mod leave;
mod mute;
mod orphans;
mod overload;
mod owned;
mod parking;
mod peers;
mod push;
mod reached;
mod registrars;
mod registration;
mod report;
mod resolution;
mod rsplib;
mod silence;
mod startup;
mod status;
mod table;
mod takeover;
mod timers;
mod update;
mod waiting;

pub use crate::profile::Compat;
pub use announce::Announce;
pub use config::{Arbitration, Config, ForeignAddresses, Limits};
pub use event::{Event, PeerDownReason, RemovalReason};
pub use guard::Guard;
pub use status::{Counters, ElementStatus, PeerState, PeerStatus, PoolSummary, State, Status};

use crate::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, PPID_ENRP, PPID_NONE, Time, Transmit};
use association::Associations;
use bytes::Bytes;
use elements::ElementKey;
use handlespace::Handlespace;
use params::{PeIdentifier, PoolHandle, RegistrarId};
use rand::Rng;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use timers::{Timer, Timers};

/// The largest message: its length is a multiple of four in 16 bits (RFC 5354 §2, §4).
const LARGEST_MESSAGE: usize = 65_532;

/// The stream of the generator that gives the incarnation.
const INCARNATION_STREAM: u64 = 1;

/// The shortest time between two of anything that repeats itself.
const SHORTEST_CYCLE: Duration = Duration::from_millis(1);

/// A registrar without I/O and without a clock. See [`Node`] for how it is driven.
#[derive(Debug)]
pub struct Registrar {
    config: Config,
    id: RegistrarId,
    /// Another number with each start.
    incarnation: u32,
    born: Time,
    state: State,
    rng: ChaCha12Rng,
    counters: Counters,
    events: VecDeque<Event>,
    timers: Timers,
    associations: Associations,

    handlespace: Handlespace,
    owned: owned::OwnedElements,
    probes: BTreeMap<ElementKey, keep_alive::Probe>,
    reports: BTreeMap<ElementKey, report::Reports>,
    inquiries: inquiries::Inquiries,
    contests: contest::Contests,
    /// Of whose parked registrations is known what was asked, and whether that is being worked off.
    decided: VecDeque<(AssocId, ElementKey, bool)>,
    deciding: bool,
    guards: guard::Guards,
    telling: silence::Telling,
    subscriptions: push::Subscriptions,
    /// Associations whose elements are still to find their new home, while it takes leave.
    waiting_for: usize,

    startup: startup::Startup,
    peers: BTreeMap<RegistrarId, peers::Peer>,
    contacts: Vec<peers::Contact>,
    announcements: announce::Announcements,
    /// Homes of elements that are no peers of ours.
    orphaned: BTreeMap<RegistrarId, orphans::Orphaned>,
    /// Those that were sent.
    heartbeats: u64,
    takeovers: BTreeMap<RegistrarId, takeover::Takeover>,
    overload: overload::Overload,
    /// Tables that we serve, by association and W bit.
    table_sessions: BTreeMap<(AssocId, bool), table::TableSession>,
    /// Tables that we load anew.
    resynchronizations: BTreeMap<RegistrarId, audit::Resynchronization>,
}

impl Registrar {
    /// A registrar that starts now: it looks for its peers and serves ASAP at once.
    pub fn new(mut config: Config, mut rng: ChaCha12Rng, now: Time) -> Self {
        // A cycle that takes no time would never let go of the machine.
        let timers = &mut config.timers;
        for cycle in [
            &mut timers.peer_heartbeat_cycle,
            &mut timers.keep_alive_interval,
            &mut timers.t6_server_announce,
            &mut timers.mentor_discovery_timeout,
        ] {
            *cycle = (*cycle).max(SHORTEST_CYCLE);
        }
        // A page that cannot be sent would never end.
        let limits = &mut config.limits;
        for bytes in [&mut limits.table_response_bytes, &mut limits.resolution_bytes] {
            *bytes = (*bytes).min(LARGEST_MESSAGE);
        }
        // None at all would stop what a peer waits for.
        limits.probes_per_second = limits.probes_per_second.max(1);
        let id = config.id.unwrap_or_else(|| RegistrarId(rng.next_u32().max(1)));
        let incarnation = incarnation(&rng, now);
        let mut registrar = Self {
            id,
            incarnation,
            born: now,
            state: State::Starting,
            rng,
            counters: Counters::default(),
            events: VecDeque::new(),
            timers: Timers::default(),
            associations: Associations::new(&config.limits),
            handlespace: Handlespace::new(),
            owned: owned::OwnedElements::default(),
            probes: BTreeMap::new(),
            reports: BTreeMap::new(),
            inquiries: inquiries::Inquiries::default(),
            contests: contest::Contests::default(),
            decided: VecDeque::new(),
            deciding: false,
            guards: guard::Guards::default(),
            telling: silence::Telling::default(),
            subscriptions: push::Subscriptions::default(),
            waiting_for: 0,
            startup: startup::Startup::new(now),
            peers: BTreeMap::new(),
            contacts: Vec::new(),
            announcements: announce::Announcements::default(),
            orphaned: BTreeMap::new(),
            heartbeats: 0,
            takeovers: BTreeMap::new(),
            overload: overload::Overload::default(),
            table_sessions: BTreeMap::new(),
            resynchronizations: BTreeMap::new(),
            config,
        };
        for addresses in registrar.config.peers.clone() {
            registrar.add_contact(now, addresses, peers::Source::Configured);
        }
        registrar.begin_startup(now);
        registrar
    }

    /// Its identifier, unchanged as long as it lives.
    pub fn id(&self) -> RegistrarId {
        self.id
    }

    /// Adds a registrar that was learned from outside, for instance from DNS. It is forgotten when it was not reached for
    /// long.
    pub fn add_peer(&mut self, now: Time, addresses: Vec<SocketAddr>) {
        if self.is_serving() {
            self.add_contact(now, addresses, peers::Source::Learned);
            self.connect_contacts(now);
        }
    }

    /// Removes an element by the operator's wish, whoever its home is. Says whether there was one.
    pub fn remove_element(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) -> bool {
        // Registrars come and go with their processes.
        !registrars::is_registrar_pool(handle)
            && self.remove_by_right(now, &ElementKey::new(handle, id), RemovalReason::Administrator)
    }

    fn up(
        &mut self,
        now: Time,
        assoc: AssocId,
        channel: Channel,
        remote: Vec<SocketAddr>,
        local: Vec<IpAddr>,
    ) {
        let full = assoc.is_accepted() && self.associations.count(channel) >= self.config.limits.associations;
        self.associations.up(now, assoc, channel, remote, local);
        if full {
            self.counters.associations_refused += 1;
            return self.abort(assoc, "too many associations");
        }
        if !self.is_serving() {
            return self.abort(assoc, "shutting down");
        }
        if assoc.is_accepted() {
            self.watch_mute(now, channel);
        }
        if channel == Channel::Enrp {
            self.enrp_association_up(assoc);
        }
    }

    fn message(&mut self, now: Time, assoc: AssocId, ppid: u32, bytes: &Bytes) {
        if !self.associations.heard(now, assoc) {
            return;
        }
        if !self.is_serving() {
            return self.message_in_leaving(assoc, bytes);
        }
        match (self.associations.get(assoc).map(|association| association.channel), ppid) {
            (Some(Channel::Asap), PPID_ASAP | PPID_NONE) => self.asap_received(now, assoc, bytes),
            (Some(Channel::Enrp), PPID_ENRP | PPID_NONE) => self.enrp_received(now, assoc, bytes),
            (_, PPID_ASAP | PPID_ENRP) => {
                self.counters.wrong_protocol += 1;
                self.abort(assoc, "the other protocol's port");
            }
            _ => self.counters.malformed_messages += 1,
        }
    }

    fn restarted(&mut self, now: Time, assoc: AssocId) {
        self.associations.restarted(assoc);
        if !self.is_serving() {
            return self.abort(assoc, "shutting down");
        }
        match self.associations.get(assoc).map(|association| association.channel) {
            Some(Channel::Enrp) => self.enrp_association_restarted(assoc),
            Some(_) => {
                self.unsubscribe_from_all(assoc);
                self.asap_association_restarted(now, assoc);
            }
            None => {}
        }
    }

    fn down(&mut self, now: Time, assoc: AssocId, why: &DownReason) {
        let Some(association) = self.associations.down(assoc, why) else { return };
        if !self.is_serving() {
            return self.down_in_leaving(now, &association);
        }
        self.unsubscribe_from_all(assoc);
        match association.channel {
            Channel::Enrp => self.enrp_association_down(now, assoc, &association, why),
            Channel::Asap | Channel::Session => self.asap_association_down(now, assoc, association, why),
        }
    }

    /// Ends an association at once; what depends on it goes when it is down.
    fn abort(&mut self, assoc: AssocId, cause: &str) {
        self.counters.associations_aborted += 1;
        self.associations.abort(assoc, cause);
    }

    fn expired(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Heartbeat => self.heartbeat(now),
            Timer::Announce => self.announce_ourselves(now),
            Timer::Startup => self.startup_timeout(now),
            Timer::Peer(id) => self.peer_timeout(now, id),
            Timer::Takeover(target) => self.takeover_timeout(now, target),
            Timer::Resynchronization(id) => self.resynchronization_interrupted(now, id),
            Timer::TableSession => self.table_session_timeout(now),
            Timer::Probe(key) => self.probe_timeout(now, key),
            Timer::Idle(assoc) => self.idle_timeout(now, assoc),
            Timer::Mute(channel) => self.make_room(now, channel),
            Timer::Inquiries => self.inquire_next(now),
            Timer::Contest(key) => self.contest_timeout(now, &key),
            Timer::Reports(key) => self.reports_timeout(now, key),
            Timer::Push(handle) => self.push_timeout(now, handle),
            Timer::Guard(scope) => self.guard_timeout(now, &scope),
            Timer::Silence => self.tell_silence(now),
            Timer::Overload => self.overload_ended(now),
            Timer::Shutdown => self.shutdown_timeout(now),
        }
    }
}

/// A number that is another one with each start. What else comes of the seed does not depend on it. A simulation may start
/// a registrar anew with its seed, but later.
fn incarnation(rng: &ChaCha12Rng, now: Time) -> u32 {
    let mut rng = rng.clone();
    rng.set_stream(INCARNATION_STREAM);
    rng.next_u32().wrapping_add(now.as_micros() as u32)
}

impl Node for Registrar {
    type Event = Event;

    fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Up { assoc, channel, remote, local, streams: _ } => {
                self.up(now, assoc, channel, remote, local);
            }
            Input::Message { assoc, ppid, bytes, stream: _, unordered: _ } => {
                self.message(now, assoc, ppid, &bytes);
            }
            Input::Restart { assoc } => self.restarted(now, assoc),
            Input::Full { assoc } => self.associations.full(assoc),
            Input::Writable { assoc } => self.associations.writable(assoc),
            Input::PeerShutdown { assoc } => self.associations.closing(assoc),
            Input::SendFailed { .. } => self.counters.send_failures += 1,
            Input::Down { assoc, why } => self.down(now, assoc, &why),
            Input::Backlog { packets } => self.backlog_changed(now, packets),
            Input::Addresses { channel, addresses } => self.addresses_changed(now, channel, addresses),
            Input::Announce { from, channel, bytes } => self.announcement(now, from, channel, &bytes),
            // A path that fails leaves the others, and the last one ends the association.
            Input::Path { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Time) {
        loop {
            if let Some(timer) = self.timers.pop(now) {
                self.expired(now, timer);
            } else if let Some(key) = self.owned.pop(now) {
                self.element_due(now, key);
            } else {
                return;
            }
        }
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.associations.pop()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        let timer = self.timers.next().map(|(at, timer)| (at, timer.name()));
        let element = self.owned.next().map(|at| (at, "keep-alive"));
        timer.into_iter().chain(element).min_by_key(|(at, _)| *at)
    }
}
