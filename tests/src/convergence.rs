//! What must hold some time after everything is well again.

use crate::network::HostId;
use crate::processes::{Process, Server, pool};
use params::{PeIdentifier, RegistrarId};
use proto::Time;
use proto::registrar::{ElementStatus, PeerState, Registrar, State};
use std::collections::BTreeMap;

/// What of an element must be equal everywhere.
type Row = (PeIdentifier, RegistrarId, String);

/// The living registrars and elements, each with its own time.
#[derive(Default)]
pub struct Census<'a> {
    registrars: BTreeMap<HostId, (&'a Registrar, Time)>,
    elements: BTreeMap<HostId, &'a Server>,
}

impl<'a> Census<'a> {
    /// Counts a process.
    pub fn add(&mut self, host: HostId, process: &'a Process, local: Time) {
        match process {
            Process::Registrar(registrar) => {
                self.registrars.insert(host, (registrar, local));
            }
            Process::Element(server) => {
                self.elements.insert(host, server);
            }
            Process::User(_) => {}
        }
    }

    /// All registrars are peers of each other; all handlespaces and checksums are equal; each living element has
    /// exactly one living home, which is the one it believes in; nobody else is listed.
    ///
    /// # Errors
    /// What is not so.
    pub fn check(&self) -> Result<(), String> {
        for (host, (registrar, now)) in &self.registrars {
            self.check_peers(*host, registrar, *now)?;
        }
        let mut expected: Option<(HostId, Vec<Row>)> = None;
        for (host, (registrar, now)) in &self.registrars {
            let elements = elements(registrar, *now);
            self.check_homes(*host, registrar, &elements)?;
            let rows: Vec<Row> = elements.iter().map(row).collect();
            match &expected {
                None => expected = Some((*host, rows)),
                Some((_, first)) if *first == rows => {}
                Some((other, first)) => {
                    return Err(format!("{other} knows {first:?}, {host} knows {rows:?}"));
                }
            }
        }
        let (_, rows) = expected.unwrap_or((HostId { role: crate::Role::Registrar, number: 0 }, Vec::new()));
        self.check_living(&rows)
    }

    fn check_peers(&self, host: HostId, registrar: &Registrar, now: Time) -> Result<(), String> {
        let status = registrar.status(now);
        if status.state != State::Running {
            return Err(format!("{host} is {:?}", status.state));
        }
        let peers = registrar.peers(now);
        for (other, (peer, peers_now)) in self.registrars.iter().filter(|(other, _)| **other != host) {
            let Some(seen) = peers.iter().find(|seen| seen.id == peer.id()) else {
                return Err(format!("{host} does not know {other}"));
            };
            if seen.state != PeerState::Active || !seen.connected {
                return Err(format!("{host} sees {other} {:?}, connected: {}", seen.state, seen.connected));
            }
            let checksum = peer.status(*peers_now).checksum;
            if seen.expected_checksum != checksum || seen.announced_checksum != Some(checksum) {
                return Err(format!("checksum of {other}: {checksum:#06x}, {host} has {seen:?}"));
            }
        }
        match peers.len() + 1 == self.registrars.len() {
            true => Ok(()),
            false => Err(format!("{host} has peers that are dead: {peers:?}")),
        }
    }

    /// Who is the home keeps watch over the element, nobody else does.
    fn check_homes(
        &self,
        host: HostId,
        registrar: &Registrar,
        elements: &[ElementStatus],
    ) -> Result<(), String> {
        let id = registrar.id();
        let owned = elements.iter().filter(|element| element.home == id).count();
        let status = registrar.status(Time::ZERO);
        if owned != status.owned_elements {
            return Err(format!("{host} owns {} elements and lists {owned}", status.owned_elements));
        }
        for element in elements {
            if !self.registrars.values().any(|(registrar, _)| registrar.id() == element.home) {
                return Err(format!("{host}: the home of element {} is dead", element.id));
            }
            if element.life.is_some() && element.expires_in.is_some() != (element.home == id) {
                return Err(format!("{host} watches {element:?}"));
            }
        }
        Ok(())
    }

    fn check_living(&self, rows: &[Row]) -> Result<(), String> {
        for (host, server) in &self.elements {
            let Some(id) = server.identifier else { return Err(format!("{host} is not registered")) };
            let Some((_, home, _)) = rows.iter().find(|(listed, ..)| *listed == id) else {
                return Err(format!("{host}, element {id}, is not listed"));
            };
            if server.home.is_some_and(|believed| believed != *home) {
                return Err(format!("the home of {host} is {home}, and it believes {:?}", server.home));
            }
        }
        match rows.len() == self.elements.len() {
            true => Ok(()),
            false => {
                Err(format!("elements that are dead are listed: {rows:?}, living: {}", self.elements.len()))
            }
        }
    }
}

fn elements(registrar: &Registrar, now: Time) -> Vec<ElementStatus> {
    registrar.elements(now, &pool(), None, usize::MAX).unwrap_or_default()
}

fn row(element: &ElementStatus) -> Row {
    let ElementStatus { id, home, user_transport, asap_transport, policy, life, .. } = element;
    (*id, *home, format!("{user_transport:?} {asap_transport:?} {policy:?} {life:?}"))
}
