//! The two directions of a session.

use crate::session::{received, without_options};
use crate::{Received, SessionError};
use bytes::Bytes;
use endpoint::{Message, SendOptions};
use params::PeIdentifier;

/// The sending half of a [split](crate::Session::split) session.
///
/// It writes to one server, and is told when that is another one. A failover has two steps: [`RecvHalf::recv`] returns
/// [`Received::Failover`], behind all that the former server has answered; from then on [`SendHalf::send`] fails with
/// [`SessionError::FailedOver`], until [`SendHalf::failover`] has returned. So nothing that was written for the former server
/// reaches the new one behind its writer's back, and whoever is told can rely on it that what is not answered now has to be sent
/// again. A session that [replays](crate::Builder::replay) does that by itself: its sender need not be told, and is not.
///
/// A client that does not wait for answers before it sends on:
///
/// ```no_run
/// # use rserpool_pool_user::{PoolUser, Received, SessionError};
/// # use tokio::sync::watch;
/// # async fn client(user: PoolUser, requests: Vec<Vec<u8>>) -> Result<(), SessionError> {
/// let (mut sender, mut receiver) = user.connect("echo").await?.split();
/// let all = requests.len();
/// let (answered, mut progress) = watch::channel(0); // so many answers have come
///
/// let receiving = async {
///     while *answered.borrow() < all {
///         if let Received::Message(_answer) = receiver.recv().await? {
///             answered.send_modify(|answered| *answered += 1);
///         }
///     }
///     Ok::<_, SessionError>(())
/// };
/// let sending = async {
///     let mut next = 0;
///     loop {
///         let sent = match requests.get(next) {
///             Some(request) => sender.send(request).await,
///             None => tokio::select! {
///                 () = async { drop(progress.wait_for(|answered| *answered == all).await) } => {
///                     return sender.close().await;
///                 }
///                 _ = sender.failover() => { next = *answered.borrow(); continue }
///             },
///         };
///         match sent {
///             Ok(()) => next += 1,
///             Err(SessionError::FailedOver) => {
///                 sender.failover().await?; // from here on it sends to the new server:
///                 next = *answered.borrow(); // all that the former one has not answered
///             }
///             Err(error) => return Err(error),
///         }
///     }
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

    /// Queues a message for the server, in order on stream 0. Waits while the session's queue is full. Cancel-safe: a message
    /// whose `send` did not return was not sent.
    ///
    /// # Errors
    /// [`SessionError::FailedOver`]: the session is at another server by now, see [`SendHalf`]. The message was not sent. Between
    /// the loss of a server and the moment at which the other half receives the failover messages are dropped without an error, as
    /// are those that were on their way.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> Result<(), SessionError> {
        self.send_with(Bytes::copy_from_slice(message.as_ref()), SendOptions::default()).await
    }

    /// As [`SendHalf::send`], without a copy, and with a choice of stream, payload protocol and order.
    pub async fn send_with(&self, message: Bytes, options: SendOptions) -> Result<(), SessionError> {
        self.half.send(message, options).await
    }

    /// Waits until [`RecvHalf::recv`] has returned a failover that this half was not told of, and returns the new server. Of
    /// several it is the last. Cancel-safe.
    ///
    /// If the other half was dropped, nothing has to be received before.
    ///
    /// # Errors
    /// The session has ended.
    pub async fn failover(&mut self) -> Result<PeIdentifier, SessionError> {
        self.half.failover().await
    }

    /// Ends the session in order: returns when the server has got everything. What it still answers is thrown away, so wait for
    /// the answers before. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// [`SessionError::Lost`]: it ended in another way, so the last messages may not have arrived.
    pub async fn close(self) -> Result<(), SessionError> {
        self.half.close().await
    }
}

/// The receiving half of a [split](crate::Session::split) session. When it is dropped alone, what arrives is thrown away.
#[derive(Debug)]
#[must_use = "the session ends when both halves are dropped"]
pub struct RecvHalf {
    half: endpoint::RecvHalf,
    element: PeIdentifier,
}

impl RecvHalf {
    pub(crate) fn new(half: endpoint::RecvHalf, element: PeIdentifier) -> Self {
        Self { half, element }
    }

    /// The server, as far as [`RecvHalf::recv`] has told.
    pub fn element(&self) -> PeIdentifier {
        self.element
    }

    /// The next message, or the news of a failover. Cancel-safe, and with the errors of
    /// [`Session::recv`](crate::Session::recv).
    pub async fn recv(&mut self) -> Result<Received, SessionError> {
        Ok(without_options(self.recv_message().await?))
    }

    /// As [`RecvHalf::recv`], with the message's stream, payload protocol identifier and order.
    pub async fn recv_message(&mut self) -> Result<Received<Message>, SessionError> {
        loop {
            let incoming = self.half.recv().await?;
            if let Some(received) = received(incoming, &mut self.element) {
                return received;
            }
        }
    }
}
