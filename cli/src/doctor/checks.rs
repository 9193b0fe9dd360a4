//! What the facts mean: for each thing whether it works, one sentence why, and one what to do.

use super::facts::{Facts, Kernel, Port, Raw, Registrar, Trouble};
use net::udp::EncapPorts;
use serde::Serialize;

/// A smaller receive buffer loses packets when thousands come at once, in bytes.
const ENOUGH_BUFFER: usize = 1 << 20;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// Possible, but not as it should be.
    Warning,
    /// Not possible.
    No,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::No => "no",
        }
    }
}

impl Check {
    fn ok(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, state: State::Ok, why: why.into(), advice: None }
    }

    fn warning(name: &'static str, why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Warning, why: why.into(), advice: Some(advice.into()) }
    }

    fn no(name: &'static str, why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::No, why: why.into(), advice: Some(advice.into()) }
    }
}

/// Whether this transport works: its check has its name.
pub(super) fn works(checks: &[Check], transport: &str) -> bool {
    checks.iter().any(|check| check.name == transport && check.state == State::Ok)
}

/// All checks, transports first.
pub(super) fn all(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![udp(facts), kernel(&facts.kernel), raw(&facts.raw)];
    checks.extend(facts.ports.iter().map(|port| registrars_port(port, &facts.registrar)));
    checks.extend(facts.encap.as_ref().map(|(ports, free)| encap(*ports, free, &facts.kernel)));
    checks.extend(facts.udp.as_ref().ok().map(|bytes| receive_buffer(*bytes)));
    checks.extend([ipv6(facts), multicast(facts), registrar(&facts.registrar), admin(facts)]);
    checks
}

fn udp(facts: &Facts) -> Check {
    match &facts.udp {
        Ok(_) => Check::ok("udp", "SCTP over UDP works, without a privilege and without the kernel's help"),
        Err(error) => Check::no(
            "udp",
            format!("no UDP socket can be opened: {error}"),
            "let this process use UDP sockets (sandbox, seccomp, container), or use another transport",
        ),
    }
}

fn kernel(kernel: &Kernel) -> Check {
    let Kernel { release, loaded, module, socket, .. } = kernel;
    if *module {
        return Check::warning(
            "kernel",
            format!("Linux {release} has the module sctp, but it is not loaded"),
            "modprobe sctp (and look into /etc/modprobe.d: some distributions forbid it)",
        );
    }
    match socket {
        Some(Err(error)) if *loaded => Check::no(
            "kernel",
            format!("SCTP is loaded, but a socket is refused: {error}"),
            "let this process use SCTP sockets (sandbox, seccomp, container)",
        ),
        Some(Err(error)) => Check::no(
            "kernel",
            format!("Linux {release} has no SCTP: {error}"),
            "use the transport \"udp\", which does not need it, or install a kernel with the module sctp",
        ),
        _ => kernel_settings(kernel),
    }
}

/// It has SCTP: whether in UDP, too, and how it chooses addresses.
fn kernel_settings(kernel: &Kernel) -> Check {
    let mut why = format!("Linux {} has SCTP", kernel.release);
    if let Some(policy) = kernel.scope_policy {
        why += &format!("; net.sctp.addr_scope_policy is {policy}");
    }
    match (kernel.udp_port, kernel.encap_port) {
        (Some(0) | None, Some(0) | None) => {
            Check::ok("kernel", why + "; not in UDP (net.sctp.udp_port is 0)")
        }
        (Some(ours), Some(theirs)) if ours != 0 && theirs != 0 => {
            Check::ok("kernel", why + &format!("; in UDP at port {ours}, peers at port {theirs}"))
        }
        (ours, theirs) => Check::warning(
            "kernel",
            why + &format!(
                "; in UDP one way only: net.sctp.udp_port is {}, net.sctp.encap_port is {}",
                ours.unwrap_or_default(),
                theirs.unwrap_or_default()
            ),
            "set both (sysctl net.sctp.udp_port=9899 net.sctp.encap_port=9899), or both to 0",
        ),
    }
}

fn raw(raw: &Raw) -> Check {
    const NAME: &str = "raw";
    match raw {
        Raw::Possible => Check::ok(NAME, "raw IP works: the privilege is there, and the kernel has no SCTP"),
        Raw::KernelSctp => Check::no(
            NAME,
            "the kernel's SCTP is loaded and would abort our associations",
            "use the transport \"kernel\", or boot without the module sctp: once loaded it stays",
        ),
        Raw::NotPermitted(error) => Check::no(NAME, "the capability CAP_NET_RAW is missing", error.clone()),
        Raw::InUse => Check::no(
            NAME,
            "another process speaks SCTP on raw IP here",
            "one process of an address can: stop it, or give each an address of its own",
        ),
        Raw::Other(error) => Check::no(NAME, error.clone(), "use the transport \"udp\""),
    }
}

