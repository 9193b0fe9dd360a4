//! Several SCTP ports on one socket: behind one UDP port (RFC 6951), or on IP itself.

use super::support::*;
use crate::sctp::packet::{self, chunk};
use crate::sctp::{Carrier, SctpConfig, SctpEndpoint, SctpLimits};
use bytes::Bytes;
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use std::net::SocketAddr;

const REGISTRAR: [(Channel, u16); 2] = [(Channel::Asap, 3863), (Channel::Enrp, 9901)];
const ELEMENT: [(Channel, u16); 1] = [(Channel::Asap, 5000)];

/// Each carrier of several SCTP ports, with the port of its sockets.
const CARRIERS: [(Carrier, u16); 2] = [(Carrier::OnePort(9899), 9899), (Carrier::Ip, 0)];

fn cases() -> impl Iterator<Item = (Family, Carrier, u16)> {
    let of = |family| CARRIERS.into_iter().map(move |(carrier, port)| (family, carrier, port));
    FAMILIES.into_iter().flat_map(of)
}

/// A registrar without a network.
fn registrar(carrier: Carrier, socket: SocketAddr, limits: SctpLimits) -> Bench {
    let config = SctpConfig { limits, ..SctpConfig::control() };
    let endpoint = SctpEndpoint::with_ports(config, carrier, socket, &REGISTRAR, [7; 32]);
    Bench { endpoint, now: Time::from_micros(1_000_000) }
}

/// Name, channel and peer of each association that was established.
fn established(inputs: &[Input]) -> Vec<(AssocId, Channel, SocketAddr)> {
    let up = |input: &Input| match input {
        Input::Up { assoc, channel, remote, .. } => Some((*assoc, *channel, remote[0])),
        _ => None,
    };
    inputs.iter().filter_map(up).collect()
}

// SCTP-6951-01
// The SCTP ports decide which association it is. Addresses in inputs have SCTP ports.
#[test]
fn the_sctp_port_decides_who_is_meant() {
    for (family, carrier, port) in cases() {
        let mut world = World::new();
        let registrar = world.endpoint_on(carrier, family.at(1, port), &REGISTRAR);
        let element = world.endpoint_on(carrier, family.at(2, port), &ELEMENT);
        let asap = world.connect(element, Channel::Asap, family.at(1, 3863));
        world.run(50);
        let enrp = world.connect(element, Channel::Asap, family.at(1, 9901));
        world.run(50);

        let ups = established(&world.inputs(element));
        let expected = [(asap, Channel::Asap, family.at(1, 3863)), (enrp, Channel::Asap, family.at(1, 9901))];
        assert_eq!(ups, expected);
        let ups = established(&world.inputs(registrar));
        let (at_asap, at_enrp) = (ups[0].0, ups[1].0);
        let expected =
            [(at_asap, Channel::Asap, family.at(2, 5000)), (at_enrp, Channel::Enrp, family.at(2, 5000))];
        assert_eq!(ups, expected);

        world.send(element, enrp, "to ENRP");
        world.send(element, asap, "to ASAP");
        world.send(registrar, at_enrp, "from ENRP");
        world.run(50);
        let received = messages(&world.inputs(registrar));
        assert_eq!(received, [(at_enrp, Bytes::from("to ENRP")), (at_asap, Bytes::from("to ASAP"))]);
        assert_eq!(messages(&world.inputs(element)), [(enrp, Bytes::from("from ENRP"))]);
    }
}

