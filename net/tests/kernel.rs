//! The kernel backend. It needs a kernel with SCTP: where there is none its tests say that they were skipped, and do
//! nothing. `interop/run kernel-endpoint` runs them in a virtual machine that has one.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bytes::Bytes;
use common::{Machine, Peer, Setup, V4, V6, pattern, within};
use proto::{AssocId, Channel, DownReason, Input, PPID_ASAP, Time, Transmit};
use rserpool_net::driver::BackendCounters;
use rserpool_net::kernel::{KernelConfig, KernelCounters, KernelEndpoint, KernelListener};
use rserpool_net::sctp::SctpConfig;
use rserpool_net::{Driver, Endpoint, StartError, Transport};
use std::future::poll_fn;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

/// Whether to fail instead of skipping: for runs that are there for these tests.
const REQUIRED: &str = "RSERPOOL_REQUIRE_KERNEL_SCTP";

/// Says so if this kernel has no SCTP; past the test harness, which would swallow it.
fn is_skipped() -> bool {
    let no_sctp = Driver::spawn(Setup::kernel(V4).config(), |_| Machine::new(false), |_, _, _| {}).is_err();
    if no_sctp {
        assert!(std::env::var_os(REQUIRED).is_none(), "this kernel has no SCTP");
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ =
            writeln!(std::io::stderr(), "SKIPPED {test}: this kernel has no SCTP (see interop/README.md)");
    }
    no_sctp
}

macro_rules! stories {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn on_ipv4() {
                if !is_skipped() {
                    common::stories::$name(Setup::kernel(V4)).await;
                }
            }

            #[tokio::test]
            async fn on_ipv6() {
                if !is_skipped() {
                    common::stories::$name(Setup::kernel(V6)).await;
                }
            }
        }
    )*};
}

stories!(
    two_peers_connect_talk_and_part_in_order,
    an_abort_tells_the_peer_why,
    messages_of_a_mebibyte_go_both_ways,
    one_client_has_a_hundred_sessions_with_one_server,
    a_slow_reader_stops_its_sender_and_nobody_else,
    a_slow_reader_of_small_messages_stops_its_sender,
);

macro_rules! tests {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        $(#[$meta])*
        #[tokio::test]
        async fn $name() {
            if is_skipped() {
                return;
            }
            $body
        }
    )*};
}

async fn counters(peer: &Peer) -> KernelCounters {
    match within("counters", peer.handle.counters()).await.unwrap().remove(0).backend {
        BackendCounters::Kernel(counters) => counters,
        other => panic!("not a kernel endpoint: {other:?}"),
    }
}

fn with(config: KernelConfig) -> Setup {
    Setup { transport: Transport::Kernel(config), ..Setup::kernel(V4) }
}

async fn connect_over(peer: &Peer, channel: Channel, remote: SocketAddr) -> AssocId {
    peer.call(move |machine| machine.connect(channel, remote)).await
}

/// The association with a peer that connects at the same time. Either the two handshakes became one association, or
/// this one's came too late to start any and names the one that there is.
async fn meet(peer: &mut Peer, connected: AssocId) -> AssocId {
    let pick = |_, input| match input {
        Input::Up { assoc, .. } => Some(assoc),
        Input::Down { assoc, why: DownReason::Duplicate(existing) } if assoc == connected => Some(existing),
        _ => None,
    };
    let first = peer.expect("Up", pick).await;
    if first != connected {
        assert_eq!(peer.expect("the other half", pick).await, first);
    }
    first
}

/// An endpoint with one association and without a thread: it reads and sends when the test says so.
struct Bare {
    endpoint: KernelEndpoint,
    now: Time,
    assoc: AssocId,
}

impl Bare {
    async fn connect(channel: Channel, remote: SocketAddr) -> Self {
        let listener =
            KernelListener::bind((V4, 0).into(), &SctpConfig::sessions(), &KernelConfig::default());
        let endpoint = KernelEndpoint::new(listener.unwrap(), Channel::Asap).unwrap();
        let assoc = AssocId::connected(1);
        let mut bare = Self { endpoint, now: Time::ZERO, assoc };
        bare.carry_out([Transmit::Connect { assoc, channel, remote: vec![remote] }]);
        bare.until("Up", |_, inputs| matches!(inputs, [Input::Up { .. }])).await;
        bare
    }

