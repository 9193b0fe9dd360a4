//! Two peers on real sockets: a small machine over the driver, and what a test wants to ask of it.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

pub(crate) mod stories;

use bytes::Bytes;
use proto::{AssocId, Channel, DownReason, Input, Node, Time, Transmit};
use rserpool_net::driver::{BackendCounters, EndpointCounters};
use rserpool_net::embedded::SocketCounters;
use rserpool_net::kernel::KernelConfig;
use rserpool_net::raw::RawConfig;
use rserpool_net::sctp::{self, SctpConfig};
use rserpool_net::udp::{EncapPorts, UdpConfig};
use rserpool_net::{Driver, DriverConfig, Handle, Listen, MulticastConfig, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// How long anything may take before a test gives up.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const PPID: u32 = 4711;

/// A machine that does what it is told, tells everything, and, if asked to, returns every message.
pub(crate) struct Machine {
    echo: bool,
    connected: u64,
    transmits: VecDeque<Transmit>,
    /// Associations whose queue is full, with what waits for it.
    blocked: BTreeMap<AssocId, VecDeque<Transmit>>,
    events: VecDeque<Input>,
    pub(crate) received: u64,
    pub(crate) associations: usize,
}

impl Machine {
    pub(crate) fn new(echo: bool) -> Self {
        Self {
            echo,
            connected: 0,
            transmits: VecDeque::new(),
            blocked: BTreeMap::new(),
            events: VecDeque::new(),
            received: 0,
            associations: 0,
        }
    }

    pub(crate) fn connect(&mut self, channel: Channel, remote: SocketAddr) -> AssocId {
        self.connected += 1;
        let assoc = AssocId::connected(self.connected);
        self.transmit(Transmit::Connect { assoc, channel, remote: vec![remote] });
        assoc
    }

    pub(crate) fn send(&mut self, assoc: AssocId, stream: u16, bytes: Bytes) {
        self.transmit(Transmit::Send { assoc, stream, ppid: PPID, unordered: false, bytes });
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        self.transmits.push_back(transmit);
    }

    pub(crate) fn is_blocked(&self, assoc: AssocId) -> bool {
        self.blocked.contains_key(&assoc)
    }
}

impl Node for Machine {
    type Event = Input;

    fn handle_input(&mut self, _now: Time, input: Input) {
        match &input {
            Input::Up { .. } => self.associations += 1,
            Input::Down { assoc, .. } => {
                self.associations = self.associations.saturating_sub(1);
                self.blocked.remove(assoc);
            }
            Input::Full { assoc } => drop(self.blocked.entry(*assoc).or_default()),
            Input::Writable { assoc } => {
                self.transmits.extend(self.blocked.remove(assoc).unwrap_or_default());
            }
            Input::Message { assoc, stream, bytes, .. } => {
                self.received += 1;
                if self.echo {
                    return self.send(*assoc, *stream, bytes.clone());
                }
            }
            _ => {}
        }
        self.events.push_back(input);
    }

    fn handle_timeout(&mut self, _now: Time) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            let transmit = self.transmits.pop_front()?;
            match &transmit {
                Transmit::Send { assoc, .. } | Transmit::Shutdown { assoc } => {
                    match self.blocked.get_mut(assoc) {
                        Some(waiting) => waiting.push_back(transmit),
                        None => return Some(transmit),
                    }
                }
                _ => return Some(transmit),
            }
        }
    }

    fn poll_event(&mut self) -> Option<Input> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}

/// How a [`Peer`] is started.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) address: SocketAddr,
    pub(crate) echo: bool,
    pub(crate) transport: Transport,
    /// Whether there is an endpoint for ENRP beside the one for ASAP.
    pub(crate) enrp: bool,
    pub(crate) sctp: SctpConfig,
    pub(crate) multicast: Option<MulticastConfig>,
}

impl Setup {
    pub(crate) fn on(ip: IpAddr) -> Self {
        let sctp = SctpConfig::sessions();
        let transport = Transport::default();
        Self { address: (ip, 0).into(), echo: false, transport, enrp: false, sctp, multicast: None }
    }

    /// On the kernel's SCTP.
    pub(crate) fn kernel(ip: IpAddr) -> Self {
        Self { transport: Transport::Kernel(KernelConfig::default()), ..Self::on(ip) }
    }

    pub(crate) fn echo(mut self) -> Self {
        self.echo = true;
        self
    }

    pub(crate) fn without_icmp(mut self) -> Self {
        self.transport = Transport::Udp(UdpConfig { icmp: false, ..UdpConfig::default() });
        self
    }

    pub(crate) fn with_enrp(mut self) -> Self {
        self.enrp = true;
        self
    }

    /// On IP itself.
    pub(crate) fn raw(ip: IpAddr) -> Self {
        Self { transport: Transport::Raw(RawConfig::default()), ..Self::on(ip) }
    }

    pub(crate) fn behind(mut self, encap: EncapPorts) -> Self {
        self.transport = Transport::Udp(UdpConfig { encap: Some(encap), ..UdpConfig::default() });
        self
    }

    pub(crate) fn config(&self) -> DriverConfig {
        let listen = |channel| Listen {
            transport: self.transport.clone(),
            ..Listen::new(channel, self.address, self.sctp.clone())
        };
        let mut channels = vec![Channel::Asap];
        channels.extend(self.enrp.then_some(Channel::Enrp));
        DriverConfig {
            name: "endpoint".into(),
            listen: channels.into_iter().map(listen).collect(),
            multicast: self.multicast.clone(),
        }
    }

