//! What a peer, or somebody who claims to be one, says about addresses (RFC 9260 §3.3.2.1, §5.1.2, §5.2.4.1, §5.4).

use super::support::*;
use crate::sctp::addresses::source_for;
use crate::sctp::packet::{self, HEADER, Packet, cause, chunk};
use crate::sctp::{Datagram, SctpConfig, SctpEndpoint};
use proto::{Channel, DownReason, Input, Transmit};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 3863;

/// An INIT with parameters from SCTP port 5000.
fn init_with(parameters: &[u8]) -> Vec<u8> {
    let mut value = init(5000, PORT)[HEADER + 4..].to_vec();
    value.extend_from_slice(parameters);
    packet::single((5000, PORT), 0, chunk::INIT, 0, &value)
}

fn parameter(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => [&[0, 5, 0, 8][..], &v4.octets()].concat(),
        IpAddr::V6(v6) => [&[0, 6, 0, 20][..], &v6.octets()].concat(),
    }
}

fn parameters(ips: &[IpAddr]) -> Vec<u8> {
    ips.iter().flat_map(|ip| parameter(*ip)).collect()
}

/// A packet of one chunk from SCTP port 5000.
fn from_peer(tag: u32, kind: u8, value: &[u8]) -> Vec<u8> {
    // DATA holds a whole message: B and E bits.
    let flags = if kind == chunk::DATA { 3 } else { 0 };
    packet::single((5000, PORT), tag, kind, flags, value)
}

fn receive(bench: &mut Bench, from: SocketAddr, packet: &[u8]) -> Vec<Datagram> {
    let to = bench.endpoint.local_address().ip();
    bench.endpoint.handle_datagram(bench.now, from, to, packet);
    bench.sent()
}

/// A handshake from `from` that names further addresses; our tag at the endpoint.
fn establish_with(bench: &mut Bench, from: SocketAddr, others: &[IpAddr]) -> u32 {
    let init_ack = receive(bench, from, &init_with(&parameters(others))).remove(0);
    let echo = cookie_echo(&init_ack.bytes);
    let sent = receive(bench, from, &echo);
    assert_eq!((sent[0].to, &kinds(&sent[0].bytes)[..]), (from, &[chunk::COOKIE_ACK][..]));
    Packet::parse(&echo).expect("a packet").tag()
}

/// What goes where for a while; nobody answers. Ends with the association.
fn pass(bench: &mut Bench, duration: Duration) -> BTreeMap<IpAddr, Vec<Vec<u8>>> {
    let end = bench.now + duration;
    let mut sent = BTreeMap::<IpAddr, Vec<Vec<u8>>>::new();
    while let Some(next) = bench.endpoint.poll_timeout().filter(|next| *next <= end) {
        bench.now = bench.now.max(next);
        bench.endpoint.handle_timeout(bench.now);
        for datagram in bench.sent() {
            sent.entry(datagram.to.ip()).or_default().push(datagram.bytes);
        }
    }
    bench.now = end;
    sent
}

fn chunk_value(packet: &[u8], kind: u8) -> Option<Vec<u8>> {
    let packet = Packet::parse(packet).expect("a packet");
    packet.chunks().find(|chunk| chunk.kind == kind).map(|chunk| chunk.value.to_vec())
}

fn up(bench: &mut Bench) -> (proto::AssocId, Vec<IpAddr>) {
    let inputs = bench.inputs();
    let up = |input: &Input| match input {
        Input::Up { assoc, remote, .. } => Some((*assoc, remote.iter().map(SocketAddr::ip).collect())),
        _ => None,
    };
    inputs.iter().find_map(up).expect("up")
}

