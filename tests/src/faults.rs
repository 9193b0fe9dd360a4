//! What goes wrong, and when: a schedule drawn from the seed before the run begins.

use crate::network::{HostId, Role};
use crate::spec::Spec;
use net::memory::Link;
use proto::Time;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::time::Duration;

/// Something that is done to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9.
    Crash(HostId),
    /// A process is started anew; it remembers nothing.
    Start(HostId),
    /// A registrar or the process of an element ends in order.
    Leave(HostId),
    /// SIGSTOP.
    Pause(HostId),
    /// SIGCONT.
    Resume(HostId),
    /// Nothing passes from the first to the second any more.
    Block(HostId, HostId),
    /// It passes again.
    Unblock(HostId, HostId),
    /// Everything fares like this on its way.
    Link(Link),
    /// So many of 1,000 connects are refused for no reason.
    Refuse(u32),
}

impl Fault {
    /// Its name in summaries.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Crash(_) => "crash",
            Self::Start(_) => "start",
            Self::Leave(_) => "leave",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Block(..) => "block",
            Self::Unblock(..) => "unblock",
            Self::Link(_) => "link",
            Self::Refuse(_) => "refuse",
        }
    }

    /// The hosts it concerns; none: all.
    pub fn hosts(&self) -> Vec<HostId> {
        match self {
            Self::Crash(host)
            | Self::Start(host)
            | Self::Leave(host)
            | Self::Pause(host)
            | Self::Resume(host) => {
                vec![*host]
            }
            Self::Block(from, to) | Self::Unblock(from, to) => vec![*from, *to],
            Self::Link(_) | Self::Refuse(_) => Vec::new(),
        }
    }
}

/// All faults of a run in their order.
pub fn schedule(spec: &Spec, hosts: &[HostId]) -> Vec<(Time, Fault)> {
    let mut drafter = Drafter {
        rng: ChaCha12Rng::seed_from_u64(spec.seed ^ 0x6661_756c_7473),
        hosts,
        end: Time::ZERO + spec.trouble,
        faults: Vec::new(),
    };
    if let Some(every) = spec.fault_every {
        let mut now = Time::ZERO + Duration::from_secs(2);
        while now < drafter.end {
            drafter.draft(now);
            now += drafter.rng.random_range(Duration::ZERO..=every * 2);
        }
    }
    drafter.faults.sort_by_key(|(at, _)| *at);
    drafter.faults
}

/// After the trouble everything is well again, but for some hosts that stay dead: at least one registrar lives.
pub fn healing(spec: &Spec, hosts: &[HostId]) -> Vec<Fault> {
    let mut rng = ChaCha12Rng::seed_from_u64(spec.seed ^ 0x6865_616c);
    let quiet = Link { delay: spec.link.delay, ..Link::perfect() };
    let mut faults = vec![Fault::Link(quiet), Fault::Refuse(0)];
    let pairs = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (*from, *to)));
    faults.extend(pairs.map(|(from, to)| Fault::Unblock(from, to)));
    faults.extend(hosts.iter().map(|host| Fault::Resume(*host)));
    for host in hosts {
        let dies = match host.role {
            Role::Registrar => host.number > 0 && rng.random_bool(0.15),
            Role::Element => spec.fault_every.is_some() && rng.random_bool(0.2),
            Role::User => false,
        };
        let dies = dies && spec.fault_every.is_some();
        faults.push(if dies { Fault::Crash(*host) } else { Fault::Start(*host) });
    }
    faults
}

struct Drafter<'a> {
    rng: ChaCha12Rng,
    hosts: &'a [HostId],
    end: Time,
    faults: Vec<(Time, Fault)>,
}

impl Drafter<'_> {
    fn draft(&mut self, now: Time) {
        let Some(&host) = self.hosts.choose(&mut self.rng) else { return };
        let for_a_while = self.rng.random_range(Duration::from_millis(20)..=Duration::from_millis(5000));
        let later = now + for_a_while;
        match self.rng.random_range(0..100) {
            0..25 => self.spell(now, later, Fault::Crash(host), Fault::Start(host)),
            // Started anew before anybody notices.
            25..32 => {
                let soon = now + for_a_while / 20;
                self.spell(now, soon, Fault::Crash(host), Fault::Start(host));
            }
            32..40 => self.spell(now, later, Fault::Leave(host), Fault::Start(host)),
            40..60 => self.spell(now, later, Fault::Pause(host), Fault::Resume(host)),
            60..67 => self.slow(now, later, host),
            67..80 => {
                if let Some(&other) = self.hosts.choose(&mut self.rng).filter(|other| **other != host) {
                    self.cut(now, later, &[host], &[other]);
                }
            }
            80..92 => self.partition(now, later),
            _ => {
                let loss = self.rng.random_range(0..=200);
                let link = Link {
                    loss,
                    jitter: Duration::from_millis(self.rng.random_range(0..=50)),
                    ..Link::rough()
                };
                self.spell(now, later, Fault::Link(link), Fault::Link(Link::perfect()));
            }
        }
    }

    fn spell(&mut self, from: Time, to: Time, begin: Fault, end: Fault) {
        self.faults.extend([(from, begin), (to.min(self.end), end)]);
    }

    /// A starved host: many short pauses.
    fn slow(&mut self, from: Time, to: Time, host: HostId) {
        let mut now = from;
        while now < to.min(self.end) {
            let wake = now + Duration::from_millis(self.rng.random_range(10..=120));
            self.spell(now, wake, Fault::Pause(host), Fault::Resume(host));
            now = wake + Duration::from_millis(self.rng.random_range(1..=20));
        }
    }

    /// Two halves that do not reach each other; a user between them may reach both.
    fn partition(&mut self, from: Time, to: Time) {
        let mut hosts = self.hosts.to_vec();
        hosts.shuffle(&mut self.rng);
        let (one, other) = hosts.split_at(self.rng.random_range(0..=hosts.len()));
        let between = self.rng.random_bool(0.3);
        let one: Vec<HostId> =
            one.iter().copied().filter(|host| !between || host.role == Role::Registrar).collect();
        self.cut(from, to, &one, other);
    }

    /// Both ways, or one.
    fn cut(&mut self, from: Time, to: Time, these: &[HostId], those: &[HostId]) {
        let one_way = self.rng.random_bool(0.4);
        for &this in these {
            for &that in those {
                self.spell(from, to, Fault::Block(this, that), Fault::Unblock(this, that));
                if !one_way {
                    self.spell(from, to, Fault::Block(that, this), Fault::Unblock(that, this));
                }
            }
        }
    }
}
