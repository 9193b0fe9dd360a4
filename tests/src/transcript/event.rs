//! What the machines tell, in short.

use super::message::{causes, policy, text};
use params::PoolHandle;
use proto::endpoint::{self, ElementId, RegisterError, ResolveError};
use proto::registrar::Event;
use std::collections::BTreeMap;

/// What a registrar tells.
pub(super) fn of_registrar(event: &Event) -> String {
    match event {
        Event::Started { mentor: Some(mentor) } => format!("started, handlespace from {:#x}", mentor.0),
        Event::Started { mentor: None } => "started without a mentor".into(),
        Event::PeerUp { id, .. } => format!("peer {:#x} found", id.0),
        Event::PeerDown { id, why } => format!("peer {:#x} down: {why:?}", id.0),
        Event::PoolCreated { handle } => format!("pool {handle} created"),
        Event::PoolRemoved { handle } => format!("pool {handle} removed"),
        Event::ElementRegistered { handle, id, home } => {
            format!("{handle}/{:#x} registered, home {:#x}", id.0, home.0)
        }
        Event::ElementReregistered { handle, id, home } => {
            format!("{handle}/{:#x} updated, home {:#x}", id.0, home.0)
        }
        Event::ElementSuspected { handle, id, silent } => {
            let why = if *silent { "it is silent" } else { "many report it" };
            format!("{handle}/{:#x} suspect: {why}", id.0)
        }
        Event::ElementCleared { handle, id } => format!("{handle}/{:#x} no longer suspect", id.0),
        Event::GuardBegan { handle, silent, elsewhere, elements } => {
            let elsewhere = if *elsewhere > 0 { format!(", {elsewhere} to others") } else { String::new() };
            format!("guard of {handle} holds: {silent} of {elements} are silent{elsewhere}")
        }
        Event::GuardEnded { handle, released, removed, .. } => {
            format!("guard of {handle} released: {released} heard again, {removed} removed")
        }
        Event::ElementRemoved { handle, id, home, why } => {
            format!("{handle}/{:#x} of home {:#x} removed: {why:?}", id.0, home.0)
        }
        Event::TakeoverStarted { target } => format!("takeover of {:#x} begins", target.0),
        Event::TakeoverAborted { target, winner: Some(winner) } => {
            format!("takeover of {:#x} left to {:#x}", target.0, winner.0)
        }
        Event::TakeoverAborted { target, winner: None } => {
            format!("takeover of {:#x} called off: it lives", target.0)
        }
        Event::TakeoverCompleted { target, winner, elements } => {
            format!("{:#x} taken over by {:#x}, elements: {elements}", target.0, winner.0)
        }
        Event::Resynchronized { peer } => format!("table of {:#x} loaded anew", peer.0),
        other => format!("{other:?}"),
    }
}

/// What an endpoint tells.
pub(super) fn of_endpoint(event: &endpoint::Event, elements: &BTreeMap<ElementId, PoolHandle>) -> String {
    use endpoint::Event;
    let name = |element: &ElementId| match elements.get(element) {
        Some(handle) => handle.to_string(),
        None => "element".into(),
    };
    let why = |error: &RegisterError| match error {
        RegisterError::Rejected(error) => causes(error),
        other => other.to_string(),
    };
    match event {
        Event::Registered { element, id, warning, .. } => {
            let warning = warning.as_ref().map(|warning| format!(", warning {}", causes(warning)));
            format!("registered as {}/{:#x}{}", name(element), id.0, warning.unwrap_or_default())
        }
        Event::RegistrationFailed { element, error } => {
            format!("not registered in {}: {}", name(element), why(error))
        }
        Event::Expired { element } => format!("registration in {} expired", name(element)),
        Event::Deregistered { element, error: None } => format!("deregistered from {}", name(element)),
        Event::Deregistered { element, error: Some(error) } => {
            format!("not deregistered from {}: {}", name(element), why(error))
        }
        Event::HomeChanged { home } => format!("home is {:#x}", home.0),
        Event::RegistrarConnected { remote } => match remote.first() {
            Some(remote) => format!("registrar found at {remote}"),
            None => "registrar found".into(),
        },
        Event::RegistrarLost => "registrar lost, hunting".into(),
        Event::NoRegistrarFound { .. } => "no registrar found yet, hunting".into(),
        Event::Resolved { result: Ok(resolution), .. } => {
            let ids: Vec<String> =
                resolution.elements.iter().map(|element| format!("{:#x}", element.id.0)).collect();
            let stale = if resolution.stale { ", stale" } else { "" };
            format!("resolved: policy {}, [{}]{stale}", policy(&resolution.policy), ids.join(","))
        }
        Event::Resolved { result: Err(ResolveError::Refused(error)), .. } => {
            format!("not resolved: {}", causes(error))
        }
        Event::Resolved { result: Err(error), .. } => format!("not resolved: {error}"),
        Event::PoolChanged { handle, result: Ok(pool) } => {
            let ids: Vec<String> =
                pool.elements.iter().map(|element| format!("{:#x}", element.id.0)).collect();
            format!("{handle} has changed: policy {}, [{}]", policy(&pool.policy), ids.join(","))
        }
        Event::PoolChanged { handle, result: Err(error) } => format!("{handle} has changed: {error}"),
        Event::SessionAccepted { cookie, .. } => match cookie {
            Some(cookie) => format!("session accepted, cookie {}", text(cookie)),
            None => "session accepted, no cookie".into(),
        },
        Event::Connected { element, .. } => format!("session with {:#x}", element.0),
        Event::Failover { from, to, .. } => format!("session moved from {:#x} to {:#x}", from.0, to.0),
        Event::Received { message, .. } => format!("received {}", text(&message.bytes)),
        Event::Withdrawn { element, error: None } => format!("out of {} until it is ready", name(element)),
        Event::Closing { .. } => "the session is being ended".into(),
        Event::Closed { why, .. } => format!("session ended: {why}"),
        Event::CardReceived { handle, elements, .. } => {
            let ids: Vec<String> = elements.iter().map(|element| format!("{:#x}", element.id.0)).collect();
            format!("the other side is of {handle}, and names [{}]", ids.join(","))
        }
        Event::CookieRefused { why, .. } => format!("session refused: {why}"),
        Event::Drained { element } => format!("drained: {}", name(element)),
        other => format!("{other:?}"),
    }
}
