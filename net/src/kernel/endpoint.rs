//! The endpoint: what the machine wants of its associations.

use super::association::{Association, Outgoing, State};
use super::batch::{Arrivals, BATCH};
use super::socket::{self, KernelSocket, Use};
use super::sockets::{MAX_READY, News, Ready, Sockets, Token};
use super::{KernelConfig, KernelCounters};
use crate::Endpoint;
use crate::clock::System;
use crate::sctp::{SctpConfig, canonical, is_usable};
use lksctp::AssocId as KernelId;
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::{debug, warn};

/// How long the text in an ABORT may be: for a log, not a book.
const MAX_CAUSE_TEXT: usize = 256;
/// Batches that may wait in the shared socket when the news of an association is looked for.
const MAX_BACKLOG: usize = 1024;
/// How long it holds that the system has nothing, unless the runtime has heard otherwise. Much less than what the clock
/// forgives (`GRACE`), so that a process that was frozen in between asks before its timers run.
const FRESH: Duration = Duration::from_millis(5);
/// How often associations that nobody reads are looked after: more often than the peer's kernel gives one up, which takes
/// at least three of the shortest retransmission timeouts in use.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// Messages (or pieces of one) to take then.
const TRICKLE: usize = 2;
/// That ends when all that is held back takes this part of the receive budget: nobody is to be ended for what was taken
/// without need.
const TRICKLE_SHARE: usize = 2;

/// A socket that is bound and waits for its thread.
///
/// Binding first tells whoever starts the thread what is wrong.
pub struct KernelListener {
    socket: KernelSocket,
    addresses: Vec<SocketAddr>,
    sctp: SctpConfig,
    kernel: KernelConfig,
}

impl KernelListener {
    /// Opens a socket and binds it to `address` and the further addresses of `kernel`; port 0 takes any free one.
    pub fn bind(address: SocketAddr, sctp: &SctpConfig, kernel: &KernelConfig) -> io::Result<Self> {
        let further = kernel.addresses.iter().map(|ip| SocketAddr::new(*ip, address.port()));
        let mut addresses: Vec<SocketAddr> = std::iter::once(address).chain(further).collect();
        let socket = KernelSocket::open(&addresses, sctp, kernel, Use::Shared)?;
        socket.bind(&addresses)?;
        if sctp.listening {
            socket.listen()?;
        }
        let port = socket.local_address()?.port();
        addresses.iter_mut().for_each(|address| address.set_port(port));
        if socket.send_limit() < sctp.max_message_size {
            warn!(
                limit = socket.send_limit(),
                wanted = sctp.max_message_size,
                "the largest messages cannot be sent: raise the system's net.core.wmem_max"
            );
        }
        Ok(Self { socket, addresses, sctp: sctp.clone(), kernel: kernel.clone() })
    }

    /// Where it is bound to: the first address.
    pub fn local_address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Whether an error of [`bind`](Self::bind) says that this system has no SCTP.
    pub fn is_unsupported(error: &io::Error) -> bool {
        socket::is_unsupported(error)
    }
}

/// An endpoint of the kernel's SCTP.
pub struct KernelEndpoint {
    pub(super) config: SctpConfig,
    kernel: KernelConfig,
    pub(super) channel: Channel,
    pub(super) local: SocketAddr,
    /// All addresses it is bound to.
    addresses: Vec<SocketAddr>,
    pub(super) sockets: Sockets,
    pub(super) associations: BTreeMap<AssocId, Association>,
    /// Associations by the kernel's name for them. `None`: given up here, the kernel has not confirmed it yet.
    pub(super) names: BTreeMap<i32, Option<AssocId>>,
    /// Associations with something to send.
    pub(super) dirty: Vec<AssocId>,
    /// Associations that wait until the shared socket takes more.
    pub(super) waiting: Vec<AssocId>,
    /// When to look after associations that nobody reads.
    look_after: Option<Time>,
    pub(super) receive_charge: usize,
    pub(super) accepted: u64,
    pub(super) arrivals: Arrivals,
    /// When the system last said that it has nothing; `None`: it may have.
    empty_at: Option<Time>,
    pub(super) inputs: VecDeque<Input>,
    pub(super) counters: KernelCounters,
}

