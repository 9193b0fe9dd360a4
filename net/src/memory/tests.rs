//! The network does to datagrams what it says.

use super::*;
use crate::sctp::SctpConfig;
use proto::{AssocId, Channel};

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 3863))
}

fn endpoint(address: SocketAddr) -> SctpEndpoint {
    let config = SctpConfig::control();
    let seed = match address.ip() {
        IpAddr::V4(v4) => [v4.octets()[3]; 32],
        IpAddr::V6(_) => [0; 32],
    };
    SctpEndpoint::new(config, Channel::Asap, address, seed)
}

fn millis(millis: u64) -> Time {
    Time::from_micros(millis * 1000)
}

/// Out-of-the-blue packets that nobody answers (COOKIE ACK), so that each arrival is one.
fn silent_packet(n: u8) -> Vec<u8> {
    let mut packet = vec![0x0f, 0x17, 0x0f, 0x17, 0, 0, 0, n, 0, 0, 0, 0, 11, 0, 0, 4];
    let crc = crc32c::crc32c(&packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    packet
}

/// How many of 10,000 datagrams arrive, over one link.
fn arrivals(link: Link) -> u64 {
    let mut network = Network::new(5, link);
    let node = network.add(endpoint(address(1)));
    for n in 0..10_000_u32 {
        network.inject(address(2), address(1), silent_packet(n as u8));
    }
    network.run(millis(1000));
    let counters = network.endpoint(node).expect("there").counters();
    assert_eq!(counters.dropped_out_of_the_blue, counters.received);
    counters.received
}

#[test]
fn losses_and_duplicates_are_as_frequent_as_told() {
    assert_eq!(arrivals(Link::perfect()), 10_000);
    let lossy = arrivals(Link { loss: 100, ..Link::perfect() });
    assert!((8800..9200).contains(&lossy), "{lossy}");
    let doubled = arrivals(Link { duplication: 100, ..Link::perfect() });
    assert!((10_800..11_200).contains(&doubled), "{doubled}");
    assert_eq!(arrivals(Link { loss: 1000, ..Link::perfect() }), 0);
}

#[test]
fn jitter_lets_datagrams_overtake_each_other() {
    let link = Link { jitter: Duration::from_millis(2), ..Link::perfect() };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let delays: Vec<Duration> = (0..100).filter_map(|_| link.arrivals(&mut rng)[0]).collect();
    assert!(delays.windows(2).any(|pair| pair[1] < pair[0]));
    assert!(delays.iter().all(|delay| (link.delay..=link.delay + link.jitter).contains(delay)));
}

#[test]
fn a_block_is_one_way_until_it_is_healed() {
    let mut network = Network::new(1, Link::perfect());
    let (one, two) = (network.add(endpoint(address(1))), network.add(endpoint(address(2))));
    network.block(address(1).ip(), address(2).ip());
    network.inject(address(1), address(2), silent_packet(1));
    network.inject(address(2), address(1), silent_packet(2));
    network.run(millis(10));
    let received = |network: &Network, node| network.endpoint(node).expect("there").counters().received;
    assert_eq!((received(&network, one), received(&network, two)), (1, 0));
    network.heal();
    network.inject(address(1), address(2), silent_packet(3));
    network.run(millis(20));
    assert_eq!(received(&network, two), 1);
}

#[test]
fn a_paused_host_hears_everything_when_it_goes_on_and_its_clock_has_stood_still() {
    let mut network = Network::new(1, Link::perfect());
    let node = network.add(endpoint(address(1)));
    let assoc = AssocId::connected(0);
    network.carry_out(node, [Transmit::Connect { assoc, channel: Channel::Asap, remote: vec![address(9)] }]);
    network.pause(address(1).ip());
    network.inject(address(2), address(1), silent_packet(1));
    network.run(millis(5000));
    assert_eq!(network.endpoint(node).expect("there").counters().received, 0);
    assert_eq!(network.poll_inputs(node), [], "T1 did not run");
    network.resume(address(1).ip());
    network.run(millis(5001));
    assert_eq!(network.endpoint(node).expect("there").counters().received, 1);
    assert_eq!(network.local_time(node), millis(51), "50 ms for the pause");
}

#[test]
fn a_new_endpoint_takes_the_place_of_a_crashed_one() {
    let mut network = Network::new(1, Link::perfect());
    let first = network.add(endpoint(address(1)));
    network.crash(first);
    network.inject(address(2), address(1), silent_packet(1));
    network.run(millis(1));
    let second = network.add(endpoint(address(1)));
    network.inject(address(2), address(1), silent_packet(1));
    network.run(millis(2));
    assert!(network.endpoint(first).is_none());
    assert_eq!(network.endpoint(second).expect("there").counters().received, 1);
}

#[test]
fn a_host_with_several_addresses_is_one_host() {
    let mut network = Network::new(1, Link::perfect());
    let node = network.add(endpoint(address(1)).with_addresses([address(2).ip()]));
    let received = |network: &Network| network.endpoint(node).expect("there").counters().received;
    network.inject(address(9), address(1), silent_packet(1));
    network.inject(address(9), address(2), silent_packet(2));
    network.run(millis(1));
    assert_eq!(received(&network), 2);
    // A cable can be cut for itself, but the host stops as a whole.
    network.block(address(9).ip(), address(1).ip());
    network.inject(address(9), address(1), silent_packet(3));
    network.inject(address(9), address(2), silent_packet(4));
    network.run(millis(2));
    assert_eq!(received(&network), 3);
    network.heal();
    network.pause(address(2).ip());
    network.inject(address(9), address(1), silent_packet(5));
    network.run(millis(1000));
    assert_eq!(received(&network), 3);
    network.resume(address(1).ip());
    network.run(millis(1001));
    assert_eq!(received(&network), 4);
    assert_eq!(network.local_time(node), millis(53), "50 ms for the pause");

    // Whoever comes to one of its addresses takes its place at all of them.
    let other = network.add(endpoint(address(2)));
    network.inject(address(9), address(1), silent_packet(6));
    network.inject(address(9), address(2), silent_packet(7));
    network.run(millis(1002));
    assert!(network.endpoint(node).is_none());
    assert_eq!(network.endpoint(other).expect("there").counters().received, 1);
}
