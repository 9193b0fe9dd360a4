//! rsplib's Component Status Protocol: how this registrar is, for its `cspmonitor`.
//!
//! A report is one UDP datagram. Nothing answers, and nothing depends on it. Numbers are big-endian:
//!
//! ```text
//! type 1 (8) | flags: 1 in the last report (8) | length (16) | version 0x00000200 (32)
//! sender: kind 1, a registrar (8), identifier (56) | uptime in microseconds (64) | report interval in microseconds (32)
//! location (128 bytes) | status (128 bytes) | workload: 0xffff, none (16) | number of associations (16)
//! for each: receiver, as the sender (64) | duration: unknown (64) | flags 0 (16) | IP protocol (16) | payload protocol (32)
//! ```

use crate::config::ComponentStatus;
use crate::machine::Machine;
use net::Stopped;
use params::RegistrarId;
use proto::registrar::Status;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

const STATUS: u8 = 1;
const FINAL: u8 = 1;
const VERSION: u32 = 0x0000_0200;
const REGISTRAR: u64 = 1;
/// Bytes of each text.
const TEXT: usize = 128;
const NO_WORKLOAD: u16 = 0xffff;
const IPPROTO_SCTP: u16 = 132;

/// Reports until the registrar has stopped, then once more, so that the monitor forgets it.
pub(crate) async fn report(machine: Machine, monitor: SocketAddr, config: ComponentStatus) {
    let any: SocketAddr = match monitor {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = match UdpSocket::bind(any).await {
        Ok(socket) => socket,
        Err(error) => return warn!(%monitor, %error, "no reports to the monitor"),
    };
    let mut ticks = interval(config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let location = machine.asap.to_string();
    let mut last = None;
    while let Some((status, peers)) = next(&machine, &mut ticks).await {
        send(&socket, monitor, &encode(0, &status, &peers, config.interval, &location)).await;
        last = Some(status);
    }
    if let Some(status) = last {
        send(&socket, monitor, &encode(FINAL, &status, &[], config.interval, &location)).await;
    }
}

/// What is to be reported next; `None` when the registrar has stopped.
async fn next(machine: &Machine, ticks: &mut tokio::time::Interval) -> Option<(Status, Vec<RegistrarId>)> {
    tokio::select! {
        _ = ticks.tick() => (),
        Stopped { .. } = machine.closed() => return None,
    }
    let look = |registrar: &proto::registrar::Registrar, now| {
        let connected = registrar.peers(now).into_iter().filter(|peer| peer.connected);
        (registrar.status(now), connected.map(|peer| peer.id).collect())
    };
    machine.call(look).await.ok()
}

/// Whether there is a monitor is its own affair.
async fn send(socket: &UdpSocket, monitor: SocketAddr, report: &[u8]) {
    if let Err(error) = socket.send_to(report, monitor).await {
        debug!(%monitor, %error, "no report");
    }
}

fn encode(flags: u8, status: &Status, peers: &[RegistrarId], interval: Duration, location: &str) -> Vec<u8> {
    let Status { elements, owned_elements, pools, .. } = status;
    let said = format!("{elements}[{owned_elements}] PEs in {pools} Pools, {} Peers", status.peers);
    let associations = peers.iter().flat_map(|peer| {
        let receiver = component(*peer).to_be_bytes().into_iter().chain(u64::MAX.to_be_bytes());
        let protocols = [0, 0].into_iter().chain(IPPROTO_SCTP.to_be_bytes());
        receiver.chain(protocols).chain(proto::PPID_ENRP.to_be_bytes())
    });
    let mut report = vec![STATUS, flags, 0, 0];
    report.extend(VERSION.to_be_bytes());
    report.extend(component(status.id).to_be_bytes());
    report.extend(micros(status.uptime).to_be_bytes());
    report.extend(u32::try_from(micros(interval)).unwrap_or(u32::MAX).to_be_bytes());
    report.extend(text(location));
    report.extend(text(&said));
    report.extend(NO_WORKLOAD.to_be_bytes());
    report.extend((peers.len() as u16).to_be_bytes());
    report.extend(associations);
    let length = (report.len() as u16).to_be_bytes();
    report[2..4].copy_from_slice(&length);
    report
}

fn component(id: RegistrarId) -> u64 {
    REGISTRAR << 56 | u64::from(id.0)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A text of fixed length, with a zero at its end.
fn text(text: &str) -> [u8; TEXT] {
    let mut field = [0; TEXT];
    field[..TEXT - 1].iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Time;
    use proto::registrar::{Config, Registrar};
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn a_report_has_the_layout_of_rsplib() {
        let config = Config { id: Some(RegistrarId(0x10)), ..Config::new(proto::profile::Profile::Lan) };
        let registrar = Registrar::new(config, ChaCha12Rng::from_seed([0; 32]), Time::ZERO);
        let status = registrar.status(Time::from_micros(1_000_002));
        let report = encode(FINAL, &status, &[RegistrarId(0x20)], Duration::from_secs(1), "192.0.2.1:3863");
        assert_eq!(report.len(), 288 + 24);
        assert_eq!(
            report[..28],
            *b"\x01\x01\x01\x38\x00\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x10\
               \x00\x00\x00\x00\x00\x0f\x42\x42\x00\x0f\x42\x40"
        );
        assert_eq!(report[28..43], *b"192.0.2.1:3863\0");
        assert_eq!(report[156..186], *b"0[0] PEs in 0 Pools, 0 Peers\0\0");
        assert_eq!(
            report[284..],
            *b"\xff\xff\x00\x01\x01\x00\x00\x00\x00\x00\x00\x20\
               \xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x84\x00\x00\x00\x0c"
        );
    }

    #[test]
    fn a_long_text_is_cut() {
        let field = text(&"x".repeat(200));
        assert_eq!((field[126], field[127]), (b'x', 0));
    }
}
