//! The script: who is hurt, when, and what has to come of it.

use super::Arguments;
use super::client::{self, Context as ClientContext, Tally, Told as ClientTold};
use super::gauge::Gauge;
use super::role::Report;
use super::scope::{Member, Scope, Told};
use super::story::{Event, GapsByFault, Story, Summary, servers};
use super::view::View;
use anyhow::{Context, bail};
use params::PeIdentifier;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout, timeout_at};

/// Probers; each picks its registrar at random, so that some lose theirs when one is killed.
const PROBERS: usize = 4;
/// What has not happened after this long does not happen any more.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a round of faults takes in the script when there is time.
const ROUND: Duration = Duration::from_secs(13);
/// How long the faults of a round last by themselves, and the pauses between them.
const FAULTS: Duration = Duration::from_secs(5);
const PAUSES: u32 = 10;
/// How long a prober may take to find a new registrar after a takeover.
const SETTLE: Duration = Duration::from_secs(1);

/// What a fault was, for the figures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    ServerKilled,
    ServerFrozen,
}

pub(super) struct Director {
    arguments: Arguments,
    seed: u64,
    rng: ChaCha12Rng,
    story: Story,
    scope: Scope,
    reports: mpsc::Receiver<Told>,
    told: mpsc::Receiver<ClientTold>,
    tell: mpsc::Sender<ClientTold>,
    view: View,
    tally: Arc<Mutex<Tally>>,
    /// What must not have happened, apart from the clients' failures.
    troubles: u64,
    /// Servers that were hurt: when and how.
    wounded: BTreeMap<PeIdentifier, (Instant, Fault)>,
    /// When each prober last finished a session, and its longest gap since the last death of a registrar.
    probes: BTreeMap<usize, (Instant, Duration)>,
    killed: Gauge,
    killed_without_icmp: Gauge,
    frozen: Gauge,
    registrar_killed: Gauge,
    new_home: Gauge,
}

impl Director {
    pub(super) fn new(arguments: Arguments) -> anyhow::Result<Self> {
        let seed = match arguments.seed {
            Some(seed) => seed,
            None => u64::from(getrandom::u32().context("no source of randomness; give a --seed")?),
        };
        let (scope, reports) = Scope::new(arguments.registrars.into(), arguments.elements.into())?;
        let (tell, told) = mpsc::channel(4096);
        Ok(Self {
            seed,
            rng: ChaCha12Rng::seed_from_u64(seed),
            story: Story::new(arguments.json),
            arguments,
            scope,
            reports,
            told,
            tell,
            view: View::default(),
            tally: Arc::default(),
            troubles: 0,
            wounded: BTreeMap::new(),
            probes: BTreeMap::new(),
            killed: Gauge::default(),
            killed_without_icmp: Gauge::default(),
            frozen: Gauge::default(),
            registrar_killed: Gauge::default(),
            new_home: Gauge::default(),
        })
    }

    /// Plays the whole script; says whether everything went well.
    pub(super) async fn run(mut self) -> anyhow::Result<bool> {
        let start = Instant::now();
        let length = Duration::from_secs(self.arguments.seconds);
        self.story.tell(&Event::Started {
            registrars: self.arguments.registrars.into(),
            elements: self.arguments.elements.into(),
            clients: self.arguments.clients.into(),
            seed: self.seed,
        });
        self.start_scope().await?;
        let (finish, finishing) = watch::channel(false);
        let mut clients = self.start_clients(finishing).await?;

        let rounds = u32::try_from((length.as_secs() / ROUND.as_secs()).max(1))?;
        let pause = length.saturating_sub(start.elapsed() + FAULTS * rounds) / (PAUSES * rounds);
        for _ in 0..rounds {
            self.round(pause).await?;
        }
        self.watch_until(start + length).await;

        finish.send_replace(true);
        let all = async { while clients.join_next().await.is_some() {} };
        if timeout(LIMIT, all).await.is_err() {
            self.trouble("some clients did not come to an end".into());
        }
        while let Ok(told) = self.told.try_recv() {
            self.on_told(told);
        }
        Ok(self.summarise())
    }

