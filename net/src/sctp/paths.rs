//! The paths of an association whose peer has several addresses (RFC 9260 §5.4, §6.4, §8.2 to §8.4).
//!
//! `dcsctp` knows of no addresses: it sends one row of packets, and here is decided where each goes. A path is one address
//! of the peer. It is probed with HEARTBEATs that carry a random nonce, and gets nothing else before a nonce came back
//! from it. Data goes to the path with the fewest errors, the primary one (the first) where there are several: so a
//! retransmission takes another path than the packet that was lost, new data does not run into the same hole (RFC 7829 §5
//! with a PFMR of 0), and both return as soon as the primary path has answered again.
//!
//! Deviation from RFC 9260 §7: congestion window, round-trip time and RTO are `dcsctp`'s, one for all paths.

use super::packet::{self, Packet, SackFields, chunk};
use super::table::Key;
use super::{SctpConfig, addresses::MAX_ADDRESSES};
use proto::Time;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Nonces of a path that may still come back: what is older says nothing about now.
const NONCES: usize = 4;
/// An address that never answered is probed less and less often, at last every 2^6 intervals.
const MAX_BACKOFF: u32 = 6;
/// TSNs in flight of which the path is known: more than a window holds.
const MAX_FLIGHT: usize = 1 << 16;

/// The paths of an association; the first is the primary one.
#[derive(Debug)]
pub(super) struct Paths {
    list: Vec<Path>,
    /// Path.Max.Retrans.
    limit: u32,
    /// Association.Max.Retrans.
    association_limit: u32,
    /// Errors in a row on paths that have been confirmed.
    errors: u32,
    /// HB.interval; zero sends heartbeats only where there is something to find out.
    interval: Duration,
    /// How long an answer may take.
    timeout: Duration,
    /// Whether the association is established: before, nothing is probed or told.
    has_begun: bool,
    /// The INIT that was sent last, until the association is established.
    init: Option<Vec<u8>>,
    /// DATA that is not acknowledged, in the order of its TSNs: where it was sent last.
    flight: VecDeque<(u32, usize)>,
    /// Where the packet that is being answered came from.
    arriving: Option<usize>,
    /// Where the last DATA came from: its SACK goes there.
    heard: usize,
    /// What happens now is because a timer ran out.
    timer: Timer,
    /// Paths that went down or came up again.
    changes: VecDeque<(usize, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    None,
    Running,
    /// And something was retransmitted.
    Expired,
}

/// What becomes of an association when an address refuses it.
pub(super) enum Refusal {
    /// There is no other address.
    End,
    /// There is; while it connects, its INIT is to go there.
    News { init: Option<Vec<u8>> },
    /// That was known.
    Known,
}

/// One of the peer's addresses.
#[derive(Debug)]
struct Path {
    /// The peer's address and UDP port.
    remote: SocketAddr,
    /// Our address for it; the system's choice if there is none.
    local: Option<IpAddr>,
    state: State,
    errors: u32,
    nonces: VecDeque<u64>,
    /// Until when the last probe may be answered.
    deadline: Option<Time>,
    next_probe: Time,
    /// Something was lost here: was it the path, or chance? A probe beside the regular ones brings data back sooner, and
    /// counts for nothing if it is lost.
    is_doubtful: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but the peer's word says that it is its address.
    Unconfirmed,
    Up,
    Down,
}

impl Paths {
    /// Paths to these addresses, of which there is at least one, from those that `source` chooses. The first is the one
    /// that has shown to be the peer's. `others` are the associations beside.
    pub(super) fn new(
        config: &SctpConfig,
        others: usize,
        remote: &[SocketAddr],
        source: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Self {
        let path = |(index, &remote): (usize, &SocketAddr)| Path {
            remote,
            local: source(remote.ip()),
            state: if index == 0 { State::Up } else { State::Unconfirmed },
            errors: 0,
            nonces: VecDeque::new(),
            deadline: None,
            next_probe: Time::NEVER,
            is_doubtful: false,
        };
        let list: Vec<Path> = remote.iter().take(MAX_ADDRESSES).enumerate().map(path).collect();
        let count = list.len();
        Self {
            association_limit: config.timing.max_retransmissions,
            limit: config.timing.path_max_retransmissions,
            errors: 0,
            interval: config.heartbeat_interval(others.saturating_mul(count)),
            timeout: config.timing.rto_initial.max(Duration::from_millis(1)),
            has_begun: false,
            init: None,
            flight: VecDeque::new(),
            arriving: None,
            heard: 0,
            timer: Timer::None,
            changes: VecDeque::new(),
            list,
        }
    }

    /// Addresses to try to connect to, one after the other.
    pub(super) fn candidates(mut self) -> Self {
        self.list.iter_mut().for_each(|path| path.state = State::Up);
        self
    }

    /// The key of each path.
    pub(super) fn keys(&self, key: Key) -> impl Iterator<Item = Key> {
        self.list.iter().map(move |path| Key { remote: path.remote, ..key })
    }

    /// Whether the peer has shown that it is there.
    pub(super) fn is_confirmed(&self, ip: IpAddr) -> bool {
        self.list.iter().any(|path| path.remote.ip() == ip && path.state != State::Unconfirmed)
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.index_of(ip).is_some()
    }

    fn index_of(&self, ip: IpAddr) -> Option<usize> {
        self.list.iter().position(|path| path.remote.ip() == ip)
    }

    /// The association is established.
    pub(super) fn begin(&mut self, now: Time) {
        self.has_begun = true;
        self.init = None;
        self.errors = 0;
        for path in &mut self.list {
            path.errors = 0;
            path.next_probe = if path.state == State::Up { after(now, self.interval) } else { now };
        }
    }
}

/// What arrives.
impl Paths {
    /// A packet with the right tag came from `remote` to our address `local`. Returns where the path went until now if its
    /// UDP port is another one (RFC 6951 §5.4).
    pub(super) fn arrive(&mut self, remote: SocketAddr, local: IpAddr) -> Option<SocketAddr> {
        let index = self.index_of(remote.ip())?;
        self.arriving = Some(index);
        let path = self.list.get_mut(index)?;
        path.local = Some(local);
        let before = std::mem::replace(&mut path.remote, remote);
        (before != remote).then_some(before)
    }

