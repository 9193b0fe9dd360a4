//! Our kernel backend and our embedded SCTP against each other, over UDP.

use super::Row;
use crate::lab::{Host, Lab, Program, Sctp, ours};
use anyhow::{Context, ensure};
use nix::sys::signal::Signal;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "kernel-endpoint",
        shows: "the tests of the kernel backend, which other machines skip",
        limit: 240,
        run: tests,
    },
    Row {
        name: "transport-messages",
        shows: "kernel and embedded, both directions, IPv4 and IPv6: 1 byte to 1 MiB, streams, PPIDs, unordered, ends",
        limit: 180,
        run: messages,
    },
    Row {
        name: "transport-faults",
        shows: "kernel and embedded: killed, frozen, restarted peers, both connecting at once",
        limit: 180,
        run: faults,
    },
    Row {
        name: "transport-netem",
        shows: "kernel and embedded on bad networks: nothing lost, nothing twice, in order; throughput",
        limit: 300,
        run: bad_networks,
    },
];

/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// SCTP port of all peers.
const PORT: u16 = 5000;

/// The tests of `net/tests/kernel.rs`.
fn tests(lab: &mut Lab) -> anyhow::Result<()> {
    lab.no_capture();
    let host = lab.dual_host("k1", Sctp::Kernel)?;
    let lines = lab.run("tests", &host, &ours("kernel").arg("--test-threads=2"))?;
    let skipped = lines.iter().find(|line| line.text.contains("SKIPPED"));
    ensure!(skipped.is_none(), "{}", skipped.map_or("", |line| &line.text));
    let result = lines.iter().rev().find(|line| line.text.starts_with("test result: ok"));
    lab.note(result.context("no result")?.text.clone());
    Ok(())
}

/// A host with a peer on it.
struct End {
    host: Host,
    peer: Arc<Program>,
}

impl End {
    fn start(
        lab: &mut Lab,
        name: &str,
        host: &Host,
        sctp: Sctp,
        at: IpAddr,
        more: &[&str],
    ) -> anyhow::Result<Self> {
        let transport = if sctp == Sctp::Embedded { "udp" } else { "kernel" };
        let peer = ours("rserpool-interop")
            .args(["peer", "--encap-port=9899", "--transport", transport])
            .arg(format!("--listen={}", SocketAddr::new(at, PORT)))
            .args(more.iter().copied());
        let peer = lab.start(name, host, &peer)?;
        peer.wait("listening", SOON)?;
        Ok(Self { host: host.clone(), peer })
    }

    fn says(&self, what: &str) -> anyhow::Result<()> {
        self.peer.wait(what, SOON).map(drop)
    }

    fn tell(&self, command: &str) -> anyhow::Result<()> {
        self.peer.write_line(command)
    }

    /// Starts an association with the other end, its `number`th.
    fn connect(&self, other: &Self, address: IpAddr, number: u32) -> anyhow::Result<()> {
        self.tell(&format!("connect {}", SocketAddr::new(address, PORT)))?;
        self.says(&format!("up {number}: connected"))?;
        other.says(&format!("up {number}: accepted"))
    }

    /// Sends messages of all kinds over an association, which arrive as they were.
    fn send_all_kinds(&self, other: &Self, number: u32) -> anyhow::Result<()> {
        for (length, stream, ppid, order) in [
            (1, 0, 39, "ordered"),
            (1200, 1, 4711, "ordered"),
            (65_536, 15, 0, "ordered"),
            (1_048_576, 3, u32::MAX, "ordered"),
            (64, 2, 4712, "unordered"),
        ] {
            self.tell(&format!("send {number} {length} {stream} {ppid} {order}"))?;
            // The embedded SCTP cannot tell whether a message was unordered.
            other.says(&format!("message {number}: {length} bytes, stream {stream}, ppid {ppid}, "))?;
        }
        let broken = other.peer.lines().into_iter().find(|line| line.text.contains("BROKEN"));
        ensure!(broken.is_none(), "{}", broken.map_or_else(String::new, |line| line.text));
        Ok(())
    }
}

fn messages(lab: &mut Lab) -> anyhow::Result<()> {
    // Nothing in it is ASAP or ENRP.
    lab.no_capture();
    let [k, e] = [lab.dual_host("k1", Sctp::KernelInUdp)?, lab.dual_host("e1", Sctp::Embedded)?];
    for (family, k_ip, e_ip) in
        [("v4", IpAddr::V4(k.v4()), IpAddr::V4(e.v4())), ("v6", k.v6().into(), e.v6().into())]
    {
        let kernel =
            End::start(lab, &format!("kernel-{family}"), &k, Sctp::KernelInUdp, k_ip, &["--patient"])?;
        let embedded =
            End::start(lab, &format!("embedded-{family}"), &e, Sctp::Embedded, e_ip, &["--patient"])?;
        let mut number = 0;
        for (one, other, address) in [(&kernel, &embedded, e_ip), (&embedded, &kernel, k_ip)] {
            for end in ["shutdown", "abort"] {
                number += 1;
                one.connect(other, address, number)?;
                one.send_all_kinds(other, number)?;
                other.send_all_kinds(one, number)?;
                if end == "shutdown" {
                    one.tell(&format!("shutdown {number}"))?;
                    one.says(&format!("down {number}: Shutdown"))?;
                    other.says(&format!("down {number}: Shutdown"))?;
                } else {
                    one.tell(&format!("abort {number} out of coffee"))?;
                    one.says(&format!("down {number}: LocalAbort"))?;
                    let down = other.peer.wait(&format!("down {number}: PeerAborted"), SOON)?;
                    ensure!(down.text.contains("out of coffee"), "{}", down.text);
                }
            }
        }
        for end in [kernel, embedded] {
            end.peer.close_input();
            end.peer.wait_exit(SOON)?;
        }
    }
    Ok(())
}

