//! What runs on the hosts of a scenario: the real machines, and processes that the scenario plays.

use super::event;
use super::owner::Owner;
use crate::network::HostId;
use asap::{EndpointKeepAliveAck, Message};
use params::{PeIdentifier, PoolHandle};
use proto::endpoint::{AsapEndpoint, Event};
use proto::registrar::Registrar;
use proto::{AssocId, Channel, Input, Node, PPID_ASAP, Time, Transmit};
use std::collections::{BTreeMap, VecDeque};

/// What runs on a host.
pub(super) enum Process {
    Registrar(Box<Registrar>),
    /// Pool elements and pool users.
    Endpoint(Box<AsapEndpoint>, Owner),
    /// The scenario plays its part: it says what it is told to say, and by itself at most that its elements live.
    Played(Played),
}

/// A process whose part the scenario plays.
#[derive(Default)]
pub(super) struct Played {
    /// How many it has connected.
    count: u64,
    /// Its associations: with whom, and for which protocol.
    associations: BTreeMap<(HostId, Channel), AssocId>,
    /// The elements that it answers keep-alives for.
    elements: Vec<EndpointKeepAliveAck>,
    answers: VecDeque<Transmit>,
}

impl Played {
    /// The name of another association.
    pub(super) fn next_association(&mut self) -> AssocId {
        self.count += 1;
        AssocId::connected(self.count)
    }

    /// An association is established.
    pub(super) fn connected(&mut self, with: HostId, channel: Channel, assoc: AssocId) {
        self.associations.insert((with, channel), assoc);
    }

    /// Its association with a host.
    pub(super) fn association(&self, with: HostId, channel: Channel) -> Option<AssocId> {
        self.associations.get(&(with, channel)).copied()
    }

    /// Answers keep-alives for this element from now on.
    pub(super) fn answer_for(&mut self, handle: PoolHandle, id: PeIdentifier) {
        self.elements.push(EndpointKeepAliveAck { handle, id });
    }

    fn input(&mut self, input: &Input) {
        let Input::Message { assoc, ppid: PPID_ASAP, bytes, .. } = input else { return };
        let Ok(Message::EndpointKeepAlive(keep_alive)) = asap::decode(bytes).message else { return };
        let meant = self.elements.iter().filter(|element| element.handle == keep_alive.handle);
        let answers = meant.filter_map(|element| Message::from(element.clone()).encode().ok());
        self.answers.extend(answers.map(|bytes| Transmit::Send {
            assoc: *assoc,
            stream: 0,
            ppid: PPID_ASAP,
            unordered: false,
            bytes,
        }));
    }
}

impl Process {
    pub(super) fn input(&mut self, now: Time, input: Input) {
        match self {
            Self::Registrar(machine) => machine.handle_input(now, input),
            Self::Endpoint(machine, _) => machine.handle_input(now, input),
            Self::Played(played) => played.input(&input),
        }
    }

    pub(super) fn timeout(&mut self, now: Time) {
        match self {
            Self::Registrar(machine) => machine.handle_timeout(now),
            Self::Endpoint(machine, _) => machine.handle_timeout(now),
            Self::Played(_) => {}
        }
    }

    pub(super) fn transmit(&mut self) -> Option<Transmit> {
        match self {
            Self::Registrar(machine) => machine.poll_transmit(),
            Self::Endpoint(machine, _) => machine.poll_transmit(),
            Self::Played(played) => played.answers.pop_front(),
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        match self {
            Self::Registrar(machine) => machine.poll_timeout().map(|(at, _)| at),
            Self::Endpoint(machine, _) => machine.poll_timeout().map(|(at, _)| at),
            Self::Played(_) => None,
        }
    }

    pub(super) fn event(&mut self) -> Option<String> {
        match self {
            Self::Registrar(machine) => machine.poll_event().map(|event| event::of_registrar(&event)),
            Self::Endpoint(machine, owner) => loop {
                let event = machine.poll_event()?;
                owner.hears(&event);
                // Room in a queue is no news.
                if !matches!(event, Event::Sent { .. }) {
                    break Some(event::of_endpoint(&event, &owner.elements));
                }
            },
            Self::Played(_) => None,
        }
    }

    pub(super) fn has_left(&self) -> bool {
        match self {
            Self::Registrar(machine) => machine.is_drained(),
            Self::Endpoint(machine, _) => machine.is_drained(),
            Self::Played(_) => false,
        }
    }
}
