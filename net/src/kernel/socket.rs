//! A one-to-many SCTP socket of the kernel (RFC 6458 §3): how it is opened, and what `lksctp` does not offer.

use super::KernelConfig;
use crate::buffers;
use crate::sctp::{SctpConfig, SctpTiming};
use lksctp::{
    AssocId as KernelId, AssocInfo, EventType, Family, InitParams, PeerAddrParams, RtoInfo, SackInfo,
    SctpSocket, SendFlags, SendInfo, SppFlags, Style,
};
use nix::libc;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

/// Buffers to ask for at the socket that associations share: a burst of all of them.
const SHARED_BUFFER: usize = 4 << 20;
/// Associations that may wait for this thread.
const BACKLOG: i32 = 4096;
/// A message that is longer is handed out in pieces as it arrives, so that no unfinished one fills the buffer that
/// associations share (RFC 6458 §8.1.21).
const DELIVERY_POINT: usize = 64 << 10;

/// What a message takes of a send buffer besides its bytes, at most.
const MESSAGE_OVERHEAD: usize = 2048;

// <linux/sock_diag.h>: what SO_MEMINFO tells.
const SK_MEMINFO_SNDBUF: usize = 3;
const SK_MEMINFO_WMEM_QUEUED: usize = 5;
const SK_MEMINFO_VARS: usize = 9;

// <linux/sctp.h>
const SCTP_FRAGMENT_INTERLEAVE: libc::c_int = 18;
const SCTP_PARTIAL_DELIVERY_POINT: libc::c_int = 19;
const SCTP_REMOTE_UDP_ENCAPS_PORT: libc::c_int = 132;

/// `struct sctp_udpencaps` of <linux/sctp.h>, of no particular association and address: for all to come.
#[repr(C)]
#[derive(Default)]
struct UdpEncapsulation {
    assoc_id: i32,
    /// Aligns the address as the kernel's `sockaddr_storage` is.
    padding: u32,
    address: [u64; 16],
    /// In network byte order.
    port: [u8; 2],
    tail: [u8; 6],
}

/// Who uses a socket; what decides the size of its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// All associations of the endpoint that need none of their own.
    Shared,
    /// One association.
    Own,
}

/// A non-blocking one-to-many socket. What is not ended in order when it is closed ends with an ABORT.
pub(super) struct KernelSocket(SctpSocket);

impl KernelSocket {
    /// Opens a socket with the options of the endpoint, not bound yet; `addresses` are those it will have.
    pub(super) fn open(
        addresses: &[SocketAddr],
        sctp: &SctpConfig,
        kernel: &KernelConfig,
        user: Use,
    ) -> io::Result<Self> {
        let family = if addresses.iter().any(SocketAddr::is_ipv6) { Family::Ipv6 } else { Family::Ipv4 };
        let socket = Self(SctpSocket::new(family, Style::OneToMany)?);
        socket.0.set_nonblocking(true)?;
        let options = SockRef::from(&socket);
        options.set_linger(Some(Duration::ZERO))?;
        if family == Family::Ipv6 {
            // As with UDP: `[::]` takes IPv4, too, whatever the system's default is.
            let also_v4 = addresses.iter().any(|address| address.is_ipv4() || address.ip().is_unspecified());
            options.set_only_v6(!also_v4)?;
        }
        socket.size_buffers(sctp, user);
        socket.set_timing(sctp)?;
        socket.0.set_nodelay(true)?;
        if let Some(idle) = kernel.autoclose {
            socket.0.set_autoclose(u32::try_from(idle.as_secs()).unwrap_or(u32::MAX).max(1))?;
        }
        socket.set_option(SCTP_FRAGMENT_INTERLEAVE, &1_i32)?;
        let point = DELIVERY_POINT.min(options.recv_buffer_size()? / 8);
        socket.set_option(SCTP_PARTIAL_DELIVERY_POINT, &u32::try_from(point).unwrap_or(u32::MAX))?;
        if let Some(port) = kernel.encapsulation_port {
            let all = UdpEncapsulation { port: port.to_be_bytes(), ..UdpEncapsulation::default() };
            socket.set_option(SCTP_REMOTE_UDP_ENCAPS_PORT, &all)?;
        }
        socket.0.subscribe_events(&[
            EventType::AssocChange,
            EventType::PeerAddrChange,
            EventType::RemoteError,
            EventType::Shutdown,
            EventType::PartialDelivery,
            EventType::SendFailedEvent,
        ])?;
        Ok(socket)
    }

    /// Binds all of `addresses`, which share one port; port 0 takes any free one (`sctp_bindx`).
    pub(super) fn bind(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        let (first, others) = addresses.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        self.0.bind(first)?;
        if others.is_empty() {
            return Ok(());
        }
        let port = self.0.local_addr()?.port();
        let others: Vec<_> = others.iter().map(|other| SocketAddr::new(other.ip(), port)).collect();
        self.0.bindx_add(&others)
    }

