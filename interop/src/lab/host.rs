//! Hosts: network namespaces on one bridge, each with its own SCTP settings, link and faults.

use super::cmd::{Cmd, theirs};
use anyhow::{Context, bail, ensure};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

/// UDP port of SCTP in UDP (RFC 6951).
pub(crate) const ENCAPSULATION_PORT: u16 = 9899;

/// How a host speaks SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sctp {
    /// The kernel's SCTP, on IP.
    Kernel,
    /// The kernel's SCTP, in UDP: it takes packets at port 9899 and sends its own to that port of the peers.
    KernelInUdp,
    /// A program brings its own.
    Embedded,
}

/// A host. A copy is the same host.
#[derive(Clone)]
pub(crate) struct Host {
    name: String,
    number: u8,
    ipv6: bool,
    namespace: Arc<Namespace>,
}

/// A network namespace.
struct Namespace(File);

/// The sysctl for the port at which the kernel's SCTP takes packets in UDP.
const UDP_PORT: &str = "/proc/sys/net/sctp/udp_port";

impl Namespace {
    /// A new one, whose kernel takes SCTP in UDP if it is to.
    fn add(name: &str, sctp: Sctp) -> anyhow::Result<Namespace> {
        let path = format!("/run/netns/{name}");
        let mut useless = Vec::new();
        loop {
            ip(&[&format!("netns add {name}")])?;
            let namespace = Namespace(File::open(&path).with_context(|| path.clone())?);
            if sctp != Sctp::KernelInUdp {
                return Ok(namespace);
            }
            let Err(error) = namespace.take_udp() else { return Ok(namespace) };
            // Now and then the kernel finds the port in use in a new namespace, and goes on to: perhaps a socket is left of one
            // that has ended, and whose place in memory this one has. As long as it is there the next one has another place.
            ensure!(useless.len() < 20, "{UDP_PORT} = {ENCAPSULATION_PORT}: {error:#}");
            useless.push(namespace);
            ip(&[&format!("netns del {name}")])?;
        }
    }

    fn take_udp(&self) -> anyhow::Result<()> {
        self.enter(|| fs::write(UDP_PORT, ENCAPSULATION_PORT.to_string()).map_err(anyhow::Error::from))
    }

    fn enter<T: Send, E: Send + From<nix::Error>>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let enter_and_work = || {
            setns(&self.0, CloneFlags::CLONE_NEWNET)?;
            work()
        };
        thread::scope(|scope| match scope.spawn(enter_and_work).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

/// The bridge between the hosts. It floods multicast, and the capture there sees everything.
pub(super) fn bridge() -> anyhow::Result<()> {
    fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?; // the bridge itself says nothing
    ip(&[
        "link set lo up",
        "link add br0 type bridge mcast_snooping 0 stp_state 0",
        "link set br0 up promisc on",
    ])?;
    run("ethtool", &["-K", "br0", "tx", "off"])
}

impl Host {
    /// Adds the host number `number` to the bridge.
    pub(super) fn add(name: &str, number: u8, sctp: Sctp, ipv6: bool) -> anyhow::Result<Host> {
        let namespace = Arc::new(Namespace::add(name, sctp)?);
        ip(&[
            &format!("link add v{number} type veth peer name eth0 netns {name}"),
            &format!("link set v{number} master br0 up"),
        ])?;
        let host = Host { name: name.to_owned(), number, ipv6, namespace };
        if !ipv6 {
            host.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        }
        let mut config = vec![
            "link set lo up".to_owned(),
            format!("addr add {}/24 dev eth0", host.v4()),
            "link set eth0 up".to_owned(),
            "route add 224.0.0.0/4 dev eth0".to_owned(),
        ];
        if ipv6 {
            config.push(format!("addr add {}/64 dev eth0 nodad", host.v6()));
        }
        let config: Vec<&str> = config.iter().map(String::as_str).collect();
        host.enter(move || ip(&config))?;
        // Real checksums in each packet: they are compared, by us and in the captures. And real packets: what the
        // kernel's SCTP leaves to a device to cut has no checksum at all when it comes to a UDP socket.
        let offloads = ["tx", "off", "gso", "off", "gro", "off", "tx-sctp-segmentation", "off"];
        run("ethtool", &[&["-K", &format!("v{number}")], &offloads[..]].concat())?;
        host.enter(|| run("ethtool", &[&["-K", "eth0"], &offloads[..]].concat()))?;
        if sctp == Sctp::KernelInUdp {
            host.sysctl("net/sctp/encap_port", &ENCAPSULATION_PORT.to_string())?;
        }
        Ok(host)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address.
    pub(crate) fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.number)
    }

    /// Its IPv6 address, if it has one.
    pub(crate) fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, u16::from(self.number))
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let v6 = self.ipv6.then(|| IpAddr::V6(self.v6()));
        [IpAddr::V4(self.v4())].into_iter().chain(v6).collect()
    }

    /// Sets a kernel parameter of this host: `net/sctp/rto_max`.
    pub(crate) fn sysctl(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let path = format!("/proc/sys/{name}");
        self.enter(|| fs::write(&path, value)).with_context(|| format!("{path} = {value}"))
    }

    /// Faults for everything that this host sends, in the words of `tc netem`: "loss 1% delay 10ms 3ms". "" ends them.
    pub(crate) fn netem(&self, faults: &str) -> anyhow::Result<()> {
        let line = match faults {
            "" => "qdisc del dev eth0 root".to_owned(),
            faults => format!("qdisc replace dev eth0 root netem {faults}"),
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        self.enter(|| run("tc", &words))
    }

    /// Runs a tool on this host and returns its standard output; an error unless its exit code is 0.
    pub(crate) fn tool(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let cmd: Cmd = theirs(program).args(args.iter().copied());
        let output =
            self.enter(|| cmd.command().stdin(Stdio::null()).output()).with_context(|| cmd.to_string())?;
        if !output.status.success() {
            bail!("{cmd}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Does something in the host's network namespace: what is started there stays there.
    pub(super) fn enter<T: Send, E: Send + From<nix::Error>>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<T, E> {
        self.namespace.enter(work)
    }
}

/// Several commands of `ip` in one process: a fork is slow in the VM.
fn ip(commands: &[&str]) -> anyhow::Result<()> {
    let mut child =
        Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("ip has no input")?.write_all((commands.join("\n") + "\n").as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip {}: {}", commands.join("; "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Runs a tool whose output is of no interest unless it fails.
fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new(program).args(args).stdin(Stdio::null()).output().context(program.to_owned())?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
