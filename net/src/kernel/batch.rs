//! Many messages with one system call: recvmmsg(2) and sendmmsg(2), with the control messages of RFC 6458 §5.3.4 and §5.3.5.
//!
//! A registrar spends most of its time in the kernel, so what counts is how often it goes there, and how many packets it
//! sends: answers that are given together leave in one call and are bundled (`MSG_MORE`).

use super::notification::Notification;
use lksctp::sys::{IPPROTO_SCTP, MSG_EOR, MSG_NOTIFICATION};
use lksctp::sys::{SCTP_CMSG_RCVINFO, SCTP_CMSG_SNDINFO, SCTP_UNORDERED, sctp_rcvinfo, sctp_sndinfo};
use nix::libc;
use std::array;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// Messages of one call at most.
pub(super) const BATCH: usize = 16;
/// Messages of one call where more are not to be expected: one, and that there is no other.
const FEW: usize = 2;
/// What one of them takes of the buffer. A larger message comes in pieces, as if it were delivered in part.
const SLOT: usize = 4096;
/// How much of an event is kept. The kernel gives a failed message back in one.
const MAX_EVENT: usize = 2 << 20;

/// A control message that says where a message goes.
#[repr(C)]
#[derive(Clone, Copy)]
struct SendControl {
    header: libc::cmsghdr,
    info: sctp_sndinfo,
}

/// Room for the control message that says where a message comes from.
#[repr(C)]
#[derive(Clone, Copy)]
struct ReceiveControl {
    header: libc::cmsghdr,
    info: sctp_rcvinfo,
}

/// The header of a control message with a `T`, which follows it without a gap (`CMSG_LEN`).
const fn header<T>(kind: libc::c_int) -> libc::cmsghdr {
    libc::cmsghdr {
        cmsg_len: size_of::<libc::cmsghdr>() + size_of::<T>(),
        cmsg_level: IPPROTO_SCTP,
        cmsg_type: kind,
    }
}

const NO_CONTROL: ReceiveControl = ReceiveControl {
    header: libc::cmsghdr { cmsg_len: 0, cmsg_level: 0, cmsg_type: 0 },
    info: sctp_rcvinfo {
        rcv_sid: 0,
        rcv_ssn: 0,
        rcv_flags: 0,
        rcv_ppid: 0,
        rcv_tsn: 0,
        rcv_cumtsn: 0,
        rcv_context: 0,
        rcv_assoc_id: 0,
    },
};

/// A message to send, and where to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure<'a> {
    pub(super) assoc: lksctp::AssocId,
    pub(super) stream: u16,
    /// In host order.
    pub(super) ppid: u32,
    pub(super) unordered: bool,
    pub(super) bytes: &'a [u8],
}

/// Sends the first `N` of `messages` at most, without waiting; returns how many the kernel took.
///
/// `more`: others of this association follow at once, so a packet that is not full waits for them.
#[allow(unsafe_code, reason = "no crate sends a batch with SCTP's control messages")]
pub(super) fn send<'a, const N: usize>(
    socket: &impl AsFd,
    messages: impl Iterator<Item = Departure<'a>>,
    more: bool,
) -> io::Result<usize> {
    let mut controls: [SendControl; N] = array::from_fn(|_| SendControl {
        header: header::<sctp_sndinfo>(SCTP_CMSG_SNDINFO),
        info: sctp_sndinfo::default(),
    });
    let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; N];
    let mut count = 0;
    for ((control, part), message) in controls.iter_mut().zip(&mut parts).zip(messages) {
        control.info = sctp_sndinfo {
            snd_sid: message.stream,
            snd_flags: if message.unordered { SCTP_UNORDERED } else { 0 },
            snd_ppid: message.ppid.to_be(),
            snd_context: 0,
            snd_assoc_id: message.assoc.0,
        };
        // The kernel only reads what it sends.
        *part =
            libc::iovec { iov_base: message.bytes.as_ptr().cast_mut().cast(), iov_len: message.bytes.len() };
        count += 1;
    }
    let mut headers: [libc::mmsghdr; N] = array::from_fn(|_| empty());
    for ((header, control), part) in headers.iter_mut().zip(&mut controls).zip(&mut parts) {
        prepare(&mut header.msg_hdr, control, part);
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the descriptor is open while it is borrowed. The first `count` headers (at most `N`) point to controls
    // and parts that live until the call has returned, with their true sizes; their parts point to the messages, which
    // are borrowed as long. The kernel reads all of them and writes only `msg_len` of the headers.
    let sent = unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), headers.as_mut_ptr(), count, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// What has arrived at a socket.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    /// How many to ask for: no more than came lately, or a bit more than that.
    slots: usize,
    /// The first pieces of an event.
    event: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    length: usize,
    flags: libc::c_int,
    info: Option<sctp_rcvinfo>,
}

