//! What is known of the scope from what its processes report.

use super::scope::Member;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// What the director knows of the scope from the reports.
#[derive(Default)]
pub(super) struct View {
    /// Identifiers by registrar.
    pub(super) registrars: BTreeMap<usize, u32>,
    /// Identifiers by server.
    pub(super) elements: BTreeMap<usize, u32>,
    /// The registrar that owns each server, by the server's identifier.
    pub(super) owners: BTreeMap<u32, usize>,
    /// Registrars that have seen a peer since they were started.
    pub(super) joined: BTreeSet<usize>,
    /// How many takeovers completed.
    pub(super) takeovers: u64,
    /// When a server last got another home.
    pub(super) last_move: Option<Instant>,
    /// Ends of processes that are our doing.
    pub(super) expected_ends: BTreeMap<Member, usize>,
}

impl View {
    pub(super) fn registrar_name(&self, id: u32) -> String {
        match self.registrars.iter().find(|(_, known)| **known == id) {
            Some((index, _)) => Member::Registrar(*index).to_string(),
            None => format!("registrar 0x{id:08x}"),
        }
    }

    pub(super) fn element_name(&self, id: u32) -> String {
        match self.elements.iter().find(|(_, known)| **known == id) {
            Some((index, _)) => Member::Element(*index).to_string(),
            None => format!("server 0x{id:08x}"),
        }
    }

    pub(super) fn element_id(&self, member: Member) -> Option<&u32> {
        match member {
            Member::Element(index) => self.elements.get(&index),
            Member::Registrar(_) => None,
        }
    }
}