    /// DATA is in the packet that arrived.
    pub(super) fn hear(&mut self) {
        self.heard = self.arriving.unwrap_or(self.heard);
    }

    /// Everything up to a TSN has arrived (RFC 9260 §8.2: at the address where it was sent last).
    pub(super) fn acknowledge(&mut self, cumulative_tsn: u32) {
        while let Some(&(tsn, index)) = self.flight.front()
            && !is_after(tsn, cumulative_tsn)
        {
            self.flight.pop_front();
            self.succeed(index);
        }
    }

    /// The peer has answered a probe of its closed window.
    pub(super) fn stay_alive(&mut self) {
        if let Some(index) = self
            .arriving
            .filter(|index| self.list.get(*index).is_some_and(|path| path.state != State::Unconfirmed))
        {
            self.succeed(index);
        }
    }

    /// The address that a nonce was sent to, if it is one of ours.
    pub(super) fn answered(&self, nonce: u64) -> Option<SocketAddr> {
        self.list.iter().find(|path| path.nonces.contains(&nonce)).map(|path| path.remote)
    }

    /// It was answered: the address is the peer's, and the path works. Returns whether it is the first time.
    pub(super) fn confirm(&mut self, now: Time, remote: SocketAddr) -> bool {
        let Some(index) = self.list.iter().position(|path| path.remote == remote) else { return false };
        self.succeed(index);
        let Some(path) = self.list.get_mut(index) else { return false };
        if path.state == State::Down {
            self.changes.push_back((index, true));
        }
        let before = std::mem::replace(&mut path.state, State::Up);
        path.nonces.clear();
        path.deadline = None;
        path.next_probe = after(now, self.interval);
        before == State::Unconfirmed
    }

    /// The address is another association's: it will not be probed again.
    pub(super) fn renounce(&mut self, remote: SocketAddr) {
        if let Some(path) = self.list.iter_mut().find(|path| path.remote == remote) {
            path.nonces.clear();
            path.deadline = None;
            path.next_probe = Time::NEVER;
        }
    }

    /// Nobody listens at an address, says an ICMP message. The others are probed, or tried to connect to.
    pub(super) fn refuse(&mut self, now: Time, remote: SocketAddr) -> Refusal {
        let mut refusal = Refusal::Known;
        for (index, path) in self.list.iter_mut().enumerate() {
            if path.remote != remote {
                let is_renounced = path.state == State::Unconfirmed && path.next_probe == Time::NEVER;
                if self.has_begun && !is_renounced {
                    path.next_probe = path.next_probe.min(now);
                }
            } else if path.state == State::Up {
                refusal = Refusal::News { init: self.init.clone() };
                path.errors = path.errors.max(self.limit.saturating_add(1));
                path.state = State::Down;
                if self.has_begun {
                    self.changes.push_back((index, false));
                }
            }
        }
        if self.list.iter().all(|path| path.state != State::Up) { Refusal::End } else { refusal }
    }

