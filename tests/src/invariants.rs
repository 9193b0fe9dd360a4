//! What must hold at all times, whatever goes wrong.
//!
//! The machines' own words are compared with what the network has really brought them: a registrar that removes
//! an element or takes over a peer must have had a reason to. The rest is checked where it happens: sessions and
//! requests in [`processes`](crate::processes), flow control in [`World`](crate::World).

use crate::network::HostId;
use params::{PeIdentifier, RegistrarId};
use proto::registrar::{Event, PeerDownReason, RemovalReason};
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// keep-alive.timeout of the profile `lan`: an acknowledgement in less is in time.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long two hosts must have been left in peace for what they do to each other to have no excuse.
const PEACE: Duration = Duration::from_secs(3);
/// Two takeovers of one registrar that are further apart have nothing to do with each other.
const SAME_TAKEOVER: Duration = Duration::from_secs(3);

/// What has been seen so far.
#[derive(Default)]
pub struct Invariants {
    /// When something was last done to a host, in the world's time.
    disturbed: BTreeMap<HostId, Time>,
    /// When something was done to all.
    all_disturbed: Time,
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
    /// Something is done to these hosts, or to all.
    pub fn disturb(&mut self, now: Time, hosts: &[HostId]) {
        if hosts.is_empty() {
            self.all_disturbed = now;
        }
        for host in hosts {
            self.disturbed.insert(*host, now);
        }
    }

    /// Since when nothing has been done to a host.
    pub fn peace_since(&self, host: HostId) -> Time {
        self.disturbed.get(&host).map_or(self.all_disturbed, |at| self.all_disturbed.max(*at))
    }

    fn at_peace(&self, host: HostId, since: Time) -> bool {
        self.peace_since(host) < since
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
            Event::PeerDown { why: PeerDownReason::NotHeard | PeerDownReason::Unreachable, .. } => Ok(()),
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
