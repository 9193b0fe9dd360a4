//! The registrar's associations and what is on its way out over them.
//!
//! Everything to be transmitted passes one queue, so its order is the order of the decisions. A message for an
//! association that is not established yet, or that is full, waits in the association's own queue. What waits
//! coalesces: of two updates of one element, two lists of one pool, or two presences, only the later is kept, since each is
//! complete in itself. Beyond a limit of waiting bytes the association is aborted (see [`waiting`](super::waiting)); the
//! audit repairs the rest.

use super::ElementKey;
use super::config::Limits;
use super::parking::Parking;
use super::reached::Reached;
use super::waiting::{Held, Waiting};
use crate::{AssocId, Channel, DownReason, Time, Transmit};
use bytes::Bytes;
use params::{PeIdentifier, PoolHandle, RegistrarId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// How an association ends that breaks a rule; the peer sees it in the ABORT.
pub(super) const QUEUE_OVERFLOW: &str = "too much is waiting to be sent";

/// One association.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) channel: Channel,
    pub(super) phase: Phase,
    /// The peer's addresses, each with the peer's SCTP port. Where it is established the first is [proven](Self::proven).
    pub(super) remote: Vec<SocketAddr>,
    /// Our addresses as the peer sees them.
    pub(super) local: Vec<IpAddr>,
    /// When a message last came over it; when it was made before the first.
    pub(super) last_heard: Time,
    /// Whether anything came over it.
    pub(super) heard: bool,
    /// ENRP: who is at the other end, as soon as it has said so.
    pub(super) peer: Option<RegistrarId>,
    /// ASAP: the elements that are reached over it.
    pub(super) elements: Reached,
    /// ASAP: what must wait for the answer to an earlier request (ambiguity A-48); `None` = none is outstanding.
    pub(super) parked: Option<Parking>,
    blocked: bool,
    /// What waits until it can be sent; `None` = nothing.
    held: Option<Box<Held>>,
}

/// The life of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Asked for.
    Connecting,
    /// Established.
    Up,
    /// The peer ends it: nothing more can be sent, unless the peer starts anew before that.
    Leaving,
    /// We end it: nothing more is sent.
    Closing,
}

impl Phase {
    fn is_ending(self) -> bool {
        matches!(self, Self::Leaving | Self::Closing)
    }
}

/// What makes a later message replace an earlier one that still waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Replaces {
    /// ENRP_PRESENCE.
    Presence,
    /// ENRP_HANDLE_UPDATE of this element.
    Update(ElementKey),
    /// A pushed list of this pool.
    List(PoolHandle),
    /// ASAP_ENDPOINT_KEEP_ALIVE of a pool (for rsplib: of one element), with this H bit.
    KeepAlive(PoolHandle, Option<PeIdentifier>, bool),
}

impl Association {
    /// Whether all of its addresses are loopback addresses (design D2).
    pub(super) fn is_loopback(&self) -> bool {
        self.remote.iter().all(|remote| remote.ip().is_loopback())
    }

    /// The address that has shown to be the peer's: the handshake went there. The others are its word alone, and may be
    /// somebody else's, so they prove nothing of who it is. `None`: the association is not established yet.
    pub(super) fn proven(&self) -> Option<SocketAddr> {
        self.remote.first().copied().filter(|_| self.phase != Phase::Connecting)
    }

    /// Whether both ends are on this host.
    pub(super) fn is_within_host(&self) -> bool {
        self.is_loopback() || self.proven().is_some_and(|remote| self.local.contains(&remote.ip()))
    }

    /// Whether the peer is at one of these addresses, port included. Recorded lists hold all addresses of a peer, so one
    /// with several is recognised at each.
    pub(super) fn reaches(&self, addresses: &[SocketAddr]) -> bool {
        self.proven().is_some_and(|remote| addresses.contains(&remote))
    }

    /// Whether it leads to who is at these addresses: one that is not established yet only if it cannot lead elsewhere.
    fn leads_to(&self, addresses: &[SocketAddr]) -> bool {
        match self.phase {
            Phase::Connecting => self.remote.iter().all(|remote| addresses.contains(remote)),
            _ => self.reaches(addresses),
        }
    }

    /// The addresses by which it is found: those that are tried, and then the one where the peer is.
    fn names(&self) -> &[SocketAddr] {
        match self.phase {
            Phase::Connecting => &self.remote,
            _ => self.remote.get(..1).unwrap_or_default(),
        }
    }
}

