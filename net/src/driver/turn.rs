//! The loop of the endpoint thread.

use super::alarm::Alarm;
use super::handle::{Command, Receiver, Stop};
use super::path_log::PathLog;
use super::ports::Ports;
use super::transport::Opened;
use crate::clock::Clock;
use crate::multicast::{Budget, Multicast};
use proto::{Input, Node, Time, Transmit};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;
use tracing::{debug, error};

/// Batches to read from one endpoint in one turn.
const MAX_BATCHES: usize = 8;
/// Commands to run in one turn.
const MAX_COMMANDS: usize = 64;
/// Transmits to carry out in one turn. A machine that answers every failed transmit with another one
/// must not keep the thread.
const MAX_TRANSMITS: usize = 8192;
/// How long nothing is read since the machine still has transmits from the turn before: what is read makes more of them.
/// Such a machine as above must not keep the thread from reading either, for that holds the clock, and peers wait for
/// acknowledgements.
const MAX_UNREAD: Duration = Duration::from_millis(20);
/// The same as turns in a row, should the clock not go on.
const MAX_UNREAD_TURNS: u32 = 16;

/// Everything that lives on the endpoint thread.
pub(super) struct Turns<N, E> {
    // Dropped in this order: who waits for the end of the events or of the thread finds the ports free.
    ports: Ports,
    multicast: Option<Multicast>,
    clock: Clock,
    alarm: Alarm,
    node: N,
    on_event: E,
    stopping: Option<Stopping<N>>,
    /// The machine knows that it is behind.
    behind: bool,
    /// Turns in a row that left transmits of the machine.
    unfinished: u32,
    /// When the sockets were last read.
    last_read: Time,
    receiver: Receiver<N>,
    path_log: PathLog,
}

/// An end that was asked for.
struct Stopping<N> {
    done: Box<dyn Fn(&N) -> bool + Send>,
    deadline: Time,
}

/// What a turn leaves.
enum Turn {
    /// There is more to do at once.
    Again,
    /// The thread's work is over.
    End,
}

