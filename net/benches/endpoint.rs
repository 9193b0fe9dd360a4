//! What the endpoint costs: requests per second against a plain UDP echo, and many idle associations.
//!
//! `cargo bench -p rserpool-net --bench endpoint` prints two tables. Client and server are processes of their own,
//! each with one thread that does the work, so their CPU time can be told apart. A request has 64 bytes, an answer
//! 200. The contestants run in turns, several times, and the best round of each counts: the machine's other work
//! can only make a round worse.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]

use bytes::Bytes;
use proto::{AssocId, Channel, Input, Node, Time, Transmit};
use rserpool_net::sctp::{SctpConfig, SctpTiming};
use rserpool_net::{Driver, DriverConfig, Handle, Listen};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const REQUEST: usize = 64;
const ANSWER: usize = 200;
const DEPTHS: [usize; 2] = [1, 64];
const REPEATS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
const ASSOCIATIONS: usize = 5_000;
/// Handshakes, and requests to all, on their way at once.
const PACE: usize = 100;
const IDLE: Duration = Duration::from_secs(10);
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("serve-udp"), _) => serve_udp().await,
        (Some("serve-sctp"), timing) => serve_sctp(timing.as_deref()).await,
        _ => {
            requests().await;
            associations("rfc").await;
            associations("lan").await;
        }
    }
}

// ---- Requests and answers ----

/// One round: operations per second, and CPU microseconds per operation of client and server.
#[derive(Clone, Copy)]
struct Round {
    rate: f64,
    client: f64,
    server: f64,
}

async fn requests() {
    let mut udp_server = Server::start("serve-udp", "lan");
    let mut sctp_server = Server::start("serve-sctp", "lan");
    println!("{REQUEST} bytes there, {ANSWER} back, best of {REPEATS} interleaved rounds of {ROUND:?}\n");
    println!("transport        depth   requests/s   CPU us/op client   server");
    for depth in DEPTHS {
        let mut best: [Option<Round>; 2] = [None; 2];
        for _ in 0..REPEATS {
            keep_best(&mut best[0], udp_round(&mut udp_server, depth).await);
            keep_best(&mut best[1], sctp_round(&mut sctp_server, depth).await);
        }
        for (name, best) in ["plain UDP echo", "SCTP endpoint"].iter().zip(best) {
            let Round { rate, client, server } = best.unwrap();
            println!("{name:<16} {depth:>5} {rate:>12.0} {client:>18.1} {server:>8.1}");
        }
    }
}

fn keep_best(best: &mut Option<Round>, round: Round) {
    if best.is_none_or(|best| round.rate > best.rate) {
        *best = Some(round);
    }
}

/// Measures `ROUND`; `count` tells how many operations are done.
async fn measure<F: AsyncFnMut() -> u64>(
    server: &Server,
    mut count: F,
    mut drive: impl AsyncFnMut(Instant),
) -> Round {
    let (start, operations) = (Instant::now(), count().await);
    let cpu = (cpu_of("self"), cpu_of(&server.pid()));
    drive(start + ROUND).await;
    let operations = (count().await - operations) as f64;
    let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6 / operations;
    Round {
        rate: operations / start.elapsed().as_secs_f64(),
        client: micros(cpu_of("self") - cpu.0),
        server: micros(cpu_of(&server.pid()) - cpu.1),
    }
}

async fn udp_round(server: &mut Server, depth: usize) -> Round {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    socket.connect(server.address).await.unwrap();
    for _ in 0..depth {
        socket.send(&[0; REQUEST]).await.unwrap();
    }
    let done = std::cell::Cell::new(0);
    let drive = async |end| {
        let mut buffer = [0; 2048];
        while Instant::now() < end {
            socket.recv(&mut buffer).await.unwrap();
            socket.send(&[0; REQUEST]).await.unwrap();
            done.set(done.get() + 1);
        }
    };
    measure(server, async || done.get(), drive).await
}

async fn sctp_round(server: &mut Server, depth: usize) -> Round {
    let client = start(Role::Client, SctpConfig::sessions());
    let to = server.address;
    client.call(move |machine, _| machine.connect(to, depth)).await.unwrap();
    let count = async || client.call(|machine, _| machine.answers).await.unwrap();
    while count().await == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    measure(server, count, async |end| tokio::time::sleep_until(end.into()).await).await
}

async fn serve_udp() {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    println!("{}", socket.local_addr().unwrap());
    let mut buffer = [0; 2048];
    loop {
        // An ICMP error of a client that is gone.
        if let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&[0; ANSWER], from).await;
        }
    }
}

// ---- Many associations ----

