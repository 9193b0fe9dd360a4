//! One session, seen from its owner.

use crate::pipe::Pipe;
use crate::{AsapEndpoint, CookieSealing, Incoming, Message, SessionError, SessionId};
use bytes::Bytes;
use params::PeIdentifier;
use std::sync::Arc;

/// What fits into an ASAP_COOKIE message beside the two headers (RFC 5352 §2.2.11).
const MAX_COOKIE: usize = u16::MAX as usize - 8;

/// How a message is sent. The default: in order on stream 0, without a payload protocol identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendOptions {
    /// SCTP stream, of the 16 that there are at most: on another the message comes back as not sent. Messages of different
    /// streams do not wait for each other. A cookie covers what follows it in order on stream 0.
    pub stream: u16,
    /// SCTP payload protocol identifier: any but 11, which marks the control channel (RFC 5352 §5).
    pub ppid: u32,
    /// Whether the message may overtake others of its stream.
    pub unordered: bool,
}

impl SendOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { stream: 0, ppid: 0, unordered: false }
    }

    /// As this message was sent: for an answer that goes the same way.
    pub const fn of(message: &Message) -> Self {
        Self { stream: message.stream, ppid: message.ppid, unordered: message.unordered }
    }

    /// On this stream.
    #[must_use]
    pub const fn stream(mut self, stream: u16) -> Self {
        self.stream = stream;
        self
    }

    /// With this payload protocol identifier.
    #[must_use]
    pub const fn ppid(mut self, ppid: u32) -> Self {
        self.ppid = ppid;
        self
    }

    /// Whether it may overtake others of its stream.
    #[must_use]
    pub const fn unordered(mut self, unordered: bool) -> Self {
        self.unordered = unordered;
        self
    }
}

/// A session of this process, started or accepted: the part that both have in common.
///
/// Dropping it closes it in order, in the background.
#[derive(Debug)]
#[must_use = "a session ends when it is dropped"]
pub struct Session {
    sender: SendHalf,
    receiver: RecvHalf,
}

/// The sending half of a session: see [`Session::split`].
#[derive(Debug)]
#[must_use = "the session ends when both halves are dropped"]
pub struct SendHalf {
    session: Arc<Shared>,
    /// The last failover that the writer knows of.
    epoch: u32,
}

/// The receiving half of a session: see [`Session::split`]. When it is dropped alone, what arrives is thrown away.
#[derive(Debug)]
#[must_use = "the session ends when both halves are dropped"]
pub struct RecvHalf {
    session: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: SessionId,
    pipe: Arc<Pipe>,
    endpoint: AsapEndpoint,
    side: Side,
}

/// Who has begun a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Started,
    Accepted { sealed: bool },
}

impl Session {
    pub(crate) fn new(id: SessionId, pipe: Arc<Pipe>, endpoint: AsapEndpoint, side: Side) -> Self {
        let session = Arc::new(Shared { id, pipe, endpoint, side });
        Self { sender: SendHalf { session: Arc::clone(&session), epoch: 0 }, receiver: RecvHalf { session } }
    }

    /// The endpoint that it belongs to.
    pub fn endpoint(&self) -> &AsapEndpoint {
        &self.sender.session.endpoint
    }

    /// The two directions of the session, to be used at the same time, by two tasks or in one `select!`. Whoever sends without
    /// waiting for answers needs that: if both sides only send, both wait for ever for the other one to receive.
    ///
    /// The session ends when both halves are dropped, or with [`SendHalf::close`].
    pub fn split(self) -> (SendHalf, RecvHalf) {
        (self.sender, self.receiver)
    }

    /// As [`SendHalf::send`].
    ///
    /// In a started session that has just failed over, a message is dropped until [`Session::recv`] has reported
    /// the failover: the owner wrote it for the former server and will send it again.
    ///
    /// Fails with [`SessionError::Unsendable`], too, when the queue is full of messages that were refused and not
    /// [received](Self::recv): nobody could do that while this waits.
    pub async fn send(&self, bytes: Bytes, options: SendOptions) -> Result<(), SessionError> {
        let length = bytes.len();
        self.unless_withheld(length, self.sender.send(bytes, options)).await
    }

    /// As [`Session::send`], but receives while the queue is full: what that was, or `None` if the message was queued.
    /// Cancel-safe.
    pub async fn send_or_recv(
        &mut self,
        bytes: Bytes,
        options: SendOptions,
    ) -> Result<Option<Incoming>, SessionError> {
        let incoming = tokio::select! {
            biased;
            sent = self.sender.send(bytes, options) => return sent.map(|()| None),
            incoming = self.receiver.recv() => incoming?,
        };
        self.sender.note(&incoming);
        Ok(Some(incoming))
    }

    /// As [`SendHalf::set_cookie`], and with the errors of [`Session::send`].
    pub async fn set_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        let length = cookie.len();
        self.unless_withheld(length, self.sender.set_cookie(cookie)).await
    }

    /// As [`SendHalf::set_bound_cookie`], and with the errors of [`Session::send`].
    pub async fn set_bound_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        let length = cookie.len();
        self.unless_withheld(length, self.sender.set_bound_cookie(cookie)).await
    }

    /// Sends so many bytes unless the room for them cannot become free meanwhile.
    async fn unless_withheld(
        &self,
        length: usize,
        sent: impl Future<Output = Result<(), SessionError>>,
    ) -> Result<(), SessionError> {
        tokio::select! {
            biased;
            sent = sent => sent,
            error = self.sender.session.pipe.withheld(length) => Err(error),
        }
    }

    /// As [`SendHalf::refuse_cookie`].
    pub fn refuse_cookie(&self, why: String) -> Result<(), SessionError> {
        self.sender.refuse_cookie(why)
    }

    /// What happens next. Cancel-safe: nothing that arrived is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<Incoming, SessionError> {
        let incoming = self.receiver.recv().await?;
        self.sender.note(&incoming);
        Ok(incoming)
    }

    /// As [`RecvHalf::draining`].
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.receiver.draining()
    }

    /// As [`SendHalf::close`].
    pub async fn close(self) -> Result<(), SessionError> {
        self.sender.close().await
    }
}

