//! The driver as its users see it: starting, calling, ending.

mod common;

use common::{Machine, Setup, V4, V6, embedded, within};
use proto::{Channel, DownReason, Input, Node, Time, Transmit};
use rserpool_net::driver::{CallError, EndpointCounters};
use rserpool_net::sctp::SctpConfig;
use rserpool_net::{Driver, DriverConfig, Handle, Listen, StartError};
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::Duration;

fn start(config: DriverConfig) -> Result<Handle<Machine>, StartError> {
    Driver::spawn(config, |_| Machine::new(false), |_, _, _| {})
}

#[test]
fn a_port_that_another_process_has_is_a_clear_error() {
    for ip in [V4, V6] {
        let other = UdpSocket::bind((ip, 0)).unwrap();
        let address = other.local_addr().unwrap();
        let error = start(Setup { address, ..Setup::on(ip) }.config()).unwrap_err();
        assert!(matches!(error, StartError::AddressInUse { address: at } if at == address));
        assert_eq!(error.to_string(), format!("{address} is already in use by another process"));
    }
}

#[test]
fn an_address_of_another_host_is_a_clear_error() {
    let address = "192.0.2.1:0".parse().unwrap();
    let error = start(Setup { address, ..Setup::on(V4) }.config()).unwrap_err();
    assert!(matches!(error, StartError::Bind { address: at, .. } if at == address), "{error}");
}

#[test]
fn a_driver_without_an_address_does_not_start() {
    let config = DriverConfig { name: "none".into(), listen: Vec::new(), multicast: None };
    assert!(matches!(start(config), Err(StartError::NoEndpoint)));
}

#[test]
fn port_zero_takes_any_free_port_and_the_machine_learns_it() {
    let (sender, told) = mpsc::channel();
    let listen = |channel| Listen::new(channel, (V4, 0).into(), SctpConfig::control());
    let config = DriverConfig {
        name: "two".into(),
        listen: vec![listen(Channel::Asap), listen(Channel::Enrp)],
        multicast: None,
    };
    let make = move |addresses: &[_]| {
        sender.send(addresses.to_vec()).unwrap();
        Machine::new(false)
    };
    let handle = Driver::spawn(config, make, |_, _, _| {}).unwrap();
    assert_eq!(told.recv().unwrap(), handle.local_addresses());
    assert_eq!(handle.local_addresses().len(), 2);
    assert!(handle.local_addresses().iter().all(|address| address.port() != 0));
}

#[tokio::test]
async fn each_association_stays_at_the_endpoint_of_its_channel() {
    let mut server = Setup::on(V4).with_enrp().start();
    let mut client = Setup::on(V4).with_enrp().start();
    let [asap, enrp] = server.handle.local_addresses() else { panic!("two endpoints") };
    for (channel, to) in [(Channel::Enrp, *enrp), (Channel::Asap, *asap)] {
        let assoc = client.call(move |machine| machine.connect(channel, to)).await;
        client.accept().await;
        let (accepted, came) = server
            .expect("Up", |_, input| match input {
                Input::Up { assoc, channel, .. } => Some((assoc, channel)),
                _ => None,
            })
            .await;
        assert_eq!(came, channel);
        client.send(assoc, 0, "there").await;
        assert_eq!(server.message(accepted).await, "there");
        server.send(accepted, 0, "and back").await;
        assert_eq!(client.message(assoc).await, "and back");
        client.transmit(Transmit::Shutdown { assoc }).await;
        assert_eq!(server.down(accepted).await.1, DownReason::Shutdown);
        assert_eq!(client.down(assoc).await.1, DownReason::Shutdown);
    }
    let accepted = |counters: Vec<EndpointCounters>| -> Vec<u64> {
        counters.into_iter().map(|counters| embedded(counters).sctp.accepted).collect()
    };
    assert_eq!(accepted(server.handle.counters().await.unwrap()), [1, 1]);
}

