//! A message in the RFCs' words, read from its octets.

use asap::Message;
use enrp::Body;
use params::{
    OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, SctpTransport, Transport,
    TransportUse,
};
use proto::endpoint::CookieSealing;
use proto::{PPID_ASAP, PPID_ENRP};
use std::fmt::Write as _;

/// The name of a message, and its name with the fields that matter.
pub(super) fn describe(ppid: u32, bytes: &[u8]) -> (String, String) {
    let (name, fields) = match ppid {
        PPID_ASAP => {
            let decoded = asap::decode(bytes);
            let name = decoded.message_type.map(|kind| kind.to_string());
            (name, decoded.message.map(|message| asap_fields(&message)))
        }
        PPID_ENRP => {
            let decoded = enrp::decode(bytes, RegistrarId::NONE);
            let name = decoded.message_type.map(|kind| kind.to_string());
            (name, decoded.message.map(|message| enrp_fields(&message)))
        }
        _ => (Some("user data".into()), Ok(Fields::default().octets(bytes))),
    };
    let name = name.unwrap_or_else(|| "octets".into());
    let fields = match fields {
        Ok(Fields(fields)) => fields,
        Err(_) => format!(" {}", hex::encode(bytes)),
    };
    let text = format!("{name}{fields}");
    (name, text)
}

/// `name=value`, one after the other.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, " {name}={value}");
        self
    }

    fn bit(self, name: &str, value: bool) -> Self {
        self.with(name, u8::from(value))
    }

    /// What an application says.
    fn octets(mut self, octets: &[u8]) -> Self {
        let _ = write!(self.0, " {}", text(octets));
        self
    }

    fn error(self, error: Option<&OperationError>) -> Self {
        match error {
            Some(error) => self.with("error", causes(error)),
            None => self,
        }
    }

    fn pool(self, handle: &PoolHandle) -> Self {
        self.with("pool", handle)
    }

    fn pe(self, id: PeIdentifier) -> Self {
        self.with("pe", format_args!("{:#x}", id.0))
    }

    fn element(self, element: &PoolElement) -> Self {
        let life = match element.life.0 {
            -1 => "infinite".into(),
            seconds => format!("{seconds}s"),
        };
        let fields = self
            .pe(element.id)
            .with("home", format_args!("{:#x}", element.home.0))
            .with("life", life)
            .with("policy", policy(&element.policy))
            .with("user", transport(&element.user_transport));
        match &element.asap_transport {
            Some(asap) => fields.with("asap", sctp(asap)),
            None => fields,
        }
    }
}

/// Codes and names of the causes.
pub(super) fn causes(error: &OperationError) -> String {
    let causes = error.causes.iter().map(|cause| format!("{:#x}({})", cause.code.0, cause.code));
    causes.collect::<Vec<_>>().join(",")
}

/// A policy as the commands write it.
pub(super) fn policy(policy: &Policy) -> String {
    match policy {
        Policy::RoundRobin => "rr".into(),
        Policy::Random => "rand".into(),
        Policy::WeightedRoundRobin { weight } => format!("wrr:{weight}"),
        Policy::WeightedRandom { weight } => format!("wrand:{weight}"),
        Policy::Priority { priority } => format!("prio:{priority}"),
        Policy::LeastUsed { load } => format!("lu:{:#x}", load.0),
        other => other.policy_type().to_string().replace(' ', "-"),
    }
}

fn sctp(transport: &SctpTransport) -> String {
    let addresses: Vec<String> = transport.addresses.iter().map(ToString::to_string).collect();
    format!("{}:{}", addresses.join("|"), transport.port)
}

fn transport(transport: &Transport) -> String {
    match transport {
        Transport::Sctp(transport) => {
            let control = match transport.transport_use {
                TransportUse::DATA_AND_CONTROL => "+control",
                _ => "",
            };
            format!("sctp{control}:{}", sctp(transport))
        }
        Transport::Tcp(tcp) => format!("tcp:{}:{}", tcp.address, tcp.port),
        Transport::Udp(udp) => format!("udp:{}:{}", udp.address, udp.port),
        other => format!("{other:?}"),
    }
}