    /// Carries these out together; returns how many messages the system has taken by then.
    fn carry_out(&mut self, transmits: impl IntoIterator<Item = Transmit>) -> u64 {
        transmits.into_iter().for_each(|transmit| self.endpoint.carry_out(self.now, transmit));
        self.endpoint.flush(self.now);
        self.endpoint.counters().sent
    }

    fn message(&self, stream: u16, ppid: u32, unordered: bool, text: &'static str) -> Transmit {
        Transmit::Send { assoc: self.assoc, stream, ppid, unordered, bytes: text.into() }
    }

    /// Sends a control message and what comes after it, until the latter has once had to wait.
    async fn wait_for_control(&mut self, server: &mut Peer, accepted: AssocId) {
        for round in 0..20 {
            // The kernel acknowledges every other packet at once: each time another one.
            let ahead = (0..round % 2).map(|_| self.message(0, 0, false, "ahead")).collect::<Vec<_>>();
            let before = self.carry_out(ahead);
            let sent = self.carry_out([
                self.message(0, PPID_ASAP, false, "cookie"),
                self.message(0, 0, false, "covered"),
                self.message(3, 0, false, "on another stream"),
                self.message(0, 0, true, "unordered"),
                self.message(0, 0, false, "behind them"),
            ]);
            let has_waited = sent == before + 2;
            assert!(has_waited || sent == before + 5, "{before}, then {sent}");
            self.until("the rest", |counters, _| counters.sent == before + 5).await;
            if round % 2 == 1 {
                assert_eq!(server.message(accepted).await, "ahead");
            }
            for text in ["cookie", "covered"] {
                assert_eq!(server.message(accepted).await, text);
            }
            let mut rest = Vec::new();
            while rest.len() < 3 {
                rest.push(server.message(accepted).await);
            }
            rest.sort();
            assert_eq!(rest, ["behind them", "on another stream", "unordered"]);
            if has_waited {
                return;
            }
        }
        panic!("acknowledged at once, each time");
    }