    pub(super) fn listen(&self) -> io::Result<()> {
        self.0.listen(BACKLOG)
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Starts an association (`sctp_connectx`); its end or success is a notification.
    pub(super) fn connect(&self, remote: &[SocketAddr]) -> io::Result<KernelId> {
        self.0.connectx(remote)
    }

    /// Gives an association a socket of its own (`sctp_peeloff`), with all that waits for it.
    pub(super) fn peel_off(&self, assoc: KernelId, sctp: &SctpConfig) -> io::Result<Self> {
        let socket = Self(self.0.peeloff(assoc)?);
        socket.0.set_nonblocking(true)?;
        socket.size_buffers(sctp, Use::Own);
        Ok(socket)
    }

    /// Ends an association in order, after everything the kernel has been given is delivered.
    pub(super) fn shut_down(&self, assoc_id: KernelId) -> io::Result<()> {
        self.command(&[], SendFlags::EOF, assoc_id)
    }

    /// Ends an association at once; `cause` is for the peer's log.
    pub(super) fn abort(&self, assoc_id: KernelId, cause: &[u8]) -> io::Result<()> {
        self.command(cause, SendFlags::ABORT, assoc_id)
    }

    fn command(&self, bytes: &[u8], flags: SendFlags, assoc_id: KernelId) -> io::Result<()> {
        self.0.send_msg(bytes, &SendInfo { flags, assoc_id, ..SendInfo::default() }).map(drop)
    }

    /// Our addresses of an association (`sctp_getladdrs`).
    pub(super) fn local_addresses(&self, assoc: KernelId) -> io::Result<Vec<IpAddr>> {
        Ok(self.0.local_addrs(assoc)?.iter().map(|address| address.ip().to_canonical()).collect())
    }

    /// The peer's addresses of an association (`sctp_getpaddrs`).
    pub(super) fn peer_addresses(&self, assoc: KernelId) -> io::Result<Vec<SocketAddr>> {
        self.0.peer_addrs(assoc)
    }

    /// Whether the kernel still has the association.
    pub(super) fn has(&self, assoc: KernelId) -> bool {
        self.0.status(assoc).is_ok()
    }

    /// Whether the kernel has sent something of an association that is not acknowledged. What it has not sent yet waits for
    /// such.
    pub(super) fn has_unacknowledged(&self, assoc: KernelId) -> bool {
        self.0.status(assoc).is_ok_and(|status| status.unackdata != 0)
    }

    /// Whether the kernel is to tell when an association has nothing outstanding.
    pub(super) fn watch_dry(&self, assoc: KernelId, on: bool) -> io::Result<()> {
        self.0.subscribe_event_for(assoc, EventType::SenderDry, on)
    }

    /// HB.interval of one association.
    pub(super) fn set_heartbeat(&self, assoc: KernelId, interval: Duration) -> io::Result<()> {
        let params = PeerAddrParams {
            hb_interval: milliseconds(interval),
            flags: SppFlags::HB_ENABLE,
            ..PeerAddrParams::default()
        };
        self.0.set_peer_addr_params(assoc, None, &params)
    }

    /// Path.Max.Retrans and Association.Max.Retrans of an association with a peer that has so many addresses.
    pub(super) fn set_limits(&self, assoc: KernelId, timing: &SctpTiming, paths: usize) -> io::Result<()> {
        let (path_max_rxt, asocmaxrxt) = limits(timing, paths);
        let params = PeerAddrParams { path_max_rxt, ..PeerAddrParams::default() };
        self.0.set_peer_addr_params(assoc, None, &params)?;
        if asocmaxrxt == small(timing.max_retransmissions) {
            // It has that already, and the kernel would refuse it above the sum of its paths' limits.
            return Ok(());
        }
        self.0.set_assoc_info(assoc, &AssocInfo { asocmaxrxt, ..AssocInfo::default() })
    }

    /// The largest message that the socket can send.
    pub(super) fn send_limit(&self) -> usize {
        self.0.send_buffer_size().unwrap_or_default()
    }

    /// Whether the send buffer takes messages of these sizes, and one more.
    pub(super) fn has_room(&self, sizes: impl Iterator<Item = usize>) -> bool {
        // A fragment takes up to twice its size, and its book-keeping.
        let needed: usize = sizes.map(|size| 3 * size + MESSAGE_OVERHEAD).sum();
        let memory = self.memory().unwrap_or_default();
        let [limit, queued] = [SK_MEMINFO_SNDBUF, SK_MEMINFO_WMEM_QUEUED]
            .map(|index| memory.get(index).map_or(0, |bytes| usize::try_from(*bytes).unwrap_or(0)));
        queued.saturating_add(needed) < limit
    }

    #[allow(unsafe_code, reason = "an option that no crate knows")]
    fn memory(&self) -> io::Result<[u32; SK_MEMINFO_VARS]> {
        let mut memory = [0_u32; SK_MEMINFO_VARS];
        let mut length = libc::socklen_t::try_from(size_of_val(&memory)).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open as long as `self` is; the pointers are to an array of `length` bytes, of which any
        // value is valid, and to its length, both ours during the call.
        let result = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                memory.as_mut_ptr().cast(),
                &mut length,
            )
        };
        if result == 0 { Ok(memory) } else { Err(io::Error::last_os_error()) }
    }

    fn size_buffers(&self, sctp: &SctpConfig, user: Use) {
        let least = if user == Use::Shared { SHARED_BUFFER } else { 0 };
        let send = sctp.max_message_size.max(sctp.limits.send_queue).max(least);
        buffers::enlarge(&SockRef::from(self), sctp.receive_buffer().max(least), send);
    }

    fn set_timing(&self, sctp: &SctpConfig) -> io::Result<()> {
        let timing = &sctp.timing;
        let all = KernelId::FUTURE;
        self.0.set_init_params(&InitParams {
            num_ostreams: sctp.streams,
            max_instreams: sctp.streams,
            max_attempts: small(timing.max_init_retransmits),
            max_init_timeo: small(milliseconds(timing.rto_max)),
        })?;
        self.0.set_rto_info(
            all,
            &RtoInfo {
                initial: milliseconds(timing.rto_initial),
                max: milliseconds(timing.rto_max),
                min: milliseconds(timing.rto_min),
            },
        )?;
        self.0.set_assoc_info(
            all,
            &AssocInfo {
                asocmaxrxt: limits(timing, 1).1,
                cookie_life: milliseconds(timing.cookie_life),
                ..AssocInfo::default()
            },
        )?;
        // The kernel takes up to half a second; 0 would leave its default.
        let delay_ms = milliseconds(timing.sack_delay).clamp(1, 500);
        self.0.set_delayed_sack(all, &SackInfo { delay_ms, freq: 0 })?;
        let off = timing.heartbeat_interval.is_zero();
        self.0.set_peer_addr_params(
            all,
            None,
            &PeerAddrParams {
                hb_interval: milliseconds(timing.heartbeat_interval),
                path_max_rxt: limits(timing, 1).0,
                flags: if off { SppFlags::HB_DISABLE } else { SppFlags::HB_ENABLE },
                ..PeerAddrParams::default()
            },
        )
    }

    #[allow(unsafe_code, reason = "options that lksctp does not know")]
    fn set_option<T>(&self, name: libc::c_int, value: &T) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
        // SAFETY: the descriptor is open as long as `self` is; the pointer is valid for reads of `length` bytes,
        // for it comes from a reference to a `T`, and the kernel only reads them, during the call. The types used
        // (integers, `UdpEncapsulation`) have no padding, so all bytes are initialised.
        let result = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::IPPROTO_SCTP,
                name,
                std::ptr::from_ref(value).cast(),
                length,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl AsFd for KernelSocket {
    #[allow(unsafe_code, reason = "lksctp offers the raw descriptor only")]
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor belongs to the socket in `self`, which keeps it open while it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}

