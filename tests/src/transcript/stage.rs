//! The hosts of a scenario and the network between them, and what of their exchange is written down.

use super::message;
use super::owner::Owner;
use super::process::Process;
use crate::channels::{Channels, Manners};
use crate::cuts::Cut;
use crate::network::{ENRP_PORT, HostId, Network, Role, Stop};
use bytes::Bytes;
use net::memory::Link;
use proto::endpoint::AsapEndpoint;
use proto::registrar::Registrar;
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, PPID_ENRP, Time, Transmit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

/// Everything arrives after 1 ms, in order, exactly once.
const LINK: Link = Link { loss: 0, duplication: 0, delay: Duration::from_millis(1), jitter: Duration::ZERO };
/// A process that has ended is reported by its host.
const MANNERS: Manners = Manners { icmp: true, refused: 0, send_queue: 1 << 20, skew: 0 };
/// How far a process's clock advances at most while it does not look at it (design decision D2).
const CLOCK_STEP: Duration = Duration::from_millis(50);
/// More things at one instant than this are a loop.
const BUSY: u32 = 100_000;

struct Host {
    process: Process,
    /// Neither its process nor its SCTP goes on.
    frozen: bool,
    /// Its process does not go on, but its SCTP does; since when.
    hung: Option<Time>,
    /// How far the clock of the process is behind, because it hung.
    lag: Duration,
    /// What the process has not looked at.
    inputs: VecDeque<Input>,
}

/// What one host sends to another and does not get there yet.
struct Hold {
    from: HostId,
    to: HostId,
    /// The message with which it begins; `None`: with the next one.
    name: Option<String>,
    held: VecDeque<Transmit>,
}

/// The hosts, the network, and the output.
pub(super) struct Stage {
    network: Channels,
    hosts: BTreeMap<HostId, Host>,
    /// Hosts that do not reach each other, with the number of the network's cut.
    cuts: BTreeMap<(HostId, HostId), u32>,
    last_cut: u32,
    holds: Vec<Hold>,
    /// Multicast datagrams on their way: when they arrive, and from whom.
    announcements: VecDeque<(Time, HostId, Channel, Bytes)>,
    /// Who is at the other end of an association.
    peers: BTreeMap<(HostId, AssocId), (HostId, Channel)>,
    output: String,
    /// What is not written down.
    pub(super) hidden: BTreeSet<String>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            network: Channels::new(1, LINK, MANNERS),
            hosts: BTreeMap::new(),
            cuts: BTreeMap::new(),
            last_cut: 0,
            holds: Vec::new(),
            announcements: VecDeque::new(),
            peers: BTreeMap::new(),
            output: String::new(),
            hidden: BTreeSet::new(),
        }
    }
}

/// `r1`, `e1`, `u1`: a registrar, a process with elements, one with users.
pub(super) fn name(host: HostId) -> String {
    let role = match host.role {
        Role::Registrar => 'r',
        Role::Element => 'e',
        Role::User | Role::Watcher => 'u',
    };
    format!("{role}{}", host.number)
}

/// What is written down.
impl Stage {
    /// What was written down since the last time.
    pub(super) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    /// Writes a line without time: the state of something.
    pub(super) fn write(&mut self, line: &str) {
        self.output += line;
        self.output.push('\n');
    }

    /// Writes a line of what happens.
    pub(super) fn note(&mut self, who: &str, what: &str) {
        if !self.is_shown("everything") {
            return;
        }
        let micros = self.network.now().as_micros();
        let (seconds, millis) = (micros / 1_000_000, micros % 1_000_000 / 1000);
        // Writing to a String cannot fail.
        let _ = writeln!(self.output, "{seconds:4}.{millis:03}  {who:<8}  {what}");
    }

    fn is_shown(&self, kind: &str) -> bool {
        !self.hidden.contains(kind)
    }

    fn note_message(&mut self, from: HostId, to: HostId, ppid: u32, bytes: &[u8], held: bool) {
        let (kind, text) = message::describe(ppid, bytes);
        if !self.is_shown(&kind) {
            return;
        }
        let arrow = if held || !self.reaches(from, to) { "..>" } else { "->" };
        self.note(&format!("{} {arrow} {}", name(from), name(to)), &text);
    }

    /// Whether what `from` sends to `to` arrives at once.
    fn reaches(&self, from: HostId, to: HostId) -> bool {
        let awake = |host: &Host| !host.frozen && host.hung.is_none();
        let cut = self.cuts.contains_key(&(from.min(to), from.max(to)));
        !cut && self.hosts.get(&to).is_some_and(awake)
    }
}

