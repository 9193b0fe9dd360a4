//! The daemon `rserpool-registrar`: one registrar, configured by file, flags and environment.
//!
//! Exit codes: 0 stopped in order, 2 usage or configuration, 1 everything else.

mod args;

use anyhow::Context;
use args::Args;
use clap::Parser;
use rserpool_registrar::{Config, Registrar, StartError};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => return failed(&error, USAGE),
    };
    if let Err(error) = start_log(&config.log) {
        return failed(&error, USAGE);
    }
    match run(&args, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, 1),
    }
}

fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("rserpool-registrar: {error:#}");
    ExitCode::from(code)
}

/// Logs go to standard error: standard output belongs to `--announce-ready`.
fn start_log(filter: &str) -> anyhow::Result<()> {
    // dcsctp shows every packet at INFO; who wants that says dcsctp=info.
    let directives = format!("dcsctp=warn,{filter}");
    let help = || format!("log: {filter:?} is no filter: write \"info\" or \"info,rserpool_net=debug\"");
    // A misspelt level would be taken for a module, and nothing would be logged.
    for word in filter.split(',').map(str::trim).filter(|word| !word.contains(['=', '['])) {
        LevelFilter::from_str(word).with_context(help)?;
    }
    let filter = EnvFilter::try_new(directives).with_context(help)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn run(args: &Args, config: Config) -> anyhow::Result<()> {
    // Before anything is announced: whoever reads the announcement may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let registrar = Registrar::spawn(config).map_err(with_advice)?;
    // Nobody here follows the events, so they need not be kept.
    drop(registrar.events());
    info!(
        id = %registrar.id(),
        asap = %registrar.asap_address(),
        enrp = %registrar.enrp_address(),
        admin = registrar.admin_socket().map(tracing::field::debug),
        admin_tcp = registrar.admin_tcp().map(tracing::field::display),
        "registrar {} started",
        env!("CARGO_PKG_VERSION"),
    );
    if args.announce_ready {
        announce(&registrar).context("cannot announce on standard output")?;
    }

    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        _ = interrupt.recv() => info!("SIGINT: stopping"),
        () = standard_input_closed(), if args.exit_with_stdin => info!("standard input closed: stopping"),
        ended = registrar.closed() => {
            error!(reason = ended.reason, "the registrar ended by itself");
            anyhow::bail!(ended);
        }
    }
    tokio::select! {
        () = registrar.stop() => info!("stopped"),
        _ = terminate.recv() => info!("second signal: ended at once"),
        _ = interrupt.recv() => info!("second signal: ended at once"),
    }
    Ok(())
}

/// Says which option helps.
fn with_advice(error: StartError) -> anyhow::Error {
    match error {
        StartError::AddressInUse { protocol, .. } => {
            let flag = protocol.to_ascii_lowercase();
            anyhow::anyhow!("{error} choose another with --{flag}")
        }
        StartError::Admin(_) => anyhow::anyhow!("{error}; choose another with --admin-socket or --admin-tcp"),
        other => other.into(),
    }
}

/// One line of JSON on standard output, with the addresses that were bound.
fn announce(registrar: &Registrar) -> io::Result<()> {
    let line = serde_json::json!({
        "event": "ready",
        "id": registrar.id().to_string(),
        "asap": registrar.asap_address(),
        "enrp": registrar.enrp_address(),
        "admin_socket": registrar.admin_socket(),
        "admin_tcp": registrar.admin_tcp(),
    });
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Returns when whoever started this process has closed the other end of standard input, or has died.
async fn standard_input_closed() {
    let (closed, is_closed) = oneshot::channel::<()>();
    // A thread of our own, which the end of the process may leave behind: tokio would wait for its read.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(closed);
    });
    let _ = is_closed.await;
}
