//! The machine with everybody who waits for it: runs on the endpoint's thread.
//!
//! It is a [`Node`] itself, so the driver feeds it as it would feed the machine. It hands the machine's events to the
//! sessions, elements and requests they belong to ([`events`]), and does the work that tasks left for it ([`work`]).

mod attention;
mod commands;
mod events;
mod rarely;
mod work;

pub(crate) use attention::{Attention, Leave};

use crate::element::{Backlog, Standing, Status};
use crate::pipe::Pipe;
use crate::watch::PoolState;
use crate::{Addresses, EndpointError, RegisterError, Resolution, ResolveError, SessionError, SessionId};
use params::{PeIdentifier, PoolHandle, RegistrarId};
use proto::endpoint::{self as machine, ElementId, RequestId};
use proto::{Input, Node, Time, Transmit};
use rarely::Rarely;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// The machine and those who wait for it.
#[derive(Debug)]
pub(crate) struct Shell {
    machine: machine::AsapEndpoint,
    attention: Arc<Attention>,
    registrars: Addresses,
    /// Bytes that a session may queue.
    window: usize,
    home: watch::Sender<Option<RegistrarId>>,
    /// When the machine was last fed.
    now: Time,
    /// The machine seals cookies, so it has to know the time of day.
    seals: bool,
    sessions: BTreeMap<SessionId, Entry>,
    elements: BTreeMap<ElementId, Registered>,
    /// When the grace of elements ends that are drained.
    graces: BTreeMap<ElementId, Time>,
    resolutions: BTreeMap<RequestId, (PoolHandle, oneshot::Sender<Result<Resolution, ResolveError>>)>,
    watches: BTreeMap<PoolHandle, watch::Sender<PoolState>>,
    refused_sessions: Rarely,
    refused_cookies: Rarely,
}

#[derive(Debug)]
struct Entry {
    pool: PoolHandle,
    /// The element of an accepted session.
    element: Option<ElementId>,
    pipe: Arc<Pipe>,
    /// Who waits for the first server of a session that this side started.
    connecting: Option<oneshot::Sender<Result<PeIdentifier, SessionError>>>,
}

#[derive(Debug)]
struct Registered {
    pool: PoolHandle,
    status: watch::Sender<Status>,
    standing: watch::Sender<Standing>,
    /// Why it could not be registered again, the last time.
    failure: watch::Sender<Option<RegisterError>>,
    backlog: Arc<Backlog>,
    /// It takes the sessions that arrive at this endpoint.
    takes_sessions: bool,
    /// Its owner let it go.
    leaving: bool,
    /// It is over when its sessions are; with what the deregistration ended, once it did.
    drain: Option<Option<RegisterError>>,
}

impl Shell {
    pub(crate) fn new(config: machine::Config, attention: Arc<Attention>, now: Time) -> Self {
        Self {
            attention,
            registrars: Addresses(config.registrars.iter().flatten().copied().collect()),
            window: config.limits.session_queue,
            home: watch::Sender::new(None),
            now,
            seals: false,
            sessions: BTreeMap::new(),
            elements: BTreeMap::new(),
            graces: BTreeMap::new(),
            resolutions: BTreeMap::new(),
            watches: BTreeMap::new(),
            refused_sessions: Rarely::default(),
            refused_cookies: Rarely::default(),
            machine: machine::AsapEndpoint::new(config, now),
        }
    }

    /// Does the waiting work, then the command, then tells what came of both.
    pub(crate) fn run<R>(&mut self, now: Time, command: impl FnOnce(&mut Self, Time) -> R) -> R {
        self.fed(now);
        self.work();
        let result = command(self, now);
        self.dispatch();
        result
    }

    fn fed(&mut self, now: Time) {
        self.now = now;
        if self.seals {
            self.machine.set_unix_time(now, net::unix_time());
        }
    }
}

impl Node for Shell {
    type Event = Infallible;

    fn handle_input(&mut self, now: Time, input: Input) {
        self.fed(now);
        self.machine.handle_input(now, input);
        self.dispatch();
    }

    fn handle_timeout(&mut self, now: Time) {
        self.fed(now);
        self.work();
        self.end_graces();
        self.machine.handle_timeout(now);
        self.dispatch();
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.machine.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        // What the machine tells when its transmits are taken: there is room again.
        self.dispatch();
        None
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        self.machine.poll_timeout()
    }
}

impl Drop for Shell {
    /// The endpoint's thread ends: whoever still waits for something must not wait for ever.
    fn drop(&mut self) {
        for entry in self.sessions.values() {
            entry.pipe.end(EndpointError::stopped().into());
        }
        for element in self.elements.values() {
            element.backlog.close();
        }
    }
}
