//! `rserpool bench`: loads a registrar with plain ASAP and says what it takes.
//!
//! One association registers elements, registers them again, resolves their pools and deregisters them, with a fixed
//! number of requests in flight, then resolves one at a time, and answers keep-alives. It works against any registrar. With
//! `--pid` the registrar's CPU time and memory are measured, too; with `--hold` the elements stay until it is stopped.

mod machine;
mod process;

use crate::Context;
use crate::failure::Failure;
use crate::output::{Columns, Output, print};
use anyhow::Context as _;
use machine::{Done, Event, Load, Operation, Population, Work};
use net::udp::UdpConfig;
use net::{Driver, DriverConfig, Handle, Listen, Transport};
use params::{Load as PolicyLoad, Policy};
use process::Usage;
use proto::Channel;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;

/// A registrar that answers nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to load it with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Elements to register
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    elements: u32,
    /// Pools to spread them over
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pools: u32,
    /// The pools' policy
    #[arg(long, value_enum, default_value_t)]
    policy: PolicyName,
    /// Resolutions to ask for, and a tenth of them again one at a time
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    resolutions: u32,
    /// Ask for this many elements in each answer [default: what the registrar gives]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    items: Option<u32>,
    /// Requests in flight
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Keep-alives to wait for, which the registrar sends by itself
    #[arg(long, default_value_t = 0, value_name = "N")]
    keep_alives: u32,
    /// Register the elements and say what that took, then keep them until it is stopped
    #[arg(long)]
    hold: bool,
    /// Address of this end, and SCTP port [default: that of the route, any free port]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Measure this process: the registrar, if it runs on this machine
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum PolicyName {
    #[default]
    RoundRobin,
    Random,
    LeastUsed,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::RoundRobin => Self::RoundRobin,
            PolicyName::Random => Self::Random,
            PolicyName::LeastUsed => Self::LeastUsed { load: PolicyLoad(0) },
        }
    }
}

/// Everything that was measured.
#[derive(Serialize)]
struct Report {
    registrar: SocketAddr,
    elements: u32,
    pools: u32,
    phases: Vec<Phase>,
    /// Of the registrar, in bytes: before the first registration, and with all elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
}

#[derive(Serialize)]
struct Memory {
    empty: u64,
    full: u64,
    per_element: f64,
}

#[derive(Serialize)]
struct Phase {
    phase: &'static str,
    count: u32,
    depth: usize,
    seconds: f64,
    per_second: f64,
    /// From request to answer, milliseconds.
    p50_ms: f64,
    p99_ms: f64,
    /// Answers that were errors.
    refused: u32,
    /// What the registrar's process spent, milliseconds per 1,000 requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms_per_1000: Option<f64>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let registrar = context.registrar.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 3863)));
    let udp = UdpConfig { encap: context.encap, ..UdpConfig::default() };
    let transport = context.transport.with(udp, Vec::new());
    let hold = arguments.hold;
    let mut bench = Bench::connect(arguments, registrar, transport).await?;
    let report = bench.run().await?;
    match context.screen.output {
        Output::Json => print(&(serde_json::to_string(&report).context("JSON")? + "\n"))?,
        Output::Table => print(&table(&report))?,
    }
    if hold { bench.hold().await } else { Ok(()) }
}

struct Bench {
    arguments: Arguments,
    registrar: SocketAddr,
    handle: Handle<Load>,
    events: mpsc::Receiver<Event>,
}

impl Bench {
    async fn connect(
        arguments: Arguments,
        registrar: SocketAddr,
        transport: Transport,
    ) -> Result<Self, Failure> {
        let population = Population { pools: arguments.pools, policy: arguments.policy.into() };
        let listen = arguments.listen.unwrap_or_else(|| any_port_towards(registrar));
        let config = DriverConfig {
            name: "bench".into(),
            listen: vec![Listen { transport, ..Listen::new(Channel::Asap, listen, Load::sctp()) }],
            multicast: None,
        };
        // One event for the association's begin, one for its end, and one for each phase, which is taken at once.
        let (sender, events) = mpsc::channel(8);
        let load = move |bound: &[SocketAddr]| {
            Load::new(population, registrar, bound.first().map_or(0, SocketAddr::port))
        };
        let handle = Driver::spawn(config, load, move |_, _, event| drop(sender.try_send(event)))
            .map_err(anyhow::Error::from)?;
        let mut bench = Self { arguments, registrar, handle, events };
        match bench.event().await? {
            Event::Connected => Ok(bench),
            _ => Err(Failure::Unreachable(format!("no registrar answers at {registrar}"))),
        }
    }

