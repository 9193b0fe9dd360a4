//! What must hold at all times, whatever goes wrong.
//!
//! The machines' own words are compared with what the network has really brought them: a registrar that removes
//! an element or takes over a peer must have had a reason to. The rest is checked where it happens: sessions and
//! requests in [`processes`](crate::processes), flow control in [`World`](crate::World).

use crate::faults::Fault;
use crate::network::HostId;
use crate::spec::Spec;
use params::{PeIdentifier, RegistrarId};
use proto::registrar::{Event, RemovalReason};
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// keep-alive.timeout of the profile `lan`: an acknowledgement in less is in time.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long two hosts must have been left in peace for what they do to each other to have no excuse.
const PEACE: Duration = Duration::from_secs(3);
/// Two takeovers of one registrar that are further apart have nothing to do with each other.
const SAME_TAKEOVER: Duration = Duration::from_secs(3);

/// What has been seen so far.
pub struct Invariants {
    /// When something was last done to a host, in the world's time.
    disturbed: BTreeMap<HostId, Time>,
    /// When the network was last changed for all; never = it is bad.
    all_disturbed: Time,
    /// Whether connects are refused for no reason.
    refusing: bool,
    /// What does not pass at the moment.
    blocked: BTreeSet<(HostId, HostId)>,
    /// Since when there are ENRP associations, by the host that sees them.
    links: BTreeMap<(HostId, AssocId), (HostId, Time)>,
    /// When a registrar last got an acknowledgement of an element, in its own time.
    acknowledged: BTreeMap<(HostId, PeIdentifier), Time>,
    /// When an association of a host last ended, in its own time, and whether in order.
    ended: BTreeMap<HostId, (Time, bool)>,
    /// Who took over whom when.
    takeovers: Vec<Takeover>,
    /// When a registrar last heard of another one's return.
    returned: BTreeMap<(HostId, RegistrarId), Time>,
}

struct Takeover {
    target: RegistrarId,
    winner: HostId,
    at: Time,
}

impl Invariants {
    /// Nothing has been seen of this run.
    pub fn new(spec: &Spec) -> Self {
        Self {
            disturbed: BTreeMap::new(),
            all_disturbed: if spec.link.loss > 0 { Time::NEVER } else { Time::ZERO },
            refusing: spec.refused > 0,
            blocked: BTreeSet::new(),
            links: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            ended: BTreeMap::new(),
            takeovers: Vec::new(),
            returned: BTreeMap::new(),
        }
    }

    /// Something is done to the world.
    pub fn disturb(&mut self, now: Time, fault: &Fault) {
        match fault {
            Fault::Link(link) => self.all_disturbed = if link.loss > 0 { Time::NEVER } else { now },
            Fault::Refuse(refused) => self.refusing = *refused > 0,
            Fault::Block(from, to) => {
                self.blocked.insert((*from, *to));
            }
            Fault::Unblock(from, to) => {
                self.blocked.remove(&(*from, *to));
            }
            _ => {}
        }
        for host in fault.hosts() {
            self.disturbed.insert(host, now);
        }
    }

    /// Whether nothing was wrong with a host and its paths since then.
    fn at_peace(&self, host: HostId, since: Time) -> bool {
        !self.refusing
            && self.all_disturbed < since
            && self.disturbed.get(&host).is_none_or(|at| *at < since)
            && !self.blocked.iter().any(|(from, to)| [from, to].contains(&&host))
    }

    /// A process is new on its host: what its predecessor saw does not matter.
    pub fn started(&mut self, host: HostId) {
        self.links.retain(|(owner, _), _| *owner != host);
        self.acknowledged.retain(|(owner, _), _| *owner != host);
        self.returned.retain(|(owner, _), _| *owner != host);
        self.ended.remove(&host);
    }