// RFC 9260 §5.4: a spoofed address gets heartbeats, few of them, and nothing else.
#[test]
fn an_address_that_never_answers_gets_no_data_and_few_heartbeats() {
    for family in FAMILIES {
        let mut config = SctpConfig::control();
        config.timing.max_retransmissions = 1_000_000;
        let mut bench = Bench::with_config(family.at(1, PORT), config);
        let (peer, victim) = (family.at(2, 5000), family.host(9));
        let tag = establish_with(&mut bench, peer, &[victim]);
        let (assoc, remote) = up(&mut bench);
        assert_eq!(remote, [peer.ip(), victim]);

        // The insider makes us send: by closing its window, by never answering, by packets that only seem to come from there.
        bench.endpoint.carry_out(bench.now, message(assoc, 0, "secret"));
        let first: Vec<_> = bench.sent().iter().map(|datagram| datagram.to.ip()).collect();
        assert_eq!(first, [peer.ip()]);
        let spoofed = SocketAddr::new(victim, 5000);
        for value in [&data(1000, 0, b"hello")[..], &data(1001, 1, b"hello")] {
            let sent = receive(&mut bench, spoofed, &from_peer(tag, chunk::DATA, value));
            assert!(sent.iter().all(|datagram| datagram.to == peer));
        }
        let guess = [0, 1, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8];
        assert!(receive(&mut bench, spoofed, &from_peer(tag, chunk::HEARTBEAT_ACK, &guess)).is_empty());

        let sent = pass(&mut bench, Duration::from_secs(60));
        assert_eq!(bench.endpoint.associations(), 1);
        assert!(sent[&peer.ip()].iter().any(|packet| kinds(packet).contains(&chunk::DATA)));
        let at_victim = &sent[&victim];
        assert!(at_victim.iter().all(|packet| kinds(packet) == [chunk::HEARTBEAT]));
        assert!((3..20).contains(&at_victim.len()), "{}", at_victim.len());
        let nonces: std::collections::BTreeSet<_> =
            at_victim.iter().map(|packet| chunk_value(packet, chunk::HEARTBEAT)).collect();
        assert_eq!(nonces.len(), at_victim.len(), "never the same nonce");
    }
}

#[test]
fn heartbeats_to_unconfirmed_addresses_have_one_bound_for_all_associations() {
    let mut config = SctpConfig::control();
    config.limits.unconfirmed_probes_per_second = 10;
    config.timing.heartbeat_interval = Duration::ZERO;
    let family = Family::V4;
    let mut bench = Bench::with_config(family.at(1, PORT), config);
    let victims: Vec<IpAddr> = (100..107).map(|n| family.host(n)).collect();
    for n in 2..52 {
        establish_with(&mut bench, family.at(n, 5000), &victims);
    }
    let sent = pass(&mut bench, Duration::from_secs(10));
    let probes: usize = victims.iter().filter_map(|victim| sent.get(victim)).map(Vec::len).sum();
    assert!((90..=110).contains(&probes), "{probes}");
}

// RFC 9260 §5.4: the nonce has to come back; from then on the path takes data.
#[test]
fn a_confirmed_address_takes_over_when_the_first_one_is_silent() {
    let family = Family::V4;
    let mut bench = Bench::new(family.at(1, PORT));
    let (peer, other) = (family.at(2, 5000), family.at(3, 5000));
    let tag = establish_with(&mut bench, peer, &[other.ip()]);
    let (assoc, _) = up(&mut bench);
    bench.pass(Duration::from_millis(1));
    let probe = bench.sent().remove(0);
    assert_eq!((probe.to, &kinds(&probe.bytes)[..]), (other, &[chunk::HEARTBEAT][..]));
    let info = chunk_value(&probe.bytes, chunk::HEARTBEAT).expect("a value");
    assert!(receive(&mut bench, other, &from_peer(tag, chunk::HEARTBEAT_ACK, &info)).is_empty());

    bench.endpoint.carry_out(bench.now, message(assoc, 0, "to whom?"));
    assert_eq!(bench.sent()[0].to, peer);
    let data_at = |bench: &mut Bench| {
        bench.now = bench.endpoint.poll_timeout().expect("a timer");
        bench.endpoint.handle_timeout(bench.now);
        let sent = bench.sent();
        sent.into_iter()
            .find(|datagram| kinds(&datagram.bytes).contains(&chunk::DATA))
            .map(|datagram| datagram.to)
    };
    let first = std::iter::repeat_with(|| data_at(&mut bench)).take(10).flatten().next();
    assert_eq!(first, Some(other), "the retransmission goes the other way");
}

