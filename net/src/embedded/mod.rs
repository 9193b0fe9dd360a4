//! The embedded SCTP on sockets: the shell around [`SctpEndpoint`], over [UDP](crate::udp) or on [IP](crate::raw).
//!
//! One socket carries all associations of an endpoint; an endpoint with several addresses has one at each, and what is to
//! leave from an address leaves through its socket. Datagrams are received and sent in batches, over UDP with the
//! kernel's segmentation offload where consecutive datagrams to one peer have the same size. An answer leaves from the
//! address that the packet came to, so a socket on `0.0.0.0` or `[::]` works on a host with many addresses.
//!
//! ICMP is a hint that can be switched off: the error queue is read, and what it says goes to the core, which verifies
//! it. A pending error of one peer never costs another its packet.

mod errors;
mod line;
mod outgoing;
pub(crate) mod ports;
pub(crate) mod socket;

use crate::Endpoint;
use crate::sctp::{Carrier, Counters, SctpConfig, SctpEndpoint};
use line::Line;
use proto::{Channel, Input, Time, Transmit};
use quinn_udp::BATCH_SIZE;
use socket::BoundSocket;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;
use std::task::{Context, Poll};
use tracing::warn;

/// The most that one received buffer can hold: a UDP datagram, or a run of them with receive offload.
const BUFFER: usize = 1 << 16;
/// How often a send that fails is tried, the error queue drained in between.
const SEND_ATTEMPTS: usize = 4;
/// Entries of the error queue that are read at once.
const MAX_REPORTS: usize = 64;

/// What the shell counts; the core has [`Counters`] of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketCounters {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// System calls that received something.
    pub receive_calls: u64,
    /// System calls that sent something.
    pub send_calls: u64,
    /// Datagrams dropped because too much waited for the socket.
    pub dropped_full: u64,
    /// Datagrams that the system refused to send.
    pub dropped_refused: u64,
    /// ICMP messages that say nobody listens there, passed to the core.
    pub icmp_refused: u64,
    /// Other entries of the error queue, ignored.
    pub icmp_ignored: u64,
}

/// Sockets that are bound and wait for their thread.
///
/// [`EmbeddedEndpoint`]s are not `Send`; binding first tells whoever starts the thread what is wrong with an address.
pub struct EmbeddedListener {
    first: BoundSocket,
    /// At further local addresses, with the same port.
    further: Vec<BoundSocket>,
    carrier: Carrier,
    ports: Vec<(Channel, u16)>,
    icmp: bool,
}

impl EmbeddedListener {
    /// Logs a warning, once per process, when an address is not a loopback one: nothing is authenticated (design
    /// decision D12).
    pub(crate) fn new(
        first: BoundSocket,
        further: Vec<BoundSocket>,
        carrier: Carrier,
        ports: Vec<(Channel, u16)>,
        icmp: bool,
    ) -> Self {
        std::iter::once(&first).chain(&further).for_each(|bound| warn_unless_loopback(bound.local));
        Self { first, further, carrier, ports, icmp }
    }

    /// Bytes of packets that the system keeps for each socket until they are read.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        // Linux keeps as much again for its book-keeping, and counts it.
        Ok(SockRef::from(&self.first.socket).recv_buffer_size()? / 2)
    }

    /// Lets sockets that are bound to multicast groups have the port, too. Whoever has not bound it by now still cannot,
    /// except with the same option.
    pub(crate) fn admit_groups(&self) -> io::Result<()> {
        let sockets = std::iter::once(&self.first).chain(&self.further).map(|bound| &bound.socket);
        sockets.into_iter().try_for_each(|socket| SockRef::from(socket).set_reuse_address(true))
    }

    /// Where it listens: the first socket's address with each of the SCTP ports.
    pub fn local_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let with_port = |&(_, port): &(Channel, u16)| {
            let mut address = self.first.local;
            address.set_port(port);
            address
        };
        self.ports.iter().map(with_port)
    }
}

fn warn_unless_loopback(address: SocketAddr) {
    static WARNED: Once = Once::new();
    if !address.ip().to_canonical().is_loopback() {
        WARNED.call_once(|| {
            warn!(%address, "listening beyond loopback without authentication: anyone who reaches this port takes part");
        });
    }
}

/// What all sockets of an endpoint share.
struct Core {
    sctp: SctpEndpoint,
    buffers: Vec<u8>,
    counters: SocketCounters,
}

/// An embedded SCTP endpoint on its sockets.
pub struct EmbeddedEndpoint {
    core: Core,
    /// One for each local address, at least one.
    lines: Vec<Line>,
    /// Which of them is read first.
    next: usize,
}

