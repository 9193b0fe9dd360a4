//! What runs on the hosts: the real machines, with the applications on top.

mod clients;
mod server;
mod watcher;

pub use clients::{Client, Clients};
pub use server::{Missing, Server};
pub use watcher::Watcher;

use crate::network::{ASAP_PORT, ENDPOINT_PORT, ENRP_PORT, HostId, Role};
use crate::spec::Spec;
use params::{Load, Policy, PoolHandle};
use proto::endpoint::{self, AsapEndpoint, Counters};
use proto::registrar::{self, Announce, Registrar};
use proto::{Channel, Input, Node, Time, Transmit};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeSet;
use std::time::Duration;

/// T1-ENRPrequest × (MAX-REQUEST-RETRANSMIT + 1), twice: a request for another number of items waits for its turn.
const RESOLUTION_BOUND: Duration = Duration::from_millis(1500);
/// T2-registration × (MAX-REG-ATTEMPT + 1); each failure that SCTP tells of only makes it shorter.
const REGISTRATION_BOUND: Duration = Duration::from_millis(1500);
/// How long an element that is drained stays after that.
const SETTLE_BOUND: Duration = Duration::from_millis(500);
/// With replay a server sets a cookie with each third operation.
const CHECKPOINT: u64 = 3;
/// How long a session may take to deliver what is queued when it is closed.
const CLOSE_BOUND: Duration = Duration::from_secs(30);
/// A clock advances by 50 ms when its host wakes (design decision D2), and so late may be each of three timers in a
/// row that a starved host sets one after the other; more when it is stopped again before it has looked at them. And what is
/// sent right before the end is waited for as long as anything else.
const LATENESS: Duration = Duration::from_millis(600);

/// The handle of a pool.
pub fn handle(pool: u16) -> PoolHandle {
    PoolHandle::from(format!("counter-{pool}").as_str())
}

/// The policy of a pool, with values that are drawn.
pub fn policy(pool: u16, rng: &mut impl Rng) -> Policy {
    let share = rng.random_range(1..=5);
    let load = Load(rng.next_u32());
    let degradation = Load(rng.next_u32() / 16);
    match pool % 9 {
        0 => Policy::RoundRobin,
        1 => Policy::WeightedRoundRobin { weight: share },
        2 => Policy::LeastUsed { load },
        3 => Policy::Priority { priority: share },
        4 => Policy::Random,
        5 => Policy::WeightedRandom { weight: share },
        6 => Policy::LeastUsedDegradation { load, degradation },
        7 => Policy::PriorityLeastUsed { load, degradation },
        _ => Policy::RandomizedLeastUsed { load },
    }
}

/// The process on a host.
pub enum Process {
    /// `rserpool-registrar`.
    Registrar(Box<Registrar>),
    /// A counter server.
    Element(Box<Server>),
    /// Counter clients.
    User(Box<Clients>),
    /// A subscriber.
    Watcher(Box<Watcher>),
}

