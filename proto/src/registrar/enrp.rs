//! ENRP messages in and out: from whom and to whom they must be (RFC 5353 §2.1, ambiguity A-20).

use super::association::Association;
use super::peers::Peer;
use super::{PeerState, Registrar, State};
use crate::{AssocId, Time};
use ::enrp::{Body, Error, ListResponse, Message};
use bytes::Bytes;
use params::{CauseCode, RegistrarId, SctpTransport, ServerInformation, TransportUse};
use std::net::{IpAddr, SocketAddr};

impl Registrar {
    /// A message on an ENRP association.
    pub(super) fn enrp_received(&mut self, now: Time, assoc: AssocId, bytes: &[u8]) {
        let decoded = ::enrp::decode(bytes, self.id);
        if let Some(reply) = decoded.reply {
            self.associations.send(assoc, reply, None);
        }
        let Ok(message) = decoded.message else {
            self.counters.malformed_messages += 1;
            return;
        };
        let Message { sender, receiver, body } = message;
        if sender == self.id {
            return self.own_identifier_heard(assoc);
        }
        if !self.heard(now, assoc, sender) {
            return;
        }
        if receiver != RegistrarId::NONE && receiver != self.id {
            // Meant for whoever had this address before us: the sender is to learn who is here now.
            self.counters.wrong_receiver += 1;
            if matches!(body, Body::Presence(_) | Body::InitTakeover(_)) {
                self.send_presence(assoc, sender, true);
            }
            return;
        }
        self.enrp_message_received(now, assoc, sender, body);
    }

    fn enrp_message_received(&mut self, now: Time, assoc: AssocId, sender: RegistrarId, body: Body) {
        // What is left is all that somebody who only reads the table says.
        let proof = match &body {
            Body::Presence(presence) => presence.reply_required,
            Body::HandleTableRequest(request) => request.own_children_only,
            Body::ListRequest(_) | Body::Error(_) => false,
            _ => true,
        };
        if let Some(peer) = self.peers.get_mut(&sender) {
            peer.proven |= proof;
        }
        match body {
            Body::Presence(presence) => self.presence_received(now, assoc, sender, presence),
            Body::HandleTableRequest(request) => self.table_request_received(now, assoc, sender, request),
            Body::HandleTableResponse(response) => self.table_response_received(now, assoc, sender, response),
            Body::HandleUpdate(update) => self.update_received(now, assoc, sender, update),
            Body::ListRequest(_) => self.list_request_received(assoc, sender),
            Body::ListResponse(response) => self.list_response_received(now, assoc, sender, response),
            Body::InitTakeover(init) => self.init_takeover_received(now, assoc, sender, init.target),
            Body::InitTakeoverAck(ack) => self.takeover_acknowledged(now, sender, ack.target),
            Body::TakeoverServer(takeover) => self.takeover_server_received(now, sender, takeover.target),
            Body::Error(_) => self.counters.enrp_errors_received += 1,
        }
    }

    /// LIST_REQUEST: all active peers but the one that asks, as many as fit (ambiguity A-56).
    fn list_request_received(&mut self, assoc: AssocId, sender: RegistrarId) {
        let rejected = !self.serves_tables();
        let loopback = self.associations.get(assoc).is_some_and(Association::is_loopback);
        let listed = |peer: &Peer| peer.proven && peer.state == PeerState::Active;
        let others = self.peers.iter().filter(|(id, peer)| **id != sender && listed(peer));
        let servers = match rejected {
            true => Vec::new(),
            false => others.filter_map(|(id, peer)| information(*id, &peer.addresses, loopback)).collect(),
        };
        let mut response = ListResponse { rejected, servers };
        self.counters.lists_cut += u64::from(response.cut_to(self.room_for_table(sender)) > 0);
        self.send_enrp(assoc, sender, Body::ListResponse(response));
    }

    /// Whether peers get list and table: not while we start (RFC 5353 §3.2.2.2). rsplib's registrars answer always, and
    /// do not ask again.
    pub(super) fn serves_tables(&self) -> bool {
        self.state == State::Running || self.config.compat.is_rsplib()
    }

    /// Sends a message to a peer.
    pub(super) fn send_enrp(&mut self, assoc: AssocId, receiver: RegistrarId, body: Body) {
        if let Some(bytes) = self.encode_enrp(receiver, body) {
            self.associations.send(assoc, bytes, None);
        }
    }

    /// Reports an error to a peer (RFC 5353 §2.10).
    pub(super) fn send_enrp_error(&mut self, assoc: AssocId, receiver: RegistrarId, cause: CauseCode) {
        self.send_enrp(assoc, receiver, Body::Error(Error { error: cause.into() }));
    }

    pub(super) fn encode_enrp(&mut self, receiver: RegistrarId, body: Body) -> Option<Bytes> {
        let encoded = Message { sender: self.id, receiver, body }.encode();
        if encoded.is_err() {
            self.counters.send_failures += 1;
        }
        encoded.ok()
    }
}

/// Server Information for addresses that share one port; loopback ones only for this host (design D2).
fn information(id: RegistrarId, addresses: &[SocketAddr], loopback: bool) -> Option<ServerInformation> {
    let port = addresses.first()?.port();
    let addresses: Vec<IpAddr> =
        addresses.iter().map(SocketAddr::ip).filter(|ip| loopback || !ip.is_loopback()).collect();
    if addresses.is_empty() {
        return None;
    }
    let transport = SctpTransport { port, transport_use: TransportUse::DATA_ONLY, addresses };
    Some(ServerInformation { id, transport, table_response_size: None, incarnation: None })
}
