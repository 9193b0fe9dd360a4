//! Endpoints with several addresses (RFC 9260 §5.1.2, §5.2.4.1, §5.4, §6.4, §8.2 to §8.4): two hosts, each with an address
//! in each of two networks.

use super::support::*;
use crate::memory::{Link, NodeId};
use crate::sctp::packet::{self, Packet, chunk};
use crate::sctp::paths::Paths;
use crate::sctp::{SctpConfig, SctpEndpoint, SctpTiming};
use proto::{AssocId, Channel, DownReason, Input, Time, Transmit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 3863;
const SLICE: u64 = 5;

/// The address of a host in a network.
fn address(family: Family, network: u8, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 0, network, host).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, network.into(), 0, 0, 0, host.into()).into(),
    }
}

/// A client and a server, and an association of both.
struct Pair {
    world: World,
    family: Family,
    client: NodeId,
    server: NodeId,
    ours: AssocId,
    theirs: AssocId,
    client_inputs: Vec<Input>,
    server_inputs: Vec<Input>,
    sent: u64,
    /// When the messages arrived, at the client and at the server.
    arrivals: [Vec<Time>; 2],
}

fn endpoint(world: &mut World, config: &SctpConfig, addresses: &[IpAddr]) -> NodeId {
    let (first, further) = addresses.split_first().expect("an address");
    let local = SocketAddr::new(*first, PORT);
    let host = match local.ip() {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    // A process that is started again draws other numbers.
    let mut seed = [host; 32];
    seed[..8].copy_from_slice(&world.now().as_micros().to_be_bytes());
    let endpoint = SctpEndpoint::new(config.clone(), Channel::Asap, local, seed);
    world.network.add(endpoint.with_addresses(further.iter().copied()))
}

impl Pair {
    fn new(family: Family) -> Self {
        Self::with(family, &SctpConfig::control(), Link::perfect(), 2)
    }

    /// Connected over the first network; the client has so many addresses, the server two.
    fn with(family: Family, config: &SctpConfig, link: Link, client_addresses: u8) -> Self {
        let mut world = World::with_link(1, link);
        let clients: Vec<IpAddr> =
            (1..=client_addresses).map(|network| address(family, network, 1)).collect();
        let client = endpoint(&mut world, config, &clients);
        let server = endpoint(&mut world, config, &[address(family, 1, 2), address(family, 2, 2)]);
        let ours = world.connect(client, Channel::Asap, SocketAddr::new(address(family, 1, 2), PORT));
        let mut pair = Self {
            world,
            family,
            client,
            server,
            ours,
            theirs: ours,
            client_inputs: Vec::new(),
            server_inputs: Vec::new(),
            sent: 0,
            arrivals: [Vec::new(), Vec::new()],
        };
        pair.run(200);
        pair.theirs = ups(&pair.server_inputs)[0];
        pair
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / SLICE {
            self.world.run(SLICE);
            let now = self.world.now();
            for (index, node) in [self.client, self.server].into_iter().enumerate() {
                let inputs = self.world.inputs(node);
                self.arrivals[index].extend(messages(&inputs).iter().map(|_| now));
                [&mut self.client_inputs, &mut self.server_inputs][index].extend(inputs);
            }
        }
    }

    /// Both send a message every 20 ms.
    fn talk(&mut self, millis: u64) {
        for _ in 0..millis / 20 {
            let number = self.sent.to_be_bytes().to_vec();
            self.sent += 1;
            self.world.send(self.client, self.ours, number.clone());
            self.world.send(self.server, self.theirs, number);
            self.run(20);
        }
    }

    fn block(&mut self, network: u8, from: u8, to: u8) {
        self.world.network.block(address(self.family, network, from), address(self.family, network, to));
    }

    fn cut(&mut self, network: u8) {
        self.block(network, 1, 2);
        self.block(network, 2, 1);
    }

    fn heal(&mut self) {
        self.world.network.heal();
    }

    /// The path events of a side: network and direction.
    fn paths(&self, inputs: &[Input]) -> Vec<(u8, bool)> {
        let network_of = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.octets()[2],
            IpAddr::V6(v6) => v6.segments()[3] as u8,
        };
        let path = |input: &Input| match input {
            Input::Path { address, up, .. } => Some((network_of(address.ip()), *up)),
            _ => None,
        };
        inputs.iter().filter_map(path).collect()
    }

    /// Everything that both sent has arrived at the other, once and in order; the longest gap.
    fn assert_all_arrived(&self) -> Duration {
        for inputs in [&self.client_inputs, &self.server_inputs] {
            assert_eq!(downs(inputs), []);
            let numbers: Vec<u64> = messages(inputs)
                .into_iter()
                .map(|(_, bytes)| u64::from_be_bytes(bytes[..].try_into().expect("a number")))
                .collect();
            assert_eq!(numbers, (0..self.sent).collect::<Vec<_>>());
        }
        let gap = |pair: &[Time]| pair[1].since(pair[0]);
        self.arrivals.iter().flat_map(|times| times.windows(2).map(gap)).max().expect("messages")
    }
}