// each channel starts at its own SCTP port, a session at one that nobody listens on.
#[test]
fn associations_start_at_the_port_of_their_channel() {
    for (family, carrier, port) in cases() {
        let mut world = World::new();
        let registrar = world.endpoint_on(carrier, family.at(1, port), &REGISTRAR);
        let element = world.endpoint_on(carrier, family.at(2, port), &ELEMENT);
        for channel in [Channel::Asap, Channel::Enrp] {
            world.connect(registrar, channel, family.at(2, 5000));
        }
        let sessions: Vec<AssocId> =
            (0..100).map(|_| world.connect(registrar, Channel::Session, family.at(2, 5000))).collect();
        world.run(100);
        assert_eq!(established(&world.inputs(registrar)).len(), 102);
        let peers: Vec<SocketAddr> =
            established(&world.inputs(element)).into_iter().map(|(_, _, remote)| remote).collect();
        assert_eq!(peers[..2], [family.at(1, 3863), family.at(1, 9901)]);
        assert!(peers[2..].iter().all(|peer| ![3863, 9901, 0].contains(&peer.port())));

        for (n, session) in sessions.iter().enumerate() {
            world.send(registrar, *session, n.to_string());
        }
        world.run(50);
        let mut received: Vec<AssocId> =
            messages(&world.inputs(element)).into_iter().map(|(assoc, _)| assoc).collect();
        received.dedup();
        assert_eq!(received.len(), 100, "a hundred associations on one socket");
    }
}

#[test]
fn every_packet_goes_to_the_one_port_of_its_peer() {
    for (family, carrier, port) in cases() {
        let mut element = registrar(carrier, family.at(2, port), SctpLimits::default());
        for (n, channel) in [Channel::Asap, Channel::Enrp, Channel::Session].into_iter().enumerate() {
            element.connect(n as u64, channel, family.at(1, 3863));
        }
        let sent = element.sent();
        assert_eq!(sent.len(), 3);
        for datagram in sent {
            assert_eq!(datagram.to, family.at(1, port));
            let destination = packet::u16_at(&datagram.bytes, 2);
            assert_eq!(destination, Some(3863));
        }
    }
}

// RFC 9260 §8.4, rules 3 and 8: an SCTP port where nobody listens does not exist, whoever else is on the socket.
#[test]
fn a_packet_for_an_sctp_port_that_nobody_has_is_out_of_the_blue() {
    for (family, carrier, port) in cases() {
        let mut server = registrar(carrier, family.at(1, port), SctpLimits::default());
        let from = family.at(2, port);
        let answer = server.receive(from, &init(5000, 4000)).remove(0);
        assert_eq!(answer, packet::single((4000, 5000), 0x1122_3344, chunk::ABORT, 0, &[]));
        let stray = packet::single((5000, 4000), 0x99, chunk::DATA, 3, &data(1, 0, b"anybody?"));
        let answer = server.receive(from, &stray).remove(0);
        assert_eq!(answer, packet::single((4000, 5000), 0x99, chunk::ABORT, chunk::FLAG_T, &[]));
        assert_eq!(server.endpoint.counters().out_of_the_blue_answered, 2);
        // The number of the UDP port is no SCTP port.
        assert_eq!(kinds(&server.receive(from, &init(5000, 9899))[0]), [chunk::ABORT]);
    }
}

#[test]
fn a_connect_to_an_sctp_port_that_nobody_has_is_refused_at_once() {
    for (family, carrier, port) in cases() {
        let mut world = World::new();
        let _registrar = world.endpoint_on(carrier, family.at(1, port), &REGISTRAR);
        let element = world.endpoint_on(carrier, family.at(2, port), &ELEMENT);
        let assoc = world.connect(element, Channel::Asap, family.at(1, 4000));
        world.run(50);
        let why = DownReason::ConnectFailed("refused".into());
        assert_eq!(downs(&world.inputs(element)), [(assoc, why)]);
    }
}

// A cookie is sealed for its pair of SCTP ports: it opens nothing at another port of the same socket.
#[test]
fn a_cookie_serves_only_the_sctp_port_it_was_issued_at() {
    for (family, carrier, port) in cases() {
        let mut server = registrar(carrier, family.at(1, port), SctpLimits::default());
        let from = family.at(2, port);
        let echo = cookie_echo(&server.receive(from, &init(5000, 3863))[0]);
        let mut elsewhere = echo.clone();
        elsewhere[2..4].copy_from_slice(&9901_u16.to_be_bytes());
        packet::seal_checksum(&mut elsewhere);
        assert!(server.receive(from, &elsewhere).is_empty());
        assert_eq!(server.endpoint.counters().dropped_cookie_forged, 1);
        assert_eq!(kinds(&server.receive(from, &echo)[0]), [chunk::COOKIE_ACK]);
        assert_eq!(established(&server.inputs())[0].1, Channel::Asap);
    }
}

