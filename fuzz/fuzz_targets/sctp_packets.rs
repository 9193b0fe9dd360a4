//! Whatever chunks a peer puts into packets with the right ports, tag and checksum, before, during and after a
//! handshake: the endpoint does not panic, and what it keeps stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::sctp::{SctpConfig, SctpEndpoint};
use proto::{AssocId, Channel, Time, Transmit};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Source and destination port, verification tag, checksum.
const HEADER: usize = 12;

/// A client and a server; the fuzzer speaks to the server in the client's name.
struct Pair {
    client: SctpEndpoint,
    server: SctpEndpoint,
    now: Time,
    /// The header of the client's last packet: ports and the tag that the server wants.
    header: [u8; HEADER],
}

impl Pair {
    fn new() -> Self {
        let endpoint = |port, seed| {
            let local = SocketAddr::new(LOOPBACK, port);
            SctpEndpoint::new(SctpConfig::control(), Channel::Asap, local, [seed; 32])
        };
        let (mut client, server) = (endpoint(7001, 1), endpoint(7002, 2));
        let remote = vec![server.local_address()];
        let assoc = AssocId::connected(1);
        client.carry_out(Time::ZERO, Transmit::Connect { assoc, channel: Channel::Asap, remote });
        Self { client, server, now: Time::ZERO, header: [0; HEADER] }
    }

    /// Lets the two talk until they have nothing to say.
    fn talk(&mut self) {
        for _ in 0..100 {
            self.client.finish_batch(self.now);
            self.server.finish_batch(self.now);
            let mut silent = true;
            while let Some(datagram) = self.client.poll_datagram() {
                silent = false;
                self.header.copy_from_slice(&datagram.bytes[..HEADER]);
                self.server.handle_datagram(self.now, self.client.local_address(), LOOPBACK, &datagram.bytes);
            }
            while let Some(datagram) = self.server.poll_datagram() {
                silent = false;
                self.client.handle_datagram(self.now, self.server.local_address(), LOOPBACK, &datagram.bytes);
            }
            while self.client.poll_input().is_some() {}
            while self.server.poll_input().is_some() {}
            if silent {
                return;
            }
        }
    }

    fn inject(&mut self, chunks: &[u8]) {
        let mut packet = self.header.to_vec();
        packet[8..].fill(0);
        packet.extend_from_slice(chunks);
        let checksum = crc32c::crc32c(&packet).to_le_bytes();
        packet[8..HEADER].copy_from_slice(&checksum);
        self.server.handle_datagram(self.now, self.client.local_address(), LOOPBACK, &packet);
    }
}

fuzz_target!(|script: &[u8]| {
    let mut pair = Pair::new();
    let mut rest = script;
    // Each step: what happens first, how long the chunks are, the chunks.
    while let [step, length, tail @ ..] = rest {
        let (chunks, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        if step & 1 != 0 {
            pair.talk();
        }
        if step & 2 != 0 {
            pair.now += Duration::from_millis(u64::from(step >> 2) * 10);
            pair.client.handle_timeout(pair.now);
            pair.server.handle_timeout(pair.now);
        }
        pair.inject(chunks);
    }
    pair.talk();
    assert!(pair.server.associations() <= 1 && pair.client.associations() <= 1);
});
