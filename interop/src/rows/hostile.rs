//! Messages that no honest program sends, and more load than sense: what of it stays with our registrar is counters.
//!
//! rsplib's own attackers (`attacker`, `hrestest`, `testregistrator`) are in its sources, but in no package of Debian's: their
//! parts are played by our SCTP with messages of our own, and by `rserpool bench`.

use super::cast::{Element, Registrar, SOON, Side, start_user};
use super::{Row, both_ways};
use crate::lab::{Host, Lab, Mark, Program};
use crate::ours::{self, Way};
use crate::rsplib::{self, ASAP_PORT, ENRP_PORT};
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ROWS: &[Row] = both_ways! {
    300,
    "hostile-asap", "a pool element or user that lies and sends nonsense: our registrar goes on, and keeps nothing of it" =>
        |lab, way| hostile(lab, way, ASAP_PORT, asap_messages);
    "hostile-enrp", "a registrar that lies and sends nonsense: ours goes on, and keeps nothing of it" =>
        |lab, way| hostile(lab, way, ENRP_PORT, enrp_messages);
    "hostile-load", "thousands of registrations and resolutions that break off, hsdumps at random: nothing is left" => load;
    "extensions-rsplib", "unknown parameters: rsplib's registrar takes them inside a pool element, and no others" =>
        |lab, way| extensions(lab, way, Side::Rsplib);
    "extensions-ours", "unknown parameters: our registrar skips them, inside a pool element and behind it" =>
        |lab, way| extensions(lab, way, Side::Ours);
};

/// After so many messages it is looked whether the element that lives is listed.
const SAMPLED: usize = 8;

/// One end of an association that sends whatever bytes it is told to.
struct Sender {
    peer: Arc<Program>,
    ppid: u32,
}

impl Sender {
    fn connect(
        lab: &mut Lab,
        way: Way,
        name: &str,
        host: &Host,
        registrar: &Registrar,
        port: u16,
    ) -> anyhow::Result<Sender> {
        let transport = match way {
            Way::Udp => "udp",
            Way::Kernel => "kernel",
        };
        let peer = crate::lab::ours("rserpool-interop").args([
            "peer".to_owned(),
            "--patient".to_owned(),
            format!("--transport={transport}"),
            format!("--listen={}:7000", host.v4()),
        ]);
        let peer = match way {
            Way::Udp => peer.arg(way.option()),
            Way::Kernel => peer,
        };
        let sender =
            Sender { peer: lab.start(name, host, &peer)?, ppid: if port == ASAP_PORT { 11 } else { 12 } };
        sender.peer.wait("listening", SOON)?;
        sender.peer.write_line(&format!("connect {}:{port}", registrar.address()))?;
        sender.peer.wait("up 1:", SOON)?;
        Ok(sender)
    }

    fn send(&self, hex: &str) -> anyhow::Result<()> {
        self.peer.write_line(&format!("bytes 1 {} {}", self.ppid, hex.replace(char::is_whitespace, "")))
    }

    /// Sends a request and waits for what begins with the answer's type and flags.
    fn ask(&self, hex: &str, answer: &str) -> anyhow::Result<String> {
        let mark = self.peer.mark();
        self.send(hex)?;
        let start = format!("message 1: ppid {}, ", self.ppid);
        let line = self
            .peer
            .wait_for(mark, &format!("an answer {answer}"), SOON, |line| line.text.starts_with(&start))?;
        let message = line.text.trim_start_matches(&start).to_owned();
        ensure!(message.starts_with(answer), "{message} instead of {answer}: an answer to {hex}");
        Ok(message)
    }
}

/// A pool handle and an element 0xbad00001 of Round Robin with this service address, its parameter of 40 bytes.
fn element(address: &str) -> String {
    format!(
        "0009000c 4563686f506f6f6c 000a0028 bad00001 00000000 00007530 00040010 1b580001 00010008 {address} 00080008 00000001"
    )
}

