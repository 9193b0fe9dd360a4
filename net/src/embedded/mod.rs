//! The embedded SCTP on a socket: the shell around [`SctpEndpoint`], over [UDP](crate::udp) or on [IP](crate::raw).
//!
//! One socket carries all associations of an endpoint. Datagrams are received and sent in batches, over UDP with the
//! kernel's segmentation offload where consecutive datagrams to one peer have the same size. An answer leaves from the
//! address that the packet came to, so a socket on `0.0.0.0` or `[::]` works on a host with many addresses.
//!
//! ICMP is a hint that can be switched off: the error queue is read, and what it says goes to the core, which verifies
//! it. A pending error of one peer never costs another its packet.

mod errors;
mod outgoing;
pub(crate) mod ports;
pub(crate) mod socket;

use crate::Endpoint;
use crate::sctp::{Carrier, Counters, SctpConfig, SctpEndpoint};
use errors::Report;
use outgoing::Outgoing;
use proto::{Channel, Input, Time, Transmit};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use socket::{BoundSocket, mapped, watch};
use socket2::SockRef;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::{Context, Poll, Waker};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::{trace, warn};

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

/// A socket that is bound and waits for its thread.
///
/// [`EmbeddedEndpoint`]s are not `Send`; binding first tells whoever starts the thread what is wrong with an address.
pub struct EmbeddedListener {
    bound: BoundSocket,
    carrier: Carrier,
    ports: Vec<(Channel, u16)>,
    icmp: bool,
}

impl EmbeddedListener {
    /// Logs a warning, once per process, when the address is not a loopback one: nothing is authenticated (design
    /// decision D12).
    pub(crate) fn new(bound: BoundSocket, carrier: Carrier, ports: Vec<(Channel, u16)>, icmp: bool) -> Self {
        warn_unless_loopback(bound.local);
        Self { bound, carrier, ports, icmp }
    }