impl<N, E> Turns<N, E>
where
    N: Node,
    E: FnMut(&mut N, Time, N::Event),
{
    /// Must be called inside the thread's runtime.
    pub(super) fn new(
        clock: Clock,
        alarm: Alarm,
        endpoints: Vec<Opened>,
        multicast: Option<Multicast>,
        node: N,
        on_event: E,
        receiver: Receiver<N>,
    ) -> Self {
        let ports = Ports::new(endpoints);
        Self {
            ports,
            multicast,
            clock,
            alarm,
            node,
            on_event,
            stopping: None,
            behind: false,
            unfinished: 0,
            last_read: Time::ZERO,
            receiver,
            path_log: PathLog::new(),
        }
    }

    /// Runs until the last handle is gone or a stop is done.
    pub(super) async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.turn(cx)).await {
                Turn::Again => tokio::task::yield_now().await,
                Turn::End => return,
            }
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let now = self.clock.now();
        let mut more = !self.may_read(now) || self.read(cx, now);
        let ended = self.run_commands(cx, now, &mut more);
        let now = self.clock.now();
        self.run_timers(now);
        more |= self.carry_out(now);
        if ended || self.stopping.as_ref().is_some_and(|stop| (stop.done)(&self.node) || stop.deadline <= now)
        {
            debug!(lost = ?self.clock.lost(), "the endpoint thread ends");
            return Poll::Ready(Turn::End);
        }
        if more {
            return Poll::Ready(Turn::Again);
        }
        self.rest(cx, now)
    }

    /// Whether the machine is done with what was read before, or that takes too long: so long that the clock stands still,
    /// which waits for the sockets to be drained, or peers would take the silence for a loss.
    fn may_read(&self, now: Time) -> bool {
        self.unfinished.is_multiple_of(MAX_UNREAD_TURNS)
            || self.clock.is_at_ceiling()
            || self.last_read + MAX_UNREAD <= now
    }

    /// Reads the sockets, at most [`MAX_BATCHES`] each; whether there is more.
    fn read(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        self.last_read = now;
        for index in 0..self.ports.len() {
            for _ in 0..MAX_BATCHES {
                let more = self.ports.read(index, cx, now);
                self.deliver(index, now);
                if !more {
                    break;
                }
            }
        }
        if self.ports.take_drained() {
            self.clock.drained();
        }
        self.tell_backlog(now);
        self.read_announcements(cx, now) | self.ports.has_backlog()
    }

    /// Reads what arrived in multicast groups, so much of it; whether there is more.
    fn read_announcements(&mut self, cx: &mut Context<'_>, now: Time) -> bool {
        let Some(multicast) = &mut self.multicast else { return false };
        let mut budget = Budget::new();
        while let Some(input) = multicast.poll(cx, &mut budget) {
            self.node.handle_input(now, input);
        }
        budget.has_more()
    }

    /// Tells the machine how far behind it is, and when it is not any more.
    fn tell_backlog(&mut self, now: Time) {
        let packets = self.ports.backlog();
        if packets > 0 || self.behind {
            self.node.handle_input(now, Input::Backlog { packets });
        }
        self.behind = packets > 0;
    }

    /// Runs what others asked for; whether nobody can ask any more.
    fn run_commands(&mut self, cx: &mut Context<'_>, now: Time, more: &mut bool) -> bool {
        for _ in 0..MAX_COMMANDS {
            match self.receiver.commands.poll_recv(cx) {
                Poll::Ready(Some(Command::Call(call, _permit))) => call(&mut self.node, now),
                Poll::Ready(Some(Command::Counters(answer))) => drop(answer.send(self.ports.counters())),
                Poll::Ready(Some(Command::Stop(Stop { begin, done, limit }))) => {
                    begin(&mut self.node, now);
                    self.stopping = Some(Stopping { done, deadline: now + limit });
                }
                Poll::Ready(None) => return self.stopping.is_none(),
                Poll::Pending => return false,
            }
        }
        *more = true;
        false
    }

    fn run_timers(&mut self, now: Time) {
        for index in 0..self.ports.len() {
            if self.ports.handle_timeout(index, now) {
                self.deliver(index, now);
            }
        }
        let news = self.multicast.as_mut().map(|multicast| multicast.refresh(now)).unwrap_or_default();
        for input in news {
            self.node.handle_input(now, input);
        }
        if self.node.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.node.handle_timeout(now);
        }
    }

    /// Carries out what the machine wants, sends it, and only then tells what the machine has to tell: who ends upon that
    /// leaves nothing unsent. Until the machine has nothing more; whether it may have more.
    fn carry_out(&mut self, now: Time) -> bool {
        let mut carried = 0;
        loop {
            let all = self.transmit(now, &mut carried);
            let news = self.flush(now);
            self.unfinished = if all { 0 } else { self.unfinished.wrapping_add(1) };
            if !all {
                return true;
            }
            let mut told = false;
            while let Some(event) = self.node.poll_event() {
                (self.on_event)(&mut self.node, now, event);
                told = true;
            }
            if !told {
                return news;
            }
        }
    }

    /// Carries out, at most [`MAX_TRANSMITS`] altogether; whether that was all.
    fn transmit(&mut self, now: Time, carried: &mut usize) -> bool {
        while let Some(transmit) = self.node.poll_transmit() {
            if let Transmit::Announce { channel, bytes } = transmit {
                self.multicast.iter_mut().for_each(|multicast| multicast.send(channel, &bytes));
            } else {
                let index = self.ports.carry_out(now, transmit);
                self.deliver(index, now);
            }
            *carried += 1;
            if *carried == MAX_TRANSMITS {
                return false;
            }
        }
        true
    }

    /// Sends; whether that made news for the machine.
    fn flush(&mut self, now: Time) -> bool {
        let mut news = false;
        for index in 0..self.ports.len() {
            self.ports.flush(index, now);
            news |= self.deliver(index, now);
        }
        news
    }

    /// Hands an endpoint's inputs to the machine; whether there were any.
    fn deliver(&mut self, index: usize, now: Time) -> bool {
        let mut any = false;
        while let Some(input) = self.ports.poll_input(index) {
            if let Input::Path { assoc, address, up } = input {
                self.path_log.changed(now, assoc, address, up);
            }
            self.node.handle_input(now, input);
            any = true;
        }
        any
    }

    /// Sleeps until the next timer.
    fn rest(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<Turn> {
        let node = self.node.poll_timeout().map(|(at, _)| at);
        let stop = self.stopping.as_ref().map(|stop| stop.deadline);
        let multicast = self.multicast.as_ref().map(Multicast::poll_timeout);
        let next = [node, stop, multicast, self.ports.poll_timeout()].into_iter().flatten().min();
        if next.is_some_and(|next| next <= now) {
            return Poll::Ready(Turn::Again);
        }
        // The work of this turn has taken its time, too.
        let now = self.clock.now();
        self.clock.sleep_until(next);
        let Some(next) = next.filter(|next| *next < Time::NEVER) else { return Poll::Pending };
        let rung = self.alarm.set(now, next).and_then(|()| self.alarm.has_rung(cx));
        match rung {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Turn::Again),
            Err(error) => {
                error!(%error, "the endpoint thread has lost its timer, and ends");
                self.receiver.end(format!("it has lost its timer: {error}"));
                Poll::Ready(Turn::End)
            }
        }
    }
}