// RFC 9260 §5.2.4.1
#[test]
fn a_restart_that_adds_an_address_is_refused() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let (peer, other, new) = (family.at(2, 5000), family.host(3), family.host(4));
        let tag = establish_with(&mut bench, peer, &[other]);
        bench.inputs();
        let sent = receive(&mut bench, peer, &init_with(&parameters(&[other, new])));
        let abort = chunk_value(&sent[0].bytes, chunk::ABORT).expect("an ABORT");
        assert_eq!(abort, cause::encode(cause::RESTART_WITH_NEW_ADDRESSES, &parameter(new)));
        assert_eq!(bench.endpoint.counters().refused_restart, 1);
        // It is there as before.
        assert_eq!(bench.inputs(), []);
        receive(&mut bench, peer, &from_peer(tag, chunk::DATA, &data(1000, 0, b"still there")));
        assert_eq!(messages(&bench.inputs()).len(), 1);

        // One with the same addresses, or fewer, is answered and restarts it.
        for (n, others) in [&[other][..], &[]].into_iter().enumerate() {
            let mut restart = init_with(&parameters(others));
            restart[HEADER + 4] = n as u8;
            packet::seal_checksum(&mut restart);
            let init_ack = receive(&mut bench, peer, &restart).remove(0);
            assert_eq!(kinds(&init_ack.bytes), [chunk::INIT_ACK]);
            // A HEARTBEAT to the other address, not confirmed any more, may follow.
            let sent = receive(&mut bench, peer, &cookie_echo(&init_ack.bytes));
            assert_eq!((sent.len(), &kinds(&sent[0].bytes)[..]), (1 + 1 - n, &[chunk::COOKIE_ACK][..]));
            assert!(matches!(bench.inputs()[..], [Input::Restart { .. }, ..]));
        }
        assert_eq!(bench.endpoint.counters().restarted, 2);
    }
}

// RFC 9260 §5.2.2: the addresses of an INIT count as its source does.
#[test]
fn a_stranger_who_names_the_address_of_a_peer_gets_nothing_of_it() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let (peer, stranger) = (family.at(2, 5000), family.at(3, 5000));
        // Of a cookie issued before there was an association.
        let early = receive(&mut bench, stranger, &init_with(&parameter(peer.ip()))).remove(0);
        let tag = establish_by_hand(&mut bench, peer, 5000);
        bench.inputs();
        let sent = receive(&mut bench, stranger, &init_with(&parameter(peer.ip())));
        assert!(chunk_value(&sent[0].bytes, chunk::ABORT).is_some());
        let sent = receive(&mut bench, stranger, &cookie_echo(&early.bytes));
        assert!(chunk_value(&sent[0].bytes, chunk::ABORT).is_some());
        assert_eq!((bench.endpoint.associations(), bench.endpoint.counters().refused_restart), (1, 2));
        receive(&mut bench, peer, &from_peer(tag, chunk::DATA, &data(1000, 0, b"mine")));
        assert_eq!(messages(&bench.inputs()).len(), 1);
    }
}

/// Starts to connect to `peer`. Returns the association and our tag.
fn connecting(bench: &mut Bench, peer: SocketAddr) -> (proto::AssocId, u32) {
    let assoc = bench.connect(0, Channel::Asap, peer);
    let ours = bench.sent().remove(0).bytes;
    (assoc, packet::u32_at(&ours, HEADER + 4).expect("a tag"))
}

