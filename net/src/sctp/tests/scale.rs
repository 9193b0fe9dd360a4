//! Many associations cost what they do, not what they are.

use super::support::*;
use crate::sctp::SctpConfig;
use crate::sctp::SctpLimits;
use proto::Channel;
use std::time::Duration;

#[test]
fn five_thousand_idle_associations_have_one_timer_each_and_wake_nobody() {
    let mut config = SctpConfig::control();
    config.timing.heartbeat_interval = Duration::from_secs(30);
    config.limits = SctpLimits { handshakes_per_second: 100_000, ..SctpLimits::default() };
    let mut world = World::new();
    let server = world.endpoint_with(Family::V4.at(1, 3863), config.clone());
    let client = world.endpoint_with(Family::V4.at(2, 40000), config);
    for _ in 0..5000 {
        world.connect(client, Channel::Session, Family::V4.at(1, 3863));
    }
    world.run(100);
    assert_eq!(ups(&world.inputs(server)).len(), 5000);
    assert_eq!(ups(&world.inputs(client)).len(), 5000);
    for node in [server, client] {
        let sizes = world.network.endpoint(node).expect("there").table_sizes();
        assert_eq!(sizes[..5], [5000, 5000, 5000, 5000, 0]);
    }
    // Nothing is due before the heartbeats: a wakeup would have nothing to look at.
    let start = world.now();
    let next = world.network.next_event().expect("heartbeats");
    assert!(next.since(start) > Duration::from_secs(25), "{next} after {start}");
    let before = world.counters(server).sent;
    world.run(25_000);
    assert_eq!(world.counters(server).sent, before);
}

// D7: heartbeats are paced by one budget; the more associations there are, the rarer each is probed.
#[test]
fn heartbeats_stay_near_their_budget_however_many_associations_there_are() {
    let mut config = SctpConfig::control();
    config.limits =
        SctpLimits { handshakes_per_second: 100_000, heartbeats_per_second: 100, ..SctpLimits::default() };
    let mut world = World::new();
    let server = world.endpoint_with(Family::V4.at(1, 3863), config.clone());
    // The clients send none, so that all that the server sends is heartbeats.
    config.timing.heartbeat_interval = Duration::ZERO;
    let client = world.endpoint_with(Family::V4.at(2, 40000), config);
    for (associations, most) in [(20, 110), (1000, 600)] {
        while world.network.endpoint(client).expect("there").associations() < associations {
            world.connect(client, Channel::Session, Family::V4.at(1, 3863));
        }
        world.run(1000);
        let before = world.counters(server).sent;
        world.run(10_000);
        let rate = (world.counters(server).sent - before) / 10;
        assert!((most / 2..=most).contains(&rate), "{rate} heartbeats a second for {associations}");
    }
    assert_eq!(ups(&world.inputs(server)).len(), 1000);
    assert_eq!(downs(&world.inputs(server)), []);
}
