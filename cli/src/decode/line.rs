//! What matters of a message, in a few words on one line.

use super::analysis::{Analysis, Message};
use asap::Message as Asap;
use enrp::{Body, UpdateAction};
use params::{OperationError, PoolElement, PoolHandle, RegistrarId, SilentElements};
use std::fmt::Display;

/// What is in the message; of one that is dropped, why.
pub(super) fn summary(analysis: &Analysis) -> String {
    let said = match &analysis.message {
        Ok(Message::Asap(message)) => asap(message),
        Ok(Message::Enrp(message)) => enrp(message),
        Err(error) => format!("{}: {error}", analysis.outcome),
    };
    match &analysis.message {
        Ok(_) if analysis.reply.is_some() => format!("{said} ({})", analysis.outcome),
        _ => said,
    }
}

fn asap(message: &Asap) -> String {
    match message {
        Asap::Registration(m) => element(&m.handle, &m.element),
        Asap::Deregistration(m) => one(&m.handle, m.id),
        Asap::RegistrationResponse(m) => {
            let answer = if m.rejected { "rejected " } else { "" };
            format!("{answer}{}{}", one(&m.handle, m.id), error(m.error.as_ref()))
        }
        Asap::DeregistrationResponse(m) => one(&m.handle, m.id) + &error(m.error.as_ref()),
        Asap::HandleResolution(m) => {
            let subscribe = if m.subscribe { ", subscribe" } else { "" };
            let items = m.items.map_or(String::new(), |items| format!(", at most {items}"));
            format!("\"{}\"{subscribe}{items}", m.handle)
        }
        Asap::HandleResolutionResponse(m) => {
            let accepted = if m.accepted { ", will be updated" } else { "" };
            format!("{}{accepted}{}", several(&m.handle, &m.elements), error(m.error.as_ref()))
        }
        Asap::EndpointKeepAlive(m) => {
            let id = m.id.map_or(String::new(), |id| format!(" {id}"));
            let home = if m.home { ", new home" } else { "" };
            format!("\"{}\"{id} from {}{home}", m.handle, m.registrar)
        }
        Asap::EndpointKeepAliveAck(m) => one(&m.handle, m.id),
        Asap::EndpointUnreachable(m) => one(&m.handle, m.id),
        Asap::ServerAnnounce(m) => format!("{}", m.registrar),
        Asap::Cookie(m) => format!("{} octets", m.cookie.len()),
        Asap::CookieEcho(m) => format!("{} octets", m.cookie.len()),
        Asap::BusinessCard(m) => several(&m.handle, &m.elements),
        Asap::Error(m) => causes(&m.error),
    }
}

fn enrp(message: &enrp::Message) -> String {
    let to = match message.receiver {
        RegistrarId(0) => "all".to_owned(),
        receiver => receiver.to_string(),
    };
    let said = match &message.body {
        Body::Presence(m) => {
            let checksum = m.checksum.map_or(String::new(), |sum| format!("checksum 0x{sum:04x}"));
            let named = m.silent.iter().filter(|pool| pool.handle.as_bytes() != SilentElements::OTHERS);
            let silent: u64 = named.map(|pool| u64::from(pool.elements)).sum();
            let silent = if silent > 0 { format!(", {silent} elements silent") } else { String::new() };
            checksum + if m.reply_required { ", reply required" } else { "" } + &silent
        }
        Body::HandleTableRequest(m) => (if m.own_children_only { "own elements" } else { "" }).into(),
        Body::HandleTableResponse(m) => {
            let elements = m.entries.iter().map(|entry| entry.elements.len()).sum::<usize>();
            let more = if m.more { ", more to come" } else { "" };
            let rejected = if m.rejected { ", rejected" } else { "" };
            let pools = counted(m.entries.len(), "pool");
            format!("{pools}, {}{more}{rejected}", counted(elements, "element"))
        }
        Body::HandleUpdate(m) => {
            let action = match m.action {
                UpdateAction::ADD_PE => "add ".to_owned(),
                UpdateAction::DEL_PE => "remove ".to_owned(),
                other => format!("action {} ", other.0),
            };
            action + &element(&m.handle, &m.element)
        }
        Body::ListRequest(_) => String::new(),
        Body::ListResponse(m) => {
            let rejected = if m.rejected { ", rejected" } else { "" };
            counted(m.servers.len(), "registrar") + rejected
        }
        Body::InitTakeover(m) => format!("of {}", m.target),
        Body::InitTakeoverAck(m) => format!("of {}", m.target),
        Body::TakeoverServer(m) => format!("of {}", m.target),
        Body::Error(m) => causes(&m.error),
    };
    let separator = if said.is_empty() { "" } else { ", " };
    format!("{} > {to}{separator}{said}", message.sender)
}

fn one(handle: &PoolHandle, id: impl Display) -> String {
    format!("\"{handle}\" {id}")
}

fn element(handle: &PoolHandle, element: &PoolElement) -> String {
    let policy = element.policy.policy_type();
    format!("{}, home {}, life {}, {policy}", one(handle, element.id), element.home, element.life.0)
}

fn several(handle: &PoolHandle, elements: &[PoolElement]) -> String {
    let ids: Vec<String> = elements.iter().map(|element| element.id.to_string()).collect();
    format!("\"{handle}\" [{}]", ids.join(" "))
}

fn error(error: Option<&OperationError>) -> String {
    error.map_or(String::new(), |error| format!(": {}", causes(error)))
}

fn causes(error: &OperationError) -> String {
    let causes: Vec<String> = error.causes.iter().map(|cause| cause.code.to_string()).collect();
    causes.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
