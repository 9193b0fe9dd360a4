//! One session, seen from its owner.

use crate::pipe::{Incoming, Pipe};
use crate::{AsapEndpoint, CookieSealing, Message, SessionError, SessionId};
use bytes::Bytes;
use std::sync::Arc;

/// What fits into an ASAP_COOKIE message beside the two headers (RFC 5352 §2.2.11).
const MAX_COOKIE: usize = u16::MAX as usize - 8;

/// How a message is sent. The default: in order on stream 0, without a payload protocol identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// SCTP stream. Messages of different streams do not wait for each other. A cookie covers what follows it in
    /// order on stream 0.
    pub stream: u16,
    /// SCTP payload protocol identifier: any but 11, which marks the control channel (RFC 5352 §5).
    pub ppid: u32,
    /// Whether the message may overtake others of its stream.
    pub unordered: bool,
}

/// A session of this process, started or accepted: the part that both have in common.
///
/// Dropping it closes it in order, in the background.
#[derive(Debug)]
#[must_use = "a session ends when it is dropped"]
pub struct Session {
    id: SessionId,
    pipe: Arc<Pipe>,
    endpoint: AsapEndpoint,
    /// Its cookies are sealed.
    sealed: bool,
}

impl Session {
    pub(crate) fn new(id: SessionId, pipe: Arc<Pipe>, endpoint: AsapEndpoint, sealed: bool) -> Self {
        Self { id, pipe, endpoint, sealed }
    }

    /// The endpoint that it belongs to.
    pub fn endpoint(&self) -> &AsapEndpoint {
        &self.endpoint
    }

    /// Queues a message; waits while the session's queue is full. Cancel-safe: a message whose `send` did not
    /// return was not sent.
    ///
    /// In a started session that has just failed over, a message is dropped until [`Session::recv`] has reported
    /// the failover: the owner wrote it for the former server and will send it again.
    pub async fn send(&self, bytes: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.check(bytes.len())?;
        if options.ppid == proto::PPID_ASAP {
            return Err(SessionError::Unsendable {
                length: bytes.len(),
                why: "payload protocol identifier 11 is the control channel's",
            });
        }
        let SendOptions { stream, ppid, unordered } = options;
        self.pipe.send(Message { stream, ppid, unordered, bytes }).await?;
        self.endpoint.attend(self.id);
        Ok(())
    }

    /// Gives the client of an accepted session a cookie, before everything that is sent later on stream 0.
    /// Cancel-safe as [`Session::send`].
    pub async fn set_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        self.give_cookie(cookie, false).await
    }

    /// As [`Session::set_cookie`], for a session that no other element can take up: see
    /// [`set_bound_cookie`](proto::endpoint::AsapEndpoint::set_bound_cookie).
    pub async fn set_bound_cookie(&self, cookie: Bytes) -> Result<(), SessionError> {
        if !self.sealed {
            let why = "only a sealed cookie can be for one element alone";
            return Err(SessionError::Unsendable { length: cookie.len(), why });
        }
        self.give_cookie(cookie, true).await
    }

    async fn give_cookie(&self, cookie: Bytes, bound: bool) -> Result<(), SessionError> {
        let length = cookie.len();
        if self.sealed && length > MAX_COOKIE - CookieSealing::OVERHEAD {
            let why = "a sealed cookie has at most 65471 bytes: its message has a 16-bit length";
            return Err(SessionError::Unsendable { length, why });
        }
        if length > MAX_COOKIE {
            let why = "a cookie has at most 65527 bytes: its message has a 16-bit length";
            return Err(SessionError::Unsendable { length, why });
        }
        self.pipe.set_cookie(cookie, bound).await?;
        self.endpoint.attend(self.id);
        Ok(())
    }

    /// Ends an accepted session because the cookie it came with cannot be used here. The client tries other elements.
    pub fn refuse_cookie(self, why: String) -> Result<(), SessionError> {
        self.pipe.refuse_cookie(why)?;
        self.endpoint.attend(self.id);
        Ok(())
    }

    /// What happens next. Cancel-safe: nothing that arrived is lost when the future is dropped.
    pub async fn recv(&mut self) -> Result<Incoming, SessionError> {
        let (incoming, resume) = self.pipe.recv().await?;
        if resume {
            self.endpoint.attend(self.id);
        }
        Ok(incoming)
    }

    /// Waits until the element of an accepted session leaves its pool, or the session has ended. Cancel-safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let pipe = Arc::clone(&self.pipe);
        async move { pipe.draining().await }
    }

    /// Ends the session in order: returns when the peer has got everything.
    ///
    /// # Errors
    /// [`SessionError::Lost`]: it ended in another way, so the last messages may not have arrived.
    pub async fn close(self) -> Result<(), SessionError> {
        match self.pipe.close() {
            Ok(()) => self.endpoint.attend(self.id),
            Err(SessionError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
        loop {
            match self.pipe.recv().await {
                Ok((_, true)) => self.endpoint.attend(self.id),
                Ok((_, false)) => (),
                Err(SessionError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
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
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pipe.abandon();
        self.endpoint.attend(self.id);
    }
}