/// Hosts and what befalls them.
impl Stage {
    /// A process starts on a host; one that ran there is gone.
    pub(super) fn start(&mut self, host: HostId, process: Process) {
        self.network.start(host, [0; 32]);
        let state = Host { process, frozen: false, hung: None, lag: Duration::ZERO, inputs: VecDeque::new() };
        self.hosts.insert(host, state);
        self.drive_all();
    }

    /// Virtual time.
    pub(super) fn now(&self) -> Time {
        self.network.now()
    }

    /// The time as the process on a host sees it.
    pub(super) fn local_time(&self, host: HostId) -> Time {
        self.network.local_time(host) - self.hosts.get(&host).map_or(Duration::ZERO, |host| host.lag)
    }

    pub(super) fn process(&mut self, host: HostId) -> Result<&mut Process, String> {
        match self.hosts.get_mut(&host) {
            Some(host) => Ok(&mut host.process),
            None => Err(format!("nothing runs on {}", name(host))),
        }
    }

    pub(super) fn is_running(&self, host: HostId) -> bool {
        self.hosts.contains_key(&host)
    }

    /// The hosts that something runs on.
    pub(super) fn hosts(&self) -> Vec<HostId> {
        self.hosts.keys().copied().collect()
    }

    pub(super) fn registrar(&mut self, host: HostId) -> Result<&mut Registrar, String> {
        match self.process(host)? {
            Process::Registrar(registrar) => Ok(registrar),
            _ => Err(format!("{} is no registrar", name(host))),
        }
    }

    /// The endpoint on a host, with its owner.
    pub(super) fn endpoint(&mut self, host: HostId) -> Result<(&mut AsapEndpoint, &mut Owner), String> {
        match self.process(host)? {
            Process::Endpoint(endpoint, owner) => Ok((endpoint, owner)),
            _ => Err(format!("{} is neither element nor user", name(host))),
        }
    }

    /// The process dies without a word; its host says so to whoever sends to it.
    pub(super) fn kill(&mut self, host: HostId) {
        self.network.crash(host);
        self.hosts.remove(&host);
    }

    pub(super) fn set_frozen(&mut self, host: HostId, frozen: bool) {
        if let Some(state) = self.hosts.get_mut(&host) {
            state.frozen = frozen;
        }
        match frozen {
            true => self.network.pause(host, Stop::Everything),
            false => self.network.resume(host),
        }
        self.drive_all();
    }

    pub(super) fn set_hung(&mut self, host: HostId, hung: bool) {
        let now = self.network.now();
        if let Some(state) = self.hosts.get_mut(&host) {
            match hung {
                true => state.hung = Some(now),
                false => {
                    let slept = state.hung.take().map_or(Duration::ZERO, |since| now.since(since));
                    state.lag += slept.saturating_sub(CLOCK_STEP);
                }
            }
        }
        self.drive_all();
    }

    /// Nothing passes between two hosts any more, or everything again.
    pub(super) fn set_cut(&mut self, a: HostId, b: HostId, cut: bool) {
        let pair = (a.min(b), a.max(b));
        if let Some(number) = self.cuts.remove(&pair) {
            self.network.mend(number);
        }
        if cut {
            self.last_cut += 1;
            let (these, those) = (BTreeSet::from([a]), BTreeSet::from([b]));
            self.network.cut(self.last_cut, Cut { these, those, both_ways: true });
            self.cuts.insert(pair, self.last_cut);
        }
    }

    /// Everything passes again.
    pub(super) fn heal(&mut self) {
        for (_, number) in std::mem::take(&mut self.cuts) {
            self.network.mend(number);
        }
    }
}

/// Messages that the scenario delays, and those that it writes itself.
impl Stage {
    /// Holds what `from` sends to `to`, from a message of this name on.
    pub(super) fn hold(&mut self, from: HostId, to: HostId, name: Option<String>) {
        self.holds.push(Hold { from, to, name, held: VecDeque::new() });
    }

    /// Lets so many of the held messages go on, or all, and what follows them.
    pub(super) fn release(&mut self, from: HostId, to: HostId, count: Option<usize>) -> Result<(), String> {
        let index = self.holds.iter().position(|hold| (hold.from, hold.to) == (from, to));
        let index = index.ok_or("nothing is held there")?;
        let hold = self.holds.get_mut(index).ok_or("nothing is held there")?;
        let count = count.unwrap_or(hold.held.len());
        let released: Vec<Transmit> = hold.held.drain(..count.min(hold.held.len())).collect();
        if hold.held.is_empty() {
            self.holds.remove(index);
        }
        for transmit in released {
            if let Transmit::Send { ppid, bytes, .. } = &transmit {
                self.note_message(from, to, *ppid, bytes, false);
            }
            self.network.carry_out(from, transmit);
        }
        self.drive_all();
        Ok(())
    }

