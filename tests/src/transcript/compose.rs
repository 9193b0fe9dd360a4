//! Messages that a scenario writes itself, for processes that it plays.

use super::command::Arguments;
use crate::network::{ENDPOINT_PORT, HostId};
use asap::{
    Deregistration, EndpointKeepAliveAck, EndpointUnreachable, HandleResolution, Message, Registration,
};
use bytes::Bytes;
use enrp::{
    Body, HandleTableRequest, HandleTableResponse, HandleUpdate, InitTakeover, InitTakeoverAck, ListRequest,
    ListResponse, PoolEntry, Presence, TakeoverServer, UpdateAction,
};
use params::{
    PeIdentifier, PoolElement, RegistrarId, RegistrationLife, SctpTransport, Transport, TransportUse,
};

/// The octets of a message with the fields that the command gives, from a process on `host`.
pub(super) fn compose(host: HostId, name: &str, arguments: &Arguments<'_>) -> Result<Bytes, String> {
    let octets = match name.strip_prefix("ENRP_") {
        Some(name) => enrp(host, name, arguments)?.encode(),
        None => asap(host, name, arguments)?.encode(),
    };
    octets.map_err(|error| error.to_string())
}

fn asap(host: HostId, name: &str, arguments: &Arguments<'_>) -> Result<Message, String> {
    let handle = arguments.pool()?;
    let id = || Ok::<_, String>(PeIdentifier(arguments.needed("pe")?));
    Ok(match name {
        "ASAP_REGISTRATION" => Registration { handle, element: element(host, arguments)? }.into(),
        "ASAP_DEREGISTRATION" => Deregistration { handle, id: id()? }.into(),
        "ASAP_HANDLE_RESOLUTION" => {
            HandleResolution { subscribe: arguments.bit("S")?, handle, items: None }.into()
        }
        "ASAP_ENDPOINT_KEEP_ALIVE_ACK" => EndpointKeepAliveAck { handle, id: id()? }.into(),
        "ASAP_ENDPOINT_UNREACHABLE" => EndpointUnreachable { handle, id: id()? }.into(),
        _ => return Err(format!("no message to send is called {name}")),
    })
}

fn enrp(host: HostId, name: &str, arguments: &Arguments<'_>) -> Result<enrp::Message, String> {
    let registrar = |name: &str| Ok::<_, String>(RegistrarId(arguments.number(name)?.unwrap_or(0)));
    let target = || Ok::<_, String>(RegistrarId(arguments.needed("target")?));
    let body: Body = match name {
        "PRESENCE" => {
            let checksum = arguments.number("checksum")?.map(|checksum| checksum as u16);
            Presence { reply_required: arguments.bit("R")?, checksum, information: None, silent: Vec::new() }
                .into()
        }
        "LIST_REQUEST" => ListRequest.into(),
        "LIST_RESPONSE" => ListResponse { rejected: arguments.bit("R")?, servers: Vec::new() }.into(),
        "HANDLE_TABLE_REQUEST" => HandleTableRequest { own_children_only: arguments.bit("W")? }.into(),
        "HANDLE_TABLE_RESPONSE" => {
            let entries = match arguments.option("pe") {
                Some(_) => {
                    let elements = vec![element(host, arguments)?];
                    vec![PoolEntry { handle: arguments.pool()?, elements }]
                }
                None => Vec::new(),
            };
            let (rejected, more) = (arguments.bit("R")?, arguments.bit("M")?);
            HandleTableResponse { rejected, more, entries }.into()
        }
        "HANDLE_UPDATE" => {
            let action = match arguments.option("action") {
                Some("ADD_PE") => UpdateAction::ADD_PE,
                Some("DEL_PE") => UpdateAction::DEL_PE,
                _ => return Err("action is ADD_PE or DEL_PE".into()),
            };
            HandleUpdate { action, handle: arguments.pool()?, element: element(host, arguments)? }.into()
        }
        "INIT_TAKEOVER" => InitTakeover { target: target()? }.into(),
        "INIT_TAKEOVER_ACK" => InitTakeoverAck { target: target()? }.into(),
        "TAKEOVER_SERVER" => TakeoverServer { target: target()? }.into(),
        _ => return Err(format!("no message to send is called ENRP_{name}")),
    };
    Ok(enrp::Message { sender: registrar("sender")?, receiver: registrar("receiver")?, body })
}

/// An element at the host that speaks.
fn element(host: HostId, arguments: &Arguments<'_>) -> Result<PoolElement, String> {
    let transport =
        |transport_use| SctpTransport { port: ENDPOINT_PORT, transport_use, addresses: vec![host.ip()] };
    Ok(PoolElement {
        id: PeIdentifier(arguments.needed("pe")?),
        home: RegistrarId(arguments.number("home")?.unwrap_or(0)),
        life: RegistrationLife(300),
        user_transport: Transport::Sctp(transport(TransportUse::DATA_AND_CONTROL)),
        policy: arguments.policy()?,
        asap_transport: Some(transport(TransportUse::DATA_ONLY)),
    })
}
