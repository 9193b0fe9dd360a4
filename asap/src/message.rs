//! All ASAP messages (RFC 5352 §2.2): one struct a message, one enum over all.

use bytes::Bytes;
use params::{OperationError, PeIdentifier, Policy, PoolElement, PoolHandle, RegistrarId, Transport};

/// ASAP_REGISTRATION (RFC 5352 §2.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub handle: PoolHandle,
    pub element: PoolElement,
}

/// ASAP_DEREGISTRATION (RFC 5352 §2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deregistration {
    pub handle: PoolHandle,
    pub id: PeIdentifier,
}

/// ASAP_REGISTRATION_RESPONSE (RFC 5352 §2.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationResponse {
    pub rejected: bool,
    pub handle: PoolHandle,
    pub id: PeIdentifier,
    pub error: Option<OperationError>,
}

/// ASAP_DEREGISTRATION_RESPONSE (RFC 5352 §2.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeregistrationResponse {
    pub handle: PoolHandle,
    pub id: PeIdentifier,
    pub error: Option<OperationError>,
}

/// ASAP_HANDLE_RESOLUTION (RFC 5352 §2.2.5). `items`: the private parameter 0x803f.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleResolution {
    pub subscribe: bool,
    pub handle: PoolHandle,
    pub items: Option<u32>,
}

/// ASAP_HANDLE_RESOLUTION_RESPONSE (RFC 5352 §2.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleResolutionResponse {
    pub accepted: bool,
    pub handle: PoolHandle,
    pub policy: Option<Policy>,
    pub elements: Vec<PoolElement>,
    pub error: Option<OperationError>,
}

/// ASAP_ENDPOINT_KEEP_ALIVE (RFC 5352 §2.2.7). `id`: rsplib's PE Identifier (ambiguity A-37).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKeepAlive {
    pub home: bool,
    pub registrar: RegistrarId,
    pub handle: PoolHandle,
    pub id: Option<PeIdentifier>,
}

/// ASAP_ENDPOINT_KEEP_ALIVE_ACK (RFC 5352 §2.2.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointKeepAliveAck {
    pub handle: PoolHandle,
    pub id: PeIdentifier,
}

/// ASAP_ENDPOINT_UNREACHABLE (RFC 5352 §2.2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointUnreachable {
    pub handle: PoolHandle,
    pub id: PeIdentifier,
}

/// ASAP_SERVER_ANNOUNCE (RFC 5352 §2.2.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAnnounce {
    pub registrar: RegistrarId,
    pub transports: Vec<Transport>,
}

/// ASAP_COOKIE (RFC 5352 §2.2.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pub cookie: Bytes,
}

/// ASAP_COOKIE_ECHO (RFC 5352 §2.2.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieEcho {
    pub cookie: Bytes,
}

/// ASAP_BUSINESS_CARD (RFC 5352 §2.2.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessCard {
    pub handle: PoolHandle,
    pub elements: Vec<PoolElement>,
}

/// ASAP_ERROR (RFC 5352 §2.2.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub error: OperationError,
}

/// Any ASAP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Registration(Registration),
    Deregistration(Deregistration),
    RegistrationResponse(RegistrationResponse),
    DeregistrationResponse(DeregistrationResponse),
    HandleResolution(HandleResolution),
    HandleResolutionResponse(HandleResolutionResponse),
    EndpointKeepAlive(EndpointKeepAlive),
    EndpointKeepAliveAck(EndpointKeepAliveAck),
    EndpointUnreachable(EndpointUnreachable),
    ServerAnnounce(ServerAnnounce),
    Cookie(Cookie),
    CookieEcho(CookieEcho),
    BusinessCard(BusinessCard),
    Error(Error),
}
