//! Ports, addresses and who is who (RFC 6951 §5.4; design decision D2).

use super::support::*;
use proto::{AssocId, Channel, DownReason, Input};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

// ASAP and ENRP associations come from the listening port, sessions from ports of their own.
#[test]
fn control_uses_the_listening_port_and_sessions_their_own() {
    for family in FAMILIES {
        let mut world = World::new();
        let server = world.endpoint(family.at(1, 3863));
        let client = world.endpoint(family.at(2, 40000));
        world.connect(client, Channel::Asap, family.at(1, 3863));
        world.connect(client, Channel::Session, family.at(1, 3863));
        world.run(50);
        let remotes: Vec<SocketAddr> = world
            .inputs(server)
            .into_iter()
            .filter_map(|input| if let Input::Up { remote, .. } = input { Some(remote[0]) } else { None })
            .collect();
        assert_eq!(remotes[0], family.at(2, 40000));
        assert_eq!(remotes[1].ip(), family.host(2));
        assert_ne!(remotes[1].port(), 40000);
    }
}

#[test]
fn a_hundred_sessions_of_one_client_are_a_hundred_associations() {
    for family in FAMILIES {
        let mut world = World::new();
        let server = world.endpoint(family.at(1, 3863));
        let client = world.endpoint(family.at(2, 40000));
        let ours: Vec<AssocId> =
            (0..100).map(|_| world.connect(client, Channel::Session, family.at(1, 3863))).collect();
        world.run(50);
        assert_eq!(ups(&world.inputs(client)).len(), 100);
        assert_eq!(ups(&world.inputs(server)).len(), 100);
        for (n, assoc) in ours.iter().enumerate() {
            world.send(client, *assoc, n.to_string());
        }
        world.run(50);
        let received = messages(&world.inputs(server));
        let names: BTreeSet<AssocId> = received.iter().map(|(assoc, _)| *assoc).collect();
        assert_eq!((received.len(), names.len()), (100, 100));
    }
}

#[test]
fn two_clients_with_equal_sctp_ports_behind_one_address_both_work() {
    for family in FAMILIES {
        // Both believe to be 10.0.0.9:5000; a NAT shows them at two UDP ports of one address.
        let mut server = Bench::new(family.at(1, 3863));
        let mut clients = [5001, 5002].map(|udp| {
            let config = crate::sctp::SctpConfig::control();
            let seed = [u8::try_from(udp % 256).expect("small"); 32];
            let endpoint = crate::sctp::SctpEndpoint::new(config, Channel::Asap, family.at(9, 5000), seed);
            (Bench { endpoint, now: server.now }, family.at(2, udp))
        });
        for (client, seen_as) in &mut clients {
            let assoc = client.connect(0, Channel::Asap, family.at(1, 3863));
            exchange(client, &mut server, *seen_as);
            assert_eq!(ups(&client.inputs()), [assoc]);
        }
        assert_eq!(ups(&server.inputs()).len(), 2, "the second is not a restart of the first");
        for (n, (client, seen_as)) in clients.iter_mut().enumerate() {
            let send = message(AssocId::connected(0), 0, format!("from {n}"));
            client.endpoint.carry_out(client.now, send);
            exchange(client, &mut server, *seen_as);
        }
        let received: Vec<_> = messages(&server.inputs()).into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(received, ["from 0", "from 1"]);
        assert_eq!(server.endpoint.counters().restarted, 0);
    }
}

// RFC 6951 §5.4: after the tag check the UDP source port is where answers go.
#[test]
fn an_association_follows_its_peer_to_another_udp_port() {
    for family in FAMILIES {
        let (before, after) = (family.at(2, 5001), family.at(2, 6001));
        let mut server = Bench::new(family.at(1, 3863));
        let mut client = Bench::new(family.at(9, 5000));
        let assoc = client.connect(0, Channel::Asap, family.at(1, 3863));
        exchange(&mut client, &mut server, before);
        let theirs = ups(&server.inputs())[0];

        client.endpoint.carry_out(client.now, message(assoc, 0, "moved"));
        exchange(&mut client, &mut server, after);
        assert_eq!(messages(&server.inputs()), [(theirs, "moved".into())]);
        assert_eq!(server.endpoint.counters().rebound, 1);

        server.endpoint.carry_out(server.now, message(theirs, 0, "found"));
        assert!(server.sent().iter().all(|datagram| datagram.to == after));
        assert_eq!(server.endpoint.table_sizes()[1..3], [1, 1], "no trace of the old port is left");
    }
}

