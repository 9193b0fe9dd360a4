//! What goes wrong, and when: a schedule drawn from the seed before the run begins.

use crate::cuts::Cut;
use crate::network::{HostId, Role, Stop};
use crate::spec::{Spec, Wire};
use net::memory::Link;
use proto::registrar::Limits;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::time::Duration;

/// Something that is done to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9.
    Crash(HostId),
    /// A host loses its power, and with it what it has sent and nobody has got yet (whole associations only; told in
    /// stories, not drawn).
    Vanish(HostId),
    /// A process is started anew; it remembers nothing.
    Start(HostId),
    /// A process ends in order.
    Leave(HostId),
    /// SIGSTOP.
    Pause(HostId, Stop),
    /// SIGCONT.
    Resume(HostId),
    /// Nothing passes here any more.
    Cut(u32, Cut),
    /// It passes again.
    Mend(u32),
    /// Everything fares like this on its way.
    Link(Link),
    /// So many of 1,000 connects are refused for no reason.
    Refuse(u32),
    /// So many packets wait for a registrar; 0: none any more.
    Backlog(HostId, usize),
}

impl Fault {
    /// The one host that it is about.
    pub fn host(&self) -> Option<HostId> {
        match self {
            Self::Crash(host)
            | Self::Vanish(host)
            | Self::Start(host)
            | Self::Leave(host)
            | Self::Pause(host, _)
            | Self::Resume(host)
            | Self::Backlog(host, _) => Some(*host),
            Self::Cut(..) | Self::Mend(_) | Self::Link(_) | Self::Refuse(_) => None,
        }
    }
}

/// One thing that goes wrong, and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Its number within the run.
    pub number: u32,
    /// Its name in summaries.
    pub kind: &'static str,
    /// What is done, so long after the beginning of its round.
    pub faults: Vec<(Duration, Fault)>,
}

/// The incidents of one round, those of each kind of trouble in the order in which they begin.
///
/// They are drawn for all hosts of the spec and all incidents, and only then are those taken out that the spec leaves
/// out: so a smaller run is the same one with less in it.
pub fn incidents(spec: &Spec, round: u32) -> Vec<Incident> {
    let all = Spec { without: Default::default(), ..spec.clone() }.hosts();
    let mut rng = ChaCha12Rng::from_seed(spec.seed_for(FAULTS));
    rng.set_stream(round.into());
    let mut drafter = Drafter { rng, spec, hosts: &all, drawn: Vec::new() };
    let first = round * ROUND;
    let mut begin = if spec.blackouts { WARM_UP + BETWEEN_BLACKOUTS } else { WARM_UP };
    while !spec.fault_every.is_zero() && begin < spec.trouble {
        match spec.blackouts {
            true => begin = drafter.blackout(first, begin) + BETWEEN_BLACKOUTS,
            false => drafter.draft(first, begin),
        }
        begin += drafter.rng.random_range(Duration::ZERO..=spec.fault_every * 2);
    }
    if spec.backlogs {
        drafter.rng = ChaCha12Rng::from_seed(spec.seed_for(BACKLOGS));
        drafter.rng.set_stream(round.into());
        drafter.backlogs(first);
    }
    let mut incidents = drafter.drawn;
    incidents.retain(|incident| spec.only.as_ref().is_none_or(|only| only.contains(&incident.number)));
    for incident in &mut incidents {
        incident.faults.retain(|(_, fault)| fault.host().is_none_or(|host| !spec.without.contains(&host)));
    }
    incidents.retain(|incident| !incident.faults.is_empty());
    incidents
}

/// After the trouble everything is well again, but for some hosts that stay dead, or stopped with their SCTP endpoint
/// alive: at least one registrar lives. What dies for good dies before the rest starts.
pub fn healing(spec: &Spec, round: u32) -> Vec<Fault> {
    let mut rng = ChaCha12Rng::from_seed(spec.seed_for(HEALING));
    rng.set_stream(round.into());
    let hosts = spec.hosts();
    let quiet = Link { delay: spec.link.delay, ..Link::perfect() };
    let mut deaths = Vec::new();
    let mut others = vec![Fault::Link(quiet), Fault::Refuse(0)];
    for host in hosts {
        let fate = if spec.fault_every.is_zero() { 100 } else { rng.random_range(0..100) };
        match (host.role, fate) {
            (Role::Registrar, 0..15) if host.number > 0 => deaths.push(Fault::Crash(host)),
            (Role::Element, 0..15) => deaths.push(Fault::Crash(host)),
            (Role::Element, 15..20) if spec.wire == Wire::Channels => {
                deaths.extend([Fault::Resume(host), Fault::Pause(host, Stop::Process)]);
            }
            _ => others.extend([Fault::Resume(host), Fault::Start(host)]),
        }
    }
    deaths.into_iter().chain(others).collect()
}