    /// Takes turns as a driver does, until one has had the result that is waited for.
    async fn until(&mut self, what: &str, is_it: impl Fn(&KernelCounters, &[Input]) -> bool) {
        within(what, async {
            loop {
                self.now += Duration::from_millis(100);
                poll_fn(|cx| {
                    while self.endpoint.poll_io(cx, self.now).is_ready() {}
                    Poll::Ready(())
                })
                .await;
                self.endpoint.handle_timeout(self.now);
                self.endpoint.flush(self.now);
                let inputs: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_input()).collect();
                if is_it(self.endpoint.counters(), &inputs) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

#[test]
fn a_kernel_without_sctp_is_a_clear_error() {
    match Driver::spawn(Setup::kernel(V4).config(), |_| Machine::new(false), |_, _, _| {}) {
        Ok(_) => {}
        Err(error) => {
            assert!(matches!(error, StartError::NoKernelSctp), "{error:?}");
            assert_eq!(
                error.to_string(),
                "the kernel of this system has no SCTP: load it with \"modprobe sctp\", or use the transport \"udp\""
            );
        }
    }
}

tests! {
    async fn a_port_that_another_process_has_is_a_clear_error() {
        let other = Setup::kernel(V4).start();
        let taken = Setup { address: other.address, ..Setup::kernel(V4) };
        let error = Driver::spawn(taken.config(), |_| Machine::new(false), |_, _, _| {}).unwrap_err();
        assert!(matches!(error, StartError::AddressInUse { address } if address == other.address), "{error:?}");
    }

    // SCTP-6458-04, SCTP-6458-05
    async fn all_local_addresses_are_those_of_the_association() {
        let second: IpAddr = "127.0.0.2".parse().unwrap();
        let mut server = with(KernelConfig { addresses: vec![second], ..KernelConfig::default() }).start();
        let mut client = Setup::kernel(V4).start();
        let assoc = connect_over(&client, Channel::Session, server.address).await;
        let mut remote = client
            .expect("Up", |_, input| match input {
                Input::Up { assoc: up, remote, .. } if up == assoc => Some(remote),
                _ => None,
            })
            .await;
        remote.sort();
        let port = server.address.port();
        assert_eq!(remote, [SocketAddr::new(V4, port), SocketAddr::new(second, port)]);
        let mut local = server
            .expect("Up", |_, input| match input {
                Input::Up { local, .. } => Some(local),
                _ => None,
            })
            .await;
        local.sort();
        assert_eq!(local, [V4, second]);
        client.send(assoc, 0, "x").await;
        server.expect("the message", |_, input| matches!(input, Input::Message { .. }).then_some(())).await;
    }

    async fn an_ipv4_peer_of_a_dual_stack_socket_has_an_ipv4_address() {
        let mut server =
            Setup { address: "[::]:0".parse().unwrap(), ..Setup::kernel(V6) }.start();
        let mut client = Setup::kernel(V4).start();
        client.connect((V4, server.address.port()).into()).await;
        let (remote, local) = server
            .expect("Up", |_, input| match input {
                Input::Up { remote, local, .. } => Some((remote, local)),
                _ => None,
            })
            .await;
        assert!(remote.iter().all(SocketAddr::is_ipv4), "{remote:?}");
        assert!(local.contains(&V4), "{local:?}");
    }

    // SCTP-4960-01
    async fn stream_ppid_and_order_arrive_as_they_were_sent() {
        let mut server = Setup::kernel(V4).start();
        let mut client = Setup::kernel(V4).start();
        let assoc = client.connect(server.address).await;
        let accepted = server.accept().await;
        for (stream, ppid, unordered) in [(0, 11, false), (7, 12, true), (15, u32::MAX, false)] {
            let bytes = Bytes::from_static(b"x");
            client.transmit(Transmit::Send { assoc, stream, ppid, unordered, bytes: bytes.clone() }).await;
            let message = server.expect("the message", |_, input| Some(input)).await;
            assert_eq!(message, Input::Message { assoc: accepted, stream, ppid, unordered, bytes });
        }
        client.send(assoc, 16, "no such stream").await;
        client
            .expect("SendFailed", |_, input| matches!(input, Input::SendFailed { .. }).then_some(()))
            .await;
    }

    // ASAP-3.8-04: what SCTP would not keep behind a control message is not even with the system before that has arrived; at a
    // socket of its own and at the one that associations share, and though nobody reads.
    async fn nothing_overtakes_a_control_message() {
        for (channel, on) in [Channel::Session, Channel::Asap].into_iter().flat_map(|it| [(it, true), (it, false)]) {
            let mut server = Setup::kernel(V4).start();
            let mut client = Bare::connect(channel, server.address).await;
            let (assoc, accepted) = (client.assoc, server.accept().await);
            client.carry_out([Transmit::Read { assoc, on }]);
            server.send(accepted, 0, "read or not").await;
            client.wait_for_control(&mut server, accepted).await;
            client.carry_out([
                client.message(0, PPID_ASAP, false, "last cookie"),
                client.message(3, 0, false, "last message"),
                Transmit::Shutdown { assoc },
                Transmit::Read { assoc, on: true },
            ]);
            let down = Input::Down { assoc, why: DownReason::Shutdown };
            client.until("Down", |_, inputs| inputs.contains(&down)).await;
            for text in ["last cookie", "last message"] {
                assert_eq!(server.message(accepted).await, text);
            }
            assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
        }
    }

    // SCTP-4960-03
    async fn messages_of_many_associations_in_pieces_do_not_mix() {
        const PEERS: u8 = 6;
        let mut server = Setup::kernel(V4).start();
        let mut clients = Vec::new();
        for number in 0..PEERS {
            let mut client = Setup::kernel(V4).start();
            // Not a session: they all share the server's socket, and have one of their own here.
            let assoc = client.connect(server.address).await;
            clients.push((client, assoc, vec![number; 700_000 + usize::from(number)]));
        }
        for _ in 0..3 {
            for (client, assoc, message) in &clients {
                client.send(*assoc, 0, message.clone()).await;
            }
        }
        for _ in 0..3 * PEERS {
            let bytes = server
                .expect("a message", |_, input| match input {
                    Input::Message { bytes, .. } => Some(bytes),
                    _ => None,
                })
                .await;
            let number = bytes[0];
            assert_eq!(bytes.len(), 700_000 + usize::from(number));
            assert!(bytes.iter().all(|byte| *byte == number), "bytes of another association");
        }
        let counters = counters(&server).await;
        assert!(counters.pieces > 3 * u64::from(PEERS), "in pieces: {counters:?}");
        assert_eq!((counters.received, counters.peeled_off), (3 * u64::from(PEERS), 0));
    }

    async fn a_message_beyond_the_limit_ends_its_association_and_no_other() {
        let mut small = Setup::kernel(V4).echo();
        small.sctp.max_message_size = 100_000;
        let mut server = small.start();
        let mut client = Setup::kernel(V4).start();
        let healthy = client.connect(server.address).await;
        let assoc = client.connect(server.address).await;
        server.accept().await;
        let accepted = server.accept().await;
        assert_eq!(client.request(assoc, pattern(100_000)).await.len(), 100_000);
        client.send(assoc, 0, pattern(100_001)).await;
        let why = "message of more than 100000 bytes";
        assert_eq!(server.down(accepted).await.1, DownReason::Violation(why.into()));
        assert_eq!(client.down(assoc).await.1, DownReason::PeerAborted(why.into()));
        assert_eq!(client.request(healthy, "well?").await, "well?");
        assert_eq!(counters(&server).await.violations, 1);
    }

    async fn two_that_connect_to_each_other_at_once_have_one_association() {
        for _ in 0..20 {
            let [mut one, mut two] = [Setup::kernel(V4).start(), Setup::kernel(V4).start()];
            let there = connect_over(&one, Channel::Asap, two.address).await;
            let back = connect_over(&two, Channel::Asap, one.address).await;
            let there = meet(&mut one, there).await;
            let back = meet(&mut two, back).await;
            one.send(there, 0, "there").await;
            assert_eq!(two.message(back).await, "there");
            two.send(back, 0, "and back").await;
            assert_eq!(one.message(there).await, "and back");
            for peer in [&one, &two] {
                let counters = counters(peer).await;
                assert_eq!(counters.accepted + counters.connected, 1);
            }
        }
    }

    async fn a_second_connect_to_the_same_peer_names_the_association_that_there_is() {
        let server = Setup::kernel(V4).start();
        let mut client = Setup::kernel(V4).start();
        let first = connect_over(&client, Channel::Asap, server.address).await;
        client.accept().await;
        let second = connect_over(&client, Channel::Asap, server.address).await;
        assert_eq!(client.down(second).await.1, DownReason::Duplicate(first));
    }

    async fn connecting_to_a_port_where_nobody_listens_fails_at_once() {
        let free = Setup::kernel(V4).start();
        let address = free.address;
        free.kill().await;
        let mut client = Setup::kernel(V4).start();
        for channel in [Channel::Session, Channel::Asap] {
            let assoc = connect_over(&client, channel, address).await;
            let why = client.down(assoc).await.1;
            assert!(matches!(why, DownReason::ConnectFailed(_)), "{why:?}");
        }
    }

    // SCTP-6458-03
    async fn the_end_of_a_process_is_noticed_at_once() {
        let server = Setup::kernel(V4).echo().start();
        let mut client = Setup::kernel(V4).start();
        let assoc = client.connect(server.address).await;
        client.request(assoc, "are you there?").await;
        server.kill().await;
        let why = client.down(assoc).await.1;
        assert!(matches!(why, DownReason::PeerAborted(_)), "{why:?}");
    }

    async fn a_port_is_free_as_soon_as_its_process_has_ended() {
        let mut client = Setup::kernel(V4).start();
        let mut setup = Setup::kernel(V4);
        for _ in 0..5 {
            let server = setup.clone().echo().start();
            setup.address = server.address;
            let assoc = client.connect(server.address).await;
            client.request(assoc, "again").await;
            server.kill().await;
            client.down(assoc).await;
        }
    }

    async fn the_end_of_an_association_that_nobody_reads_is_noticed() {
        let mut server = Setup::kernel(V4).start();
        let mut client = Setup::kernel(V4).start();
        let assoc = client.connect(server.address).await;
        let accepted = server.accept().await;
        server.transmit(Transmit::Read { assoc: accepted, on: false }).await;
        client.send(assoc, 0, "unread").await;
        client.send(assoc, 0, "last words").await;
        client.transmit(Transmit::Shutdown { assoc }).await;
        assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
        assert_eq!(server.message(accepted).await, "unread");
        assert_eq!(server.message(accepted).await, "last words");
        assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
    }

    async fn nothing_is_lost_of_an_association_that_ends_before_anybody_looks() {
        let mut server = Setup::kernel(V4).start();
        let mut client = Setup::kernel(V4).start();
        let assoc = client.connect(server.address).await;
        let accepted = server.accept().await;
        let (resume, resumed) = std::sync::mpsc::channel();
        let handle = server.handle.clone();
        let busy = tokio::spawn(async move {
            handle
                .call(move |machine, _| {
                    machine.transmit(Transmit::Read { assoc: accepted, on: false });
                    resumed.recv_timeout(common::LIMIT).unwrap();
                })
                .await
        });
        for number in 0..100 {
            client.send(assoc, 0, number.to_string()).await;
        }
        client.transmit(Transmit::Shutdown { assoc }).await;
        assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
        resume.send(()).unwrap();
        busy.await.unwrap().unwrap();
        for number in 0..100 {
            assert_eq!(server.message(accepted).await, number.to_string());
        }
        assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
        assert_eq!(counters(&server).await.violations, 0);
    }

    async fn the_end_is_told_however_much_there_is_that_nobody_reads() {
        let mut server = Setup::kernel(V4).start();
        let mut client = Setup::kernel(V4).start();
        let assoc = client.connect(server.address).await;
        let accepted = server.accept().await;
        server.transmit(Transmit::Read { assoc: accepted, on: false }).await;
        client.send(assoc, 0, "0").await;
        within("a socket of its own", async {
            while counters(&server).await.peeled_off == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        // One in each look would take longer than anybody waits.
        for number in 1..500 {
            client.send(assoc, 0, number.to_string()).await;
        }
        client.transmit(Transmit::Shutdown { assoc }).await;
        assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
        for number in 0..500 {
            assert_eq!(server.message(accepted).await, number.to_string());
        }
        assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
    }

    async fn the_end_of_one_that_could_not_send_and_is_not_read_is_noticed() {
        let mut setup = Setup::kernel(V4);
        setup.sctp.limits.send_queue = 64 * 1024;
        let mut server = setup.clone().start();
        let mut slow = setup.start();
        let assoc = connect_over(&server, Channel::Asap, slow.address).await;
        server.accept().await;
        let unread = slow.accept().await;
        server.transmit(Transmit::Read { assoc, on: false }).await;
        slow.transmit(Transmit::Read { assoc: unread, on: false }).await;
        server.call(move |machine| (0..2000).for_each(|_| machine.send(assoc, 0, pattern(16 << 10)))).await;
        within("a socket of its own", async {
            while counters(&server).await.peeled_off == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        slow.transmit(Transmit::Read { assoc: unread, on: true }).await;
        for _ in 0..2000 {
            assert_eq!(slow.message(unread).await.len(), 16 << 10);
        }
        slow.transmit(Transmit::Shutdown { assoc: unread }).await;
        assert_eq!(slow.down(unread).await.1, DownReason::Shutdown);
        assert_eq!(server.down(assoc).await.1, DownReason::Shutdown);
    }

    async fn an_endpoint_on_all_addresses_is_not_its_own_peer() {
        let mut peer = Setup { address: "0.0.0.0:0".parse().unwrap(), ..Setup::kernel(V4) }.start();
        let itself = SocketAddr::new(V4, peer.address.port());
        let assoc = connect_over(&peer, Channel::Asap, itself).await;
        let (_, first) = within("an answer", peer.events.recv()).await.unwrap();
        assert_eq!(first, Input::Down { assoc, why: DownReason::ConnectFailed("own address".into()) });
    }

    async fn one_that_cannot_send_has_a_socket_of_its_own_and_blocks_nobody() {
        let mut setup = Setup::kernel(V4);
        // Less than the unread peer lets through.
        setup.sctp.limits.send_queue = 64 * 1024;
        let mut server = setup.clone().start();
        let mut slow = setup.clone().start();
        let mut quick = setup.echo().start();
        let to_slow = connect_over(&server, Channel::Asap, slow.address).await;
        server.accept().await;
        let unread = slow.accept().await;
        slow.transmit(Transmit::Read { assoc: unread, on: false }).await;
        let to_quick = connect_over(&server, Channel::Asap, quick.address).await;
        server.accept().await;
        quick.accept().await;
        server
            .call(move |machine| (0..2000).for_each(|_| machine.send(to_slow, 0, pattern(16 << 10))))
            .await;
        server.expect("Full", |_, input| (input == Input::Full { assoc: to_slow }).then_some(())).await;
        for _ in 0..100 {
            assert_eq!(server.request(to_quick, "quick").await, "quick");
        }
        within("a socket of its own", async {
            while counters(&server).await.peeled_off == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        slow.transmit(Transmit::Read { assoc: unread, on: true }).await;
        for _ in 0..2000 {
            assert_eq!(slow.message(unread).await.len(), 16 << 10);
        }
    }

    async fn all_associations_in_use_is_a_refusal_with_a_reason() {
        let mut setup = Setup::kernel(V4).echo();
        setup.sctp.limits.associations = 1;
        let server = setup.start();
        let mut client = Setup::kernel(V4).start();
        let first = client.connect(server.address).await;
        let second = client.connect(server.address).await;
        let why = DownReason::PeerAborted("too many associations".into());
        assert_eq!(client.down(second).await.1, why);
        assert_eq!(client.request(first, "still here").await, "still here");
        assert_eq!(counters(&server).await.refused_full, 1);
    }

    async fn an_association_given_up_while_it_connects_is_forgotten() {
        let server = Setup::kernel(V4).echo().start();
        let mut client = Setup::kernel(V4).start();
        let to = server.address;
        for channel in [Channel::Session, Channel::Asap] {
            let given_up = client
                .call(move |machine| {
                    let assoc = machine.connect(channel, to);
                    machine.transmit(Transmit::Abort { assoc, cause: "never mind".into() });
                    assoc
                })
                .await;
            assert_eq!(client.down(given_up).await.1, DownReason::LocalAbort);
            let assoc = connect_over(&client, channel, to).await;
            let up = client.accept().await;
            assert_eq!(up, assoc);
            assert_eq!(client.request(assoc, "now").await, "now");
            client.transmit(Transmit::Shutdown { assoc }).await;
            assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
        }
    }

    async fn an_association_given_up_after_its_end_is_never_heard_of_again() {
        let mut setup = Setup::kernel(V4);
        setup.sctp.limits.associations = 0;
        let server = setup.start();
        let (sctp, kernel) = (SctpConfig::sessions(), KernelConfig::default());
        let listener = KernelListener::bind((V4, 0).into(), &sctp, &kernel).unwrap();
        let mut client = KernelEndpoint::new(listener, Channel::Asap).unwrap();
        let assoc = AssocId::connected(1);
        let remote = vec![server.address];
        client.carry_out(Time::ZERO, Transmit::Connect { assoc, channel: Channel::Asap, remote });
        within("a refusal", async {
            while counters(&server).await.refused_full == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        client.carry_out(Time::ZERO, Transmit::Abort { assoc, cause: "never mind".into() });
        poll_fn(|cx| {
            while client.poll_io(cx, Time::ZERO).is_ready() {}
            Poll::Ready(())
        })
        .await;
        let inputs: Vec<_> = std::iter::from_fn(|| client.poll_input()).collect();
        assert_eq!(inputs, [Input::Down { assoc, why: DownReason::LocalAbort }]);
    }

    async fn an_idle_association_closes_by_itself_if_it_shall() {
        let autoclose = Some(Duration::from_secs(1));
        let mut server = with(KernelConfig { autoclose, ..KernelConfig::default() }).start();
        let mut client = Setup::kernel(V4).start();
        let assoc = client.connect(server.address).await;
        let accepted = server.accept().await;
        assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
        assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
    }
}