fn registrars_port(port: &Port, registrar: &Registrar) -> Check {
    let Port { name, address, free } = port;
    match free {
        Ok(()) => Check::ok(name, format!("{address} is free for a registrar")),
        Err(Trouble::InUse) if registrar.answers => {
            Check::ok(name, format!("{address} is in use, and a registrar answers"))
        }
        Err(Trouble::InUse) => Check::warning(
            name,
            format!("{address} is in use by another program"),
            "stop it, or give the registrar another port (--asap, --enrp)",
        ),
        Err(Trouble::Other(error)) => Check::no(
            name,
            format!("{address} cannot be used: {error}"),
            "choose an address of this host (--asap, --enrp)",
        ),
    }
}

fn encap(ports: EncapPorts, free: &Result<(), Trouble>, kernel: &Kernel) -> Check {
    const NAME: &str = "encap-port";
    let port = ports.local;
    match free {
        Ok(()) => Check::ok(NAME, format!("the UDP port {port} is free for all SCTP ports of this host")),
        Err(Trouble::InUse) if kernel.udp_port == Some(port) => Check::no(
            NAME,
            format!("the kernel's SCTP has the UDP port {port}"),
            "use the transport \"kernel\", or set the sysctl net.sctp.udp_port to 0",
        ),
        Err(Trouble::InUse) => Check::warning(
            NAME,
            format!("another process has the UDP port {port}"),
            "one process of an address can have it: a client needs none (0:PORT)",
        ),
        Err(Trouble::Other(error)) => {
            Check::no(NAME, format!("the UDP port {port} cannot be used: {error}"), "choose another")
        }
    }
}

fn receive_buffer(bytes: usize) -> Check {
    let kib = bytes / 1024;
    if bytes >= ENOUGH_BUFFER {
        return Check::ok("receive-buffer", format!("{kib} KiB"));
    }
    Check::warning(
        "receive-buffer",
        format!("the system grants only {kib} KiB: packets are lost when thousands come at once"),
        "sysctl -w net.core.rmem_max=8388608",
    )
}

fn ipv6(facts: &Facts) -> Check {
    match &facts.ipv6 {
        Ok(()) => Check::ok("ipv6", "works on loopback"),
        Err(error) => {
            Check::warning("ipv6", error.clone(), "use IPv4 addresses, or enable IPv6 on this host")
        }
    }
}

fn multicast(facts: &Facts) -> Check {
    if facts.multicast.is_empty() {
        return Check::warning(
            "multicast",
            "no interface but loopback is up and can multicast: announcements of registrars reach nobody",
            "name registrars by their addresses (peers, --registrar)",
        );
    }
    Check::ok("multicast", facts.multicast.join(", "))
}

fn registrar(registrar: &Registrar) -> Check {
    let Registrar { address, named, answers } = registrar;
    if *answers {
        return Check::ok("registrar", format!("one answers at {address}"));
    }
    let why = format!("none answers at {address}");
    let advice = "start one (rserpool-registrar), or choose another with --registrar";
    if *named { Check::no("registrar", why, advice) } else { Check::warning("registrar", why, advice) }
}

