//! Associations come up, exchange messages and end.

use super::support::*;
use proto::{Channel, DownReason, Input, PPID_ASAP, Transmit};

// SCTP-4960-01: the payload protocol identifier arrives as it was sent.
#[test]
fn two_endpoints_connect_talk_and_part() {
    for family in FAMILIES {
        let mut world = World::new();
        let server = world.endpoint(family.at(1, 3863));
        let client = world.endpoint(family.at(2, 40000));
        let ours = world.connect(client, Channel::Asap, family.at(1, 3863));
        world.run(50);

        let up = |assoc, remote, local| Input::Up {
            assoc,
            channel: Channel::Asap,
            remote: vec![remote],
            local: vec![local],
            streams: 16,
        };
        assert_eq!(world.inputs(client), [up(ours, family.at(1, 3863), family.host(2))]);
        let at_server = world.inputs(server);
        let theirs = ups(&at_server)[0];
        assert!(theirs.is_accepted());
        assert_eq!(at_server, [up(theirs, family.at(2, 40000), family.host(1))]);

        world.send(client, ours, "ping");
        world.run(50);
        let ping = Input::Message {
            assoc: theirs,
            stream: 0,
            ppid: PPID_ASAP,
            unordered: false,
            bytes: "ping".into(),
        };
        assert_eq!(world.inputs(server), [ping]);

        world.network.carry_out(client, [Transmit::Shutdown { assoc: ours }]);
        world.run(100);
        let down = |assoc| Input::Down { assoc, why: DownReason::Shutdown };
        assert_eq!(world.inputs(client), [down(ours)]);
        assert_eq!(world.inputs(server), [Input::PeerShutdown { assoc: theirs }, down(theirs)]);
    }
}

// RFC 9260 §5.1: what the peer sends behind its COOKIE ACK may arrive before it.
#[test]
fn a_message_that_overtakes_the_cookie_ack_comes_after_up() {
    for family in FAMILIES {
        let mut client = Bench::new(family.at(2, 5000));
        let mut server = Bench::new(family.at(1, 3863));
        let ours = client.connect(0, Channel::Asap, family.at(1, 3863));
        let init = client.sent().remove(0).bytes;
        let init_ack = server.receive(family.at(2, 5000), &init).remove(0);
        let echo = client.receive(family.at(1, 3863), &init_ack).remove(0);
        let cookie_ack = server.receive(family.at(2, 5000), &echo).remove(0);
        let theirs = ups(&server.inputs())[0];
        server.endpoint.carry_out(server.now, message(theirs, 0, "hasty"));
        let data = server.sent().remove(0).bytes;

        client.receive(family.at(1, 3863), &data);
        assert_eq!(client.inputs(), []);
        client.receive(family.at(1, 3863), &cookie_ack);
        let inputs = client.inputs();
        assert_eq!(ups(&inputs[..1]), [ours]);
        assert_eq!(messages(&inputs[1..]), [(ours, "hasty".into())]);
    }
}
