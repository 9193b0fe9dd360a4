//! A message as JSON: identifiers as numbers, octets in hexadecimal, flags by their letters in the RFCs.

use super::analysis::{Analysis, Message};
use super::tree::{Line, lines};
use asap::Message as Asap;
use enrp::Body;
use params::{OperationError, Policy, PoolElement, SctpTransport, ServerInformation, Transport};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

pub(super) fn analysis(analysis: &Analysis) -> Value {
    let mut object = match &analysis.message {
        Ok(Message::Asap(message)) => asap(message),
        Ok(Message::Enrp(message)) => enrp(message),
        Err(error) => json!({ "error": { "offset": error.offset, "problem": error.problem.to_string() } }),
    };
    object["protocol"] = json!(analysis.protocol.name());
    object["guessed"] = json!(analysis.guessed);
    object["message"] = json!(analysis.message_type);
    if let Some(octets) = &analysis.reencoded {
        // The flags as they are defined, as only those have a meaning.
        object["flags"] = json!(octets.get(1));
    }
    object["outcome"] = json!(analysis.outcome.as_str());
    object["reply"] = json!(analysis.reply.as_ref().map(hex::encode));
    object["reencoded"] = json!(analysis.reencoded.as_ref().map(hex::encode));
    object
}

/// Where each field stands: the lines of the tree with their byte offsets.
pub(super) fn tree(analysis: &Analysis, octets: &[u8]) -> Value {
    let line = |line: Line| json!({ "offset": line.offset, "depth": line.depth, "text": line.text });
    lines(analysis.protocol, octets).into_iter().map(line).collect()
}

/// An object without the members that are null: what is not in the message is not in the JSON.
fn present(mut object: Value) -> Value {
    if let Value::Object(members) = &mut object {
        members.retain(|_, value| !value.is_null());
    }
    object
}

fn asap(message: &Asap) -> Value {
    present(match message {
        Asap::Registration(m) => json!({
            "pool_handle": hex::encode(m.handle.as_bytes()), "pool_element": element(&m.element),
        }),
        Asap::Deregistration(m) => {
            json!({ "pool_handle": hex::encode(m.handle.as_bytes()), "pe_id": m.id.0 })
        }
        Asap::RegistrationResponse(m) => json!({
            "R": m.rejected, "pool_handle": hex::encode(m.handle.as_bytes()), "pe_id": m.id.0,
            "operation_error": m.error.as_ref().map(operation_error),
        }),
        Asap::DeregistrationResponse(m) => json!({
            "pool_handle": hex::encode(m.handle.as_bytes()), "pe_id": m.id.0,
            "operation_error": m.error.as_ref().map(operation_error),
        }),
        Asap::HandleResolution(m) => json!({
            "S": m.subscribe, "pool_handle": hex::encode(m.handle.as_bytes()), "items": m.items,
        }),
        Asap::HandleResolutionResponse(m) => json!({
            "A": m.accepted, "pool_handle": hex::encode(m.handle.as_bytes()),
            "policy": m.policy.as_ref().map(policy), "pool_element": some_elements(&m.elements),
            "operation_error": m.error.as_ref().map(operation_error),
        }),
        Asap::EndpointKeepAlive(m) => json!({
            "H": m.home, "server_id": m.registrar.0, "pool_handle": hex::encode(m.handle.as_bytes()),
            "pe_id": m.id.map(|id| id.0),
        }),
        Asap::EndpointKeepAliveAck(m) => json!({
            "pool_handle": hex::encode(m.handle.as_bytes()), "pe_id": m.id.0,
        }),
        Asap::EndpointUnreachable(m) => json!({
            "pool_handle": hex::encode(m.handle.as_bytes()), "pe_id": m.id.0,
        }),
        Asap::ServerAnnounce(m) => json!({
            "server_id": m.registrar.0, "transports": m.transports.iter().map(transport).collect::<Value>(),
        }),
        Asap::Cookie(m) => json!({ "cookie": hex::encode(&m.cookie) }),
        Asap::CookieEcho(m) => json!({ "cookie": hex::encode(&m.cookie) }),
        Asap::BusinessCard(m) => json!({
            "pool_handle": hex::encode(m.handle.as_bytes()), "pool_element": some_elements(&m.elements),
        }),
        Asap::Error(m) => json!({ "operation_error": operation_error(&m.error) }),
    })
}