impl KernelEndpoint {
    /// An endpoint on a bound socket. Must be called inside a tokio runtime.
    ///
    /// `channel` is the one of the associations that peers start.
    pub fn new(listener: KernelListener, channel: Channel) -> io::Result<Self> {
        let local = listener.local_address();
        let KernelListener { socket, addresses, sctp, kernel } = listener;
        Ok(Self {
            config: sctp,
            kernel,
            channel,
            local,
            addresses,
            sockets: Sockets::new(socket)?,
            associations: BTreeMap::new(),
            names: BTreeMap::new(),
            dirty: Vec::new(),
            waiting: Vec::new(),
            look_after: None,
            receive_charge: 0,
            accepted: 0,
            arrivals: Arrivals::default(),
            empty_at: None,
            inputs: VecDeque::new(),
            counters: KernelCounters::default(),
        })
    }

    /// What it reads at least before it leaves the rest for later.
    pub(crate) const BATCH: usize = BATCH;

    /// What it has counted.
    pub fn counters(&self) -> &KernelCounters {
        &self.counters
    }

    fn connect(&mut self, id: AssocId, channel: Channel, remote: &[SocketAddr]) {
        if self.associations.contains_key(&id) {
            warn!(assoc = id.as_u64(), "name of an association used twice");
            return;
        }
        if let Err(why) = self.try_connect(id, channel, remote) {
            self.counters.refused_connects += u64::from(matches!(why, DownReason::CannotConnect(_)));
            self.inputs.push_back(Input::Down { assoc: id, why });
        }
    }

    fn try_connect(
        &mut self,
        id: AssocId,
        channel: Channel,
        remote: &[SocketAddr],
    ) -> Result<(), DownReason> {
        // The call only starts the handshake, so its errors are those of this host.
        let cannot = |text: String| DownReason::CannotConnect(text);
        let usable = |address: &SocketAddr| is_usable(*address) && self.reaches(address);
        let remote: Vec<_> = remote.iter().copied().map(canonical).filter(usable).collect();
        if remote.is_empty() {
            return Err(DownReason::NoAddress);
        }
        if self.associations.len() >= self.config.limits.associations {
            return Err(cannot("too many associations".into()));
        }
        let mut socket = Token::SHARED;
        if channel == Channel::Session {
            socket = self.open_session(id).map_err(|error| cannot(error.to_string()))?;
        } else if self.addresses.iter().any(|address| remote.contains(&canonical(*address))) {
            return Err(DownReason::ConnectFailed("own address".into()));
        }
        let connecting = Some(System::start());
        let connected = self.socket(socket).and_then(|socket| socket.connect(&remote));
        let kernel = connected.map_err(|error| {
            self.sockets.close(socket);
            let existing = socket::is_connected(&error).then(|| self.existing(&remote)).flatten();
            existing.map_or_else(|| cannot(error.to_string()), DownReason::Duplicate)
        })?;
        let new = Association::new(kernel, channel, &self.config);
        let association = Association { socket, connecting, remote, ..new };
        self.names.insert(kernel.0, Some(id));
        self.associations.insert(id, association);
        Ok(())
    }

    /// A socket with a port of its own.
    fn open_session(&mut self, id: AssocId) -> io::Result<Token> {
        let socket = KernelSocket::open(&self.addresses, &self.config, &self.kernel, Use::Own)?;
        let addresses: Vec<_> =
            self.addresses.iter().map(|address| SocketAddr::new(address.ip(), 0)).collect();
        socket.bind(&addresses)?;
        self.sockets.insert(socket, Some(id))
    }

    /// Whether an address of ours has its family.
    fn reaches(&self, remote: &SocketAddr) -> bool {
        self.addresses.iter().any(|local| {
            canonical(*local).is_ipv4() == remote.is_ipv4()
                || (local.is_ipv6() && local.ip().is_unspecified())
        })
    }

    /// The association with one of these addresses, which the kernel has, though we may not have heard of it yet.
    fn existing(&mut self, remote: &[SocketAddr]) -> Option<AssocId> {
        for _ in 0..MAX_BACKLOG {
            if self.find(remote).is_some() || !self.receive(Token::SHARED) {
                break;
            }
        }
        self.find(remote)
    }

    /// The association with one of these addresses.
    fn find(&self, remote: &[SocketAddr]) -> Option<AssocId> {
        let is_it = |association: &Association| {
            association.channel != Channel::Session
                && association.remote.iter().any(|address| remote.contains(address))
        };
        self.associations.iter().find(|(_, association)| is_it(association)).map(|(id, _)| *id)
    }