    async fn run(&mut self) -> Result<Report, Failure> {
        let Arguments { elements, resolutions, items, depth, keep_alives, hold, pid, .. } =
            self.arguments.clone();
        let depth = depth as usize;
        let resolve = Operation::Resolve { items };
        let empty = pid.map(Usage::of).transpose()?;
        let mut phases = vec![
            self.phase("register", Work { operation: Operation::Register, count: elements, depth }).await?,
        ];
        let full = pid.map(Usage::of).transpose()?;
        let others = [
            ("re-register", Operation::Register, elements, depth),
            ("resolve", resolve, resolutions, depth),
            ("resolve, one at a time", resolve, resolutions / 10, 1),
            ("keep-alive", Operation::KeepAlive, keep_alives, 0),
            ("deregister", Operation::Deregister, elements, depth),
        ];
        for (name, operation, count, depth) in others.into_iter().filter(|other| !hold && other.2 > 0) {
            phases.push(self.phase(name, Work { operation, count, depth }).await?);
        }
        let memory = empty.zip(full).map(|(empty, full)| Memory {
            empty: empty.memory,
            full: full.memory,
            per_element: full.memory.saturating_sub(empty.memory) as f64 / f64::from(elements),
        });
        Ok(Report { registrar: self.registrar, elements, pools: self.arguments.pools, phases, memory })
    }

    /// Until the program is stopped: the association's end is none, for another registrar takes the elements over.
    async fn hold(&mut self) -> Result<(), Failure> {
        while self.events.recv().await.is_some() {}
        Err(anyhow::Error::from(self.handle.closed().await).into())
    }

    async fn phase(&mut self, name: &'static str, work: Work) -> Result<Phase, Failure> {
        let before = self.arguments.pid.map(Usage::of).transpose()?;
        self.handle.call(move |load, now| load.begin(now, work)).await.map_err(anyhow::Error::from)?;
        let done = match self.event().await? {
            Event::Done(done) => done,
            Event::Down(why) => {
                return Err(anyhow::anyhow!(
                    "{}: the association to {} ended: {why:?}",
                    name,
                    self.registrar
                )
                .into());
            }
            Event::Connected => return Err(anyhow::anyhow!("{name}: the registrar restarted").into()),
        };
        let after = self.arguments.pid.map(Usage::of).transpose()?;
        if let Some(refusal) = done.refusal.as_ref().filter(|_| done.refused == work.count) {
            return Err(anyhow::anyhow!("{name}: the registrar refuses: {refusal}").into());
        }
        let spent = before.zip(after).map(|(before, after)| after.cpu.saturating_sub(before.cpu));
        Ok(Phase::new(name, work, &done, spent))
    }

    async fn event(&mut self) -> Result<Event, Failure> {
        match tokio::time::timeout(PATIENCE, self.events.recv()).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(anyhow::Error::from(self.handle.closed().await).into()),
            Err(_) => Err(Failure::Unreachable(format!(
                "{} has not answered everything within {} s",
                self.registrar,
                PATIENCE.as_secs()
            ))),
        }
    }
}

impl Phase {
    fn new(phase: &'static str, work: Work, done: &Done, spent: Option<Duration>) -> Self {
        let seconds = done.elapsed.as_secs_f64();
        let count = f64::from(work.count);
        let percentile = |percent: usize| {
            let latency = done.latencies.get(done.latencies.len() * percent / 100);
            latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        Self {
            phase,
            count: work.count,
            depth: work.depth,
            seconds,
            per_second: count / seconds.max(1e-6),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            refused: done.refused,
            cpu_ms_per_1000: spent.map(|spent| spent.as_secs_f64() * 1e6 / count),
        }
    }
}

/// Any free port at this end: on loopback if the registrar is there.
fn any_port_towards(registrar: SocketAddr) -> SocketAddr {
    let address: IpAddr = match (registrar.is_ipv4(), registrar.ip().is_loopback()) {
        (true, true) => Ipv4Addr::LOCALHOST.into(),
        (true, false) => Ipv4Addr::UNSPECIFIED.into(),
        (false, true) => Ipv6Addr::LOCALHOST.into(),
        (false, false) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(address, 0)
}

fn table(report: &Report) -> String {
    let row = |phase: &Phase| {
        // What the registrar asks by itself takes no time from request to answer.
        let latency = |ms: f64| if phase.depth == 0 { "-".to_owned() } else { format!("{ms:.2} ms") };
        vec![
            phase.phase.to_owned(),
            phase.count.to_string(),
            phase.depth.to_string(),
            format!("{:.0}", phase.per_second),
            latency(phase.p50_ms),
            latency(phase.p99_ms),
            phase.refused.to_string(),
            phase.cpu_ms_per_1000.map_or_else(|| "-".into(), |cpu| format!("{cpu:.1} ms")),
        ]
    };
    let header = ["PHASE", "REQUESTS", "IN FLIGHT", "PER SECOND", "P50", "P99", "REFUSED", "CPU PER 1000"];
    let mut text = Columns::all().table(&header, header.len(), report.phases.iter().map(row));
    if let Some(memory) = &report.memory {
        text += &format!(
            "\nmemory of the registrar: {} KiB empty, {} KiB with {} elements: {:.0} bytes an element\n",
            memory.empty / 1024,
            memory.full / 1024,
            report.elements,
            memory.per_element
        );
    }
    text
}
