//! Hostile packets beside an association that has to go on.

use super::support::*;
use crate::sctp::packet::{self, chunk};
use proto::{AssocId, Channel, DownReason};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::SocketAddr;
use std::time::Duration;

const PACKETS: u32 = 500_000;

struct Attacker {
    rng: ChaCha8Rng,
    family: Family,
    /// Packets seen, to be mutated.
    seen: Vec<Vec<u8>>,
    cookies: Vec<Vec<u8>>,
}

impl Attacker {
    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    fn bytes(&mut self, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Anywhere; the victim's address and port among them.
    fn source(&mut self) -> SocketAddr {
        match self.below(4) {
            0 => self.family.at(2, 40000),
            1 => self.family.at(2, self.rng.next_u32() as u16 | 1),
            _ => self.family.at(3 + (self.below(200) as u8), self.rng.next_u32() as u16 | 1),
        }
    }

    fn packet(&mut self) -> Vec<u8> {
        let source = if self.below(2) == 0 { 40000 } else { 1024 + self.below(4) as u16 };
        let tag = if self.below(2) == 0 { 0 } else { self.rng.next_u32() };
        let mut packet = match self.below(6) {
            0 => {
                let length = self.below(1300);
                self.bytes(length)
            }
            1 => {
                let length = if self.below(2) == 0 { 0 } else { self.below(60) };
                let mut value = init(source, 3863)[16..40].to_vec();
                value.extend(self.bytes(length));
                packet::single((source, 3863), 0, chunk::INIT, 0, &value)
            }
            2 if !self.cookies.is_empty() => {
                let pick = self.below(self.cookies.len() as u32) as usize;
                self.cookies[pick].clone()
            }
            3 if !self.seen.is_empty() => {
                let pick = self.below(self.seen.len() as u32) as usize;
                self.seen[pick].clone()
            }
            _ => {
                let mut packet = packet::single((source, 3863), tag, 0, 0, &[])[..12].to_vec();
                for _ in 0..1 + self.below(4) {
                    const KINDS: [u8; 20] =
                        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 128, 129, 130, 192, 193, 194];
                    let kind = KINDS[self.below(20) as usize];
                    let most = [24, 300][self.below(2) as usize];
                    let length = self.below(most);
                    let value = self.bytes(length);
                    let flags = self.rng.next_u32() as u8;
                    packet.extend(&packet::single((0, 0), 0, kind, flags, &value)[12..]);
                }
                packet
            }
        };
        if self.below(3) == 0 && packet.len() > 12 {
            let at = 12 + self.below(packet.len() as u32 - 12) as usize;
            packet[at] ^= 1 << self.below(8);
        }
        if self.below(6) == 0 {
            let length = self.below(packet.len() as u32 + 1) as usize;
            packet.truncate(length);
        }
        if self.below(20) != 0 {
            packet::seal_checksum(&mut packet);
        }
        packet
    }
}

/// The association's own packets, through the attack.
fn talk(client: &mut Bench, server: &mut Bench, seen_as: SocketAddr, text: &str) -> Vec<Vec<u8>> {
    let assoc = AssocId::connected(0);
    client.endpoint.carry_out(client.now, message(assoc, 0, text.to_owned()));
    let mut seen = Vec::new();
    for datagram in client.sent() {
        seen.push(datagram.bytes.clone());
        server.receive(seen_as, &datagram.bytes);
    }
    seen
}

#[test]
fn an_association_survives_a_storm_of_hostile_packets() {
    for family in FAMILIES {
        let seen_as = family.at(2, 40000);
        let mut server = Bench::new(family.at(1, 3863));
        let mut client = Bench::new(seen_as);
        let assoc = client.connect(0, Channel::Asap, family.at(1, 3863));
        exchange(&mut client, &mut server, seen_as);
        assert_eq!(ups(&client.inputs()), [assoc]);
        let theirs = ups(&server.inputs())[0];
        let before = server.endpoint.table_sizes();

        let rng = ChaCha8Rng::seed_from_u64(7);
        let mut attacker = Attacker { rng, family, seen: Vec::new(), cookies: Vec::new() };
        for n in 0..PACKETS {
            let packet = attacker.packet();
            let source = attacker.source();
            let to = server.endpoint.local_address().ip();
            server.endpoint.handle_datagram(server.now, source, to, &packet);
            for datagram in server.sent() {
                let answer = &datagram.bytes;
                assert!(answer.len() <= 3 * packet.len(), "{answer:02x?} for {packet:02x?}");
                let is_init_ack = answer[12] == chunk::INIT_ACK;
                if is_init_ack && datagram.to != seen_as && attacker.cookies.len() < 50 {
                    // Its tag would be right for this source only: replayed from others it is forged.
                    attacker.cookies.push(cookie_echo(answer));
                }
            }
            if n % 1000 == 0 {
                let text = n.to_string();
                // What a thief could see of it, with the tag spoilt: else it would be an insider.
                for mut packet in talk(&mut client, &mut server, seen_as, &text) {
                    packet[4] ^= 0x55;
                    attacker.seen.push(packet);
                }
                exchange(&mut client, &mut server, seen_as);
                assert_eq!(messages(&server.inputs()), [(theirs, text.into())]);
                server.pass(Duration::from_millis(20));
                client.pass(Duration::from_millis(20));
                exchange(&mut client, &mut server, seen_as);
                assert_eq!(server.endpoint.table_sizes()[..5], before[..5], "nothing has grown");
            }
        }
        let counters = server.endpoint.counters();
        for (name, count) in [
            ("answered INITs", counters.inits_answered),
            ("forged cookies", counters.dropped_cookie_forged),
            ("wrong tags", counters.dropped_tag),
            ("wrong checksums", counters.dropped_checksum),
            ("malformed", counters.dropped_malformed),
            ("broken INITs", counters.dropped_init),
            ("out of the blue", counters.out_of_the_blue_answered),
        ] {
            assert!(count > 10, "the storm had no {name}: {counters:?}");
        }
        assert_eq!(counters.restarted + counters.rebound + counters.violations, 0, "{counters:?}");
    }
}