const LAN_GAP: Duration = Duration::from_secs(1);

// RFC 9260 §5.1.2, §5.4
#[test]
fn both_learn_all_addresses_of_each_other() {
    for family in FAMILIES {
        let pair = Pair::new(family);
        for (inputs, remote, local) in [(&pair.client_inputs, 2, 1), (&pair.server_inputs, 1, 2)] {
            let Some(Input::Up { remote: theirs, local: ours, .. }) = inputs.first() else {
                panic!("{inputs:?}")
            };
            let at = |network| SocketAddr::new(address(family, network, remote), PORT);
            assert_eq!(*theirs, [at(1), at(2)]);
            assert_eq!(*ours, [address(family, 1, local), address(family, 2, local)]);
        }
    }
}

// RFC 9260 §5.4, §6.4, §8.2, §8.3
#[test]
fn a_path_that_is_cut_loses_no_message_and_holds_none_up_for_long() {
    for family in FAMILIES {
        for (network, millis) in [(1, 8000), (2, 8000), (1, 30_000)] {
            let mut pair = Pair::new(family);
            pair.talk(500);
            pair.cut(network);
            pair.talk(millis);
            pair.heal();
            pair.talk(2000);
            pair.run(500);
            let gap = pair.assert_all_arrived();
            assert!(gap < LAN_GAP, "{gap:?}");
            for inputs in [&pair.client_inputs, &pair.server_inputs] {
                assert_eq!(pair.paths(inputs), [(network, false), (network, true)]);
            }
        }
    }
}

// The same with the timers of the RFC: RTO.Min is a second there, HB.interval thirty.
#[test]
fn with_the_timers_of_the_rfc_a_cut_costs_one_retransmission() {
    let config = SctpConfig { timing: SctpTiming::rfc(), ..SctpConfig::control() };
    let mut pair = Pair::with(Family::V4, &config, Link::perfect(), 2);
    pair.talk(2000);
    pair.cut(1);
    pair.talk(240_000);
    pair.heal();
    pair.talk(60_000);
    pair.run(2000);
    let gap = pair.assert_all_arrived();
    assert!(gap < Duration::from_millis(1500), "{gap:?}");
    for inputs in [&pair.client_inputs, &pair.server_inputs] {
        assert_eq!(pair.paths(inputs), [(1, false), (1, true)]);
    }
}

// RFC 9260 §6.4.1: and back to the primary path.
#[test]
fn data_returns_to_the_primary_path_when_it_answers_again() {
    let mut pair = Pair::new(Family::V4);
    pair.cut(1);
    pair.talk(2000);
    pair.heal();
    pair.talk(1000);
    // The other path goes: nothing is late now.
    let before = pair.arrivals.clone().map(|times| times.len());
    pair.cut(2);
    pair.talk(1000);
    pair.assert_all_arrived();
    for (times, before) in pair.arrivals.iter().zip(before) {
        let late = times[before..].windows(2).map(|pair| pair[1].since(pair[0])).max();
        assert!(late < Some(Duration::from_millis(30)), "{late:?}");
    }
}