    fn succeed(&mut self, index: usize) {
        self.errors = 0;
        if let Some(path) = self.list.get_mut(index) {
            path.errors = 0;
        }
    }
}

/// What is sent, and where.
impl Paths {
    /// Where a packet goes: reply chunks to where the packet came from that they answer, everything else to the best path.
    pub(super) fn route(&mut self, now: Time, packet: &[u8]) -> Option<(SocketAddr, Option<IpAddr>)> {
        let index = self.index_for(now, &Packet::own(packet)?);
        self.list.get(index).map(|path| (path.remote, path.local))
    }

    fn index_for(&mut self, now: Time, packet: &Packet<'_>) -> usize {
        let mut has_data = false;
        let best = self.best();
        for tsn in data(packet) {
            has_data = true;
            self.launch(tsn, best);
        }
        let has = |kind| packet.contains(kind);
        if has(chunk::INIT) {
            self.init = Some(packet.bytes().to_vec());
        }
        if has_data {
            if let Some(path) = self.list.get_mut(best)
                && path.errors == 0
            {
                // A path with traffic is not idle (RFC 9260 §8.3).
                path.next_probe = path.next_probe.max(after(now, self.interval));
            }
            best
        } else if has(chunk::HEARTBEAT_ACK) || has(chunk::COOKIE_ACK) {
            // RFC 9260 §5.4: also to addresses that are not confirmed.
            self.arriving.unwrap_or(best)
        } else if has(chunk::SACK) {
            self.usable(self.heard).unwrap_or(best)
        } else if self.timer != Timer::None {
            best
        } else {
            self.arriving.and_then(|index| self.usable(index)).unwrap_or(best)
        }
    }

    fn usable(&self, index: usize) -> Option<usize> {
        self.list.get(index).filter(|path| path.state == State::Up).map(|_| index)
    }

    /// The path with the fewest errors, the first of them.
    fn best(&self) -> usize {
        let confirmed = self.list.iter().enumerate().filter(|(_, path)| path.state != State::Unconfirmed);
        let best = confirmed.min_by_key(|(_, path)| (path.state == State::Down, path.errors));
        best.map_or(0, |(index, _)| index)
    }

    /// DATA with this TSN goes out on a path.
    fn launch(&mut self, tsn: u32, index: usize) {
        let known = self.position(tsn).and_then(|at| self.flight.get_mut(at));
        if let Some((_, path)) = known {
            *path = index;
            return;
        }
        let is_next = self.flight.back().is_some_and(|(last, _)| tsn == last.wrapping_add(1));
        if !is_next || self.flight.len() >= MAX_FLIGHT {
            self.flight.clear();
        }
        self.flight.push_back((tsn, index));
    }

    /// Where in the flight a TSN is. They are consecutive.
    fn position(&self, tsn: u32) -> Option<usize> {
        let (first, _) = self.flight.front()?;
        let offset = tsn.wrapping_sub(*first) as usize;
        (offset < self.flight.len()).then_some(offset)
    }

    /// Timers run from now on, until [`packets_are_sent`](Self::packets_are_sent).
    pub(super) fn run_timers(&mut self, now: Time) {
        self.timer = Timer::Running;
        let mut failed = Vec::new();
        for (index, path) in self.list.iter_mut().enumerate() {
            if path.deadline.take_if(|deadline| *deadline <= now).is_some() {
                failed.push(index);
            }
        }
        failed.into_iter().for_each(|index| self.fail(index));
    }

    /// dcsctp wants to send a packet. If it does so because a timer ran out and has sent that before, the path on which it
    /// did has an error.
    pub(super) fn observe(&mut self, packet: &Packet<'_>) {
        if self.timer != Timer::Running {
            return;
        }
        let repeats = |chunk: packet::Chunk<'_>| {
            matches!(chunk.kind, chunk::INIT | chunk::COOKIE_ECHO | chunk::SHUTDOWN | chunk::SHUTDOWN_ACK)
        };
        let of_data = data(packet)
            .filter_map(|tsn| self.flight.get(self.position(tsn)?))
            .map(|(_, index)| *index)
            .next();
        let Some(index) = of_data.or_else(|| packet.chunks().any(repeats).then(|| self.best())) else {
            return;
        };
        self.timer = Timer::Expired;
        self.fail(index);
        if let Some(path) = self.list.get_mut(index) {
            path.is_doubtful = self.has_begun && path.state == State::Up;
        }
    }

    /// What was to be said about the packet that arrived, or the timer that ran out, is said.
    pub(super) fn packets_are_sent(&mut self) {
        self.timer = Timer::None;
        self.arriving = None;
    }

