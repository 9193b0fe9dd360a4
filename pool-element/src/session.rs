//! A session, seen from its server.

use crate::halves::Client;
use crate::{RecvHalf, SendHalf};
use bytes::Bytes;
use endpoint::{Card, Message, NewSession, SendOptions, SessionError};
use std::net::SocketAddr;

/// A session that a client started, or continues here after the death of another server.
///
/// [`Session::send`], [`Session::set_cookie`] and [`Session::recv`] are cancel-safe. Dropping a session ends it in
/// order, in the background; the client then continues at another element: see [`Session::close`]. Who sends without waiting for
/// requests [splits](Session::split) it.
#[derive(Debug)]
#[must_use = "a session ends when it is dropped"]
pub struct Session {
    session: endpoint::Session,
    client: Client,
}

impl Session {
    pub(crate) fn new(new: NewSession) -> Self {
        let NewSession { session, cookie, peer, .. } = new;
        Self { session, client: Client::new(cookie, peer) }
    }

    /// The two directions of the session, to be used at the same time: [`SendHalf`] and [`RecvHalf`]. For servers that send
    /// without being asked, or that go on receiving while their client is slow to take what they send.
    ///
    /// The session ends when both halves are dropped, or with [`SendHalf::close`].
    pub fn split(self) -> (SendHalf, RecvHalf) {
        let (sender, receiver) = self.session.split();
        (SendHalf::new(sender), RecvHalf::new(receiver, self.client))
    }

    /// What the session's former server set last; `None` in a session that starts here. Should it arrive later than
    /// [`cookie_wait`](crate::Builder::cookie_wait), it is here when the message behind it is received.
    pub fn cookie(&self) -> Option<&[u8]> {
        self.client.cookie()
    }

    /// The version of what is in the cookie ([`CookieSealing::versions`](crate::CookieSealing::versions)), for servers that
    /// understand older ones: 0 if cookies are not sealed.
    pub fn cookie_version(&self) -> Option<u32> {
        self.client.cookie_version()
    }

    /// Ends the session because its cookie cannot be used here. The client goes to another element, and when none
    /// takes the session up it ends with [`SessionError::CookieRefused`] and this reason.
    pub fn refuse_cookie(self, why: impl Into<String>) {
        self.reject(&why.into());
    }

    /// As [`Session::refuse_cookie`], for whoever has to say so to its own caller, too.
    pub(crate) fn reject(&self, why: &str) {
        // Should the session have ended meanwhile, so it has.
        let _ = self.session.refuse_cookie(why.to_owned());
    }

    /// Who can be turned to when the client is gone, as it says of itself: it is a pool element, too. The latest that came before
    /// the last message; `None` for a plain client. Connect to them with the pool user's `connect_preferring`.
    pub fn card(&self) -> Option<&Card> {
        self.client.card()
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.client.peer()
    }

    /// The next message; `None` when the client ended the session in order. Cancel-safe: nothing that arrived is lost when the
    /// future is dropped.
    ///
    /// # Errors
    /// [`SessionError::Unsendable`]: SCTP has refused a message that was queued; the session goes on. Any other error is
    /// the end of it.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, SessionError> {
        Ok(self.recv_message().await?.map(|message| message.bytes))
    }

    /// As [`Session::recv`], with the message's stream, payload protocol identifier and order.
    pub async fn recv_message(&mut self) -> Result<Option<Message>, SessionError> {
        loop {
            if let Some(received) = self.client.received(self.session.recv().await) {
                return received;
            }
        }
    }

    /// Queues a message for the client, in order on stream 0. Waits while the session's queue is full. Cancel-safe: a message
    /// whose `send` did not return was not sent.
    ///
    /// # Errors
    /// [`SessionError::Unsendable`]: of the message, or because the queue is full of messages that were refused and not
    /// [received](Session::recv).
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.send_with(Bytes::copy_from_slice(message.as_ref()), SendOptions::default()).await
    }

    /// As [`Session::send`], without a copy, and with a choice of stream, payload protocol and order.
    pub async fn send_with(&self, message: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.session.send(message, options).await
    }

    /// Gives the client the state of the session, to be handed to its next server. Replaces the one before. It
    /// covers what is sent after it, in order on stream 0: a client that has seen an answer has the cookie, too. An answer that
    /// goes in another way waits until the client has acknowledged the cookie, which takes a round trip and up to 200 ms more. At
    /// most 65,527 bytes, 65,471 if it is [sealed](crate::Builder::seal_cookies).
    /// Cancel-safe as [`Session::send`].
    pub async fn set_cookie(&self, cookie: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.session.set_cookie(Bytes::copy_from_slice(cookie.as_ref())).await
    }

    /// As [`Session::set_cookie`], for state that is not transferable: with this cookie only an element of the same
    /// identifier takes the session up, that is this one, or its successor. Needs sealed cookies.
    pub async fn set_bound_cookie(&self, cookie: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.session.set_bound_cookie(Bytes::copy_from_slice(cookie.as_ref())).await
    }

    /// Waits until the [element is drained](crate::PoolElement::drain), or the session has ended: time to set a last cookie,
    /// if what the client has is not the latest, and to [close](Session::close). Cancel-safe.
    ///
    /// ```no_run
    /// # use rserpool_pool_element::{Session, SessionError};
    /// # async fn serve(mut session: Session) -> Result<(), SessionError> {
    /// loop {
    ///     let request = tokio::select! {
    ///         () = session.draining() => return session.close().await,
    ///         request = session.recv() => request?,
    ///     };
    ///     // ...
    /// #   if request.is_none() { return Ok(()) }
    /// }
    /// # }
    /// ```
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.session.draining()
    }

    /// Ends the session in order: returns when the client has got everything. For the client this is a reason to
    /// continue at another server; a session is over when the *client* closes it. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// [`SessionError::Lost`]: it ended in another way, so the last messages may not have arrived.
    pub async fn close(self) -> Result<(), SessionError> {
        self.session.close().await
    }
}
