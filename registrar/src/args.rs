//! The command line, and how it overrides the configuration file.

use anyhow::{Context, anyhow};
use clap::Parser;
use rserpool_registrar::Config;
use std::path::PathBuf;
use toml::{Table, Value};

/// The RSerPool registrar: keeps the handlespace, watches pool elements, takes over from registrars that die.
///
/// Without a configuration it serves on 127.0.0.1, with the timers of one site. Settings come from the file, then
/// from --set, then from the other flags and RSERPOOL_* variables; etc/registrar.toml documents them all.
#[derive(Debug, Parser)]
#[command(name = "rserpool-registrar", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Configuration file (TOML)
    #[arg(long, short, value_name = "FILE", env = "RSERPOOL_CONFIG")]
    config: Option<PathBuf>,

    /// Identifier in the scope: hex digits or "random"
    #[arg(long, value_name = "HEX", env = "RSERPOOL_ID")]
    id: Option<String>,

    /// Where to listen for pool elements and pool users, over "udp:", "kernel:" or "raw:" [default: udp:127.0.0.1:3863]
    #[arg(long, value_name = "[TRANSPORT:]ADDRESS:PORT", env = "RSERPOOL_ASAP")]
    asap: Option<String>,

    /// Where to listen for other registrars [default: udp:127.0.0.1:9901]
    #[arg(long, value_name = "[TRANSPORT:]ADDRESS:PORT", env = "RSERPOOL_ENRP")]
    enrp: Option<String>,

    /// ENRP address of another registrar; may be repeated, in the variable with blanks between. Several addresses of one
    /// registrar have commas between
    #[arg(long = "peer", value_name = "ADDRESS:PORT", env = "RSERPOOL_PEERS", value_delimiter = ' ')]
    peers: Option<Vec<String>>,

    /// Address under which other registrars reach this one; may be repeated, in the variable with blanks between
    #[arg(long, value_name = "ADDRESS", env = "RSERPOOL_ADVERTISE", value_delimiter = ' ')]
    advertise: Option<Vec<String>>,

    /// Announce itself by multicast, and find registrars that do
    #[arg(long, env = "RSERPOOL_MULTICAST")]
    multicast: bool,

    /// Timers: lan, wan, rfc or rsplib [default: lan]
    #[arg(long, value_name = "NAME", env = "RSERPOOL_PROFILE")]
    profile: Option<String>,

    /// UDP port behind which all SCTP ports of each host are, for kernels' SCTP, or "off" [default: off]
    #[arg(long, value_name = "PORT", env = "RSERPOOL_ENCAP_PORT")]
    encap_port: Option<String>,

    /// Unix socket of the admin API: a path, "auto" or "off" [default: auto]
    #[arg(long, value_name = "PATH", env = "RSERPOOL_ADMIN_SOCKET")]
    admin_socket: Option<String>,

    /// TCP address of the admin API, loopback only, or "off" [default: off]
    #[arg(long, value_name = "ADDRESS:PORT", env = "RSERPOOL_ADMIN_TCP")]
    admin_tcp: Option<String>,

    /// What to log: a level, also by module: "info,rserpool_net=debug" [default: info]
    #[arg(long, value_name = "FILTER", env = "RSERPOOL_LOG")]
    log: Option<String>,

    /// Any other key of the configuration: timers.keep-alive-interval=100ms; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Print one line of JSON with the addresses when ready
    #[arg(long)]
    pub(crate) announce_ready: bool,

    /// Stop when standard input is closed
    #[arg(long)]
    pub(crate) exit_with_stdin: bool,
}

