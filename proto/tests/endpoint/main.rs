//! The ASAP endpoint against a scripted other side, in virtual time: what goes in, what comes out, when.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod announce;
mod avoidance;
mod business_card;
mod cache;
mod chaos;
mod cookies;
mod delivery;
mod diagnosis;
mod drain;
mod hunt;
mod identity;
mod introduction;
mod keep_alive;
mod pe_handle;
mod policies;
mod race;
mod readiness;
mod registrars;
mod registration;
mod replay;
mod resolution;
mod roles;
mod server;
mod user;
mod watch;

use bytes::Bytes;
use params::{
    CauseCode, ErrorCause, Load, OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId,
    RegistrationLife, SctpTransport, Transport, TransportUse,
};
use rserpool_proto::endpoint::{
    AsapEndpoint, Config, ElementTransport, Event, MESSAGE_OVERHEAD, Message, Registration, SessionId,
    SessionOptions,
};
use rserpool_proto::{AssocId, Channel, DownReason, Input, Node, PPID_ASAP, Time, Transmit};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A transmit with ASAP messages decoded, short enough to write expectations.
#[derive(Clone, Debug, PartialEq)]
enum Out {
    Connect(AssocId, Channel, SocketAddr),
    Asap(AssocId, asap::Message),
    Data(AssocId, Message),
    Read(AssocId, bool),
    Shutdown(AssocId),
    Abort(AssocId),
}

struct Script {
    machine: AsapEndpoint,
    now: Time,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn registrar(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 3863))
}

/// A configuration with so many registrars, 192.0.2.1 and up, that subscribes to nothing and tries one element at a time.
fn config(registrars: u8) -> Config {
    let mut config = Config::new((1..=registrars).map(registrar), 7000, [7; 32]);
    config.cache.subscribe = false;
    config.timers.connect_stagger = Duration::ZERO;
    config
}

fn pool() -> PoolHandle {
    PoolHandle::from("pool")
}

/// A pool element 10.0.0.`n`, with `n` as its identifier.
fn element(n: u8) -> PoolElement {
    PoolElement {
        id: PeIdentifier(n.into()),
        home: RegistrarId(1),
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(SctpTransport {
            port: 7000,
            transport_use: TransportUse::DATA_AND_CONTROL,
            addresses: vec![IpAddr::from([10, 0, 0, n])],
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
    }
}

fn server(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7000))
}

fn cause(code: CauseCode) -> OperationError {
    OperationError { causes: vec![ErrorCause { code, information: Bytes::new() }] }
}

fn registration() -> Registration {
    Registration {
        handle: pool(),
        policy: Policy::RoundRobin,
        life: Some(Duration::from_secs(300)),
        id: Some(PeIdentifier(0x11)),
        transport: ElementTransport::Sessions,
    }
}

fn resolution_request(handle: &str) -> asap::Message {
    asap::HandleResolution { subscribe: false, handle: PoolHandle::from(handle), items: None }.into()
}

fn unreachable(n: u8) -> asap::Message {
    asap::EndpointUnreachable { handle: pool(), id: PeIdentifier(n.into()) }.into()
}

impl Script {
    fn new(config: Config) -> Self {
        Self { machine: AsapEndpoint::new(config, Time::ZERO), now: Time::ZERO }
    }

