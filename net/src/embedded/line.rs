//! One socket of an endpoint: what comes in, what waits to go out, and what its error queue says.

use super::errors::{self, Report};
use super::outgoing::Outgoing;
use super::socket::{BoundSocket, mapped, watch};
use super::{BUFFER, Core, MAX_REPORTS, SEND_ATTEMPTS};
use proto::Time;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::trace;

type Wake = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// A socket with what waits for it.
pub(super) struct Line {
    pub(super) socket: Rc<AsyncFd<UdpSocket>>,
    state: UdpSocketState,
    pub(super) local: SocketAddr,
    has_ip_header: bool,
    /// When it was found empty, if nothing was asked of it since.
    empty_at: Option<Time>,
    pub(super) outgoing: Outgoing,
    /// Set while the socket takes nothing more.
    writable: Option<Wake>,
    /// Resolves when there is something in the error queue; none with ICMP off.
    error_pending: Option<Wake>,
    waker: Waker,
}

impl Line {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(bound: BoundSocket, icmp: bool) -> io::Result<Self> {
        let BoundSocket { socket, state, local, has_ip_header } = bound;
        // Only readable: with writable too, every datagram that a peer reads would wake this thread.
        let socket = Rc::new(watch(socket, Interest::READABLE)?);
        Ok(Self {
            error_pending: icmp.then(|| error_pending(socket.clone())),
            socket,
            state,
            local,
            has_ip_header,
            empty_at: None,
            outgoing: Outgoing::default(),
            writable: None,
            waker: Waker::noop().clone(),
        })
    }

    /// Reads a batch; `Pending` if there is nothing, as the socket says, or has said at this same time.
    pub(super) fn poll_receive(&mut self, now: Time, core: &mut Core) -> Poll<()> {
        if self.empty_at == Some(now) {
            return Poll::Pending;
        }
        match self.receive(now, core) {
            Ok(()) => Poll::Ready(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.empty_at = Some(now);
                Poll::Pending
            }
            Err(error) => {
                trace!(%error, "receive");
                self.read_errors(now, core);
                Poll::Ready(())
            }
        }
    }

    /// One batch of datagrams from the socket to the core.
    fn receive(&mut self, now: Time, core: &mut Core) -> io::Result<()> {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = core.buffers.chunks_exact_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let count = self.state.recv(self.socket.get_ref().into(), &mut slices, &mut metas)?;
        core.counters.receive_calls += 1;
        self.empty_at = (count < BATCH_SIZE).then_some(now);
        for (buffer, meta) in core.buffers.chunks_exact(BUFFER).zip(metas.iter().take(count)) {
            let to = meta.dst_ip.unwrap_or(self.local.ip());
            let datagrams = buffer.get(..meta.len).unwrap_or_default();
            for datagram in datagrams.chunks(meta.stride.max(1)) {
                core.counters.received += 1;
                let datagram = if self.has_ip_header { ip_payload(datagram) } else { datagram };
                core.sctp.handle_datagram(now, meta.addr, to, datagram);
            }
        }
        Ok(())
    }

    /// Sends what waits, until the socket takes no more.
    pub(super) fn send_queued(&mut self, now: Time, core: &mut Core) {
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
                    core.counters.send_calls += 1;
                    core.counters.sent += count as u64;
                    self.outgoing.done(count);
                    failures = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.wait_until_writable(),
                Err(error) => {
                    // Most likely the error of another packet, sent earlier, to somebody else.
                    self.read_errors(now, core);
                    failures += 1;
                    if failures == SEND_ATTEMPTS {
                        failures = 0;
                        self.give_up(count, &error, core);
                    }
                }
            }
        }
    }

    /// The datagrams at the head cannot be sent, at least not together.
    fn give_up(&mut self, count: usize, error: &io::Error, core: &mut Core) {
        trace!(count, %error, "the system refuses to send");
        if count > 1 {
            self.outgoing.split(count);
        } else {
            self.outgoing.done(1);
            core.counters.dropped_refused += 1;
        }
    }

    pub(super) fn wait_until_writable(&mut self) {
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
    pub(super) fn read_errors(&mut self, now: Time, core: &mut Core) {
        if self.error_pending.is_none() {
            return;
        }
        for _ in 0..MAX_REPORTS {
            match errors::next(self.socket.get_ref()) {
                Ok(Some(Report { destination: Some(destination), quoted, refused: true })) => {
                    core.counters.icmp_refused += 1;
                    core.sctp.handle_unreachable(now, destination, &quoted);
                }
                Ok(Some(_)) => core.counters.icmp_ignored += 1,
                Ok(None) => return,
                Err(error) => {
                    trace!(%error, "error queue");
                    return;
                }
            }
        }
    }

    pub(super) fn poll_errors(&mut self, cx: &mut Context<'_>, now: Time, core: &mut Core) {
        while let Some(pending) = &mut self.error_pending {
            if pending.as_mut().poll(cx).is_pending() {
                return;
            }
            self.error_pending = Some(error_pending(self.socket.clone()));
            self.read_errors(now, core);
        }
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>, now: Time, core: &mut Core) {
        if let Some(writable) = &mut self.writable
            && writable.as_mut().poll(cx).is_ready()
        {
            self.writable = None;
            self.send_queued(now, core);
        }
    }

    /// Whom to wake when the socket takes something again.
    pub(super) fn wake(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
    }

    /// Asks to be woken when something arrives. What has arrived since the socket was found empty has left its edge in
    /// epoll, so forgetting the readiness loses nothing.
    pub(super) fn rest(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.empty_at = None;
        while let Poll::Ready(guard) = self.socket.poll_read_ready(cx) {
            guard?.clear_ready();
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
