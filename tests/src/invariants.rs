//! What must hold at all times, whatever goes wrong.
//!
//! The machines' own words are compared with what the network has really brought them: a registrar that removes
//! an element or takes over a peer must have had a reason to. The rest is checked where it happens: sessions and
//! requests in [`processes`](crate::processes), flow control in [`World`](crate::World).

use crate::cuts::Cuts;
use crate::faults::Fault;
use crate::isolation::{Isolation, Isolations};
use crate::loads::Loads;
use crate::network::HostId;
use crate::spec::{Spec, Wire};
use bytes::Bytes;
use enrp::{Body, UpdateAction};
use params::{PeIdentifier, PoolHandle, RegistrarId};
use proto::registrar::{Arbitration, Event, Guard, RemovalReason};
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// keep-alive.timeout of the profile `lan`: an acknowledgement in less is in time.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long two hosts must have been left in peace for what they do to each other to have no excuse.
const PEACE: Duration = Duration::from_secs(3);
/// Two takeovers of one registrar that are further apart have nothing to do with each other.
const SAME_TAKEOVER: Duration = Duration::from_secs(3);
/// MAX-BAD-PE-REPORT of the profile `lan`: so many clients may be wrong.
const MAX_BAD_REPORTS: usize = 3;
/// How long a report counts.
const REPORT: Duration = Duration::from_secs(10);

/// What an association adds at most to the delay of a message that is lost once ([`Channels`](crate::channels::Channels)),
/// with the worst link that there is.
const LATE: Duration = Duration::from_millis(350);
/// How often a registrar may load the table of one peer anew within [`Loads::WINDOW`], beside once for each time that they meet:
/// as often as every other PRESENCE comes (PEER-HEARTBEAT-CYCLE of the profile `lan`), for a load that helps makes the next one agree.
const LOADS: usize = Loads::WINDOW.as_millis() as usize / 250 / 2;

/// An element: its pool and its identifier.
pub type Name = (PoolHandle, PeIdentifier);

/// What has been seen so far.
pub struct Invariants {
    arbitration: Arbitration,
    /// When something was last done to a host, in the world's time.
    disturbed: BTreeMap<HostId, Time>,
    /// When registrars were last behind, or caught up.
    behind: BTreeMap<HostId, Time>,
    /// When the network was last changed for all; never = it is bad.
    all_disturbed: Time,
    /// Whether connects are refused for no reason.
    refusing: bool,
    cuts: Cuts,
    isolations: Isolations,
    guard: Guard,
    /// Whether registrars go by the letter of the RFCs: there is no guard, and everybody's word counts.
    strict_rfc: bool,
    stopped: BTreeSet<HostId>,
    /// What each registrar has seen.
    registrars: BTreeMap<HostId, Seen>,
    /// Who took over whom when.
    takeovers: Vec<Takeover>,
    /// Where elements have registered from.
    whereabouts: BTreeMap<Name, BTreeSet<HostId>>,
    /// Whether what is lost comes late, and that is all ([`Wire::Channels`]).
    loss_is_delay: bool,
}

/// What a registrar has seen since its start.
#[derive(Default)]
struct Seen {
    /// Its ENRP associations: with whom, since when.
    links: BTreeMap<AssocId, (HostId, Time)>,
    /// The home of each element as it knows it, since when, in the world's time.
    homes: BTreeMap<Name, (RegistrarId, Time)>,
    /// When it last got an acknowledgement of an element, in its own time.
    acknowledged: BTreeMap<Name, Time>,
    /// With whom it has associations, or is about to.
    remotes: BTreeMap<AssocId, HostId>,
    /// When associations last ended, in its own time, with whom, and whether in order.
    ended: (Time, Vec<(HostId, bool)>),
    /// Who reported an element when, in its own time.
    reports: BTreeMap<Name, BTreeMap<AssocId, Time>>,
    /// The last ENRP message.
    enrp: Option<Bytes>,
    /// When it last heard of the return of another one.
    returned: BTreeMap<RegistrarId, Time>,
    /// The takeovers that it has begun.
    begun: BTreeMap<RegistrarId, Time>,
    /// The tables that it has loaded anew.
    loads: Loads,
    id: Option<RegistrarId>,
}

struct Takeover {
    target: RegistrarId,
    winner: HostId,
    at: Time,
}

/// Where an event comes from.
#[derive(Clone, Copy)]
pub struct Source {
    /// The world's time.
    pub now: Time,
    /// The registrar's own time.
    pub local: Time,
    /// The registrar.
    pub host: HostId,
    /// Its identifier.
    pub id: RegistrarId,
}