fn asap_fields(message: &Message) -> Fields {
    let fields = Fields::default();
    match message {
        Message::Registration(m) => fields.pool(&m.handle).element(&m.element),
        Message::Deregistration(m) => fields.pool(&m.handle).pe(m.id),
        Message::RegistrationResponse(m) => {
            fields.bit("R", m.rejected).pool(&m.handle).pe(m.id).error(m.error.as_ref())
        }
        Message::DeregistrationResponse(m) => fields.pool(&m.handle).pe(m.id).error(m.error.as_ref()),
        Message::HandleResolution(m) => {
            let fields = fields.bit("S", m.subscribe).pool(&m.handle);
            match m.items {
                Some(items) => fields.with("items", items),
                None => fields,
            }
        }
        Message::HandleResolutionResponse(m) => {
            let fields = fields.bit("A", m.accepted).pool(&m.handle);
            let fields = match &m.policy {
                Some(overall) => fields.with("policy", policy(overall)),
                None => fields,
            };
            let ids = m.elements.iter().map(|element| format!("{:#x}", element.id.0));
            fields.with("pes", list(ids)).error(m.error.as_ref())
        }
        Message::EndpointKeepAlive(m) => {
            fields.bit("H", m.home).with("server", format_args!("{:#x}", m.registrar.0)).pool(&m.handle)
        }
        Message::EndpointKeepAliveAck(m) => fields.pool(&m.handle).pe(m.id),
        Message::EndpointUnreachable(m) => fields.pool(&m.handle).pe(m.id),
        Message::Cookie(m) => fields.octets(&m.cookie),
        Message::CookieEcho(m) => fields.octets(&m.cookie),
        Message::BusinessCard(m) => {
            let ids = m.elements.iter().map(|element| format!("{:#x}", element.id.0));
            fields.pool(&m.handle).with("pes", list(ids))
        }
        Message::ServerAnnounce(m) => fields.with("server", format_args!("{:#x}", m.registrar.0)),
        Message::Error(m) => fields.error(Some(&m.error)),
    }
}

fn enrp_fields(message: &enrp::Message) -> Fields {
    let fields = Fields::default()
        .with("sender", format_args!("{:#x}", message.sender.0))
        .with("receiver", format_args!("{:#x}", message.receiver.0));
    match &message.body {
        Body::Presence(m) => {
            let fields = fields.bit("R", m.reply_required);
            match m.checksum {
                Some(checksum) => fields.with("checksum", format_args!("{checksum:#06x}")),
                None => fields,
            }
        }
        Body::HandleTableRequest(m) => fields.bit("W", m.own_children_only),
        Body::HandleTableResponse(m) => {
            let fields = fields.bit("R", m.rejected).bit("M", m.more);
            m.entries.iter().fold(fields, |fields, entry| {
                let pes =
                    entry.elements.iter().map(|element| format!("{:#x}@{:#x}", element.id.0, element.home.0));
                fields.with(&entry.handle.to_string(), list(pes))
            })
        }
        Body::HandleUpdate(m) => {
            let action = if m.action == enrp::UpdateAction::ADD_PE { "ADD_PE" } else { "DEL_PE" };
            let fields = fields.with("action", action).pool(&m.handle);
            match m.action {
                enrp::UpdateAction::ADD_PE => fields.element(&m.element),
                _ => fields.pe(m.element.id).with("home", format_args!("{:#x}", m.element.home.0)),
            }
        }
        Body::ListRequest(_) => fields,
        Body::ListResponse(m) => {
            let servers =
                m.servers.iter().map(|server| format!("{:#x}@{}", server.id.0, sctp(&server.transport)));
            fields.bit("R", m.rejected).with("servers", list(servers))
        }
        Body::InitTakeover(m) => fields.with("target", format_args!("{:#x}", m.target.0)),
        Body::InitTakeoverAck(m) => fields.with("target", format_args!("{:#x}", m.target.0)),
        Body::TakeoverServer(m) => fields.with("target", format_args!("{:#x}", m.target.0)),
        Body::Error(m) => fields.error(Some(&m.error)),
    }
}

/// What an application says, in quotes.
pub(super) fn text(octets: &[u8]) -> String {
    match sealed(octets) {
        Some((key, content)) => format!("{:?} sealed with key {key}", String::from_utf8_lossy(content)),
        None => format!("{:?}", String::from_utf8_lossy(octets)),
    }
}

/// What is in a sealed cookie, between what it says of itself and the seal, and the number of the key.
fn sealed(octets: &[u8]) -> Option<(u32, &[u8])> {
    const SEAL: usize = 32;
    let key = octets.strip_prefix(b"RSC1")?.first_chunk()?;
    let end = octets.len().checked_sub(SEAL)?;
    Some((u32::from_be_bytes(*key), octets.get(CookieSealing::OVERHEAD - SEAL..end)?))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}
