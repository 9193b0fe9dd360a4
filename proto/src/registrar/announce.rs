//! Announcements by multicast: for clients that look for a registrar (RFC 5352 §3.6), and for registrars that look for
//! each other (ambiguity A-54).
//!
//! All registrars of a scope share one rate: each waits as many T6 as there are registrars, as far as it hears them. What
//! is heard is a hint, for nobody can say who sent it. An ENRP_PRESENCE of somebody unknown leads to an attempt to connect
//! to it, and what comes over that association decides. Nothing else changes: no peer counts as heard, none is audited.

use super::peers::Source;
use super::timers::Timer;
use super::{Registrar, State};
use crate::announce::{Gate, reachable};
use crate::{Channel, Time, Transmit};
use ::enrp::{Body, Presence};
use asap::ServerAnnounce;
use params::{RegistrarId, SctpTransport, ServerInformation, Transport, TransportUse};
use rand::RngExt;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// An announcement may be lost, so T7 is at least this many periods (ambiguity A-46).
const PERIODS: u32 = 3;
/// While it looks for a mentor a registrar announces itself so many times.
const CALLS: u32 = 3;

/// What a registrar announces by multicast, and listens to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announce {
    /// ASAP_SERVER_ANNOUNCE, for pool elements and pool users.
    pub asap: bool,
    /// ENRP_PRESENCE, for registrars.
    pub enrp: bool,
}

impl Announce {
    fn is_on(self) -> bool {
        self.asap || self.enrp
    }
}

/// What was heard, and what is to be said.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// The other registrars that announced themselves, and when they last did.
    heard: BTreeMap<RegistrarId, Time>,
    gate: Gate,
    /// Where our endpoints can be reached.
    addresses: BTreeMap<Channel, Vec<IpAddr>>,
}

impl Registrar {
    /// Our addresses are known now, or others: time to announce them.
    pub(super) fn addresses_changed(&mut self, now: Time, channel: Channel, addresses: Vec<IpAddr>) {
        let before = self.announcements.addresses.insert(channel, addresses);
        if self.is_serving() && before.as_ref() != self.announcements.addresses.get(&channel) {
            self.register_ourselves(now);
            self.announce_ourselves(now);
        }
    }

    /// Where one of our endpoints is, unless nobody has said so.
    pub(super) fn own_transport(&self, channel: Channel, port: u16) -> Option<SctpTransport> {
        let addresses = match self.config.advertise.as_slice() {
            // rsplib takes the source of the datagram anyway.
            advertised if !advertised.is_empty() && !self.config.compat.is_rsplib() => advertised.to_vec(),
            _ => self.announcements.addresses.get(&channel)?.clone(),
        };
        let transport = SctpTransport { port, transport_use: TransportUse::DATA_ONLY, addresses };
        Some(transport).filter(|transport| !transport.addresses.is_empty())
    }

    /// It is time to announce ourselves.
    pub(super) fn announce_ourselves(&mut self, now: Time) {
        if !self.config.announce.is_on() {
            return;
        }
        self.announce_presence();
        if self.state == State::Running {
            self.announce_server();
        }
        let period = self.announcement_period(now);
        let jitter = self.rng.random_range(0.9..=1.1);
        self.timers.set(Timer::Announce, now + period.mul_f64(jitter));
    }

    /// (N+1) · T6 with N other registrars (RFC 5352 §3.6, ambiguity A-44); while it starts it is in a hurry.
    fn announcement_period(&mut self, now: Time) -> Duration {
        if self.state == State::Starting {
            return self.config.timers.mentor_discovery_timeout / CALLS;
        }
        let others = u32::try_from(self.announcements.heard.len()).unwrap_or(u32::MAX);
        let t6 = self.config.timers.t6_server_announce;
        let outdated = self.config.timers.t7_enrp_outdate.max(t6 * others.saturating_mul(PERIODS));
        self.announcements.heard.retain(|_, at| *at + outdated > now);
        let others = u32::try_from(self.announcements.heard.len()).unwrap_or(u32::MAX);
        t6 * others.saturating_add(1)
    }

    fn announce_server(&mut self) {
        let Some(transport) = self.own_transport(Channel::Asap, self.config.asap_port) else { return };
        if !self.config.announce.asap {
            return;
        }
        let announce = ServerAnnounce { registrar: self.id, transports: vec![Transport::Sctp(transport)] };
        match asap::Message::from(announce).encode() {
            Ok(bytes) => self.multicast(Channel::Asap, bytes),
            Err(_) => self.counters.send_failures += 1,
        }
    }

    /// PRESENCE to whoever is there. Nobody is to answer, and who does not know us will connect.
    fn announce_presence(&mut self) {
        let Some(transport) = self.own_transport(Channel::Enrp, self.config.enrp_port) else { return };
        if !self.config.announce.enrp {
            return;
        }
        let presence = Presence {
            reply_required: false,
            checksum: Some(self.own_checksum()),
            information: Some(ServerInformation {
                id: self.id,
                transport,
                table_response_size: None,
                incarnation: None,
            }),
            silent: Vec::new(),
        };
        if let Some(bytes) = self.encode_enrp(RegistrarId::NONE, Body::Presence(presence)) {
            self.multicast(Channel::Enrp, bytes);
        }
    }

    fn multicast(&mut self, channel: Channel, bytes: bytes::Bytes) {
        self.counters.announcements_sent += 1;
        self.associations.transmit(Transmit::Announce { channel, bytes });
    }

    /// A datagram of a multicast group. Nothing is answered, whatever it is (RFC 5352 §2.2.14).
    pub(super) fn announcement(&mut self, now: Time, from: SocketAddr, channel: Channel, bytes: &[u8]) {
        if !self.is_serving() || !self.config.announce.is_on() {
            return;
        }
        let understood = self.announcements.gate.admits(now, from.ip())
            && match channel {
                Channel::Asap => self.server_announced(now, bytes),
                Channel::Enrp => self.presence_announced(now, from, bytes),
                Channel::Session => false,
            };
        match understood {
            true => self.counters.announcements_received += 1,
            false => self.counters.announcements_ignored += 1,
        }
    }

    /// ASAP_SERVER_ANNOUNCE: one more that shares the rate.
    fn server_announced(&mut self, now: Time, bytes: &[u8]) -> bool {
        let Ok(asap::Message::ServerAnnounce(announce)) = asap::decode(bytes).message else { return false };
        let heard = &mut self.announcements.heard;
        let known = announce.registrar == self.id || heard.contains_key(&announce.registrar);
        let has_room = known || heard.len() < self.config.limits.peers;
        if announce.registrar != self.id && has_room {
            heard.insert(announce.registrar, now);
        }
        has_room
    }

    /// ENRP_PRESENCE: whom we are not connected to may be a registrar.
    fn presence_announced(&mut self, now: Time, from: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(message) = ::enrp::decode(bytes, self.id).message else { return false };
        let Body::Presence(Presence { information: Some(information), .. }) = message.body else {
            return false;
        };
        let sender = message.sender;
        if sender == RegistrarId::NONE || information.id != sender {
            return false;
        }
        if sender == self.id || self.is_connected_to(sender) {
            return true;
        }
        let addresses = match self.config.compat.is_rsplib() {
            // It names all addresses of its host, and the one that it sends from is the one that it is reached at.
            true => vec![SocketAddr::new(from.ip(), information.transport.port)],
            false => reachable(from, &information.transport),
        };
        self.add_contact(now, addresses, Source::Announced);
        self.connect_contacts(now);
        true
    }
}