// RFC 9260 §5.2.1: in COOKIE-WAIT the INIT ACK goes to where our INIT was sent. A stranger who names that address learns
// no tag and gets no association.
#[test]
fn a_stranger_who_names_whom_we_connect_to_gets_nothing_of_it() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let (peer, stranger) = (family.at(2, 5000), family.at(3, 5000));
        let init = init_with(&parameters(&[stranger.ip(), peer.ip()]));
        let early = receive(&mut bench, stranger, &init).remove(0);
        let (_, tag) = connecting(&mut bench, peer);
        bench.inputs();

        let sent = receive(&mut bench, stranger, &init);
        assert!(sent.iter().all(|datagram| datagram.to == peer), "{sent:?}");
        assert_eq!(kinds(&sent[0].bytes), [chunk::INIT_ACK]);
        let echo = cookie_echo(&early.bytes);
        receive(&mut bench, stranger, &echo);
        // Nor if it guesses another tag than that of its cookie.
        receive(
            &mut bench,
            stranger,
            &from_peer(tag ^ 1, chunk::COOKIE_ECHO, &chunk_value(&echo, 10).expect("it")),
        );
        assert_eq!((bench.inputs(), bench.endpoint.associations()), (vec![], 1));

        // The true peer still can: what it was sent is for it.
        let sent = receive(&mut bench, peer, &cookie_echo(&sent[0].bytes));
        assert_eq!(kinds(&sent[0].bytes), [chunk::COOKIE_ACK]);
        assert_eq!(up(&mut bench).1[0], peer.ip());
    }
}

// RFC 6951 §5.4: addresses whose UDP port changes within a restart leave nothing behind.
#[test]
fn a_restart_from_another_udp_port_leaves_no_key_behind() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let (first, second) = (family.host(2), family.host(3));
        let at = |ip, port| SocketAddr::new(ip, port);
        let tag = establish_with(&mut bench, at(first, 1000), &[second]);
        bench.pass(Duration::from_millis(1));
        let probe = bench.sent().remove(0);
        assert_eq!(probe.to, at(second, 1000));
        let info = chunk_value(&probe.bytes, chunk::HEARTBEAT).expect("a value");
        receive(&mut bench, at(second, 2000), &from_peer(tag, chunk::HEARTBEAT_ACK, &info));
        assert_eq!(bench.endpoint.counters().paths_confirmed, 1);

        let mut restart = init_with(&parameter(second));
        restart[HEADER + 4] = 0x77;
        packet::seal_checksum(&mut restart);
        let init_ack = receive(&mut bench, at(first, 2000), &restart).remove(0);
        assert_eq!(kinds(&init_ack.bytes), [chunk::INIT_ACK]);
        let sent = receive(&mut bench, at(first, 2000), &cookie_echo(&init_ack.bytes));
        assert_eq!((sent[0].to, kinds(&sent[0].bytes)[0]), (at(first, 2000), chunk::COOKIE_ACK));
        assert_eq!((bench.endpoint.associations(), bench.endpoint.counters().restarted), (1, 1));
        assert_eq!(bench.endpoint.table_sizes()[..3], [1, 1, 2]);

        pass(&mut bench, Duration::from_secs(20));
        assert_eq!(bench.endpoint.table_sizes()[..3], [0; 3]);
        bench.inputs();
        establish_with(&mut bench, at(first, 1000), &[]);
        assert_eq!(up(&mut bench).1, [first]);
    }
}

// RFC 9260 §6.4: the SACK goes to where the DATA came from, also if that is bundled with a COOKIE ECHO.
#[test]
fn data_beside_a_cookie_is_acknowledged_where_it_came_from() {
    let mut bench = Bench::new(Family::V4.at(1, PORT));
    let (peer, other) = (Family::V4.at(2, 5000), Family::V4.at(3, 5000));
    let init_ack = receive(&mut bench, peer, &init_with(&parameter(other.ip()))).remove(0);
    let mut echo = cookie_echo(&init_ack.bytes);
    receive(&mut bench, peer, &echo);
    let tag = Packet::parse(&echo).expect("a packet").tag();
    bench.pass(Duration::from_millis(1));
    let probe = bench.sent().into_iter().find(|datagram| datagram.to == other).expect("a probe");
    let info = chunk_value(&probe.bytes, chunk::HEARTBEAT).expect("a value");
    receive(&mut bench, other, &from_peer(tag, chunk::HEARTBEAT_ACK, &info));

    echo.resize(echo.len().next_multiple_of(4), 0);
    echo.extend_from_slice(&from_peer(tag, chunk::DATA, &data(1000, 0, b"ping"))[HEADER..]);
    packet::seal_checksum(&mut echo);
    let mut sent = receive(&mut bench, other, &echo);
    bench.pass(Duration::from_millis(250));
    sent.extend(bench.sent());
    let sacks = sent.iter().filter(|datagram| kinds(&datagram.bytes).contains(&chunk::SACK));
    assert_eq!(sacks.map(|datagram| datagram.to).collect::<Vec<_>>(), [other]);
}

