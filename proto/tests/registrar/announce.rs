//! Announcements by multicast (RFC 5352 §3.6, ambiguities ).

use crate::network::{Host, Network, endpoint, ip, ms};
use bytes::Bytes;
use params::{RegistrarId, SctpTransport, ServerInformation, Transport, TransportUse};
use rserpool_proto::registrar::{Announce, Config, Event};
use rserpool_proto::{Channel, Time, Transmit};
use std::net::SocketAddr;

const BOTH: Announce = Announce { asap: true, enrp: true };

fn config(host: Host) -> Config {
    Config { announce: BOTH, ..Network::config(host, &[]) }
}

/// When `host` announced itself on a channel, and what it said.
fn announced(network: &Network, host: Host, channel: Channel) -> Vec<(Time, Bytes)> {
    let sent = network.transcript.iter().filter(|(_, by, _)| *by == host);
    sent.filter_map(|(at, _, transmit)| match transmit {
        Transmit::Announce { channel: on, bytes } if *on == channel => Some((*at, bytes.clone())),
        _ => None,
    })
    .collect()
}

fn started_with(network: &Network, host: Host) -> Option<u32> {
    network.events(host).iter().find_map(|event| match event {
        Event::Started { mentor } => Some(mentor.map_or(0, |mentor| mentor.0)),
        _ => None,
    })
}

fn information(host: u32, addresses: &[SocketAddr]) -> ServerInformation {
    let port = addresses[0].port();
    let addresses = addresses.iter().map(SocketAddr::ip).collect();
    let transport = SctpTransport { port, transport_use: TransportUse::DATA_ONLY, addresses };
    ServerInformation { id: RegistrarId(host), transport, table_response_size: None, incarnation: None }
}

fn presence(sender: u32, at: SocketAddr) -> Bytes {
    let information = Some(information(sender, &[at]));
    let body =
        enrp::Presence { reply_required: true, checksum: Some(1), information, silent: Vec::new() }.into();
    let message = enrp::Message { sender: RegistrarId(sender), receiver: RegistrarId::NONE, body };
    message.encode().unwrap()
}

fn server_announce(id: u32) -> Bytes {
    let announce = asap::ServerAnnounce { registrar: RegistrarId(id), transports: Vec::new() };
    asap::Message::from(announce).encode().unwrap()
}

fn counters(network: &mut Network, host: Host) -> rserpool_proto::registrar::Counters {
    let now = network.now;
    network.registrar(host).status(now).counters
}

// ASAP-4-07, ASAP-3.6-02, ASAP-3.6-03, ASAP-2.2.10-01, A-45: the announcement names the registrar and where it serves ASAP.
#[test]
fn a_registrar_announces_where_it_serves() {
    let mut network = Network::new();
    network.start_with(1, Config { asap_port: 4000, ..config(1) });
    network.run(ms(2000));
    let (_, bytes) = announced(&network, 1, Channel::Asap).remove(0);
    let transport =
        SctpTransport { port: 4000, transport_use: TransportUse::DATA_ONLY, addresses: vec![ip(1)] };
    let expected =
        asap::ServerAnnounce { registrar: RegistrarId(1), transports: vec![Transport::Sctp(transport)] };
    assert_eq!(asap::decode(&bytes).message, Ok(expected.into()));
    let (_, bytes) = announced(&network, 1, Channel::Enrp).remove(0);
    let message = enrp::decode(&bytes, RegistrarId::NONE).message.unwrap();
    assert_eq!((message.sender, message.receiver), (RegistrarId(1), RegistrarId::NONE));
    let enrp::Body::Presence(presence) = message.body else { panic!("{message:?}") };
    assert!(!presence.reply_required, "rsplib would answer into the group");
    assert_eq!(presence.information, Some(information(1, &[endpoint(1, Channel::Enrp)])));
}

// ASAP-3.6-04, ASAP-7.1-06, A-44: however many registrars there are, one of them announces itself every T6.
#[test]
fn all_registrars_share_one_rate() {
    for count in [1, 3, 5] {
        let mut network = Network::new();
        for host in 1..=count {
            network.start_with(host, config(host));
        }
        network.run(ms(20_000));
        let begin = network.now;
        network.run(ms(60_000));
        let all = (1..=count).flat_map(|host| announced(&network, host, Channel::Asap));
        let sent = all.filter(|(at, _)| *at >= begin).count();
        assert!((54..=66).contains(&sent), "{sent} in a minute by {count}");
    }
}

