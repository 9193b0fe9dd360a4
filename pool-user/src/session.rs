//! A session, seen from its client.

use crate::unanswered::Unanswered;
use crate::{RecvHalf, SendHalf};
use bytes::Bytes;
use endpoint::{Incoming, Message, SendOptions, SessionError};
use params::PeIdentifier;
use std::time::Duration;

/// What a session receives.
///
/// Not `non_exhaustive`: a client has to handle all there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<M = Bytes> {
    /// A message of the server.
    Message(M),
    /// The session continues on another server, which has got the cookie. Unless it was `replayed`, what was sent and not
    /// answered may be lost: send it again if it may be repeated.
    Failover {
        /// The former server.
        from: PeIdentifier,
        /// The new one. The same as before if it is the only one and reachable again.
        to: PeIdentifier,
        /// All that the cookie does not cover was sent again by itself, in order: there is nothing to be done. Never so
        /// without [`Builder::replay`](crate::Builder::replay), and no more once the session has sent too much for that.
        replayed: bool,
    },
}

/// A session with a pool: it survives its servers.
///
/// [`Session::send`], [`Session::recv`] and [`Session::request`] are cancel-safe. Dropping a session closes it in order, in the
/// background. Who sends without waiting for the answers [splits](Session::split) it.
#[derive(Debug)]
#[must_use = "a session ends when it is dropped"]
pub struct Session {
    session: endpoint::Session,
    element: PeIdentifier,
    unanswered: Unanswered,
}

impl Session {
    pub(crate) fn new(session: endpoint::Session, element: PeIdentifier) -> Self {
        Self { session, element, unanswered: Unanswered::default() }
    }

    /// The server, as far as [`Session::recv`] has told.
    pub fn element(&self) -> PeIdentifier {
        self.element
    }

    /// The two directions of the session, to be used at the same time: [`SendHalf`] and [`RecvHalf`]. For those who
    /// send without waiting for answers: as much as the queues on the way take fits in, and then a server that waits for its client
    /// to receive, and a client that waits for its server, would both wait for ever.
    ///
    /// The session ends when both halves are dropped, or with [`SendHalf::close`]. Answers to [requests](Self::request) that
    /// nobody waits for any more come to the receiver as any others.
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let (sender, receiver) = self.session.split();
        (SendHalf::new(sender), RecvHalf::new(receiver, self.element))
    }

    /// Queues a message for the server, in order on stream 0. Waits while the session's queue is full. Cancel-safe: a message
    /// whose `send` did not return was not sent.
    ///
    /// What is sent between a failover and the [`Session::recv`] that tells of it is dropped, unless the session
    /// [replays](crate::Builder::replay). So a client that sends must receive, too.
    ///
    /// # Errors
    /// [`SessionError::Unsendable`]: of the message, or because the queue is full of messages that were refused and not received.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.send_with(Bytes::copy_from_slice(message.as_ref()), SendOptions::default()).await
    }

    /// As [`Session::send`], without a copy, and with a choice of stream, payload protocol and order.
    pub async fn send_with(&self, message: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.session.send(message, options).await
    }

    /// The next message, or the news of a failover. Cancel-safe: nothing that arrived is lost when the future is dropped.
    ///
    /// # Errors
    /// [`SessionError::Unsendable`]: SCTP has refused a message that was queued; the session goes on. Any other error is
    /// the end of it.
    pub async fn recv(&mut self) -> Result<Received, SessionError> {
        Ok(without_options(self.recv_message().await?))
    }

    /// As [`Session::recv`], with the message's stream, payload protocol identifier and order.
    pub async fn recv_message(&mut self) -> Result<Received<Message>, SessionError> {
        loop {
            let incoming = self.session.recv().await?;
            self.unanswered.hear(&incoming);
            if let Some(received) = received(incoming, &mut self.element) {
                return received;
            }
        }
    }

    /// Sends a request and returns its answer. Repeats the request by itself after each failover: for requests that may be
    /// repeated, in sessions where every message of the server answers one of the client, in their order. The answer to what
    /// [`Session::send`] has sent is to be received before: else it is taken for that of the request.
    ///
    /// Cancel-safe: when the future is dropped the server may or may not have done what it was asked for, and its answer
    /// is passed over by the next request.
    pub async fn request(&mut self, request: impl AsRef<[u8]>) -> Result<Bytes, SessionError> {
        let request = Bytes::copy_from_slice(request.as_ref());
        Ok(self.request_with(request, SendOptions::default()).await?.bytes)
    }

    /// As [`Session::request`], but gives up after `limit` with [`SessionError::Timeout`]. The session goes on; the server
    /// may have done what it was asked for.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its time driver.
    pub async fn request_within(
        &mut self,
        limit: Duration,
        request: impl AsRef<[u8]>,
    ) -> Result<Bytes, SessionError> {
        tokio::time::timeout(limit, self.request(request)).await.map_err(|_| SessionError::Timeout)?
    }

    /// As [`Session::request`], without a copy, and with a choice of stream, payload protocol and order. Only requests
    /// on the same stream, in order, are answered in the order of the requests.
    pub async fn request_with(
        &mut self,
        request: Bytes,
        options: SendOptions,
    ) -> Result<Message, SessionError> {
        loop {
            self.send_receiving(&request, options).await?;
            self.unanswered.ask(&request);
            loop {
                match self.recv_message().await? {
                    Received::Message(answer) if self.unanswered.is_empty() => return Ok(answer),
                    // The answers before ours are to requests that nobody waits for any more.
                    Received::Message(_) | Received::Failover { replayed: true, .. } => (),
                    Received::Failover { .. } => break,
                }
            }
        }
    }

    /// Queues a request; receives while the queue is full, because it may be full of what was refused. What is no error is
    /// passed over: it belongs to something else.
    pub(crate) async fn send_receiving(
        &mut self,
        request: &Bytes,
        options: SendOptions,
    ) -> Result<(), SessionError> {
        while let Some(incoming) = self.session.send_or_recv(request.clone(), options).await? {
            self.unanswered.hear(&incoming);
            received(incoming, &mut self.element).transpose()?;
        }
        Ok(())
    }

    /// Ends the session in order: returns when the server has got everything. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// [`SessionError::Lost`]: it ended in another way, so the last messages may not have arrived.
    pub async fn close(self) -> Result<(), SessionError> {
        self.session.close().await
    }
}

/// What the application hears of what happened, if it is anything to it; takes note of where the session is.
pub(crate) fn received(
    incoming: Incoming,
    element: &mut PeIdentifier,
) -> Option<Result<Received<Message>, SessionError>> {
    match incoming {
        Incoming::Message(message) => Some(Ok(Received::Message(message))),
        Incoming::Failover { from, to, replayed, .. } => {
            *element = to;
            Some(Ok(Received::Failover { from, to, replayed }))
        }
        Incoming::Refused { bytes, why } => Some(Err(SessionError::Unsendable { length: bytes.len(), why })),
        _ => None,
    }
}

pub(crate) fn without_options(received: Received<Message>) -> Received {
    match received {
        Received::Message(message) => Received::Message(message.bytes),
        Received::Failover { from, to, replayed } => Received::Failover { from, to, replayed },
    }
}
