//! RFC 5353 §3.1: what is said to all peers names none of them.

use crate::network::{Network, ms};
use enrp::Body;
use params::RegistrarId;
use rserpool_proto::{PPID_ENRP, Transmit};

/// The receivers that the messages with this body name.
fn receivers(network: &Network, wanted: impl Fn(&Body) -> bool) -> Vec<u32> {
    let messages = network.transcript.iter().filter_map(|(_, _, transmit)| match transmit {
        Transmit::Send { ppid: PPID_ENRP, bytes, .. } => enrp::decode(bytes, RegistrarId::NONE).message.ok(),
        _ => None,
    });
    messages.filter(|message| wanted(&message.body)).map(|message| message.receiver.0).collect()
}

// ENRP-2.1-04, ENRP-3.4.2-01, A-19
#[test]
fn the_heartbeat_has_no_receiver() {
    let mut network = Network::of_registrars(3);
    network.transcript.clear();
    network.run(ms(1000));
    assert_eq!(
        receivers(&network, |body| matches!(body, Body::Presence(_))),
        [0; 24],
        "four of each to each"
    );
}

// ENRP-2.1-04, ENRP-3.5.1-01, ENRP-3.5.2-01, A-19
#[test]
fn a_takeover_is_announced_without_a_receiver() {
    let mut network = Network::of_registrars(4);
    network.add_element(11, 4);
    network.run(ms(50));
    network.kill(4);
    network.run(ms(3000));
    assert_eq!(receivers(&network, |body| matches!(body, Body::InitTakeover(_))), [0; 2]);
    assert_eq!(receivers(&network, |body| matches!(body, Body::TakeoverServer(_))), [0; 2]);
}
