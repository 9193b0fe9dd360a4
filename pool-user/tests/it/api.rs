//! What the Rust API guidelines ask of the libraries' types.

use rserpool_pool_user as user;
use std::error::Error;
use std::fmt::Debug;

fn debug_send_sync<T: Debug + Send + Sync + 'static>() {}

fn error<T: Error + Send + Sync + 'static>() {}

fn cloned_error<T: Error + Clone + Send + Sync + 'static>() {}

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
    debug_send_sync::<user::Standing>();
    debug_send_sync::<user::Resolution>();
    debug_send_sync::<user::Counters>();
    debug_send_sync::<user::Received>();
    debug_send_sync::<user::Message>();
    debug_send_sync::<user::Addresses>();
    debug_send_sync::<user::SendOptions>();
    debug_send_sync::<user::CacheOptions>();
    debug_send_sync::<user::Avoidance>();
    debug_send_sync::<user::RetryBudget>();
    debug_send_sync::<user::ReplayLimits>();
    debug_send_sync::<user::Multicast>();
    debug_send_sync::<pool_element::PoolElement>();
    debug_send_sync::<pool_element::Builder>();
    debug_send_sync::<pool_element::Session>();
    debug_send_sync::<pool_element::SendHalf>();
    debug_send_sync::<pool_element::RecvHalf>();
    debug_send_sync::<pool_element::ExactlyOnce>();
    debug_send_sync::<pool_element::Service>();
    debug_send_sync::<pool_element::Check>();
    debug_send_sync::<pool_element::CookieSealing>();
    debug_send_sync::<pool_element::CookieKey>();
    debug_send_sync::<pool_element::Card>();
    debug_send_sync::<pool_element::LoadUpdates>();
    debug_send_sync::<pool_element::Rejection>();
    debug_send_sync::<pool_element::Rejections>();
}

// C-GOOD-ERR
#[test]
fn errors_can_go_anywhere() {
    cloned_error::<user::EndpointError>();
    cloned_error::<user::ResolveError>();
    cloned_error::<user::SessionError>();
    cloned_error::<pool_element::RegisterError>();
    // It holds what the system says, which cannot be cloned.
    error::<user::StartError>();
}
