//! Datagrams on their way to the socket: a bounded queue, taken in runs that one system call can send.

use crate::sctp::Datagram;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Bytes that may wait for a socket that cannot take them; what comes beyond is dropped, as a router would.
const MAX_QUEUED: usize = 8 << 20;
/// The most that one send with segmentation offload may carry: a UDP payload's limit, with room for headers.
const MAX_RUN: usize = 65_000;

/// The queue.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: VecDeque<Datagram>,
    queued: usize,
    run: Vec<u8>,
    /// So many of the next datagrams are sent alone, because together they failed.
    alone: usize,
}

/// Datagrams of equal size to one peer (the last may be shorter), one behind the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) contents: &'a [u8],
    /// Size of each datagram, if there is more than one.
    pub(super) segment: Option<usize>,
    /// How many datagrams.
    pub(super) count: usize,
}

impl Outgoing {
    /// Queues a datagram; `false` if it was dropped because the queue is full.
    pub(super) fn push(&mut self, datagram: Datagram) -> bool {
        if self.queued + datagram.bytes.len() > MAX_QUEUED {
            return false;
        }
        self.queued += datagram.bytes.len();
        self.queue.push_back(datagram);
        true
    }

    /// The datagrams at the head that can be sent together, at most `max_segments`.
    pub(super) fn run(&mut self, max_segments: usize) -> Option<Run<'_>> {
        let first = self.queue.front()?;
        let size = first.bytes.len();
        let limit = if self.alone > 0 { 1 } else { max_segments };
        let mut count = 1;
        let mut total = size;
        for next in self.queue.iter().skip(1).take(limit.saturating_sub(1)) {
            let length = next.bytes.len();
            if next.to != first.to || next.from != first.from || length > size || total + length > MAX_RUN {
                break;
            }
            count += 1;
            total += length;
            if length < size {
                break;
            }
        }
        if count == 1 {
            let Datagram { to, from, bytes } = first;
            return Some(Run { to: *to, from: *from, contents: bytes, segment: None, count });
        }
        self.run.clear();
        for datagram in self.queue.iter().take(count) {
            self.run.extend_from_slice(&datagram.bytes);
        }
        Some(Run { to: first.to, from: first.from, contents: &self.run, segment: Some(size), count })
    }

    /// The first `count` datagrams were sent or given up.
    pub(super) fn done(&mut self, count: usize) {
        for datagram in self.queue.drain(..count.min(self.queue.len())) {
            self.queued -= datagram.bytes.len();
        }
        self.alone = self.alone.saturating_sub(count);
    }

    /// The first `count` datagrams could not be sent together: try each for itself.
    pub(super) fn split(&mut self, count: usize) {
        self.alone = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(port: u16, length: usize) -> Datagram {
        Datagram { to: ([127, 0, 0, 1], port).into(), from: None, bytes: vec![port as u8; length] }
    }

    fn runs(outgoing: &mut Outgoing, max_segments: usize) -> Vec<(u16, Option<usize>, usize, usize)> {
        let mut runs = Vec::new();
        while let Some(run) = outgoing.run(max_segments) {
            let (count, entry) = (run.count, (run.to.port(), run.segment, run.count, run.contents.len()));
            runs.push(entry);
            outgoing.done(count);
        }
        runs
    }

    fn queue(datagrams: &[(u16, usize)]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for (port, length) in datagrams {
            assert!(outgoing.push(datagram(*port, *length)));
        }
        outgoing
    }

    #[test]
    fn equal_sizes_to_one_peer_go_together_and_a_shorter_one_ends_the_run() {
        let mut outgoing = queue(&[(1, 100), (1, 100), (1, 40), (1, 40), (2, 40), (2, 50), (1, 100)]);
        assert_eq!(
            runs(&mut outgoing, 64),
            [(1, Some(100), 3, 240), (1, None, 1, 40), (2, None, 1, 40), (2, None, 1, 50), (1, None, 1, 100)]
        );
    }

    #[test]
    fn a_run_respects_the_socket_and_the_size_of_a_datagram() {
        assert_eq!(
            runs(&mut queue(&[(1, 9); 5]), 2),
            [(1, Some(9), 2, 18), (1, Some(9), 2, 18), (1, None, 1, 9)]
        );
        assert_eq!(runs(&mut queue(&[(1, 9); 2]), 1), [(1, None, 1, 9), (1, None, 1, 9)]);
        assert_eq!(
            runs(&mut queue(&[(1, 30_000); 3]), 64),
            [(1, Some(30_000), 2, 60_000), (1, None, 1, 30_000)]
        );
    }

    #[test]
    fn a_run_that_failed_is_sent_one_by_one_and_the_next_together_again() {
        let mut outgoing = queue(&[(1, 9), (1, 9), (2, 9), (2, 9)]);
        assert_eq!(outgoing.run(64).unwrap().count, 2);
        outgoing.split(2);
        assert_eq!(runs(&mut outgoing, 64), [(1, None, 1, 9), (1, None, 1, 9), (2, Some(9), 2, 18)]);
    }

    #[test]
    fn a_full_queue_drops_what_comes_and_takes_again_after_it_was_emptied() {
        let mut outgoing = Outgoing::default();
        let fit = MAX_QUEUED / 1000;
        for _ in 0..fit {
            assert!(outgoing.push(datagram(1, 1000)));
        }
        assert!(!outgoing.push(datagram(1, 1000)));
        outgoing.done(1);
        assert!(outgoing.push(datagram(1, 1000)));
    }
}