// A wrong tag moves nothing: whoever can spoof an address must also know the tag.
#[test]
fn a_packet_with_a_wrong_tag_moves_nothing() {
    for family in FAMILIES {
        let mut server = Bench::new(family.at(1, 3863));
        let tag = establish_by_hand(&mut server, family.at(2, 5001), 5000);
        let heartbeat = |tag| crate::sctp::packet::single((5000, 3863), tag, 4, 0, &[0, 1, 0, 8, 1, 2, 3, 4]);
        server.receive(family.at(2, 6001), &heartbeat(tag ^ 1));
        assert_eq!(server.endpoint.counters().rebound, 0);
        let answer = server.receive(family.at(2, 6001), &heartbeat(tag));
        assert_eq!(kinds(&answer[0]), [5]);
        assert_eq!(server.endpoint.counters().rebound, 1);
    }
}

#[test]
fn a_second_connect_to_the_same_endpoint_names_the_first() {
    for family in FAMILIES {
        let mut world = World::new();
        let _server = world.endpoint(family.at(1, 3863));
        let client = world.endpoint(family.at(2, 40000));
        let first = world.connect(client, Channel::Asap, family.at(1, 3863));
        let second = world.connect(client, Channel::Asap, family.at(1, 3863));
        assert_eq!(world.inputs(client), [Input::Down { assoc: second, why: DownReason::Duplicate(first) }]);
    }
}

#[test]
fn a_connect_to_a_peer_that_has_connected_names_its_association() {
    for family in FAMILIES {
        let mut world = World::new();
        let server = world.endpoint(family.at(1, 3863));
        let client = world.endpoint(family.at(2, 40000));
        let (_, theirs) = world.establish(client, server, Channel::Asap);
        let late = world.connect(server, Channel::Asap, family.at(2, 40000));
        assert_eq!(downs(&world.inputs(server)), [(late, DownReason::Duplicate(theirs))]);
    }
}

// RFC 9260 §5.2.1, §5.2.4: two INITs that cross make one association.
#[test]
fn connects_that_cross_make_one_association() {
    for family in FAMILIES {
        // The same delay both ways, then every order that reordering makes of it.
        for seed in 0..50 {
            let mut world = World::with_link(
                seed,
                crate::memory::Link { jitter: Duration::from_millis(3), ..crate::memory::Link::perfect() },
            );
            let one = world.endpoint(family.at(1, 9901));
            let two = world.endpoint(family.at(2, 9901));
            let from_one = world.connect(one, Channel::Asap, family.at(2, 9901));
            world.run(seed % 3);
            let from_two = world.connect(two, Channel::Asap, family.at(1, 9901));
            world.run(1000);

            let (at_one, at_two) = (world.inputs(one), world.inputs(two));
            let live = |inputs: &[Input]| -> Vec<AssocId> {
                let gone: Vec<AssocId> = downs(inputs).into_iter().map(|(assoc, _)| assoc).collect();
                ups(inputs).into_iter().filter(|assoc| !gone.contains(assoc)).collect()
            };
            let (live_one, live_two) = (live(&at_one), live(&at_two));
            assert_eq!((live_one.len(), live_two.len()), (1, 1), "seed {seed}: {at_one:?} {at_two:?}");
            for node in [one, two] {
                assert_eq!(world.network.endpoint(node).expect("there").associations(), 1);
            }
            for (inputs, n) in [(&at_one, 1), (&at_two, 2)] {
                let ups = inputs.iter().filter_map(|input| match input {
                    Input::Up { local, .. } => Some(local.clone()),
                    _ => None,
                });
                assert!(ups.clone().all(|local| local == [family.host(n)]), "seed {seed}: {inputs:?}");
            }
            assert_eq!(live_one, [from_one], "the first keeps its name");
            if !live_two[0].is_accepted() {
                assert_eq!(live_two, [from_two], "the second keeps its name");
            }
            world.send(one, live_one[0], "to two");
            world.send(two, live_two[0], "to one");
            world.run(100);
            assert_eq!(messages(&world.inputs(one)), [(live_one[0], "to one".into())], "seed {seed}");
            assert_eq!(messages(&world.inputs(two)), [(live_two[0], "to two".into())], "seed {seed}");
        }
    }
}

// A-39, the case without luck: both start in the same instant.
#[test]
fn connects_in_the_same_instant_keep_both_names() {
    for family in FAMILIES {
        let mut world = World::new();
        let one = world.endpoint(family.at(1, 9901));
        let two = world.endpoint(family.at(2, 9901));
        let from_one = world.connect(one, Channel::Asap, family.at(2, 9901));
        let from_two = world.connect(two, Channel::Asap, family.at(1, 9901));
        world.run(50);
        assert_eq!(ups(&world.inputs(one)), [from_one]);
        assert_eq!(ups(&world.inputs(two)), [from_two]);
    }
}