impl SendHalf {
    /// Queues a message; waits while the session's queue is full. Cancel-safe: a message whose `send` did not
    /// return was not sent.
    ///
    /// # Errors
    /// [`SessionError::FailedOver`]: the other half has received a failover that this one [was not told
    /// of](Self::failover). The message was not sent: it was written for the former server. What is sent between the loss of
    /// that server and the moment at which the other half receives the failover is dropped without an error.
    pub async fn send(&self, bytes: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.session.check(bytes.len())?;
        if options.ppid == proto::PPID_ASAP {
            return Err(SessionError::Unsendable {
                length: bytes.len(),
                why: "payload protocol identifier 11 is the control channel's",
            });
        }
        let SendOptions { stream, ppid, unordered } = options;
        self.session.pipe.send(self.epoch, Message { stream, ppid, unordered, bytes }).await?;
        self.session.attend();
        Ok(())
    }

    /// Waits until the other half has received a failover that this one does not know of, and returns the server that it led
    /// to: from now on this half sends to that one. All that the former server has answered was received before. Of
    /// several failovers it is the last; one after which everything was sent again by itself is none. Cancel-safe.
    ///
    /// When the other half is dropped, the failover itself is waited for.
    pub async fn failover(&mut self) -> Result<PeIdentifier, SessionError> {
        let (epoch, server) = self.session.pipe.failover(self.epoch).await?;
        self.epoch = epoch;
        Ok(server)
    }

    /// It has received this, so it knows of it.
    fn note(&mut self, incoming: &Incoming) {
        if let Incoming::Failover { epoch, .. } = incoming {
            self.epoch = *epoch;
        }
    }

    /// Gives the client of an accepted session a cookie, before everything that is sent later. What is sent in order on stream 0
    /// follows it at once. Anything else, and what is behind that, waits until the client has acknowledged the cookie: a round trip,
    /// and as long as the client delays that (at most 200 ms in RFC 9260).
    /// Cancel-safe as [`SendHalf::send`].
    pub async fn set_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        self.give_cookie(cookie, false).await
    }

    /// As [`SendHalf::set_cookie`], for a session that no other element can take up: see
    /// [`set_bound_cookie`](proto::endpoint::AsapEndpoint::set_bound_cookie).
    pub async fn set_bound_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        if !self.session.is_sealed() {
            let why = "only a sealed cookie can be for one element alone";
            return Err(SessionError::Unsendable { length: cookie.len(), why });
        }
        self.give_cookie(cookie, true).await
    }

    async fn give_cookie(&self, cookie: Bytes, bound: bool) -> Result<(), SessionError> {
        let length = cookie.len();
        let sealed = self.session.is_sealed();
        if sealed && length > MAX_COOKIE - CookieSealing::OVERHEAD {
            let why = "a sealed cookie has at most 65471 bytes: its message has a 16-bit length";
            return Err(SessionError::Unsendable { length, why });
        }
        if length > MAX_COOKIE {
            let why = "a cookie has at most 65527 bytes: its message has a 16-bit length";
            return Err(SessionError::Unsendable { length, why });
        }
        self.session.pipe.set_cookie(cookie, bound).await?;
        self.session.attend();
        Ok(())
    }

    /// Ends an accepted session because the cookie it came with cannot be used here. The client tries other elements.
    ///
    /// # Errors
    /// The session has ended, or was started by this side.
    pub fn refuse_cookie(&self, why: String) -> Result<(), SessionError> {
        if self.session.side == Side::Started {
            return Err(SessionError::Unsendable { length: why.len(), why: "only a server refuses cookies" });
        }
        self.session.pipe.refuse_cookie(why)?;
        self.session.attend();
        Ok(())
    }

    /// Ends the session in order: returns when the peer has got everything. What still arrives is thrown away. Whoever stops
    /// waiting does not stop it.
    ///
    /// # Errors
    /// [`SessionError::Lost`]: it ended in another way, so the last messages may not have arrived.
    pub async fn close(self) -> Result<(), SessionError> {
        self.session.pipe.close();
        self.session.attend();
        match self.session.pipe.ended().await {
            SessionError::Closed => Ok(()),
            error => Err(error),
        }
    }
}

impl RecvHalf {
    /// What happens next. Cancel-safe: nothing that arrived is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<Incoming, SessionError> {
        let (incoming, resume) = self.session.pipe.recv().await?;
        if resume {
            self.session.attend();
        }
        Ok(incoming)
    }

    /// Waits until the element of an accepted session leaves its pool, or the session has ended. Cancel-safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let pipe = Arc::clone(&self.session.pipe);
        async move { pipe.draining().await }
    }
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        if self.session.pipe.deafen() {
            self.session.attend();
        }
    }
}

impl Shared {
    fn is_sealed(&self) -> bool {
        self.side == Side::Accepted { sealed: true }
    }

    fn check(&self, length: usize) -> Result<(), SessionError> {
        let limit = self.endpoint.message_limit();
        match length {
            0 => Err(SessionError::Unsendable { length, why: "SCTP carries no empty messages" }),
            _ if length > limit => {
                Err(SessionError::Unsendable { length, why: "it is longer than the limit of this endpoint" })
            }
            _ => Ok(()),
        }
    }

    /// Makes the endpoint's thread look at the session.
    fn attend(&self) {
        self.endpoint.attend(self.id);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pipe.abandon();
        self.attend();
    }
}
