//! All ENRP messages (RFC 5353 §2): one struct a message, one enum over all.

use params::{OperationError, PoolElement, PoolHandle, RegistrarId, ServerInformation};

/// ENRP_PRESENCE (RFC 5353 §2.1). `checksum` is the folded PE checksum as on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub reply_required: bool,
    pub checksum: Option<u16>,
    pub information: Option<ServerInformation>,
}

/// ENRP_HANDLE_TABLE_REQUEST (RFC 5353 §2.2); `own_children_only` is the W bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleTableRequest {
    pub own_children_only: bool,
}

/// One pool of a [`HandleTableResponse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEntry {
    pub handle: PoolHandle,
    pub elements: Vec<PoolElement>,
}

/// ENRP_HANDLE_TABLE_RESPONSE (RFC 5353 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleTableResponse {
    pub rejected: bool,
    pub more: bool,
    pub entries: Vec<PoolEntry>,
}

/// Update Action of [`HandleUpdate`] (RFC 5353 §2.4); unknown numbers survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateAction(pub u16);

impl UpdateAction {
    /// ADD_PE: add or update.
    pub const ADD_PE: UpdateAction = UpdateAction(0);
    /// DEL_PE: remove.
    pub const DEL_PE: UpdateAction = UpdateAction(1);
}

/// ENRP_HANDLE_UPDATE (RFC 5353 §2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleUpdate {
    pub action: UpdateAction,
    pub handle: PoolHandle,
    pub element: PoolElement,
}

/// ENRP_LIST_REQUEST (RFC 5353 §2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest;

/// ENRP_LIST_RESPONSE (RFC 5353 §2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListResponse {
    pub rejected: bool,
    pub servers: Vec<ServerInformation>,
}

/// ENRP_INIT_TAKEOVER (RFC 5353 §2.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTakeover {
    pub target: RegistrarId,
}

/// ENRP_INIT_TAKEOVER_ACK (RFC 5353 §2.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitTakeoverAck {
    pub target: RegistrarId,
}

/// ENRP_TAKEOVER_SERVER (RFC 5353 §2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeoverServer {
    pub target: RegistrarId,
}

/// ENRP_ERROR (RFC 5353 §2.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub error: OperationError,
}

/// What an ENRP message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Presence(Presence),
    HandleTableRequest(HandleTableRequest),
    HandleTableResponse(HandleTableResponse),
    HandleUpdate(HandleUpdate),
    ListRequest(ListRequest),
    ListResponse(ListResponse),
    InitTakeover(InitTakeover),
    InitTakeoverAck(InitTakeoverAck),
    TakeoverServer(TakeoverServer),
    Error(Error),
}

/// Any ENRP message: who sends it, to whom, and what (RFC 5353 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub sender: RegistrarId,
    pub receiver: RegistrarId,
    pub body: Body,
}