/// What clients should not send. The element with this identifier is another one's.
fn asap_messages(victim: &str, address: &str) -> Vec<String> {
    let mut messages: Vec<String> = [
        // Types that nobody knows, with each of the two action bits.
        "3f000004",
        "7f000004",
        "bf000004",
        "ff000004",
        // Lengths that are not those of the message.
        "0500ffff",
        "05000003",
        "05000004",
        "050000",
        "05",
        // A pool handle without bytes, one of 60,000, one that is reserved.
        "05000008 00090004",
        // Parameters where others belong, one that is longer than its message.
        "05000010 000a000c 4563686f506f6f6c",
        "05000010 00090fff 4563686f506f6f6c",
        "0500000c 00080008 00000001",
        // What only registrars say.
        "03000018 0009000c 4563686f506f6f6c 000e0008 12345678",
        "06000018 0009000c 4563686f506f6f6c 000c0008 00090004",
        "0700001c aabbccdd 0009000c 4563686f506f6f6c 000e0008 12345678",
        "0a000008 aabbccdd",
        // What only sessions say.
        "0b00000c 000d0008 00000000",
        "0c00000c 000d0008 00000000",
        // Errors, of which nothing may come.
        "0e00000c 000c0008 00090004",
    ]
    .map(str::to_owned)
    .into();
    messages.push(format!("0500ea64 0009ea60 {}", "41".repeat(60_000 - 4)));
    // Somebody else's element: to be removed, to be reported by one alone, to be moved here, to be alive.
    for kind in ["02", "09", "08"] {
        messages.push(format!("{kind}000018 0009000c 4563686f506f6f6c 000e0008 {victim}"));
    }
    messages.push(format!("01000038 {}", element(address).replace("bad00001", victim)));
    // Elements with an address of others, without any, of a policy or a transport that the pool has not.
    messages.push(format!("01000038 {}", element("08080808")));
    messages.push(format!("01000038 {}", element("7f000001")));
    messages.push(format!("01000038 {}", element(address).replace("bad00001", "00000000")));
    messages.push(format!("01000038 {}", element(address).replace("00080008 00000001", "00080008 00000003")));
    messages.push(format!("01000038 {}", element(address).replace("1b580001 00010008", "00000001 00010008")));
    mutations(&format!("01000038 {}", element(address)), &mut messages);
    mutations("05000018 0009000c 4563686f506f6f6c 803f0008 00000001", &mut messages);
    messages
}

/// What registrars should not send, least of all those that are none.
fn enrp_messages(victim: &str, address: &str) -> Vec<String> {
    const US: &str = "bad00002";
    let entry = format!(
        "0009000c 4563686f506f6f6c 000a0038 {victim} {US} 00007530 00040010 1b580001 00010008 {address} 00080008 00000001 00040010 9c410000 00010008 {address}"
    );
    let presence =
        format!("0100002c {US} 00000000 000f0006 ffff0000 000b0018 {US} 00040010 26ad0000 00010008");
    let mut messages: Vec<String> = [
        "3f00000c bad00002 00000000",
        "ff00000c bad00002 00000000",
        "0100ffff",
        "0100000c bad00002 00000000",
        "01000004",
        "0100",
    ]
    .map(str::to_owned)
    .into();
    // Somebody else's element: to be moved to us, to be removed; and one of nobody's home.
    messages.push(format!("04000054 {US} 00000000 00000000 {entry}"));
    messages.push(format!("04000054 {US} 00000000 00010000 {entry}"));
    messages.push(
        format!("04000054 {US} 00000000 00000000 {entry}")
            .replace(&format!("{victim} {US}"), "bad00001 00000000"),
    );
    // A table that nobody asked for, requests of somebody whom nobody knows.
    messages.push(format!("03000050 {US} 00000000 {entry}"));
    messages.push(format!("0200000c {US} 00000000"));
    messages.push(format!("0500000c {US} 00000000"));
    // Presences of a registrar that is somewhere else, of one with the identifier of ours, and of one with none.
    messages.push(format!("{presence} 08080808"));
    messages.push(format!("{presence} {address}").replace(US, "00000010"));
    messages.push(format!("{presence} {address}").replace(US, "00000000"));
    mutations(&format!("{presence} {address}"), &mut messages);
    mutations(&format!("04000054 {US} 00000000 00000000 {entry}"), &mut messages);
    // In the end takeovers of registrars that live: the one that is told so, and its peer.
    for kind in ["07", "08", TAKEOVER_SERVER] {
        messages.push(format!("{kind}000010 {US} 00000000 00000010"));
        messages.push(format!("{kind}000010 {US} 00000000 00000020"));
        messages.push(format!("{kind}000010 {US} 00000000 {US}"));
        messages.push(format!("{kind}000010 00000010 00000010 00000010"));
    }
    messages
}

/// Registrars trust each other (RFC 5353 §6.2): whoever says that it has taken a registrar over has its elements from then on, until
/// they register again.
const TAKEOVER_SERVER: &str = "09";