    /// An endpoint with a registered element `0x11`, and the association to its home, 192.0.2.1.
    fn registered() -> (Self, AssocId) {
        let mut script = Self::new(config(1));
        script.machine.register(script.now, registration()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.grant(home);
        script.out();
        script.events();
        (script, home)
    }

    /// An endpoint with a session to server 1 of a pool of the servers 1 to `n`, its home, and the session's
    /// association.
    fn connected(n: u8) -> (Self, SessionId, AssocId, AssocId) {
        let mut script = Self::new(config(1));
        let session = script.machine.connect(script.now, pool(), SessionOptions::default()).unwrap();
        let home = script.expect_connect();
        script.up(home, registrar(1));
        script.answer(home, 1..=n);
        let out = script.out();
        let connect = out.iter().find_map(|out| match out {
            Out::Connect(assoc, Channel::Session, _) => Some(*assoc),
            _ => None,
        });
        let assoc = connect.unwrap();
        script.up(assoc, server(1));
        script.out();
        script.events();
        (script, session, home, assoc)
    }

    fn out(&mut self) -> Vec<Out> {
        std::iter::from_fn(|| self.machine.poll_transmit())
            .map(|transmit| match transmit {
                Transmit::Connect { assoc, channel, remote } => Out::Connect(assoc, channel, remote[0]),
                Transmit::Send { assoc, ppid: PPID_ASAP, stream: 0, unordered: false, bytes } => {
                    Out::Asap(assoc, asap::decode(&bytes).message.unwrap())
                }
                Transmit::Send { assoc, stream, ppid, unordered, bytes } => {
                    Out::Data(assoc, Message { stream, ppid, unordered, bytes })
                }
                Transmit::Read { assoc, on } => Out::Read(assoc, on),
                Transmit::Shutdown { assoc } => Out::Shutdown(assoc),
                Transmit::Abort { assoc, .. } => Out::Abort(assoc),
                Transmit::Announce { .. } => panic!("an endpoint announces nothing"),
            })
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    /// Where it connects to, of all that it has done.
    fn connects(&mut self) -> Vec<SocketAddr> {
        let out = self.out();
        let mut connects: Vec<_> = out
            .iter()
            .filter_map(|out| match out {
                Out::Connect(_, Channel::Asap, remote) => Some(*remote),
                _ => None,
            })
            .collect();
        connects.sort();
        connects
    }

    /// The only thing transmitted is a connect.
    fn expect_connect(&mut self) -> AssocId {
        match self.out().as_slice() {
            [Out::Connect(assoc, ..)] => *assoc,
            other => panic!("expected one connect: {other:?}"),
        }
    }

    fn input(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
    }

    fn up(&mut self, assoc: AssocId, remote: SocketAddr) {
        let local = vec![IpAddr::from([10, 0, 0, 99])];
        self.input(Input::Up { assoc, channel: Channel::Asap, remote: vec![remote], local, streams: 16 });
    }

    fn down(&mut self, assoc: AssocId, why: DownReason) {
        self.input(Input::Down { assoc, why });
    }

    fn asap(&mut self, assoc: AssocId, message: impl Into<asap::Message>) {
        let bytes = message.into().encode().unwrap();
        self.input(Input::Message { assoc, stream: 0, ppid: PPID_ASAP, unordered: false, bytes });
    }

    fn data(&mut self, assoc: AssocId, text: &'static str) {
        let bytes = Bytes::from_static(text.as_bytes());
        self.input(Input::Message { assoc, stream: 0, ppid: 0, unordered: false, bytes });
    }

    /// The registration of element 0x11 is granted.
    fn grant(&mut self, home: AssocId) {
        let id = PeIdentifier(0x11);
        self.asap(home, asap::RegistrationResponse { rejected: false, handle: pool(), id, error: None });
    }

    /// A resolution of the pool is answered with these servers.
    fn answer(&mut self, home: AssocId, servers: impl IntoIterator<Item = u8>) {
        let elements = servers.into_iter().map(element).collect();
        let policy = Some(Policy::RoundRobin);
        let handle = pool();
        self.asap(
            home,
            asap::HandleResolutionResponse { accepted: false, handle, policy, elements, error: None },
        );
    }

    fn refuse(&mut self, home: AssocId, code: CauseCode) {
        self.asap(
            home,
            asap::HandleResolutionResponse {
                accepted: false,
                handle: pool(),
                policy: None,
                elements: Vec::new(),
                error: Some(cause(code)),
            },
        );
    }

    /// The home is heard, with nothing of interest.
    fn hear(&mut self, home: AssocId) {
        self.asap(home, asap::Error { error: cause(CauseCode::UNSPECIFIED) });
    }

    /// Lets time pass, every timer at its time.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.machine.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Lets time pass until something is transmitted, and says how long that took.
    fn pass_until_out(&mut self) -> (Duration, Vec<Out>) {
        let start = self.now;
        while let Some((at, _)) = self.machine.poll_timeout() {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            let out = self.out();
            if !out.is_empty() {
                return (self.now.since(start), out);
            }
        }
        panic!("nothing more will happen");
    }

    fn send(&mut self, session: SessionId, epoch: u32, text: &'static str) {
        self.machine.send(self.now, session, epoch, text_message(text)).unwrap();
    }
}

/// So many messages with so many bytes left the queue of a session.
fn sent(session: SessionId, messages: usize, bytes: usize) -> Event {
    Event::Sent { session, bytes: bytes + messages * MESSAGE_OVERHEAD }
}

fn text_message(text: &'static str) -> Message {
    Message::new(Bytes::from_static(text.as_bytes()))
}
