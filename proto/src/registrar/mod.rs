//! The registrar (ENRP server): RFC 5353, and the server side of ASAP, RFC 5352.
//!
//! [`Registrar`] owns the handlespace and speaks with pool elements and pool users over ASAP associations and
//! with its peers over ENRP associations. Each procedure of the RFCs is one file here and one `impl` block.

mod config;
mod event;
mod status;

pub use config::{Arbitration, Config, ForeignAddresses, LifeUnit, Limits};
pub use event::{Event, PeerDownReason, RemovalReason};
pub use status::{Counters, ElementStatus, PeerState, PeerStatus, PoolSummary, State, Status};

use crate::{Input, Node, Time, Transmit};
use params::{PeIdentifier, PoolHandle, RegistrarId};
use rand_chacha::ChaCha12Rng;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// A registrar without I/O and without a clock. See [`Node`] for how it is driven.
#[derive(Debug)]
pub struct Registrar {
    config: Config,
    id: RegistrarId,
    started: Time,
    state: State,
    rng: ChaCha12Rng,
    counters: Counters,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Registrar {
    /// A registrar that starts now: it looks for its peers and serves ASAP at once.
    pub fn new(config: Config, mut rng: ChaCha12Rng, now: Time) -> Self {
        use rand::Rng;
        let id = config.id.unwrap_or_else(|| RegistrarId(rng.next_u32().max(1)));
        Self {
            config,
            id,
            started: now,
            state: State::Starting,
            rng,
            counters: Counters::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Its identifier, unchanged as long as it lives.
    pub fn id(&self) -> RegistrarId {
        self.id
    }

    /// Adds a registrar that was learned from outside, for instance from DNS.
    pub fn add_peer(&mut self, now: Time, addresses: Vec<SocketAddr>) {
        let _ = (now, addresses);
    }

    /// Removes an element by the operator's wish, whoever its home is. Says whether there was one.
    pub fn remove_element(&mut self, now: Time, handle: &PoolHandle, id: PeIdentifier) -> bool {
        let _ = (now, handle, id);
        false
    }

    /// Ends all associations in order, so that the peers take over at once. The elements stay registered.
    pub fn shutdown(&mut self, now: Time) {
        let _ = now;
        self.state = State::Stopping;
    }

    /// Whether a [`Registrar::shutdown`] is complete.
    pub fn is_drained(&self) -> bool {
        self.state == State::Stopped
    }

    /// The registrar at a glance. Costs no more than the number of peers.
    pub fn status(&self, now: Time) -> Status {
        Status {
            id: self.id,
            state: self.state,
            uptime: now.since(self.started),
            pools: 0,
            elements: 0,
            owned_elements: 0,
            peers: 0,
            associations: 0,
            checksum: 0xffff,
            counters: self.counters.clone(),
        }
    }

    /// All known registrars but this one, by identifier.
    pub fn peers(&self, now: Time) -> Vec<PeerStatus> {
        let _ = now;
        Vec::new()
    }

    /// At most `count` pools in the order of their handles, those after `after`.
    pub fn pools(&self, after: Option<&PoolHandle>, count: usize) -> Vec<PoolSummary> {
        let _ = (after, count);
        Vec::new()
    }

    /// One pool; `None` if there is no such pool.
    pub fn pool(&self, handle: &PoolHandle) -> Option<PoolSummary> {
        let _ = handle;
        None
    }

    /// At most `count` elements of a pool in the order of their identifiers, those after `after`; `None` if there
    /// is no such pool.
    pub fn elements(
        &self,
        now: Time,
        handle: &PoolHandle,
        after: Option<PeIdentifier>,
        count: usize,
    ) -> Option<Vec<ElementStatus>> {
        let _ = (now, handle, after, count);
        None
    }
}

impl Node for Registrar {
    type Event = Event;

    fn handle_input(&mut self, now: Time, input: Input) {
        let _ = (now, input, &self.config, &self.rng);
    }

    fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}
