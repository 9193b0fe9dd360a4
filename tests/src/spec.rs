//! What a run is made of: everything but the machines themselves, small enough to print and to type in again.

use crate::network::{HostId, Role};
use net::memory::Link;
use proto::registrar::{Arbitration, Limits};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

/// What joins the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// [`Channels`](crate::channels::Channels): whole associations.
    Channels,
    /// [`Datagrams`](crate::datagrams::Datagrams): the real SCTP endpoint over datagrams.
    Datagrams,
}

impl Wire {
    /// The wire of a seed in a mixed campaign: every eighth has the real endpoint.
    pub fn of(seed: u64) -> Self {
        if seed % 8 == 7 { Self::Datagrams } else { Self::Channels }
    }
}

/// So many of something, on so many hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many in all.
    pub count: u16,
    /// On how many hosts, evenly.
    pub hosts: u16,
}

impl Spread {
    /// How many there are on one of the hosts.
    pub fn on(self, host: u16) -> u16 {
        match self.hosts {
            0 => 0,
            hosts => self.count / hosts + u16::from(host < self.count % hosts),
        }
    }
}

/// A run. The seed decides what the spec leaves open; the same spec makes the same run.
///
/// As text it is a list of `key=value`; what is not given is as in [`Spec::quiet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Seed of everything random.
    pub seed: u64,
    /// What joins the hosts.
    pub wire: Wire,
    /// Registrars, at least one.
    pub registrars: u16,
    /// Pool elements and the processes that have them.
    pub elements: Spread,
    /// Sessions and the processes that have them.
    pub users: Spread,
    /// Processes that subscribe to all pools.
    pub watchers: u16,
    /// Pools.
    pub pools: u16,
    /// How often trouble comes and goes.
    pub rounds: u32,
    /// How long things go wrong in each round.
    pub trouble: Duration,
    /// How long all must stay well after that.
    pub peace: Duration,
    /// The mean time between two faults; zero: nothing goes wrong.
    pub fault_every: Duration,
    /// The mean time between two changes that a process makes on purpose: elements come, go, change their load. Zero:
    /// none.
    pub churn_every: Duration,
    /// Whether half of the elements that go are drained first.
    pub drains: bool,
    /// How long a session looks for a server; zero: for ever.
    pub patience: Duration,
    /// Whether servers set a cookie only now and then, and sessions send again what it does not cover.
    pub replay: bool,
    /// Whether registrars know only the first one beforehand, and learn of each other from it.
    pub learned: bool,
    /// The longest pause of a session between two operations.
    pub think: Duration,
    /// Loss, delay and jitter while things go wrong.
    pub link: Link,
    /// Whether the death of a process shows at once (ICMP).
    pub icmp: bool,
    /// Of 1,000 connects, refused for no reason ([`Wire::Channels`] only).
    pub refused: u32,
    /// Bytes queued for an association when it is full ([`Wire::Channels`] only).
    pub send_queue: usize,
    /// By how many millionths at most the clock of a host goes too fast or too slowly ([`Wire::Channels`] only).
    pub skew: u32,
    /// Whether the registrars are a pool (design D6), of which clients know only the first one beforehand.
    pub registrar_pool: bool,
    /// Whether registrars get more than they can handle now and then.
    pub backlogs: bool,
    /// Whether registrars go by the letter of the RFCs, without a mass-failure guard; nobody reports elements that are well then.
    pub strict_rfc: bool,
    /// Whether registrars announce themselves by multicast, and nobody knows anybody beforehand ([`Wire::Channels`] only).
    pub announce: bool,
    /// Whether all that goes wrong is that sites are cut off, one after the other, in pools that are guarded.
    pub blackouts: bool,
    /// Bytes of a page of a table.
    pub page: usize,
    /// How long registrars hold silent elements.
    pub hold: Duration,
    /// Who wins a takeover.
    pub arbitration: Arbitration,
    /// Whether some elements insist on the identifier of another one of their pool, which is well.
    pub twins: bool,
    /// Whether registrars may keep little: for who does not read, of reports, and of tables that are asked for.
    pub small_limits: bool,
    /// The incidents to keep, by number; `None`: all.
    pub only: Option<BTreeSet<u32>>,
    /// Hosts that are left out.
    pub without: BTreeSet<HostId>,
}

