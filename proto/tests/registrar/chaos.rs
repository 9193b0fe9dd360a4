//! Faults at random, then rest: whatever happened, all registrars agree in the end, and nobody who lives is lost.

use crate::network::{Host, Network, element, ms, pool};
use params::RegistrarId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_proto::registrar::{Arbitration, Config};
use rserpool_proto::{AssocId, Channel};
use std::collections::BTreeMap;

const FIRST_ELEMENT: Host = 100;

/// Elements as RFC 5352 wants them: they follow who says to be their home, and look for another when theirs is gone.
struct Elements {
    /// Each with the association to its home.
    homes: BTreeMap<Host, Option<AssocId>>,
}

impl Elements {
    fn act(&mut self, network: &mut Network, registrars: &[Host], rng: &mut ChaCha12Rng) {
        for (host, home) in &mut self.homes {
            if let Some(adopted) = network.client(*host).adopted.take()
                && network.is_connected(*host, adopted)
                && *home != Some(adopted)
            {
                let left = home.replace(adopted);
                network.tell(*host, adopted, asap::Registration { handle: pool(), element: element(*host) });
                if let Some(left) = left {
                    network.hang_up(*host, left);
                }
            }
            if home.is_some_and(|assoc| network.is_connected(*host, assoc)) {
                continue;
            }
            let registrar = registrars[rng.random_range(0..registrars.len())];
            let assoc = network.begin_dial(*host, registrar, Channel::Asap);
            *home = Some(assoc);
            network.tell(*host, assoc, asap::Registration { handle: pool(), element: element(*host) });
        }
    }
}