    /// Whether a transmit has to wait; it is kept then.
    fn is_held(&mut self, from: HostId, to: HostId, transmit: &Transmit) -> bool {
        let Some(hold) = self.holds.iter_mut().find(|hold| (hold.from, hold.to) == (from, to)) else {
            return false;
        };
        let begins = match transmit {
            Transmit::Send { ppid, bytes, .. } => {
                hold.name.as_ref().is_none_or(|name| *name == message::describe(*ppid, bytes).0)
            }
            _ => false,
        };
        let held = begins || !hold.held.is_empty();
        if held {
            hold.held.push_back(transmit.clone());
        }
        held
    }

    /// A played process connects.
    pub(super) fn connect(&mut self, host: HostId, to: HostId, channel: Channel) -> Result<(), String> {
        let Process::Played(played) = self.process(host)? else {
            return Err(format!("{} is not played", name(host)));
        };
        let assoc = played.next_association();
        let port = if channel == Channel::Enrp { ENRP_PORT } else { crate::network::ASAP_PORT };
        self.carry_out(host, Transmit::Connect { assoc, channel, remote: vec![to.port(port)] });
        Ok(())
    }

    /// A played process sends over its association with `to`.
    pub(super) fn send(
        &mut self,
        host: HostId,
        to: HostId,
        channel: Channel,
        bytes: Bytes,
    ) -> Result<(), String> {
        let Process::Played(played) = self.process(host)? else {
            return Err(format!("{} is not played", name(host)));
        };
        let assoc = played.association(to, channel).ok_or("they are not connected")?;
        let ppid = if channel == Channel::Enrp { PPID_ENRP } else { PPID_ASAP };
        self.carry_out(host, Transmit::Send { assoc, stream: 0, ppid, unordered: false, bytes });
        Ok(())
    }
}

/// Time and what it brings.
impl Stage {
    /// Lets time pass.
    ///
    /// # Errors
    /// Time does not pass: a machine makes itself work for ever.
    pub(super) fn run(&mut self, span: Duration) -> Result<(), String> {
        let end = self.network.now() + span;
        let mut busy = (Time::ZERO, 0);
        loop {
            let due = self.next_due();
            if self.network.step(due.map_or(end, |due| due.min(end))).is_some() {
                self.drive_all();
            } else if due.is_some_and(|due| due <= self.network.now()) {
                self.expire();
            } else {
                return Ok(());
            }
            let now = self.network.now();
            busy = if busy.0 == now { (now, busy.1 + 1) } else { (now, 0) };
            if busy.1 > BUSY {
                return Err("time does not pass any more".into());
            }
        }
    }

    /// When the next timer of a process is due.
    fn next_due(&self) -> Option<Time> {
        let now = self.network.now();
        let awake = self.hosts.iter().filter(|(_, state)| !state.frozen && state.hung.is_none());
        let timers =
            awake.filter_map(|(host, state)| Some(now + state.process.due()?.since(self.local_time(*host))));
        timers.chain(self.announcements.front().map(|(arrival, ..)| *arrival)).min()
    }

    fn expire(&mut self) {
        self.announce();
        for host in self.hosts() {
            let local = self.local_time(host);
            let Some(state) = self.hosts.get_mut(&host) else { continue };
            if !state.frozen && state.hung.is_none() && state.process.due().is_some_and(|due| due <= local) {
                state.process.timeout(local);
                self.drive_all();
            }
        }
    }

    /// Multicast datagrams arrive at everybody else.
    fn announce(&mut self) {
        let now = self.network.now();
        while self.announcements.front().is_some_and(|(arrival, ..)| *arrival <= now)
            && let Some((_, from, channel, bytes)) = self.announcements.pop_front()
        {
            let port = if channel == Channel::Enrp { ENRP_PORT } else { crate::network::ASAP_PORT };
            let mut others = self.hosts();
            others.retain(|host| *host != from && self.reaches(from, *host));
            for host in others {
                self.input(host, Input::Announce { from: from.port(port), channel, bytes: bytes.clone() });
            }
        }
        self.drive_all();
    }

    /// Something that the network does not bring.
    pub(super) fn input(&mut self, host: HostId, input: Input) {
        if let Some(state) = self.hosts.get_mut(&host) {
            state.inputs.push_back(input);
        }
    }

    /// Gives all processes what has happened and does what they want, until nothing more is to do.
    pub(super) fn drive_all(&mut self) {
        loop {
            let mut any = false;
            for host in self.hosts() {
                any |= self.drive(host);
            }
            if !any {
                return;
            }
        }
    }