/// What clocks are wrong by in every third world: ten times as much as one expects of a cheap crystal.
const SKEW: u32 = 500;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A number between two, the logarithm of which is uniform: mostly small ones.
fn log_uniform(rng: &mut impl Rng, from: f64, to: f64) -> f64 {
    (rng.random_range(from.ln()..=to.ln())).exp()
}

impl Spec {
    /// A small scope in which nothing goes wrong: one registrar, one element, one session.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            wire: Wire::Channels,
            registrars: 1,
            elements: Spread { count: 1, hosts: 1 },
            users: Spread { count: 1, hosts: 1 },
            watchers: 0,
            pools: 1,
            rounds: 1,
            trouble: Duration::from_secs(10),
            peace: Duration::from_secs(4),
            fault_every: Duration::ZERO,
            churn_every: Duration::ZERO,
            drains: false,
            patience: Duration::ZERO,
            replay: false,
            learned: false,
            think: ms(200),
            link: Link::perfect(),
            icmp: true,
            refused: 0,
            send_queue: 256 * 1024,
            skew: 0,
            registrar_pool: false,
            backlogs: false,
            strict_rfc: false,
            announce: false,
            blackouts: false,
            page: 32 << 10,
            hold: Duration::from_secs(5),
            arbitration: Arbitration::LowestId,
            twins: false,
            small_limits: false,
            only: None,
            without: BTreeSet::new(),
        }
    }

    /// A run of any size, as the seed decides: most are small, more than a tenth has 500 elements and more.
    pub fn random(seed: u64, wire: Wire) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let large = match rng.random_range(0..100) {
            0..12 => log_uniform(&mut rng, 500.0, 2000.0),
            12..25 => log_uniform(&mut rng, 20.0, 499.0),
            _ => log_uniform(&mut rng, 1.0, 21.0) - 1.0,
        };
        let elements = large as u16;
        // Each in a process of its own, or many in few processes.
        let most = if wire == Wire::Datagrams { elements.min(24) } else { elements };
        let fewest = elements.div_ceil(500);
        let hosts = if elements < 20 || rng.random_bool(0.3) { most } else { rng.random_range(1..=40) };
        let elements = Spread { count: elements, hosts: hosts.clamp(fewest, most.max(fewest)) };
        let is_large = elements.count >= 100;
        let sessions = match rng.random_range(0..100) {
            0..4 => log_uniform(&mut rng, 20.0, 200.0) as u16,
            _ => rng.random_range(0..=12),
        };
        let hosts = sessions.min(rng.random_range(1..=if wire == Wire::Datagrams { 5 } else { 20 }));
        let bad = rng.random_bool(0.5);
        let link = Link {
            loss: if bad { rng.random_range(0..=100) } else { 0 },
            duplication: if bad { rng.random_range(0..=20) } else { 0 },
            delay: Duration::from_micros(rng.random_range(50..=2000)),
            jitter: if bad { ms(rng.random_range(0..=20)) } else { Duration::from_micros(100) },
        };
        let cheap = !is_large && sessions < 20 && wire == Wire::Channels;
        let fault_every = match rng.random_bool(0.93) {
            true => ms(log_uniform(&mut rng, 150.0, if cheap { 6000.0 } else { 3000.0 }) as u64),
            false => Duration::ZERO,
        };
        let spec = Self {
            wire,
            registrars: rng.random_range(1..=9).min(rng.random_range(1..=9)),
            elements,
            users: Spread { count: sessions, hosts },
            watchers: if rng.random_bool(0.5) { rng.random_range(1..=3) } else { 0 },
            pools: 1 + rng.random_range(0..=9).min(elements.count / 3),
            rounds: if cheap { rng.random_range(1..=4) } else { 1 },
            trouble: Duration::from_secs(if cheap {
                rng.random_range(10..=60)
            } else {
                rng.random_range(8..=15)
            }),
            peace: Duration::from_secs(if cheap { rng.random_range(4..=60) } else { 4 }),
            fault_every,
            churn_every: match rng.random_bool(0.6) {
                true => ms(log_uniform(&mut rng, 200.0, 10_000.0) as u64),
                false => Duration::ZERO,
            },
            think: ms(log_uniform(&mut rng, 50.0, 4000.0) as u64),
            link,
            icmp: rng.random_bool(0.5),
            refused: if rng.random_bool(0.3) { 50 } else { 0 },
            send_queue: if rng.random_bool(0.3) && !is_large { 2048 } else { 256 * 1024 },
            page: if rng.random_bool(0.5) { 1400 } else { 32 << 10 },
            arbitration: if rng.random_bool(0.85) { Arbitration::LowestId } else { Arbitration::Rfc5353 },
            drains: rng.random_bool(0.5),
            patience: match rng.random_bool(0.3) {
                true => ms(log_uniform(&mut rng, 500.0, 20_000.0) as u64),
                false => Duration::ZERO,
            },
            replay: rng.random_bool(0.3),
            learned: rng.random_bool(0.25),
            skew: if rng.random_bool(0.3) && wire == Wire::Channels { SKEW } else { 0 },
            registrar_pool: rng.random_bool(0.33),
            backlogs: rng.random_bool(0.3),
            strict_rfc: rng.random_bool(0.05),
            announce: rng.random_bool(0.2) && wire == Wire::Channels,
            ..Self::quiet(seed)
        };
        let spec = if rng.random_bool(0.05) { spec.with_blackouts(&mut rng) } else { spec };
        spec.with_rarities(&mut rng)
    }

    /// The same, but with what makes few worlds better. It is drawn last, so that the others stay what they were.
    fn with_rarities(self, rng: &mut impl Rng) -> Self {
        let twins = rng.random_bool(0.15);
        let small_limits = rng.random_bool(0.15) && self.elements.count < 100 && self.wire == Wire::Channels;
        let hold = match rng.random_bool(0.2) {
            true => ms(log_uniform(rng, 1000.0, 20_000.0) as u64),
            false => self.hold,
        };
        let send_queue = if small_limits { 2048 } else { self.send_queue };
        Self { twins, small_limits, hold, send_queue, ..self }
    }

    /// What a registrar takes at most.
    pub fn limits(&self) -> Limits {
        let limits = Limits { table_response_bytes: self.page, ..Limits::default() };
        match self.small_limits {
            // A single page may be longer than what waits for a registrar.
            true => Limits {
                queued_bytes: 16 << 10,
                queued_bytes_per_client: 4 << 10,
                queued_bytes_total: 64 << 10,
                reported_elements: 1,
                table_sessions: 1,
                ..limits
            },
            false => limits,
        }
    }

    /// The same, but with pools that the mass-failure guard looks after, and with nothing wrong in it that could excuse the
    /// loss of one of their elements.
    fn with_blackouts(self, rng: &mut impl Rng) -> Self {
        let elements = rng.random_range(8..=40);
        Self {
            elements: Spread { count: elements, hosts: elements },
            pools: rng.random_range(1..=2),
            trouble: Duration::from_secs(60),
            fault_every: ms(rng.random_range(500..=3000)),
            link: Link { loss: 0, ..self.link },
            refused: 0,
            backlogs: false,
            strict_rfc: false,
            blackouts: true,
            ..self
        }
    }

    /// All hosts, registrars first.
    pub fn hosts(&self) -> Vec<HostId> {
        let of = |role, count| (0..count).map(move |number| HostId { role, number });
        of(Role::Registrar, self.registrars)
            .chain(of(Role::Element, self.elements.hosts))
            .chain(of(Role::User, self.users.hosts))
            .chain(of(Role::Watcher, self.watchers))
            .filter(|host| !self.without.contains(host))
            .collect()
    }

    /// Whether nothing goes wrong in it at all.
    pub fn is_calm(&self) -> bool {
        self.fault_every.is_zero() && self.link.loss == 0 && self.refused == 0
    }

    /// How many things the process on a host may connect for.
    pub fn reasons_to_connect(&self, host: HostId) -> u32 {
        let registrars = u32::from(self.registrars);
        registrars
            + match host.role {
                Role::Registrar => u32::from(self.elements.hosts),
                Role::User => u32::from(self.users.on(host.number)),
                Role::Element | Role::Watcher => 0,
            }
    }

    /// A seed of its own for something.
    pub fn seed_for(&self, what: u64) -> [u8; 32] {
        let mut rng = ChaCha12Rng::seed_from_u64(self.seed);
        rng.set_stream(what);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        seed
    }
}