async fn associations(timing: &str) {
    let server = Server::start("serve-sctp", timing);
    let client = start(Role::Client, config(Some(timing)));
    let to = server.address;
    let before = memory_of(&server.pid());
    let (began, cpu) = (Instant::now(), cpu_of(&server.pid()));
    client.call(move |machine, _| machine.connect_all(to)).await.unwrap();
    wait_until(&client, |machine| machine.up.len() + machine.down >= ASSOCIATIONS).await;
    let setup = began.elapsed();
    let setup_cpu = cpu_of(&server.pid()) - cpu;
    let fresh = memory_of(&server.pid()) - before;
    client.call(|machine, _| machine.ask_everyone()).await.unwrap();
    wait_until(&client, |machine| machine.answers as usize + machine.down >= machine.up.len()).await;
    let used = memory_of(&server.pid()) - before;

    let cpu = (cpu_of("self"), cpu_of(&server.pid()));
    tokio::time::sleep(IDLE).await;
    let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / IDLE.as_secs_f64();
    let idle = (percent(cpu_of("self") - cpu.0), percent(cpu_of(&server.pid()) - cpu.1));
    let down = client.call(|machine, _| machine.down).await.unwrap();
    let heartbeat = config(Some(timing)).timing.heartbeat_interval;
    println!(
        "\n{ASSOCIATIONS} associations, heartbeat every {heartbeat:?}\n\
         established in     {setup:.2?}, server CPU {:.1} us each\n\
         server memory      {:.1} kB each, {:.1} kB after one request\n\
         idle for {IDLE:?}      client {:.1} %, server {:.1} % of a core; {down} went down",
        setup_cpu.as_secs_f64() * 1e6 / ASSOCIATIONS as f64,
        fresh as f64 / ASSOCIATIONS as f64 / 1e3,
        used as f64 / ASSOCIATIONS as f64 / 1e3,
        idle.0,
        idle.1,
    );
}

async fn wait_until(client: &Handle<Machine>, done: fn(&Machine) -> bool) {
    while !client.call(move |machine, _| done(machine)).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

// ---- The machine ----

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Client,
    Server,
}

/// A server answers each request; a client sends the next request when it has its answer.
struct Machine {
    role: Role,
    depths: Vec<usize>,
    /// Where to connect to, and how often.
    pending: Option<(SocketAddr, usize)>,
    up: Vec<AssocId>,
    /// Associations that still have to get their one request.
    unasked: Vec<AssocId>,
    down: usize,
    answers: u64,
    /// Whether an answer is followed by the next request.
    busy: bool,
    transmits: VecDeque<Transmit>,
}

impl Machine {
    fn connect(&mut self, to: SocketAddr, depth: usize) {
        let assoc = AssocId::connected(self.depths.len() as u64);
        self.depths.push(depth);
        self.busy = depth > 0;
        self.transmits.push_back(Transmit::Connect { assoc, channel: Channel::Session, remote: vec![to] });
    }

    fn connect_all(&mut self, to: SocketAddr) {
        self.pending = Some((to, ASSOCIATIONS));
        (0..PACE).for_each(|_| self.connect_next());
    }

    fn connect_next(&mut self) {
        if let Some((to, rest)) = self.pending.filter(|(_, rest)| *rest > 0) {
            self.pending = Some((to, rest - 1));
            self.connect(to, 0);
        }
    }

    fn ask_everyone(&mut self) {
        self.unasked = self.up.clone();
        (0..PACE).for_each(|_| self.ask_next());
    }

    fn ask_next(&mut self) {
        if let Some(assoc) = self.unasked.pop() {
            self.send(assoc, &[0; REQUEST]);
        }
    }

    fn send(&mut self, assoc: AssocId, bytes: &'static [u8]) {
        let bytes = Bytes::from_static(bytes);
        self.transmits.push_back(Transmit::Send { assoc, stream: 0, ppid: 0, unordered: false, bytes });
    }
}

impl Node for Machine {
    type Event = ();

    fn handle_input(&mut self, _now: Time, input: Input) {
        match input {
            Input::Up { assoc, .. } => {
                self.up.push(assoc);
                self.connect_next();
                if self.role == Role::Client {
                    let depth = self.depths[assoc.as_u64() as usize];
                    (0..depth).for_each(|_| self.send(assoc, &[0; REQUEST]));
                }
            }
            Input::Message { assoc, .. } if self.role == Role::Server => self.send(assoc, &[0; ANSWER]),
            Input::Message { assoc, .. } => {
                self.answers += 1;
                self.ask_next();
                if self.busy {
                    self.send(assoc, &[0; REQUEST]);
                }
            }
            Input::Down { .. } => {
                self.down += 1;
                self.connect_next();
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _now: Time) {}

    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<(Time, &'static str)> {
        None
    }
}

fn config(timing: Option<&str>) -> SctpConfig {
    let mut config = SctpConfig::sessions();
    config.limits.handshakes_per_second = 1_000_000;
    if timing == Some("rfc") {
        config.timing = SctpTiming::rfc();
    }
    config
}

fn start(role: Role, sctp: SctpConfig) -> Handle<Machine> {
    let listen = vec![Listen::new(Channel::Asap, (LOOPBACK, 0).into(), sctp)];
    let machine = move |_: &[SocketAddr]| Machine {
        role,
        depths: Vec::new(),
        pending: None,
        up: Vec::new(),
        unasked: Vec::new(),
        down: 0,
        answers: 0,
        busy: false,
        transmits: VecDeque::new(),
    };
    Driver::spawn(DriverConfig { name: "endpoint".into(), listen, multicast: None }, machine, |_, _, ()| {})
        .unwrap()
}

async fn serve_sctp(timing: Option<&str>) {
    let server = start(Role::Server, config(timing));
    println!("{}", server.local_addresses()[0]);
    server.closed().await;
}

// ---- Processes ----

/// This program again, as a server.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(role: &str, timing: &str) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut process = Command::new(program).args([role, timing]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap() }
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// User and system time (proc(5): fields 14 and 15 of stat, in ticks of 10 ms).
fn cpu_of(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks =
        |field: usize| -> u64 { after_name.split_whitespace().nth(field - 3).unwrap().parse().unwrap() };
    Duration::from_millis(10 * (ticks(14) + ticks(15)))
}

/// Resident bytes (proc(5): field 2 of statm, in pages of 4 KiB).
fn memory_of(pid: &str) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
