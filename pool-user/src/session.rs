//! A session, seen from its client.

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
/// [`Session::send`], [`Session::recv`] and [`Session::request`] are cancel-safe. Dropping a session closes it in order, in the background.
#[derive(Debug)]
#[must_use = "a session ends when it is dropped"]
pub struct Session {
    session: endpoint::Session,
    element: PeIdentifier,
    /// Requests whose answers this server still owes.
    unanswered: usize,
}

impl Session {
    pub(crate) fn new(session: endpoint::Session, element: PeIdentifier) -> Self {
        Self { session, element, unanswered: 0 }
    }

    /// The server, as far as [`Session::recv`] has told.
    pub fn element(&self) -> PeIdentifier {
        self.element
    }

    /// Queues a message for the server, in order on stream 0. Waits while the session's queue is full.
    ///
    /// What is sent between a failover and the [`Session::recv`] that tells of it is dropped, unless the session
    /// [replays](crate::Builder::replay). So a client that sends must receive, too.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.send_with(Bytes::copy_from_slice(message.as_ref()), SendOptions::default()).await
    }

    /// As [`Session::send`], without a copy, and with a choice of stream, payload protocol and order.
    pub async fn send_with(&self, message: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.session.send(message, options).await
    }

    /// The next message, or the news of a failover.
    pub async fn recv(&mut self) -> Result<Received, SessionError> {
        Ok(match self.recv_message().await? {
            Received::Message(message) => Received::Message(message.bytes),
            Received::Failover { from, to, replayed } => Received::Failover { from, to, replayed },
        })
    }

    /// As [`Session::recv`], with the message's stream, payload protocol identifier and order.
    pub async fn recv_message(&mut self) -> Result<Received<Message>, SessionError> {
        loop {
            match self.session.recv().await? {
                Incoming::Message(message) => {
                    self.unanswered = self.unanswered.saturating_sub(1);
                    return Ok(Received::Message(message));
                }
                Incoming::Failover { from, to, replayed, .. } => {
                    self.element = to;
                    if !replayed {
                        self.unanswered = 0;
                    }
                    return Ok(Received::Failover { from, to, replayed });
                }
                Incoming::Refused { length, why } => {
                    self.unanswered = self.unanswered.saturating_sub(1);
                    return Err(SessionError::Unsendable { length, why });
                }
                _ => (),
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
    /// may have done what it was asked for. To be used in a tokio runtime with its time driver.
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
            self.send_with(request.clone(), options).await?;
            self.unanswered += 1;
            loop {
                match self.recv_message().await? {
                    Received::Message(answer) if self.unanswered == 0 => return Ok(answer),
                    // The answers before ours are to requests that nobody waits for any more.
                    Received::Message(_) | Received::Failover { replayed: true, .. } => (),
                    Received::Failover { .. } => break,
                }
            }
        }
    }

    /// Ends the session in order: returns when the server has got everything.
    ///
    /// # Errors
    /// [`SessionError::Lost`]: it ended in another way, so the last messages may not have arrived.
    pub async fn close(self) -> Result<(), SessionError> {
        self.session.close().await
    }
}
