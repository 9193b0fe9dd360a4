//! What every SCTP backend offers to the driver and to the simulator: one local port, many associations.

use proto::{Input, Time, Transmit};
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// A one-to-many SCTP endpoint (RFC 6458 §3): embedded over UDP, kernel, or in memory.
///
/// Everything but [`Endpoint::poll_io`] is synchronous and never blocks. After any call that may produce
/// output the owner drains [`Endpoint::poll_input`] and then calls [`Endpoint::flush`].
pub trait Endpoint {
    /// Where its socket is.
    fn local_address(&self) -> SocketAddr;

    /// Carries out a transmit of the machine. Failures come back as [`Input`]s.
    fn carry_out(&mut self, now: Time, transmit: Transmit);

    /// Hands everything that is queued for the network to the network, in batches.
    fn flush(&mut self, now: Time);

    /// The next thing that happened.
    fn poll_input(&mut self) -> Option<Input>;

    /// When [`Endpoint::handle_timeout`] is to be called next.
    fn poll_timeout(&self) -> Option<Time>;

    /// Runs the timers that are due. Early or twice is harmless.
    fn handle_timeout(&mut self, now: Time);

    /// Reads what has arrived from the network, at most one batch. `Ready` when there may be more: call again.
    /// `Pending` when the network itself was asked and had nothing left; the task is woken when it has. The
    /// driver's clock relies on that evidence, so a readiness remembered from earlier is not enough. That the network had
    /// nothing left may be remembered, though for much less time than the clock forgives (`GRACE`, by `now`), and
    /// only while nobody has told of anything new.
    fn poll_io(&mut self, cx: &mut Context<'_>, now: Time) -> Poll<std::io::Result<()>>;
}