/// The message with each of its bytes changed, and cut at some of them.
fn mutations(hex: &str, into: &mut Vec<String>) {
    let hex = hex.replace(char::is_whitespace, "");
    for at in (0..hex.len()).step_by(2) {
        into.push(format!("{}ff{}", &hex[..at], &hex[at + 2..]));
        if at % 12 == 2 {
            into.push(hex[..at].to_owned());
        }
    }
}

//
/// What must be as before: pools, elements with their homes and addresses, registrars. Not the number of associations:
/// those over which nothing comes are tolerated while there is room.
fn kept(lab: &mut Lab, registrar: &Registrar, name: &str) -> anyhow::Result<String> {
    let status = ours::admin(lab, &format!("status-{name}"), &registrar.host, &["status"])?;
    let kept = ["pools", "elements", "silent", "subscriptions", "peers"];
    let of_interest = |line: &&str| kept.iter().any(|word| line.starts_with(word));
    let status: String = status.lines().filter(of_interest).map(|line| format!("{line}\n")).collect();
    let elements = ours::admin(lab, &format!("elements-{name}"), &registrar.host, &["element"])?;
    Ok(status + &elements)
}

/// Whether an element is listed now.
fn ensure_listed(lab: &mut Lab, registrar: &Registrar, element: &Element) -> anyhow::Result<()> {
    let name = format!("listed-{}", lab.elapsed().as_millis());
    let listed = ours::admin(lab, &name, &registrar.host, &["element"])?;
    ensure!(listed.contains(&element.id), "an element that lives is not listed:\n{listed}");
    Ok(())
}

/// Waits until nothing is left of what was before otherwise.
fn wait_until_kept(lab: &mut Lab, registrar: &Registrar, before: &str) -> anyhow::Result<()> {
    let until = Instant::now() + SOON * 2;
    loop {
        let name = format!("{}-{}", registrar.host.name(), lab.elapsed().as_millis());
        let now = kept(lab, registrar, &name)?;
        if now == before {
            return Ok(());
        }
        ensure!(Instant::now() < until, "before:\n{before}\nafterwards:\n{now}");
        thread::sleep(Duration::from_millis(500));
    }
}

/// Bytes of a process in memory.
fn memory(program: &Program) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Sends it all, each message over an association of its own if the one before was the end of it.
fn hostile(
    lab: &mut Lab,
    way: Way,
    port: u16,
    messages: fn(&str, &str) -> Vec<String>,
) -> anyhow::Result<()> {
    // tshark would find fault with what is wrong on purpose.
    lab.no_capture();
    let registrar = Registrar::start(lab, way, Side::Ours)?;
    let second = registrar.start_second(lab, way)?;
    let victim = Element::start(lab, way, Side::Rsplib, "echo", &registrar, "echo")?;
    let until = Instant::now() + SOON;
    while !second.elements(lab, &format!("second-{}", lab.elapsed().as_millis()))?.contains(&victim.id) {
        ensure!(Instant::now() < until, "the second registrar does not hear of the element");
        thread::sleep(Duration::from_millis(500));
    }
    let before = kept(lab, &registrar, "before")?;
    let before_at_second = kept(lab, &second, "before-at-second")?;
    let host = lab.host("attacker", way.ours())?;
    let address: String = host.v4().octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let messages = messages(&victim.id, &address);
    let believed =
        messages.iter().position(|message| message.starts_with(TAKEOVER_SERVER) && port == ENRP_PORT);
    let believed = believed.unwrap_or(messages.len());
    let mut sizes = Vec::new();
    for round in 1..=3 {
        let sender = Sender::connect(lab, way, &format!("attacker-{round}"), &host, &registrar, port)?;
        let mut association = 1;
        for (number, message) in messages.iter().enumerate() {
            if number % SAMPLED == 0 && number < believed {
                ensure_listed(lab, &registrar, &victim)?;
            }
            let line =
                format!("bytes {association} {} {}", sender.ppid, message.replace(char::is_whitespace, ""));
            sender.peer.write_line(&line)?;
            if sender.peer.lines().iter().any(|line| line.text.starts_with(&format!("down {association}:"))) {
                association += 1;
                sender.peer.write_line(&format!("connect {}:{port}", registrar.address()))?;
                sender.peer.wait(&format!("up {association}:"), SOON)?;
            }
        }
        // In order behind the last message.
        sender.peer.write_line(&format!("shutdown {association}"))?;
        sender.peer.wait(&format!("down {association}:"), SOON)?;
        sender.peer.stop(Signal::SIGKILL, SOON)?;
        wait_until_kept(lab, &registrar, &before)?;
        wait_until_kept(lab, &second, &before_at_second)?;
        sizes.push(memory(&registrar.program)?);
    }
    lab.note(format!(
        "{} messages, three times; memory after each in KiB: {:?}",
        messages.len(),
        sizes.iter().map(|size| size / 1024).collect::<Vec<_>>()
    ));
    let status = ours::admin(lab, "status-afterwards", &registrar.host, &["status"])?;
    lab.note(status.lines().find(|line| line.starts_with("associations")).unwrap_or_default());
    // The first time it fills buffers that it will use again.
    ensure!(sizes[2] < sizes[1] + (1 << 19), "it keeps something: {sizes:?} bytes");
    still_serves(lab, way, &registrar, &victim)
}

