//! Socket buffers.

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Socket;
use tracing::debug;

/// Sets the sizes of a socket's buffers: beyond the system's limit with the privilege, else up to it.
pub(crate) fn enlarge(socket: &Socket, receive: usize, send: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &receive).is_err() {
        let _ = socket.set_recv_buffer_size(receive);
    }
    if setsockopt(socket, sockopt::SndBufForce, &send).is_err() {
        let _ = socket.set_send_buffer_size(send);
    }
    debug!(
        receive = socket.recv_buffer_size().unwrap_or_default(),
        send = socket.send_buffer_size().unwrap_or_default(),
        "socket buffers"
    );
}