/// What is really so.
pub struct Truth<'a> {
    /// The host on which an element lives and is registered.
    pub living: &'a dyn Fn(&Name) -> Option<HostId>,
    /// Whether a registrar is there and lists an element as its own.
    pub listed: &'a dyn Fn(RegistrarId, &Name) -> bool,
}

impl Invariants {
    /// Nothing has been seen of this run.
    pub fn new(spec: &Spec) -> Self {
        Self {
            arbitration: spec.arbitration,
            disturbed: BTreeMap::new(),
            behind: BTreeMap::new(),
            all_disturbed: if spec.link.loss > 0 { Time::NEVER } else { Time::ZERO },
            refusing: spec.refused > 0,
            cuts: Cuts::default(),
            isolations: Isolations::default(),
            guard: Guard { hold: spec.hold, ..Guard::of(Duration::ZERO) },
            strict_rfc: spec.strict_rfc,
            stopped: BTreeSet::new(),
            registrars: BTreeMap::new(),
            takeovers: Vec::new(),
            whereabouts: BTreeMap::new(),
            loss_is_delay: spec.wire == Wire::Channels,
        }
    }

    /// Something is done to the world.
    pub fn disturb(&mut self, now: Time, fault: &Fault) {
        match fault {
            Fault::Link(link) => self.all_disturbed = if link.loss > 0 { Time::NEVER } else { now },
            Fault::Refuse(refused) => self.refusing = *refused > 0,
            Fault::Cut(number, cut) => {
                let well = cut.hosts().filter(|host| self.at_peace(*host, now - PEACE)).collect();
                self.isolations.insert(now, *number, cut, well);
                self.disturbed.extend(cut.hosts().map(|host| (host, now)));
                self.cuts.insert(*number, cut.clone());
            }
            Fault::Mend(number) => {
                let cut = self.cuts.remove(*number);
                self.isolations.remove(*number);
                self.disturbed.extend(cut.iter().flat_map(|cut| cut.hosts()).map(|host| (host, now)));
            }
            Fault::Pause(host, _) => {
                self.stopped.insert(*host);
            }
            Fault::Resume(host) | Fault::Crash(host) | Fault::Vanish(host) => {
                self.stopped.remove(host);
            }
            Fault::Start(_) | Fault::Leave(_) => {}
            // Whoever is behind sheds what is least urgent, and nothing else.
            Fault::Backlog(host, _) => {
                self.behind.insert(*host, now);
                return;
            }
        }
        self.disturbed.extend(fault.host().map(|host| (host, now)));
    }

    /// Whether nothing was wrong with a host and its paths since then.
    fn at_peace(&self, host: HostId, since: Time) -> bool {
        !self.refusing && self.all_disturbed < since && self.is_left_alone(host, since)
    }

    /// Whether nothing was done to a host itself and its paths since then, though all paths may be bad.
    fn is_left_alone(&self, host: HostId, since: Time) -> bool {
        self.disturbed.get(&host).is_none_or(|at| *at < since)
            && !self.stopped.contains(&host)
            && !self.cuts.concern(host)
    }

    /// A process is new on its host: what its predecessor saw does not matter.
    pub fn started(&mut self, host: HostId) {
        self.registrars.insert(host, Seen::default());
    }

    /// An input reaches the registrar on a host, whose own time is `local`.
    pub fn input(&mut self, now: Time, local: Time, host: HostId, input: &Input) {
        let seen = self.registrars.entry(host).or_default();
        match input {
            Input::Up { assoc, channel, remote, .. } => {
                if let Some(peer) = remote.first().and_then(|remote| HostId::at(remote.ip())) {
                    seen.remotes.insert(*assoc, peer);
                    if *channel == Channel::Enrp {
                        seen.links.insert(*assoc, (peer, now));
                        seen.loads.met(now, peer);
                    }
                }
            }
            Input::Restart { assoc } => {
                if let Some((peer, _)) = seen.links.get(assoc) {
                    seen.loads.met(now, *peer);
                }
            }
            Input::Down { assoc, why } => {
                seen.links.remove(assoc);
                if seen.ended.0 != local {
                    seen.ended = (local, Vec::new());
                }
                let with = seen.remotes.remove(assoc);
                seen.ended.1.extend(with.map(|with| (with, *why == DownReason::Shutdown)));
            }
            Input::Message { assoc, ppid: PPID_ASAP, bytes, .. } => match bytes.first() {
                Some(&KEEP_ALIVE_ACK) => {
                    if let Ok(asap::Message::EndpointKeepAliveAck(ack)) = asap::decode(bytes).message {
                        seen.acknowledged.insert((ack.handle, ack.id), local);
                    }
                }
                Some(&UNREACHABLE) => {
                    if let Ok(asap::Message::EndpointUnreachable(report)) = asap::decode(bytes).message {
                        let reports = seen.reports.entry((report.handle, report.id)).or_default();
                        reports.insert(*assoc, local);
                    }
                }
                Some(&REGISTRATION) => {
                    if let (Ok(asap::Message::Registration(asked)), Some(from)) =
                        (asap::decode(bytes).message, seen.remotes.get(assoc))
                    {
                        let name = (asked.handle, asked.element.id);
                        self.whereabouts.entry(name).or_default().insert(*from);
                    }
                }
                _ => {}
            },
            Input::Message { bytes, .. } => seen.enrp = Some(bytes.clone()),
            _ => {}
        }
    }