// With one path it takes 200 ms under traffic and 680 ms without: with two it is no less patient.
#[test]
fn both_paths_cut_is_the_end_within_the_bound_of_the_profile() {
    for (is_talking, patience) in [(false, 500), (true, 200)] {
        let mut pair = Pair::new(Family::V4);
        pair.talk(500);
        pair.cut(1);
        pair.cut(2);
        for (millis, is_end) in [(patience, false), (1000 - patience, true)] {
            if is_talking {
                pair.talk(millis);
            } else {
                pair.run(millis);
            }
            let end = |assoc| if is_end { vec![(assoc, DownReason::Unreachable)] } else { Vec::new() };
            assert_eq!(downs(&pair.client_inputs), end(pair.ours), "{is_talking} {millis}");
            assert_eq!(downs(&pair.server_inputs), end(pair.theirs), "{is_talking} {millis}");
        }
    }
}

#[test]
fn a_path_that_works_one_way_only_is_left() {
    for (from, to) in [(1, 2), (2, 1)] {
        let mut pair = Pair::new(Family::V4);
        pair.talk(500);
        pair.block(1, from, to);
        pair.talk(3000);
        pair.heal();
        pair.talk(1000);
        pair.run(500);
        let gap = pair.assert_all_arrived();
        assert!(gap < LAN_GAP, "{gap:?}");
    }
}

#[test]
fn a_flapping_path_loses_nothing() {
    let mut pair = Pair::new(Family::V4);
    for _ in 0..10 {
        pair.cut(1);
        pair.talk(300);
        pair.heal();
        pair.talk(300);
    }
    pair.run(500);
    let gap = pair.assert_all_arrived();
    assert!(gap < LAN_GAP, "{gap:?}");
}

#[test]
fn paths_that_fail_in_turns_lose_nothing() {
    let mut pair = Pair::new(Family::V4);
    for _ in 0..5 {
        for network in [1, 2] {
            pair.cut(network);
            pair.talk(1000);
            pair.heal();
            pair.talk(1000);
        }
    }
    pair.run(500);
    let gap = pair.assert_all_arrived();
    assert!(gap < LAN_GAP, "{gap:?}");
}

#[test]
fn a_path_that_is_away_for_thirty_seconds_while_nobody_talks_comes_back() {
    let mut pair = Pair::new(Family::V4);
    pair.cut(1);
    pair.run(30_000);
    pair.heal();
    pair.run(1000);
    pair.talk(500);
    pair.run(100);
    let gap = pair.assert_all_arrived();
    assert!(gap < Duration::from_millis(50), "{gap:?}");
    for inputs in [&pair.client_inputs, &pair.server_inputs] {
        assert_eq!(pair.paths(inputs), [(1, false), (1, true)]);
    }
}

#[test]
fn large_messages_survive_a_lossy_network_and_a_cut() {
    let link = Link { loss: 20, jitter: Duration::from_millis(1), ..Link::perfect() };
    let mut config = SctpConfig::control();
    config.timing.max_retransmissions = 20;
    let mut pair = Pair::with(Family::V4, &config, link, 2);
    for round in 0..40_u8 {
        if round == 10 {
            pair.cut(1);
        }
        pair.world.send(pair.client, pair.ours, vec![round; 30_000]);
        pair.run(100);
    }
    pair.run(5000);
    let arrived = messages(&pair.server_inputs);
    assert_eq!(downs(&pair.server_inputs), []);
    let whole =
        |(round, (_, bytes)): (usize, &(AssocId, bytes::Bytes))| bytes[..] == vec![round as u8; 30_000][..];
    assert_eq!(arrived.len(), 40);
    assert!(arrived.iter().enumerate().all(whole));
}

// A client with one address uses both of a server: INIT ACK tells them.
#[test]
fn a_peer_with_one_address_uses_all_of_the_other() {
    let mut pair = Pair::with(Family::V4, &SctpConfig::control(), Link::perfect(), 1);
    pair.talk(500);
    pair.cut(1);
    // The client's one address reaches both.
    pair.talk(3000);
    pair.run(500);
    let gap = pair.assert_all_arrived();
    assert!(gap < LAN_GAP, "{gap:?}");
    assert_eq!(pair.paths(&pair.client_inputs), [(1, false)]);
    assert_eq!(pair.paths(&pair.server_inputs), [], "one address is no path among others");
}