impl Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Link { loss, duplication, delay, jitter } = self.link;
        let wire = match self.wire {
            Wire::Channels => "channels",
            Wire::Datagrams => "datagrams",
        };
        write!(f, "seed={},wire={wire},registrars={}", self.seed, self.registrars)?;
        write!(f, ",elements={}/{}", self.elements.count, self.elements.hosts)?;
        write!(f, ",users={}/{}", self.users.count, self.users.hosts)?;
        write!(f, ",watchers={},pools={},rounds={}", self.watchers, self.pools, self.rounds)?;
        for (key, time) in [
            ("trouble", self.trouble),
            ("peace", self.peace),
            ("fault-every", self.fault_every),
            ("churn-every", self.churn_every),
            ("think", self.think),
            ("hold", self.hold),
        ] {
            write!(f, ",{key}={}", time.as_millis())?;
        }
        if self.drains {
            write!(f, ",drains=true")?;
        }
        if !self.patience.is_zero() {
            write!(f, ",patience={}", self.patience.as_millis())?;
        }
        if self.replay {
            write!(f, ",replay=true")?;
        }
        if self.learned {
            write!(f, ",learned=true")?;
        }
        write!(f, ",link={loss}/{duplication}/{}/{}", delay.as_micros(), jitter.as_micros())?;
        write!(f, ",icmp={},refused={}", self.icmp, self.refused)?;
        write!(f, ",send-queue={},page={}", self.send_queue, self.page)?;
        if self.skew != 0 {
            write!(f, ",skew={}", self.skew)?;
        }
        for (key, on) in [
            ("registrar-pool", self.registrar_pool),
            ("backlogs", self.backlogs),
            ("strict-rfc", self.strict_rfc),
            ("announce", self.announce),
            ("blackouts", self.blackouts),
            ("twins", self.twins),
        ] {
            if on {
                write!(f, ",{key}=true")?;
            }
        }
        if self.small_limits {
            write!(f, ",limits=small")?;
        }
        if self.arbitration == Arbitration::Rfc5353 {
            write!(f, ",arbitration=rfc5353")?;
        }
        if let Some(only) = &self.only {
            write!(f, ",only={}", join(only))?;
        }
        if !self.without.is_empty() {
            write!(f, ",without={}", join(&self.without))?;
        }
        Ok(())
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut spec = Self::quiet(0);
        for entry in text.split(',') {
            let (key, value) = entry.split_once('=').ok_or_else(|| format!("no key=value: {entry}"))?;
            spec.set(key, value).map_err(|error| format!("{entry}: {error}"))?;
        }
        match spec.registrars {
            0 => Err("there is no scope without a registrar".into()),
            _ => Ok(spec),
        }
    }
}

