//! Machines joined in memory: associations that work, with a constant delay; processes that die and freeze.

use rserpool_proto::endpoint::AsapEndpoint;
use rserpool_proto::registrar::Registrar;
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, Time, Transmit};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(crate) const ASAP_PORT: u16 = 3863;
pub(crate) const ENRP_PORT: u16 = 9901;
pub(crate) const ELEMENT_PORT: u16 = 7000;

const DELAY: Duration = Duration::from_millis(1);
/// How long SCTP takes to give up a peer that is silent.
const UNREACHABLE_AFTER: Duration = Duration::from_millis(500);

pub(crate) enum Machine {
    Registrar(Box<Registrar>),
    Endpoint(Box<AsapEndpoint>),
}

#[derive(Clone, Copy, PartialEq)]
enum Health {
    Running,
    Frozen,
    Dead,
}

pub(crate) struct Process {
    pub(crate) machine: Machine,
    health: Health,
    address: IpAddr,
    /// Everything that was fed to it, for replay.
    pub(crate) inputs: Vec<(Time, Option<Input>)>,
}

struct End {
    process: usize,
    assoc: AssocId,
    channel: Channel,
}

enum Happening {
    Input(usize, Input),
    /// SCTP gives up an association.
    GiveUp(usize, AssocId),
}

#[derive(Default)]
pub(crate) struct Network {
    pub(crate) now: Time,
    pub(crate) processes: Vec<Process>,
    links: BTreeMap<(usize, AssocId), End>,
    happenings: BTreeMap<(Time, u64), Happening>,
    /// What a frozen process will find when it wakes.
    missed: Vec<(usize, Input)>,
    last: u64,
}

impl Machine {
    fn input(&mut self, now: Time, input: Input) {
        match self {
            Self::Registrar(machine) => machine.handle_input(now, input),
            Self::Endpoint(machine) => machine.handle_input(now, input),
        }
    }

    fn timeout(&mut self, now: Time) {
        match self {
            Self::Registrar(machine) => machine.handle_timeout(now),
            Self::Endpoint(machine) => machine.handle_timeout(now),
        }
    }

    fn transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Registrar(machine) => machine.poll_transmit(),
            Self::Endpoint(machine) => machine.poll_transmit(),
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        match self {
            Self::Registrar(machine) => machine.poll_timeout().map(|(at, _)| at),
            Self::Endpoint(machine) => machine.poll_timeout().map(|(at, _)| at),
        }
    }
}

impl Network {
    pub(crate) fn add(&mut self, address: IpAddr, machine: Machine) -> usize {
        self.processes.push(Process { machine, health: Health::Running, address, inputs: Vec::new() });
        self.processes.len() - 1
    }

    /// The process dies without a word; nobody listens on its ports any more.
    pub(crate) fn kill(&mut self, process: usize) {
        self.stop(process, Health::Dead);
    }

    /// The process stands still, and so does its SCTP.
    pub(crate) fn freeze(&mut self, process: usize) {
        self.stop(process, Health::Frozen);
    }

    pub(crate) fn thaw(&mut self, process: usize) {
        self.processes[process].health = Health::Running;
        let missed = std::mem::take(&mut self.missed);
        let (mine, others): (Vec<_>, Vec<_>) = missed.into_iter().partition(|(to, _)| *to == process);
        self.missed = others;
        for (to, input) in mine {
            self.feed(to, input);
        }
    }

    fn stop(&mut self, process: usize, health: Health) {
        self.processes[process].health = health;
        let links: Vec<AssocId> =
            self.links.keys().filter(|(owner, _)| *owner == process).map(|(_, assoc)| *assoc).collect();
        for assoc in links {
            self.happens(UNREACHABLE_AFTER, Happening::GiveUp(process, assoc));
        }
    }

    fn happens(&mut self, after: Duration, happening: Happening) {
        self.last += 1;
        self.happenings.insert((self.now + after, self.last), happening);
    }

    fn feed(&mut self, process: usize, input: Input) {
        let target = &mut self.processes[process];
        match target.health {
            Health::Running => {
                target.inputs.push((self.now, Some(input.clone())));
                target.machine.input(self.now, input);
            }
            Health::Frozen => self.missed.push((process, input)),
            Health::Dead => {}
        }
    }

    /// Both ends of an association hear that it is gone, each for its reason.
    fn unlink(&mut self, process: usize, assoc: AssocId, here: DownReason, there: DownReason) {
        let Some(peer) = self.links.remove(&(process, assoc)) else { return };
        self.links.remove(&(peer.process, peer.assoc));
        self.happens(DELAY, Happening::Input(process, Input::Down { assoc, why: here }));
        let down = Input::Down { assoc: peer.assoc, why: there };
        self.happens(DELAY, Happening::Input(peer.process, down));
    }