// RFC 9260 §5.1, T1-init: the INIT is repeated to the next address.
#[test]
fn a_connect_takes_the_address_that_answers() {
    for family in FAMILIES {
        let mut world = World::new();
        let config = SctpConfig::control();
        let client = endpoint(&mut world, &config, &[address(family, 1, 1), address(family, 2, 1)]);
        let server = endpoint(&mut world, &config, &[address(family, 1, 2), address(family, 2, 2)]);
        world.network.block(address(family, 1, 1), address(family, 1, 2));
        let remote = [1, 2].map(|network| SocketAddr::new(address(family, network, 2), PORT)).to_vec();
        let assoc = AssocId::connected(0);
        world
            .network
            .carry_out(client, [Transmit::Connect { assoc, channel: Channel::Asap, remote: remote.clone() }]);
        world.run(250);
        let inputs = world.inputs(client);
        let Some(Input::Up { remote: reached, .. }) = inputs.first() else { panic!("{inputs:?}") };
        assert_eq!(*reached, [remote[1], remote[0]], "the one that answered is the primary one");
        assert_eq!(ups(&world.inputs(server)).len(), 1);

        // RFC 9260 §5.2: any of its addresses names the association.
        let again = AssocId::connected(1);
        world.run(500);
        let remote = vec![remote[1]];
        world.network.carry_out(client, [Transmit::Connect { assoc: again, channel: Channel::Asap, remote }]);
        assert_eq!(downs(&world.inputs(client)), [(again, DownReason::Duplicate(assoc))]);
    }
}

#[test]
fn a_process_that_is_gone_refuses_at_all_its_addresses_and_that_is_the_end() {
    let mut pair = Pair::new(Family::V4);
    pair.world.network.set_icmp(true);
    pair.world.network.crash(pair.server);
    pair.world.send(pair.client, pair.ours, "anybody?");
    pair.run(100);
    let why = DownReason::PeerAborted("ICMP: port unreachable".into());
    assert_eq!(downs(&pair.client_inputs), [(pair.ours, why)]);
}

// A server that is gone at its first address costs no timer: ICMP sends the INIT to the next one.
#[test]
fn a_connect_that_is_refused_at_one_address_goes_to_the_next_at_once() {
    let mut world = World::new();
    world.network.set_icmp(true);
    let config = SctpConfig::control();
    let client = endpoint(&mut world, &config, &[address(Family::V4, 1, 1), address(Family::V4, 2, 1)]);
    let server = endpoint(&mut world, &config, &[address(Family::V4, 2, 2)]);
    let remote = [1, 2].map(|network| SocketAddr::new(address(Family::V4, network, 2), PORT)).to_vec();
    let connect = |n| Transmit::Connect {
        assoc: AssocId::connected(n),
        channel: Channel::Asap,
        remote: remote.clone(),
    };
    world.network.carry_out(client, [connect(0)]);
    world.run(10);
    assert_eq!(ups(&world.inputs(client)), [AssocId::connected(0)]);
    assert_eq!(ups(&world.inputs(server)).len(), 1);

    // Nobody at any of them.
    world.network.crash(server);
    world.network.carry_out(client, [Transmit::Abort { assoc: AssocId::connected(0), cause: String::new() }]);
    world.inputs(client);
    world.network.carry_out(client, [connect(1)]);
    world.run(10);
    let why = DownReason::ConnectFailed("ICMP: port unreachable".into());
    assert_eq!(downs(&world.inputs(client)), [(AssocId::connected(1), why)]);
}

#[test]
fn a_paused_process_is_not_accused_and_accuses_nobody() {
    let mut pair = Pair::new(Family::V4);
    pair.talk(200);
    let host = address(Family::V4, 2, 1);
    pair.world.network.pause(host);
    pair.run(300);
    pair.world.network.resume(host);
    pair.talk(1000);
    pair.run(200);
    pair.assert_all_arrived();
}