// RFC 6724 §5: from loopback nothing leaves the host, however alike the addresses are.
#[test]
fn nothing_is_sent_to_other_hosts_from_loopback() {
    let locals =
        ["127.0.0.1", "192.0.2.1", "::1"].map(|ip| SocketAddr::new(ip.parse().expect("an address"), PORT));
    for (remote, from) in [("126.0.0.1", "192.0.2.1"), ("127.0.0.2", "127.0.0.1"), ("::1", "::1")] {
        let source = source_for(&locals, remote.parse().expect("an address"));
        assert_eq!(source, Some(from.parse().expect("an address")));
    }
}

// What is probed after a restart is known at once, not when the next packet comes.
#[test]
fn a_restart_probes_the_addresses_that_are_not_confirmed() {
    let mut bench = Bench::new(Family::V4.at(1, PORT));
    let (peer, other) = (Family::V4.at(2, 5000), Family::V4.host(3));
    establish_with(&mut bench, peer, &[other]);
    let mut restart = init_with(&parameter(other));
    restart[HEADER + 4] = 0x77;
    packet::seal_checksum(&mut restart);
    let init_ack = receive(&mut bench, peer, &restart).remove(0);
    let sent = receive(&mut bench, peer, &cookie_echo(&init_ack.bytes));
    let first: Vec<_> = sent.iter().map(|datagram| (datagram.to.ip(), kinds(&datagram.bytes)[0])).collect();
    assert_eq!(first, [(peer.ip(), chunk::COOKIE_ACK), (other, chunk::HEARTBEAT)]);
}

// Who names the address of somebody else before that connects does not keep it away.
#[test]
fn a_claimed_address_stays_its_owners() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let (stranger, owner) = (family.at(3, 5000), family.at(2, 5000));
        let claimed = establish_with(&mut bench, stranger, &[owner.ip()]);
        let (first, _) = up(&mut bench);
        let tag = establish_by_hand(&mut bench, owner, 5000);
        let (second, remote) = up(&mut bench);
        assert_eq!(remote, [owner.ip()]);
        assert_ne!(first, second);
        receive(&mut bench, owner, &from_peer(tag, chunk::DATA, &data(1000, 0, b"mine")));
        assert_eq!(messages(&bench.inputs())[0].0, second);

        // Even if it answers what the other association asks there.
        bench.pass(Duration::from_millis(1));
        let sent = bench.sent();
        let probe = sent.iter().find(|datagram| datagram.to == owner).expect("a probe");
        let info = chunk_value(&probe.bytes, chunk::HEARTBEAT).expect("a value");
        receive(&mut bench, owner, &from_peer(claimed, chunk::HEARTBEAT_ACK, &info));
        receive(&mut bench, owner, &from_peer(tag, chunk::DATA, &data(1001, 1, b"mine")));
        assert_eq!(messages(&bench.inputs())[0].0, second);
        receive(&mut bench, stranger, &from_peer(claimed, chunk::ABORT, &[]));
        receive(&mut bench, owner, &from_peer(tag, chunk::DATA, &data(1002, 2, b"mine")));
        assert_eq!(messages(&bench.inputs())[0].0, second);
    }
}

// An address that many hosts have behind their walls, or that is ours: who lives there knows nothing of the association.
#[test]
fn who_lives_at_a_named_address_cannot_end_the_association() {
    let mut bench = Bench::new(Family::V4.at(1, PORT));
    let (peer, other) = (Family::V4.at(2, 5000), Family::V4.at(3, 5000));
    establish_with(&mut bench, peer, &[other.ip()]);
    bench.pass(Duration::from_millis(1));
    let probe = bench.sent().remove(0);
    assert_eq!(probe.to, other);
    // RFC 9260 §8.4: with the tag of the probe and the T bit.
    let tag = Packet::parse(&probe.bytes).expect("a packet").tag();
    receive(&mut bench, other, &packet::single((5000, PORT), tag, chunk::ABORT, chunk::FLAG_T, &[]));
    assert_eq!(bench.endpoint.associations(), 1);

    // Our own socket is no other's. (With a UDP port of its own it could be.)
    let mut bench = Bench::new(Family::V4.at(1, PORT));
    let endpoint = SctpEndpoint::new(SctpConfig::control(), Channel::Asap, Family::V4.at(1, PORT), [1; 32]);
    bench.endpoint = endpoint.with_addresses([other.ip()]);
    establish_with(&mut bench, Family::V4.at(2, PORT), &[other.ip()]);
    assert_eq!(up(&mut bench).1, [peer.ip()]);
}