impl Args {
    /// The configuration file with everything that overrides it.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration {}", path.display()))?;
                // On its own first: its errors then name the line.
                Config::from_toml(&text).with_context(|| path.display().to_string())?;
                text.parse::<Table>().with_context(|| path.display().to_string())?
            }
            None => Table::new(),
        };
        for (source, key, value) in self.overrides()? {
            insert(&mut config, &key, value).with_context(|| source.clone())?;
            // At once, so that the error names the one that is of a wrong form.
            config.clone().try_into::<Config>().map_err(|error| anyhow!("{source}: {}", error.message()))?;
        }
        Ok(Config::from_toml(&config.to_string())?)
    }

    /// What overrides the file, with its source for messages: `--asap`, key, value.
    fn overrides(&self) -> anyhow::Result<Vec<(String, String, Value)>> {
        let mut overrides = Vec::new();
        for set in &self.set {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                anyhow!("--set {set}: write KEY=VALUE, as in timers.keep-alive-interval=100ms")
            })?;
            overrides.push((format!("--set {set}"), key.to_owned(), value_of(value)));
        }
        for (flag, key, value) in [
            ("--id", "id", &self.id),
            ("--asap", "listen.asap", &self.asap),
            ("--enrp", "listen.enrp", &self.enrp),
            ("--profile", "profile", &self.profile),
            ("--encap-port", "sctp.encap-port", &self.encap_port),
            ("--admin-socket", "admin.socket", &self.admin_socket),
            ("--admin-tcp", "admin.tcp", &self.admin_tcp),
            ("--log", "log", &self.log),
        ] {
            if let Some(value) = value {
                overrides.push((flag.to_owned(), key.to_owned(), Value::String(value.clone())));
            }
        }
        if self.multicast {
            overrides.push(("--multicast".into(), "multicast.enabled".into(), Value::Boolean(true)));
        }
        for (flag, key, values) in
            [("--peer", "peers", &self.peers), ("--advertise", "advertise", &self.advertise)]
        {
            if let Some(values) = values {
                let list = values.iter().cloned().map(Value::String).collect();
                overrides.push((flag.to_owned(), key.to_owned(), Value::Array(list)));
            }
        }
        Ok(overrides)
    }
}

/// A value as TOML if it is one (`3`, `["a"]`), else as text: quotes are seldom wanted on a command line.
fn value_of(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>();
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.into()))
}

fn insert(table: &mut Table, key: &str, value: Value) -> anyhow::Result<()> {
    match key.split_once('.') {
        None => {
            table.insert(key.into(), value);
            Ok(())
        }
        Some((section, key)) => table
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| anyhow!("{section} is no section"))
            .and_then(|section| insert(section, key, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn config(args: &[&str]) -> Result<Config, String> {
        let args = std::iter::once(&"rserpool-registrar").chain(args);
        Args::parse_from(args).config().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(config(&[]), Ok(Config::default()));
    }

    #[test]
    fn flags_override() {
        let config = config(&[
            "--id=0x2a",
            "--asap=udp:127.0.0.1:0",
            "--enrp=kernel:127.0.0.1:9901",
            "--peer=127.0.0.1:1,127.0.0.2:1",
            "--peer=127.0.0.1:2",
            "--encap-port=9899",
            "--multicast",
            "--set=timers.keep-alive-interval=100ms",
            "--set=limits.pools=7",
        ])
        .unwrap();
        assert_eq!(config.id.unwrap().0, 42);
        assert_eq!(config.listen.asap, "127.0.0.1:0".parse().unwrap());
        assert_eq!(config.listen.enrp.to_string(), "kernel:127.0.0.1:9901");
        assert_eq!(config.peers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(config.timers.keep_alive_interval, Some(Duration::from_millis(100)));
        assert_eq!(config.limits.pools, Some(7));
        assert!(config.multicast.enabled);
        assert_eq!(config.sctp.encap_port.map(|ports| (ports.local, ports.remote)), Some((9899, 9899)));
    }

    #[test]
    fn settings_that_fit_only_together_can_be_given_in_any_order() {
        let config = config(&["--set=timers.peer-heartbeat-cycle=2s", "--set=timers.max-time-last-heard=5s"]);
        assert_eq!(config.unwrap().timers.max_time_last_heard, Some(Duration::from_secs(5)));
    }

    #[test]
    fn an_error_names_the_flag_and_the_remedy() {
        let error = config(&["--asap=sctp:127.0.0.1:3863"]).unwrap_err();
        assert!(error.starts_with("--asap: \"sctp\" is no transport"), "{error}");
        let error = config(&["--set=timers.keep-alive=1s"]).unwrap_err();
        assert!(error.starts_with("--set timers.keep-alive=1s: unknown field `keep-alive`"), "{error}");
        let error = config(&["--set=log.level=1"]).unwrap_err();
        assert!(error.starts_with("--set log.level=1:"), "{error}");
        let error = config(&["--set=nonsense"]).unwrap_err();
        assert!(error.contains("write KEY=VALUE"), "{error}");
    }
}