    pub(crate) fn start(self) -> Peer {
        let (sender, events) = unbounded_channel();
        let echo = self.echo;
        let sink = move |_: &mut Machine, now, input| drop(sender.send((now, input)));
        let handle = Driver::spawn(self.config(), move |_| Machine::new(echo), sink).unwrap();
        let address = handle.local_addresses()[0];
        Peer { handle, events, address }
    }
}

/// A machine on its endpoint thread.
pub(crate) struct Peer {
    pub(crate) handle: Handle<Machine>,
    pub(crate) events: UnboundedReceiver<(Time, Input)>,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) async fn call<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Machine) -> R + Send + 'static,
    ) -> R {
        self.timed(move |machine, _| f(machine)).await
    }

    pub(crate) async fn timed<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Machine, Time) -> R + Send + 'static,
    ) -> R {
        within("an answer of the endpoint thread", self.handle.call(f)).await.unwrap()
    }

    /// Starts an association and waits until it is established.
    pub(crate) async fn connect(&mut self, remote: SocketAddr) -> AssocId {
        self.connect_from(Channel::Session, remote).await
    }

    /// The same from the SCTP port of a channel.
    pub(crate) async fn connect_from(&mut self, channel: Channel, remote: SocketAddr) -> AssocId {
        let assoc = self.call(move |machine| machine.connect(channel, remote)).await;
        self.expect("Up", |_, input| {
            matches!(input, Input::Up { assoc: up, .. } if up == assoc).then_some(())
        })
        .await;
        assoc
    }

    pub(crate) async fn send(&self, assoc: AssocId, stream: u16, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.call(move |machine| machine.send(assoc, stream, bytes)).await;
    }

    pub(crate) async fn transmit(&self, transmit: Transmit) {
        self.call(move |machine| machine.transmit(transmit)).await;
    }

    /// Sends and waits for what comes back.
    pub(crate) async fn request(&mut self, assoc: AssocId, bytes: impl Into<Bytes>) -> Bytes {
        self.send(assoc, 0, bytes).await;
        self.message(assoc).await
    }

    pub(crate) async fn message(&mut self, assoc: AssocId) -> Bytes {
        self.expect("a message", |_, input| match input {
            Input::Message { assoc: from, bytes, .. } if from == assoc => Some(bytes),
            _ => None,
        })
        .await
    }

    pub(crate) async fn down(&mut self, assoc: AssocId) -> (Time, DownReason) {
        self.expect("Down", |now, input| match input {
            Input::Down { assoc: down, why } if down == assoc => Some((now, why)),
            _ => None,
        })
        .await
    }

    /// The association that a peer starts next.
    pub(crate) async fn accept(&mut self) -> AssocId {
        self.expect("Up", |_, input| match input {
            Input::Up { assoc, .. } => Some(assoc),
            _ => None,
        })
        .await
    }

    /// The first of the next events that `pick` wants; an association that ends meanwhile fails the test.
    pub(crate) async fn expect<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(Time, Input) -> Option<T>,
    ) -> T {
        loop {
            let (now, input) = within(what, self.events.recv()).await.expect("the endpoint thread lives");
            let ended = matches!(input, Input::Down { .. }).then(|| format!("{input:?}"));
            if let Some(found) = pick(now, input) {
                return found;
            }
            assert_eq!(ended, None, "instead of {what}");
        }
    }

    /// Where its socket is.
    pub(crate) async fn socket(&self) -> SocketAddr {
        within("counters", self.handle.counters()).await.unwrap()[0].local
    }

    /// What the first endpoint has counted, which must be an embedded one.
    pub(crate) async fn counters(&self) -> Embedded {
        embedded(within("counters", self.handle.counters()).await.unwrap().remove(0))
    }

    /// As if the process were killed: the sockets close, nobody is told.
    pub(crate) async fn kill(self) {
        let Self { handle, events, .. } = self;
        let nothing = |_: &mut Machine, _| {};
        handle.stop("killed by the test", Duration::ZERO, nothing, |_| true);
        within("the thread's end", handle.closed()).await;
        drop(events);
    }
}

/// What an embedded endpoint has counted.
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) udp: SocketCounters,
    pub(crate) sctp: sctp::Counters,
}

/// The counters of an embedded endpoint; those of another backend fail the test.
pub(crate) fn embedded(counters: EndpointCounters) -> Embedded {
    match counters.backend {
        BackendCounters::Embedded { socket, sctp } => Embedded { udp: socket, sctp: *sctp },
        other => panic!("not an embedded endpoint: {other:?}"),
    }
}

pub(crate) async fn within<F: IntoFuture>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("no {what} within {LIMIT:?}"),
    }
}

/// Bytes that show where they are out of place.
pub(crate) fn pattern(length: usize) -> Bytes {
    (0..length).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into()
}

/// Runs a story of [`stories`] on IPv4 and on IPv6, with endpoints of one backend.
#[macro_export]
macro_rules! on_backend {
    (Setup::$setup:ident: $($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_ipv4() {
                $crate::common::stories::$name($crate::common::Setup::$setup($crate::common::V4)).await;
            }
            #[tokio::test]
            async fn on_ipv6() {
                $crate::common::stories::$name($crate::common::Setup::$setup($crate::common::V6)).await;
            }
        }
    )*};
}

/// Runs a story on IPv4 and on IPv6.
#[macro_export]
macro_rules! on_both {
    ($name:ident) => {
        mod $name {
            #[tokio::test]
            async fn on_ipv4() {
                super::story::$name($crate::common::V4).await;
            }
            #[tokio::test]
            async fn on_ipv6() {
                super::story::$name($crate::common::V6).await;
            }
        }
    };
}
