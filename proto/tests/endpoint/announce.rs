//! Registrars that announce themselves by multicast (RFC 5352 §3.6, ambiguities ).

use super::*;
use rserpool_proto::endpoint::ResolveOptions;

impl Script {
    fn announce(&mut self, from: SocketAddr, transports: Vec<Transport>) {
        let announce = asap::ServerAnnounce { registrar: RegistrarId(1), transports };
        let bytes = asap::Message::from(announce).encode().unwrap();
        self.input(Input::Announce { from, channel: Channel::Asap, bytes });
    }

    /// Registrar `n` announces itself as ours do.
    fn announced(&mut self, n: u8) {
        let SocketAddr::V4(address) = registrar(n) else { unreachable!() };
        let transport = SctpTransport {
            port: address.port(),
            transport_use: TransportUse::DATA_ONLY,
            addresses: vec![(*address.ip()).into()],
        };
        self.announce(registrar(n), vec![Transport::Sctp(transport)]);
    }

    /// Where it connects to from now on, when it needs a registrar.
    fn hunts(&mut self) -> Vec<SocketAddr> {
        self.machine.resolve(self.now, pool(), ResolveOptions::default()).unwrap();
        self.connects()
    }
}

// ASAP-3.6-06, ASAP-5-03, OVW-3-02: an announced registrar is hunted for like a configured one.
#[test]
fn an_announced_registrar_joins_the_list() {
    let mut script = Script::new(config(1));
    script.announced(2);
    assert_eq!(script.out(), [], "nobody needs one yet");
    assert_eq!(script.hunts(), [registrar(1), registrar(2)]);
}

// ASAP-3.6-06: a hunt that goes on tries it at once.
#[test]
fn a_hunt_without_anybody_ends_with_the_first_announcement() {
    let mut script = Script::new(config(0));
    assert_eq!(script.hunts(), []);
    script.pass(ms(400));
    script.announced(2);
    let assoc = script.expect_connect();
    script.up(assoc, registrar(2));
    assert!(
        matches!(script.out().as_slice(), [Out::Asap(to, asap::Message::HandleResolution(_))] if *to == assoc)
    );
}

// ASAP-3.6-08, A-45: without transports the source address with the assigned port is meant, or rsplib's source port.
#[test]
fn an_announcement_without_transports_means_its_source() {
    let from = SocketAddr::from(([192, 0, 2, 7], 40_000));
    let mut script = Script::new(config(0));
    script.announce(from, Vec::new());
    assert_eq!(script.hunts(), [SocketAddr::from(([192, 0, 2, 7], 3863))]);
    let rsplib = rserpool_proto::profile::Compat::Rsplib;
    let mut script = Script::new(Config { compat: rsplib, ..config(0) });
    script.announce(from, Vec::new());
    assert_eq!(script.hunts(), [from]);
}

// ASAP-3.6-07, ASAP-3.6-09, ASAP-7.1-07: T7 without an announcement ends it; each announcement starts it anew.
#[test]
fn a_registrar_that_ceases_to_announce_itself_is_forgotten() {
    let mut script = Script::new(config(1));
    script.announced(2);
    script.pass(ms(4999));
    script.announced(2);
    script.pass(ms(4999));
    let mut other = Script::new(config(1));
    other.announced(2);
    other.pass(ms(5000));
    assert_eq!(script.hunts(), [registrar(1), registrar(2)]);
    assert_eq!(other.hunts(), [registrar(1)], "the configured one stays");
}

// in a large scope each registrar announces itself seldom; T7 is three of its periods.
#[test]
fn many_registrars_that_share_the_rate_are_not_forgotten() {
    let mut script = Script::new(config(0));
    for second in 0..60 {
        script.announced(1 + (second % 20));
        script.pass(ms(1000));
    }
    script.hunts();
    let assoc = AssocId::connected(2);
    script.down(assoc, DownReason::ConnectFailed("refused".into()));
    let timers = script.machine.poll_timeout();
    assert_eq!(timers.map(|(_, name)| name), Some("T1-ENRPrequest"), "no T7 is near");
    let mut tried = script.connects().len();
    for n in 3..=40 {
        script.down(AssocId::connected(n), DownReason::ConnectFailed("refused".into()));
        tried += script.connects().len();
    }
    assert_eq!(tried, 20 - 3, "all of them are known");
}

// SEC-A9.2-26, A-47: however many are announced, configured registrars and the home stay, and memory is bounded.
#[test]
fn forged_announcements_displace_nobody_who_was_found_to_be_one() {
    let mut config = config(2);
    config.limits.registrars = 8;
    let mut script = Script::new(config);
    script.announced(3);
    script.hunts();
    // The hunt tries all three; the announced one is the home.
    for n in 1..=3 {
        script.down(AssocId::connected(n), DownReason::ConnectFailed("refused".into()));
    }
    script.pass(ms(250));
    let out = script.out();
    let home = out.iter().find_map(|out| match out {
        Out::Connect(assoc, _, remote) if *remote == registrar(3) => Some(*assoc),
        _ => None,
    });
    for attempt in &out {
        if let Out::Connect(assoc, _, remote) = attempt
            && *remote != registrar(3)
        {
            script.down(*assoc, DownReason::ConnectFailed("refused".into()));
        }
    }
    script.out();
    script.up(home.unwrap(), registrar(3));
    script.answer(home.unwrap(), 1..=1);
    script.out();
    for n in 0..1_000_000u32 {
        let from = SocketAddr::from(((0x0a00_0000 + n).to_be_bytes(), 3863));
        script.announce(from, Vec::new());
        if n % 100_000 == 0 {
            script.pass(ms(1000));
            script.announced(3);
        }
    }
    let counters = script.machine.counters();
    assert!(counters.announcements <= 11 * 256 + 11, "{counters:?}");
    assert!(counters.announcements_ignored > 990_000, "{counters:?}");
    assert_eq!(script.out(), [], "the home is as it was");
    script.down(home.unwrap(), DownReason::Unreachable);
    let first = script.connects();
    assert!(first.contains(&registrar(1)) && first.contains(&registrar(2)), "those first: {first:?}");
}

// ASAP-2.2.10-02, ASAP-2.2.14-04: what names nobody who can be reached is ignored, and nothing is answered.
#[test]
fn what_is_no_announcement_is_ignored() {
    let mut script = Script::new(config(0));
    let from = registrar(9);
    let tcp = Transport::Tcp(params::TcpTransport { port: 1, address: from.ip() });
    script.announce(from, vec![tcp]);
    for bytes in
        [&b""[..], &[0x0a, 0, 0, 8], &[0x0a, 0, 0, 8, 0, 0, 0, 1, 9], &[0xff; 1500], &[0x0a, 0, 0, 200]]
    {
        script.input(Input::Announce { from, channel: Channel::Asap, bytes: Bytes::copy_from_slice(bytes) });
    }
    let good = asap::ServerAnnounce { registrar: RegistrarId(1), transports: Vec::new() };
    let bytes = asap::Message::from(good).encode().unwrap();
    script.input(Input::Announce { from, channel: Channel::Enrp, bytes });
    assert_eq!(script.hunts(), []);
    assert!(script.machine.counters().announcements_ignored >= 6);
}

// OVW-3-03: a registrar that the owner names while the endpoint runs is hunted for, too, and stays.
#[test]
fn a_registrar_can_be_added_later() {
    let mut script = Script::new(config(0));
    script.machine.add_registrar(script.now, vec![registrar(4)]);
    script.announced(4);
    script.pass(ms(60_000));
    assert_eq!(script.hunts(), [registrar(4)]);
}