// RFC 9260 §5.2.4 A: the same addresses again.
#[test]
fn a_restarted_peer_has_all_its_paths_again() {
    let mut pair = Pair::new(Family::V4);
    pair.talk(200);
    let config = SctpConfig::control();
    pair.client = endpoint(&mut pair.world, &config, &[1, 2].map(|network| address(Family::V4, network, 1)));
    pair.server_inputs.clear();
    pair.ours =
        pair.world.connect(pair.client, Channel::Asap, SocketAddr::new(address(Family::V4, 1, 2), PORT));
    pair.run(300);
    assert!(pair.server_inputs.contains(&Input::Restart { assoc: pair.theirs }), "{:?}", pair.server_inputs);
    pair.client_inputs.clear();
    pair.server_inputs.clear();
    pair.arrivals = [Vec::new(), Vec::new()];
    pair.sent = 0;
    pair.talk(300);
    pair.cut(1);
    pair.talk(2000);
    pair.run(200);
    let gap = pair.assert_all_arrived();
    assert!(gap < LAN_GAP, "{gap:?}");
}

#[test]
fn an_association_ends_in_order_over_the_path_that_is_left() {
    for first_to_go in [1, 2] {
        let mut pair = Pair::new(Family::V4);
        pair.talk(200);
        pair.cut(first_to_go);
        pair.world.send(pair.client, pair.ours, "the last word");
        pair.world.network.carry_out(pair.client, [Transmit::Shutdown { assoc: pair.ours }]);
        pair.run(1500);
        assert_eq!(downs(&pair.client_inputs), [(pair.ours, DownReason::Shutdown)]);
        assert_eq!(downs(&pair.server_inputs), [(pair.theirs, DownReason::Shutdown)]);
        assert_eq!(
            messages(&pair.server_inputs).last().map(|(_, bytes)| &bytes[..]),
            Some(&b"the last word"[..])
        );
    }
}

// RFC 9260 §6.1 A: who answers probes of a closed window is alive, on whatever path.
#[test]
fn a_reader_that_stops_is_waited_for_also_when_a_path_is_gone() {
    let mut pair = Pair::new(Family::V4);
    pair.world.network.carry_out(pair.server, [Transmit::Read { assoc: pair.theirs, on: false }]);
    for _ in 0..20 {
        pair.world.send(pair.client, pair.ours, vec![7; 20_000]);
    }
    pair.run(1000);
    pair.cut(1);
    pair.run(20_000);
    assert_eq!((downs(&pair.client_inputs), downs(&pair.server_inputs)), (vec![], vec![]));
    pair.world.network.carry_out(pair.server, [Transmit::Read { assoc: pair.theirs, on: true }]);
    pair.run(5000);
    assert_eq!(messages(&pair.server_inputs).len(), 20);
}

// RFC 9260 §5.2.1
#[test]
fn connects_that_cross_make_one_association_with_all_paths() {
    for family in FAMILIES {
        let mut world = World::new();
        let config = SctpConfig::control();
        let nodes = [1, 2]
            .map(|host| endpoint(&mut world, &config, &[address(family, 1, host), address(family, 2, host)]));
        for (node, other) in [(nodes[0], 2), (nodes[1], 1)] {
            world.connect(node, Channel::Asap, SocketAddr::new(address(family, 1, other), PORT));
        }
        world.run(1000);
        for (node, other) in [(nodes[0], 2), (nodes[1], 1)] {
            let inputs = world.inputs(node);
            let [Input::Up { remote, .. }] = &inputs[..] else { panic!("{inputs:?}") };
            assert_eq!(*remote, [1, 2].map(|network| SocketAddr::new(address(family, network, other), PORT)));
            assert_eq!(world.network.endpoint(node).expect("there").associations(), 1);
        }
    }
}

// RFC 9260 §5.2.1: a short INIT leaves its INIT ACK room for few addresses, the INIT that crosses it has told all of them.
#[test]
fn connects_that_cross_agree_when_an_init_ack_tells_fewer_addresses() {
    for family in FAMILIES {
        for rounds in 0..2 {
            let mut world = World::new();
            let config = SctpConfig::control();
            let many: Vec<IpAddr> = (1..=4).map(|network| address(family, network, 2)).collect();
            let nodes = [
                endpoint(&mut world, &config, &[address(family, 1, 1)]),
                endpoint(&mut world, &config, &many),
            ];
            for (node, other) in [(nodes[rounds], 2 - rounds as u8), (nodes[1 - rounds], 1 + rounds as u8)] {
                world.connect(node, Channel::Asap, SocketAddr::new(address(family, 1, other), PORT));
            }
            world.run(1000);
            for node in nodes {
                let inputs = world.inputs(node);
                let [Input::Up { .. }] = &inputs[..] else { panic!("{inputs:?}") };
                assert_eq!(world.network.endpoint(node).expect("there").associations(), 1);
            }
        }
    }
}