/// An entry of the outgoing queue.
#[derive(Debug)]
enum Outgoing {
    Message { assoc: AssocId, bytes: Bytes, replaces: Option<Replaces> },
    Other(Transmit),
}

/// All associations and the outgoing queue.
#[derive(Debug)]
pub(super) struct Associations {
    /// Boxed: the nodes of a tree that only grows at its end are half empty.
    map: BTreeMap<AssocId, Box<Association>>,
    /// How many of them there are of each channel.
    counts: [usize; 3],
    /// By their [names](Association::names).
    by_remote: BTreeMap<(Channel, SocketAddr), AssocId>,
    outgoing: VecDeque<Outgoing>,
    connected: u64,
    /// Those that the peers started and over which nothing came yet.
    mute: BTreeSet<AssocId>,
    /// What waits, by channel.
    waiting: [Waiting; 3],
    /// How many were aborted because too much waited for them.
    overflows: u64,
}

impl Associations {
    /// None yet.
    pub(super) fn new(limits: &Limits) -> Self {
        let waiting = |each| Waiting::new(each, limits.queued_bytes_total);
        Self {
            map: BTreeMap::new(),
            counts: [0; 3],
            by_remote: BTreeMap::new(),
            outgoing: VecDeque::new(),
            connected: 0,
            mute: BTreeSet::new(),
            waiting: [
                waiting(limits.queued_bytes_per_client),
                waiting(limits.queued_bytes),
                waiting(limits.queued_bytes_per_client),
            ],
            overflows: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// How many there are of a channel.
    pub(super) fn count(&self, channel: Channel) -> usize {
        self.counts[channel as usize]
    }

    /// How many were aborted because too much waited for them.
    pub(super) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// What waits for the associations of a channel.
    pub(super) fn queued_bytes(&self, channel: Channel) -> usize {
        self.waiting[channel as usize].bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(super) fn get(&self, assoc: AssocId) -> Option<&Association> {
        self.map.get(&assoc).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, assoc: AssocId) -> Option<&mut Association> {
        self.map.get_mut(&assoc).map(Box::as_mut)
    }

    /// Whether it is established.
    pub(super) fn is_up(&self, assoc: AssocId) -> bool {
        self.map.get(&assoc).is_some_and(|association| association.phase == Phase::Up)
    }

    /// Whether what is sent over it does not have to wait.
    pub(super) fn is_writable(&self, assoc: AssocId) -> bool {
        self.map.get(&assoc).is_some_and(|association| !association.blocked)
    }

    pub(super) fn ids(&self) -> Vec<AssocId> {
        self.map.keys().copied().collect()
    }

    /// All, with their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AssocId, &Association)> {
        self.map.iter().map(|(assoc, association)| (*assoc, association.as_ref()))
    }

    /// Those of a channel.
    pub(super) fn of(&self, channel: Channel) -> Vec<AssocId> {
        self.iter()
            .filter(|(_, association)| association.channel == channel)
            .map(|(assoc, _)| assoc)
            .collect()
    }

    /// An association that leads to one of these addresses and is not about to end.
    pub(super) fn find(&self, channel: Channel, remote: &[SocketAddr]) -> Option<AssocId> {
        remote
            .iter()
            .filter_map(|remote| self.by_remote.get(&(channel, *remote)).copied())
            .find(|assoc| self.map.get(assoc).is_some_and(|it| !it.phase.is_ending() && it.leads_to(remote)))
    }

    /// Whether an association leads to one of these addresses, as far as is known: perhaps it is not told of yet.
    pub(super) fn may_lead_to(&self, assoc: AssocId, remote: &[SocketAddr]) -> bool {
        self.map.get(&assoc).is_none_or(|association| association.leads_to(remote))
    }

    /// The association to one of these addresses; a new one if there is none.
    pub(super) fn connect(&mut self, now: Time, channel: Channel, remote: &[SocketAddr]) -> AssocId {
        if let Some(assoc) = self.find(channel, remote) {
            return assoc;
        }
        let assoc = AssocId::connected(self.connected);
        self.connected += 1;
        self.insert(now, assoc, channel, Phase::Connecting, remote.to_vec(), Vec::new());
        self.outgoing.push_back(Outgoing::Other(Transmit::Connect {
            assoc,
            channel,
            remote: remote.to_vec(),
        }));
        assoc
    }

    /// An association is established. The first of `remote` is the proven one.
    pub(super) fn up(
        &mut self,
        now: Time,
        assoc: AssocId,
        channel: Channel,
        remote: Vec<SocketAddr>,
        local: Vec<IpAddr>,
    ) {
        match self.map.get_mut(&assoc) {
            Some(association) => {
                unname(&mut self.by_remote, assoc, association);
                association.remote = remote;
                association.local = local;
                association.last_heard = now;
                if association.phase == Phase::Connecting {
                    association.phase = Phase::Up;
                }
                name(&mut self.by_remote, assoc, association);
                self.writable(assoc);
            }
            None => self.insert(now, assoc, channel, Phase::Up, remote, local),
        }
    }

    /// A message came over an association. Whether there is such a one.
    pub(super) fn heard(&mut self, now: Time, assoc: AssocId) -> bool {
        let Some(association) = self.map.get_mut(&assoc) else { return false };
        association.last_heard = now;
        if !std::mem::replace(&mut association.heard, true) {
            self.mute.remove(&assoc);
        }
        true
    }

    /// The associations of a channel that the peers started and over which nothing came yet, the oldest first.
    pub(super) fn mute(&self, channel: Channel) -> impl Iterator<Item = (AssocId, &Association)> {
        let of_channel =
            self.mute.range(AssocId::accepted(channel, 0)..=AssocId::accepted(channel, u64::MAX));
        of_channel.filter_map(|assoc| Some((*assoc, self.get(*assoc)?)))
    }

    fn insert(
        &mut self,
        now: Time,
        assoc: AssocId,
        channel: Channel,
        phase: Phase,
        remote: Vec<SocketAddr>,
        local: Vec<IpAddr>,
    ) {
        let association = Association {
            channel,
            phase,
            remote,
            local,
            last_heard: now,
            heard: false,
            peer: None,
            elements: Reached::default(),
            parked: None,
            blocked: phase == Phase::Connecting,
            held: None,
        };
        name(&mut self.by_remote, assoc, &association);
        self.counts[channel as usize] += 1;
        if assoc.is_accepted() {
            self.mute.insert(assoc);
        }
        self.map.insert(assoc, Box::new(association));
    }

    /// The association is gone. What waited for it moves to the one it duplicates, if that is why it ended.
    pub(super) fn down(&mut self, assoc: AssocId, why: &DownReason) -> Option<Association> {
        let held = self.release(assoc);
        let association = self.remove(assoc)?;
        unname(&mut self.by_remote, assoc, &association);
        if let DownReason::Duplicate(other) = why {
            for (bytes, replaces) in held.into_iter().flat_map(Held::into_messages) {
                self.send(*other, bytes, replaces);
            }
        }
        Some(association)
    }

    /// Takes what waits for an association.
    fn release(&mut self, assoc: AssocId) -> Option<Held> {
        let association = self.map.get_mut(&assoc)?;
        let held = association.held.take()?;
        self.waiting[association.channel as usize].change(assoc, held.bytes(), 0);
        Some(*held)
    }

    fn remove(&mut self, assoc: AssocId) -> Option<Association> {
        self.release(assoc);
        let association = *self.map.remove(&assoc)?;
        self.mute.remove(&assoc);
        self.counts[association.channel as usize] -= 1;
        Some(association)
    }

    /// Queues a message. One that `replaces` earlier ones overtakes nothing but takes their meaning.
    pub(super) fn send(&mut self, assoc: AssocId, bytes: Bytes, replaces: Option<Replaces>) {
        self.outgoing.push_back(Outgoing::Message { assoc, bytes, replaces });
    }

    /// Queues what belongs to no association.
    pub(super) fn transmit(&mut self, transmit: Transmit) {
        self.outgoing.push_back(Outgoing::Other(transmit));
    }

    /// Ends an association in order.
    pub(super) fn shutdown(&mut self, assoc: AssocId) {
        self.outgoing.push_back(Outgoing::Other(Transmit::Shutdown { assoc }));
    }

    /// Ends an association at once. Its `Down` comes back as of any other.
    pub(super) fn abort(&mut self, assoc: AssocId, cause: &str) {
        let Some(association) = self.map.get_mut(&assoc) else { return };
        if association.phase == Phase::Closing {
            return;
        }
        association.phase = Phase::Closing;
        self.release(assoc);
        self.outgoing.push_back(Outgoing::Other(Transmit::Abort { assoc, cause: cause.into() }));
    }

    /// The peer ends it: nothing more can be sent.
    pub(super) fn closing(&mut self, assoc: AssocId) {
        let association = self.map.get_mut(&assoc).filter(|association| !association.phase.is_ending());
        if let Some(association) = association {
            association.phase = Phase::Leaving;
            self.release(assoc);
        }
    }

    /// The peer started anew: it does not end it any more. If we do, the endpoint begins that anew.
    pub(super) fn restarted(&mut self, assoc: AssocId) {
        if let Some(association) = self.map.get_mut(&assoc)
            && association.phase == Phase::Leaving
        {
            association.phase = Phase::Up;
        }
    }

    /// Ends an association at once and does not wait for its `Down`.
    pub(super) fn drop_now(&mut self, assoc: AssocId) {
        self.remove(assoc);
        self.outgoing.push_back(Outgoing::Other(Transmit::Abort { assoc, cause: "shutting down".into() }));
    }

    /// The outgoing queue of the endpoint is full.
    pub(super) fn full(&mut self, assoc: AssocId) {
        if let Some(association) = self.map.get_mut(&assoc) {
            association.blocked = true;
        }
    }

    /// There is room again: what waited goes first.
    pub(super) fn writable(&mut self, assoc: AssocId) {
        let Some(association) = self.map.get_mut(&assoc) else { return };
        association.blocked = false;
        for (bytes, replaces) in self.release(assoc).into_iter().flat_map(Held::into_messages).rev() {
            self.outgoing.push_front(Outgoing::Message { assoc, bytes, replaces });
        }
    }

    /// The next thing to transmit.
    pub(super) fn pop(&mut self) -> Option<Transmit> {
        loop {
            match self.outgoing.pop_front()? {
                Outgoing::Other(Transmit::Shutdown { assoc }) => {
                    let Some(association) = self.map.get_mut(&assoc) else { continue };
                    match association.phase {
                        Phase::Connecting => self.abort(assoc, "shutting down"),
                        Phase::Up => {
                            association.phase = Phase::Closing;
                            self.release(assoc);
                            return Some(Transmit::Shutdown { assoc });
                        }
                        Phase::Leaving | Phase::Closing => {}
                    }
                }
                Outgoing::Other(transmit) => return Some(transmit),
                Outgoing::Message { assoc, bytes, replaces } => {
                    let Some(association) = self.map.get_mut(&assoc) else { continue };
                    if association.phase.is_ending() {
                        continue;
                    }
                    if !association.blocked {
                        let ppid = match association.channel {
                            Channel::Enrp => crate::PPID_ENRP,
                            Channel::Asap | Channel::Session => crate::PPID_ASAP,
                        };
                        // Everything to one peer in one order (ambiguity A-55).
                        return Some(Transmit::Send { assoc, stream: 0, ppid, unordered: false, bytes });
                    }
                    self.hold(assoc, bytes, replaces);
                }
            }
        }
    }

    /// A message waits, and who holds back too much has to go.
    fn hold(&mut self, assoc: AssocId, bytes: Bytes, replaces: Option<Replaces>) {
        let Some(association) = self.map.get_mut(&assoc) else { return };
        let channel = association.channel as usize;
        let waiting = &mut self.waiting[channel];
        let held = association.held.get_or_insert_default();
        let before = held.bytes();
        held.push(bytes, replaces);
        waiting.change(assoc, before, held.bytes());
        let mut excess = waiting.is_too_much(held).then_some(assoc).or_else(|| waiting.excess());
        while let Some(assoc) = excess {
            self.overflows += 1;
            self.abort(assoc, QUEUE_OVERFLOW);
            excess = self.waiting[channel].excess();
        }
    }
}

/// Makes an association found by its names.
fn name(by_remote: &mut BTreeMap<(Channel, SocketAddr), AssocId>, assoc: AssocId, association: &Association) {
    by_remote.extend(association.names().iter().map(|remote| ((association.channel, *remote), assoc)));
}

/// No more, unless another one is found by them.
fn unname(
    by_remote: &mut BTreeMap<(Channel, SocketAddr), AssocId>,
    assoc: AssocId,
    association: &Association,
) {
    for remote in &association.remote {
        let key = (association.channel, *remote);
        if by_remote.get(&key) == Some(&assoc) {
            by_remote.remove(&key);
        }
    }
}
