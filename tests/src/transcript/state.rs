//! What a registrar knows, on request.

use super::stage::Stage;
use crate::network::HostId;

/// Writes the handlespace, the peers or the checksums of a registrar.
pub(super) fn show(stage: &mut Stage, what: &str, host: HostId) -> Result<(), String> {
    let now = stage.local_time(host);
    let registrar = stage.registrar(host)?;
    let mut lines = Vec::new();
    match what {
        "handlespace" => {
            for pool in registrar.pools(now, None, usize::MAX) {
                let policy = super::message::policy(&pool.policy);
                let policy = policy.split(':').next().unwrap_or_default();
                lines.push(format!("{}: policy {policy}", pool.handle));
                let elements = registrar.elements(now, &pool.handle, None, usize::MAX).unwrap_or_default();
                for element in elements {
                    let suspect = if element.suspect { ", suspect" } else { "" };
                    let silent = if element.silent.is_some() { ", silent" } else { "" };
                    let (id, home) = (element.id.0, element.home.0);
                    lines.push(format!("  {id:#x} home {home:#x}{suspect}{silent}"));
                }
            }
            if lines.is_empty() {
                lines.push("no pools".into());
            }
        }
        "peers" => {
            for peer in registrar.peers(now) {
                let connected = if peer.connected { "connected" } else { "not connected" };
                let (id, state, elements) = (peer.id.0, peer.state, peer.elements);
                lines.push(format!("{id:#x}: {state:?}, {connected}, elements: {elements}"));
            }
            if lines.is_empty() {
                lines.push("no peers".into());
            }
        }
        "checksum" => {
            lines.push(format!("own: {:#06x}", registrar.status(now).checksum));
            for peer in registrar.peers(now) {
                let announced = peer.announced_checksum.map_or("nothing".into(), |sum| format!("{sum:#06x}"));
                let (id, expected) = (peer.id.0, peer.expected_checksum);
                lines.push(format!("of {id:#x}: announced {announced}, here {expected:#06x}"));
            }
        }
        "state" => lines.push(format!("{:?}", registrar.status(now).state)),
        _ => return Err(format!("nothing to show is called {what}")),
    }
    for line in lines {
        stage.write(&line);
    }
    Ok(())
}