/// Before a new round all are there again, and the network is as good or bad as the spec says.
pub fn relapse(spec: &Spec) -> Vec<Fault> {
    let hosts = spec.hosts().into_iter();
    let back = hosts.flat_map(|host| [Fault::Resume(host), Fault::Start(host)]);
    [Fault::Link(spec.link), Fault::Refuse(spec.refused)].into_iter().chain(back).collect()
}

/// A fresh scope is left alone for so long.
const WARM_UP: Duration = Duration::from_secs(2);
/// After this time nothing that was wrong before a blackout is an excuse any more for what happens in it.
const BETWEEN_BLACKOUTS: Duration = Duration::from_secs(4);
/// Numbers of incidents of one round begin at a multiple of this.
const ROUND: u32 = 10_000;
/// Streams of the seed.
const FAULTS: u64 = 1;
const HEALING: u64 = 2;
const BACKLOGS: u64 = 4;

struct Drafter<'a> {
    rng: ChaCha12Rng,
    spec: &'a Spec,
    hosts: &'a [HostId],
    drawn: Vec<Incident>,
}

impl Drafter<'_> {
    /// The number of the next incident of a round whose numbers begin here.
    fn number(&self, first: u32) -> u32 {
        first + u32::try_from(self.drawn.len()).unwrap_or(u32::MAX)
    }

    fn draft(&mut self, first: u32, begin: Duration) {
        let number = self.number(first);
        let Some(host) = self.victim() else { return };
        let for_a_while = self.rng.random_range(Duration::from_millis(20)..=Duration::from_millis(5000));
        let end = begin + for_a_while;
        let (kind, faults) = match self.rng.random_range(0..100) {
            0..25 => ("crash", self.spell(begin, end, Fault::Crash(host), Fault::Start(host))),
            // Started anew before anybody notices.
            25..32 => {
                let soon = begin + for_a_while / 20;
                ("quick restart", self.spell(begin, soon, Fault::Crash(host), Fault::Start(host)))
            }
            32..40 => ("leave", self.spell(begin, end, Fault::Leave(host), Fault::Start(host))),
            40..55 => {
                let pause = Fault::Pause(host, Stop::Everything);
                ("pause", self.spell(begin, end, pause, Fault::Resume(host)))
            }
            55..62 => {
                let hang = Fault::Pause(host, Stop::Process);
                ("hang", self.spell(begin, end, hang, Fault::Resume(host)))
            }
            62..68 => ("starvation", self.starvation(begin, end, host)),
            68..80 => {
                let Some(other) = self.victim().filter(|other| *other != host) else { return };
                ("cut path", self.cut(number, begin, end, &[host], &[other]))
            }
            80..90 => ("partition", self.partition(number, begin, end)),
            90..93 => ("mass failure", self.mass_failure(number, begin, end)),
            93..97 => {
                let link = Link {
                    loss: self.rng.random_range(0..=200),
                    jitter: Duration::from_millis(self.rng.random_range(0..=50)),
                    ..Link::rough()
                };
                ("bad link", self.spell(begin, end, Fault::Link(link), Fault::Link(self.spec.link)))
            }
            _ => {
                let refuse = Fault::Refuse(self.rng.random_range(50..=500));
                ("refusals", self.spell(begin, end, refuse, Fault::Refuse(self.spec.refused)))
            }
        };
        self.drawn.push(Incident { number, kind, faults });
    }

    /// Any host; registrars more often than they are many.
    fn victim(&mut self) -> Option<HostId> {
        let registrars = usize::from(self.spec.registrars);
        match self.rng.random_bool(0.25) {
            true => self.hosts.get(..registrars)?.choose(&mut self.rng).copied(),
            false => self.hosts.choose(&mut self.rng).copied(),
        }
    }

    fn spell(&self, from: Duration, to: Duration, begin: Fault, end: Fault) -> Vec<(Duration, Fault)> {
        vec![(from, begin), (to.min(self.spec.trouble), end)]
    }

    /// Many short pauses.
    fn starvation(&mut self, from: Duration, to: Duration, host: HostId) -> Vec<(Duration, Fault)> {
        let mut faults = Vec::new();
        let mut now = from;
        while now < to.min(self.spec.trouble) {
            let wake = now + Duration::from_millis(self.rng.random_range(10..=120));
            faults.extend(self.spell(now, wake, Fault::Pause(host, Stop::Everything), Fault::Resume(host)));
            now = wake + Duration::from_millis(self.rng.random_range(1..=20));
        }
        faults
    }

    /// Two halves that do not reach each other; a user between them may reach both.
    fn partition(&mut self, number: u32, from: Duration, to: Duration) -> Vec<(Duration, Fault)> {
        let mut hosts = self.hosts.to_vec();
        hosts.shuffle(&mut self.rng);
        let (one, other) = hosts.split_at(self.rng.random_range(0..=hosts.len()));
        let between = self.rng.random_bool(0.3);
        let one: Vec<HostId> =
            one.iter().copied().filter(|host| !between || host.role == Role::Registrar).collect();
        self.cut(number, from, to, &one, other)
    }

    /// Much of what has elements, and everything else.
    fn site(&mut self) -> (Vec<HostId>, Vec<HostId>) {
        let (mut site, mut rest): (Vec<HostId>, Vec<HostId>) =
            self.hosts.iter().partition(|host| host.role == Role::Element);
        site.shuffle(&mut self.rng);
        let share = self.rng.random_range(20..=100);
        rest.extend(site.split_off(site.len() * share / 100));
        (site, rest)
    }

    /// Nothing passes between a site and the rest for a while; a registrar may be on either side. Says when that is over.
    fn blackout(&mut self, first: u32, begin: Duration) -> Duration {
        let number = self.number(first);
        let (mut site, mut rest) = self.site();
        if self.rng.random_bool(0.3) {
            // The registrars are first.
            site.push(rest.swap_remove(self.rng.random_range(0..usize::from(self.spec.registrars))));
        }
        let end = begin + Duration::from_millis(self.rng.random_range(500..=8000));
        let (these, those) = (site.into_iter().collect(), rest.into_iter().collect());
        let cut = Fault::Cut(number, Cut { these, those, both_ways: true });
        let faults = self.spell(begin, end, cut, Fault::Mend(number));
        self.drawn.push(Incident { number, kind: "blackout", faults });
        end
    }

    /// Registrars are behind for a while, so far that more or less of what they do is shed.
    fn backlogs(&mut self, first: u32) {
        let mut begin = WARM_UP;
        while !self.spec.fault_every.is_zero() && begin < self.spec.trouble {
            let host =
                HostId { role: Role::Registrar, number: self.rng.random_range(0..self.spec.registrars) };
            let packets = Limits::default().backlog << self.rng.random_range(0..=3);
            let end = begin + Duration::from_millis(self.rng.random_range(100..=2000));
            let faults = self.spell(begin, end, Fault::Backlog(host, packets), Fault::Backlog(host, 0));
            self.drawn.push(Incident { number: self.number(first), kind: "backlog", faults });
            begin = end + self.rng.random_range(Duration::ZERO..=self.spec.fault_every * 2);
        }
    }

    /// Much of what has elements goes at once: its site is cut off, or it dies.
    fn mass_failure(&mut self, number: u32, from: Duration, to: Duration) -> Vec<(Duration, Fault)> {
        let (site, rest) = self.site();
        match self.rng.random_bool(0.5) {
            true => self.cut(number, from, to, &site, &rest),
            false => {
                let one = |host: &HostId| self.spell(from, to, Fault::Crash(*host), Fault::Start(*host));
                site.iter().flat_map(one).collect()
            }
        }
    }

    /// Both ways, or one.
    fn cut(
        &mut self,
        number: u32,
        from: Duration,
        to: Duration,
        these: &[HostId],
        those: &[HostId],
    ) -> Vec<(Duration, Fault)> {
        let (these, those) = (these.iter().copied().collect(), those.iter().copied().collect());
        let cut = Cut { these, those, both_ways: self.rng.random_bool(0.6) };
        self.spell(from, to, Fault::Cut(number, cut), Fault::Mend(number))
    }
}