/// One of the things that have arrived.
#[derive(Debug)]
pub(super) enum Arrival<'a> {
    /// A message, or a piece of one.
    Piece { from: lksctp::AssocId, stream: u16, ppid: u32, unordered: bool, bytes: &'a [u8], last: bool },
    /// The kernel tells something.
    Event(Notification),
    /// Nothing will come any more.
    End,
    /// Nothing that can be used.
    Unknown,
}

impl Arrivals {
    /// Begins with another socket.
    pub(super) fn begin(&mut self) {
        self.event.clear();
    }

    /// Takes what has arrived, at most `most` messages (of a batch), without waiting. Says whether there may be more; if
    /// not, the system has said so.
    pub(super) fn receive(&mut self, socket: &impl AsFd, most: usize) -> io::Result<bool> {
        self.entries.clear();
        self.slots = self.slots.clamp(FEW, BATCH).min(most);
        self.buffer.resize(BATCH * SLOT, 0);
        // Most of the time there is one message, and then none: headers for more would cost more than the message.
        if self.slots <= FEW {
            self.receive_batch::<FEW>(socket)
        } else {
            self.receive_batch::<BATCH>(socket)
        }
    }

    /// As [`receive`](Self::receive), with `slots` slots, which are at most `N`.
    #[allow(unsafe_code, reason = "no crate receives a batch with SCTP's control messages")]
    fn receive_batch<const N: usize>(&mut self, socket: &impl AsFd) -> io::Result<bool> {
        let mut controls = [NO_CONTROL; N];
        let mut parts: [libc::iovec; N] =
            array::from_fn(|_| libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 });
        for (part, slot) in parts.iter_mut().zip(self.buffer.chunks_exact_mut(SLOT)) {
            *part = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
        }
        let mut headers: [libc::mmsghdr; N] = array::from_fn(|_| empty());
        for ((header, control), part) in headers.iter_mut().zip(&mut controls).zip(&mut parts) {
            prepare(&mut header.msg_hdr, control, part);
        }
        let slots = u32::try_from(self.slots.min(N)).unwrap_or_default();
        // SAFETY: the descriptor is open while it is borrowed. The headers (`slots` of them, at most `N`) point to controls
        // and parts that live until the call has returned, with their true sizes; each part points to a slot of its own
        // in the buffer, which nothing else uses meanwhile. All are plain bytes and integers, of which any value is valid.
        let count = unsafe {
            let fd = socket.as_fd().as_raw_fd();
            libc::recvmmsg(fd, headers.as_mut_ptr(), slots, libc::MSG_DONTWAIT, ptr::null_mut())
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(false),
                io::ErrorKind::Interrupted => Ok(true),
                _ => Err(error),
            };
        };
        let entry = |(header, control): (&libc::mmsghdr, &ReceiveControl)| Entry {
            length: usize::try_from(header.msg_len).unwrap_or_default().min(SLOT),
            flags: header.msg_hdr.msg_flags,
            info: info_of(&header.msg_hdr, control),
        };
        self.entries.extend(headers.iter().zip(&controls).take(count).map(entry));
        let more = count == self.slots;
        self.slots = if more { count * 2 } else { count + 1 };
        Ok(more)
    }

    /// How many have arrived.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the rest of an event is still to be received, as it can be at once.
    pub(super) fn is_within_event(&self) -> bool {
        !self.event.is_empty()
    }

    /// One of them; to be asked for once, in their order. `None`: a piece of an event.
    pub(super) fn take(&mut self, index: usize) -> Option<Arrival<'_>> {
        let entry = *self.entries.get(index)?;
        let start = index * SLOT;
        let bytes = self.buffer.get(start..start + entry.length)?;
        let last = entry.flags & MSG_EOR != 0;
        if entry.flags & MSG_NOTIFICATION != 0 {
            if last && self.event.is_empty() {
                return Some(Notification::parse(bytes).map_or(Arrival::Unknown, Arrival::Event));
            }
            let room = MAX_EVENT.saturating_sub(self.event.len());
            self.event.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            return last.then(|| {
                let event = std::mem::take(&mut self.event);
                Notification::parse(&event).map_or(Arrival::Unknown, Arrival::Event)
            });
        }
        Some(match entry.info {
            Some(info) => Arrival::Piece {
                from: lksctp::AssocId(info.rcv_assoc_id),
                stream: info.rcv_sid,
                ppid: u32::from_be(info.rcv_ppid),
                unordered: info.rcv_flags & SCTP_UNORDERED != 0,
                bytes,
                last,
            },
            None if bytes.is_empty() => Arrival::End,
            None => Arrival::Unknown,
        })
    }
}