// ASAP-3.6-02, ASAP-3.6-05, A-44, A-46: the period is (N+1) · T6 within 10 %, and shrinks when one is not heard any more.
#[test]
fn a_registrar_that_is_gone_leaves_its_share_to_the_others() {
    let mut network = Network::new();
    for host in 1..=3 {
        network.start_with(host, config(host));
    }
    network.run(ms(20_000));
    let periods = |network: &Network, since: Time| {
        let times: Vec<Time> = announced(network, 1, Channel::Asap).into_iter().map(|(at, _)| at).collect();
        let pairs = times.windows(2).filter(|pair| pair[0] >= since);
        pairs.map(|pair| pair[1].since(pair[0])).collect::<Vec<_>>()
    };
    let begin = network.now;
    network.run(ms(30_000));
    let three = periods(&network, begin);
    assert!(three.iter().all(|period| (ms(2700)..=ms(3300)).contains(period)), "{three:?}");
    network.kill(3);
    network.run(ms(15_000));
    let begin = network.now;
    network.run(ms(30_000));
    let two = periods(&network, begin);
    assert!(two.iter().all(|period| (ms(1800)..=ms(2200)).contains(period)), "{two:?}");
}

// OVW-3-01, ENRP-3-04, ENRP-3.2.2.1-04, A-54: who starts announces itself, is connected to, and has its mentor.
#[test]
fn a_registrar_that_starts_finds_its_mentor_without_a_list() {
    let mut network = Network::new();
    network.start_with(1, config(1));
    network.run(ms(5000));
    assert_eq!(started_with(&network, 1), Some(0), "nobody was there");
    network.add_element(11, 1);
    network.start_with(2, config(2));
    network.run_until(ms(100), |network| started_with(network, 2).is_some());
    assert_eq!(started_with(&network, 2), Some(1));
    assert_eq!(network.table(2), [(11, 1)]);
}

// all start at once, and are one scope.
#[test]
fn registrars_that_start_together_without_a_list_find_each_other() {
    let mut network = Network::new();
    for host in 1..=5 {
        network.start_with(host, config(host));
    }
    network.run(ms(5000));
    network.add_element(11, 3);
    network.run(ms(100));
    for host in 1..=5 {
        let now = network.now;
        assert_eq!(network.registrar(host).peers(now).len(), 4, "{host}");
        assert_eq!(network.table(host), [(11, 3)]);
    }
}

// Two scopes that could not hear each other grow together.
#[test]
fn registrars_that_meet_later_become_peers() {
    let mut network = Network::new();
    network.cut(1, 2);
    network.start_with(1, config(1));
    network.start_with(2, config(2));
    network.run(ms(5000));
    let now = network.now;
    assert!(network.registrar(1).peers(now).is_empty());
    network.heal_all();
    network.run(ms(5000));
    let now = network.now;
    assert_eq!(network.registrar(1).peers(now).len(), 1);
}

// ENRP-3-04, A-54: an announcement of a peer is no sign of its life, and changes nothing else.
#[test]
fn an_announcement_keeps_no_peer_alive() {
    let mut network = Network::new();
    network.start_with(1, config(1));
    network.start_with(2, config(2));
    network.run(ms(5000));
    network.kill(2);
    for _ in 0..40 {
        let bytes = presence(2, endpoint(2, Channel::Enrp));
        network.forge(1, endpoint(2, Channel::Enrp), Channel::Enrp, bytes);
        network.run(ms(50));
    }
    assert!(
        network.event_at(1, |event| matches!(event, Event::PeerDown { id: RegistrarId(2), .. })).is_some()
    );
    let now = network.now;
    assert!(network.registrar(1).peers(now).iter().all(|peer| peer.announced_checksum != Some(1)));
}

// Off: nothing is announced, nothing is heard (the default).
#[test]
fn without_the_setting_there_are_no_announcements() {
    let mut network = Network::new();
    network.start(1, &[]);
    network.forge(1, endpoint(2, Channel::Enrp), Channel::Enrp, presence(2, endpoint(2, Channel::Enrp)));
    network.run(ms(5000));
    let sent = |transmit: &Transmit| matches!(transmit, Transmit::Announce { .. } | Transmit::Connect { .. });
    assert!(!network.transcript.iter().any(|(_, _, transmit)| sent(transmit)));
}

