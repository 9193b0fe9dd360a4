//! rsplib's programs: their command lines and what they say.

use crate::lab::{Cmd, Host, Lab, Line, Program, theirs};
use std::net::Ipv4Addr;
use std::time::Duration;

/// SCTP port of a registrar for pool elements and users; rsplib would take a random one.
pub(crate) const ASAP_PORT: u16 = 3863;
/// SCTP port of a registrar for other registrars.
pub(crate) const ENRP_PORT: u16 = 9901;

/// For whatever comes at once on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// What every program of rsplib gets: it says its actions.
fn verbose(program: &str) -> Cmd {
    theirs(program).args(["-loglevel=4", "-logcolor=off"])
}

/// A registrar on this host, ready after "Initialization phase ended".
pub(crate) fn registrar(host: &Host) -> Cmd {
    let v4 = host.v4();
    verbose("rspregistrar").arg(format!("-asap={v4}:{ASAP_PORT}")).arg(format!("-enrp={v4}:{ENRP_PORT}"))
}

/// A pool element with this service ("echo", "discard", "daytime", "pingpong", …) at the registrar with this address.
pub(crate) fn server(registrar: Ipv4Addr, service: &str) -> Cmd {
    let server = verbose("rspserver").arg(format!("-{service}")).args(at(registrar));
    // What it discards it says only at the highest level.
    if service == "discard" { server.arg("-loglevel=9") } else { server }
}

/// A client ("rspterminal", "pingpongclient", …) at the registrar with this address.
pub(crate) fn client(registrar: Ipv4Addr, program: &str) -> Cmd {
    verbose(program).args(at(registrar))
}

/// One registrar and no announcements.
fn at(registrar: Ipv4Addr) -> [String; 2] {
    [format!("-registrar={registrar}:{ASAP_PORT}"), "-asapannounce=off".to_owned()]
}

/// The identifier with which a server has registered, eight hexadecimal digits.
pub(crate) fn registered(server: &Program) -> anyhow::Result<String> {
    let line = server.wait("   Identifier ", SOON)?;
    let id = line.text.split_whitespace().last().unwrap_or_default();
    Ok(id.trim_start_matches('$').to_owned())
}

/// What a registrar on this host has in its handlespace, as `hsdump` prints it.
pub(crate) fn dump(lab: &mut Lab, name: &str, host: &Host) -> anyhow::Result<Vec<Line>> {
    lab.run(name, host, &hsdump(host))
}

/// The tool that reads the handlespace of the registrar on this host.
pub(crate) fn hsdump(registrar: &Host) -> Cmd {
    theirs("hsdump").arg(format!("{}:{ENRP_PORT}", registrar.v4()))
}

/// Waits until a registrar on this host has an element with this identifier: it may still be learning of it.
pub(crate) fn wait_for_element(lab: &mut Lab, host: &Host, id: &str) -> anyhow::Result<()> {
    for attempt in 1..=20 {
        let dump = dump(lab, &format!("hsdump-{attempt}"), host)?;
        if dump.iter().any(|line| line.text.contains(id)) {
            return Ok(());
        }
    }
    anyhow::bail!("rsplib's registrar on {} does not learn of the element {id}", host.name())
}
