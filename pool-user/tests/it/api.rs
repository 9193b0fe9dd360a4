//! What the Rust API guidelines ask of the libraries' types.

use rserpool_pool_user as user;
use std::error::Error;
use std::fmt::Debug;

fn debug_send_sync<T: Debug + Send + Sync + 'static>() {}

fn error<T: Error + Clone + Send + Sync + 'static>() {}

// C-SEND-SYNC, C-DEBUG: sessions and elements go from task to task.
#[test]
fn everything_can_be_sent_and_shown() {
    debug_send_sync::<user::PoolUser>();
    debug_send_sync::<user::Builder>();
    debug_send_sync::<user::Session>();
    debug_send_sync::<user::SendHalf>();
    debug_send_sync::<user::RecvHalf>();
    debug_send_sync::<user::ExactlyOnce>();
    debug_send_sync::<user::Watch>();
    debug_send_sync::<user::Discovery>();
    debug_send_sync::<user::AsapEndpoint>();
    debug_send_sync::<user::Explanation>();
    debug_send_sync::<pool_element::PoolElement>();
    debug_send_sync::<pool_element::Builder>();
    debug_send_sync::<pool_element::Session>();
    debug_send_sync::<pool_element::SendHalf>();
    debug_send_sync::<pool_element::RecvHalf>();
    debug_send_sync::<pool_element::ExactlyOnce>();
    debug_send_sync::<pool_element::Service>();
    debug_send_sync::<pool_element::Check>();
    debug_send_sync::<pool_element::CookieSealing>();
}

// C-GOOD-ERR
#[test]
fn errors_can_go_anywhere() {
    error::<user::EndpointError>();
    error::<user::ResolveError>();
    error::<user::SessionError>();
    error::<pool_element::RegisterError>();
}