    /// An input reaches the process of a host, whose own time is `local`.
    pub fn input(&mut self, now: Time, local: Time, host: HostId, input: &Input) {
        match input {
            Input::Up { assoc, channel: Channel::Enrp, remote, .. } => {
                if let Some(peer) = remote.first().and_then(|remote| HostId::at(remote.ip())) {
                    self.links.insert((host, *assoc), (peer, now));
                }
            }
            Input::Down { assoc, why } => {
                self.links.remove(&(host, *assoc));
                self.ended.insert(host, (local, *why == DownReason::Shutdown));
            }
            Input::Message { ppid: PPID_ASAP, bytes, .. } => {
                if let Ok(asap::Message::EndpointKeepAliveAck(ack)) = asap::decode(bytes).message {
                    self.acknowledged.insert((host, ack.id), local);
                }
            }
            _ => {}
        }
    }

    /// What a registrar says of what it did. `elements`: the registered elements of living processes.
    pub fn registrar(
        &mut self,
        now: Time,
        local: Time,
        (host, id): (HostId, RegistrarId),
        event: &Event,
        elements: &BTreeMap<PeIdentifier, HostId>,
    ) -> Result<(), String> {
        match event {
            Event::ElementRemoved { id: element, home, why, .. } => {
                let ended = self.ended.get(&host).is_some_and(|(at, _)| *at == local);
                // An element that has found another home leaves in order, before this one may have heard of it.
                let left = self.ended.get(&host) == Some(&(local, true));
                let acknowledged = self.acknowledged.get(&(host, *element));
                let in_time = acknowledged.is_some_and(|at| *at + KEEP_ALIVE_TIMEOUT > local);
                let server = elements.get(element).filter(|server| self.at_peace(**server, now - PEACE));
                let peace = server.is_some() && self.at_peace(host, now - PEACE);
                match why {
                    RemovalReason::KeepAliveFailed if in_time && !ended => {
                        Err(format!("element {element} removed while its acknowledgements arrive in time"))
                    }
                    RemovalReason::AssociationEnded if !ended => {
                        Err(format!("element {element} removed for an association that has not ended"))
                    }
                    RemovalReason::KeepAliveFailed
                    | RemovalReason::AssociationEnded
                    | RemovalReason::Audit
                        if *home == id && peace && !left =>
                    {
                        Err(format!("element {element} removed by its home without any trouble: {why:?}"))
                    }
                    _ => Ok(()),
                }
            }
            Event::TakeoverCompleted { target, winner, .. } if *winner == id => {
                self.taken_over(now, host, *target)
            }
            Event::PeerUp { id, .. } => {
                self.returned.insert((host, *id), now);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Per connected component at most one winner of a takeover of one incarnation.
    ///
    /// A registrar that was only cut off may be taken over again later, and halves that do not reach each other
    /// may both take it over: so only winners count that could have known of each other all the time.
    fn taken_over(&mut self, now: Time, winner: HostId, target: RegistrarId) -> Result<(), String> {
        let same = |other: &&Takeover| {
            let before = other.at - PEACE;
            let returned = |host| self.returned.get(&(host, target)).is_some_and(|at| *at >= other.at);
            other.target == target
                && other.winner != winner
                && now.since(other.at) < SAME_TAKEOVER
                && [winner, other.winner]
                    .into_iter()
                    .all(|host| self.at_peace(host, before) && !returned(host))
                && self.linked(winner, other.winner, before)
                && self.linked(other.winner, winner, before)
        };
        let twice = self.takeovers.iter().find(same).map(|other| (other.winner, other.at));
        self.takeovers.push(Takeover { target, winner, at: now });
        match twice {
            Some((other, at)) => {
                Err(format!("registrar {target} taken over again, after {other} did at {at}"))
            }
            None => Ok(()),
        }
    }

    fn linked(&self, from: HostId, to: HostId, since: Time) -> bool {
        self.links.iter().any(|((owner, _), (peer, up))| *owner == from && *peer == to && *up <= since)
    }
}