// RFC 9260 §1.6, §8.2: the path of a TSN is known across 2^32, and forgotten once it is acknowledged.
#[test]
fn the_paths_of_tsns_are_known_across_their_wraparound() {
    let packet = |tsn: u32| packet::single((PORT, PORT), 1, chunk::DATA, 3, &data(tsn, 0, b"x"));
    let remote = [1, 2].map(|network| SocketAddr::new(address(Family::V4, network, 2), PORT));
    let now = Time::from_micros(1);
    for (acknowledged, then) in [(0, remote[1]), (2, remote[0])] {
        let mut paths = Paths::new(&SctpConfig::control(), 0, &remote, |_| None).candidates();
        paths.begin(now);
        let send = |paths: &mut Paths, tsn| paths.route(now, &packet(tsn)).expect("a path").0;
        for tsn in [u32::MAX - 1, u32::MAX, 0, 1, 2] {
            assert_eq!(send(&mut paths, tsn), remote[0]);
        }
        paths.acknowledge(acknowledged);
        paths.run_timers(now);
        paths.observe(&Packet::own(&packet(1)).expect("a packet"));
        assert_eq!(send(&mut paths, 3), then);
    }
}

// Without heartbeats too a path that works has data again, whatever was lost there.
#[test]
fn without_heartbeats_a_path_that_lost_its_extra_probe_is_probed_again() {
    let mut config = SctpConfig::control();
    config.timing.heartbeat_interval = Duration::ZERO;
    let mut pair = Pair::with(Family::V4, &config, Link::perfect(), 2);
    pair.cut(1);
    // One message is lost on the path, and the probe that follows it.
    pair.talk(20);
    pair.run(400);
    pair.heal();
    pair.run(30_000);
    pair.cut(2);
    pair.talk(20);
    assert_eq!(
        pair.arrivals.iter().map(Vec::len).collect::<Vec<_>>(),
        [2, 2],
        "at once, over the first path"
    );
}

// Silence on a path that is known to be dead says nothing about the other one.
#[test]
fn without_heartbeats_an_idle_association_outlives_a_dead_path() {
    let mut config = SctpConfig::control();
    config.timing.heartbeat_interval = Duration::ZERO;
    let mut pair = Pair::with(Family::V4, &config, Link::perfect(), 2);
    pair.cut(1);
    pair.talk(1000);
    pair.run(30_000);
    pair.talk(500);
    pair.heal();
    pair.run(1000);
    pair.cut(2);
    pair.talk(1000);
    pair.run(500);
    let gap = pair.arrivals.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(gap, [125, 125]);
    assert_eq!((downs(&pair.client_inputs), downs(&pair.server_inputs)), (vec![], vec![]));
}

// With a loss of 3 % each way, and never both paths away at a time.
#[test]
fn a_bad_network_with_a_path_that_comes_and_goes_loses_nothing() {
    for seed in 0..10 {
        let link = Link { loss: 30, duplication: 20, jitter: Duration::from_millis(3), ..Link::perfect() };
        let mut config = SctpConfig::control();
        config.timing.max_retransmissions = 10;
        config.timing.path_max_retransmissions = 5;
        let mut pair = Pair::with(Family::V4, &config, link, 2);
        pair.talk(200);
        for round in 0..6 {
            let network = 1 + ((seed >> (round % 4)) & 1) as u8;
            pair.cut(network);
            pair.talk(300 + 100 * seed);
            pair.heal();
            pair.talk(700);
        }
        pair.run(3000);
        pair.assert_all_arrived();
        let [client, server] =
            [pair.client, pair.server].map(|node| pair.world.network.endpoint(node).expect("there"));
        assert_eq!((client.associations(), server.associations()), (1, 1));
    }
}