fn info_of(header: &libc::msghdr, control: &ReceiveControl) -> Option<sctp_rcvinfo> {
    let expected = self::header::<sctp_rcvinfo>(SCTP_CMSG_RCVINFO);
    let is_it = header.msg_controllen >= expected.cmsg_len
        && control.header.cmsg_len >= expected.cmsg_len
        && control.header.cmsg_level == expected.cmsg_level
        && control.header.cmsg_type == expected.cmsg_type;
    is_it.then_some(control.info)
}

/// A header that points to nothing.
#[allow(unsafe_code, reason = "some systems' headers have private padding, so there is no literal of one")]
fn empty() -> libc::mmsghdr {
    // SAFETY: integers and pointers, for which zero is valid.
    unsafe { std::mem::zeroed() }
}

/// Makes a header of one part with one control message.
fn prepare<C>(header: &mut libc::msghdr, control: &mut C, part: &mut libc::iovec) {
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(control).cast();
    header.msg_controllen = size_of::<C>();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    // SCTP-6458-01
    #[test]
    #[allow(unsafe_code, reason = "the macros of the system's header files")]
    fn control_messages_have_the_layout_of_the_system() {
        // SAFETY: they compute with numbers.
        let (send, receive, none) = unsafe {
            let of = |length: usize| libc::CMSG_SPACE(length as libc::c_uint) as usize;
            (of(size_of::<sctp_sndinfo>()), of(size_of::<sctp_rcvinfo>()), libc::CMSG_LEN(0) as usize)
        };
        assert_eq!(size_of::<SendControl>(), send);
        assert_eq!(size_of::<ReceiveControl>(), receive);
        assert_eq!((offset_of!(SendControl, info), offset_of!(ReceiveControl, info)), (none, none));
    }

    fn arrivals(entries: &[(&[u8], libc::c_int)]) -> Arrivals {
        let mut arrivals = Arrivals { buffer: vec![0; BATCH * SLOT], ..Arrivals::default() };
        for (slot, (bytes, flags)) in arrivals.buffer.chunks_exact_mut(SLOT).zip(entries) {
            slot[..bytes.len()].copy_from_slice(bytes);
            arrivals.entries.push(Entry { length: bytes.len(), flags: *flags, info: None });
        }
        arrivals
    }

    #[test]
    fn an_event_in_pieces_is_one_event() {
        let event = [&[5, 0x80, 0, 0, 12, 0, 0, 0][..], &[7, 0, 0, 0]];
        let mut arrivals = arrivals(&[(event[0], MSG_NOTIFICATION), (event[1], MSG_NOTIFICATION | MSG_EOR)]);
        assert!(arrivals.take(0).is_none());
        assert!(arrivals.is_within_event());
        let whole = arrivals.take(1);
        assert!(
            matches!(whole, Some(Arrival::Event(Notification::PeerShutdown { assoc })) if assoc.0 == 7),
            "{whole:?}"
        );
        assert!(!arrivals.is_within_event());
    }

    #[test]
    fn nothing_without_a_sender_is_the_end_and_anything_else_is_unknown() {
        let mut arrivals = arrivals(&[(b"", 0), (b"?", MSG_EOR), (&[1, 0x80], MSG_NOTIFICATION | MSG_EOR)]);
        assert!(matches!(arrivals.take(0), Some(Arrival::End)));
        assert!(matches!(arrivals.take(1), Some(Arrival::Unknown)));
        assert!(matches!(arrivals.take(2), Some(Arrival::Unknown)));
        assert!(arrivals.take(3).is_none());
    }
}