fn faults(lab: &mut Lab) -> anyhow::Result<()> {
    let [k, e] = [lab.host("k1", Sctp::KernelInUdp)?, lab.host("e1", Sctp::Embedded)?];
    let [k_ip, e_ip] = [IpAddr::V4(k.v4()), IpAddr::V4(e.v4())];
    let kernel = End::start(lab, "kernel", &k, Sctp::KernelInUdp, k_ip, &[])?;
    let embedded = End::start(lab, "embedded", &e, Sctp::Embedded, e_ip, &[])?;

    // Both connect at once: one association, whoever comes first.
    kernel.tell(&format!("connect {e_ip}:{PORT}"))?;
    embedded.tell(&format!("connect {k_ip}:{PORT}"))?;
    kernel.says("up 1: ")?;
    embedded.says("up 1: ")?;
    kernel.tell("send 1 100 0 4711 ordered")?;
    embedded.says("message 1: 100 bytes")?;
    embedded.tell("send 1 200 0 4711 ordered")?;
    kernel.says("message 1: 200 bytes")?;
    for end in [&kernel, &embedded] {
        let second = end.peer.lines().into_iter().find(|line| line.text.starts_with("up 2"));
        ensure!(second.is_none(), "two associations: {}", second.map_or_else(String::new, |line| line.text));
    }

    // A frozen process on the kernel's SCTP: the kernel answers for it.
    kernel.peer.signal(Signal::SIGSTOP)?;
    let mark = embedded.peer.mark();
    embedded.tell("send 1 1000 0 4711 ordered")?;
    std::thread::sleep(Duration::from_secs(3));
    kernel.peer.signal(Signal::SIGCONT)?;
    kernel.says("message 1: 1000 bytes")?;
    ensure!(!embedded.peer.lines_after(mark).iter().any(|line| line.text.contains("down")), "given up");

    // A frozen process with its own SCTP is silent: it is given up.
    let frozen = lab.elapsed();
    embedded.peer.signal(Signal::SIGSTOP)?;
    let down = kernel.peer.wait("down 1: Unreachable", SOON)?;
    lab.note(format!(
        "a silent peer is given up by the kernel after {:.1} s",
        (down.at - frozen).as_secs_f64()
    ));
    embedded.peer.signal(Signal::SIGCONT)?;
    embedded.says("down 1: ")?;

    // A peer is killed, and another process takes its ports: the kernel sees a restart.
    kernel.connect(&embedded, e_ip, 2)?;
    embedded.peer.signal(Signal::SIGKILL)?;
    embedded.peer.wait_end(SOON)?;
    let again = End::start(lab, "embedded-again", &e, Sctp::Embedded, e_ip, &[])?;
    again.tell(&format!("connect {k_ip}:{PORT}"))?;
    again.says("up 1: connected")?;
    let restarted = |line: &crate::lab::Line| line.text == "restart 2" || line.text.starts_with("down 2: ");
    let line = kernel.peer.wait_for(crate::lab::Mark::default(), "restart 2 or down 2", SOON, restarted)?;
    lab.note(format!("a peer that is killed and comes back from the same ports: {}", line.text));

    // The kernel ends what a killed process leaves.
    let killed = lab.elapsed();
    kernel.peer.signal(Signal::SIGKILL)?;
    let down = again.peer.wait("down 1: PeerAborted", SOON)?;
    lab.note(format!("the kernel reports a killed process within {:.1} s", (down.at - killed).as_secs_f64()));
    Ok(())
}

fn bad_networks(lab: &mut Lab) -> anyhow::Result<()> {
    lab.no_capture();
    let [k, e] = [lab.host("k1", Sctp::KernelInUdp)?, lab.host("e1", Sctp::Embedded)?];
    let [k_ip, e_ip] = [IpAddr::V4(k.v4()), IpAddr::V4(e.v4())];
    let kernel = End::start(lab, "kernel", &k, Sctp::KernelInUdp, k_ip, &["--patient"])?;
    let embedded = End::start(lab, "embedded", &e, Sctp::Embedded, e_ip, &["--patient"])?;
    kernel.connect(&embedded, e_ip, 1)?;
    for (network, faults, count) in [
        ("clean", "", 200),
        ("1 %", "delay 2ms 1ms loss 1% duplicate 1% reorder 1%", 200),
        ("10 %", "delay 2ms 1ms loss 10% duplicate 10% reorder 10%", 60),
    ] {
        if !faults.is_empty() {
            for end in [&kernel, &embedded] {
                end.host.netem(faults)?;
            }
        }
        for (one, other, direction) in
            [(&kernel, &embedded, "kernel to embedded"), (&embedded, &kernel, "embedded to kernel")]
        {
            let mark = other.peer.mark();
            one.tell(&format!("bulk 1 {count} 2000"))?;
            let line = other.peer.wait_after(mark, "bulk 1: ", 2 * SOON)?;
            ensure!(line.text.contains(&format!("{count} of {count}, 0 wrong")), "{network}: {}", line.text);
            let seconds =
                line.text.rsplit(' ').nth(1).and_then(|text| text.parse::<f64>().ok()).context("time")?;
            let rate = f64::from(count) * 2.0 / seconds.max(0.001);
            lab.note(format!("{network}, {direction}: {count} messages of 2000 bytes, {rate:.0} kB/s"));
        }
    }
    Ok(())
}
