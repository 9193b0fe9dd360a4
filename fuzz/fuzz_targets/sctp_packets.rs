//! Whatever chunks a peer puts into packets with the right ports, tag and checksum, before, during and after a
//! handshake, from whatever of its addresses: the endpoint does not panic, and what it keeps stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::sctp::{Datagram, SctpConfig, SctpEndpoint};
use proto::{AssocId, Channel, Time, Transmit};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const CLIENT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))];
const SERVER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4))];
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
    fn new(is_multihomed: bool) -> Self {
        let endpoint = |[first, second]: [IpAddr; 2], port, seed| {
            let local = SocketAddr::new(first, port);
            SctpEndpoint::new(SctpConfig::control(), Channel::Asap, local, [seed; 32])
                .with_addresses(is_multihomed.then_some(second))
        };
        let (mut client, server) = (endpoint(CLIENT, 7001, 1), endpoint(SERVER, 7002, 2));
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
                deliver(&mut self.server, self.now, self.client.local_address(), &datagram);
            }
            while let Some(datagram) = self.server.poll_datagram() {
                silent = false;
                deliver(&mut self.client, self.now, self.server.local_address(), &datagram);
            }
            while self.client.poll_input().is_some() {}
            while self.server.poll_input().is_some() {}
            if silent {
                return;
            }
        }
    }

    fn inject(&mut self, source: usize, chunks: &[u8]) {
        let mut packet = self.header.to_vec();
        packet[8..].fill(0);
        packet.extend_from_slice(chunks);
        let checksum = crc32c::crc32c(&packet).to_le_bytes();
        packet[8..HEADER].copy_from_slice(&checksum);
        let from = SocketAddr::new(CLIENT[source], self.client.local_address().port());
        self.server.handle_datagram(self.now, from, SERVER[0], &packet);
    }
}

/// A datagram of the endpoint at `sender` arrives.
fn deliver(receiver: &mut SctpEndpoint, now: Time, sender: SocketAddr, datagram: &Datagram) {
    let from = SocketAddr::new(datagram.from.unwrap_or(sender.ip()), sender.port());
    receiver.handle_datagram(now, from, datagram.to.ip(), &datagram.bytes);
}

fuzz_target!(|script: &[u8]| {
    // First: whether both have two addresses.
    let [first, script @ ..] = script else { return };
    let mut pair = Pair::new(first & 1 != 0);
    let mut rest = script;
    // Each step: what happens first, how long the chunks are, the chunks.
    while let [step, length, tail @ ..] = rest {
        let (chunks, next) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = next;
        if step & 1 != 0 {
            pair.talk();
        }
        if step & 2 != 0 {
            pair.now += Duration::from_millis(u64::from((step >> 2) & 31) * 20);
            pair.client.handle_timeout(pair.now);
            pair.server.handle_timeout(pair.now);
        }
        pair.inject(usize::from(step >> 7), chunks);
    }
    pair.talk();
    assert!(pair.server.associations() <= 1 && pair.client.associations() <= 1);
});
