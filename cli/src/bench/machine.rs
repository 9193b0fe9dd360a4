//! The load: one association to a registrar that carries requests with a fixed number in flight.
//!
//! Answers come in the order of the requests (RFC 5352 §2.2), so they are matched first in, first out, which works with
//! any registrar. Keep-alives are answered, so the elements live as long as the run, also at a registrar that takes them over
//! and connects to this end.

use asap::{
    Deregistration, EndpointKeepAliveAck, HandleResolution, Message, MessageType, Registration, decode,
};
use net::sctp::SctpConfig;
use params::{
    OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, RegistrationLife,
    SctpTransport, Transport, TransportUse,
};
use proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, Time, Transmit};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Seconds, or milliseconds at rsplib: longer than a run either way.
const LIFE: RegistrationLife = RegistrationLife(3_600_000);

/// What to do many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Register element after element; a second time this re-registers them.
    Register,
    /// Resolve pool after pool; with parameter 0x803f if a number of items is given.
    Resolve { items: Option<u32> },
    /// Deregister element after element.
    Deregister,
    /// Answer what the registrar asks by itself.
    KeepAlive,
}

impl Operation {
    /// What it takes to do it once.
    fn message(self) -> MessageType {
        match self {
            Self::Register => MessageType::REGISTRATION,
            Self::Resolve { .. } => MessageType::HANDLE_RESOLUTION,
            Self::Deregister => MessageType::DEREGISTRATION,
            Self::KeepAlive => MessageType::ENDPOINT_KEEP_ALIVE,
        }
    }
}

/// Operations to do, and how many of them at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) operation: Operation,
    pub(super) count: u32,
    pub(super) depth: usize,
}

/// What became of some [`Work`].
#[derive(Debug)]
pub(super) struct Done {
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// From each request to its answer, ascending; none for what the registrar asks.
    pub(super) latencies: Vec<Duration>,
    /// Answers with an error, and the first of those.
    pub(super) refused: u32,
    pub(super) refusal: Option<String>,
}

/// What the machine tells.
#[derive(Debug)]
pub(super) enum Event {
    /// The association is established.
    Connected,
    /// The work is done.
    Done(Done),
    /// The association is gone, or there never was one.
    Down(DownReason),
}

/// The elements that are registered: element `i` is in pool `i mod pools`.
#[derive(Clone, Debug)]
pub(super) struct Population {
    pub(super) pools: u32,
    pub(super) policy: Policy,
}

impl Population {
    fn handle(&self, index: u32) -> PoolHandle {
        PoolHandle::from(format!("bench-{}", index % self.pools).as_str())
    }

    fn id(index: u32) -> PeIdentifier {
        // Odd, so every index has an identifier of its own, and they are spread as random ones are.
        PeIdentifier((index + 1).wrapping_mul(0x9e37_79b1))
    }

    /// One of the pool, for a keep-alive that names only the pool.
    fn first_of(&self, handle: &PoolHandle) -> PeIdentifier {
        let index = (0..self.pools).find(|&index| self.handle(index) == *handle);
        Self::id(index.unwrap_or(0))
    }

    fn registration(&self, index: u32, port: u16, addresses: &[IpAddr]) -> Registration {
        let addresses = addresses.iter().take(1).copied().collect();
        let transport = SctpTransport { port, transport_use: TransportUse::DATA_AND_CONTROL, addresses };
        Registration {
            handle: self.handle(index),
            element: PoolElement {
                id: Self::id(index),
                home: RegistrarId::NONE,
                life: LIFE,
                user_transport: Transport::Sctp(transport),
                policy: self.policy.clone(),
                asap_transport: None,
            },
        }
    }
}

struct Progress {
    work: Work,
    started: Time,
    next: u32,
    left: u32,
    in_flight: VecDeque<Time>,
    done: Done,
}