/// The element that was there before is there, and found.
fn still_serves(lab: &mut Lab, way: Way, registrar: &Registrar, element: &Element) -> anyhow::Result<()> {
    let host = lab.host("user", way.theirs())?;
    let terminal = start_user(lab, way, Side::Rsplib, &host, registrar, "EchoPool")?;
    terminal.write_line("still here")?;
    terminal.wait_for(Mark::default(), "an answer of the element", SOON, |said| {
        said.text.contains("> still here") && said.text.contains(&element.id)
    })?;
    Ok(())
}

fn load(lab: &mut Lab, way: Way) -> anyhow::Result<()> {
    lab.no_capture();
    let registrar = Registrar::start(lab, way, Side::Ours)?;
    let element = Element::start(lab, way, Side::Rsplib, "echo", &registrar, "echo")?;
    let before = kept(lab, &registrar, "before")?;
    let [loader, reader] = [lab.host("loader", way.ours())?, lab.host("reader", way.theirs())?];
    let address = format!("{}:{ASAP_PORT}", registrar.address());
    let bench = crate::lab::ours("rserpool").args(["--registrar".to_owned(), address, way.option()]);
    let bench = bench.args(["bench", "--elements=500", "--pools=50"]);
    // To its end, with everything deregistered; then broken off by force, while its table is read.
    lab.run("bench", &loader, &bench.clone().arg("--resolutions=3000"))?;
    wait_until_kept(lab, &registrar, &before)?;
    for round in 1..=2 {
        let bench = bench.clone().arg("--resolutions=10000000");
        let bench = lab.start(&format!("bench-{round}"), &loader, &bench)?;
        lab.run(&format!("hsdump-{round}"), &reader, &rsplib::hsdump(&registrar.host))?;
        bench.stop(Signal::SIGKILL, SOON)?;
        wait_until_kept(lab, &registrar, &before)?;
    }
    still_serves(lab, way, &registrar, &element)
}

// RFC 5354 §2: what is to be skipped by its type is skipped.
fn extensions(lab: &mut Lab, way: Way, side: Side) -> anyhow::Result<()> {
    const UNKNOWN: &str = "9abc0008 00000000";
    let registrar = Registrar::start(lab, way, side)?;
    let host = lab.host("p1", way.ours())?;
    let address: String = host.v4().octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let sender = Sender::connect(lab, way, "sender", &host, &registrar, ASAP_PORT)?;
    let element = element(&address);
    let inside = format!("01000040 {} {UNKNOWN}", element.replace("000a0028", "000a0030"));
    let inside = sender.ask(&inside, "0300")?;
    lab.note(format!("inside the pool element: {inside}"));
    let listed = registrar.elements(lab, "inside")?;
    ensure!(listed.contains("bad00001"), "taken, but not listed:\n{listed}");
    let behind = format!("01000040 {element} {UNKNOWN}");
    match side {
        Side::Ours => {
            let answer = sender.ask(&behind, "0300")?;
            lab.note(format!("behind it: {answer}"));
        }
        Side::Rsplib => {
            let answer = sender.ask(&behind, "0e00")?;
            // Header, Operation Error, its first cause: the message is invalid.
            let (parameter, cause) = (answer.get(8..12), answer.get(16..20));
            ensure!((parameter, cause) == (Some("000c"), Some("0010")), "another error: {answer}");
            lab.note(format!("behind it: {answer}"));
        }
    }
    Ok(())
}
