//! The commands of a scenario. `tests/scenarios/README.md` lists them for those who write one.

use super::compose::compose;
use super::owner::Owner;
use super::process::{Played, Process};
use super::stage::Stage;
use super::state;
use crate::network::{ASAP_PORT, ENDPOINT_PORT, ENRP_PORT, HostId, Role};
use params::{PeIdentifier, Policy, PoolHandle, RegistrarId};
use proto::endpoint::{self, AsapEndpoint, ElementTransport, Registration};
use proto::profile::Profile;
use proto::registrar::{self, Arbitration, Registrar};
use proto::{Channel, Input};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// The words of a command and its `name=value`s.
pub(super) struct Arguments<'a> {
    line: &'a str,
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Arguments<'a> {
    fn parse(line: &'a str) -> Self {
        let mut arguments = Self { line, words: Vec::new(), options: BTreeMap::new() };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) => {
                    arguments.options.insert(name, value);
                }
                None => arguments.words.push(word),
            }
        }
        arguments
    }

    fn word(&self, index: usize) -> Result<&'a str, String> {
        self.words.get(index).copied().ok_or_else(|| "something is missing".into())
    }

    pub(super) fn words(&self) -> &[&'a str] {
        &self.words
    }

    fn host(&self, index: usize) -> Result<HostId, String> {
        host(self.word(index)?)
    }

    pub(super) fn option(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).copied()
    }

    pub(super) fn pool(&self) -> Result<PoolHandle, String> {
        self.option("pool").map(PoolHandle::from).ok_or_else(|| "pool= is missing".into())
    }

    /// A number, hexadecimal after `0x`.
    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, String> {
        self.option(name).map(number).transpose()
    }

    pub(super) fn needed(&self, name: &str) -> Result<u32, String> {
        self.number(name)?.ok_or_else(|| format!("{name}= is missing"))
    }

    pub(super) fn bit(&self, name: &str) -> Result<bool, String> {
        Ok(self.number(name)?.unwrap_or(0) != 0)
    }

    pub(super) fn policy(&self) -> Result<Policy, String> {
        self.option("policy").map_or(Ok(Policy::RoundRobin), policy)
    }

    /// The numbers of a list, none if it is not there.
    pub(super) fn numbers(&self, name: &str) -> Result<Vec<u32>, String> {
        self.option(name).map_or(Ok(Vec::new()), |list| list.split(',').map(number).collect())
    }

    pub(super) fn span(&self, name: &str) -> Result<Option<Duration>, String> {
        self.option(name).map(span).transpose()
    }

    /// What follows the host, word for word.
    pub(super) fn text(&self) -> &'a str {
        self.line.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    fn hosts(&self, name: &str) -> Result<Vec<HostId>, String> {
        self.option(name).map_or(Ok(Vec::new()), |list| list.split(',').map(host).collect())
    }
}

/// Carries out one command line.
///
/// # Errors
/// Why it cannot be.
pub(super) fn execute(stage: &mut Stage, line: &str) -> Result<(), String> {
    let arguments = Arguments::parse(line);
    let (command, host) = (arguments.word(0)?, arguments.host(1));
    match command {
        "registrar" => registrar(stage, host?, &arguments),
        "element" => element(stage, host?, &arguments),
        "user" => start_endpoint(stage, host?, &arguments),
        "play" => {
            stage.start(host?, Process::Played(Played::default()));
            Ok(())
        }
        "connect" => stage.connect(host?, arguments.host(2)?, channel(arguments.word(3)?)?),
        "send" => send(stage, host?, &arguments),
        "answer" => match stage.process(host?)? {
            Process::Played(played) => {
                played.answer_for(arguments.pool()?, PeIdentifier(arguments.needed("pe")?));
                Ok(())
            }
            _ => Err("it is not played".into()),
        },
        "resolve" | "watch" | "unwatch" | "purge" | "report" | "deregister" | "policy" | "load" | "seal"
        | "recommend" | "ready" | "drain" | "open" | "turn" | "close" | "say" | "cookie" => {
            let now = stage.local_time(host.clone()?);
            let (endpoint, owner) = stage.endpoint(host?)?;
            owner.execute(endpoint, now, command, &arguments)
        }
        "stop" => stop(stage, host?),
        "run" => stage.run(span(arguments.word(1)?)?),
        "kill" => {
            stage.kill(host?);
            Ok(())
        }
        "freeze" | "thaw" => {
            stage.set_frozen(host?, command == "freeze");
            Ok(())
        }
        "hang" | "wake" => {
            stage.set_hung(host?, command == "hang");
            Ok(())
        }
        "cut" => {
            for other in &arguments.words[2..] {
                stage.set_cut(host.clone()?, self::host(other)?, true);
            }
            Ok(())
        }
        "heal" => {
            stage.heal();
            Ok(())
        }
        "hold" => {
            let name = arguments.words.get(3).map(|name| (*name).to_owned());
            stage.hold(host?, arguments.host(2)?, name);
            Ok(())
        }
        "release" => {
            let count = arguments.words.get(3).map(|count| number(count)).transpose()?;
            stage.release(host?, arguments.host(2)?, count.map(|count| count as usize))
        }
        "hide" | "unhide" => hide(stage, command == "hide", &arguments.words[1..]),
        "show" => state::show(stage, arguments.word(1)?, arguments.host(2)?),
        _ => Err("there is no such command".into()),
    }?;
    stage.drive_all();
    Ok(())
}