impl Spec {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "seed" => self.seed = number(value)?,
            "wire" => {
                self.wire = match value {
                    "channels" => Wire::Channels,
                    "datagrams" => Wire::Datagrams,
                    _ => return Err("channels or datagrams".into()),
                }
            }
            "registrars" => self.registrars = number(value)?,
            "elements" => self.elements = spread(value)?,
            "users" => self.users = spread(value)?,
            "watchers" => self.watchers = number(value)?,
            "pools" => self.pools = number(value)?,
            "rounds" => self.rounds = number(value)?,
            "trouble" => self.trouble = ms(number(value)?),
            "peace" => self.peace = ms(number(value)?),
            "fault-every" => self.fault_every = ms(number(value)?),
            "churn-every" => self.churn_every = ms(number(value)?),
            "drains" => self.drains = number(value)?,
            "patience" => self.patience = ms(number(value)?),
            "replay" => self.replay = number(value)?,
            "learned" => self.learned = number(value)?,
            "think" => self.think = ms(number(value)?),
            "hold" => self.hold = ms(number(value)?),
            "link" => {
                let numbers: Result<Vec<u32>, String> = value.split('/').map(number).collect();
                let [loss, duplication, delay, jitter] = numbers?[..] else {
                    return Err("loss/duplication/delay/jitter".into());
                };
                let micros = |micros: u32| Duration::from_micros(micros.into());
                self.link = Link { loss, duplication, delay: micros(delay), jitter: micros(jitter) };
            }
            "icmp" => self.icmp = number(value)?,
            "refused" => self.refused = number(value)?,
            "send-queue" => self.send_queue = number(value)?,
            "page" => self.page = number(value)?,
            "skew" => {
                self.skew = Some(number(value)?).filter(|skew| *skew < 1_000_000).ok_or("below a million")?
            }
            "registrar-pool" => self.registrar_pool = number(value)?,
            "backlogs" => self.backlogs = number(value)?,
            "strict-rfc" => self.strict_rfc = number(value)?,
            "announce" => self.announce = number(value)?,
            "blackouts" => self.blackouts = number(value)?,
            "twins" => self.twins = number(value)?,
            "limits" => {
                self.small_limits = match value {
                    "small" => true,
                    "default" => false,
                    _ => return Err("small or default".into()),
                }
            }
            "arbitration" => {
                self.arbitration = match value {
                    "lowest-id" => Arbitration::LowestId,
                    "rfc5353" => Arbitration::Rfc5353,
                    _ => return Err("lowest-id or rfc5353".into()),
                }
            }
            "only" => self.only = Some(list(value)?),
            "without" => self.without = list(value)?,
            _ => return Err("unknown key".into()),
        }
        Ok(())
    }
}

