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