fn registrar(stage: &mut Stage, host: HostId, arguments: &Arguments<'_>) -> Result<(), String> {
    let id = arguments.needed("id")?;
    let peers = arguments.hosts("peers")?.iter().map(|peer| vec![peer.port(ENRP_PORT)]).collect();
    let mut config = registrar::Config {
        id: Some(RegistrarId(id)),
        peers,
        arbitration: match arguments.option("arbitration") {
            None | Some("lowest-id") => Arbitration::LowestId,
            Some("rfc5353") => Arbitration::Rfc5353,
            Some(_) => return Err("arbitration is lowest-id or rfc5353".into()),
        },
        ..registrar::Config::new(Profile::Rfc)
    };
    if let Some(octets) = arguments.number("page")? {
        config.limits.table_response_bytes = octets as usize;
    }
    if let Some(subscriptions) = arguments.number("subscriptions")? {
        config.limits.subscriptions = subscriptions as usize;
    }
    let is_listed = arguments.bit("pool-of-registrars")?;
    config.registrar_pool = is_listed;
    let announces = arguments.bit("announce")?;
    config.announce = registrar::Announce { asap: announces, enrp: announces };
    let rng = ChaCha12Rng::seed_from_u64(id.into());
    let registrar = Registrar::new(config, rng, stage.now());
    stage.start(host, Process::Registrar(Box::new(registrar)));
    if announces || is_listed {
        for channel in [Channel::Asap, Channel::Enrp] {
            stage.input(host, Input::Addresses { channel, addresses: vec![host.port(0).ip()] });
        }
    }
    Ok(())
}

/// A process with an element, or another element in a process that runs.
fn element(stage: &mut Stage, host: HostId, arguments: &Arguments<'_>) -> Result<(), String> {
    let registration = Registration {
        handle: arguments.pool()?,
        policy: arguments.policy()?,
        life: Some(arguments.option("life").map_or(Ok(Duration::from_secs(300)), span)?),
        id: arguments.number("id")?.map(PeIdentifier),
        transport: ElementTransport::Sessions,
    };
    if !stage.is_running(host) {
        start_endpoint(stage, host, arguments)?;
    }
    let now = stage.local_time(host);
    let (endpoint, owner) = stage.endpoint(host)?;
    let handle = registration.handle.clone();
    let element = endpoint.register(now, registration).map_err(|error| error.to_string())?;
    owner.elements.insert(element, handle);
    Ok(())
}

/// A process that knows some registrars.
fn start_endpoint(stage: &mut Stage, host: HostId, arguments: &Arguments<'_>) -> Result<(), String> {
    let registrars = arguments.hosts("registrar")?;
    if registrars.is_empty() && !arguments.bit("listen")? {
        return Err("registrar= or listen=1 is missing".into());
    }
    let registrars = registrars.iter().map(|registrar| registrar.port(ASAP_PORT));
    let own = u32::from(host.number) + 100 * host.role as u32;
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&arguments.number("seed")?.unwrap_or(own).to_be_bytes());
    let mut config = endpoint::Config::new(registrars, ENDPOINT_PORT, seed);
    config.cache.subscribe = arguments.bit("subscribe")?;
    config.registrar_pool = arguments.bit("pool-of-registrars")?;
    config.timers = Profile::Rfc.endpoint();
    if let Some(stagger) = arguments.option("stagger") {
        config.timers.connect_stagger = span(stagger)?;
    }
    if let Some(per_second) = arguments.number("budget")? {
        config.retry_budget = Some(endpoint::RetryBudget::default().percent(0).per_second(per_second));
    }
    let endpoint = AsapEndpoint::new(config, stage.now());
    stage.start(host, Process::Endpoint(Box::new(endpoint), Owner::default()));
    Ok(())
}

