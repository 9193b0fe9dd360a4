//! What there is on this host. Looking changes nothing: no module is loaded, no port stays open.

use crate::{Context, Failure};
use anyhow::Context as _;
use endpoint::{AsapEndpoint, Discovery, ResolveError, ResolveOptions, TransportKind};
use net::kernel::{KernelConfig, KernelListener};
use net::raw::{self, RawConfig, RawError};
use net::sctp::SctpConfig;
use net::udp::{self, EncapPorts, UdpConfig};
use params::PoolHandle;
use proto::Channel;
use registrar::Config;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Everything that is judged.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// What is to carry SCTP.
    pub(super) transport: TransportKind,
    /// A UDP socket on any port: the bytes of its receive buffer.
    pub(super) udp: Result<usize, String>,
    /// The registrar's UDP ports.
    pub(super) ports: Vec<Port>,
    /// The UDP port behind which all SCTP ports are to be, and whether it is free.
    pub(super) encap: Option<(EncapPorts, Result<(), Trouble>)>,
    pub(super) kernel: Kernel,
    pub(super) raw: Raw,
    pub(super) ipv6: Result<(), String>,
    /// Interfaces that are up and can multicast, loopback excepted.
    pub(super) multicast: Vec<String>,
    pub(super) registrar: Registrar,
    /// The state of the registrar that has the admin API, or why nobody tells.
    pub(super) admin: Result<String, String>,
}

/// A port that a registrar would listen on.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// `udp-asap`
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) free: Result<(), Trouble>,
}

/// Why an address cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    InUse,
    Other(String),
}

/// The kernel's SCTP.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// `6.1.0-13-amd64`
    pub(super) release: String,
    pub(super) loaded: bool,
    /// There is a module for it.
    pub(super) module: bool,
    /// Whether a socket can be opened; not tried where that would load the module.
    pub(super) socket: Option<Result<(), String>>,
    /// net.sctp.udp_port, net.sctp.encap_port, net.sctp.addr_scope_policy.
    pub(super) udp_port: Option<u16>,
    pub(super) encap_port: Option<u16>,
    pub(super) scope_policy: Option<u16>,
}

/// Whether raw sockets can be used.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Possible,
    KernelSctp,
    /// With what to do.
    NotPermitted(String),
    InUse,
    Other(String),
}

/// The registrar that clients here would ask.
#[derive(Clone, Debug)]
pub(super) struct Registrar {
    pub(super) address: SocketAddr,
    /// The user has named it.
    pub(super) named: bool,
    pub(super) answers: bool,
}

/// The configuration of the registrar that is to run here.
pub(super) fn config(file: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = file else { return Ok(Config::default()) };
    let read = || -> anyhow::Result<Config> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Config::from_toml(&text).with_context(|| path.display().to_string())
    };
    read().map_err(|error| Failure::Usage(format!("{error:#}")))
}

impl Facts {
    pub(super) async fn gather(config: &Config, context: &Context) -> Self {
        let registrar = registrar(config, context).await;
        let encap = context.encap.or(config.sctp.encap_port);
        let ports = [("udp-asap", config.listen.asap.address), ("udp-enrp", config.listen.enrp.address)];
        let admin = match context.admin() {
            Ok(client) => client.status().await,
            Err(failure) => Err(failure),
        };
        Self {
            transport: context.transport,
            udp: any_udp_port(Ipv4Addr::LOCALHOST.into()).map_err(|error| error.to_string()),
            ports: ports.map(|(name, address)| Port { name, address, free: bind(address) }).to_vec(),
            encap: encap
                .map(|ports| (ports, bind(SocketAddr::new(config.listen.asap.address.ip(), ports.local)))),
            kernel: kernel(),
            raw: raw(),
            ipv6: any_udp_port(Ipv6Addr::LOCALHOST.into()).map(drop).map_err(|error| error.to_string()),
            multicast: multicast_interfaces(),
            registrar,
            admin: admin
                .map(|status| format!("registrar {} is {}", status.id, status.state))
                .map_err(|failure| failure.to_string()),
        }
    }
}

fn bind(address: SocketAddr) -> Result<(), Trouble> {
    match udp::bind(&[(Channel::Asap, address)], &UdpConfig::default()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Trouble::InUse),
        Err(error) => Err(Trouble::Other(error.to_string())),
    }
}

fn any_udp_port(ip: IpAddr) -> io::Result<usize> {
    udp::bind(&[(Channel::Asap, (ip, 0).into())], &UdpConfig::default())?.receive_buffer()
}

fn kernel() -> Kernel {
    let sysctl = |name: &str| {
        let text = fs::read_to_string(Path::new("/proc/sys/net/sctp").join(name)).ok()?;
        text.trim().parse().ok()
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let loaded = raw::kernel_has_sctp();
    let module = !loaded && has_module(&release);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = || KernelListener::bind(any, &SctpConfig::control(), &KernelConfig::default());
    Kernel {
        loaded,
        module,
        socket: (!module).then(|| socket().map(drop).map_err(|error| error.to_string())),
        udp_port: sysctl("udp_port"),
        encap_port: sysctl("encap_port"),
        scope_policy: sysctl("addr_scope_policy"),
        release,
    }
}

/// Whether the kernel's list of modules has SCTP.
fn has_module(release: &str) -> bool {
    let list = fs::read_to_string(format!("/lib/modules/{release}/modules.dep")).unwrap_or_default();
    list.lines().any(|line| line.split(':').next().is_some_and(|path| path.contains("/sctp/sctp.ko")))
}

fn raw() -> Raw {
    match raw::bind(&[(Channel::Asap, (Ipv4Addr::LOCALHOST, 0).into())], &RawConfig::default()) {
        Ok(_) => Raw::Possible,
        Err(RawError::KernelSctp) => Raw::KernelSctp,
        Err(error @ RawError::NotPermitted { .. }) => Raw::NotPermitted(error.to_string()),
        Err(RawError::InUse { .. }) => Raw::InUse,
        Err(error) => Raw::Other(error.to_string()),
    }
}

/// By the flags that the system shows in /sys.
fn multicast_interfaces() -> Vec<String> {
    const UP: u32 = 1;
    const LOOPBACK: u32 = 8;
    const MULTICAST: u32 = 0x1000;
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let usable = |path: &Path| {
        let text = fs::read_to_string(path.join("flags")).ok()?;
        let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?;
        (flags & (UP | LOOPBACK | MULTICAST) == UP | MULTICAST).then_some(())
    };
    let mut names: Vec<String> = interfaces
        .flatten()
        .filter(|interface| usable(&interface.path()).is_some())
        .map(|interface| interface.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Asks it for a pool that nobody has: every registrar answers that.
async fn registrar(config: &Config, context: &Context) -> Registrar {
    let address = context.registrar.unwrap_or(config.listen.asap.address);
    let mut asap = endpoint::Config::new(Discovery::from([address]).registrar_pool(false));
    asap.encap = context.encap;
    asap.transport = context.transport;
    let answers = match AsapEndpoint::start(asap) {
        Ok(endpoint) => {
            let options = ResolveOptions::new().uncached(true);
            let answer = endpoint.resolve(PoolHandle::from("rserpool-doctor"), options).await;
            endpoint.close().await;
            matches!(answer, Ok(_) | Err(ResolveError::UnknownPool(_)))
        }
        Err(_) => false,
    };
    Registrar { address, named: context.registrar.is_some(), answers }
}