#[test]
fn a_v4_mapped_address_is_the_ipv4_address() {
    let mut server = Bench::new("[::]:3863".parse().expect("an address"));
    let mapped = |n: u8, port| {
        let ip = Ipv4Addr::new(10, 0, 0, n).to_ipv6_mapped();
        SocketAddr::new(IpAddr::V6(ip), port)
    };
    let init_ack = {
        let to = mapped(1, 0).ip();
        server.endpoint.handle_datagram(server.now, mapped(2, 5001), to, &init(5000, 3863));
        server.sent().remove(0)
    };
    assert_eq!(init_ack.to, Family::V4.at(2, 5001));
    assert_eq!(init_ack.from, Some(Family::V4.host(1)));
    // The same peer in plain form: the cookie fits.
    server.receive(Family::V4.at(2, 5001), &cookie_echo(&init_ack.bytes));
    let inputs = server.inputs();
    let [Input::Up { remote, .. }] = &inputs[..] else { panic!("{inputs:?}") };
    assert_eq!(remote, &[Family::V4.at(2, 5000)]);
}

#[test]
fn link_local_peers_on_two_links_are_two_peers() {
    let mut server = Bench::new("[::]:3863".parse().expect("an address"));
    let on_link = |scope| {
        let ip = "fe80::2".parse().expect("an address");
        SocketAddr::V6(SocketAddrV6::new(ip, 5001, 0, scope))
    };
    for scope in [2, 3] {
        let init_ack = {
            server.endpoint.handle_datagram(
                server.now,
                on_link(scope),
                "fe80::1".parse().expect("an address"),
                &init(5000, 3863),
            );
            server.sent().remove(0)
        };
        assert_eq!(init_ack.to, on_link(scope), "the answer keeps the scope");
        server.receive(on_link(scope), &cookie_echo(&init_ack.bytes));
    }
    assert_eq!(ups(&server.inputs()).len(), 2);
}

#[test]
fn the_local_address_is_the_one_the_peer_sees() {
    let mut server = Bench::new("0.0.0.0:3863".parse().expect("an address"));
    server.endpoint.handle_datagram(
        server.now,
        Family::V4.at(2, 5001),
        Family::V4.host(77),
        &init(5000, 3863),
    );
    let init_ack = server.sent().remove(0);
    assert_eq!(init_ack.from, Some(Family::V4.host(77)), "answers leave from where the question came to");
    server.endpoint.handle_datagram(
        server.now,
        Family::V4.at(2, 5001),
        Family::V4.host(77),
        &cookie_echo(&init_ack.bytes),
    );
    let inputs = server.inputs();
    let [Input::Up { local, .. }] = &inputs[..] else { panic!("{inputs:?}") };
    assert_eq!(local, &[Family::V4.host(77)]);
}

#[test]
fn an_address_of_no_use_is_refused_at_once() {
    let mut bench = Bench::new(Family::V4.at(1, 3863));
    let unusable = || DownReason::NoAddress;
    for (n, (remote, why)) in [
        (Family::V6.at(2, 3863), unusable()),
        (Family::V4.at(2, 0), unusable()),
        ("0.0.0.0:3863".parse().expect("an address"), unusable()),
        ("224.0.0.1:3863".parse().expect("an address"), unusable()),
        (Family::V4.at(1, 3863), DownReason::ConnectFailed("own address".into())),
    ]
    .into_iter()
    .enumerate()
    {
        let assoc = bench.connect(n as u64, Channel::Asap, remote);
        assert_eq!(downs(&bench.inputs()), [(assoc, why)]);
    }
    assert!(bench.sent().is_empty());
}

// On the unspecified address an endpoint does not know its own ones: it recognises its INIT by the tag.
#[test]
fn a_connect_to_oneself_fails_on_the_unspecified_address_too() {
    for (any, own) in [("0.0.0.0:3863", "10.0.0.1:3863"), ("[::]:3863", "[fd00::1]:3863")] {
        let mut endpoint = Bench::new(any.parse().expect("an address"));
        let own = own.parse().expect("an address");
        let assoc = endpoint.connect(0, Channel::Enrp, own);
        for init in endpoint.sent() {
            endpoint.receive(own, &init.bytes);
        }
        let why = DownReason::ConnectFailed("own address".into());
        assert_eq!(endpoint.inputs(), [Input::Down { assoc, why }]);
    }
}
