//! What must hold some time after everything is well again.

use crate::invariants::Name;
use crate::network::HostId;
use crate::processes::{Missing, Process, Server, Watcher, handle};
use crate::spec::Spec;
use params::{PeIdentifier, Policy, PoolHandle};
use proto::registrar::{ElementStatus, PeerState, PoolSummary, Registrar, State};
use proto::{REGISTRAR_POOL, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::{Discriminant, discriminant};

/// The living registrars, elements and watchers, each with its own time.
#[derive(Default)]
pub struct Census<'a> {
    pools: u16,
    /// Whether the registrars are a pool.
    registrar_pool: bool,
    /// Whether elements insist on names that others have.
    twins: bool,
    registrars: BTreeMap<HostId, (&'a Registrar, Time)>,
    elements: BTreeMap<HostId, &'a Server>,
    watchers: BTreeMap<HostId, &'a Watcher>,
}

impl<'a> Census<'a> {
    /// Nobody was counted yet.
    pub fn new(spec: &Spec) -> Self {
        let Spec { pools, registrar_pool, twins, .. } = *spec;
        Self { pools, registrar_pool, twins, ..Self::default() }
    }

    /// Counts a process.
    pub fn add(&mut self, host: HostId, process: &'a Process, local: Time) {
        match process {
            Process::Registrar(registrar) => {
                self.registrars.insert(host, (registrar, local));
            }
            Process::Element(server) => {
                self.elements.insert(host, server);
            }
            Process::Watcher(watcher) => {
                self.watchers.insert(host, watcher);
            }
            Process::User(_) => {}
        }
    }

    /// What costs little: all registrars are peers of each other and agree on numbers and checksums.
    ///
    /// # Errors
    /// What is not so.
    pub fn glance(&self) -> Result<(), String> {
        let living: usize = self.elements.values().map(|server| server.count()).sum();
        for (host, (registrar, now)) in &self.registrars {
            self.check_peers(*host, registrar, *now)?;
            let listed = registrar.status(*now).elements;
            if listed != living {
                return Err(format!("{host} lists {listed} elements, {living} live"));
            }
        }
        Ok(())
    }

    /// All registrars are peers of each other; all handlespaces and checksums are equal; each living element has
    /// exactly one living home, which is the one it believes in; nobody else is listed; subscribers know it all.
    ///
    /// # Errors
    /// What is not so.
    pub fn check(&self) -> Result<(), String> {
        self.glance()?;
        let mut expected: Option<(HostId, BTreeMap<Name, ElementStatus>)> = None;
        let mut policies: Option<(HostId, Policies)> = None;
        for (host, (registrar, now)) in &self.registrars {
            let table = self.table(registrar, *now);
            self.check_homes(*host, registrar, &table)?;
            self.check_registrar_pool(*host, registrar, *now)?;
            let pools = registrar.pools(*now, None, usize::MAX).into_iter();
            let own: Policies = pools.map(|pool| (pool.handle, discriminant(&pool.policy))).collect();
            let (other, first) = policies.get_or_insert_with(|| (*host, own.clone()));
            if let Some((pool, _)) = own.iter().find(|(pool, policy)| first.get(*pool) != Some(policy)) {
                return Err(format!("{other} and {host} do not agree on the policy of {pool}"));
            }
            match &expected {
                None => expected = Some((*host, table)),
                Some((other, first)) => {
                    if let Some(differs) = difference(first, &table) {
                        return Err(format!("{other} and {host} do not agree: {differs}"));
                    }
                }
            }
        }
        let table = expected.map(|(_, table)| table).unwrap_or_default();
        self.check_checksums(&table)?;
        self.check_living(&table)?;
        self.watchers.iter().try_for_each(|(host, watcher)| self.check_watcher(*host, watcher))
    }

    fn table(&self, registrar: &Registrar, now: Time) -> BTreeMap<Name, ElementStatus> {
        let pools = registrar.pools(now, None, usize::MAX).into_iter().map(|pool| pool.handle);
        let elements = pools.flat_map(|handle| {
            let elements = registrar.elements(now, &handle, None, usize::MAX).unwrap_or_default();
            elements.into_iter().map(move |element| ((handle.clone(), element.id), element))
        });
        elements.collect()
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
        table: &BTreeMap<Name, ElementStatus>,
    ) -> Result<(), String> {
        let id = registrar.id();
        let owned = table.values().filter(|element| element.home == id).count();
        let status = registrar.status(Time::ZERO);
        if owned != status.owned_elements {
            return Err(format!("{host} owns {} elements and lists {owned}", status.owned_elements));
        }
        if owned != status.watched_elements {
            return Err(format!("{host} watches {} elements and owns {owned}", status.watched_elements));
        }
        if (status.silent_elements, status.guarded_pools) != (0, 0) {
            let (silent, guarded) = (status.silent_elements, status.guarded_pools);
            return Err(format!("{host} takes {silent} elements for silent, and guards {guarded} pools"));
        }
        for element in table.values() {
            if !self.registrars.values().any(|(registrar, _)| registrar.id() == element.home) {
                return Err(format!("{host}: the home of element {} is dead", element.id));
            }
            if element.life.is_some() && element.expires_in.is_some() != (element.home == id) {
                return Err(format!("{host} watches {element:?}"));
            }
        }
        Ok(())
    }

    /// The pool of the registrars has all that live, and nobody else.
    fn check_registrar_pool(&self, host: HostId, registrar: &Registrar, now: Time) -> Result<(), String> {
        let listed = registrar.elements(now, &REGISTRAR_POOL.into(), None, usize::MAX).unwrap_or_default();
        let listed: BTreeSet<u32> = listed.iter().map(|element| element.id.0).collect();
        let living = self.registrars.values().filter(|_| self.registrar_pool);
        match living.map(|(registrar, _)| registrar.id().0).collect::<BTreeSet<u32>>() == listed {
            true => Ok(()),
            false => Err(format!("{host} lists the registrars {listed:#x?}")),
        }
    }

    /// The checksums are those of RFC 5353 §3.6.2, as it says and not as we compute them.
    fn check_checksums(&self, table: &BTreeMap<Name, ElementStatus>) -> Result<(), String> {
        for (host, (registrar, now)) in &self.registrars {
            let own = table.iter().filter(|(_, element)| element.home == registrar.id());
            let itself = (PoolHandle::from(REGISTRAR_POOL), PeIdentifier(registrar.id().0));
            let itself = Some(&itself).filter(|_| self.registrar_pool);
            let expected = checksum(own.map(|(name, _)| name).chain(itself));
            let checksum = registrar.status(*now).checksum;
            if checksum != expected {
                return Err(format!("the checksum of {host} is {checksum:#06x} instead of {expected:#06x}"));
            }
        }
        Ok(())
    }

    fn check_living(&self, table: &BTreeMap<Name, ElementStatus>) -> Result<(), String> {
        let mut living = 0;
        for (host, server) in &self.elements {
            if let Some(pool) = server.unwanted().next() {
                return Err(format!("{host} has an element in {pool} that is to go"));
            }
            if let Some(missing) = server.missing().find(|missing| !self.is_refused(missing, table)) {
                return Err(format!("{host} wants an element in {} and has none", missing.pool));
            }
            for name in server.registered() {
                living += 1;
                let Some(element) = table.get(&name) else {
                    return Err(format!("{host}, element {} of {}, is not listed", name.1, name.0));
                };
                if server.home != Some(element.home) {
                    let home = element.home;
                    return Err(format!("the home of {host} is {home}, and it believes {:?}", server.home));
                }
            }
        }
        match table.len() == living {
            true => Ok(()),
            false => {
                let living: BTreeMap<Name, ()> = self
                    .elements
                    .values()
                    .flat_map(|server| server.registered())
                    .map(|name| (name, ()))
                    .collect();
                let ghosts: Vec<_> = table.keys().filter(|name| !living.contains_key(*name)).collect();
                Err(format!("elements that are dead are listed: {ghosts:?}"))
            }
        }
    }

    /// Whether an element is rightly not registered: another one has its name, and lives (ambiguity A-28).
    fn is_refused(&self, missing: &Missing, table: &BTreeMap<Name, ElementStatus>) -> bool {
        self.twins && missing.id.is_some_and(|id| table.contains_key(&(missing.pool.clone(), id)))
    }

    /// A subscriber has what its registrar has.
    fn check_watcher(&self, host: HostId, watcher: &Watcher) -> Result<(), String> {
        let Some((registrar, now)) = watcher.registrar().and_then(|host| self.registrars.get(&host)) else {
            return Err(format!("{host} has found no registrar"));
        };
        for pool in 0..self.pools {
            let handle = handle(pool);
            let elements = registrar.elements(*now, &handle, None, usize::MAX).unwrap_or_default();
            let list = watcher.list(&handle);
            if list.is_some() == elements.is_empty() {
                return Err(format!("{host} has subscribed to {handle}: {}", list.is_some()));
            }
            let list = list.unwrap_or_default();
            let all: BTreeMap<_, _> = elements.iter().map(|element| (element.id, element)).collect();
            for element in list {
                let same = all.get(&element.id).is_some_and(|listed| {
                    listed.user_transport == element.user_transport
                        && (is_load(&element.policy) || listed.policy == element.policy)
                });
                if !same {
                    return Err(format!("{host} was not told what became of {} of {handle}", element.id));
                }
            }
            if list.len() < all.len() && list.len() < COMPLETE && !draws(registrar.pool(*now, &handle)) {
                return Err(format!("{host} knows {} of {} elements of {handle}", list.len(), all.len()));
            }
        }
        Ok(())
    }
}

/// The policy of each pool, without its values.
type Policies = BTreeMap<PoolHandle, Discriminant<Policy>>;

/// Lists up to this size are complete.
const COMPLETE: usize = 128;

/// Whether a policy goes by loads, which are not pushed.
fn is_load(policy: &Policy) -> bool {
    !matches!(
        policy,
        Policy::RoundRobin
            | Policy::Random
            | Policy::WeightedRoundRobin { .. }
            | Policy::WeightedRandom { .. }
            | Policy::Priority { .. }
    )
}

/// Whether a list has only some of a pool's elements (ambiguity A-75).
fn draws(pool: Option<PoolSummary>) -> bool {
    pool.is_some_and(|pool| {
        matches!(
            pool.policy,
            Policy::WeightedRoundRobin { .. }
                | Policy::WeightedRandom { .. }
                | Policy::RandomizedLeastUsed { .. }
        )
    })
}

/// One's complement of the one's complement sum of all words (RFC 1071) of handles and identifiers.
fn checksum<'a>(elements: impl Iterator<Item = &'a Name>) -> u16 {
    let mut sum = 0_u32;
    for (handle, id) in elements {
        let mut block = handle.as_bytes().to_vec();
        block.resize(block.len().next_multiple_of(4), 0);
        block.extend(id.0.to_be_bytes());
        for word in block.chunks(2) {
            sum += u32::from(word[0]) << 8 | u32::from(word[1]);
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !(sum as u16)
}

/// What is not equal in two tables that should be.
fn difference(one: &BTreeMap<Name, ElementStatus>, other: &BTreeMap<Name, ElementStatus>) -> Option<String> {
    let same = |a: &ElementStatus, b: &ElementStatus| {
        let facts = |e: &ElementStatus| (e.home, e.life, e.policy.clone(), e.asap_transport.clone());
        a.user_transport == b.user_transport && facts(a) == facts(b)
    };
    let missing = |from: &BTreeMap<Name, ElementStatus>, of: &BTreeMap<Name, ElementStatus>| {
        of.keys().find(|name| !from.contains_key(*name)).map(|name| format!("{name:?} is missing"))
    };
    missing(other, one).or_else(|| missing(one, other)).or_else(|| {
        one.iter().find_map(|(name, first)| {
            let second = other.get(name)?;
            (!same(first, second)).then(|| format!("{first:?} and {second:?}"))
        })
    })
}