// Who ends when he is told that all is done would else take the last packets with him.
#[test]
fn what_a_machine_wants_is_sent_before_it_tells() {
    let remote = UdpSocket::bind((V4, 0)).unwrap();
    remote.set_nonblocking(true).unwrap();
    let to = remote.local_addr().unwrap();
    let (sender, told) = mpsc::channel();
    let tell = move |_: &mut Machine, _, event| {
        if event == (Input::Backlog { packets: 7 }) {
            sender.send(remote.recv(&mut [0; 2048]).is_ok()).unwrap();
        }
    };
    let handle = Driver::spawn(Setup::on(V4).config(), |_| Machine::new(false), tell).unwrap();
    handle
        .try_call(move |machine, now| {
            machine.handle_input(now, Input::Backlog { packets: 7 });
            machine.connect(Channel::Asap, to);
        })
        .unwrap();
    assert_eq!(told.recv_timeout(common::LIMIT), Ok(true), "the INIT is there");
}

#[tokio::test]
async fn calls_run_in_order_with_those_that_do_not_wait() {
    let peer = Setup::on(V4).start();
    for _ in 0..1000 {
        peer.handle.try_call(|machine, _| machine.received += 1).unwrap();
    }
    assert_eq!(peer.call(|machine| machine.received).await, 1000);
}

#[tokio::test]
async fn time_goes_on_while_nothing_happens() {
    let peer = Setup::on(V4).start();
    let before = peer.timed(|_, now| now).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = peer.timed(|_, now| now).await;
    assert!(after.since(before) >= Duration::from_millis(295), "idle time is not lost time");
}

#[tokio::test]
async fn a_stop_runs_until_the_machine_is_done_and_tells_everyone_why() {
    let peer = Setup::on(V4).start();
    let handle = peer.handle.clone();
    let done = |machine: &Machine| machine.received == 2;
    handle.stop("maintenance", common::LIMIT, |machine, _| machine.received = 1, done);
    assert_eq!(peer.call(|machine| machine.received).await, 1, "not done: it still answers");
    handle.try_call(|machine, _| machine.received = 2).unwrap();
    assert_eq!(within("end", handle.closed()).await.reason, "maintenance");
    let error = handle.call(|_, _| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "the endpoint thread has ended: maintenance");
    assert_eq!(handle.try_call(|_, _| ()), Err(CallError::Stopped(error)));
    assert!(handle.is_closed());
    UdpSocket::bind(peer.address).expect("the port is free again");
}

#[tokio::test]
async fn a_stop_that_is_never_done_ends_at_its_limit() {
    let peer = Setup::on(V4).start();
    peer.handle.stop("too late", Duration::from_millis(50), |_, _| {}, |_| false);
    assert_eq!(within("end", peer.handle.closed()).await.reason, "too late");
}

#[tokio::test]
async fn the_thread_ends_with_its_last_handle() {
    let mut peer = Setup::on(V4).start();
    let second = peer.handle.clone();
    drop(peer.handle);
    assert!(within("answer", second.call(|_, _| true)).await.unwrap());
    drop(second);
    assert!(within("end", peer.events.recv()).await.is_none());
    UdpSocket::bind(peer.address).expect("the port is free again");
}

#[tokio::test]
async fn a_machine_that_panics_leaves_an_error_not_a_hang() {
    let peer = Setup::on(V4).start();
    let error = within("answer", peer.handle.call(|_, _| panic!("on purpose"))).await.unwrap_err();
    assert_eq!(error.reason, "it panicked");
}

#[tokio::test]
async fn more_callers_than_may_wait_are_all_served() {
    let peer = Setup::on(V4).start();
    let callers: Vec<_> = (0..2000)
        .map(|_| {
            let handle = peer.handle.clone();
            tokio::spawn(async move { handle.call(|machine, _| machine.received += 1).await })
        })
        .collect();
    for caller in callers {
        within("answer", caller).await.unwrap().unwrap();
    }
    assert_eq!(peer.call(|machine| machine.received).await, 2000);
}

// Design D11: the machine hears that its endpoint is behind, and that it is not any more.
#[tokio::test]
async fn a_machine_hears_how_far_behind_it_is() {
    let mut server = Setup::on(V4).start();
    let address = server.handle.local_addresses()[0];
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let busy = move |_: &mut Machine, _| {
        entered.send(()).unwrap();
        released.recv().unwrap();
    };
    server.handle.try_call(busy).unwrap();
    inside.recv().unwrap();
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    for _ in 0..2000 {
        socket.send_to(b"no packet of SCTP", address).unwrap();
    }
    release.send(()).unwrap();
    let backlog = |input: Input| match input {
        Input::Backlog { packets } => Some(packets),
        _ => None,
    };
    let behind = server.expect("Backlog", move |_, input| backlog(input)).await;
    assert!(behind >= 256, "{behind}");
    while server.expect("Backlog", move |_, input| backlog(input)).await > 0 {}
}

