//! The SCTP ports on which peers may start associations. Each has its own share of the endpoint's limits: a flood at
//! the ASAP port must not keep registrars from each other.

use super::SctpLimits;
use super::rate::Rate;
use proto::{Channel, Time};

/// One SCTP port.
#[derive(Debug)]
pub(super) struct Listener {
    /// Of the associations that peers start here.
    pub(super) channel: Channel,
    pub(super) port: u16,
    /// INITs that may be answered.
    handshakes: Rate,
    /// Associations of its channel, those of sessions at the first listener included.
    associations: usize,
}

/// The SCTP ports of an endpoint, at least one.
#[derive(Debug)]
pub(super) struct Listeners {
    first: Listener,
    others: Vec<Listener>,
    most_associations: usize,
}

impl Listeners {
    /// `ports` must not be empty; without any the endpoint would listen on port 0, where no packet arrives.
    pub(super) fn new(ports: &[(Channel, u16)], limits: &SctpLimits) -> Self {
        let listener = |&(channel, port): &(Channel, u16)| Listener {
            channel,
            port,
            handshakes: Rate::new(limits.handshakes_per_second),
            associations: 0,
        };
        let (first, others) = ports.split_first().unwrap_or((&(Channel::Asap, 0), &[]));
        Self {
            first: listener(first),
            others: others.iter().map(listener).collect(),
            most_associations: limits.associations,
        }
    }

    /// Where associations of a channel start: sessions, and what has no port of its own, at the first.
    pub(super) fn of_channel(&self, channel: Channel) -> &Listener {
        self.others.iter().find(|listener| listener.channel == channel).unwrap_or(&self.first)
    }

    /// The listener at an SCTP port.
    pub(super) fn at(&self, port: u16) -> Option<&Listener> {
        std::iter::once(&self.first).chain(&self.others).find(|listener| listener.port == port)
    }

    /// Takes one of the handshakes at an SCTP port; those of sessions, which start at ports of their own, are
    /// handshakes of the first listener.
    pub(super) fn take_handshake(&mut self, port: u16, now: Time) -> bool {
        let named = self.others.iter_mut().find(|listener| listener.port == port);
        named.unwrap_or(&mut self.first).handshakes.take(now)
    }

    /// Whether a channel has as many associations as it may have.
    pub(super) fn is_full(&self, channel: Channel) -> bool {
        self.of_channel(channel).associations >= self.most_associations
    }

    /// An association of this channel begins.
    pub(super) fn begin(&mut self, channel: Channel) {
        self.count_of(channel, |count| count + 1);
    }

    /// An association of this channel has ended.
    pub(super) fn end(&mut self, channel: Channel) {
        self.count_of(channel, |count| count.saturating_sub(1));
    }

    fn count_of(&mut self, channel: Channel, change: impl FnOnce(usize) -> usize) {
        let named = self.others.iter_mut().find(|listener| listener.channel == channel);
        let listener = named.unwrap_or(&mut self.first);
        listener.associations = change(listener.associations);
    }
}