// RFC 9260 §3.3.2.1: a Host Name Address is to be refused, with the cause.
#[test]
fn a_host_name_is_refused_as_unresolvable() {
    let mut name = vec![0, 11, 0, 12];
    name.extend_from_slice(b"example\0");
    let mut bench = Bench::new(Family::V4.at(1, PORT));
    let sent = receive(&mut bench, Family::V4.at(2, 5000), &init_with(&name));
    let refusal = cause::encode(cause::UNRESOLVABLE_ADDRESS, &name);
    assert_eq!(chunk_value(&sent[0].bytes, chunk::ABORT), Some(refusal.clone()));
    assert_eq!(Packet::parse(&sent[0].bytes).expect("a packet").tag(), 0x1122_3344);
    assert_eq!(bench.endpoint.counters().refused_addresses, 1);

    // In an INIT ACK it ends the attempt.
    let assoc = bench.connect(0, Channel::Asap, Family::V4.at(2, PORT));
    let ours = bench.sent().remove(0).bytes;
    let tag = packet::u32_at(&ours, HEADER + 4).expect("a tag");
    let mut value = vec![0, 0, 0, 9, 0, 1, 0, 0, 0, 16, 0, 16, 0, 0, 0, 1, 0, 7, 0, 8, 1, 2, 3, 4];
    value.extend_from_slice(&name);
    let init_ack = packet::single((PORT, PORT), tag, chunk::INIT_ACK, 0, &value);
    let sent = receive(&mut bench, Family::V4.at(2, PORT), &init_ack);
    assert_eq!(chunk_value(&sent[0].bytes, chunk::ABORT), Some(refusal));
    assert_eq!(Packet::parse(&sent[0].bytes).expect("a packet").tag(), 9);
    let why = DownReason::ConnectFailed("unresolvable address".into());
    assert_eq!(downs(&bench.inputs()), [(assoc, why)]);

    // Of an association that is there it says nothing (RFC 9260 §5.2.3).
    let mut bench = Bench::new(Family::V4.at(1, PORT));
    let tag = establish_by_hand(&mut bench, Family::V4.at(2, 5000), 5000);
    receive(&mut bench, Family::V4.at(2, 5000), &from_peer(tag, chunk::INIT_ACK, &value));
    assert_eq!((bench.endpoint.associations(), downs(&bench.inputs())), (1, vec![]));
}

#[test]
fn an_address_of_a_wrong_length_is_refused() {
    for broken in [&[0, 5, 0, 7, 10, 0, 0, 9][..], &[0, 5, 0, 4], &[0, 6, 0, 8, 10, 0, 0, 3]] {
        let mut bench = Bench::new(Family::V4.at(1, PORT));
        let sent = receive(&mut bench, Family::V4.at(2, 5000), &init_with(broken));
        let abort = chunk_value(&sent[0].bytes, chunk::ABORT).expect("an ABORT");
        assert_eq!(packet::u16_at(&abort, 0), Some(cause::PROTOCOL_VIOLATION));
        assert_eq!(bench.endpoint.table_sizes(), [0; 6]);
    }
}