    pub(super) fn socket(&self, token: Token) -> io::Result<&KernelSocket> {
        self.sockets.get(token).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn send(&mut self, assoc: AssocId, message: Outgoing) {
        let Some(association) = self.associations.get_mut(&assoc) else {
            return self.fail(assoc, message, "no such association");
        };
        let largest = self.config.max_message_size.min(self.sockets.send_limit(association.socket));
        if let Some(why) = association.objection(&message, largest) {
            return self.fail(assoc, message, why);
        }
        if association.outbound.push(message) {
            self.inputs.push_back(Input::Full { assoc });
        }
        self.mark_dirty(assoc);
    }

    pub(super) fn fail(&mut self, assoc: AssocId, message: Outgoing, why: &'static str) {
        self.inputs.push_back(Input::SendFailed { assoc, bytes: message.bytes, why });
    }

    pub(super) fn mark_dirty(&mut self, assoc: AssocId) {
        if let Some(association) = self.associations.get_mut(&assoc)
            && !association.is_dirty
        {
            association.is_dirty = true;
            self.dirty.push(assoc);
        }
    }

    fn read(&mut self, now: Time, assoc: AssocId, on: bool) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        association.inbound.reading = on;
        if on {
            association.inbound.deliver_unread(&mut self.inputs);
            let token = association.socket;
            self.recharge(assoc);
            self.sockets.watch_readable(token, true);
        } else {
            if association.socket != Token::SHARED && !association.is_over {
                self.sockets.watch_readable(association.socket, false);
            }
            self.look_after.get_or_insert(now + LOOK_AFTER);
        }
    }

    /// Nobody reads an association for which something has come: it gets a socket of its own, which is not read.
    pub(super) fn stop_reading(&mut self, assoc: AssocId) {
        match self.peel_off(assoc) {
            Ok(token) => self.sockets.watch_readable(token, false),
            Err(_) if self.has_ended(assoc) => self.read_to_the_end(assoc),
            // Out of descriptors: what cannot be held back must not fill the memory.
            Err(error) => self.violate(assoc, &format!("cannot hold its messages back: {error}")),
        }
    }

    /// Whether the kernel does not have it any more.
    fn has_ended(&self, assoc: AssocId) -> bool {
        let has = |association: &Association| {
            self.sockets.get(association.socket).is_some_and(|socket| socket.has(association.kernel))
        };
        !self.associations.get(&assoc).is_some_and(has)
    }

    /// Nobody reads an association that has ended: what is left of it, no more than a window, is kept here, for behind
    /// it is the news of the end.
    fn read_to_the_end(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        association.is_over = true;
        self.sockets.watch_readable(association.socket, true);
    }

    /// Gives an association a socket of its own, if it has none; returns its name.
    pub(super) fn peel_off(&mut self, assoc: AssocId) -> io::Result<Token> {
        let association = self.associations.get_mut(&assoc).ok_or(io::ErrorKind::NotConnected)?;
        if association.socket != Token::SHARED {
            return Ok(association.socket);
        }
        let shared = self.sockets.get(Token::SHARED).ok_or(io::ErrorKind::NotConnected)?;
        let socket = shared.peel_off(association.kernel, &self.config)?;
        let token = self.sockets.insert(socket, Some(assoc)).inspect_err(|error| {
            // The socket is closed again, and its association is aborted by that.
            self.remove(assoc, DownReason::Violation(format!("cannot watch its socket: {error}")));
        })?;
        if let Some(association) = self.associations.get_mut(&assoc) {
            association.socket = token;
        }
        self.counters.peeled_off += 1;
        debug!(assoc = assoc.as_u64(), "has a socket of its own now");
        Ok(token)
    }

    fn shut_down(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        match association.state {
            State::Connecting => self.abort(assoc, "", DownReason::LocalAbort),
            State::Up => {
                association.state = State::ShuttingDown;
                self.mark_dirty(assoc);
            }
            State::ShuttingDown | State::ShutDown | State::PeerShuttingDown => {}
        }
    }

    /// The peer broke a limit.
    pub(super) fn violate(&mut self, assoc: AssocId, why: &str) {
        if !self.associations.contains_key(&assoc) {
            return;
        }
        self.counters.violations += 1;
        self.abort(assoc, why, DownReason::Violation(why.into()));
    }

    fn abort(&mut self, assoc: AssocId, cause: &str, why: DownReason) {
        let Some(association) = self.associations.get(&assoc) else { return };
        let (kernel, token) = (association.kernel, association.socket);
        self.give_up(token, kernel, cause);
        self.remove(assoc, why);
    }