/// Whether an error says that this kernel has no SCTP.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT))
}

/// Whether an error of a connect says that there is an association with this peer.
pub(super) fn is_connected(error: &io::Error) -> bool {
    // The last one: it was given a socket of its own.
    matches!(error.raw_os_error(), Some(libc::EISCONN | libc::EALREADY | libc::EADDRNOTAVAIL))
}

/// Whole milliseconds, at least one: 0 means "as it is" to the kernel.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// Path.Max.Retrans and Association.Max.Retrans where a peer has so many addresses. An only path must be dead before the
/// association is given up: the kernel tells silence in no other way. Several together have as many errors as all of them may.
fn limits(timing: &SctpTiming, paths: usize) -> (u16, u16) {
    let (path, all) = (small(timing.path_max_retransmissions).max(1), small(timing.max_retransmissions));
    match u16::try_from(paths).unwrap_or(u16::MAX) {
        0 | 1 => (path.min(all.saturating_sub(1)).max(1), all),
        paths => (path, all.max(path.saturating_mul(paths))),
    }
}

fn small(value: u32) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    // SCTP-6951-01
    #[test]
    fn the_encapsulation_option_has_the_layout_of_the_kernel() {
        assert_eq!(size_of::<UdpEncapsulation>(), 144);
        assert_eq!(offset_of!(UdpEncapsulation, address), 8);
        assert_eq!(offset_of!(UdpEncapsulation, port), 136);
    }

    // RFC 9260 §8.1, §8.2
    #[test]
    fn an_only_path_is_dead_before_its_association_and_several_have_their_sum() {
        for (timing, one, two) in [(SctpTiming::lan(), (1, 2), (2, 4)), (SctpTiming::rfc(), (5, 10), (5, 10))]
        {
            assert_eq!((limits(&timing, 1), limits(&timing, 2)), (one, two));
        }
        assert_eq!(limits(&SctpTiming::rfc(), 8), (5, 40));
    }

    #[test]
    fn a_duration_of_nothing_is_not_the_kernels_default() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_micros(2500)), 2);
        assert_eq!(small(70_000), u16::MAX);
    }
}