impl EmbeddedEndpoint {
    /// An endpoint on bound sockets. Must be called inside a tokio runtime. `seed` must be unpredictable.
    pub fn new(listener: EmbeddedListener, config: SctpConfig, seed: [u8; 32]) -> io::Result<Self> {
        let EmbeddedListener { first, further, carrier, ports, icmp } = listener;
        let sctp = SctpEndpoint::with_ports(config, carrier, first.local, &ports, seed)
            .with_addresses(further.iter().map(|bound| bound.local.ip()));
        let lines = std::iter::once(first).chain(further).map(|bound| Line::new(bound, icmp));
        Ok(Self {
            lines: lines.collect::<io::Result<_>>()?,
            core: Core { sctp, buffers: vec![0; BATCH_SIZE * BUFFER], counters: SocketCounters::default() },
            next: 0,
        })
    }

    /// What it reads at least before it leaves the rest for later, of each socket: they take turns. A power of two.
    pub(crate) fn batch(&self) -> usize {
        BATCH_SIZE / self.lines.len().next_power_of_two()
    }

    /// What the shell has counted.
    pub fn socket_counters(&self) -> &SocketCounters {
        &self.core.counters
    }

    /// What the SCTP core has counted.
    pub fn sctp_counters(&self) -> &Counters {
        self.core.sctp.counters()
    }

    /// The socket that sends from an address, which every datagram names if there are several.
    fn line(&mut self, from: Option<IpAddr>) -> Option<&mut Line> {
        let index = match self.lines.as_slice() {
            [_] => Some(0),
            lines => {
                let from = from.map(|ip| ip.to_canonical());
                lines.iter().position(|line| Some(line.local.ip().to_canonical()) == from)
            }
        };
        self.lines.get_mut(index?)
    }
}

impl Endpoint for EmbeddedEndpoint {
    fn local_address(&self) -> SocketAddr {
        self.core.sctp.local_address()
    }

    fn carry_out(&mut self, now: Time, transmit: Transmit) {
        self.core.sctp.carry_out(now, transmit);
    }

    fn flush(&mut self, now: Time) {
        self.core.sctp.finish_batch(now);
        while let Some(datagram) = self.core.sctp.poll_datagram() {
            let is_queued = self.line(datagram.from).is_some_and(|line| line.outgoing.push(datagram));
            if !is_queued {
                self.core.counters.dropped_full += 1;
            }
        }
        for line in &mut self.lines {
            line.send_queued(now, &mut self.core);
        }
    }

    fn poll_input(&mut self) -> Option<Input> {
        self.core.sctp.poll_input()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.core.sctp.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.core.sctp.handle_timeout(now);
    }