/// A machine that has three turns' work with each message.
struct Fanout {
    waiting: usize,
    /// What was carried out since the last message.
    carried: usize,
    /// Messages that came while the work of one before was left, though a turn had been since.
    early: usize,
    messages: usize,
}

impl Node for Fanout {
    type Event = usize;

    fn handle_input(&mut self, _now: Time, input: Input) {
        if let Input::Message { .. } = input {
            self.early += usize::from(self.waiting > 0 && self.carried > 0);
            (self.waiting, self.carried) = (20_000, 0);
            self.messages += 1;
        }
    }

    fn handle_timeout(&mut self, _now: Time) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.waiting = self.waiting.checked_sub(1)?;
        self.carried += 1;
        // To no group: it costs nothing.
        Some(Transmit::Announce { channel: Channel::Asap, bytes: bytes::Bytes::new() })
    }

    fn poll_event(&mut self) -> Option<usize> {
        None
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}

/// A machine that is never done, and takes its time.
#[derive(Default)]
struct Endless {
    /// Turns since it last heard of a backlog, which it hears with each read while there is one.
    turns: usize,
    /// How many these were, each time.
    unread: Vec<usize>,
}

impl Node for Endless {
    type Event = ();

    fn handle_input(&mut self, _now: Time, input: Input) {
        if let Input::Backlog { packets: 1.. } = input {
            self.unread.push(std::mem::take(&mut self.turns));
        }
    }

    fn handle_timeout(&mut self, _now: Time) {
        self.turns += 1;
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        // A turn of these takes tens of milliseconds.
        (0..5000).for_each(|work| _ = std::hint::black_box(work));
        Some(Transmit::Announce { channel: Channel::Asap, bytes: bytes::Bytes::new() })
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        Some((Time::ZERO, "every turn"))
    }
}

// Design D2, D11: a machine that is never done keeps the thread from reading for some time, not for so many turns, however
// long they are.
#[tokio::test]
async fn a_machine_that_is_never_done_does_not_keep_the_thread_from_reading() {
    let server = Driver::spawn(Setup::on(V4).config(), |_| Endless::default(), |_, _, _| {}).unwrap();
    let socket = UdpSocket::bind((V4, 0)).unwrap();
    for _ in 0..2000 {
        socket.send_to(b"no packet of SCTP", server.local_addresses()[0]).unwrap();
    }
    let mut unread = Vec::new();
    while unread.len() < 4 {
        unread = within("answer", server.call(|machine, _| machine.unread.clone())).await.unwrap();
    }
    assert!(unread[1..].iter().all(|turns| *turns < 16), "{unread:?}");
}

// Design D11: nothing is read that makes more work while the machine has some left, so its queue does not grow.
#[tokio::test]
async fn nothing_is_read_before_the_machine_is_done_with_what_was() {
    let make = |_: &[_]| Fanout { waiting: 0, carried: 0, early: 0, messages: 0 };
    let server = Driver::spawn(Setup::on(V4).config(), make, |_, _, _| {}).unwrap();
    let address = server.local_addresses()[0];
    let mut client = Setup::on(V4).start();
    let assoc = client.call(move |machine| machine.connect(Channel::Asap, address)).await;
    client.expect("Up", |_, input| matches!(input, Input::Up { .. }).then_some(())).await;
    let mut received = 0;
    for sent in 1..=200 {
        client.send(assoc, 0, "more").await;
        // Not so much at a time that the association is full.
        while sent > received + 20 {
            received = within("answer", server.call(|machine, _| machine.messages)).await.unwrap();
        }
    }
    let early = within("answer", server.call(|machine, _| machine.early)).await.unwrap();
    // But for turns that took the thread too long, since it had to wait for its processor.
    assert!(early < 20, "{early}");
}