/// The machine.
pub(super) struct Load {
    population: Population,
    assoc: AssocId,
    port: u16,
    /// Of this end, as the peer sees them.
    addresses: Vec<IpAddr>,
    full: bool,
    progress: Option<Progress>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Load {
    /// Connects to the registrar. `port` is the SCTP port of this end, which the elements give as theirs.
    pub(super) fn new(population: Population, registrar: SocketAddr, port: u16) -> Self {
        let assoc = AssocId::connected(1);
        let connect = Transmit::Connect { assoc, channel: Channel::Asap, remote: vec![registrar] };
        Self {
            population,
            assoc,
            port,
            addresses: Vec::new(),
            full: false,
            progress: None,
            transmits: VecDeque::from([connect]),
            events: VecDeque::new(),
        }
    }

    /// The SCTP settings that suit it: patient, since it overloads its peer on purpose.
    pub(super) fn sctp() -> SctpConfig {
        let mut sctp = SctpConfig::control();
        sctp.timing.max_retransmissions = 10;
        sctp
    }

    /// Begins; an [`Event::Done`] follows.
    pub(super) fn begin(&mut self, now: Time, work: Work) {
        let done = Done {
            elapsed: Duration::ZERO,
            latencies: Vec::with_capacity(work.count as usize),
            refused: 0,
            refusal: None,
        };
        self.progress = Some(Progress {
            work,
            started: now,
            next: 0,
            left: work.count,
            in_flight: VecDeque::with_capacity(work.depth),
            done,
        });
        self.request(now);
    }

    /// Keeps as many requests in flight as there are to be.
    fn request(&mut self, now: Time) {
        let Some(progress) = &mut self.progress else { return };
        while !self.full
            && progress.in_flight.len() < progress.work.depth
            && progress.next < progress.work.count
        {
            let index = progress.next;
            let message = match progress.work.operation {
                Operation::KeepAlive => return,
                Operation::Register => self.population.registration(index, self.port, &self.addresses).into(),
                Operation::Resolve { items } => {
                    HandleResolution { subscribe: false, handle: self.population.handle(index), items }.into()
                }
                Operation::Deregister => {
                    Deregistration { handle: self.population.handle(index), id: Population::id(index) }.into()
                }
            };
            progress.next += 1;
            progress.in_flight.push_back(now);
            self.transmits.extend(send(self.assoc, &message));
        }
    }

    fn message(&mut self, now: Time, assoc: AssocId, bytes: &[u8]) {
        let Ok(message) = decode(bytes).message else { return };
        match message {
            Message::EndpointKeepAlive(asked) => {
                let id = asked.id.unwrap_or_else(|| self.population.first_of(&asked.handle));
                let ack = EndpointKeepAliveAck { handle: asked.handle, id };
                self.transmits.extend(send(assoc, &ack.into()));
                self.done_once(now, MessageType::ENDPOINT_KEEP_ALIVE, None);
            }
            Message::RegistrationResponse(answer) => {
                self.done_once(now, MessageType::REGISTRATION, answer.error);
            }
            Message::DeregistrationResponse(answer) => {
                self.done_once(now, MessageType::DEREGISTRATION, answer.error);
            }
            Message::HandleResolutionResponse(answer) => {
                self.done_once(now, MessageType::HANDLE_RESOLUTION, answer.error);
            }
            _ => {}
        }
    }

    /// The oldest request was answered, or one of the registrar's was, if that is the work.
    fn done_once(&mut self, now: Time, message: MessageType, error: Option<OperationError>) {
        let Some(progress) = &mut self.progress else { return };
        let operation = progress.work.operation;
        if message != operation.message() {
            return;
        }
        match progress.in_flight.pop_front() {
            Some(sent) => progress.done.latencies.push(now.since(sent)),
            None if operation == Operation::KeepAlive => {}
            None => return,
        }
        if let Some(error) = error {
            progress.done.refused += 1;
            progress.done.refusal.get_or_insert_with(|| error.to_string());
        }
        progress.left -= 1;
        if progress.left > 0 {
            return self.request(now);
        }
        if let Some(Progress { started, mut done, .. }) = self.progress.take() {
            done.elapsed = now.since(started);
            done.latencies.sort_unstable();
            self.events.push_back(Event::Done(done));
        }
    }
}

impl Node for Load {
    type Event = Event;

    fn handle_input(&mut self, now: Time, input: Input) {
        match input {
            Input::Up { assoc, local, .. } if assoc == self.assoc => {
                self.addresses = local;
                self.events.push_back(Event::Connected);
            }
            Input::Message { assoc, ppid: PPID_ASAP, bytes, .. } => self.message(now, assoc, &bytes),
            Input::Full { assoc } if assoc == self.assoc => self.full = true,
            Input::Writable { assoc } if assoc == self.assoc => {
                self.full = false;
                self.request(now);
            }
            Input::Down { assoc, why } if assoc == self.assoc => self.events.push_back(Event::Down(why)),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Time) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}

/// What to send; nothing that is sent here can be too long for the wire.
fn send(assoc: AssocId, message: &Message) -> Option<Transmit> {
    let bytes = message.encode().ok()?;
    Some(Transmit::Send { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes })
}
