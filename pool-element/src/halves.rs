//! The two directions of a session.

use bytes::Bytes;
use endpoint::{Card, Cookie, Incoming, Message, SendOptions, SessionError};
use std::net::SocketAddr;

/// The sending half of a [split](crate::Session::split) session.
///
/// A server that goes on receiving while its client is slow to take the answers, as far as a queue of its own holds them:
///
/// ```no_run
/// # use rserpool_pool_element::{Session, SessionError};
/// # async fn serve(session: Session) -> Result<(), SessionError> {
/// let (sender, mut receiver) = session.split();
/// let (answers, mut queue) = tokio::sync::mpsc::channel(1000);
/// let receiving = async move {
///     while let Some(request) = receiver.recv().await? {
///         // what is done takes the order in which it was asked for; an error is the end of the sender
///         if answers.send(request).await.is_err() {
///             break;
///         }
///     }
///     Ok::<_, SessionError>(())
/// };
/// let sending = async move {
///     while let Some(answer) = queue.recv().await {
///         sender.send(answer).await?;
///     }
///     sender.close().await
/// };
/// tokio::try_join!(receiving, sending)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the session ends when both halves are dropped"]
pub struct SendHalf {
    half: endpoint::SendHalf,
}

impl SendHalf {
    pub(crate) fn new(half: endpoint::SendHalf) -> Self {
        Self { half }
    }

    /// Queues a message for the client, in order on stream 0. Waits while the session's queue is full. Cancel-safe: a message
    /// whose `send` did not return was not sent.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.send_with(Bytes::copy_from_slice(message.as_ref()), SendOptions::default()).await
    }

    /// As [`SendHalf::send`], without a copy, and with a choice of stream, payload protocol and order.
    pub async fn send_with(&self, message: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.half.send(message, options).await
    }

    /// As [`Session::set_cookie`](crate::Session::set_cookie): it covers what this half sends after it.
    pub async fn set_cookie(&self, cookie: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.half.set_cookie(Bytes::copy_from_slice(cookie.as_ref())).await
    }

    /// As [`Session::set_bound_cookie`](crate::Session::set_bound_cookie).
    pub async fn set_bound_cookie(&self, cookie: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.half.set_bound_cookie(Bytes::copy_from_slice(cookie.as_ref())).await
    }

    /// As [`Session::refuse_cookie`](crate::Session::refuse_cookie), also of a cookie that came after the session had begun.
    pub fn refuse_cookie(self, why: impl Into<String>) {
        // Should the session have ended meanwhile, so it has.
        let _ = self.half.refuse_cookie(why.into());
    }

    /// As [`Session::close`](crate::Session::close). What still arrives is thrown away.
    pub async fn close(self) -> Result<(), SessionError> {
        self.half.close().await
    }
}

/// The receiving half of a [split](crate::Session::split) session. When it is dropped alone, what arrives is thrown away.
#[derive(Debug)]
#[must_use = "the session ends when both halves are dropped"]
pub struct RecvHalf {
    half: endpoint::RecvHalf,
    client: Client,
}

impl RecvHalf {
    pub(crate) fn new(half: endpoint::RecvHalf, client: Client) -> Self {
        Self { half, client }
    }

    /// As [`Session::cookie`](crate::Session::cookie).
    pub fn cookie(&self) -> Option<&[u8]> {
        self.client.cookie()
    }

    /// As [`Session::cookie_version`](crate::Session::cookie_version).
    pub fn cookie_version(&self) -> Option<u32> {
        self.client.cookie_version()
    }

    /// As [`Session::card`](crate::Session::card).
    pub fn card(&self) -> Option<&Card> {
        self.client.card()
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.client.peer()
    }

    /// As [`Session::recv`](crate::Session::recv). Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Bytes>, SessionError> {
        Ok(self.recv_message().await?.map(|message| message.bytes))
    }

    /// As [`RecvHalf::recv`], with the message's stream, payload protocol identifier and order.
    pub async fn recv_message(&mut self) -> Result<Option<Message>, SessionError> {
        loop {
            if let Some(received) = self.client.received(self.half.recv().await) {
                return received;
            }
        }
    }

    /// As [`Session::draining`](crate::Session::draining). Cancel-safe.
    pub fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        self.half.draining()
    }
}

/// What is known of the client of a session.
#[derive(Debug)]
pub(crate) struct Client {
    cookie: Option<Cookie>,
    card: Option<Card>,
    peer: SocketAddr,
}

impl Client {
    pub(crate) fn new(cookie: Option<Cookie>, peer: SocketAddr) -> Self {
        Self { cookie, card: None, peer }
    }

    pub(crate) fn cookie(&self) -> Option<&[u8]> {
        self.cookie.as_ref().map(|cookie| &*cookie.bytes)
    }

    pub(crate) fn cookie_version(&self) -> Option<u32> {
        self.cookie.as_ref().map(|cookie| cookie.version)
    }

    pub(crate) fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the application hears of what happened, if it is anything to it; takes note of the rest.
    pub(crate) fn received(
        &mut self,
        incoming: Result<Incoming, SessionError>,
    ) -> Option<Result<Option<Message>, SessionError>> {
        match incoming {
            Ok(Incoming::Message(message)) => return Some(Ok(Some(message))),
            Ok(Incoming::Refused { bytes, why }) => {
                return Some(Err(SessionError::Unsendable { length: bytes.len(), why }));
            }
            Ok(Incoming::Cookie(cookie)) => self.cookie = Some(cookie),
            Ok(Incoming::Card(card)) => self.card = Some(card),
            Ok(_) => (),
            Err(SessionError::Closed) => return Some(Ok(None)),
            Err(error) => return Some(Err(error)),
        }
        None
    }
}