fn admin(facts: &Facts) -> Check {
    match &facts.admin {
        Ok(state) => Check::ok("admin", state.clone()),
        Err(failure) => Check::warning("admin", "there is no admin API of a registrar", failure.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host where everything is as it should be, a registrar included.
    fn healthy() -> Facts {
        Facts {
            transport: endpoint::TransportKind::Udp,
            udp: Ok(8 << 20),
            ports: vec![Port {
                name: "udp-asap",
                address: "127.0.0.1:3863".parse().unwrap(),
                free: Err(Trouble::InUse),
            }],
            encap: Some((EncapPorts::same(9899), Ok(()))),
            kernel: Kernel {
                release: "6.1.0".into(),
                loaded: true,
                module: false,
                socket: Some(Ok(())),
                udp_port: Some(0),
                encap_port: Some(0),
                scope_policy: Some(1),
            },
            raw: Raw::Possible,
            ipv6: Ok(()),
            multicast: vec!["eth0".into()],
            registrar: Registrar { address: "127.0.0.1:3863".parse().unwrap(), named: false, answers: true },
            admin: Ok("registrar 0x0000002a is running".into()),
        }
    }

    /// State, reason and advice of one check on a host that differs from a healthy one in this.
    fn judge(name: &str, change: impl FnOnce(&mut Facts)) -> (State, String) {
        let mut facts = healthy();
        change(&mut facts);
        let check = all(&facts).into_iter().find(|check| check.name == name).unwrap();
        assert_eq!(check.advice.is_none(), check.state == State::Ok, "{check:?}");
        (check.state, check.why + &check.advice.map(|advice| format!(" -> {advice}")).unwrap_or_default())
    }

    #[test]
    fn on_a_healthy_host_everything_is_ok() {
        let checks = all(&healthy());
        assert_eq!(checks.iter().find(|check| check.state != State::Ok), None);
        let names: Vec<_> = checks.iter().map(|check| check.name).collect();
        let expected = [
            "udp",
            "kernel",
            "raw",
            "udp-asap",
            "encap-port",
            "receive-buffer",
            "ipv6",
            "multicast",
            "registrar",
            "admin",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_transport_decides_whether_the_host_is_usable() {
        let mut facts = healthy();
        facts.kernel.loaded = false;
        facts.kernel.socket = Some(Err("Socket type not supported".into()));
        let checks = all(&facts);
        assert!(works(&checks, "udp") && works(&checks, "raw") && !works(&checks, "kernel"));
        facts.udp = Err("Operation not permitted".into());
        assert!(!works(&all(&facts), "udp"));
        assert!(!works(&all(&facts), "carrier pigeon"));
    }

    #[test]
    fn the_kernels_sctp_is_there_or_could_be_or_is_not() {
        let (state, text) = judge("kernel", |_| ());
        assert_eq!(state, State::Ok);
        assert_eq!(
            text,
            "Linux 6.1.0 has SCTP; net.sctp.addr_scope_policy is 1; not in UDP (net.sctp.udp_port is 0)"
        );
        let (state, text) = judge("kernel", |facts| {
            facts.kernel = Kernel { loaded: false, module: true, socket: None, ..facts.kernel.clone() };
        });
        assert_eq!(state, State::Warning);
        assert!(text.contains("not loaded -> modprobe sctp"), "{text}");
        let (state, text) = judge("kernel", |facts| {
            facts.kernel.loaded = false;
            facts.kernel.socket = Some(Err("Socket type not supported (os error 94)".into()));
        });
        assert_eq!(state, State::No);
        assert!(text.contains("has no SCTP: Socket type not supported (os error 94) -> use"), "{text}");
        let (state, text) = judge("kernel", |facts| {
            facts.kernel.socket = Some(Err("Permission denied (os error 13)".into()));
        });
        assert_eq!(state, State::No);
        assert!(text.contains("a socket is refused: Permission denied"), "{text}");
    }

    #[test]
    fn sctp_in_udp_needs_both_ports_of_the_kernel() {
        let settings = |ours, theirs| {
            judge("kernel", |facts| {
                (facts.kernel.udp_port, facts.kernel.encap_port) = (Some(ours), Some(theirs));
            })
        };
        assert!(settings(9899, 9899).1.ends_with("in UDP at port 9899, peers at port 9899"));
        assert_eq!(settings(9899, 0).0, State::Warning);
        assert_eq!(settings(0, 9899).0, State::Warning);
    }

    #[test]
    fn raw_ip_has_two_conditions() {
        let (state, text) = judge("raw", |facts| facts.raw = Raw::KernelSctp);
        assert_eq!(state, State::No);
        assert!(text.contains("use the transport \"kernel\""), "{text}");
        let (state, text) =
            judge("raw", |facts| facts.raw = Raw::NotPermitted("setcap cap_net_raw+ep /x".into()));
        assert_eq!(state, State::No);
        assert!(text.ends_with("CAP_NET_RAW is missing -> setcap cap_net_raw+ep /x"), "{text}");
    }

    #[test]
    fn a_port_in_use_is_right_only_if_a_registrar_has_it() {
        assert_eq!(judge("udp-asap", |_| ()).0, State::Ok);
        let (state, text) = judge("udp-asap", |facts| facts.registrar.answers = false);
        assert_eq!(state, State::Warning);
        assert!(text.starts_with("127.0.0.1:3863 is in use by another program -> "), "{text}");
        let other = |facts: &mut Facts| {
            facts.ports[0].free = Err(Trouble::Other("Cannot assign requested address".into()));
        };
        assert_eq!(judge("udp-asap", other).0, State::No);
    }

    #[test]
    fn who_has_the_one_udp_port_decides_what_to_do() {
        let taken = |facts: &mut Facts| facts.encap = Some((EncapPorts::same(9899), Err(Trouble::InUse)));
        assert_eq!(judge("encap-port", taken).0, State::Warning);
        let (state, text) = judge("encap-port", |facts| {
            taken(facts);
            facts.kernel.udp_port = Some(9899);
        });
        assert_eq!(state, State::No);
        assert!(text.contains("the kernel's SCTP has the UDP port 9899"), "{text}");
    }

    #[test]
    fn a_small_buffer_is_a_warning_with_the_command() {
        let (state, text) = judge("receive-buffer", |facts| facts.udp = Ok(208 * 1024));
        assert_eq!(state, State::Warning);
        assert!(text.contains("208 KiB") && text.ends_with("sysctl -w net.core.rmem_max=8388608"), "{text}");
    }

    #[test]
    fn a_registrar_that_was_named_must_answer() {
        assert_eq!(judge("registrar", |facts| facts.registrar.answers = false).0, State::Warning);
        let named = |facts: &mut Facts| {
            facts.registrar.answers = false;
            facts.registrar.named = true;
        };
        assert_eq!(judge("registrar", named).0, State::No);
    }
}