fn enrp(message: &enrp::Message) -> Value {
    let mut object = present(match &message.body {
        Body::Presence(m) => json!({
            "reply_required": m.reply_required, "pe_checksum": m.checksum,
            "server_info": m.information.as_ref().map(server),
            "silent_elements": (!m.silent.is_empty()).then(|| m.silent.iter().map(|silent| json!({
                "pool_handle": hex::encode(silent.handle.as_bytes()), "elements": silent.elements,
            })).collect::<Value>()),
        }),
        Body::HandleTableRequest(m) => json!({ "W": m.own_children_only }),
        Body::HandleTableResponse(m) => json!({
            "R": m.rejected, "M": m.more, "pool_entries": m.entries.iter().map(entry).collect::<Value>(),
        }),
        Body::HandleUpdate(m) => json!({
            "update_action": m.action.0, "reserved": 0,
            "pool_handle": hex::encode(m.handle.as_bytes()), "pool_element": element(&m.element),
        }),
        Body::ListRequest(_) => json!({}),
        Body::ListResponse(m) => json!({
            "R": m.rejected,
            "server_info": (!m.servers.is_empty()).then(|| m.servers.iter().map(server).collect::<Value>()),
        }),
        Body::InitTakeover(m) => json!({ "target_id": m.target.0 }),
        Body::InitTakeoverAck(m) => json!({ "target_id": m.target.0 }),
        Body::TakeoverServer(m) => json!({ "target_id": m.target.0 }),
        Body::Error(m) => json!({ "operation_error": operation_error(&m.error) }),
    });
    object["sender_id"] = json!(message.sender.0);
    object["receiver_id"] = json!(message.receiver.0);
    object
}

fn entry(entry: &enrp::PoolEntry) -> Value {
    json!({
        "pool_handle": hex::encode(entry.handle.as_bytes()),
        "pool_elements": entry.elements.iter().map(element).collect::<Value>(),
    })
}

fn some_elements(elements: &[PoolElement]) -> Option<Value> {
    (!elements.is_empty()).then(|| elements.iter().map(element).collect())
}

fn element(element: &PoolElement) -> Value {
    present(json!({
        "pe_id": element.id.0, "home_server_id": element.home.0, "registration_life": element.life.0,
        "user_transport": transport(&element.user_transport), "policy": policy(&element.policy),
        "asap_transport": element.asap_transport.as_ref().map(sctp),
    }))
}

fn server(server: &ServerInformation) -> Value {
    json!({ "server_id": server.id.0, "transport": sctp(&server.transport) })
}

fn sctp(sctp: &SctpTransport) -> Value {
    json!({
        "kind": "sctp", "port": sctp.port, "use": sctp.transport_use.0,
        "addresses": sctp.addresses.iter().map(IpAddr::to_string).collect::<Value>(),
    })
}

fn transport(transport: &Transport) -> Value {
    let data_only = |kind: &str, port: u16, address: IpAddr| json!({ "kind": kind, "port": port, "addresses": [address] });
    match transport {
        Transport::Sctp(transport) => sctp(transport),
        Transport::Tcp(t) => data_only("tcp", t.port, t.address),
        Transport::Udp(t) => data_only("udp", t.port, t.address),
        Transport::UdpLite(t) => data_only("udplite", t.port, t.address),
        Transport::Dccp(t) => {
            let mut object = data_only("dccp", t.port, t.address);
            object["service_code"] = json!(t.service_code);
            object
        }
        Transport::Opaque(octets) => json!({ "kind": "opaque", "data": hex::encode(octets) }),
    }
}

fn policy(policy: &Policy) -> Value {
    let fields = match policy {
        Policy::RoundRobin | Policy::Random => json!({}),
        Policy::WeightedRoundRobin { weight } | Policy::WeightedRandom { weight } => {
            json!({ "weight": weight })
        }
        Policy::Priority { priority } => json!({ "priority": priority }),
        Policy::LeastUsed { load } | Policy::RandomizedLeastUsed { load } => json!({ "load": load.0 }),
        Policy::LeastUsedDegradation { load, degradation }
        | Policy::PriorityLeastUsed { load, degradation }
        | Policy::RandomizedPriorityLeastUsed { load, degradation }
        | Policy::RandomizedLeastUsedDegradation { load, degradation }
        | Policy::PriorityLeastUsedDegradation { load, degradation }
        | Policy::RandomizedPriorityLeastUsedDegradation { load, degradation } => {
            json!({ "load": load.0, "load_degradation": degradation.0 })
        }
        Policy::WeightedRandomDpf { weight, weight_dpf, distance } => {
            json!({ "weight": weight, "weight_dpf": weight_dpf, "distance": distance })
        }
        Policy::LeastUsedDpf { load, load_dpf, distance } => {
            json!({ "load": load.0, "load_dpf": load_dpf, "distance": distance })
        }
        Policy::LeastUsedDegradationDpf { load, degradation, load_dpf, distance } => json!({
            "load": load.0, "load_degradation": degradation.0, "load_dpf": load_dpf, "distance": distance,
        }),
        Policy::Opaque { value, .. } => json!({ "data": hex::encode(value) }),
    };
    let mut object = fields;
    object["type"] = json!(policy.policy_type().0);
    object["name"] = json!(policy.policy_type().name().unwrap_or("unknown"));
    object
}

fn operation_error(error: &OperationError) -> Value {
    let cause = |cause: &params::ErrorCause| {
        Value::Object(Map::from_iter([
            ("code".into(), json!(cause.code.0)),
            ("name".into(), json!(cause.code.name().unwrap_or("unknown"))),
            ("info".into(), json!(hex::encode(&cause.information))),
        ]))
    };
    error.causes.iter().map(cause).collect()
}
