//! The story of the scope, told in the log: INFO for registrars and pools, DEBUG for single elements, WARN for what
//! somebody should look into.

use crate::{Event, Events};
use proto::registrar::PeerDownReason;
use tracing::{Level, debug, enabled, info, warn};

/// Logs what happens until the registrar ends.
pub(crate) async fn follow(mut events: Events) {
    let mut missed = 0;
    while let Some(event) = events.next().await {
        if events.missed() != missed {
            warn!(events = events.missed() - missed, "more happened than could be logged");
            missed = events.missed();
        }
        tell(&event);
    }
}

/// Whether somebody reads it. Registrations are many, and to wake whoever logs costs more than one of them.
pub(crate) fn shows(event: &Event) -> bool {
    match event {
        Event::ElementRegistered { .. }
        | Event::ElementReregistered { .. }
        | Event::ElementRemoved { .. }
        | Event::ElementSuspected { silent: true, .. }
        | Event::ElementCleared { .. } => enabled!(Level::DEBUG),
        _ => true,
    }
}

fn tell(event: &Event) {
    match event {
        Event::Started { mentor: Some(mentor) } => info!(%mentor, "joined the scope"),
        Event::Started { mentor: None } => info!("serving; no other registrar was found"),
        Event::PeerUp { id, addresses } => info!(peer = %id, ?addresses, "registrar up"),
        Event::PeerDown { id, why: PeerDownReason::Left } => info!(peer = %id, "registrar left"),
        Event::PeerDown { id, why } => warn!(peer = %id, ?why, "registrar down"),
        Event::IdConflict { remote } => {
            warn!(%remote, "another registrar uses our identifier: give one of them another id");
        }
        Event::PoolCreated { handle } => info!(pool = %handle, "pool created"),
        Event::PoolRemoved { handle } => info!(pool = %handle, "pool removed"),
        Event::ElementRegistered { handle, id, home } => {
            debug!(pool = %handle, element = %id, %home, "element registered");
        }
        Event::ElementReregistered { handle, id, home } => {
            debug!(pool = %handle, element = %id, %home, "element registered again");
        }
        Event::ElementSuspected { handle, id, silent: false } => {
            warn!(pool = %handle, element = %id, "element suspect: clients cannot reach it, yet it answers");
        }
        Event::ElementSuspected { handle, id, silent: true } => {
            debug!(pool = %handle, element = %id, "element silent");
        }
        Event::ElementCleared { handle, id } => {
            debug!(pool = %handle, element = %id, "element no longer suspect")
        }
        Event::GuardBegan { handle, silent, elsewhere, elements } => warn!(
            pool = %handle,
            silent,
            elsewhere,
            elements,
            "many elements do not answer: a network problem? They are listed last, and kept for now"
        ),
        Event::GuardEnded { handle, released, removed, lasted } => {
            info!(pool = %handle, released, removed, ?lasted, "no element is silent any more");
        }
        Event::OverloadBegan { packets } => warn!(
            packets,
            "overload: more arrives than can be handled; resolutions are shed first, then reports and registrations"
        ),
        Event::OverloadEnded { shed, lasted } => info!(shed, ?lasted, "the overload is over"),
        Event::ElementRemoved { handle, id, home, why } => {
            debug!(pool = %handle, element = %id, %home, ?why, "element removed");
        }
        Event::TakeoverStarted { target } => info!(%target, "takeover started"),
        Event::TakeoverAborted { target, winner: Some(winner) } => {
            info!(%target, %winner, "takeover left to another registrar");
        }
        Event::TakeoverAborted { target, winner: None } => {
            info!(%target, "takeover ended: the registrar lives")
        }
        Event::TakeoverCompleted { target, winner, elements } => {
            info!(%target, %winner, elements, "takeover complete");
        }
        Event::Resynchronized { peer } => {
            warn!(%peer, "elements of a registrar differed and were loaded anew")
        }
        other => debug!(?other, "event"),
    }
}
