//! A client that subscribes to all pools (RFC 5352's S and A bits, design D5), written by hand: it checks what
//! registrars push. Beside that it is an element that never registers again, so that its registration ends.

use super::{handle, policy};
use crate::network::{ASAP_PORT, ENDPOINT_PORT, HostId};
use crate::spec::Spec;
use asap::{EndpointKeepAliveAck, HandleResolution, HandleResolutionResponse, Message, Registration};
use params::{
    PeIdentifier, PoolElement, PoolHandle, RegistrarId, RegistrationLife, SctpTransport, Transport,
    TransportUse,
};
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Time, Transmit};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha12Rng;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// How long it waits for an answer, and between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// A subscriber.
pub struct Watcher {
    rng: ChaCha12Rng,
    pools: u16,
    registrars: Vec<HostId>,
    /// Which registrar it has chosen.
    chosen: usize,
    connected: u64,
    association: Option<AssocId>,
    up: bool,
    /// What the registrar has told of the pools that it accepts a subscription for.
    lists: BTreeMap<PoolHandle, Vec<PoolElement>>,
    transmits: VecDeque<Transmit>,
    next: Time,
    /// Whether it registers its element when it is next connected.
    registers: bool,
    leaving: bool,
}

impl Watcher {
    pub(super) fn start(registrars: Vec<HostId>, spec: &Spec, mut rng: ChaCha12Rng, now: Time) -> Self {
        let chosen = rng.random_range(0..registrars.len());
        Self {
            rng,
            pools: spec.pools,
            registrars,
            chosen,
            connected: 0,
            association: None,
            up: false,
            lists: BTreeMap::new(),
            transmits: VecDeque::new(),
            next: now,
            registers: !spec.churn_every.is_zero(),
            leaving: false,
        }
    }

    /// The registrar that it is connected with.
    pub fn registrar(&self) -> Option<HostId> {
        self.registrars.get(self.chosen).copied().filter(|_| self.up)
    }

    /// What it knows of a pool, if it has subscribed to it.
    pub fn list(&self, handle: &PoolHandle) -> Option<&[PoolElement]> {
        self.lists.get(handle).map(Vec::as_slice)
    }

    pub(super) fn due(&self) -> Option<Time> {
        (!self.leaving).then_some(self.next)
    }

    pub(super) fn transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.transmits.extend(self.association.map(|assoc| Transmit::Shutdown { assoc }));
    }

    pub(super) fn has_left(&self) -> bool {
        self.leaving && self.association.is_none()
    }

    /// Connects, or asks again for what was not accepted.
    pub(super) fn timeout(&mut self, now: Time) {
        if now < self.next || self.leaving {
            return;
        }
        self.next = now + PAUSE;
        match self.association {
            None => self.connect(),
            Some(assoc) if self.up => self.subscribe(assoc),
            Some(_) => {}
        }
    }

    fn connect(&mut self) {
        self.chosen = self.rng.random_range(0..self.registrars.len());
        let assoc = AssocId::connected(self.connected);
        self.connected += 1;
        self.association = Some(assoc);
        let remote = vec![self.registrars[self.chosen].port(ASAP_PORT)];
        self.transmits.push_back(Transmit::Connect { assoc, channel: Channel::Asap, remote });
    }

    fn subscribe(&mut self, assoc: AssocId) {
        for handle in (0..self.pools).map(handle).filter(|handle| !self.lists.contains_key(handle)) {
            let request = HandleResolution { subscribe: true, handle, items: None };
            Self::send(&mut self.transmits, assoc, &request.into());
        }
    }

    fn send(transmits: &mut VecDeque<Transmit>, assoc: AssocId, message: &Message) {
        if let Ok(bytes) = message.encode() {
            transmits.push_back(Transmit::Send {
                assoc,
                stream: 0,
                ppid: PPID_ASAP,
                unordered: false,
                bytes,
            });
        }
    }

    pub(super) fn input(&mut self, now: Time, input: Input) {
        match input {
            Input::Up { assoc, local, .. } if self.association == Some(assoc) => {
                self.up = true;
                self.subscribe(assoc);
                if std::mem::take(&mut self.registers) {
                    self.register(assoc, local);
                }
            }
            Input::Restart { assoc } if self.association == Some(assoc) => {
                self.lists.clear();
                self.subscribe(assoc);
            }
            // The registrar was faster: it has connected to us, as the home of our element.
            Input::Down { assoc, why: DownReason::Duplicate(other) } if self.association == Some(assoc) => {
                self.association = Some(other);
                self.up = true;
                self.subscribe(other);
            }
            Input::Down { assoc, .. } if self.association == Some(assoc) => {
                self.association = None;
                self.up = false;
                self.lists.clear();
                self.next = now + PAUSE / 5;
            }
            Input::Message { assoc, bytes, .. } => match asap::decode(&bytes).message {
                Ok(Message::HandleResolutionResponse(response)) if self.association == Some(assoc) => {
                    self.told(response);
                }
                Ok(Message::EndpointKeepAlive(asked)) => {
                    let ack = EndpointKeepAliveAck { handle: asked.handle, id: ELEMENT };
                    Self::send(&mut self.transmits, assoc, &ack.into());
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn told(&mut self, response: HandleResolutionResponse) {
        let HandleResolutionResponse { accepted, handle, elements, .. } = response;
        match accepted {
            true => self.lists.insert(handle, elements),
            false => self.lists.remove(&handle),
        };
    }

    /// An element with a short life that is never registered again: acknowledgements do not prolong it.
    fn register(&mut self, assoc: AssocId, addresses: Vec<IpAddr>) {
        let transport =
            SctpTransport { port: ENDPOINT_PORT, transport_use: TransportUse::DATA_AND_CONTROL, addresses };
        let element = PoolElement {
            id: ELEMENT,
            home: RegistrarId::NONE,
            life: RegistrationLife(self.rng.random_range(1..=5)),
            user_transport: Transport::Sctp(transport),
            policy: policy(0, &mut self.rng),
            asap_transport: None,
        };
        let handle = PoolHandle::from(format!("fleeting-{}", self.rng.next_u32()).as_str());
        Self::send(&mut self.transmits, assoc, &Registration { handle, element }.into());
    }
}

/// The identifier of the element.
const ELEMENT: PeIdentifier = PeIdentifier(77);