struct World {
    network: Network,
    elements: Elements,
    registrars: BTreeMap<Host, u32>,
    rng: ChaCha12Rng,
    next_element: Host,
    arbitration: Arbitration,
    /// Whether elements are real machines, or played by the test.
    real: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let count: Host = rng.random_range(2..=5);
        let arbitration = if seed % 4 >= 2 { Arbitration::Rfc5353 } else { Arbitration::LowestId };
        let ring = rng.random_bool(0.3);
        let mut network = Network::new();
        let mut registrars = BTreeMap::new();
        for host in 1..=count {
            let peers: Vec<Host> = if ring {
                vec![host % count + 1]
            } else {
                (1..=count).filter(|peer| *peer != host).collect()
            };
            let config = Config { arbitration, registrar_pool: true, ..Network::config(host, &peers) };
            network.start_with(host, config);
            registrars.insert(host, host.into());
        }
        let elements = Elements { homes: BTreeMap::new() };
        Self {
            network,
            elements,
            registrars,
            rng,
            next_element: FIRST_ELEMENT,
            arbitration,
            real: seed % 2 == 1,
        }
    }

    fn run(&mut self, millis: u64) {
        let registrars: Vec<Host> = self.registrars.keys().copied().collect();
        for _ in 0..millis / 50 {
            if !self.real {
                self.elements.act(&mut self.network, &registrars, &mut self.rng);
            }
            self.network.run(ms(50));
        }
    }

    fn pick(&mut self, hosts: &[Host]) -> Host {
        hosts[self.rng.random_range(0..hosts.len())]
    }

    fn fault(&mut self) {
        let all: Vec<Host> = self.registrars.keys().copied().collect();
        let alive: Vec<Host> = all.iter().copied().filter(|host| self.network.is_alive(*host)).collect();
        let dead: Vec<Host> = all.iter().copied().filter(|host| !self.network.is_alive(*host)).collect();
        match self.rng.random_range(0..11) {
            0 | 1 if self.next_element < 120 && self.real => {
                self.network.start_endpoint(self.next_element, &all);
                self.elements.homes.insert(self.next_element, None);
                self.next_element += 1;
            }
            0 | 1 if self.next_element < 120 => {
                self.network.add_client(self.next_element);
                let id = params::PeIdentifier(self.next_element.into());
                self.network.client(self.next_element).elements.insert((pool(), id));
                self.elements.homes.insert(self.next_element, None);
                self.next_element += 1;
            }
            2 if alive.len() > 1 => {
                let host = self.pick(&alive);
                self.network.kill(host);
            }
            3 if !dead.is_empty() => {
                let host = self.pick(&dead);
                let peers: Vec<Host> = all.iter().copied().filter(|peer| *peer != host).collect();
                let mut config = Network::config(host, &peers);
                let id = self.registrars[&host] + 10;
                config.id = Some(RegistrarId(id));
                config.arbitration = self.arbitration;
                config.registrar_pool = true;
                self.registrars.insert(host, id);
                self.network.start_with(host, config);
            }
            4 | 5 => {
                let (a, b) = (self.pick(&all), self.pick(&all));
                if a != b {
                    self.network.cut(a, b);
                }
            }
            6 => {
                let elements: Vec<Host> = self.elements.homes.keys().copied().collect();
                if !elements.is_empty() {
                    let (a, b) = (self.pick(&all), self.pick(&elements));
                    self.network.cut(a, b);
                }
            }
            7 => {
                let elements: Vec<Host> = self.elements.homes.keys().copied().collect();
                if elements.len() > 2 {
                    let host = self.pick(&elements);
                    self.network.kill(host);
                    self.elements.homes.remove(&host);
                }
            }
            8 => self.network.heal_all(),
            9 if !self.real => {
                // An element changes to another registrar; the old one sees it leave, before or after.
                let elements: Vec<Host> = self.elements.homes.keys().copied().collect();
                if !elements.is_empty() {
                    let (host, registrar) = (self.pick(&elements), self.pick(&alive));
                    let assoc = self.network.begin_dial(host, registrar, Channel::Asap);
                    self.network.tell(
                        host,
                        assoc,
                        asap::Registration { handle: pool(), element: element(host) },
                    );
                    if let Some(left) = self.elements.homes.insert(host, Some(assoc)).flatten() {
                        self.network.hang_up(host, left);
                    }
                }
            }
            _ => {}
        }
    }

    /// What is wrong, if anything.
    fn disagreement(&mut self) -> Option<String> {
        let alive: Vec<Host> =
            self.registrars.keys().copied().filter(|host| self.network.is_alive(*host)).collect();
        let ids: Vec<u32> = alive.iter().map(|host| self.registrars[host]).collect();
        let first = self.network.table(alive[0]);
        let living: Vec<u32> = self.elements.homes.keys().map(|host| u32::from(*host)).collect();
        let listed: Vec<u32> = first.iter().map(|(id, _)| *id).collect();
        if listed != living {
            return Some(format!("registrar {} lists {listed:?}, living are {living:?}", alive[0]));
        }
        if let Some((id, home)) = first.iter().find(|(_, home)| !ids.contains(home)) {
            return Some(format!("element {id} has the home {home}, which is not there"));
        }
        let now = self.network.now;
        for host in &alive {
            let table = self.network.table(*host);
            if table != first {
                return Some(format!("registrar {} has {first:?}, {host} has {table:?}", alive[0]));
            }
            let own = self.registrars[host];
            let mut peers: Vec<u32> =
                self.network.registrar(*host).peers(now).iter().map(|peer| peer.id.0).collect();
            peers.push(own);
            peers.sort_unstable();
            let mut expected = ids.clone();
            expected.sort_unstable();
            if peers != expected {
                return Some(format!("registrar {host} knows {peers:?} of {expected:?}"));
            }
        }
        None
    }
}

// Design §6: first safety under faults, then heal and demand liveness.
#[test]
fn after_any_faults_all_registrars_agree() {
    let seeds = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        let mut world = World::new(seed);
        for _ in 0..30 {
            world.fault();
            let pause = world.rng.random_range(1..40) * 50;
            world.run(pause);
        }
        world.network.heal_all();
        world.run(30_000);
        // It must also stay so.
        for _ in 0..10 {
            if let Some(what) = world.disagreement() {
                failures.push(format!("seed {seed}: {what}"));
                if std::env::var("DUMP").is_ok() {
                    for host in world.registrars.keys() {
                        println!("{:#?}", world.network.registrar(*host));
                        for (at, event) in world.network.timed_events(*host) {
                            println!("{host} {at} {event:?}");
                        }
                    }
                }
                break;
            }
            world.run(300);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