    fn connect(&mut self, process: usize, assoc: AssocId, channel: Channel, remote: SocketAddr) {
        let listener = self.processes.iter().position(|other| {
            let ports = match other.machine {
                Machine::Registrar(_) => [ASAP_PORT, ENRP_PORT],
                Machine::Endpoint(_) => [ELEMENT_PORT; 2],
            };
            other.address == remote.ip() && ports.contains(&remote.port())
        });
        let listener = listener.filter(|listener| self.processes[*listener].health != Health::Dead);
        let Some(listener) = listener else {
            let why = DownReason::ConnectFailed("nobody listens".into());
            return self.happens(2 * DELAY, Happening::Input(process, Input::Down { assoc, why }));
        };
        if self.processes[listener].health == Health::Frozen {
            let why = DownReason::Unreachable;
            return self.happens(UNREACHABLE_AFTER, Happening::Input(process, Input::Down { assoc, why }));
        }
        let listening = if remote.port() == ENRP_PORT { Channel::Enrp } else { Channel::Asap };
        let same = |(&(owner, name), end): (&(usize, AssocId), &End)| {
            let twin = owner == process && end.process == listener && end.channel == listening;
            (twin && channel != Channel::Session && self.links[&(end.process, end.assoc)].channel == channel)
                .then_some(name)
        };
        if let Some(existing) = self.links.iter().find_map(same) {
            let why = DownReason::Duplicate(existing);
            return self.happens(DELAY, Happening::Input(process, Input::Down { assoc, why }));
        }
        self.last += 1;
        let accepted = AssocId::accepted(listening, self.last);
        self.links.insert((process, assoc), End { process: listener, assoc: accepted, channel: listening });
        self.links.insert((listener, accepted), End { process, assoc, channel });
        let source = match channel {
            Channel::Session => 50_000,
            Channel::Enrp => ENRP_PORT,
            Channel::Asap => match self.processes[process].machine {
                Machine::Registrar(_) => ASAP_PORT,
                Machine::Endpoint(_) => ELEMENT_PORT,
            },
        };
        let (here, there) = (self.processes[process].address, self.processes[listener].address);
        let up = |assoc, channel, remote, local| Input::Up {
            assoc,
            channel,
            remote: vec![remote],
            local: vec![local],
            streams: 16,
        };
        let theirs = up(accepted, listening, SocketAddr::new(here, source), there);
        self.happens(DELAY, Happening::Input(listener, theirs));
        let ours = up(assoc, channel, remote, here);
        self.happens(2 * DELAY, Happening::Input(process, ours));
    }

    fn carry_out(&mut self, process: usize, transmit: Transmit) {
        match transmit {
            Transmit::Connect { assoc, channel, remote } => self.connect(process, assoc, channel, remote[0]),
            Transmit::Send { assoc, stream, ppid, unordered, bytes } => {
                if let Some(peer) = self.links.get(&(process, assoc)) {
                    let (to, assoc) = (peer.process, peer.assoc);
                    let message = Input::Message { assoc, stream, ppid, unordered, bytes };
                    // Behind the set-up, which takes two.
                    self.happens(2 * DELAY, Happening::Input(to, message));
                }
            }
            Transmit::Shutdown { assoc } => {
                self.last += 1;
                if let Some(peer) = self.links.remove(&(process, assoc)) {
                    self.links.remove(&(peer.process, peer.assoc));
                    for (process, assoc) in [(process, assoc), (peer.process, peer.assoc)] {
                        let down = Input::Down { assoc, why: DownReason::Shutdown };
                        self.happens(3 * DELAY, Happening::Input(process, down));
                    }
                }
            }
            Transmit::Abort { assoc, cause } => {
                if self.links.contains_key(&(process, assoc)) {
                    self.unlink(process, assoc, DownReason::LocalAbort, DownReason::PeerAborted(cause));
                } else {
                    let down = Input::Down { assoc, why: DownReason::LocalAbort };
                    self.happens(Duration::ZERO, Happening::Input(process, down));
                }
            }
            Transmit::Read { .. } | Transmit::Announce { .. } => {}
        }
    }

    fn drain(&mut self) {
        for process in 0..self.processes.len() {
            while self.processes[process].health == Health::Running
                && let Some(transmit) = self.processes[process].machine.transmit()
            {
                self.carry_out(process, transmit);
            }
        }
    }

    /// Goes to the next thing that happens, not beyond `end`. Says whether there was one.
    pub(crate) fn step(&mut self, end: Time) -> bool {
        self.drain();
        let running = self.processes.iter().filter(|process| process.health == Health::Running);
        let timers = running.filter_map(|process| process.machine.next_timeout()).min();
        let next = self.happenings.keys().next().map(|(at, _)| *at).into_iter().chain(timers).min();
        let Some(next) = next.filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if let Some(entry) = self.happenings.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Happening::Input(process, input) => self.feed(process, input),
                Happening::GiveUp(process, assoc) if self.processes[process].health != Health::Running => {
                    self.unlink(process, assoc, DownReason::Unreachable, DownReason::Unreachable);
                }
                Happening::GiveUp(..) => {}
            }
            return true;
        }
        for process in &mut self.processes {
            if process.health == Health::Running
                && process.machine.next_timeout().is_some_and(|at| at <= self.now)
            {
                process.inputs.push((self.now, None));
                process.machine.timeout(self.now);
            }
        }
        true
    }
}