    /// The registrar on a host connects with another host.
    pub fn connects(&mut self, host: HostId, assoc: AssocId, remote: Option<&SocketAddr>) {
        if let Some(remote) = remote.and_then(|remote| HostId::at(remote.ip())) {
            self.registrars.entry(host).or_default().remotes.insert(assoc, remote);
        }
    }

    /// What a registrar says of what it did.
    ///
    /// # Errors
    /// It should not have done that.
    pub fn registrar(&mut self, source: Source, event: &Event, truth: &Truth<'_>) -> Result<(), String> {
        let seen = self.registrars.entry(source.host).or_default();
        seen.id = Some(source.id);
        match event {
            Event::ElementRemoved { handle, id, home, why } => {
                let name = (handle.clone(), *id);
                let wrong = self.removed(source, &name, *home, *why, truth);
                let Some(seen) = self.registrars.get_mut(&source.host) else { return Ok(()) };
                seen.acknowledged.remove(&name);
                seen.homes.remove(&name);
                seen.reports.remove(&name);
                match wrong {
                    Some(wrong) => Err(format!("element {id} of {handle} removed {wrong}: {why:?}")),
                    None => Ok(()),
                }
            }
            Event::ElementRegistered { handle, id, home }
            | Event::ElementReregistered { handle, id, home } => {
                let known = seen.homes.entry((handle.clone(), *id)).or_insert((*home, source.now));
                if known.0 != *home {
                    *known = (*home, source.now);
                }
                Ok(())
            }
            Event::ElementSuspected { handle, id, silent: false } => {
                let reports = seen.reports.get(&(handle.clone(), *id));
                let recent = |at: &&Time| **at + REPORT > source.local;
                let reporters = reports.map_or(0, |by| by.values().filter(recent).count());
                match reporters > MAX_BAD_REPORTS {
                    true => Ok(()),
                    false => Err(format!("element {id} of {handle} suspected after {reporters} reports")),
                }
            }
            Event::TakeoverStarted { target } => {
                seen.begun.insert(*target, source.now);
                Ok(())
            }
            Event::TakeoverAborted { target, .. } => {
                seen.begun.remove(target);
                Ok(())
            }
            Event::TakeoverCompleted { target, winner, .. } => {
                seen.begun.remove(target);
                if *winner == source.id { self.taken_over(source, *target) } else { Ok(()) }
            }
            Event::Resynchronized { peer } => {
                seen.loads.loaded(source.now, *peer);
                let of =
                    self.registrars.iter().find(|(_, seen)| seen.id == Some(*peer)).map(|(host, _)| *host);
                let Some(seen) = self.registrars.get(&source.host) else { return Ok(()) };
                match seen.loads.of(*peer) > LOADS + seen.loads.meetings(of) {
                    true => Err(format!("the table of {peer} is loaded again and again")),
                    false => Ok(()),
                }
            }
            Event::PeerUp { id, .. } => {
                seen.returned.insert(*id, source.now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with the removal of an element.
    fn removed(
        &self,
        source: Source,
        name: &Name,
        home: RegistrarId,
        why: RemovalReason,
        truth: &Truth<'_>,
    ) -> Option<&'static str> {
        let Source { now, local, host, id } = source;
        let seen = self.registrars.get(&host)?;
        let now_ended: &[(HostId, bool)] = if seen.ended.0 == local { &seen.ended.1 } else { &[] };
        // Only an association with the element itself says anything of it.
        let whereabouts = self.whereabouts.get(name);
        let with_it = |host: &HostId| whereabouts.is_none_or(|hosts| hosts.contains(host));
        let ended = now_ended.iter().any(|(host, _)| with_it(host));
        // An element that has found another home leaves in order, before this one may have heard of it.
        let left = now_ended.iter().any(|(host, in_order)| *in_order && with_it(host));
        let in_time = seen.acknowledged.get(name).is_some_and(|at| *at + KEEP_ALIVE_TIMEOUT > local);
        // Where two have had the name, each registrar may mean the other one, which is dead.
        let lives_in_peace = || {
            self.is_alone(name)
                && self.at_peace(host, now - PEACE)
                && (truth.living)(name).is_some_and(|server| self.at_peace(server, now - PEACE))
        };
        let peace = || home == id && lives_in_peace();
        // Its home has had it for long, and nothing was wrong with that and the way to it either. (Two registrations that cross
        // end in one home soon after.)
        let settled = seen.homes.get(name).is_some_and(|(_, since)| *since < now - PEACE);
        let kept_by_home = || {
            let homes = self.registrars.iter().filter(|(_, seen)| seen.id == Some(home));
            let known = |(other, _): (&HostId, &Seen)| self.know_each_other(host, *other, now - PEACE);
            home != id
                && settled
                && homes.into_iter().any(known)
                && lives_in_peace()
                && (truth.listed)(home, name)
        };
        match why {
            RemovalReason::KeepAliveFailed if in_time && !ended && self.is_alone(name) => {
                Some("while its acknowledgements arrive in time")
            }
            RemovalReason::AssociationEnded if !ended => Some("for an association that has not ended"),
            RemovalReason::Audit if !self.has_whole_table(host) => {
                Some("before the table of its home was read to its end")
            }
            RemovalReason::RemovedByPeer if !self.strict_rfc && !self.may_remove(host, home) => {
                Some("by the word of somebody who is not its home")
            }
            RemovalReason::KeepAliveFailed | RemovalReason::AssociationEnded
                if !left && home == id && !self.strict_rfc && self.is_one_of_many(source, name, truth) =>
            {
                Some("while much of its pool is cut off with it")
            }
            RemovalReason::KeepAliveFailed | RemovalReason::AssociationEnded | RemovalReason::Audit
                if !left && peace() =>
            {
                Some("by its home without any trouble")
            }
            // Renewals are among what is shed.
            RemovalReason::Expired
                if !left && peace() && self.behind.get(&host).is_none_or(|at| *at < now - PEACE) =>
            {
                Some("by its home without any trouble")
            }
            RemovalReason::KeepAliveFailed | RemovalReason::AssociationEnded | RemovalReason::Audit
                if kept_by_home() =>
            {
                Some("while its home has it, without any trouble")
            }
            _ => None,
        }
    }

    /// Whether nobody else insists on the name of an element: what is heard of it is of it.
    fn is_alone(&self, name: &Name) -> bool {
        self.whereabouts.get(name).is_none_or(|hosts| hosts.len() < 2)
    }

    /// Whether an element lives, was cut off from its home not long ago, and with it so much of its pool that it should be held
    /// (design D9).
    fn is_one_of_many(&self, source: Source, name: &Name, truth: &Truth<'_>) -> bool {
        let Some(server) = (truth.living)(name) else { return false };
        let is_alone =
            self.whereabouts.get(name).is_none_or(|hosts| hosts.iter().all(|host| *host == server));
        if !is_alone {
            return false;
        }
        let Some((_, home_since)) = self.registrars.get(&source.host).and_then(|seen| seen.homes.get(name))
        else {
            return false;
        };
        // What is not exactly in time is no matter here.
        let age = self.guard.hold.saturating_sub(Duration::from_secs(1));
        self.isolations.between(source.host, server, source.now, age).any(|isolation| {
            *home_since < isolation.at - PEACE
                && self.only_parted(isolation, source.host)
                && self.only_parted(isolation, server)
                && self.is_mass(isolation, source, name, truth)
        })
    }

    /// Whether a cut is all that is wrong with a host.
    fn only_parted(&self, isolation: &Isolation, host: HostId) -> bool {
        isolation.was_well(host)
            && self.disturbed.get(&host) == Some(&isolation.at)
            && self.all_disturbed < isolation.at - PEACE
            && !self.refusing
            && !self.stopped.contains(&host)
    }

    /// Whether a cut parts a registrar from too many elements of a pool. Only those count that live, and that are silent to a home
    /// that can say so, or whose home cannot say anything, for it is cut off as well.
    fn is_mass(&self, isolation: &Isolation, source: Source, name: &Name, truth: &Truth<'_>) -> bool {
        let Source { host, id, .. } = source;
        let Some(seen) = self.registrars.get(&host) else { return false };
        let long_before = isolation.at - PEACE;
        let tells =
            |other: HostId| self.linked(host, other, long_before) && self.linked(other, host, long_before);
        let silent = |name: &Name, home: RegistrarId| {
            let Some(server) = (truth.living)(name).filter(|server| isolation.parts(host, *server)) else {
                return false;
            };
            let mut homes =
                self.registrars.iter().filter(|(_, seen)| seen.id == Some(home)).map(|(host, _)| *host);
            let known = |other: HostId| {
                self.only_parted(isolation, other)
                    && (isolation.parts(host, other) || (isolation.parts(other, server) && tells(other)))
            };
            self.only_parted(isolation, server) && (home == id || homes.any(known))
        };
        let first = (name.0.clone(), PeIdentifier(0));
        let pool = seen.homes.range(first..).take_while(|(other, _)| other.0 == name.0);
        let (mut elements, mut many) = (0, 0);
        for (name, (home, since)) in pool {
            elements += 1;
            many += usize::from(*since < long_before && silent(name, *home));
        }
        elements >= self.guard.floor && many > 1 && many * 100 > elements * usize::from(self.guard.share)
    }

    /// Whether the last thing that a registrar heard is the last page of a table.
    fn has_whole_table(&self, host: HostId) -> bool {
        matches!(self.last_enrp(host), Some(enrp::Message { body: Body::HandleTableResponse(response), .. })
            if !response.rejected && (!response.more || response.entries.is_empty()))
    }

    /// Whether the last thing that a registrar heard is a removal by the home of an element, or by somebody who
    /// names it (ambiguity A-63).
    fn may_remove(&self, host: HostId, home: RegistrarId) -> bool {
        matches!(self.last_enrp(host), Some(enrp::Message { sender, body: Body::HandleUpdate(update), .. })
            if update.action == UpdateAction::DEL_PE && (sender == home || update.element.home == home))
    }

    fn last_enrp(&self, host: HostId) -> Option<enrp::Message> {
        let seen = self.registrars.get(&host)?;
        enrp::decode(seen.enrp.as_ref()?, seen.id?).message.ok()
    }

    /// Per connected component at most one winner of a takeover of one incarnation, and the better one.
    ///
    /// A registrar that was only cut off may be taken over again later, and halves that do not reach each other
    /// may both take it over: so only winners count that could have known of each other all the time.
    fn taken_over(&mut self, source: Source, target: RegistrarId) -> Result<(), String> {
        let Source { now, host: winner, id, .. } = source;
        let better = |(other, seen): &(&HostId, &Seen)| {
            **other != winner
                && seen.id.is_some_and(|other| self.arbitration.wins(other, id))
                && seen.begun.get(&target).is_some_and(|begun| *begun + KEEP_ALIVE_TIMEOUT + LATE < now)
                && self.know_each_other(winner, **other, now - PEACE)
        };
        if let Some((other, _)) = self.registrars.iter().find(better) {
            return Err(format!("registrar {target} taken over while {other}, who is to win, is about to"));
        }
        let same = |other: &&Takeover| {
            other.target == target
                && other.winner != winner
                && now.since(other.at) < SAME_TAKEOVER
                && self.know_each_other(winner, other.winner, other.at - PEACE)
                && [winner, other.winner].into_iter().all(|host| {
                    let seen = self.registrars.get(&host);
                    seen.and_then(|seen| seen.returned.get(&target)).is_none_or(|at| *at < other.at)
                })
        };
        let twice = self.takeovers.iter().rev().take(100).find(same).map(|other| (other.winner, other.at));
        self.takeovers.push(Takeover { target, winner, at: now });
        match twice {
            Some((other, at)) => {
                Err(format!("registrar {target} taken over again, after {other} did at {at}"))
            }
            None => Ok(()),
        }
    }

    /// Whether two registrars could have known of each other all the time. What is lost on its way between them comes
    /// [`LATE`], and a connect that is refused is none of theirs.
    fn know_each_other(&self, one: HostId, other: HostId, since: Time) -> bool {
        let well = |host| match self.loss_is_delay {
            true => self.is_left_alone(host, since),
            false => self.at_peace(host, since),
        };
        [one, other].into_iter().all(well) && self.linked(one, other, since) && self.linked(other, one, since)
    }

    fn linked(&self, from: HostId, to: HostId, since: Time) -> bool {
        let links = self.registrars.get(&from).into_iter().flat_map(|seen| seen.links.values());
        links.into_iter().any(|(peer, up)| *peer == to && *up <= since)
    }
}

/// ASAP message types.
const KEEP_ALIVE_ACK: u8 = asap::MessageType::ENDPOINT_KEEP_ALIVE_ACK.0;
const REGISTRATION: u8 = asap::MessageType::REGISTRATION.0;
const UNREACHABLE: u8 = asap::MessageType::ENDPOINT_UNREACHABLE.0;