impl Process {
    /// A process that starts now on `host`.
    pub fn start(host: HostId, spec: &Spec, mut rng: ChaCha12Rng, now: Time) -> Self {
        let registrars = || {
            let numbers = 0..spec.registrars;
            numbers.map(|number| HostId { role: Role::Registrar, number })
        };
        if host.role == Role::Registrar {
            let known = |other: &HostId| !spec.announce && (!spec.learned || other.number == 0);
            let others = registrars().filter(|other| *other != host && known(other));
            let peers = others.map(|other| vec![other.port(ENRP_PORT)]).collect();
            let mut config = registrar::Config { peers, ..registrar::Config::default() };
            config.guard.hold = spec.hold;
            config.arbitration = spec.arbitration;
            config.registrar_pool = spec.registrar_pool;
            config.strict_rfc = spec.strict_rfc;
            config.announce = Announce { asap: spec.announce, enrp: spec.announce };
            config.limits = spec.limits();
            // Some keep their identifier over restarts.
            config.id = host
                .number
                .is_multiple_of(4)
                .then(|| params::RegistrarId(0x4000_0000 + u32::from(host.number)));
            let mut registrar = Registrar::new(config, rng, now);
            for channel in [Channel::Asap, Channel::Enrp] {
                registrar.handle_input(now, Input::Addresses { channel, addresses: vec![host.ip()] });
            }
            return Self::Registrar(Box::new(registrar));
        }
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        if host.role == Role::Watcher {
            return Self::Watcher(Box::new(Watcher::start(registrars().collect(), spec, rng, now)));
        }
        let known = match (spec.announce, spec.registrar_pool) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => usize::MAX,
        };
        let registrars = registrars().take(known).map(|registrar| registrar.port(ASAP_PORT));
        let mut config = endpoint::Config::new(registrars, ENDPOINT_PORT, seed);
        config.registrar_pool = spec.registrar_pool;
        let machine = AsapEndpoint::new(config, now);
        match host.role {
            Role::Element => Self::Element(Box::new(Server::start(machine, host, spec, rng, now))),
            _ => Self::User(Box::new(Clients::start(machine, host, spec, rng, now))),
        }
    }

    /// Its machine takes an input.
    pub fn input(&mut self, now: Time, input: Input) {
        match self {
            Self::Registrar(machine) => machine.handle_input(now, input),
            Self::Element(server) => server.machine.handle_input(now, input),
            Self::User(clients) => clients.input(now, input),
            Self::Watcher(watcher) => watcher.input(now, input),
        }
    }

    /// Something may be due in the machine or the application.
    ///
    /// # Errors
    /// The machine refuses what it should do.
    pub fn timeout(&mut self, now: Time) -> Result<(), String> {
        match self {
            Self::Registrar(machine) => machine.handle_timeout(now),
            Self::Element(server) => {
                server.machine.handle_timeout(now);
                return server.work(now);
            }
            Self::User(clients) => {
                clients.machine.handle_timeout(now);
                return clients.work(now);
            }
            Self::Watcher(watcher) => watcher.timeout(now),
        }
        Ok(())
    }

    /// Every request ends in an answer or an error in bounded time.
    ///
    /// # Errors
    /// One does not.
    pub fn check(&self, now: Time) -> Result<(), String> {
        let overdue = |(_, end): &(&'static str, Time)| now > *end + LATENESS;
        let overdue = match self {
            Self::Registrar(_) | Self::Watcher(_) => None,
            Self::Element(server) => server.awaits().find(overdue),
            Self::User(clients) => clients.awaits().find(overdue),
        };
        match overdue {
            Some((request, end)) => Err(format!("a {request} has had no end, {:?} late", now.since(end))),
            None => Ok(()),
        }
    }

    /// What an endpoint counts.
    pub fn counters(&self) -> Option<&Counters> {
        match self {
            Self::Registrar(_) | Self::Watcher(_) => None,
            Self::Element(server) => Some(server.machine.counters()),
            Self::User(clients) => Some(clients.machine.counters()),
        }
    }

    /// The next thing the machine wants done.
    pub fn transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Registrar(machine) => machine.poll_transmit(),
            Self::Element(server) => server.machine.poll_transmit(),
            Self::User(clients) => clients.machine.poll_transmit(),
            Self::Watcher(watcher) => watcher.transmit(),
        }
    }

    /// When the next timer is due.
    pub fn due(&self) -> Option<Time> {
        let (machine, application) = match self {
            Self::Registrar(machine) => (machine.poll_timeout(), None),
            Self::Element(server) => (server.machine.poll_timeout(), server.due()),
            Self::User(clients) => (clients.machine.poll_timeout(), clients.due()),
            Self::Watcher(watcher) => (None, watcher.due()),
        };
        machine.map(|(at, _)| at).into_iter().chain(application).min()
    }

    /// The process ends in order: [`Process::has_left`] says when.
    pub fn leave(&mut self, now: Time) {
        match self {
            Self::Registrar(machine) => machine.shutdown(now),
            Self::Element(server) => server.leave(now),
            Self::User(clients) => clients.leave(now),
            Self::Watcher(watcher) => watcher.leave(),
        }
    }

    /// Whether it has ended in order.
    pub fn has_left(&self) -> bool {
        match self {
            Self::Registrar(machine) => machine.is_drained(),
            Self::Element(server) => server.machine.is_drained(),
            Self::User(clients) => clients.machine.is_drained(),
            Self::Watcher(watcher) => watcher.has_left(),
        }
    }

    /// The peace begins.
    pub fn settle(&mut self) {
        if let Self::User(clients) = self {
            clients.settle();
        }
    }

    /// Whether it changes what it has on purpose.
    pub fn set_churning(&mut self, now: Time, churning: bool) {
        if let Self::Element(server) = self {
            server.set_churning(now, churning);
        }
    }
}

/// Taking what is due.
trait Due<T> {
    fn pop_first_if_due(&mut self, now: Time) -> Option<T>;
}

impl<T: Copy + Ord> Due<(Time, T)> for BTreeSet<(Time, T)> {
    fn pop_first_if_due(&mut self, now: Time) -> Option<(Time, T)> {
        self.first().is_some_and(|(at, _)| *at <= now).then(|| self.pop_first()).flatten()
    }
}