    fn drive(&mut self, host: HostId) -> bool {
        let inputs = self.network.poll_inputs(host);
        let Some(state) = self.hosts.get_mut(&host) else { return false };
        state.inputs.extend(inputs);
        if state.frozen || state.hung.is_some() {
            return false;
        }
        let mut any = self.carry_on(host);
        while let Some(input) = self.hosts.get_mut(&host).and_then(|state| state.inputs.pop_front()) {
            any = true;
            self.note_association(host, &input);
            let local = self.local_time(host);
            if let Ok(process) = self.process(host) {
                process.input(local, input);
            }
            self.carry_on(host);
        }
        if self.hosts.get(&host).is_some_and(|state| state.process.has_left()) {
            self.note(&name(host), "* ends");
            self.kill(host);
        }
        any
    }

    /// Writes down what a process tells, and does what it wants.
    fn carry_on(&mut self, host: HostId) -> bool {
        let mut any = false;
        while let Ok(process) = self.process(host)
            && let Some(text) = process.event()
        {
            any = true;
            if self.is_shown("events") {
                self.note(&name(host), &format!("* {text}"));
            }
        }
        while let Ok(process) = self.process(host)
            && let Some(transmit) = process.transmit()
        {
            any = true;
            self.carry_out(host, transmit);
        }
        any
    }

    fn carry_out(&mut self, host: HostId, transmit: Transmit) {
        match &transmit {
            Transmit::Connect { assoc, channel, remote } => {
                let to = remote.first().and_then(|remote| HostId::at(remote.ip()));
                if let Some(to) = to {
                    self.peers.insert((host, *assoc), (to, *channel));
                }
            }
            Transmit::Send { assoc, ppid, bytes, .. } => {
                if let Some((to, _)) = self.peers.get(&(host, *assoc)).copied() {
                    let held = self.is_held(host, to, &transmit);
                    self.note_message(host, to, *ppid, bytes, held);
                    if held {
                        return;
                    }
                }
            }
            Transmit::Shutdown { assoc } => {
                if let Some((to, _)) = self.peers.get(&(host, *assoc)).copied()
                    && self.is_held(host, to, &transmit)
                {
                    return;
                }
            }
            Transmit::Announce { channel, bytes } => {
                let ppid = if *channel == Channel::Enrp { PPID_ENRP } else { PPID_ASAP };
                let (kind, text) = message::describe(ppid, bytes);
                if self.is_shown(&kind) {
                    self.note(&format!("{} -> all", name(host)), &text);
                }
                let arrival = self.network.now() + LINK.delay;
                self.announcements.push_back((arrival, host, *channel, bytes.clone()));
                return;
            }
            Transmit::Abort { .. } | Transmit::Read { .. } => {}
        }
        self.network.carry_out(host, transmit);
    }

    /// Remembers who an association is with, and writes down that it begins or ends.
    fn note_association(&mut self, host: HostId, input: &Input) {
        let text = match input {
            Input::Up { assoc, channel, remote, .. } => {
                let Some(to) = remote.first().and_then(|remote| HostId::at(remote.ip())) else { return };
                self.peers.insert((host, *assoc), (to, *channel));
                if let Ok(Process::Played(played)) = self.process(host) {
                    played.connected(to, *channel, *assoc);
                }
                if assoc.is_accepted() {
                    return;
                }
                format!("= {} association with {}", protocol(*channel), name(to))
            }
            Input::Down { assoc, why } => {
                let Some((to, channel)) = self.peers.get(&(host, *assoc)).copied() else { return };
                if matches!(why, DownReason::Duplicate(_)) {
                    return;
                }
                let why = match why {
                    DownReason::Shutdown => "ended in order".into(),
                    DownReason::PeerAborted(why) => format!("ended by the other side: {why}"),
                    DownReason::Unreachable => "lost: no answer".into(),
                    DownReason::ConnectFailed(why) => format!("refused: {why}"),
                    DownReason::CannotConnect(why) => format!("not tried: {why}"),
                    DownReason::NoAddress => "not tried: no address".into(),
                    DownReason::LocalAbort => "ended by this side".into(),
                    DownReason::Violation(why) => format!("ended for a violation: {why}"),
                    DownReason::Duplicate(_) => return,
                };
                format!("= {} association with {} {why}", protocol(channel), name(to))
            }
            Input::Restart { assoc } => {
                let Some((to, channel)) = self.peers.get(&(host, *assoc)).copied() else { return };
                format!("= {} association restarted by {}", protocol(channel), name(to))
            }
            _ => return,
        };
        if self.is_shown("associations") {
            self.note(&name(host), &text);
        }
    }
}

fn protocol(channel: Channel) -> &'static str {
    match channel {
        Channel::Asap => "ASAP",
        Channel::Enrp => "ENRP",
        Channel::Session => "session",
    }
}