    /// Asks the sockets themselves each time: what tokio remembers of their readiness may be older than a freeze of
    /// this process, and the clock relies on `Pending` (see `clock`).
    fn poll_io(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<io::Result<()>> {
        let Self { core, lines, next } = self;
        for line in lines.iter_mut() {
            line.wake(cx.waker());
            line.poll_errors(cx, now, core);
            line.poll_writable(cx, now, core);
        }
        // In turns: none waits for the end of a flood at another.
        let count = lines.len();
        for _ in 0..count {
            let Some(line) = lines.get_mut(*next) else { break };
            *next = (*next + 1) % count;
            if line.poll_receive(now, core).is_ready() {
                return Poll::Ready(Ok(()));
            }
        }
        for line in lines {
            line.rest(cx)?;
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::errors::Report;
    use super::*;
    use crate::sctp::Datagram;
    use crate::udp::{self, UdpConfig};
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::time::Duration;

    const BOTH: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    const ROUNDS: u8 = 20;

    fn endpoint(ip: IpAddr, icmp: bool) -> EmbeddedEndpoint {
        let config = UdpConfig { icmp, ..UdpConfig::default() };
        let listener = udp::bind(&[(Channel::Asap, (ip, 0).into())], &config).unwrap();
        EmbeddedEndpoint::new(listener, SctpConfig::control(), [7; 32]).unwrap()
    }

    fn send(endpoint: &mut EmbeddedEndpoint, to: SocketAddr, bytes: &[u8]) {
        assert!(endpoint.lines[0].outgoing.push(Datagram { to, from: None, bytes: bytes.to_vec() }));
    }

    fn send_queued(endpoint: &mut EmbeddedEndpoint) {
        endpoint.lines[0].send_queued(Time::ZERO, &mut endpoint.core);
    }

    fn read_errors(endpoint: &mut EmbeddedEndpoint) {
        endpoint.lines[0].read_errors(Time::ZERO, &mut endpoint.core);
    }

    /// Sends to a dead and to a healthy peer in turns; what the healthy one received.
    fn dead_beside_healthy(endpoint: &mut EmbeddedEndpoint, ip: IpAddr) -> Vec<u8> {
        let dead = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
        let healthy = UdpSocket::bind((ip, 0)).unwrap();
        healthy.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for round in 0..ROUNDS {
            send(endpoint, dead, &[0; 20]);
            send(endpoint, healthy.local_addr().unwrap(), &[round]);
            send_queued(endpoint);
        }
        let receive = |_| {
            let mut byte = [0; 8];
            healthy.recv(&mut byte).map(|_| byte[0]).unwrap()
        };
        (0..ROUNDS).map(receive).collect()
    }

    #[tokio::test]
    async fn a_pending_error_of_one_peer_never_costs_another_its_packet() {
        for ip in BOTH {
            let mut endpoint = endpoint(ip, true);
            let received = dead_beside_healthy(&mut endpoint, ip);
            assert_eq!(received, (0..ROUNDS).collect::<Vec<_>>());
            read_errors(&mut endpoint);
            let counters = endpoint.socket_counters();
            assert_eq!((counters.sent, counters.dropped_refused), (2 * u64::from(ROUNDS), 0));
            assert_eq!((counters.icmp_refused, counters.icmp_ignored), (u64::from(ROUNDS), 0));
        }
    }

    // RFC 6951 §5.5: a quotation that fits no association is discarded.
    #[tokio::test]
    async fn the_core_gets_destination_and_quotation_and_discards_what_it_cannot_verify() {
        for ip in BOTH {
            let mut endpoint = endpoint(ip, true);
            let dead = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
            send(&mut endpoint, dead, b"not a packet of any association");
            send_queued(&mut endpoint);
            let report = errors::next(endpoint.lines[0].socket.get_ref()).unwrap().unwrap();
            let quoted = b"not a packet of any association".to_vec();
            assert_eq!(report, Report { destination: Some(dead), quoted, refused: true });
            assert_eq!(errors::next(endpoint.lines[0].socket.get_ref()).unwrap(), None);

            send(&mut endpoint, dead, b"another one");
            send_queued(&mut endpoint);
            read_errors(&mut endpoint);
            assert_eq!(endpoint.sctp_counters().dropped_icmp, 1);
            assert!(endpoint.poll_input().is_none());
        }
    }

    #[tokio::test]
    async fn with_icmp_switched_off_nothing_is_heard_of_it() {
        for ip in BOTH {
            let mut endpoint = endpoint(ip, false);
            let received = dead_beside_healthy(&mut endpoint, ip);
            assert_eq!(received, (0..ROUNDS).collect::<Vec<_>>());
            let counters = endpoint.socket_counters();
            assert_eq!((counters.icmp_refused, counters.icmp_ignored), (0, 0));
        }
    }

    #[tokio::test]
    async fn an_error_wakes_an_idle_endpoint() {
        for ip in BOTH {
            let mut endpoint = endpoint(ip, true);
            let dead = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
            for round in 1..=3 {
                send(&mut endpoint, dead, b"anybody?");
                send_queued(&mut endpoint);
                let heard = std::future::poll_fn(|cx| {
                    while endpoint.poll_io(cx, Time::ZERO).is_ready() {}
                    if endpoint.core.counters.icmp_refused < round { Poll::Pending } else { Poll::Ready(()) }
                });
                tokio::time::timeout(Duration::from_secs(5), heard).await.expect("woken by the error");
            }
        }
    }

    #[tokio::test]
    async fn what_waits_for_a_full_socket_goes_out_when_it_is_writable_again() {
        for ip in BOTH {
            let mut endpoint = endpoint(ip, true);
            let healthy = UdpSocket::bind((ip, 0)).unwrap();
            let mut step = 0;
            let sent = std::future::poll_fn(|cx| {
                while endpoint.poll_io(cx, Time::ZERO).is_ready() {}
                step += 1;
                if step == 1 {
                    // As after a send that would block; the driver polls no more in this turn.
                    endpoint.lines[0].wait_until_writable();
                    send(&mut endpoint, healthy.local_addr().unwrap(), b"late");
                    endpoint.flush(Time::ZERO);
                    assert_eq!(endpoint.core.counters.sent, 0);
                }
                if endpoint.core.counters.sent == 1 { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::time::timeout(Duration::from_secs(5), sent).await.expect("woken when writable");
            let mut bytes = [0; 8];
            assert_eq!(healthy.recv(&mut bytes).unwrap(), 4);
        }
    }

    #[tokio::test]
    async fn a_datagram_that_the_system_refuses_is_dropped_and_the_next_goes_out() {
        let ip = BOTH[0];
        let mut endpoint = endpoint(ip, true);
        let healthy = UdpSocket::bind((ip, 0)).unwrap();
        let too_large = vec![0; 70_000];
        send(&mut endpoint, healthy.local_addr().unwrap(), &too_large);
        send(&mut endpoint, healthy.local_addr().unwrap(), b"fits");
        send_queued(&mut endpoint);
        assert_eq!((endpoint.core.counters.sent, endpoint.core.counters.dropped_refused), (1, 1));
        let mut bytes = [0; 8];
        assert_eq!(healthy.recv(&mut bytes).unwrap(), 4);
    }
}