// INITs from a hundred thousand addresses: nothing is kept, and the live association does not notice.
#[test]
fn a_flood_of_inits_leaves_nothing_behind() {
    let seen_as = Family::V6.at(2, 40000);
    let mut server = Bench::new(Family::V6.at(1, 3863));
    let mut client = Bench::new(seen_as);
    client.connect(0, Channel::Asap, Family::V6.at(1, 3863));
    exchange(&mut client, &mut server, seen_as);
    server.inputs();
    let before = server.endpoint.table_sizes();
    let flood = init(5000, 3863);
    for n in 0..100_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let ip = std::net::Ipv6Addr::from([0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]);
        server.receive(SocketAddr::new(ip.into(), 5000), &flood);
    }
    assert_eq!(server.endpoint.table_sizes(), before);
    let counters = server.endpoint.counters();
    assert_eq!((counters.inits_answered, counters.dropped_init_rate), (5000, 95_001));
    talk(&mut client, &mut server, seen_as, "unimpressed");
    assert_eq!(messages(&server.inputs()).len(), 1);
}

// A peer with a right tag may send what it likes: its own association is all it can lose.
#[test]
fn an_insider_hurts_only_itself() {
    let seen_as = Family::V4.at(2, 40000);
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let mut client = Bench::new(seen_as);
    client.connect(0, Channel::Asap, Family::V4.at(1, 3863));
    exchange(&mut client, &mut server, seen_as);
    let theirs = ups(&server.inputs())[0];
    let rng = ChaCha8Rng::seed_from_u64(8);
    let mut attacker = Attacker { rng, family: Family::V4, seen: Vec::new(), cookies: Vec::new() };
    let insider = Family::V4.at(3, 5000);
    let mut tag = 0;
    for n in 0..PACKETS {
        if server.endpoint.associations() < 2 {
            tag = establish_by_hand(&mut server, insider, 5000);
        }
        let mut packet = attacker.packet();
        if packet.len() >= 16 {
            packet[..2].copy_from_slice(&5000_u16.to_be_bytes());
            packet[2..4].copy_from_slice(&3863_u16.to_be_bytes());
            packet[4..8].copy_from_slice(&tag.to_be_bytes());
            packet::seal_checksum(&mut packet);
        }
        server.receive(insider, &packet);
        if n % 1000 == 0 {
            server.pass(Duration::from_millis(20));
            client.pass(Duration::from_millis(20));
            exchange(&mut client, &mut server, seen_as);
            server.inputs();
            talk(&mut client, &mut server, seen_as, "calm");
            let calm = messages(&server.inputs());
            assert!(calm.contains(&(theirs, "calm".into())), "{calm:?}");
            exchange(&mut client, &mut server, seen_as);
        }
        assert!(server.endpoint.associations() <= 2);
    }
    assert!(server.endpoint.counters().accepted > 100, "the insider was thrown out and came back");
}

// RFC 6525 §3.1: at most two parameters. To many, dcsctp would build an answer larger than a packet.
#[test]
fn a_re_config_of_many_requests_ends_its_association() {
    let mut server = Bench::new(Family::V4.at(1, 3863));
    let insider = Family::V4.at(3, 5000);
    let tag = establish_by_hand(&mut server, insider, 5000);
    server.inputs();
    let request = [0, 14, 0, 8, 0, 0, 0, 0];
    server.receive(insider, &packet::single((5000, 3863), tag, chunk::RE_CONFIG, 0, &request.repeat(2)));
    assert_eq!(server.inputs(), [], "two are allowed");
    server.receive(insider, &packet::single((5000, 3863), tag, chunk::RE_CONFIG, 0, &request.repeat(300)));
    assert!(matches!(&downs(&server.inputs())[..], [(_, DownReason::Violation(_))]));
}

// The COOKIE ECHO has to fit into one packet (RFC 9260 §5.1), where dcsctp may put a SACK behind it.
#[test]
fn an_init_ack_with_a_cookie_larger_than_a_packet_is_dropped() {
    let mut client = Bench::new(Family::V4.at(2, 5000));
    let remote = Family::V4.at(1, 3863);
    client.connect(0, Channel::Asap, remote);
    let init = client.sent().remove(0).bytes;
    let tag = packet::u32_at(&init, 16).expect("a tag");
    for (length, answered) in [(1100_u16, false), (20_000, false), (1000, true)] {
        let mut value = init[16..32].to_vec();
        value.extend_from_slice(&[7_u16.to_be_bytes(), length.to_be_bytes()].concat());
        value.resize(16 + usize::from(length), 0);
        let init_ack = packet::single((3863, 5000), tag, chunk::INIT_ACK, 0, &value);
        assert_eq!(client.receive(remote, &init_ack).len(), usize::from(answered), "{length}");
    }
    assert_eq!(client.endpoint.counters().dropped_init, 2);
}
