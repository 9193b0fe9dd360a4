//! A registrar whose part a test plays: what it says, and what it hears.

use crate::network::{Host, Network, element, ms, pool};
use enrp::Body;
use params::{PoolElement, RegistrarId};
use rserpool_proto::registrar::{Event, Limits};
use rserpool_proto::{AssocId, Channel, Transmit};

/// With whose table registrar `host` has started, if it has.
pub(crate) fn started(network: &Network, host: Host) -> Option<Option<u32>> {
    network.events(host).iter().find_map(|event| match event {
        Event::Started { mentor } => Some(mentor.map(|mentor| mentor.0)),
        _ => None,
    })
}

/// The bodies that `from` sent over ENRP, in order.
pub(crate) fn bodies(network: &Network, from: Host) -> Vec<enrp::Message> {
    let sent = network.transcript.iter().filter(|(_, host, _)| *host == from);
    sent.filter_map(|(_, _, transmit)| match transmit {
        Transmit::Send { ppid: rserpool_proto::PPID_ENRP, bytes, .. } => {
            enrp::decode(bytes, RegistrarId::NONE).message.ok()
        }
        _ => None,
    })
    .collect()
}

pub(crate) fn received(
    network: &mut Network,
    client: Host,
    wanted: impl Fn(&Body) -> bool,
) -> Vec<enrp::Message> {
    let messages = network.client(client).enrp.iter().map(|(_, message)| message);
    messages.filter(|message| wanted(&message.body)).cloned().collect()
}

pub(crate) fn add(element: PoolElement) -> enrp::HandleUpdate {
    enrp::HandleUpdate { action: enrp::UpdateAction::ADD_PE, handle: pool(), element }
}

pub(crate) fn del(element: PoolElement) -> enrp::HandleUpdate {
    enrp::HandleUpdate { action: enrp::UpdateAction::DEL_PE, ..add(element) }
}

pub(crate) fn owned(host: Host, home: Host) -> PoolElement {
    PoolElement { home: RegistrarId(home.into()), ..element(host) }
}

/// A registrar 1 and a peer 9 that the test plays, which has introduced itself; its association.
pub(crate) fn with_played_peer() -> (Network, AssocId) {
    let (mut network, assoc) = with_silent_peer(|_| {});
    network.tell_peer(9, assoc, enrp::ListRequest);
    network.run(ms(20));
    (network, assoc)
}

/// A registrar 1 with limits of its own, and a peer 9 that the test plays, which has said nothing yet; its association.
pub(crate) fn with_silent_peer(limit: impl FnOnce(&mut Limits)) -> (Network, AssocId) {
    let mut network = Network::new();
    let mut config = Network::config(1, &[]);
    limit(&mut config.limits);
    network.start_with(1, config);
    network.add_client(9);
    let assoc = network.dial(9, 1, Channel::Enrp);
    (network, assoc)
}
