//! One end of SCTP associations, on the command line: `rserpool-interop peer` is our endpoint, of any backend, without
//! the protocols above it. Rows write commands to its standard input and wait for what it says.
//!
//! | command | what it does |
//! |---|---|
//! | `connect ADDRESS:PORT` | starts an association; they are numbered from 1 in the order in which they come up |
//! | `send N LENGTH STREAM PPID ordered\|unordered` | sends a message |
//! | `bytes N PPID HEX` | sends a message of these bytes, on stream 0 |
//! | `bulk N COUNT LENGTH` | sends messages with numbers as fast as the association takes them |
//! | `shutdown N`, `abort N REASON` | ends an association |
//!
//! It says `up`, `message`, `bulk`, `restart`, `peer shuts down`, `failed` and `down`, each with the association's
//! number. It checks the content of what it receives; ASAP and ENRP messages it shows as they are.

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use net::sctp::{SctpConfig, SctpTiming};
use net::udp::{EncapPorts, UdpConfig};
use net::{Driver, DriverConfig, Listen, TransportKind};
use proto::{AssocId, Channel, Input, Node, PPID_ASAP, PPID_ENRP, Time, Transmit};
use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead;
use std::net::SocketAddr;

/// Marks messages with a number.
const BULK: u32 = 0x6275_6c6b;
/// What a numbered message begins with: its number, how many there are, both of 8 bytes.
const HEADER: usize = 16;

#[derive(Args)]
pub(crate) struct Peer {
    /// What carries SCTP
    #[arg(long)]
    transport: TransportKind,
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// UDP ports of SCTP: ours and theirs
    #[arg(long)]
    encap_port: Option<EncapPorts>,
    /// Never give up: for bad networks
    #[arg(long)]
    patient: bool,
}

/// Runs it until its standard input ends.
pub(crate) fn run(peer: &Peer) -> anyhow::Result<()> {
    let mut timing = SctpTiming::lan();
    if peer.patient {
        timing.max_retransmissions = 50;
        timing.max_init_retransmits = 50;
    }
    let udp = UdpConfig { encap: peer.encap_port, ..UdpConfig::default() };
    let sctp = SctpConfig { timing, ..SctpConfig::sessions() };
    let listen = Listen {
        transport: peer.transport.with(udp, Vec::new()),
        ..Listen::new(Channel::Asap, peer.listen, sctp)
    };
    let config = DriverConfig { name: "peer".into(), listen: vec![listen], multicast: None };
    let handle = Driver::spawn(config, |_| Machine::default(), |_, _, never| match never {})?;
    println!("listening {}", handle.local_addresses()[0]);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let command = parse(&line).with_context(|| line.clone())?;
        handle.try_call(move |machine: &mut Machine, _| machine.command(command))?;
    }
    Ok(())
}

enum Command {
    Connect(SocketAddr),
    Send { number: u64, length: usize, stream: u16, ppid: u32, unordered: bool },
    Bytes { number: u64, ppid: u32, bytes: Bytes },
    Bulk { number: u64, count: u64, length: usize },
    Shutdown(u64),
    Abort(u64, String),
}

fn parse(line: &str) -> anyhow::Result<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["connect", address] => Command::Connect(address.parse()?),
        ["send", number, length, stream, ppid, order] => Command::Send {
            number: number.parse()?,
            length: length.parse()?,
            stream: stream.parse()?,
            ppid: ppid.parse()?,
            unordered: *order == "unordered",
        },
        ["bytes", number, ppid, hex] => {
            Command::Bytes { number: number.parse()?, ppid: ppid.parse()?, bytes: hex::decode(hex)?.into() }
        }
        ["bulk", number, count, length] => {
            Command::Bulk { number: number.parse()?, count: count.parse()?, length: length.parse()? }
        }
        ["shutdown", number] => Command::Shutdown(number.parse()?),
        ["abort", number, reason @ ..] => Command::Abort(number.parse()?, reason.join(" ")),
        _ => bail!("no such command"),
    })
}

/// Does what it is told, and tells what happens.
#[derive(Default)]
struct Machine {
    connected: u64,
    /// By their numbers, also after their ends.
    names: Vec<AssocId>,
    associations: BTreeMap<AssocId, Association>,
    transmits: VecDeque<Transmit>,
}

#[derive(Default)]
struct Association {
    number: u64,
    full: bool,
    /// Numbered messages to send: the next one, how many, how long.
    bulk: Option<(u64, u64, usize)>,
    /// Numbered messages received: how many, how many of them not the next one, and since when.
    received: (u64, u64, Time),
}

