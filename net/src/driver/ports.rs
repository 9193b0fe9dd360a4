//! The endpoints of a driver: which of them carries an association, and what is still unread.

use super::handle::EndpointCounters;
use super::transport::{Backend, Opened};
use proto::{AssocId, Channel, Input, Time, Transmit};
use std::collections::BTreeMap;
use std::task::{Context, Poll};
use tracing::warn;

/// After so many packets everything that was in a socket's buffer when it was last empty has been read: each takes at
/// least 512 bytes of the buffer, which has 8 MiB (16 by the kernel's own book-keeping).
const MAX_BACKLOG: usize = 1024 * 32;

/// The endpoints.
pub(super) struct Ports {
    ports: Vec<Port>,
    /// Where the associations are that are not at the first endpoint.
    elsewhere: BTreeMap<AssocId, usize>,
}

struct Port {
    channels: Vec<Channel>,
    endpoint: Box<dyn Backend>,
    /// Packets read since the socket was last empty, at least.
    backlog: usize,
    /// The socket was emptied, or as good as that, since [`Ports::take_drained`] last said so.
    drained: bool,
}

impl Ports {
    pub(super) fn new(endpoints: Vec<Opened>) -> Self {
        let port =
            |Opened { channels, backend }| Port { channels, endpoint: backend, backlog: 0, drained: false };
        Self { ports: endpoints.into_iter().map(port).collect(), elsewhere: BTreeMap::new() }
    }

    /// How many there are; the other methods take an index below it.
    pub(super) fn len(&self) -> usize {
        self.ports.len()
    }

    /// Reads one batch; whether there may be more.
    pub(super) fn read(&mut self, index: usize, cx: &mut Context<'_>, now: Time) -> bool {
        let Some(port) = self.ports.get_mut(index) else { return false };
        match port.endpoint.poll_io(cx, now) {
            Poll::Pending => {
                port.backlog = 0;
                port.drained = true;
                return false;
            }
            Poll::Ready(Ok(())) => port.backlog += port.endpoint.batch(),
            Poll::Ready(Err(error)) => {
                // The runtime's I/O is gone, which happens only at its end.
                warn!(%error, "cannot read the socket");
                return false;
            }
        }
        if port.backlog % MAX_BACKLOG == 0 {
            port.drained = true;
        }
        true
    }

    /// Whether all endpoints have been drained since this was last true.
    pub(super) fn take_drained(&mut self) -> bool {
        let all = self.ports.iter().all(|port| port.drained);
        if all {
            self.ports.iter_mut().for_each(|port| port.drained = false);
        }
        all
    }

    /// Whether one of the sockets was left before it was empty.
    pub(super) fn has_backlog(&self) -> bool {
        self.ports.iter().any(|port| port.backlog > 0)
    }

    /// How many packets were read at least since each socket was last empty.
    pub(super) fn backlog(&self) -> usize {
        self.ports.iter().map(|port| port.backlog).sum()
    }

    /// The next thing that happened at an endpoint.
    pub(super) fn poll_input(&mut self, index: usize) -> Option<Input> {
        let input = self.ports.get_mut(index)?.endpoint.poll_input()?;
        if index > 0 {
            match &input {
                Input::Up { assoc, .. } => drop(self.elsewhere.insert(*assoc, index)),
                Input::Down { assoc, .. } => drop(self.elsewhere.remove(assoc)),
                _ => {}
            }
        }
        Some(input)
    }

    /// Carries a transmit out at its endpoint; returns which one that was.
    pub(super) fn carry_out(&mut self, now: Time, transmit: Transmit) -> usize {
        let index = self.route(&transmit);
        if let Some(port) = self.ports.get_mut(index) {
            port.endpoint.carry_out(now, transmit);
        }
        index
    }

    fn route(&mut self, transmit: &Transmit) -> usize {
        match transmit {
            Transmit::Connect { assoc, channel, .. } => {
                let index = self.endpoint_of(*channel);
                if index > 0 {
                    self.elsewhere.insert(*assoc, index);
                }
                index
            }
            Transmit::Announce { channel, .. } => self.endpoint_of(*channel),
            Transmit::Send { assoc, .. }
            | Transmit::Read { assoc, .. }
            | Transmit::Shutdown { assoc }
            | Transmit::Abort { assoc, .. } => self.elsewhere.get(assoc).copied().unwrap_or(0),
        }
    }

    /// A session starts at the ASAP endpoint's socket.
    fn endpoint_of(&self, channel: Channel) -> usize {
        self.ports.iter().position(|port| port.channels.contains(&channel)).unwrap_or(0)
    }

    /// Runs the timers of an endpoint if they are due; whether they were.
    pub(super) fn handle_timeout(&mut self, index: usize, now: Time) -> bool {
        let Some(port) = self.ports.get_mut(index) else { return false };
        let due = port.endpoint.poll_timeout().is_some_and(|at| at <= now);
        if due {
            port.endpoint.handle_timeout(now);
        }
        due
    }

    /// When the next timer of an endpoint is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.ports.iter().filter_map(|port| port.endpoint.poll_timeout()).min()
    }

    /// Sends what an endpoint has to send.
    pub(super) fn flush(&mut self, index: usize, now: Time) {
        if let Some(port) = self.ports.get_mut(index) {
            port.endpoint.flush(now);
        }
    }

    /// What the endpoints have counted.
    pub(super) fn counters(&self) -> Vec<EndpointCounters> {
        let of = |Port { endpoint, .. }: &Port| EndpointCounters {
            local: endpoint.local_address(),
            backend: endpoint.counters(),
        };
        self.ports.iter().map(of).collect()
    }
}