// RFC 9260 §5.2.4: a restart is of one association, the others on the socket do not notice.
#[test]
fn a_peer_that_restarts_has_restarted_only_where_it_says_so() {
    for (family, carrier, port) in cases() {
        let mut world = World::new();
        let registrar = world.endpoint_on(carrier, family.at(1, port), &REGISTRAR);
        let element = world.endpoint_on(carrier, family.at(2, port), &ELEMENT);
        world.connect(element, Channel::Asap, family.at(1, 3863));
        world.connect(element, Channel::Asap, family.at(1, 9901));
        world.run(50);
        let before = established(&world.inputs(registrar));
        world.network.crash(element);
        let reborn = world.endpoint_on(carrier, family.at(2, port), &ELEMENT);
        world.connect(reborn, Channel::Asap, family.at(1, 3863));
        world.run(50);
        let inputs = world.inputs(registrar);
        let restarted = Input::Restart { assoc: before[0].0 };
        assert!(inputs.contains(&restarted), "{inputs:?}");
        assert_eq!(world.counters(registrar).restarted, 1);
    }
}

// RFC 6951 §5.5: what is unreachable is the UDP port of the whole host; the quoted SCTP ports and tag say which
// association the message is about.
#[test]
fn an_icmp_message_is_about_the_association_whose_ports_and_tag_it_quotes() {
    for (family, carrier, port) in cases() {
        let mut client = registrar(carrier, family.at(2, port), SctpLimits::default());
        client.connect(0, Channel::Asap, family.at(1, 3863));
        let doomed = client.connect(1, Channel::Enrp, family.at(1, 9901));
        let quoted = client.sent().remove(1).bytes;
        let mut other_port = quoted.clone();
        other_port[2..4].copy_from_slice(&3863_u16.to_be_bytes());
        for (destination, quoted) in
            [(family.at(1, port), &other_port), (family.at(1, 9901), &quoted), (family.at(3, port), &quoted)]
        {
            client.endpoint.handle_unreachable(client.now, destination, quoted);
            assert_eq!(client.inputs(), []);
        }
        assert_eq!(client.endpoint.counters().dropped_icmp, 3);
        client.endpoint.handle_unreachable(client.now, family.at(1, port), &quoted);
        let what = if carrier == Carrier::Ip { "protocol" } else { "port" };
        let why = DownReason::ConnectFailed(format!("ICMP: {what} unreachable"));
        assert_eq!(downs(&client.inputs()), [(doomed, why)]);
        assert_eq!(client.endpoint.associations(), 1);
    }
}

// RFC 6951 §5.4: the port that is set is where an association begins; later answers go to where the peer sends from.
#[test]
fn a_peer_behind_another_udp_port_than_expected_is_followed() {
    for family in FAMILIES {
        let mut server = registrar(Carrier::OnePort(9899), family.at(1, 9899), SctpLimits::default());
        let mut client = registrar(Carrier::OnePort(9899), family.at(2, 9899), SctpLimits::default());
        let ours = client.connect(0, Channel::Enrp, family.at(1, 9901));
        exchange(&mut client, &mut server, family.at(2, 40_000));
        let theirs = established(&server.inputs())[0];
        assert_eq!(theirs.2, family.at(2, 9901), "the SCTP port, not the UDP port");
        client.endpoint.carry_out(client.now, message(ours, 0, "moved"));
        exchange(&mut client, &mut server, family.at(2, 50_000));
        server.endpoint.carry_out(server.now, message(theirs.0, 0, "found"));
        assert!(server.sent().iter().all(|datagram| datagram.to == family.at(2, 50_000)));
    }
}