    /// Bytes of packets that the system keeps for the socket until they are read.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        // Linux keeps as much again for its book-keeping, and counts it.
        Ok(SockRef::from(&self.bound.socket).recv_buffer_size()? / 2)
    }

    /// Lets sockets that are bound to multicast groups have its port, too. Whoever has not bound it by now still cannot,
    /// except with the same option.
    pub(crate) fn admit_groups(&self) -> io::Result<()> {
        SockRef::from(&self.bound.socket).set_reuse_address(true)
    }

    /// Where it listens: the socket's address with each of the SCTP ports.
    pub fn local_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let with_port = |&(_, port): &(Channel, u16)| {
            let mut address = self.bound.local;
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

type Wake = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// An embedded SCTP endpoint on one socket.
pub struct EmbeddedEndpoint {
    sctp: SctpEndpoint,
    socket: Rc<AsyncFd<UdpSocket>>,
    state: UdpSocketState,
    local: SocketAddr,
    has_ip_header: bool,
    buffers: Vec<u8>,
    /// The last receive emptied the socket's queue.
    drained: bool,
    outgoing: Outgoing,
    /// Set while the socket takes nothing more.
    writable: Option<Wake>,
    /// Resolves when there is something in the error queue; none with ICMP off.
    error_pending: Option<Wake>,
    waker: Waker,
    counters: SocketCounters,
}

impl EmbeddedEndpoint {
    /// What it reads at least before it leaves the rest for later.
    pub(crate) const BATCH: usize = BATCH_SIZE;

    /// An endpoint on a bound socket. Must be called inside a tokio runtime. `seed` must be unpredictable.
    pub fn new(listener: EmbeddedListener, config: SctpConfig, seed: [u8; 32]) -> io::Result<Self> {
        let EmbeddedListener { bound, carrier, ports, icmp } = listener;
        let BoundSocket { socket, state, local, has_ip_header } = bound;
        // Only readable: with writable too, every datagram that a peer reads would wake this thread.
        let socket = Rc::new(watch(socket, Interest::READABLE)?);
        Ok(Self {
            sctp: SctpEndpoint::with_ports(config, carrier, local, &ports, seed),
            error_pending: icmp.then(|| error_pending(socket.clone())),
            socket,
            state,
            local,
            has_ip_header,
            buffers: vec![0; BATCH_SIZE * BUFFER],
            drained: false,
            outgoing: Outgoing::default(),
            writable: None,
            waker: Waker::noop().clone(),
            counters: SocketCounters::default(),
        })
    }

    /// What the shell has counted.
    pub fn socket_counters(&self) -> &SocketCounters {
        &self.counters
    }

    /// What the SCTP core has counted.
    pub fn sctp_counters(&self) -> &Counters {
        self.sctp.counters()
    }

    /// One batch of datagrams from the socket to the core.
    fn receive(&mut self, now: Time) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = self.buffers.chunks_exact_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let count = self.state.recv(self.socket.get_ref().into(), &mut slices, &mut metas)?;
        self.counters.receive_calls += 1;
        self.drained = count < BATCH_SIZE;
        for (buffer, meta) in self.buffers.chunks_exact(BUFFER).zip(metas.iter().take(count)) {
            let to = meta.dst_ip.unwrap_or(self.local.ip());
            let datagrams = buffer.get(..meta.len).unwrap_or_default();
            for datagram in datagrams.chunks(meta.stride.max(1)) {
                self.counters.received += 1;
                let datagram = if self.has_ip_header { ip_payload(datagram) } else { datagram };
                self.sctp.handle_datagram(now, meta.addr, to, datagram);
            }
        }
        Ok(())
    }

    /// Sends what waits, until the socket takes no more.
    fn send_queued(&mut self, now: Time) {
        let mut failures = 0;
        while self.writable.is_none() {
            let Some(run) = self.outgoing.run(self.state.max_gso_segments()) else { return };
            let count = run.count;
            let transmit = quinn_udp::Transmit {
                destination: mapped(run.to, self.local),
                ecn: None,
                contents: run.contents,
                segment_size: run.segment,
                // A socket on one address has no choice to make.
                src_ip: run.from.filter(|_| self.local.ip().is_unspecified()),
            };
            match self.state.try_send(self.socket.get_ref().into(), &transmit) {
                Ok(()) => {
                    self.counters.send_calls += 1;
                    self.counters.sent += count as u64;
                    self.outgoing.done(count);
                    failures = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.wait_until_writable(),
                Err(error) => {
                    // Most likely the error of another packet, sent earlier, to somebody else.
                    self.read_errors(now);
                    failures += 1;
                    if failures == SEND_ATTEMPTS {
                        failures = 0;
                        self.give_up(count, &error);
                    }
                }
            }
        }
    }

    /// The datagrams at the head cannot be sent, at least not together.
    fn give_up(&mut self, count: usize, error: &io::Error) {
        trace!(count, %error, "the system refuses to send");
        if count > 1 {
            self.outgoing.split(count);
        } else {
            self.outgoing.done(1);
            self.counters.dropped_refused += 1;
        }
    }

    fn wait_until_writable(&mut self) {
        match self.socket.get_ref().try_clone().and_then(|socket| watch(socket, Interest::WRITABLE)) {
            Ok(socket) => {
                let mut writable: Wake = Box::pin(async move { socket.writable().await.map(drop) });
                let ready = writable.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready();
                self.writable = (!ready).then_some(writable);
            }
            Err(error) => trace!(%error, "no second descriptor: what waits goes with the next flush"),
        }
    }

    /// Passes what is in the error queue to the core.
    fn read_errors(&mut self, now: Time) {
        if self.error_pending.is_none() {
            return;
        }
        for _ in 0..MAX_REPORTS {
            match errors::next(self.socket.get_ref()) {
                Ok(Some(Report { destination: Some(destination), quoted, refused: true })) => {
                    self.counters.icmp_refused += 1;
                    self.sctp.handle_unreachable(now, destination, &quoted);
                }
                Ok(Some(_)) => self.counters.icmp_ignored += 1,
                Ok(None) => return,
                Err(error) => {
                    trace!(%error, "error queue");
                    return;
                }
            }
        }
    }

    fn poll_errors(&mut self, cx: &mut Context<'_>, now: Time) {
        while let Some(pending) = &mut self.error_pending {
            if pending.as_mut().poll(cx).is_pending() {
                return;
            }
            self.error_pending = Some(error_pending(self.socket.clone()));
            self.read_errors(now);
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>, now: Time) {
        if let Some(writable) = &mut self.writable
            && writable.as_mut().poll(cx).is_ready()
        {
            self.writable = None;
            self.send_queued(now);
        }
    }
}

/// What follows the header of an IPv4 packet; nothing if that is no header.
fn ip_payload(packet: &[u8]) -> &[u8] {
    let words = packet.first().map_or(0, |first| usize::from(first & 0x0f));
    packet.get(4 * words..).filter(|_| words >= 5).unwrap_or_default()
}

/// Resolves when the socket reports an error.
fn error_pending(socket: Rc<AsyncFd<UdpSocket>>) -> Wake {
    Box::pin(async move {
        socket.ready(Interest::ERROR).await?.clear_ready();
        Ok(())
    })
}

impl Endpoint for EmbeddedEndpoint {
    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn carry_out(&mut self, now: Time, transmit: Transmit) {
        self.sctp.carry_out(now, transmit);
    }

    fn flush(&mut self, now: Time) {
        self.sctp.finish_batch(now);
        while let Some(datagram) = self.sctp.poll_datagram() {
            if !self.outgoing.push(datagram) {
                self.counters.dropped_full += 1;
            }
        }
        self.send_queued(now);
    }

    fn poll_input(&mut self) -> Option<Input> {
        self.sctp.poll_input()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.sctp.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Time) {
        self.sctp.handle_timeout(now);
    }

    /// Asks the socket itself each time: what tokio remembers of its readiness may be older than a freeze of
    /// this process, and the clock relies on `Pending` (see `clock`).
    fn poll_io(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<io::Result<()>> {
        self.waker.clone_from(cx.waker());
        self.poll_errors(cx, now);
        self.poll_writable(cx, now);
        if !self.drained {
            match self.receive(now) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    trace!(%error, "receive");
                    self.read_errors(now);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        self.drained = false;
        // An arrival since then has left its edge in epoll, so forgetting the readiness loses nothing.
        while let Poll::Ready(guard) = self.socket.poll_read_ready(cx) {
            guard?.clear_ready();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sctp::Datagram;
    use crate::udp::{self, UdpConfig};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    const BOTH: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    const ROUNDS: u8 = 20;

    fn endpoint(ip: IpAddr, icmp: bool) -> EmbeddedEndpoint {
        let config = UdpConfig { icmp, ..UdpConfig::default() };
        let listener = udp::bind(&[(Channel::Asap, (ip, 0).into())], &config).unwrap();
        EmbeddedEndpoint::new(listener, SctpConfig::control(), [7; 32]).unwrap()
    }

    fn send(endpoint: &mut EmbeddedEndpoint, to: SocketAddr, bytes: &[u8]) {
        assert!(endpoint.outgoing.push(Datagram { to, from: None, bytes: bytes.to_vec() }));
    }

    /// Sends to a dead and to a healthy peer in turns; what the healthy one received.
    fn dead_beside_healthy(endpoint: &mut EmbeddedEndpoint, ip: IpAddr) -> Vec<u8> {
        let dead = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
        let healthy = UdpSocket::bind((ip, 0)).unwrap();
        healthy.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for round in 0..ROUNDS {
            send(endpoint, dead, &[0; 20]);
            send(endpoint, healthy.local_addr().unwrap(), &[round]);
            endpoint.send_queued(Time::ZERO);
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
            endpoint.read_errors(Time::ZERO);
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
            endpoint.send_queued(Time::ZERO);
            let report = errors::next(endpoint.socket.get_ref()).unwrap().unwrap();
            let quoted = b"not a packet of any association".to_vec();
            assert_eq!(report, Report { destination: Some(dead), quoted, refused: true });
            assert_eq!(errors::next(endpoint.socket.get_ref()).unwrap(), None);

            send(&mut endpoint, dead, b"another one");
            endpoint.send_queued(Time::ZERO);
            endpoint.read_errors(Time::ZERO);
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

    #[test]
    fn an_ipv4_header_is_taken_off_with_its_options() {
        let packet: Vec<u8> = [0x45].into_iter().chain(1..24).collect();
        assert_eq!(ip_payload(&packet), [20, 21, 22, 23]);
        let with_options: Vec<u8> = [0x46].into_iter().chain(1..26).collect();
        assert_eq!(ip_payload(&with_options), [24, 25]);
        for broken in [&[][..], &[0x44; 30], &[0x45; 19], &[0x4f; 59]] {
            assert_eq!(ip_payload(broken), [0_u8; 0]);
        }
    }

    #[tokio::test]
    async fn an_error_wakes_an_idle_endpoint() {
        for ip in BOTH {
            let mut endpoint = endpoint(ip, true);
            let dead = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
            for round in 1..=3 {
                send(&mut endpoint, dead, b"anybody?");
                endpoint.send_queued(Time::ZERO);
                let heard = std::future::poll_fn(|cx| {
                    while endpoint.poll_io(cx, Time::ZERO).is_ready() {}
                    if endpoint.counters.icmp_refused < round { Poll::Pending } else { Poll::Ready(()) }
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
                    endpoint.wait_until_writable();
                    send(&mut endpoint, healthy.local_addr().unwrap(), b"late");
                    endpoint.flush(Time::ZERO);
                    assert_eq!(endpoint.counters.sent, 0);
                }
                if endpoint.counters.sent == 1 { Poll::Ready(()) } else { Poll::Pending }
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
        endpoint.send_queued(Time::ZERO);
        assert_eq!((endpoint.counters.sent, endpoint.counters.dropped_refused), (1, 1));
        let mut bytes = [0; 8];
        assert_eq!(healthy.recv(&mut bytes).unwrap(), 4);
    }
}