fn number<T: FromStr<Err: Display>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

fn spread(value: &str) -> Result<Spread, String> {
    let (count, hosts) = value.split_once('/').ok_or("number/hosts")?;
    Ok(Spread { count: number(count)?, hosts: number(hosts)? })
}

fn list<T: FromStr<Err: Display> + Ord>(value: &str) -> Result<BTreeSet<T>, String> {
    value.split('+').filter(|item| !item.is_empty()).map(number).collect()
}

fn join<T: Display>(items: &BTreeSet<T>) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_what_it_says() {
        for seed in 0..200 {
            let mut spec = Spec::random(seed, Wire::of(seed));
            if seed % 2 == 0 {
                spec.only = Some([3, 17].into());
                spec.without = [HostId { role: Role::Element, number: 2 }].into();
            }
            // Shorter than the spec says: what is printed is in milliseconds.
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
        for wrong in ["", "seed", "seed=x", "colour=red", "registrars=0", "without=printer-1", "link=1/2/3"] {
            assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_as_the_issue_wants_them() {
        let specs: Vec<Spec> = (0..2000).map(|seed| Spec::random(seed, Wire::of(seed))).collect();
        let share =
            |of: &dyn Fn(&Spec) -> bool| specs.iter().filter(|spec| of(spec)).count() * 100 / specs.len();
        assert!(share(&|spec| spec.elements.count >= 500) >= 10);
        assert!(share(&|spec| spec.elements.count <= 20) >= 60);
        assert!(share(&|spec| spec.wire == Wire::Datagrams) >= 10);
        assert!(specs.iter().any(|spec| spec.registrars == 9));
        assert!(share(&|spec| spec.registrar_pool) >= 25);
        assert!(share(&|spec| spec.backlogs) >= 25);
        assert!(share(&|spec| spec.announce) >= 15);
        assert!(share(&|spec| spec.twins) >= 10 && share(&|spec| spec.small_limits) >= 8);
        assert!(share(&|spec| spec.hold != Duration::from_secs(5)) >= 15);
        assert!(share(&|spec| spec.strict_rfc) >= 3 && share(&|spec| spec.blackouts) >= 3);
        for spec in specs {
            let Spread { count, hosts } = spec.elements;
            assert_eq!(
                (0..hosts).map(|host| u32::from(spec.elements.on(host))).sum::<u32>(),
                u32::from(count)
            );
            assert!(count <= 2000 && spec.users.count <= 200 && (1..=9).contains(&spec.registrars));
        }
    }
}
