//! `rserpool`: look into a scope of RSerPool and take its messages apart.
//!
//! Exit codes: 0 ok, 1 not found and other failures, 2 usage, 3 nobody reachable.

mod admin;
mod bench;
mod decode;
mod demo;
mod doctor;
mod element;
mod failure;
mod output;
mod pool;
mod pool_argument;
mod registrars;
mod resolve;
mod status;

use admin::Client;
use clap::{Parser, Subcommand};
use endpoint::{EncapPorts, TransportKind};
use failure::Failure;
use output::{Output, Screen};
use std::future::Future;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "rserpool", version, about = "Reliable server pooling", max_term_width = 100)]
struct Cli {
    /// Admin API of the registrar to look into: a Unix socket or http://127.0.0.1:PORT
    #[arg(long, global = true, value_name = "URL|SOCKET", env = "RSERPOOL_ADMIN")]
    admin: Option<admin::Address>,

    /// ASAP address of the registrar to ask [default: 127.0.0.1:3863]
    #[arg(long, global = true, value_name = "HOST:PORT", env = "RSERPOOL_REGISTRAR", value_parser = registrar)]
    registrar: Option<SocketAddr>,

    /// Without --registrar: resolve at any registrar that announces itself by multicast
    #[arg(long, global = true, env = "RSERPOOL_MULTICAST")]
    multicast: bool,

    /// UDP port behind which the registrar's SCTP port is, if its SCTP is a kernel's (usually 9899)
    #[arg(long, global = true, value_name = "PORT", env = "RSERPOOL_ENCAP_PORT", value_parser = encap_port)]
    encap_port: Option<EncapPorts>,

    /// What carries SCTP to the registrar: "udp", "kernel" for this system's own SCTP, or "raw"
    #[arg(long, global = true, value_name = "TRANSPORT", env = "RSERPOOL_TRANSPORT", default_value_t)]
    transport: TransportKind,

    /// How to show the result
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,

    /// Show more columns
    #[arg(short, long, global = true)]
    wide: bool,

    /// Show only names
    #[arg(short, long, global = true)]
    quiet: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the registrar at a glance
    Status,
    /// Show an ASAP or ENRP message as a tree with byte offsets, and what a receiver does with it
    Decode(decode::Arguments),
    /// Pools: list, show, resolve
    Pool {
        #[command(subcommand)]
        verb: Option<pool::Verb>,
    },
    /// Pool elements: list, show
    #[command(visible_alias = "pe")]
    Element {
        #[command(subcommand)]
        verb: Option<element::Verb>,
    },
    /// Registrars: list, show
    #[command(visible_alias = "pr")]
    Registrar {
        #[command(subcommand)]
        verb: Option<registrars::Verb>,
    },
    /// Load a registrar with registrations and resolutions, and say what it takes
    Bench(bench::Arguments),
    /// Say what is possible on this host, and what to do about the rest
    Doctor(doctor::Arguments),
    /// Run a scope of real processes here, kill and freeze some, and watch the clients go on
    Demo(demo::Arguments),
    /// What the demo executes its own binary as
    #[command(hide = true, subcommand)]
    DemoRole(demo::Role),
}

/// What all inspecting commands need.
struct Context {
    admin: Option<admin::Address>,
    registrar: Option<SocketAddr>,
    /// Whether to look for a registrar that announces itself if none is given.
    multicast: bool,
    encap: Option<EncapPorts>,
    transport: TransportKind,
    screen: Screen,
}

impl Context {
    /// The admin API that the user means.
    fn admin(&self) -> Result<Client, Failure> {
        Client::find(self.admin.clone(), self.registrar)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen { output: cli.output, wide: cli.wide, quiet: cli.quiet };
    let context = Context {
        admin: cli.admin,
        registrar: cli.registrar,
        multicast: cli.multicast,
        encap: cli.encap_port,
        transport: cli.transport,
        screen,
    };
    let result = match cli.command {
        Command::Decode(arguments) => decode::run(&arguments, context.screen.output),
        Command::Status => block_on(status::run(&context)),
        Command::Bench(arguments) => block_on(bench::run(arguments, &context)),
        Command::Pool { verb } => block_on(pool::run(verb, &context)),
        Command::Element { verb } => block_on(element::run(verb, &context)),
        Command::Registrar { verb } => block_on(registrars::run(verb, &context)),
        Command::Doctor(arguments) => block_on(doctor::run(arguments, &context)),
        Command::Demo(arguments) => block_on(demo::run(arguments, cli.output)),
        Command::DemoRole(role) => block_on(role.run()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rserpool: {failure}");
            failure.exit_code()
        }
    }
}

/// An address, or the name of a host: its first address of IPv4, else of IPv6.
fn registrar(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        return Err("write an address or a host with its port, as in 127.0.0.1:3863 or [::1]:3863".into());
    }
    let mut addresses: Vec<_> = text.to_socket_addrs().map_err(|error| error.to_string())?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.first().copied().ok_or_else(|| "the host has no address".into())
}

/// One port is that of the others: this process takes any, and leaves the one of this host to a registrar.
fn encap_port(text: &str) -> Result<EncapPorts, String> {
    let ports: EncapPorts = text.parse()?;
    Ok(if text.contains(':') { ports } else { EncapPorts::client(ports.remote) })
}

fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(error.into()))?;
    runtime.block_on(command)
}