impl Machine {
    fn command(&mut self, command: Command) {
        match command {
            Command::Connect(address) => {
                self.connected += 1;
                let assoc = AssocId::connected(self.connected);
                let connect = Transmit::Connect { assoc, channel: Channel::Asap, remote: vec![address] };
                self.transmits.push_back(connect);
            }
            Command::Send { number, length, stream, ppid, unordered } => {
                if let Some(assoc) = self.named(number) {
                    let bytes = pattern(length, length);
                    self.transmits.push_back(Transmit::Send { assoc, stream, ppid, unordered, bytes });
                }
            }
            Command::Bytes { number, ppid, bytes } => {
                if let Some(assoc) = self.named(number) {
                    self.transmits.push_back(Transmit::Send {
                        assoc,
                        stream: 0,
                        ppid,
                        unordered: false,
                        bytes,
                    });
                }
            }
            Command::Bulk { number, count, length } => {
                if let Some(association) =
                    self.named(number).and_then(|assoc| self.associations.get_mut(&assoc))
                {
                    association.bulk = Some((0, count, length.max(HEADER)));
                }
            }
            Command::Shutdown(number) => {
                if let Some(assoc) = self.named(number) {
                    self.transmits.push_back(Transmit::Shutdown { assoc });
                }
            }
            Command::Abort(number, cause) => {
                if let Some(assoc) = self.named(number) {
                    self.transmits.push_back(Transmit::Abort { assoc, cause });
                }
            }
        }
    }

    fn named(&self, number: u64) -> Option<AssocId> {
        let found =
            usize::try_from(number).ok().and_then(|number| self.names.get(number.checked_sub(1)?)).copied();
        if found.is_none() {
            println!("failed: there is no association {number}");
        }
        found
    }

    fn number(&self, assoc: AssocId) -> String {
        self.associations.get(&assoc).map_or_else(|| "-".into(), |association| association.number.to_string())
    }

    fn bulk_arrived(&mut self, now: Time, assoc: AssocId, bytes: &[u8]) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return };
        let header = u128::from_be_bytes(*header);
        let (sequence, count) = ((header >> 64) as u64, header as u64);
        let (received, wrong, since) = &mut association.received;
        if *received == 0 {
            *since = now;
        }
        if sequence != *received || rest != pattern(rest.len(), sequence as usize) {
            *wrong += 1;
        }
        *received += 1;
        if sequence + 1 == count {
            println!(
                "bulk {}: {received} of {count}, {wrong} wrong, {} bytes each, {:.3} s",
                association.number,
                bytes.len(),
                now.since(*since).as_secs_f64()
            );
            association.received = (0, 0, now);
        }
    }
}

impl Node for Machine {
    type Event = std::convert::Infallible;

    fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Up { assoc, remote, local, streams, .. } => {
                self.names.push(assoc);
                let number = self.names.len() as u64;
                self.associations.insert(assoc, Association { number, ..Association::default() });
                let how = if assoc.is_accepted() { "accepted" } else { "connected" };
                println!("up {number}: {how}, {streams} streams, from {local:?} to {remote:?}");
            }
            Input::Message { assoc, ppid: BULK, bytes, .. } => self.bulk_arrived(now, assoc, &bytes),
            Input::Message { assoc, ppid: ppid @ (PPID_ASAP | PPID_ENRP), bytes, .. } => {
                println!("message {}: ppid {ppid}, {}", self.number(assoc), hex::encode(&bytes));
            }
            Input::Message { assoc, stream, ppid, unordered, bytes } => {
                let content = if bytes == pattern(bytes.len(), bytes.len()) { "intact" } else { "BROKEN" };
                let order = if unordered { "unordered" } else { "ordered" };
                println!(
                    "message {}: {} bytes, stream {stream}, ppid {ppid}, {order}, {content}",
                    self.number(assoc),
                    bytes.len()
                );
            }
            Input::Full { assoc } | Input::Writable { assoc } => {
                let full = matches!(input, Input::Full { .. });
                if let Some(association) = self.associations.get_mut(&assoc) {
                    association.full = full;
                }
            }
            Input::Restart { assoc } => println!("restart {}", self.number(assoc)),
            Input::PeerShutdown { assoc } => println!("peer shuts down {}", self.number(assoc)),
            Input::Path { assoc, address, up } => {
                println!("path {} {address}: {}", self.number(assoc), if up { "up" } else { "down" });
            }
            Input::SendFailed { assoc, bytes, why } => {
                println!("failed {}: {} bytes, {why}", self.number(assoc), bytes.len());
            }
            Input::Down { assoc, why } => {
                println!("down {}: {why:?}", self.number(assoc));
                self.associations.remove(&assoc);
            }
            Input::Addresses { .. } | Input::Announce { .. } | Input::Backlog { .. } => {}
        }
    }

    fn handle_timeout(&mut self, _now: Time) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.transmits.pop_front() {
            return Some(transmit);
        }
        let ready = |association: &&mut Association| association.bulk.is_some() && !association.full;
        let association = self.associations.values_mut().find(ready)?;
        let (next, count, length) = association.bulk?;
        association.bulk = Some((next + 1, count, length)).filter(|(next, count, _)| next != count);
        let assoc = *self.names.get(usize::try_from(association.number).ok()?.checked_sub(1)?)?;
        let mut bytes = [next.to_be_bytes(), count.to_be_bytes()].concat();
        bytes.extend_from_slice(&pattern(length - HEADER, next as usize));
        Some(Transmit::Send { assoc, stream: 0, ppid: BULK, unordered: false, bytes: bytes.into() })
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        None
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}

/// Bytes that show where they are out of place, others for each `seed`.
fn pattern(length: usize, seed: usize) -> Bytes {
    (seed..seed + length).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into()
}