    /// Has the kernel abort an association; what it still tells of it is no news.
    pub(super) fn give_up(&mut self, token: Token, kernel: KernelId, cause: &str) {
        let mut end = cause.len().min(MAX_CAUSE_TEXT);
        while !cause.is_char_boundary(end) {
            end -= 1;
        }
        // If it has ended by itself, that is still to be read.
        let _ = self.socket(token).and_then(|socket| socket.abort(kernel, &cause.as_bytes()[..end]));
        if token == Token::SHARED {
            self.names.insert(kernel.0, None);
        } else {
            // With its own socket everything else ends.
            self.names.remove(&kernel.0);
        }
    }

    /// Forgets an association that has ended.
    pub(super) fn remove(&mut self, assoc: AssocId, why: DownReason) {
        let Some(mut association) = self.associations.remove(&assoc) else { return };
        self.receive_charge -= association.charged;
        association.inbound.deliver_unread(&mut self.inputs);
        while let Some(message) = association.outbound.pop() {
            self.fail(assoc, message, "association gone");
        }
        if self.names.get(&association.kernel.0) == Some(&Some(assoc)) {
            self.names.remove(&association.kernel.0);
        }
        self.sockets.close(association.socket);
        self.inputs.push_back(Input::Down { assoc, why });
    }

    /// Brings the receive budget up to date; an association that has more than its share of a budget that is
    /// exhausted ends.
    pub(super) fn recharge(&mut self, assoc: AssocId) {
        let Some(association) = self.associations.get_mut(&assoc) else { return };
        let charge = association.inbound.charge();
        self.receive_charge = self.receive_charge - association.charged + charge;
        association.charged = charge;
        let budget = self.config.limits.receive_budget;
        if self.receive_charge > budget && charge > budget / self.associations.len().max(1) {
            self.violate(assoc, "receive budget exhausted");
        }
    }

    /// Looks after a socket that is ready; whether there may be more to read.
    fn attend(&mut self, ready: Ready) -> bool {
        if ready.writable {
            self.writable(ready.token);
        }
        ready.readable && self.receive(ready.token)
    }
}

impl Endpoint for KernelEndpoint {
    fn local_address(&self) -> SocketAddr {
        self.local
    }

    fn carry_out(&mut self, now: Time, transmit: Transmit) {
        match transmit {
            Transmit::Connect { assoc, channel, remote } => self.connect(assoc, channel, &remote),
            Transmit::Send { assoc, stream, ppid, unordered, bytes } => {
                self.send(assoc, Outgoing { stream, ppid, unordered, bytes });
            }
            Transmit::Read { assoc, on } => self.read(now, assoc, on),
            Transmit::Shutdown { assoc } => self.shut_down(assoc),
            Transmit::Abort { assoc, cause } => self.abort(assoc, &cause, DownReason::LocalAbort),
            Transmit::Announce { .. } => {}
        }
    }

    fn flush(&mut self, _now: Time) {
        self.flush_dirty();
    }

    fn poll_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.look_after
    }

    /// Looks after associations that nobody reads: neither the end of one is noticed by reading, nor that its control
    /// messages have arrived; and a little has to be read all the same. Linux gives up a peer whose window is closed if
    /// more than one chunk is outstanding, for it takes only a single one for a probe of the window (RFC 9260 §6.1), and
    /// forgives retransmissions only when something arrives.
    fn handle_timeout(&mut self, now: Time) {
        if self.look_after.take_if(|at| *at <= now).is_none() {
            return;
        }
        let held = |association: &Association| !association.inbound.reading && !association.is_over;
        let held: Vec<AssocId> =
            self.associations.iter().filter(|(_, it)| held(it)).map(|(id, _)| *id).collect();
        self.look_after = (!held.is_empty()).then_some(now + LOOK_AFTER);
        for assoc in held {
            if self.has_ended(assoc) {
                self.read_to_the_end(assoc);
            } else if let Some(token) = self.associations.get(&assoc).map(|it| it.socket)
                && token != Token::SHARED
            {
                self.mark_dirty(assoc);
                if self.receive_charge < self.config.limits.receive_budget / TRICKLE_SHARE {
                    self.receive_up_to(token, TRICKLE);
                }
            }
        }
    }

    fn poll_io(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<io::Result<()>> {
        // First, so that whatever comes while the sockets are read is news again.
        let news = self.sockets.take_news(cx)?;
        let fresh = self.empty_at.is_some_and(|at| now < at + FRESH);
        if fresh && !news.is_any() {
            return Poll::Pending;
        }
        let ready = self.sockets.ready(if fresh { news } else { News::ALL })?;
        let mut more = ready.len() >= MAX_READY;
        for ready in ready {
            more |= self.attend(ready);
        }
        self.empty_at = (!more).then_some(now);
        if more { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}