    async fn start_scope(&mut self) -> anyhow::Result<()> {
        for index in 0..usize::from(self.arguments.registrars) {
            self.scope.start(Member::Registrar(index))?;
            self.expect(|view| view.registrars.contains_key(&index), "the registrar starts").await?;
        }
        let registrars = usize::from(self.arguments.registrars);
        self.expect(|view| view.joined.len() == registrars, "the registrars find each other").await?;
        let elements = usize::from(self.arguments.elements);
        for index in 0..elements {
            self.scope.start(Member::Element(index))?;
        }
        self.expect(
            |view| view.owners.len() >= elements && view.elements.len() == elements,
            "the servers register",
        )
        .await
    }

    async fn start_clients(&mut self, finish: watch::Receiver<bool>) -> anyhow::Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        let context = ClientContext {
            registrars: self.scope.registrar_addresses(),
            tally: self.tally.clone(),
            told: self.tell.clone(),
            finish,
        };
        let clients = usize::from(self.arguments.clients);
        for client in 1..=clients {
            tasks.spawn(client::run(client, context.clone()));
        }
        for prober in 0..PROBERS {
            tasks.spawn(client::probe(prober, context.clone()));
        }
        let tally = self.tally.clone();
        self.expect(|_| lock(&tally).servers.len() == clients, "the clients find their servers").await?;
        Ok(tasks)
    }

    /// Kill servers, kill a registrar, freeze a server; bring each back.
    async fn round(&mut self, pause: Duration) -> anyhow::Result<()> {
        for users in [client::has_icmp, client::lacks_icmp] {
            self.watch(pause).await;
            let server = self.server_in_use_by(users);
            self.wound(server, Fault::ServerKilled).await?;
            self.watch(pause).await;
            self.start_again(server, "is started anew").await?;
        }

        self.watch(pause).await;
        let registrar = self.owning_registrar()?;
        self.kill_registrar(registrar).await?;
        self.watch(pause).await;
        self.start_again(registrar, "is started anew").await?;

        self.watch(pause).await;
        let server = self.server_in_use_by(|_| true);
        self.wound(server, Fault::ServerFrozen).await?;
        self.watch(pause).await;
        self.view.owners.remove(&self.identifier(server));
        self.scope.thaw(server)?;
        self.await_return(server, "wakes up (SIGCONT) and registers again").await
    }

    async fn wound(&mut self, server: Member, fault: Fault) -> anyhow::Result<()> {
        let id = PeIdentifier(self.identifier(server));
        let users: Vec<usize> = lock(&self.tally)
            .servers
            .iter()
            .filter(|(_, at)| **at == id)
            .map(|(client, _)| *client)
            .collect();
        let what = match fault {
            Fault::ServerKilled => "kill -9",
            Fault::ServerFrozen => "SIGSTOP",
        };
        let affected = match &users[..] {
            [] => "no client is using it".into(),
            [one] => format!("client {one} is using it"),
            [most @ .., last] => {
                let most: Vec<String> = most.iter().map(usize::to_string).collect();
                format!("clients {} and {last} are using it", most.join(", "))
            }
        };
        self.story.tell(&Event::Fault { what, whom: server.to_string(), id: id.to_string(), affected });
        let at = match fault {
            Fault::ServerKilled => self.kill(server).await?,
            Fault::ServerFrozen => self.scope.freeze(server)?,
        };
        self.wounded.insert(id, (at, fault));
        let tally = self.tally.clone();
        let recovered = |_: &View| lock(&tally).servers.values().all(|server| *server != id);
        if !self.await_that(recovered).await {
            self.trouble(format!("clients did not get away from {server} in {LIMIT:?}"));
        }
        Ok(())
    }

    async fn kill_registrar(&mut self, registrar: Member) -> anyhow::Result<()> {
        let id = self.identifier(registrar);
        let is_home = |owner: &usize| Member::Registrar(*owner) == registrar;
        let owned = self.view.owners.values().filter(|owner| is_home(owner)).count();
        self.story.tell(&Event::Fault {
            what: "kill -9",
            whom: registrar.to_string(),
            id: format!("0x{id:08x}"),
            affected: format!("it is the home of {}", servers(owned)),
        });
        self.probes.values_mut().for_each(|(_, longest)| *longest = Duration::ZERO);
        let at = self.kill(registrar).await?;
        // A server that finds a new home by itself needs nobody to take it over.
        if !self.await_that(|view| !view.owners.values().any(is_home)).await {
            self.trouble(format!("servers of {registrar} have no other home after {LIMIT:?}"));
            return Ok(());
        }
        self.new_home.add(self.view.last_move.map_or(Duration::ZERO, |end| end - at));
        self.watch(SETTLE).await;
        if let Some((_, longest)) = self.probes.values().max_by_key(|(_, longest)| *longest) {
            self.registrar_killed.add(*longest);
        }
        Ok(())
    }

    async fn kill(&mut self, member: Member) -> anyhow::Result<Instant> {
        *self.view.expected_ends.entry(member).or_default() += 1;
        self.scope.kill(member).await
    }

    async fn start_again(&mut self, member: Member, how: &'static str) -> anyhow::Result<()> {
        match member {
            Member::Registrar(index) => {
                self.view.registrars.remove(&index);
                self.view.joined.remove(&index);
            }
            Member::Element(index) => {
                self.view.elements.remove(&index);
            }
        }
        self.scope.start(member)?;
        self.await_return(member, how).await
    }

    async fn await_return(&mut self, member: Member, how: &'static str) -> anyhow::Result<()> {
        let back = |view: &View| match member {
            Member::Registrar(index) => view.joined.contains(&index),
            Member::Element(index) => {
                view.elements.get(&index).is_some_and(|id| view.owners.contains_key(id))
            }
        };
        if self.await_that(back).await {
            self.wounded.retain(|id, _| Some(&id.0) != self.view.element_id(member));
            self.story.tell(&Event::Returned { whom: member.to_string(), how });
        } else {
            self.trouble(format!("{member} did not come back in {LIMIT:?}"));
        }
        Ok(())
    }

    /// The server with the most clients of a kind; among equals the seed decides.
    fn server_in_use_by(&mut self, kind: fn(usize) -> bool) -> Member {
        let servers = lock(&self.tally).servers.clone();
        let users = |id: &u32| servers.iter().filter(|(client, at)| at.0 == *id && kind(**client)).count();
        let most = self.view.elements.values().map(users).max().unwrap_or_default();
        let candidates: Vec<usize> =
            self.view.elements.iter().filter(|(_, id)| users(id) == most).map(|(index, _)| *index).collect();
        Member::Element(candidates.choose(&mut self.rng).copied().unwrap_or_default())
    }

    fn owning_registrar(&mut self) -> anyhow::Result<Member> {
        let owners: BTreeSet<usize> = self.view.owners.values().copied().collect();
        let owners: Vec<usize> = owners.into_iter().collect();
        Ok(Member::Registrar(*owners.choose(&mut self.rng).context("no registrar owns a server")?))
    }

    fn identifier(&self, member: Member) -> u32 {
        match member {
            Member::Registrar(index) => self.view.registrars.get(&index),
            Member::Element(index) => self.view.elements.get(&index),
        }
        .copied()
        .unwrap_or_default()
    }

    /// Lets the scope run for a while.
    async fn watch(&mut self, pause: Duration) {
        self.watch_until(Instant::now() + pause).await;
    }

    async fn watch_until(&mut self, end: Instant) {
        let _ = timeout_at(end, async {
            loop {
                self.step().await;
            }
        })
        .await;
    }

    /// Waits for something that has to come; says whether it came.
    async fn await_that(&mut self, mut happened: impl FnMut(&View) -> bool) -> bool {
        // Clients write their tally without telling: look again from time to time.
        let mut look = interval(Duration::from_millis(2));
        let all = async {
            while !happened(&self.view) {
                tokio::select! {
                    () = self.step() => {}
                    _ = look.tick() => {}
                }
            }
        };
        timeout(LIMIT, all).await.is_ok()
    }

    /// Waits for something without which the demo makes no sense.
    async fn expect(&mut self, happened: impl FnMut(&View) -> bool, what: &str) -> anyhow::Result<()> {
        if self.await_that(happened).await { Ok(()) } else { bail!("waited in vain for {LIMIT:?}: {what}") }
    }

    /// Takes in one thing that happened. Cancel-safe.
    async fn step(&mut self) {
        tokio::select! {
            Some((member, at, report)) = self.reports.recv() => self.on_report(member, at, report),
            Some(told) = self.told.recv() => self.on_told(told),
        }
    }

    fn on_report(&mut self, member: Member, at: Instant, report: Option<Report>) {
        match (member, report) {
            (Member::Registrar(index), Some(Report::Listening { id, asap, enrp })) => {
                self.scope.listening(index, asap, enrp);
                self.view.registrars.insert(index, id);
                self.story.tell(&Event::Registrar {
                    name: member.to_string(),
                    id: format!("0x{id:08x}"),
                    asap: asap.to_string(),
                });
            }
            (Member::Registrar(index), Some(Report::PeerUp { .. })) => {
                self.view.joined.insert(index);
            }
            (Member::Registrar(index), Some(Report::Owns { element })) => {
                if self.view.owners.insert(element, index) != Some(index) {
                    self.view.last_move = Some(at);
                    self.tell_home(element);
                }
            }
            (Member::Registrar(_), Some(Report::Removed { element })) => {
                self.view.owners.remove(&element);
            }
            (Member::Registrar(index), Some(Report::TookOver { target, elements })) => {
                let dead: BTreeSet<usize> =
                    self.view.registrars.iter().filter(|(_, id)| **id == target).map(|(at, _)| *at).collect();
                self.view.owners.values_mut().filter(|owner| dead.contains(owner)).for_each(|o| *o = index);
                self.view.takeovers += 1;
                self.view.last_move = Some(at);
                self.story.tell(&Event::Takeover {
                    by: member.to_string(),
                    target: self.view.registrar_name(target),
                    elements,
                });
            }
            (Member::Element(index), Some(Report::Registered { id })) => {
                self.view.elements.insert(index, id);
                self.tell_home(id);
            }
            (_, None) => match self.view.expected_ends.get_mut(&member) {
                Some(left) if *left > 0 => *left -= 1,
                _ => self.trouble(format!("{member} ended by itself")),
            },
            (_, Some(report)) => self.trouble(format!("{member} says {report:?}")),
        }
    }

    fn on_told(&mut self, told: ClientTold) {
        match told {
            ClientTold::NewSession { prober, at } => {
                let (last, longest) = self.probes.entry(prober).or_insert((at, Duration::ZERO));
                *longest = (*longest).max(at - *last);
                *last = at;
            }
            ClientTold::Failover { client, icmp, from, to, at } => {
                let to = self.view.element_name(to.0);
                let Some((since, fault)) = self.wounded.get(&from) else {
                    let from = self.view.element_name(from.0);
                    let what = format!("client {client} went from {from} to {to}, though nobody hurt {from}");
                    return self.story.tell(&Event::Trouble { what });
                };
                let gap = at - *since;
                match (fault, icmp) {
                    (Fault::ServerKilled, true) => self.killed.add(gap),
                    (Fault::ServerKilled, false) => self.killed_without_icmp.add(gap),
                    (Fault::ServerFrozen, _) => self.frozen.add(gap),
                }
                self.story.tell(&Event::Failover { client, icmp, to, gap_ms: gap.as_secs_f64() * 1000.0 });
            }
        }
    }

    /// Server and home registrar report independently: tells it when both have.
    fn tell_home(&self, element: u32) {
        let name = self.view.elements.iter().find(|(_, id)| **id == element);
        let (Some((index, _)), Some(home)) = (name, self.view.owners.get(&element)) else { return };
        self.story.tell(&Event::Server {
            name: Member::Element(*index).to_string(),
            id: format!("0x{element:08x}"),
            home: Member::Registrar(*home).to_string(),
        });
    }

    /// Something that must not happen: it fails the demo.
    fn trouble(&mut self, what: String) {
        self.story.tell(&Event::Trouble { what });
        self.troubles += 1;
    }

    fn summarise(&self) -> bool {
        let tally = lock(&self.tally);
        for failure in &tally.failures {
            self.story.tell(&Event::Trouble { what: failure.clone() });
        }
        let summary = Summary {
            operations: tally.operations,
            new_sessions: tally.new_sessions,
            lost: tally.lost,
            duplicated: tally.duplicated,
            failovers: tally.failovers,
            failed: self.troubles + tally.failures.len() as u64,
            takeovers: self.view.takeovers,
            gap_ms: GapsByFault {
                server_killed: self.killed.gaps(),
                server_killed_without_icmp: self.killed_without_icmp.gaps(),
                server_frozen: self.frozen.gaps(),
                registrar_killed: self.registrar_killed.gaps(),
            },
            new_home_ms: self.new_home.gaps(),
            seed: self.seed,
        };
        self.story.tell(&Event::Summary(summary.clone()));
        summary.is_flawless()
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