    fn fail(&mut self, index: usize) {
        let has_path = self.list.iter().any(|path| path.state == State::Up);
        let Some(path) = self.list.get_mut(index) else { return };
        path.errors = path.errors.saturating_add(1);
        match path.state {
            // RFC 9260 §5.4: that says nothing about the association.
            State::Unconfirmed => return,
            // Nor does silence where it is expected, as long as there is another path.
            State::Down if has_path => return,
            State::Up | State::Down => self.errors = self.errors.saturating_add(1),
        }
        if self.has_begun && path.state == State::Up && path.errors > self.limit {
            path.state = State::Down;
            self.changes.push_back((index, false));
        }
    }

    /// Whether the peer cannot be reached any more: more errors than an association may have, and than its paths may have
    /// together.
    pub(super) fn is_lost(&self) -> bool {
        let paths = self.list.iter().filter(|path| path.state != State::Unconfirmed).count();
        let together = self.limit.saturating_mul(paths as u32);
        self.has_begun && self.errors > self.association_limit.max(together)
    }

    /// A path that is to be probed now, and whether its address is unconfirmed.
    pub(super) fn next_to_probe(&self, now: Time) -> Option<(usize, bool)> {
        let index = self.list.iter().position(|path| path.is_doubtful || path.next_probe <= now)?;
        Some((index, self.list.get(index)?.state == State::Unconfirmed))
    }

    /// A path is probed with a nonce, or not yet.
    pub(super) fn probe(
        &mut self,
        now: Time,
        index: usize,
        nonce: Option<u64>,
    ) -> Option<(SocketAddr, Option<IpAddr>)> {
        let (interval, timeout, limit) = (self.interval, self.timeout, self.limit);
        let path = self.list.get_mut(index)?;
        // Without regular probes this is the one that counts.
        let is_extra =
            std::mem::take(&mut path.is_doubtful) && path.next_probe > now && path.next_probe < Time::NEVER;
        let backoff = path.errors.saturating_sub(limit).min(MAX_BACKOFF);
        path.next_probe = match path.state {
            _ if is_extra => path.next_probe,
            State::Up if path.errors == 0 => after(now, interval),
            // Once a RTO, then ever more seldom.
            State::Unconfirmed => {
                now + if backoff == 0 { timeout } else { interval.max(timeout) * (1 << backoff) }
            }
            State::Down if interval.is_zero() => now + timeout * (1 << backoff),
            State::Up | State::Down => now + interval.max(timeout),
        };
        let nonce = nonce?;
        path.nonces.truncate(NONCES - 1);
        path.nonces.push_front(nonce);
        if !is_extra {
            path.deadline.get_or_insert(now + timeout);
        }
        Some((path.remote, path.local))
    }

    /// When something is to be done.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let of_path =
            |path: &Path| path.deadline.map_or(path.next_probe, |deadline| deadline.min(path.next_probe));
        self.list.iter().map(of_path).min().filter(|time| *time < Time::NEVER)
    }

    /// The next address at which the peer cannot be reached any more, or can again.
    pub(super) fn poll_change(&mut self) -> Option<(IpAddr, bool)> {
        let (index, up) = self.changes.pop_front()?;
        Some((self.list.get(index)?.remote.ip(), up))
    }
}

/// The value of a HEARTBEAT with a nonce (RFC 9260 §3.3.5), which dcsctp's own are not taken for.
pub(super) fn heartbeat(nonce: u64) -> [u8; 12] {
    let mut value = [0, 1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0];
    value[4..].copy_from_slice(&nonce.to_be_bytes());
    value
}

/// The nonce in a HEARTBEAT ACK.
pub(super) fn nonce(value: &[u8]) -> Option<u64> {
    let nonce: &[u8; 8] = value.strip_prefix(&[0, 1, 0, 12])?.try_into().ok()?;
    Some(u64::from_be_bytes(*nonce))
}

/// What a SACK or SHUTDOWN acknowledges.
pub(super) fn cumulative_tsn(chunk: &packet::Chunk<'_>) -> Option<u32> {
    match chunk.kind {
        chunk::SACK => SackFields::parse(chunk.value).map(|sack| sack.cumulative_tsn),
        chunk::SHUTDOWN => packet::u32_at(chunk.value, 0),
        _ => None,
    }
}

/// The TSNs of a packet's DATA.
fn data(packet: &Packet<'_>) -> impl Iterator<Item = u32> {
    let is_data = |chunk: &packet::Chunk<'_>| chunk.kind == chunk::DATA;
    packet.chunks().filter(is_data).filter_map(|chunk| packet::u32_at(chunk.value, 0))
}

/// Serial number arithmetic (RFC 9260 §1.6).
fn is_after(tsn: u32, other: u32) -> bool {
    tsn != other && tsn.wrapping_sub(other) < 1 << 31
}

fn after(now: Time, interval: Duration) -> Time {
    if interval.is_zero() { Time::NEVER } else { now + interval }
}