fn stop(stage: &mut Stage, host: HostId) -> Result<(), String> {
    let now = stage.local_time(host);
    match stage.process(host)? {
        Process::Registrar(registrar) => registrar.shutdown(now),
        Process::Endpoint(endpoint, _) => endpoint.shutdown(now),
        Process::Played(_) => return Err("a played process cannot be stopped".into()),
    }
    Ok(())
}

fn send(stage: &mut Stage, host: HostId, arguments: &Arguments<'_>) -> Result<(), String> {
    let (to, message) = (arguments.host(2)?, arguments.word(3)?);
    if message == "octets" {
        let octets = hex::decode(arguments.words[5..].concat()).map_err(|error| error.to_string())?;
        return stage.send(host, to, channel(arguments.word(4)?)?, octets.into());
    }
    let channel = if message.starts_with("ENRP_") { Channel::Enrp } else { Channel::Asap };
    stage.send(host, to, channel, compose(host, message, arguments)?)
}

/// Names messages, or a kind of line, that are not written down from now on.
fn hide(stage: &mut Stage, hidden: bool, kinds: &[&str]) -> Result<(), String> {
    for kind in kinds {
        let kinds: &[&str] = match *kind {
            "presence" => &["ENRP_PRESENCE"],
            "keep-alives" => &["ASAP_ENDPOINT_KEEP_ALIVE", "ASAP_ENDPOINT_KEEP_ALIVE_ACK"],
            "lists" => &["ENRP_LIST_REQUEST", "ENRP_LIST_RESPONSE"],
            "tables" => &["ENRP_HANDLE_TABLE_REQUEST", "ENRP_HANDLE_TABLE_RESPONSE"],
            "updates" => &["ENRP_HANDLE_UPDATE"],
            "registrations" => &["ASAP_REGISTRATION", "ASAP_REGISTRATION_RESPONSE"],
            "associations" => &["associations"],
            "events" => &["events"],
            "everything" => &["everything"],
            _ => return Err(format!("nothing is called {kind}")),
        };
        for kind in kinds {
            match hidden {
                true => stage.hidden.insert((*kind).to_owned()),
                false => stage.hidden.remove(*kind),
            };
        }
    }
    Ok(())
}

/// `r1` as a host.
pub(super) fn host(name: &str) -> Result<HostId, String> {
    let role = match name.as_bytes().first() {
        Some(b'r') => Role::Registrar,
        Some(b'e') => Role::Element,
        Some(b'u') => Role::User,
        _ => return Err(format!("{name:?} is no host: r1, e1, u1")),
    };
    let number = name.get(1..).and_then(|number| number.parse().ok()).filter(|number| *number > 0);
    let number = number.ok_or_else(|| format!("{name:?} is no host: r1, e1, u1"))?;
    Ok(HostId { role, number })
}

fn channel(name: &str) -> Result<Channel, String> {
    match name {
        "asap" => Ok(Channel::Asap),
        "enrp" => Ok(Channel::Enrp),
        _ => Err(format!("{name:?} is neither asap nor enrp")),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{text:?}: {error}"))
}

/// `250ms`, `5s`.
fn span(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let count = digits.parse().map_err(|error| format!("{text:?}: {error}"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        _ => Err(format!("{text:?} has no unit: ms, s")),
    }
}

/// `rr`, `wrr:3`.
fn policy(text: &str) -> Result<Policy, String> {
    let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
    let value = value.map(number).transpose()?;
    let needed = value.ok_or_else(|| format!("{name} needs a value"));
    Ok(match name {
        "rr" => Policy::RoundRobin,
        "rand" => Policy::Random,
        "wrr" => Policy::WeightedRoundRobin { weight: needed? },
        "wrand" => Policy::WeightedRandom { weight: needed? },
        "prio" => Policy::Priority { priority: needed? },
        "lu" => Policy::LeastUsed { load: params::Load(needed?) },
        _ => return Err(format!("no policy is called {name}")),
    })
}