// RFC 9260 §5.2.1: registrars connect to each other from and to the same port.
#[test]
fn connects_that_cross_make_one_association() {
    for (family, carrier, port) in cases() {
        let mut world = World::new();
        let one = world.endpoint_on(carrier, family.at(1, port), &REGISTRAR);
        let two = world.endpoint_on(carrier, family.at(2, port), &REGISTRAR);
        let from_one = world.connect(one, Channel::Enrp, family.at(2, 9901));
        let from_two = world.connect(two, Channel::Enrp, family.at(1, 9901));
        world.run(50);
        for (node, assoc, peer) in [(one, from_one, 2), (two, from_two, 1)] {
            let ups = established(&world.inputs(node));
            assert_eq!(ups, [(assoc, Channel::Enrp, family.at(peer, 9901))]);
        }
    }
}

#[test]
fn one_port_of_a_socket_can_reach_another_but_not_itself() {
    for (family, carrier, port) in cases() {
        let mut world = World::new();
        let node = world.endpoint_on(carrier, family.at(1, port), &REGISTRAR);
        let own = world.connect(node, Channel::Enrp, family.at(1, 9901));
        let why = DownReason::ConnectFailed("own address".into());
        assert_eq!(world.inputs(node), [Input::Down { assoc: own, why }]);
        world.connect(node, Channel::Enrp, family.at(1, 3863));
        world.run(50);
        let mut peers: Vec<_> =
            established(&world.inputs(node)).into_iter().map(|(_, channel, peer)| (channel, peer)).collect();
        peers.sort();
        assert_eq!(peers, [(Channel::Asap, family.at(1, 9901)), (Channel::Enrp, family.at(1, 3863))]);
    }
}

// D11: a flood at one port does not lock out the peers of another.
#[test]
fn each_sctp_port_has_its_own_limits() {
    for (family, carrier, port) in cases() {
        let limits = SctpLimits { associations: 2, handshakes_per_second: 5, ..SctpLimits::default() };
        let mut server = registrar(carrier, family.at(1, port), limits);
        let from = family.at(2, port);
        for source in [5000, 5001] {
            let echo = cookie_echo(&server.receive(from, &init(source, 3863))[0]);
            server.receive(from, &echo);
        }
        assert_eq!(kinds(&server.receive(from, &init(5002, 3863))[0]), [chunk::ABORT], "full");
        let echo = cookie_echo(&server.receive(from, &init(5002, 9901))[0]);
        assert_eq!(kinds(&server.receive(from, &echo)[0]), [chunk::COOKIE_ACK]);

        for _ in 0..5 {
            server.receive(from, &init(5003, 3863));
        }
        assert_eq!(server.endpoint.counters().dropped_init_rate, 3, "too many at once");
        assert_eq!(kinds(&server.receive(from, &init(5003, 9901))[0]), [chunk::INIT_ACK]);

        // What ends makes room.
        let first = established(&server.inputs())[0].0;
        server.endpoint.carry_out(server.now, Transmit::Abort { assoc: first, cause: "enough".into() });
        server.pass(std::time::Duration::from_secs(1));
        server.sent();
        assert_eq!(kinds(&server.receive(from, &init(5002, 3863))[0]), [chunk::INIT_ACK]);
    }
}

// A raw socket has one family; a UDP socket on [::] has both.
#[test]
fn an_address_of_another_family_is_no_use() {
    let any = SocketAddr::from(([0; 16], 0));
    for (carrier, reached) in [(Carrier::OnePort(9899), 1), (Carrier::Ip, 0)] {
        let mut endpoint = registrar(carrier, any, SctpLimits::default());
        endpoint.connect(0, Channel::Asap, Family::V4.at(2, 5000));
        assert_eq!(endpoint.sent().len(), reached, "{carrier:?}");
    }
}