#[test]
fn addresses_that_cannot_be_used_are_ignored_and_so_are_too_many() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let peer = family.at(2, 5000);
        let useless = [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "169.254.1.1",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
        ];
        let mut named: Vec<IpAddr> = useless.iter().map(|text| text.parse().expect("an address")).collect();
        named.extend([peer.ip(), peer.ip()]);
        establish_with(&mut bench, peer, &named);
        assert_eq!(up(&mut bench).1, [peer.ip()]);

        let peer = family.at(3, 5000);
        let many: Vec<IpAddr> = (100..200).map(|n| family.host(n)).collect();
        establish_with(&mut bench, peer, &many);
        let used = up(&mut bench).1;
        assert_eq!((used[0], &used[1..]), (peer.ip(), &many[..7]));
        pass(&mut bench, Duration::from_secs(5));
        assert_eq!(bench.endpoint.table_sizes()[..4], [0; 4], "nothing is left of them");
    }
}

// RFC 9260 §5.1 C, D: T1-cookie may repeat the COOKIE ECHO to, and from, another address.
#[test]
fn a_cookie_comes_back_from_any_address_of_its_peer_and_from_no_other() {
    for family in FAMILIES {
        let mut bench = Bench::new(family.at(1, PORT));
        let (peer, other, stranger) = (family.at(2, 5000), family.at(3, 5000), family.at(4, 5000));
        let init_ack = receive(&mut bench, peer, &init_with(&parameter(other.ip()))).remove(0);
        let echo = cookie_echo(&init_ack.bytes);
        assert!(receive(&mut bench, stranger, &echo).is_empty());
        assert_eq!(bench.endpoint.counters().dropped_cookie_forged, 1);
        let sent = receive(&mut bench, other, &echo);
        assert_eq!((sent[0].to, &kinds(&sent[0].bytes)[..]), (other, &[chunk::COOKIE_ACK][..]));
        assert_eq!(up(&mut bench).1, [peer.ip(), other.ip()], "the INIT ACK was sent to the first");
        // Once more, from the other one: it is answered, and there is still one association.
        assert_eq!(kinds(&receive(&mut bench, peer, &echo)[0].bytes), [chunk::COOKIE_ACK]);
        assert_eq!(bench.endpoint.associations(), 1);
        // Any bit of it counts.
        for at in HEADER + 4..echo.len() {
            let mut changed = echo.clone();
            changed[at] ^= 0x10;
            packet::seal_checksum(&mut changed);
            assert!(receive(&mut bench, peer, &changed).is_empty());
        }
    }
}

// D12, on the network: with the headers of IP and UDP.
#[test]
fn an_init_ack_tells_as_many_addresses_as_three_times_its_init_allows() {
    for (family, told) in [(Family::V4, 7), (Family::V6, 2)] {
        let local = family.at(1, PORT);
        let endpoint = SctpEndpoint::new(SctpConfig::control(), Channel::Asap, local, [1; 32]);
        let further: Vec<IpAddr> = (11..40).map(|n| family.host(n)).collect();
        let mut bench = Bench::new(local);
        bench.endpoint = endpoint.with_addresses(further.iter().copied());
        assert_eq!(bench.endpoint.local_addresses().len(), 8);
        let ours = init(5000, PORT);
        let answer = receive(&mut bench, family.at(2, 5000), &ours).remove(0).bytes;
        assert!(answer.len() + 28 <= 3 * (ours.len() + 28));
        let value = chunk_value(&answer, chunk::INIT_ACK).expect("an INIT ACK");
        let expected = parameters(&[&[local.ip()][..], &further].concat()[..told]);
        assert!(value.ends_with(&expected));
        assert!(
            kinds(&receive(&mut bench, family.at(2, 5000), &cookie_echo(&answer))[0].bytes)
                == [chunk::COOKIE_ACK]
        );
    }
}

// RFC 9260 §3.3.2.1.4 (Supported Address Types)
#[test]
fn a_peer_is_told_only_addresses_that_it_takes() {
    let local = Family::V4.at(1, PORT);
    let mut bench = Bench::new(local);
    let endpoint = SctpEndpoint::new(SctpConfig::control(), Channel::Asap, local, [1; 32]);
    bench.endpoint = endpoint.with_addresses([Family::V4.host(2), Family::V6.host(1)]);
    let only_v4 = [0, 12, 0, 6, 0, 5, 0, 0];
    let answer = receive(&mut bench, Family::V4.at(9, 5000), &init_with(&only_v4)).remove(0).bytes;
    let value = chunk_value(&answer, chunk::INIT_ACK).expect("an INIT ACK");
    assert!(value.ends_with(&parameters(&[local.ip(), Family::V4.host(2)])));
}