// SEC-A9.2-25, SEC-A9.2-26, A-47: whatever is sent to the groups, memory and attempts to connect are bounded, and the
// real peers stay.
#[test]
fn a_flood_of_forged_announcements_is_endured() {
    let mut network = Network::new();
    network.start_with(1, config(1));
    network.start_with(2, config(2));
    network.run(ms(5000));
    let before = network.transcript.len();
    for n in 0..100_000u32 {
        let at = SocketAddr::from(((0xc612_0000 + n).to_be_bytes(), 9901));
        network.forge(1, at, Channel::Enrp, presence(1000 + n, at));
        network.forge(1, at, Channel::Asap, server_announce(1000 + n));
        if n % 1000 == 0 {
            network.run(ms(10));
        }
    }
    let connects = network.transcript[before..]
        .iter()
        .filter(|(_, _, transmit)| matches!(transmit, Transmit::Connect { .. }))
        .count();
    assert!(connects <= 256, "{connects} attempts in a second");
    let now = network.now;
    assert_eq!(network.registrar(1).peers(now).len(), 1);
    let counters = counters(&mut network, 1);
    assert!(counters.announcements_ignored > 100_000, "{}", counters.announcements_ignored);
    // When it is over the forged ones are forgotten, and the real ones have their share again.
    network.run(ms(300_000));
    let since = network.now;
    network.run(ms(20_000));
    let sent = announced(&network, 1, Channel::Asap).iter().filter(|(at, _)| *at >= since).count();
    assert!((9..=11).contains(&sent), "{sent} in 20 s");
}

// ASAP-2.2.14-04: what is no announcement is counted and never answered.
#[test]
fn nothing_else_is_taken_from_a_group() {
    let mut network = Network::new();
    network.start_with(1, config(1));
    network.run(ms(2000));
    let before = network.transcript.len();
    let ignored = counters(&mut network, 1).announcements_ignored;
    let registration: asap::Message =
        asap::Registration { handle: "pool".into(), element: crate::network::element(11) }.into();
    let no_information = enrp::Message {
        sender: RegistrarId(7),
        receiver: RegistrarId::NONE,
        body: enrp::Presence {
            reply_required: true,
            checksum: Some(0),
            information: None,
            silent: Vec::new(),
        }
        .into(),
    };
    let other = presence(8, SocketAddr::from(([127, 0, 0, 1], 9901)));
    let truncated = presence(9, endpoint(9, Channel::Enrp)).slice(..20);
    let from = endpoint(9, Channel::Enrp);
    network.forge(1, from, Channel::Asap, registration.encode().unwrap());
    network.forge(1, from, Channel::Asap, Bytes::new());
    network.forge(1, from, Channel::Enrp, no_information.encode().unwrap());
    network.forge(1, from, Channel::Enrp, truncated);
    network.forge(1, from, Channel::Enrp, Bytes::from_static(&[0xff; 2000]));
    assert_eq!(counters(&mut network, 1).announcements_ignored, ignored + 5);
    // Loopback addresses from another host lead nowhere.
    network.forge(1, from, Channel::Enrp, other);
    assert_eq!(network.transcript.len(), before);
    assert!(network.table(1).is_empty());
}

// ENRP-3-04, A-45: rsplib's registrars are at the source of their datagram.
#[test]
fn rsplib_is_connected_to_where_it_sends_from() {
    let mut network = Network::new();
    let rsplib = Config { announce: BOTH, ..Config::new(rserpool_proto::profile::Profile::Rsplib) };
    network.start_with(1, rsplib);
    let elsewhere = SocketAddr::from(([203, 0, 113, 9], 9901));
    network.forge(1, endpoint(2, Channel::Enrp), Channel::Enrp, presence(2, elsewhere));
    let connects: Vec<_> = network
        .transcript
        .iter()
        .filter_map(|(_, _, transmit)| match transmit {
            Transmit::Connect { remote, .. } => Some(remote.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(connects, [[endpoint(2, Channel::Enrp)]]);
}

// ASAP-3.6-06, ASAP-1.1-05: an element without a list registers with a registrar that announces itself, and finds the
// next one when that dies.
#[test]
fn an_element_finds_registrars_without_a_list() {
    let mut network = Network::new();
    network.start_endpoint(11, &[]);
    network.run(ms(3000));
    network.start_with(1, config(1));
    network.run(ms(3000));
    assert_eq!(network.table(1), [(11, 1)]);
    network.start_with(2, config(2));
    network.run(ms(5000));
    network.crash(1);
    network.run(ms(3000));
    assert_eq!(network.table(2), [(11, 2)]);
}