// One address is not told: it is the packet's.
#[test]
fn an_endpoint_with_one_address_says_nothing_of_addresses() {
    for family in FAMILIES {
        let mut client = Bench::new(family.at(2, 5000));
        client.connect(0, Channel::Asap, family.at(1, PORT));
        let ours = client.sent().remove(0);
        assert_eq!((ours.bytes.len(), ours.from), (40, None));
        let mut server = Bench::new(family.at(1, PORT));
        let answer = receive(&mut server, family.at(2, 5000), &ours.bytes).remove(0);
        assert_eq!(answer.bytes.len(), 120);
    }
}

#[test]
fn an_endpoint_sends_from_the_address_next_to_its_peers() {
    let local = Family::V4.at(1, PORT);
    let mut bench = Bench::new(local);
    let endpoint = SctpEndpoint::new(SctpConfig::control(), Channel::Asap, local, [1; 32]);
    let far: IpAddr = "192.0.2.1".parse().expect("an address");
    bench.endpoint = endpoint.with_addresses([far, Family::V6.host(1)]);
    for (remote, from) in [("10.0.0.9", local.ip()), ("192.0.2.9", far), ("[fd00::9]", Family::V6.host(1))] {
        let remote = vec![format!("{remote}:3863").parse().expect("an address")];
        let assoc = proto::AssocId::connected(0);
        bench.endpoint.carry_out(bench.now, Transmit::Connect { assoc, channel: Channel::Asap, remote });
        assert_eq!(bench.sent()[0].from, Some(from));
        bench.endpoint.carry_out(bench.now, Transmit::Abort { assoc, cause: String::new() });
    }
}

// Whatever comes from whatever address, with the right tag or without: bounded, and over in time.
#[test]
fn a_storm_from_all_addresses_leaves_nothing_behind() {
    let family = Family::V4;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for round in 0..200 {
        let mut bench = Bench::new(family.at(1, PORT));
        let endpoint =
            SctpEndpoint::new(SctpConfig::control(), Channel::Asap, family.at(1, PORT), [round; 32]);
        bench.endpoint = endpoint.with_addresses([family.host(101)]);
        let sources = [2, 3, 4].map(|n| family.at(n, 5000));
        let tag = establish_with(&mut bench, sources[0], &[sources[1].ip()]);
        let mut cookies = Vec::new();
        for _ in 0..200 {
            let from = sources[rng.next_u32() as usize % 3];
            let mut bytes = vec![0; rng.next_u32() as usize % 40];
            rng.fill_bytes(&mut bytes);
            let packet = match rng.next_u32() % 8 {
                0 => init_with(&bytes),
                1 => init_with(&[&[0, 5, 0, 8, 10, 0, 0][..], &bytes].concat()),
                2 => from_peer(tag, chunk::INIT_ACK, &bytes),
                3 => from_peer(tag, chunk::HEARTBEAT_ACK, &bytes),
                4 => from_peer(tag, chunk::SACK, &bytes),
                5 => cookies.pop().unwrap_or_default(),
                6 => from_peer(tag, chunk::HEARTBEAT, &bytes),
                _ => from_peer(tag, bytes.first().copied().unwrap_or_default(), &bytes),
            };
            let mut sent = receive(&mut bench, from, &packet);
            sent.extend(
                pass(&mut bench, Duration::from_millis(5)).into_values().flatten().map(|bytes| Datagram {
                    to: from,
                    from: None,
                    bytes,
                }),
            );
            let init_acks = sent.iter().filter(|datagram| kinds(&datagram.bytes) == [chunk::INIT_ACK]);
            cookies.extend(init_acks.map(|datagram| cookie_echo(&datagram.bytes)));
            assert!(bench.endpoint.associations() <= 3);
        }
        pass(&mut bench, Duration::from_secs(20));
        assert_eq!(bench.endpoint.table_sizes()[..5], [0; 5]);
        assert_eq!(bench.endpoint.poll_timeout(), None);
    }
}
